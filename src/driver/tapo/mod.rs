//! TP-Link Tapo smart plugs and strips.
//!
//! From the inside out: `cipher`, `spake` (arithmetic); `klap`, `passthrough`, `tpap` (the variants of the wire);
//! `transport` (which variant); `connection` and `call` (session and failures), with `search` and `discovery` for a plug that is
//! not where it was; `smart`, `ask`, `meter`, `strip` (the methods); `plug` (what the core sees).

mod call;
mod cipher;
mod connection;
pub(crate) mod discovery;
mod fault;
mod klap;
mod meter;
mod methods;
mod passthrough;
mod plug;
mod redact;
mod search;
mod smart;
mod spake;
mod strip;
mod tpap;
mod transport;
mod wire;

#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use self::connection::{Connection, Timing};
pub(crate) use self::plug::TapoPlug;
use self::search::Searches;
use super::DeviceContext;
use super::http::{HttpClient, HttpError};
use crate::node::device::DeviceKind;
use crate::node::rate_limit::{RateLimit, at_least_one};
use crate::node::trust::Protocol;
use crate::node::{BootMode, BootTarget, MacAddress};

/// What is known of all plugs: a relay follows within milliseconds (the later readings are for devices that report late),
/// it can do nothing but on and off, and whatever it switches is trusted to boot from the network when it is offered a boot.
pub const KIND: DeviceKind = DeviceKind {
    boot_targets: &[BootTarget::None, BootTarget::Pxe, BootTarget::Hdd],
    boot_modes: &BootMode::ALL,
    is_outlet: true,
    sets_power_restore: true,
    applies_boot: false,
    orders: &[],
    reads_before_action: false,
    verify_after: &[Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)],
    silence_max: Duration::ZERO,
};

/// What plugs bear. Above 5 requests a second they choke, and their maker blames frequent polling for plugs that restart
/// with the load switched off; 250 ms keeps under that whatever the network does to the spacing. A login with its first
/// request and one repeat is 4 requests, hence the burst.
pub const RATE_LIMIT: RateLimit =
    RateLimit { gap: Duration::from_millis(250), per_second: at_least_one(2), burst: at_least_one(4) };

/// UDP port on which plugs answer discovery.
pub(crate) const DISCOVERY_PORT: u16 = 20002;

/// A protocol of plugs, the one that proves least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TapoProtocol {
    /// securePassthrough: the plug proves nothing, and is sent the password of the account.
    Passthrough = 1,
    /// KLAP: the plug proves that it knows the account before it is sent anything.
    Klap = 2,
    /// TPAP: both sides prove that they know the password, and every answer is authenticated.
    Tpap = 3,
}

impl TapoProtocol {
    /// All of them.
    pub const ALL: [TapoProtocol; 3] = [TapoProtocol::Passthrough, TapoProtocol::Klap, TapoProtocol::Tpap];

    /// The name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            TapoProtocol::Passthrough => "securePassthrough",
            TapoProtocol::Klap => "KLAP",
            TapoProtocol::Tpap => "TPAP",
        }
    }

    /// Its place in a trust record.
    const fn rank(self) -> u8 {
        self as u8
    }

    /// What a trust record calls it, in this version.
    fn named(self, name: &str) -> Protocol {
        Protocol { rank: self.rank(), name: name.into() }
    }
}

/// How to reach one plug.
#[derive(Clone, Debug)]
pub struct TapoConfig {
    /// Name or IP address, without a port.
    pub host: String,
    /// TCP port, when the operator gave one; else what discovery says, else 80.
    pub port: Option<u16>,
    /// The e-mail of the TP-Link account, case-sensitive.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// The plug's hardware address: finds it again when its IP address has changed.
    pub mac: Option<MacAddress>,
    /// On a strip: which outlet: its position on the strip, counted from 0.
    pub outlet: Option<u8>,
    /// With what the plug may be spoken to.
    pub protocols: Vec<TapoProtocol>,
    /// The plug may be logged in to with the accounts that it has before it is bound to its owner's. They are public.
    pub factory: bool,
    /// Where discovery is answered; [`DISCOVERY_PORT`] but in tests.
    pub discovery_port: u16,
}

impl PartialEq for TapoConfig {
    fn eq(&self, other: &TapoConfig) -> bool {
        (&self.host, self.port, self.mac, self.outlet, self.discovery_port)
            == (&other.host, other.port, other.mac, other.outlet, other.discovery_port)
            && (&self.protocols, self.factory) == (&other.protocols, other.factory)
            && self.account() == other.account()
    }
}

impl TapoConfig {
    /// `Tapo plug at 192.0.2.11`, `outlet 2 of the Tapo strip at 192.0.2.11`.
    pub fn label(&self) -> String {
        let at = match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        };
        match self.outlet {
            Some(outlet) => format!("outlet {outlet} of the Tapo strip at {at}"),
            None => format!("Tapo plug at {at}"),
        }
    }

    fn account(&self) -> Account {
        Account { username: self.username.clone(), password: self.password.clone() }
    }
}

/// A TP-Link account. Both parts count upper and lower case.
#[derive(Clone)]
struct Account {
    username: String,
    password: SecretString,
}

impl Account {
    fn username(&self) -> &str {
        &self.username
    }

    fn password(&self) -> &str {
        self.password.expose_secret()
    }
}

impl PartialEq for Account {
    fn eq(&self, other: &Account) -> bool {
        self.username == other.username && self.password() == other.password()
    }
}

/// Makes plugs, and lets those that are outlets of one strip share its connection.
pub(super) struct Plugs {
    /// By host, so that a fleet of thousands is not looked through for each of them.
    connections: Mutex<HashMap<String, Vec<Weak<Connection>>>>,
    searches: Arc<Searches>,
    /// One for all plugs, from which each has its own; or why there is none.
    http: Result<HttpClient, HttpError>,
    timing: Timing,
}

impl Default for Plugs {
    fn default() -> Plugs {
        Plugs::new(Timing::PLUG)
    }
}

impl Plugs {
    fn new(timing: Timing) -> Plugs {
        let http = HttpClient::plain(timing.deadlines);
        Plugs { connections: Mutex::default(), searches: Arc::default(), http, timing }
    }

    /// Makes a plug. The gate of `context` is that of its address, whatever account is used there.
    pub(super) fn open(&self, config: &TapoConfig, context: DeviceContext) -> TapoPlug {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.len() == connections.capacity() {
            // Before it grows: those that no one uses any more.
            connections.retain(|_, at_host| at_host.iter().any(|connection| connection.strong_count() > 0));
        }
        let at_host = connections.entry(config.host.clone()).or_default();
        at_host.retain(|connection| connection.strong_count() > 0);
        let shared = at_host.iter().filter_map(Weak::upgrade).find(|connection| connection.serves(config));
        let connection = shared.unwrap_or_else(|| {
            let new = Arc::new(Connection::new(config, context.gate.clone(), self));
            at_host.push(Arc::downgrade(&new));
            new
        });
        connection.join(config, &context.trust);
        TapoPlug::new(config, context, connection)
    }
}
