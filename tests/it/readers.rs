//! Clients that hold memory: clients that never read, and TLS handshakes that never end. On the real program with a
//! large fleet, whose devices do not answer, since they do not matter here.

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use plugfish::testing::clock::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::program::{Daemon, log, proc_status, spawn, until};

const NODES: usize = 3000;
const READERS: usize = 300;

/// What the memory of the program may grow by, in kB, whatever they do.
const GROWTH_MAX: u64 = 48 * 1024;

/// A folder with a configuration of this many nodes, all of them away.
fn fleet(nodes: usize, tls: &str) -> tempfile::TempDir {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let mut config = format!(
        "server: {{ listen: [\"127.0.0.1:{port}\"]{tls} }}\nstate_dir: state\naccounts: [{{ username: admin, password: secret }}]\n\
         defaults:\n  tapo: {{ username: owner@example.com, password: plugfish-demo }}\n  poll_interval: 1h\nnodes:\n"
    );
    for n in 0..nodes {
        writeln!(config, "  - {{ id: n{n}, tapo: {{ address: \"127.9.{}.{}:9\" }} }}", n / 250, n % 250 + 1).unwrap();
    }
    std::fs::write(dir.path().join("nodes.yaml"), config).unwrap();
    std::fs::write(dir.path().join("port"), port.to_string()).unwrap();
    dir
}

/// A connection that takes hardly anything of what it is sent.
async fn connect(port: u16, n: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(format!("127.0.8.{}:0", 1 + n % 8).parse().unwrap()).unwrap();
    socket.connect(([127, 0, 0, 1], port).into()).await.unwrap()
}

#[tokio::test]
async fn readers_that_never_read_cost_no_copies() {
    let dir = fleet(NODES, "");
    let daemon = Daemon::start(dir.path()).await;
    let port: u16 = daemon.url.rsplit(':').next().unwrap().parse().unwrap();
    let login = BASE64_STANDARD.encode("admin:secret");
    // The first polls fail, which is remembered for each node; then nothing moves for a while.
    let settled = async || {
        let before = daemon.proc_status("VmRSS:");
        tokio::time::sleep(Duration::from_secs(4)).await;
        daemon.proc_status("VmRSS:") < before + 256
    };
    until(120, "idle", settled).await;
    let clock = Clock::system();
    for path in ["/metrics", "/status", "/page/nodes", "/redfish/v1/Systems?$expand=."] {
        let (idle, mut held) = (daemon.proc_status("VmRSS:"), Vec::new());
        for n in 0..READERS {
            let mut stream = connect(port, n).await;
            let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            held.push(stream);
        }
        let start = clock.mono();
        let answer = daemon.client.get(format!("{}{path}", daemon.url)).basic_auth("admin", Some("secret"));
        let answer = answer.timeout(Duration::from_secs(60)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let length = answer.bytes().await.expect("it is read to its end").len();
        let took = clock.mono().since(start);
        assert_eq!(daemon.text("/healthz").await, "ok\n");
        let (peak, now) = (daemon.proc_status("VmHWM:"), daemon.proc_status("VmRSS:"));
        println!(
            "{path}: {length} bytes, {idle} kB idle, {now} kB with {READERS} readers, {peak} kB at most, {took:?}"
        );
        assert!(now < idle + GROWTH_MAX, "{path}: {now} of {idle}: {}", log(dir.path()).lines().last().unwrap_or(""));
        drop(held);
    }
    daemon.kill();
}

#[tokio::test]
async fn greetings_that_never_end_are_bounded() {
    const GREETERS: usize = 3000;
    let dir = fleet(1, ", tls: { self_signed: true }");
    let mut child = spawn(dir.path());
    let port: u16 = std::fs::read_to_string(dir.path().join("port")).unwrap().parse().unwrap();
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build().unwrap();
    let healthy = async || {
        let probe = client.get(format!("https://127.0.0.1:{port}/healthz")).header("connection", "close");
        probe.timeout(Duration::from_secs(2)).send().await.is_ok_and(|answer| answer.status() == 200)
    };
    until(20, "ready", healthy).await;
    let idle = proc_status(&child, "VmRSS:");
    // A record of TLS that promises a greeting of 60 KiB, and 12 KiB of it.
    let mut greeting = vec![0x16, 0x03, 0x01, 0x3f, 0xff, 0x01, 0x00, 0xf0, 0x00];
    greeting.resize(12 * 1024, 0);
    let mut held = Vec::new();
    for n in 0..GREETERS {
        let mut stream = connect(port, n).await;
        let _ = stream.write_all(&greeting).await;
        held.push(stream);
        if n % 500 == 0 {
            assert!(healthy().await, "another client is served");
        }
    }
    let now = proc_status(&child, "VmRSS:");
    println!("{idle} kB idle, {now} kB with {GREETERS} greetings");
    assert!(now < idle + 24 * 1024, "{now} of {idle}");
    assert!(healthy().await);
    // One that was cut off sees it.
    let mut byte = [0];
    let ended = tokio::time::timeout(Duration::from_secs(8), held[0].read(&mut byte)).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}
