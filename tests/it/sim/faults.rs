//! Every fault of a simulated plug, as a client sees it.

use std::sync::Arc;
use std::time::Duration;

use plugfish::testing::clock::Clock;
use plugfish::testing::sim::{Action, Choke, Fault, Kind, Load, Model, Plug, Rack, Selector, Variant};
use serde_json::json;

use super::raw::{Broken, Client, Failure, Http};
use super::{EMAIL, PASSWORD, config, rack};

/// How long a test waits for an answer that does not come: an answer on loopback takes a few milliseconds.
const SHORT: Duration = Duration::from_millis(250);

async fn logged_in() -> (Rack, Arc<Plug>, Client) {
    let (rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let client = login(&plug).await;
    (rack, plug, client)
}

async fn login(plug: &Plug) -> Client {
    let mut client = Client::login(plug.address(), plug.variant(), EMAIL, PASSWORD).await.unwrap();
    client.http.patience = SHORT;
    client
}

fn write() -> Selector {
    Selector::Kind(Kind::RelayWrite)
}

/// One faulty order to switch off: what the client sees, and whether the relay moved.
async fn switch_off(action: Action) -> (Result<serde_json::Value, Failure>, bool) {
    let (_rack, plug, mut client) = logged_in().await;
    assert!(plug.add_fault(Fault::once(write(), action)));
    client.get("get_device_info").await.expect("reading is not hit");
    let outcome = client.set(false).await;
    assert!(plug.faults().is_empty(), "the rule is used up");
    (outcome, plug.relay(1) == Some(false))
}

#[tokio::test]
async fn before_acting() {
    let broken = |broken| (Err(Failure::Broken(broken)), false);
    assert_eq!(switch_off(Action::Drop).await, broken(Broken::Closed));
    assert_eq!(switch_off(Action::Reset).await, broken(Broken::Reset));
    assert_eq!(switch_off(Action::Hang).await, broken(Broken::Silent));
    assert_eq!(switch_off(Action::Status(429)).await, (Err(Failure::Status(429)), false));
    assert_eq!(switch_off(Action::Status(500)).await, (Err(Failure::Status(500)), false));
    for code in [-1301, -1001, -1002] {
        assert_eq!(switch_off(Action::ErrorCode(code)).await, (Ok(json!({"error_code": code})), false));
    }
}

#[tokio::test]
async fn after_acting() {
    let broken = |broken| (Err(Failure::Broken(broken)), true);
    assert_eq!(switch_off(Action::LoseAnswer).await, broken(Broken::Closed));
    assert_eq!(switch_off(Action::DoAndHang).await, broken(Broken::Silent));
    assert_eq!(switch_off(Action::Truncate).await, broken(Broken::Truncated));
    assert_eq!(switch_off(Action::GarbageHttp).await, broken(Broken::NoHttp));
    assert_eq!(switch_off(Action::Garbage).await, (Err(Failure::Unreadable), true));
}

#[tokio::test]
async fn a_success_that_is_none() {
    assert_eq!(switch_off(Action::IgnoreWrite).await, (Ok(json!({"error_code": 0})), false));
}

#[tokio::test]
async fn a_welded_contact_shows_only_in_the_watts() {
    let (_rack, plug, mut client) = logged_in().await;
    plug.reconfigure(|config| config.meter_lag = Duration::ZERO);
    plug.set_load(1, Load::Welded);
    client.set(false).await.unwrap();
    let info = client.get("get_device_info").await.unwrap();
    let power = client.get("get_current_power").await.unwrap();
    assert_eq!(info["result"]["device_on"], false);
    assert!(power["result"]["current_power"].as_u64().unwrap() > 5);
}

#[tokio::test]
async fn a_delay_only_delays() {
    let (_rack, plug, mut client) = logged_in().await;
    plug.add_fault(Fault::once(Selector::Any, Action::DelayMs(120)));
    let clock = Clock::system();
    assert_eq!(client.set(false).await.unwrap()["error_code"], 0);
    assert!(clock.now().mono.since_start() >= Duration::from_millis(120));
    assert_eq!(plug.relay(1), Some(false));
}

#[tokio::test]
async fn every_request_may_have_a_latency() {
    let (_rack, plug, mut client) = logged_in().await;
    plug.set_latency(Duration::from_millis(60));
    let clock = Clock::system();
    client.get("get_device_info").await.unwrap();
    client.get("get_device_info").await.unwrap();
    assert!(clock.now().mono.since_start() >= Duration::from_millis(120));
    assert!(plug.counters().gap_min().unwrap() < Duration::from_millis(200));
}

#[tokio::test]
async fn a_forgotten_session_is_refused() {
    let (_rack, plug, mut client) = logged_in().await;
    plug.add_fault(Fault::once(Selector::Path("/app/request".into()), Action::ForgetSession));
    assert_eq!(client.get("get_device_info").await, Err(Failure::Status(403)));
    let mut client = login(&plug).await;
    client.get("get_device_info").await.unwrap();
    plug.forget_session();
    assert_eq!(client.get("get_device_info").await, Err(Failure::Status(403)));
    assert_eq!((plug.counters().stale_requests, plug.counters().evictions), (2, 0));
}

#[tokio::test]
async fn logins_can_be_hit_too() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    plug.add_fault(Fault::once(Selector::Method("handshake2".into()), Action::Status(403)));
    plug.add_fault(Fault::once(Selector::Kind(Kind::Login), Action::Drop));
    let outcome = Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.err();
    assert_eq!(outcome, Some(Failure::Broken(Broken::Closed)), "handshake1 meets the second rule");
    let outcome = Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.err();
    assert_eq!(outcome, Some(Failure::Status(403)), "handshake2 meets the first");
    login(&plug).await;
    assert_eq!(plug.counters().wrong_passwords, 0);
}

