//! What the tests of all drivers have in common, and what `Drivers` promises.

use std::num::NonZeroU32;
use std::time::Duration;

use secrecy::SecretString;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::http::Tls;
use super::*;
use crate::node::rate_limit::RateLimit;
use crate::node::trust::VolatileBook;

/// A pace that no test feels.
pub(crate) fn no_pace() -> RateLimit {
    let many = NonZeroU32::new(100_000).unwrap();
    RateLimit { gap: Duration::ZERO, per_second: many, burst: many }
}

/// What a device at this pace is given.
pub(crate) fn context(node: &str, pace: RateLimit, metrics: &Arc<Metrics>) -> DeviceContext {
    let clock = Clock::system();
    let gate = RequestGate::new(clock.clone(), pace);
    let (node, meters, exchange_log) = (node.parse::<NodeId>().unwrap(), metrics.device(node), Arc::default());
    let trust = Arc::new(DeviceTrust::volatile(node.clone(), clock.clone()));
    DeviceContext { node, clock, gate, meters, exchange_log, trust }
}

/// A node may be taken out and put back while an operation of it is still under way, also with another account.
#[tokio::test]
async fn a_device_that_is_opened_twice_is_asked_one_thing_at_a_time() {
    let password = || SecretString::from("P@ssw0rd");
    let amt = |port, username: &str| {
        let (host, username) = ("127.0.0.1".into(), username.into());
        DriverConfig::Amt(amt::AmtConfig {
            host,
            port: Some(port),
            tls: Tls::Off,
            username,
            password: password(),
            uuid: None,
        })
    };
    let plug = |port, username: &str| {
        let (host, username) = ("127.0.0.1".into(), username.into());
        let (port, mac, outlet, discovery_port) = (Some(port), None, None, 9);
        let (password, protocols, factory) = (password(), tapo::TapoProtocol::ALL.to_vec(), false);
        DriverConfig::Tapo(tapo::TapoConfig {
            host,
            port,
            mac,
            outlet,
            protocols,
            factory,
            username,
            password,
            discovery_port,
        })
    };
    asks_one_thing_at_a_time(amt).await;
    asks_one_thing_at_a_time(plug).await;
}

async fn asks_one_thing_at_a_time(config: impl Fn(u16, &str) -> DriverConfig) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let drivers = Drivers::new(Clock::system(), Metrics::new(), Arc::default(), Arc::new(VolatileBook::default()));
    let reads = ["admin", "other"].map(|username| {
        let mut device = drivers.open(&"node-1".parse().unwrap(), &config(port, username));
        tokio::spawn(async move { device.read().await })
    });
    let (mut first, _) = listener.accept().await.unwrap();
    assert!(first.read(&mut [0; 64]).await.unwrap() > 0);
    // The first one has no answer yet: for a tenth of the time in which it gives up, no one else comes.
    let second = tokio::time::timeout(Duration::from_millis(400), listener.accept()).await;
    assert!(second.is_err(), "two requests at once");
    reads.iter().for_each(|read| read.abort());
}

/// A script that takes a node out of nodes.yaml and puts it back must not get a request to its device each time.
#[test]
fn a_device_that_is_taken_out_and_put_back_keeps_its_pace() {
    let gates = Gates::default();
    let new = || RequestGate::new(Clock::system(), no_pace());
    let before = Arc::as_ptr(&gates.at("a".into(), new));
    assert_eq!(Arc::as_ptr(&gates.at("a".into(), new)), before);
    assert_ne!(Arc::as_ptr(&gates.at("b".into(), new)), before);
}
