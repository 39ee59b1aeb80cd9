//! What happened, in the words of the page: short, since the node is named beside them.

use serde::Serialize;

use crate::node::event::{Cause, Happening};
use crate::node::{BootEnabled, Power};

/// How a piece of news is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// Things go as somebody wanted them to go.
    Plain,
    /// Something that was not well is well again.
    Good,
    /// Worth a look.
    Warn,
    /// Not well.
    Bad,
}

/// What is told of a happening; nothing where another one says it already.
pub fn tell(what: &Happening) -> Option<(Tone, String)> {
    use Tone::{Bad, Good, Plain, Warn};
    let told = match what {
        Happening::PowerChanged { from: None, to, .. } => (Plain, format!("first contact: the power is {}", name(*to))),
        Happening::PowerChanged { to, cause: Cause::Command, .. } => (Plain, format!("is {} now", name(*to))),
        Happening::PowerChanged { to, cause: Cause::Outside, .. } => {
            (Warn, format!("is {} now, and nobody here asked for it", name(*to)))
        }
        Happening::OnTimeRestarted => {
            (Warn, "the power was cycled, or the device restarted, and nobody here asked for it".into())
        }
        Happening::CommandAccepted { reset, by, first: None } => (Plain, format!("{reset} asked for by {by}")),
        Happening::CommandAccepted { reset, by, first: Some(first) } => {
            (Plain, format!("{reset} asked for by {by}, after the {first} before it"))
        }
        Happening::CommandDone { reset, took } => (Plain, format!("{reset} done after {:.1} s", took.as_secs_f64())),
        Happening::CommandSuperseded { reset, by } => (Plain, format!("{by} took the place of {reset}")),
        Happening::CommandFailed { why, .. } | Happening::CommandOverdue { why, .. } => (Bad, why.clone()),
        Happening::DeviceLost { why } | Happening::LoginRefused { why, .. } | Happening::DeviceDistrusted { why } => {
            (Bad, why.clone())
        }
        Happening::TrustLearned { text } => (Plain, text.clone()),
        Happening::TrustReset { by, text } => (Warn, format!("{by} reset {text}")),
        Happening::DeviceFound => (Good, "the device answers again".into()),
        Happening::BootChanged { boot, by } if boot.enabled == BootEnabled::Disabled => {
            (Plain, format!("the boot override was taken away by {by}"))
        }
        Happening::BootChanged { boot, by } => {
            (Plain, format!("boot override: {}, {}, set by {by}", boot.target.name(), boot.enabled.name()))
        }
        Happening::BootConsumed => (Plain, "the boot override for one boot was used up".into()),
        Happening::Noticed { text } => (Warn, text.clone()),
        Happening::Revived => (Warn, "rebuilt after a fault in plugfish".into()),
        Happening::Added => (Plain, "added to the configuration".into()),
        // The reason for it is told by itself, and a node that was removed is not shown.
        Happening::HealthChanged(_) | Happening::Removed => return None,
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
