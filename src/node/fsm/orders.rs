//! The machine and its command: accept, coalesce, supersede, refuse; then carry it out, operation by operation.

use std::time::Duration;

use super::command::{Command, Next, does_first};
use super::evidence::Evidence;
use super::leg::{Deadline, Leg, Look, Taken, begins, first_leg};
use super::{Effect, Failed, Fsm, JOINED_MAX, Moment, Op, Outcome, SAVES_MAX, Save, Saving, Ticket};
use crate::clock::{Mono, Now};
use crate::durable::WriteError;
use crate::node::device::{Capabilities, DeviceError, FailureClass};
use crate::node::event::EventKind;
use crate::node::journal::{Intent, Stage};
use crate::node::{Power, PowerAction, Refusal, ResetType};

/// With which stage a command begins. A node that was cut, or may be, for a command that ends with On keeps that claim when
/// another such command takes its place.
fn pending_power_on(must_restore_power: bool, reset: ResetType, first: Option<ResetType>) -> Stage {
    match (must_restore_power, reset, first) {
        (true, ResetType::On | ResetType::ForceOn, None) => Stage::Restoring,
        (true, ResetType::ForceOff | ResetType::GracefulShutdown, _) | (false, ..) => Stage::Accepted,
        (true, ..) => Stage::Cutting,
    }
}

impl Fsm {
    pub(super) fn capabilities(&self) -> Option<&Capabilities> {
        self.seen.as_ref()?.capabilities.as_deref()
    }

    /// A client asks for power: accept, coalesce, or refuse.
    pub(super) fn reset(
        &mut self,
        ticket: Ticket,
        reset: ResetType,
        by: String,
        moment: Moment,
        out: &mut Vec<Effect>,
    ) {
        let now = moment.now;
        // Joining an equal command asks nothing more of the device, so no state of the link refuses it.
        let capabilities = self.seen.as_ref().and_then(|seen| seen.capabilities.clone());
        let capabilities = capabilities.as_deref();
        let waiting = self.saves.iter().map(|saving| match saving {
            Saving::Accept { tickets, .. } => tickets.len(),
            _ => 0,
        });
        let full = waiting.sum::<usize>() >= JOINED_MAX;
        let offered = self.resets().contains(&reset);
        let serves =
            |command: &Command| (offered || command.intent.reset == reset) && command.serves(reset, capabilities);
        if let Some(Saving::Accept { command, tickets }) = self.newest_accept()
            && serves(command)
        {
            if full {
                let node = self.spec.id.clone();
                out.push(Effect::Count(reset, "refused"));
                out.push(Effect::Answer(ticket, Err(Refusal::Overloaded { node })));
            } else {
                tickets.push(ticket);
                out.push(Effect::Count(reset, "coalesced"));
            }
            return;
        }
        let cut_again = matches!(begins(reset, capabilities), Leg::OffThenOn(_)) && self.may_be_on_again();
        if self.newest_accept().is_none() && self.command.as_ref().is_some_and(|command| serves(command) && !cut_again)
        {
            out.push(Effect::Count(reset, "coalesced"));
            out.push(Effect::Answer(ticket, Ok(())));
            return;
        }
        if let Some(refusal) = self.refuses(reset, now.mono) {
            out.push(Effect::Count(reset, "refused"));
            out.push(Effect::Answer(ticket, Err(refusal)));
            return;
        }
        let command = self.new_command(reset, by, now);
        self.save(Save::Intent(command.intent.clone()), Saving::Accept { command, tickets: vec![ticket] }, out);
    }

    /// The On of a cycle is on its way, or was: the machine may run, and the caller for a cycle now wants to see it cut.
    fn may_be_on_again(&self) -> bool {
        let sent = self.order_in_flight() == Some(PowerAction::On) || self.outstanding.to(Power::On).is_some();
        let order_to_on = self.command.as_ref().filter(|command| command.order() == PowerAction::On);
        order_to_on.is_some_and(|command| sent || command.intent.stage == Stage::Restoring)
    }

    /// The device is to be tried now: a command that waits for its next try does not wait any longer.
    pub(super) fn command_may_try(&mut self, now: Mono) {
        if let Some(command) = self.command.as_mut() {
            command.retry_at = command.retry_at.min(now);
        }
    }

