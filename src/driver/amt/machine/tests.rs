//! What a machine is asked, in which order, and what its answers become: against a scripted machine, request by request.

use std::time::Duration;

use super::{AmtMachine, Times};
use crate::driver::amt::tests::fake::{Fake, Trouble};
use crate::driver::amt::tests::{accepted, fault, fixture, rig};
use crate::driver::http::Tls;
use crate::node::device::{DeviceError, FailureClass, PowerDevice};
use crate::node::{BootEnabled, BootOverride, BootTarget, Power, PowerAction};

type Answers = Vec<(&'static str, String)>;

const QUICK: Times = Times {
    silence: Duration::from_millis(1500),
    silence_pause: Duration::from_millis(20),
    transition_window: Duration::from_secs(30),
    settle: Duration::ZERO,
};

const READ_ONLY: [&str; 8] = [
    "BIOSLastStatus",
    "BootguardStatus",
    "OptionsCleared",
    "SecureBootControlEnabled",
    "RPEEnabled",
    "UEFIHTTPSBootEnabled",
    "UEFILocalPBABootEnabled",
    "WinREBootEnabled",
];

/// Settings that someone left in the worst way.
fn settings() -> String {
    let on = [
        "BIOSPause",
        "BIOSSetup",
        "ConfigurationDataReset",
        "EnforceSecureBoot",
        "PlatformErase",
        "ReflashBIOS",
        "SecureErase",
        "UseIDER",
        "UserPasswordBypass",
    ];
    let texts = [
        ("ElementName", "Settings"),
        ("InstanceID", "Settings 0"),
        ("BootMediaIndex", "2"),
        ("UefiBootNumberOfParams", "3"),
    ];
    let fields = on.iter().chain(&READ_ONLY).map(|name| (*name, "true")).chain(texts);
    instance("AMT_BootSettingData", fields)
}

fn instance<'a>(class: &str, fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let inside: String = fields.map(|(name, value)| format!("<g:{name}>{value}</g:{name}>")).collect();
    let reply = fixture("get-power");
    let (head, _) = reply.split_once("<g:AvailableRequestedPowerStates>").unwrap();
    let (_, tail) = reply.rsplit_once("</g:UserOfService>").unwrap();
    format!("{head}{inside}{tail}").replace("CIM_AssociatedPowerManagementService", class)
}

fn power(state: &str, offered: &[&str]) -> String {
    let offered = offered.iter().map(|number| ("AvailableRequestedPowerStates", *number));
    instance("CIM_AssociatedPowerManagementService", offered.chain([("PowerState", state)]))
}

fn method(name: &str, value: u32) -> String {
    let value = format!("ReturnValue>{value}<");
    accepted().replace("RequestPowerStateChange", name).replace("ReturnValue>0<", &value)
}

fn uuid() -> String {
    method("GetUuid", 0).replace("<g:ReturnValue>", "<g:UUID>E67jVdK/u2EXoIiu3XA36g==</g:UUID><g:ReturnValue>")
}

/// What a machine answers; the first words that fit count.
fn answers(state: &str, offered: &[&str]) -> Answers {
    vec![
        ("GetUuid", uuid()),
        ("RequestPowerStateChange", accepted()),
        ("ChangeBootOrder", method("ChangeBootOrder", 0)),
        ("SetBootConfigRole", method("SetBootConfigRole", 0)),
        ("/CIM_BootService/RequestStateChange", method("RequestStateChange", 0)),
        ("/CIM_BootService<", instance("CIM_BootService", [("EnabledState", "32768")].into_iter())),
        ("/AMT_BootSettingData<", settings()),
        ("/CIM_AssociatedPowerManagementService<", power(state, offered)),
    ]
}

