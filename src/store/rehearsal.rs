//! For tests: the store without its threads and files, while somebody else plays the disk and the time passes as he likes.
//!
//! What is planned, encoded, adopted, answered, and believed at the start is what the store does. `durable.rs`, what is below
//! it, and the backup are left out.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::Store;
use super::durable::parts_of_plan;
use super::inbox::{Inbox, Timing, Work};
use super::ledger::Ledger;
use super::round::Round;
use super::settle::{Found, settle};
use super::tree::{Batch, Pairs};
use crate::clock::{Clock, Mono};
use crate::durable::WriteError;

/// See the top of the file.
pub struct Rehearsal {
    store: Arc<Store>,
    ledger: Ledger,
    lazy_after: Mono,
}

/// A write that the disk is to do.
pub struct Write {
    round: Round,
    ledger: Ledger,
    /// What to write, one batch after the other. A batch is written as a whole or not at all.
    pub batches: Vec<Batch>,
    /// Somebody waits until it survives a power cut.
    pub sync: bool,
    /// It is the last one: the store was closed.
    pub last: bool,
}

impl Rehearsal {
    /// A store that finds these records. Also returns what it has to say about them.
    pub fn open(pairs: Pairs, clock: &Clock) -> (Rehearsal, Vec<String>) {
        let found = Found::from_pairs(pairs);
        let ledger = found.ledger();
        let settled = settle(found, None);
        let inbox = Arc::new(Inbox::new(clock.clone(), Timing::default(), settled.state));
        let (dir, done) = (PathBuf::from("state"), Mutex::default());
        let store = Arc::new(Store { inbox, clock: clock.clone(), dir, done });
        (Rehearsal { store, ledger, lazy_after: Mono::START }, settled.notes)
    }

    /// The store.
    pub fn store(&self) -> Arc<Store> {
        self.store.clone()
    }

    /// What is to be written now, or when there will be something.
    pub fn look(&mut self) -> Result<Write, Option<Mono>> {
        let Work { waiting, lazy, backup, closing } = self.store.inbox.look(self.lazy_after)?;
        if !lazy.is_empty() {
            self.lazy_after = self.store.clock.now().mono + Timing::default().pause;
        }
        let sync = !waiting.is_empty() || backup || closing;
        let round = Round::begin(&self.store.inbox, waiting, lazy);
        let mut ledger = self.ledger.clone();
        let batches = parts_of_plan(round.revision, &round.plan, &mut ledger);
        Ok(Write { round, ledger, batches, sync, last: closing })
    }

    /// The disk did it, or could not.
    pub fn end(&mut self, write: Write, result: &Result<(), WriteError>) {
        if result.is_ok() {
            self.ledger = write.ledger;
        }
        write.round.end(&self.store.inbox, result);
    }
}
