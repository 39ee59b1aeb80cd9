//! A node whose device can do more than a plug: graceful actions, boot sources, inventory, logs. The device is a fake
//! behind the real core, store and service: no network, and a record of the actions that it received.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::web::Data;
use plugfish::testing::clock::{Clock, Wall};
use plugfish::testing::http::auth::Authenticator;
use plugfish::testing::http::connections::{CONNECTIONS_MAX, Connections};
use plugfish::testing::http::front::Front;
use plugfish::testing::http::server::{self, Door};
use plugfish::testing::http::turns::Turns;
use plugfish::testing::node::actor::NodeContext;
use plugfish::testing::node::device::{
    Capabilities, DeviceFuture, DeviceIdentity, DeviceKind, LogEntry, Observation, PowerDevice, ScanResult,
};
use plugfish::testing::node::event::EventBus;
use plugfish::testing::node::journal::Journal;
use plugfish::testing::node::reload::NodeSetup;
use plugfish::testing::node::supervisor::Supervisor;
use plugfish::testing::node::{
    Architecture, BootMode, BootOverride, BootTarget, Drive, Health, Inventory, MemoryModule, NodeSpec, Power,
    PowerAction, PowerPolicy, Processor,
};
use plugfish::testing::redfish::events::Events;
use plugfish::testing::redfish::{Service, dispatch};
use plugfish::testing::store::Store;
use plugfish::testing::telemetry::Metrics;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::commands::run;
use crate::crawl::crawl;
use crate::redfish::compare;
use crate::rig::{DWELL, POLL, Rig, Served, klap};

/// Longer than two pages.
const ENTRIES: usize = 120;

/// 2026-11-22T12:00:00Z.
const NOON: i64 = 1_795_348_800_000;

static KIND: DeviceKind = DeviceKind {
    boot_targets: &[BootTarget::None],
    boot_modes: &[],
    is_outlet: false,
    sets_power_restore: false,
    applies_boot: true,
    orders: &[
        PowerAction::Cycle,
        PowerAction::Reset,
        PowerAction::GracefulOff,
        PowerAction::GracefulReset,
        PowerAction::Nmi,
    ],
    reads_before_action: true,
    verify_after: &[Duration::from_millis(100), Duration::from_millis(300)],
    silence_max: Duration::ZERO,
};

/// A machine, as its fake device sees it.
struct Pc {
    power: Power,
    told: Vec<(PowerAction, BootOverride)>,
    studied: bool,
    http_boot: bool,
}

type Shared = Arc<Mutex<Pc>>;

struct Fake(Shared);

impl PowerDevice for Fake {
    fn read(&mut self) -> DeviceFuture<'_, Observation> {
        let pc = self.0.lock().unwrap();
        let mut boot_targets = BootTarget::ALL.to_vec();
        boot_targets.retain(|target| pc.http_boot || *target != BootTarget::UefiHttp);
        let orders = vec![
            PowerAction::On,
            PowerAction::Off,
            PowerAction::Cycle,
            PowerAction::Reset,
            PowerAction::GracefulOff,
            PowerAction::GracefulReset,
            PowerAction::Nmi,
        ];
        let observation = Observation {
            power: Some(pc.power),
            about: Arc::new(DeviceIdentity {
                manufacturer: Some("Intel".into()),
                model: Some("Intel AMT".into()),
                firmware: Some("16.1.25.2124".into()),
                uuid: Some("4c4c4544-0042-3510-8052-b4c04f4e4d32".parse().unwrap()),
                ..DeviceIdentity::default()
            }),
            capabilities: Some(Arc::new(Capabilities { orders, boot_targets })),
            scan_due: !pc.studied,
            ..Observation::default()
        };
        Box::pin(async { Ok(observation) })
    }

    fn order(&mut self, order: PowerAction, boot: BootOverride) -> DeviceFuture<'_, ()> {
        let mut pc = self.0.lock().unwrap();
        pc.told.push((order, boot));
        if order != PowerAction::Nmi {
            pc.power = order.leads_to();
        }
        Box::pin(async { Ok(()) })
    }

    fn scan(&mut self) -> DeviceFuture<'_, ScanResult> {
        self.0.lock().unwrap().studied = true;
        let log = |count: usize, text: &str| {
            let entry = |index: usize| LogEntry {
                id: format!("{text}-{}", count - index),
                // A clock that was never set tells no time.
                at: (index + 1 < count).then(|| Wall(NOON - 60_000 * i64::try_from(index).unwrap())),
                severity: if index == 0 { Health::Critical } else { Health::OK },
                text: format!("{text} number {}", count - index),
            };
            Some((0..count).map(entry).collect::<Arc<[LogEntry]>>())
        };
        let findings = ScanResult {
            inventory: Some(Arc::new(inventory())),
            event_log: log(ENTRIES, "event"),
            audit_log: log(2, "login"),
            ..ScanResult::default()
        };
        Box::pin(async { Ok(findings) })
    }

    fn forget_session(&mut self) {}
}

