//! What the fuzzer gives to the readers of this folder that nobody else sees (tests/fuzz).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::wsman::Output;
use super::xml::Instance;
use super::{boot, inventory, log, power, shown};
use crate::node::PowerAction;
use crate::node::device::LogEntry;

/// Records of a log, each with its length in front; the first byte says of which log.
pub fn records(bytes: &[u8]) {
    let Some((kind, mut rest)) = bytes.split_first() else { return };
    let mut records = Vec::new();
    while let Some((length, tail)) = rest.split_first() {
        let (record, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        records.push(record.to_vec());
        rest = tail;
    }
    let entries = if *kind == b'a' { log::audit_entries(&records) } else { log::event_entries(&records) };
    check(&entries, records.len());
}

/// The same as they come in an answer.
pub fn output(output: &Output) {
    for name in ["EventRecords", "RecordArray"] {
        let decoded = output.values.list(name).map(|text| BASE64.decode(text).unwrap_or_default());
        let records: Vec<Vec<u8>> = decoded.collect();
        check(&log::event_entries(&records), records.len());
        check(&log::audit_entries(&records), records.len());
    }
}

fn check(entries: &[LogEntry], most: usize) {
    assert!(entries.len() <= most);
    assert!(entries.is_sorted_by_key(|entry| std::cmp::Reverse(entry.at)));
    let mut ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), entries.len(), "two entries have one id");
    assert!(entries.iter().all(|entry| !entry.text.contains(char::is_control) && entry.text.len() < 4000));
}

/// Instances of any classes, as if they were all that a machine says of itself.
pub fn instances(found: &[Instance]) {
    let inventory = inventory::assemble(found);
    assert!(inventory.memory_gib.is_none_or(|gib| gib.is_finite() && gib > 0.0));
    for instance in found {
        let _ =
            (boot::targets(instance, true), boot::has_recovery(instance), inventory::is_wanted(&instance.class, found));
        let _ = instance.text("PlatformGUID").and_then(inventory::platform_uuid);
        let Some(reading) = power::PowerReading::of(instance) else { continue };
        for order in [PowerAction::On, PowerAction::Off, PowerAction::Cycle, PowerAction::GracefulOff] {
            let _ = (reading.obstacle(order), reading.shows_taken(order, &reading));
        }
    }
}

/// A body as the recorder shows it.
pub fn is_shown(bytes: &[u8]) {
    let _ = redact::shown(bytes);
}