    fn newest_accept(&mut self) -> Option<&mut Saving> {
        self.saves.iter_mut().rev().find(|saving| matches!(saving, Saving::Accept { .. }))
    }

    fn refuses(&self, reset: ResetType, now: Mono) -> Option<Refusal> {
        let node = || self.spec.id.clone();
        if self.stopping {
            return Some(Refusal::Stopping { node: node() });
        }
        if self.saves.len() >= SAVES_MAX {
            return Some(Refusal::Overloaded { node: node() });
        }
        if !self.resets().contains(&reset) {
            return Some(self.cannot(reset));
        }
        if reset == ResetType::Nmi
            && let Some(other) = self.unfinished().find(|command| command.keeps_interrupts_out())
        {
            let why = format!("{} is not done yet", other.intent.reset);
            return Some(Refusal::NotNow { node: node(), what: reset.to_string(), why });
        }
        self.connectivity.refusal(&self.spec, now)
    }

    /// It is not offered: at this moment, or by no device of this kind.
    fn cannot(&self, reset: ResetType) -> Refusal {
        let (node, what) = (self.spec.id.clone(), reset.to_string());
        if !reset.native().is_some_and(|order| self.spec.kind.orders.contains(&order)) {
            return Refusal::Unsupported { node, what, device: self.spec.device.clone() };
        }
        let why = match self.seen.as_ref().map(|seen| seen.power) {
            None => format!("{} was not read yet", self.spec.device),
            Some(Power::Off) => "the machine is off".into(),
            Some(power) => format!("the machine does not offer it in its present state, {power}"),
        };
        Refusal::NotNow { node, what, why }
    }

    /// All commands that were accepted, or are about to be, and have no end.
    fn unfinished(&self) -> impl Iterator<Item = &Command> {
        let waiting = self.saves.iter().filter_map(|saving| match saving {
            Saving::Accept { command, .. } => Some(command),
            _ => None,
        });
        self.command.iter().chain(waiting)
    }

    /// What a command does first that takes the place of `before`, and with which stage it begins.
    fn inherits(&self, before: Option<&Command>, reset: ResetType) -> (Option<ResetType>, Stage) {
        let first = does_first(reset, before.and_then(Command::pending));
        let must_restore_power =
            before.is_some_and(Command::must_restore_power) || first.is_some() && self.is_going_off();
        (first, pending_power_on(must_restore_power, reset, first))
    }

    /// An order to turn off is on its way, or was followed and not seen yet.
    fn is_going_off(&self) -> bool {
        let in_flight = self.order_in_flight().is_some_and(|order| order.leads_to() == Power::Off);
        in_flight || self.outstanding.to(Power::Off).is_some()
    }

    fn new_command(&mut self, reset: ResetType, by: String, now: Now) -> Command {
        self.last_number += 1;
        let before = self.unfinished().last();
        let (first, stage) = self.inherits(before, reset);
        let intent = Intent { number: self.last_number, reset, first, accepted: now.wall, by, stage };
        let want = first_leg(reset, first, self.capabilities()).order().leads_to();
        // Where what was last seen differs from what is wanted, the order can go out at once. Otherwise look first:
        // it may be there already, and someone may have pressed the button since.
        let is_doubtful = self.reads_before_action()
            || self.outstanding.any()
            || self.seen.as_ref().is_none_or(|seen| seen.power == want);
        let look = if is_doubtful { Look::Due } else { Look::Spared };
        let dwell = match want {
            Power::On => self.dwell_until().map_or(Duration::ZERO, |until| until.since(now.mono)),
            _ => Duration::ZERO,
        };
        let limit = self.spec.timings.command_deadline + dwell;
        let mut command = Command::accepted(intent, now.mono, limit, look, self.capabilities());
        self.gives_time_to_shut_down(&mut command, now.mono);
        command
    }

