//! For tests: the store without its threads and files; the test performs the writes and controls the time.
//!
//! Planning, encoding, adoption, answers and recovery at the start are those of the real store. `durable.rs`, the files
//! below it, and the backup are left out.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::Store;
use super::durable::parts_of_plan;
use super::group_commit::GroupCommit;
use super::manifest::Manifest;
use super::reconcile::{Found, reconcile};
use super::tree::{Pairs, TreeBatch};
use super::write_queue::{Batch, Timing, WriteQueue};
use crate::clock::{Clock, Mono};
use crate::durable::WriteError;

/// See the top of the file.
pub struct TestStore {
    store: Arc<Store>,
    manifest: Manifest,
    write_behind_after: Mono,
}

/// A write that the disk is to do.
pub struct Write {
    group_commit: GroupCommit,
    manifest: Manifest,
    /// What to write, one batch after the other. A batch is written as a whole or not at all.
    pub batches: Vec<TreeBatch>,
    /// A caller waits until it survives a power cut.
    pub sync: bool,
    /// It is the last one: the store was closed.
    pub last: bool,
}

impl TestStore {
    /// A store that finds these records. Also returns what it has to say about them.
    pub fn open(pairs: Pairs, clock: &Clock) -> (TestStore, Vec<String>) {
        let found = Found::from_pairs(pairs);
        let manifest = found.manifest();
        let recovered = reconcile(found, None);
        let write_queue = Arc::new(WriteQueue::new(clock.clone(), Timing::default(), recovered.state));
        let (dir, done) = (PathBuf::from("state"), Mutex::default());
        let store = Arc::new(Store { write_queue, clock: clock.clone(), dir, done });
        (TestStore { store, manifest, write_behind_after: Mono::START }, recovered.notes)
    }

    /// The store under test.
    pub fn store(&self) -> Arc<Store> {
        self.store.clone()
    }

    /// What is to be written now, or when there will be something.
    pub fn look(&mut self) -> Result<Write, Option<Mono>> {
        let Batch { waiting, write_behind, backup, closing } = self.store.write_queue.look(self.write_behind_after)?;
        if !write_behind.is_empty() {
            self.write_behind_after = self.store.clock.now().mono + Timing::default().pause;
        }
        let sync = !waiting.is_empty() || backup || closing;
        let group_commit = GroupCommit::begin(&self.store.write_queue, waiting, write_behind);
        let mut manifest = self.manifest.clone();
        let batches = parts_of_plan(group_commit.revision, &group_commit.plan, &mut manifest);
        Ok(Write { group_commit, manifest, batches, sync, last: closing })
    }

    /// The disk did it, or could not.
    pub fn end(&mut self, write: Write, result: &Result<(), WriteError>) {
        if result.is_ok() {
            self.manifest = write.manifest;
        }
        write.group_commit.end(&self.store.write_queue, result);
    }
}
