//! Actors and fleet on virtual time, with devices and a journal made of plain values. No sockets here: a paused clock
//! and sockets do not go together.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::*;
use crate::clock::Wall;
use crate::durable::WriteFuture;
use crate::node::Power;
use crate::node::device::tests::OUTLET;
use crate::node::device::{DeviceError, DeviceFuture, FailureClass, Observation};
use crate::node::event::EventBus;
use crate::node::journal::{BootRecord, Intent, Journal, NodeRecord, SeenRecord};
use crate::node::trust::{TrustBook, TrustRecord};
use crate::node::{BootOverride, Inventory, NodeSpec, PowerAction, PowerPolicy, Refusal, ResetType, Timings};
use crate::telemetry::Metrics;

/// A plug made of atomics, seen from outside.
#[derive(Default)]
struct Plug {
    on: Mutex<bool>,
    reads: AtomicUsize,
    sets: AtomicUsize,
    devices: AtomicUsize,
    busy: AtomicUsize,
    busiest: AtomicUsize,
    slow_ms: AtomicU64,
    away: Mutex<bool>,
    panics: AtomicUsize,
}

struct PlugDevice(Arc<Plug>);

impl PlugDevice {
    async fn turn<T>(&self, act: impl FnOnce(&Plug) -> T) -> Result<T, DeviceError> {
        let plug = &self.0;
        let busy = plug.busy.fetch_add(1, Ordering::SeqCst) + 1;
        plug.busiest.fetch_max(busy, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(plug.slow_ms.load(Ordering::SeqCst))).await;
        plug.busy.fetch_sub(1, Ordering::SeqCst);
        if plug.panics.load(Ordering::SeqCst) > 0 {
            plug.panics.fetch_sub(1, Ordering::SeqCst);
            panic!("a fault in the driver");
        }
        if *plug.away.lock().unwrap() {
            return Err(DeviceError::new(FailureClass::Unreachable, "no route"));
        }
        Ok(act(plug))
    }
}

impl PowerDevice for PlugDevice {
    fn read(&mut self) -> DeviceFuture<'_, Observation> {
        Box::pin(async {
            self.turn(|plug| {
                plug.reads.fetch_add(1, Ordering::SeqCst);
                let power = if *plug.on.lock().unwrap() { Power::On } else { Power::Off };
                Observation { power: Some(power), ..Observation::default() }
            })
            .await
        })
    }

    fn order(&mut self, order: PowerAction, _: BootOverride) -> DeviceFuture<'_, ()> {
        Box::pin(async move {
            self.turn(|plug| {
                plug.sets.fetch_add(1, Ordering::SeqCst);
                *plug.on.lock().unwrap() = order == PowerAction::On;
            })
            .await
        })
    }

    fn forget_session(&mut self) {}
}

/// A journal in memory with a slow disk.
#[derive(Default)]
struct Paper(Arc<Mutex<HashMap<NodeId, NodeRecord>>>);

impl Paper {
    fn later(&self, node: &NodeId, write: impl FnOnce(&mut NodeRecord) + Send + 'static) -> WriteFuture {
        let (pages, node) = (self.0.clone(), node.clone());
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            write(pages.lock().unwrap().entry(node).or_default());
            Ok(())
        })
    }
}

impl TrustBook for Paper {
    fn trust(&self, node: &NodeId) -> Option<Arc<TrustRecord>> {
        self.load(node).trust
    }
    fn record_trust(&self, node: &NodeId, trust: Option<Arc<TrustRecord>>) -> WriteFuture {
        self.later(node, |record| record.trust = trust)
    }
}

impl Journal for Paper {
    fn load(&self, node: &NodeId) -> NodeRecord {
        self.0.lock().unwrap().get(node).cloned().unwrap_or_default()
    }
    fn record_intent(&self, node: &NodeId, intent: Intent) -> WriteFuture {
        self.later(node, |record| record.intent = Some(intent))
    }
    fn clear_intent(&self, node: &NodeId, number: u64) {
        let mut pages = self.0.lock().unwrap();
        let record = pages.entry(node.clone()).or_default();
        if record.intent.as_ref().is_some_and(|intent| intent.number == number) {
            record.intent = None;
        }
    }
    fn record_boot(&self, node: &NodeId, boot: BootRecord) -> WriteFuture {
        self.later(node, |record| record.boot = Some(boot))
    }
    fn note_seen(&self, node: &NodeId, seen: SeenRecord) {
        self.0.lock().unwrap().entry(node.clone()).or_default().seen = Some(seen);
    }
}

