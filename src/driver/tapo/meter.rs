//! What a plug can measure, and which questions a reading consists of.
//!
//! Pure: it decides what to ask next from what the plug answered before, and never asks itself.

use std::collections::HashSet;

use serde_json::Value;

use super::fault::Fault;
use super::smart::{
    Components, GET_CURRENT_POWER, GET_EMETER_DATA, GET_ENERGY_USAGE, current_milliwatts, emeter_milliwatts,
    is_unsupported, usage_milliwatts, usage_today_wh,
};

/// No plug carries more, in milliwatts: 16 A at 250 V is 4,000 W, and a quarter more is for meters that are off and surges.
/// What a meter says beyond that is a counter that wrapped, and passes.
const MILLIWATTS_MAX: u64 = 5_000_000;

/// No more energy goes through a plug in a day, in watt-hours: 25 hours (a day on which the clock is set back) of that.
const WATT_HOURS_A_DAY_MAX: u64 = 25 * MILLIWATTS_MAX / 1000;

/// What is known of a plug's abilities. Forgotten when its firmware changes.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    /// It is a strip.
    pub strip: bool,
    /// It measures watts.
    pub meter: bool,
    /// It bears several requests in one.
    pub batches: bool,
    /// The firmware that all this is about, once read.
    pub firmware: Option<String>,
    /// `get_energy_usage` says no `current_power`.
    usage_without_watts: bool,
    unsupported: HashSet<&'static str>,
}

/// What a plug measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measured {
    /// The draw.
    pub milliwatts: Option<u64>,
    /// Today's energy.
    pub today_wh: Option<u64>,
    /// `get_energy_usage` was asked, whatever came of it.
    pub usage: bool,
}

impl Profile {
    /// A plug with these components.
    pub(super) fn new(components: Components) -> Profile {
        Profile {
            strip: components.strip,
            meter: components.meter,
            batches: true,
            firmware: None,
            usage_without_watts: false,
            unsupported: HashSet::new(),
        }
    }

    /// Whether the plug may know this method.
    pub(super) fn supports(&self, method: &str) -> bool {
        !self.unsupported.contains(method)
    }

    /// Remembers what a failure of `method` says of it: an unknown method is not asked for again.
    pub(super) fn note(&mut self, method: &'static str, fault: &Fault) {
        if is_unsupported(fault) {
            self.unsupported.insert(method);
        }
    }

    /// The questions about power of one reading: at most two. `usage_due`: today's energy is to be read again.
    pub(super) fn questions(&self, usage_due: bool) -> Vec<&'static str> {
        if !self.meter {
            return Vec::new();
        }
        let emeter = self.supports(GET_EMETER_DATA);
        let usage = self.supports(GET_ENERGY_USAGE);
        let watts_of_usage = usage && !self.usage_without_watts;
        let current = !emeter && !watts_of_usage && self.supports(GET_CURRENT_POWER);
        let asked = [
            (GET_EMETER_DATA, emeter),
            (GET_ENERGY_USAGE, usage && (usage_due || (!emeter && watts_of_usage))),
            (GET_CURRENT_POWER, current),
        ];
        asked.into_iter().filter(|(_, ask)| *ask).map(|(method, _)| method).collect()
    }

    /// Reads the answers to [`questions`](Profile::questions), and learns from them.
    pub(super) fn measured(&mut self, answers: Vec<(&'static str, Result<Value, Fault>)>) -> Measured {
        let mut measured = Measured::default();
        for (method, answer) in answers {
            measured.usage |= method == GET_ENERGY_USAGE;
            let result = match answer {
                Ok(result) => result,
                Err(fault) => {
                    self.note(method, &fault);
                    continue;
                }
            };
            let watts = match method {
                GET_EMETER_DATA => emeter_milliwatts(&result),
                GET_ENERGY_USAGE => {
                    measured.today_wh = usage_today_wh(&result).filter(|energy| *energy <= WATT_HOURS_A_DAY_MAX);
                    let watts = usage_milliwatts(&result);
                    self.usage_without_watts = watts.is_none();
                    watts
                }
                _ => current_milliwatts(&result),
            };
            // In the order of the questions: the best source comes first.
            measured.milliwatts = measured.milliwatts.or(watts.filter(|watts| *watts <= MILLIWATTS_MAX));
        }
        measured
    }
}

#[cfg(test)]
mod tests;
