//! One command from its acceptance to its end, as a value: which order it gives, and what it needs next.
//!
//! A command is one or two legs: to a state, and for a composed cycle on to the next. A leg is an order and as many
//! readings as it takes to see it followed; the device's own "ok" proves nothing. Only a pulse (a restart that the device
//! does by itself) ends where it began: it counts as followed when the device took it and the node is seen on
//! afterwards. Every rule about repeating, waiting, giving up and owing is in [`Command::next`].

use std::time::Duration;

use super::leg::{Deadline, Leg, Look, Taken, first_leg, offers};
use super::start::Start;
use crate::clock::{Mono, Now};
use crate::node::device::{Capabilities, DeviceKind};
use crate::node::journal::{Intent, Stage};
use crate::node::view::CommandView;
use crate::node::{Power, PowerAction, ResetType, Timings};

/// Pauses between the tries of a command on a failing device; the last one repeats until the deadline.
const RETRY_AFTER: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(5),
];

/// The same past the deadline, for a node that was cut and waits for its On: kinder to a device that is away for long,
/// and still quick when it is back.
const OWED_RETRY_AFTER: Duration = Duration::from_secs(10);

/// An operating system that was asked to shut down is given this long at least: services have time-outs of 90 s.
const GRACEFUL_DEADLINE: Duration = Duration::from_secs(150);

/// How often a node is looked at that shuts down by itself.
const GRACEFUL_LOOK: Duration = Duration::from_secs(5);

/// A device that is read before each order is read again when the last reading is older than this: the order waited for a
/// dwell or for the disk.
const LOOK_LIFE: Duration = Duration::from_secs(2);

/// How soon a device is asked again that is between two states.
const BETWEEN_STATES_LOOK: Duration = Duration::from_secs(2);

/// A command that is being carried out.
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// With the stage that is on record.
    pub intent: Intent,
    /// The stage at which the one in whose place it is makes it begin, whether that is on record or not.
    pub inherited: Stage,
    leg: Leg,
    /// The device took the order of this leg, and does not show it yet.
    pub taken: Option<Taken>,
    /// When it was accepted, or this process began. Only readings begun later count.
    pub since: Mono,
    pub deadline: Deadline,
    pub look: Look,
    pub failures: usize,
    pub retry_at: Mono,
    /// Why the device, which is well, did not take the order yet.
    pub obstacle: Option<String>,
    /// How far the machine is that is to start, where its draw tells that.
    pub start: Start,
}

/// What a command may have done to the node, or the one in whose place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MayHave {
    DoneNothing,
    CutPower,
    /// To a node that was seen on: that says nothing about its power.
    SentInterrupt,
}

/// What a command needs next.
pub(super) enum Next {
    /// Nothing before this moment.
    Wait(Mono),
    /// A reading.
    Read,
    /// This order to the device.
    Give(PowerAction),
    /// This stage on record, before the order that it names.
    Record(Stage),
    /// It is past its deadline, and nothing is owed.
    GiveUp,
    /// It is past its deadline before the power is known to be cut: turn it on again in any case.
    Restore,
    /// It is past its deadline and will be completed: say so.
    SayOverdue,
}

/// What of an unfinished command is not made undone, nor done, by this one that takes its place, and is so done first. An off
/// in place of an on means that the node is to stay off; of two restarts the newer one says how.
pub(super) fn does_first(reset: ResetType, pending: Option<ResetType>) -> Option<ResetType> {
    match reset {
        ResetType::On | ResetType::ForceOn => pending,
        ResetType::ForceOff | ResetType::Nmi => None,
        _ => pending.filter(|pending| *pending == ResetType::ForceOff),
    }
}

/// Turns the node on, and that is all.
fn turns_on(reset: ResetType) -> bool {
    matches!(reset, ResetType::On | ResetType::ForceOn)
}

