//! Which variant: detection, its price in requests, and what is said when nothing fits.

use serde_json::json;

use super::*;
use crate::driver::tapo::tests::speech::Speech;

#[tokio::test]
async fn klap_v2_costs_two_requests() {
    let mut bench = Bench::new(Plug::new(klap())).await;
    let seen = bench.read().await.unwrap();
    assert_eq!(seen.about.protocol.as_deref(), Some("KLAP v2"));
    assert_eq!(bench.fake.names(), ["handshake1", "handshake2", "component_nego", "get_device_info"]);
    bench.set(Power::On).await.unwrap();
    assert_eq!(bench.fake.names(), ["set_device_info"]);
    assert!(bench.on());
}

#[tokio::test]
async fn klap_v1_is_told_by_its_proof() {
    let mut bench = Bench::new(Plug::new(klap_with(|side| side.v1 = true))).await;
    assert_eq!(bench.read().await.unwrap().about.protocol.as_deref(), Some("KLAP v1"));
    assert_eq!(bench.fake.names()[..2], ["handshake1", "handshake2"]);
}

#[tokio::test]
async fn passthrough_is_next_and_first_the_next_time() {
    let mut bench = Bench::new(Plug::new(passthrough(|_| {}))).await;
    let seen = bench.read().await.unwrap();
    assert_eq!(seen.about.protocol.as_deref(), Some("securePassthrough"));
    let names = ["handshake1", "discover", "handshake", "login_device", "component_nego", "get_device_info"];
    assert_eq!(bench.fake.names(), names, "what proves nothing comes last");
    bench.device.forget_session();
    bench.set(Power::On).await.unwrap();
    assert_eq!(bench.fake.names(), ["handshake", "login_device", "get_device_info", "set_device_info"]);
}

#[tokio::test]
async fn the_other_form_of_the_passthrough_login_needs_a_new_handshake() {
    let mut bench = Bench::new(Plug::new(passthrough(|side| side.form2 = true))).await;
    bench.read().await.unwrap();
    let names = bench.fake.names();
    assert_eq!(names[..6], ["handshake1", "discover", "handshake", "login_device", "handshake", "login_device"]);
    // The form that was right is remembered.
    bench.device.forget_session();
    bench.read().await.unwrap();
    assert_eq!(bench.fake.names(), ["handshake", "login_device", "get_device_info"]);
}

#[tokio::test]
async fn tpap_after_a_403_and_at_once_the_next_time() {
    let mut bench = Bench::new(Plug::new(tpap(|_| {}))).await;
    let seen = bench.read().await.unwrap();
    assert_eq!(seen.about.protocol.as_deref(), Some("TPAP"));
    let names = bench.fake.names();
    assert_eq!(names, ["handshake1", "discover", "pake_register", "pake_share", "component_nego", "get_device_info"]);
    bench.device.forget_session();
    bench.read().await.unwrap();
    assert_eq!(bench.fake.names(), ["pake_register", "pake_share", "get_device_info"]);
}

