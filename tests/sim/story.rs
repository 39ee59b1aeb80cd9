//! The events of a run: requests of clients, failures of devices, button presses, full disks. All of it is drawn from
//! the seed.

use std::sync::Arc;
use std::time::Duration;

use plugfish::testing::node::entry::NodeEntry;
use plugfish::testing::node::{BootEnabled, BootPatch, BootTarget, Power, ResetType};
use rand::RngExt;

use super::hardware::{Fault, Make};
use super::report::What;
use super::world::{State, World};

/// Clients of a flood.
const FLOOD: usize = 200;

impl State {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.random_range(0..from.len())]
    }

    /// From `least` on, mostly short and sometimes long.
    fn some_time(&mut self, least: u64, scale: f64) -> Duration {
        let draw: f64 = self.rng.random_range(0.0..1.0);
        Duration::from_millis(least) + Duration::from_secs_f64(scale * -(1.0 - draw).ln())
    }
}

/// Lets things happen, one after the other, until it is dropped.
pub async fn tell(world: Arc<World>) {
    let clock = world.lock().clock();
    loop {
        let pause = {
            let mut state = world.lock();
            let scale = state.shape.every.as_secs_f64() / state.shape.nodes as f64;
            state.some_time(1, scale)
        };
        clock.sleep(pause).await;
        happens(&world);
    }
}

fn happens(world: &Arc<World>) {
    let mut state = world.lock();
    let nodes = state.shape.nodes;
    let (node, dice) = (state.rng.random_range(0..nodes), state.rng.random_range(0..1_000));
    let (now, device) = (state.now(), state.nodes[node].device);
    match dice {
        0..450 => {
            let most = if state.rng.random_bool(0.4) { 4 } else { 1 };
            drop(state);
            actix::spawn(asks(world.clone(), node, most));
        }
        450..550 => {
            drop(state);
            actix::spawn(patches(world.clone(), node));
        }
        550..760 => {
            let fault = state.pick(&Fault::ALL);
            let long = if state.rng.random_bool(0.1) { 900.0 } else { 30.0 };
            let long = state.some_time(500, long);
            state.devices[device].fail(fault, now + long);
            state.trace(node, What::Fails(fault, long));
        }
        760..830 => press(&mut state, node),
        830..870 => {
            state.devices[device].panics = true;
            state.trace(node, What::Note("the driver will fall over"));
        }
        870..900 => {
            state.devices[device].session = false;
            state.devices[device].corners = if state.rng.random_bool(0.2) { 100 } else { 3 };
            state.trace(node, What::Note("its session is gone"));
        }
        900..930 => {
            state.nodes[node].causes.push_back((now, false));
            state.nodes[node].polled = None;
            state.trace(node, What::Note("someone renews the session"));
            let fleet = state.fleet.clone();
            let id = state.nodes[node].id.clone();
            drop(state);
            if let Some((fleet, entry)) = fleet.and_then(|fleet| fleet.find(id.as_str()).map(|entry| (fleet, entry))) {
                // A node that is being rebuilt cannot be renewed.
                if fleet.renew(&entry).is_ok() {
                    world.lock().nodes[node].renewed = (Some(now), Some(now));
                }
            }
        }
        930..955 => {
            let long = state.some_time(1_000, 20.0);
            state.disk_slow = state.disk_slow.max(now + long);
            if state.rng.random_bool(0.2) {
                let stuck = now + state.chance_ms(2_000, 25_000);
                (state.disk_stuck, state.disk_slow) = (stuck, state.disk_slow.max(stuck + Duration::from_secs(5)));
            }
            state.trace(node, What::Note("the disk is slow"));
        }
        955..965 => {
            state.disk_flaky = state.rng.random_bool(0.5);
            let scale = if state.disk_flaky { 60.0 } else { 10.0 };
            let long = state.some_time(1_000, scale);
            state.disk_full = state.disk_full.max(now + long);
            state.trace(node, What::Note("the disk is full"));
        }
        965..978 => state.reload = true,
        978..985 => {
            drop(state);
            actix::spawn(replaces(world.clone(), node));
        }
        985..992 => {
            let by = state.rng.random_range(-600_000i64..600_000);
            state.clock().jump_wall(by);
            state.jumped = now;
            state.trace(node, What::Note("the wall clock jumps"));
        }
        _ => {
            state.trace(node, What::Note("a flood of clients"));
            let reset = state.pick(&[ResetType::On, ResetType::ForceOff, ResetType::PowerCycle]);
            let (mixed, at_once) = (state.rng.random_bool(0.5), state.rng.random_bool(0.5));
            // Either the disk holds them up, or they come one by one and each is accepted.
            let slowly = state.rng.random_bool(0.5);
            let spread = if slowly { 20_000 } else { 2_000 };
            if !at_once && !slowly {
                state.disk_slow = state.disk_slow.max(now + Duration::from_secs(5));
            }
            drop(state);
            for index in 0..FLOOD {
                let reset = if mixed && index % 2 == 0 { ResetType::On } else { reset };
                let world = world.clone();
                actix::spawn(async move {
                    if !at_once {
                        let (clock, pause) = {
                            let mut state = world.lock();
                            (state.clock(), state.chance_ms(0, spread))
                        };
                        clock.sleep(pause).await;
                    }
                    one(world, node, reset).await;
                });
            }
        }
    }
}

