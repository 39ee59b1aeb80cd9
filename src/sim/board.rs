//! The simulated computer behind a relay: what it draws, what it has used, and all that ever happened to its relay.
//!
//! Pure: every call is given the time, nothing is drawn at random, and time that passed is caught up with at the next
//! call. It knows neither sockets nor the Tapo protocol.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::computer::{Profile, ms};
use super::config::dice;
use super::meter::Meter;
use crate::clock::{Mono, Now, Wall};

/// How much history is kept: far more than a test makes, and little memory.
const HISTORY_MAX: usize = 100_000;
/// How long a board that starts on has been on by then, so that a rack starts with computers that are up.
const HEAD_START: Duration = Duration::from_secs(3_600);

/// What the relay does when power comes back (`default_states`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerLoss {
    /// As it was.
    #[default]
    LastState,
    /// Comes up on.
    On,
    /// Stays off.
    Off,
}

/// What hangs on the outlet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// A computer that starts as soon as it gets power.
    #[default]
    Computer,
    /// Nothing.
    Nothing,
    /// The same computer, but the contact is welded: it runs whatever the relay says.
    Welded,
}

/// What moved a relay.
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
    /// Power came back.
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
    /// On from then.
    pub on: bool,
    /// By what.
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
    /// As asked for.
    pub delay_s: u64,
    /// When it strikes.
    pub due: Mono,
    /// What it does then.
    pub on: bool,
}

