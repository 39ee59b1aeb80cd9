//! An AMT machine has to keep proving what it proved once: certificate, realm, UUID, and TLS at all. On real sockets,
//! with machines that replace each other between two readings.

use std::net::Ipv4Addr;
use std::sync::Arc;

use plugfish::testing::clock::Clock;
use plugfish::testing::driver::amt::AmtConfig;
use plugfish::testing::driver::http::Tls;
use plugfish::testing::driver::{DriverConfig, Drivers};
use plugfish::testing::node::device::{DeviceError, FailureClass, PowerDevice};
use plugfish::testing::node::trust::{Proof, TrustBook, TrustRecord, VolatileBook};
use plugfish::testing::node::{BootOverride, Power, PowerAction};
use plugfish::testing::sim::{Machine, MachineConfig, Profile, Rack, RackConfig};
use plugfish::testing::telemetry::Metrics;

/// A machine that looks like any other at this address, but for the certificate that it makes for itself.
fn machine(last: u8, tls: bool) -> MachineConfig {
    let address = Some(Ipv4Addr::new(127, 52, 0, last));
    let port = if tls { 41993 } else { 41992 };
    let (realm, uuid) = (Some("0123456789ABCDEF0123456789ABCDEF".into()), Some([7; 16]));
    MachineConfig { address, port, tls, realm, uuid, ..MachineConfig::new("m", Profile::Amt16).quick() }
}

async fn start(config: MachineConfig) -> (Rack, Arc<Machine>) {
    let rack = Rack::start(RackConfig::new(7).with_machine(config)).await.unwrap();
    let machine = rack.machines()[0].clone();
    (rack, machine)
}

/// The device of node `n`, as a start of the daemon makes it.
fn open(book: &Arc<VolatileBook>, machine: &Machine, tls: Tls) -> Box<dyn PowerDevice> {
    let config = AmtConfig {
        host: machine.address().ip().to_string(),
        port: Some(machine.address().port()),
        tls,
        username: "admin".into(),
        password: MachineConfig::PASSWORD.to_owned().into(),
        uuid: None,
    };
    let drivers = Drivers::new(Clock::system(), Metrics::new(), Arc::default(), book.clone());
    drivers.open(&"n".parse().unwrap(), &DriverConfig::from(config))
}

fn recorded(book: &VolatileBook) -> Option<Arc<TrustRecord>> {
    book.trust(&"n".parse().unwrap())
}

fn assert_distrusts(error: &DeviceError, what: &str) {
    assert_eq!(error.class, FailureClass::Distrusted, "{error}");
    assert!(error.text.contains(what) && error.text.contains("plugfish trust n --reset"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_changes_is_refused_until_a_person_resets_the_trust() {
    let book = Arc::new(VolatileBook::default());
    let (rack, first) = start(machine(1, true)).await;
    let mut device = open(&book, &first, Tls::Insecure);
    let seen = device.read().await.unwrap();
    assert_eq!((seen.power, seen.proof), (Some(Power::On), Proof::Answer));
    let old = format!("sha256:{}", first.fingerprint().unwrap());
    assert_eq!(recorded(&book).unwrap().proven.certificate.as_deref(), Some(old.as_str()));
    assert!(recorded(&book).unwrap().proven.uuid.is_some());
    rack.stop().await;

    // Between two readings, and after a restart: not a word is said to it, an order neither.
    let (_rack, impostor) = start(machine(1, true)).await;
    let new = format!("sha256:{}", impostor.fingerprint().unwrap());
    assert_ne!(old, new);
    let mut restarted = open(&book, &impostor, Tls::Insecure);
    for device in [&mut device, &mut restarted] {
        let error = device.read().await.unwrap_err();
        assert_distrusts(&error, &new);
        assert!(error.text.contains(&old), "{error}");
        assert_distrusts(&device.order(PowerAction::Off, BootOverride::default()).await.unwrap_err(), &new);
    }
    assert_eq!(impostor.counters().requests, 0);

    book.record_trust(&"n".parse().unwrap(), None).await.unwrap();
    device.forget_session();
    assert_eq!(device.read().await.unwrap().power, Some(Power::On));
    assert_eq!(recorded(&book).unwrap().proven.certificate.as_deref(), Some(new.as_str()));
}

#[tokio::test]
async fn a_machine_that_spoke_tls_is_never_asked_in_the_clear() {
    let book = Arc::new(VolatileBook::default());
    let config = machine(2, true);
    let (rack, first) = start(config.clone()).await;
    open(&book, &first, Tls::Insecure).read().await.unwrap();
    rack.stop().await;
    let (_rack, plain) = start(MachineConfig { tls: false, ..config }).await;
    let mut device = open(&book, &plain, Tls::Off);
    assert_distrusts(&device.read().await.unwrap_err(), "in the clear");
    assert_distrusts(&device.order(PowerAction::Off, BootOverride::default()).await.unwrap_err(), "in the clear");
    assert_eq!(plain.counters().requests, 0);
}

#[tokio::test]
async fn another_realm_or_uuid_than_before_is_refused_and_gets_no_login() {
    let book = Arc::new(VolatileBook::default());
    let config = machine(3, false);
    let (rack, first) = start(config.clone()).await;
    let mut device = open(&book, &first, Tls::Off);
    let seen = device.read().await.unwrap();
    assert_eq!((seen.power, seen.proof), (Some(Power::On), Proof::Claimed), "in the clear it proves nothing");
    first.set_uuid([9; 16]);
    assert_distrusts(&device.read().await.unwrap_err(), "its UUID is 09090909-");
    first.set_uuid([7; 16]);
    device.read().await.unwrap();
    rack.stop().await;
    let (_rack, other) = start(MachineConfig { realm: Some("00".into()), ..config }).await;
    for device in [&mut device, &mut open(&book, &other, Tls::Off)] {
        assert_distrusts(&device.read().await.unwrap_err(), "its Digest realm is Digest:00");
        assert_distrusts(&device.order(PowerAction::Off, BootOverride::default()).await.unwrap_err(), "Digest:00");
    }
    let counters = other.counters();
    // But for the first request, which carries what was made for the old realm and its nonce.
    assert!(counters.logins == 0 && counters.wrong_passwords <= 1, "{counters:?}");
}
