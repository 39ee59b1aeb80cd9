//! plugfish gives machines without a BMC a Redfish BMC.

pub mod account;
pub mod cli;
pub mod clock;
pub mod config;
pub mod driver;
pub mod http;
pub mod node;
pub mod redfish;
pub mod sim;
pub mod telemetry;
