//! A simulated plug that is offline, asleep, restarting, replaced by another one or at another address.

use std::net::Ipv4Addr;
use std::time::Duration;

use plugfish::testing::sim::{
    Action, Cause, Fault, Model, Plug, PlugConfig, PowerLoss, Rack, RackConfig, RackError, Selector, Variant,
};
use serde_json::json;

use super::discovery::{ask, probe};
use super::raw::{Broken, Client, Failure, Http};
use super::{EMAIL, PASSWORD, config, rack};

async fn login(plug: &Plug) -> Result<Client, Failure> {
    Client::login(plug.address(), plug.variant(), EMAIL, PASSWORD).await
}

async fn refuses(plug: &Plug) -> bool {
    Http::new(plug.address()).post("/", &[], b"{}").await.err() == Some(Broken::Refused)
}

/// Waits until the sockets have followed an order, which takes a moment.
async fn until_it_refuses(plug: &Plug) {
    for _ in 0..100 {
        if refuses(plug).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it still takes connections");
}

async fn until_it_answers(plug: &Plug) {
    for _ in 0..500 {
        if Http::new(plug.address()).post("/", &[], b"{}").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come back");
}

#[tokio::test]
async fn offline_and_back_keeps_the_session() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let mut client = login(&plug).await.unwrap();
    plug.set_offline(true);
    until_it_refuses(&plug).await;
    assert!(client.get("get_device_info").await.is_err(), "the connection was cut");
    let discovery = plug.discovery_address().unwrap();
    assert_eq!(ask(discovery, &probe(), Duration::from_millis(100)).await, None);
    plug.set_offline(false);
    until_it_answers(&plug).await;
    assert!(plug.is_logged_in());
}

#[tokio::test]
async fn refusing_leaves_discovery() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    plug.set_refusing(true);
    until_it_refuses(&plug).await;
    assert!(ask(plug.discovery_address().unwrap(), &probe(), Duration::from_secs(5)).await.is_some());
    assert!(refuses(&plug).await, "a probe does not help against this");
    plug.set_refusing(false);
    until_it_answers(&plug).await;
}

#[tokio::test]
async fn a_sleeping_plug_is_woken_by_discovery() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    plug.fall_asleep(Duration::from_millis(200));
    until_it_refuses(&plug).await;
    // Real time, since the plug is on real sockets: it does not wake by itself.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(refuses(&plug).await);
    assert!(ask(plug.discovery_address().unwrap(), &probe(), Duration::from_secs(5)).await.is_some());
    assert!(refuses(&plug).await, "waking takes a while");
    until_it_answers(&plug).await;
    login(&plug).await.unwrap();
}

#[tokio::test]
async fn a_power_cut_drops_relay_and_session() {
    for (power_loss, after) in [(PowerLoss::LastState, true), (PowerLoss::On, true), (PowerLoss::Off, false)] {
        let (_rack, plug) = rack(PlugConfig { power_loss, ..config(Model::P110, Variant::KlapV2) }).await;
        let mut client = login(&plug).await.unwrap();
        plug.cut_power(Duration::from_millis(200));
        assert_eq!(plug.relay(1), Some(false));
        assert!(client.get("get_device_info").await.is_err());
        until_it_answers(&plug).await;
        assert_eq!(plug.relay(1), Some(after), "{power_loss:?}");
        client.http.stream = None;
        assert_eq!(client.get("get_device_info").await, Err(Failure::Status(403)));
        let history = plug.history(1);
        if after {
            let [.., off, on] = history.as_slice() else { panic!() };
            assert_eq!((off.cause, on.cause), (Cause::PowerLost, Cause::PowerBack));
            assert_eq!(on.at.since(off.at), Duration::from_millis(200));
        }
    }
}

#[tokio::test]
async fn a_restart_may_hold_the_relay() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let mut client = login(&plug).await.unwrap();
    plug.add_fault(Fault::once(
        Selector::Method("get_device_info".into()),
        Action::Reboot { offline_ms: 150, keeps_relay: true },
    ));
    assert!(matches!(client.get("get_device_info").await, Err(Failure::Broken(_))));
    assert!(refuses(&plug).await);
    until_it_answers(&plug).await;
    assert_eq!((plug.relay(1), plug.history(1).len()), (Some(true), 1));
    let info = login(&plug).await.unwrap().get("get_device_info").await.unwrap();
    assert!(info["result"]["on_time"].as_u64().unwrap() < 60, "its counters began again");
}