/// Someone whose device hangs gives the node another one, and then describes it again.
async fn replaces(world: Arc<World>, node: usize) {
    let (clock, first, second) = {
        let mut state = world.lock();
        let (now, device) = (state.now(), state.nodes[node].device);
        let long = Duration::from_secs(60);
        state.devices[device].fail(Fault::Stuck, now + long);
        state.trace(node, What::Fails(Fault::Stuck, long));
        (state.clock(), state.chance_ms(15_000, 30_000), state.chance_ms(2_000, 9_000))
    };
    for (pause, rewires) in [(first, true), (second, false)] {
        clock.sleep(pause).await;
        let mut state = world.lock();
        if state.now() < state.shape.length {
            state.edits.push((node, rewires));
            state.reload = true;
        }
    }
}

/// Someone outside changes the power.
fn press(state: &mut State, node: usize) {
    let (now, device) = (state.now(), state.nodes[node].device);
    let cut = state.rng.random_range(0..4) == 0;
    let hardware = &mut state.devices[device];
    hardware.advance(now);
    let power = match (hardware.make, hardware.power) {
        (Make::Engine, Power::On) if !cut => Power::Asleep,
        (_, Power::Off) => Power::On,
        _ => Power::Off,
    };
    hardware.press(now, power);
    if cut {
        let long = state.some_time(1_000, 20.0);
        let hardware = &mut state.devices[device];
        hardware.session = false;
        hardware.fail(Fault::Silent, now + long);
    }
    state.nodes[node].expect = None;
    // A boot that was under way may have been cut short.
    state.nodes[node].used.values_mut().for_each(|(_, doubts)| *doubts += 1);
    state.trace(node, What::Outside(if cut { "a power cut" } else { "a press" }, power));
}

fn entry(world: &World, node: usize) -> Option<(plugfish::testing::node::fleet::Fleet, Arc<NodeEntry>)> {
    let state = world.lock();
    let fleet = state.fleet.clone()?;
    let entry = fleet.find(state.nodes[node].id.as_str())?;
    Some((fleet, entry))
}

/// A client that asks for power some times in a row.
async fn asks(world: Arc<World>, node: usize, most: usize) {
    let clock = world.lock().clock();
    let scale = if world.lock().rng.random_bool(0.3) { 0.15 } else { 4.0 };
    for _ in 0..most {
        let (reset, pause) = {
            let mut state = world.lock();
            let mut offered = state.view(node).map_or_else(Vec::new, |view| view.resets.clone());
            offered.push(ResetType::ForceOff);
            offered.push(ResetType::On);
            offered.push(ResetType::PowerCycle);
            let wild = state.rng.random_range(0..20) == 0;
            let reset = if wild { state.pick(&ResetType::ALL) } else { state.pick(&offered) };
            (reset, state.some_time(0, scale))
        };
        one(world.clone(), node, reset).await;
        clock.sleep(pause).await;
    }
}

