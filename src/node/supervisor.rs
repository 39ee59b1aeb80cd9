//! Owns the actors of all nodes: starts, replaces, stops and revives them.
//!
//! An actor that falls to a panic closes its mailbox for good, so its drop guard tells the keeper, which builds it anew
//! from the journal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::Actor;
use tokio::sync::{mpsc, oneshot};

use super::NodeId;
use super::actor::{Ask, NodeActor, Surroundings};
use super::device::PowerDevice;
use super::entry::NodeEntry;
use super::event::Happening;
use super::fleet::{Fleet, Table};
use super::machine::{Machine, Moment};
use super::reload::{Change, FleetDiff, NodeSetup};
use crate::clock::{Clock, Mono};

/// First polls of a starting fleet are this far apart; closer where the poll interval would not be enough for all.
const FIRST_POLL_GAP: Duration = Duration::from_millis(20);

/// The pause before an actor that fell is built anew; it doubles with each further fall ...
const REVIVE_FIRST: Duration = Duration::from_secs(1);

/// ... up to this.
const REVIVE_LONGEST: Duration = Duration::from_secs(60);

/// An actor that lived this long is well again: the next fall counts as a first one.
const REVIVE_FORGIVEN: Duration = Duration::from_secs(600);

/// How long a reload waits for the operations under way on nodes that are taken away.
const END_DEADLINE: Duration = Duration::from_secs(5);

/// How long all actors together may take to say that they are alive. They do nothing that takes longer than milliseconds.
const PULSE_DEADLINE: Duration = Duration::from_secs(1);

/// An actor that is silent for longer will not come back: twice the longest pause before one is built anew.
const SILENCE: Duration = Duration::from_secs(120);

/// Makes the device of a node, again after each fall.
pub type DeviceMaker<D> = Box<dyn Fn(&NodeId, &D) -> Box<dyn PowerDevice> + Send + Sync>;

/// Tells the keeper when the actor that holds it falls.
pub struct DropGuard {
    node: NodeId,
    generation: u64,
    tell: Option<mpsc::UnboundedSender<Fallen>>,
}

/// An actor fell.
struct Fallen {
    node: NodeId,
    generation: u64,
}

impl DropGuard {
    /// The actor ends as it should.
    pub fn disarm(&mut self) {
        self.tell = None;
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(tell) = &self.tell {
            // The keeper is gone only when the whole fleet is.
            let _ = tell.send(Fallen { node: self.node.clone(), generation: self.generation });
        }
    }
}

/// What the keeper knows of one node.
struct Kept<D> {
    setup: NodeSetup<D>,
    entry: Arc<NodeEntry>,
    generation: u64,
    started: Mono,
    /// When it last said that it is alive.
    heard: Mono,
    falls: u32,
}

/// Owns the actors. Lives on the arbiter on which they run. It knows a device only as a `D` of which one can be made.
pub struct Keeper<D> {
    around: Surroundings,
    device: DeviceMaker<D>,
    fleet: Fleet,
    nodes: BTreeMap<NodeId, Kept<D>>,
    /// One message for each fall, and an actor falls once: bounded by the number of nodes.
    falls: (mpsc::UnboundedSender<Fallen>, mpsc::UnboundedReceiver<Fallen>),
    /// What is to be built anew, and when.
    revivals: Vec<(Mono, NodeId)>,
    generations: u64,
    /// The first configuration was applied.
    has_started: bool,
}

impl<D: PartialEq> Keeper<D> {
    /// A fleet without nodes.
    pub fn new(
        around: Surroundings,
        device: impl Fn(&NodeId, &D) -> Box<dyn PowerDevice> + Send + Sync + 'static,
    ) -> Keeper<D> {
        let fleet = Fleet::new(around.clock.clone());
        Keeper {
            around,
            device: Box::new(device),
            fleet,
            nodes: BTreeMap::new(),
            falls: mpsc::unbounded_channel(),
            revivals: Vec::new(),
            generations: 0,
            has_started: false,
        }
    }