fn inventory() -> Inventory {
    let text = |text: &str| Some(text.to_owned());
    let module = |locator: &str| MemoryModule {
        locator: text(locator),
        capacity_mib: Some(8192),
        kind: text("DDR4"),
        module: text("SO_DIMM"),
        speed_mhz: Some(3200),
        manufacturer: text("Samsung"),
        part_number: text("M471A1K43EB1-CWE"),
        serial: text("17A3B0C1"),
    };
    Inventory {
        manufacturer: text("Dell Inc."),
        model: text("OptiPlex 7090"),
        serial: text("B5QRNM2"),
        uuid: "4c4c4544-0042-3510-8052-b4c04f4e4d32".parse().ok(),
        host_name: text("desk-12"),
        bios_version: text("1.21.0"),
        processors: vec![Processor {
            manufacturer: text("Intel(R) Corporation"),
            model: text("Intel(R) Core(TM) i7"),
            architecture: Some(Architecture::X86_64),
            max_speed_mhz: Some(4900),
            socket: text("CPU 0"),
            ..Processor::default()
        }],
        memory: vec![module("BANK 0"), module("BANK 1")],
        drives: vec![Drive {
            name: "Drive 0".into(),
            capacity_bytes: Some(512_110_190_592),
            model: text("PM9A1 NVMe 512GB"),
            serial: text("S65XNE0R512345"),
            ..Drive::default()
        }],
        nics: vec!["a4:bb:6d:00:00:01".parse().unwrap()],
        ..Inventory::default()
    }
}

/// The node `pc` on a service of its own, with the machine behind it.
async fn rig() -> (Rig, Shared) {
    let pc = Arc::new(Mutex::new(Pc { power: Power::On, told: Vec::new(), studied: false, http_boot: true }));
    let shared = pc.clone();
    let rig = Rig::on(|state| serve(state, shared)).await;
    rig.until(5, || async { rig.system("pc").await.get("LogServices").is_some() }).await;
    (rig, pc)
}

