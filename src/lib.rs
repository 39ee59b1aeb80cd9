//! plugfish gives machines without a BMC a Redfish BMC.

pub mod account;
pub mod clock;
pub mod config;
pub mod driver;
pub mod node;
pub mod store;
pub mod telemetry;