async fn machine(answers: &[(&'static str, String)]) -> (Fake, AmtMachine) {
    let (fake, ws) = rig(answers).await;
    (fake, AmtMachine::with_times(Tls::Off, ws, QUICK))
}

fn once(target: BootTarget) -> BootOverride {
    let http_boot_uri = Some("https://h/i".into());
    BootOverride { target, enabled: BootEnabled::Once, http_boot_uri, ..BootOverride::default() }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(inside, _)| inside)
}

/// Each request in one line; the challenge that begins a connection left out.
fn asked(fake: &Fake) -> Vec<String> {
    let line = |seen: &crate::driver::amt::tests::fake::Seen| {
        let body = seen.body.as_str();
        let detail = match seen.action().as_str() {
            "ChangeBootOrder" => between(body, "Intel(r) AMT: ", "<").unwrap_or("nothing").to_owned(),
            "SetBootConfigRole" => between(body, "<p:Role>", "<").unwrap().to_owned(),
            "RequestStateChange" => between(body, "<p:RequestedState>", "<").unwrap().to_owned(),
            "RequestPowerStateChange" => between(body, "<p:PowerState>", "<").unwrap().to_owned(),
            "Put" => on_in(body).join(","),
            _ => between(body, "<w:ResourceURI>", "<").unwrap().rsplit('/').next().unwrap().to_owned(),
        };
        format!("{} {detail}", seen.action())
    };
    fake.machine().seen.iter().filter(|seen| seen.login("nonce").is_some()).map(line).collect()
}

/// The settings in a Put that are neither false nor 0 nor words.
fn on_in(body: &str) -> Vec<&str> {
    let inside = between(body, "<s:Body>", "</s:Body>").unwrap();
    let fields = inside.split("<p:").skip(2).map(|field| field.split_once('>').unwrap());
    let is_on = |value: &str| !value.starts_with("false<") && !value.starts_with("0<");
    fields.filter(|(_, value)| is_on(value)).map(|(name, _)| name).collect()
}

async fn ordered(answers: Answers, order: PowerAction, boot: BootOverride) -> (Result<(), DeviceError>, Vec<String>) {
    let (fake, mut machine) = machine(&answers).await;
    let result = machine.order(order, boot).await;
    (result, asked(&fake))
}

/// The whole of it for a machine that is off; `source` and `on` are what the target changes.
fn sequence<'a>(on: &'a str, role: &'a str, source: Option<&'a str>) -> Vec<String> {
    let source = source.map(|source| format!("ChangeBootOrder {source}"));
    let first = ["Get CIM_AssociatedPowerManagementService", "Get AMT_BootSettingData", "ChangeBootOrder nothing"];
    let first = first.iter().map(|line| (*line).to_owned());
    let then = [format!("Put {on}"), format!("SetBootConfigRole {role}")];
    first.chain(then).chain(source).chain(["RequestPowerStateChange 2".to_owned()]).collect()
}

#[tokio::test]
async fn every_boot_target_has_its_sequence_and_nothing_dangerous_is_ever_on() {
    const KEPT: &str = "ElementName,EnforceSecureBoot,InstanceID";
    let setup = "BIOSSetup,ElementName,EnforceSecureBoot,InstanceID";
    let cases = [
        (BootTarget::None, sequence(KEPT, "32768", None)),
        (BootTarget::Pxe, sequence(KEPT, "1", Some("Force PXE Boot"))),
        (BootTarget::Hdd, sequence(KEPT, "1", Some("Force Hard-drive Boot"))),
        (BootTarget::Cd, sequence(KEPT, "1", Some("Force CD/DVD Boot"))),
        (BootTarget::BiosSetup, sequence(setup, "1", None)),
    ];
    for (target, mut expected) in cases {
        let (result, mut asked) = ordered(answers("8", &["2"]), PowerAction::On, once(target)).await;
        assert_eq!(result, Ok(()), "{target:?}");
        for lines in [&mut asked, &mut expected] {
            lines.iter_mut().for_each(sort_put);
        }
        assert_eq!(asked, expected, "{target:?}");
    }
    let on = "ElementName,EnforceSecureBoot,InstanceID,UefiBootNumberOfParams,UefiBootParametersArray";
    let mut expected = sequence(on, "1", Some("Force OCR UEFI HTTPS Boot"));
    expected.splice(2..2, ["Get CIM_BootService".to_owned(), "RequestStateChange 32769".to_owned()]);
    let (result, mut asked) = ordered(answers("8", &["2"]), PowerAction::On, once(BootTarget::UefiHttp)).await;
    asked.iter_mut().for_each(sort_put);
    assert_eq!((result, asked), (Ok(()), expected));
}

