//! A machine that a command turns on, and that is shown on only when it draws what it draws when it runs.
//!
//! Its outlet going on does not tell that it starts: that is for its firmware to do. And a machine that was shut down by itself
//! is off with its outlet on, so that only taking the power away and giving it back starts it.

use std::time::Duration;

use super::command::Command;
use super::evidence::Evidence;
use super::leg::{Leg, Look};
use super::{Effect, Fsm};
use crate::clock::{Mono, Now};
use crate::node::journal::Stage;
use crate::node::power_history::thousandth;
use crate::node::{Power, PowerAction};

/// How long a machine may take from getting power until it draws what it draws when it runs. Power supplies and firmware take
/// some seconds; with a cycle before it, this fits into Ironic's 60 s.
const BOOT_DRAW: Duration = Duration::from_secs(20);

/// How often a machine is looked at that is to start.
const START_LOOK: Duration = Duration::from_secs(2);

/// How far a machine is that a command turns on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Start {
    /// Its outlet was not seen on.
    #[default]
    Unseen,
    /// The process before may have turned its outlet on a moment ago.
    Doubtful,
    /// Its outlet has been on since then, and it does not run.
    Waits { since: Mono, doubtful: bool },
    /// It was off with its outlet on: the outlet goes off and on again. A machine that turns out to run is not cut for that.
    Cycles,
    /// It gets power and does not start.
    Fails,
}

impl Command {
    /// A reading of a machine that this command is to start. True where no more is to be made of it: the machine does not run
    /// yet, its outlet is about to go off and on for it, or it is left alone.
    pub(super) fn starts(&mut self, evidence: Evidence, outstanding: bool, now: Mono) -> bool {
        if evidence.draws && self.start == Start::Cycles && self.order() == PowerAction::Off && self.taken.is_none() {
            // It runs, as seen right before its outlet was to go off.
            self.turn_on();
            self.start = Start::Unseen;
            return true;
        }
        let is_off = evidence.relay == Power::On && evidence.power == Power::Off;
        if self.want() != Power::On || !is_off || outstanding {
            return false;
        }
        let (since, doubtful) = match self.start {
            Start::Waits { since, doubtful } => (since, doubtful),
            start => (now, start == Start::Doubtful),
        };
        self.start = Start::Waits { since, doubtful };
        // One that got its power a moment ago gets nothing new by getting it again.
        let was_given = self.taken.is_some() || self.intent.stage == Stage::Restoring;
        if (evidence.draws || was_given || doubtful) && now.since(since) < BOOT_DRAW {
            (self.look, self.retry_at) = (Look::Due, now + START_LOOK);
        } else if was_given || self.is_failing() {
            self.start = Start::Fails;
        } else {
            self.begin(Leg::OffThenOn(PowerAction::Off));
            self.start = Start::Cycles;
            self.deadline.extend(BOOT_DRAW);
        }
        true
    }
}

impl Fsm {
    /// Ends the command of a machine that has power and does not start, with its outlet on.
    pub(super) fn tell_of_start(&mut self, evidence: Evidence, now: Now, out: &mut Vec<Effect>) {
        let Some(command) = self.command.as_ref().filter(|command| command.start == Start::Fails) else { return };
        let watts = evidence.drawn.and_then(thousandth);
        let drawn = watts.map_or_else(String::new, |watts| format!(" and draws {watts:.1} W"));
        let why = match command.leg() {
            Leg::Restore { why } => why.clone(),
            Leg::OffThenOn(_) | Leg::Last(_) => format!(
                "{} failed: the machine has power{drawn}, and does not start when it gets it; set its firmware to turn on \
                 after a power loss (Restore on AC Power Loss), or correct its thresholds in watts",
                command.in_words()
            ),
        };
        self.fail_command(why, now, out);
    }
}
