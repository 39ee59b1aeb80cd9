//! A simulated outlet: its relay with its history, the computer behind it, its power draw and the energy used.
//!
//! Pure: every call is given the time, nothing is random, and elapsed time is caught up at the next call. It knows
//! neither sockets nor the Tapo protocol.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::computer::{Computer, ComputerAct, ComputerConfig, OnShutdown};
use super::config::dice;
use super::meter::{Display, Meter};
use super::trace::ms;
use crate::clock::{Mono, Now, Wall};

/// How much history is kept: far more than a test makes, and little memory.
const HISTORY_MAX: usize = 100_000;
/// How long a relay that starts on has been on by then.
const HEAD_START: Duration = Duration::from_secs(3_600);

/// What the relay does when power comes back (`default_states`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerLoss {
    /// The state before the power loss.
    #[default]
    LastState,
    /// On.
    On,
    /// Off.
    Off,
}

/// What hangs on the outlet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// A computer, which starts as soon as it gets power unless its firmware says otherwise.
    #[default]
    Computer,
    /// Has no effect.
    Nothing,
    /// The same computer, but the contact is welded: it runs whatever the relay says.
    Welded,
}

/// The cause of a relay change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It was so at the start.
    Start,
    /// A client's request.
    Client,
    /// The button on the plug.
    Button,
    /// The test, in the place of an app or a schedule.
    Test,
    /// A countdown rule.
    Countdown,
    /// The plug lost its power, or let the relay go when it restarted.
    PowerLost,
    /// Mains power returned.
    PowerBack,
}

/// One change of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RelayChange {
    /// When, since the rack's clock was made.
    #[serde(rename = "at_ms", serialize_with = "as_ms")]
    pub at: Mono,
    /// When, by the wall clock.
    #[serde(rename = "wall_ms")]
    pub wall: Wall,
    /// The state from then on.
    pub on: bool,
    pub cause: Cause,
}

pub(super) fn as_ms<S: serde::Serializer>(at: &Mono, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(ms(at.since_start()))
}

/// A countdown rule: there is at most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Countdown {
    /// A name that was not used before on this outlet.
    pub id: u64,
    /// The requested delay.
    pub delay_s: u64,
    /// Time at which it switches.
    pub due: Mono,
    /// The state to which it switches.
    pub on: bool,
}

/// An event without a request.
enum Due {
    Countdown(bool),
    PowerBack,
    Computer,
}

/// A relay, and the computer behind it.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    seed: u64,
    computer: Computer,
    load: Load,
    power_loss: PowerLoss,
    relay: bool,
    /// Since when the relay has been in its state; what `on_time` is counted from.
    changed: Mono,
    /// To be added to the time since `changed`, which may lie before the clock's start.
    relay_head_start: Duration,
    /// The draw just before the last change of it, and when that was: the meter still shows it for a while.
    before_change: Option<(Mono, u64)>,
    meter: Meter,
    /// What the meter sticks at.
    stuck: Option<u64>,
    settled: Now,
    history: Vec<RelayChange>,
    power_ons: u64,
    countdown: Option<Countdown>,
    countdowns: u64,
    /// The relay closes again then.
    power_back: Option<Mono>,
}

impl Board {
    /// A board that exists from `now` on.
    pub(crate) fn new(seed: u64, on: bool, power_loss: PowerLoss, computer: ComputerConfig, now: Now) -> Board {
        Board {
            seed,
            computer: Computer::new(seed, computer, on, now.mono),
            load: Load::Computer,
            power_loss,
            relay: on,
            changed: now.mono,
            relay_head_start: HEAD_START,
            before_change: None,
            meter: Meter::new(dice(seed, 3) % 4_000),
            stuck: None,
            settled: now,
            history: vec![RelayChange { at: now.mono, wall: now.wall, on, cause: Cause::Start }],
            power_ons: 0,
            countdown: None,
            countdowns: 0,
            power_back: None,
        }
    }

    /// Lets the time up to `now` pass: energy is counted and what was due then happens at its own time.
    pub(crate) fn settle(&mut self, now: Now) {
        while let Some((due, what)) = self.next_due().filter(|(due, _)| *due <= now.mono) {
            let late = now.mono.since(due);
            let then =
                Now { mono: due, wall: Wall(now.wall.0.saturating_sub(i64::try_from(late.as_millis()).unwrap_or(0))) };
            self.count(then);
            match what {
                Due::Countdown(on) => {
                    self.countdown = None;
                    self.put(on, Cause::Countdown, then);
                }
                Due::PowerBack => {
                    self.power_back = None;
                    self.put(true, Cause::PowerBack, then);
                }
                Due::Computer => {
                    self.draw_changes(then.mono);
                    self.computer.happen();
                }
            }
        }
        self.count(now);
    }