impl Command {
    /// A command that was just accepted.
    pub(super) fn accepted(
        intent: Intent,
        now: Mono,
        limit: Duration,
        look: Look,
        capabilities: Option<&Capabilities>,
    ) -> Command {
        let leg = match intent.stage {
            Stage::Restoring => Leg::Last(PowerAction::On),
            _ => first_leg(intent.reset, intent.first, capabilities),
        };
        let graceful = matches!(leg.order(), PowerAction::GracefulOff | PowerAction::GracefulReset);
        let limit = if graceful { limit.max(GRACEFUL_DEADLINE) } else { limit };
        Command {
            intent,
            inherited: Stage::Accepted,
            leg,
            taken: None,
            since: now,
            deadline: Deadline::At(now + limit),
            look,
            failures: 0,
            retry_at: now,
            obstacle: None,
            start: Start::Unseen,
        }
    }

    /// A command that another process accepted: read the device first, then do what is missing, once.
    pub(super) fn restored(
        intent: Intent,
        timings: &Timings,
        now: Now,
        capabilities: Option<&Capabilities>,
    ) -> Command {
        let left = timings.command_deadline.saturating_sub(now.wall.since(intent.accepted));
        let mut command = Command::accepted(intent, now.mono, left, Look::Due, capabilities);
        command.start = Start::Doubtful;
        if command.intent.reset == ResetType::Nmi && command.intent.stage == Stage::Restoring {
            let why = format!("{} may have been sent and is not sent twice", command.in_words());
            command.begin(Leg::Restore { why });
        }
        command
    }

    pub(super) fn leg(&self) -> &Leg {
        &self.leg
    }

    /// The order of the current leg.
    pub(super) fn order(&self) -> PowerAction {
        self.leg.order()
    }

    /// The state in which the current leg ends.
    pub(super) fn want(&self) -> Power {
        self.order().leads_to()
    }

    /// Goes on with this leg, of which no order was taken yet.
    pub(super) fn begin(&mut self, leg: Leg) {
        (self.leg, self.taken) = (leg, None);
    }

    /// Its last leg, with the node off: it is to be turned on.
    pub(super) fn turn_on(&mut self) {
        self.begin(Leg::Last(PowerAction::On));
    }

    /// The last leg of a cycle, which keeps the dwell: that takes nothing from the time it has.
    pub(super) fn turn_on_again(&mut self, off_dwell: Duration) {
        self.turn_on();
        self.deadline.extend(off_dwell);
    }

    pub(super) fn is_failing(&self) -> bool {
        matches!(self.leg, Leg::Restore { .. })
    }

    fn is_overdue(&self) -> bool {
        self.deadline == Deadline::Passed
    }

    /// Its last try failed and the next one is waiting.
    pub(super) fn is_retrying(&self) -> bool {
        self.failures > 0
    }

    /// It ends where `reset` asks to go, so that one is done with it.
    pub(super) fn serves(&self, reset: ResetType, capabilities: Option<&Capabilities>) -> bool {
        if self.is_failing() || turns_on(self.intent.reset) != turns_on(reset) {
            return false;
        }
        turns_on(reset)
            || first_leg(self.intent.reset, self.intent.first, capabilities)
                == first_leg(reset, does_first(reset, self.pending()), capabilities)
    }

    /// What was acknowledged with it and would be lost if it ended here, apart from the state in which it ends: a cut of the
    /// power that was not seen, a restart that the device did not take.
    pub(super) fn pending(&self) -> Option<ResetType> {
        let first = self.intent.first.unwrap_or(self.intent.reset);
        if turns_on(first) || first == ResetType::Nmi {
            return None;
        }
        let done = match self.order() {
            PowerAction::On | PowerAction::Nmi => true,
            PowerAction::Off | PowerAction::GracefulOff => false,
            PowerAction::Cycle | PowerAction::Reset | PowerAction::GracefulReset => self.taken.is_some(),
        };
        // That it fails is told when it is overdue, else at its end.
        let untold = self.is_failing() && !self.is_overdue();
        (!done || untold).then_some(first)
    }

