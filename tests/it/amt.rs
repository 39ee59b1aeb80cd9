//! AMT machines end to end: power, the source of boots, and faults on the way.
//!
//! The simulated machines are fast. The time is spent in plugfish's own delays: it reads again 2 s after an action, and
//! sends no second power request within 10 s of one that boots.

use std::sync::Arc;
use std::time::Duration;

use plugfish::testing::clock::Clock;
use plugfish::testing::driver::Drivers;
use plugfish::testing::node::device::{FailureClass, PowerDevice};
use plugfish::testing::node::trust::VolatileBook;
use plugfish::testing::node::{BootEnabled, BootOverride, BootTarget, Power, PowerAction};
use plugfish::testing::sim::Power as Computer;
use plugfish::testing::sim::fault::WsmanFault;
use plugfish::testing::sim::{
    Action, BootSource, Consent, ControlMode, Fault, Kind, Machine, MachineConfig, MachineQuirks, Profile, Selector,
    Timings,
};
use plugfish::testing::telemetry::Metrics;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::rig::{Rig, driver_of};

fn amt12(name: &str) -> MachineConfig {
    MachineConfig::new(name, Profile::Amt12).quick()
}

fn amt16(name: &str) -> MachineConfig {
    MachineConfig { tls: true, ..MachineConfig::new(name, Profile::Amt16).quick() }
}

async fn settled(machines: impl IntoIterator<Item = MachineConfig>) -> Rig {
    let rig = Rig::with_machines([], machines, |_| {}).await;
    rig.all_seen().await;
    rig
}

/// The device of a machine, without a daemon.
fn device(machine: &Machine) -> Box<dyn PowerDevice> {
    Drivers::new(Clock::system(), Metrics::new(), Arc::default(), Arc::new(VolatileBook::default()))
        .open(&"n".parse().unwrap(), &driver_of(machine))
}

async fn alone(config: MachineConfig) -> (plugfish::testing::sim::Rack, Arc<Machine>, Box<dyn PowerDevice>) {
    let mut rack = plugfish::testing::sim::RackConfig::new(7);
    rack.machines.push(config);
    let rack = plugfish::testing::sim::Rack::start(rack).await.unwrap();
    let machine = rack.machines()[0].clone();
    let device = device(&machine);
    (rack, machine, device)
}

fn once(target: BootTarget) -> BootOverride {
    BootOverride { target, enabled: BootEnabled::Once, ..BootOverride::default() }
}

fn sources(machine: &Machine) -> Vec<BootSource> {
    machine.boots().into_iter().map(|boot| boot.source).collect()
}

async fn patch_boot(rig: &Rig, node: &str, target: &str, enabled: &str) -> (StatusCode, Value) {
    let boot = json!({ "Boot": { "BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": enabled } });
    rig.send(rig.request(Method::PATCH, &format!("/redfish/v1/Systems/{node}")).json(&boot)).await
}

fn check_manners(machine: &Machine) {
    let counters = machine.counters();
    assert!(counters.in_flight_max <= 1, "{} at a time", counters.in_flight_max);
    assert!(counters.connections_open_max <= 2, "{} connections", counters.connections_open_max);
}

async fn order(rig: &Rig, node: &str, reset: &str) {
    let (status, body) = rig.reset(node, reset).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{reset}: {body}");
}

async fn switched(rig: Rig, node: &str) {
    let machine = rig.machine(node);
    let boots = machine.boots().len();
    order(&rig, node, "ForceOff").await;
    rig.until(10, || async { machine.power() == Computer::SoftOff && rig.power(node).await == "Off" }).await;
    order(&rig, node, "On").await;
    rig.until(10, || async { machine.power() == Computer::On && rig.power(node).await == "On" }).await;
    order(&rig, node, "ForceRestart").await;
    rig.until(20, || async { machine.boots().len() == boots + 2 }).await;
    machine.press_button();
    rig.until(20, || async { rig.power(node).await == "Off" }).await;
    machine.press_button();
    rig.until(20, || async { rig.power(node).await == "On" }).await;
    assert_eq!(machine.boots().len(), boots + 3, "no one restarts what a person has started");
    check_manners(machine);
}

