//! One command from its acceptance to its end.
//!
//! A command is one or two legs: to a state, and for a cycle on to the next. A leg is an absolute order and as many
//! readings as it takes to see it followed; the device's own "ok" proves nothing. Every rule about repeating, waiting,
//! giving up and owing is in [`Command::next`].

use std::time::Duration;

use super::{Effect, Failed, Machine, Moment, Op, SAVES_MAX, Save, Saving, Ticket};
use crate::clock::{Mono, Now};
use crate::node::device::{DeviceError, FailureClass};
use crate::node::event::Happening;
use crate::node::journal::{Intent, JournalError, Stage};
use crate::node::view::CommandView;
use crate::node::{Power, Refusal, ResetType, Rules};

/// When to read back after an order, counted from its end. A relay follows within milliseconds; the later ones are for
/// devices that report late. When the last reading still shows the old state, the order is given again.
const VERIFY_AFTER: [Duration; 4] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

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

/// A command that is being carried out.
#[derive(Clone, Debug)]
pub(super) struct Command {
    intent: Intent,
    /// Where the current leg goes.
    want: Power,
    /// It is the first leg of a cycle.
    then_on: bool,
    /// When it was accepted, or this process began. Only readings begun later count.
    since: Mono,
    deadline: Mono,
    /// The world was told that it is past its deadline.
    overdue: bool,
    /// It failed, but ends with the power on: what to say at its end.
    failing: Option<String>,
    /// Read before anything else.
    must_read: bool,
    /// The order of this leg was taken by the device then, and this many readings did not show it.
    written: Option<(Mono, usize)>,
    failures: usize,
    retry_at: Mono,
}

/// What a command needs next.
enum Next {
    /// Nothing before this moment.
    Wait(Mono),
    /// An operation on the device.
    Do(Op),
    /// This stage on record, before the operation that it names.
    Record(Stage),
    /// It is past its deadline, and nothing is owed.
    GiveUp,
    /// It is past its deadline before the power is known to be cut: turn it on again in any case.
    Restore,
    /// It is past its deadline and will be completed: say so.
    SayOverdue,
}

/// The first leg of a command, and whether a second one follows.
fn plan(reset: ResetType) -> (Power, bool) {
    match reset {
        ResetType::On | ResetType::ForceOn => (Power::On, false),
        ResetType::ForceOff => (Power::Off, false),
        ResetType::ForceRestart | ResetType::PowerCycle => (Power::Off, true),
    }
}

impl Command {
    /// A command that was just accepted.
    fn accepted(intent: Intent, now: Mono, limit: Duration, must_read: bool) -> Command {
        let (want, then_on) = plan(intent.reset);
        let (want, then_on) = if intent.stage == Stage::Restoring { (Power::On, false) } else { (want, then_on) };
        Command {
            intent,
            want,
            then_on,
            since: now,
            deadline: now + limit,
            overdue: false,
            failing: None,
            must_read,
            written: None,
            failures: 0,
            retry_at: now,
        }
    }

    /// A command that another process accepted: read the device first, then do what is missing, once.
    pub fn restored(intent: Intent, rules: &Rules, now: Now) -> Command {
        let left = rules.command_deadline.saturating_sub(now.wall.since(intent.accepted));
        Command::accepted(intent, now.mono, left, true)
    }

    /// Its last try failed and the next one is waiting.
    pub fn is_retrying(&self) -> bool {
        self.failures > 0
    }

    /// It ends where `reset` asks to go, so that one is done with it.
    fn serves(&self, reset: ResetType) -> bool {
        plan(self.intent.reset) == plan(reset) && self.failing.is_none()
    }

    /// What readers see of it.
    pub fn view(&self) -> CommandView {
        CommandView { reset: self.intent.reset, by: self.intent.by.clone(), accepted: self.intent.accepted }
    }

    /// What to say of it while it is overdue.
    pub fn overdue_words(&self) -> Option<String> {
        self.overdue.then(|| format!("{} is late, and will be completed: the power was cut for it", self.in_words()))
    }

    fn in_words(&self) -> String {
        format!("{}, asked for by {} at {},", self.intent.reset, self.intent.by, self.intent.accepted)
    }

    /// It may have cut the power and ends with the power on: it is completed whatever the deadline says.
    fn owes_on(&self) -> bool {
        self.intent.stage != Stage::Accepted && self.intent.reset != ResetType::ForceOff
    }

    /// What it needs next. `dwell_until`: the earliest moment for an On.
    fn next(&self, dwell_until: Option<Mono>, now: Mono) -> Next {
        if now >= self.deadline && !self.overdue {
            return match (self.owes_on(), self.want) {
                (false, _) => Next::GiveUp,
                (true, Power::Off) => Next::Restore,
                (true, Power::On) => Next::SayOverdue,
            };
        }
        let wait = |until: Mono| Next::Wait(if self.overdue { until } else { until.min(self.deadline) });
        if now < self.retry_at {
            return wait(self.retry_at);
        }
        if self.must_read {
            return Next::Do(Op::Read);
        }
        if let Some(until) = dwell_until.filter(|until| self.want == Power::On && now < *until) {
            return wait(until);
        }
        if let Some((at, readings)) = self.written
            && let Some(after) = VERIFY_AFTER.get(readings)
        {
            return if now < at + *after { wait(at + *after) } else { Next::Do(Op::Read) };
        }
        match (self.want, self.intent.stage) {
            (Power::Off, Stage::Accepted) if self.then_on => Next::Record(Stage::Cutting),
            (Power::On, Stage::Cutting) => Next::Record(Stage::Restoring),
            (power, _) => Next::Do(Op::Set(power)),
        }
    }

