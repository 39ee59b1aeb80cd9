//! Simulated computers with Intel AMT: a WS-Management server with HTTP Digest, and behind it a computer that is
//! switched, boots from the configured source, and keeps a log.
//!
//! Written from the description of the protocol alone; it names nothing of `driver`. `machine` is the handle that a
//! rack returns, `serve` the sockets, `state` the whole state of a machine, and the other files are its parts.

pub(crate) mod boot;
pub(crate) mod config;
pub(crate) mod machine;
pub(crate) mod power;

mod classes;
mod consent;
mod contexts;
pub(super) mod control;
mod digest_auth;
mod hardware;
mod log;
mod methods;
mod reply;
mod serve;
mod soap;
mod state;
pub(super) mod tls;
