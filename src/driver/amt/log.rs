//! The records of both logs of an AMT machine in plain words. Pure.
//!
//! Whatever a machine sends as a record is read without harm: what is too short to be one is left out. The time is shown
//! as the machine's clock had it, even when that is years off.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::clock::Wall;
use crate::node::Health;
use crate::node::device::LogEntry;

/// The time of a record whose machine had none.
const NO_TIME: u32 = u32::MAX;

/// Bytes of the hash that names a record: 64 bits tell a few hundred records apart.
const ID_BYTES: usize = 8;

/// The entries of the event log, the newest first.
pub(super) fn event_entries(records: &[Vec<u8>]) -> Arc<[LogEntry]> {
    entries(records, |record| Some(Event::read(record)?.entry()))
}

/// The entries of the audit log, the newest first. The machine has the oldest first.
pub(super) fn audit_entries(records: &[Vec<u8>]) -> Arc<[LogEntry]> {
    let newest_first: Vec<Vec<u8>> = records.iter().rev().cloned().collect();
    entries(&newest_first, |record| Some(Audit::read(record)?.entry()))
}

/// Sorts by time, those of one time as they came, and names each by its content: places shift.
fn entries(records: &[Vec<u8>], read: impl Fn(&[u8]) -> Option<LogEntry>) -> Arc<[LogEntry]> {
    let named = |record: &Vec<u8>| Some(LogEntry { id: id(record), ..read(record)? });
    let mut entries: Vec<LogEntry> = records.iter().filter_map(named).collect();
    entries.sort_by_key(|entry| Reverse(entry.at));
    let mut seen: HashMap<String, u32> = HashMap::new();
    // The oldest of several that are the same keeps the bare name, so that a new one does not rename it.
    for entry in entries.iter_mut().rev() {
        let count = seen.entry(entry.id.clone()).or_default();
        *count += 1;
        if *count > 1 {
            entry.id = format!("{}-{count}", entry.id);
        }
    }
    entries.into()
}

fn id(record: &[u8]) -> String {
    Sha256::digest(record).iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

fn moment(seconds: u32) -> Option<Wall> {
    (seconds != NO_TIME).then(|| Wall(i64::from(seconds) * 1000))
}

/// A record of the event log: the fields that are made use of.
struct Event {
    time: u32,
    sensor: u8,
    offset: u8,
    severity: u8,
    entity: u8,
    data: [u8; 8],
}

impl Event {
    /// A record has exactly 21 bytes, its numbers their little end first.
    fn read(record: &[u8]) -> Option<Event> {
        let record: &[u8; 21] = record.try_into().ok()?;
        let [t0, t1, t2, t3, _, sensor, _, offset, _, severity, _, entity, _, data @ ..] = *record;
        Some(Event { time: u32::from_le_bytes([t0, t1, t2, t3]), sensor, offset, severity, entity, data })
    }

    fn entry(&self) -> LogEntry {
        let severity = match self.severity {
            16 | 32 => Health::Critical,
            8 => Health::Warning,
            _ => Health::OK,
        };
        LogEntry { id: String::new(), at: moment(self.time), severity, text: self.text() }
    }

    fn text(&self) -> String {
        let [kind, detail, more, .., state] = self.data;
        match self.sensor {
            6 => match u16::from_le_bytes([detail, more]) {
                0 => "authentication failed".into(),
                1 => "authentication failed once".into(),
                times => format!("authentication failed {times} times"),
            },
            15 if kind == 0xEB => "the BIOS reported something with invalid data".into(),
            15 if self.offset == 0 => match firmware_error(detail) {
                Some(words) => format!("firmware error: {words}"),
                None => format!("firmware error {detail}"),
            },
            15 => match firmware_progress(detail) {
                Some(words) => format!("boot progress: {words}"),
                None => format!("boot progress {detail}"),
            },
            18 if kind == 0xAA => match watchdog_state(state) {
                Some(words) => format!("the watchdog of an agent {words}"),
                None => format!("the watchdog of an agent changed to state {state}"),
            },
            19 => "non-maskable interrupt".into(),
            30 => "no bootable medium".into(),
            32 => "the operating system locked up, or the power was interrupted".into(),
            35 => "the system failed to boot".into(),
            37 => "the firmware started".into(),
            sensor => format!("event {} of sensor type {sensor}, from {}", self.offset, entity(self.entity)),
        }
    }
}

fn entity(number: u8) -> String {
    match number {
        7 => "the board".into(),
        0x22 => "the BIOS".into(),
        0x23 => "the system".into(),
        0x26 => "the management engine".into(),
        other => format!("entity {other}"),
    }
}

const fn firmware_error(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "no memory is installed",
        2 => "no usable memory",
        3 => "disk failure",
        4 => "board failure",
        8 => "no removable medium",
        9 | 10 => "video failure",
        11 => "the ROM is corrupt",
        12 | 13 => "the processors do not match",
        _ => return None,
    })
}

