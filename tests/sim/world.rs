//! The world of one run: its time, its randomness, its devices and disk, and the state that the laws keep of each node.
//!
//! It outlives the processes of the run. One lock; everything runs on one thread.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plugfish::testing::clock::{Clock, Mono, Wall};
use plugfish::testing::node::device::FailureClass;
use plugfish::testing::node::event::Event;
use plugfish::testing::node::fleet::Fleet;
use plugfish::testing::node::journal::SeenRecord;
use plugfish::testing::node::rate_limit::RequestGate;
use plugfish::testing::node::view::NodeView;
use plugfish::testing::node::{NodeId, Power, PowerAction, ResetType};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::broadcast;

use super::hardware::{Fate, Hardware, Make, Wire};
use super::journal::{Disk, Page};
use super::report::{Trace, What};

/// How large a run is, and how much happens in it.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Nodes.
    pub nodes: usize,
    /// Virtual time with faults; the calm at the end comes on top.
    pub length: Duration,
    /// Between two happenings at one node, on average.
    pub every: Duration,
    /// Between two ends of the process, on average.
    pub life: Duration,
    /// How often the laws about all nodes are checked.
    pub sweep: Duration,
    /// At the end, wait for logins that were refused: half an hour more.
    pub patient: bool,
    /// The test that runs it, to repeat it.
    pub test: &'static str,
}

/// See the top of the file.
pub struct World(Mutex<State>);

impl World {
    /// A world with this seed.
    pub fn new(seed: u64, shape: Shape) -> Arc<World> {
        Arc::new(World(Mutex::new(State::new(seed, shape))))
    }

    /// Everything, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reading that reached the actor.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    pub at: Duration,
    pub mono: Mono,
    pub wall: Wall,
    pub started: Duration,
    pub wiring: u64,
    pub power: Power,
    /// What the reading before it said.
    pub before: Option<Power>,
}

/// A command that was accepted and has not ended.
#[derive(Clone, Debug)]
pub struct Current {
    pub by: String,
    pub reset: ResetType,
    pub number: u64,
    /// When this process took it up.
    pub since: Duration,
    /// When it was accepted.
    pub accepted: Duration,
    /// It comes from another process, or from an actor that fell.
    pub restored: bool,
    pub overdue: bool,
    /// An order or its end came.
    pub answered: bool,
    /// Orders that were sent for it.
    pub given: Vec<PowerAction>,
    /// Those that the device took, and interrupts that it may have taken.
    pub taken: Vec<PowerAction>,
    /// The power was cut for it, or for one in whose place it is.
    pub owed: bool,
    /// What it does first.
    pub first: Option<ResetType>,
    /// The system was asked to shut down already, for the one in whose place it is.
    pub asked: bool,
}

/// What the laws remember of a node.
pub struct Node {
    pub id: NodeId,
    pub device: usize,
    pub wiring: u64,
    pub present: bool,
    pub epoch: u32,
    pub reading: Option<Reading>,
    pub loaded: Option<(Duration, Option<SeenRecord>)>,
    pub current: Option<Current>,
    /// An end may come for a command that has ended already: it came back after a crash.
    pub ghost: bool,
    /// The state in which the last acknowledged command left the node, unless someone outside changed it since.
    pub expect: Option<Power>,
    /// Reloads, falls, renewals and starts: whatever is not ordinary.
    pub disturbed: Duration,
    /// When the override was last changed.
    pub boot_changed: Option<Duration>,
    /// Causes for another login: commands, renewals, rewirings, starts.
    pub causes: VecDeque<(Duration, bool)>,
    pub refused: VecDeque<Duration>,
    pub operations: usize,
    /// Since when all its tries failed, how many there were, and how many there may have been.
    pub dead: Option<Dead>,
    /// When it last answered again.
    pub found: Duration,
    /// When its actor fell, until it is restarted.
    pub fell: Option<Duration>,
    /// A reading of a device that was replaced meanwhile.
    pub outdated: Option<Reading>,
    /// It was taken out of the configuration or given another device then.
    pub moved: Duration,
    /// Someone renewed its session then: it is to be dropped, and the device to be tried.
    pub renewed: (Option<Duration>, Option<Duration>),
    /// When its last poll ended, and how soon the next one may begin.
    pub polled: Option<(Duration, Duration)>,
    /// An override for one boot went out with an order, and the node was not seen on after it.
    pub boots: bool,
    /// Events that its entry remembers, and the number of the last one.
    pub told: (usize, u64),
    /// When a look into a corner last failed.
    pub scan_due: Option<(Duration, u64)>,
    /// The wiring of its last operation.
    pub asked: u64,
    /// When an override for one boot was last used up.
    pub used_up: Option<Duration>,
    /// What was acknowledged, and when it was asked for, before a newer command took its place that is to do it as well.
    pub promised: Option<(ResetType, Duration)>,
    /// The system was asked to shut down for the command that was just superseded.
    pub asked_politely: bool,
    /// The command that was just superseded had cut the power.
    pub handed: bool,
    /// For whose command the last order was sent.
    pub ordered: Option<String>,
    /// What its inventory says, as a number.
    pub wording: u64,
    pub last_order: Option<Duration>,
    pub last_try: Duration,
    /// The last picture that was checked: of which epoch, and its number.
    pub change: u64,
    pub writes: u64,
    pub consumed: u64,
    pub boot_saves: u64,
    pub patches: u64,
    /// Which change number an `If-Match` that was granted had.
    pub granted: VecDeque<u64>,
    /// For each change number of an override for one boot that was used: by how many boots, and how many were doubtful.
    pub used: BTreeMap<u64, (usize, usize)>,
    pub asking: usize,
    pub trace: Trace,
}

