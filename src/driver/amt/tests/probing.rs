//! Finding out without a login whether a machine is there.

use super::*;
use crate::driver::amt::probe::{Found, probe};

async fn probed(fake: &Fake) -> Result<Found, Fault> {
    probe("127.0.0.1", Some(fake.port), Tls::Off, context(&Metrics::new()), quick()).await
}

#[tokio::test]
async fn a_401_tells_version_and_realm() {
    let (fake, _) = machine().await;
    let found = probed(&fake).await.unwrap();
    assert_eq!(found, Found { version: Some("12.0.67".into()), realm: Some(REALM.into()), ..Found::default() });
    fake.machine().server = "AMT";
    assert_eq!(probed(&fake).await.unwrap().version, None);
    let machine = fake.machine();
    assert!(machine.seen.iter().all(|seen| seen.login("response").is_none() && seen.action() == "Identify"));
    assert_eq!(machine.seen.len(), 2);
}

#[tokio::test]
async fn identify_tells_more_where_it_is_answered() {
    let (fake, _) = rig(&[("Identify", fixture("identify"))]).await;
    fake.machine().open_identify = true;
    let found = probed(&fake).await.unwrap();
    assert_eq!((found.version.as_deref(), found.vendor.as_deref()), (Some("12.0.67"), Some("Intel(r)")));
    fake.machine().server = "AMT";
    assert_eq!(probed(&fake).await.unwrap().version.as_deref(), Some("16.1.25"));
}

#[tokio::test]
async fn other_servers_are_told_apart() {
    let (fake, _) = machine().await;
    fake.machine().server = "nginx/1.26";
    fake.machine().realm = "Printer";
    assert_eq!(probed(&fake).await.unwrap_err().kind, Kind::UnsupportedProtocol);
    for (status, body) in [(404, "<html>"), (200, "<html>"), (200, "<html/>"), (500, "")] {
        fake.trouble(&[Trouble::Status(status, body.into())]);
        assert_eq!(probed(&fake).await.unwrap_err().class(), FailureClass::Protocol, "{status} {body}");
    }
}
