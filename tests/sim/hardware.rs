//! The true state of the devices: relays and boards that follow actions, get pressed, fall asleep and fail.
//!
//! Plain values on the simulation's own time. It knows nothing of the code under test except its power actions, and
//! nothing of the laws.

use std::collections::VecDeque;
use std::time::Duration;

use plugfish::testing::node::device::FailureClass;
use plugfish::testing::node::{BootEnabled, BootOverride, BootTarget, Power, PowerAction};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// How long a driver waits for an answer.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Make {
    /// On and off, at once.
    Plug,
    /// Part of the machine: native orders, boot sources, sleep, transitions that take seconds.
    Engine,
}

/// How a device fails for a while. It never lies, except that it may report late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Nothing arrives, nothing comes back.
    Silent,
    /// No connection.
    Unreachable,
    /// Everything takes seconds.
    Slow,
    /// Requests get lost, and answers to requests that were followed.
    Lossy,
    /// No login is accepted.
    WrongPassword,
    /// The device has locked itself.
    Locked,
    /// It asks for rest.
    Busy,
    /// Its answers make no sense; what they answer was done.
    Garbled,
    /// It reports the old state for a while after an order.
    Late,
    /// It takes no orders (an engine in the middle of something).
    NotReady,
    /// The operating system does not answer a polite request.
    Deaf,
    /// A call never ends.
    Stuck,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 12] = [
        Fault::Silent,
        Fault::Unreachable,
        Fault::Slow,
        Fault::Lossy,
        Fault::WrongPassword,
        Fault::Locked,
        Fault::Busy,
        Fault::Garbled,
        Fault::Late,
        Fault::NotReady,
        Fault::Deaf,
        Fault::Stuck,
    ];
}

/// One request on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Wire {
    /// A login.
    Login,
    /// A reading.
    Read,
    /// An order; the number of the boot override's change goes with it, for the laws.
    PowerAction(PowerAction, BootOverride, u64),
    /// Half a corner.
    Scan,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// When its caller learns of it.
    pub after: Duration,
    /// Why it failed, from its caller's point of view.
    pub error: Option<FailureClass>,
}

/// A boot with a source that was set here.
#[derive(Clone, Copy, Debug)]
pub struct Boot {
    /// From where.
    pub target: BootTarget,
    /// It was set for one boot.
    pub once: bool,
    /// The change number that went with the order.
    pub writes: u64,
}

/// One device and the machine behind it.
pub struct Hardware {
    /// What it is.
    pub make: Make,
    /// The truth.
    pub power: Power,
    /// Since when.
    pub turned: Duration,
    /// When it was last off, or is: and when its system last came to an end, by that or by a restart.
    pub was_off: Option<Duration>,
    pub ended: Option<Duration>,
    /// It is on its way to this state until then.
    pub moving: Option<(Duration, Power)>,
    /// When its operating system will have shut down.
    pub shuts_down: Option<Duration>,
    on_the_way: VecDeque<(Duration, PowerAction, BootOverride, u64)>,
    late: Option<(Duration, Power)>,
    /// When it last ended to report late.
    pub lately: Duration,
    /// How it fails, and until when.
    pub fault: Option<(Fault, Duration)>,
    /// When the last fault, press or power cut ended.
    pub disturbed: Duration,
    /// When someone outside last changed the power.
    pub outside: Option<Duration>,
    /// The next request makes the driver panic.
    pub panics: bool,
    /// It knows the session.
    pub session: bool,
    /// Corners of the machine that were not looked into, and how many these were when it was healed.
    pub corners: usize,
    pub corners_then: usize,
    /// Orders that arrived, and when.
    pub turns: VecDeque<(Duration, PowerAction)>,
    /// Boots from a source that was set here.
    pub boots: Vec<Boot>,
    /// What the last order met.
    pub answer: Result<(), FailureClass>,
    rng: SmallRng,
}

