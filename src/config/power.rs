//! The keys of a node that say what tells whether its machine runs, and how it is asked to shut down: `power_state`, `watts`
//! and `graceful`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::nodes::time;
use crate::node::calibration;
use crate::node::{AfterShutdown, Graceful, PowerPolicy, PowerSource, ShutdownHook, Watts};
use crate::reader::{Cursor, Keys, Read, secret};

/// The values of `power_state`.
const POWER_STATES: &[(&str, PowerSource)] = &[("relay", PowerSource::Relay), ("measured", PowerSource::Measured)];

/// The keys of `watts`.
pub(super) const WATTS: &[&str] = &["off_below", "on_above", "settle"];

/// The largest threshold in watts: a plug carries no more.
pub(super) const WATTS_MAX: f64 = 4000.0;

/// How long the draw may have to be low before the machine counts as off. Shorter than two polls of a machine in question
/// would be one reading, and Ironic waits 30 s for an agent that turned its machine off.
pub(super) const SETTLE: RangeInclusive<Duration> = Duration::from_secs(4)..=Duration::from_secs(600);

/// The keys of `graceful`.
pub(super) const GRACEFUL: &[&str] = &["exec", "http", "deadline", "then"];

/// The keys of `http` in `graceful`.
pub(super) const HOOK: &[&str] = &["url", "token"];

/// How long a shutdown may take. Ironic waits 10 minutes for one that it asked for, and Metal3 three.
const SHUTDOWN: RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_secs(570);

/// How long it may take where the file does not say: within Metal3's 180 s, the cut included.
const SHUTDOWN_DEFAULT: Duration = Duration::from_secs(150);

/// The values of `then`.
const AFTERWARDS: &[(&str, AfterShutdown)] = &[("cut", AfterShutdown::Cut), ("leave", AfterShutdown::Leave)];

/// Most words of a command line, and most characters of one: an `ssh` with all its options has some twenty.
pub(super) const EXEC_WORDS_MAX: usize = 64;
pub(super) const EXEC_CHARS_MAX: usize = 4096;

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
    let graceful = keys.optional("graceful", |at| {
        of_outlet(at)?;
        graceful(at)
    });
    let (source, watts, graceful) = (source?.unwrap_or_default(), watts?, graceful?);
    if graceful.is_some() && watts.is_none() {
        return Err(keys.problem(
            "graceful",
            "has nothing that tells when the machine is off; add watts: { off_below: .., on_above: .. } \
             (docs/power-state.md)",
        ));
    }
    if source == PowerSource::Measured && watts.is_none() {
        return Err(keys.problem(
            "power_state",
            "is measured, and there is no watts: { off_below: .., on_above: .. } to tell off from on; \
             `plugfish calibrate` finds both for this machine (docs/power-state.md)",
        ));
    }
    Ok(PowerPolicy { source, watts, graceful })
}

fn graceful(at: &Cursor<'_>) -> Read<Graceful> {
    let keys = at.keys(GRACEFUL)?;
    let exec = keys.optional("exec", |at| {
        let argv = at.list(EXEC_WORDS_MAX, |at| {
            at.parse(|word| match word {
                word if word.chars().count() > EXEC_CHARS_MAX => {
                    Err(format!("has more than {EXEC_CHARS_MAX} characters"))
                }
                word if word.contains('\0') => Err("has a NUL character, which no program can be given".to_owned()),
                word => Ok(word.to_owned()),
            })
        })?;
        match argv.first() {
            Some(program) if program.starts_with('/') => Ok(ShutdownHook::Exec(argv)),
            _ => {
                Err(at
                    .problem("must begin with the absolute path of a program; there is no shell, and no search for it"))
            }
        }
    });
    let http = keys.optional("http", |at| {
        let keys = at.keys(HOOK)?;
        let url = keys.required("url", "the http:// or https:// URL that a POST goes to", |at| at.parse(hook_url));
        let token = keys.optional("token", secret::secret);
        Ok(ShutdownHook::Http { url: url?, token: token? })
    });
    let deadline = keys.optional("deadline", |at| time(at, &SHUTDOWN));
    let after = keys.optional("then", |at| at.word(AFTERWARDS));
    let (exec, http, deadline, after) = (exec?, http?, deadline?, after?);
    let hook = match (exec, http) {
        (Some(hook), None) | (None, Some(hook)) => hook,
        (Some(_), Some(_)) => return Err(at.problem("has both exec and http; one of them asks the machine")),
        (None, None) => return Err(at.problem("has neither exec nor http; one of them asks the machine")),
    };
    Ok(Graceful { hook, deadline: deadline.unwrap_or(SHUTDOWN_DEFAULT), after: after.unwrap_or_default() })
}

/// No part of it is shown: it may hold a token.
fn hook_url(text: &str) -> Result<String, &'static str> {
    let url: reqwest::Url = text.parse().map_err(|_| "is not a URL")?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(text.into())
    } else {
        Err("is not a URL with http:// or https:// and a host")
    }
}

fn watts(at: &Cursor<'_>) -> Read<Watts> {
    let keys = at.keys(WATTS)?;
    let threshold = |key, what| keys.required(key, what, |at| at.amount(WATTS_MAX));
    let off_below = threshold("off_below", "the watts at or below which the machine is off");
    let on_above = threshold("on_above", "the watts at or above which the machine runs");
    let settle = keys.optional("settle", |at| time(at, &SETTLE));
    let (off_below, on_above, settle) = (off_below?, on_above?, settle?.unwrap_or(Watts::SETTLE));
    let watts = Watts { off_below: milliwatts(off_below), on_above: milliwatts(on_above), settle };
    // What a meter cannot show is not known here: the daemon and `plugfish calibrate` see that.
    calibration::check(&watts, 0).map_err(|bad| at.problem(bad))?;
    Ok(watts)
}

fn milliwatts(watts: f64) -> u64 {
    // Bounded by `WATTS_MAX`: this neither wraps nor is negative.
    (watts * 1000.0).round() as u64
}
