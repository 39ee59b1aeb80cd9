//! The HTTP side that is not Redfish: listeners, TLS, who is asking, and the pages for operations.

mod accept;
pub mod auth;
pub mod bodies;
pub mod browser;
pub mod collectors;
pub mod connections;
pub mod front;
#[cfg(fuzzing)]
pub mod fuzz;
mod guarded;
pub mod machine;
pub mod ops;
mod paths;
pub mod proxies;
pub mod self_signed;
pub mod server;
mod socket;
pub mod tls;
pub mod turns;
pub mod worker_heartbeat;