#[tokio::test]
async fn a_client_may_ask_for_a_restart() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let mut client = login(&plug).await.unwrap();
    let reboot = json!({"method": "device_reboot", "params": {"delay": 0}});
    let answer = client.call(reboot).await;
    // With no delay the restart may overtake the answer.
    assert!(matches!(answer, Ok(_) | Err(Failure::Broken(_))), "{answer:?}");
    until_it_refuses(&plug).await;
    assert!(!plug.is_logged_in());
    assert_eq!(plug.relay(1), Some(true));
}

#[tokio::test]
async fn the_variant_may_change_under_a_client() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let mut client = login(&plug).await.unwrap();
    plug.set_variant(Variant::Tpap);
    assert_eq!(client.get("get_device_info").await, Err(Failure::Status(403)));
    assert_eq!(Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.err(), Some(Failure::Status(403)));
    let mut client = login(&plug).await.unwrap();
    assert_eq!(client.set(false).await.unwrap()["error_code"], 0);
    assert_eq!(plug.relay(1), Some(false), "it is the same plug");
    assert!(plug.describe().firmware.starts_with("1.4.0 "));
    plug.set_variant(Variant::Passthrough);
    login(&plug).await.unwrap().get("get_device_info").await.unwrap();
}

#[tokio::test]
async fn the_address_may_change() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let old = plug.address();
    let mut client = login(&plug).await.unwrap();
    let [.., a, b] = std::process::id().to_be_bytes();
    let new = plug.move_to(Ipv4Addr::new(127, 40, a, b), 0).await.unwrap();
    assert_ne!(new, old);
    assert_eq!(plug.address(), new);
    assert!(client.get("get_device_info").await.is_err(), "the connection was cut");
    assert_eq!(Http::new(old).post("/", &[], b"{}").await.err(), Some(Broken::Refused));
    assert_eq!(plug.discovery_address().unwrap().ip(), new.ip());
    let mut client = login(&plug).await.unwrap();
    let info = client.get("get_device_info").await.unwrap();
    assert_eq!(info["result"]["ip"], new.ip().to_string());
    assert!(matches!(plug.move_to(Ipv4Addr::new(192, 0, 2, 1), 0).await, Err(RackError::Bind { .. })));
    assert_eq!(plug.address(), new, "it stays where it is");
}

#[tokio::test]
async fn a_rack_ends_with_its_handle() {
    let (rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let mut http = Http::new(plug.address());
    http.post("/", &[], b"{}").await.unwrap();
    rack.stop().await;
    assert!(refuses(&plug).await);
    assert!(http.post("/", &[], b"{}").await.is_err());
    assert!(matches!(plug.move_to(Ipv4Addr::LOCALHOST, 0).await, Err(RackError::Stopped)));
}

#[tokio::test]
async fn names_are_unique_and_racks_bounded() {
    let plug = || PlugConfig::new("n1", Model::P100, Variant::KlapV2);
    let twice = Rack::start(RackConfig::new(1).with(plug()).with(plug())).await;
    assert!(matches!(twice, Err(RackError::SameName(name)) if name == "n1"));
    let many = RackConfig { plugs: vec![plug(); 1001], ..RackConfig::new(1) };
    assert!(matches!(Rack::start(many).await, Err(RackError::TooMany(1001))));
}

#[tokio::test]
async fn a_seed_makes_the_same_rack_again() {
    let rack = |seed| async move {
        let plug = PlugConfig::new("n1", Model::P110, Variant::KlapV2);
        let rack = Rack::start(RackConfig::new(seed).with(plug)).await.unwrap();
        (rack.plugs()[0].mac(), rack.plugs()[0].device_id())
    };
    assert_eq!(rack(1).await, rack(1).await);
    assert_ne!(rack(1).await, rack(2).await);
}
