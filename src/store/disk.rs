//! The one thread that accesses the disk, with a deadline for each operation.
//!
//! A disk may not answer, and sled may hang or panic. A caller of this thread gets an answer in time: when an operation
//! exceeds its deadline, the thread is abandoned with everything that it holds, and a new one takes its place. This
//! file knows nothing of records.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use thiserror::Error;

use super::tree::{Tree, panic_text};

/// Threads that may be left behind at one time. Each may hold a database of a few MiB; a disk that has swallowed this
/// many will not answer the next one either.
const LEFT_BEHIND_MAX: usize = 4;

/// A piece of work. It is given the place where the thread keeps its open database.
type Job = Box<dyn FnOnce(&mut Option<Tree>) + Send>;

/// Why a piece of work has no result.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It panicked.
    #[error("it fell over: {0}")]
    Panicked(String),
    /// It was not done in time, and may still happen.
    #[error("the disk did not answer within {} seconds", .0.as_secs())]
    Late(Duration),
    /// Too many threads wait for the disk already, or no thread can be made.
    #[error("the disk has not answered for a long time")]
    Gone,
}

/// The thread that touches the disk.
pub(super) struct Disk {
    jobs: Option<SyncSender<Job>>,
    /// How many of these threads there are, those left behind included.
    alive: Arc<AtomicUsize>,
}

impl Disk {
    /// Starts the thread.
    pub(super) fn start() -> Disk {
        let alive = Arc::new(AtomicUsize::new(0));
        Disk { jobs: spawn(&alive), alive }
    }

    /// Runs `batch` on the thread and waits for its result for at most `limit`.
    pub(super) fn run<T: Send + 'static>(
        &mut self,
        limit: Duration,
        batch: impl FnOnce(&mut Option<Tree>) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let Some(jobs) = &self.jobs else {
            self.replace();
            return Err(Stopped::Gone);
        };
        let (result_in, result) = sync_channel(1);
        let job: Job = Box::new(move |tree| {
            // The receiver is gone when this is late.
            let _ = result_in.send(catch_unwind(AssertUnwindSafe(|| batch(tree))));
        });
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = jobs.try_send(job) {
            self.replace();
            return Err(Stopped::Gone);
        }
        match result.recv_timeout(limit) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => Err(Stopped::Panicked(panic_text(&*panic))),
            Err(RecvTimeoutError::Disconnected) => Err(Stopped::Gone),
            Err(RecvTimeoutError::Timeout) => {
                self.replace();
                Err(Stopped::Late(limit))
            }
        }
    }

    /// Leaves the thread behind with its database, which it closes when it can, and starts a new one.
    pub(super) fn replace(&mut self) {
        self.jobs = None;
        if self.alive.load(Ordering::Relaxed) <= LEFT_BEHIND_MAX {
            self.jobs = spawn(&self.alive);
        }
    }
}

/// Starts a thread; it ends when the sender is dropped.
fn spawn(alive: &Arc<AtomicUsize>) -> Option<SyncSender<Job>> {
    let (jobs_in, jobs) = sync_channel::<Job>(1);
    let counted = alive.clone();
    counted.fetch_add(1, Ordering::Relaxed);
    let body = move || {
        let mut tree = None;
        for job in jobs {
            job(&mut tree);
        }
        if let Some(tree) = tree.take() {
            // It was thrown away because it failed; what closing it says is not news.
            let _ = tree.close();
        }
        counted.fetch_sub(1, Ordering::Relaxed);
    };
    match thread::Builder::new().name("plugfish-disk".into()).spawn(body) {
        Ok(_) => Some(jobs_in),
        Err(_) => {
            alive.fetch_sub(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn a_panic_is_an_answer_and_the_thread_lives_on() {
        let mut disk = Disk::start();
        assert_eq!(disk.run(LONG, |_| panic!("bad page")), Err::<(), _>(Stopped::Panicked("bad page".into())));
        assert_eq!(disk.run(LONG, |_| 7), Ok(7));
    }

    // Sleeps for real: the deadline is one of the operating system's, for a thread that hangs.
    #[test]
    fn late_work_is_left_behind_and_so_is_never_more_than_a_few() {
        let mut disk = Disk::start();
        let (release, held) = sync_channel::<()>(0);
        let held = Arc::new(std::sync::Mutex::new(held));
        let mut late = 0;
        for _ in 0..LEFT_BEHIND_MAX + 3 {
            let held = held.clone();
            match disk.run(SOON, move |_| held.lock().map(|held| held.recv()).is_ok()) {
                Err(Stopped::Late(_)) => late += 1,
                other => assert_eq!(other, Err(Stopped::Gone)),
            }
        }
        assert_eq!(late, LEFT_BEHIND_MAX + 1);
        drop(release);
        let mut answers = (0..200).map(|_| {
            thread::sleep(Duration::from_millis(5));
            disk.run(LONG, |_| 7)
        });
        assert!(answers.any(|answer| answer == Ok(7)), "the disk is used again when it answers");
    }
}
