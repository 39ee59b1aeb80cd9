//! One run: processes that start and end over one world, and the fault-free period at its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use plugfish::testing::clock::Clock;
use plugfish::testing::driver::{amt, tapo};
use plugfish::testing::node::actor::NodeContext;
use plugfish::testing::node::device::{DeviceKind, PowerDevice};
use plugfish::testing::node::event::EventBus;
use plugfish::testing::node::rate_limit::RequestGate;
use plugfish::testing::node::reload::NodeSetup;
use plugfish::testing::node::supervisor::Supervisor;
use plugfish::testing::node::{BootTarget, Inventory, NodeId, NodeSpec, PowerPolicy, Timings};
use plugfish::testing::telemetry::Metrics;
use rand::RngExt;

use super::answers::FENCED;
use super::device::SimDevice;
use super::hardware::Make;
use super::journal::{self, Paper};
use super::laws::FOUND;
use super::report::What;
use super::story;
use super::world::{Shape, State, World};

/// From the last fault until everything is true: the longest pause after a failure, two polls, and the longest deadline with
/// what comes after it.
const CALM: Duration = Duration::from_secs(72 + 33 + 150 + 30);

/// A refused login is left alone for half an hour.
const HELD: Duration = Duration::from_secs(31 * 60);

/// What a run came to.
pub struct Outcome {
    /// The first broken law, in words.
    pub broken: Option<String>,
    /// One number for all that happened.
    pub digest: u64,
    /// How often what happened.
    pub counts: Vec<(&'static str, u64)>,
    /// Nodes times virtual hours.
    pub node_hours: f64,
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Crash,
    Stop,
    Calm,
}

/// Lives through one seed.
pub fn run(seed: u64, shape: Shape) -> Outcome {
    let world = World::new(seed, shape);
    loop {
        let (end, until) = {
            let mut state = world.lock();
            let draw: f64 = state.rng.random_range(0.0..1.0);
            let until = state.now() + Duration::from_secs(1) + shape.life.mul_f64(-(1.0 - draw).ln());
            match until >= shape.length {
                true => (End::Calm, shape.length),
                false => (if state.rng.random_range(0..4) == 0 { End::Stop } else { End::Crash }, until),
            }
        };
        live(&world, end, until);
        if end == End::Calm || world.lock().violation.is_some() {
            break;
        }
    }
    let mut state = world.lock();
    let node_hours = shape.nodes as f64 * state.now().as_secs_f64() / 3600.0;
    Outcome {
        broken: state.violation.take(),
        digest: state.digest,
        counts: state.counts.iter().map(|(name, count)| (*name, *count)).collect(),
        node_hours,
    }
}

/// One process, from its start to its end.
fn live(world: &Arc<World>, end: End, until: Duration) {
    let system = actix::System::with_tokio_rt(|| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap_or_else(|error| panic!("no runtime: {error}"))
    });
    system.block_on(process(world.clone(), end, until));
    drop(system);
    let mut state = world.lock();
    let (gap, reach) = (state.chance_ms(1_000, 40_000), state.rng.random_range(0..4));
    state.disk.crash(reach);
    state.disk.closed &= end != End::Crash;
    for node in 0..state.nodes.len() {
        state.nodes[node].asking = 0;
    }
    state.end(gap);
}