/// What the daemon does, with a device that no configuration can name.
async fn serve(state: PathBuf, pc: Shared) -> Served {
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, told) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        actix::System::new().block_on(async move {
            let (clock, metrics) = (Clock::system(), Metrics::new());
            let store = Store::open(&state, clock.clone(), metrics.clone()).unwrap().0;
            let journal = store.clone() as Arc<dyn Journal>;
            let events = EventBus::new();
            let around = NodeContext { clock: clock.clone(), journal, events, metrics: metrics.clone() };
            let mut keeper = Supervisor::new(around, move |_, ()| Box::new(Fake(pc.clone())));
            let timings = plugfish::testing::node::Timings {
                poll_interval: POLL,
                off_dwell: DWELL,
                command_deadline: Duration::from_secs(30),
                fence_age_max: None,
            };
            let device = "Intel AMT at 192.0.2.12".into();
            let (id, inventory) = ("pc".parse().unwrap(), Arc::default());
            let spec = NodeSpec {
                id,
                inventory,
                timings,
                device,
                kind: &KIND,
                boot_mode: Some(BootMode::Legacy),
                boot_targets: None,
                policy: PowerPolicy::default(),
            };
            keeper.apply(vec![NodeSetup { spec, device: () }]).await;
            let fleet = keeper.fleet();
            let access = Arc::new(Authenticator::new(store.clone(), clock.clone(), metrics.clone(), false));
            let events = Events::start(store.clone(), access.clone(), clock.clone(), metrics.clone());
            let listeners = server::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
            let address = listeners[0].local_addr().unwrap();
            let (uuid, port, certificate) = (store.service_uuid(), address.port(), None);
            let service = Data::new(Service {
                fleet,
                access,
                clock,
                uuid,
                metrics,
                events,
                port,
                certificate,
                recorder: Arc::default(),
                bodies: Arc::default(),
                turns: Turns::new(Clock::system()),
            });
            let app = move |config: &mut actix_web::web::ServiceConfig| dispatch::mount(config, &service);
            let clock = Clock::system();
            let front = Front { proxies: Arc::default(), hosts: None, refuse: dispatch::refuse_foreign };
            let connections = Connections::new(CONNECTIONS_MAX, clock.clone(), front.proxies.clone());
            let door = Door { certificate: None, workers: 1, connections, front, clock };
            let (running, handle) = server::run(listeners, &door, app).unwrap();
            actix::spawn(running);
            tell.send(address).unwrap();
            let _ = stopped.await; // the sender is dropped
            keeper.stop(Duration::from_secs(2)).await;
            handle.stop(true).await;
            store.close();
        });
    });
    (told.await.unwrap(), stop, thread)
}

impl Rig {
    async fn boot(&self, boot: Value) -> (StatusCode, Value) {
        self.send(self.request(Method::PATCH, "/redfish/v1/Systems/pc").json(&json!({ "Boot": boot }))).await
    }
}

/// The message ids of an answer, without their registry.
fn messages(answer: &Value) -> Vec<&str> {
    let infos = answer["error"]["@Message.ExtendedInfo"].as_array().unwrap();
    infos.iter().map(|info| info["MessageId"].as_str().unwrap().rsplit('.').next().unwrap()).collect()
}

#[tokio::test]
async fn bodies_are_as_they_are_written_down_and_every_link_leads_somewhere() {
    let (rig, _) = rig().await;
    let bodies = [
        ("amt_system", "/redfish/v1/Systems/pc"),
        ("amt_processor", "/redfish/v1/Systems/pc/Processors/0"),
        ("amt_memory", "/redfish/v1/Systems/pc/Memory/1"),
        ("amt_simple_storage", "/redfish/v1/Systems/pc/SimpleStorage/1"),
        ("amt_drive", "/redfish/v1/Chassis/pc/Drives/0"),
        ("amt_chassis", "/redfish/v1/Chassis/pc"),
        ("amt_manager", "/redfish/v1/Managers/pc"),
        ("amt_event_log", "/redfish/v1/Systems/pc/LogServices/EventLog"),
        ("amt_event_entries", "/redfish/v1/Systems/pc/LogServices/EventLog/Entries?$top=2"),
        ("amt_audit_log", "/redfish/v1/Managers/pc/LogServices/AuditLog"),
        ("amt_audit_entry", "/redfish/v1/Managers/pc/LogServices/AuditLog/Entries/login-1"),
    ];
    compare(&rig, &bodies).await;
    let seen = crawl(&rig).await;
    for (_, path) in bodies.iter().filter(|(_, path)| !path.contains('?')) {
        assert!(seen.contains(*path), "no link leads to {path}");
    }
    assert!(seen.contains("/redfish/v1/Systems/pc/LogServices/EventLog/Entries/event-1"), "the oldest entry");
    for wrong in [
        "Systems/pc/Memory/2",
        "Systems/pc/SimpleStorage/0",
        "Chassis/pc/Drives/1",
        "Systems/pc/LogServices/AuditLog",
        "Managers/pc/LogServices/EventLog/Entries",
        "Systems/pc/LogServices/EventLog/Entries/event-0",
    ] {
        assert_eq!(rig.get(&format!("/redfish/v1/{wrong}")).await.0, StatusCode::NOT_FOUND, "{wrong}");
    }
}

