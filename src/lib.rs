//! plugfish gives machines without a BMC a Redfish BMC.

pub mod clock;
pub mod driver;
pub mod node;
pub mod sim;
pub mod telemetry;