async fn process(world: Arc<World>, end: End, until: Duration) {
    let events = EventBus::new();
    let (store, waker, writing);
    let mut keeper = {
        let mut state = world.lock();
        let clock = Clock::simulated(state.rng.random(), state.wall);
        state.begin(clock.clone());
        state.events = Some(events.listen());
        for node in 0..state.nodes.len() {
            state.nodes[node].change = 0;
            state.nodes[node].told = (0, 0);
            state.nodes[node].fell = None;
            if state.shape.nodes <= 100 {
                state.trace(node, What::Start);
            }
        }
        let (test_store, wake) = journal::open(&mut state, &clock);
        store = test_store.store();
        waker = wake.clone();
        let journal = Arc::new(Paper { world: world.clone(), store: store.clone(), wake: wake.clone() });
        writing = actix::spawn(journal::write(world.clone(), test_store, wake));
        let (of, ticks) = (world.clone(), clock.clone());
        let device = move |_: &NodeId, wire: &Wire| -> Box<dyn PowerDevice> {
            let Wire { node, device, epoch, wiring, ref gate } = *wire;
            let (world, gate, clock) = (of.clone(), gate.clone(), ticks.clone());
            Box::new(SimDevice { world, node, device, epoch, wiring, gate, clock, session: false })
        };
        let around = NodeContext { clock, journal, events: events.clone(), metrics: Metrics::new() };
        let keeper = Supervisor::new(around, device);
        state.fleet = Some(keeper.fleet());
        keeper
    };
    // Events are heard at the moment at which they are told.
    let (mut heard, hears) = (events.listen(), world.clone());
    actix::spawn(async move {
        while heard.recv().await.is_ok() {
            hears.lock().drain();
        }
    });
    reload(&world, &mut keeper, false).await;
    let telling = actix::spawn(story::tell(world.clone()));
    watch(&world, &mut keeper, until).await;
    match end {
        End::Crash => {}
        End::Stop => {
            telling.abort();
            world.lock().stopping = true;
            keeper.stop(Duration::from_secs(10)).await;
            store.close();
            waker.notify_one();
            let _ = writing.await;
        }
        End::Calm => {
            telling.abort();
            calm(&world, &mut keeper).await;
        }
    }
    let mut state = world.lock();
    state.drain();
    let words = if end == End::Crash { "a crash" } else { "a stop" };
    for node in 0..state.nodes.len().min(100) {
        state.trace(node, What::End(words));
    }
    state.freeze();
}

/// Lets time pass until then; checks the laws, and reloads when the story wants it.
async fn watch(world: &Arc<World>, keeper: &mut Supervisor<Wire>, until: Duration) {
    let clock = world.lock().clock();
    let step = world.lock().shape.sweep;
    loop {
        let (left, reloads) = {
            let mut state = world.lock();
            if state.violation.is_some() {
                return;
            }
            (until.saturating_sub(state.now()), std::mem::take(&mut state.reload))
        };
        if left.is_zero() {
            return;
        }
        if reloads {
            reload(world, keeper, true).await;
        }
        let _ = clock.limit(left.min(step), keeper.watch()).await;
        world.lock().sweep();
    }
}

/// No more faults: after a while everything is true.
async fn calm(world: &Arc<World>, keeper: &mut Supervisor<Wire>) {
    {
        let mut state = world.lock();
        let now = state.now();
        for node in 0..state.nodes.len() {
            put_back(&mut state, node);
            state.nodes[node].disturbed = now;
        }
        for device in 0..state.devices.len() {
            state.devices[device].heal(now);
        }
        (state.disk_slow, state.disk_full, state.disk_stuck) = (now, now, now);
    }
    reload(world, keeper, false).await;
    let now = world.lock().now();
    watch(world, keeper, now + CALM).await;
    let held = {
        let state = world.lock();
        (0..state.nodes.len()).any(|node| state.view(node).is_some_and(|view| view.connectivity.held_until.is_some()))
    };
    if held && world.lock().shape.patient {
        watch(world, keeper, now + HELD + FOUND + CALM).await;
    }
    world.lock().at_the_end();
}

/// The configuration is read: as it is, or with some changes.
async fn reload(world: &Arc<World>, keeper: &mut Supervisor<Wire>, changes: bool) {
    let setups = {
        let mut state = world.lock();
        if changes {
            change(&mut state);
        }
        let clock = state.clock();
        let present: Vec<usize> = (0..state.nodes.len()).filter(|node| state.nodes[*node].present).collect();
        present.into_iter().map(|node| setup(&mut state, node, &clock)).collect()
    };
    keeper.apply(setups).await;
}

