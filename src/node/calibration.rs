//! The arithmetic of `plugfish calibrate`: from the draw of a machine that idles, that is off and that is cut off, to the
//! thresholds of its node, or to the reason why there are none.
//!
//! Pure: it is given what was measured, and knows neither the device nor the person at the machine.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use thiserror::Error;

use super::measured::{WELDED_ABOVE, Watts};
use crate::clock::Mono;

/// How many samples each step takes, this far apart.
pub(crate) const RUNNING_SAMPLES: usize = 30;
pub(crate) const OFF_SAMPLES: usize = 30;
pub(crate) const CUT_SAMPLES: usize = 10;
pub(crate) const SAMPLES_APART: Duration = Duration::from_secs(2);

/// A step of which a third is lost, because the meter was silent, is none.
const SAMPLES_LEAST: (usize, usize) = (2, 3);

/// A running machine's draw varies. A meter that shows fewer values than this is stuck.
const RUNNING_VALUES_LEAST: usize = 3;

/// The thresholds keep this far from what was measured, in milliwatts, or this much of it, in percent, whichever is more.
const MARGIN_LEAST: u64 = 500;
const OFF_MARGIN_PERCENT: u64 = 25;
const ON_MARGIN_PERCENT: u64 = 15;

/// Thresholds are told in tenths of a watt: no meter is better than that.
const GRAIN: u64 = 100;

/// The least distance of the thresholds: 1 W, so many standard deviations of the draw when off, and so many of the smallest
/// steps in which the meter counts.
pub(crate) const DISTANCE_LEAST: u64 = 1_000;
const DISTANCE_DEVIATIONS: f64 = 4.0;
const DISTANCE_STEPS: u64 = 2;

/// What was measured, in milliwatts.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// The machine ran and had nothing to do.
    pub running: &'a [u64],
    /// It was shut down, and its relay closed.
    pub off: &'a [u64],
    /// The relay was open; empty where it was not to be opened.
    pub cut: &'a [u64],
    /// Below this the meter shows nothing, or nothing that is true.
    pub blind_below: u64,
}

/// What was found in the samples, in milliwatts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// 95 of 100 samples of the machine that was off are not above this.
    pub off: u64,
    /// 95 of 100 samples of the machine that ran are not below this.
    pub running: u64,
    /// The standard deviation of the machine that was off.
    pub off_deviation: f64,
    /// The smallest difference between two values.
    pub step: u64,
}

/// Thresholds with which the two states can be told apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    pub watts: Watts,
    /// The measurements from which the thresholds follow.
    pub figures: Figures,
}

/// Why there are no thresholds, in words for the operator, which say what the fields are.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum CannotCalibrate {
    /// The meter was silent too often.
    #[error(
        "the meter gave {given} of the {asked} values that were asked of it {when}; calibrate again when it answers reliably"
    )]
    TooFew { when: &'static str, given: usize, asked: usize },
    /// The meter shows the same all the time.
    #[error(
        "the meter seems to be stuck: of a running machine it showed {}, and nothing else, in {samples} samples; take the plug's \
         power away for a moment, and calibrate again",
        list(values)
    )]
    Stuck { values: Vec<u64>, samples: usize },
    /// The draw is too small for the meter.
    #[error(
        "the machine draws {} when it runs idle, and this meter is blind below {}: use a meter that measures small loads",
        shown(*running),
        shown(*blind_below)
    )]
    Blind { running: u64, blind_below: u64 },
    /// Power flows although the relay is open.
    #[error(
        "something draws {} while the relay is open: its contact is welded, or the meter does not tell the truth",
        shown(*draws)
    )]
    DrawsWhenCut { draws: u64 },
    /// The two states are too close.
    #[error(
        "its off and its idle draw cannot be told apart with this meter: off is up to {} and idle from {}, so that the thresholds \
         would be {} and {}, and they have to lie {} apart",
        shown(figures.off),
        shown(figures.running),
        shown(*off_below),
        shown(*on_above),
        shown(*distance_least)
    )]
    NotApart { figures: Figures, off_below: u64, on_above: u64, distance_least: u64 },
}

/// Why a pair of thresholds cannot be used, in words for the operator.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum BadWatts {
    #[error(
        "off_below {} and on_above {} have to lie {} apart at least",
        shown(*off_below),
        shown(*on_above),
        shown(DISTANCE_LEAST)
    )]
    TooClose { off_below: u64, on_above: u64 },
    #[error(
        "on_above {} is too low for a meter that is blind below {}: it has to be {} at least",
        shown(*on_above),
        shown(*blind_below),
        shown(*least)
    )]
    Blind { on_above: u64, blind_below: u64, least: u64 },
}

