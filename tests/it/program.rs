//! The real program as a child of the test, on a folder with its configuration, state and log.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plugfish::sim::{Rack, RackConfig};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::rig::klap;

/// The program, running.
pub struct Daemon {
    pub child: Child,
    pub url: String,
    pub client: Client,
}

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
        let mut child = spawn(dir);
        let port = std::fs::read_to_string(dir.join("port")).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        for _ in 0..200 {
            let ready = client.get(format!("{url}/readyz")).send().await;
            if ready.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return Daemon { child, url, client };
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended: {}", log(dir));
            tokio::time::sleep(Duration::from_millis(25)).await; // a real process starts
        }
        panic!("not ready after 5 s: {}", log(dir));
    }

    pub async fn system(&self) -> Value {
        let request = self.client.get(format!("{}/redfish/v1/Systems/n", self.url)).basic_auth("admin", Some("secret"));
        request.send().await.unwrap().json().await.unwrap()
    }

    pub async fn reset(&self, kind: &str) -> Option<StatusCode> {
        let url = format!("{}/redfish/v1/Systems/n/Actions/ComputerSystem.Reset", self.url);
        let body = json!({ "ResetType": kind });
        let sent = self.client.post(url).basic_auth("admin", Some("secret")).json(&body).send().await;
        sent.ok().map(|answer| answer.status())
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}

/// A directory with a configuration for this rack.
pub fn configure(rack: &Rack) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let config = format!(
        "server: {{ listen: [\"127.0.0.1:{port}\"] }}\nstate_dir: state\n\
         accounts: [{{ username: admin, password: secret, role: Administrator }}]\n\
         defaults:\n  tapo: {{ username: owner@example.com, password: plugfish-demo }}\n  poll_interval: 5s\n  off_dwell: 1s\n\
         nodes: [{{ id: n, tapo: {{ address: \"{}\" }} }}]\n",
        rack.plugs()[0].address()
    );
    std::fs::write(dir.path().join("nodes.yaml"), config).unwrap();
    std::fs::write(dir.path().join("port"), port.to_string()).unwrap();
    dir
}

pub async fn rack() -> Rack {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Rack::start(RackConfig::new(3).with(klap("n"))).await.unwrap()
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
