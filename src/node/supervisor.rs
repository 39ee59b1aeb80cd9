//! Owns the actors of all nodes: starts, replaces, stops and restarts them.
//!
//! An actor that panics closes its mailbox for good, so its drop guard notifies the supervisor, which restarts it from
//! the journal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::Actor;
use tokio::sync::{mpsc, oneshot};

use super::NodeId;
use super::actor::{NodeActor, NodeContext, NodeMsg};
use super::device::PowerDevice;
use super::entry::NodeEntry;
use super::event::EventKind;
use super::fleet::{Fleet, Table};
use super::fsm::{Fsm, Moment};
use super::reload::{Change, FleetDiff, NodeSetup};
use crate::clock::{Clock, Mono};

/// First polls of a starting fleet are this far apart; closer where the poll interval would not be enough for all.
const FIRST_POLL_GAP: Duration = Duration::from_millis(20);

/// The pause before an actor that fell is restarted; it doubles with each further fall ...
const REVIVE_FIRST: Duration = Duration::from_secs(1);

/// The longest pause before a restart.
const REVIVE_LONGEST: Duration = Duration::from_secs(60);

/// An actor that lived this long is well again: the next fall counts as a first one.
const REVIVE_FORGIVEN: Duration = Duration::from_secs(600);

/// How long a reload waits for the operations under way on nodes that are taken away.
const END_DEADLINE: Duration = Duration::from_secs(5);

/// How long all actors together may take to say that they are alive. They do nothing that takes longer than milliseconds.
const PULSE_DEADLINE: Duration = Duration::from_secs(1);

/// An actor that is silent for longer will not come back: twice the longest pause before one is restarted.
const SILENCE: Duration = Duration::from_secs(120);

/// Makes the device of a node, again after each fall.
pub(crate) type DeviceMaker<D> = Box<dyn Fn(&NodeId, &D) -> Box<dyn PowerDevice> + Send + Sync>;

/// Tells the keeper when the actor that holds it falls.
pub(crate) struct DropGuard {
    node: NodeId,
    generation: u64,
    emit: Option<mpsc::UnboundedSender<Crashed>>,
}

/// An actor crashed.
struct Crashed {
    node: NodeId,
    generation: u64,
}

impl DropGuard {
    /// The actor ends as it should.
    pub(crate) fn disarm(&mut self) {
        self.emit = None;
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(emit) = &self.emit {
            // The keeper is gone only when the whole fleet is.
            let _ = emit.send(Crashed { node: self.node.clone(), generation: self.generation });
        }
    }
}

/// What the keeper knows of one node.
struct Supervised<D> {
    setup: NodeSetup<D>,
    entry: Arc<NodeEntry>,
    generation: u64,
    started: Mono,
    /// When it last said that it is alive.
    heard: Mono,
    falls: u32,
}

/// Owns the actors. Lives on the arbiter on which they run. It knows a device only as a `D` of which one can be made.
pub struct Supervisor<D> {
    context: NodeContext,
    device: DeviceMaker<D>,
    fleet: Fleet,
    nodes: BTreeMap<NodeId, Supervised<D>>,
    /// One message for each fall, and an actor falls once: bounded by the number of nodes.
    falls: (mpsc::UnboundedSender<Crashed>, mpsc::UnboundedReceiver<Crashed>),
    /// What is to be restarted, and when.
    revivals: Vec<(Mono, NodeId)>,
    generations: u64,
    /// The first configuration was applied.
    has_started: bool,
}

impl<D: PartialEq> Supervisor<D> {
    /// A fleet without nodes.
    pub fn new(
        context: NodeContext,
        device: impl Fn(&NodeId, &D) -> Box<dyn PowerDevice> + Send + Sync + 'static,
    ) -> Supervisor<D> {
        let fleet = Fleet::new(context.clock.clone());
        Supervisor {
            context,
            device: Box::new(device),
            fleet,
            nodes: BTreeMap::new(),
            falls: mpsc::unbounded_channel(),
            revivals: Vec::new(),
            generations: 0,
            has_started: false,
        }
    }