    /// The readers' side.
    pub fn fleet(&self) -> Fleet {
        self.fleet.clone()
    }

    /// Makes the fleet what `setups` say, and returns what that was. Nodes that did not change are not touched, those with
    /// another device finish the operation under way first, those that are gone end. Must be called on the arbiter of the
    /// actors.
    pub async fn apply(&mut self, setups: Vec<NodeSetup<D>>) -> FleetDiff {
        let diff = FleetDiff::between(self.nodes.values().map(|kept| &kept.setup), &setups);
        let mut wanted: BTreeMap<NodeId, NodeSetup<D>> =
            setups.into_iter().map(|setup| (setup.spec.id.clone(), setup)).collect();
        let gone = diff.removed.iter().filter_map(|id| self.nodes.remove(id));
        let ends: Vec<_> = gone.map(|kept| kept.entry.end()).collect();
        for (id, change) in &diff.changed {
            if let (Some(kept), Some(setup)) = (self.nodes.get_mut(id), wanted.remove(id)) {
                let device = (*change == Change::Device).then(|| (self.device)(id, &setup.device));
                // An actor that has just fallen is rebuilt from this setup anyway.
                kept.entry.deliver(Ask::Reconfigure { spec: Box::new(setup.spec.clone()), device });
                kept.setup = setup;
            }
        }
        for (index, setup) in diff.added.iter().filter_map(|id| wanted.remove(id)).enumerate() {
            let after = first_poll_after(index, diff.added.len(), setup.spec.rules.poll_interval);
            self.start(setup, self.around.clock.now().mono + after);
        }
        self.publish_table();
        diff.removed.iter().for_each(|node| self.around.metrics.forget(node.as_str()));
        self.tell_changes(&diff);
        await_ends(&self.around.clock, ends, END_DEADLINE).await;
        diff
    }

    /// Tells who came and went with a reload; the nodes of the start were always there.
    fn tell_changes(&mut self, diff: &FleetDiff) {
        if std::mem::replace(&mut self.has_started, true) {
            let now = self.around.clock.now().wall;
            for node in &diff.removed {
                self.around.events.tell(node, now, Happening::Removed);
            }
            for node in &diff.added {
                self.around.events.tell(node, now, Happening::Added);
            }
        }
    }

    fn start(&mut self, setup: NodeSetup<D>, first_poll: Mono) {
        self.generations += 1;
        let machine = self.machine(&setup, first_poll);
        let id = setup.spec.id.clone();
        let entry = Arc::new(NodeEntry::new(id.clone(), machine.view()));
        let started = self.around.clock.now().mono;
        let kept = Kept { setup, entry, generation: self.generations, started, heard: started, falls: 0 };
        self.launch(&kept, machine);
        self.nodes.insert(id, kept);
    }

    fn machine(&self, setup: &NodeSetup<D>, first_poll: Mono) -> Machine {
        let moment = Moment { now: self.around.clock.now(), swing: self.around.clock.swing() };
        let record = self.around.journal.load(&setup.spec.id);
        Machine::new(setup.spec.clone(), record, first_poll, moment)
    }

    fn launch(&self, kept: &Kept<D>, machine: Machine) {
        let guard =
            DropGuard { node: kept.entry.id.clone(), generation: kept.generation, tell: Some(self.falls.0.clone()) };
        let device = (self.device)(&kept.entry.id, &kept.setup.device);
        let actor = NodeActor::new(machine, device, self.around.clone(), kept.entry.clone(), guard);
        kept.entry.attach(actor.start());
    }

    fn publish_table(&self) {
        let table: Table = self.nodes.iter().map(|(id, kept)| (id.clone(), kept.entry.clone())).collect();
        self.fleet.publish(table);
    }

