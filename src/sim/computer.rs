//! The simulated computer on an outlet: with or without mains power, off, asleep, running, shutting down or hung.
//! [`Trace`] gives its power draw in each state.
//!
//! Pure: every call is given the time, and events that are due happen at their own time, when [`Computer::happen`] is
//! called. It knows no relay, no meter and no protocol.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::board::{PowerLoss, as_ms};
use super::trace::Trace;
use crate::clock::Mono;

/// How much history is kept: far more than a test makes, and little memory.
const HISTORY_MAX: usize = 10_000;
/// How long a computer that starts up has been up by then, so that a rack does not start with a boot.
const HEAD_START: Duration = Duration::from_secs(3_600);

/// The state of a computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComputerState {
    /// It has no power.
    Unpowered,
    /// S5: off, with power on its supply.
    Off,
    /// S3.
    Asleep,
    /// It boots, or its operating system runs.
    Running,
    /// Its operating system shuts down.
    ShuttingDown,
    /// Its operating system hangs.
    Hung,
}

impl ComputerState {
    /// Whether it would lose something if its power were cut.
    pub fn is_up(self) -> bool {
        !matches!(self, ComputerState::Unpowered | ComputerState::Off)
    }
}

/// What an operating system makes of being told to shut down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnShutdown {
    /// Shuts down.
    #[default]
    Obeys,
    /// Ignores the request.
    Ignores,
    /// It begins to, and never ends.
    Hangs,
}

/// What can happen to a computer but for its power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComputerAct {
    /// Its operating system is told to shut down, from inside or over the network.
    ShutDown,
    /// Its operating system goes to sleep (S3).
    Sleep,
    /// A magic packet, or its button while it is off or asleep.
    Wake,
    /// Its operating system restarts it.
    Restart,
    /// Its operating system hangs.
    Hang,
}

/// How a computer is made. What is `None` is made from the seed.
#[derive(Clone, Debug, PartialEq)]
pub struct ComputerConfig {
    /// Its draw when idle.
    pub idle_mw: Option<u64>,
    /// Its draw when off, without an engine.
    pub off_mw: Option<u64>,
    /// Its draw when asleep.
    pub asleep_mw: Option<u64>,
    /// A management engine, or a network card that waits for a magic packet, is awake while it is off: 1.1 to 2.1 W more.
    pub engine: bool,
    /// How far its draw dips now and then when idle, in percent of idle, and how far up it goes.
    pub dips_to_percent: u64,
    /// How long it boots at full draw.
    pub boot: Option<Duration>,
    /// What its operating system makes of being told to shut down.
    pub on_shutdown: OnShutdown,
    /// Duration of a shutdown.
    pub shutdown: Duration,
    /// What its firmware does when it gets power.
    pub restore: PowerLoss,
}

impl Default for ComputerConfig {
    fn default() -> ComputerConfig {
        ComputerConfig {
            idle_mw: None,
            off_mw: None,
            asleep_mw: None,
            engine: false,
            dips_to_percent: 62,
            boot: None,
            on_shutdown: OnShutdown::Obeys,
            shutdown: Duration::from_secs(6),
            restore: PowerLoss::On,
        }
    }
}

/// One change of what a computer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ComputerChange {
    /// When, since the rack's clock was made.
    #[serde(rename = "at_ms", serialize_with = "as_ms")]
    pub at: Mono,
    /// What it does from then.
    pub state: ComputerState,
}

/// A computer.
#[derive(Clone, Debug)]
pub struct Computer {
    config: ComputerConfig,
    trace: Trace,
    state: ComputerState,
    since: Mono,
    /// To be added to the time since `since`, which may lie before the clock's start.
    head_start: Duration,
    /// What comes next by itself, and when.
    next: Option<(Mono, ComputerState)>,
    /// What it did when it lost its power.
    before_loss: ComputerState,
    history: Vec<ComputerChange>,
}

impl Computer {
    /// A computer that exists from `now` on, with power (it is up for long, then) or without.
    pub fn new(seed: u64, config: ComputerConfig, powered: bool, now: Mono) -> Computer {
        let state = if powered { ComputerState::Running } else { ComputerState::Unpowered };
        Computer {
            trace: Trace::new(seed, &config),
            config,
            state,
            since: now,
            head_start: HEAD_START,
            next: None,
            before_loss: ComputerState::Running,
            history: vec![ComputerChange { at: now, state }],
        }
    }