    /// The fleet for readers.
    pub fn fleet(&self) -> Fleet {
        self.fleet.clone()
    }

    /// Makes the fleet what `setups` say, and returns what that was. Nodes that did not change are not touched, those with
    /// another device finish the operation under way first, those that are gone end. Must be called on the arbiter of the
    /// actors.
    pub async fn apply(&mut self, setups: Vec<NodeSetup<D>>) -> FleetDiff {
        let diff = FleetDiff::between(self.nodes.values().map(|supervised| &supervised.setup), &setups);
        let mut wanted: BTreeMap<NodeId, NodeSetup<D>> =
            setups.into_iter().map(|setup| (setup.spec.id.clone(), setup)).collect();
        let gone = diff.removed.iter().filter_map(|id| self.nodes.remove(id));
        let ends: Vec<_> = gone.map(|supervised| supervised.entry.end()).collect();
        for (id, change) in &diff.changed {
            if let (Some(supervised), Some(setup)) = (self.nodes.get_mut(id), wanted.remove(id)) {
                let device = (*change == Change::Device).then(|| (self.device)(id, &setup.device));
                // An actor that has just fallen is rebuilt from this setup anyway.
                supervised.entry.deliver(NodeMsg::Reconfigure { spec: Box::new(setup.spec.clone()), device });
                supervised.setup = setup;
            }
        }
        for (index, setup) in diff.added.iter().filter_map(|id| wanted.remove(id)).enumerate() {
            let after = first_poll_after(index, diff.added.len(), setup.spec.timings.poll_interval);
            self.start(setup, self.context.clock.now().mono + after);
        }
        self.publish_table();
        diff.removed.iter().for_each(|node| self.context.metrics.forget(node.as_str()));
        self.tell_changes(&diff);
        await_ends(&self.context.clock, ends, END_DEADLINE).await;
        diff
    }

    /// Tells who came and went with a reload; the nodes of the start were always there.
    fn tell_changes(&mut self, diff: &FleetDiff) {
        if std::mem::replace(&mut self.has_started, true) {
            let now = self.context.clock.now().wall;
            for node in &diff.removed {
                self.context.events.emit(node, now, EventKind::Removed);
            }
            for node in &diff.added {
                self.context.events.emit(node, now, EventKind::Added);
            }
        }
    }

    fn start(&mut self, setup: NodeSetup<D>, first_poll: Mono) {
        self.generations += 1;
        let fsm = self.fsm(&setup, first_poll);
        let id = setup.spec.id.clone();
        let entry = Arc::new(NodeEntry::new(id.clone(), fsm.view()));
        let started = self.context.clock.now().mono;
        let supervised = Supervised { setup, entry, generation: self.generations, started, heard: started, falls: 0 };
        self.launch(&supervised, fsm);
        self.nodes.insert(id, supervised);
    }

    fn fsm(&self, setup: &NodeSetup<D>, first_poll: Mono) -> Fsm {
        let moment = Moment { now: self.context.clock.now(), unit_jitter: self.context.clock.unit_jitter() };
        let record = self.context.journal.load(&setup.spec.id);
        Fsm::new(setup.spec.clone(), record, first_poll, moment)
    }

    fn launch(&self, supervised: &Supervised<D>, fsm: Fsm) {
        let guard = DropGuard {
            node: supervised.entry.id.clone(),
            generation: supervised.generation,
            emit: Some(self.falls.0.clone()),
        };
        let device = (self.device)(&supervised.entry.id, &supervised.setup.device);
        let actor = NodeActor::new(fsm, device, self.context.clone(), supervised.entry.clone(), guard);
        supervised.entry.attach(actor.start());
    }