/// One request for power.
async fn one(world: Arc<World>, node: usize, reset: ResetType) {
    let Some((fleet, entry)) = entry(&world, node) else { return };
    let (by, now, before) = {
        let mut state = world.lock();
        let now = state.now();
        let count = state.counts.get("commands asked for").copied().unwrap_or(0);
        // The laws learn from the name when it was asked.
        let by = format!("c{count}@{}", now.as_millis());
        state.trace(node, What::Asks(reset, by.clone()));
        state.nodes[node].asking += 1;
        state.check_asking(node);
        if reset == ResetType::Nmi && state.rng.random_bool(0.3) {
            // Whether an interrupt whose answer is lost was made is never known.
            let (device, long) = (state.nodes[node].device, Duration::from_secs(20));
            if now + long < state.shape.length {
                state.devices[device].fail(Fault::Lossy, now + long);
                state.trace(node, What::Fails(Fault::Lossy, long));
            }
        }
        (by, now, state.nodes[node].current.as_ref().map(|current| current.reset))
    };
    let answer = fleet.reset(&entry, reset, by.clone()).await;
    if answer.is_ok() && world.lock().rng.random_bool(0.08) {
        // While the machine boots, someone thinks of another boot source for the next time.
        let (clock, pause) = {
            let mut state = world.lock();
            (state.clock(), state.chance_ms(300, 4_000))
        };
        let world = world.clone();
        actix::spawn(async move {
            clock.sleep(pause).await;
            patches(world, node).await;
        });
    }
    if answer.is_ok() && reset == ResetType::PowerCycle && world.lock().rng.random_range(0..8) == 0 {
        actix::spawn(changes_mind(world.clone(), node));
    }
    if answer.is_ok() && reset == ResetType::ForceOff && world.lock().rng.random_range(0..6) == 0 {
        actix::spawn(deploys(world.clone(), node));
    }
    let worst = {
        let mut state = world.lock();
        state.nodes[node].asking -= 1;
        state.answered(node, now, reset, &by, before, &answer);
        // A device that dies in the middle of a cycle is the worst of them.
        let worst = answer.is_ok() && reset == ResetType::PowerCycle && state.rng.random_range(0..12) == 0;
        worst.then(|| (state.clock(), state.chance_ms(500, 12_000), state.chance_ms(20_000, 600_000)))
    };
    if let Some((clock, pause, long)) = worst {
        clock.sleep(pause).await;
        let mut state = world.lock();
        if state.now() >= state.shape.length {
            // Nothing fails in the calm at the end.
            return;
        }
        let until = state.now() + long;
        let device = state.nodes[node].device;
        state.devices[device].fail(Fault::Silent, until);
        state.trace(node, What::Fails(Fault::Silent, long));
    }
}

/// Someone wants a node off that is being cycled, and at once on again, while the disk does not take every write.
async fn changes_mind(world: Arc<World>, node: usize) {
    let (clock, pause) = {
        let mut state = world.lock();
        (state.clock(), state.chance_ms(500, 9_000))
    };
    clock.sleep(pause).await;
    {
        let mut state = world.lock();
        let now = state.now();
        if now >= state.shape.length {
            return;
        }
        state.disk_flaky = true;
        state.disk_full = state.disk_full.max(now + Duration::from_millis(300));
    }
    for reset in [ResetType::ForceOff, ResetType::On] {
        let asks: std::pin::Pin<Box<dyn Future<Output = ()>>> = Box::pin(one(world.clone(), node, reset));
        actix::spawn(asks);
    }
}

/// A deployment that turns a machine off, sets what it boots from, and turns it on, without waiting for anything.
async fn deploys(world: Arc<World>, node: usize) {
    let (clock, pause) = {
        let mut state = world.lock();
        (state.clock(), state.chance_ms(0, 40))
    };
    patches(world.clone(), node).await;
    clock.sleep(pause).await;
    let asks: std::pin::Pin<Box<dyn Future<Output = ()>>> = Box::pin(one(world, node, ResetType::On));
    asks.await;
}

/// A client that changes the boot override; two at once, sometimes.
async fn patches(world: Arc<World>, node: usize) {
    let Some((fleet, entry)) = entry(&world, node) else { return };
    let (patch, if_match, twice, asked, durable) = {
        let mut state = world.lock();
        let now = state.now();
        let durable = state.pages[node].boot_writes();
        let patch = BootPatch {
            target: Some(state.pick(&[BootTarget::Pxe, BootTarget::Hdd, BootTarget::Pxe, BootTarget::None])),
            enabled: Some(state.pick(&[
                BootEnabled::Once,
                BootEnabled::Once,
                BootEnabled::Continuous,
                BootEnabled::Disabled,
            ])),
            ..BootPatch::default()
        };
        let careful = state.rng.random_bool(0.5);
        let if_match = careful.then(|| entry.view().writes);
        let twice = state.rng.random_bool(0.3);
        state.nodes[node].patches += 1 + u64::from(twice);
        state.nodes[node].asking += 1;
        state.trace(node, What::Patches(format!("{patch:?} if {if_match:?}")));
        (patch, if_match, twice, now, durable)
    };
    let ask = || fleet.patch_boot(&entry, patch.clone(), "client".into(), if_match.map(|number| vec![number]));
    let answers = match twice {
        true => <[_; 2]>::from(tokio::join!(ask(), ask())).to_vec(),
        false => vec![ask().await],
    };
    let mut state = world.lock();
    state.nodes[node].asking -= 1;
    for answer in &answers {
        state.patched(node, asked, if_match, durable, answer);
    }
}
