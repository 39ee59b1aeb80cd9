//! The journal on a simulated disk: slow, failing for a while, and forgetful of what was not durable when the process dies.
//!
//! As the store does it: what somebody waits for shows in memory when it is durable, in the order in which it was asked for;
//! the rest shows at once and reaches the disk some seconds later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use plugfish::node::NodeId;
use plugfish::node::journal::{BootRecord, Intent, Journal, JournalError, JournalFuture, NodeRecord, SeenRecord};

use super::world::World;

/// What is kept of one node.
#[derive(Default)]
pub struct Page {
    /// What `load` returns.
    pub memory: NodeRecord,
    disk: NodeRecord,
    /// When the command and the boot override, and what was seen, reach the disk.
    lazy: [Option<Duration>; 2],
    writes: VecDeque<Write>,
    /// Of whom an intent became durable lately, and which.
    pub landed: VecDeque<(Duration, Intent)>,
    /// The change numbers of the boot override in memory: the last one from before this moment, and when it landed.
    pub boot_landed: (Duration, u64),
}

/// A durable write under way.
struct Write {
    lands: Duration,
    what: What,
    fails: bool,
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
        self.writes.len()
    }

    /// Lives up to this moment.
    pub fn advance(&mut self, now: Duration) {
        while let Some(write) = self.writes.pop_front_if(|write| write.lands <= now) {
            if !write.fails {
                self.land(write.lands, write.what);
            }
        }
        if self.lazy[0].take_if(|due| *due <= now).is_some() {
            (self.disk.intent, self.disk.boot) = (self.memory.intent.clone(), self.memory.boot.clone());
        }
        if self.lazy[1].take_if(|due| *due <= now).is_some() {
            self.disk.seen = self.memory.seen.clone();
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
                self.boot_landed = (at, self.memory.boot.as_ref().map_or(0, |boot| boot.writes));
                self.memory.boot = Some(boot);
            }
        }
        (self.disk.intent, self.disk.boot) = (self.memory.intent.clone(), self.memory.boot.clone());
        self.lazy[0] = None;
    }

    /// The process dies: so many of the writes under way reach the disk all the same, the rest never does.
    pub fn crash(&mut self, now: Duration, reach: usize) {
        self.advance(now);
        for write in std::mem::take(&mut self.writes).into_iter().take(reach).filter(|write| !write.fails) {
            self.land(now, write.what);
        }
        self.lazy = [None, None];
        self.memory = self.disk.clone();
    }

    /// The process ends as it should: everything reaches the disk.
    pub fn close(&mut self, now: Duration) {
        self.advance(now);
        self.disk = self.memory.clone();
        self.crash(now, usize::MAX);
    }
}

/// The journal of a whole fleet.
pub struct Paper(pub Arc<World>);

impl Paper {
    fn write(&self, node: &NodeId, what: What) -> JournalFuture {
        let (lands, fails) = {
            let mut state = self.0.lock();
            if state.is_over() {
                return Box::pin(std::future::pending());
            }
            let (now, node) = (state.now(), state.index(node));
            match &what {
                What::Intent(_) => state.writes_journal(node),
                What::Boot(boot) => state.writes_boot(node, boot.writes),
            }
            let (takes, fails) = state.disk_takes();
            let page = &mut state.pages[node];
            page.advance(now);
            let lands = page.writes.back().map_or(now + takes, |last| (now + takes).max(last.lands));
            page.writes.push_back(Write { lands, what, fails });
            (lands, fails)
        };
        let (world, node) = (self.0.clone(), node.clone());
        Box::pin(async move {
            let (clock, lands) = {
                let state = world.lock();
                (state.clock(), state.mono_at(lands))
            };
            clock.sleep_until(lands).await;
            let mut state = world.lock();
            let (now, node) = (state.now(), state.index(&node));
            state.pages[node].advance(now);
            if fails {
                return Err(JournalError { path: "state".into(), why: "no space left on device".into() });
            }
            Ok(())
        })
    }
}

impl Journal for Paper {
    fn load(&self, node: &NodeId) -> NodeRecord {
        let mut state = self.0.lock();
        let (now, node) = (state.now(), state.index(node));
        state.pages[node].advance(now);
        let record = state.pages[node].memory.clone();
        if !state.is_over() {
            state.loads(node, &record);
        }
        record
    }

    fn record_intent(&self, node: &NodeId, intent: Intent) -> JournalFuture {
        self.write(node, What::Intent(intent))
    }

    fn clear_intent(&self, node: &NodeId, number: u64) {
        let mut state = self.0.lock();
        if state.is_over() {
            return;
        }
        let (now, node, later) = (state.now(), state.index(node), state.chance_ms(0, 2_000));
        let page = &mut state.pages[node];
        page.advance(now);
        if page.memory.intent.take_if(|intent| intent.number == number).is_some() {
            page.lazy[0].get_or_insert(now + later);
        }
    }

    fn record_boot(&self, node: &NodeId, boot: BootRecord) -> JournalFuture {
        self.write(node, What::Boot(boot))
    }

    fn note_seen(&self, node: &NodeId, seen: SeenRecord) {
        let mut state = self.0.lock();
        if state.is_over() {
            return;
        }
        let (now, node, later) = (state.now(), state.index(node), state.chance_ms(0, 20_000));
        state.notes(node, &seen);
        let page = &mut state.pages[node];
        page.advance(now);
        page.memory.seen = Some(seen);
        page.lazy[1].get_or_insert(now + later);
    }
}
