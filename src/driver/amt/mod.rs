//! Intel AMT machines.
//!
//! From the inside out: `xml` (pure); `wsman`, `status_codes` (envelopes, replies and what their numbers mean, pure);
//! `connection` and `enumeration` with `fault` (login, repeats, sequences); `probe` (who is there); `power` (numbers,
//! pure), `boot`, `facts` (the classes that matter for power); `inventory`, `log` (what instances and records say, pure) with
//! `scan` (reading them); `machine` (what the core sees).

mod boot;
pub(crate) mod connection;
mod enumeration;
mod facts;
pub(crate) mod fault;
mod inventory;
mod log;
mod machine;
mod power;
pub(crate) mod probe;
mod redact;
mod scan;
pub(crate) mod status_codes;
pub(crate) mod wsman;
pub(crate) mod xml;

use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

pub(crate) use self::machine::AmtMachine;
use super::http::Tls;
use crate::node::device::DeviceKind;
use crate::node::rate_limit::{RateLimit, at_least_one};
use crate::node::trust::Proven;
use crate::node::{BootTarget, PowerAction};

/// TCP port of WS-Management over plain HTTP.
pub(crate) const PLAIN_PORT: u16 = 16992;

/// TCP port of WS-Management over TLS.
pub(crate) const TLS_PORT: u16 = 16993;

/// What is known of all AMT machines: the machine follows within seconds, graceful orders take longer, and the engine is
/// silent for a while whenever the power changes or it sleeps.
pub const KIND: DeviceKind = DeviceKind {
    boot_targets: &[BootTarget::None, BootTarget::Pxe, BootTarget::Hdd, BootTarget::Cd, BootTarget::BiosSetup],
    boot_modes: &[],
    is_outlet: false,
    sets_power_restore: false,
    applies_boot: true,
    orders: &[
        PowerAction::Cycle,
        PowerAction::Reset,
        PowerAction::GracefulOff,
        PowerAction::GracefulReset,
        PowerAction::Nmi,
    ],
    reads_before_action: true,
    verify_after: &[
        Duration::from_secs(2),
        Duration::from_secs(4),
        Duration::from_secs(6),
        Duration::from_secs(9),
        Duration::from_secs(12),
        Duration::from_secs(16),
        Duration::from_secs(20),
        Duration::from_secs(25),
        Duration::from_secs(30),
    ],
    silence_max: Duration::from_secs(60),
};

/// What management engines bear. They are slow and small, and many requests at once have been seen to lock them up: never
/// two at a time, some rest between, few over time. Reading the inventory of 15 classes is about 45 requests (Enumerate and
/// two Pulls each), hence the burst.
pub const RATE_LIMIT: RateLimit =
    RateLimit { gap: Duration::from_millis(50), per_second: at_least_one(4), burst: at_least_one(48) };

/// How to reach one machine.
#[derive(Clone)]
pub struct AmtConfig {
    /// Name or IP address, without a port.
    pub host: String,
    /// TCP port, when the operator gave one; else [`PLAIN_PORT`] or [`TLS_PORT`].
    pub port: Option<u16>,
    /// Whether and whom to trust.
    pub tls: Tls,
    /// The Digest user, usually `admin`.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// The UUID of the machine, where the operator named it.
    pub uuid: Option<Uuid>,
}

impl AmtConfig {
    /// `AMT machine at 192.0.2.12`.
    pub fn label(&self) -> String {
        match self.port {
            Some(port) => format!("AMT machine at {}:{port}", self.host),
            None => format!("AMT machine at {}", self.host),
        }
    }

    /// What the operator says of the machine's identity.
    pub(super) fn named(&self) -> Proven {
        let certificate = match self.tls {
            Tls::Pin(pin) => Some(fingerprint_text(pin)),
            Tls::Off | Tls::Verify | Tls::Insecure => None,
        };
        Proven { uuid: self.uuid, certificate, ..Proven::default() }
    }

    /// The URL of this path at the machine.
    pub(super) fn url(&self, path: &str) -> String {
        let (scheme, usual) = if self.tls == Tls::Off { ("http", PLAIN_PORT) } else { ("https", TLS_PORT) };
        let port = self.port.unwrap_or(usual);
        match self.host.parse::<Ipv6Addr>() {
            Ok(address) => format!("{scheme}://[{address}]:{port}{path}"),
            Err(_) => format!("{scheme}://{}:{port}{path}", self.host),
        }
    }
}

impl fmt::Debug for AmtConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmtConfig").field("at", &self.url("")).field("username", &self.username).finish_non_exhaustive()
    }
}

impl PartialEq for AmtConfig {
    fn eq(&self, other: &AmtConfig) -> bool {
        let parts = |of: &AmtConfig| (of.host.clone(), of.port, of.tls, of.username.clone(), of.uuid);
        parts(self) == parts(other) && self.password.expose_secret() == other.password.expose_secret()
    }
}

/// A fingerprint as nodes.yaml has it.
fn fingerprint_text(fingerprint: [u8; 32]) -> String {
    format!("sha256:{}", hex::encode(fingerprint))
}

/// The fingerprint in such a text.
fn fingerprint_of(text: &str) -> Option<[u8; 32]> {
    let mut fingerprint = [0; 32];
    hex::decode_to_slice(text.strip_prefix("sha256:")?, &mut fingerprint).ok()?;
    Some(fingerprint)
}

#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(test)]
mod tests;