fn sort_put(line: &mut String) {
    if let Some(names) = line.strip_prefix("Put ") {
        let mut names: Vec<&str> = names.split(',').collect();
        names.sort_unstable();
        *line = format!("Put {}", names.join(","));
    }
}

#[tokio::test]
async fn the_bodies_are_those_that_shipping_clients_send() {
    let (fake, mut machine) = machine(&answers("8", &["2"])).await;
    machine.order(PowerAction::On, once(BootTarget::UefiHttp)).await.unwrap();
    let body = |action: &str| {
        let machine = fake.machine();
        let seen = machine.seen.iter().rfind(|seen| seen.action() == action).unwrap();
        between(&seen.body, "<s:Body>", "</s:Body>").unwrap().to_owned()
    };
    let anonymous = "<a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address>";
    let cim = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/";
    let reference = |class: &str, selectors: &str| {
        format!(
            "{anonymous}<a:ReferenceParameters><w:ResourceURI>{cim}{class}</w:ResourceURI><w:SelectorSet>{selectors}\
             </w:SelectorSet></a:ReferenceParameters>"
        )
    };
    let id = |id: &str| format!("<w:Selector Name=\"InstanceID\">Intel(r) AMT: {id}</w:Selector>");
    let source = reference("CIM_BootSourceSetting", &id("Force OCR UEFI HTTPS Boot"));
    assert_eq!(
        body("ChangeBootOrder"),
        format!(
            "<p:ChangeBootOrder_INPUT xmlns:p=\"{cim}CIM_BootConfigSetting\"><p:Source>{source}</p:Source>\
             </p:ChangeBootOrder_INPUT>"
        )
    );
    let config = reference("CIM_BootConfigSetting", &id("Boot Configuration 0"));
    assert_eq!(
        body("SetBootConfigRole"),
        format!(
            "<p:SetBootConfigRole_INPUT xmlns:p=\"{cim}CIM_BootService\"><p:BootConfigSetting>{config}\
             </p:BootConfigSetting><p:Role>1</p:Role></p:SetBootConfigRole_INPUT>"
        )
    );
    let system = "<w:Selector Name=\"CreationClassName\">CIM_ComputerSystem</w:Selector><w:Selector Name=\"Name\">\
                  ManagedSystem</w:Selector>";
    let system = reference("CIM_ComputerSystem", system);
    assert_eq!(
        body("RequestPowerStateChange"),
        format!(
            "<p:RequestPowerStateChange_INPUT xmlns:p=\"{cim}CIM_PowerManagementService\"><p:PowerState>2</p:PowerState>\
             <p:ManagedElement>{system}</p:ManagedElement></p:RequestPowerStateChange_INPUT>"
        )
    );
    let put = body("Put");
    assert!(READ_ONLY.iter().all(|name| !put.contains(name)), "{put}");
    // Vendor 8086, type 1, 11 bytes, the URI; vendor 8086, type 20, 1 byte, 1.
    let parameters = "hoABAAsAAABodHRwczovL2gvaYaAFAABAAAAAQ==";
    assert!(put.contains(&format!("<p:UefiBootParametersArray>{parameters}</p:UefiBootParametersArray>")), "{put}");
    assert!(put.contains("<p:UefiBootNumberOfParams>2<") && put.contains("<p:EnforceSecureBoot>true<"), "{put}");
}

