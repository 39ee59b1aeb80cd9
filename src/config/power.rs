//! The keys of a node that say what tells whether its machine runs: `power_state` and `watts`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::nodes::time;
use crate::node::{PowerPolicy, PowerSource, Watts};
use crate::reader::{Cursor, Keys, Read};

/// The values of `power_state`.
const POWER_STATES: &[(&str, PowerSource)] = &[("relay", PowerSource::Relay), ("measured", PowerSource::Measured)];

/// The keys of `watts`.
pub(super) const WATTS: &[&str] = &["off_below", "on_above", "settle"];

/// The largest threshold in watts: a plug carries no more.
pub(super) const WATTS_MAX: f64 = 4000.0;

/// How far the two thresholds have to lie apart, in watts: meters of plugs show less than that of noise, and what lies
/// between says nothing.
const WATTS_APART: f64 = 1.0;

/// How long the draw may have to be low before the machine counts as off. Shorter than two polls of a machine in question
/// would be one reading, and Ironic waits 30 s for an agent that turned its machine off.
pub(super) const SETTLE: RangeInclusive<Duration> = Duration::from_secs(4)..=Duration::from_secs(600);

/// Reads them. `is_outlet`: the node hangs on an outlet.
pub(super) fn policy(keys: &Keys<'_>, is_outlet: bool) -> Read<PowerPolicy> {
    let of_outlet = |at: &Cursor<'_>| match is_outlet {
        true => Ok(()),
        false => Err(at.problem("is for a node behind a plug; the machine of this one says itself whether it runs")),
    };
    let source = keys.optional("power_state", |at| {
        of_outlet(at)?;
        at.word(POWER_STATES)
    });
    let watts = keys.optional("watts", |at| {
        of_outlet(at)?;
        watts(at)
    });
    let (source, watts) = (source?.unwrap_or_default(), watts?);
    if source == PowerSource::Measured && watts.is_none() {
        return Err(keys.problem(
            "power_state",
            "is measured, and there is no watts: { off_below: .., on_above: .. } to tell off from on; \
             measure both for this machine (docs/power-state.md)",
        ));
    }
    Ok(PowerPolicy { source, watts })
}

fn watts(at: &Cursor<'_>) -> Read<Watts> {
    let keys = at.keys(WATTS)?;
    let threshold = |key, what| keys.required(key, what, |at| at.amount(WATTS_MAX));
    let off_below = threshold("off_below", "the watts at or below which the machine is off");
    let on_above = threshold("on_above", "the watts at or above which the machine runs");
    let settle = keys.optional("settle", |at| time(at, &SETTLE));
    let (off_below, on_above, settle) = (off_below?, on_above?, settle?.unwrap_or(Watts::SETTLE));
    if off_below + WATTS_APART > on_above {
        return Err(at.problem(format_args!(
            "has an off_below of {off_below} and an on_above of {on_above}: they have to lie {WATTS_APART} W apart at least; \
             a machine whose draw when off and when idle is closer than that cannot be told by it"
        )));
    }
    Ok(Watts { off_below: milliwatts(off_below), on_above: milliwatts(on_above), settle })
}

fn milliwatts(watts: f64) -> u64 {
    // Bounded by `WATTS_MAX`: this neither wraps nor is negative.
    (watts * 1000.0).round() as u64
}
