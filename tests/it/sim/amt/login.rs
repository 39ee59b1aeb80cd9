//! The login and the wire under it: challenges, nonces, locks, TLS, pages.

use std::sync::Arc;
use std::time::Duration;

use plugfish::testing::sim::{Machine, MachineConfig, MachineQuirks, Profile};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::raw::{Client, identify};
use super::{config, start};

const GENERAL: &str = "AMT_GeneralSettings";

#[tokio::test]
async fn the_first_answer_is_the_challenge_of_the_version() {
    for (profile, server, qop) in [
        (Profile::Amt12, "Intel(R) Active Management Technology 12.0.67", "auth"),
        (Profile::Amt16, "Intel(R) Active Management Technology 16.1.25.1424", "auth-int, auth"),
    ] {
        let (_rack, machine, mut client) = start(config(profile)).await;
        let answer = client.send("POST /wsman", None, "").await.unwrap();
        assert_eq!((answer.status, answer.header("Connection")), (401, Some("close")));
        assert_eq!((answer.header("Server"), answer.header("Content-Type")), (Some(server), Some("text/html")));
        assert!(answer.header("Content-Length").is_some());
        assert_eq!((client.part("qop").as_str(), client.part("stale").as_str()), (qop, "false"));
        assert_eq!(client.part("realm"), machine.describe().realm);
        assert!(!answer.head.contains("algorithm") && !answer.head.contains("opaque"));
    }
}

#[tokio::test]
async fn a_nonce_is_good_for_many_requests_on_one_connection() {
    let (_rack, machine, mut client) = start(config(Profile::Amt12)).await;
    for _ in 0..3 {
        let answer = client.get(GENERAL).await;
        assert_eq!((answer.status, answer.text("DigestRealm")), (200, machine.describe().realm));
        assert_eq!(answer.header("Content-Type"), Some("application/soap+xml; charset=UTF-8"));
        assert_eq!(answer.header("Transfer-Encoding"), Some("chunked"));
        assert!(answer.sizes[0].len() == 4 && answer.sizes[0] == answer.sizes[0].to_uppercase(), "{:?}", answer.sizes);
        assert_eq!(answer.text("RelatesTo"), "42");
        assert!(answer.text("MessageID").starts_with("uuid:00000000-8086-8086-8086-"));
    }
    let counters = machine.counters();
    assert_eq!((counters.logins, counters.requests, client.connects), (1, 4, 2));
    assert_eq!((counters.in_flight_max, counters.of_method("AMT_GeneralSettings.Get")), (1, 4));
}

#[tokio::test]
async fn a_machine_may_close_after_every_answer() {
    let quirks = MachineQuirks { close_after_answer: true, ..MachineQuirks::default() };
    let (_rack, _, mut client) = start(MachineConfig { quirks, ..config(Profile::Amt12) }).await;
    client.get(GENERAL).await;
    assert_eq!(client.get(GENERAL).await.header("Connection"), Some("close"));
    assert_eq!(client.connects, 3);
}

async fn refused(machine: &Machine, client: &mut Client, stale: &str) {
    let header = client.authorization("");
    let answer = client.send("POST /wsman", Some(&header), &super::raw::identify()).await.unwrap();
    assert_eq!((answer.status, client.part("stale").as_str()), (401, stale), "{:?}", machine.describe());
}

#[tokio::test]
async fn a_count_that_does_not_grow_and_an_old_nonce_are_stale() {
    let (_rack, machine, mut client) = start(config(Profile::Amt12)).await;
    client.get(GENERAL).await;
    client.nc = 0;
    // As real firmware has it; the quirk says it in the words of the standard.
    refused(&machine, &mut client, "false").await;
    machine.reconfigure(|config| config.quirks.says_stale = true);
    client.nc = 0;
    client.get(GENERAL).await;
    client.nc = 0;
    refused(&machine, &mut client, "true").await;
    assert_eq!(client.get(GENERAL).await.status, 200);
    machine.forget_nonces();
    refused(&machine, &mut client, "true").await;
    machine.reconfigure(|config| config.nonce_life = Duration::ZERO);
    refused(&machine, &mut client, "true").await;
    assert_eq!(machine.counters().stale_requests, 4);
    machine.reconfigure(|config| {
        config.nonce_life = Duration::from_secs(300);
        config.quirks.any_nc = true;
    });
    client.get(GENERAL).await;
    client.nc = 0;
    let header = client.authorization("");
    assert_eq!(client.send("POST /wsman", Some(&header), &identify()).await.unwrap().status, 200);
}

