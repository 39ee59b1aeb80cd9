//! The HTTP side that is not Redfish: listeners, TLS, who is asking, and the pages for operations.

pub mod auth;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod ops;
pub mod pulse;
pub mod readings;
pub mod server;
mod socket;
pub mod tls;
