//! Machines behind a meter: the state shown after a shutdown from within, how such a machine is started, and how it is
//! asked to shut down.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use plugfish::testing::daemon::NodePlan;
use plugfish::testing::node::{AfterShutdown, Graceful, PowerPolicy, PowerSource, ShutdownHook, Watts};
use plugfish::testing::sim::{ComputerAct, ComputerConfig, ComputerState, OnShutdown, Plug, PlugConfig};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::rig::{Rig, klap};

/// Shorter than nodes.yaml allows, so that a test is quick; everything here waits for real sockets.
const SETTLE: Duration = Duration::from_secs(2);

fn policy(source: PowerSource, graceful: Option<Graceful>) -> PowerPolicy {
    PowerPolicy { source, watts: Some(Watts { off_below: 3_000, on_above: 8_000, settle: SETTLE }), graceful }
}

fn quick(name: &str) -> PlugConfig {
    let boot = Some(Duration::from_millis(1_500));
    let idle_mw = Some(20_000);
    let computer = ComputerConfig { boot, idle_mw, shutdown: Duration::from_millis(150), ..ComputerConfig::default() };
    PlugConfig { meter_lag: Duration::ZERO, computer, ..klap(name) }
}

async fn measured() -> Rig {
    let rig =
        Rig::with([quick("n")], |node: &mut NodePlan| node.spec.policy = policy(PowerSource::Measured, None)).await;
    rig.until(10, || async { rig.power("n").await == "On" }).await;
    rig
}

async fn outlet(rig: &Rig) -> Value {
    let status = rig.get("/status/n").await.1;
    json!([status["power"], status["outlet"], status["power_source"]])
}

fn relay_changes(plug: &Plug) -> usize {
    plug.history(1).len() - 1
}

#[tokio::test]
async fn a_machine_that_shut_itself_down_is_off_until_it_is_started() {
    let rig = measured().await;
    let plug = rig.plug("n");
    assert_eq!(outlet(&rig).await, json!(["On", "On", "measured"]));
    plug.act(1, ComputerAct::ShutDown);
    rig.until(20, || async { rig.power("n").await == "Off" }).await;
    assert_eq!((outlet(&rig).await, relay_changes(plug)), (json!(["Off", "On", "measured"]), 0));
    let equipment = rig.get("/redfish/v1/PowerEquipment/RackPDUs").await.1;
    let pdu = equipment["Members"][0]["@odata.id"].as_str().unwrap().to_owned();
    assert_eq!(rig.get(&format!("{pdu}/Outlets/n")).await.1["PowerState"], "On", "the outlet is told as what it is");
    // Ironic sees an Off that it did not ask for, and asks for On.
    assert_eq!(rig.reset("n", "On").await.0, StatusCode::NO_CONTENT);
    rig.until(30, || async { rig.power("n").await == "On" }).await;
    assert_eq!(plug.computer(1), Some(ComputerState::Running));
    assert_eq!(relay_changes(plug), 2, "off and on again: {:?}", plug.history(1));
}

#[tokio::test]
async fn a_force_off_opens_the_relay_of_a_machine_that_is_off() {
    let rig = measured().await;
    let plug = rig.plug("n");
    plug.act(1, ComputerAct::ShutDown);
    rig.until(20, || async { rig.power("n").await == "Off" }).await;
    assert_eq!(rig.reset("n", "ForceOff").await.0, StatusCode::NO_CONTENT);
    rig.until(10, || async { plug.relay(1) == Some(false) }).await;
    rig.until(10, || async { outlet(&rig).await == json!(["Off", "Off", "measured"]) }).await;
    assert_eq!(rig.reset("n", "On").await.0, StatusCode::NO_CONTENT);
    rig.until(20, || async { rig.power("n").await == "On" }).await;
    assert_eq!(plug.computer(1), Some(ComputerState::Running));
}

/// What a hook does with its request.
#[derive(Clone, Copy, PartialEq)]
enum Hook {
    Obeys,
    SaysYes,
    Refuses,
    Hangs,
}

/// A hook on the machine behind this plug, and how often it was asked with its token.
async fn hook(plug: Arc<OnceLock<Arc<Plug>>>, mood: Hook) -> (ShutdownHook, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/shutdown", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = [0; 2048];
            let length = socket.read(&mut head).await.unwrap_or_default();
            let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
            count.fetch_add(
                usize::from(head.starts_with("post /shutdown") && head.contains("bearer t0ken")),
                Ordering::Relaxed,
            );
            if let Some(plug) = plug.get().filter(|_| mood == Hook::Obeys) {
                plug.act(1, ComputerAct::ShutDown);
            }
            if mood == Hook::Hangs {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            let status = if mood == Hook::Refuses { "403 Forbidden" } else { "200 OK" };
            let _ = socket.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
        }
    });
    (ShutdownHook::Http { url, token: Some("t0ken".into()) }, asked)
}

