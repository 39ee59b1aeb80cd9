//! Listeners that systemd opened (`plugfish.socket`): ports below 1024 without a privilege, and no refused connections
//! while the daemon restarts.

use std::net::TcpListener;

use anyhow::{Context, Result};
use listenfd::ListenFd;

use crate::http::server;

/// The listeners that this process was given (`LISTEN_FDS`), none as a rule. To be asked once.
pub(super) fn given() -> Result<Vec<TcpListener>> {
    let mut given = ListenFd::from_env();
    (0..given.len())
        .map(|index| {
            let taken = given.take_tcp_listener(index).and_then(|listener| listener.map(server::adopt).transpose());
            let listener = taken.with_context(|| format!("cannot use socket {} of the socket unit", index + 1))?;
            listener.with_context(|| format!("socket {} of the socket unit is gone", index + 1))
        })
        .collect()
}
