//! The machine against a small world of its own: a device, a journal and a clock, all made of plain values.
//!
//! `timings.rs` has a table for each rule; `engine.rs` the same for a device that can do more than a plug; `meanwhile.rs` what
//! comes while a command is under way; `pairs.rs` each command in the place of each other one, at every stage; `trust.rs`
//! what the device proves; `laws.rs` has properties: whatever happens, and wherever the process dies.

mod engine;
mod fence;
mod graceful;
mod laws;
mod meanwhile;
mod measured;
mod pairs;
mod settings;
mod timings;
mod trust;

use std::collections::VecDeque;
use std::sync::Arc;

use uuid::Uuid;

use measured::Board;

use super::*;
use crate::clock::Now;
use crate::node::device::tests::OUTLET;
use crate::node::device::{Capabilities, DeviceIdentity, DeviceKind, PowerRestore, ScanResult};
use crate::node::trust::Proof;
use crate::node::view::NodeView;
use crate::node::{BootOverride, BootPatch, BootTarget, Health, NodeId, PowerAction, PowerPolicy, ResetType, Timings};

const START: Wall = Wall(1_795_000_000_000);

/// How the device behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Well,
    Away,
    /// Acts, and the answer is lost.
    Mute,
    /// Says ok and does nothing.
    Ignores,
    WrongPassword,
    Refuses,
    Busy,
    /// Is well and takes no order.
    NotReady,
    /// Another machine answers.
    Stranger,
    /// Is on the way from one state to another.
    Between,
}

/// A node's machine and everything around it.
#[derive(Clone)]
struct World {
    fsm: Fsm,
    spec: NodeSpec,
    disk: NodeRecord,
    disk_full: bool,
    now: Duration,
    wall_skew: i64,
    relay: Power,
    turned: Duration,
    mood: Mood,
    writes: Vec<(Duration, Power)>,
    reads: Vec<Duration>,
    answers: Vec<(Ticket, Result<(), Refusal>)>,
    told: Vec<EventKind>,
    counts: Vec<(ResetType, &'static str)>,
    saves: VecDeque<Save>,
    running: Option<(Op, Duration, Duration)>,
    relay_log: Vec<(Duration, Power)>,
    engine: Engine,
    /// How long an operation takes.
    latency: Duration,
    /// What the device measures, and whether it says that it can.
    meter: Option<u64>,
    metered: bool,
    /// The machine on the outlet, where what it draws is measured; and how often it was cut while it drew.
    board: Option<Board>,
    cut_running: usize,
    /// What the device does when its power comes back, and how often it was told.
    restore: Option<PowerRestore>,
    told_restore: usize,
    /// How the device's answers are proved, and what its driver has on record.
    proof: Proof,
    record: Option<Arc<TrustRecord>>,
}

/// What is there only if the device is part of the machine.
#[derive(Clone, Default)]
struct Engine {
    /// The operating system answers.
    system: bool,
    /// When the operating system will have shut down.
    shut_down_at: Option<Duration>,
    /// With what each boot was made; `None` when an override had no part in it.
    boots: Vec<BootTarget>,
    interrupts: usize,
    /// When it restarted by itself.
    restarts: Vec<Duration>,
    /// Corners that were not looked into yet.
    corners: usize,
    orders: Vec<(Duration, PowerAction)>,
}

/// How long an operation takes.
const OP_TIME: Duration = Duration::from_millis(30);

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

impl World {
    fn new(relay: Power) -> World {
        World::with_rules(relay, Timings::default())
    }

    fn with_rules(relay: Power, timings: Timings) -> World {
        World::of(&OUTLET, relay, timings)
    }

    fn of(kind: &'static DeviceKind, relay: Power, timings: Timings) -> World {
        let spec = NodeSpec {
            id: "node-1".parse::<NodeId>().unwrap(),
            inventory: Arc::default(),
            timings,
            device: "Tapo plug at 192.0.2.11".into(),
            kind,
            boot_mode: None,
            boot_targets: None,
            policy: PowerPolicy::default(),
        };
        let moment = Moment { now: Now { mono: Mono::START, wall: START }, unit_jitter: 0.0 };
        let fsm = Fsm::new(spec.clone(), NodeRecord::default(), Mono::START, moment);
        World {
            fsm,
            spec,
            disk: NodeRecord::default(),
            disk_full: false,
            now: Duration::ZERO,
            wall_skew: 0,
            relay,
            turned: Duration::ZERO,
            mood: Mood::Well,
            writes: Vec::new(),
            reads: Vec::new(),
            answers: Vec::new(),
            told: Vec::new(),
            counts: Vec::new(),
            saves: VecDeque::new(),
            running: None,
            restore: None,
            told_restore: 0,
            relay_log: vec![(Duration::ZERO, relay)],
            engine: Engine::default(),
            latency: OP_TIME,
            meter: Some(12_000),
            metered: false,
            board: None,
            cut_running: 0,
            proof: Proof::Claimed,
            record: None,
        }
    }