#[tokio::test]
async fn a_plug_changes_its_variant_to_one_that_proves_more() {
    let mut bench = Bench::warm(Plug::new(passthrough(|_| {}))).await;
    type Variants = [(fn() -> Speech, &'static str); 2];
    let variants: Variants = [(klap, "KLAP v2"), (|| tpap(|_| {}), "TPAP")];
    for (speech, name) in variants {
        bench.fake.plug().speech = speech();
        let seen = bench.read().await.unwrap();
        assert_eq!(seen.about.protocol.as_deref(), Some(name));
        bench.set(Power::On).await.unwrap();
    }
}

#[tokio::test]
async fn third_party_compatibility_off_is_said_in_words() {
    for discover in [json!({ "error_code": 1003 }), json!("?"), json!({ "error_code": 0, "result": {} })] {
        let mut bench = Bench::new(Plug::new(Speech::Closed(discover))).await;
        let result = bench.read().await;
        assert_fails(result, FailureClass::Protocol, "Third-Party Compatibility is off");
        assert_eq!(bench.fake.names().len(), 2);
    }
}

#[tokio::test]
async fn klap_announced_but_refused_ends_with_the_same_words() {
    let discover = json!({ "error_code": 0, "result": { "sub_method": "discover", "tpap_preferred": false } });
    let mut bench = Bench::new(Plug::new(Speech::Closed(discover))).await;
    assert_fails(bench.read().await, FailureClass::Protocol, "Third-Party Compatibility is off");
}

#[tokio::test]
async fn klap_after_all_when_the_discover_answer_says_so() {
    let mut bench = Bench::new(Plug::new(klap_with(|side| side.knows_tpap = true))).await;
    // The switch in the app takes a moment: the first handshake still meets the 403.
    bench.fake.trouble("handshake1", 1, Trouble::Status(403, ""));
    assert_eq!(bench.read().await.unwrap().about.protocol.as_deref(), Some("KLAP v2"));
    assert_eq!(bench.fake.names()[..4], ["handshake1", "discover", "handshake1", "handshake2"]);
}

#[tokio::test]
async fn something_else_at_the_address_is_described() {
    let mut bench = Bench::new(Plug::new(Speech::Nothing)).await;
    assert_fails(bench.read().await, FailureClass::Protocol, "handshake1 (KLAP) brought HTTP 404");
    assert_eq!(bench.fake.names(), ["handshake1", "discover", "handshake"]);
}

#[tokio::test]
async fn wrong_credentials_are_noticed_before_anything_secret_is_sent() {
    let mut bench = Bench::with(Plug::new(klap()), |config, _| config.password = "pa55-word!".into()).await;
    assert_fails(bench.read().await, FailureClass::Auth, "wrong password or e-mail of the TP-Link account");
    assert_eq!(bench.fake.names(), ["handshake1", "handshake1"], "once more, since an answer may be damaged");
    let mut bench = Bench::with(Plug::new(klap()), |config, _| config.username = "test.user@example.com".into()).await;
    assert_fails(bench.set(Power::On).await, FailureClass::Auth, "upper and lower case");
    assert_eq!(bench.fake.names(), ["handshake1", "handshake1"]);
}

#[tokio::test]
async fn credentials_that_were_right_are_not_given_up_for_damaged_answers() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    let damaged = "0123456789abcdef0123456789abcdef0123456789abcdef";
    for class in [FailureClass::Protocol, FailureClass::Protocol, FailureClass::Auth] {
        bench.device.forget_session();
        bench.fake.trouble("handshake1", 2, Trouble::Status(200, damaged));
        let failed = bench.read().await.unwrap_err();
        assert_eq!(failed.class, class, "{failed}");
    }
    assert!(bench.read().await.is_ok());
}

#[tokio::test]
async fn wrong_credentials_over_passthrough_are_tried_once_in_each_form() {
    let mut bench = Bench::with(Plug::new(passthrough(|_| {})), |config, _| config.password = "wrong".into()).await;
    assert_fails(bench.read().await, FailureClass::Auth, "-1501");
    assert_eq!(bench.fake.plug().speech.logins(), 2);
}

#[tokio::test]
async fn wrong_credentials_over_tpap_are_tried_once() {
    let mut bench = Bench::with(Plug::new(tpap(|_| {})), |config, _| config.password = "wrong".into()).await;
    assert_fails(bench.read().await, FailureClass::Auth, "-2203");
    assert_eq!(bench.fake.plug().speech.logins(), 1);
}

#[tokio::test]
async fn a_lost_answer_to_unproven_credentials_is_not_tried_again() {
    let mut bench = Bench::new(Plug::new(tpap(|_| {}))).await;
    bench.fake.trouble("pake_share", 1, Trouble::LoseAnswer);
    assert_fails(bench.read().await, FailureClass::Timeout, "closed");
    assert_eq!(bench.fake.plug().speech.logins(), 1);
    // Proven ones are.
    bench.read().await.unwrap();
    bench.device.forget_session();
    bench.fake.trouble("pake_share", 1, Trouble::LoseAnswer);
    bench.read().await.unwrap();
}

#[tokio::test]
async fn a_locked_plug_is_left_alone() {
    let mut bench = Bench::new(Plug::new(tpap(|side| side.locked = true))).await;
    assert_fails(bench.read().await, FailureClass::Locked, "half an hour");
    assert_eq!(bench.fake.names(), ["handshake1", "discover"]);
    let mut bench = Bench::warm(Plug::new(tpap(|_| {}))).await;
    bench.fake.trouble("get_device_info", 1, Trouble::Status(200, "{\"error_code\":-2101}"));
    assert_fails(bench.read().await, FailureClass::Locked, "locked itself");
    assert_eq!(bench.fake.names(), ["get_device_info"]);
}

#[tokio::test]
async fn a_plug_that_is_not_bound_is_used_with_a_notice_where_that_is_configured() {
    for account in [("", ""), ("test@tp-link.net", "test"), ("kasa@tp-link.net", "kasaSetup")] {
        let bound = |side: &mut speech::KlapSide| side.account = (account.0.into(), account.1.into());
        let mut bench = Bench::with(Plug::new(klap_with(bound)), |config, _| config.factory = true).await;
        let seen = bench.read().await.unwrap();
        assert!(notice(&seen, "not-bound").unwrap().text.contains("not bound to the account"));
    }
    let mut bench = Bench::new(Plug::new(klap())).await;
    assert_eq!(bench.read().await.unwrap().notices, []);
}

#[tokio::test]
async fn tpap_offers_that_plugfish_does_not_take_are_refused_before_the_password_is_used() {
    let changes = [
        (json!({ "iterations": 0 }), "iterations"),
        (json!({ "iterations": 100_001 }), "iterations"),
        (json!({ "iterations": -1 }), "iterations"),
        (json!({ "cipher_suites": 2 }), "cipher suite"),
        (json!({ "encryption": "aes_256_ccm" }), "encryption"),
        (json!({ "dev_share": "AAAA" }), "no point"),
        (json!({ "dev_share": "AA==" }), "no point"),
        (json!({ "dev_salt": "?" }), "dev_salt"),
        (json!({ "extra_crypt": null }), "unknown kind of password"),
        (json!({ "extra_crypt": { "type": "password_shadow", "params": { "passwd_id": 5 } } }), "unknown kind"),
    ];
    for (change, words) in changes {
        let mut bench = Bench::new(Plug::new(tpap(|side| side.register = change))).await;
        assert_fails(bench.read().await, FailureClass::Protocol, words);
        assert_eq!(bench.fake.names(), ["handshake1", "discover", "pake_register"], "{words}");
    }
}

#[tokio::test]
async fn tpap_over_tls_and_other_passcodes_are_not_spoken() {
    for (discover, words) in [
        (json!({ "tpap": { "tls": 1, "pake": [2] } }), "TLS (tls 1)"),
        (json!({ "tpap": { "tls": 2, "pake": [2], "port": 4433 } }), "TLS (tls 2)"),
        (json!({ "tpap": { "tls": 0, "pake": [3] } }), "passcode"),
    ] {
        let mut bench = Bench::new(Plug::new(tpap(|side| side.discover = discover))).await;
        assert_fails(bench.read().await, FailureClass::Protocol, words);
        assert_eq!(bench.fake.names(), ["handshake1", "discover"]);
    }
}

#[tokio::test]
async fn tpap_may_listen_on_a_port_of_its_own_and_want_more_than_it_gets() {
    let tpap_side = FakePlug::start(Plug::new(tpap(|_| {}))).await;
    // A P304M announces `dac` 1 and does without.
    let discover = json!({ "error_code": 0, "result": { "tpap_preferred": true,
        "tpap": { "tls": 0, "dac": 1, "noc": 0, "pake": [2], "port": tpap_side.port } } });
    let mut bench = Bench::new(Plug::new(Speech::Closed(discover))).await;
    bench.set(Power::On).await.unwrap();
    assert!(tpap_side.plug().on);
    assert_eq!(bench.fake.names(), ["handshake1", "discover"]);
    let names = ["pake_register", "pake_share", "component_nego", "get_device_info", "set_device_info"];
    assert_eq!(tpap_side.names(), names);
}

#[tokio::test]
async fn a_plug_that_cannot_prove_the_password_gets_no_second_guess() {
    let mut bench = Bench::new(Plug::new(tpap(|side| side.liar = true))).await;
    assert_fails(bench.read().await, FailureClass::Auth, "did not prove");
    assert_eq!(bench.fake.plug().speech.logins(), 1);
}

#[tokio::test]
async fn every_login_is_counted() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    bench.device.forget_session();
    bench.read().await.unwrap();
    let text = bench.metrics.render();
    for line in [
        "plugfish_device_session_handshakes_total{node=\"node-1\"} 2",
        "plugfish_device_requests_total{node=\"node-1\",op=\"login\",outcome=\"ok\"} 4",
        "plugfish_device_requests_total{node=\"node-1\",op=\"read\",outcome=\"ok\"} 3",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