    /// A new command is durable: it takes the place of the one before.
    pub(super) fn install(&mut self, mut command: Command, out: &mut Vec<Effect>) {
        let Intent { reset, by, stage, first: recorded, .. } = command.intent.clone();
        let (first, pending_power_on) = self.inherits(self.command.as_ref(), reset);
        command.inherited = pending_power_on;
        // The one before came to its end meanwhile, or the one between could not be recorded.
        let differs = first != recorded;
        if differs {
            command.do_first(first, self.capabilities());
        }
        // Likewise the one with which the claim would have ended. Of two commands that wait for their record the newer one
        // has the last word.
        if (differs || stage == Stage::Accepted && command.inherited != Stage::Accepted)
            && self.newest_accept().is_none()
        {
            let intent = Intent { stage: pending_power_on, ..command.intent.clone() };
            self.save(Save::Intent(intent.clone()), Saving::Stage(intent), out);
        }
        if let Some(old) = self.command.take() {
            if (old.order(), command.order()) == (PowerAction::GracefulOff, PowerAction::GracefulOff) {
                // It was asked politely already.
                command.taken = old.taken;
            }
            let old = old.intent.reset;
            out.push(Effect::Emit(EventKind::CommandSuperseded { reset: old, by: reset }));
            out.push(Effect::Count(old, "superseded"));
        }
        out.push(Effect::Emit(EventKind::CommandAccepted { reset, by, first }));
        self.failed = None;
        self.command = Some(command);
    }

    /// The earliest moment at which the node may be turned on: `off_dwell` after it was seen to go off, or was told to
    /// and does not show it yet.
    fn dwell_until(&self) -> Option<Mono> {
        let seen = self.seen.as_ref().filter(|seen| seen.relay == Power::Off).and_then(|seen| seen.off_since);
        seen.max(self.outstanding.to(Power::Off)).map(|since| since + self.spec.timings.off_dwell)
    }

    /// Takes the command as far as it goes without the device; the operation it needs then, if it needs one now.
    pub(super) fn advance_command(&mut self, moment: Moment, out: &mut Vec<Effect>) -> Option<Op> {
        let now = moment.now.mono;
        let dwell_until = self.dwell_until();
        let (kind, looks) = (self.spec.kind, self.reads_before_action());
        // Each turn of this loop changes the command so that the next one answers otherwise; three are the most.
        for _ in 0..4 {
            if self.waits_for_save() {
                return None;
            }
            let command = self.command.as_mut()?;
            if self.unread {
                command.look = Look::Due;
            }
            match command.next(kind, looks, dwell_until, now) {
                Next::Wait(_) => return None,
                Next::Read => return Some(Op::Read),
                Next::Give(order) => return Some(Op::PowerAction(order, self.boot_for(order))),
                Next::Record(stage) => {
                    let intent = Intent { stage, ..command.intent.clone() };
                    self.save(Save::Intent(intent.clone()), Saving::Stage(intent), out);
                }
                Next::GiveUp => {
                    let why = format!("{} was given up: {}", command.in_words(), self.what_is_missing());
                    self.fail_command(why, moment.now, out);
                }
                Next::Restore => {
                    command.deadline = Deadline::Passed;
                    let why = format!("{} was given up before the power was seen to go off", command.in_words());
                    command.restore(&why);
                    let reset = command.intent.reset;
                    out.push(Effect::Emit(EventKind::CommandOverdue { reset, why }));
                }
                Next::SayOverdue => {
                    command.deadline = Deadline::Passed;
                    let reset = command.intent.reset;
                    let why = command.overdue_words().unwrap_or_default();
                    out.push(Effect::Emit(EventKind::CommandOverdue { reset, why }));
                }
            }
        }
        None
    }

    /// When the command needs a `Tick`.
    pub(super) fn command_due(&self, now: Mono) -> Option<Mono> {
        let command = self.command.as_ref().filter(|_| !self.waits_for_save())?;
        match command.next(self.spec.kind, self.reads_before_action(), self.dwell_until(), now) {
            Next::Wait(until) => Some(until),
            _ => Some(now),
        }
    }

    /// A save is under way that will change the command or its stage: nothing is started before it has ended.
    fn waits_for_save(&self) -> bool {
        self.saves.iter().any(|saving| matches!(saving, Saving::Accept { .. } | Saving::Stage(_)))
    }