    /// Its state.
    pub fn state(&self) -> ComputerState {
        self.state
    }

    /// All that it did, oldest first; the first tells what it did at the start.
    pub fn history(&self) -> &[ComputerChange] {
        &self.history
    }

    /// Whether its operating system runs, and would answer.
    pub fn os_runs(&self, at: Mono) -> bool {
        match self.state {
            ComputerState::Running => at.since(self.since) + self.head_start >= self.trace.boot_time(),
            ComputerState::ShuttingDown => true,
            _ => false,
        }
    }

    /// Sets what its operating system makes of being told to shut down.
    pub fn set_on_shutdown(&mut self, to: OnShutdown) {
        self.config.on_shutdown = to;
    }

    /// Gives it power, or takes it.
    pub fn feed(&mut self, powered: bool, at: Mono) {
        match (powered, self.state) {
            (false, ComputerState::Unpowered) => {}
            (false, state) => {
                self.before_loss = state;
                self.enter(ComputerState::Unpowered, at);
            }
            (true, ComputerState::Unpowered) => {
                let starts = match self.config.restore {
                    PowerLoss::On => true,
                    PowerLoss::Off => false,
                    PowerLoss::LastState => self.before_loss.is_up(),
                };
                self.enter(if starts { ComputerState::Running } else { ComputerState::Off }, at);
            }
            (true, _) => {}
        }
    }

    /// Something happens to it. What does not fit its state is passed over.
    pub fn act(&mut self, act: ComputerAct, at: Mono) {
        let listens = self.state == ComputerState::Running && self.os_runs(at);
        match (act, self.state) {
            (ComputerAct::ShutDown, _) if listens => {
                let end = match self.config.on_shutdown {
                    OnShutdown::Obeys => ComputerState::Off,
                    OnShutdown::Hangs => ComputerState::Hung,
                    OnShutdown::Ignores => return,
                };
                self.enter(ComputerState::ShuttingDown, at);
                self.next = Some((at + self.config.shutdown, end));
            }
            (ComputerAct::Sleep, _) if listens => self.enter(ComputerState::Asleep, at),
            (ComputerAct::Restart, _) if listens => self.enter(ComputerState::Running, at),
            (ComputerAct::Hang, ComputerState::Running | ComputerState::ShuttingDown) => {
                self.enter(ComputerState::Hung, at);
            }
            (ComputerAct::Wake, ComputerState::Off) => self.enter(ComputerState::Running, at),
            (ComputerAct::Wake, ComputerState::Asleep) => {
                self.enter(ComputerState::Running, at);
                // It goes on where it was.
                self.head_start = HEAD_START;
            }
            _ => {}
        }
    }

    /// When something happens by itself.
    pub fn due(&self) -> Option<Mono> {
        self.next.map(|(due, _)| due)
    }

    /// Lets happen what is due.
    pub fn happen(&mut self) {
        if let Some((due, state)) = self.next {
            self.enter(state, due);
        }
    }

    /// Its power draw in milliwatts.
    pub fn draw_mw(&self, at: Mono) -> u64 {
        self.trace.draw_mw(self.state, self.time_in_state(at))
    }

    /// The energy used between two moments of its present state, in microjoules.
    pub fn energy_uj(&self, from: Mono, to: Mono) -> u64 {
        let until = |at: Mono| self.trace.energy_uj(self.state, self.time_in_state(at));
        until(to).saturating_sub(until(from))
    }

    fn time_in_state(&self, at: Mono) -> Duration {
        at.since(self.since) + self.head_start
    }

