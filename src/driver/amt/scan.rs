//! Which corners of an AMT machine are still to be looked at, and looking at them one at a time.
//!
//! It knows classes and when their values grow old; what they mean is for `inventory` and `log`. Dropping a step before
//! its end is allowed: the corner is looked at again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tracing::info;

use super::connection::{Repeat, WsMan};
use super::fault::{Fault, Kind};
use super::wsman::Output;
use super::xml::{Instance, Value};
use super::{inventory, log};
use crate::clock::Mono;
use crate::node::Inventory;
use crate::node::device::{Notice, ScanResult};

/// What the meters call these requests.
const OP: &str = "study";

/// The inventory changes only at a boot, which is noticed by itself but for one between two readings of the power.
const INVENTORY_LIFE: Duration = Duration::from_hours(6);

/// An operator who looks at the event log wants to see what happened just now; one read costs two requests.
const EVENTS_LIFE: Duration = Duration::from_mins(10);

/// The audit log grows by what clients do, and one read may cost dozens of requests.
const AUDIT_LIFE: Duration = Duration::from_hours(1);

/// From power on until the BIOS has told the engine what is inside, slow memory training included.
const BOOT_TIME: Duration = Duration::from_secs(90);

/// Failures of one corner within a round before the round goes on without it.
const FAILURES_MAX: u32 = 3;

/// Requests of one step, so that a command never waits long.
const STEP_REQUESTS_MAX: usize = 3;

/// The event log of AMT holds no more, and one request asks for no more.
const EVENTS_MAX: usize = 390;

/// As many as the event log. Of a longer log the newest are read: ten an answer, these are 39 requests.
const AUDIT_MAX: usize = 390;

/// What is kept of one instance: real ones have some 30 fields.
const FIELDS_MAX: usize = 64;

/// Longest text of an instance that is kept. Those that are shown are cut shorter.
const TEXT_BYTES_MAX: usize = 256;

/// Longest record in base64. Those of the audit log have three texts of up to 255 bytes and a few numbers: 782 bytes.
const RECORD_CHARACTERS_MAX: usize = 1100;

/// What is read as a whole and grows old as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Inventory,
    Events,
    Audit,
}

impl Part {
    const ALL: [Part; 3] = [Part::Inventory, Part::Events, Part::Audit];

    const fn life(self) -> Duration {
        match self {
            Part::Inventory => INVENTORY_LIFE,
            Part::Events => EVENTS_LIFE,
            Part::Audit => AUDIT_LIFE,
        }
    }

    /// In the order of reading: what names the machine comes first.
    const fn corners(self) -> &'static [ScanStep] {
        match self {
            Part::Inventory => &[
                ScanStep::One("AMT_GeneralSettings"),
                ScanStep::One("CIM_Chassis"),
                ScanStep::One("CIM_Card"),
                ScanStep::One("CIM_BIOSFeature"),
                ScanStep::One("CIM_BIOSElement"),
                ScanStep::One("CIM_ComputerSystemPackage"),
                ScanStep::Every("CIM_Processor"),
                ScanStep::Every("CIM_Chip"),
                ScanStep::Every("CIM_PhysicalMemory"),
                ScanStep::Every("CIM_MediaAccessDevice"),
                ScanStep::Every("CIM_PhysicalPackage"),
                ScanStep::Every("AMT_EthernetPortSettings"),
            ],
            Part::Events => &[ScanStep::Events],
            Part::Audit => &[ScanStep::Audit],
        }
    }
}