#[tokio::test]
async fn amt_12_in_the_clear_is_switched() {
    switched(settled([amt12("n")]).await, "n").await;
}

#[tokio::test]
async fn amt_16_over_tls_is_switched() {
    switched(settled([amt16("n")]).await, "n").await;
}

#[tokio::test]
async fn what_is_offered_follows_the_machine() {
    let rig = settled([amt12("n"), MachineConfig { lms: false, ..amt16("bare") }]).await;
    let resets = |node: &'static str| {
        let rig = &rig;
        async move {
            rig.system(node).await["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"].clone()
        }
    };
    let all = ["On", "ForceOn", "ForceOff", "GracefulShutdown", "ForceRestart", "GracefulRestart", "PowerCycle", "Nmi"];
    assert_eq!(resets("n").await, json!(all));
    assert_eq!(resets("bare").await, json!(["On", "ForceOn", "ForceOff", "ForceRestart", "PowerCycle", "Nmi"]));
    let targets = |node: &'static str| {
        let rig = &rig;
        async move { rig.system(node).await["Boot"]["BootSourceOverrideTarget@Redfish.AllowableValues"].clone() }
    };
    assert_eq!(targets("n").await, json!(["None", "Pxe", "Hdd", "Cd", "BiosSetup"]));
    let newer = targets("bare").await;
    assert!(newer.as_array().unwrap().contains(&json!("UefiHttp")), "{newer}");

    order(&rig, "n", "GracefulShutdown").await;
    rig.until(10, || async { rig.power("n").await == "Off" }).await;
    assert_eq!(rig.machine("n").power(), Computer::SoftOff);
    let off = resets("n").await;
    assert_eq!(off, json!(["On", "ForceOn", "ForceOff", "ForceRestart", "PowerCycle"]), "nothing graceful while off");

    // What it cannot do now is said as that, and not as something that it never can.
    for (node, reset, why) in [
        ("n", "Nmi", "n cannot do Nmi now: the machine is off; nothing was changed"),
        ("bare", "GracefulShutdown", "the machine does not offer it in its present state, On"),
    ] {
        let (status, answer) = rig.reset(node, reset).await;
        let first = &answer["error"]["@Message.ExtendedInfo"][0];
        assert_eq!((status, &first["MessageId"]), (StatusCode::CONFLICT, &json!("Plugfish.1.0.NotNow")), "{answer}");
        assert!(first["Message"].as_str().is_some_and(|words| words.contains(why)), "{answer}");
        assert!(first["Resolution"].as_str().is_some_and(|words| words.contains("AllowableValues")), "{answer}");
    }
}

#[tokio::test]
async fn off_override_and_on_without_waiting_is_a_boot_from_that_source() {
    let rig = settled([amt16("n")]).await;
    let machine = rig.machine("n");
    let before = machine.boots().len();
    assert_eq!(rig.reset("n", "ForceOff").await.0, StatusCode::NO_CONTENT);
    assert!(patch_boot(&rig, "n", "Pxe", "Once").await.0.is_success());
    assert_eq!(rig.reset("n", "On").await.0, StatusCode::NO_CONTENT);
    rig.until(10, || async { machine.power() == Computer::SoftOff }).await;
    rig.until(20, || async { machine.boots().len() == before + 1 }).await;
    assert_eq!(sources(machine)[before..], [BootSource::Pxe]);
    rig.until(10, || async { rig.system("n").await["Boot"]["BootSourceOverrideEnabled"] == "Disabled" }).await;
    check_manners(machine);
}