/// A plug as a configuration says it.
struct Wire {
    plug: Arc<Plug>,
    wiring: u64,
}

impl PartialEq for Wire {
    fn eq(&self, other: &Wire) -> bool {
        self.wiring == other.wiring
    }
}

fn setup(name: &str, plug: &Arc<Plug>, wiring: u64) -> NodeSetup<Wire> {
    let id: NodeId = name.parse().unwrap();
    NodeSetup {
        spec: NodeSpec {
            id,
            inventory: Arc::new(Inventory::default()),
            timings: Timings::default(),
            device: format!("plug of {name}").into(),
            kind: &OUTLET,
            boot_mode: None,
            boot_targets: None,
            policy: PowerPolicy::default(),
        },
        device: Wire { plug: plug.clone(), wiring },
    }
}

/// Runs `test` with a keeper on one arbiter with a paused clock.
fn on_virtual_time<F: Future<Output = ()>>(test: impl FnOnce(Supervisor<Wire>, Clock) -> F) {
    let system = actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    });
    system.block_on(async {
        let clock = Clock::simulated(7, Wall(1_795_000_000_000));
        let context = NodeContext {
            clock: clock.clone(),
            journal: Arc::new(Paper::default()),
            events: EventBus::new(),
            metrics: Metrics::new(),
        };
        let device = |_: &NodeId, wire: &Wire| -> Box<dyn PowerDevice> {
            wire.plug.devices.fetch_add(1, Ordering::SeqCst);
            Box::new(PlugDevice(wire.plug.clone()))
        };
        test(Supervisor::new(context, device), clock).await;
    });
}

async fn run(supervisor: &mut Supervisor<Wire>, clock: &Clock, secs: u64) {
    let _ = clock.limit(Duration::from_secs(secs), supervisor.watch()).await;
}

fn power(fleet: &Fleet, id: &str) -> Option<Power> {
    fleet.find(id).unwrap().view().power
}

#[test]
fn a_command_is_answered_when_durable_and_seen_when_done() {
    on_virtual_time(|mut supervisor, clock| async move {
        let plug = Arc::new(Plug::default());
        *plug.on.lock().unwrap() = true;
        supervisor.apply(vec![setup("a", &plug, 1)]).await;
        let fleet = supervisor.fleet();
        run(&mut supervisor, &clock, 1).await;
        assert_eq!(power(&fleet, "a"), Some(Power::On));
        let entry = fleet.find("a").unwrap();
        let asked = fleet.reset(&entry, ResetType::ForceOff, "me".into());
        let (answer, waiting) = futures_util::future::join(asked, async { entry.waiting() }).await;
        answer.unwrap();
        assert_eq!((waiting, entry.waiting()), (1, 0), "one waited for the answer, and then no one");
        assert_eq!(entry.view().command.as_ref().map(|command| command.reset), Some(ResetType::ForceOff));
        run(&mut supervisor, &clock, 1).await;
        assert_eq!(power(&fleet, "a"), Some(Power::Off));
        assert!(supervisor.stop(Duration::from_secs(3)).await);
    });
}

#[test]
fn a_fleet_polls_at_its_interval_one_at_a_time_and_readers_cost_nothing() {
    on_virtual_time(|mut supervisor, clock| async move {
        let plugs: Vec<Arc<Plug>> = (0..50).map(|_| Arc::new(Plug::default())).collect();
        let setups = plugs.iter().enumerate().map(|(i, plug)| setup(&format!("n{i}"), plug, 1)).collect();
        supervisor.apply(setups).await;
        let fleet = supervisor.fleet();
        for _ in 0..600 {
            run(&mut supervisor, &clock, 1).await;
            assert_eq!(fleet.table().len(), 50);
        }
        for plug in &plugs {
            let reads = plug.reads.load(Ordering::SeqCst);
            assert!((38..=43).contains(&reads), "{reads} reads in 600 s at one each 15 s");
            assert_eq!(plug.busiest.load(Ordering::SeqCst), 1);
        }
    });
}