#[tokio::test]
async fn what_is_clear_is_not_written_and_off_touches_no_boot() {
    let mut clean = answers("8", &["2"]);
    clean.insert(0, ("/AMT_BootSettingData<", instance("AMT_BootSettingData", [("BIOSSetup", "false")].into_iter())));
    let (result, asked) = ordered(clean, PowerAction::On, BootOverride::default()).await;
    let first = ["Get CIM_AssociatedPowerManagementService", "Get AMT_BootSettingData", "ChangeBootOrder nothing"];
    assert_eq!(
        (result, &asked[..3], asked[3].as_str()),
        (Ok(()), &first.map(String::from)[..], "RequestPowerStateChange 2")
    );
    let (result, asked) = ordered(answers("2", &["8"]), PowerAction::Off, BootOverride::default()).await;
    assert_eq!((result, asked.len(), asked[1].as_str()), (Ok(()), 2, "RequestPowerStateChange 8"));
    let (result, asked) = ordered(answers("2", &["8"]), PowerAction::On, once(BootTarget::Pxe)).await;
    assert_eq!((result, asked.len()), (Ok(()), 1), "it is on already");
    let (result, asked) = ordered(answers("4", &["2", "5", "8"]), PowerAction::On, once(BootTarget::Pxe)).await;
    assert_eq!((result, asked.len()), (Ok(()), 2), "waking up is no boot");
}

