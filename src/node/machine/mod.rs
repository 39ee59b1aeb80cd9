//! The machine: every rule about the power of a node, as a pure function of what happened.
//!
//! `step(input, moment) -> effects`. It reads no clock, draws no random number, waits for nothing and fails nowhere: the
//! actor around it runs the effects and feeds back what came of them. So a rule can be tested as a table, and a day of a
//! node's life can be simulated in a millisecond.
//!
//! - `mod.rs`: the state, what goes in and out, the order of the saves.
//! - `command.rs`: one command from acceptance to its end.
//! - `link.rs`: the device that fails: backoff, breaker, the held login.
//! - `seen.rs`: what the device last said.
//! - `report.rs`: what readers are shown.

mod command;
mod link;
mod report;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use super::device::{DeviceError, Notice, Observation};
use super::event::{Cause, Happening};
use super::journal::{BootRecord, Intent, JournalError, NodeRecord, SeenRecord};
use super::{BootEnabled, BootPatch, BootTarget, NodeSpec, Power, Refusal, ResetType};
use crate::clock::{Mono, Now, Wall};
use command::Command;
use link::Link;
use seen::Seen;

/// Durable writes of one node that may wait at once. Each waits a few milliseconds; more than this is a flood.
const SAVES_MAX: usize = 16;

/// An order that was sent this long ago is not on its way any more: no request to a device lives so long.
const ORDER_LIFE: Duration = Duration::from_secs(30);

/// Spread of the poll times of nodes that were started together: a tenth, so that a rack does not poll in step.
pub const POLL_JITTER: f64 = 0.1;

/// The moment of a step: the time, and one draw of chance for whatever the step spreads.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Both clocks.
    pub now: Now,
    /// From -1 to 1.
    pub swing: f64,
}

/// Names the one who waits for an answer.
pub type Ticket = u64;

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time passed. Harmless at any time.
    Tick,
    /// A client asks for power.
    Reset {
        /// Whom to answer.
        ticket: Ticket,
        /// What.
        reset: ResetType,
        /// The account's name.
        by: String,
    },
    /// A client changes the boot override.
    PatchBoot {
        /// Whom to answer.
        ticket: Ticket,
        /// What.
        patch: BootPatch,
        /// The change numbers that the client accepts (`If-Match`); `None` when it does not care.
        if_match: Option<Vec<u64>>,
    },
    /// The oldest save ended.
    Saved(Result<(), JournalError>),
    /// The operation in flight ended. An observation for a read, nothing for a write.
    Done {
        /// When it was started.
        started: Mono,
        /// What came of it.
        result: Result<Option<Observation>, DeviceError>,
    },
    /// The configuration changed. The device object may be a new one.
    Reconfigured {
        /// The new one.
        spec: NodeSpec,
        /// The connection is another one: forget its failures.
        rewired: bool,
    },
    /// A person wants the device to be tried now, with a new session.
    Renew,
    /// No new commands from here on.
    Stop,
}

/// What to do about it, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make this durable, then feed back `Saved`. Saves end in the order in which they were asked for.
    Save(Save),
    /// The command with this number is over.
    ClearIntent(u64),
    /// Remember what was seen.
    NoteSeen(SeenRecord),
    /// Ask the device, then feed back `Done`.
    Operate(Op),
    /// Drop the device's session.
    ForgetSession,
    /// Answer the one who waits.
    Answer(Ticket, Result<(), Refusal>),
    /// Tell the world.
    Tell(Happening),
    /// Count the end of a command: kind and result.
    Count(ResetType, &'static str),
}

/// A durable write.
#[derive(Clone, Debug, PartialEq)]
pub enum Save {
    /// The intent of the node.
    Intent(Intent),
    /// Its boot override.
    Boot(BootRecord),
}

/// An operation on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read the state.
    Read,
    /// Switch.
    Set(Power),
}

/// Why a save was asked for: what to do when it has ended.
#[derive(Clone, Debug)]
enum Saving {
    /// A command that becomes the current one. The tickets are answered.
    Accept { command: Command, tickets: Vec<Ticket> },
    /// The next stage of the current command.
    Stage(Intent),
    /// A boot override asked for by a client.
    Boot { record: BootRecord, ticket: Ticket },
    /// A boot override for one boot that was used up.
    BootConsumed,
}

/// A command that did not become what was asked.
#[derive(Clone, Debug)]
struct Failed {
    text: String,
    at: Wall,
    /// The state that was asked for: once it is seen, there is nothing to complain of. A cycle has none.
    wanted: Option<Power>,
}

/// One node: its state, and the rules by which it changes.
#[derive(Clone, Debug)]
pub struct Machine {
    spec: NodeSpec,
    seen: Option<Seen>,
    notices: Vec<(Notice, Wall)>,
    boot: BootRecord,
    /// The accepted command that is being carried out.
    command: Option<Command>,
    /// What became of the last command, when it did not become what was asked.
    failed: Option<Failed>,
    /// The order that was sent last and whose effect was not seen yet, and when.
    unsettled: Option<(Power, Mono)>,
    saves: VecDeque<Saving>,
    in_flight: Option<Op>,
    link: Link,
    next_poll: Mono,
    last_number: u64,
    stopping: bool,
    change: u64,
}

