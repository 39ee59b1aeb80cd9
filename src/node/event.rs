//! Events of nodes, as sent to the listeners: the log, metrics, event subscribers.
//!
//! One bounded broadcast channel for the whole fleet. A listener that falls behind loses the oldest events and gets
//! their number.

use std::time::Duration;

use tokio::sync::broadcast;

use super::device::PowerRestore;
use super::power_history::thousandth;
use super::{BootOverride, Health, NodeId, Power, ResetType};
use crate::clock::Wall;

/// How many events a slow listener may fall behind: several for each node of a large rack that loses its network at once.
const BACKLOG: usize = 4096;

/// Something that happened to a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Grows by one with each event of this process.
    pub number: u64,
    pub node: NodeId,
    pub at: Wall,
    pub what: EventKind,
}

/// The cause of a power change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A command that was accepted here.
    Command,
    /// No one here: the button on the plug, its app, a schedule, a fuse.
    Outside,
}

impl Cause {
    /// The name, for logs and event bodies.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Command => "command",
            Cause::Outside => "outside",
        }
    }
}

/// What can happen to a node.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// The device showed another state than before (or its first one).
    PowerChanged {
        /// The state before; `None` at the first contact of the node's life.
        from: Option<Power>,
        /// The new state.
        to: Power,
        cause: Cause,
        /// The draw in milliwatts that told it, of a node whose outlet is on and whose power is measured.
        measured: Option<u64>,
    },
    /// The device's on-time is shorter than it should be: the power was cycled, or the device restarted, between two polls.
    OnTimeRestarted,
    /// A command was accepted and is durable.
    CommandAccepted {
        reset: ResetType,
        /// The account that sent it.
        by: String,
        /// What was acknowledged before it and is not done yet: that is done first.
        first: Option<ResetType>,
    },
    /// A command reached its end.
    CommandDone {
        reset: ResetType,
        /// How long it took since it was accepted.
        took: Duration,
    },
    /// A newer command took its place.
    CommandSuperseded {
        reset: ResetType,
        /// The newer command.
        by: ResetType,
    },
    /// A command was given up.
    CommandFailed {
        reset: ResetType,
        /// The reason, for people.
        why: String,
    },
    /// A command is past its deadline but will be completed, since it has cut the power.
    CommandOverdue {
        reset: ResetType,
        /// What it waits for, in words.
        why: String,
    },
    /// The device does not answer any more and is given up for now.
    DeviceLost {
        /// The error, for people.
        why: String,
    },
    /// The device answers again.
    DeviceFound,
    /// The device refused the login: it is left alone for a while.
    LoginRefused {
        /// What it said, in words.
        why: String,
        /// When it is tried again.
        until: Wall,
    },
    /// A client changed the boot override.
    BootChanged {
        /// The new override.
        boot: BootOverride,
        /// The account that changed it.
        by: String,
    },
    /// A client set what the device does when its power comes back, and the device was seen to have it.
    PowerRestoreSet {
        policy: PowerRestore,
        /// The account that changed it.
        by: String,
    },
    /// The override for one boot was used up by a power on.
    BootConsumed,
    /// The device proves less than it did before: it is neither believed nor switched.
    DeviceDistrusted {
        /// What it proves less, and what to do, in words.
        why: String,
    },
    /// What is on record of the device grew; at its first contact it is trusted on first use.
    TrustLearned {
        /// The message for people.
        text: String,
    },
    /// A person had what was on record of the device forgotten.
    TrustReset {
        /// The account that did it.
        by: String,
        /// What was forgotten, in words.
        text: String,
    },
    /// The device's driver noticed something odd.
    Noticed {
        /// The message for people.
        text: String,
    },
    /// The actor of the node was rebuilt after a fault in it.
    Revived,
    /// The node is as well as this now.
    HealthChanged(Health),
    /// The node was added to the configuration of the running service.
    Added,
    /// The node was taken out of it.
    Removed,
}

/// Where events are sent and heard.
#[derive(Clone, Debug)]
pub struct EventBus(broadcast::Sender<Event>);

impl EventBus {
    /// A bus without listeners.
    pub fn new() -> EventBus {
        EventBus(broadcast::Sender::new(BACKLOG))
    }