#[tokio::test]
async fn pxe_once_is_used_by_exactly_one_boot() {
    let rig = settled([amt12("n")]).await;
    let machine = rig.machine("n");
    let before = machine.boots().len();
    assert!(patch_boot(&rig, "n", "Pxe", "Once").await.0.is_success());
    order(&rig, "n", "ForceRestart").await;
    rig.until(10, || async { rig.system("n").await["Boot"]["BootSourceOverrideEnabled"] == "Disabled" }).await;
    order(&rig, "n", "ForceRestart").await;
    rig.until(20, || async { machine.boots().len() == before + 2 }).await;
    assert_eq!(sources(machine)[before..], [BootSource::Pxe, BootSource::Normal]);
    check_manners(machine);
}

#[tokio::test]
async fn continuous_is_used_by_every_boot_until_it_is_disabled() {
    let rig = settled([amt16("n")]).await;
    let machine = rig.machine("n");
    let before = machine.boots().len();
    assert!(patch_boot(&rig, "n", "Pxe", "Continuous").await.0.is_success());
    order(&rig, "n", "PowerCycle").await;
    rig.until(15, || async { machine.boots().len() == before + 1 }).await;
    rig.until(10, || async { rig.power("n").await == "On" }).await;
    order(&rig, "n", "ForceRestart").await;
    rig.until(20, || async { machine.boots().len() == before + 2 }).await;
    assert_eq!(rig.system("n").await["Boot"]["BootSourceOverrideEnabled"], "Continuous");
    tokio::time::sleep(Duration::from_secs(4)).await; // or the next restart would join the one that is being read back
    assert!(patch_boot(&rig, "n", "Pxe", "Disabled").await.0.is_success());
    order(&rig, "n", "ForceRestart").await;
    rig.until(20, || async { machine.boots().len() == before + 3 }).await;
    assert_eq!(sources(machine)[before..], [BootSource::Pxe, BootSource::Pxe, BootSource::Normal]);
}

#[tokio::test]
async fn every_boot_target_is_used_as_it_is_called() {
    let uri = "https://boot.example.com/ipxe.efi".to_owned();
    let expected = [
        (BootTarget::Pxe, BootSource::Pxe),
        (BootTarget::Hdd, BootSource::Hdd),
        (BootTarget::Cd, BootSource::Cd),
        (BootTarget::BiosSetup, BootSource::BiosSetup),
        (BootTarget::UefiHttp, BootSource::UefiHttp { uri: uri.clone() }),
    ];
    let one = |(target, source): (BootTarget, BootSource)| {
        let boot = BootOverride { http_boot_uri: Some(uri.clone()), ..once(target) };
        async move {
            let (_rack, machine, mut device) = alone(MachineConfig { starts_on: false, ..amt16("n") }).await;
            let offered = device.read().await.unwrap().capabilities.unwrap();
            assert!(offered.boot_targets.contains(&target), "{offered:?}");
            device.order(PowerAction::On, boot).await.unwrap();
            machine_is(&machine, Computer::On).await;
            assert_eq!(sources(&machine), [source], "{target:?}");
        }
    };
    futures_util::future::join_all(expected.map(one)).await;

    let (_rack, machine, mut device) = alone(MachineConfig { starts_on: false, ..amt12("old") }).await;
    device.read().await.unwrap();
    let error =
        device.order(PowerAction::On, BootOverride { http_boot_uri: Some(uri), ..once(BootTarget::UefiHttp) }).await;
    let error = error.unwrap_err();
    assert_eq!((error.class, machine.boots().len()), (FailureClass::Refused, 0), "{error}");
    assert!(error.text.contains("has no boot source UefiHttp"), "{error}");
}

