//! Measured power: what the watts behind a closed relay say of the machine (nodes.yaml `power_state: measured`).
//!
//! Pure: it is given each reading with its time, and knows no device and no clock. An open relay is certain and not its
//! business, but for [`Welded`]. Every doubt ends in On: a machine that is reported as off while it runs could wake up
//! beside its replacement.

use std::time::Duration;

use super::Power;
use crate::clock::Mono;

/// Off is never concluded from fewer readings, however short `settle` is: two may be one dip.
const OFF_READINGS_LEAST: u32 = 3;

/// What was off is on after two readings that lie this far apart: a single one may be a spike.
const ON_APART: Duration = Duration::from_secs(2);

/// For how many polls the meter may be silent. What it said before is no evidence for off any more then.
const SILENT_POLLS: u32 = 2;

/// How long a meter may show the draw of before a switch.
const METER_LAG: Duration = Duration::from_secs(2);

/// While band and shown state disagree: how often to look, for how long, and the least pause where a look is due sooner. A
/// plug bears more, but not for ever.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const LOOKS_FOR: Duration = Duration::from_secs(60);
const LOOK_PAUSE_LEAST: Duration = Duration::from_millis(500);

/// How soon a machine that shuts itself down is to be seen as off: Ironic's agent powers off in band, and Ironic gives it
/// 30 s before it cuts the power.
const SEEN_WITHIN: Duration = Duration::from_secs(25);

/// Only with polls at least as frequent as that: an operator who set a longer interval asked for fewer requests.
const SEEN_WITHIN_POLL_MAX: Duration = Duration::from_secs(15);

/// How long one reading takes at most when all is well, a login included.
const READING_TIME: Duration = Duration::from_secs(1);

/// The thresholds of a node: nodes.yaml `watts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watts {
    /// At or below so many milliwatts the machine is off.
    pub off_below: u64,
    /// At or above so many milliwatts it runs.
    pub on_above: u64,
    /// For how long every reading has to be in the off band.
    pub settle: Duration,
}

/// The position of a power draw relative to the thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// So little draws only a machine that is off.
    Off,
    /// Between the thresholds: the state stays what it was.
    Keep,
    /// So much draws only a machine that runs.
    On,
}

impl Watts {
    /// `settle` when nodes.yaml says none.
    pub const SETTLE: Duration = Duration::from_secs(10);

    /// The band of a draw. With thresholds that overlap it is the one of On.
    pub(crate) fn band(&self, milliwatts: u64) -> Band {
        if milliwatts >= self.on_above {
            Band::On
        } else if milliwatts <= self.off_below {
            Band::Off
        } else {
            Band::Keep
        }
    }

    /// The longest pause between two readings of a running machine with which its shutdown is seen in time: it may begin
    /// while the meter lags, and both the first and the last reading of `settle` take their time.
    fn steady_pause(&self, poll_interval: Duration) -> Option<Duration> {
        let pause = SEEN_WITHIN.saturating_sub(METER_LAG + 2 * READING_TIME).saturating_sub(self.settle);
        (poll_interval <= SEEN_WITHIN_POLL_MAX && pause >= LOOK_EVERY).then_some(pause)
    }
}

/// A reading with the relay closed.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The draw; `None` when the meter gave none.
    pub milliwatts: Option<u64>,
    /// What is shown of the machine; `None` when this process has shown nothing yet.
    pub shown: Option<Power>,
    /// A confirmed On is the last thing that happened to the machine.
    pub ordered_on: bool,
    /// How often the device is read when all is well.
    pub poll_interval: Duration,
    pub at: Mono,
}

/// What the meter has said since the relay was closed.
#[derive(Clone, Debug, Default)]
pub struct Classifier {
    /// The first reading.
    first: Option<Mono>,
    /// The last reading with a draw, and its band.
    last: Option<(Mono, Band)>,
    /// Since when, and how often, the draw was in the off band without a break.
    off: Option<(Mono, u32)>,
    /// The first reading in the on band since the last one in the off band.
    on: Option<Mono>,
    doubt: Option<Doubt>,
    look_at: Option<Mono>,
}

/// Band and shown state disagree.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    since: Mono,
    last: Mono,
}

