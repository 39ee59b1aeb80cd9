//! The whole thing on real sockets: a simulated rack, the daemon on it, an HTTP client. One binary, so that it is linked
//! once. Time is real here (sockets and a paused clock do not go together), so intervals are short and tests run side by side.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    reason = "a test that is wrong may fall over"
)]

mod able;
mod access;
mod accounts;
mod amt;
mod amt_trust;
mod browsers;
mod calibrate;
mod certificates;
mod commands;
mod crash;
mod crawl;
mod devices;
mod disk;
mod edge;
mod events;
mod faults;
mod files;
mod graceful;
mod hostile;
mod measured;
mod metrics;
mod page;
mod program;
mod protocol;
mod readers;
mod redfish;
mod reload;
mod reset;
mod resources;
mod rig;
mod schemas;
mod scoped;
mod sim;
mod slow;
mod soak;
mod storm;
mod streams;
mod systemd;
mod tools;
mod trace;
mod trust;
