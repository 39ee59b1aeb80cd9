//! Detects HTTP workers that make no progress: each writes down the time repeatedly, on its own thread.
//!
//! A request to the service itself would reach only one worker, and none while other clients hold all connections; this
//! reaches each worker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Mono, serial};

/// How often a worker writes down the time.
const EVERY: Duration = Duration::from_secs(1);

/// A worker that is silent for longer hangs: answers take milliseconds, and what is slow runs on other threads.
const SILENCE: Duration = Duration::from_secs(10);

/// When each worker last wrote down the time; one entry for each worker and listener.
pub(crate) struct WorkerHeartbeat {
    clock: Clock,
    last: Mutex<HashMap<u64, Mono>>,
}

impl WorkerHeartbeat {
    /// No one has written down anything.
    pub(crate) fn new(clock: Clock) -> Arc<WorkerHeartbeat> {
        Arc::new(WorkerHeartbeat { clock, last: Mutex::default() })
    }

    /// Writes down the time until this thread's runtime ends. To be called on the thread of a worker.
    pub(crate) fn begin(self: &Arc<WorkerHeartbeat>) {
        let place = Place { number: serial(), worker_heartbeat: self.clone() };
        actix_web::rt::spawn(async move {
            loop {
                place.note();
                place.worker_heartbeat.clock.sleep(EVERY).await;
            }
        });
    }

    /// How many wrote down the time lately.
    pub(crate) fn count(&self) -> usize {
        let now = self.clock.now().mono;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.values().filter(|at| now.since(**at) <= SILENCE).count()
    }
}

/// Where one worker writes; it goes with the worker.
struct Place {
    number: u64,
    worker_heartbeat: Arc<WorkerHeartbeat>,
}

impl Place {
    fn note(&self) {
        let now = self.worker_heartbeat.clock.now().mono;
        self.worker_heartbeat.last.lock().unwrap_or_else(PoisonError::into_inner).insert(self.number, now);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker_heartbeat.last.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Wall;

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_hangs_is_missed_and_one_that_ends_is_gone() {
        let clock = Clock::simulated(1, Wall(0));
        let worker_heartbeat = WorkerHeartbeat::new(clock.clone());
        let hangs = Place { number: 1, worker_heartbeat: worker_heartbeat.clone() };
        let turns = Place { number: 2, worker_heartbeat: worker_heartbeat.clone() };
        hangs.note();
        turns.note();
        assert_eq!(worker_heartbeat.count(), 2);
        clock.sleep(SILENCE + EVERY).await;
        turns.note();
        assert_eq!(worker_heartbeat.count(), 1);
        drop(turns);
        assert_eq!(worker_heartbeat.count(), 0);
        assert_eq!(worker_heartbeat.last.lock().unwrap().len(), 1);
    }
}
