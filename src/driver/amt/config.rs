//! How to reach one AMT machine.

use std::fmt;
use std::net::Ipv6Addr;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{AmtDriver, AmtMachine, PLAIN_PORT, TLS_PORT};
use crate::driver::http::Tls;
use crate::driver::{DeviceConfig, DeviceContext, Driver, DriverConfig, Shared};
use crate::node::device::PowerDevice;
use crate::node::trust::Proven;

/// What a machine is worth whose answers can be altered on their way.
const PLAIN: &str = "AMT over plain HTTP (port 16992): the password is not sent, but a man in the middle can alter every answer, a \
     power state included; use tls with a pin (16993) where the machine has it, see docs/amt.md";

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

impl DeviceConfig for AmtConfig {
    fn driver(&self) -> &'static dyn Driver {
        &AmtDriver
    }

    /// `AMT machine at 192.0.2.12`.
    fn label(&self) -> String {
        match self.port {
            Some(port) => format!("AMT machine at {}:{port}", self.host),
            None => format!("AMT machine at {}", self.host),
        }
    }

    fn named(&self) -> Proven {
        let certificate = match self.tls {
            Tls::Pin(pin) => Some(fingerprint_text(pin)),
            Tls::Off | Tls::Verify | Tls::Insecure => None,
        };
        Proven { uuid: self.uuid, certificate, ..Proven::default() }
    }

    fn note(&self) -> Option<&'static str> {
        (self.tls == Tls::Off).then_some(PLAIN)
    }

    fn gate_key(&self) -> String {
        self.url("")
    }

    fn open(&self, _: &Shared, context: DeviceContext) -> Box<dyn PowerDevice> {
        Box::new(AmtMachine::new(self, context))
    }
}

impl From<AmtConfig> for DriverConfig {
    fn from(config: AmtConfig) -> DriverConfig {
        DriverConfig::new(config)
    }
}

/// A fingerprint as nodes.yaml has it.
pub(super) fn fingerprint_text(fingerprint: [u8; 32]) -> String {
    format!("sha256:{}", hex::encode(fingerprint))
}

/// The fingerprint in such a text.
pub(super) fn fingerprint_of(text: &str) -> Option<[u8; 32]> {
    let mut fingerprint = [0; 32];
    hex::decode_to_slice(text.strip_prefix("sha256:")?, &mut fingerprint).ok()?;
    Some(fingerprint)
}