impl Machine {
    /// A node as the journal knows it. It reads its device for the first time at `first_poll`.
    pub fn new(spec: NodeSpec, record: NodeRecord, first_poll: Mono, moment: Moment) -> Machine {
        let last_number = record.intent.as_ref().map_or(0, |intent| intent.number);
        let seen = record.seen.map(|seen| Seen::restored(seen, moment.now, &spec));
        let command = record.intent.map(|intent| Command::restored(intent, &spec.rules, moment.now));
        Machine {
            spec,
            seen,
            notices: Vec::new(),
            boot: record.boot.unwrap_or_default(),
            command,
            failed: None,
            unsettled: None,
            saves: VecDeque::new(),
            in_flight: None,
            link: Link::default(),
            next_poll: first_poll,
            last_number,
            stopping: false,
            change: 0,
        }
    }

    /// Takes in what happened and says what to do about it.
    pub fn step(&mut self, input: Input, moment: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        let out = &mut effects;
        match input {
            Input::Tick => {}
            Input::Reset { ticket, reset, by } => self.reset(ticket, reset, by, moment, out),
            Input::PatchBoot { ticket, patch, if_match } => self.patch_boot(ticket, &patch, if_match.as_deref(), out),
            Input::Saved(result) => self.saved(result, moment, out),
            Input::Done { started, result } => self.done(started, result, moment, out),
            Input::Reconfigured { spec, rewired } => {
                self.spec = spec;
                if rewired {
                    self.link = Link::default();
                    self.next_poll = moment.now.mono;
                }
                self.next_poll = self.next_poll.min(moment.now.mono + self.spec.rules.poll_interval);
            }
            Input::Renew => {
                out.push(Effect::ForgetSession);
                self.link.try_now(moment.now.mono);
                self.next_poll = moment.now.mono;
            }
            Input::Stop => self.stopping = true,
        }
        self.operate(moment, out);
        self.change += 1;
        effects
    }