#[test]
fn a_panic_in_one_node_is_healed_and_touches_no_other() {
    on_virtual_time(|mut supervisor, clock| async move {
        let (bad, good) = (Arc::new(Plug::default()), Arc::new(Plug::default()));
        *bad.on.lock().unwrap() = true;
        supervisor.apply(vec![setup("bad", &bad, 1), setup("good", &good, 1)]).await;
        let fleet = supervisor.fleet();
        let entry = fleet.find("bad").unwrap();
        run(&mut supervisor, &clock, 1).await;
        bad.panics.store(3, Ordering::SeqCst);
        fleet.reset(&entry, ResetType::PowerCycle, "me".into()).await.unwrap();
        run(&mut supervisor, &clock, 0).await;
        let before = entry.view().change;
        assert_eq!(power(&fleet, "bad"), Some(Power::On), "readers see the last picture meanwhile");
        run(&mut supervisor, &clock, 60).await;
        assert_eq!(bad.panics.load(Ordering::SeqCst), 0);
        assert!(entry.view().change > before, "the pictures are numbered on");
        assert_eq!(bad.devices.load(Ordering::SeqCst), 4);
        assert_eq!(power(&fleet, "bad"), Some(Power::On));
        assert_eq!(bad.sets.load(Ordering::SeqCst), 2, "the cycle was finished from the journal");
        assert_eq!(good.devices.load(Ordering::SeqCst), 1);
        let told = supervisor.context.metrics.render();
        assert!(told.contains("plugfish_node_restarts_total{node=\"bad\"} 3"), "{told}");
        assert!(told.contains("plugfish_node_restarts_total{node=\"good\"} 0"), "{told}");
        assert!(good.reads.load(Ordering::SeqCst) >= 4);
    });
}

#[test]
fn silent_is_who_fell_and_is_not_built_anew_and_nobody_whose_device_is_away() {
    on_virtual_time(|mut supervisor, clock| async move {
        let (bad, away) = (Arc::new(Plug::default()), Arc::new(Plug::default()));
        *away.away.lock().unwrap() = true;
        supervisor.apply(vec![setup("bad", &bad, 1), setup("away", &away, 1)]).await;
        bad.panics.store(1, Ordering::SeqCst);
        clock.sleep(SILENCE / 2).await;
        assert!(supervisor.silent().await.is_empty(), "it may still be restarted");
        clock.sleep(SILENCE).await;
        assert_eq!(supervisor.silent().await, ["bad".parse().unwrap()], "no one looked after the fleet");
        run(&mut supervisor, &clock, 5).await;
        assert!(supervisor.silent().await.is_empty());
        away.slow_ms.store(40_000, Ordering::SeqCst);
        run(&mut supervisor, &clock, 600).await;
        assert!(supervisor.silent().await.is_empty(), "an operation that takes long is life");
    });
}

