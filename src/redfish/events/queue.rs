//! The queue of events for one subscriber: bounded; when it is full the oldest event is dropped and counted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::record::Record;

/// Events that wait for one subscriber: an outage of a large rack, or a day of a small one. They share their records, so
/// this is a few kilobytes for each subscriber.
pub(crate) const QUEUE_MAX: usize = 512;

/// See the top of the file.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    records: VecDeque<Arc<Record>>,
    lost: u64,
    closed: bool,
}

/// The next event for a subscriber.
#[derive(Debug)]
pub(crate) struct Next {
    pub record: Arc<Record>,
    /// How many before it were dropped.
    pub lost: u64,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event; false if the oldest had to go for it.
    pub(crate) fn push(&self, record: Arc<Record>) -> bool {
        let mut inner = self.lock();
        let is_full = inner.records.len() >= QUEUE_MAX;
        if is_full {
            inner.records.pop_front();
            inner.lost += 1;
        }
        inner.records.push_back(record);
        self.wake.notify_one();
        !is_full
    }

    /// Says that events from before this queue are missing.
    pub(crate) fn lose(&self, count: u64) {
        self.lock().lost += count;
    }

    /// Takes the oldest event, when there is one; `None` when the queue is closed. For one reader.
    pub(crate) async fn next(&self) -> Option<Next> {
        loop {
            {
                let mut inner = self.lock();
                if inner.closed {
                    return None;
                }
                if let Some(record) = inner.records.pop_front() {
                    return Some(Next { record, lost: std::mem::take(&mut inner.lost) });
                }
            }
            self.wake.notified().await;
        }
    }

    /// The number of queued events.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().records.len()
    }

    /// Drops all queued events.
    pub(crate) fn clear(&self) {
        let mut inner = self.lock();
        inner.records.clear();
        inner.lost = 0;
    }

    /// Ends it for its reader, and forgets what waits.
    pub(crate) fn close(&self) {
        self.clear();
        self.lock().closed = true;
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn record(id: u64) -> Arc<Record> {
        Arc::new(Record::free(Map::new(), id, id))
    }

    #[tokio::test]
    async fn the_oldest_goes_and_is_counted() {
        let queue = Queue::default();
        let most = u64::try_from(QUEUE_MAX).unwrap();
        for id in 0..most {
            assert!(queue.push(record(id)));
        }
        assert!(!queue.push(record(most)) && !queue.push(record(most + 1)));
        let next = queue.next().await.unwrap();
        assert_eq!((next.record.id, next.lost), (2, 2));
        let next = queue.next().await.unwrap();
        assert_eq!((next.record.id, next.lost), (3, 0));
        queue.close();
        assert!(queue.next().await.is_none());
    }
}