/// Takes some nodes out, puts some back, gives some another device.
fn change(state: &mut State) {
    let now = state.now();
    let mut touched = BTreeSet::new();
    for (node, rewires) in std::mem::take(&mut state.edits) {
        if state.nodes[node].present && touched.insert(node) {
            match rewires {
                true => rewire(state, node, now),
                false => reword(state, node),
            }
        }
    }
    for _ in 0..1 + state.nodes.len() / 20 {
        let node = state.rng.random_range(0..state.nodes.len());
        if !touched.insert(node) {
            continue;
        }
        if !state.nodes[node].present {
            put_back(state, node);
        } else if state.rng.random_bool(0.4) {
            state.trace(node, What::Note("it is taken out of the configuration"));
            state.nodes[node].present = false;
            (state.nodes[node].disturbed, state.nodes[node].moved) = (now, now);
        } else if state.rng.random_bool(0.3) {
            reword(state, node);
        } else {
            rewire(state, node, now);
        }
    }
}

fn put_back(state: &mut State, node: usize) {
    let now = state.now();
    if !state.nodes[node].present {
        state.trace(node, What::Note("it is put back into the configuration"));
        let known = &mut state.nodes[node];
        (known.present, known.ghost, known.disturbed) = (true, true, now);
        (known.epoch, known.change, known.told, known.moved) = (known.epoch + 1, 0, (0, 0), now);
    }
}

fn reword(state: &mut State, node: usize) {
    state.trace(node, What::Note("it is described in other words"));
    state.nodes[node].wording += 1;
}

fn rewire(state: &mut State, node: usize, now: Duration) {
    let taken: BTreeSet<usize> = state.nodes.iter().map(|known| known.device).collect();
    let make = state.devices[state.nodes[node].device].make;
    let spare = (0..state.devices.len()).find(|device| !taken.contains(device) && state.devices[*device].make == make);
    let Some(spare) = spare else { return };
    state.trace(node, What::Note("it is given another device"));
    // What another node did to it before is over.
    state.devices[spare].catch_up(now);
    let known = &mut state.nodes[node];
    (known.device, known.expect, known.disturbed, known.promised) = (spare, None, now, None);
    (known.moved, known.polled, known.dead) = (now, None, None);
    known.wiring += 1;
    known.used.values_mut().for_each(|(_, doubts)| *doubts += 1);
    known.causes.push_back((now, false));
}

/// A device as the configuration of a node says it.
struct Wire {
    node: usize,
    device: usize,
    epoch: u32,
    wiring: u64,
    gate: Arc<RequestGate>,
}

impl PartialEq for Wire {
    fn eq(&self, other: &Wire) -> bool {
        self.wiring == other.wiring
    }
}

fn setup(state: &mut State, node: usize, clock: &Clock) -> NodeSetup<Wire> {
    let known = &state.nodes[node];
    let (device, epoch, wiring, id) = (known.device, known.epoch, known.wiring, known.id.clone());
    let known_as = format!("model {}", known.wording);
    // As the drivers say it.
    let (kind, rate_limit): (&DeviceKind, _) = match state.devices[device].make {
        Make::Plug => (&tapo::KIND, tapo::RATE_LIMIT),
        Make::Engine => (&amt::KIND, amt::RATE_LIMIT),
    };
    let gate = state.gate(device, || RequestGate::new(clock.clone(), rate_limit));
    NodeSetup {
        spec: NodeSpec {
            id,
            inventory: Arc::new(Inventory { model: Some(known_as), ..Inventory::default() }),
            timings: Timings { fence_age_max: State::is_fenced(node).then_some(FENCED), ..Timings::default() },
            device: format!("device {device}").into(),
            kind,
            boot_mode: None,
            boot_targets: Some([BootTarget::Pxe, BootTarget::Hdd].into()),
            policy: PowerPolicy::default(),
        },
        device: Wire { node, device, epoch, wiring, gate },
    }
}