#[tokio::test]
async fn wrong_credentials_are_turned_away_and_may_lock() {
    let config = MachineConfig { lock_after: Some(3), lock_time: Duration::from_secs(60), ..config(Profile::Amt12) };
    let (_rack, machine, mut client) = start(config).await;
    client.password = "wrong".into();
    let page = client.get(GENERAL).await;
    client.get(GENERAL).await;
    assert_eq!(machine.counters().wrong_passwords, 3);
    client.password = MachineConfig::PASSWORD.into();
    let locked = client.get(GENERAL).await;
    // One page for the first challenge, a wrong password and a locked account.
    let first = Client::new(machine.address()).send("POST /wsman", None, "").await.unwrap();
    assert_eq!((page.status, locked.status, first.status), (401, 401, 401));
    assert!(first.body.contains("user account temporarily locked"), "{first:?}");
    assert_eq!((&page.body, &locked.body), (&first.body, &first.body));
    machine.unlock();
    assert_eq!(client.get(GENERAL).await.status, 200);
    machine.set_password("N3w-password");
    assert_eq!(client.get(GENERAL).await.status, 401);
    client.password = "N3w-password".into();
    assert_eq!(client.get(GENERAL).await.status, 200);
    client.username = "Admin".into();
    assert_eq!(client.get(GENERAL).await.status, 401);
}

#[tokio::test]
async fn auth_int_is_taken_from_amt_14_on() {
    for (profile, status) in [(Profile::Amt12, 401), (Profile::Amt16, 200)] {
        let (_rack, _, mut client) = start(config(profile)).await;
        client.qop = "auth-int";
        assert_eq!(client.get(GENERAL).await.status, status);
    }
}

#[tokio::test]
async fn identify_needs_no_credentials_unless_it_is_told_so() {
    let (_rack, machine, mut client) = start(config(Profile::Amt16)).await;
    let answer = client.send("POST /wsman", None, &identify()).await.unwrap();
    assert_eq!(
        (answer.text("ProductVendor"), answer.text("ProductVersion")),
        ("Intel(r)".into(), "AMT 16.1.25.1424".into())
    );
    client.get(GENERAL).await;
    assert_eq!(client.post(&identify()).await.unwrap().text("ProductVendor"), "Intel(r)");
    machine.reconfigure(|config| config.quirks.identify_needs_login = true);
    assert_eq!(Client::new(machine.address()).send("POST /wsman", None, &identify()).await.unwrap().status, 401);
}

#[tokio::test]
async fn the_web_pages_are_there() {
    let (_rack, _, mut client) = start(config(Profile::Amt12)).await;
    let answer = client.send("GET /", None, "").await.unwrap();
    assert_eq!((answer.status, answer.header("Location")), (303, Some("/logon.htm")));
    assert_eq!(client.send("GET /logon.htm", None, "").await.unwrap().status, 200);
    assert_eq!(client.send("POST /other", None, "").await.unwrap().status, 404);
    assert_eq!(client.send("GET /wsman", None, "").await.unwrap().status, 405);
}

#[tokio::test]
async fn tls_shows_the_certificate_that_can_be_pinned() {
    let (_rack, machine, mut client) = start(MachineConfig { tls: true, ..config(Profile::Amt16) }).await;
    let certificate = CertificateDer::from_pem_slice(machine.certificate_pem().unwrap().as_bytes()).unwrap();
    let fingerprint = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&certificate));
    assert_eq!(machine.fingerprint(), Some(fingerprint));
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let tls = tls.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    client.tls = Some(Arc::new(tls).into());
    for _ in 0..2 {
        assert_eq!(client.get(GENERAL).await.status, 200);
    }
    let mut plain = Client::new(machine.address());
    assert!(plain.send("POST /wsman", None, "").await.is_err());
    assert_eq!(machine.counters().nonsense, 1);
    machine.reconfigure(|config| config.quirks.old_tls = true);
    let mut again = Client::new(machine.address());
    again.tls = client.tls.clone();
    assert_eq!(again.send("POST /wsman", None, "").await.unwrap_err(), super::raw::Broken::Refused);
}