    fn failed_once(&mut self, now: Mono, not_before: Option<Mono>) {
        let pause = if self.overdue {
            OWED_RETRY_AFTER
        } else {
            RETRY_AFTER.get(self.failures).or(RETRY_AFTER.last()).copied().unwrap_or(OWED_RETRY_AFTER)
        };
        self.failures += 1;
        self.retry_at = not_before.unwrap_or(now + pause);
        self.must_read = true;
        self.written = None;
    }
}

impl Machine {
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
        if let Some(Saving::Accept { command, tickets }) = self.newest_accept()
            && command.serves(reset)
        {
            tickets.push(ticket);
            out.push(Effect::Count(reset, "coalesced"));
            return;
        }
        if self.newest_accept().is_none() && self.command.as_ref().is_some_and(|command| command.serves(reset)) {
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
        if !ResetType::ALL.contains(&reset) {
            let device = self.spec.device.clone();
            return Some(Refusal::Unsupported { node: node(), what: reset.to_string(), device });
        }
        self.link.refusal(&self.spec, now)
    }

    fn new_command(&mut self, reset: ResetType, by: String, now: Now) -> Command {
        self.last_number += 1;
        let before = match self.newest_accept() {
            Some(Saving::Accept { command, .. }) => Some(&*command),
            _ => self.command.as_ref(),
        };
        // A node that was cut for a command that ends with On keeps that claim when another such command takes its place.
        let stage = match (before.is_some_and(Command::owes_on), reset) {
            (true, ResetType::On | ResetType::ForceOn) => Stage::Restoring,
            (true, ResetType::ForceRestart | ResetType::PowerCycle) => Stage::Cutting,
            (true, ResetType::ForceOff) | (false, _) => Stage::Accepted,
        };
        let intent = Intent { number: self.last_number, reset, accepted: now.wall, by, stage };
        let (want, _) = plan(reset);
        // Where what was last seen differs from what is wanted, the order can go out at once. Otherwise look first:
        // it may be there already, and someone may have pressed the button since.
        let must_read = self.unsettled.is_some() || self.seen.as_ref().is_none_or(|seen| seen.power == want);
        let dwell = match want {
            Power::On => self.dwell_until().map_or(Duration::ZERO, |until| until.since(now.mono)),
            Power::Off => Duration::ZERO,
        };
        Command::accepted(intent, now.mono, self.spec.rules.command_deadline + dwell, must_read)
    }

    /// A new command is durable: it takes the place of the one before.
    pub(super) fn install(&mut self, command: Command, out: &mut Vec<Effect>) {
        let Intent { reset, by, .. } = command.intent.clone();
        if let Some(old) = self.command.take() {
            let old = old.intent.reset;
            out.push(Effect::Tell(Happening::CommandSuperseded { reset: old, by: reset }));
            out.push(Effect::Count(old, "superseded"));
        }
        out.push(Effect::Tell(Happening::CommandAccepted { reset, by }));
        self.failed = None;
        self.command = Some(command);
    }

    /// The earliest moment at which the node may be turned on: `off_dwell` after it was seen to go off.
    fn dwell_until(&self) -> Option<Mono> {
        let seen = self.seen.as_ref().filter(|seen| seen.power == Power::Off)?;
        seen.off_since.map(|since| since + self.spec.rules.off_dwell)
    }

    /// Takes the command as far as it goes without the device; the operation it needs then, if it needs one now.
    pub(super) fn advance_command(&mut self, moment: Moment, out: &mut Vec<Effect>) -> Option<Op> {
        let now = moment.now.mono;
        let dwell_until = self.dwell_until();
        // Each turn of this loop changes the command so that the next one answers otherwise; three are the most.
        for _ in 0..4 {
            if self.waits_for_save() {
                return None;
            }
            let command = self.command.as_mut()?;
            match command.next(dwell_until, now) {
                Next::Wait(_) => return None,
                Next::Do(op) => return Some(op),
                Next::Record(stage) => {
                    let intent = Intent { stage, ..command.intent.clone() };
                    self.save(Save::Intent(intent.clone()), Saving::Stage(intent), out);
                }
                Next::GiveUp => {
                    let why = format!("{} was given up: {}", command.in_words(), self.what_is_missing());
                    self.fail_command(why, moment.now, out);
                }
                Next::Restore => {
                    command.overdue = true;
                    let why = format!("{} was given up before the power was seen to go off", command.in_words());
                    command.failing = Some(format!("{why}; the node is left on"));
                    (command.want, command.then_on) = (Power::On, false);
                    (command.must_read, command.written) = (true, None);
                    let reset = command.intent.reset;
                    out.push(Effect::Tell(Happening::CommandOverdue { reset, why }));
                }
                Next::SayOverdue => {
                    command.overdue = true;
                    let reset = command.intent.reset;
                    let why = command.overdue_words().unwrap_or_default();
                    out.push(Effect::Tell(Happening::CommandOverdue { reset, why }));
                }
            }
        }
        None
    }

