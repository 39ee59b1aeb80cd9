//! The notifications of the running program to systemd, on a socket of the test instead of systemd's. The real systemd
//! is in `tests/foreign/systemd`.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The program with a socket to systemd and a watchdog of 900 ms.
struct Service {
    child: Child,
    socket: UnixDatagram,
}

impl Service {
    fn start(dir: &Path, name: &str, socket: UnixDatagram) -> Service {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_plugfish"))
            .args(["serve", "--config"])
            .arg(dir.join("nodes.yaml"))
            .env("NOTIFY_SOCKET", name)
            .env("WATCHDOG_USEC", "900000")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Service { child, socket }
    }

    /// The next message that is not a beat of the watchdog, and how many beats were before it.
    fn next(&self) -> (String, usize) {
        let mut bytes = [0; 1000];
        for beats in 0.. {
            let length = self.socket.recv(&mut bytes).expect("nothing was heard for 10 s");
            let text = std::str::from_utf8(&bytes[..length]).unwrap();
            if text != "WATCHDOG=1" {
                return (text.into(), beats);
            }
        }
        unreachable!()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

fn all_that_is_told(name: &str, bind: impl FnOnce(&Path) -> UnixDatagram) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nodes.yaml");
    let good = "server: { listen: ['127.0.0.1:0'] }\nnodes: []\n";
    fs::write(&file, good).unwrap();
    let path = dir.path().join("notify");
    let name = if name.is_empty() { path.to_str().unwrap() } else { name };
    let mut service = Service::start(dir.path(), name, bind(&path));
    assert_eq!(service.next(), ("READY=1\nSTATUS=0 nodes".into(), 0));
    std::thread::sleep(Duration::from_millis(1500)); // beats of the watchdog, in a real process

    fs::write(&file, "nodes: 5\n").unwrap();
    service.signal("-HUP");
    let (told, beats) = service.next();
    let (_, rest) = told.split_once("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{told}"));
    assert!(rest.split('\n').next().unwrap().parse::<u64>().unwrap() > 1_000_000, "{told}");
    assert!((2..=8).contains(&beats), "{beats} beats in 1.5 s, three in 0.9 s are right");
    let (told, _) = service.next();
    assert!(told.starts_with("READY=1\nSTATUS=0 nodes; the configuration file was rejected"), "{told}");

    service.signal("-TERM");
    let told =
        std::iter::repeat_with(|| service.next().0).find(|told| !told.contains("READY") && !told.contains("RELOADING"));
    assert!(told.unwrap().starts_with("STOPPING=1\n"));
    assert!(service.child.wait().unwrap().success());
}

#[test]
fn systemd_is_told_all_there_is() {
    all_that_is_told("", |path| UnixDatagram::bind(path).unwrap());
}

#[test]
fn systemd_is_told_by_an_abstract_socket_too() {
    let name = format!("plugfish-it-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    all_that_is_told(&format!("@{name}"), |_| UnixDatagram::bind_addr(&address).unwrap());
}
