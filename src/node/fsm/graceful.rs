//! A machine behind an outlet that is asked to shut down: it is off before its outlet is, and an outlet is never turned off for
//! that while the machine runs.

use std::time::Duration;

use super::Fsm;
use super::command::Command;
use super::evidence::Evidence;
use super::leg::{Deadline, Leg, offers};
use crate::clock::Mono;
use crate::node::device::Capabilities;
use crate::node::power_history::thousandth;
use crate::node::{AfterShutdown, Power, PowerAction, ResetType};

/// What a command gets on top of its deadline once the machine has shut down: its outlet goes off, and after a restart the
/// machine has to draw again.
const AFTER_SHUTDOWN: Duration = Duration::from_secs(20);

/// An outlet whose machine can be asked to shut down: a graceful restart is that, and off and on.
pub(super) fn composes_restart(capabilities: Option<&Capabilities>) -> bool {
    use PowerAction::{GracefulOff, GracefulReset, Reset};
    offers(capabilities, GracefulOff) && ![GracefulReset, Reset].iter().any(|order| offers(capabilities, *order))
}

impl Command {
    /// The machine was asked to shut down and has. True where its outlet is to go off now as well: in the same leg, and also where
    /// it stays on otherwise if the machine is to start again.
    pub(super) fn cuts_after_shutdown(&mut self, evidence: Evidence, after: AfterShutdown) -> bool {
        let restarts = matches!(self.leg(), Leg::OffThenOn(_));
        let cuts = self.order() == PowerAction::GracefulOff
            && evidence.relay != Power::Off
            && (restarts || after == AfterShutdown::Cut);
        if cuts {
            self.begin(if restarts { Leg::OffThenOn(PowerAction::Off) } else { Leg::Last(PowerAction::Off) });
            self.deadline.extend(AFTER_SHUTDOWN);
        }
        cuts
    }

    /// It asked the machine to shut down, and is about to cut its power.
    pub(super) fn is_about_to_cut_politely(&self) -> bool {
        let asked = self.intent.first.unwrap_or(self.intent.reset);
        let polite = matches!(asked, ResetType::GracefulShutdown | ResetType::GracefulRestart);
        polite && self.order() == PowerAction::Off && self.taken.is_none()
    }
}

impl Fsm {
    /// A command that asks a machine to shut down may take as long as the operator says.
    pub(super) fn gives_time_to_shut_down(&self, command: &mut Command, now: Mono) {
        if let Some(graceful) = &self.spec.policy.graceful
            && command.order() == PowerAction::GracefulOff
        {
            command.deadline = Deadline::At(now + graceful.deadline);
        }
    }

    /// Why a machine that was asked to shut down does not count as off.
    pub(super) fn what_it_draws(&self) -> String {
        let drawn = self.seen.as_ref().and_then(|seen| seen.draws(self.spec.timings.poll_interval));
        match drawn.and_then(thousandth) {
            Some(watts) => {
                format!("the machine was asked to shut down and still draws {watts:.1} W; its outlet stays on")
            }
            None => "the machine was asked to shut down, and what it draws is not known; its outlet stays on".into(),
        }
    }
}
