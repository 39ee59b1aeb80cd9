//! The meter of an outlet: how it shows a power draw, and its energy counters since the restart, today, this month.
//! Days and months begin at midnight UTC.
//!
//! It knows the energy used and the times, not the causes.

use std::time::Duration;

use crate::clock::{Mono, Now};

/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;
/// Microjoules in a watt-hour.
const UJ_PER_WH: u64 = 3_600_000_000;
/// Microjoules in a milliwatt-hour.
const UJ_PER_MWH: u64 = 3_600_000;

/// How the meter shows the draw of the moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Display {
    /// Delay of the shown draw.
    pub lag: Duration,
    /// How far it is off, up or down.
    pub noise_mw: u64,
    /// Resolution of the shown draw.
    pub step_mw: u64,
}

impl Display {
    /// How long it shows the same noise.
    pub(super) const REFRESH_MS: u64 = 500;

    /// What it shows of this draw, with dice for the noise.
    pub(super) fn shows(&self, draw_mw: u64, dice: u64) -> u64 {
        let off = dice % (self.noise_mw.min(u64::MAX / 4) * 2 + 1);
        let noisy = draw_mw.saturating_add(off).saturating_sub(self.noise_mw);
        let step = self.step_mw.max(1);
        noisy.saturating_add(step / 2) / step * step
    }
}

/// The energy counters.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    since_restart_uj: u64,
    today_uj: u64,
    month_uj: u64,
    today_on: Duration,
    month_on: Duration,
}

impl Meter {
    /// A meter that has counted this much in the month before today.
    pub(crate) fn new(month_wh: u64) -> Meter {
        Meter {
            since_restart_uj: 0,
            today_uj: 0,
            month_uj: month_wh * UJ_PER_WH,
            today_on: Duration::ZERO,
            month_on: Duration::from_secs(month_wh * 150),
        }
    }

    /// Counts the time between two moments, in which the relay did not move. `used` gives the energy between any two
    /// moments of it.
    pub(super) fn pass(&mut self, from: Now, to: Now, relay: bool, used: impl Fn(Mono, Mono) -> u64) {
        self.since_restart_uj += used(from.mono, to.mono);
        let new_day = from.wall.0.div_euclid(DAY_MS) != to.wall.0.div_euclid(DAY_MS);
        let new_month = month_of(from) != month_of(to);
        let start = if new_day {
            let into_day = Duration::from_millis(to.wall.0.rem_euclid(DAY_MS).unsigned_abs());
            (to.mono - into_day).max(from.mono)
        } else {
            from.mono
        };
        if new_month {
            (self.month_uj, self.month_on) = (0, Duration::ZERO);
        } else {
            self.month_uj += used(from.mono, start);
            self.month_on += on_time(relay, from.mono, start);
        }
        if new_day {
            (self.today_uj, self.today_on) = (0, Duration::ZERO);
        }
        self.today_uj += used(start, to.mono);
        self.month_uj += used(start, to.mono);
        self.today_on += on_time(relay, start, to.mono);
        self.month_on += on_time(relay, start, to.mono);
    }

    /// The plug restarted.
    pub(super) fn restart(&mut self) {
        self.since_restart_uj = 0;
    }

    pub(super) fn add_wh(&mut self, wh: u64) {
        let more = wh.saturating_mul(UJ_PER_WH);
        self.since_restart_uj = self.since_restart_uj.saturating_add(more);
        self.today_uj = self.today_uj.saturating_add(more);
        self.month_uj = self.month_uj.saturating_add(more);
    }

    /// Since the plug's last restart, in microjoules.
    #[cfg(test)]
    pub(crate) fn since_restart_uj(&self) -> u64 {
        self.since_restart_uj
    }

    /// Since the plug's last restart, in milliwatt-hours.
    pub(crate) fn since_restart_mwh(&self) -> u64 {
        self.since_restart_uj / UJ_PER_MWH
    }

    /// Today, in milliwatt-hours.
    pub(crate) fn today_mwh(&self) -> u64 {
        self.today_uj / UJ_PER_MWH
    }

    /// This month, in milliwatt-hours.
    pub(crate) fn month_mwh(&self) -> u64 {
        self.month_uj / UJ_PER_MWH
    }

    /// Today, in whole watt-hours.
    pub(crate) fn today_wh(&self) -> u64 {
        self.today_uj / UJ_PER_WH
    }

    /// This month, in whole watt-hours.
    pub(crate) fn month_wh(&self) -> u64 {
        self.month_uj / UJ_PER_WH
    }

    /// For how many minutes the relay was on today.
    pub(crate) fn today_minutes(&self) -> u64 {
        self.today_on.as_secs() / 60
    }

    /// For how many minutes the relay was on this month.
    pub(crate) fn month_minutes(&self) -> u64 {
        self.month_on.as_secs() / 60
    }
}

fn on_time(relay: bool, from: Mono, to: Mono) -> Duration {
    if relay { to.since(from) } else { Duration::ZERO }
}

fn month_of(now: Now) -> Option<(i16, i8)> {
    let date = jiff::Timestamp::from_millisecond(now.wall.0).ok()?.to_zoned(jiff::tz::TimeZone::UTC).date();
    Some((date.year(), date.month()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Wall;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn a_draw_is_shown_with_noise_and_in_steps() {
        let display = |noise_mw, step_mw| Display { lag: Duration::ZERO, noise_mw, step_mw };
        assert_eq!(display(0, 1).shows(1_234, 99), 1_234);
        assert_eq!([0, 400, 800].map(|dice| display(400, 1).shows(1_234, dice)), [834, 1_234, 1_634]);
        assert_eq!([0, 400, 800].map(|dice| display(400, 1).shows(0, dice)), [0, 0, 400], "never below nothing");
        assert_eq!([499, 500, 1_499].map(|draw| display(0, 1_000).shows(draw, 7)), [0, 1_000, 1_000]);
        assert_eq!(display(u64::MAX, 0).shows(u64::MAX, u64::MAX), 0, "and it never falls over");
    }

    /// An hour at 10 W per step, the wall clock starting at this many hours after 1970.
    fn run(start_hour: i64, hours: u64) -> Meter {
        let mut meter = Meter::new(0);
        let at = |hour: u64| Now {
            mono: Mono::after_start(Duration::from_millis(hour * HOUR)),
            wall: Wall((start_hour + hour as i64) * HOUR as i64),
        };
        meter.pass(at(0), at(hours), true, |a, b| b.since(a).as_millis() as u64 * 10_000);
        meter
    }

    #[test]
    fn within_a_day_all_counters_agree() {
        let meter = run(24 + 3, 5);
        assert_eq!((meter.today_wh(), meter.month_wh(), meter.since_restart_mwh() / 1000), (50, 50, 50));
        assert_eq!((meter.today_minutes(), meter.month_minutes()), (300, 300));
    }

    #[test]
    fn midnight_ends_the_day() {
        let meter = run(24 + 22, 5);
        assert_eq!((meter.today_wh(), meter.month_wh(), meter.since_restart_mwh() / 1000), (30, 50, 50));
        assert_eq!((meter.today_minutes(), meter.month_minutes()), (180, 300));
    }

    #[test]
    fn the_first_ends_the_month() {
        let meter = run(30 * 24 + 22, 5);
        assert_eq!((meter.today_wh(), meter.month_wh(), meter.since_restart_mwh() / 1000), (30, 30, 50));
    }
}