    /// An interrupt would take the place of what it still has to do. A system that hangs while it shuts down is what
    /// interrupts are for.
    pub(super) fn keeps_interrupts_out(&self) -> bool {
        let polite = self.intent.reset == ResetType::GracefulShutdown && self.intent.first.is_none();
        self.must_restore_power() || !polite && self.pending().is_some()
    }

    /// It turns the node on once another command is done: also if that one cannot be done.
    pub(super) fn only_turns_on(&self) -> bool {
        turns_on(self.intent.reset) && self.intent.first.is_some()
    }

    /// It does this one first, and not what was written down of it.
    pub(super) fn do_first(&mut self, first: Option<ResetType>, capabilities: Option<&Capabilities>) {
        self.intent.first = first;
        self.begin(first_leg(self.intent.reset, first, capabilities));
        self.look = Look::Due;
    }

    /// What readers see of it.
    pub(super) fn view(&self) -> CommandView {
        CommandView { reset: self.intent.reset, by: self.intent.by.clone(), accepted: self.intent.accepted }
    }

    /// What to say of it while it is overdue.
    pub(super) fn overdue_words(&self) -> Option<String> {
        self.is_overdue().then(|| match &self.leg {
            Leg::Restore { why } => format!("{why}, once it can be reached"),
            Leg::OffThenOn(_) | Leg::Last(_) => {
                format!("{} is late, and will be completed: the power was cut for it", self.in_words())
            }
        })
    }

    pub(super) fn in_words(&self) -> String {
        let Intent { reset, first, by, accepted, .. } = &self.intent;
        let first = first.map_or_else(String::new, |first| format!(", after the {first} in whose place it is"));
        format!("{reset}, asked for by {by} at {accepted}{first},")
    }

    /// It may have cut the power and ends with the power on: it is completed whatever the deadline says.
    pub(super) fn must_restore_power(&self) -> bool {
        self.may_have() == MayHave::CutPower && self.intent.reset != ResetType::ForceOff
    }

    fn may_have(&self) -> MayHave {
        match (self.intent.stage, self.inherited) {
            (Stage::Accepted, Stage::Accepted) => MayHave::DoneNothing,
            (Stage::Restoring, _) if self.order() == PowerAction::Nmi => MayHave::SentInterrupt,
            _ => MayHave::CutPower,
        }
    }

    /// It fails, and turns the node on again in any case.
    pub(super) fn restore(&mut self, why: &str) {
        self.begin(Leg::Restore { why: format!("{why}; the node is left on") });
        self.look = Look::Due;
    }

    /// What it needs next. `looks`: the node is read right before each order. `dwell_until`: the earliest moment for an On.
    pub(super) fn next(&self, kind: &DeviceKind, looks: bool, dwell_until: Option<Mono>, now: Mono) -> Next {
        if self.deadline.is_over(now) {
            return match (self.must_restore_power(), self.order()) {
                (false, _) => Next::GiveUp,
                (true, PowerAction::On) => Next::SayOverdue,
                (true, _) => Next::Restore,
            };
        }
        let wait = |until: Mono| Next::Wait(self.deadline.or_sooner(until));
        if now < self.retry_at {
            return wait(self.retry_at);
        }
        // It was sent for the one before: what is to be made good is on record before it is seen.
        let then_on = matches!(self.leg, Leg::OffThenOn(_));
        if then_on && self.taken.is_some() && self.intent.stage == Stage::Accepted {
            return Next::Record(Stage::Cutting);
        }
        // Before anything else: after a crash it is not to be made again.
        let order = self.order();
        if order.is_momentary() && self.taken.is_some() && self.intent.stage == Stage::Cutting {
            return Next::Record(Stage::Restoring);
        }
        if self.look == Look::Due {
            return Next::Read;
        }
        if let Some(until) = dwell_until.filter(|until| order == PowerAction::On && now < *until) {
            return wait(until);
        }
        if let Some(Taken { at, readings }) = self.taken
            && let Some(after) = self.look_after(kind, readings)
        {
            return if now < at + after { wait(at + after) } else { Next::Read };
        }
        if let Look::At(at) = self.look
            && looks
            && now.since(at) > LOOK_LIFE
        {
            return Next::Read;
        }
        match (order, self.intent.stage) {
            (_, Stage::Accepted) if then_on => Next::Record(Stage::Cutting),
            (PowerAction::On, Stage::Cutting) => Next::Record(Stage::Restoring),
            // What was done first is not done again after a crash.
            (PowerAction::On, Stage::Accepted) if self.intent.first.is_some() => Next::Record(Stage::Restoring),
            // A second interrupt could spoil what the first one made the machine write: never sent twice.
            (PowerAction::Nmi, Stage::Accepted | Stage::Cutting) => Next::Record(Stage::Restoring),
            (order, Stage::Accepted) if order.is_momentary() => Next::Record(Stage::Cutting),
            (order, _) => Next::Give(order),
        }
    }

