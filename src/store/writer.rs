//! The writer: takes pending writes from the queue, makes them durable, and notifies the callers.
//!
//! One thread. Changes that arrive during a write share the next one and its fsync. A change becomes visible in memory
//! when it is durable, not before; a change that no caller waits for is visible at once and written later.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tracing::warn;

use super::durable::Durable;
use super::group_commit::GroupCommit;
use super::write_queue::{Batch, WriteQueue};
use crate::clock::{Clock, Mono};
use crate::telemetry::Metrics;

/// See the top of the file.
pub(super) struct Writer {
    /// Where the work comes from.
    pub write_queue: Arc<WriteQueue>,
    pub durable: Durable,
    pub clock: Clock,
    /// Told of each durable write.
    pub metrics: Arc<Metrics>,
    /// The pause between two writes that no caller waits for.
    pub pause: Duration,
}

impl Writer {
    /// Works until the inbox is closed; then writes what is left, closes the database, and says so to `done`.
    pub(super) fn run(mut self, done: SyncSender<()>) {
        let mut write_behind_after = Mono::START;
        loop {
            let batch = self.write_queue.take(write_behind_after, self.durable.retry_at());
            let (backup, closing) = (batch.backup || batch.closing, batch.closing);
            if !batch.write_behind.is_empty() {
                write_behind_after = self.clock.now().mono + self.pause;
            }
            self.write(batch);
            if backup {
                self.back_up();
            }
            if closing {
                break;
            }
        }
        self.write_queue.end();
        self.durable.close();
        // The caller that closed the store may have stopped waiting.
        let _ = done.send(());
    }

    fn write(&mut self, batch: Batch) {
        let Batch { waiting, write_behind, backup, closing } = batch;
        let started = self.clock.now().mono;
        let sync = !waiting.is_empty() || backup || closing;
        let group_commit = GroupCommit::begin(&self.write_queue, waiting, write_behind);
        let (write_queue, whole_plan, revision) =
            (self.write_queue.clone(), group_commit.plan.clone(), group_commit.revision);
        let whole = move || {
            let mut state = write_queue.lock().state.clone();
            state.adopt(whole_plan.clone(), revision);
            state
        };
        let result = match group_commit.plan.is_empty() && !sync {
            true => self.durable.retry(&whole),
            false => self.durable.write(revision, &group_commit.plan, sync, &whole),
        };
        self.metrics.store_is_writable(result.is_ok());
        if let Some(kind) = group_commit.kind() {
            self.metrics.store_write(kind, self.clock.now().mono.since(started), result.is_ok());
        }
        let wants_backup = group_commit.wants_backup();
        group_commit.end(&self.write_queue, &result);
        if wants_backup || self.durable.backup_missing() {
            self.write_queue.want_backup(Duration::ZERO);
        }
    }

    fn back_up(&mut self) {
        let started = self.clock.now().mono;
        let state = self.write_queue.lock().state.clone();
        let result = self.durable.back_up(&state);
        self.metrics.store_write("backup", self.clock.now().mono.since(started), result.is_ok());
        if let Err(failed) = result {
            warn!(event = "store_backup_failed", path = failed.path, why = failed.why);
            self.write_queue.want_backup(self.write_queue.backup_pause());
        }
    }
}
