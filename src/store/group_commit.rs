//! One write: takes the pending writes from the queue, and reports the result to their callers. It knows no disk.

use super::record::Key;
use super::state::{Plan, State};
use super::write_queue::{PendingWrite, WriteQueue};
use crate::durable::WriteError;

/// Steps between the revisions of two writes: the one between belongs to a database that is made again.
const REVISION_STEP: u64 = 2;

/// A write that was planned and has not ended.
pub(super) struct GroupCommit {
    waiting: Vec<PendingWrite>,
    write_behind: Vec<Key>,
    /// The revision that it makes.
    pub revision: u64,
    pub plan: Plan,
}

impl GroupCommit {
    /// Plans a write of these.
    pub(super) fn begin(write_queue: &WriteQueue, waiting: Vec<PendingWrite>, write_behind: Vec<Key>) -> GroupCommit {
        let state = &mut write_queue.lock().state;
        let mut plan: Plan = write_behind.iter().map(|key| (key.clone(), state.get(key).cloned())).collect();
        for waiting in &waiting {
            state.plan(&waiting.change, &mut plan);
        }
        // A write of nothing has no revision: the manifest is not written either.
        if !plan.is_empty() {
            state.revision += REVISION_STEP;
        }
        GroupCommit { waiting, write_behind, revision: state.revision, plan }
    }

    /// The name for metrics of the first change that a caller waits for.
    pub(super) fn kind(&self) -> Option<&'static str> {
        self.waiting.first().map(|first| first.change.kind())
    }

    /// Whether the backup is to follow at once.
    pub(super) fn wants_backup(&self) -> bool {
        self.waiting.iter().any(|waiting| waiting.change.wants_backup())
    }

    /// It ended: what is durable becomes visible, and the waiting callers are told.
    pub(super) fn end(self, write_queue: &WriteQueue, result: &Result<(), WriteError>) {
        match result {
            Ok(()) => self.adopt(&mut write_queue.lock().state),
            Err(_) => write_queue.mark_again(self.write_behind),
        }
        for PendingWrite { reply, .. } in self.waiting {
            reply(result.clone());
        }
    }

    /// Each change is planned again: what no caller waits for may have changed while the disk was busy.
    fn adopt(&self, state: &mut State) {
        for key in &self.write_behind {
            if let Some(entry) = state.entries.get_mut(key) {
                entry.revision = self.revision;
            }
        }
        for waiting in &self.waiting {
            let mut plan = Plan::new();
            state.plan(&waiting.change, &mut plan);
            state.adopt(plan, self.revision);
        }
    }
}