#[tokio::test]
async fn logs_are_read_page_by_page() {
    let (rig, _) = rig().await;
    let entries = "/redfish/v1/Systems/pc/LogServices/EventLog/Entries";
    let mut next = Some(entries.to_owned());
    let (mut ids, mut pages) = (Vec::new(), 0);
    while let Some(uri) = next {
        let (status, page) = rig.get(&uri).await;
        assert_eq!((status, page["Members@odata.count"].as_u64()), (StatusCode::OK, Some(120)));
        ids.extend(page["Members"].as_array().unwrap().iter().map(|entry| entry["Id"].as_str().unwrap().to_owned()));
        next = page.get("Members@odata.nextLink").map(|uri| uri.as_str().unwrap().to_owned());
        pages += 1;
    }
    let all: Vec<String> = (1..=ENTRIES).rev().map(|number| format!("event-{number}")).collect();
    assert_eq!((ids, pages), (all, 2));
    let (_, page) = rig.get(&format!("{entries}?%24skip=118&$top=50")).await;
    assert_eq!((page["Members"].as_array().unwrap().len(), page.get("Members@odata.nextLink")), (2, None));
    assert!(page["Members"][0].get("Created").is_some() && page["Members"][1].get("Created").is_none());
    let (_, page) = rig.get(&format!("{entries}?$skip=500")).await;
    assert_eq!((page["Members"].as_array().unwrap().len(), page.get("Members@odata.nextLink")), (0, None));
}

