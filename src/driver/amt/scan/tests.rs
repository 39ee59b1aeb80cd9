//! Rounds against a scripted machine on a real socket: what is asked, when, and what comes of it.

use std::time::Duration;

use super::*;
use crate::driver::amt::inventory::tests::{fixture, lenovo};
use crate::driver::amt::tests::fake::{Fake, Machine, Seen, Trouble};
use crate::driver::amt::tests::{config, context, fault, quick, rig};
use crate::node::device::FailureClass;
use crate::telemetry::Metrics;

type Answers = Vec<(&'static str, String)>;

const SECOND: Duration = Duration::from_secs(1);

/// The children that a parent's enumeration brings too.
fn is_of(name: &str, class: &str) -> bool {
    let children: &[&str] = match class {
        "CIM_Chip" => &["CIM_PhysicalMemory"],
        "CIM_PhysicalPackage" => &["CIM_Card", "CIM_Chassis"],
        _ => &[],
    };
    name == class || children.contains(&name)
}

fn reply(body: &str) -> String {
    format!("<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Body>{body}</s:Body></s:Envelope>")
}

fn output(class: &str, method: &str, inside: &str) -> String {
    let uri = crate::driver::amt::wsman::class_uri(class);
    reply(&format!("<g:{method}_OUTPUT xmlns:g=\"{uri}\">{inside}</g:{method}_OUTPUT>"))
}

/// Answers for all that the fixture has; the firmware has no other class.
fn machine(name: &str) -> Answers {
    let text = fixture(name);
    let document = roxmltree::Document::parse(&text).unwrap();
    let all: Vec<_> = document.root_element().children().filter(roxmltree::Node::is_element).collect();
    let mut answers = Answers::new();
    for step in Part::Inventory.corners() {
        let class = step.class();
        let of_class = all.iter().filter(|node| is_of(node.tag_name().name(), class));
        let items: Vec<&str> = of_class.map(|node| &text[node.range()]).collect();
        let word = format!("/{class}</w:ResourceURI>").leak();
        if items.is_empty() {
            answers.push((word, fault("b:DestinationUnreachable")));
        } else if let ScanStep::One(_) = step {
            answers.push((word, reply(items[0])));
        } else {
            let n = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";
            let items = items.concat();
            let pulled = format!(
                "<n:PullResponse xmlns:n=\"{n}\"><n:Items>{items}</n:Items><n:EndOfSequence/></n:PullResponse>"
            );
            let begun = format!("<n:EnumerationContext>{class}</n:EnumerationContext>");
            answers.push((format!("EnumerationContext>{class}<").leak(), reply(&pulled)));
            answers.push((word, reply(&format!("<n:EnumerateResponse xmlns:n=\"{n}\">{begun}</n:EnumerateResponse>"))));
        }
    }
    answers
}

fn number(name: &str, value: impl std::fmt::Display) -> String {
    format!("<g:{name}>{value}</g:{name}>")
}

fn positioned() -> (&'static str, String) {
    let inside = [number("IterationIdentifier", 1), number("ReturnValue", 0)].concat();
    ("PositionToFirstRecord_INPUT", output("AMT_MessageLog", "PositionToFirstRecord", &inside))
}

/// An answer to GetRecords at this place, with records of these times.
fn events(from: u32, times: &[u32], no_more: bool) -> (&'static str, String) {
    let record = |time: &u32| {
        let bytes = [&time.to_le_bytes()[..], &[0xFF, 37, 0x6F, 0, 0x68, 2], &[0; 11]].concat();
        number("RecordArray", BASE64.encode(bytes))
    };
    let next = from + u32::try_from(times.len()).unwrap();
    let ends = [number("IterationIdentifier", next), number("NoMoreRecords", no_more)].concat();
    let inside = [ends, times.iter().map(record).collect(), number("ReturnValue", 0)].concat();
    (format!("IterationIdentifier>{from}<").leak(), output("AMT_MessageLog", "GetRecords", &inside))
}

/// An answer to ReadRecords at this place: as many records of ascending times.
fn audits(from: u32, count: u32, total: u32) -> (&'static str, String) {
    let record = |time: u32| {
        let bytes = [&[0, 17, 0, 3, 2][..], &time.to_be_bytes(), &[0, 0, 0]].concat();
        number("EventRecords", BASE64.encode(bytes))
    };
    let records: String = (from..from + count).map(record).collect();
    let counts = [number("TotalRecordCount", total), number("RecordsReturned", count)].concat();
    let inside = [counts, records, number("ReturnValue", 0)].concat();
    (format!("StartIndex>{from}<").leak(), output("AMT_AuditLog", "ReadRecords", &inside))
}

fn with_logs(mut answers: Answers) -> Answers {
    answers.extend([positioned(), events(1, &[9, 5], true), audits(1, 2, 2)]);
    answers
}

fn now(wire: &WsMan) -> Mono {
    wire.context().clock.now().mono
}

/// Steps to the end of the round: what each step asked, as class and number of requests, and all it brought.
async fn round(scan: &mut Scan, fake: &Fake, wire: &mut WsMan) -> (Vec<(String, usize)>, ScanResult) {
    let mut asked = Vec::new();
    let mut all = ScanResult::default();
    assert!(scan.due(now(wire)));
    loop {
        let before = fake.machine().seen.len();
        let findings = scan.step(wire).await.unwrap();
        asked.push(one_class(&fake.machine().seen[before..]));
        if findings.inventory.is_some() {
            (all.inventory, all.partial) = (findings.inventory, findings.partial);
        }
        all.event_log = all.event_log.or(findings.event_log);
        all.audit_log = all.audit_log.or(findings.audit_log);
        if !findings.more {
            return (asked, all);
        }
        assert!(scan.due(now(wire)) && asked.len() < 100);
    }
}

/// The class that all these requests are on, and their number without those that were only asked for a login.
fn one_class(seen: &[Seen]) -> (String, usize) {
    let uri = |body: &str| body.split("ResourceURI>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let classes: BTreeSet<_> = seen.iter().map(|seen| uri(&seen.body).rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(classes.len(), 1, "{classes:?}");
    let logged_in = seen.iter().filter(|seen| seen.head.contains("Authorization: ")).count();
    (classes.into_iter().next().unwrap(), logged_in)
}

fn named(asked: &[(String, usize)]) -> Vec<(&str, usize)> {
    asked.iter().map(|(class, count)| (class.as_str(), *count)).collect()
}

#[tokio::test]
async fn a_round_asks_for_one_class_a_step_and_ends() {
    let (fake, mut wire) = rig(&with_logs(machine("lenovo-12"))).await;
    let mut scan = Scan::new();
    let (asked, all) = round(&mut scan, &fake, &mut wire).await;
    let expected = [
        ("AMT_GeneralSettings", 1),
        ("CIM_Chassis", 1),
        ("CIM_BIOSElement", 1),
        ("CIM_ComputerSystemPackage", 1),
        ("CIM_Processor", 2),
        ("CIM_Chip", 2),
        ("CIM_PhysicalMemory", 2),
        ("CIM_MediaAccessDevice", 2),
        ("CIM_PhysicalPackage", 2),
        ("AMT_EthernetPortSettings", 2),
        ("AMT_MessageLog", 2),
        ("AMT_AuditLog", 1),
    ];
    assert_eq!(named(&asked), expected);
    assert_eq!(*all.inventory.unwrap(), lenovo());
    let times = |log: Option<Arc<[crate::node::device::LogEntry]>>| -> Vec<i64> {
        log.unwrap().iter().map(|entry| entry.at.unwrap().0 / 1000).collect()
    };
    assert_eq!(times(all.event_log), [9, 5]);
    assert_eq!(times(all.audit_log), [2, 1]);
}

#[tokio::test]
async fn each_part_grows_old_in_its_own_time() {
    let (fake, mut wire) = rig(&with_logs(machine("lenovo-12"))).await;
    let mut scan = Scan::new();
    round(&mut scan, &fake, &mut wire).await;
    let end = now(&wire);
    assert!(!scan.due(end));
    // Nothing is due, and nothing is asked.
    let before = fake.machine().seen.len();
    assert_eq!(scan.step(&mut wire).await.unwrap(), ScanResult::default());
    assert_eq!(fake.machine().seen.len(), before);
    let due_after = |life: Duration| {
        let due = |part| scan.is_due(part, end + life);
        Part::ALL.into_iter().filter(|part| due(*part)).collect::<Vec<_>>()
    };
    // The parts ended up to a second before `end`.
    assert_eq!(due_after(EVENTS_LIFE - 20 * SECOND), []);
    assert_eq!(due_after(EVENTS_LIFE), [Part::Events]);
    assert_eq!(due_after(AUDIT_LIFE), [Part::Events, Part::Audit]);
    assert_eq!(due_after(INVENTORY_LIFE - 20 * SECOND), [Part::Events, Part::Audit]);
    assert_eq!(due_after(INVENTORY_LIFE), Part::ALL);
    scan.begin_round(end + EVENTS_LIFE);
    assert_eq!(named(&round(&mut scan, &fake, &mut wire).await.0), [("AMT_MessageLog", 2)]);
}

#[tokio::test]
async fn what_the_firmware_does_not_have_is_remembered_for_the_session() {
    // No logs, no BIOSFeature; nothing is said about drives.
    let mut answers = machine("nuc-16");
    let denied = |class: &str| (format!("/{class}</w:ResourceURI>").leak() as &str, fault("w:AccessDenied"));
    answers.retain(|(word, _)| !word.contains("CIM_MediaAccessDevice"));
    answers.splice(0..0, [denied("CIM_ComputerSystemPackage"), denied("AMT_AuditLog")]);
    let (fake, mut wire) = rig(&answers).await;
    let mut scan = Scan::new();
    let (asked, all) = round(&mut scan, &fake, &mut wire).await;
    let classes: Vec<_> = asked.iter().map(|(class, _)| class.as_str()).collect();
    // The chassis is unnamed, so the board is asked; there it ends.
    assert_eq!(classes[..4], ["AMT_GeneralSettings", "CIM_Chassis", "CIM_Card", "CIM_BIOSElement"]);
    assert!(!classes.contains(&"CIM_PhysicalPackage"));
    assert_eq!(classes[classes.len() - 2..], ["AMT_MessageLog", "AMT_AuditLog"]);
    let inventory = all.inventory.unwrap();
    assert_eq!((inventory.model.as_deref(), inventory.uuid, inventory.drives.len()), (Some("NUC12WSBv5"), None, 0));
    assert_eq!((all.event_log, all.audit_log), (None, None));

    let later = now(&wire) + INVENTORY_LIFE;
    let due: Vec<_> = Part::ALL.into_iter().filter(|part| scan.is_due(*part, later)).collect();
    assert_eq!(due, [Part::Inventory]);
    scan.begin_round(later);
    let again = round(&mut scan, &fake, &mut wire).await.0;
    let absent = ["CIM_ComputerSystemPackage", "CIM_MediaAccessDevice", "AMT_MessageLog", "AMT_AuditLog"];
    assert!(again.iter().all(|(class, _)| !absent.contains(&class.as_str())), "{again:?}");

    scan.note_session();
    assert_eq!(named(&round(&mut scan, &fake, &mut wire).await.0), named(&asked));
}

/// Steps to the end of the round through all failures: how many there were, and the last inventory.
async fn round_with_failures(scan: &mut Scan, wire: &mut WsMan) -> (usize, Arc<Inventory>) {
    let (mut failed, mut found) = (0, None);
    loop {
        match scan.step(wire).await {
            Ok(findings) => {
                found = findings.inventory.or(found);
                if !findings.more {
                    return (failed, found.unwrap());
                }
            }
            Err(_) => failed += 1,
        }
    }
}

#[tokio::test]
async fn a_broken_class_waits_for_the_others_and_is_left_out_after_three_tries() {
    let mut answers = with_logs(machine("lenovo-12"));
    answers.splice(0..0, [("/CIM_BIOSElement</w:ResourceURI>", fault("w:InvalidRepresentation"))]);
    let (fake, mut wire) = rig(&answers).await;
    let mut scan = Scan::new();
    // Without a pause everything else is known, piece by piece.
    let mut known = ScanResult::default();
    let mut told = 0;
    for _ in 0..12 {
        let Ok(findings) = scan.step(&mut wire).await else { break };
        assert!(findings.more && (findings.inventory.is_none() || findings.partial));
        told += usize::from(findings.inventory.is_some());
        known.inventory = findings.inventory.or(known.inventory);
        known.event_log = findings.event_log.or(known.event_log);
    }
    let without = Inventory { bios_version: None, ..lenovo() };
    assert_eq!((told, known.inventory.as_deref()), (8, Some(&without)));
    assert!(known.event_log.is_some() && scan.notice().is_none());
    // Then it alone is asked again, after pauses.
    for _ in 0..2 {
        let before = fake.machine().seen.len();
        assert!(scan.due(now(&wire)));
        let step = scan.step(&mut wire).await;
        assert_eq!(one_class(&fake.machine().seen[before..]).0, "CIM_BIOSElement");
        match step {
            Err(fault) => assert_eq!(fault.class(), FailureClass::Refused),
            Ok(findings) => assert_eq!((findings.inventory.as_deref(), findings.partial), (Some(&without), false)),
        }
    }
    assert!(!scan.due(now(&wire)));
    let notice = scan.notice().unwrap();
    assert!(notice.text.contains("CIM_BIOSElement") && notice.text.contains("InvalidRepresentation"), "{notice:?}");
    // The next round tries again, and what is known stays known when another class breaks.
    let broken = fake.machine().answers.remove(0).1;
    scan.begin_round(now(&wire) + INVENTORY_LIFE);
    assert_eq!(*round(&mut scan, &fake, &mut wire).await.1.inventory.unwrap(), lenovo());
    assert_eq!(scan.notice(), None);
    fake.machine().answers.insert(0, ("/AMT_EthernetPortSettings</w:ResourceURI>", broken));
    scan.begin_round(now(&wire) + INVENTORY_LIFE);
    let (failed, found) = round_with_failures(&mut scan, &mut wire).await;
    assert_eq!((failed, &*found), (1, &lenovo()));
}

#[tokio::test]
async fn answers_of_any_nonsense_for_one_class_leave_the_others_known() {
    for broken in [
        String::new(),
        "<html><body>Not here</body></html>".into(),
        reply(""),
        reply("<x:CIM_Elsewhere xmlns:x=\"u\"><x:Model>wrong</x:Model></x:CIM_Elsewhere>"),
        fault("w:InternalError"),
        fault("w:InvalidSelectors"),
        fault("w:AccessDenied"),
    ] {
        for class in ["CIM_ComputerSystemPackage", "CIM_Processor", "CIM_PhysicalMemory"] {
            let mut answers = with_logs(machine("lenovo-12"));
            let (uri, context) = (format!("/{class}</w:ResourceURI>"), format!("EnumerationContext>{class}<"));
            answers.splice(0..0, [(uri.leak() as &str, broken.clone()), (context.leak(), broken.clone())]);
            let (_fake, mut wire) = rig(&answers).await;
            let (failed, found) = round_with_failures(&mut Scan::new(), &mut wire).await;
            assert!(failed <= 2, "{class}: {failed} {broken}");
            let expected = match class {
                "CIM_ComputerSystemPackage" => Inventory { uuid: None, ..lenovo() },
                "CIM_Processor" => Inventory { processors: vec![], ..lenovo() },
                // Its parent brings it, too.
                _ => lenovo(),
            };
            assert_eq!(*found, expected, "{class}: {broken}");
        }
    }
}

/// Firmware that wants selectors for a Get, and firmware that knows no sequence of a class.
#[tokio::test]
async fn what_one_operation_does_not_bring_the_other_does() {
    let text = fixture("lenovo-12");
    let document = roxmltree::Document::parse(&text).unwrap();
    let instance = |class: &str| {
        let found = document.root_element().children().find(|node| node.tag_name().name() == class).unwrap();
        text[found.range()].to_owned()
    };
    let n = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";
    let begun = format!(
        "<n:EnumerateResponse xmlns:n=\"{n}\"><n:EnumerationContext>chassis</n:EnumerationContext></n:EnumerateResponse>"
    );
    let pulled =
        format!("<n:PullResponse xmlns:n=\"{n}\"><n:Items>{}</n:Items></n:PullResponse>", instance("CIM_Chassis"));
    let mut answers = with_logs(machine("lenovo-12"));
    answers.retain(|(word, _)| !word.contains("CIM_Chassis") && !word.contains("CIM_Processor"));
    answers.splice(
        0..0,
        [
            ("transfer/Get</a:Action><a:To>/wsman</a:To><w:ResourceURI>http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_Chassis<", fault("w:InvalidSelectors")),
            ("EnumerationContext>chassis<", reply(&pulled)),
            ("/CIM_Chassis</w:ResourceURI>", reply(&begun)),
            ("transfer/Get</a:Action><a:To>/wsman</a:To><w:ResourceURI>http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_Processor<", reply(&instance("CIM_Processor"))),
            ("/CIM_Processor</w:ResourceURI>", fault("a:ActionNotSupported")),
        ],
    );
    let (_fake, mut wire) = rig(&answers).await;
    let (failed, found) = round_with_failures(&mut Scan::new(), &mut wire).await;
    assert_eq!((failed, &*found), (0, &lenovo()));
}

/// An account that may not see a class need not be a wrong password: the next reading tells.
#[tokio::test]
async fn a_login_that_is_refused_for_one_class_waits_for_the_next_reading() {
    let (fake, mut wire) = rig(&with_logs(machine("lenovo-12"))).await;
    let mut scan = Scan::new();
    scan.step(&mut wire).await.unwrap();
    fake.trouble(&[Trouble::Challenge { stale: false }, Trouble::Challenge { stale: false }]);
    let before = fake.machine().seen.len();
    assert!(!scan.step(&mut wire).await.unwrap().more && !scan.due(now(&wire)));
    assert_eq!(one_class(&fake.machine().seen[before..]), ("CIM_Chassis".into(), 2));
    scan.note_reading();
    assert!(scan.due(now(&wire)));
    let (asked, all) = round(&mut scan, &fake, &mut wire).await;
    assert_eq!(asked[0].0, "CIM_Card");
    assert_eq!(all.inventory.unwrap().bios_version, lenovo().bios_version);
}

#[tokio::test]
async fn a_broken_last_class_does_not_keep_the_round_from_ending() {
    let mut answers = with_logs(machine("lenovo-12"));
    answers.splice(0..0, [("ReadRecords_INPUT", output("AMT_AuditLog", "ReadRecords", &number("ReturnValue", 1)))]);
    let (_fake, mut wire) = rig(&answers).await;
    let mut scan = Scan::new();
    for _ in 0..11 {
        assert!(scan.step(&mut wire).await.unwrap().more);
    }
    assert!(scan.step(&mut wire).await.is_err() && scan.step(&mut wire).await.is_err());
    assert_eq!(scan.step(&mut wire).await.unwrap(), ScanResult::default());
    assert!(!scan.due(now(&wire)));
}

#[tokio::test]
async fn silence_of_the_whole_machine_is_no_fault_of_a_class() {
    // The receiver is gone.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut wire = WsMan::with_timing(config(port, "P@ssw0rd"), context(&Metrics::new()), quick());
    let mut scan = Scan::new();
    for _ in 0..5 {
        assert_eq!(scan.step(&mut wire).await.unwrap_err().class(), FailureClass::Unreachable);
    }
    let fake = Fake::start(Machine::new(&with_logs(machine("lenovo-12")))).await;
    let mut wire = WsMan::with_timing(config(fake.port, "P@ssw0rd"), context(&Metrics::new()), quick());
    assert_eq!(*round(&mut scan, &fake, &mut wire).await.1.inventory.unwrap(), lenovo());
}

#[tokio::test]
async fn after_power_on_everything_is_read_again_but_not_at_once() {
    let (fake, mut wire) = rig(&with_logs(machine("lenovo-12"))).await;
    let mut scan = Scan::new();
    for _ in 0..3 {
        scan.step(&mut wire).await.unwrap();
    }
    let on = now(&wire);
    scan.note_power_on(on);
    assert!(!scan.due(on + BOOT_TIME - SECOND));
    assert_eq!(scan.step(&mut wire).await.unwrap(), ScanResult::default());
    assert!(scan.due(on + BOOT_TIME));
    scan.begin_round(on + BOOT_TIME);
    let (asked, all) = round(&mut scan, &fake, &mut wire).await;
    assert_eq!((asked.len(), asked[0].0.as_str()), (12, "AMT_GeneralSettings"));
    assert_eq!(*all.inventory.unwrap(), lenovo());
}

#[tokio::test]
async fn long_logs_are_read_in_several_steps() {
    let mut answers = vec![positioned(), events(1, &[9], false), events(2, &[8, 7], false), events(4, &[6], false)];
    answers.extend([events(5, &[5], true), audits(1, 10, 420), audits(31, 200, 420), audits(231, 190, 421)]);
    let (fake, mut wire) = rig(&answers).await;
    let mut scan = Scan::new();
    scan.round = [ScanStep::Events, ScanStep::Audit].into();
    let (asked, all) = round(&mut scan, &fake, &mut wire).await;
    assert_eq!(named(&asked), [("AMT_MessageLog", 3), ("AMT_MessageLog", 2), ("AMT_AuditLog", 3)]);
    let times = |log: &[crate::node::device::LogEntry]| -> Vec<_> {
        log.iter().map(|entry| entry.at.unwrap().0 / 1000).collect()
    };
    assert_eq!(times(&all.event_log.unwrap()), [9, 8, 7, 6, 5]);
    // The newest 390 of 420.
    assert_eq!(times(&all.audit_log.unwrap()), (31..=420).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn logs_that_lie_about_their_length_end() {
    let more = |from, count: u32| events(from, &vec![7; usize::try_from(count).unwrap()], false);
    // One answer more than the machine may have; a place that does not move; records that never come.
    for answers in [vec![more(1, 1000)], vec![(events(1, &[7], false).0, events(0, &[7], false).1)], vec![more(1, 0)]] {
        let (fake, mut wire) = rig(&[vec![positioned()], answers, vec![audits(1, 0, 99)]].concat()).await;
        let mut scan = Scan::new();
        scan.round = [ScanStep::Events, ScanStep::Audit].into();
        let (asked, all) = round(&mut scan, &fake, &mut wire).await;
        assert_eq!(asked.len(), 2);
        assert!(all.event_log.unwrap().len() <= EVENTS_MAX && all.audit_log.unwrap().is_empty());
    }
    // A total that grows with every answer is believed once.
    let (fake, mut wire) = rig(&[audits(1, 1, 1000), audits(611, 1, 9000), audits(612, 0, 90_000)]).await;
    let mut scan = Scan::new();
    scan.round = [ScanStep::Audit].into();
    assert_eq!(round(&mut scan, &fake, &mut wire).await.1.audit_log.unwrap().len(), 1);
}

#[tokio::test]
async fn logs_may_be_empty_or_refused() {
    let method = |class: &str, method: &str, value: u32| output(class, method, &number("ReturnValue", value));
    let mut answers = vec![positioned(), ("GetRecords_INPUT", method("AMT_MessageLog", "GetRecords", 3))];
    answers.push(("ReadRecords_INPUT", method("AMT_AuditLog", "ReadRecords", 0x23)));
    let (fake, mut wire) = rig(&answers).await;
    let mut scan = Scan::new();
    scan.round = [ScanStep::Events, ScanStep::Audit].into();
    let (_, all) = round(&mut scan, &fake, &mut wire).await;
    assert_eq!((all.event_log.unwrap().len(), all.audit_log.unwrap().len()), (0, 0));

    fake.machine().answers[2].1 = method("AMT_AuditLog", "ReadRecords", 0x10);
    scan.round = [ScanStep::Audit].into();
    assert_eq!(round(&mut scan, &fake, &mut wire).await.1, ScanResult::default());
    assert!(scan.absent.contains(&ScanStep::Audit));
    fake.machine().answers[1].1 = method("AMT_MessageLog", "GetRecords", 1);
    scan.round = [ScanStep::Events].into();
    assert_eq!(scan.step(&mut wire).await.unwrap_err().kind, Kind::Returned(1));
}

#[tokio::test]
async fn a_step_that_was_dropped_is_done_again() {
    let (fake, mut wire) = rig(&with_logs(machine("lenovo-12"))).await;
    let mut scan = Scan::new();
    scan.step(&mut wire).await.unwrap();
    fake.trouble(&[Trouble::Silence]);
    // A real socket, so real time: long enough for the request to be on its way.
    tokio::time::timeout(Duration::from_millis(100), scan.step(&mut wire)).await.unwrap_err();
    wire.forget();
    let (asked, all) = round(&mut scan, &fake, &mut wire).await;
    // Behind the others.
    assert_eq!(asked.last().unwrap().0, "CIM_Chassis");
    assert_eq!(*all.inventory.unwrap(), lenovo());
}

#[tokio::test]
async fn a_class_that_takes_too_long_is_left_out_too() {
    let (fake, mut wire) = rig(&with_logs(machine("lenovo-12"))).await;
    let mut scan = Scan::new();
    scan.round = [ScanStep::One("CIM_Chassis")].into();
    for _ in 0..FAILURES_MAX {
        fake.trouble(&[Trouble::Silence]);
        // As above.
        tokio::time::timeout(Duration::from_millis(100), scan.step(&mut wire)).await.unwrap_err();
        wire.forget();
    }
    let before = fake.machine().seen.len();
    assert!(!scan.step(&mut wire).await.unwrap().more);
    assert_eq!(fake.machine().seen.len(), before);
}