/// A device that is dead, and what it may cost.
#[derive(Clone, Copy, Debug)]
pub struct Dead {
    pub since: Duration,
    /// When it last failed.
    pub last: Duration,
    pub swept: Duration,
    pub tries: usize,
    pub allowed: f64,
}

/// The traffic at one device.
#[derive(Default)]
pub struct Traffic {
    pub in_flight: usize,
    pub last_end: Option<(u32, Duration)>,
    pub starts: VecDeque<(u32, Duration)>,
    pub gate: Option<(u32, Arc<RequestGate>)>,
}

/// Everything.
pub struct State {
    pub seed: u64,
    pub shape: Shape,
    pub rng: SmallRng,
    base: Duration,
    pub wall: Wall,
    clock: Option<Clock>,
    /// The process is being taken down: time stands still.
    frozen: Option<Duration>,
    /// Which process it is.
    pub life: u32,
    pub fleet: Option<Fleet>,
    pub events: Option<broadcast::Receiver<Event>>,
    pub nodes: Vec<Node>,
    pub devices: Vec<Hardware>,
    pub traffic: Vec<Traffic>,
    pub pages: Vec<Page>,
    pub disk: Disk,
    /// The disk is slow, or fails, until then.
    pub disk_slow: Duration,
    pub disk_full: Duration,
    /// Not each write fails then.
    pub disk_flaky: bool,
    /// It does not answer until then.
    pub disk_stuck: Duration,
    /// When the wall clock last jumped.
    pub jumped: Duration,
    /// The process is being stopped as it should be.
    pub stopping: bool,
    pub reload: bool,
    /// What the next reload changes in any case: another device for a node, or other words about it.
    pub edits: Vec<(usize, bool)>,
    pub violation: Option<String>,
    /// What happened, as one number: two runs of one seed have the same.
    pub digest: u64,
    pub counts: BTreeMap<&'static str, u64>,
}

impl State {
    fn new(seed: u64, shape: Shape) -> State {
        let mut rng = SmallRng::seed_from_u64(seed);
        // Some devices are spare, for nodes that are rewired.
        let devices = (0..shape.nodes + shape.nodes / 5 + 2)
            .map(|index| {
                let make = if index % 3 == 2 { Make::Engine } else { Make::Plug };
                Hardware::new(make, rng.random::<u64>())
            })
            .collect::<Vec<_>>();
        State {
            seed,
            shape,
            rng,
            base: Duration::ZERO,
            wall: Wall(1_795_000_000_000),
            clock: None,
            frozen: None,
            life: 0,
            fleet: None,
            events: None,
            nodes: (0..shape.nodes).map(Node::new).collect(),
            traffic: devices.iter().map(|_| Traffic::default()).collect(),
            devices,
            disk: Disk::default(),
            pages: (0..shape.nodes).map(|_| Page::default()).collect(),
            disk_slow: Duration::ZERO,
            disk_full: Duration::ZERO,
            disk_flaky: false,
            disk_stuck: Duration::ZERO,
            jumped: Duration::ZERO,
            stopping: false,
            reload: false,
            edits: Vec::new(),
            violation: None,
            digest: 0,
            counts: BTreeMap::new(),
        }
    }

    /// A process starts.
    pub fn begin(&mut self, clock: Clock) {
        self.life += 1;
        self.stopping = false;
        (self.clock, self.frozen) = (Some(clock), None);
    }

    /// The process dies: what is dropped from here on is dropped at this moment.
    pub fn freeze(&mut self) {
        self.wall = self.clock().now().wall;
        (self.frozen, self.events) = (Some(self.now()), None);
    }

    /// Actors that are dropped are run once more by actix: what they do then never happened.
    pub fn is_over(&self) -> bool {
        self.frozen.is_some()
    }

    /// The process is gone; the next one starts `gap` later.
    pub fn end(&mut self, gap: Duration) {
        (self.base, self.wall) = (self.now() + gap, self.wall + gap);
        self.frozen = Some(self.base);
        (self.clock, self.fleet, self.events) = (None, None, None);
    }