    /// Revives what falls. Never ends by itself; drop it to do something else, and call it again.
    pub async fn watch(&mut self) {
        loop {
            let due = self.revivals.iter().map(|(at, _)| *at).min();
            let clock = self.around.clock.clone();
            let alarm = async move {
                match due {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(fallen) = self.falls.1.recv() => self.fell(fallen),
                () = alarm => self.revive_due(),
            }
        }
    }

    /// Asks every actor whether it is alive, and names those that have been silent for too long. A device that does not
    /// answer is none of this: its actor does.
    pub async fn silent(&mut self) -> Vec<NodeId> {
        let clock = self.around.clock.clone();
        let asked = self.nodes.iter().map(|(id, kept)| {
            let (answer, alive) = oneshot::channel();
            // Where the mailbox is full or closed there is no answer, which is what is to be known.
            kept.entry.try_send(Ask::Pulse { answer });
            let (id, clock) = (id.clone(), &clock);
            async move { clock.limit(PULSE_DEADLINE, alive).await.and_then(Result::ok).map(|()| id) }
        });
        let answers = futures_util::future::join_all(asked.collect::<Vec<_>>()).await;
        let now = clock.now().mono;
        for id in answers.into_iter().flatten() {
            if let Some(kept) = self.nodes.get_mut(&id) {
                kept.heard = now;
            }
        }
        let silent = self.nodes.iter().filter(|(_, kept)| now.since(kept.heard.max(kept.started)) > SILENCE);
        silent.map(|(id, _)| id.clone()).collect()
    }

    /// An actor fell: it is to be built anew after a pause.
    fn fell(&mut self, fallen: Fallen) {
        let now = self.around.clock.now().mono;
        let known = self.nodes.get_mut(&fallen.node).filter(|kept| kept.generation == fallen.generation);
        let Some(kept) = known else { return };
        if now.since(kept.started) > REVIVE_FORGIVEN {
            kept.falls = 0;
        }
        let pause = (REVIVE_FIRST * 2u32.pow(kept.falls.min(6))).min(REVIVE_LONGEST);
        kept.falls += 1;
        let (node, pause_s) = (fallen.node.as_str(), pause.as_secs());
        tracing::error!(event = "node_fell", node, pause_s, "a fault in the actor; it is rebuilt from the journal");
        if kept.setup.spec.rules.fence_age_max.is_some() {
            kept.entry.publish(kept.entry.view().unconfirmed(), now);
        }
        self.revivals.push((now + pause, fallen.node));
    }

    fn revive_due(&mut self) {
        let now = self.around.clock.now();
        let (due, later) = self.revivals.drain(..).partition(|(at, _)| *at <= now.mono);
        self.revivals = later;
        let due: Vec<(Mono, NodeId)> = due;
        for (_, node) in due {
            let Some(mut kept) = self.nodes.remove(&node) else { continue };
            self.generations += 1;
            kept.generation = self.generations;
            kept.started = now.mono;
            let mut machine = self.machine(&kept.setup, now.mono);
            machine.number_on_from(kept.entry.view().change);
            self.launch(&kept, machine);
            self.around.metrics.node(node.as_str()).restarted();
            kept.entry.note(self.around.events.tell(&node, now.wall, Happening::Revived));
            self.nodes.insert(node, kept);
        }
    }

    /// Takes no new commands, waits for what is under way, at most this long. True when everything ended.
    pub async fn stop(&mut self, limit: Duration) -> bool {
        self.fleet.stop();
        self.revivals.clear();
        let ends: Vec<_> = std::mem::take(&mut self.nodes).values().map(|kept| kept.entry.end()).collect();
        await_ends(&self.around.clock, ends, limit).await
    }
}

async fn await_ends(clock: &Clock, ends: Vec<oneshot::Receiver<()>>, limit: Duration) -> bool {
    let all = async {
        for ended in ends {
            // An error means that the actor is gone, which is as good.
            let _ = ended.await;
        }
    };
    clock.limit(limit, all).await.is_some()
}

/// Where in the first round of polls a node stands.
fn first_poll_after(index: usize, count: usize, interval: Duration) -> Duration {
    let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    (interval / count).min(FIRST_POLL_GAP).saturating_mul(index)
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
