//! nodes.yaml: from the file to what the daemon runs, and what is wrong with it, all at once and each with its place.
//!
//! ```text
//! load (file -> tree, lines) -> service, nodes, inventory, power (keys) -> values (one value)
//! ```
//!
//! How a tree is read on after a mistake is the work of [`reader`](crate::reader); `schema` is the same file in the words of a JSON schema; `restart`
//! says what a reload cannot change, `watch` when one is due. This room knows what a node is and what a role is. It knows no
//! driver by name: each of [`DRIVERS`](crate::driver::DRIVERS) reads its own section.

mod check;
mod depth;
mod inventory;
mod load;
mod nodes;
mod power;
mod restart;
pub(crate) mod schema;
mod service;
mod values;
pub(crate) mod watch;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

pub use self::load::{load, load_in};
pub use self::restart::needs_restart;
pub(crate) use self::schema::schema;
use crate::account::{MetricsAccess, NodeScope, Role};
use crate::driver::DriverConfig;
use crate::node::{BootMode, BootTarget, Inventory, NodeId, PowerPolicy, Timings};
use crate::reader::Problem;

/// Where the configuration is looked for when no one says where it is.
pub(crate) const PLACES: [&str; 2] = ["./nodes.yaml", "/etc/plugfish/nodes.yaml"];

/// A configuration in which nothing is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How clients are served.
    pub server: ServerConfig,
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// The accounts that are made if they are not there.
    pub accounts: Vec<AccountSeed>,
    /// The nodes, in the order of the file.
    pub nodes: Vec<NodeConfig>,
}

/// How clients are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where; at least one address.
    pub listen: Vec<SocketAddr>,
    /// With which certificate; plain HTTP without.
    pub tls: Option<TlsConfig>,
    /// A login is wanted.
    pub auth_required: bool,
    /// Who may read `/metrics`.
    pub metrics: MetricsAccess,
    /// Names by which clients reach the service, besides addresses and the names of this machine.
    pub host_names: Vec<String>,
    /// Who is believed about the client behind it: addresses, and how many of their bits count.
    pub trusted_proxies: Vec<(IpAddr, u8)>,
}

/// Which certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsConfig {
    /// The one in these PEM files.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// One that is made at the first start and kept beside the state.
    SelfSigned,
}

/// An account that is made if it is not there.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountSeed {
    /// The name it logs in with.
    pub username: String,
    /// Its password.
    pub password: AccountPassword,
    /// What it may do.
    pub role: Role,
    /// The only nodes that it sees.
    pub scope: Option<NodeScope>,
}

/// The password of an account.
#[derive(Clone)]
pub enum AccountPassword {
    /// In clear, to be hashed.
    Plain(SecretString),
    /// As a PHC string of argon2.
    Hash(String),
}

impl PartialEq for AccountPassword {
    fn eq(&self, other: &AccountPassword) -> bool {
        match (self, other) {
            (AccountPassword::Plain(a), AccountPassword::Plain(b)) => a.expose_secret() == b.expose_secret(),
            (AccountPassword::Hash(a), AccountPassword::Hash(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Debug for AccountPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AccountPassword::Plain(_) => "Plain(***)",
            AccountPassword::Hash(_) => "Hash(***)",
        })
    }
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConfig {
    /// Its name.
    pub id: NodeId,
    /// What the operator says of the machine, network interfaces included.
    pub inventory: Arc<Inventory>,
    /// Its times.
    pub timings: Timings,
    /// The firmware interface with which it boots, when it is said.
    pub boot_mode: Option<BootMode>,
    /// What the network boot of a node behind a plug can lead to, when it is said.
    pub boot_targets: Option<Vec<BootTarget>>,
    /// What tells whether its machine runs.
    pub policy: PowerPolicy,
    /// What switches its power.
    pub device: DriverConfig,
}

/// A configuration that can be run, and what is not quite right with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What to run.
    pub config: Config,
    /// One line each, with file, line and path.
    pub warnings: Vec<String>,
}

/// Everything that is wrong with a file. Shown as one line for each problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblems {
    /// The file, as it was named.
    pub file: PathBuf,
    /// At least one; in the order of their lines.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigProblems {}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}", problem.in_file(&self.file))?;
        }
        Ok(())
    }
}

/// There is no configuration where one is looked for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "there is no configuration: neither {} is there; write one, or say where it is with --config or PLUGFISH_CONFIG",
    PLACES.join(" nor ")
)]
pub(crate) struct NoConfig;

/// Where the configuration is: where it was said to be, else in the first of [`PLACES`] that is there.
pub(crate) fn find(given: Option<PathBuf>) -> Result<PathBuf, NoConfig> {
    find_among(given, Path::exists)
}

fn find_among(given: Option<PathBuf>, is_there: impl Fn(&Path) -> bool) -> Result<PathBuf, NoConfig> {
    let given = given.filter(|given| !given.as_os_str().is_empty());
    let there = || PLACES.iter().map(PathBuf::from).find(|place| is_there(place));
    given.or_else(there).ok_or(NoConfig)
}
