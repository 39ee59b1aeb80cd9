//! Discovery over UDP.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use plugfish::testing::sim::{Binding, Model, Plug, PlugConfig, Rack, RackConfig, Variant};
use serde_json::{Value, json};
use tokio::net::UdpSocket;

use super::{config, rack};

const KEY: &str = include_str!("../../fixtures/sim/discovery_key_spki.pem");

/// A probe that is in order.
pub fn probe() -> Vec<u8> {
    let body = json!({"params": {"rsa_key": KEY}}).to_string().into_bytes();
    let mut datagram = vec![2, 0, 0, 1];
    datagram.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    datagram.extend_from_slice(&[0x11, 0, 1, 2, 3, 4]);
    datagram.extend_from_slice(&0x5a6b_7c8d_u32.to_be_bytes());
    datagram.extend_from_slice(&body);
    let crc = crc32fast::hash(&datagram);
    datagram[12..16].copy_from_slice(&crc.to_be_bytes());
    datagram
}

/// Sends a datagram and waits for the answer, which does not come if the datagram was not in order.
pub async fn ask(to: SocketAddr, datagram: &[u8], patience: Duration) -> Option<(Vec<u8>, SocketAddr)> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    socket.send_to(datagram, to).await.unwrap();
    let mut buffer = [0; 2048];
    let got = tokio::time::timeout(patience, socket.recv_from(&mut buffer)).await.ok()?.unwrap();
    Some((buffer[..got.0].to_vec(), got.1))
}

async fn announced(plug: &Plug) -> Value {
    let address = plug.discovery_address().expect("a loopback address of its own has the port free");
    let (datagram, from) = ask(address, &probe(), Duration::from_secs(5)).await.unwrap();
    assert_eq!(from, address, "it answers from the port of discovery");
    assert_eq!(datagram[8..12], [1, 2, 3, 4], "with the probe's serial number");
    serde_json::from_slice::<Value>(&datagram[16..]).unwrap()["result"].clone()
}

#[tokio::test]
async fn every_variant_announces_itself() {
    let cases = [
        (Variant::Passthrough, "AES", None, None),
        (Variant::KlapV1, "KLAP", None, None),
        (Variant::KlapV2, "KLAP", Some(2), None),
        (Variant::Tpap, "TPAP", Some(2), Some(true)),
    ];
    for (variant, kind, lv, preferred) in cases {
        let (_rack, plug) = rack(config(Model::P110, variant)).await;
        let said = announced(&plug).await;
        let scheme = &said["mgt_encrypt_schm"];
        assert_eq!(scheme["encrypt_type"], kind);
        assert_eq!(scheme["lv"].as_u64(), lv, "{variant:?}");
        assert_eq!(scheme["http_port"], plug.address().port());
        assert_eq!(said["tpap_preferred"].as_bool(), preferred, "{variant:?}");
        assert_eq!(said["tpap"]["port"].as_u64(), preferred.map(|_| u64::from(plug.address().port())), "{variant:?}");
        assert_eq!(said["device_model"], "P110(EU)");
        assert_eq!(said["device_type"], "SMART.TAPOPLUG");
        assert_eq!(said["ip"], plug.address().ip().to_string());
        let mac = plug.mac().map(|byte| format!("{byte:02X}")).join("-");
        assert_eq!(said["mac"], mac);
        assert_ne!(said["device_id"], plug.device_id(), "the two ids have nothing to do with each other");
        assert_eq!(said["owner"], "B4F586CB26C6A350AF4F04F45E4B06C2", "the MD5 of the e-mail address");
    }
}

#[tokio::test]
async fn a_plug_without_an_owner_says_so() {
    let (_rack, plug) = rack(PlugConfig { bound: Binding::Blank, ..config(Model::P100, Variant::KlapV2) }).await;
    let said = announced(&plug).await;
    assert_eq!((said["owner"].clone(), said["device_model"].clone()), (json!(""), json!("P100")));
}

#[tokio::test]
async fn nonsense_gets_no_answer() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let address = plug.discovery_address().unwrap();
    let mut wrong_crc = probe();
    wrong_crc[13] ^= 1;
    let empty = hex::decode("020000010000000000000000463cb5d3").unwrap();
    for datagram in [b"hello".to_vec(), wrong_crc, empty, vec![0; 2048]] {
        // An answer on loopback takes a millisecond or two; waiting longer proves nothing more.
        assert_eq!(ask(address, &datagram, Duration::from_millis(100)).await, None);
    }
    assert_eq!((plug.counters().nonsense, plug.counters().probes), (4, 0));
    announced(&plug).await;
    assert_eq!(plug.counters().probes, 1);
}

#[tokio::test]
async fn a_rack_runs_without_discovery_and_says_so() {
    let (_rack, plug) = rack(PlugConfig { discovery_port: None, ..config(Model::P110, Variant::KlapV2) }).await;
    assert_eq!(plug.discovery_address(), None);
    assert!(plug.describe().note.unwrap().contains("discovery"));

    // A port that is taken: the plug is there, without discovery.
    let (_rack, first) = rack(config(Model::P110, Variant::KlapV2)).await;
    let std::net::IpAddr::V4(taken) = first.address().ip() else { panic!() };
    let (_rack, second) = rack(PlugConfig { address: Some(taken), ..config(Model::P110, Variant::KlapV2) }).await;
    assert_eq!(second.address().ip(), first.address().ip());
    assert_eq!(second.discovery_address(), None);
    assert!(second.describe().note.unwrap().contains("no discovery: cannot bind UDP"));

    // An address that this machine has not: 127.0.0.1 instead.
    let nowhere = Some(Ipv4Addr::new(192, 0, 2, 1));
    let (_rack, third) = rack(PlugConfig { address: nowhere, ..config(Model::P110, Variant::KlapV2) }).await;
    assert_eq!(third.address().ip(), Ipv4Addr::LOCALHOST);
    assert!(third.describe().note.unwrap().contains("cannot listen on 192.0.2.1"));
}

#[tokio::test]
async fn a_rack_answers_a_broadcast_plug_by_plug() {
    // No one sends broadcasts here: any free loopback address stands in for the broadcast address.
    let [.., high, low] = std::process::id().to_be_bytes();
    let target = Ipv4Addr::new(127, 41, high, low);
    let mut rack_config = RackConfig { broadcast: Some(target), ..RackConfig::new(7) };
    for name in ["n1", "n2", "n3"] {
        rack_config = rack_config.with(PlugConfig::new(name, Model::P110, Variant::KlapV2));
    }
    let rack = Rack::start(rack_config).await.unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    socket.send_to(&probe(), (target, 20002)).await.unwrap();
    let mut from = Vec::new();
    let mut buffer = [0; 2048];
    for _ in rack.plugs() {
        let got = tokio::time::timeout(Duration::from_secs(5), socket.recv_from(&mut buffer)).await.unwrap().unwrap();
        from.push(Some(got.1));
    }
    let plugs: Vec<_> = rack.plugs().iter().map(|plug| plug.discovery_address()).collect();
    assert_eq!(from, plugs);
}
