//! The connections of each address, and the choice of the connection to close when there are too many.
//!
//! The number of connections is bounded by a constant, and by the number of descriptors if the system allows fewer.
//! When all are in use, the address with the most connections loses the one that it used least recently: a host with
//! thousands of idle connections gives way to the next client, and never a client with only a few. The same applies to
//! connections that cost memory: those in a handshake, those in the middle of a large request, and those that do not
//! read what was sent to them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;

use super::auth::source;
use super::proxies::Proxies;
use crate::clock::{Clock, serial};

/// Connections at once: thousands of idle ones fit into some tens of megabytes.
pub const CONNECTIONS_MAX: usize = 4096;

/// Connections that cost memory, at once. One that is cut off from what it waits for holds up to some 50 KiB.
const HEAVY_MAX: usize = 512;

/// Files that are open whatever happens: logs, the store, probes, listeners, timers.
const DESCRIPTORS_KEPT: usize = 128;

/// Files that a node may need at once: a connection to its device, and a second one while that ends.
const DESCRIPTORS_OF_NODE: usize = 2;

/// Connections of each worker that are accepted but not looked at yet.
pub(super) const UNSEEN_MAX: usize = 64;

/// How many connections clients may hold, where this process may have so many files open.
pub(crate) fn room(open_files: Option<u64>, nodes: usize, workers: usize) -> usize {
    let Some(files) = open_files.and_then(|files| usize::try_from(files).ok()) else { return CONNECTIONS_MAX };
    let kept = DESCRIPTORS_KEPT + nodes * DESCRIPTORS_OF_NODE + workers * UNSEEN_MAX;
    // With very few there must be some for clients as well.
    files.saturating_sub(kept).max(files / 4).clamp(1, CONNECTIONS_MAX)
}

/// Whose connection it is. Those of a trusted proxy belong to its clients, who are not known yet: each counts by itself.
type Owner = (Option<IpAddr>, u64);

/// The table of all connections.
pub struct Connections {
    most: usize,
    clock: Clock,
    proxies: Arc<Proxies>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: HashMap<Owner, Owned>,
    count: usize,
    heavy: usize,
}

/// The connections of one owner.
#[derive(Default)]
struct Owned {
    entries: Vec<Arc<Entry>>,
    heavy: usize,
}

struct Entry {
    owner: Owner,
    /// When it was used last, in milliseconds.
    used: AtomicU64,
    heavy: AtomicBool,
    cut: AtomicBool,
    waker: AtomicWaker,
}

/// A connection's place among the others. Dropping it makes room.
pub(crate) struct Held {
    all: Arc<Connections>,
    entry: Arc<Entry>,
}

impl Connections {
    /// A table for at most this many connections.
    pub fn new(most: usize, clock: Clock, proxies: Arc<Proxies>) -> Arc<Connections> {
        Arc::new(Connections { most, clock, proxies, state: Mutex::default() })
    }

    /// How many there is room for.
    pub fn most(&self) -> usize {
        self.most
    }

