//! The control API of the simulated rack, and the rack as a command.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use plugfish::testing::sim::{Cause, Model, PlugConfig, Rack, RackConfig, SimOptions, Variant};
use serde_json::{Value, json};

use super::raw::{Answer, Client, Http};

async fn rack() -> (Rack, Http) {
    let config = RackConfig { control: Some((Ipv4Addr::LOCALHOST, 0).into()), ..RackConfig::new(7) };
    let config = config.with(PlugConfig::new("n1", Model::P110, Variant::KlapV2));
    let rack = Rack::start(config.with(PlugConfig::new("n2", Model::P300, Variant::Tpap))).await.unwrap();
    let http = Http::new(rack.control().unwrap());
    (rack, http)
}

async fn get(http: &mut Http, method: &str, path: &str) -> Answer {
    http.send(format!("{method} {path} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap()
}

async fn order(http: &mut Http, path: &str, body: Value) -> (u16, Value) {
    let answer = http.post(path, &[], body.to_string().as_bytes()).await.unwrap();
    (answer.status, answer.json())
}

#[tokio::test]
async fn plugs_are_listed() {
    let (rack, mut http) = rack().await;
    let list = get(&mut http, "GET", "/plugs").await.json();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert_eq!(list[0]["address"], rack.plugs()[0].address().to_string());
    assert_eq!((list[1]["model"].clone(), list[1]["variant"].clone()), (json!("p300"), json!("tpap")));
    assert_eq!(list[1]["outlets"].as_array().unwrap().len(), 3);
    assert_eq!(get(&mut http, "GET", "/plugs/n1").await.json()["name"], "n1");
}

#[tokio::test]
async fn orders_are_obeyed() {
    let (rack, mut http) = rack().await;
    let (n1, n2) = (&rack.plugs()[0], &rack.plugs()[1]);
    assert_eq!(order(&mut http, "/plugs/n2/button", json!({"outlet": 2})).await.0, 200);
    assert_eq!((n2.relay(1), n2.relay(2)), (Some(true), Some(false)));
    let (_, said) = order(&mut http, "/plugs/n1/switch", json!({"outlet": 1, "on": false})).await;
    assert_eq!(said["outlets"][0]["on"], false);
    let history = get(&mut http, "GET", "/plugs/n1/history?outlet=1").await.json();
    assert_eq!(history[1]["cause"], json!(Cause::Test));
    assert_eq!(
        order(&mut http, "/plugs/n1/energy", json!({"outlet": 1, "wh": 5})).await.1["outlets"][0]["today_wh"],
        5
    );
    assert_eq!(order(&mut http, "/plugs/n1/variant", json!({"variant": "passthrough"})).await.0, 200);
    assert_eq!(n1.variant(), Variant::Passthrough);
    for (path, body) in [
        ("load", json!({"outlet": 1, "load": "welded"})),
        ("choke", json!({"requests_per_s_max": 9, "connections_max": null, "offline_ms": 5, "keeps_relay": true})),
        ("latency", json!({"ms": 1})),
        ("login", json!({"version": "v2"})),
        ("quirks", json!({"page_size": 1})),
        ("forget-session", json!({})),
        ("unlock", json!({})),
        ("sleep", json!({"wake_ms": 10})),
        ("offline", json!({"offline": true})),
        ("refuse", json!({"refusing": true})),
        ("reboot", json!({"offline_ms": 10, "keeps_relay": true})),
    ] {
        assert_eq!(order(&mut http, &format!("/plugs/n1/{path}"), body).await.0, 200, "{path}");
    }
    assert_eq!(get(&mut http, "DELETE", "/plugs/n1/choke").await.status, 200);
}

#[tokio::test]
async fn faults_and_counters_are_told_and_reset() {
    let (rack, mut http) = rack().await;
    let rule = json!({"on": {"method": "get_device_info"}, "action": {"error_code": -1301}, "times": 2});
    assert_eq!(order(&mut http, "/plugs/n1/fault", rule).await.0, 200);
    let plug = &rack.plugs()[0];
    let mut client =
        Client::login(plug.address(), Variant::KlapV2, "owner@example.com", "plugfish-demo").await.unwrap();
    assert_eq!(client.get("get_device_info").await.unwrap()["error_code"], -1301);
    let left = get(&mut http, "GET", "/plugs/n1/fault").await.json();
    assert_eq!(left[0]["times"], 1);
    let counters = get(&mut http, "GET", "/plugs/n1/counters").await.json();
    assert_eq!((counters["logins"].clone(), counters["by_kind"]["read"].clone()), (json!(1), json!(1)));
    assert_eq!(counters["requests_in_a_second_max"], 3);
    assert_eq!(get(&mut http, "DELETE", "/plugs/n1/fault").await.status, 200);
    assert_eq!(get(&mut http, "DELETE", "/plugs/n1/counters").await.status, 200);
    assert!(plug.faults().is_empty());
    assert_eq!(plug.counters().requests, 0);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_words() {
    let (_rack, mut http) = rack().await;
    for (path, body, status) in [
        ("/plugs/n3/button", json!({"outlet": 1}), 404),
        ("/plugs/n1/button", json!({"outlet": 2}), 404),
        ("/plugs/n1/button", json!({"outlet": 0}), 404),
        ("/plugs/n1/button", json!({}), 400),
        ("/plugs/n1/no-such-order", json!({}), 400),
        ("/plugs/n1/fault", json!({"on": "any", "action": "no such action"}), 400),
        ("/plugs/n1/move", json!({"address": "192.0.2.1", "port": 0}), 409),
        ("/elsewhere", json!({}), 404),
    ] {
        let (got, said) = order(&mut http, path, body).await;
        assert_eq!(got, status, "{path}: {said}");
        assert!(said["error"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
    }
    assert_eq!(get(&mut http, "DELETE", "/plugs").await.status, 405);
}

#[test]
fn kinds_are_read_as_people_write_them() {
    let written = [("p110:klap-v2", Model::P110, Variant::KlapV2), ("P304M:TPAP", Model::P304M, Variant::Tpap)];
    for (text, model, variant) in written {
        assert_eq!(SimOptions::kind(text).unwrap(), (model, variant));
    }
    for text in ["", "p110", "p110:", "p111:tpap", "p110:klap"] {
        let error = SimOptions::kind(text).unwrap_err().to_string();
        assert!(error.contains("passthrough, klap-v1, klap-v2 or tpap"), "{error}");
    }
}

#[tokio::test]
async fn options_make_a_rack_that_runs_until_it_is_told_to_stop() {
    let [.., high, low] = std::process::id().to_be_bytes();
    let base = Ipv4Addr::new(127, 39, high, low & 0x7f);
    let options = SimOptions { plugs: 8, base, latency: Duration::ZERO, ..SimOptions::default() };
    let (tell, told) = tokio::sync::oneshot::channel::<Vec<SocketAddr>>();
    let announce = |rack: &Rack| {
        let described = rack.describe();
        assert_eq!(described[6].name, "plug-7");
        assert_eq!((described[0].variant, described[6].variant), (Variant::KlapV2, Variant::KlapV2));
        tell.send(described.iter().map(|plug| plug.address).collect()).unwrap();
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = plugfish::testing::sim::run(options, announce, async { stopped.await.unwrap() });
    let look = async {
        let addresses = told.await.unwrap();
        let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
        assert_eq!(ips[7], std::net::IpAddr::from(Ipv4Addr::from(u32::from(base) + 7)));
        assert!(Http::new(addresses[7]).post("/", &[], b"{}").await.is_ok());
        stop.send(()).unwrap();
    };
    let (ran, ()) = tokio::join!(run, look);
    ran.unwrap();
}
