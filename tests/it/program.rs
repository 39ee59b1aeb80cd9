//! The real program as a child of the test, on a folder with its configuration, state and log.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use plugfish::testing::sim::{Plug, PlugConfig, Rack, RackConfig};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::rig::klap;

/// The program, running.
pub struct Daemon {
    pub child: Child,
    pub url: String,
    pub client: Client,
}

/// How often it is looked whether the program is ready: for ten seconds at least, which a slow disk may take.
const READY_TRIES: u32 = 400;

/// Starts the program.
pub fn spawn(dir: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_plugfish"))
        .args(["--log-format", "json", "serve", "--config"])
        .arg(dir.join("nodes.yaml"))
        .stderr(std::fs::OpenOptions::new().append(true).create(true).open(dir.join("log")).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

impl Daemon {
    /// Starts the program and waits until it is ready.
    pub async fn start(dir: &Path) -> Daemon {
        Daemon::of(spawn(dir), dir).await
    }

    /// Waits until a program that was started on this folder is ready.
    pub async fn of(mut child: Child, dir: &Path) -> Daemon {
        let port = std::fs::read_to_string(dir.join("port")).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        for _ in 0..READY_TRIES {
            let ready = client.get(format!("{url}/readyz")).send().await;
            if ready.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return Daemon { child, url, client };
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended: {}", log(dir));
            tokio::time::sleep(Duration::from_millis(25)).await; // a real process starts
        }
        panic!("not ready in time: {}", log(dir));
    }

    pub async fn system(&self) -> Value {
        self.get("/redfish/v1/Systems/n").await
    }

    pub async fn get(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}{path}", self.url)).basic_auth("admin", Some("secret"));
        request.send().await.unwrap().json().await.unwrap()
    }

    pub async fn reset(&self, kind: &str) -> Option<StatusCode> {
        self.reset_of("n", kind).await.map(|(status, _)| status)
    }

    pub async fn text(&self, path: &str) -> String {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap().text().await.unwrap()
    }

    /// The status and what was said; `None` when there was no answer.
    pub async fn reset_of(&self, node: &str, kind: &str) -> Option<(StatusCode, String)> {
        let url = format!("{}/redfish/v1/Systems/{node}/Actions/ComputerSystem.Reset", self.url);
        let body = json!({ "ResetType": kind });
        let sent = self.client.post(url).basic_auth("admin", Some("secret")).json(&body).send().await;
        let answer = sent.ok()?;
        Some((answer.status(), answer.text().await.ok()?))
    }

    /// The X-Auth-Token of a new session.
    pub async fn log_in(&self) -> String {
        let login = json!({ "UserName": "admin", "Password": "secret" });
        let sessions = format!("{}/redfish/v1/SessionService/Sessions", self.url);
        let answer = self.client.post(sessions).json(&login).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        answer.headers()["x-auth-token"].to_str().unwrap().to_owned()
    }

    /// A figure of /proc/PID/status; in kB for memory.
    pub fn proc_status(&self, field: &str) -> u64 {
        proc_status(&self.child, field)
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}

/// A figure of /proc/PID/status; in kB for memory.
pub fn proc_status(child: &Child, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).expect(&text);
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// A directory with a configuration for this rack: a node for each plug, called like it.
pub fn configure(rack: &Rack) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let node =
        |plug: &Arc<Plug>| format!("  - {{ id: {}, tapo: {{ address: \"{}\" }} }}\n", plug.name(), plug.address());
    let config = format!(
        "server: {{ listen: [\"127.0.0.1:{port}\"] }}\nstate_dir: state\n\
         accounts: [{{ username: admin, password: secret, role: Administrator }}]\n\
         defaults:\n  tapo: {{ username: owner@example.com, password: plugfish-demo }}\n  poll_interval: 5s\n  off_dwell: 1s\n\
         nodes:\n{}",
        rack.plugs().iter().map(node).collect::<String>()
    );
    std::fs::write(dir.path().join("nodes.yaml"), config).unwrap();
    std::fs::write(dir.path().join("port"), port.to_string()).unwrap();
    dir
}

pub async fn rack() -> Rack {
    rack_of([klap("n")]).await
}

pub async fn rack_of(plugs: impl IntoIterator<Item = PlugConfig>) -> Rack {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = RackConfig::new(3);
    config.plugs.extend(plugs);
    Rack::start(config).await.unwrap()
}

pub async fn until(secs: u64, what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..secs * 20 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await; // a real process at work
    }
    panic!("{what}: not within {secs} s");
}