    /// Acts on an order as a plug or as an engine would.
    fn follow(&mut self, order: PowerAction, boot: &BootOverride) -> Result<(), DeviceError> {
        self.engine.orders.push((self.now, order));
        if let Some(board) = self.board.as_mut().filter(|_| order == PowerAction::GracefulOff) {
            board.asked(self.now);
            return Ok(());
        }
        if !self.spec.kind.applies_boot {
            self.writes.push((self.now, order.leads_to()));
            self.turn(order.leads_to());
            return Ok(());
        }
        let boots = order.boots() && (self.relay == Power::Off) == (order == PowerAction::On);
        if order != PowerAction::Nmi {
            self.engine.shut_down_at = None;
        }
        match order {
            PowerAction::On => self.turn(Power::On),
            PowerAction::Off => self.turn(Power::Off),
            _ if self.relay == Power::Off => return Err(DeviceError::new(FailureClass::NotReady, "it is off")),
            PowerAction::GracefulOff if self.engine.system => self.engine.shut_down_at = Some(self.now + secs(20)),
            PowerAction::Nmi => self.engine.interrupts += 1,
            PowerAction::Cycle | PowerAction::Reset | PowerAction::GracefulReset => self.engine.restarts.push(self.now),
            PowerAction::GracefulOff => {}
        }
        if boots {
            self.engine.boots.push(boot.in_force());
        }
        Ok(())
    }

    /// What the device says it can do now.
    fn capabilities(&self) -> Option<Arc<Capabilities>> {
        let mut orders = vec![PowerAction::On];
        if self.relay == Power::On {
            orders = vec![PowerAction::Reset, PowerAction::Off, PowerAction::Cycle, PowerAction::Nmi];
            orders.extend([PowerAction::GracefulOff, PowerAction::GracefulReset].iter().filter(|_| self.engine.system));
        }
        let boot_targets = vec![BootTarget::None, BootTarget::Pxe, BootTarget::Hdd];
        if self.spec.policy.graceful.is_some() {
            orders = vec![PowerAction::On, PowerAction::Off];
            orders.extend([PowerAction::GracefulOff].iter().filter(|_| self.relay == Power::On));
            return Some(Arc::new(Capabilities { orders, boot_targets }));
        }
        self.spec.kind.applies_boot.then(|| Arc::new(Capabilities { orders, boot_targets }))
    }

    /// A world in which the first poll is done.
    fn settled(relay: Power) -> World {
        let mut world = World::new(relay);
        world.run(secs(2));
        assert_eq!(world.view().power, Some(relay));
        world
    }

    fn moment(&self) -> Moment {
        let wall = Wall(START.0 + self.wall_skew) + self.now;
        Moment { now: Now { mono: Mono::after_start(self.now), wall }, unit_jitter: 0.0 }
    }

    fn view(&self) -> NodeView {
        self.fsm.view()
    }

    fn turn(&mut self, power: Power) {
        if self.relay != power {
            if let Some(board) = self.board.as_mut() {
                self.cut_running += usize::from(board.draw(self.relay, self.now) > 6_500);
                board.powered(power, self.now);
            }
            self.relay = power;
            self.turned = self.now;
            self.relay_log.push((self.now, power));
        }
    }

    fn input(&mut self, input: Input) {
        for effect in self.fsm.step(input, self.moment()) {
            match effect {
                Effect::Save(save) => self.saves.push_back(save),
                Effect::ClearIntent(number) => {
                    if self.disk.intent.as_ref().is_some_and(|intent| intent.number == number) {
                        self.disk.intent = None;
                    }
                }
                Effect::NoteSeen(seen) => self.disk.seen = Some(seen),
                Effect::Operate(op) => {
                    assert!(self.running.is_none(), "one operation at a time");
                    if matches!(op, Op::Read) {
                        self.reads.push(self.now);
                    }
                    self.running = Some((op, self.now, self.now + self.latency));
                }
                Effect::ForgetSession => {}
                Effect::Answer(ticket, answer) => self.answers.push((ticket, answer)),
                Effect::Emit(happening) => self.told.push(happening),
                Effect::Count(reset, result) => self.counts.push((reset, result)),
            }
        }
    }

    fn reset(&mut self, ticket: Ticket, reset: ResetType) {
        self.input(Input::Reset { ticket, reset, by: "admin".into() });
    }

    /// One save reaches the disk.
    fn save_one(&mut self) {
        let Some(save) = self.saves.pop_front() else { return };
        let result = if self.disk_full {
            Err(WriteError { path: "state/db".into(), why: "no space left on device".into() })
        } else {
            match save {
                Save::Intent(intent) => self.disk.intent = Some(intent),
                Save::Boot(boot) => self.disk.boot = Some(boot),
                Save::ForgetTrust => self.disk.trust = None,
            }
            Ok(())
        };
        self.input(Input::Saved(result));
    }

