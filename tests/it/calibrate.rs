//! `plugfish calibrate`: the real program, a plug with a meter, and a simulated computer that its person shuts down.

use std::path::Path;
use std::process::{Child, Command, Output};
use std::sync::Arc;
use std::time::Duration;

use plugfish::testing::sim::{ComputerAct, ComputerConfig, ComputerState, Model, Plug, PlugConfig, Rack, Variant};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Daemon, configure, rack_of, until};

fn computer(name: &str) -> PlugConfig {
    let (boot, shutdown) = (Some(Duration::from_millis(500)), Duration::from_millis(500));
    let computer = ComputerConfig { idle_mw: Some(20_000), boot, shutdown, ..ComputerConfig::default() };
    PlugConfig { computer, meter_noise_mw: 100, ..crate::rig::klap(name) }
}

/// What it prints is in files of the folder, under this name.
struct Calibration<'a> {
    child: Child,
    dir: &'a Path,
    name: &'static str,
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugfish"));
    // All pauses that it makes itself are shorter; how often the plug may be asked is as ever.
    command.current_dir(dir).args(["calibrate", "--config", "nodes.yaml", "--speed", "20"]).args(arguments);
    command
}

impl Calibration<'_> {
    fn start<'a>(dir: &'a Path, name: &'static str, arguments: &[&str]) -> Calibration<'a> {
        let file = |kind: &str| std::fs::File::create(dir.join(format!("{name}.{kind}"))).unwrap();
        let child = command(dir, arguments).stdout(file("out")).stderr(file("err")).spawn().unwrap();
        Calibration { child, dir, name }
    }

    fn read(&self, kind: &str) -> String {
        std::fs::read_to_string(self.dir.join(format!("{}.{kind}", self.name))).unwrap()
    }

    /// Until it asks for the shutdown, and there it is.
    async fn shut_down(&self, plug: &Arc<Plug>) {
        until(60, "the second step", async || self.read("err").contains("shut the machine down now")).await;
        assert!(plug.act(1, ComputerAct::ShutDown));
    }

    async fn end(mut self) -> (Option<i32>, String, String) {
        let status = tokio::task::block_in_place(|| self.child.wait().unwrap());
        (status.code(), self.read("out"), self.read("err"))
    }
}

fn output(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = tokio::task::block_in_place(|| command.output().unwrap());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

async fn folder(plugs: impl IntoIterator<Item = PlugConfig>) -> (Rack, tempfile::TempDir) {
    let rack = rack_of(plugs).await;
    let dir = configure(&rack);
    (rack, dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_prints_is_what_nodes_yaml_takes() {
    let (rack, dir) = folder([computer("n")]).await;
    let plug = rack.plug("n").unwrap();
    let run = Calibration::start(dir.path(), "first", &["n", "--csv", "n.csv"]);
    run.shut_down(plug).await;
    let (code, out, err) = run.end().await;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(plug.history(1).len(), 1, "nothing was switched");
    assert_eq!(plug.computer(1), Some(ComputerState::Off));
    assert!(!err.contains('\x1b') && err.contains("95 of 100 measurements were at or below"), "{err}");

    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() == 2 && lines[0] == "power_state: measured" && lines[1].starts_with("watts: { off_"), "{out}");
    let file = dir.path().join("nodes.yaml");
    let entry = out.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let nodes = std::fs::read_to_string(&file).unwrap();
    let address = format!("  - id: n\n    tapo: {{ address: \"{}\" }}\n", plug.address());
    let (head, _) = nodes.split_once("nodes:\n").unwrap();
    std::fs::write(&file, format!("{head}nodes:\n{address}{entry}")).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_plugfish"));
    check.arg("check").arg("--config").arg(&file);
    let (code, out, err) = output(check);
    assert_eq!(code, Some(0), "{out}{err}");

    let csv = std::fs::read_to_string(dir.path().join("n.csv")).unwrap();
    assert!(csv.starts_with("seconds,step,watts\n") && csv.matches(",running,").count() == 30, "{csv}");
    rack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_in_the_middle_of_a_cut_it_turns_the_outlet_on_again() {
    let (rack, dir) = folder([computer("n")]).await;
    let plug = rack.plug("n").unwrap();
    let run = Calibration::start(dir.path(), "cut", &["n", "--cut", "--yes", "--output", "json"]);
    run.shut_down(plug).await;
    until(60, "the third step", async || plug.relay(1) == Some(false)).await;
    let id = Pid::from_raw(i32::try_from(run.child.id()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    let (code, out, err) = run.end().await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("the outlet is on again") && err.ends_with("plugfish: stopped before the end\n"), "{err}");
    assert_eq!(plug.relay(1), Some(true));
    rack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_calibrated_is_refused_at_once() {
    let meterless = crate::rig::plug("p100", Model::P100, Variant::KlapV2);
    let (rack, dir) = folder([computer("n"), meterless]).await;
    let refused = |arguments: &[&str], words: &str| {
        let (code, out, err) = output(command(dir.path(), arguments));
        assert!(code == Some(1) && out.is_empty() && err.contains(words), "{arguments:?}: {err}");
    };
    refused(&["p100"], "has no meter; take a plug with one");
    refused(&["m"], "there is no node m in nodes.yaml; there are: n, p100");
    refused(&["n", "--csv", "nodes.yaml"], "cannot make nodes.yaml as a new file");
    let daemon = Daemon::start(dir.path()).await;
    refused(&["n", "--cut"], "stop it first");
    refused(&["p100"], "if measuring fails, stop it");
    daemon.kill();
    assert!(rack.plugs().iter().all(|plug| plug.relay(1) == Some(true)));
    rack.stop().await;
}