async fn machine_is(machine: &Machine, power: Computer) {
    for _ in 0..200 {
        if machine.power() == power {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await; // a real condition on real sockets
    }
    panic!("the machine is {:?}", machine.power());
}

#[tokio::test]
async fn without_consent_no_override_and_no_boot_from_elsewhere_but_power() {
    let client = MachineConfig { mode: ControlMode::Client, starts_on: false, ..amt12("n") };
    let (_rack, machine, mut device) = alone(client).await;
    let seen = device.read().await.unwrap();
    assert!(seen.notices.iter().any(|notice| notice.key == "user-consent"), "{:?}", seen.notices);
    let error = device.order(PowerAction::On, once(BootTarget::Pxe)).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Refused, "{error}");
    assert!(error.text.contains("consent") && error.text.contains("not booted"), "{error}");
    assert_eq!(machine.boots().len(), 0);
    device.order(PowerAction::On, BootOverride::default()).await.unwrap();
    machine_is(&machine, Computer::On).await;
    assert_eq!(sources(&machine), [BootSource::Normal]);

    let (_rack, _, mut device) = alone(MachineConfig { consent: Consent::All, ..amt16("all") }).await;
    let seen = device.read().await.unwrap();
    assert!(seen.notices.iter().any(|notice| notice.key == "user-consent"), "{:?}", seen.notices);
}

#[tokio::test]
async fn an_override_whose_boot_is_refused_does_not_wait_for_another_boot() {
    let (_rack, machine, mut device) = alone(MachineConfig { starts_on: false, ..amt12("n") }).await;
    device.read().await.unwrap();
    assert!(machine.add_fault(Fault::once(Selector::Kind(Kind::PowerWrite), Action::ErrorCode(5))));
    let error = device.order(PowerAction::On, once(BootTarget::Pxe)).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Refused, "{error}");
    machine.press_button();
    machine_is(&machine, Computer::On).await;
    assert_eq!(sources(&machine), [BootSource::Normal]);
}

#[tokio::test]
async fn an_answer_that_is_lost_keeps_the_override_of_the_boot_that_began() {
    let (_rack, machine, mut device) = alone(MachineConfig { starts_on: false, ..amt12("n") }).await;
    device.read().await.unwrap();
    assert!(machine.add_fault(Fault::once(Selector::Kind(Kind::PowerWrite), Action::LoseAnswer)));
    let error = device.order(PowerAction::On, once(BootTarget::Pxe)).await.unwrap_err();
    assert_eq!(error.class, FailureClass::Timeout, "{error}");
    machine_is(&machine, Computer::On).await;
    assert_eq!(sources(&machine), [BootSource::Pxe]);
    assert_eq!(device.read().await.unwrap().power, Some(Power::On));
}

#[tokio::test]
async fn a_restart_whose_answer_is_lost_is_not_given_twice() {
    let rig = settled([amt12("n")]).await;
    let machine = rig.machine("n");
    let before = machine.boots().len();
    assert!(patch_boot(&rig, "n", "Pxe", "Once").await.0.is_success());
    assert!(machine.add_fault(Fault::once(Selector::Kind(Kind::PowerWrite), Action::LoseAnswer)));
    order(&rig, "n", "ForceRestart").await;
    rig.until(10, || async { rig.system("n").await["Boot"]["BootSourceOverrideEnabled"] == "Disabled" }).await;
    tokio::time::sleep(Duration::from_secs(12)).await; // a second one would have come when the firmware had settled
    assert_eq!(sources(machine)[before..], [BootSource::Pxe]);
}

#[tokio::test]
async fn what_does_not_fit_the_state_is_said_with_the_state() {
    let (_rack, machine, mut device) = alone(MachineConfig { starts_on: false, ..amt12("n") }).await;
    device.order(PowerAction::Off, BootOverride::default()).await.unwrap();
    assert_eq!(machine.counters().by_kind.get(&Kind::PowerWrite), None, "it is off already");
    let error = device.order(PowerAction::Reset, BootOverride::default()).await.unwrap_err();
    assert_eq!(error.class, FailureClass::NotReady);
    assert!(error.text.contains("it is Off and offers only on"), "{error}");
}