const fn firmware_progress(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "memory initialization",
        2 => "disk initialization",
        3 => "initialization of the other processors",
        5 => "the user entered the setup",
        6 => "USB initialization",
        7 => "PCI initialization",
        8 => "option ROM initialization",
        9 => "video initialization",
        12 => "keyboard controller initialization",
        19 => "the boot of the operating system begins",
        25 => "initialization of the primary processor",
        _ => return None,
    })
}

const fn watchdog_state(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "is not started",
        2 => "stopped",
        4 => "runs",
        8 => "expired",
        16 => "is suspended",
        _ => return None,
    })
}

/// A record of the audit log.
struct Audit {
    key: u32,
    initiator: String,
    time: u32,
    address: String,
}

impl Audit {
    /// Numbers have their big end first. What stands after the time may be missing.
    fn read(record: &[u8]) -> Option<Audit> {
        let mut rest = record;
        let application = u16::from_be_bytes(*split(&mut rest)?);
        let event = u16::from_be_bytes(*split(&mut rest)?);
        let [kind] = *split(&mut rest)?;
        let initiator = match kind {
            0 => format!("user {:?}", text(&mut rest)?),
            1 => {
                let _domain: &[u8; 4] = split(&mut rest)?;
                let _sid = text(&mut rest)?;
                "a Kerberos user".into()
            }
            2 => "someone at the machine itself".into(),
            3 => "the KVM port".into(),
            other => format!("an initiator of the unknown kind {other}"),
        };
        let time = u32::from_be_bytes(*split(&mut rest)?);
        let _location: Option<&[u8; 1]> = split(&mut rest);
        let address = text(&mut rest).unwrap_or_default();
        Some(Audit { key: u32::from(application) * 100 + u32::from(event), initiator, time, address })
    }

    fn entry(&self) -> LogEntry {
        let what = audit_event(self.key).map_or_else(|| format!("audit event {}", self.key), str::to_owned);
        let from = if self.address.is_empty() { String::new() } else { format!(" from {}", self.address) };
        let severity = if self.key == BAD_CREDENTIALS { Health::Warning } else { Health::OK };
        LogEntry {
            id: String::new(),
            at: moment(self.time),
            severity,
            text: format!("{what}, by {}{from}", self.initiator),
        }
    }
}

/// A login with wrong credentials.
const BAD_CREDENTIALS: u32 = 1605;

const fn audit_event(key: u32) -> Option<&'static str> {
    Some(match key {
        1600 => "provisioning started",
        BAD_CREDENTIALS => "wrong credentials",
        1700 => "the machine was switched on",
        1701 => "the machine was switched off",
        1702 => "the machine was power-cycled",
        1703 => "the machine was reset",
        1704 => "boot options were set",
        1705 => "the machine was shut down gracefully",
        1706 => "the machine was restarted gracefully",
        1800 => "storage redirection was opened",
        1801 => "storage redirection was closed",
        1808 => "a KVM session began",
        1809 => "a KVM session ended",
        1900 => "the firmware was updated",
        2100 => "the time was set",
        2201 => "the host name was set",
        _ => return None,
    })
}

/// Takes the next bytes.
fn split<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(head)
}

/// Takes a text with its length in front; what cannot be shown is left out of it.
fn text(rest: &mut &[u8]) -> Option<String> {
    let [length] = *split(rest)?;
    let (head, tail) = rest.split_at_checked(usize::from(length))?;
    *rest = tail;
    Some(String::from_utf8_lossy(head).chars().filter(|c| !c.is_control()).collect())
}

#[cfg(test)]
mod tests;