    /// When the command needs a `Tick`.
    pub(super) fn command_due(&self, now: Mono) -> Option<Mono> {
        let command = self.command.as_ref().filter(|_| !self.waits_for_save())?;
        match command.next(self.dwell_until(), now) {
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
        result: Result<(), JournalError>,
        moment: Moment,
        out: &mut Vec<Effect>,
    ) {
        let Some(command) = self.command.as_mut().filter(|command| command.intent.number == intent.number) else {
            return;
        };
        match result {
            Ok(()) => command.intent = intent,
            // The node is on, and without a record a crash in the middle would leave it off.
            Err(error) if intent.stage == Stage::Cutting => {
                let why = format!("{} was given up before anything was done: {error}", command.in_words());
                self.fail_command(why, moment.now, out);
            }
            // The record says "cut" already, which is enough for a restart to turn it on: go on.
            Err(_) => command.intent = intent,
        }
    }

    /// The device took an order.
    pub(super) fn written(&mut self, power: Power, now: Mono) {
        self.unsettled = Some((power, now));
        if let Some(command) = self.command.as_mut() {
            // An order of a command that was superseded meanwhile says nothing about the new one.
            command.written = (command.want == power).then_some((now, 0));
            command.failures = 0;
        }
    }

    /// The device failed; the command, if there is one, waits, or ends where waiting is no use.
    pub(super) fn operation_failed(&mut self, op: Op, error: DeviceError, moment: Moment, out: &mut Vec<Effect>) {
        out.extend(self.link.failed(&error, moment).map(Effect::Tell));
        if let Op::Set(power) = op {
            // Nobody knows whether the order arrived.
            self.unsettled = Some((power, moment.now.mono));
        }
        let Some(command) = self.command.as_mut() else { return };
        let hopeless = matches!(error.class, FailureClass::Auth | FailureClass::Locked | FailureClass::Refused);
        if hopeless && !command.owes_on() {
            let why = format!("{} was given up: {}: {error}", command.in_words(), self.spec.device);
            self.fail_command(why, moment.now, out);
            return;
        }
        let rest = hopeless || error.class == FailureClass::Busy;
        command.failed_once(moment.now.mono, self.link.retry_at().filter(|_| rest));
    }

    /// A reading for the command: is the leg done?
    pub(super) fn command_observed(&mut self, power: Power, started: Mono, now: Now, out: &mut Vec<Effect>) {
        let unsettled = self.unsettled;
        let Some(command) = self.command.as_mut() else { return };
        command.failures = 0;
        command.retry_at = command.retry_at.min(now.mono);
        if started < command.since {
            return;
        }
        command.must_read = false;
        if power != command.want {
            if let Some((_, readings)) = command.written.as_mut() {
                *readings += 1;
            }
            return;
        }
        if unsettled.is_some() {
            // An older order to the contrary may still be on its way: give ours, whatever the device says now.
            command.written = None;
            return;
        }
        if command.then_on {
            (command.want, command.then_on, command.written) = (Power::On, false, None);
            command.deadline = command.deadline + self.spec.rules.off_dwell;
            return;
        }
        self.end_command(now, out);
    }

    /// The last leg is done.
    fn end_command(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(command) = self.command.as_mut() else { return };
        if let Some(why) = command.failing.take() {
            self.fail_command(why, now, out);
            return;
        }
        let Intent { number, reset, accepted, .. } = command.intent;
        self.command = None;
        out.push(Effect::ClearIntent(number));
        out.push(Effect::Count(reset, "done"));
        out.push(Effect::Tell(Happening::CommandDone { reset, took: now.wall.since(accepted) }));
    }

    /// It did not become what was asked.
    fn fail_command(&mut self, why: String, now: Now, out: &mut Vec<Effect>) {
        let Some(command) = self.command.take() else { return };
        let Intent { number, reset, .. } = command.intent;
        let (wanted, then_on) = plan(reset);
        self.failed = Some(Failed { text: why.clone(), at: now.wall, wanted: (!then_on).then_some(wanted) });
        out.push(Effect::ClearIntent(number));
        out.push(Effect::Count(reset, "failed"));
        out.push(Effect::Tell(Happening::CommandFailed { reset, why }));
    }

    /// What kept the command from its end, in words.
    fn what_is_missing(&self) -> String {
        match (self.link.view().last_error, &self.command) {
            (Some(error), _) => format!("{} does not answer: {error}", self.spec.device),
            (None, Some(Command { want, written: Some(_), .. })) => {
                format!("{} took the order and still does not show {want}", self.spec.device)
            }
            (None, _) => format!("{} was not reached in time", self.spec.device),
        }
    }
}
