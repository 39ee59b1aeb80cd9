//! The queue in front of the password hash: one check at a time, addresses without recent checks first, bounded.
//!
//! A check is slow on purpose, so a flood of guesses fills any queue. An address without a recent check goes before
//! those with one, and among equals the newest goes first: in a flood the old ones cannot be served in time anyway. If
//! the queue is full, the last in this order is refused at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::password::Memory;
use super::throttle::source;
use crate::clock::Mono;

/// Checks that wait at once: the last of them is served after a few seconds.
pub(super) const WAITING_MAX: usize = 32;

/// How long it is remembered that an address asked for a check. With a check every few hundredths of a second, a thousand
/// addresses that ask for one each in this time leave room for others.
const ASKED_LIFE: Duration = Duration::from_secs(60);

/// Addresses that are remembered; above it the one that asked longest ago is forgotten.
const ASKED_MAX: usize = 4096;

/// Checks that wait, and the one that runs.
#[derive(Default)]
pub(super) struct CheckQueue(Mutex<State>);

#[derive(Default)]
struct State {
    is_running: bool,
    /// Kept between checks: see [`Memory`].
    memory: Memory,
    waiting: Vec<Waiting>,
    asked: HashMap<IpAddr, (u32, Mono)>,
    next: u64,
}

struct Waiting {
    /// How many checks its address asked for before.
    asked: u32,
    number: u64,
    turn: oneshot::Sender<Permit>,
}

/// The right to run a check. Dropping it lets the next one run.
pub(super) struct Permit {
    /// `None` once the turn was passed on.
    queue: Option<Arc<CheckQueue>>,
    pub(super) memory: Memory,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.release(std::mem::take(&mut self.memory));
        }
    }
}

impl CheckQueue {
    /// Waits for a turn. `None` when the queue is full of those that go first. Without an address the caller is known
    /// already, and goes before all that are not.
    pub(super) async fn turn(self: &Arc<Self>, address: Option<IpAddr>, now: Mono) -> Option<Permit> {
        let wait = {
            let mut state = self.lock();
            let asked = address.map_or(0, |address| state.ask(address, now));
            if !state.is_running {
                state.is_running = true;
                let memory = std::mem::take(&mut state.memory);
                return Some(Permit { queue: Some(self.clone()), memory });
            }
            let (turn, wait) = oneshot::channel();
            let number = state.next;
            state.next += 1;
            state.waiting.retain(|waiting| !waiting.turn.is_closed());
            state.waiting.push(Waiting { asked, number, turn });
            if state.waiting.len() > WAITING_MAX {
                state.take_by(|waiting| waiting.iter().enumerate().max_by_key(|(_, one)| one.rank()));
            }
            wait
        };
        wait.await.ok()
    }

    /// A right password: the address is a quiet one again.
    pub(super) fn forget(&self, address: Option<IpAddr>) {
        if let Some(address) = source(address) {
            self.lock().asked.remove(&address);
        }
    }

    fn release(self: &Arc<Self>, mut memory: Memory) {
        let mut state = self.lock();
        while let Some(next) = state.take_by(|waiting| waiting.iter().enumerate().min_by_key(|(_, one)| one.rank())) {
            let Err(mut unused) = next.turn.send(Permit { queue: Some(self.clone()), memory }) else { return };
            // Its caller gave up waiting.
            unused.queue = None;
            memory = std::mem::take(&mut unused.memory);
        }
        state.is_running = false;
        state.memory = memory;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The order of the queue: the smallest rank is checked first.
    fn rank(&self) -> (u32, std::cmp::Reverse<u64>) {
        (self.asked, std::cmp::Reverse(self.number))
    }
}

impl State {
    fn take_by(&mut self, choose: impl Fn(&[Waiting]) -> Option<(usize, &Waiting)>) -> Option<Waiting> {
        let (index, _) = choose(&self.waiting)?;
        Some(self.waiting.swap_remove(index))
    }

    /// How many checks this address asked for lately; counts this one.
    fn ask(&mut self, address: IpAddr, now: Mono) -> u32 {
        let Some(address) = source(Some(address)) else { return 0 };
        let before = self.asked.get(&address).filter(|(_, last)| now.since(*last) < ASKED_LIFE).map_or(0, |(n, _)| *n);
        if self.asked.len() >= ASKED_MAX && !self.asked.contains_key(&address) {
            self.asked.retain(|_, (_, last)| now.since(*last) < ASKED_LIFE);
            let oldest = self.asked.iter().min_by_key(|(_, (_, last))| *last).map(|(address, _)| *address);
            if let Some(oldest) = oldest.filter(|_| self.asked.len() >= ASKED_MAX) {
                self.asked.remove(&oldest);
            }
        }
        self.asked.insert(address, (before.saturating_add(1), now));
        before
    }
}
