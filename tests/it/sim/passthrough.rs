//! securePassthrough as the simulated plug requires it.

use plugfish::testing::sim::{LoginVersion, Model, PlugConfig, Quirks, Variant};
use serde_json::json;

use super::raw::{Client, Failure, Http, Session, passthrough_handshake, passthrough_login};
use super::{EMAIL, PASSWORD, config, rack};

#[tokio::test]
async fn a_client_logs_in_and_switches() {
    let (_rack, plug) = rack(config(Model::P110, Variant::Passthrough)).await;
    let mut client = Client::login(plug.address(), Variant::Passthrough, EMAIL, PASSWORD).await.unwrap();
    assert_eq!(client.set(false).await.unwrap()["error_code"], 0);
    assert_eq!(plug.relay(1), Some(false));
    assert_eq!(client.get("get_device_info").await.unwrap()["result"]["device_on"], false);
}

#[tokio::test]
async fn each_login_version_is_taken_by_its_own_firmware_only() {
    for (login, v2) in [(LoginVersion::V1, false), (LoginVersion::V2, true)] {
        let (_rack, plug) = rack(PlugConfig { login, ..config(Model::P110, Variant::Passthrough) }).await;
        let mut http = Http::new(plug.address());
        let refused = passthrough_login(&mut http, EMAIL, PASSWORD, !v2).await.err();
        assert_eq!(refused, Some(Failure::Outer(-1501)), "{login:?}");
        assert!(passthrough_login(&mut http, EMAIL, PASSWORD, v2).await.is_ok(), "{login:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_spends_the_handshake() {
    let (_rack, plug) = rack(config(Model::P110, Variant::Passthrough)).await;
    let mut http = Http::new(plug.address());
    for (email, password) in [(EMAIL, "pa55-word!"), ("test.user@example.com", PASSWORD)] {
        assert_eq!(passthrough_login(&mut http, email, password, false).await.err(), Some(Failure::Outer(-1501)));
    }
    assert_eq!((plug.counters().wrong_passwords, plug.is_logged_in()), (2, false));
}

#[tokio::test]
async fn only_keys_of_1024_bits_are_taken() {
    let (_rack, plug) = rack(config(Model::P110, Variant::Passthrough)).await;
    let mut http = Http::new(plug.address());
    for bits in [512, 2048] {
        assert_eq!(passthrough_handshake(&mut http, bits).await.err(), Some(Failure::Outer(-1010)), "{bits} bits");
    }
    let body = json!({"method": "handshake", "params": {"key": "no key"}}).to_string();
    assert_eq!(http.post("/app", &[], body.as_bytes()).await.unwrap().code(), -1010);
}

#[tokio::test]
async fn a_new_handshake_throws_out_the_old_session() {
    let (_rack, plug) = rack(config(Model::P110, Variant::Passthrough)).await;
    let mut first = Client::login(plug.address(), Variant::Passthrough, EMAIL, PASSWORD).await.unwrap();
    passthrough_handshake(&mut Http::new(plug.address()), 1024).await.unwrap();
    assert_eq!(first.get("get_device_info").await, Err(Failure::Outer(9999)));
    assert_eq!(plug.counters().evictions, 1);
}

#[tokio::test]
async fn cookie_and_token_are_both_asked_for() {
    let (_rack, plug) = rack(config(Model::P110, Variant::Passthrough)).await;
    let mut client = Client::login(plug.address(), Variant::Passthrough, EMAIL, PASSWORD).await.unwrap();
    let (target, headers, body) = client.seal(br#"{"method":"get_device_info"}"#);
    let cookie = headers[0].1.clone();
    for (target, headers) in [
        (target.as_str(), vec![]),
        ("/app", vec![("Cookie", cookie.as_str())]),
        ("/app?token=00", vec![("Cookie", cookie.as_str())]),
    ] {
        assert_eq!(client.http.post(target, &headers, &body).await.unwrap().code(), 9999, "{target} {headers:?}");
    }
    assert_eq!(client.http.post(&target, &[("Cookie", &cookie)], &body).await.unwrap().code(), 0);
    let body = json!({"method": "securePassthrough", "params": {"request": "AAAA"}}).to_string();
    let answer = client.http.post(&target, &[("Cookie", &cookie)], body.as_bytes()).await.unwrap();
    assert_eq!(answer.code(), -1005, "what does not open");
}

#[tokio::test]
async fn in_the_clear_nothing_is_told() {
    let (_rack, plug) = rack(config(Model::P110, Variant::Passthrough)).await;
    let mut http = Http::new(plug.address());
    for body in [r#"{"method":"component_nego"}"#, r#"{"method":"get_device_info"}"#] {
        assert_eq!(http.post("/app", &[], body.as_bytes()).await.unwrap().code(), -1002, "{body}");
    }
    assert_eq!(http.post("/app", &[], b"no json").await.unwrap().code(), -1003);
}

#[tokio::test]
async fn some_firmware_answers_in_the_clear() {
    let quirks = Quirks { plain_response: true, ..Quirks::default() };
    let (_rack, plug) = rack(config(Model::P110, Variant::Passthrough)).await;
    let mut client = Client::login(plug.address(), Variant::Passthrough, EMAIL, PASSWORD).await.unwrap();
    plug.reconfigure(|config| config.quirks = quirks);
    let (target, headers, body) = client.seal(br#"{"method":"get_device_time"}"#);
    let answer = client.http.post(&target, &[("Cookie", &headers[0].1)], &body).await.unwrap();
    let text = answer.json()["result"]["response"].as_str().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["error_code"], 0);
    assert!(matches!(client.session, Session::Passthrough { .. }));
}
