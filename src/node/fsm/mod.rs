//! The machine: every rule about the power of a node, as a pure function of what happened.
//!
//! `step(input, moment) -> effects`. It reads no clock, draws no random number, waits for nothing and fails nowhere: the
//! actor around it runs the effects and feeds back what came of them. So a rule can be tested as a table, and a day of a
//! node's life can be simulated in a millisecond.
//!
//! - `mod.rs`: the state, the order of the saves, which operation comes next.
//! - `io.rs`: what goes in and out.
//! - `command.rs`: one command from acceptance to its end, as a value.
//! - `leg.rs`: where it stands.
//! - `orders.rs`: what the machine does with commands.
//! - `boot.rs`: the boot override, from its change to the boot that uses it.
//! - `evidence.rs`: the relay and the draw, weighed.
//! - `connectivity.rs`: the device that fails: backoff, breaker, the held login.
//! - `settings.rs`: what a client sets in the device itself.
//! - `graceful.rs`: a machine behind an outlet that is asked to shut down.
//! - `start.rs`: a machine that a command turns on, and that is shown on only when it draws.
//! - `seen.rs`: what the device last said.
//! - `trust.rs`: what the device proved of itself.
//! - `report.rs`: what readers are shown.

mod boot;
mod command;
mod connectivity;
mod evidence;
mod graceful;
mod io;
mod leg;
mod orders;
mod report;
mod seen;
mod settings;
mod start;
#[cfg(test)]
mod tests;
mod trust;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::device::{DeviceError, FailureClass, LogEntry, Notice, Observation, PowerRestore};
use super::event::{Cause, EventKind};
use super::journal::{BootRecord, Intent, NodeRecord};
use super::trust::TrustRecord;
use super::{Inventory, NodeSpec, Power, PowerAction, Refusal};
use crate::clock::{Mono, Wall};
use crate::durable::WriteError;
use boot::Applied;
use command::Command;
use connectivity::Connectivity;
use evidence::Meter;
pub use io::Op;
pub(crate) use io::Ticket;
pub(crate) use io::{Effect, Input, Moment, Outcome, Save};
use seen::{OutstandingActions, Seen, known_inventory};
use settings::Setting;

/// Durable writes of one node that may wait at once. Each waits a few milliseconds; more than this is a flood.
const SAVES_MAX: usize = 16;

/// Clients of one node that may wait for commands to become durable, before no more may join one of them. A stuck disk
/// holds them for as long as it is stuck, also those that have given up meanwhile and ask again.
const JOINED_MAX: usize = 64;

/// A device that says nothing certain about the power is asked again after this: transitions take some seconds.
const UNCERTAIN_LOOK: Duration = Duration::from_secs(5);

/// How soon a node is read again that was seen to change: what it draws then is not known yet. Plugs that are asked more
/// often restart.
const AFTER_CHANGE_LOOK: Duration = Duration::from_secs(5);

/// A corner of the machine that could not be looked into is tried again after this. It is never urgent, and a device that
/// fails at it must not be kept busy with it.
const STUDY_RETRY: Duration = Duration::from_secs(120);

/// Spread of the poll times of nodes that were started together: a tenth, so that a rack does not poll in step.
pub(crate) const POLL_JITTER: f64 = 0.1;

/// Why a save was asked for: what to do when it has ended.
#[derive(Clone, Debug)]
enum Saving {
    /// A command that becomes the current one. The tickets are answered.
    Accept { command: Command, tickets: Vec<Ticket> },
    /// The next stage of the current command.
    Stage(Intent),
    /// A boot override asked for by a client.
    Boot { record: BootRecord, by: String, ticket: Ticket },
    /// A setting that the device was seen to have; what is saved is the change number.
    Setting { record: BootRecord, policy: PowerRestore, by: String, ticket: Ticket },
    /// A boot override for one boot that was used up.
    BootConsumed,
    /// The record of the device is forgotten, asked for by a client.
    ForgetTrust { by: String, ticket: Ticket },
}

/// A command that did not become what was asked.
#[derive(Clone, Debug)]
struct Failed {
    text: String,
    at: Wall,
    /// The state that was asked for: once it is seen, there is nothing to complain of. A cycle has none.
    wanted: Option<Power>,
}

/// An operation that the device was asked for and that has no end yet.
#[derive(Clone, Debug)]
struct InFlight {
    op: Op,
    asked: Asked,
}

/// Whom an operation went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// The device that the node has.
    Present,
    /// The one that was there before.
    Former,
}