    /// The stage of the current command is on record, or could not be put there.
    pub(super) fn stage_saved(
        &mut self,
        intent: Intent,
        result: Result<(), WriteError>,
        moment: Moment,
        out: &mut Vec<Effect>,
    ) {
        let Some(command) = self.command.as_mut().filter(|command| command.intent.number == intent.number) else {
            return;
        };
        match result {
            Ok(()) => command.intent = intent,
            // The node is on, and without a record a crash in the middle would leave it off, or send an interrupt twice.
            Err(error)
                if (command.intent.stage, intent.stage) == (Stage::Accepted, Stage::Cutting)
                    || command.order() == PowerAction::Nmi =>
            {
                let why = format!("{} was given up before anything was done: {error}", command.in_words());
                self.give_up(why, moment.now, out);
            }
            // The record says "cut" already, which is enough for a restart to turn it on: go on.
            Err(_) => command.intent = intent,
        }
    }

    /// The device took an order.
    pub(super) fn taken(&mut self, order: PowerAction, now: Mono) {
        // A poll that was due meanwhile would come when the device is busy with the order.
        let first_look = self.spec.kind.verify_after.first().copied().unwrap_or_default();
        self.next_poll = self.next_poll.max(now + first_look);
        self.may_follow(order, now);
        // A polite request does nothing yet: it says nothing of the orders before it.
        if matches!(order, PowerAction::On | PowerAction::Off) {
            self.outstanding.taken(order.leads_to());
        }
        if let Some(command) = self.command.as_mut() {
            // An order of a command that was superseded meanwhile says nothing about the new one.
            command.taken = (command.order() == order).then_some(Taken { at: now, readings: 0 });
            (command.failures, command.obstacle) = (0, None);
        }
    }

    /// An order reached the device, or may have.
    fn may_follow(&mut self, order: PowerAction, now: Mono) {
        // What asks the machine behind an outlet to shut down does not touch the outlet.
        if order.is_momentary() || order == PowerAction::GracefulOff && self.spec.kind.is_outlet {
            return;
        }
        let may_be_on = self.outstanding.to(Power::On).is_some();
        if let Some(seen) = self.seen.as_mut().filter(|seen| may_be_on && seen.relay == order.leads_to()) {
            // It may have been on for a moment that no one saw, and went off with this order.
            seen.off_since = (seen.relay == Power::Off).then_some(now);
        }
        self.outstanding.sent(order.leads_to(), now);
    }

    /// An operation ended on a device that was replaced meanwhile: what that one says and how it fails is not about this
    /// one. Only an order may have been followed, as the new device may be another way to the same machine.
    pub(super) fn is_outdated(
        &mut self,
        op: &Op,
        result: &Result<Outcome, DeviceError>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        match (op, result) {
            (Op::PowerAction(..), Ok(_)) => return false,
            (Op::PowerAction(PowerAction::Nmi, _), Err(error))
                if self.command.as_ref().is_some_and(|c| c.order() == PowerAction::Nmi) =>
            {
                let why = format!("Nmi was given up: the device before may have taken it: {error}");
                self.fail_command(why, now, out);
            }
            (Op::PowerAction(order, _), Err(_)) => self.may_follow(*order, now.mono),
            (Op::Read | Op::Scan | Op::SetPowerRestore(_), _) => {}
        }
        true
    }

    /// The device failed; the command, if there is one, waits, or ends where waiting is no use.
    pub(super) fn operation_failed(&mut self, op: &Op, error: DeviceError, moment: Moment, out: &mut Vec<Effect>) {
        let of_order = matches!(op, Op::PowerAction(..) | Op::SetPowerRestore(_));
        // A device that says why it does not follow an order is well.
        let well = of_order && matches!(error.class, FailureClass::NotReady | FailureClass::Refused);
        if well {
            self.link_is_well(out);
        } else {
            out.extend(self.connectivity.failed(&error, moment, self.spec.kind).map(Effect::Emit));
        }
        if let Op::PowerAction(order, _) = op
            && !well
        {
            self.may_follow(*order, moment.now.mono);
        }
        let Some(command) = self.command.as_mut() else { return };
        // An order of a command that was superseded meanwhile says nothing about the new one.
        let own = !matches!(op, Op::PowerAction(order, _) if *order != command.order());
        let doubtful_nmi =
            own && matches!(op, Op::PowerAction(PowerAction::Nmi, _)) && error.class != FailureClass::NotReady;
        let hopeless = matches!(error.class, FailureClass::Auth | FailureClass::Locked | FailureClass::Distrusted)
            || own && error.class == FailureClass::Refused;
        if (hopeless && !command.must_restore_power()) || doubtful_nmi {
            let why = format!("{} was given up: {}: {error}", command.in_words(), self.spec.device);
            self.fail_command(why, moment.now, out);
            return;
        }
        command.obstacle = well.then(|| error.text.clone());
        let rest = hopeless || error.class == FailureClass::Busy;
        command.failed_once(moment.now.mono, self.connectivity.retry_at().filter(|_| rest));
    }

