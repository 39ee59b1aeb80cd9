//! Where a command stands, as values: its leg, the order that was taken, its deadline, its look at the node.

use std::time::Duration;

use super::graceful::composes_restart;
use crate::clock::Mono;
use crate::node::device::Capabilities;
use crate::node::{Power, PowerAction, ResetType};

/// Where a command stands: what it does now, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leg {
    /// The first leg of a cycle: this order, `Off` or `GracefulOff`, and in the last leg the node is turned on again.
    OffThenOn(PowerAction),
    /// The last leg, or the only one: it ends with what this order leads to.
    Last(PowerAction),
    /// It failed, and turns the node on before it ends: what to say then.
    Restore { why: String },
}

impl Leg {
    pub(super) fn order(&self) -> PowerAction {
        match self {
            Leg::OffThenOn(order) | Leg::Last(order) => *order,
            Leg::Restore { .. } => PowerAction::On,
        }
    }

    /// The state for which a command is asked that has only this leg.
    pub(super) fn asks_for(&self) -> Option<Power> {
        match self {
            Leg::Last(order) if !order.is_momentary() => Some(order.leads_to()),
            _ => None,
        }
    }
}

/// An order that the device took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub at: Mono,
    /// So many readings since did not show it.
    pub readings: usize,
}

/// How long a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    At(Mono),
    /// It is overdue, and the world was told: it takes as long as it takes.
    Passed,
}

impl Deadline {
    pub(super) fn is_over(self, now: Mono) -> bool {
        matches!(self, Deadline::At(deadline) if now >= deadline)
    }

    pub(super) fn extend(&mut self, by: Duration) {
        if let Deadline::At(deadline) = self {
            *deadline = *deadline + by;
        }
    }

    /// The deadline where it is before this moment.
    pub(super) fn or_sooner(self, until: Mono) -> Mono {
        match self {
            Deadline::At(deadline) => until.min(deadline),
            Deadline::Passed => until,
        }
    }
}

/// What a command needs to know of the node before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Read before anything else.
    Due,
    /// What was seen before it was accepted is enough.
    Spared,
    /// It was last read for this command then.
    At(Mono),
}

/// With which leg a command begins that does no other one first.
pub(super) fn begins(reset: ResetType, capabilities: Option<&Capabilities>) -> Leg {
    match reset.native() {
        Some(PowerAction::GracefulReset) if composes_restart(capabilities) => Leg::OffThenOn(PowerAction::GracefulOff),
        Some(order @ (PowerAction::On | PowerAction::Off)) => Leg::Last(order),
        Some(order) if !reset.is_composable() || offers(capabilities, order) => Leg::Last(order),
        _ => Leg::OffThenOn(PowerAction::Off),
    }
}

/// The same for any command: of those that do another one first, `GracefulShutdown` ends off, all others with the node on.
pub(super) fn first_leg(reset: ResetType, first: Option<ResetType>, capabilities: Option<&Capabilities>) -> Leg {
    let Some(first) = first else { return begins(reset, capabilities) };
    let order = begins(first, capabilities).order();
    match order.leads_to() {
        Power::Off if reset != ResetType::GracefulShutdown => Leg::OffThenOn(order),
        _ => Leg::Last(order),
    }
}

/// The device says that it takes this order now.
pub(super) fn offers(capabilities: Option<&Capabilities>, order: PowerAction) -> bool {
    capabilities.is_some_and(|capabilities| capabilities.orders.contains(&order))
}