#[tokio::test]
async fn an_engine_that_sleeps_or_blacks_out_is_waited_for() {
    let timings = Timings {
        blackout: Duration::from_secs(3),
        me_sleep_after: Some(Duration::from_secs(5)),
        me_wake: Duration::from_secs(2),
        ..Timings::quick()
    };
    let (_rack, machine, mut device) = alone(MachineConfig { timings, ..amt12("n") }).await;
    device.read().await.unwrap();
    device.order(PowerAction::Off, BootOverride::default()).await.unwrap();
    machine_is(&machine, Computer::SoftOff).await;
    assert_eq!(device.read().await.unwrap().power, Some(Power::Off), "in the middle of the blackout");
    tokio::time::sleep(Duration::from_millis(5500)).await; // the engine falls asleep
    device.order(PowerAction::On, BootOverride::default()).await.unwrap();
    machine_is(&machine, Computer::On).await;
}

#[tokio::test]
async fn slow_lossy_and_forgetful_at_once() {
    let rig = settled([amt12("n")]).await;
    let machine = rig.machine("n");
    machine.set_latency(Duration::from_millis(500));
    machine.reconfigure(|config| config.nonce_life = Duration::from_secs(3));
    assert!(machine.add_fault(Fault::share(0.3, Selector::Connect, Action::Reset)));
    assert!(machine.add_fault(Fault::share(0.3, Selector::Any, Action::Drop)));
    order(&rig, "n", "ForceOff").await;
    let end = rig.now() + Duration::from_secs(50);
    while machine.power() != Computer::SoftOff || rig.power("n").await != "Off" {
        let start = rig.now();
        rig.system("n").await;
        assert!(rig.now().since(start) < Duration::from_millis(300), "reads stay quick");
        assert!(rig.now() < end, "ForceOff did not arrive: {}", rig.system("n").await);
        tokio::time::sleep(Duration::from_millis(50)).await; // a real condition on real sockets
    }
    check_manners(machine);
}

#[tokio::test]
async fn nonsense_leaves_the_state_and_is_recovered_from() {
    let nonsense = [
        Action::Garbage,
        Action::GarbageHttp,
        Action::Truncate,
        Action::Status(500),
        Action::Wsman(WsmanFault::Huge),
        Action::Wsman(WsmanFault::Endless),
        Action::Wsman(WsmanFault::HalfXml),
        Action::Wsman(WsmanFault::Deep),
        Action::Wsman(WsmanFault::EntityBomb),
        Action::Wsman(WsmanFault::Attributes),
        Action::Wsman(WsmanFault::Empty),
        Action::Wsman(WsmanFault::Page),
        Action::Wsman(WsmanFault::OtherClass),
        Action::Wsman(WsmanFault::SoapFault("InternalError".into())),
        Action::Wsman(WsmanFault::SoapFault("AccessDenied".into())),
        Action::Wsman(WsmanFault::SoapFault("DestinationUnreachable".into())),
    ];
    let names: Vec<String> = (0..nonsense.len()).map(|index| format!("n{index}")).collect();
    let rig = settled(names.iter().map(|name| amt12(name))).await;
    for (name, action) in names.iter().zip(&nonsense) {
        assert!(rig.machine(name).add_fault(Fault::always(Selector::Any, action.clone())));
    }
    tokio::time::sleep(Duration::from_secs(6)).await; // several polls of each
    for (name, action) in names.iter().zip(&nonsense) {
        assert_eq!(rig.power(name).await, "On", "{action:?}");
        rig.machine(name).clear_faults();
        rig.machine(name).set_power(Computer::SoftOff);
    }
    for name in &names {
        rig.until(45, || async { rig.power(name).await == "Off" }).await;
        rig.until(20, || async { rig.system(name).await["Status"]["Health"] == "OK" }).await;
        check_manners(rig.machine(name));
    }
}

#[tokio::test]
async fn another_machine_is_neither_believed_nor_switched() {
    let rig = settled([amt12("n")]).await;
    let machine = rig.machine("n");
    machine.set_uuid([7; 16]);
    machine.set_power(Computer::SoftOff);
    rig.until(10, || async { rig.system("n").await["Status"]["Health"] != "OK" }).await;
    let system = rig.system("n").await;
    assert_eq!(system["PowerState"], "On");
    assert!(system.to_string().contains("its UUID is 07070707-"), "{system}");
    let _ = rig.reset("n", "On").await;
    tokio::time::sleep(Duration::from_secs(3)).await; // an order would have come
    assert_eq!(machine.counters().by_kind.get(&Kind::PowerWrite), None);
}

