//! The real program on a slow disk: each sync is delayed by a library that is loaded into it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use plugfish::testing::clock::Clock;
use plugfish::testing::sim::{Action, Fault, Selector};
use reqwest::StatusCode;
use serde_json::json;

use crate::program::{Daemon, configure, log, rack, until};

/// Builds the library that makes syncs slow.
fn library(dir: &Path) -> PathBuf {
    let library = dir.join("slow_disk.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/slow_disk.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).args([source, "-ldl"]).output();
    let built = built.expect("the C compiler with which Rust links");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

/// How long each sync takes from now on.
fn pause(dir: &Path, millis: u32) {
    std::fs::write(dir.join("pause"), millis.to_string()).unwrap();
}

/// The program with the library in it.
fn slowed(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugfish"));
    command.args(["--log-format", "json", "serve", "--config"]).arg(dir.join("nodes.yaml"));
    command.env("LD_PRELOAD", library(dir)).env("SYNC_PAUSE", dir.join("pause")).stdout(Stdio::null());
    command.stderr(std::fs::OpenOptions::new().append(true).create(true).open(dir.join("log")).unwrap());
    command
}

#[tokio::test]
async fn a_slow_disk_delays_commands_and_starts_and_loses_nothing() {
    const SYNC: u32 = 400;
    let rack = rack().await;
    let (plug, dir) = (&rack.plugs()[0], configure(&rack));
    pause(dir.path(), 0);
    let daemon = Daemon::of(slowed(dir.path()).spawn().unwrap(), dir.path()).await;
    until(10, "first contact", async || daemon.system().await["PowerState"] == "On").await;
    let token = daemon.log_in().await;
    pause(dir.path(), SYNC);
    plug.add_fault(Fault::always(Selector::Any, Action::Drop)); // only the journal can bring the command about
    let clock = Clock::system();
    let start = clock.now().mono;
    let reads = async {
        for _ in 0..10 {
            let start = clock.now().mono;
            assert_eq!(daemon.system().await["PowerState"], "On");
            assert!(
                clock.now().mono.since(start) < Duration::from_millis(u64::from(SYNC)),
                "a read waited for the disk"
            );
        }
    };
    let (accepted, ()) = tokio::join!(daemon.reset("ForceOff"), reads);
    assert_eq!(accepted, Some(StatusCode::NO_CONTENT), "{}", log(dir.path()));
    assert!(clock.now().mono.since(start) >= Duration::from_millis(u64::from(SYNC)), "answered before it was durable");
    daemon.kill();
    plug.clear_faults();
    // A start syncs a dozen times, and opens the database again right after it was closed.
    let daemon = Daemon::of(slowed(dir.path()).spawn().unwrap(), dir.path()).await;
    until(15, "off", async || plug.relay(1) == Some(false) && daemon.system().await["PowerState"] == "Off").await;
    let system = daemon.client.get(format!("{}/redfish/v1/Systems/n", daemon.url)).header("x-auth-token", &token);
    assert_eq!(system.send().await.unwrap().status(), StatusCode::OK, "the login was durable");
    daemon.kill();
}

#[tokio::test]
async fn what_is_told_about_sessions_outlives_a_kill() {
    let rack = rack().await;
    let dir = configure(&rack);
    let daemon = Daemon::start(dir.path()).await;
    let get = async |daemon: &Daemon, token: &str| {
        let system = daemon.client.get(format!("{}/redfish/v1/Systems/n", daemon.url)).header("x-auth-token", token);
        system.send().await.unwrap().status()
    };
    let (stays, ends, changed) = (daemon.log_in().await, daemon.log_in().await, daemon.log_in().await);
    let sessions = daemon.get("/redfish/v1/SessionService/Sessions").await;
    let second = sessions["Members"][1]["@odata.id"].as_str().unwrap().to_owned();
    let request = daemon.client.delete(format!("{}{second}", daemon.url)).header("x-auth-token", &stays);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let gone: Vec<&String> = {
        let mut gone = Vec::new();
        for token in [&stays, &ends, &changed] {
            if get(&daemon, token).await == StatusCode::UNAUTHORIZED {
                gone.push(token);
            }
        }
        gone
    };
    assert_eq!(gone.len(), 1);
    daemon.kill();
    let daemon = Daemon::start(dir.path()).await;
    for token in [&stays, &ends, &changed] {
        let wanted = if gone.contains(&token) { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        assert_eq!(get(&daemon, token).await, wanted, "{}", log(dir.path()));
    }
    let account = format!("{}/redfish/v1/AccountService/Accounts/admin", daemon.url);
    let change = daemon.client.patch(account).basic_auth("admin", Some("secret"));
    let change = change.json(&json!({ "Password": "another secret" })).send().await.unwrap();
    assert!(change.status().is_success(), "{}", change.status());
    daemon.kill();
    let daemon = Daemon::start(dir.path()).await;
    for token in [&stays, &ends, &changed] {
        assert_eq!(get(&daemon, token).await, StatusCode::UNAUTHORIZED, "a changed password ends sessions");
    }
    daemon.kill();
}
