//! The pending writes: the state in memory, the changes that a caller waits for, and the records that have changed.
//!
//! Any thread adds, only the writer's thread removes. A record that changes a hundred times before it is written is
//! written once, so the queue is bounded by the number of records; the changes that a caller waits for are bounded by
//! [`WAITING_MAX`]. It knows no disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::Key;
use super::state::{Change, State};
use crate::clock::{Clock, Mono};
use crate::durable::WriteError;

/// Changes that may wait for the disk. One per node of a large fleet; more of them means that the disk has stopped, and
/// then it is better to say so than to let people wait.
pub(super) const WAITING_MAX: usize = 16 * 1024;

/// Changes in one write. They share its fsync; a bound keeps the first of them from waiting long.
const TOGETHER_MAX: usize = 512;

/// Records that changed without a waiting caller, in one write.
const WRITE_BEHIND_MAX: usize = 4096;

/// When things are written that no caller waits for, and how long a write may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// A record whose content has changed.
    pub changed: Duration,
    /// A record in which only times and sums have moved.
    pub moved: Duration,
    /// The pause between two such writes.
    pub pause: Duration,
    /// `state.json`, when a content has changed.
    pub backup_changed: Duration,
    /// `state.json`, when only times and sums have moved.
    pub backup_moved: Duration,
    /// How long one write may take before the caller is told that it failed.
    pub write_limit: Duration,
}

impl Default for Timing {
    /// Made for memory cards: 10 nodes that only confirm their state cost one write of some KiB in a minute. A healthy card
    /// writes in milliseconds, one that tidies itself up in a second or two.
    fn default() -> Timing {
        Timing {
            changed: Duration::from_secs(2),
            moved: Duration::from_secs(60),
            pause: Duration::from_secs(2),
            backup_changed: Duration::from_secs(60),
            backup_moved: Duration::from_secs(600),
            write_limit: Duration::from_secs(10),
        }
    }
}

/// How much a change matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// The content is another one.
    Changed,
    /// Only times and sums have moved.
    Moved,
}

/// A change and the caller that waits for it.
pub(super) struct PendingWrite {
    pub change: Change,
    /// Told how it ended; dropped when the store closes before.
    pub reply: Box<dyn FnOnce(Result<(), WriteError>) + Send>,
}

/// What the writer is to do now.
#[derive(Default)]
pub(super) struct Batch {
    /// Changes a caller waits for.
    pub waiting: Vec<PendingWrite>,
    /// Records that have changed.
    pub write_behind: Vec<Key>,
    /// Write `state.json`.
    pub backup: bool,
    /// Write everything and end.
    pub closing: bool,
}

/// See the top of the file.
pub(super) struct WriteQueue {
    clock: Clock,
    timing: Timing,
    inner: Mutex<Inner>,
    wake: Condvar,
}

#[derive(Default)]
pub(super) struct Inner {
    /// The state that readers see.
    pub state: State,
    waiting: VecDeque<PendingWrite>,
    /// Records to be written, and when.
    write_behind: BTreeMap<Key, Mono>,
    /// The earliest of them, or earlier.
    write_behind_due: Option<Mono>,
    backup_due: Option<Mono>,
    closing: bool,
    /// The next work takes all that is lazy.
    flush: bool,
}

impl WriteQueue {
    /// An inbox over this state.
    pub(super) fn new(clock: Clock, timing: Timing, state: State) -> WriteQueue {
        WriteQueue { clock, timing, inner: Mutex::new(Inner { state, ..Inner::default() }), wake: Condvar::new() }
    }

    /// The state, for a moment: code under this lock only copies a record.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a change wait for the disk; it is dropped when too many wait or the store closes.
    pub(super) fn put(&self, waiting: PendingWrite) {
        let mut inner = self.lock();
        if inner.waiting.len() < WAITING_MAX && !inner.closing {
            inner.waiting.push_back(waiting);
            self.wake.notify_one();
        }
    }

    /// Changes the state in memory now; `edit` says which record has changed and how much.
    pub(super) fn edit(&self, edit: impl FnOnce(&mut State) -> Option<(Key, Weight)>) {
        let mut inner = self.lock();
        if let Some((key, weight)) = edit(&mut inner.state) {
            self.mark(&mut inner, key, weight);
        }
    }

    /// Lets a record be written again, because the last try failed.
    pub(super) fn mark_again(&self, keys: Vec<Key>) {
        let mut inner = self.lock();
        for key in keys {
            self.mark(&mut inner, key, Weight::Changed);
        }
    }

    fn mark(&self, inner: &mut Inner, key: Key, weight: Weight) {
        let (write, backup) = match weight {
            Weight::Changed => (self.timing.changed, self.timing.backup_changed),
            Weight::Moved => (self.timing.moved, self.timing.backup_moved),
        };
        let now = self.clock.now().mono;
        let due = inner.write_behind.entry(key).or_insert(now + write);
        *due = (*due).min(now + write);
        let due = *due;
        lower(&mut inner.backup_due, now + backup);
        if lower(&mut inner.write_behind_due, due) {
            self.wake.notify_one();
        }
    }

    /// Lets everything that has changed be written with the next change a caller waits for.
    pub(super) fn flush(&self) {
        let mut inner = self.lock();
        inner.flush = true;
    }

    /// Lets `state.json` be written after this time at the latest.
    pub(super) fn want_backup(&self, within: Duration) {
        lower(&mut self.lock().backup_due, self.clock.now().mono + within);
    }

    /// How long a backup may wait after a change.
    pub(super) fn backup_pause(&self) -> Duration {
        self.timing.backup_changed
    }