    /// Sends to all receivers; returns what was told.
    pub fn emit(&self, node: &NodeId, at: Wall, what: EventKind) -> Event {
        log(node, &what);
        let event = Event { number: crate::clock::serial(), node: node.clone(), at, what };
        // An error only says that there is no receiver.
        let _ = self.0.send(event.clone());
        event
    }

    /// Subscribes to all events from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}

impl Default for EventBus {
    fn default() -> EventBus {
        EventBus::new()
    }
}

/// What told a change of the power, in words, where that is not the device's own state.
pub(crate) fn evidence(measured: Option<u64>) -> String {
    let watts = measured.and_then(thousandth);
    watts.map_or_else(String::new, |watts| format!(", measured {watts:.1} W with the outlet on"))
}

fn log(node: &NodeId, what: &EventKind) {
    let node = node.as_str();
    match what {
        EventKind::PowerChanged { from: Some(_), to, cause, measured } => {
            let evidence = evidence(*measured);
            tracing::info!(event = "power_changed", node, to = %to, cause = cause.name(), "the power is {to} now{evidence}");
        }
        EventKind::PowerChanged { from: None, to, .. } => {
            tracing::info!(event = "power_changed", node, to = %to, "first contact: the power is {to}");
        }
        EventKind::OnTimeRestarted => tracing::warn!(
            event = "on_time_restarted",
            node,
            "the power was cycled or the device restarted between two polls, and no command from here caused it"
        ),
        EventKind::CommandAccepted { reset, by, first: None } => {
            tracing::info!(event = "command_accepted", node, op = %reset, by, "{reset} accepted");
        }
        EventKind::CommandAccepted { reset, by, first: Some(first) } => tracing::info!(
            event = "command_accepted",
            node,
            op = %reset,
            by,
            first = %first,
            "{reset} accepted; {first}, which was accepted before it, is done first"
        ),
        EventKind::CommandDone { reset, took } => {
            let took_ms = took.as_millis();
            tracing::info!(event = "command_done", node, op = %reset, took_ms, "{reset} done");
        }
        EventKind::CommandSuperseded { reset, by } => {
            tracing::info!(event = "command_superseded", node, op = %reset, by = %by, "{by} took the place of {reset}");
        }
        EventKind::CommandFailed { reset, why } => {
            tracing::error!(event = "command_failed", node, op = %reset, "{why}");
        }
        EventKind::CommandOverdue { reset, why } => {
            tracing::error!(event = "command_overdue", node, op = %reset, "{why}");
        }
        EventKind::DeviceLost { why } => tracing::error!(event = "device_lost", node, "{why}"),
        EventKind::DeviceFound => tracing::info!(event = "device_found", node, "the device answers again"),
        EventKind::LoginRefused { why, until } => {
            tracing::error!(event = "login_refused", node, until = %until, "{why}; not trying again before {until}");
        }
        EventKind::PowerRestoreSet { policy, by } => {
            let policy = policy.name();
            tracing::info!(event = "power_restore_set", node, by, policy, "PowerRestorePolicy {policy} is set");
        }
        EventKind::BootChanged { boot, by } => tracing::info!(
            event = "boot_changed",
            node,
            by,
            target = boot.target.name(),
            enabled = boot.enabled.name(),
            mode = boot.mode.name(),
            "the boot override was changed"
        ),
        EventKind::BootConsumed => {
            tracing::info!(
                event = "boot_consumed",
                node,
                "the boot override for one boot was used up by this power on"
            );
        }
        EventKind::DeviceDistrusted { why } => tracing::error!(event = "device_distrusted", node, "{why}"),
        EventKind::TrustLearned { text } => tracing::info!(event = "trust_learned", node, "{text}"),
        EventKind::TrustReset { by, text } => tracing::warn!(event = "trust_reset", node, by, "{by} reset {text}"),
        EventKind::Noticed { text } => tracing::warn!(event = "noticed", node, "{text}"),
        EventKind::Revived => tracing::warn!(event = "restartd", node, "the node's actor was rebuilt"),
        // The reason is logged by itself.
        EventKind::HealthChanged(health) => {
            tracing::info!(
                event = "health_changed",
                node,
                health = health.name(),
                "the health is {} now",
                health.name()
            );
        }
        EventKind::Added => tracing::info!(event = "node_added", node, "the node was added"),
        EventKind::Removed => tracing::info!(event = "node_removed", node, "the node was removed"),
    }
}
