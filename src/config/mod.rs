//! The configuration: nodes.yaml, from the text to what the daemon needs.
//!
//! ```text
//! text -> load (YAML, lines) -> tree -> shape (keys and types) -> check and nodes (rules) -> Config
//! ```
//!
//! All problems of a file are found at once, each with its way and its line. The room uses the words of `node` and
//! `account`; it knows no driver, no store and no HTTP.

mod check;
mod diff;
mod inventory;
mod load;
mod nodes;
mod problem;
mod secret;
mod shape;
mod tree;
mod values;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

pub use self::diff::{Diff, diff, needs_restart};
pub use self::load::load;
pub use self::problem::{ConfigProblems, PROBLEMS_MAX, Problem};
pub use self::shape::{Auth as AuthMode, MetricsAccess};
pub use self::values::{BadValue, address as parse_address, span as parse_span};
use crate::account::Role;
use crate::node::{Inventory, MacAddress, NodeId, Rules};

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where and how clients are served.
    pub server: ServerConfig,
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// Accounts to be made at the first start.
    pub accounts: Vec<AccountSeed>,
    /// The machines, in the order of the file.
    pub nodes: Vec<NodeConfig>,
}

/// Where and how clients are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Addresses to listen on, at least one.
    pub listen: Vec<SocketAddr>,
    /// HTTPS; plain HTTP without.
    pub tls: Option<TlsConfig>,
    /// Whether clients have to log in.
    pub auth: AuthMode,
    /// `auth: none` was allowed for addresses that others can reach.
    pub allow_insecure: bool,
    /// Who may read `/metrics`.
    pub metrics: MetricsAccess,
}

/// The certificate of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsConfig {
    /// In files, which were there when the configuration was checked.
    Files {
        /// The certificate and its chain, in PEM.
        certificate: PathBuf,
        /// The private key, in PEM.
        key: PathBuf,
    },
    /// Made by plugfish itself.
    SelfSigned,
}

/// An account to be made at the first start.
#[derive(Clone, Debug)]
pub struct AccountSeed {
    /// Its name.
    pub username: String,
    /// Its password.
    pub password: SeedPassword,
    /// What it may do.
    pub role: Role,
}

/// The password of an account to be made.
#[derive(Clone, Debug)]
pub enum SeedPassword {
    /// In clear, to be hashed.
    Plain(SecretString),
    /// As a PHC string of argon2; nothing more than its form was checked.
    Hash(SecretString),
}

/// A machine and what switches its power.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConfig {
    /// Its name.
    pub id: NodeId,
    /// What it is made of. Shared, because the actor's specification wants it shared.
    pub inventory: Arc<Inventory>,
    /// Its times.
    pub rules: Rules,
    /// What switches its power.
    pub device: DeviceConfig,
}

/// What switches the power of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceConfig {
    /// A TP-Link Tapo smart plug, or an outlet of a strip.
    Tapo(TapoDevice),
}

/// A TP-Link Tapo smart plug, or an outlet of a strip.
#[derive(Clone, Debug)]
pub struct TapoDevice {
    /// Host name in small letters, or IP address without brackets.
    pub host: String,
    /// The port, when one was written.
    pub port: Option<u16>,
    /// The plug's own MAC address.
    pub mac: Option<MacAddress>,
    /// On a strip: which outlet, from 0.
    pub outlet: Option<u8>,
    /// The e-mail of the TP-Link account.
    pub username: String,
    /// Its password.
    pub password: SecretString,
}

impl PartialEq for TapoDevice {
    fn eq(&self, other: &TapoDevice) -> bool {
        (&self.host, self.port, self.mac, self.outlet, &self.username)
            == (&other.host, other.port, other.mac, other.outlet, &other.username)
            && self.password.expose_secret() == other.password.expose_secret()
    }
}

/// Where nodes.yaml is looked for when nobody says where it is.
const PLACES: [&str; 2] = ["nodes.yaml", "/etc/plugfish/nodes.yaml"];

/// There is no configuration.
#[derive(Debug, thiserror::Error)]
#[error("there is no configuration: give one with --config or PLUGFISH_CONFIG, or put it at ./{} or {}", PLACES[0], PLACES[1])]
pub struct NoConfig;

/// The configuration that was named, else the first that is there.
pub fn find(named: Option<PathBuf>) -> Result<PathBuf, NoConfig> {
    named.or_else(|| PLACES.iter().map(PathBuf::from).find(|place| place.exists())).ok_or(NoConfig)
}

/// The JSON schema of nodes.yaml, for editors.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(shape::File).to_value()
}

/// The environment of this process, for [`load`].
pub fn system_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
