//! The simulated rack over its real sockets, with a small client written for these tests.

mod amt;
mod control;
mod discovery;
mod energy;
mod faults;
mod klap;
mod link;
mod methods;
mod passthrough;
mod raw;
mod thresholds;
mod tpap;
mod wire;

use std::sync::Arc;

use plugfish::testing::sim::{Account, Model, Plug, PlugConfig, Rack, RackConfig, Variant};

pub const EMAIL: &str = "Test.User@Example.com";
pub const PASSWORD: &str = "Pa55-word!";

/// A strict plug for tests.
pub fn config(model: Model, variant: Variant) -> PlugConfig {
    PlugConfig { account: Account::new(EMAIL, PASSWORD), ..PlugConfig::new("n1", model, variant) }
}

/// A rack of one plug.
pub async fn rack(config: PlugConfig) -> (Rack, Arc<Plug>) {
    let rack = Rack::start(RackConfig::new(7).with(config)).await.unwrap();
    let plug = Arc::clone(&rack.plugs()[0]);
    (rack, plug)
}
