//! The cost of a command: the time to the relay, and the number of file syncs.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use plugfish::testing::clock::Clock;
use plugfish::testing::driver::tapo::{TapoConfig, TapoProtocol};
use plugfish::testing::driver::{DriverConfig, Drivers};
use plugfish::testing::node::trust::VolatileBook;
use plugfish::testing::node::{BootOverride, NodeId, PowerAction};
use plugfish::testing::sim::Plug;
use plugfish::testing::telemetry::Metrics;

use crate::program::{Daemon, configure, rack, until};
use crate::rig::{DWELL, Rig, klap};
use crate::runtime;
use crate::summary::{Aim, Figure};

const ROUNDS: usize = 25;

/// From a Reset to the relay, and from the same order given to the driver alone, on plugs of one rack process, in turn.
pub fn reset() -> Vec<Figure> {
    let runtime = runtime();
    runtime.block_on(async {
        let rig = Rig::with([klap("n")], |node| node.spec.timings.poll_interval = Duration::from_secs(15)).await;
        rig.all_seen().await;
        let (ours, other) = (rig.plug("n").clone(), rack().await);
        let alone = other.plugs()[0].clone();
        let config = TapoConfig {
            host: alone.address().ip().to_string(),
            port: Some(alone.address().port()),
            username: "owner@example.com".into(),
            password: "plugfish-demo".to_owned().into(),
            mac: None,
            outlet: None,
            protocols: TapoProtocol::ALL.to_vec(),
            factory: false,
            discovery_port: 9,
        };
        let node: NodeId = "alone".parse().unwrap();
        let mut driver =
            Drivers::new(Clock::system(), Metrics::new(), Arc::default(), Arc::new(VolatileBook::default()))
                .open(&node, &DriverConfig::from(config));
        driver.read().await.unwrap();
        let (mut through, mut bare) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            // Longer than the rest after the reading back, and never in step with the polls.
            tokio::time::sleep(Duration::from_millis(2600 + 37 * round as u64)).await;
            let on = round % 2 == 1;
            let start = rig.rack.clock().now().mono;
            let (status, body) = rig.reset("n", if on { "On" } else { "ForceOff" }).await;
            assert_eq!(status, 204, "{body}");
            let answered = rig.rack.clock().now().mono.since(start);
            let relay = switched(&ours, on, || rig.rack.clock().now().mono.since(start)).await;
            through.push((relay, answered));
            let start = other.clock().now().mono;
            let order = if on { PowerAction::On } else { PowerAction::Off };
            let (done, relay) = tokio::join!(
                driver.order(order, BootOverride::default()),
                switched(&alone, on, || other.clock().now().mono.since(start))
            );
            done.unwrap();
            bare.push(relay);
        }
        let answered = through.iter().map(|(_, answered)| *answered).collect();
        let through = through.iter().map(|(relay, _)| *relay).collect();
        println!("{ROUNDS} commands on a plug that answers after {:?}; ms", klap("n").latency);
        println!("{:<44} {:>7} {:>7} {:>7}", "", "p50", "p90", "longest");
        let [through, bare] =
            [("Reset over HTTP until the relay", through), ("the driver alone until the relay", bare)]
                .map(|(name, took)| print(name, took));
        print("Reset over HTTP until the answer (durable)", answered);
        let target = Aim::AtMost(50.0);
        vec![Figure::new("ms from a Reset to the relay, more than with the driver alone", target, through - bare)]
    })
}

/// How long after the start the relay was so.
async fn switched(plug: &Arc<Plug>, on: bool, since: impl Fn() -> Duration) -> Duration {
    while plug.relay(1) != Some(on) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    since()
}

/// A line of the table; the middle one in milliseconds.
fn print(name: &str, mut took: Vec<Duration>) -> f64 {
    took.sort();
    let millis = |index: usize| took[index].as_secs_f64() * 1000.0;
    let (p50, last) = (millis(took.len() / 2), took.len() - 1);
    println!("{name:<44} {p50:>7.1} {:>7.1} {:>7.1}", millis(took.len() * 9 / 10), millis(last));
    p50
}

/// Counts with strace what the whole program does for a command.
pub fn fsyncs() -> Vec<Figure> {
    const COMMANDS: usize = 3;
    let runtime = runtime();
    runtime.block_on(async {
        let rack = rack().await;
        let plug = rack.plugs()[0].clone();
        let dir = configure(&rack);
        let trace = dir.path().join("trace");
        let daemon = Daemon::start(dir.path()).await;
        let mut strace = Command::new("strace")
            .args(["-f", "-qq", "-e", "trace=fsync,fdatasync,msync,sync_file_range,sync,syncfs", "-o"])
            .arg(&trace)
            .args(["-p", &daemon.child.id().to_string()])
            .spawn()
            .expect("strace is needed: apt-get install strace");
        until(20, "seen", async || daemon.system().await["PowerState"] == "On").await;
        let synced = || std::fs::read_to_string(&trace).unwrap().lines().filter(|line| line.contains("sync")).count();
        println!("file syncs by the whole program: until the client is answered, and until all is over (lazy writes included)");
        for (kind, ends_on) in [("ForceOff", false), ("On", true), ("PowerCycle", true), ("ForceRestart", true)] {
            let (mut answered, mut over) = (0, 0);
            for _ in 0..COMMANDS {
                plug.press_button(1);
                let _ = plug.switch(1, !ends_on);
                // Lazy writes of what was before are over.
                tokio::time::sleep(Duration::from_secs(7)).await;
                let before = synced();
                assert_eq!(daemon.reset(kind).await.map(|status| status.as_u16()), Some(204), "{kind}");
                answered += synced() - before;
                tokio::time::sleep(DWELL).await;
                until(30, kind, async || plug.relay(1) == Some(ends_on)).await;
                tokio::time::sleep(Duration::from_secs(7)).await;
                over += synced() - before;
            }
            let mean = |count: usize| count as f64 / COMMANDS as f64;
            println!("{kind:<14} {:>5.1} until answered {:>5.1} until over", mean(answered), mean(over));
        }
        daemon.kill();
        strace.wait().unwrap();
    });
    Vec::new()
}
