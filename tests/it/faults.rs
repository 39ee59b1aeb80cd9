//! Plugs that misbehave: every read is answered at once, commands end correctly, and no plug is stormed.

use std::time::Duration;

use plugfish::testing::sim::{Action, Choke, Fault, Model, Selector, Variant};
use reqwest::StatusCode;

use crate::rig::{Rig, klap, plug};

/// A read takes microseconds; this leaves room for a machine that runs other tests beside it.
const READ_MAX: Duration = Duration::from_millis(50);

/// The least that a read would take which waited for one of the devices here.
const WAIT_MIN: Duration = Duration::from_millis(250);

/// Reads the node all the time while `work` is done. A busy machine slows a read now and then: one in ten may be above
/// [`READ_MAX`], one in fifty above [`WAIT_MIN`].
async fn while_reading<T>(rig: &Rig, node: &str, work: impl Future<Output = T>) -> T {
    let reading = async {
        let mut took = Vec::new();
        loop {
            let start = rig.now();
            rig.system(node).await; // asserts 200
            took.push(rig.now().since(start));
            if took.len() >= 100 {
                for (max, share) in [(READ_MAX, 10), (WAIT_MIN, 50)] {
                    let slow = took.iter().filter(|took| **took > max).count();
                    assert!(slow * share <= took.len(), "{slow} of {} reads took more than {max:?}", took.len());
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await; // leaves the machine to the other tests
        }
    };
    tokio::select! {
        done = work => done,
        () = reading => unreachable!("it reads forever"),
    }
}

fn check_pace(rig: &Rig, node: &str) {
    let counters = rig.plug(node).counters();
    assert!(counters.in_flight_max <= 1, "{} at a time", counters.in_flight_max);
    assert!(counters.requests_in_a_second_max() <= 5, "{} in a second", counters.requests_in_a_second_max());
    assert!(counters.connections_open_max <= 2, "{} connections", counters.connections_open_max);
}

/// Off and on again on a plug with this fault; both must come true within `secs`.
async fn off_and_on(name: &str, variant: Variant, fault: Fault, secs: u64) {
    let rig = Rig::settled([plug(name, Model::P110, variant)]).await;
    let plug = rig.plug(name);
    assert!(plug.add_fault(fault));
    while_reading(&rig, name, async {
        for (kind, on) in [("ForceOff", false), ("On", true)] {
            let (status, body) = rig.reset(name, kind).await;
            assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
            let goal = if on { "On" } else { "Off" };
            rig.until(secs, || async { plug.relay(1) == Some(on) && rig.power(name).await == goal }).await;
        }
    })
    .await;
    check_pace(&rig, name);
}

macro_rules! misbehaves {
    ($($name:ident: $variant:expr, $fault:expr, $secs:literal;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                off_and_on("n", $variant, $fault, $secs).await;
            }
        )*
    };
}

misbehaves! {
    half_of_the_answers_lost: Variant::KlapV2, Fault::share(0.5, Selector::Any, Action::LoseAnswer), 28;
    half_of_the_requests_dropped: Variant::KlapV2, Fault::share(0.5, Selector::Any, Action::Drop), 28;
    half_of_the_requests_dropped_by_passthrough: Variant::Passthrough, Fault::share(0.5, Selector::Any, Action::Drop), 28;
    a_third_of_the_requests_dropped_by_tpap: Variant::Tpap, Fault::share(0.33, Selector::Any, Action::Drop), 28;
    a_third_of_the_answers_garbage: Variant::KlapV2, Fault::share(0.33, Selector::Any, Action::Garbage), 28;
    a_third_of_the_answers_no_http: Variant::KlapV2, Fault::share(0.33, Selector::Any, Action::GarbageHttp), 28;
    a_third_of_the_answers_cut: Variant::Tpap, Fault::share(0.33, Selector::Any, Action::Truncate), 28;
    three_ignored_writes: Variant::KlapV2, Fault::times(3, Selector::Any, Action::IgnoreWrite), 28;
    a_session_that_is_always_forgotten: Variant::KlapV2, Fault::share(0.3, Selector::Path("/app/request".into()), Action::ForgetSession), 28;
    a_third_with_status_500: Variant::KlapV2, Fault::share(0.33, Selector::Any, Action::Status(500)), 28;
    sometimes_too_many_requests: Variant::KlapV2, Fault::times(2, Selector::Any, Action::Status(429)), 28;
    rate_limit_codes: Variant::KlapV2, Fault::times(2, Selector::Any, Action::ErrorCode(-1301)), 28;
    three_seconds_of_delay: Variant::KlapV2, Fault::times(8, Selector::Any, Action::DelayMs(3000)), 28;
    hangs_now_and_then: Variant::KlapV2, Fault::times(2, Selector::Any, Action::Hang), 28;
}

#[tokio::test]
async fn a_plug_that_chokes_is_never_brought_to_it() {
    let rig = Rig::settled([klap("n")]).await;
    let plug = rig.plug("n");
    plug.set_choke(Some(Choke { connections_max: Some(3), ..Choke::above(5, Duration::from_secs(30)) }));
    for kind in ["ForceOff", "On", "PowerCycle", "ForceOff", "ForceRestart"] {
        plug.forget_session();
        assert_eq!(rig.reset("n", kind).await.0, StatusCode::NO_CONTENT);
        tokio::time::sleep(Duration::from_millis(700)).await; // commands on top of each other
    }
    rig.until(20, || async { rig.system("n").await["PowerState"] == "On" && plug.relay(1) == Some(true) }).await;
    assert_eq!(plug.counters().chokes, 0);
    check_pace(&rig, "n");
}

#[tokio::test]
async fn a_plug_that_is_away_keeps_its_last_state_and_refuses_commands_by_name() {
    let rig = Rig::settled([klap("n")]).await;
    rig.plug("n").set_refusing(true);
    let health = async |rig: &Rig| rig.system("n").await["Status"]["Health"].clone();
    while_reading(&rig, "n", async {
        rig.until(20, || async { health(&rig).await == "Warning" }).await;
        rig.until(60, || async { health(&rig).await == "Critical" }).await;
    })
    .await;
    let system = rig.system("n").await;
    assert_eq!(system["PowerState"], "On");
    let words = system["Status"]["Conditions"][0]["Message"].as_str().unwrap().to_owned();
    assert!(words.contains(&rig.plug("n").address().to_string()), "{words}");

    let path = "/redfish/v1/Systems/n/Actions/ComputerSystem.Reset";
    let request = rig.request(reqwest::Method::POST, path).json(&serde_json::json!({ "ResetType": "ForceOff" }));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let after: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=66).contains(&after));
    let body = answer.text().await.unwrap();
    assert!(body.contains(&rig.plug("n").address().to_string()), "{body}");

    rig.plug("n").set_refusing(false);
    rig.until(70, || async { health(&rig).await == "OK" }).await;
    assert_eq!(rig.plug("n").relay(1), Some(true), "a refused command is not done later");
}

