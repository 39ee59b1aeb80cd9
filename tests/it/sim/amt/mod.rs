//! The simulated AMT machines over their real sockets, with a small client written for these tests.

mod boot;
mod classes;
mod faults;
mod login;
mod power;
mod raw;

use std::sync::Arc;
use std::time::Duration;

use plugfish::testing::sim::{Machine, MachineConfig, Profile, Rack, RackConfig, Timings};

use raw::Client;

/// Longer than anything with quick timings takes; it is only waited for in full when a test fails.
const PATIENCE: Duration = Duration::from_secs(5);

fn config(profile: Profile) -> MachineConfig {
    MachineConfig::new("n1", profile).quick()
}

/// Without a blackout, so that a client may ask at any time.
fn open(profile: Profile) -> MachineConfig {
    let timings = Timings { blackout: Duration::ZERO, ..Timings::quick() };
    MachineConfig { timings, ..config(profile) }
}

/// A rack of one machine, and a client at it.
async fn start(config: MachineConfig) -> (Rack, Arc<Machine>, Client) {
    let rack = Rack::start(RackConfig::new(7).with_machine(config)).await.unwrap();
    let machine = Arc::clone(&rack.machines()[0]);
    let client = Client::new(machine.address());
    (rack, machine, client)
}

/// Waits until something is so, looking every few milliseconds in real time: sockets know no other.
async fn until(what: impl Fn() -> bool) {
    let looked = tokio::time::timeout(PATIENCE, async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    looked.await.expect("it did not come true in time");
}
