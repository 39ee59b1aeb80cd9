//! Every line of the tables, and whatever bytes a machine may send.

use proptest::prelude::*;

use super::*;

const TIME: u32 = 1_597_017_600;

fn record(sensor: u8, offset: u8, severity: u8, data: [u8; 8]) -> Vec<u8> {
    let [t0, t1, t2, t3] = TIME.to_le_bytes();
    let head = [t0, t1, t2, t3, 0xFF, sensor, 0x6F, offset, 0x68, severity, 0, 0x26, 0];
    [&head[..], &data].concat()
}

fn at(time: u32) -> Vec<u8> {
    [&time.to_le_bytes()[..], &record(37, 0, 2, [0; 8])[4..]].concat()
}

fn event(sensor: u8, offset: u8, data: [u8; 8]) -> String {
    event_entries(&[record(sensor, offset, 2, data)])[0].text.clone()
}

#[test]
fn a_record_of_the_event_log_is_read_whole() {
    let bytes = hex::decode("00903e5fff066f0568080026004003010000000000").unwrap();
    let entries = event_entries(&[bytes]);
    let [entry] = &entries[..] else { panic!("one entry") };
    assert_eq!(entry.text, "authentication failed 259 times");
    assert_eq!(entry.severity, Health::Warning);
    assert_eq!(entry.at.unwrap().to_string(), "2020-08-20T15:00:16Z");
    assert_eq!(entry.id, "51a94280e947d8ba");
}

#[test]
fn events_are_told_in_words() {
    let data = |kind, detail| [kind, detail, 0, 0, 0, 0, 0, 0];
    let progress = |number| event(15, 2, data(0x40, number));
    let error = |number| event(15, 0, data(0x40, number));
    let watchdog = |state| event(18, 10, [0xAA, 0, 0, 0, 0, 0, 0, state]);
    let cases = [
        (event(6, 5, data(0xAA, 0)), "authentication failed"),
        (event(6, 5, data(0xFF, 1)), "authentication failed once"),
        (event(6, 5, data(0xFF, 10)), "authentication failed 10 times"),
        (event(15, 2, data(0xEB, 1)), "the BIOS reported something with invalid data"),
        (error(1), "firmware error: no memory is installed"),
        (error(2), "firmware error: no usable memory"),
        (error(3), "firmware error: disk failure"),
        (error(4), "firmware error: board failure"),
        (error(8), "firmware error: no removable medium"),
        (error(9), "firmware error: video failure"),
        (error(10), "firmware error: video failure"),
        (error(11), "firmware error: the ROM is corrupt"),
        (error(12), "firmware error: the processors do not match"),
        (error(13), "firmware error: the processors do not match"),
        (error(77), "firmware error 77"),
        (progress(1), "boot progress: memory initialization"),
        (progress(2), "boot progress: disk initialization"),
        (progress(3), "boot progress: initialization of the other processors"),
        (progress(5), "boot progress: the user entered the setup"),
        (progress(6), "boot progress: USB initialization"),
        (progress(7), "boot progress: PCI initialization"),
        (progress(8), "boot progress: option ROM initialization"),
        (progress(9), "boot progress: video initialization"),
        (progress(12), "boot progress: keyboard controller initialization"),
        (progress(19), "boot progress: the boot of the operating system begins"),
        (progress(25), "boot progress: initialization of the primary processor"),
        (progress(77), "boot progress 77"),
        (watchdog(1), "the watchdog of an agent is not started"),
        (watchdog(2), "the watchdog of an agent stopped"),
        (watchdog(4), "the watchdog of an agent runs"),
        (watchdog(8), "the watchdog of an agent expired"),
        (watchdog(16), "the watchdog of an agent is suspended"),
        (watchdog(3), "the watchdog of an agent changed to state 3"),
        (event(18, 1, data(0, 0)), "event 1 of sensor type 18, from the management engine"),
        (event(19, 0, data(0, 0)), "non-maskable interrupt"),
        (event(30, 0, data(0, 0)), "no bootable medium"),
        (event(32, 0, data(0, 0)), "the operating system locked up, or the power was interrupted"),
        (event(35, 0, data(0, 0)), "the system failed to boot"),
        (event(37, 0, data(0, 0)), "the firmware started"),
        (event(200, 3, data(0, 0)), "event 3 of sensor type 200, from the management engine"),
    ];
    for (text, expected) in cases {
        assert_eq!(text, expected);
    }
}

#[test]
fn severities_are_those_of_redfish() {
    let expected = [
        (0, Health::OK),
        (1, Health::OK),
        (2, Health::OK),
        (4, Health::OK),
        (8, Health::Warning),
        (16, Health::Critical),
        (32, Health::Critical),
    ];
    for (number, health) in expected {
        assert_eq!(event_entries(&[record(37, 0, number, [0; 8])])[0].severity, health);
    }
}

#[test]
fn the_newest_comes_first_and_what_has_no_time_last() {
    let records = [at(5), at(u32::MAX), at(9), at(0), at(7)];
    let times: Vec<_> = event_entries(&records).iter().map(|entry| entry.at.map(|at| at.0 / 1000)).collect();
    assert_eq!(times, [Some(9), Some(7), Some(5), Some(0), None]);
    let same = [record(19, 0, 2, [0; 8]), record(37, 0, 2, [0; 8]), record(30, 0, 2, [0; 8])];
    let texts: Vec<_> = event_entries(&same).iter().map(|entry| entry.text.clone()).collect();
    assert_eq!(texts, ["non-maskable interrupt", "the firmware started", "no bootable medium"]);
}