    fn enter(&mut self, state: ComputerState, at: Mono) {
        (self.state, self.since, self.head_start, self.next) = (state, at, Duration::ZERO, None);
        if self.history.len() < HISTORY_MAX {
            self.history.push(ComputerChange { at, state });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::after_start(Duration::from_secs(seconds))
    }

    fn computer(config: ComputerConfig) -> Computer {
        Computer::new(4, config, true, at(0))
    }

    /// Lets time pass, and says what it does then.
    fn then(computer: &mut Computer, seconds: u64) -> ComputerState {
        while computer.due().is_some_and(|due| due <= at(seconds)) {
            computer.happen();
        }
        computer.state()
    }

    #[test]
    fn a_shutdown_takes_its_time_and_ends_in_s5() {
        let mut machine = computer(ComputerConfig::default());
        machine.act(ComputerAct::ShutDown, at(10));
        assert_eq!((then(&mut machine, 15), machine.os_runs(at(15))), (ComputerState::ShuttingDown, true));
        assert!(machine.draw_mw(at(15)) > 9_000);
        assert_eq!((then(&mut machine, 16), machine.os_runs(at(16))), (ComputerState::Off, false));
        assert!((200..1_300).contains(&machine.draw_mw(at(16))));
        machine.act(ComputerAct::Sleep, at(20));
        machine.act(ComputerAct::ShutDown, at(20));
        assert_eq!(machine.state(), ComputerState::Off, "nothing is there that could listen");
        machine.act(ComputerAct::Wake, at(30));
        assert_eq!(
            (machine.state(), machine.os_runs(at(31)), machine.os_runs(at(70))),
            (ComputerState::Running, false, true)
        );
        let states: Vec<ComputerState> = machine.history().iter().map(|change| change.state).collect();
        use ComputerState::{Off, Running, ShuttingDown};
        assert_eq!((states, machine.history()[2].at), (vec![Running, ShuttingDown, Off, Running], at(16)));
    }

    #[test]
    fn a_shutdown_may_be_ignored_or_hang() {
        let mut deaf = computer(ComputerConfig { on_shutdown: OnShutdown::Ignores, ..ComputerConfig::default() });
        deaf.act(ComputerAct::ShutDown, at(10));
        assert_eq!((then(&mut deaf, 600), deaf.history().len()), (ComputerState::Running, 1));
        deaf.set_on_shutdown(OnShutdown::Hangs);
        deaf.act(ComputerAct::ShutDown, at(600));
        assert_eq!((then(&mut deaf, 605), then(&mut deaf, 606)), (ComputerState::ShuttingDown, ComputerState::Hung));
        for act in [ComputerAct::ShutDown, ComputerAct::Wake, ComputerAct::Restart] {
            deaf.act(act, at(700));
        }
        assert_eq!(then(&mut deaf, 9_000), ComputerState::Hung);
        assert!(deaf.draw_mw(at(9_000)) > 9_000 && deaf.state().is_up());
        deaf.feed(false, at(9_000));
        deaf.feed(true, at(9_010));
        assert_eq!(deaf.state(), ComputerState::Running);
    }

    #[test]
    fn a_shutdown_is_not_heard_while_it_boots() {
        let mut machine = computer(ComputerConfig::default());
        machine.act(ComputerAct::Restart, at(10));
        machine.act(ComputerAct::ShutDown, at(12));
        assert_eq!((machine.state(), machine.due()), (ComputerState::Running, None));
    }

    #[test]
    fn sleep_draws_little_and_goes_on_where_it_was() {
        let mut machine = computer(ComputerConfig { asleep_mw: Some(2_000), ..ComputerConfig::default() });
        machine.act(ComputerAct::Sleep, at(10));
        assert_eq!((machine.state(), machine.os_runs(at(11))), (ComputerState::Asleep, false));
        assert!((1_900..2_100).contains(&machine.draw_mw(at(11))) && machine.state().is_up());
        machine.act(ComputerAct::Wake, at(20));
        assert!(machine.os_runs(at(20)));
    }

    #[test]
    fn the_firmware_decides_what_comes_with_the_power() {
        let restored = |restore: PowerLoss, off_before: bool| {
            let mut machine = computer(ComputerConfig { restore, ..ComputerConfig::default() });
            if off_before {
                machine.act(ComputerAct::ShutDown, at(10));
                then(&mut machine, 20);
            }
            machine.feed(false, at(30));
            assert_eq!((machine.state(), machine.draw_mw(at(31))), (ComputerState::Unpowered, 0));
            machine.feed(true, at(40));
            machine.feed(true, at(41));
            machine.state()
        };
        assert_eq!(restored(PowerLoss::On, true), ComputerState::Running);
        assert_eq!(restored(PowerLoss::Off, false), ComputerState::Off);
        assert_eq!(restored(PowerLoss::LastState, true), ComputerState::Off);
        assert_eq!(restored(PowerLoss::LastState, false), ComputerState::Running);
    }

    #[test]
    fn power_that_goes_ends_a_shutdown() {
        let mut machine = computer(ComputerConfig::default());
        machine.act(ComputerAct::ShutDown, at(10));
        machine.feed(false, at(12));
        assert_eq!((machine.due(), then(&mut machine, 60)), (None, ComputerState::Unpowered));
    }
}
