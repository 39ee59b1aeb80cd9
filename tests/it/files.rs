//! Invalid files: pipes, links, files that other users can read, texts made to parse slowly; and a daemon that sends
//! hostile text to the terminal of its client.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use crate::program::{self, Daemon, configure, log, rack, until};

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Runs the program, for ten seconds at most.
fn plugfish(folder: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_plugfish");
    let mut command = Command::new("timeout");
    let run = command.args(["10", program]).args(arguments).current_dir(folder).env_remove("PLUGFISH_CONFIG").output();
    let output = run.unwrap();
    assert_ne!(output.status.code(), Some(124), "it hangs: {}", said(&output));
    output
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_file_is_refused_and_ends_nothing() {
    let rack = rack().await;
    let dir = configure(&rack);
    let (file, kept) = (dir.path().join("nodes.yaml"), dir.path().join("kept.yaml"));
    let daemon = Daemon::start(dir.path()).await;
    fs::rename(&file, &kept).unwrap();
    mkfifo(&file);
    until(5, "told", async || log(dir.path()).contains("it is not a regular file")).await;
    assert_eq!(daemon.system().await["Id"], "n", "it serves on");
    fs::remove_file(&file).unwrap();
    fs::write(&file, fs::read_to_string(&kept).unwrap().replace("off_dwell: 1s", "off_dwell: 2s")).unwrap();
    until(5, "reloaded", async || log(dir.path()).contains("config_reloaded")).await;
    daemon.kill();

    mkfifo(&dir.path().join("secret"));
    let text = fs::read_to_string(&kept).unwrap().replace("password: plugfish-demo", "password: { file: secret }");
    fs::write(&file, &text).unwrap();
    let checked = plugfish(dir.path(), &["check"]);
    assert!(said(&checked).contains("secret cannot be read: it is not a regular file"), "{}", said(&checked));
    fs::write(&file, text.replace("{ file: secret }", "{ file: /dev/zero }")).unwrap();
    assert!(said(&plugfish(dir.path(), &["check"])).contains("not a regular file"));
}

#[tokio::test]
async fn a_text_made_to_take_long_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for text in
        ["[".repeat(1_000_000), "{a: ".repeat(200_000), "%TAG !a! b\n".repeat(200_000), "nodes: [\n".repeat(100_000)]
    {
        fs::write(dir.path().join("nodes.yaml"), text).unwrap();
        let checked = plugfish(dir.path(), &["check"]);
        let said = said(&checked);
        assert!(
            !checked.status.success() && (said.contains("too deep") || said.contains("too many directives")),
            "{said}"
        );
    }
}

#[tokio::test]
async fn what_holds_secrets_is_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    fs::write(dir.path().join("port"), port.to_string()).unwrap();
    fs::write(dir.path().join("nodes.yaml"), format!("server: {{ listen: [\"127.0.0.1:{port}\"] }}\nnodes: []\n"))
        .unwrap();
    // Of an earlier installation, and a trap.
    let password = state.join("initial-admin-password");
    fs::write(&password, "old").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(dir.path().join("precious"), "kept").unwrap();
    symlink(dir.path().join("precious"), state.join("state.new")).unwrap();
    let daemon = Daemon::of(program::spawn(dir.path()), dir.path()).await;
    assert_eq!(mode(&password), 0o600);
    assert_ne!(fs::read_to_string(&password).unwrap(), "old");
    let mut child = daemon.child;
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    child.wait().unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("precious")).unwrap(), "kept");
    assert!(fs::read_to_string(state.join("state.json")).unwrap().contains("argon2"));

    let exported = dir.path().join("export.json");
    let out = fs::File::create(&exported).unwrap();
    fs::set_permissions(&exported, fs::Permissions::from_mode(0o644)).unwrap();
    let export =
        Command::new(env!("CARGO_BIN_EXE_plugfish")).arg("export").current_dir(dir.path()).stdout(out).status();
    assert!(export.unwrap().success());
    assert_eq!(mode(&exported), 0o600);
    assert!(fs::read_to_string(&exported).unwrap().contains("argon2"));

    for name in ["lock", "sled"] {
        let (path, moved) = (state.join(name), dir.path().join("moved"));
        fs::rename(&path, &moved).unwrap();
        symlink(&moved, &path).unwrap();
        let refused = plugfish(dir.path(), &["export"]);
        assert!(!refused.status.success() && said(&refused).contains("symbolic link"), "{name}: {}", said(&refused));
        fs::remove_file(&path).unwrap();
        fs::rename(&moved, &path).unwrap();
    }
    assert!(plugfish(dir.path(), &["export"]).status.success());
}

/// A daemon put there by an attacker says what it likes, and forges no line and moves no cursor.
#[tokio::test]
async fn what_a_daemon_says_is_harmless_on_a_terminal() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let forged = "x\\u001b[2J\\r\\nnode-2  Off\\u202e";
            let body = match head.starts_with("GET /status") {
                true => format!(
                    "{{\"nodes\": [{{\"node\": \"n{forged}\", \"power\": \"On\", \"device\": {{\"name\": \"{forged}\", \"state\": \"away\", \"error\": \"{forged}\"}}, \"conditions\": [{{\"text\": \"{forged}\"}}]}}]}}"
                ),
                false => format!("{{\"error\": {{\"message\": \"{forged}\"}}}}"),
            };
            let status = if head.starts_with("GET /status") { "200 OK" } else { "500 No" };
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("password"), "x").unwrap();
    let who = ["--url", &url, "--username", "a", "--password-file", "password"];
    for arguments in [&["status"][..], &["status", "--output", "json"], &["power", "n", "on"], &["events"]] {
        let said = said(&plugfish(dir.path(), &[arguments, &who[..]].concat()));
        assert!(said.contains("node-2"), "{arguments:?}: {said}");
        assert!(
            !said.contains('\u{1b}')
                && !said.contains('\u{202e}')
                && !said.contains("\r")
                && !said.contains("\nnode-2"),
            "{said:?}"
        );
    }
}