/// One node: its state, and the rules by which it changes.
#[derive(Clone, Debug)]
pub struct Fsm {
    spec: NodeSpec,
    seen: Option<Seen>,
    /// What the draw has said lately.
    meter: Meter,
    /// What is on record of the device.
    trust: Option<Arc<TrustRecord>>,
    notices: Vec<(Notice, Wall)>,
    boot: BootRecord,
    /// The accepted command that is being carried out.
    command: Option<Command>,
    /// What became of the last command, when it did not become what was asked.
    failed: Option<Failed>,
    outstanding: OutstandingActions,
    /// What a client sets in the device, until that is read back.
    setting: Option<Setting>,
    saves: VecDeque<Saving>,
    in_flight: Option<InFlight>,
    /// It was given another device, or another way to it, of which nothing was read yet.
    unread: bool,
    connectivity: Connectivity,
    /// What was last seen is older than the operator wants to have shown.
    unconfirmed: bool,
    next_poll: Mono,
    /// The override for one boot that went out with an order, as long as it is not known to be used.
    applied: Option<Applied>,
    /// The change number of an override that was used while a client was changing it.
    boot_used: Option<u64>,
    /// What the operator says and what the device found.
    inventory: Arc<Inventory>,
    event_log: Option<Arc<[LogEntry]>>,
    audit_log: Option<Arc<[LogEntry]>>,
    /// When to look into the next corner; `None` when there is nothing new.
    scan_at: Option<Mono>,
    last_number: u64,
    stopping: bool,
    change: u64,
}

impl Fsm {
    /// A node as the journal knows it. It reads its device for the first time at `first_poll`.
    pub fn new(spec: NodeSpec, record: NodeRecord, first_poll: Mono, moment: Moment) -> Fsm {
        let last_number = record.intent.as_ref().map_or(0, |intent| intent.number);
        let seen = record.seen.map(|seen| Seen::restored(seen, moment.now, &spec));
        let capabilities = seen.as_ref().and_then(|seen| seen.capabilities.as_deref());
        let command = record.intent.map(|intent| Command::restored(intent, &spec.timings, moment.now, capabilities));
        let inventory = known_inventory(&spec, seen.as_ref());
        // What another process saw is of an unknown age: the wall clock may have jumped.
        let unconfirmed = spec.timings.fence_age_max.is_some();
        Fsm {
            spec,
            seen,
            meter: Meter::default(),
            trust: record.trust,
            notices: Vec::new(),
            boot: record.boot.unwrap_or_default(),
            command,
            failed: None,
            outstanding: OutstandingActions::default(),
            setting: None,
            saves: VecDeque::new(),
            in_flight: None,
            unread: false,
            connectivity: Connectivity::default(),
            unconfirmed,
            next_poll: first_poll,
            applied: None,
            boot_used: None,
            inventory,
            event_log: None,
            audit_log: None,
            scan_at: None,
            last_number,
            stopping: false,
            change: 0,
        }
    }

    /// Its pictures are numbered on from those of the machine before it.
    pub fn number_on_from(&mut self, change: u64) {
        self.change = change + 1;
    }

    /// Takes in what happened and says what to do about it.
    pub fn step(&mut self, input: Input, moment: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        let out = &mut effects;
        match input {
            Input::Tick => {}
            Input::Reset { ticket, reset, by } => self.reset(ticket, reset, by, moment, out),
            Input::PatchBoot { ticket, patch, by, if_match } => {
                self.patch_boot((ticket, by), &patch, if_match.as_deref(), out);
            }
            Input::Saved(result) => self.saved(result, moment, out),
            Input::Done { started, result } => self.done(started, result, moment, out),
            Input::Reconfigured { spec, rewired } => {
                if spec.policy != self.spec.policy {
                    self.meter = Meter::default();
                }
                self.spec = spec;
                self.inventory = known_inventory(&self.spec, self.seen.as_ref());
                if rewired {
                    self.device_is_new(moment.now.mono);
                }
                self.next_poll = self.next_poll.min(moment.now.mono + self.spec.timings.poll_interval);
            }
            Input::ResetTrust { ticket, by } => self.reset_trust(ticket, by, out),
            Input::SetPowerRestore { ticket, policy, by, if_match } => {
                self.set_power_restore((ticket, by), policy, if_match.as_deref(), moment.now.mono, out);
            }
            Input::ResetSession => {
                out.push(Effect::ForgetSession);
                self.connectivity.try_now(moment.now.mono);
                self.command_may_try(moment.now.mono);
                self.next_poll = moment.now.mono;
            }
            Input::Stop => self.stopping = true,
        }
        self.settings_due(moment.now.mono, out);
        self.operate(moment, out);
        self.unconfirmed = self.spec.timings.fence_age_max.is_some()
            && (self.unread || self.confirmed_until().is_none_or(|until| until <= moment.now.mono));
        self.change += 1;
        effects
    }

