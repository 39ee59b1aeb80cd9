//! Notifications to systemd: ready, reloading, stopping, the status line, and the watchdog signal while the fleet is
//! alive (sd_notify(3)). Without systemd nothing is sent.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::Running;
use crate::clock::{Clock, Mono, monotonic_usec};

/// How often the sentence is looked at where there is no watchdog.
const EVERY: Duration = Duration::from_secs(10);

/// Beats within the time of the watchdog, so that a late one does no harm.
const BEATS: u32 = 3;

/// The notification socket of systemd.
pub(super) struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// The watchdog wants to hear from us.
    watchdog: bool,
    every: Duration,
    next: Mono,
    clock: Clock,
    /// The last status line that was sent.
    said: String,
}

impl Notify {
    /// By the environment that systemd made: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub(super) fn from_env(clock: Clock) -> Notify {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let limit = number("WATCHDOG_USEC").filter(|_| is_ours).map(Duration::from_micros);
        let every = limit.map_or(EVERY, |limit| limit / BEATS);
        let next = clock.now().mono + every;
        Notify { socket: socket(), watchdog: limit.is_some(), every, next, clock, said: String::new() }
    }

    /// The service is up, or done with a reload.
    pub(super) fn ready(&mut self, running: &Running) {
        self.said = sentence(running);
        self.send(&format!("READY=1\nSTATUS={}", self.said));
    }

    /// A reload begins.
    pub(super) fn reloading(&self) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reading the configuration", monotonic_usec()));
    }

    /// The shutdown begins.
    pub(super) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=finishing what is under way");
    }

    /// Until the next beat is due; without systemd for ever. May be dropped and called again.
    pub(super) async fn due(&self) {
        match self.socket {
            Some(_) => self.clock.sleep_until(self.next).await,
            None => std::future::pending().await,
        }
    }

    /// Tells that the fleet is alive, if it is, and the sentence, if it has changed.
    pub(super) async fn beat(&mut self, running: &mut Running) {
        self.next = self.clock.now().mono + self.every;
        match running.liveness_failure().await {
            Some(liveness_failure) => {
                tracing::error!(event = "watchdog_not_fed", "{liveness_failure}; systemd is to restart this service");
                self.send(&format!("STATUS={liveness_failure}"));
                return;
            }
            None if self.watchdog => self.send("WATCHDOG=1"),
            None => {}
        }
        let sentence = sentence(running);
        if sentence != self.said {
            self.send(&format!("STATUS={sentence}"));
            self.said = sentence;
        }
    }

    fn send(&self, state: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::warn!(event = "notify_failed", "systemd does not hear us: {error}");
        }
    }
}

fn socket() -> Option<(UnixDatagram, SocketAddr)> {
    let path = std::env::var_os("NOTIFY_SOCKET")?;
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let socket = UnixDatagram::unbound().and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
    Some((socket.ok()?, address.ok()?))
}

fn sentence(running: &Running) -> String {
    let table = running.fleet.table();
    let away = table.values().filter(|entry| !entry.view().connectivity.up()).count();
    in_words(table.len(), away, running.metrics.config_is_loaded())
}

fn in_words(nodes: usize, away: usize, config_is_loaded: bool) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let mut text = count(nodes, "node");
    if away > 0 {
        text.push_str(&format!(", {} away", count(away, "device")));
    }
    if !config_is_loaded {
        text.push_str("; the configuration file was rejected, the one before it stays in use (see the log)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_one_sentence() {
        assert_eq!(in_words(0, 0, true), "0 nodes");
        assert_eq!(in_words(1, 0, true), "1 node");
        assert_eq!(in_words(12, 1, true), "12 nodes, 1 device away");
        let rejected = in_words(12, 2, false);
        assert!(rejected.starts_with("12 nodes, 2 devices away; the configuration file was rejected"), "{rejected}");
    }
}
