//! What people type against a running daemon: the real program as its own client.

use std::net::Ipv4Addr;
use std::process::{Command, Output};

use plugfish::sim::{AMT_PORT, AMT_TLS_PORT, MachineConfig, Model, PlugConfig, Profile, Rack, RackConfig, Variant};

use crate::rig::{PASSWORD, Rig, USER, klap};

fn plugfish(rig: &Rig, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugfish"));
    command.args(arguments).args(["--url", &format!("http://{}", rig.address), "--username", USER]);
    command.env("PLUGFISH_PASSWORD", PASSWORD).env_remove("PLUGFISH_PASSWORD_FILE").output().unwrap()
}

pub async fn run(rig: &Rig, arguments: &'static [&'static str]) -> (Option<i32>, String, String) {
    // The rack lives on this thread's runtime, so the program must not be waited for on it.
    let output = tokio::task::block_in_place(|| plugfish(rig, arguments));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_power_say_what_they_see_and_do() {
    let rig = Rig::settled([klap("a"), klap("b")]).await;
    let (code, out, _) = run(&rig, &["status"]).await;
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("NODE  POWER  HEALTH  WATTS"), "{out}");
    assert!(lines[1].starts_with("a     On     OK") && lines.len() == 3, "{out}");

    let (code, out, err) = run(&rig, &["power", "a", "off"]).await;
    assert_eq!((code, out.starts_with("a: Off after ")), (Some(0), true), "{out}{err}");
    assert_eq!(rig.plug("a").relay(1), Some(false));
    let (code, out, _) = run(&rig, &["power", "b", "cycle"]).await;
    assert_eq!((code, out.starts_with("b: On after ")), (Some(0), true), "{out}");
    assert_eq!(rig.plug("b").power_ons(1), Some(1));
    let (code, out, _) = run(&rig, &["power", "a", "on", "--no-wait"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "a: On accepted\n"));

    let (code, out, _) = run(&rig, &["status", "b", "--output", "json"]).await;
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, shown[0]["Id"].as_str()), (Some(0), Some("b")));

    let (code, _, err) = run(&rig, &["power", "c", "off"]).await;
    assert_eq!((code, err.as_str()), (Some(1), "plugfish: there is no node c; there are: a, b\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_what_to_do() {
    let rig = Rig::settled([klap("a")]).await;
    let program = || Command::new(env!("CARGO_BIN_EXE_plugfish"));
    let said = |command: &mut Command| {
        let output = tokio::task::block_in_place(|| command.output().unwrap());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let url = format!("http://{}", rig.address);
    let wrong = said(program().args(["status", "--url", &url]).env("PLUGFISH_PASSWORD", "wrong"));
    assert!(wrong.0 == Some(1) && wrong.1.contains("does not know this user name and password (admin)"), "{wrong:?}");
    assert!(!wrong.1.contains("wrong"));
    let none = said(program().args(["status", "--url", &url]).env_remove("PLUGFISH_PASSWORD"));
    assert!(none.1.contains("--password-file"), "{none:?}");
    let nobody = said(program().args(["status", "--url", "http://127.0.0.1:9"]).env("PLUGFISH_PASSWORD", "x"));
    assert!(nobody.1.contains("no plugfish answers at http://127.0.0.1:9"), "{nobody:?}");
    assert_eq!(said(program().args(["power", "a", "sideways"])).0, Some(2));
    assert_eq!(said(program().args(["check", "--config", "/nowhere/nodes.yaml"])).0, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discover_finds_both_kinds_and_its_entries_pass_the_probe() {
    let plug = PlugConfig {
        address: Some(Ipv4Addr::new(127, 51, 0, 1)),
        discovery_port: Some(20002),
        ..PlugConfig::new("p", Model::P110, Variant::KlapV2)
    };
    let machine = |name: &str, profile, tls, last| MachineConfig {
        address: Some(Ipv4Addr::new(127, 51, 0, last)),
        port: if tls { AMT_TLS_PORT } else { AMT_PORT },
        tls,
        ..MachineConfig::new(name, profile)
    };
    let config = RackConfig::new(7).with(plug);
    let config = config.with_machine(machine("old", Profile::Amt12, false, 2));
    let rack = Rack::start(config.with_machine(machine("new", Profile::Amt16, true, 3))).await.unwrap();
    let program = |arguments: &[&str]| {
        let output = tokio::task::block_in_place(|| {
            Command::new(env!("CARGO_BIN_EXE_plugfish")).args(arguments).output().unwrap()
        });
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = program(&["discover", "--network", "127.51.0.0/29", "--wait", "1"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for words in
        ["Tapo  127.51.0.1  P110", "AMT   127.51.0.2  12.0.67", "plain only", "AMT   127.51.0.3  16.1.25", "TLS only"]
    {
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(out.contains(&rack.machine("new").unwrap().fingerprint().unwrap()), "{out}");

    // What it prints is a configuration, but for the passwords.
    let entries = out.split_once("nodes:\n").unwrap().1;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nodes.yaml");
    let logins = "defaults:\n  amt: { password: Plugfish-Demo1 }\n  tapo: { username: owner@example.com, password: plugfish-demo }";
    std::fs::write(&file, format!("{logins}\nnodes:\n{entries}")).unwrap();
    let (code, out, err) = program(&["check", "--probe", "--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("Intel AMT  16.1.25.1424  WS-Man over TLS  -"), "{out}");
    assert_eq!(out.matches(": admin control mode").count(), 2, "{out}");
    assert!(out.contains("12.0.67") && out.contains("KLAP"), "{out}");
    rack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_needs_no_password_and_no_trust() {
    let tls = Some(plugfish::daemon::TlsPlan::SelfSigned);
    let mut rig = Rig::over(tls, [], [], |_| {}).await;
    let url = rig.url("");
    let health = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_plugfish"));
        let output = tokio::task::block_in_place(|| program.args(["health", "--url", &url]).output().unwrap());
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    assert_eq!(health(), (Some(0), "ok\n".into()));
    rig.stop();
    let (code, said) = health();
    assert!(code == Some(1) && said.contains("no plugfish answers at https://127.0.0.1:"), "{said}");
}
