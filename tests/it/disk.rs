//! The real program on disks that are full, read-only, or lose power. Each is a file system that is mounted for it, so:
//! `cargo test --test it disk -- --ignored`, as root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use plugfish::testing::clock::Clock;
use plugfish::testing::sim::{Action, Fault, Selector};
use reqwest::StatusCode;
use serde_json::json;

use crate::program::{Daemon, configure, log, rack, spawn, until};

/// Power cuts in an ordinary run; `PLUGFISH_CRASH_ROUNDS` asks for more.
const CUTS: u64 = 4;

/// A file system on which only the state lies.
struct Disk {
    dir: tempfile::TempDir,
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?} (this test needs root): {said}");
}

impl Disk {
    fn new() -> Disk {
        let disk = Disk { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(disk.path()).unwrap();
        disk
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn mount(&self, args: &[&str]) {
        run("mount", &[args, &[self.path().to_str().unwrap()]].concat());
    }

    /// A file with an ext4 on it.
    fn image(&self) -> String {
        let image = self.dir.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let image = image.to_str().unwrap().to_owned();
        run("mkfs.ext4", &["-q", &image]);
        image
    }

    fn unmount(&self) {
        run("umount", &[self.path().to_str().unwrap()]);
    }

    /// Says in nodes.yaml that the state lies here.
    fn holds_the_state_of(&self, dir: &Path) {
        let file = dir.join("nodes.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let here = format!("state_dir: {}/state", self.path().display());
        std::fs::write(&file, text.replace("state_dir: state", &here)).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

/// Ends the file system as a power cut does: what was not synced is lost (the ioctl EXT4_IOC_SHUTDOWN, without its log).
fn cut_power(mounted: &Path) {
    let script = "import fcntl, os, struct, sys\n\
                  fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
    run("python3", &["-c", script, mounted.to_str().unwrap()]);
}

#[tokio::test]
#[ignore = "mounts file systems, for which root is needed"]
async fn no_accepted_command_is_lost_to_a_power_cut() {
    let rounds = std::env::var("PLUGFISH_CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(CUTS);
    let (rack, disk, clock) = (rack().await, Disk::new(), Clock::system());
    let (plug, dir) = (&rack.plugs()[0], configure(&rack));
    disk.holds_the_state_of(dir.path());
    let image = disk.image();
    let image = image.as_str();
    disk.mount(&["-o", "loop", image]);
    let mut daemon = Daemon::start(dir.path()).await;
    for round in 0..rounds {
        until(10, "first contact", async || daemon.system().await["PowerState"].is_string()).await;
        let (kind, goal) = if round % 2 == 0 { ("ForceOff", false) } else { ("On", true) };
        // Nothing gets to the plug, so that only what is on the disk can bring it about.
        plug.add_fault(Fault::always(Selector::Any, Action::Drop));
        let accepted = daemon.reset_of("n", kind).await;
        let wait = clock.below(200);
        tokio::time::sleep(Duration::from_millis(wait)).await; // the moment of the cut
        cut_power(&disk.path());
        assert_eq!(accepted.map(|(status, _)| status), Some(StatusCode::NO_CONTENT), "{}", log(dir.path()));
        // The program sees a disk that fails now: it says so, and answers from memory.
        let (status, said) = daemon.reset_of("n", if goal { "ForceOff" } else { "On" }).await.unwrap();
        assert!(status.is_server_error() && said.contains("/disk/state"), "{status} {said}");
        assert!(daemon.system().await["PowerState"].is_string());
        daemon.kill();
        disk.unmount();
        disk.mount(&["-o", "loop", image]);
        assert_eq!(plug.relay(1), Some(!goal));
        plug.clear_faults();
        daemon = Daemon::start(dir.path()).await;
        let words = if goal { "On" } else { "Off" };
        until(30, &format!("round {round}: {kind}, cut after {wait} ms"), async || {
            plug.relay(1) == Some(goal) && daemon.system().await["PowerState"] == words
        })
        .await;
    }
    daemon.kill();
}

#[tokio::test]
#[ignore = "mounts file systems, for which root is needed"]
async fn a_full_disk_is_said_loses_nothing_and_is_used_again() {
    let (rack, disk) = (rack().await, Disk::new());
    let (plug, dir) = (&rack.plugs()[0], configure(&rack));
    disk.holds_the_state_of(dir.path());
    disk.mount(&["-t", "tmpfs", "-o", "size=24m", "none"]);
    let daemon = Daemon::start(dir.path()).await;
    until(10, "first contact", async || daemon.system().await["PowerState"] == "On").await;
    assert_eq!(daemon.reset("ForceOff").await, Some(StatusCode::NO_CONTENT));
    let ballast = disk.path().join("ballast");
    let _ = std::fs::write(&ballast, vec![1; 24 << 20]);
    let mut refused = None;
    for round in 0..2000 {
        let (status, said) = daemon.reset_of("n", if round % 2 == 0 { "On" } else { "ForceOff" }).await.unwrap();
        if status != StatusCode::NO_CONTENT {
            refused = Some((status, said));
            break;
        }
    }
    let (status, said) = refused.expect("it took 2000 commands on a full disk");
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{said}");
    assert!(said.contains("/disk/state") && said.contains("nothing was changed"), "{said}");
    assert!(log(dir.path()).contains("/disk/state"), "{}", log(dir.path()));
    assert!(daemon.system().await["PowerState"].is_string(), "reads go on");
    assert!(daemon.text("/readyz").await.contains("the state cannot be written"));
    std::fs::remove_file(&ballast).unwrap();
    until(20, "written again", async || daemon.text("/readyz").await == "ready\n").await;
    assert_eq!(daemon.reset("ForceOff").await, Some(StatusCode::NO_CONTENT));
    daemon.kill();
    let daemon = Daemon::start(dir.path()).await;
    until(20, "off", async || plug.relay(1) == Some(false) && daemon.system().await["PowerState"] == "Off").await;
    daemon.kill();
}

#[tokio::test]
#[ignore = "mounts file systems, for which root is needed"]
async fn a_read_only_disk_is_said_at_the_start() {
    let (rack, disk) = (rack().await, Disk::new());
    let dir = configure(&rack);
    disk.holds_the_state_of(dir.path());
    disk.mount(&["-t", "tmpfs", "-o", "size=24m", "none"]);
    Daemon::start(dir.path()).await.kill();
    disk.mount(&["-o", "remount,ro"]);
    let status = spawn(dir.path()).wait().unwrap();
    assert_eq!(status.code(), Some(1), "{}", log(dir.path()));
    let log = log(dir.path());
    let last = log.lines().last().unwrap();
    assert!(last.contains("/disk/state") && last.to_lowercase().contains("read-only"), "{last}");
    disk.mount(&["-o", "remount,rw"]);
    Daemon::start(dir.path()).await.kill();
}

#[tokio::test]
#[ignore = "mounts file systems, for which root is needed"]
async fn a_disk_that_fails_and_becomes_read_only_is_said_and_is_used_again_when_it_is_repaired() {
    let (rack, disk) = (rack().await, Disk::new());
    let (plug, dir) = (&rack.plugs()[0], configure(&rack));
    disk.holds_the_state_of(dir.path());
    let image = disk.image();
    disk.mount(&["-o", "loop", &image]);
    let daemon = Daemon::start(dir.path()).await;
    until(10, "first contact", async || daemon.system().await["PowerState"] == "On").await;
    assert_eq!(daemon.reset("ForceOff").await, Some(StatusCode::NO_CONTENT));
    until(10, "off", async || daemon.system().await["PowerState"] == "Off").await;
    // What ext4 does by itself when the disk below it fails.
    disk.mount(&["-o", "remount,abort"]);
    let (status, said) = daemon.reset_of("n", "On").await.unwrap();
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{said}");
    assert!(said.contains("/disk/state") && said.contains("nothing was changed"), "{said}");
    assert!(daemon.text("/readyz").await.contains("the state cannot be written"));
    assert_eq!((&daemon.system().await["PowerState"], plug.relay(1)), (&json!("Off"), Some(false)));
    run("umount", &["-l", disk.path().to_str().unwrap()]);
    // On another disk, since the program still holds files of this one.
    let copy = image.clone() + "-copy";
    std::fs::copy(&image, &copy).unwrap();
    disk.mount(&["-o", "loop", &copy]);
    until(40, "written again", async || daemon.text("/readyz").await == "ready\n").await;
    assert_eq!(daemon.reset("On").await, Some(StatusCode::NO_CONTENT));
    daemon.kill();
    let daemon = Daemon::start(dir.path()).await;
    until(20, "on", async || plug.relay(1) == Some(true) && daemon.system().await["PowerState"] == "On").await;
    daemon.kill();
}