/// What one step looks at, or a few steps in the case of a long log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ScanStep {
    /// The only instance of a class.
    One(&'static str),
    /// All instances of a class.
    Every(&'static str),
    /// `AMT_MessageLog`.
    Events,
    /// `AMT_AuditLog`.
    Audit,
}

impl ScanStep {
    const fn part(self) -> Part {
        match self {
            ScanStep::One(_) | ScanStep::Every(_) => Part::Inventory,
            ScanStep::Events => Part::Events,
            ScanStep::Audit => Part::Audit,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            ScanStep::One(class) | ScanStep::Every(class) => class,
            ScanStep::Events => "AMT_MessageLog",
            ScanStep::Audit => "AMT_AuditLog",
        }
    }

    /// Asking again is of no use: the firmware does not have it, or does not show it to this account.
    const fn is_closed(self, fault: &Fault) -> bool {
        const NOT_READY: u32 = 2;
        // Every status but the first two, which are trouble that passes.
        let is_refused =
            matches!((self, &fault.kind), (ScanStep::Audit, Kind::Returned(status)) if *status > NOT_READY);
        fault.is_absence() || fault.is_denied() || is_refused
    }
}

/// A log that is being read.
#[derive(Default)]
struct Reading {
    /// Where to go on; `None` before the first request.
    next: Option<u32>,
    records: Vec<Vec<u8>>,
    ended: bool,
}

/// What is known of a machine's inside, and what is due.
#[derive(Default)]
pub(super) struct Scan {
    /// What is left of the round that has begun.
    round: VecDeque<ScanStep>,
    /// When a part is to be read again; one that is not listed is due.
    fresh_until: BTreeMap<Part, Mono>,
    /// What this firmware does not have, or does not show to this account.
    absent: BTreeSet<ScanStep>,
    /// What is being looked at. It stays when the step is dropped, which counts as a failure: someone lost patience.
    looking: Option<ScanStep>,
    /// Failures in this round. A new session does not clear them: the failure may be what ended the old one.
    failures: BTreeMap<ScanStep, u32>,
    /// Those that failed since the round last paused. When no others are left, it pauses.
    postponed: BTreeSet<ScanStep>,
    /// What was given up in a round, and why. It stays until it is read after all.
    left_out: BTreeMap<ScanStep, String>,
    /// A login was refused in the middle of it. Whether the credentials are wrong is for the next reading to find out.
    doubts_login: bool,
    /// The instances of the inventory; those of an earlier round stay until their class is read again.
    found: Vec<Instance>,
    /// Classes whose instances a parent has brought.
    stand_ins: BTreeSet<String>,
    /// The inventory that was told last.
    told: Option<Arc<Inventory>>,
    reading: Reading,
}

impl Scan {
    /// Everything is still to be looked at.
    pub(super) fn new() -> Scan {
        Scan::default()
    }

    /// A new session, or firmware of another version: everything again, also what the machine did not have before.
    pub(super) fn note_session(&mut self) {
        self.begin_anew();
        self.fresh_until.clear();
        self.absent.clear();
    }

    /// The machine was off or asleep and is on since `now`. What the BIOS tells the engine is fresh after a boot, so
    /// everything again when that has ended.
    pub(super) fn note_power_on(&mut self, now: Mono) {
        self.begin_anew();
        self.fresh_until = Part::ALL.into_iter().map(|part| (part, now + BOOT_TIME)).collect();
    }

    /// The machine was read, so the login is good.
    pub(super) fn note_reading(&mut self) {
        self.doubts_login = false;
    }

    /// What an operator should know of it.
    pub(super) fn notice(&self) -> Option<Notice> {
        let (_, why) = self.left_out.first_key_value()?;
        let classes: Vec<&str> = self.left_out.keys().map(|step| step.class()).collect();
        let text =
            format!("what the machine says in {} is left out, since it cannot be read: {why}", classes.join(", "));
        Some(Notice { key: "inventory-incomplete", text })
    }

    fn begin_anew(&mut self) {
        self.round.clear();
        self.found.clear();
        self.left_out.clear();
        self.stand_ins.clear();
        self.reading = Reading::default();
    }

    /// Whether there is something to look at.
    pub(super) fn due(&self, now: Mono) -> bool {
        !self.doubts_login && (!self.round.is_empty() || Part::ALL.into_iter().any(|part| self.is_due(part, now)))
    }

    fn is_due(&self, part: Part, now: Mono) -> bool {
        let is_old = self.fresh_until.get(&part).is_none_or(|until| *until <= now);
        is_old && part.corners().iter().any(|step| !self.absent.contains(step))
    }

    /// Looks into one corner: one class, usually one to three requests. One that fails waits until all others were looked
    /// at; after a few failures the round goes on without it.
    pub(super) async fn step(&mut self, wire: &mut WsMan) -> Result<ScanResult, Fault> {
        if let Some(dropped) = self.looking.take() {
            self.count_failure(dropped);
            if self.round.front() == Some(&dropped) {
                self.postpone();
            }
        }
        if self.round.is_empty() {
            self.begin_round(wire.context().clock.now().mono);
        }
        let Some(step) = self.round.front().copied() else { return Ok(ScanResult::default()) };
        let mut findings = ScanResult::default();
        if !self.is_given_up(step) {
            self.looking = Some(step);
            let looked = self.look(step, wire, &mut findings).await;
            self.looking = None;
            match looked {
                Ok(true) => _ = self.left_out.remove(&step),
                Ok(false) => {
                    self.failures.remove(&step);
                    return Ok(ScanResult { more: true, ..findings });
                }
                Err(fault) => {
                    let node = &wire.context().node;
                    self.reading = Reading::default();
                    // That a machine does not answer at all says nothing about this corner.
                    if matches!(fault.kind, Kind::Unreachable | Kind::Distrusted) {
                        return Err(fault);
                    }
                    if fault.kind == Kind::Auth || step.is_closed(&fault) {
                        info!(%node, class = step.class(), %fault, "left out: the machine does not show it");
                        self.doubts_login = fault.kind == Kind::Auth;
                        self.absent.insert(step);
                    } else {
                        self.count_failure(step);
                        if !self.is_given_up(step) {
                            let more = ScanResult { more: true, ..findings };
                            return if self.postpone() { Ok(more) } else { Err(fault) };
                        }
                        info!(%node, class = step.class(), %fault, "left out for now, after {FAILURES_MAX} failures");
                        self.left_out.insert(step, fault.text);
                    }
                }
            }
        }
        self.leave(step, wire.context().clock.now().mono, &mut findings);
        Ok(findings)
    }

    /// Puts the corner at the front behind the others. False when all of them have failed, so that there is to be a pause.
    fn postpone(&mut self) -> bool {
        self.postponed.extend(self.round.front());
        if !self.round.is_empty() {
            self.round.rotate_left(1);
        }
        let others = self.round.iter().any(|step| !self.postponed.contains(step));
        if !others {
            self.postponed.clear();
        }
        others
    }

    fn count_failure(&mut self, step: ScanStep) {
        *self.failures.entry(step).or_default() += 1;
    }

    /// It failed too often for this round.
    fn is_given_up(&self, step: ScanStep) -> bool {
        self.failures.get(&step).is_some_and(|count| *count >= FAILURES_MAX)
    }

    fn begin_round(&mut self, now: Mono) {
        let due = Part::ALL.into_iter().filter(|part| self.is_due(*part, now));
        let corners = due.flat_map(Part::corners).copied().filter(|step| !self.absent.contains(step));
        self.round = corners.collect();
    }

    /// Looks into a corner; false when it has more to show.
    async fn look(&mut self, step: ScanStep, wire: &mut WsMan, findings: &mut ScanResult) -> Result<bool, Fault> {
        let class = step.class();
        let instances = match step {
            ScanStep::One(_) => match wire.get_once(OP, class).await {
                Ok(instance) => vec![instance],
                // Firmware that has several, or none but in a sequence.
                Err(fault) if fault.is_of_operation() => {
                    wire.enumerate_with(OP, class, Repeat::Later).await.or(Err(fault))?
                }
                Err(fault) => return Err(fault),
            },
            ScanStep::Every(_) => match wire.enumerate_with(OP, class, Repeat::Later).await {
                Ok(instances) => instances,
                Err(fault) if fault.is_of_operation() => vec![wire.get_once(OP, class).await.or(Err(fault))?],
                Err(fault) => return Err(fault),
            },
            ScanStep::Events | ScanStep::Audit => {
                let is_audit = step == ScanStep::Audit;
                self.reading.step(is_audit, wire).await?;
                if !self.reading.ended {
                    return Ok(false);
                }
                let records = std::mem::take(&mut self.reading).records;
                if is_audit {
                    findings.audit_log = Some(log::audit_entries(&records));
                } else {
                    findings.event_log = Some(log::event_entries(&records));
                }
                return Ok(true);
            }
        };
        self.keep(class, instances);
        Ok(true)
    }

    /// Keeps what a class brought. A parent brings its children, which are read on their own, and stand in until then.
    fn keep(&mut self, class: &str, instances: Vec<Instance>) {
        let is_own = |instance: &Instance| instance.class == class;
        // That there are none is not believed of what a parent has just brought.
        let was_brought = self.stand_ins.remove(class);
        if instances.iter().any(is_own) || !was_brought {
            self.found.retain(|known| !is_own(known));
        }
        let known: BTreeSet<String> = self.found.iter().map(|known| known.class.clone()).collect();
        let is_of_corner = |name: &str| Part::Inventory.corners().iter().any(|step| step.class() == name);
        for instance in instances.into_iter().take(inventory::PARTS_MAX) {
            let is_child = !is_own(&instance) && is_of_corner(&instance.class) && !known.contains(&instance.class);
            if is_child {
                self.stand_ins.insert(instance.class.clone());
            }
            if is_child || is_own(&instance) {
                self.found.push(trimmed(instance));
            }
        }
    }

    /// This corner is done with: goes on to the next one that matters.
    fn leave(&mut self, step: ScanStep, now: Mono, findings: &mut ScanResult) {
        self.round.pop_front();
        self.postponed.remove(&step);
        self.reading = Reading::default();
        let mut touched = BTreeSet::from([step.part()]);
        while let Some(next) = self.round.front().filter(|next| !inventory::is_wanted(next.class(), &self.found)) {
            touched.insert(next.part());
            self.round.pop_front();
        }
        for part in touched {
            let ended = !self.round.iter().any(|left| left.part() == part);
            if ended {
                self.fresh_until.insert(part, now + part.life());
            }
            if part == Part::Inventory {
                self.tell(ended, findings);
            }
        }
        findings.more = !self.round.is_empty() && !self.doubts_login;
        if self.round.is_empty() {
            self.failures.clear();
            self.postponed.clear();
        }
    }

    /// Tells what is known so far; at the end of a round also when it is the same as before.
    fn tell(&mut self, whole: bool, findings: &mut ScanResult) {
        let inventory = inventory::assemble(&self.found);
        if inventory == Inventory::default() {
            return;
        }
        let told = match self.told.take().filter(|told| **told == inventory) {
            Some(told) if !whole => {
                self.told = Some(told);
                return;
            }
            Some(told) => told,
            None => Arc::new(inventory),
        };
        self.told = Some(told.clone());
        (findings.inventory, findings.partial) = (Some(told), !whole);
    }
}

/// An instance without what no machine needs to say.
fn trimmed(mut instance: Instance) -> Instance {
    let fits = |value: &Value| !matches!(value, Value::Text(text) if text.len() > TEXT_BYTES_MAX);
    instance.fields.retain(|(_, value)| fits(value));
    instance.fields.truncate(FIELDS_MAX);
    instance.fields.shrink_to_fit();
    instance
}

impl Reading {
    /// Reads on, a few requests long.
    async fn step(&mut self, is_audit: bool, wire: &mut WsMan) -> Result<(), Fault> {
        for _ in 0..STEP_REQUESTS_MAX {
            match (is_audit, self.next) {
                (true, next) => self.read_audit(next.unwrap_or(1), wire).await?,
                (false, Some(next)) => self.read_events(next, wire).await?,
                (false, None) => {
                    let output = wire.invoke(OP, "AMT_MessageLog", "PositionToFirstRecord", &[], Repeat::Later).await?;
                    self.next = Some(output.values.number("IterationIdentifier").filter(|at| *at >= 1).unwrap_or(1));
                }
            }
            if self.ended {
                break;
            }
        }
        Ok(())
    }

    async fn read_events(&mut self, from: u32, wire: &mut WsMan) -> Result<(), Fault> {
        const BAD_POSITION: u32 = 2;
        const EMPTY: u32 = 3;
        let count = u32::try_from(EVENTS_MAX).unwrap_or(u32::MAX);
        let parameters = [("IterationIdentifier", from.into()), ("MaxReadRecords", count.into())];
        let output = wire.invoke(OP, "AMT_MessageLog", "GetRecords", &parameters, Repeat::Later).await?;
        match output.return_value {
            0 => {}
            EMPTY => return self.end(),
            BAD_POSITION if !self.records.is_empty() => return self.end(),
            other => return Err(Fault::returned("AMT_MessageLog", "GetRecords", other)),
        }
        let brought = self.take(&output, "RecordArray");
        let next = output.values.number("IterationIdentifier").filter(|next| *next > from);
        let no_more = output.values.boolean("NoMoreRecords") == Some(true);
        self.next = next;
        self.ended = no_more || brought == 0 || next.is_none() || self.records.len() >= EVENTS_MAX;
        self.records.truncate(EVENTS_MAX);
        Ok(())
    }

    async fn read_audit(&mut self, from: u32, wire: &mut WsMan) -> Result<(), Fault> {
        const INVALID_INDEX: u32 = 0x23;
        let parameters = [("StartIndex", from.into())];
        let output = wire.invoke(OP, "AMT_AuditLog", "ReadRecords", &parameters, Repeat::Later).await?;
        match output.return_value {
            0 => {}
            INVALID_INDEX => return self.end(),
            other => return Err(Fault::returned("AMT_AuditLog", "ReadRecords", other)),
        }
        let total: u32 = output.values.number("TotalRecordCount").unwrap_or(0);
        let skipped = total.saturating_sub(u32::try_from(AUDIT_MAX).unwrap_or(u32::MAX));
        if from == 1 && skipped > 0 {
            // The oldest come first.
            self.next = Some(skipped.saturating_add(1));
            return Ok(());
        }
        let brought = self.take(&output, "EventRecords");
        let next = from.saturating_add(u32::try_from(brought).unwrap_or(u32::MAX));
        self.next = Some(next);
        self.ended = brought == 0 || next > total || self.records.len() >= AUDIT_MAX;
        self.records.truncate(AUDIT_MAX);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.ended = true;
        Ok(())
    }

    /// Takes over the records of an answer, and says how many the machine sent.
    fn take(&mut self, output: &Output, name: &str) -> usize {
        let before = self.records.len();
        // What is no record counts as one: it has a place in the log.
        let decode = |text: &str| (text.len() <= RECORD_CHARACTERS_MAX).then(|| BASE64.decode(text).ok());
        self.records.extend(output.values.list(name).map(|text| decode(text).flatten().unwrap_or_default()));
        self.records.len() - before
    }
}

#[cfg(test)]
mod tests;