    /// When to look again after an order that was taken; `None` when it is time to give it again.
    fn look_after(&self, kind: &DeviceKind, readings: usize) -> Option<Duration> {
        if let Some(after) = kind.verify_after.get(readings) {
            return Some(*after);
        }
        let more = u32::try_from(readings.saturating_sub(kind.verify_after.len())).unwrap_or(u32::MAX);
        let last = kind.verify_after.last().copied().unwrap_or_default();
        (self.order() == PowerAction::GracefulOff).then(|| last + GRACEFUL_LOOK.saturating_mul(more.saturating_add(1)))
    }

    /// A try failed: look at the device before the next one.
    pub(super) fn failed_once(&mut self, now: Mono, not_before: Option<Mono>) {
        let pause = if self.is_overdue() {
            OWED_RETRY_AFTER
        } else {
            RETRY_AFTER.get(self.failures).or(RETRY_AFTER.last()).copied().unwrap_or(OWED_RETRY_AFTER)
        };
        self.failures += 1;
        self.retry_at = not_before.unwrap_or(now + pause);
        self.look = Look::Due;
        // Whatever can be told of a restart that was taken, it is not made a second time.
        self.taken = self.taken.filter(|_| self.order().is_momentary());
    }

    /// A reading did not say in which state the node is.
    pub(super) fn between_states(&mut self, now: Mono) {
        match self.taken.as_mut() {
            Some(taken) => taken.readings += 1,
            None => self.obstacle = Some("it is between two states".into()),
        }
        if self.taken.is_none() || self.look == Look::Due {
            self.retry_at = now + BETWEEN_STATES_LOOK;
        }
    }

    /// The first look at the node before an order that depends on its state: what the order has to be, or why there
    /// can be none.
    pub(super) fn fit(&mut self, power: Power, capabilities: Option<&Capabilities>) -> Result<(), String> {
        let order = self.order();
        if self.taken.is_some()
            || matches!(order, PowerAction::On | PowerAction::Off)
            || power == self.want() && !order.is_momentary()
        {
            return Ok(());
        }
        let Intent { reset, first, .. } = self.intent;
        if power == Power::Off {
            if !reset.is_composable() && self.may_have() != MayHave::CutPower {
                return Err(format!("{} was not done: the machine is off", self.in_words()));
            }
            self.turn_on();
        } else if !offers(capabilities, order) {
            // Nothing polite becomes a hard one for the command after it.
            if !first.unwrap_or(reset).is_composable() {
                return Err(format!(
                    "{} was not done: the machine does not offer it in its present state",
                    self.in_words()
                ));
            }
            self.begin(Leg::OffThenOn(PowerAction::Off));
        }
        Ok(())
    }
}