    /// Nothing is being done: the actor may end.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.saves.is_empty()
    }

    /// When the next `Tick` is needed at the latest; `None` while something else will come first.
    pub fn wake_at(&self, now: Mono) -> Option<Mono> {
        if self.in_flight.is_some() || self.stopping {
            return None;
        }
        [self.poll_due(), self.command_due(now)].into_iter().flatten().min()
    }

    /// Starts the next operation when there is one: a command goes before a poll.
    fn operate(&mut self, moment: Moment, out: &mut Vec<Effect>) {
        if self.in_flight.is_some() || self.stopping {
            return;
        }
        let op = match self.advance_command(moment, out) {
            Some(op) => Some(op),
            None => self.poll_due().filter(|due| *due <= moment.now.mono).map(|_| Op::Read),
        };
        if let Some(op) = op {
            self.in_flight = Some(op);
            out.push(Effect::Operate(op));
        }
    }

    /// When the next poll is due. While the device fails, its backoff decides; while a command is failing on it, the
    /// command's own tries are polls enough.
    fn poll_due(&self) -> Option<Mono> {
        let command_tries = self.command.as_ref().is_some_and(Command::is_retrying);
        (self.saves.is_empty() && !command_tries).then(|| self.link.retry_at().unwrap_or(self.next_poll))
    }

    fn save(&mut self, save: Save, why: Saving, out: &mut Vec<Effect>) {
        self.saves.push_back(why);
        out.push(Effect::Save(save));
    }

    /// The oldest save ended.
    fn saved(&mut self, result: Result<(), JournalError>, moment: Moment, out: &mut Vec<Effect>) {
        let Some(saving) = self.saves.pop_front() else { return };
        let node = self.spec.id.clone();
        let refused = |error: JournalError| Refusal::CannotWrite { node: node.clone(), why: error.to_string() };
        match (saving, result) {
            (Saving::Accept { command, tickets }, Ok(())) => {
                self.install(command, out);
                out.extend(tickets.into_iter().map(|ticket| Effect::Answer(ticket, Ok(()))));
            }
            (Saving::Accept { tickets, .. }, Err(error)) => {
                out.extend(tickets.into_iter().map(|ticket| Effect::Answer(ticket, Err(refused(error.clone())))));
            }
            (Saving::Stage(intent), result) => self.stage_saved(intent, result, moment, out),
            (Saving::Boot { record, ticket }, Ok(())) => {
                out.push(Effect::Tell(Happening::BootChanged(record.boot.clone())));
                self.boot = record;
                out.push(Effect::Answer(ticket, Ok(())));
            }
            (Saving::Boot { ticket, .. }, Err(error)) => out.push(Effect::Answer(ticket, Err(refused(error)))),
            (Saving::BootConsumed, Ok(())) => {}
            (Saving::BootConsumed, Err(error)) => {
                let text =
                    format!("the used up boot override is not recorded, it may come back after a restart: {error}");
                out.push(Effect::Tell(Happening::Noticed { text }));
            }
        }
    }

    /// The boot override as it will be when everything that is being saved is saved.
    fn newest_boot(&self) -> &BootRecord {
        let newest = self.saves.iter().rev().find_map(|saving| match saving {
            Saving::Boot { record, .. } => Some(record),
            _ => None,
        });
        newest.unwrap_or(&self.boot)
    }

    fn patch_boot(&mut self, ticket: Ticket, patch: &BootPatch, if_match: Option<&[u64]>, out: &mut Vec<Effect>) {
        let node = self.spec.id.clone();
        let newest = self.newest_boot();
        let refusal = if self.stopping {
            Some(Refusal::Stopping { node })
        } else if self.saves.len() >= SAVES_MAX {
            Some(Refusal::Overloaded { node })
        } else if if_match.is_some_and(|numbers| !numbers.contains(&newest.writes)) {
            Some(Refusal::Changed { node })
        } else {
            None
        };
        if let Some(refusal) = refusal {
            out.push(Effect::Answer(ticket, Err(refusal)));
            return;
        }
        let mut boot = newest.boot.clone();
        boot.target = patch.target.unwrap_or(boot.target);
        boot.enabled = patch.enabled.unwrap_or(boot.enabled);
        boot.mode = patch.mode.unwrap_or(boot.mode);
        let record = BootRecord { boot, writes: newest.writes + 1 };
        self.save(Save::Boot(record.clone()), Saving::Boot { record, ticket }, out);
    }

    /// A power on was seen: an override for one boot is used up.
    fn consume_boot(&mut self, out: &mut Vec<Effect>) {
        // A client that is changing the override in this very moment means the next power on.
        let changing = self.saves.iter().any(|saving| matches!(saving, Saving::Boot { .. }));
        if self.boot.boot.enabled != BootEnabled::Once || changing {
            return;
        }
        self.boot.boot.enabled = BootEnabled::Disabled;
        self.boot.boot.target = BootTarget::None;
        self.boot.writes += 1;
        out.push(Effect::Tell(Happening::BootConsumed));
        self.save(Save::Boot(self.boot.clone()), Saving::BootConsumed, out);
    }

    /// The operation in flight ended.
    fn done(
        &mut self,
        started: Mono,
        result: Result<Option<Observation>, DeviceError>,
        moment: Moment,
        out: &mut Vec<Effect>,
    ) {
        let Some(op) = self.in_flight.take() else { return };
        match result {
            Ok(observation) => {
                if self.link.succeeded() {
                    out.push(Effect::Tell(Happening::DeviceFound));
                }
                match (op, observation) {
                    (Op::Set(power), _) => self.written(power, moment.now.mono),
                    (Op::Read, Some(observation)) => self.observed(observation, started, moment, out),
                    (Op::Read, None) => {}
                }
            }
            Err(error) => self.operation_failed(op, error, moment, out),
        }
    }

    /// A reading arrived. What the device says now is the truth, whoever asked for it.
    fn observed(&mut self, observation: Observation, started: Mono, moment: Moment, out: &mut Vec<Effect>) {
        let now = moment.now;
        let before = self.seen.as_ref().map(|seen| seen.power);
        let power = observation.power;
        if before != Some(power) {
            let ordered = self.unsettled.is_some_and(|(ordered, _)| ordered == power);
            let cause = if ordered { Cause::Command } else { Cause::Outside };
            out.push(Effect::Tell(Happening::PowerChanged { from: before, to: power, cause }));
        } else if self.seen.as_ref().is_some_and(|seen| seen.was_cycled(&observation, now)) {
            out.push(Effect::Tell(Happening::OnTimeRestarted));
        }
        self.unsettled = self.unsettled.filter(|(order, at)| *order != power && started < *at + ORDER_LIFE);
        self.failed = self.failed.take().filter(|failed| failed.wanted != Some(power));
        self.take_notices(&observation.notices, now.wall, out);
        self.seen = Some(Seen::renewed(self.seen.take(), observation, now));
        if let Some(seen) = &self.seen {
            out.push(Effect::NoteSeen(seen.record()));
        }
        let interval = self.spec.rules.poll_interval;
        self.next_poll = now.mono + interval.mul_f64((1.0 + moment.swing * POLL_JITTER).max(0.0));
        if before == Some(Power::Off) && power == Power::On {
            self.consume_boot(out);
        }
        self.command_observed(power, started, now, out);
    }

    fn take_notices(&mut self, notices: &[Notice], at: Wall, out: &mut Vec<Effect>) {
        self.notices.retain(|(old, _)| notices.iter().any(|new| new.key == old.key));
        for notice in notices {
            match self.notices.iter_mut().find(|(old, _)| old.key == notice.key) {
                Some((old, _)) => old.clone_from(notice),
                None => {
                    out.push(Effect::Tell(Happening::Noticed { text: notice.text.clone() }));
                    self.notices.push((notice.clone(), at));
                }
            }
        }
    }
}