    /// Ends the writer: it writes what there is first.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
    }

    /// The writer has ended: the callers that still wait are told so by the end of their sender.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        inner.closing = true;
        inner.waiting.clear();
    }

    /// Waits until there is something to do, or until `latest`. `write_behind_after` is when the next lazy write may come.
    pub(super) fn take(&self, write_behind_after: Mono, latest: Option<Mono>) -> Batch {
        let mut inner = self.lock();
        loop {
            let now = self.clock.now().mono;
            inner = match inner.due(write_behind_after, latest, now) {
                Ok(batch) => return batch,
                Err(Some(next)) => {
                    self.wake.wait_timeout(inner, next.since(now)).unwrap_or_else(PoisonError::into_inner).0
                }
                Err(None) => self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// The same without waiting: what there is to do now, or when there will be something.
    pub(super) fn look(&self, write_behind_after: Mono) -> Result<Batch, Option<Mono>> {
        self.lock().due(write_behind_after, None, self.clock.now().mono)
    }
}

impl Inner {
    fn due(&mut self, write_behind_after: Mono, latest: Option<Mono>, now: Mono) -> Result<Batch, Option<Mono>> {
        let write_behind_due = self.write_behind_due.map(|due| due.max(write_behind_after));
        let next = [write_behind_due, self.backup_due, latest].into_iter().flatten().min();
        if !self.waiting.is_empty() || self.closing || next.is_some_and(|next| next <= now) {
            return Ok(self.batch(now, write_behind_due.is_some_and(|due| due <= now)));
        }
        Err(next)
    }

    fn batch(&mut self, now: Mono, write_behind: bool) -> Batch {
        let together = self.waiting.len().min(TOGETHER_MAX);
        let mut batch = Batch {
            waiting: self.waiting.drain(..together).collect(),
            write_behind: Vec::new(),
            backup: self.backup_due.is_some_and(|due| due <= now),
            closing: self.closing && self.waiting.is_empty(),
        };
        if batch.backup {
            self.backup_due = None;
        }
        // With a backup goes everything, so that the database is never older than the backup.
        let all = batch.backup || batch.closing || std::mem::take(&mut self.flush);
        if all || write_behind {
            let due = self.write_behind.iter().filter(|(_, due)| all || **due <= now).map(|(key, _)| key.clone());
            batch.write_behind = due.take(if all { usize::MAX } else { WRITE_BEHIND_MAX }).collect();
            for key in &batch.write_behind {
                self.write_behind.remove(key);
            }
            self.write_behind_due = self.write_behind.values().min().copied();
        }
        batch
    }
}

/// Sets `due` to `when` if that is earlier.
fn lower(due: &mut Option<Mono>, when: Mono) -> bool {
    let lowered = due.is_none_or(|due| when < due);
    if lowered {
        *due = Some(when);
    }
    lowered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::Content;
    use crate::store::state::Entry;

    fn write_queue(timing: Timing) -> WriteQueue {
        WriteQueue::new(Clock::system(), timing, State::default())
    }

    fn note(write_queue: &WriteQueue, name: &str, weight: Weight) {
        let key = Key::Value(name.into());
        write_queue.edit(|state| {
            let entry = Entry { revision: 0, content: Content::Value(name.into()) };
            state.entries.insert(key.clone(), entry);
            Some((key, weight))
        });
    }

    const NEVER: Duration = Duration::from_secs(3600);

    fn quick() -> Timing {
        Timing {
            changed: Duration::ZERO,
            moved: NEVER,
            pause: Duration::ZERO,
            backup_changed: NEVER,
            backup_moved: NEVER,
            write_limit: NEVER,
        }
    }

    #[test]
    fn what_has_only_moved_waits_and_what_has_changed_does_not_wait_for_it() {
        let write_queue = write_queue(quick());
        note(&write_queue, "moved", Weight::Moved);
        note(&write_queue, "changed", Weight::Changed);
        note(&write_queue, "changed", Weight::Moved);
        let batch = write_queue.take(Mono::START, None);
        assert_eq!(batch.write_behind, [Key::Value("changed".into())]);
        assert!(!batch.backup);
        write_queue.close();
        let batch = write_queue.take(Mono::START, None);
        assert!(batch.closing);
        assert_eq!(batch.write_behind, [Key::Value("moved".into())], "at the end everything is written");
    }

    #[test]
    fn a_backup_takes_everything_along() {
        let write_queue = write_queue(quick());
        note(&write_queue, "moved", Weight::Moved);
        write_queue.want_backup(Duration::ZERO);
        let batch = write_queue.take(Mono::START, None);
        assert!(batch.backup);
        assert_eq!(batch.write_behind.len(), 1);
    }

    #[test]
    fn the_number_of_waiting_changes_is_bounded() {
        let write_queue = write_queue(quick());
        let (told, answers) = std::sync::mpsc::channel();
        let put = || {
            let told = told.clone();
            write_queue.put(PendingWrite {
                change: Change::Barrier,
                reply: Box::new(move |_| told.send(()).unwrap_or_default()),
            });
        };
        (0..WAITING_MAX + 5).for_each(|_| put());
        let mut taken = 0;
        while write_queue.lock().waiting.len() > TOGETHER_MAX {
            taken += write_queue.take(Mono::START, None).waiting.len();
        }
        assert_eq!(taken + TOGETHER_MAX, WAITING_MAX);
        write_queue.end();
        put();
        drop(told);
        assert!(answers.recv().is_err(), "all that still waited were dropped");
    }
}