async fn polite(source: PowerSource, mood: Hook, after: AfterShutdown) -> (Rig, Arc<AtomicUsize>) {
    let plug = Arc::new(OnceLock::new());
    let (hook, asked) = hook(plug.clone(), mood).await;
    let graceful = Graceful { hook, deadline: Duration::from_secs(8), after };
    let rig = Rig::with([quick("n")], |node: &mut NodePlan| {
        node.spec.policy = policy(source, Some(graceful.clone()));
        node.device = node.device.clone().with_shutdown(graceful.hook.clone(), node.spec.kind.boot_targets.to_vec());
    })
    .await;
    let _ = plug.set(rig.plug("n").clone());
    rig.until(10, || async { offers(&rig, "GracefulShutdown").await }).await;
    (rig, asked)
}

async fn offers(rig: &Rig, reset: &str) -> bool {
    let system = rig.system("n").await;
    let values = &system["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"];
    values.as_array().is_some_and(|values| values.iter().any(|value| value == reset))
}

#[tokio::test]
async fn a_machine_is_asked_to_shut_down_and_cut_when_it_has() {
    for source in [PowerSource::Relay, PowerSource::Measured] {
        let (rig, asked) = polite(source, Hook::Obeys, AfterShutdown::Cut).await;
        let plug = rig.plug("n");
        assert_eq!(rig.reset("n", "GracefulShutdown").await.0, StatusCode::NO_CONTENT);
        rig.until(20, || async { plug.relay(1) == Some(false) }).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let states: Vec<ComputerState> = plug.computer_history(1).iter().map(|change| change.state).collect();
        let down = states.iter().position(|state| *state == ComputerState::ShuttingDown).unwrap();
        assert!(states[down + 1] == ComputerState::Off, "it shut down before anything was cut: {states:?}");
        rig.until(10, || async { rig.power("n").await == "Off" }).await;
        rig.until(10, || async { !offers(&rig, "GracefulShutdown").await }).await;
        assert_eq!(rig.reset("n", "On").await.0, StatusCode::NO_CONTENT);
        rig.until(20, || async { rig.power("n").await == "On" && plug.os_runs(1) }).await;
        assert_eq!(rig.reset("n", "GracefulRestart").await.0, StatusCode::NO_CONTENT);
        rig.until(30, || async { relay_changes(plug) == 4 }).await;
        rig.until(20, || async { rig.power("n").await == "On" && plug.computer(1) == Some(ComputerState::Running) })
            .await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn an_outlet_may_stay_on_after_a_shutdown() {
    let (rig, _) = polite(PowerSource::Measured, Hook::Obeys, AfterShutdown::Leave).await;
    let plug = rig.plug("n");
    assert_eq!(rig.reset("n", "GracefulShutdown").await.0, StatusCode::NO_CONTENT);
    rig.until(20, || async { outlet(&rig).await == json!(["Off", "On", "measured"]) }).await;
    rig.until(10, || async { rig.get("/status/n").await.1["command"].is_null() }).await;
    assert_eq!(relay_changes(plug), 0);
}

/// Five kinds of hooks and machines that do not do it: the command fails in words, and a machine that runs keeps its power.
#[tokio::test]
async fn a_machine_that_does_not_shut_down_is_never_cut() {
    for (mood, on_shutdown, words) in [
        (Hook::SaysYes, OnShutdown::Obeys, "draws"),
        (Hook::Refuses, OnShutdown::Obeys, "HTTP 403"),
        (Hook::Hangs, OnShutdown::Obeys, "draws"),
        (Hook::Obeys, OnShutdown::Ignores, "draws"),
        (Hook::Obeys, OnShutdown::Hangs, "draws"),
    ] {
        let (rig, _) = polite(PowerSource::Relay, mood, AfterShutdown::Cut).await;
        let plug = rig.plug("n");
        plug.set_on_shutdown(1, on_shutdown);
        assert_eq!(rig.reset("n", "GracefulShutdown").await.0, StatusCode::NO_CONTENT);
        let failed = async || rig.get("/status/n").await.1["conditions"].to_string();
        rig.until(40, || async { failed().await.contains("CommandFailed") }).await;
        let said = failed().await;
        assert!(said.contains(words), "{said}");
        assert_eq!((plug.relay(1), relay_changes(plug)), (Some(true), 0), "{said}");
        assert_eq!(rig.power("n").await, "On");
    }
}
