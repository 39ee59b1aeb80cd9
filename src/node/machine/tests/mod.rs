//! The machine against a small world of its own: a device, a journal and a clock, all made of plain values.
//!
//! `rules.rs` has a table for each rule; `laws.rs` has properties: whatever happens, and wherever the process dies.

mod laws;
mod rules;

use std::collections::VecDeque;
use std::sync::Arc;

use super::*;
use crate::node::device::DeviceKind;
use crate::node::view::NodeView;
use crate::node::{Health, NodeId, Rules};

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
}

/// A node's machine and everything around it.
struct World {
    machine: Machine,
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
    told: Vec<Happening>,
    counts: Vec<(ResetType, &'static str)>,
    saves: VecDeque<Save>,
    running: Option<(Op, Duration, Duration)>,
    relay_log: Vec<(Duration, Power)>,
}

/// How long an operation takes.
const OP_TIME: Duration = Duration::from_millis(30);

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

impl World {
    fn new(relay: Power) -> World {
        World::with_rules(relay, Rules::default())
    }

    fn with_rules(relay: Power, rules: Rules) -> World {
        let spec = NodeSpec {
            id: "node-1".parse::<NodeId>().unwrap(),
            inventory: Arc::default(),
            rules,
            device: "Tapo plug at 192.0.2.11".into(),
            kind: &DeviceKind::PLUG,
        };
        let moment = Moment { now: Now { mono: Mono::START, wall: START }, swing: 0.0 };
        let machine = Machine::new(spec.clone(), NodeRecord::default(), Mono::START, moment);
        World {
            machine,
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
            relay_log: vec![(Duration::ZERO, relay)],
        }
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
        Moment { now: Now { mono: Mono::after_start(self.now), wall }, swing: 0.0 }
    }

    fn view(&self) -> NodeView {
        self.machine.view()
    }

    fn turn(&mut self, power: Power) {
        if self.relay != power {
            self.relay = power;
            self.turned = self.now;
            self.relay_log.push((self.now, power));
        }
    }

    fn input(&mut self, input: Input) {
        for effect in self.machine.step(input, self.moment()) {
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
                    self.running = Some((op, self.now, self.now + OP_TIME));
                }
                Effect::ForgetSession => {}
                Effect::Answer(ticket, answer) => self.answers.push((ticket, answer)),
                Effect::Tell(happening) => self.told.push(happening),
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
            Err(JournalError { path: "state/db".into(), why: "no space left on device".into() })
        } else {
            match save {
                Save::Intent(intent) => self.disk.intent = Some(intent),
                Save::Boot(boot) => self.disk.boot = Some(boot),
            }
            Ok(())
        };
        self.input(Input::Saved(result));
    }

    fn operate(&mut self) {
        let Some((op, started, _)) = self.running.take() else { return };
        let fail = |class: FailureClass| Err(DeviceError::new(class, format!("it is {class}")));
        if let Op::Order(order, _) = op
            && matches!(self.mood, Mood::Well | Mood::Mute | Mood::Ignores)
        {
            let power = order.leads_to();
            self.writes.push((self.now, power));
            if self.mood != Mood::Ignores {
                self.turn(power);
            }
        }
        let observation = Observation {
            power: Some(self.relay),
            on_for: Some(if self.relay == Power::On { self.now - self.turned } else { Duration::ZERO }),
            milliwatts: Some(12_000),
            energy_today_wh: Some(self.now.as_secs() / 60),
            ..Observation::default()
        };
        let result = match self.mood {
            Mood::Well | Mood::Ignores if op == Op::Read => Ok(Outcome::Seen(observation)),
            Mood::Well | Mood::Ignores => Ok(Outcome::Taken),
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

    /// One thing happens, if one is left before `end`.
    fn next(&mut self, end: Duration) -> bool {
        if !self.saves.is_empty() {
            self.save_one();
            return true;
        }
        let wake = self.machine.wake_at(Mono::after_start(self.now)).map(Mono::since_start);
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
        if let Some((Op::Order(order, _), _, _)) = self.running.take()
            && matches!(self.mood, Mood::Well | Mood::Mute)
        {
            let power = order.leads_to();
            // The order was on its way.
            self.writes.push((self.now, power));
            self.turn(power);
        }
        self.saves.clear();
        self.now += gap;
        let first_poll = Mono::after_start(self.now);
        self.machine = Machine::new(self.spec.clone(), self.disk.clone(), first_poll, self.moment());
        self.input(Input::Tick);
    }

    fn answered(&self, ticket: Ticket) -> Option<&Result<(), Refusal>> {
        self.answers.iter().find(|(name, _)| *name == ticket).map(|(_, answer)| answer)
    }

    fn was_told(&self, wanted: impl Fn(&Happening) -> bool) -> usize {
        self.told.iter().filter(|happening| wanted(happening)).count()
    }

    /// How long the relay stayed open, each time.
    fn dwells(&self) -> Vec<Duration> {
        let pairs = self.relay_log.windows(2);
        pairs.filter(|pair| pair[0].1 == Power::Off).map(|pair| pair[1].0 - pair[0].0).collect()
    }
}