/// A relay, and the computer behind it.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    profile: Profile,
    load: Load,
    power_loss: PowerLoss,
    relay: bool,
    /// Since when the relay has been in its state; what `on_time` is counted from.
    changed: Mono,
    /// Since when the computer has had power.
    fed_since: Option<Mono>,
    /// To be added to the time since `changed`, which may lie before the clock's start.
    relay_head_start: Duration,
    /// To be added to the time since `fed_since`.
    fed_head_start: Duration,
    /// The draw just before the last change, which the meter still shows for a while.
    before_change_mw: u64,
    meter: Meter,
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
    pub(crate) fn new(seed: u64, on: bool, power_loss: PowerLoss, now: Now) -> Board {
        Board {
            profile: Profile::new(seed),
            load: Load::Computer,
            power_loss,
            relay: on,
            changed: now.mono,
            fed_since: on.then_some(now.mono),
            relay_head_start: HEAD_START,
            fed_head_start: HEAD_START,
            before_change_mw: 0,
            meter: Meter::new(dice(seed, 3) % 4_000),
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
        while let Some((due, on, cause)) = self.next_due().filter(|(due, ..)| *due <= now.mono) {
            let late = now.mono.since(due);
            let then =
                Now { mono: due, wall: Wall(now.wall.0.saturating_sub(i64::try_from(late.as_millis()).unwrap_or(0))) };
            match cause {
                Cause::Countdown => self.countdown = None,
                _ => self.power_back = None,
            }
            self.count(then);
            self.put(on, cause, then);
        }
        self.count(now);
    }

    fn next_due(&self) -> Option<(Mono, bool, Cause)> {
        let rule = self.countdown.map(|rule| (rule.due, rule.on, Cause::Countdown));
        let back = self.power_back.map(|due| (due, true, Cause::PowerBack));
        [rule, back].into_iter().flatten().min_by_key(|(due, ..)| *due)
    }

    fn count(&mut self, now: Now) {
        let (profile, fed_since, head_start) = (self.profile, self.fed_since, self.fed_head_start);
        let used = |from: Mono, to: Mono| match fed_since {
            Some(since) => {
                let until = |at: Mono| profile.energy_uj(at.since(since) + head_start);
                until(to).saturating_sub(until(from))
            }
            None => 0,
        };
        self.meter.pass(self.settled, now, self.relay, used);
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
        self.before_change_mw = self.draw_mw(now.mono);
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
        if fed != self.fed_since.is_some() {
            self.fed_since = fed.then_some(at);
            self.fed_head_start = Duration::ZERO;
        }
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
        self.before_change_mw = self.draw_mw(now.mono);
        self.meter.restart();
    }

    /// Hangs something else on the outlet.
    pub(crate) fn set_load(&mut self, load: Load, now: Now) {
        self.settle(now);
        self.load = load;
        self.feed(now.mono);
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
        self.fed_since.map_or(0, |since| self.profile.draw_mw(at.since(since) + self.fed_head_start))
    }

    /// What a meter shows that lags behind a switch.
    pub(crate) fn shown_mw(&self, lag: Duration, now: Now) -> u64 {
        let fresh = self.history.len() > 1 && now.mono.since(self.changed) < lag;
        if fresh { self.before_change_mw } else { self.draw_mw(now.mono) }
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
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now { mono: Mono::after_start(Duration::from_secs(seconds)), wall: Wall(seconds as i64 * 1000) }
    }

    fn board(on: bool) -> Board {
        Board::new(3, on, PowerLoss::LastState, at(0))
    }

    #[test]
    fn a_computer_boots_and_idles() {
        let mut board = board(false);
        assert_eq!(board.draw_mw(at(5).mono), 0);
        board.switch(true, Cause::Client, at(10));
        let booting = board.draw_mw(at(20).mono);
        let idle = board.draw_mw(at(100).mono);
        assert!(booting > idle * 3 / 2, "{booting} {idle}");
        assert!((8_000..50_000).contains(&idle), "{idle}");
        assert_eq!(board.draw_mw(at(100).mono), idle);
        assert_eq!(board.power_ons(), 1);
        assert_eq!(board.on_for(at(100)).as_secs(), 90);
    }

    #[test]
    fn energy_is_what_was_drawn() {
        let mut board = board(true);
        board.settle(at(100));
        let before = board.meter().since_restart_uj();
        board.settle(at(3_700));
        let used = board.meter().since_restart_uj() - before;
        let summed: u64 =
            (200..7_400).map(|half| board.draw_mw(Mono::after_start(Duration::from_millis(half * 500))) * 500).sum();
        assert!(used.abs_diff(summed) < summed / 200, "{used} {summed}");
    }

    #[test]
    fn energy_does_not_depend_on_how_often_one_looks() {
        let (mut once, mut often) = (board(true), board(true));
        (0..600).for_each(|second| often.settle(at(second)));
        once.settle(at(599));
        assert_eq!(once.meter().since_restart_uj(), often.meter().since_restart_uj());
    }

    #[test]
    fn a_countdown_strikes_at_its_own_time() {
        let mut board = board(true);
        board.switch(false, Cause::Client, at(10));
        assert!(board.add_countdown(30, true, at(10)).is_some());
        assert!(board.add_countdown(5, true, at(10)).is_none());
        board.settle(at(1000));
        let last = board.history().last().unwrap();
        assert_eq!((last.at, last.wall, last.on, last.cause), (at(40).mono, at(40).wall, true, Cause::Countdown));
        assert_eq!(board.on_for(at(1000)).as_secs(), 960);
        assert!(board.countdown().is_none());
    }

    #[test]
    fn a_restart_that_holds_the_relay_counts_on_time_anew() {
        let mut board = board(true);
        assert!(board.on_for(at(10)).as_secs() > 3_000, "a rack starts with computers that are up");
        board.restart(at(10));
        assert_eq!(board.on_for(at(15)).as_secs(), 5);
        assert_eq!(board.history().len(), 1);
    }

    #[test]
    fn default_states_say_what_a_power_cut_leaves() {
        let after = |before: bool, power_loss| {
            let mut board = Board::new(1, before, power_loss, at(0));
            board.lose_power(Duration::from_secs(8), at(10));
            assert!(!board.relay());
            board.settle(at(20));
            board.relay()
        };
        assert!(after(true, PowerLoss::LastState));
        assert!(!after(false, PowerLoss::LastState));
        assert!(after(false, PowerLoss::On));
        assert!(!after(true, PowerLoss::Off));
    }

    #[test]
    fn a_second_cut_does_not_forget_that_the_relay_was_on() {
        let mut board = board(true);
        board.lose_power(Duration::from_secs(8), at(10));
        board.lose_power(Duration::from_secs(8), at(12));
        board.settle(at(30));
        assert!(board.relay());
        assert_eq!(board.history().last().unwrap().at, at(20).mono);
    }

    #[test]
    fn a_welded_contact_feeds_the_computer_all_the_same() {
        let mut board = board(true);
        let before = board.draw_mw(at(1).mono);
        board.set_load(Load::Welded, at(1));
        board.switch(false, Cause::Client, at(2));
        assert!(!board.relay());
        assert!(board.draw_mw(at(3).mono).abs_diff(before) < before / 5, "it does not even notice");
        board.set_load(Load::Nothing, at(101));
        assert_eq!(board.draw_mw(at(200).mono), 0);
    }

    #[test]
    fn the_meter_lags_behind_a_switch() {
        let mut board = board(true);
        board.switch(false, Cause::Client, at(100));
        let lag = Duration::from_secs(2);
        assert!(board.shown_mw(lag, at(101)) > 5_000);
        assert_eq!(board.shown_mw(lag, at(102)), 0);
    }

    #[test]
    fn the_same_seed_is_the_same_computer() {
        let draw = |seed| Board::new(seed, true, PowerLoss::On, at(0)).draw_mw(at(77).mono);
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
    }
}