#[test]
fn a_reload_touches_only_what_changed() {
    on_virtual_time(|mut supervisor, clock| async move {
        let plugs: Vec<Arc<Plug>> = (0..4).map(|_| Arc::new(Plug::default())).collect();
        let mut heard = supervisor.context.events.listen();
        supervisor
            .apply(vec![setup("keep", &plugs[0], 1), setup("rewire", &plugs[1], 1), setup("drop", &plugs[2], 1)])
            .await;
        let fleet = supervisor.fleet();
        run(&mut supervisor, &clock, 1).await;
        let supervised = fleet.find("keep").unwrap();
        plugs[1].slow_ms.store(3_000, Ordering::SeqCst);
        run(&mut supervisor, &clock, 16).await;
        let mut renamed = setup("keep", &plugs[0], 1);
        renamed.spec.device = "plug with another name".into();
        let wanted = vec![renamed, setup("rewire", &plugs[1], 2), setup("new", &plugs[3], 1)];
        let done = supervisor.apply(wanted).await;
        let id = |name: &str| name.parse::<NodeId>().unwrap();
        let changed = vec![(id("keep"), Change::Spec), (id("rewire"), Change::Device)];
        assert_eq!(done, FleetDiff { added: vec![id("new")], removed: vec![id("drop")], changed });
        run(&mut supervisor, &clock, 10).await;
        assert!(fleet.find("drop").is_none() && fleet.find("new").is_some());
        assert!(Arc::ptr_eq(&supervised, &fleet.find("keep").unwrap()));
        assert_eq!(supervised.view().device.as_ref(), "plug with another name");
        let told = supervisor.context.metrics.render();
        assert!(!told.contains("node=\"drop\"") && told.contains("node=\"new\""), "{told}");
        let devices: Vec<usize> = plugs.iter().map(|plug| plug.devices.load(Ordering::SeqCst)).collect();
        assert_eq!(devices, [1, 2, 1, 1]);
        assert_eq!(plugs[1].busiest.load(Ordering::SeqCst), 1, "the operation under way was finished first");
        let mut told = Vec::new();
        while let Ok(event) = heard.try_recv() {
            if matches!(event.what, EventKind::Added | EventKind::Removed) {
                told.push((event.node.to_string(), event.what));
            }
        }
        assert_eq!(told, [("drop".into(), EventKind::Removed), ("new".into(), EventKind::Added)]);
    });
}

/// A plug that is given another address, and then another description, while its last request is under way.
#[test]
fn a_second_reload_during_an_operation_keeps_the_device_of_the_first() {
    on_virtual_time(|mut supervisor, clock| async move {
        let (old, new) = (Arc::new(Plug::default()), Arc::new(Plug::default()));
        supervisor.apply(vec![setup("a", &old, 1)]).await;
        run(&mut supervisor, &clock, 1).await;
        old.slow_ms.store(10_000, Ordering::SeqCst);
        run(&mut supervisor, &clock, 20).await;
        assert_eq!(old.busy.load(Ordering::SeqCst), 1, "an operation is under way");
        supervisor.apply(vec![setup("a", &new, 2)]).await;
        let mut described = setup("a", &new, 2);
        described.spec.device = "plug of the same name".into();
        supervisor.apply(vec![described]).await;
        run(&mut supervisor, &clock, 60).await;
        assert!(new.reads.load(Ordering::SeqCst) > 2, "the new plug is read");
        assert_eq!(old.reads.load(Ordering::SeqCst), 2, "the old one is not, after the operation that was under way");
    });
}

#[test]
fn a_flooded_node_refuses_and_a_stopped_one_takes_nothing() {
    on_virtual_time(|mut supervisor, clock| async move {
        let plug = Arc::new(Plug::default());
        supervisor.apply(vec![setup("a", &plug, 1)]).await;
        let fleet = supervisor.fleet();
        let entry = fleet.find("a").unwrap();
        run(&mut supervisor, &clock, 1).await;
        let asks = (0..500).map(|i| {
            let reset = if i % 2 == 0 { ResetType::On } else { ResetType::ForceOff };
            fleet.reset(&entry, reset, "me".into())
        });
        let answers = futures_util::future::join_all(asks).await;
        let refused = answers.iter().filter(|a| matches!(a, Err(Refusal::Overloaded { .. }))).count();
        assert!(refused >= 400 && answers.iter().any(Result::is_ok), "{refused} of 500 refused");
        assert!(supervisor.stop(Duration::from_secs(3)).await);
        let late = fleet.reset(&entry, ResetType::On, "me".into()).await;
        assert!(matches!(late, Err(Refusal::Stopping { .. })), "{late:?}");
    });
}

#[test]
fn first_polls_are_spread_within_one_interval() {
    let interval = Duration::from_secs(15);
    assert_eq!(first_poll_after(0, 3, interval), Duration::ZERO);
    assert_eq!(first_poll_after(2, 3, interval), Duration::from_millis(40));
    assert!(first_poll_after(9_999, 10_000, interval) < interval);
}