#[test]
fn ids_stay_when_records_come() {
    let ids =
        |records: &[Vec<u8>]| -> Vec<String> { event_entries(records).iter().map(|entry| entry.id.clone()).collect() };
    let before = ids(&[at(9), at(5), at(5)]);
    assert_eq!(before[1], format!("{}-2", before[2]));
    let after = ids(&[at(9), at(9), at(5), at(5)]);
    assert_eq!(after[1..], before);
    assert_eq!(after[0], format!("{}-2", before[0]));
    assert!(after[0].chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
}

fn audit_record(key: u16, who: &[u8], time: u32, address: &str) -> Vec<u8> {
    let length = [u8::try_from(address.len()).unwrap()];
    let (app, event) = ((key / 100).to_be_bytes(), (key % 100).to_be_bytes());
    [&app[..], &event, who, &time.to_be_bytes(), &[0], &length, address.as_bytes(), &[2, 1, 2]].concat()
}

#[test]
fn records_of_the_audit_log_are_told_in_words() {
    let admin = b"\x00\x05admin";
    let text = |key, who: &[u8], address| audit_entries(&[audit_record(key, who, TIME, address)])[0].text.clone();
    let events = [
        (1600, "provisioning started"),
        (1605, "wrong credentials"),
        (1700, "the machine was switched on"),
        (1701, "the machine was switched off"),
        (1702, "the machine was power-cycled"),
        (1703, "the machine was reset"),
        (1704, "boot options were set"),
        (1705, "the machine was shut down gracefully"),
        (1706, "the machine was restarted gracefully"),
        (1800, "storage redirection was opened"),
        (1801, "storage redirection was closed"),
        (1808, "a KVM session began"),
        (1809, "a KVM session ended"),
        (1900, "the firmware was updated"),
        (2100, "the time was set"),
        (2201, "the host name was set"),
        (4242, "audit event 4242"),
    ];
    for (key, words) in events {
        assert_eq!(text(key, admin, "192.0.2.9"), format!("{words}, by user \"admin\" from 192.0.2.9"));
    }
    assert_eq!(text(1703, b"\x01\0\0\0\x07\x03SID", ""), "the machine was reset, by a Kerberos user");
    assert_eq!(text(1703, &[2], ""), "the machine was reset, by someone at the machine itself");
    assert_eq!(text(1703, &[3], ""), "the machine was reset, by the KVM port");
    assert_eq!(text(1703, &[9], ""), "the machine was reset, by an initiator of the unknown kind 9");
    let entries = audit_entries(&[audit_record(1605, admin, 1, "h"), audit_record(1700, admin, 2, "h")]);
    let told: Vec<_> = entries.iter().map(|entry| (entry.at, entry.severity)).collect();
    assert_eq!(told, [(Some(Wall(2000)), Health::OK), (Some(Wall(1000)), Health::Warning)]);
    // Of the same second, the later record is the newer one.
    let entries = audit_entries(&[audit_record(1700, admin, 1, "h"), audit_record(1701, admin, 1, "h")]);
    assert!(entries[0].text.starts_with("the machine was switched off"));
}

#[test]
fn a_record_of_the_audit_log_may_break_off_after_its_time() {
    let whole = audit_record(1703, b"\x00\x05admin", TIME, "192.0.2.9");
    for length in 0..whole.len() {
        let texts: Vec<_> = audit_entries(&[whole[..length].to_vec()]).iter().map(|entry| entry.text.clone()).collect();
        match length {
            0..15 => assert!(texts.is_empty(), "{length}"),
            15..26 => assert_eq!(texts, ["the machine was reset, by user \"admin\""], "{length}"),
            _ => assert_eq!(texts, ["the machine was reset, by user \"admin\" from 192.0.2.9"], "{length}"),
        }
    }
}

fn check(records: &[Vec<u8>], entries: &[LogEntry]) -> Result<(), TestCaseError> {
    prop_assert!(entries.len() <= records.len());
    let ids: std::collections::HashSet<_> = entries.iter().map(|entry| &entry.id).collect();
    prop_assert_eq!(ids.len(), entries.len());
    prop_assert!(entries.is_sorted_by_key(|entry| Reverse(entry.at)));
    for entry in entries {
        prop_assert!(!entry.text.is_empty() && entry.text.len() < 2048 && !entry.text.chars().any(char::is_control));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..40)) {
        check(&records, &event_entries(&records))?;
        check(&records, &audit_entries(&records))?;
    }

    #[test]
    fn every_record_of_21_bytes_is_an_event(records in proptest::collection::vec(proptest::collection::vec(0_u8..40, 21), 0..40)) {
        let entries = event_entries(&records);
        prop_assert_eq!(entries.len(), records.len());
        check(&records, &entries)?;
    }

    #[test]
    fn a_damaged_audit_record_is_read_or_left_out(at in 0_usize..30, byte: u8, length in 0_usize..40) {
        let mut record = audit_record(1703, b"\x00\x05admin", TIME, "192.0.2.9");
        if let Some(place) = record.get_mut(at) {
            *place = byte;
        }
        record.truncate(length);
        let records = vec![record];
        check(&records, &audit_entries(&records))?;
    }
}
