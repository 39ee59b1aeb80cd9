//! A plug whose port sleeps, and one whose address has changed.

use serde_json::json;
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::node::MacAddress;

const MAC: &str = "AA-BB-CC-DD-EE-01";

fn mac() -> Option<MacAddress> {
    MAC.parse().ok()
}

/// Answers each probe at `address` with this MAC and IP address, after `wake` has run.
async fn discoverable(address: &str, ip: &'static str, mut wake: impl FnMut() + Send + 'static) -> u16 {
    let socket = UdpSocket::bind((address, 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
            wake();
            let json = json!({ "error_code": 0, "result": { "mac": MAC, "ip": ip, "device_model": "P100" } });
            let datagram = [[0; 16].as_slice(), json.to_string().as_bytes()].concat();
            socket.send_to(&datagram, from).await.unwrap();
        }
    });
    port
}

/// A port on which no one listens.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_sleeping_port_is_woken_by_a_probe() {
    let port = free_port();
    let (mut plug, (woken, waking)) = (Some(Plug::new(klap())), std::sync::mpsc::channel());
    let discovery = discoverable("127.0.0.1", "127.0.0.1", move || {
        if let Some(plug) = plug.take() {
            let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
            listener.set_nonblocking(true).unwrap();
            woken.send(FakePlug::listen(TcpListener::from_std(listener).unwrap(), plug)).unwrap();
        }
    })
    .await;
    let metrics = Metrics::new();
    let config = TapoConfig { discovery_port: discovery, ..config(port) };
    let mut device = Plugs::new(quick()).open(&config, context("node-1", no_pace(), &metrics));
    device.order(PowerAction::On, BootOverride::default()).await.unwrap();
    assert!(waking.recv().unwrap().plug().on);
    let line = "plugfish_device_requests_total{node=\"node-1\",op=\"discover\",outcome=\"ok\"} 1";
    assert!(metrics.render().contains(line), "{}", metrics.render());
    assert_eq!(device.read().await.unwrap().notices, []);
}

#[tokio::test]
async fn a_plug_that_moved_is_found_by_its_mac_address() {
    let fake = FakePlug::start(Plug::new(klap())).await;
    // Stands for the broadcast address of the network of 127.0.0.2.
    let discovery = discoverable("127.0.0.255", "127.0.0.1", || {}).await;
    let config = TapoConfig { host: "127.0.0.2".into(), mac: mac(), discovery_port: discovery, ..config(fake.port) };
    let metrics = Metrics::new();
    let mut device = Plugs::new(quick()).open(&config, context("node-1", no_pace(), &metrics));
    let seen = device.read().await.unwrap();
    assert_eq!(
        notice(&seen, "moved").unwrap().text,
        "the plug has moved from 127.0.0.2 to 127.0.0.1; correct nodes.yaml, or give it a fixed address"
    );
    // From then on it is there.
    device.order(PowerAction::On, BootOverride::default()).await.unwrap();
    assert!(fake.plug().on);
    assert!(metrics.render().contains("op=\"read\",outcome=\"ok\"} 2"), "{}", metrics.render());
}

#[tokio::test]
async fn without_a_mac_address_nobody_is_looked_for_elsewhere() {
    let fake = FakePlug::start(Plug::new(klap())).await;
    let discovery = discoverable("127.0.0.255", "127.0.0.1", || {}).await;
    let config = TapoConfig { host: "127.0.0.2".into(), discovery_port: discovery, ..config(fake.port) };
    let mut device = Plugs::new(quick()).open(&config, context("node-1", no_pace(), &Metrics::new()));
    assert_fails(device.read().await, FailureClass::Unreachable, "refused");
}

#[tokio::test]
async fn another_plug_at_the_address_is_never_switched() {
    let mut stranger = Plug::new(klap());
    stranger.info["mac"] = "AA-BB-CC-DD-EE-99".into();
    let stranger = FakePlug::start(stranger).await;
    let strict = TapoConfig { mac: mac(), ..config(stranger.port) };
    let mut device = Plugs::new(quick()).open(&strict, context("node-1", no_pace(), &Metrics::new()));
    let words = "another plug (aa:bb:cc:dd:ee:99) is at 127.0.0.1 now, not aa:bb:cc:dd:ee:01";
    assert_fails(device.order(PowerAction::Off, BootOverride::default()).await, FailureClass::Unreachable, words);
    assert_fails(device.read().await, FailureClass::Unreachable, words);
    assert_eq!(stranger.plug().switched, 0);
}

#[tokio::test]
async fn two_plugs_that_changed_places_are_both_found() {
    // The node's plug is at 127.0.0.3 now, and another one is where it was.
    let port = free_port();
    let listen = |ip: &str| std::net::TcpListener::bind((ip, port)).unwrap();
    let start = |ip: &str, mac: &str| {
        let listener = listen(ip);
        listener.set_nonblocking(true).unwrap();
        let mut plug = Plug::new(klap());
        plug.info["mac"] = mac.into();
        FakePlug::listen(TcpListener::from_std(listener).unwrap(), plug)
    };
    let (other, own) = (start("127.0.0.2", "AA-BB-CC-DD-EE-99"), start("127.0.0.3", MAC));
    let discovery = discoverable("127.0.0.255", "127.0.0.3", || {}).await;
    let config = TapoConfig { host: "127.0.0.2".into(), mac: mac(), discovery_port: discovery, ..config(port) };
    let mut device = Plugs::new(quick()).open(&config, context("node-1", no_pace(), &Metrics::new()));
    device.order(PowerAction::On, BootOverride::default()).await.unwrap();
    assert_eq!((other.plug().switched, own.plug().switched), (0, 1));
    assert!(notice(&device.read().await.unwrap(), "moved").is_some());
    // A warm switch still costs one request.
    own.names();
    device.order(PowerAction::Off, BootOverride::default()).await.unwrap();
    assert_eq!(own.names(), ["set_device_info"]);
}

#[tokio::test]
async fn the_port_is_what_discovery_says_when_nobody_gave_one() {
    let fake = FakePlug::start(Plug::new(klap())).await;
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let discovery_port = socket.local_addr().unwrap().port();
    let port = fake.port;
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
            let json = json!({ "error_code": 0, "result": { "mgt_encrypt_schm": { "http_port": port } } });
            let datagram = [[0; 16].as_slice(), json.to_string().as_bytes()].concat();
            socket.send_to(&datagram, from).await.unwrap();
        }
    });
    // No one listens on port 80 of this loopback address.
    let config = TapoConfig { port: None, discovery_port, ..config(port) };
    let mut device = Plugs::new(quick()).open(&config, context("node-1", no_pace(), &Metrics::new()));
    device.order(PowerAction::On, BootOverride::default()).await.unwrap();
    assert!(fake.plug().on);
}
