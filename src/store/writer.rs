//! The writer: takes from the inbox, has it made durable, and tells whoever waits.
//!
//! One thread. Changes that arrive while a write runs share the next one and its fsync. A change becomes visible in
//! memory when it is durable, not before; what nobody waits for is visible at once and written when it suits.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tracing::warn;

use super::durable::Durable;
use super::inbox::{Inbox, Work};
use super::round::Round;
use crate::clock::{Clock, Mono};
use crate::telemetry::Metrics;

/// See the top of the file.
pub struct Writer {
    /// Where the work comes from.
    pub inbox: Arc<Inbox>,
    /// Where it goes.
    pub durable: Durable,
    /// Time.
    pub clock: Clock,
    /// Told of each durable write.
    pub metrics: Arc<Metrics>,
    /// The pause between two writes that nobody waits for.
    pub pause: Duration,
}

impl Writer {
    /// Works until the inbox is closed; then writes what is left, closes the database, and says so to `done`.
    pub fn run(mut self, done: SyncSender<()>) {
        let mut lazy_after = Mono::START;
        loop {
            let work = self.inbox.take(lazy_after, self.durable.retry_at());
            let (backup, closing) = (work.backup || work.closing, work.closing);
            if !work.lazy.is_empty() {
                lazy_after = self.clock.now().mono + self.pause;
            }
            self.write(work);
            if backup {
                self.back_up();
            }
            if closing {
                break;
            }
        }
        self.inbox.end();
        self.durable.close();
        // Whoever closed the store may have stopped waiting.
        let _ = done.send(());
    }

    fn write(&mut self, work: Work) {
        let Work { waiting, lazy, backup, closing } = work;
        let started = self.clock.now().mono;
        let sync = !waiting.is_empty() || backup || closing;
        let round = Round::begin(&self.inbox, waiting, lazy);
        let (inbox, whole_plan, revision) = (self.inbox.clone(), round.plan.clone(), round.revision);
        let whole = move || {
            let mut state = inbox.lock().state.clone();
            state.adopt(whole_plan.clone(), revision);
            state
        };
        let result = match round.plan.is_empty() && !sync {
            true => self.durable.retry(&whole),
            false => self.durable.write(revision, &round.plan, sync, &whole),
        };
        self.metrics.store_is_writable(result.is_ok());
        if let Some(kind) = round.kind() {
            self.metrics.store_write(kind, self.clock.now().mono.since(started), result.is_ok());
        }
        let wants_backup = round.wants_backup();
        round.end(&self.inbox, &result);
        if wants_backup || self.durable.backup_missing() {
            self.inbox.want_backup(Duration::ZERO);
        }
    }

    fn back_up(&mut self) {
        let started = self.clock.now().mono;
        let state = self.inbox.lock().state.clone();
        let result = self.durable.back_up(&state);
        self.metrics.store_write("backup", self.clock.now().mono.since(started), result.is_ok());
        if let Err(failed) = result {
            warn!(event = "store_backup_failed", path = failed.path, why = failed.why);
            self.inbox.want_backup(self.inbox.backup_pause());
        }
    }
}
