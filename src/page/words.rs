//! Events in short texts for the page, which shows the node beside them.

use serde::Serialize;

use crate::node::event::{Cause, EventKind, evidence};
use crate::node::{BootEnabled, Power};

/// How a piece of news is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tone {
    /// Progress of a command.
    Plain,
    /// Something that was not well is well again.
    Good,
    /// A warning.
    Warn,
    /// An error.
    Bad,
}

/// What is told of a happening; nothing where another one says it already.
pub(super) fn tell(what: &EventKind) -> Option<(Tone, String)> {
    use Tone::{Bad, Good, Plain, Warn};
    let told = match what {
        EventKind::PowerChanged { from: None, to, .. } => (Plain, format!("first contact: the power is {}", name(*to))),
        EventKind::PowerChanged { to, cause: Cause::Command, measured, .. } => {
            (Plain, format!("is {} now{}", name(*to), evidence(*measured)))
        }
        EventKind::PowerChanged { to, cause: Cause::Outside, measured, .. } => {
            (Warn, format!("is {} now{}, and no command from here caused it", name(*to), evidence(*measured)))
        }
        EventKind::OnTimeRestarted => {
            (Warn, "the power was cycled, or the device restarted, and no command from here caused it".into())
        }
        EventKind::CommandAccepted { reset, by, first: None } => (Plain, format!("{reset} asked for by {by}")),
        EventKind::CommandAccepted { reset, by, first: Some(first) } => {
            (Plain, format!("{reset} asked for by {by}, after the {first} before it"))
        }
        EventKind::CommandDone { reset, took } => (Plain, format!("{reset} done after {:.1} s", took.as_secs_f64())),
        EventKind::CommandSuperseded { reset, by } => (Plain, format!("{by} took the place of {reset}")),
        EventKind::CommandFailed { why, .. } | EventKind::CommandOverdue { why, .. } => (Bad, why.clone()),
        EventKind::DeviceLost { why } | EventKind::LoginRefused { why, .. } | EventKind::DeviceDistrusted { why } => {
            (Bad, why.clone())
        }
        EventKind::TrustLearned { text } => (Plain, text.clone()),
        EventKind::TrustReset { by, text } => (Warn, format!("{by} reset {text}")),
        EventKind::DeviceFound => (Good, "the device answers again".into()),
        EventKind::BootChanged { boot, by } if boot.enabled == BootEnabled::Disabled => {
            (Plain, format!("the boot override was taken away by {by}"))
        }
        EventKind::BootChanged { boot, by } => {
            (Plain, format!("boot override: {}, {}, set by {by}", boot.target.name(), boot.enabled.name()))
        }
        EventKind::PowerRestoreSet { policy, by } => {
            (Plain, format!("PowerRestorePolicy {}, set by {by}", policy.name()))
        }
        EventKind::BootConsumed => (Plain, "the boot override for one boot was used up".into()),
        EventKind::Noticed { text } => (Warn, text.clone()),
        EventKind::Revived => (Warn, "rebuilt after a fault in plugfish".into()),
        EventKind::Added => (Plain, "added to the configuration".into()),
        // The reason for it is told by itself, and a node that was removed is not shown.
        EventKind::HealthChanged(_) | EventKind::Removed => return None,
    };
    Some(told)
}

fn name(power: Power) -> &'static str {
    match power {
        Power::On => "on",
        Power::Off => "off",
        Power::Asleep => "asleep",
    }
}