    /// Nothing is being done: the actor may end.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.saves.is_empty()
    }

    /// When the next `Tick` is needed at the latest; `None` while something else will come first.
    pub fn wake_at(&self, now: Mono) -> Option<Mono> {
        let ages = self.confirmed_until().filter(|until| *until > now);
        let setting = self.setting_deadline();
        if self.in_flight.is_some() || self.stopping {
            return [ages, setting].into_iter().flatten().min();
        }
        [self.poll_due(), self.command_due(now), self.study_due(), setting, ages].into_iter().flatten().min()
    }

    /// When what was last seen will be too old to be shown, where there is such an age.
    fn confirmed_until(&self) -> Option<Mono> {
        Some(self.seen.as_ref()?.mono? + self.spec.timings.fence_age_max?)
    }

    /// Starts the next operation when there is one: a command goes before a poll.
    fn operate(&mut self, moment: Moment, out: &mut Vec<Effect>) {
        if self.in_flight.is_some() || self.stopping {
            return;
        }
        let op = match self.advance_command(moment, out) {
            Some(op) => Some(op),
            None => {
                let due = |at: Option<Mono>| at.is_some_and(|at| at <= moment.now.mono);
                let poll = due(self.poll_due()).then_some(Op::Read);
                self.setting_op().or(poll).or_else(|| due(self.study_due()).then_some(Op::Scan))
            }
        };
        if let Some(op) = op {
            self.in_flight = Some(InFlight { op: op.clone(), asked: Asked::Present });
            out.push(Effect::Operate(op));
        }
    }

    /// The order to the device that is in flight.
    fn order_in_flight(&self) -> Option<PowerAction> {
        match self.in_flight.as_ref()?.op {
            Op::PowerAction(order, _) => Some(order),
            Op::Read | Op::SetPowerRestore(_) | Op::Scan => None,
        }
    }

    /// When the next poll is due. While the device fails, its backoff decides; while a command is failing on it, the
    /// command's own tries are polls enough.
    fn poll_due(&self) -> Option<Mono> {
        let command_tries = self.command.as_ref().is_some_and(Command::is_retrying);
        (self.saves.is_empty() && !command_tries).then(|| self.connectivity.retry_at().unwrap_or(self.next_poll))
    }

    /// When the next corner of the machine is to be looked into: only while the device is well and nothing else is wanted.
    fn study_due(&self) -> Option<Mono> {
        self.scan_at
            .filter(|_| self.command.is_none() && self.saves.is_empty() && self.connectivity.retry_at().is_none())
    }

    fn save(&mut self, save: Save, why: Saving, out: &mut Vec<Effect>) {
        self.saves.push_back(why);
        out.push(Effect::Save(save));
    }

    /// The oldest save ended.
    fn saved(&mut self, result: Result<(), WriteError>, moment: Moment, out: &mut Vec<Effect>) {
        let Some(saving) = self.saves.pop_front() else { return };
        let node = self.spec.id.clone();
        let refused = |error: WriteError| Refusal::CannotWrite { node: node.clone(), why: error.to_string() };
        match (saving, result) {
            (Saving::Accept { command, tickets }, Ok(())) => {
                self.install(command, out);
                out.extend(tickets.into_iter().map(|ticket| Effect::Answer(ticket, Ok(()))));
            }
            (Saving::Accept { tickets, .. }, Err(error)) => {
                out.extend(tickets.into_iter().map(|ticket| Effect::Answer(ticket, Err(refused(error.clone())))));
            }
            (Saving::Stage(intent), result) => self.stage_saved(intent, result, moment, out),
            (Saving::Boot { record, by, ticket }, Ok(())) => {
                out.push(Effect::Emit(EventKind::BootChanged { boot: record.boot.clone(), by }));
                self.boot = record;
                out.push(Effect::Answer(ticket, Ok(())));
            }
            (Saving::Boot { ticket, .. }, Err(error)) => {
                out.push(Effect::Answer(ticket, Err(refused(error))));
                self.boot_unchanged(out);
            }
            (Saving::Setting { record, policy, by, ticket }, Ok(())) => {
                out.push(Effect::Emit(EventKind::PowerRestoreSet { policy, by }));
                self.boot_counted(record, out);
                out.push(Effect::Answer(ticket, Ok(())));
            }
            // The device has it; only the change number did not move.
            (Saving::Setting { policy, by, ticket, .. }, Err(error)) => {
                out.push(Effect::Emit(EventKind::PowerRestoreSet { policy, by }));
                let (what, why) = (settings::what(policy), format!("the device has it, and {error}"));
                out.push(Effect::Answer(ticket, Err(Refusal::Unconfirmed { node, what, why })));
                self.boot_unchanged(out);
            }
            (Saving::BootConsumed, Ok(())) => {}
            (Saving::ForgetTrust { by, ticket }, Ok(())) => {
                self.trust_forgotten(by, moment.now.mono, out);
                out.push(Effect::Answer(ticket, Ok(())));
            }
            (Saving::ForgetTrust { ticket, .. }, Err(error)) => {
                out.push(Effect::Answer(ticket, Err(refused(error))));
            }
            (Saving::BootConsumed, Err(error)) => {
                let text =
                    format!("the used up boot override is not recorded, it may come back after a restart: {error}");
                out.push(Effect::Emit(EventKind::Noticed { text }));
            }
        }
    }

    /// The operation in flight ended.
    fn done(&mut self, started: Mono, result: Result<Outcome, DeviceError>, moment: Moment, out: &mut Vec<Effect>) {
        let Some(InFlight { op, asked }) = self.in_flight.take() else { return };
        if asked == Asked::Former && self.is_outdated(&op, &result, moment.now, out) {
            return;
        }
        let result = result.and_then(|outcome| match &outcome {
            Outcome::Seen(observation) => {
                self.is_proved(observation).and_then(|()| self.same_machine(observation)).map(|()| outcome)
            }
            _ => Ok(outcome),
        });
        match result {
            Ok(outcome) => {
                self.link_is_well(out);
                match outcome {
                    Outcome::Taken => match op {
                        Op::PowerAction(order, _) => {
                            self.boot_taken(order);
                            self.taken(order, moment.now.mono);
                        }
                        // Whether it was done is for a reading to say.
                        _ => self.next_poll = moment.now.mono,
                    },
                    Outcome::Seen(observation) => self.observed(observation, started, moment, out),
                    Outcome::Scanned(findings) => self.studied(findings, moment.now.mono, out),
                }
            }
            Err(error) if op == Op::Scan && !matches!(error.class, FailureClass::Auth | FailureClass::Locked) => {
                self.scan_at = Some(moment.now.mono + STUDY_RETRY);
            }
            Err(error) => {
                self.setting_failed(&op, &error, out);
                self.operation_failed(&op, error, moment, out);
            }
        }
    }

    fn link_is_well(&mut self, out: &mut Vec<Effect>) {
        if self.connectivity.succeeded() {
            out.push(Effect::Emit(EventKind::DeviceFound));
        }
    }

    /// A reading arrived. What the device says now is the truth, whatever caused the reading.
    fn observed(&mut self, observation: Observation, started: Mono, moment: Moment, out: &mut Vec<Effect>) {
        let now = moment.now;
        self.learn(&observation, out);
        if observation.scan_due {
            self.scan_at.get_or_insert(now.mono);
        }
        let Some(relay) = observation.power else {
            self.next_poll = now.mono + UNCERTAIN_LOOK.min(self.spec.timings.poll_interval);
            self.take_notices(observation.notices.iter(), now.wall, out);
            return self.command_observed(None, started, now, out);
        };
        let evidence = self.weigh(relay, &observation, now.mono);
        let own = self.measuring_notices(&observation, evidence);
        self.take_notices(observation.notices.iter().chain(&own), now.wall, out);
        let power = evidence.power;
        let before = self.seen.as_ref().map(|seen| seen.power);
        if before != Some(power) {
            let cause = if self.has_ordered(power) { Cause::Command } else { Cause::Outside };
            out.push(Effect::Emit(EventKind::PowerChanged {
                from: before,
                to: power,
                cause,
                measured: evidence.drawn.filter(|_| evidence.settled),
            }));
        } else if self.seen.as_ref().is_some_and(|seen| seen.was_cycled(&observation, now)) {
            out.push(Effect::Emit(EventKind::OnTimeRestarted));
        }
        self.unread = false;
        self.outstanding.seen(relay, started);
        self.failed = self.failed.take().filter(|failed| failed.wanted.is_none_or(|wanted| !evidence.is(wanted)));
        self.seen = Some(Seen::renewed(self.seen.take(), observation, evidence, &self.spec.device, now));
        if let Some(seen) = &self.seen {
            out.push(Effect::NoteSeen(seen.record()));
        }
        let interval = self.spec.timings.poll_interval;
        self.next_poll = now.mono + interval.mul_f64((1.0 + moment.unit_jitter * POLL_JITTER).max(0.0));
        if before.is_some_and(|before| before != power) {
            self.next_poll = self.next_poll.min(now.mono + AFTER_CHANGE_LOOK);
        }
        if let Some(look) = self.meter.look_at() {
            self.next_poll = self.next_poll.min(look);
        }
        self.setting_observed(out);
        self.boot_observed(before, power, out);
        self.command_observed(Some(evidence), started, now, out);
    }
}