#[tokio::test]
async fn a_boot_source_that_is_refused_is_taken_back_and_nothing_boots() {
    let steps: [(&'static str, u32, FailureClass); 4] = [
        ("ChangeBootOrder", 1, FailureClass::Refused),
        ("SetBootConfigRole", 5, FailureClass::Refused),
        ("SetBootConfigRole", 2, FailureClass::NotReady),
        ("SetBootConfigRole", 4099, FailureClass::NotReady),
    ];
    for (step, value, class) in steps {
        let mut answers = answers("8", &["2"]);
        answers.insert(0, (step, method(step, value)));
        let (result, asked) = ordered(answers, PowerAction::On, once(BootTarget::Pxe)).await;
        let error = result.unwrap_err();
        assert_eq!(error.class, class, "{step} {value}: {error}");
        assert!(error.text.contains("Pxe could not be set, so the machine was not booted"), "{error}");
        assert!(!asked.iter().any(|line| line.starts_with("RequestPowerStateChange")), "{asked:?}");
        let cleared = asked.iter().rposition(|line| line == "ChangeBootOrder nothing").unwrap();
        assert!(cleared > 2, "{asked:?}");
    }
    let mut denied = answers("8", &["2"]);
    denied.insert(0, ("SetBootConfigRole", fault("w:AccessDenied")));
    let (result, _) = ordered(denied, PowerAction::On, once(BootTarget::Pxe)).await;
    let error = result.unwrap_err();
    assert!(error.class == FailureClass::Refused && error.text.contains("user consent"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_cleared_for_lack_of_consent_is_a_notice() {
    let mut denied = answers("8", &["2"]);
    denied.insert(0, ("transfer/Put", fault("w:AccessDenied")));
    let (fake, mut machine) = machine(&denied).await;
    machine.order(PowerAction::On, BootOverride::default()).await.unwrap();
    assert_eq!(asked(&fake).last().unwrap(), "RequestPowerStateChange 2");
    let seen = machine.read().await.unwrap();
    assert!(seen.notices.iter().any(|notice| notice.key == "override-not-cleared"), "{:?}", seen.notices);
}

#[tokio::test]
async fn an_unusable_uri_is_refused_before_anything_is_written() {
    let long = format!("https://h/{}", "x".repeat(300));
    for (uri, word) in
        [(None, "needs"), (Some("http://h/i"), "HTTPS"), (Some("https://h/ i"), "blanks"), (Some(&long), "300")]
    {
        let boot = BootOverride { http_boot_uri: uri.map(str::to_owned), ..once(BootTarget::UefiHttp) };
        let (result, asked) = ordered(answers("8", &["2"]), PowerAction::On, boot).await;
        let error = result.unwrap_err();
        assert!(error.class == FailureClass::Refused && error.text.contains(word), "{error}");
        assert!(!asked.iter().any(|line| line.starts_with("RequestPower") || line.starts_with("SetBoot")), "{asked:?}");
    }
}

#[tokio::test]
async fn readings_tell_what_is_there_and_do_without_what_is_not() {
    let (_fake, mut machine) = machine(&answers("2", &["8", "10"])).await;
    let seen = machine.read().await.unwrap();
    assert_eq!(seen.power, Some(Power::On));
    let about = &seen.about;
    assert_eq!(about.uuid.unwrap().to_string(), "55e3ae13-bfd2-61bb-17a0-88aedd7037ea");
    assert_eq!(about.protocol.as_deref(), Some("WS-Man"));
    assert_eq!(about.firmware.as_deref(), Some("12.0.67"), "from the Server header");
    let again = machine.read().await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&again.about, about));
    assert!(std::sync::Arc::ptr_eq(again.capabilities.as_ref().unwrap(), seen.capabilities.as_ref().unwrap()));
    assert!(seen.notices.is_empty(), "{:?}", seen.notices);
}

#[tokio::test]
async fn odd_states_are_no_state_and_a_missing_one_is_a_failure() {
    for (state, noticed) in [("5", false), ("10", false), ("13", false), ("1", true), ("77", true)] {
        let (_fake, mut machine) = machine(&answers(state, &["2"])).await;
        let seen = machine.read().await.unwrap();
        assert_eq!((seen.power, !seen.notices.is_empty()), (None, noticed), "{state}");
    }
    for state in ["", "x"] {
        let (_fake, mut machine) = machine(&answers(state, &["2"])).await;
        let error = machine.read().await.unwrap_err();
        assert_eq!(error.class, FailureClass::Protocol, "{error}");
    }
    let (result, asked) = ordered(answers("10", &["8"]), PowerAction::Off, BootOverride::default()).await;
    assert_eq!((result.unwrap_err().class, asked.len()), (FailureClass::NotReady, 1));
}

#[tokio::test]
async fn a_power_request_is_made_once_whatever_becomes_of_its_answer() {
    let without = accepted().replace("ReturnValue", "Nothing");
    let mut senseless = answers("2", &["8"]);
    senseless.insert(0, ("RequestPowerStateChange", without));
    let (result, first) = ordered(senseless, PowerAction::Off, BootOverride::default()).await;
    let made = |asked: &[String]| asked.iter().filter(|line| line.starts_with("RequestPower")).count();
    assert_eq!((result.unwrap_err().class, made(&first)), (FailureClass::Protocol, 1));

    let (fake, mut machine) = machine(&answers("2", &["8"])).await;
    fake.trouble(&[Trouble::Fine, Trouble::Fine, Trouble::Close]);
    let error = machine.order(PowerAction::Off, BootOverride::default()).await.unwrap_err();
    assert_eq!((error.class, made(&asked(&fake))), (FailureClass::Timeout, 1));
}

#[tokio::test]
async fn a_machine_that_wants_selectors_is_enumerated() {
    let mut odd = answers("2", &["8"]);
    let pull = fixture("pull-last");
    let (head, rest) = pull.split_once("Items>").unwrap();
    let (_, tail) = rest.split_once("</").unwrap();
    let state = power("2", &["8"]);
    let state = format!("<g:CIM_Assoc{}", between(&state, "<a:Body><g:CIM_Assoc", "</a:Body>").unwrap());
    let space = "xmlns:g=\"urn:any\"";
    let pull = format!("{head}Items>{state}</{tail}").replacen("<a:Envelope", &format!("<a:Envelope {space}"), 1);
    let pull = if pull.matches("xmlns:g=").count() > 1 { pull.replacen(&format!(" {space}"), "", 1) } else { pull };
    odd.insert(0, ("transfer/Get<", fault("w:InvalidSelectors")));
    odd.insert(0, ("enumeration/Pull", pull));
    odd.insert(0, ("enumeration/Enumerate", fixture("enumerate")));
    let (fake, mut machine) = machine(&odd).await;
    assert_eq!(machine.read().await.unwrap().power, Some(Power::On));
    fake.machine().seen.clear();
    assert_eq!(machine.read().await.unwrap().power, Some(Power::On));
    assert_eq!(fake.actions()[0], "Enumerate", "Get is not tried again");
}
