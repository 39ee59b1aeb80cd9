//! The journal: the real store, whose writes go to a simulated disk that is slow, hangs, fails for a while, and loses
//! unsynced data in a crash.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use plugfish::testing::clock::Clock;
use plugfish::testing::durable::{WriteError, WriteFuture};
use plugfish::testing::node::NodeId;
use plugfish::testing::node::journal::{BootRecord, Intent, Journal, NodeRecord, SeenRecord};
use plugfish::testing::node::trust::{TrustBook, TrustRecord};
use plugfish::testing::store::Store;
use plugfish::testing::store::test_store::TestStore;
use serde::Serialize;
use tokio::sync::Notify;

use super::world::{State, World};

/// A disk that takes longer than this is said not to answer.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

type Batch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The disk: what is on it, and what it was given and may forget.
#[derive(Default)]
pub struct Disk {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    loose: Vec<Batch>,
    /// Of the write under way.
    underway: Vec<Batch>,
    /// The process that ended lost nothing of what was noted before it was closing.
    pub closed: bool,
    closing: bool,
}

impl Disk {
    fn put(&mut self, batch: Batch) {
        for (key, value) in batch {
            match value {
                Some(value) => self.records.insert(key, value),
                None => self.records.remove(&key),
            };
        }
    }

    fn sync(&mut self) {
        std::mem::take(&mut self.loose).into_iter().for_each(|batch| self.put(batch));
    }

    /// The power is cut: so many of the batches that were not synced are there all the same.
    pub fn crash(&mut self, reach: usize) {
        let loose = std::mem::take(&mut self.loose).into_iter();
        let underway = std::mem::take(&mut self.underway);
        loose.chain(underway).take(reach).for_each(|batch| self.put(batch));
    }

    /// Whether this is synced, as a part of the record of a node.
    fn holds(&self, node: &NodeId, part: &impl Serialize) -> bool {
        let part = serde_json::to_value(part).unwrap().to_string();
        let record = self.records.get(format!("node/{node}").as_bytes());
        record.is_some_and(|bytes| String::from_utf8_lossy(bytes).contains(&part))
    }
}

/// What the laws know of the journal of one node.
#[derive(Default)]
pub struct Page {
    /// What is on record, as the actor was told.
    pub memory: NodeRecord,
    waiting: usize,
    /// Intents that were written, with no one left to be told of it.
    pub untold: VecDeque<Intent>,
    /// When a write last failed.
    pub failed: Option<Duration>,
    /// Of whom an intent became durable lately, and which.
    pub landed: VecDeque<(Duration, Intent)>,
    /// The change numbers of the boot override in memory: the last one from before this moment, and when it landed.
    pub boot_landed: (Duration, u64),
}

#[derive(Clone)]
enum What {
    Intent(Intent),
    Boot(BootRecord),
}

impl Page {
    /// The number of the boot override that is on the disk.
    pub fn boot_writes(&self) -> u64 {
        self.memory.boot.as_ref().map_or(0, |boot| boot.writes)
    }

    /// How many writes are under way.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The process died: this is what the next one found.
    pub fn found(&mut self, at: Duration, record: &NodeRecord) {
        self.memory = record.clone();
        if let Some(intent) = &record.intent {
            self.landed.push_back((at, intent.clone()));
        }
    }

    fn land(&mut self, at: Duration, what: What) {
        match what {
            What::Intent(intent) => {
                self.landed.push_back((at, intent.clone()));
                if self.landed.len() > 24 {
                    self.landed.pop_front();
                }
                self.memory.intent = Some(intent);
            }
            What::Boot(boot) => {
                self.boot_landed = (at, self.boot_writes());
                self.memory.boot = Some(boot);
            }
        }
    }
}

/// Opens the store on what the disk holds. The second one wakes its writer.
pub fn open(state: &mut State, clock: &Clock) -> (TestStore, Arc<Notify>) {
    state.disk.crash(0);
    state.disk.closing = false;
    let pairs = state.disk.records.clone().into_iter().collect();
    let (test_store, notes) = TestStore::open(pairs, clock);
    for index in (0..state.nodes.len()).filter(|_| !state.disk.closed) {
        let NodeRecord { intent, seen, .. } = test_store.store().load(&state.nodes[index].id);
        (state.pages[index].memory.intent, state.pages[index].memory.seen) = (intent, seen);
    }
    if !notes.is_empty() {
        state.broken(0, "nothing-lost", format!("the store finds damage on a disk that is well: {notes:?}"));
    }
    (test_store, Arc::default())
}

