//! The real program killed with SIGKILL at random moments, and started on damaged files: acknowledged commands are
//! carried out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use plugfish::testing::clock::Clock;
use reqwest::{Client, StatusCode};

use crate::program::{Daemon, configure, log, rack, spawn, until};

/// Rounds in an ordinary run, with two kills each; `PLUGFISH_CRASH_ROUNDS=300` asks for more.
const ROUNDS: u64 = 8;

#[tokio::test]
async fn no_accepted_command_is_lost_to_a_kill_at_any_moment() {
    let rounds = std::env::var("PLUGFISH_CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let rack = rack().await;
    let plug = rack.plug("n").unwrap();
    let dir = configure(&rack);
    let clock = Clock::system();
    let kinds = ["ForceOff", "On", "PowerCycle", "ForceRestart", "PowerCycle"];
    for round in 0..rounds {
        let daemon = Daemon::start(dir.path()).await;
        until(10, "first contact", async || daemon.system().await["PowerState"].is_string()).await;
        let kind = kinds[usize::try_from(clock.below(kinds.len() as u64)).unwrap()];
        let accepted = daemon.reset(kind).await;
        let wait = clock.below(2500);
        tokio::time::sleep(Duration::from_millis(wait)).await; // the moment of the kill
        daemon.kill();
        assert_eq!(accepted, Some(StatusCode::NO_CONTENT), "{}", log(dir.path()));

        let daemon = Daemon::start(dir.path()).await;
        let goal = kind != "ForceOff";
        let words = if goal { "On" } else { "Off" };
        until(15, &format!("round {round}: {kind}, killed after {wait} ms"), async || {
            plug.relay(1) == Some(goal) && daemon.system().await["PowerState"] == words
        })
        .await;
        daemon.kill();
    }
    let dwells: Vec<Duration> =
        plug.history(1).windows(2).filter(|pair| !pair[0].on).map(|pair| pair[1].at.since(pair[0].at)).collect();
    assert!(dwells.iter().all(|dwell| *dwell >= Duration::from_millis(990)), "{dwells:?}");
}

#[tokio::test]
async fn damaged_state_does_not_keep_it_from_serving() {
    let rack = rack().await;
    let dir = configure(&rack);
    let daemon = Daemon::start(dir.path()).await;
    until(10, "first contact", async || daemon.system().await["PowerState"] == "On").await;
    assert_eq!(daemon.reset("ForceOff").await, Some(StatusCode::NO_CONTENT));
    until(10, "off", async || daemon.system().await["PowerState"] == "Off").await;
    daemon.kill();
    let state = dir.path().join("state");
    let damages: [(&str, Damage); 4] = [
        ("truncated", |file| {
            let open = std::fs::OpenOptions::new().write(true).open(file).unwrap();
            let length = open.metadata().unwrap().len();
            open.set_len(length / 2).unwrap();
        }),
        ("overwritten", |file| std::fs::write(file, vec![0x5a; 5000]).unwrap()),
        ("emptied", |file| std::fs::write(file, []).unwrap()),
        ("deleted", |file| std::fs::remove_file(file).unwrap()),
    ];
    for (name, damage) in damages {
        for file in files(&state).iter().filter(|file| file.exists()) {
            damage(file);
        }
        let daemon = Daemon::start(dir.path()).await;
        until(10, name, async || daemon.system().await["PowerState"] == "Off").await;
        daemon.kill();
    }
    std::fs::remove_dir_all(&state).unwrap();
    let daemon = Daemon::start(dir.path()).await;
    until(10, "all gone", async || daemon.system().await["PowerState"] == "Off").await;
    daemon.kill();
}

/// What is done to a file.
type Damage = fn(&Path);

/// All files of the state but those that were put aside.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() && !entry.to_string_lossy().contains("quarantine") {
            found.extend(files(&entry));
        } else if entry.is_file() {
            found.push(entry);
        }
    }
    found
}

#[tokio::test]
async fn two_daemons_on_one_state_and_a_bad_file_are_said_in_a_sentence() {
    let rack = rack().await;
    let dir = configure(&rack);
    let daemon = Daemon::start(dir.path()).await;
    let second = |config: &str| {
        let run = Command::new(env!("CARGO_BIN_EXE_plugfish"))
            .args(["serve", "--config"])
            .arg(dir.path().join(config))
            .output();
        let run = run.unwrap();
        (run.status.code(), String::from_utf8(run.stderr).unwrap())
    };
    let (code, said) = second("nodes.yaml");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("state") && said.lines().last().unwrap().starts_with("plugfish: "), "{said}");
    std::fs::write(dir.path().join("bad.yaml"), "nodes:\n  - id: x\n    tapo: { adress: a }\n").unwrap();
    let (code, said) = second("bad.yaml");
    assert_eq!(code, Some(2));
    assert!(said.contains("bad.yaml:3: nodes[0].tapo.adress: unknown key, did you mean \"address\"?"), "{said}");
    daemon.kill();
}

#[tokio::test]
async fn https_with_a_certificate_of_its_own_and_with_one_from_files() {
    let rack = rack().await;
    let dir = configure(&rack);
    let file = dir.path().join("nodes.yaml");
    let plain = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, plain.replace("server: {", "server: { tls: { self_signed: true },")).unwrap();
    let trusts = |certificate: PathBuf| {
        let pem = std::fs::read(certificate).unwrap();
        let trusted = reqwest::Certificate::from_pem_bundle(&pem).unwrap();
        Client::builder().no_proxy().tls_certs_only(trusted).build().unwrap()
    };
    let port = std::fs::read_to_string(dir.path().join("port")).unwrap();
    let url = format!("https://127.0.0.1:{port}/redfish/v1/");
    let mut child = spawn(dir.path());
    let own = dir.path().join("state/self-signed.crt");
    until(5, "a certificate", async || own.exists()).await;
    until(5, "https", async || trusts(own.clone()).get(&url).send().await.is_ok_and(|answer| answer.status() == 200))
        .await;
    child.kill().unwrap();
    child.wait().unwrap();

    // The same pair as if it were someone else's, beside the file.
    for name in ["self-signed.crt", "self-signed.key"] {
        std::fs::copy(dir.path().join("state").join(name), dir.path().join(name)).unwrap();
    }
    let files = "server: { tls: { certificate: self-signed.crt, key: self-signed.key },";
    std::fs::write(&file, plain.replace("server: {", files)).unwrap();
    let mut child = spawn(dir.path());
    let copy = dir.path().join("self-signed.crt");
    until(5, "https", async || trusts(copy.clone()).get(&url).send().await.is_ok_and(|answer| answer.status() == 200))
        .await;
    child.kill().unwrap();
    child.wait().unwrap();
}