#[tokio::test]
async fn connections_can_be_reset_or_left_hanging() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    plug.add_fault(Fault::once(Selector::Connect, Action::Reset));
    plug.add_fault(Fault::once(Selector::Connect, Action::Hang));
    let mut http = Http::new(plug.address());
    http.patience = SHORT;
    let broken = http.post("/", &[], b"{}").await.unwrap_err();
    assert!(matches!(broken, Broken::Reset | Broken::Closed), "{broken:?}");
    assert_eq!(http.post("/", &[], b"{}").await.unwrap_err(), Broken::Silent);
    assert_eq!(http.post("/", &[], b"{}").await.unwrap().code(), 1003);
}

#[tokio::test]
async fn a_share_of_the_answers_is_lost_and_the_seed_repeats_it() {
    let lost = || async {
        let (_rack, plug, mut client) = logged_in().await;
        plug.add_fault(Fault::share(0.3, Selector::Kind(Kind::Read), Action::LoseAnswer));
        let mut lost = Vec::new();
        for _ in 0..40 {
            // The number counts although the answer is lost, so the session lives on.
            lost.push(client.get("get_device_info").await.is_err());
        }
        lost
    };
    let first = lost().await;
    assert_eq!(first, lost().await);
    let count = first.iter().filter(|lost| **lost).count();
    assert!((5..20).contains(&count), "{count} of 40");
}

#[tokio::test]
async fn rules_can_be_taken_back() {
    let (_rack, plug, mut client) = logged_in().await;
    plug.add_fault(Fault::always(Selector::Any, Action::Status(500)));
    assert_eq!(client.get("get_device_info").await, Err(Failure::Status(500)));
    assert_eq!(plug.faults().len(), 1);
    plug.clear_faults();
    client.http.post("/", &[], b"{}").await.unwrap();
    let mut crowded = 0;
    while plug.add_fault(Fault::always(Selector::Any, Action::Drop)) {
        crowded += 1;
        assert!(crowded <= 64, "there is a bound");
    }
}

#[tokio::test]
async fn too_many_requests_make_it_restart() {
    let (_rack, plug, mut client) = logged_in().await;
    plug.set_choke(Some(Choke { keeps_relay: false, ..Choke::above(5, Duration::from_millis(400)) }));
    let mut answered = 0;
    while client.get("get_device_info").await.is_ok() {
        answered += 1;
        assert!(answered < 50, "it should have choked");
    }
    assert_eq!((answered, plug.counters().chokes), (5, 1));
    assert_eq!(plug.relay(1), Some(false), "a poll switched the computer off");
    assert_eq!(Http::new(plug.address()).post("/", &[], b"{}").await.unwrap_err(), Broken::Refused);
    // Real time, since the plug is on real sockets.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(plug.relay(1), Some(true));
    login(&plug).await.get("get_device_info").await.unwrap();
}

#[tokio::test]
async fn too_many_connections_make_it_restart() {
    let (_rack, plug, mut client) = logged_in().await;
    let choke = Choke {
        requests_per_s_max: None,
        connections_max: Some(2),
        silent: true,
        ..Choke::above(1, Duration::from_secs(60))
    };
    plug.set_choke(Some(choke));
    let mut second = Http::new(plug.address());
    second.post("/", &[], b"{}").await.unwrap();
    let broken = Http::new(plug.address()).post("/", &[], b"{}").await.unwrap_err();
    assert!(matches!(broken, Broken::Reset | Broken::Closed), "{broken:?}");
    assert_eq!(plug.counters().chokes, 1);
    // The old connections are gone, and new ones meet silence.
    assert!(client.get("get_device_info").await.is_err());
    second.patience = SHORT;
    second.stream = None;
    assert_eq!(second.post("/", &[], b"{}").await.unwrap_err(), Broken::Silent);
    assert_eq!(plug.relay(1), Some(true), "this one holds its relay");
}

#[tokio::test]
async fn the_book_tells_how_a_client_behaves() {
    let (_rack, plug, mut client) = logged_in().await;
    plug.reset_counters();
    client.get("get_device_info").await.unwrap();
    // Real time, so that there is a gap to be found.
    tokio::time::sleep(Duration::from_millis(60)).await;
    client.set(false).await.unwrap();
    client.get("get_energy_usage").await.unwrap();
    let counters = plug.counters();
    assert_eq!((counters.requests, counters.requests_in_a_second_max()), (3, 3));
    assert!(counters.requests_within_max(Duration::from_millis(50)) < 3);
    assert_eq!((counters.of_kind(Kind::Read), counters.of_kind(Kind::RelayWrite)), (2, 1));
    assert_eq!(counters.of_method("set_device_info"), 1);
    assert!(counters.gap_min().unwrap() < Duration::from_millis(60));
    let methods: Vec<&str> = counters.entries().map(|entry| entry.method.as_str()).collect();
    assert_eq!(methods, ["get_device_info", "set_device_info", "get_energy_usage"]);
    assert!(counters.entries().all(|entry| entry.done.is_some_and(|done| done >= entry.at)));
}

#[tokio::test]
async fn requests_at_the_same_time_are_noticed() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    plug.set_latency(Duration::from_millis(80));
    let (mut one, mut two) = (Http::new(plug.address()), Http::new(plug.address()));
    let (first, second) = tokio::join!(one.post("/", &[], b"{}"), two.post("/", &[], b"{}"));
    first.unwrap();
    second.unwrap();
    assert_eq!((plug.counters().in_flight_max, plug.counters().in_flight), (2, 0));
    assert_eq!(plug.counters().connections_open_max, 2);
}