/// Writes what the store wants written, until it is closed.
pub async fn write(world: Arc<World>, mut test_store: TestStore, wake: Arc<Notify>) {
    let clock = world.lock().clock();
    loop {
        let woken = wake.notified();
        let write = match test_store.look() {
            Ok(write) => write,
            Err(Some(next)) => {
                tokio::select! {
                    () = woken => {}
                    () = clock.sleep_until(next) => {}
                }
                continue;
            }
            Err(None) => {
                woken.await;
                continue;
            }
        };
        let (takes, full) = {
            let mut state = world.lock();
            (state.disk.underway, state.disk.closed) = (write.batches.clone(), false);
            state.disk.closing = write.last;
            state.disk_takes()
        };
        clock.sleep(takes.min(WRITE_LIMIT)).await;
        let result = {
            let mut state = world.lock();
            let batches = std::mem::take(&mut state.disk.underway);
            if full || takes > WRITE_LIMIT {
                Err(WriteError { path: "state".into(), why: "no space left on device".into() })
            } else {
                state.disk.loose.extend(batches);
                if write.sync {
                    state.disk.sync();
                }
                Ok(())
            }
        };
        let last = write.last;
        test_store.end(write, &result);
        if last {
            world.lock().disk.closed = result.is_ok();
            return;
        }
    }
}

/// The journal of a whole fleet, as the actors see it.
pub struct Paper {
    pub world: Arc<World>,
    pub store: Arc<Store>,
    pub wake: Arc<Notify>,
}

/// A write that an actor waits for, and what it was not told yet.
struct Waits(Arc<World>, usize, Option<What>);

impl Drop for Waits {
    fn drop(&mut self) {
        let page = &mut self.0.lock().pages[self.1];
        page.waiting -= 1;
        if let Some(What::Intent(intent)) = self.2.take() {
            page.untold.push_back(intent);
        }
    }
}

impl Paper {
    fn write(&self, node: &NodeId, what: What) -> WriteFuture {
        // An actor hears of it some moments after the store has it in memory.
        let (mut waits, clock, later) = {
            let mut state = self.world.lock();
            if state.is_over() {
                return Box::pin(std::future::pending());
            }
            let index = state.index(node);
            match &what {
                What::Intent(_) => state.writes_journal(index),
                What::Boot(boot) => state.writes_boot(index, boot.writes),
            }
            state.pages[index].waiting += 1;
            (Waits(self.world.clone(), index, Some(what.clone())), state.clock(), state.chance_ms(0, 40))
        };
        let write = match what.clone() {
            What::Intent(intent) => self.store.record_intent(node, intent),
            What::Boot(boot) => self.store.record_boot(node, boot),
        };
        self.wake.notify_one();
        let (world, store, node) = (self.world.clone(), self.store.clone(), node.clone());
        Box::pin(async move {
            let result = write.await;
            clock.sleep(later).await;
            let index = waits.1;
            waits.2 = None;
            drop(waits);
            if result.is_ok() {
                let mut state = world.lock();
                let now = state.now();
                let there = match &what {
                    What::Intent(intent) => state.disk.holds(&node, intent),
                    What::Boot(boot) => state.disk.holds(&node, boot),
                };
                if !there {
                    state.broken(
                        index,
                        "durable-first",
                        "the store calls a write durable that is not on the disk".into(),
                    );
                }
                state.pages[index].land(now, what);
            } else {
                let mut state = world.lock();
                state.pages[index].failed = Some(state.now());
                drop(state);
                let shown = store.load(&node);
                let shown = match &what {
                    What::Intent(intent) => shown.intent.as_ref() == Some(intent),
                    What::Boot(boot) => shown.boot.as_ref() == Some(boot),
                };
                if shown {
                    world.lock().broken(index, "durable-first", "a write that failed is shown all the same".into());
                }
            }
            result
        })
    }
}

impl TrustBook for Paper {
    fn trust(&self, node: &NodeId) -> Option<Arc<TrustRecord>> {
        self.store.trust(node)
    }

    fn record_trust(&self, node: &NodeId, trust: Option<Arc<TrustRecord>>) -> WriteFuture {
        let write = self.store.record_trust(node, trust);
        self.wake.notify_one();
        write
    }
}

impl Journal for Paper {
    fn load(&self, node: &NodeId) -> NodeRecord {
        let record = self.store.load(node);
        let mut state = self.world.lock();
        let index = state.index(node);
        if !state.is_over() {
            state.loads(index, &record);
        }
        record
    }

    fn record_intent(&self, node: &NodeId, intent: Intent) -> WriteFuture {
        self.write(node, What::Intent(intent))
    }

    fn clear_intent(&self, node: &NodeId, number: u64) {
        let mut state = self.world.lock();
        if !state.is_over() {
            let index = state.index(node);
            if !state.disk.closing {
                let _ = state.pages[index].memory.intent.take_if(|intent| intent.number == number);
            }
            let newer = |record: NodeRecord| record.intent.filter(|intent| intent.number != number);
            let before = newer(self.store.load(node));
            self.store.clear_intent(node, number);
            self.wake.notify_one();
            if newer(self.store.load(node)) != before {
                state.broken(index, "nothing-lost", format!("the end of command {number} clears {before:?}"));
            }
        }
    }

    fn record_boot(&self, node: &NodeId, boot: BootRecord) -> WriteFuture {
        self.write(node, What::Boot(boot))
    }

    fn note_seen(&self, node: &NodeId, seen: SeenRecord) {
        let mut state = self.world.lock();
        if !state.is_over() {
            let index = state.index(node);
            state.notes(index, &seen);
            if !state.disk.closing {
                state.pages[index].memory.seen = Some(seen.clone());
            }
            self.store.note_seen(node, seen);
            self.wake.notify_one();
        }
    }
}