    /// A reading for the command: is the leg done?
    pub(super) fn command_observed(
        &mut self,
        evidence: Option<Evidence>,
        started: Mono,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let outstanding = self.outstanding.any();
        let capabilities = self.seen.as_ref().and_then(|seen| seen.capabilities.clone());
        let tries = self.spec.kind.verify_after.len();
        let Some(command) = self.command.as_mut() else { return };
        command.retry_at = command.retry_at.min(now.mono);
        if started < command.since {
            return;
        }
        let Some(evidence) = evidence else { return command.between_states(now.mono) };
        let power = evidence.of(command.order());
        command.look = Look::At(now.mono);
        // A device that is well and does not take the order is still asked less and less often.
        if command.obstacle.is_none() {
            command.failures = 0;
        }
        if let Err(why) = command.fit(power, capabilities.as_deref()) {
            return self.give_up(why, now, out);
        }
        if evidence.draws && command.is_about_to_cut_politely() {
            let why = format!("{} failed: the machine shut down and runs again", command.in_words());
            return self.give_up(why, now, out);
        }
        if command.starts(evidence, outstanding, now.mono) {
            return self.tell_of_start(evidence, now, out);
        }
        if power != command.want() {
            let order = command.order();
            if let Some(taken) = command.taken.as_mut() {
                taken.readings += 1;
                let late = taken.readings >= tries;
                if order == PowerAction::Nmi && late {
                    let why = format!("{} was sent, and the machine is {power} after it", command.in_words());
                    return self.fail_command(why, now, out);
                }
                if order.is_momentary() && late {
                    // It went off and did not come back by itself.
                    command.turn_on();
                }
            }
            return;
        }
        if command.order().is_momentary() && command.taken.is_none() {
            return;
        }
        if outstanding && !command.order().is_momentary() {
            // An older order to the contrary may still be on its way: give ours, whatever the device says now. A restart
            // that was taken is not made twice for that.
            command.taken = None;
            return;
        }
        if let Some(after) = self.spec.policy.graceful.as_ref().map(|graceful| graceful.after)
            && command.cuts_after_shutdown(evidence, after)
        {
            return;
        }
        match command.leg() {
            Leg::OffThenOn(_) => command.turn_on_again(self.spec.timings.off_dwell),
            Leg::Last(_) | Leg::Restore { .. } => self.end_command(now, out),
        }
    }

    /// The last leg is done.
    fn end_command(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(command) = self.command.as_ref() else { return };
        if let Leg::Restore { why } = command.leg() {
            let why = why.clone();
            return self.fail_command(why, now, out);
        }
        let Intent { number, reset, .. } = command.intent;
        let took = now.mono.since(command.since);
        self.command = None;
        out.push(Effect::ClearIntent(number));
        out.push(Effect::Count(reset, "done"));
        out.push(Effect::Emit(EventKind::CommandDone { reset, took }));
    }

    /// It cannot become what was asked: it ends here, or with the power on if it may have been cut.
    fn give_up(&mut self, why: String, now: Now, out: &mut Vec<Effect>) {
        match self.command.as_mut().filter(|command| command.must_restore_power() || command.only_turns_on()) {
            Some(command) => command.restore(&why),
            None => self.fail_command(why, now, out),
        }
    }

    /// It did not become what was asked.
    pub(super) fn fail_command(&mut self, why: String, now: Now, out: &mut Vec<Effect>) {
        let Some(command) = self.command.take() else { return };
        let Intent { number, reset, .. } = command.intent;
        let wanted = first_leg(reset, command.intent.first, self.capabilities()).asks_for();
        self.failed = Some(Failed { text: why.clone(), at: now.wall, wanted });
        out.push(Effect::ClearIntent(number));
        out.push(Effect::Count(reset, "failed"));
        out.push(Effect::Emit(EventKind::CommandFailed { reset, why }));
    }
}
