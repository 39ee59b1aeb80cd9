//! The HTTP side that is not Redfish: listeners, TLS, authentication, and the pages for operations.

mod accept;
pub(crate) mod auth;
pub(crate) mod bodies;
pub(crate) mod browser;
pub(crate) mod collectors;
pub(crate) mod connections;
pub(crate) mod front;
#[cfg(fuzzing)]
pub mod fuzz;
mod guarded;
pub(crate) mod machine;
pub(crate) mod ops;
mod paths;
pub(crate) mod proxies;
pub(crate) mod self_signed;
pub(crate) mod server;
mod socket;
pub(crate) mod tls;
pub(crate) mod turns;
pub(crate) mod worker_heartbeat;