#[tokio::test]
async fn a_boot_over_http_needs_something_to_load() {
    let (rig, pc) = rig().await;
    let uri = "https://192.0.2.1/boot.iso";
    let http = json!({ "BootSourceOverrideTarget": "UefiHttp", "BootSourceOverrideEnabled": "Once" });
    for (boot, expect) in [
        (http.clone(), vec!["PropertyMissing"]),
        (json!({ "HttpBootUri": "http://192.0.2.1/boot.iso" }), vec!["PropertyValueFormatError"]),
        (json!({ "HttpBootUri": 7 }), vec!["PropertyValueTypeError"]),
        (json!({ "BootSourceOverrideTarget": "Usb" }), vec!["PropertyValueNotInList"]),
        (json!({ "BootSourceOverrideMode": "UEFI" }), vec!["PropertyValueNotInList"]),
    ] {
        let (status, answer) = rig.boot(boot.clone()).await;
        assert_eq!((status, messages(&answer)), (StatusCode::BAD_REQUEST, expect), "{boot}");
    }
    assert_eq!(rig.boot(json!({ "HttpBootUri": uri })).await.0, StatusCode::OK);
    let (status, system) = rig.boot(http).await;
    assert_eq!((status, &system["Boot"]["HttpBootUri"]), (StatusCode::OK, &json!(uri)));
    assert_eq!(messages(&rig.boot(json!({ "HttpBootUri": null })).await.1), ["PropertyMissing"]);

    assert_eq!(rig.reset("pc", "ForceRestart").await.0, StatusCode::NO_CONTENT);
    rig.until(5, || async { rig.system("pc").await["Boot"]["BootSourceOverrideEnabled"] == "Disabled" }).await;
    let told = pc.lock().unwrap().told.clone();
    let [(PowerAction::Reset, boot)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((boot.target, boot.http_boot_uri.as_deref()), (BootTarget::UefiHttp, Some(uri)));
    assert_eq!(rig.boot(json!({ "HttpBootUri": null })).await.0, StatusCode::OK);

    pc.lock().unwrap().http_boot = false;
    rig.until(5, || async { rig.system("pc").await["Boot"].get("HttpBootUri").is_none() }).await;
    assert_eq!(messages(&rig.boot(json!({ "HttpBootUri": uri })).await.1), ["PropertyUnknown"]);
}

#[tokio::test]
async fn graceful_orders_reach_the_machine_and_sleep_is_shown_as_on() {
    let (rig, pc) = rig().await;
    let state = || async {
        let system = rig.system("pc").await;
        (system["PowerState"].clone(), system["Status"]["State"].clone())
    };
    for (kind, order, power) in [
        ("GracefulRestart", PowerAction::GracefulReset, "On"),
        ("Nmi", PowerAction::Nmi, "On"),
        ("PowerCycle", PowerAction::Cycle, "On"),
        ("GracefulShutdown", PowerAction::GracefulOff, "Off"),
    ] {
        assert_eq!(rig.reset("pc", kind).await.0, StatusCode::NO_CONTENT);
        rig.until(5, || async { pc.lock().unwrap().told.last().is_some_and(|(told, _)| *told == order) }).await;
        rig.until(5, || async { state().await == (power.into(), "Enabled".into()) }).await;
    }
    assert_eq!(pc.lock().unwrap().told.len(), 4);
    pc.lock().unwrap().power = Power::Asleep;
    rig.until(5, || async { state().await == ("On".into(), "StandbyOffline".into()) }).await;
    assert_eq!(rig.get("/redfish/v1/Chassis/pc").await.1["PowerState"], "On");
    assert_eq!(rig.reset("pc", "On").await.0, StatusCode::NO_CONTENT);
    rig.until(5, || async { state().await == ("On".into(), "Enabled".into()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_typed_reaches_a_machine_that_can_do_it() {
    let (rig, pc) = rig().await;
    let (code, out, err) = run(&rig, &["boot", "pc", "setup", "--once"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "pc: boots from BiosSetup, Once\n"), "{err}");
    let (code, out, err) = run(&rig, &["power", "pc", "restart"]).await;
    assert!(code == Some(0) && out.starts_with("pc: On after "), "{out}{err}");
    let (code, out, _) = run(&rig, &["power", "pc", "nmi"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "pc: Nmi accepted\n"));
    let (code, out, _) = run(&rig, &["boot", "pc", "http", "https://192.0.2.1/boot.iso"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "pc: boots from UefiHttp, Continuous\n"));
    let (code, out, _) = run(&rig, &["boot", "pc", "none"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "pc: boots from None, Disabled\n"));
    assert_eq!(run(&rig, &["boot", "pc", "http"]).await.0, Some(2), "no URI");
    assert_eq!(run(&rig, &["boot", "pc", "pxe", "https://x/y"]).await.2, "plugfish: only http takes a URI\n");

    pc.lock().unwrap().power = Power::Asleep;
    rig.until(5, || async { rig.system("pc").await["Status"]["State"] == "StandbyOffline" }).await;
    assert!(run(&rig, &["status"]).await.1.contains("\npc    Asleep"));
    let (code, out, _) = run(&rig, &["power", "pc", "shutdown"]).await;
    assert!(code == Some(0) && out.starts_with("pc: Off after "), "{out}");
    let told: Vec<PowerAction> = pc.lock().unwrap().told.iter().map(|(order, _)| *order).collect();
    assert_eq!(told, [PowerAction::GracefulReset, PowerAction::Nmi, PowerAction::GracefulOff]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plug_cannot_do_is_said_before_it_is_tried() {
    let rig = Rig::settled([klap("a")]).await;
    let (code, _, err) = run(&rig, &["power", "a", "shutdown"]).await;
    let says = "plugfish: a does not offer shutdown (GracefulShutdown) in its present state; it offers On, ForceOn, ForceOff, \
                ForceRestart, PowerCycle\n";
    assert_eq!((code, err.as_str()), (Some(1), says));
    let (code, _, err) = run(&rig, &["boot", "a", "cd"]).await;
    let says = "plugfish: a does not offer cd (Cd) in its present state; it offers None, Pxe, Hdd\n";
    assert_eq!((code, err.as_str()), (Some(1), says));
    let (code, out, _) = run(&rig, &["boot", "a", "disk"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "a: boots from Hdd, Continuous\n"));
    let wrong = rig.request(Method::PATCH, "/redfish/v1/Systems/a").json(&json!({ "Boot": { "HttpBootUri": null } }));
    assert_eq!(messages(&rig.send(wrong).await.1), ["PropertyUnknown"]);
}
