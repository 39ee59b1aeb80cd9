//! KLAP as the simulated plug requires it.

use std::time::Duration;

use plugfish::testing::sim::{Binding, Model, PlugConfig, Variant};

use super::raw::{Client, Failure, Http, Session, klap_handshake1, klap_hash, klap_proof};
use super::{EMAIL, PASSWORD, config, rack};

async fn in_both_versions<F: Future<Output = ()>>(test: impl Fn(Variant) -> F) {
    test(Variant::KlapV1).await;
    test(Variant::KlapV2).await;
}

#[tokio::test]
async fn a_client_logs_in_and_switches() {
    in_both_versions(|variant| async move {
        let (_rack, plug) = rack(config(Model::P100, variant)).await;
        let mut client = Client::login(plug.address(), variant, EMAIL, PASSWORD).await.unwrap();
        assert_eq!(client.set(false).await.unwrap()["error_code"], 0);
        assert_eq!(plug.relay(1), Some(false));
        assert_eq!(client.get("get_device_info").await.unwrap()["result"]["device_on"], false);
        let counters = plug.counters();
        assert_eq!((counters.logins, counters.relay_writes, counters.evictions), (1, 1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_at_the_second_handshake() {
    in_both_versions(|variant| async move {
        let (_rack, plug) = rack(config(Model::P100, variant)).await;
        let mut http = Http::new(plug.address());
        let wrong = klap_hash(variant, EMAIL, "pa55-word!");
        let (cookie, remote, fits) = klap_handshake1(&mut http, variant, &wrong).await.unwrap();
        assert!(!fits, "the client can tell from the plug's proof already");
        let proof = klap_proof(variant, &remote, &wrong);
        let answer = http.post("/app/handshake2", &[("Cookie", &cookie)], &proof).await.unwrap();
        assert_eq!(answer.status, 403);
        // The handshake is spent: the right proof comes too late.
        let proof = klap_proof(variant, &remote, &klap_hash(variant, EMAIL, PASSWORD));
        assert_eq!(http.post("/app/handshake2", &[("Cookie", &cookie)], &proof).await.unwrap().status, 403);
        assert_eq!((plug.counters().wrong_passwords, plug.counters().logins), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_new_handshake_throws_out_the_old_session() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let mut first = Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.unwrap();
    first.get("get_device_info").await.unwrap();
    // The first of the two handshakes is enough, and it needs no password.
    klap_handshake1(&mut Http::new(plug.address()), Variant::KlapV2, &[]).await.unwrap();
    assert_eq!(first.get("get_device_info").await, Err(Failure::Status(403)));
    assert_eq!((plug.counters().evictions, plug.counters().stale_requests), (1, 1));
}

#[tokio::test]
async fn numbers_must_follow_each_other() {
    for (skip, what) in [(1, "one left out"), (-1, "one used again"), (-2, "an older one")] {
        let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
        let mut client = Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.unwrap();
        client.get("get_device_info").await.unwrap();
        client.get("get_device_info").await.unwrap();
        let Session::Klap { seq, .. } = &mut client.session else { panic!() };
        *seq = seq.wrapping_add(skip);
        assert_eq!(client.set(false).await, Err(Failure::Status(403)), "{what}");
        assert_eq!(plug.relay(1), Some(true), "{what}");
        assert_eq!(plug.counters().out_of_sequence, 1, "{what}");
        let Session::Klap { seq, .. } = &mut client.session else { panic!() };
        *seq = seq.wrapping_sub(skip + 1);
        assert_eq!(client.get("get_device_info").await, Err(Failure::Status(403)), "{what}: the session is gone");
    }
}

#[tokio::test]
async fn the_session_is_asked_for_in_every_request() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let mut client = Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.unwrap();
    let (target, headers, body) = client.seal(br#"{"method":"get_device_info"}"#);
    let cookie = headers[0].1.clone();
    let bad = [
        vec![],
        vec![("Cookie", "TP_SESSIONID=0123456789ABCDEF0123456789ABCDEF".to_owned())],
        vec![("Cookie", format!("{cookie};TIMEOUT=86400"))],
        vec![("Cookie", cookie.replace("TP_SESSIONID", "SESSIONID"))],
    ];
    for headers in bad {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(client.http.post(&target, &headers, &body).await.unwrap().status, 403, "{headers:?}");
    }
    // None of them used up the number.
    assert_eq!(client.http.post(&target, &[("Cookie", &cookie)], &body).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_signature_is_checked() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    for at in [0, 31, 32, 47] {
        let mut client = Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.unwrap();
        let (target, headers, mut body) = client.seal(br#"{"method":"get_device_info"}"#);
        body[at] ^= 1;
        let answer = client.http.post(&target, &[("Cookie", &headers[0].1)], &body).await.unwrap();
        assert_eq!(answer.status, 403, "byte {at}");
    }
}

#[tokio::test]
async fn a_session_ends_by_itself() {
    let short = PlugConfig { session_time: Duration::from_secs(1), ..config(Model::P110, Variant::KlapV2) };
    let (_rack, plug) = rack(short).await;
    let mut client = Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.unwrap();
    client.get("get_device_info").await.unwrap();
    // Real time, since the plug is on real sockets.
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert_eq!(client.get("get_device_info").await, Err(Failure::Status(403)));
}

#[tokio::test]
async fn a_plug_that_is_not_bound_takes_only_its_fallback() {
    let cases = [
        (Binding::Blank, "", ""),
        (Binding::TapoSetup, "test@tp-link.net", "test"),
        (Binding::KasaSetup, "kasa@tp-link.net", "kasaSetup"),
    ];
    for (bound, email, password) in cases {
        let (_rack, plug) = rack(PlugConfig { bound, ..config(Model::P100, Variant::KlapV2) }).await;
        let refused = Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.err();
        assert_eq!(refused, Some(Failure::Status(403)), "{bound:?}");
        let mut client = Client::login(plug.address(), Variant::KlapV2, email, password).await.unwrap();
        client.get("get_device_info").await.unwrap();
    }
}

#[tokio::test]
async fn a_seed_of_another_length_is_refused() {
    let (_rack, plug) = rack(config(Model::P100, Variant::KlapV2)).await;
    let mut http = Http::new(plug.address());
    for length in [0, 15, 17, 4096] {
        assert_eq!(http.post("/app/handshake1", &[], &vec![0; length]).await.unwrap().status, 400, "{length} bytes");
    }
}
