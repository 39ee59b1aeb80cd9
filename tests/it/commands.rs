//! The command line against a running daemon: the real program as its own client.

use std::net::Ipv4Addr;
use std::process::{Command, Output};

use plugfish::testing::sim::{
    AMT_PORT, AMT_TLS_PORT, MachineConfig, MachineQuirks, Model, PlugConfig, Profile, Rack, RackConfig, Variant,
};

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
    assert!(lines[0].starts_with("NODE  POWER  WANTED  WATTS  AGE  DEVICE  NOTE"), "{out}");
    assert!(lines[1].starts_with("a     On     -") && lines[1].contains("up") && lines.len() == 3, "{out}");
    assert!(!out.contains('\x1b') && lines.iter().all(|line| line.chars().count() <= 80), "{out}");

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
    assert_eq!((code, shown["node"].as_str(), shown["power"].as_str()), (Some(0), Some("b"), Some("On")));
    let (_, out, _) = run(&rig, &["status", "--output", "json"]).await;
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    let node = &shown["nodes"][1];
    let keys: Vec<&String> = node.as_object().unwrap().keys().collect();
    let promised = [
        "age_seconds",
        "boot",
        "command",
        "conditions",
        "device",
        "energy_wh",
        "health",
        "node",
        "outlet",
        "power",
        "power_source",
        "resets",
        "seen",
        "since",
        "watts",
    ];
    assert_eq!(keys, promised, "what docs/commands.md promises to scripts");
    let (code, out, _) = run(&rig, &["status", "b"]).await;
    assert_eq!((code, out.starts_with("Node      b\nPower     On since 20")), (Some(0), true), "{out}");
    assert!(out.contains("nothing is pending") && out.contains("KLAP v2"), "{out}");

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
    let unanswered = said(program().args(["status", "--url", "http://127.0.0.1:9"]).env("PLUGFISH_PASSWORD", "x"));
    assert!(unanswered.1.contains("no plugfish answers at http://127.0.0.1:9"), "{unanswered:?}");
    assert_eq!(said(program().args(["power", "a", "sideways"])).0, Some(2));
    assert_eq!(said(program().args(["check", "--config", "/nowhere/nodes.yaml"])).0, Some(2));
}

/// A program that runs beside the test; what it has printed so far is in the file.
struct Aside {
    child: std::process::Child,
    out: tempfile::NamedTempFile,
    err: tempfile::NamedTempFile,
}