#[tokio::test]
async fn a_wrong_password_is_tried_a_few_times_and_said() {
    let rig = settled([amt12("n")]).await;
    let machine = rig.machine("n");
    machine.reset_counters();
    machine.set_password("Another-One1");
    machine.forget_nonces();
    rig.until(15, || async { rig.system("n").await.to_string().contains("the password or the user name is wrong") })
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await; // a loop would go on
    let wrong = machine.counters().wrong_passwords;
    assert!((1..=4).contains(&wrong), "{wrong} wrong logins");
    assert_eq!(rig.power("n").await, "On");
}

#[tokio::test]
async fn the_machine_says_who_it_is_and_what_is_inside() {
    let rig = settled([amt12("old"), amt16("new")]).await;
    for (node, firmware) in [("old", "12.0.67"), ("new", "16.1.25.1424")] {
        let told = rig.machine(node).describe();
        rig.until(30, || async { rig.system(node).await["SerialNumber"] == told.serial.as_str() }).await;
        let system = rig.system(node).await;
        assert_eq!(system["UUID"], told.uuid.as_str());
        assert_eq!(system["Manufacturer"], told.manufacturer.as_str());
        assert_eq!(system["Model"], told.model.as_str());
        let manager = rig.get(&format!("/redfish/v1/Managers/{node}")).await.1;
        let said = manager["FirmwareVersion"].as_str().unwrap_or_default();
        assert!(said.starts_with(firmware), "{said}");
        check_manners(rig.machine(node));
        assert_eq!(rig.machine(node).contexts_open(), 0);
    }
}

/// As records of real machines have it: odd values, other prefixes, short parts with an empty end, one class that fails, one
/// that is empty, bytes that are no text, a nonce that expires without being called stale.
#[tokio::test]
async fn an_odd_machine_is_known_within_a_minute_and_what_it_does_not_say_is_left_out() {
    let quirks = MachineQuirks {
        odd_values: true,
        other_prefixes: true,
        page_size: Some(1),
        empty_last_items: true,
        nonce_uses_max: Some(7),
        ..MachineQuirks::default()
    };
    let odd = [amt12("plain"), amt16("tls")].map(|config| MachineConfig { quirks: quirks.clone(), ..config });
    let rig = settled(odd).await;
    for node in ["plain", "tls"] {
        let machine = rig.machine(node);
        let of = |class: &str| Selector::Method(class.into());
        assert!(machine.add_fault(Fault::always(of("CIM_BIOSElement"), Action::Wsman(WsmanFault::Empty))));
        assert!(machine.add_fault(Fault::always(
            of("CIM_ComputerSystemPackage"),
            Action::Wsman(WsmanFault::SoapFault("InvalidRepresentation".into()))
        )));
        assert!(machine.add_fault(Fault::always(of("CIM_Chassis"), Action::Wsman(WsmanFault::Latin1))));
    }
    for node in ["plain", "tls"] {
        let told = rig.machine(node).describe();
        let drives = format!("/redfish/v1/Chassis/{node}/Drives");
        rig.until(60, || async {
            let system = rig.system(node).await;
            system["SerialNumber"] == told.serial.as_str()
                && system["Model"] == told.model.as_str()
                && system["ProcessorSummary"]["Count"] == 1
                && system["MemorySummary"]["TotalSystemMemoryGiB"].as_f64().is_some_and(|gib| gib >= 16.0)
                && rig.get(&format!("/redfish/v1/Systems/{node}/EthernetInterfaces")).await.1["Members@odata.count"]
                    == 1
                && rig.get(&drives).await.1["Members@odata.count"] == 1
        })
        .await;
        let maker = rig.system(node).await["Manufacturer"].as_str().unwrap_or_default().to_owned();
        assert!(maker.ends_with(told.manufacturer.as_str()), "{maker}");
    }
}
