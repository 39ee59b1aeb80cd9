//! Looking for devices on the network: where to look, and what a driver says of one that it found.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::time::Duration;

use thiserror::Error;

use crate::clock::Clock;
use crate::node::MacAddress;

/// Where to look.
pub(crate) struct Search<'a> {
    /// The time.
    pub clock: &'a Clock,
    /// Every address of the networks.
    pub addresses: &'a [Ipv4Addr],
    /// The broadcast address of each network.
    pub broadcasts: &'a [Ipv4Addr],
    /// A person named the networks, so that devices which answer a broadcast may be asked one by one, too.
    pub is_named: bool,
    /// How long to wait for answers to a broadcast.
    pub wait: Duration,
}

/// A device that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Where.
    pub address: IpAddr,
    /// What it is, as far as it said that.
    pub model: Option<String>,
    /// Its hardware address.
    pub mac: Option<MacAddress>,
    /// What else to know of it.
    pub note: String,
    /// What tells it from others of its kind, in letters of which the name of a node may be made.
    pub name: String,
    /// The keys of its section in nodes.yaml.
    pub keys: String,
}

/// Nothing could be looked for.
#[derive(Debug, Error)]
#[error("{what}")]
pub(crate) struct FindError {
    /// What failed.
    pub what: &'static str,
    /// Why.
    pub source: io::Error,
}

/// What looking for devices returns.
pub(crate) type FindFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<Finding>, FindError>> + 'a>>;