    fn publish_table(&self) {
        let table: Table = self.nodes.iter().map(|(id, supervised)| (id.clone(), supervised.entry.clone())).collect();
        self.fleet.publish(table);
    }

    /// Revives what falls. Never ends by itself; drop it to do something else, and call it again.
    pub async fn watch(&mut self) {
        loop {
            let due = self.revivals.iter().map(|(at, _)| *at).min();
            let clock = self.context.clock.clone();
            let alarm = async move {
                match due {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(fallen) = self.falls.1.recv() => self.crashed(fallen),
                () = alarm => self.restart_due(),
            }
        }
    }

    /// Asks every actor whether it is alive, and names those that have been silent for too long. A device that does not
    /// answer is none of this: its actor does.
    pub async fn silent(&mut self) -> Vec<NodeId> {
        let clock = self.context.clock.clone();
        let asked = self.nodes.iter().map(|(id, supervised)| {
            let (answer, alive) = oneshot::channel();
            // Where the mailbox is full or closed there is no answer, which is what is to be known.
            supervised.entry.try_send(NodeMsg::Ping { answer });
            let (id, clock) = (id.clone(), &clock);
            async move { clock.limit(PULSE_DEADLINE, alive).await.and_then(Result::ok).map(|()| id) }
        });
        let answers = futures_util::future::join_all(asked.collect::<Vec<_>>()).await;
        let now = clock.now().mono;
        for id in answers.into_iter().flatten() {
            if let Some(supervised) = self.nodes.get_mut(&id) {
                supervised.heard = now;
            }
        }
        let silent =
            self.nodes.iter().filter(|(_, supervised)| now.since(supervised.heard.max(supervised.started)) > SILENCE);
        silent.map(|(id, _)| id.clone()).collect()
    }

    /// An actor fell: it is to be restarted after a pause.
    fn crashed(&mut self, fallen: Crashed) {
        let now = self.context.clock.now().mono;
        let known = self.nodes.get_mut(&fallen.node).filter(|supervised| supervised.generation == fallen.generation);
        let Some(supervised) = known else { return };
        if now.since(supervised.started) > REVIVE_FORGIVEN {
            supervised.falls = 0;
        }
        let pause = (REVIVE_FIRST * 2u32.pow(supervised.falls.min(6))).min(REVIVE_LONGEST);
        supervised.falls += 1;
        let (node, pause_s) = (fallen.node.as_str(), pause.as_secs());
        tracing::error!(event = "node_fell", node, pause_s, "a fault in the actor; it is rebuilt from the journal");
        if supervised.setup.spec.timings.fence_age_max.is_some() {
            supervised.entry.publish(supervised.entry.view().unconfirmed(), now);
        }
        self.revivals.push((now + pause, fallen.node));
    }

    fn restart_due(&mut self) {
        let now = self.context.clock.now();
        let (due, later) = self.revivals.drain(..).partition(|(at, _)| *at <= now.mono);
        self.revivals = later;
        let due: Vec<(Mono, NodeId)> = due;
        for (_, node) in due {
            let Some(mut supervised) = self.nodes.remove(&node) else { continue };
            self.generations += 1;
            supervised.generation = self.generations;
            supervised.started = now.mono;
            let mut fsm = self.fsm(&supervised.setup, now.mono);
            fsm.number_on_from(supervised.entry.view().change);
            self.launch(&supervised, fsm);
            self.context.metrics.node(node.as_str()).restarted();
            supervised.entry.record(self.context.events.emit(&node, now.wall, EventKind::Revived));
            self.nodes.insert(node, supervised);
        }
    }

    /// Takes no new commands, waits for what is under way, at most this long. True when everything ended.
    pub async fn stop(&mut self, limit: Duration) -> bool {
        self.fleet.stop();
        self.revivals.clear();
        let ends: Vec<_> = std::mem::take(&mut self.nodes).values().map(|supervised| supervised.entry.end()).collect();
        await_ends(&self.context.clock, ends, limit).await
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