    fn next_due(&self) -> Option<(Mono, Due)> {
        let rule = self.countdown.map(|rule| (rule.due, Due::Countdown(rule.on)));
        let back = self.power_back.map(|due| (due, Due::PowerBack));
        let computer = self.computer.due().map(|due| (due, Due::Computer));
        [rule, back, computer].into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    fn count(&mut self, now: Now) {
        let computer = &self.computer;
        self.meter.pass(self.settled, now, self.relay, |from, to| computer.energy_uj(from, to));
        self.settled = now;
    }

    /// Moves the relay. Moving it to where it is is no change and leaves `on_time` alone.
    pub(crate) fn switch(&mut self, on: bool, cause: Cause, now: Now) {
        self.settle(now);
        self.put(on, cause, now);
    }

    fn put(&mut self, on: bool, cause: Cause, now: Now) {
        if self.relay == on {
            return;
        }
        self.draw_changes(now.mono);
        self.relay = on;
        self.count_on_time_from(now.mono);
        if self.history.len() < HISTORY_MAX {
            self.history.push(RelayChange { at: now.mono, wall: now.wall, on, cause });
        }
        self.power_ons += u64::from(on);
        self.feed(now.mono);
    }

    /// Brings the computer's power in line with relay and load.
    fn feed(&mut self, at: Mono) {
        let fed = match self.load {
            Load::Computer => self.relay,
            Load::Nothing => false,
            Load::Welded => true,
        };
        self.computer.feed(fed, at);
    }

    /// What happens now to the draw is not shown at once.
    fn draw_changes(&mut self, at: Mono) {
        self.before_change = Some((at, self.draw_mw(at)));
    }

    fn count_on_time_from(&mut self, at: Mono) {
        self.changed = at;
        self.relay_head_start = Duration::ZERO;
    }

    /// Takes the power from the plug itself for this long: the relay falls, and what comes back is up to
    /// `default_states`. A countdown does not survive it.
    pub(crate) fn lose_power(&mut self, outage: Duration, now: Now) {
        self.settle(now);
        let comes_back = match self.power_loss {
            PowerLoss::LastState => self.relay || self.power_back.is_some(),
            PowerLoss::On => true,
            PowerLoss::Off => false,
        };
        self.countdown = None;
        self.put(false, Cause::PowerLost, now);
        self.power_back = comes_back.then_some(now.mono + outage);
        self.meter.restart();
    }

    /// The plug restarts and holds the relay: what its firmware counted begins again.
    pub(crate) fn restart(&mut self, now: Now) {
        self.settle(now);
        self.countdown = None;
        self.count_on_time_from(now.mono);
        self.draw_changes(now.mono);
        self.meter.restart();
    }

    /// Hangs something else on the outlet.
    pub(crate) fn set_load(&mut self, load: Load, now: Now) {
        self.settle(now);
        self.load = load;
        self.feed(now.mono);
    }

    /// Something happens to the computer.
    pub(crate) fn act(&mut self, act: ComputerAct, now: Now) {
        self.settle(now);
        let before = (now.mono, self.draw_mw(now.mono));
        let state = self.computer.state();
        self.computer.act(act, now.mono);
        if self.computer.state() != state {
            self.before_change = Some(before);
        }
    }

    /// Sets what the computer's operating system makes of being told to shut down.
    pub(crate) fn set_on_shutdown(&mut self, to: OnShutdown) {
        self.computer.set_on_shutdown(to);
    }

    /// The computer.
    pub(crate) fn computer(&self) -> &Computer {
        &self.computer
    }

    /// Adds to all counters of energy, as if time had passed.
    pub(crate) fn add_energy_wh(&mut self, wh: u64) {
        self.meter.add_wh(wh);
    }

    /// Sets a countdown rule; `None` when there is one already.
    pub(crate) fn add_countdown(&mut self, delay_s: u64, on: bool, now: Now) -> Option<Countdown> {
        self.settle(now);
        if self.countdown.is_some() {
            return None;
        }
        self.countdowns += 1;
        self.countdown =
            Some(Countdown { id: self.countdowns, delay_s, due: now.mono + Duration::from_secs(delay_s), on });
        self.countdown
    }

    /// Removes the countdown rule.
    pub(crate) fn remove_countdown(&mut self) {
        self.countdown = None;
    }

    /// The countdown rule.
    pub(crate) fn countdown(&self) -> Option<Countdown> {
        self.countdown
    }

    /// The state of the relay.
    pub(crate) fn relay(&self) -> bool {
        self.relay
    }

    /// How long the relay has been on; zero when it is off.
    pub(crate) fn on_for(&self, now: Now) -> Duration {
        if self.relay { now.mono.since(self.changed) + self.relay_head_start } else { Duration::ZERO }
    }

    /// What the computer really draws, without the lag of a meter.
    pub(crate) fn draw_mw(&self, at: Mono) -> u64 {
        self.computer.draw_mw(at)
    }

    /// What a meter shows: late, with its own noise, in its own steps.
    pub(crate) fn shown_mw(&self, display: &Display, now: Now) -> u64 {
        let before = self.before_change.filter(|(at, _)| now.mono.since(*at) < display.lag);
        let draw = before.map_or_else(|| self.draw_mw(now.mono), |(_, draw)| draw);
        display.shows(draw, dice(self.seed, 700_000 + ms(now.mono.since_start()) / Display::REFRESH_MS))
    }

    /// What a meter that sticks shows: for as long as it does, what it showed when it began to.
    pub(crate) fn stuck_mw(&mut self, shown: u64, sticks: bool) -> u64 {
        self.stuck = sticks.then(|| self.stuck.unwrap_or(shown));
        self.stuck.unwrap_or(shown)
    }

    /// The counters of energy.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// How often the relay was switched on since the start.
    pub(crate) fn power_ons(&self) -> u64 {
        self.power_ons
    }

    /// All changes of the relay, oldest first; the first tells the state at the start.
    pub(crate) fn history(&self) -> &[RelayChange] {
        &self.history
    }

    /// `default_states`.
    pub(crate) fn power_loss(&self) -> PowerLoss {
        self.power_loss
    }

    /// Sets `default_states`.
    pub(crate) fn set_power_loss(&mut self, to: PowerLoss) {
        self.power_loss = to;
    }
}

#[cfg(test)]
mod tests;