    fn operate(&mut self) {
        let Some((op, started, _)) = self.running.take() else { return };
        let fail = |class: FailureClass| Err(DeviceError::new(class, format!("it is {class}")));
        if self.engine.shut_down_at.take_if(|at| *at <= self.now).is_some() {
            self.turn(Power::Off);
        }
        let mut taken = Ok(());
        if let Op::PowerAction(order, boot) = &op {
            match self.mood {
                Mood::Well | Mood::Mute => taken = self.follow(*order, boot),
                Mood::Ignores => {
                    self.writes.push((self.now, order.leads_to()));
                    self.engine.orders.push((self.now, *order));
                }
                _ => {}
            }
        }
        if let Op::SetPowerRestore(policy) = &op {
            self.told_restore += 1;
            if matches!(self.mood, Mood::Well | Mood::Mute) {
                self.restore = Some(*policy);
            }
        }
        if let Err(error) = taken {
            return self.input(Input::Done { started: Mono::after_start(started), result: Err(error) });
        }
        let observation = Observation {
            power: (self.mood != Mood::Between).then_some(self.relay),
            on_for: Some(if self.relay == Power::On { self.now - self.turned } else { Duration::ZERO }),
            milliwatts: self.board.as_ref().map_or(self.meter, |board| Some(board.draw(self.relay, self.now))),
            energy_today_wh: Some(self.now.as_secs() / 60),
            capabilities: self.capabilities(),
            scan_due: self.engine.corners > 0,
            about: Arc::new(DeviceIdentity {
                uuid: self
                    .spec
                    .kind
                    .applies_boot
                    .then(|| Uuid::from_u128(if self.mood == Mood::Stranger { 2 } else { 1 })),
                power_restore: self.restore,
                meter: self.metered,
                ..DeviceIdentity::default()
            }),
            proof: self.proof,
            trust: self.record.clone(),
            ..Observation::default()
        };
        let mut scan = || {
            self.engine.corners = self.engine.corners.saturating_sub(1);
            let more = self.engine.corners > 0;
            let serial = Some("from the machine".into());
            let inventory = (!more).then(|| Arc::new(Inventory { serial, ..Inventory::default() }));
            Outcome::Scanned(ScanResult { inventory, more, ..ScanResult::default() })
        };
        let result = match self.mood {
            Mood::Well | Mood::Ignores | Mood::NotReady | Mood::Stranger | Mood::Between if op == Op::Read => {
                Ok(Outcome::Seen(observation))
            }
            Mood::Well | Mood::Ignores | Mood::NotReady if op == Op::Scan => Ok(scan()),
            Mood::Well | Mood::Ignores | Mood::Stranger => Ok(Outcome::Taken),
            Mood::NotReady | Mood::Between => fail(FailureClass::NotReady),
            Mood::Away => fail(FailureClass::Unreachable),
            Mood::Mute => fail(FailureClass::Timeout),
            Mood::WrongPassword => fail(FailureClass::Auth),
            Mood::Refuses => fail(FailureClass::Refused),
            Mood::Busy => fail(FailureClass::Busy),
        };
        self.input(Input::Done { started: Mono::after_start(started), result });
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.input(Input::Tick);
        while self.next(end) {}
        self.now = end;
        self.input(Input::Tick);
    }

    /// Lets things happen until this is so.
    fn until(&mut self, there: impl Fn(&World) -> bool) {
        let end = self.now + secs(3600);
        while !there(self) {
            assert!(self.next(end), "it never comes");
        }
    }

    /// One thing happens, if one is left before `end`.
    fn next(&mut self, end: Duration) -> bool {
        if !self.saves.is_empty() {
            self.save_one();
            return true;
        }
        let wake = self.fsm.wake_at(Mono::after_start(self.now)).map(Mono::since_start);
        let done = self.running.as_ref().map(|(_, _, done)| *done);
        let Some(next) = [wake, done].into_iter().flatten().min().filter(|at| *at <= end) else { return false };
        self.now = self.now.max(next);
        if done.is_some_and(|done| done <= self.now) {
            self.operate();
        } else {
            self.input(Input::Tick);
        }
        true
    }

    /// The process dies here and is started again `gap` later.
    fn crash(&mut self, gap: Duration) {
        if let Some((Op::PowerAction(order, boot), _, _)) = self.running.take()
            && matches!(self.mood, Mood::Well | Mood::Mute)
        {
            // The order was on its way, and whether it can be followed is no one's business any more.
            let _ = self.follow(order, &boot);
        }
        self.saves.clear();
        self.now += gap;
        let first_poll = Mono::after_start(self.now);
        self.fsm = Fsm::new(self.spec.clone(), self.disk.clone(), first_poll, self.moment());
        self.input(Input::Tick);
    }

    fn answered(&self, ticket: Ticket) -> Option<&Result<(), Refusal>> {
        self.answers.iter().find(|(name, _)| *name == ticket).map(|(_, answer)| answer)
    }

    fn was_told(&self, wanted: impl Fn(&EventKind) -> bool) -> usize {
        self.told.iter().filter(|happening| wanted(happening)).count()
    }

    /// How long the relay stayed open, each time.
    fn dwells(&self) -> Vec<Duration> {
        let pairs = self.relay_log.windows(2);
        pairs.filter(|pair| pair[0].1 == Power::Off).map(|pair| pair[1].0 - pair[0].0).collect()
    }
}
