//! Fault rules on the wire, and the control API of machines.

use std::net::Ipv4Addr;
use std::time::Duration;

use plugfish::testing::sim::{Action, Fault, Kind, Power, Profile, Rack, RackConfig, Selector, SimOptions, WsmanFault};
use roxmltree::Document;
use serde_json::json;

use super::raw::{Broken, Client};
use super::{config, start};
use crate::sim::raw::Http;

const GENERAL: &str = "AMT_GeneralSettings";

async fn get(client: &mut Client) -> Result<super::raw::Answer, Broken> {
    let text = super::raw::envelope(&format!("{}/Get", super::raw::TRANSFER), &super::raw::uri(GENERAL), "", "");
    client.post(&text).await
}

#[tokio::test]
async fn connections_break_as_they_are_told() {
    let (_rack, machine, mut client) = start(config(Profile::Amt12)).await;
    client.get(GENERAL).await;
    let class = || Selector::Method(GENERAL.into());
    for (on, action, broken) in [
        (class(), Action::Drop, Broken::Closed),
        (class(), Action::Reset, Broken::Closed),
        (class(), Action::Hang, Broken::Silent),
        (class(), Action::LoseAnswer, Broken::Closed),
        (class(), Action::Truncate, Broken::Truncated),
        (class(), Action::GarbageHttp, Broken::NoHttp),
        (Selector::Kind(Kind::Read), Action::Wsman(WsmanFault::Endless), Broken::Silent),
        (Selector::Connect, Action::Drop, Broken::Closed),
    ] {
        if on == Selector::Connect {
            client = Client::new(machine.address());
        }
        machine.add_fault(Fault::once(on, action.clone()));
        client.patience = Duration::from_millis(if broken == Broken::Silent { 200 } else { 5_000 });
        assert_eq!(get(&mut client).await.unwrap_err(), broken, "{action:?}");
        client.patience = Duration::from_secs(5);
        assert_eq!(get(&mut client).await.unwrap().status, 200, "{action:?}");
    }
}

#[tokio::test]
async fn answers_are_spoilt_as_they_are_told() {
    let (_rack, machine, mut client) = start(config(Profile::Amt12)).await;
    client.get(GENERAL).await;
    for (trick, well_formed) in [
        (WsmanFault::HalfXml, false),
        (WsmanFault::Deep, false),
        (WsmanFault::EntityBomb, false),
        (WsmanFault::Empty, false),
        (WsmanFault::Huge, true),
        (WsmanFault::OtherClass, true),
    ] {
        machine.add_fault(Fault::once(Selector::Any, Action::Wsman(trick.clone())));
        let answer = get(&mut client).await.unwrap();
        assert_eq!(answer.status, 200);
        // A nest this deep is not given to a reader that recurses.
        assert_eq!(trick != WsmanFault::Deep && Document::parse(&answer.body).is_ok(), well_formed, "{trick:?}");
        match trick {
            WsmanFault::Huge => assert!(answer.body.len() > 4 << 20),
            WsmanFault::Deep => assert!(answer.body.starts_with("<a><a>")),
            WsmanFault::OtherClass => assert!(!answer.body.contains(GENERAL) && answer.has("CIM_Elsewhere")),
            _ => {}
        }
    }
    machine.add_fault(Fault::once(Selector::Any, Action::Wsman(WsmanFault::Page)));
    assert_eq!(get(&mut client).await.unwrap().header("Content-Type"), Some("text/html"));
    machine.add_fault(Fault::once(Selector::Any, Action::Status(500)));
    assert_eq!(get(&mut client).await.unwrap().status, 500);
    machine.add_fault(Fault::once(Selector::Any, Action::Wsman(WsmanFault::SoapFault("QuotaLimit".into()))));
    assert_eq!(get(&mut client).await.unwrap().fault(), "QuotaLimit");
}

#[tokio::test]
async fn logins_fail_as_they_are_told() {
    let (_rack, machine, mut client) = start(config(Profile::Amt12)).await;
    machine.add_fault(Fault::always(Selector::Any, Action::Wsman(WsmanFault::LoginAgain)));
    assert_eq!((get(&mut client).await.unwrap().status, client.part("stale").as_str()), (401, "false"));
    machine.clear_faults();
    machine.add_fault(Fault::always(Selector::Any, Action::Wsman(WsmanFault::Stale)));
    assert_eq!((get(&mut client).await.unwrap().status, client.part("stale").as_str()), (401, "true"));
    machine.clear_faults();
    assert_eq!(get(&mut client).await.unwrap().status, 200);
    machine.add_fault(Fault::times(2, Selector::Any, Action::ForgetSession));
    // The nonce is forgotten twice: that of the first try, and the new one.
    assert_eq!(get(&mut client).await.unwrap().status, 401);
    assert_eq!(get(&mut client).await.unwrap().status, 200);
}