impl Aside {
    fn start(rig: &Rig, arguments: &[&str]) -> Aside {
        let (out, err) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_plugfish"));
        command.args(arguments).args(["--url", &format!("http://{}", rig.address), "--username", USER]);
        command.env("PLUGFISH_PASSWORD", PASSWORD).env_remove("PLUGFISH_PASSWORD_FILE");
        let child = command.stdout(out.reopen().unwrap()).stderr(err.reopen().unwrap()).spawn().unwrap();
        Aside { child, out, err }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.out.path()).unwrap()
    }

    fn remarked(&self) -> String {
        std::fs::read_to_string(self.err.path()).unwrap()
    }

    /// Ctrl-C, and how it ends.
    fn interrupt(mut self) -> Option<i32> {
        let id = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        tokio::task::block_in_place(|| self.child.wait().unwrap()).code()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watching_goes_on_over_a_restart_of_the_daemon() {
    let mut rig = Rig::settled([klap("a"), klap("b")]).await;
    let lines = Aside::start(&rig, &["status", "--watch"]);
    let objects = Aside::start(&rig, &["status", "--watch", "--output", "json"]);
    rig.until(10, || async { lines.said().lines().count() == 2 && objects.said().lines().count() == 2 }).await;
    rig.plug("a").press_button(1);
    rig.until(15, || async { lines.said().lines().any(|line| line.contains("  a  Off  up")) }).await;
    assert!(!lines.said().contains('\x1b'), "{}", lines.said());
    rig.until(10, || async { objects.said().lines().count() >= 3 }).await;
    let last: serde_json::Value = serde_json::from_str(objects.said().lines().last().unwrap()).unwrap();
    assert_eq!((last["node"].as_str(), last["power"].as_str()), (Some("a"), Some("Off")));

    let sessions = rig.get("/redfish/v1/SessionService/Sessions").await.1;
    assert_eq!(sessions["Members@odata.count"], 2, "one for each of the two");
    rig.stop();
    rig.until(15, || async { lines.remarked().contains("no plugfish answers") }).await;
    rig.restart_there().await;
    rig.all_seen().await;
    rig.plug("b").press_button(1);
    rig.until(20, || async { lines.said().lines().any(|line| line.contains("  b  Off  up")) }).await;
    assert_eq!(lines.remarked().matches("no plugfish answers").count(), 1, "{}", lines.remarked());
    assert_eq!((lines.interrupt(), objects.interrupt()), (Some(0), Some(0)));
    let sessions = rig.get("/redfish/v1/SessionService/Sessions").await.1;
    assert_eq!(sessions["Members@odata.count"], 0, "they log out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_tell_what_was_and_follow_what_is() {
    let mut rig = Rig::settled([klap("a"), klap("b")]).await;
    let (code, out, err) = run(&rig, &["power", "a", "off"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, out, err) = run(&rig, &["events", "a"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let keys: Vec<&str> = out.lines().filter_map(|line| line.split("  ").nth(2)).collect();
    let at = |key| keys.iter().position(|own| *own == key).unwrap_or_else(|| panic!("{key}: {out}"));
    assert!(at("CommandAccepted") < at("ResourcePoweredOff") && at("CommandAccepted") < at("CommandDone"), "{out}");
    assert!(out.lines().all(|line| line.split("  ").nth(1) == Some("a")), "{out}");

    let follower = Aside::start(&rig, &["events", "b", "--follow", "--output", "json"]);
    rig.until(10, || async { !follower.said().is_empty() }).await;
    let of_b = |key: &str| {
        let said = follower.said();
        let lines = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter(|line| line["event"] == key && line["node"] == "b").count()
    };
    assert_eq!(rig.reset("b", "ForceOff").await.0, 204);
    rig.until(15, || async { of_b("CommandDone") == 1 }).await;
    rig.stop();
    rig.restart_there().await;
    rig.until(20, || async { follower.remarked().contains("it is opened again") }).await;
    rig.all_seen().await;
    // Not before it is back: what happens in between is not kept over a restart.
    rig.until(20, || async { crate::streams::streams(&rig).await.len() == 1 }).await;
    assert_eq!(rig.reset("b", "On").await.0, 204);
    rig.until(15, || async { of_b("CommandDone") == 2 }).await;
    assert_eq!(of_b("CommandAccepted"), 2);
    assert!(!follower.said().contains("\"node\":\"a\""), "{}", follower.said());
    assert_eq!(follower.interrupt(), Some(0));
    let (code, _, err) = run(&rig, &["events", "c"]).await;
    assert_eq!((code, err.as_str()), (Some(1), "plugfish: there is no node c; there are: a, b\n"));
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
    // One that answers in both ways, and one whose TLS version is no longer spoken.
    let config = config.with_machine(machine("both", Profile::Amt16, false, 4)).with_machine(machine(
        "both-tls",
        Profile::Amt16,
        true,
        4,
    ));
    let quirks = MachineQuirks { old_tls: true, ..MachineQuirks::default() };
    let config = config.with_machine(machine("odd", Profile::Amt12, false, 5));
    let config = config.with_machine(MachineConfig { quirks, ..machine("odd-tls", Profile::Amt12, true, 5) });
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
    let pin = |name: &str| format!("tls: {{ pin: \"sha256:{}\" }}", rack.machine(name).unwrap().fingerprint().unwrap());
    assert!(out.contains(&pin("new")), "{out}");
    // TLS goes before plain where both answer.
    assert!(out.contains(&format!("amt: {{ address: \"127.51.0.4\", {} }}", pin("both-tls"))), "{out}");
    assert!(out.contains("amt: { address: \"127.51.0.5\" }") && out.contains("set up, TLS fails"), "{out}");

    // What it prints is a configuration, but for the passwords.
    let entries = out.split_once("nodes:\n").unwrap().1;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nodes.yaml");
    let logins = "defaults:\n  amt: { password: Plugfish-Demo1 }\n  tapo: { username: owner@example.com, password: plugfish-demo }";
    std::fs::write(&file, format!("{logins}\nnodes:\n{entries}")).unwrap();
    let (code, out, err) = program(&["check", "--probe", "--config", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("Intel AMT  16.1.25.1424  WS-Man over TLS  -"), "{out}");
    assert_eq!(out.matches(": admin control mode").count(), 4, "{out}");
    assert!(out.contains("amt-127-51-0-2, amt-127-51-0-5: AMT over plain HTTP"), "{out}");
    assert!(out.contains("12.0.67") && out.contains("KLAP"), "{out}");
    rack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_needs_no_password_and_no_trust() {
    let tls = Some(plugfish::testing::config::TlsConfig::SelfSigned);
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
