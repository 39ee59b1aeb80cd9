//! The flight recorder: its content for every kind of device, its access, and the absence of secrets. A proxy between
//! the daemon and each device records the traffic, so that the secrets of these very sessions are known.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use plugfish::testing::daemon::NodePlan;
use plugfish::testing::driver::amt::AmtConfig;
use plugfish::testing::driver::tapo::TapoConfig;
use plugfish::testing::sim::{MachineConfig, Model, Profile, Variant};
use regex_lite::Regex;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::commands::run;
use crate::rig::{Rig, plug};

/// Everything that crossed all wires, in both directions.
type Wiretap = Arc<Mutex<Vec<u8>>>;

/// Puts a proxy before the device of a node.
fn tap(wiretap: &Wiretap, node: &mut NodePlan) {
    // On the same port, since TPAP names the plug's; no one else uses this address.
    let host = "127.53.0.1".to_owned();
    let (device, port, tapped) = if let Some(plug) = node.device.get::<TapoConfig>() {
        (plug.host.clone(), plug.port.unwrap(), TapoConfig { host: host.clone(), ..plug.clone() }.into())
    } else {
        let machine = node.device.get::<AmtConfig>().unwrap();
        (machine.host.clone(), machine.port.unwrap(), AmtConfig { host: host.clone(), ..machine.clone() }.into())
    };
    node.device = tapped;
    let device = format!("{device}:{port}");
    let listener = std::net::TcpListener::bind((host.as_str(), port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (listener, wiretap) = (TcpListener::from_std(listener).unwrap(), wiretap.clone());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(device) = TcpStream::connect(&device).await else { continue };
            let ((from_client, to_client), (from_device, to_device)) = (client.into_split(), device.into_split());
            tokio::spawn(copy(from_client, to_device, wiretap.clone()));
            tokio::spawn(copy(from_device, to_client, wiretap.clone()));
        }
    });
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, wiretap: Wiretap) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        wiretap.lock().unwrap().extend_from_slice(&buffer[..length]);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// What must not be shown of what was on the wires: session cookies, tokens, and all of what a login is made of.
fn wire_secrets(wire: &str) -> Vec<String> {
    let patterns = [
        "TP_SESSIONID=([^;\\s]+)",
        "[?]token=([^\\s]+)",
        "/stok=([^/\\s]+)",
        "(?:nonce|cnonce|response|realm|username)=\"([^\"]+)\"",
        "\"(?:key|request|response|user_random|user_share|user_confirm|dev_random|dev_salt|dev_share|dev_confirm|stok)\":\"([^\"]+)\"",
    ];
    let all = |pattern: &str| {
        let pattern = Regex::new(pattern).unwrap();
        pattern.captures_iter(wire).map(|found| found[1].to_owned()).collect::<Vec<_>>()
    };
    // `admin` is everyone's user name, and stands in the words of the machine's own log.
    patterns.iter().flat_map(|pattern| all(pattern)).filter(|secret| secret != "admin").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_shows_what_was_said_and_no_secret() {
    let wiretap = Wiretap::default();
    let plugs = [
        plug("through", Model::P100, Variant::Passthrough),
        plug("klap1", Model::P100, Variant::KlapV1),
        plug("klap2", Model::P110, Variant::KlapV2),
        plug("tpap", Model::P110, Variant::Tpap),
    ];
    let machine = |name: &str, profile, tls| MachineConfig { tls, ..MachineConfig::new(name, profile) };
    let machines = [machine("plain", Profile::Amt12, false), machine("tls", Profile::Amt16, true)];
    let rig = Rig::with_machines(plugs, machines, |node| tap(&wiretap, node)).await;
    rig.all_seen().await;
    let names = ["through", "klap1", "klap2", "tpap", "plain", "tls"];
    for name in names {
        assert_eq!(rig.reset(name, "ForceOff").await.0, StatusCode::NO_CONTENT, "{name}");
    }
    for name in names {
        rig.until(30, || async { rig.power(name).await == "Off" }).await;
        let trace = rig.get(&format!("/trace/{name}")).await.1;
        let exchanges = trace["exchanges"].as_array().unwrap();
        assert!((4..=16).contains(&exchanges.len()), "{trace:#}");
        let order = if names[4..].contains(&name) { "PowerState=8" } else { "{\"device_on\":false}" };
        let is_order = |exchange: &&Value| exchange["sent"].as_str().is_some_and(|sent| sent.contains(order));
        let sent = exchanges.iter().find(is_order).unwrap_or_else(|| panic!("{trace:#}"));
        assert!(matches!(sent["op"].as_str(), Some("set" | "order")) && sent["outcome"] == "ok", "{sent:#}");
        assert!(
            sent["answered"]
                .as_str()
                .is_some_and(|said| said.contains("error_code\":0") || said.contains("ReturnValue=0"))
        );
        let steps = exchanges.iter().filter(|exchange| exchange["op"] == "login").count();
        assert!(steps > 0 || names[4..].contains(&name), "{name} logged in: {trace:#}");
    }

    let wire = String::from_utf8_lossy(&wiretap.lock().unwrap()).into_owned();
    let mut secrets = wire_secrets(&wire);
    assert!(secrets.len() > 40, "the proxy saw only {}", secrets.len());
    let known = [
        "owner@example.com",
        "plugfish-demo",
        MachineConfig::PASSWORD,
        "plugfish-lab",
        "cGx1Z2Zpc2gtbGFi",
        "cGx1Z2Zpc2gtZGVtbw==",
    ];
    secrets.extend(known.map(str::to_owned));
    for name in &names[..4] {
        secrets.push(rig.plug(name).device_id());
        secrets.push(rig.plug(name).mac().map(|byte| format!("{byte:02X}")).join("-"));
    }
    for name in names {
        let trace = rig.get(&format!("/trace/{name}")).await.1.to_string();
        let told: Vec<&String> = secrets.iter().filter(|secret| trace.contains(secret.as_str())).collect();
        assert!(told.is_empty(), "{name}: {told:?} in {trace}");
        assert!(!trace.contains('@') && !trace.contains("Digest "), "{name}: {trace}");
    }
    let (code, out, err) = run(&rig, &["status", "klap2", "--trace"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("set_device_info") && out.contains("handshake1"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_there_with_its_words_and_only_an_administrator_sees_it() {
    let rig = Rig::settled([plug("n", Model::P110, Variant::KlapV2)]).await;
    rig.plug("n").set_refusing(true);
    let failed = || async {
        let trace = rig.get("/trace/n").await.1;
        trace["exchanges"].as_array().unwrap().iter().any(|e| {
            e["outcome"] == "unreachable"
                && e["status"].is_null()
                && e["remark"].as_str().is_some_and(|r| r.contains("no connection"))
        })
    };
    rig.until(10, failed).await;
    let as_whom = |name: &str, password: &str| {
        rig.client
            .request(Method::GET, rig.url("/trace/n"))
            .basic_auth(name, Some(password))
            .timeout(Duration::from_secs(10))
    };
    for (name, password, status) in [
        ("admin", "correct horse", StatusCode::OK),
        ("operator", "switches", StatusCode::FORBIDDEN),
        ("looker", "looks only", StatusCode::FORBIDDEN),
        ("looker", "wrong", StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(as_whom(name, password).send().await.unwrap().status(), status, "{name}");
    }
    assert_eq!(rig.get("/trace/absent").await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.get("/status/absent").await.0, StatusCode::NOT_FOUND);
}