#[tokio::test]
async fn a_wrong_password_is_said_and_left_alone() {
    let rig = Rig::start([klap("n")]).await;
    rig.all_seen().await;
    rig.plug("n").set_account(plugfish::testing::sim::Account::new("owner@example.com", "something else"));
    rig.plug("n").forget_session();
    rig.until(10, || async { rig.system("n").await["Status"]["Health"] == "Critical" }).await;
    let words = rig.system("n").await["Status"]["Conditions"][0]["Message"].as_str().unwrap().to_owned();
    assert!(words.contains("password") && words.contains("not trying again before"), "{words}");
    assert!(!words.contains("plugfish-demo"));
    let before = rig.plug("n").counters().requests;
    tokio::time::sleep(Duration::from_secs(4)).await; // four poll intervals
    assert_eq!(rig.plug("n").counters().requests, before);
    assert_eq!(rig.power("n").await, "On");
}

#[tokio::test]
async fn a_plug_that_changes_its_variant_to_one_that_proves_more_is_followed() {
    let rig = Rig::settled([plug("n", Model::P110, Variant::Passthrough)]).await;
    for variant in [Variant::KlapV2, Variant::Tpap] {
        rig.plug("n").set_variant(variant);
        rig.plug("n").press_button(1);
        let shown = if rig.plug("n").relay(1) == Some(true) { "On" } else { "Off" };
        rig.until(20, || async { rig.power("n").await == shown }).await;
    }
    check_pace(&rig, "n");
}

#[tokio::test]
async fn a_plug_whose_port_sleeps_after_a_power_cut_is_woken() {
    let rig = Rig::settled([klap("n")]).await;
    rig.plug("n").fall_asleep(Duration::from_millis(300));
    rig.plug("n").press_button(1);
    rig.until(20, || async { rig.power("n").await == "Off" }).await;
    assert!(rig.plug("n").counters().probes > 0 || rig.system("n").await["Status"]["Health"] == "OK");
}

#[tokio::test]
async fn another_client_that_takes_the_session_is_named() {
    let rig = Rig::settled([klap("n")]).await;
    for _ in 0..3 {
        rig.plug("n").forget_session();
        tokio::time::sleep(Duration::from_millis(2500)).await; // a poll finds it gone and logs in again
    }
    rig.until(20, || async {
        let system = rig.system("n").await;
        assert_eq!(system["PowerState"], "On");
        system["Status"]["Conditions"].to_string().contains("another client uses this plug: it took the session")
    })
    .await;
}
