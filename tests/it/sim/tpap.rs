//! TPAP as the simulated plug requires it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plugfish::testing::sim::{Lost, Model, PlugConfig, Quirks, Variant};
use serde_json::{Value, json};

use super::raw::{Client, Failure, Http, Session, tpap_register, tpap_step};
use super::{EMAIL, PASSWORD, config, rack};

async fn login(plug: &plugfish::testing::sim::Plug, password: &str) -> Result<Client, Failure> {
    Client::login(plug.address(), Variant::Tpap, EMAIL, password).await
}

#[tokio::test]
async fn a_client_logs_in_and_switches() {
    let (_rack, plug) = rack(config(Model::P110, Variant::Tpap)).await;
    let mut client = login(&plug, PASSWORD).await.unwrap();
    assert_eq!(client.set(false).await.unwrap()["error_code"], 0);
    assert_eq!(plug.relay(1), Some(false));
    assert_eq!(client.get("get_device_info").await.unwrap()["result"]["device_on"], false);
}

#[tokio::test]
async fn wrong_passwords_lock_the_plug() {
    // Long enough that a busy machine is done with a step before a quarter of it is over.
    let lock = Duration::from_millis(1200);
    let config = PlugConfig { lock_after: 3, lock_time: lock, ..config(Model::P110, Variant::Tpap) };
    let (_rack, plug) = rack(config).await;
    for _ in 0..3 {
        assert_eq!(login(&plug, "pa55-word!").await.err(), Some(Failure::Outer(-2203)));
    }
    assert_eq!(login(&plug, PASSWORD).await.err(), Some(Failure::Outer(-2101)), "now even the right one");
    let mut http = Http::new(plug.address());
    let probe = json!({"sub_method": "discover"});
    assert_eq!(tpap_step(&mut http, probe.clone()).await.err(), Some(Failure::Outer(-2101)));
    // Real time, since the plug is on real sockets: a try in between starts the lock again.
    tokio::time::sleep(lock / 2).await;
    assert_eq!(login(&plug, PASSWORD).await.err(), Some(Failure::Outer(-2101)));
    tokio::time::sleep(lock * 3 / 4).await;
    assert_eq!(tpap_step(&mut http, probe.clone()).await.err(), Some(Failure::Outer(-2101)));
    tokio::time::sleep(lock / 2).await;
    assert!(tpap_step(&mut http, probe).await.is_ok());
    assert!(login(&plug, PASSWORD).await.is_ok());
    assert_eq!((plug.counters().wrong_passwords, plug.counters().logins), (3, 1));
}

#[tokio::test]
async fn a_good_login_forgives_the_failures_before_it() {
    let (_rack, plug) = rack(PlugConfig { lock_after: 2, ..config(Model::P110, Variant::Tpap) }).await;
    for _ in 0..3 {
        assert_eq!(login(&plug, "no").await.err(), Some(Failure::Outer(-2203)));
        assert!(login(&plug, PASSWORD).await.is_ok());
    }
}

#[tokio::test]
async fn a_registration_throws_out_the_old_session() {
    let (_rack, plug) = rack(config(Model::P110, Variant::Tpap)).await;
    let mut first = login(&plug, PASSWORD).await.unwrap();
    tpap_step(&mut Http::new(plug.address()), tpap_register()).await.unwrap();
    assert_eq!(first.get("get_device_info").await, Err(Failure::Outer(-2402)));
    assert_eq!(plug.counters().evictions, 1);
    plug.reconfigure(|config| config.quirks = Quirks { lost: Lost::Forbidden, ..Quirks::default() });
    assert_eq!(first.get("get_device_info").await, Err(Failure::Status(403)));
}

#[tokio::test]
async fn numbers_must_follow_each_other() {
    for skip in [1u32, u32::MAX] {
        let (_rack, plug) = rack(config(Model::P110, Variant::Tpap)).await;
        let mut client = login(&plug, PASSWORD).await.unwrap();
        client.get("get_device_info").await.unwrap();
        let Session::Tpap { seq, .. } = &mut client.session else { panic!() };
        *seq = seq.wrapping_add(skip);
        assert_eq!(client.set(false).await, Err(Failure::Outer(-2402)));
        assert_eq!((plug.relay(1), plug.counters().out_of_sequence), (Some(true), 1));
        assert!(!plug.is_logged_in());
    }
}

#[tokio::test]
async fn a_registration_must_ask_for_what_plugs_have() {
    let (_rack, plug) = rack(config(Model::P110, Variant::Tpap)).await;
    let mut http = Http::new(plug.address());
    let cases: [(&str, Value, i64); 5] = [
        ("cipher_suites", json!([2]), -2201),
        ("encryption", json!(["chacha20_poly1305"]), -2201),
        ("passcode_type", json!("default_userpw"), -2202),
        ("username", json!("owner@example.com"), -1008),
        ("user_random", json!("AAAA"), -1008),
    ];
    for (field, value, code) in cases {
        let mut params = tpap_register();
        params[field] = value;
        assert_eq!(tpap_step(&mut http, params).await.err(), Some(Failure::Outer(code)), "{field}");
    }
}

#[tokio::test]
async fn a_share_is_good_for_one_try() {
    let (_rack, plug) = rack(config(Model::P110, Variant::Tpap)).await;
    let mut http = Http::new(plug.address());
    let share = json!({
        "sub_method": "pake_share", "user_share": STANDARD.encode([4; 65]), "user_confirm": STANDARD.encode([0; 32]),
    });
    assert_eq!(tpap_step(&mut http, share.clone()).await.err(), Some(Failure::Outer(-1101)), "nothing was registered");
    tpap_step(&mut http, tpap_register()).await.unwrap();
    assert_eq!(tpap_step(&mut http, share.clone()).await.err(), Some(Failure::Outer(-2203)), "no point of the curve");
    assert_eq!(tpap_step(&mut http, share).await.err(), Some(Failure::Outer(-1101)));
}

/// What a client finds out by asking: the table of the protocol page.
#[tokio::test]
async fn every_variant_shows_itself() {
    let klap_knowing = PlugConfig { knows_tpap: true, ..config(Model::P110, Variant::KlapV2) };
    let cases = [
        (config(Model::P110, Variant::Passthrough), (1003, None), -1002, 404),
        (config(Model::P110, Variant::KlapV1), (1003, None), 1003, 200),
        (config(Model::P110, Variant::KlapV2), (1003, None), 1003, 200),
        (klap_knowing, (0, Some(false)), 1003, 200),
        (config(Model::P110, Variant::Tpap), (0, Some(true)), 1003, 403),
    ];
    for (config, (code, preferred), app, handshake1) in cases {
        let variant = config.variant;
        let (_rack, plug) = rack(config).await;
        let mut http = Http::new(plug.address());
        let probe = br#"{"method":"login","params":{"sub_method":"discover"}}"#;
        let answer = http.post("/", &[], probe).await.unwrap();
        assert_eq!(answer.code(), code, "{variant:?}");
        assert_eq!(answer.json()["result"]["tpap_preferred"].as_bool(), preferred, "{variant:?}");
        let answer = http.post("/app", &[], br#"{"method":"component_nego"}"#).await.unwrap();
        assert_eq!(answer.code(), app, "{variant:?}");
        assert_eq!(http.post("/app/handshake1", &[], &[0; 16]).await.unwrap().status, handshake1, "{variant:?}");
        assert_eq!(http.post("/no-such-page", &[], b"").await.unwrap().status, 404);
    }
}