/// The thresholds that follow from the samples.
pub fn calibrate(samples: &Samples) -> Result<Calibration, CannotCalibrate> {
    let Samples { running, off, cut, blind_below } = *samples;
    enough("while the machine ran", running.len(), RUNNING_SAMPLES)?;
    enough("while the machine was off", off.len(), OFF_SAMPLES)?;
    if !cut.is_empty() {
        enough("while the relay was open", cut.len(), CUT_SAMPLES)?;
    }
    let values: BTreeSet<u64> = running.iter().copied().collect();
    if values.len() < RUNNING_VALUES_LEAST {
        return Err(CannotCalibrate::Stuck { values: values.into_iter().collect(), samples: running.len() });
    }
    let figures = Figures {
        off: highest_but_few(off),
        running: lowest_but_few(running),
        off_deviation: deviation(off),
        step: smallest_step(running.iter().chain(off).chain(cut)),
    };
    if figures.running < blind_below.saturating_mul(2) {
        return Err(CannotCalibrate::Blind { running: figures.running, blind_below });
    }
    let draws = highest_but_few(cut);
    if draws > WELDED_ABOVE {
        return Err(CannotCalibrate::DrawsWhenCut { draws });
    }
    let off_below = rounded(figures.off.saturating_add(margin(figures.off, OFF_MARGIN_PERCENT)));
    let on_above = rounded(figures.running.saturating_sub(margin(figures.running, ON_MARGIN_PERCENT)));
    let deviations = (DISTANCE_DEVIATIONS * figures.off_deviation).ceil() as u64;
    let distance_least = DISTANCE_LEAST.max(deviations).max(figures.step.saturating_mul(DISTANCE_STEPS));
    if on_above.saturating_sub(off_below) < distance_least {
        return Err(CannotCalibrate::NotApart { figures, off_below, on_above, distance_least });
    }
    Ok(Calibration { watts: Watts { off_below, on_above, settle: Watts::SETTLE }, figures })
}

/// Whether thresholds that a person wrote could have come from [`calibrate`], as far as that can be said without samples.
pub(crate) fn check(watts: &Watts, blind_below: u64) -> Result<(), BadWatts> {
    let Watts { off_below, on_above, .. } = *watts;
    if on_above.saturating_sub(off_below) < DISTANCE_LEAST {
        return Err(BadWatts::TooClose { off_below, on_above });
    }
    let least =
        rounded(blind_below.saturating_mul(2).saturating_sub(margin(blind_below.saturating_mul(2), ON_MARGIN_PERCENT)));
    if on_above < least {
        return Err(BadWatts::Blind { on_above, blind_below, least });
    }
    Ok(())
}

/// For how long a lower draw has to hold, and by how much it may vary up and down.
const LEVEL_HOLDS: Duration = Duration::from_secs(20);
const LEVEL_VARIES: u64 = 300;
const LEVEL_SAMPLES_LEAST: usize = 3;

/// A machine that is off draws less than this part of what it drew, in percent.
const LEVEL_FELL_TO_PERCENT: u64 = 70;

/// Waits for a machine to be off: for a level that is clearly lower and holds.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    below: u64,
    varies: u64,
    level: VecDeque<(Mono, u64)>,
}

impl Shutdown {
    /// Of a machine that drew this while it ran.
    pub(crate) fn new(running: &[u64]) -> Shutdown {
        let mut sorted = running.to_vec();
        sorted.sort_unstable();
        let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        // A meter of whole watts cannot hold a level closer than by its own step.
        let varies = (2 * LEVEL_VARIES).max(smallest_step(running.iter()));
        Shutdown { below: percent(middle, LEVEL_FELL_TO_PERCENT), varies, level: VecDeque::new() }
    }

    /// Takes a sample. Whether the machine is off.
    pub(crate) fn sample(&mut self, milliwatts: u64, at: Mono) -> bool {
        if milliwatts > self.below {
            self.level.clear();
            return false;
        }
        self.level.push_back((at, milliwatts));
        while self.spread() > self.varies {
            self.level.pop_front();
        }
        let held = self.level.front().is_some_and(|(begun, _)| at.since(*begun) >= LEVEL_HOLDS);
        held && self.level.len() >= LEVEL_SAMPLES_LEAST
    }

    fn spread(&self) -> u64 {
        let draws = || self.level.iter().map(|(_, draw)| *draw);
        draws().max().unwrap_or(0) - draws().min().unwrap_or(0)
    }
}

fn enough(when: &'static str, given: usize, asked: usize) -> Result<(), CannotCalibrate> {
    let (part, whole) = SAMPLES_LEAST;
    if given * whole < asked * part { Err(CannotCalibrate::TooFew { when, given, asked }) } else { Ok(()) }
}

/// The 95th percentile: 0 of nothing.
fn highest_but_few(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.iter().rev().nth(sorted.len() / 20).copied().unwrap_or(0)
}

/// The 5th percentile: 0 of nothing.
fn lowest_but_few(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 20).copied().unwrap_or(0)
}

fn deviation(samples: &[u64]) -> f64 {
    let count = samples.len().max(1) as f64;
    let mean = samples.iter().map(|draw| *draw as f64).sum::<f64>() / count;
    let squares = samples.iter().map(|draw| (*draw as f64 - mean).powi(2)).sum::<f64>();
    (squares / (count - 1.0).max(1.0)).sqrt()
}

/// The smallest difference between two different values; 0 when all are the same.
fn smallest_step<'a>(samples: impl Iterator<Item = &'a u64>) -> u64 {
    let values: BTreeSet<u64> = samples.copied().collect();
    values.iter().zip(values.iter().skip(1)).map(|(low, high)| high - low).min().unwrap_or(0)
}

fn margin(of: u64, part: u64) -> u64 {
    MARGIN_LEAST.max(percent(of, part))
}

fn percent(of: u64, part: u64) -> u64 {
    u64::try_from(u128::from(of) * u128::from(part) / 100).unwrap_or(u64::MAX)
}

fn rounded(milliwatts: u64) -> u64 {
    milliwatts.saturating_add(GRAIN / 2) / GRAIN * GRAIN
}

/// `23.4 W`.
fn shown(milliwatts: u64) -> String {
    format!("{:.1} W", milliwatts as f64 / 1000.0)
}

fn list(values: &[u64]) -> String {
    values.iter().map(|value| shown(*value)).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests;
