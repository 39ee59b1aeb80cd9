//! What the fuzzer gives to the readers of this folder that are private to it (tests/fuzz).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::wsman::{self, Output, Request};
use super::xml::Instance;
use super::{boot, inventory, log, power, redact};
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
fn output(output: &Output) {
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
fn instances(found: &[Instance]) {
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

/// Any bytes as a reply: an instance that is read is written the same.
pub fn reply(reply: &[u8]) {
    let _ = redact::shown(reply);
    let _ = wsman::enumerated(reply);
    let _ = wsman::identity(reply);
    if let Ok(found) = wsman::output(reply, "GetRecords") {
        output(&found);
    }
    if let Some(fault) = wsman::fault(reply) {
        assert!(fault.to_string().len() < 2000);
    }
    let pulled = wsman::pulled(reply).map(|pulled| pulled.items).unwrap_or_default();
    let found: Vec<_> = wsman::instance(reply).into_iter().chain(pulled).collect();
    for instance in &found {
        for (name, _) in &instance.fields {
            let _ =
                (instance.text(name), instance.number::<u32>(name), instance.boolean(name), instance.datetime(name));
        }
        let request = Request { class: &instance.class, selectors: &[("x", "y")], message_id: 1 };
        let written = request.put(instance);
        assert_eq!(wsman::instance(written.as_bytes()).as_ref(), Ok(instance), "{written}");
    }
    instances(&found);
}