impl Hardware {
    /// A device that is well.
    pub fn new(make: Make, seed: u64) -> Hardware {
        let mut rng = SmallRng::seed_from_u64(seed);
        let power = if rng.random_bool(0.7) { Power::On } else { Power::Off };
        Hardware {
            make,
            power,
            turned: Duration::ZERO,
            was_off: None,
            ended: None,
            moving: None,
            shuts_down: None,
            on_the_way: VecDeque::new(),
            late: None,
            lately: Duration::ZERO,
            fault: None,
            disturbed: Duration::ZERO,
            outside: None,
            panics: false,
            session: false,
            corners: 4,
            corners_then: 0,
            turns: VecDeque::new(),
            boots: Vec::new(),
            answer: Ok(()),
            rng,
        }
    }

    /// The fault of this moment.
    pub fn failing(&self, now: Duration) -> Option<Fault> {
        self.fault.filter(|(_, until)| now < *until).map(|(fault, _)| fault)
    }

    /// Lets it fail; the session does not survive what has to do with logins.
    pub fn fail(&mut self, fault: Fault, until: Duration) {
        if matches!(fault, Fault::WrongPassword | Fault::Locked) {
            self.session = false;
        }
        self.fault = Some((fault, until));
        // A call that is stuck ends by the actor's own deadline.
        let stuck = if fault == Fault::Stuck { Duration::from_secs(45) } else { Duration::ZERO };
        self.disturbed = self.disturbed.max(until + stuck);
    }

    /// Nothing fails from now on; what is late comes now.
    pub fn heal(&mut self, now: Duration) {
        self.advance(now);
        (self.fault, self.late, self.panics) = (None, None, false);
        // A call that is stuck ends by the actor's own deadline.
        (self.disturbed, self.corners_then) = (now + Duration::from_secs(45), self.corners);
    }

    /// It says what is true.
    pub fn catch_up(&mut self, now: Duration) {
        self.advance(now);
        self.late = None;
    }

    /// Someone outside changes the power.
    pub fn press(&mut self, now: Duration, power: Power) {
        self.advance(now);
        (self.moving, self.shuts_down, self.late) = (None, None, None);
        if self.power != power {
            self.turn(now, power);
        }
        (self.outside, self.disturbed) = (Some(now), self.disturbed.max(now));
    }

    fn turn(&mut self, at: Duration, power: Power) {
        if self.power == Power::Off || power == Power::Off {
            (self.was_off, self.ended) = (Some(at), Some(at));
        }
        (self.power, self.turned) = (power, at);
    }

    /// It was off at this moment or later; or, where a restart is enough, its system came to an end.
    pub fn came_to_an_end(&self, since: Duration, off: bool) -> bool {
        let at = if off { self.was_off } else { self.ended };
        self.power == Power::Off || at.is_some_and(|at| at >= since)
    }

    fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(from..=to))
    }

    /// A request arrives: what becomes of it.
    pub fn meet(&mut self, now: Duration, wire: &Wire) -> Fate {
        self.advance(now);
        let quick = self.ms(5, 80);
        let fate = |after, error| Fate { after, error: Some(error) };
        let fault = self.failing(now);
        let (mut arrives, fate) = match fault {
            Some(Fault::Silent) => (false, fate(ANSWER_LIMIT, FailureClass::Timeout)),
            Some(Fault::Stuck) => (false, fate(Duration::from_secs(36_000), FailureClass::Timeout)),
            Some(Fault::Unreachable) => (false, fate(quick, FailureClass::Unreachable)),
            Some(Fault::Busy) => (false, fate(quick, FailureClass::Busy)),
            Some(Fault::Garbled) => (true, fate(quick, FailureClass::Protocol)),
            Some(Fault::WrongPassword) if *wire == Wire::Login => (false, fate(quick, FailureClass::Auth)),
            Some(Fault::Locked) if *wire == Wire::Login => (false, fate(quick, FailureClass::Locked)),
            Some(Fault::NotReady) if matches!(wire, Wire::PowerAction(..)) && self.make == Make::Engine => {
                (false, fate(quick, FailureClass::NotReady))
            }
            Some(Fault::Lossy) => match self.rng.random_range(0..3) {
                0 => (false, fate(ANSWER_LIMIT, FailureClass::Timeout)),
                1 => (true, fate(ANSWER_LIMIT, FailureClass::Timeout)),
                _ => (true, Fate { after: quick, error: None }),
            },
            Some(Fault::Slow) => (true, Fate { after: self.ms(500, 2_500), error: None }),
            _ => (true, Fate { after: quick, error: None }),
        };
        if *wire == Wire::Login {
            self.session |= fate.error.is_none();
        } else if !self.session {
            arrives = false;
        }
        if let (true, Wire::PowerAction(order, boot, writes)) = (arrives, wire) {
            self.on_the_way.push_back((now + fate.after.min(quick), *order, boot.clone(), *writes));
        }
        fate
    }

    /// What it says when it is read.
    pub fn says(&mut self, now: Duration) -> Option<Power> {
        self.advance(now);
        self.late = self.late.filter(|(until, _)| now < *until);
        match (self.moving, self.late) {
            (Some(_), _) => None,
            (None, Some((_, old))) => Some(old),
            (None, None) => Some(self.power),
        }
    }

    /// It may report what was before: the caller it politely cannot know.
    pub fn is_late(&self, now: Duration) -> bool {
        self.late.is_some_and(|(until, _)| now < until)
    }

    /// The orders that it takes now.
    pub fn orders(&self, now: Duration) -> Vec<PowerAction> {
        match self.power {
            Power::Off => vec![PowerAction::On],
            Power::Asleep => vec![PowerAction::On, PowerAction::Off, PowerAction::Cycle, PowerAction::Reset],
            Power::On => {
                let mut orders = vec![PowerAction::Off, PowerAction::Cycle, PowerAction::Reset, PowerAction::Nmi];
                if self.failing(now) != Some(Fault::Deaf) {
                    orders.extend([PowerAction::GracefulOff, PowerAction::GracefulReset]);
                }
                orders
            }
        }
    }

    /// Lives up to this moment.
    pub fn advance(&mut self, now: Duration) {
        loop {
            let arrival = self.on_the_way.front().map(|(at, ..)| *at);
            let end = self.moving.map(|(at, _)| at);
            let next = [arrival, end, self.shuts_down].into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= now) else { return };
            if end == Some(at) {
                if let Some((_, power)) = self.moving.take() {
                    self.turn(at, power);
                }
            } else if self.shuts_down == Some(at) {
                self.shuts_down = None;
                self.turn(at, Power::Off);
            } else if let Some((_, order, boot, writes)) = self.on_the_way.pop_front() {
                let before = self.power;
                self.answer = self.follow(at, order, &boot, writes);
                self.turns.push_back((at, order));
                if self.turns.len() > 8 {
                    self.turns.pop_front();
                }
                // Where answers get lost, also the news of what was done may come late.
                let late = match self.failing(at) {
                    Some(Fault::Late) => true,
                    Some(Fault::Lossy) => self.rng.random_bool(0.5),
                    _ => false,
                };
                if late && self.answer.is_ok() {
                    self.lately = at + self.ms(200, 20_000);
                    self.late = Some((self.lately, before));
                }
            }
        }
    }

    fn follow(
        &mut self,
        at: Duration,
        order: PowerAction,
        boot: &BootOverride,
        writes: u64,
    ) -> Result<(), FailureClass> {
        if self.make == Make::Plug {
            if self.power != order.leads_to() {
                self.turn(at, order.leads_to());
            }
            return Ok(());
        }
        if self.moving.is_some() || (self.power == Power::Off && !matches!(order, PowerAction::On | PowerAction::Off)) {
            return Err(FailureClass::NotReady);
        }
        let boots = order.boots() && (order != PowerAction::On || self.power == Power::Off);
        if boots {
            self.ended = Some(at);
        }
        if order != PowerAction::Nmi {
            self.shuts_down = None;
        }
        match order {
            PowerAction::On if self.power == Power::On => {}
            PowerAction::Nmi => {}
            PowerAction::GracefulOff if self.failing(at) == Some(Fault::Deaf) => {}
            PowerAction::GracefulOff => self.shuts_down = Some(at + self.ms(5_000, 60_000)),
            _ => self.moving = Some((at + self.ms(0, 4_000), order.leads_to())),
        }
        let target = boot.in_force();
        if boots && boot.enabled != BootEnabled::Disabled {
            let once = boot.enabled == BootEnabled::Once;
            self.boots.push(Boot { target, once, writes });
        }
        Ok(())
    }
}