#[tokio::test]
async fn methods_lie_as_they_are_told() {
    let (_rack, machine, mut client) = start(config(Profile::Amt12)).await;
    machine.add_fault(Fault::once(Selector::Kind(Kind::PowerWrite), Action::ErrorCode(2)));
    machine.add_fault(Fault::once(Selector::Kind(Kind::PowerWrite), Action::IgnoreWrite));
    assert_eq!((client.request_power(8).await, client.request_power(8).await), (2, 0));
    assert!(machine.faults().is_empty() && !machine.describe().busy && machine.power() == Power::On);
}

#[tokio::test]
async fn the_control_api_shows_and_moves_machines() {
    let config = RackConfig { control: Some((Ipv4Addr::LOCALHOST, 0).into()), ..RackConfig::new(7) };
    let rack = Rack::start(config.with_machine(super::config(Profile::Amt12))).await.unwrap();
    let machine = &rack.machines()[0];
    let mut http = Http::new(rack.control().unwrap());
    let list = http.send(b"GET /machines HTTP/1.1\r\n\r\n").await.unwrap().json();
    assert_eq!(
        (list[0]["name"].clone(), list[0]["power"].clone(), list[0]["version"].clone()),
        (json!("n1"), json!("on"), json!("12.0.67"))
    );
    let mut fault = json!({"on": {"method": GENERAL}, "action": {"wsman": {"soap_fault": "TimedOut"}}, "times": 1});
    for (path, body) in [
        ("power", json!({"power": "soft_off"})),
        ("timings", json!({"quick": true})),
        ("button", json!({})),
        ("os", json!({"running": true})),
        ("lms", json!({"lms": false})),
        ("mode", json!({"mode": "client", "consent": "none"})),
        ("quirks", json!({"other_prefixes": true})),
        ("uuid", json!({"uuid": "55e3ae13-bfd2-61bb-17a0-88aedd7037ea"})),
        ("password", json!({"password": "N3w-password"})),
        ("lock-after", json!({"wrong": 5})),
        ("unlock", json!({})),
        ("forget-nonces", json!({})),
        ("latency", json!({"ms": 0})),
        ("fault", fault.take()),
        ("mains", json!({"on": false})),
        ("mains", json!({"on": true})),
        ("offline", json!({"offline": false})),
        ("restart", json!({"offline_ms": 0, "keeps_power": true})),
        ("os-reboot", json!({})),
    ] {
        let answer = http.post(&format!("/machines/n1/{path}"), &[], body.to_string().as_bytes()).await.unwrap();
        assert_eq!((answer.status, answer.json()["name"].clone()), (200, json!("n1")), "{path}");
    }
    assert_eq!(machine.describe().uuid, "55e3ae13-bfd2-61bb-17a0-88aedd7037ea");
    let boots = http.send(b"GET /machines/n1/boots HTTP/1.1\r\n\r\n").await.unwrap().json();
    assert_eq!((boots[0]["source"].clone(), boots[0]["cause"].clone()), (json!("normal"), json!("button")));
    assert_eq!(http.send(b"GET /machines/n1/fault HTTP/1.1\r\n\r\n").await.unwrap().json()[0]["times"], 1);
    for (line, status) in [
        ("DELETE /machines/n1/fault", 200),
        ("DELETE /machines/n1/counters", 200),
        ("GET /machines/n1/counters", 200),
        ("GET /machines/n1/certificate", 404),
        ("GET /machines/n2", 404),
        ("POST /machines", 405),
        ("POST /machines/n1/no-such-order", 400),
    ] {
        assert_eq!(http.send(format!("{line} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap().status, status, "{line}");
    }
}

#[test]
fn kinds_of_machines_are_read_as_people_write_them() {
    for (text, profile, tls) in
        [("amt12", Profile::Amt12, false), ("amt16", Profile::Amt16, false), ("amt16-tls", Profile::Amt16, true)]
    {
        let kind = SimOptions::machine(text).unwrap();
        assert_eq!((kind.profile, kind.tls), (profile, tls));
    }
    for text in ["", "amt", "amt13", "-tls", "p110"] {
        assert!(SimOptions::machine(text).unwrap_err().to_string().contains("amt16-tls"), "{text}");
    }
}