    /// A new connection. Where there is no room another one goes for it.
    pub(super) fn admit(self: &Arc<Self>, peer: Option<SocketAddr>) -> Held {
        let address = peer.map(|peer| peer.ip());
        let by_itself = address.is_some_and(|address| self.proxies.trusts(address));
        let entry = Arc::new(Entry {
            owner: (source(address), if by_itself { serial() } else { 0 }),
            used: AtomicU64::new(self.millis()),
            heavy: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        let mut state = self.lock();
        if state.count >= self.most {
            state.cut_one(false);
        }
        state.count += 1;
        state.held.entry(entry.owner).or_default().entries.push(entry.clone());
        drop(state);
        Held { all: self.clone(), entry }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.clock.mono().since_start().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Ends a connection, or one of those that cost memory: of the owner with most of them, the one that was used least
    /// recently.
    fn cut_one(&mut self, heavy: bool) {
        let count = |owned: &Owned| if heavy { owned.heavy } else { owned.entries.len() };
        let most = self.held.values().map(count).max().unwrap_or(0);
        let owners = self.held.values().filter(|owned| count(owned) == most);
        let among =
            owners.flat_map(|owned| &owned.entries).filter(|entry| !heavy || entry.heavy.load(Ordering::Relaxed));
        let Some(last) = among.min_by_key(|entry| entry.used.load(Ordering::Relaxed)).cloned() else { return };
        self.remove(&last);
        last.cut.store(true, Ordering::Release);
        last.waker.wake();
    }

    /// Takes a connection off, if it is still there.
    fn remove(&mut self, entry: &Arc<Entry>) {
        let Some(owned) = self.held.get_mut(&entry.owner) else { return };
        let Some(index) = owned.entries.iter().position(|other| Arc::ptr_eq(other, entry)) else { return };
        owned.entries.swap_remove(index);
        self.count -= 1;
        if entry.heavy.swap(false, Ordering::Relaxed) {
            owned.heavy -= 1;
            self.heavy -= 1;
        }
        if owned.entries.is_empty() {
            self.held.remove(&entry.owner);
        }
    }
}

impl Held {
    /// Marks the connection as used now.
    pub(super) fn touch(&self) {
        self.entry.used.store(self.all.millis(), Ordering::Relaxed);
    }

    /// Whether it holds memory while it waits for its client. Where too many do, one of them is cut.
    pub(super) fn set_heavy(&self, heavy: bool) {
        if self.entry.heavy.load(Ordering::Relaxed) == heavy || self.entry.cut.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.all.lock();
        // Once it is cut it is counted no more.
        if self.entry.cut.load(Ordering::Relaxed) {
            return;
        }
        let State { held, heavy: total, .. } = &mut *state;
        let Some(owned) = held.get_mut(&self.entry.owner) else { return };
        self.entry.heavy.store(heavy, Ordering::Relaxed);
        if heavy {
            owned.heavy += 1;
            *total += 1;
        } else {
            owned.heavy -= 1;
            *total -= 1;
        }
        if state.heavy > HEAVY_MAX {
            state.cut_one(true);
        }
    }

    /// An error once the connection has to end; until then `cx` is woken when it has to.
    pub(super) fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        self.entry.waker.register(cx.waker());
        if self.entry.cut.load(Ordering::Acquire) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.lock().remove(&self.entry);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Wall;
    use crate::http::proxies::Network;

    fn table(most: usize) -> (Arc<Connections>, Clock) {
        let clock = Clock::simulated(1, Wall(0));
        let proxies = Proxies::new(vec![Network::new("10.0.0.0".parse().unwrap(), 8)]);
        (Connections::new(most, clock.clone(), Arc::new(proxies)), clock)
    }

    fn from(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().unwrap(), 4711))
    }

    fn is_cut(held: &Held) -> bool {
        held.entry.cut.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_holds_most_gives_up_what_it_used_least_recently() {
        let (table, clock) = table(8);
        let few = table.admit(from("192.0.2.1"));
        let mut many = Vec::new();
        for n in 0..7 {
            clock.sleep(Duration::from_secs(1)).await;
            many.push(table.admit(from(&format!("2001:db8::{n}"))));
        }
        clock.sleep(Duration::from_secs(1)).await;
        many[0].touch();
        let newcomer = table.admit(from("192.0.2.2"));
        let cut: Vec<bool> = many.iter().map(is_cut).collect();
        assert_eq!(cut, [false, true, false, false, false, false, false], "the addresses of one network are one");
        assert!(!is_cut(&few) && !is_cut(&newcomer));
        assert_eq!(table.lock().count, 8);
        drop((few, many, newcomer));
        assert!(table.lock().held.is_empty() && table.lock().count == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_cost_memory_are_bounded_by_themselves() {
        let (table, clock) = table(CONNECTIONS_MAX);
        let light = table.admit(from("192.0.2.1"));
        let modest = table.admit(from("192.0.2.2"));
        modest.set_heavy(true);
        let mut heavy = Vec::new();
        for _ in 0..HEAVY_MAX {
            clock.sleep(Duration::from_millis(10)).await;
            let held = table.admit(from("192.0.2.1"));
            held.set_heavy(true);
            heavy.push(held);
        }
        assert!(is_cut(&heavy[0]) && !is_cut(&light) && !is_cut(&modest));
        assert_eq!((heavy.iter().filter(|held| is_cut(held)).count(), table.lock().heavy), (1, HEAVY_MAX));
        heavy[1].set_heavy(false);
        heavy[0].set_heavy(false);
        assert_eq!(table.lock().heavy, HEAVY_MAX - 1);
        drop(heavy);
        assert_eq!(table.lock().heavy, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_connections_of_a_trusted_proxy_are_of_many_clients() {
        let (table, clock) = table(4);
        let proxied: Vec<Held> = (0..2).map(|_| table.admit(from("10.1.2.3"))).collect();
        clock.sleep(Duration::from_secs(1)).await;
        let strangers: Vec<Held> = (0..3).map(|_| table.admit(from("192.0.2.1"))).collect();
        let _more = table.admit(from("192.0.2.2"));
        assert!(!proxied.iter().any(is_cut), "each counts by itself");
        assert_eq!(strangers.iter().filter(|held| is_cut(held)).count(), 2);
    }

    #[test]
    fn devices_and_the_store_keep_their_descriptors() {
        assert_eq!(room(None, 100, 2), CONNECTIONS_MAX);
        assert_eq!(room(Some(1_000_000), 3000, 4), CONNECTIONS_MAX);
        assert_eq!(room(Some(1024), 100, 2), 1024 - 128 - 200 - 128);
        assert_eq!(room(Some(1024), 3000, 2), 256);
        assert_eq!(room(Some(0), 1, 1), 1);
    }
}