    /// The clock of this process.
    pub fn clock(&self) -> Clock {
        self.clock.clone().unwrap_or_else(|| panic!("between two processes"))
    }

    /// The time since the run began.
    pub fn now(&self) -> Duration {
        let alive = || self.base + self.clock.as_ref().map_or(Duration::ZERO, |clock| clock.now().mono.since_start());
        self.frozen.unwrap_or_else(alive)
    }

    /// The number of a node.
    pub fn index(&self, id: &NodeId) -> usize {
        id.as_str().trim_start_matches('n').parse().unwrap_or(usize::MAX)
    }

    /// A time by chance.
    pub fn chance_ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(from..=to))
    }

    /// How long a write takes, and whether it fails.
    pub fn disk_takes(&mut self) -> (Duration, bool) {
        let now = self.now();
        let slow = if now < self.disk_slow { 3_000 } else { 10 };
        (
            self.disk_stuck.saturating_sub(now) + self.chance_ms(1, slow),
            now < self.disk_full && (!self.disk_flaky || self.rng.random_bool(0.4)),
        )
    }

    /// The current picture of a node.
    pub fn view(&self, node: usize) -> Option<Arc<NodeView>> {
        let entry = self.fleet.as_ref()?.find(self.nodes[node].id.as_str())?;
        Some(entry.view().clone())
    }

    /// Writes into the diary of a node.
    pub fn trace(&mut self, node: usize, what: What) {
        if self.is_over() {
            return;
        }
        let now = self.now();
        *self.counts.entry(what.kind()).or_default() += 1;
        self.digest = (self.digest ^ now.as_nanos() as u64 ^ ((node as u64) << 40) ^ what.code())
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(5);
        self.nodes[node].trace.add(now, self.life, what);
    }

    /// A law is broken: the first one is kept.
    pub fn broken(&mut self, node: usize, law: &str, words: String) {
        if self.violation.is_none() && !self.is_over() {
            self.violation = Some(super::report::failure(self, node, law, &words));
        }
    }

    /// The gate before a device, one in each process, as the drivers have it.
    pub fn gate(&mut self, device: usize, make: impl FnOnce() -> Arc<RequestGate>) -> Arc<RequestGate> {
        let life = self.life;
        let traffic = &mut self.traffic[State::strip_of(device)];
        match &traffic.gate {
            Some((of, gate)) if *of == life => gate.clone(),
            _ => traffic.gate.insert((life, make())).1.clone(),
        }
    }

    /// Before which gate a device is: the outlets of a strip share one.
    pub fn strip_of(device: usize) -> usize {
        if device % 3 == 1 && device % 12 < 3 { device - 1 } else { device }
    }

    /// A request goes out.
    pub fn request_begins(&mut self, node: usize, device: usize, wire: &Wire) -> Fate {
        let now = self.now();
        if self.is_over() {
            return Fate { after: Duration::ZERO, error: Some(FailureClass::Unreachable) };
        }
        self.check_pace(node, device);
        let life = self.life;
        let traffic = &mut self.traffic[State::strip_of(device)];
        traffic.in_flight += 1;
        traffic.starts.push_back((life, now));
        if traffic.starts.len() > 128 {
            traffic.starts.pop_front();
        }
        let fate = self.devices[device].meet(now, wire);
        self.trace(node, What::Request(wire.clone(), fate.error));
        fate
    }

    /// It ended, or was dropped.
    pub fn request_ends(&mut self, device: usize) {
        let (life, now) = (self.life, self.now());
        let traffic = &mut self.traffic[State::strip_of(device)];
        traffic.in_flight = traffic.in_flight.saturating_sub(1);
        traffic.last_end = Some((life, now));
    }
}

impl Node {
    fn new(index: usize) -> Node {
        Node {
            id: format!("n{index}").parse().unwrap_or_else(|_| panic!("a node id")),
            device: index,
            wiring: 1,
            present: true,
            epoch: 0,
            reading: None,
            loaded: None,
            current: None,
            ghost: false,
            expect: None,
            disturbed: Duration::ZERO,
            boot_changed: None,
            causes: VecDeque::new(),
            refused: VecDeque::new(),
            operations: 0,
            dead: None,
            found: Duration::ZERO,
            fell: None,
            outdated: None,
            moved: Duration::ZERO,
            renewed: (None, None),
            polled: None,
            boots: false,
            told: (0, 0),
            scan_due: None,
            asked: 0,
            used_up: None,
            promised: None,
            asked_politely: false,
            handed: false,
            ordered: None,
            wording: 0,
            last_order: None,
            last_try: Duration::ZERO,
            change: 0,
            writes: 0,
            consumed: 0,
            boot_saves: 0,
            patches: 0,
            granted: VecDeque::new(),
            used: BTreeMap::new(),
            asking: 0,
            trace: Trace::default(),
        }
    }
}
