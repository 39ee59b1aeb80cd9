//! TP-Link Tapo smart plugs and strips.
//!
//! From the inside out: `cipher`, `spake` (arithmetic); `klap`, `passthrough`, `tpap` (the variants of the wire);
//! `config` (how to reach a plug), `section` (its keys in nodes.yaml); `transport` (which variant); `connection` and `call` (session and failures), with `search` and `discovery` for a plug that is
//! not where it was; `smart`, `ask`, `meter`, `strip` (the methods); `plug` (what the core sees).

mod call;
mod cipher;
mod config;
mod connection;
mod discovery;
mod fault;
mod find;
mod klap;
mod meter;
mod methods;
mod passthrough;
mod plug;
mod redact;
mod search;
mod section;
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

use schemars::{Schema, SchemaGenerator};
use secrecy::{ExposeSecret, SecretString};

pub use self::config::{TapoConfig, TapoProtocol};
use self::connection::{Connection, Timing};
pub(crate) use self::plug::TapoPlug;
use self::search::Searches;
use super::find::{FindFuture, Search};
use super::http::{HttpClient, HttpError};
use super::section::{Section, SectionContext};
use super::{DeviceContext, Driver, DriverConfig};
use crate::node::device::DeviceKind;
use crate::node::rate_limit::{RateLimit, at_least_one};
use crate::node::{BootMode, BootTarget};
use crate::reader::{Cursor, Read};

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

/// The driver of plugs.
pub(crate) struct TapoDriver;

impl Driver for TapoDriver {
    fn section(&self) -> &'static Section {
        &section::SECTION
    }

    fn read(&self, at: &Cursor<'_>, context: SectionContext<'_>) -> Read<DriverConfig> {
        section::read(at, context).map(DriverConfig::new)
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<section::Tapo>()
    }

    #[cfg(test)]
    fn groups(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[("Tapo", section::SECTION.keys)]
    }

    fn kind(&self) -> &'static DeviceKind {
        &KIND
    }

    fn rate_limit(&self) -> RateLimit {
        RATE_LIMIT
    }

    fn find<'a>(&'a self, search: &'a Search<'a>) -> FindFuture<'a> {
        Box::pin(find::find(search))
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
