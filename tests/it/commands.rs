//! What people type against a running daemon: the real program as its own client.

use std::process::{Command, Output};

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