impl Classifier {
    /// Takes a reading. What is to be shown now, where the evidence decides; `None` decides nothing: what was shown stays, and
    /// where nothing was shown the closed relay is all there is to go by.
    pub fn reading(&mut self, watts: &Watts, reading: Reading) -> Option<Power> {
        let at = reading.at;
        let first = *self.first.get_or_insert(at);
        let silence_max = reading.poll_interval.saturating_mul(SILENT_POLLS);
        let is_silent = at.since(self.last.map_or(first, |(last, _)| last)) > silence_max;
        if is_silent {
            // Readings so far apart say nothing of what was between them.
            (self.off, self.on) = (None, None);
        }
        self.look_at = None;
        let Some(milliwatts) = reading.milliwatts else {
            if is_silent {
                self.doubt = None;
                return Some(Power::On);
            }
            if self.doubt.is_some() {
                self.look_again(at, silence_max, None);
            }
            return None;
        };
        let band = watts.band(milliwatts);
        let before = self.last.replace((at, band));
        let shows_off = reading.shown == Some(Power::Off);
        match band {
            Band::On => {
                self.off = None;
                let since = *self.on.get_or_insert(at);
                if shows_off && !reading.ordered_on && at.since(since) < ON_APART {
                    self.look_again(at, silence_max, None);
                    return None;
                }
                self.doubt = None;
                self.look_at = watts.steady_pause(reading.poll_interval).map(|pause| at + pause);
                Some(Power::On)
            }
            Band::Keep => {
                self.off = None;
                if !shows_off && self.doubt.is_some() {
                    self.look_again(at, silence_max, None);
                } else if !shows_off && before.is_some_and(|(_, band)| band == Band::On) {
                    // A dip, or the meter on its way to the off band.
                    self.look_at = Some(at + LOOK_EVERY);
                }
                None
            }
            Band::Off => {
                self.on = None;
                if at.since(first) >= METER_LAG {
                    let (since, readings) = self.off.unwrap_or((at, 0));
                    self.off = Some((since, readings.saturating_add(1)));
                }
                let settled = self
                    .off
                    .filter(|(since, readings)| *readings >= OFF_READINGS_LEAST && at.since(*since) >= watts.settle);
                if settled.is_some() {
                    self.doubt = None;
                    return Some(Power::Off);
                }
                if shows_off {
                    self.doubt = None;
                } else {
                    self.look_again(at, silence_max, Some(watts.settle));
                }
                None
            }
        }
    }

    /// The relay was opened, the device changed, or this process began: everything is to be settled again.
    pub(crate) fn restart(&mut self) {
        *self = Classifier::default();
    }

    /// When to read again, where that is sooner than the next poll would be.
    pub fn look_at(&self) -> Option<Mono> {
        self.look_at
    }

    fn look_again(&mut self, at: Mono, silence_max: Duration, settle: Option<Duration>) {
        let same = self.doubt.filter(|doubt| at.since(doubt.last) <= LOOKS_FOR.max(silence_max));
        let since = same.map_or(at, |doubt| doubt.since);
        self.doubt = Some(Doubt { since, last: at });
        let next = at + LOOK_EVERY;
        if next.since(since) > LOOKS_FOR {
            return;
        }
        // The reading that decides is not to come later than it may.
        let end = match (settle, self.off) {
            (Some(settle), Some((begun, readings))) if readings >= OFF_READINGS_LEAST - 1 => begun + settle,
            _ => next,
        };
        self.look_at = Some(next.min(end.max(at + LOOK_PAUSE_LEAST)));
    }
}

/// Above this, in milliwatts, something draws: no meter shows so much as noise.
pub(crate) const WELDED_ABOVE: u64 = 3_000;

/// For how long, so that neither a meter that lags nor a supply that runs empty is meant.
const WELDED_FOR: Duration = Duration::from_secs(10);

/// And in so many readings.
const WELDED_READINGS_LEAST: u32 = 3;

/// Whether power flows although the relay is open: its contact is welded, or the meter does not tell the truth. Neither is a
/// machine whose power is known to be cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Welded {
    drawing: Option<(Mono, u32)>,
    welded: bool,
    look_at: Option<Mono>,
}

impl Welded {
    /// Takes a reading with the relay open. A meter that says nothing changes nothing.
    pub(crate) fn reading(&mut self, milliwatts: Option<u64>, at: Mono) -> bool {
        self.look_at = None;
        match milliwatts {
            None => {}
            Some(milliwatts) if milliwatts <= WELDED_ABOVE => self.restart(),
            Some(_) => {
                let (since, readings) = self.drawing.unwrap_or((at, 0));
                let readings = readings.saturating_add(1);
                self.drawing = Some((since, readings));
                self.welded |= readings >= WELDED_READINGS_LEAST && at.since(since) >= WELDED_FOR;
                self.look_at = (!self.welded).then(|| at + LOOK_EVERY);
            }
        }
        self.welded
    }

    /// The relay is closed, or the device changed.
    pub(crate) fn restart(&mut self) {
        *self = Welded::default();
    }

    /// When to read again, where that is sooner than the next poll would be.
    pub(crate) fn look_at(&self) -> Option<Mono> {
        self.look_at
    }
}

/// For how long readings are counted before they are judged.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Fewer readings than this say nothing of a day.
const COUNTED_LEAST: u32 = 100;

/// How many of the readings of a day lay between the thresholds. Where that is more than one in a hundred, the thresholds
/// do not fit the machine (any more).
#[derive(Clone, Debug, Default)]
pub(crate) struct Fit {
    since: Option<Mono>,
    readings: u32,
    between: u32,
    doubtful: bool,
}

impl Fit {
    /// Counts a reading with the relay closed. Whether the calibration is doubtful, as of the last whole day.
    pub(crate) fn reading(&mut self, band: Band, at: Mono) -> bool {
        if at.since(*self.since.get_or_insert(at)) >= DAY {
            if self.readings >= COUNTED_LEAST {
                self.doubtful = u64::from(self.between) * 100 > u64::from(self.readings);
            }
            (self.since, self.readings, self.between) = (Some(at), 0, 0);
        }
        self.readings = self.readings.saturating_add(1);
        self.between = self.between.saturating_add(u32::from(band == Band::Keep));
        self.doubtful
    }
}

#[cfg(test)]
mod tests;
