//! Device drivers: the only list of them, and what every one of them is given.
//!
//! A driver owns all that is particular to its kind of device: its section of nodes.yaml, what is known of such devices and how
//! many requests they bear, how they are found and called, and how one is opened. `section` is the border to the file, `registry` to
//! the daemon. A new driver is a folder here and a line in [`DRIVERS`]; docs/configuration.md is made again from its schema
//! (`UPDATE_DOCS=1 cargo test reference`).

pub(crate) mod amt;
mod cleaned;
pub(crate) mod digest;
pub(crate) mod find;
pub(crate) mod http;
mod registry;
pub(crate) mod section;
mod shutdown;
pub(crate) mod tapo;

use std::sync::Arc;

use schemars::{Schema, SchemaGenerator};

use self::find::{FindFuture, Search};
pub(crate) use self::registry::{DeviceConfig, Shared};
pub use self::registry::{DriverConfig, Drivers};
use self::section::{Section, SectionContext};
use crate::clock::Clock;
use crate::node::NodeId;
use crate::node::device::DeviceKind;
use crate::node::rate_limit::{RateLimit, RequestGate};
use crate::node::trust::DeviceTrust;
use crate::reader::{Cursor, Read};
use crate::recorder::ExchangeLog;
use crate::telemetry::DeviceMetrics;

/// All drivers, in the order in which their keys are named.
pub(crate) static DRIVERS: &[&dyn Driver] = &[&tapo::TapoDriver, &amt::AmtDriver];

/// What there is to know of a driver before a device of its kind is opened.
pub(crate) trait Driver: Sync {
    /// Its section of nodes.yaml, in words.
    fn section(&self) -> &'static Section;

    /// Reads the section of one node.
    fn read(&self, at: &Cursor<'_>, context: SectionContext<'_>) -> Read<DriverConfig>;

    /// The section in the words of a JSON schema.
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;

    /// Its groups of keys by their names in the schema, that of a node first: tests hold the reader and the schema to the same
    /// keys.
    #[cfg(test)]
    fn groups(&self) -> &'static [(&'static str, &'static [&'static str])];

    /// What is known of all devices of this kind.
    fn kind(&self) -> &'static DeviceKind;

    /// How many requests such a device bears.
    fn rate_limit(&self) -> RateLimit;

    /// Looks for such devices on the network, without a login.
    fn find<'a>(&'a self, search: &'a Search<'a>) -> FindFuture<'a>;
}

/// What every device is given beside its configuration.
#[derive(Clone)]
pub(crate) struct DeviceContext {
    /// The node it switches, for logs.
    pub node: NodeId,
    /// Time and chance.
    pub clock: Clock,
    /// To be passed by every request.
    pub gate: Arc<RequestGate>,
    /// To be told of every request.
    pub meters: DeviceMetrics,
    /// Where every request is written down.
    pub exchange_log: Arc<ExchangeLog>,
    /// What the device ever proved: read before a login, extended before anything relies on what a session showed.
    pub trust: Arc<DeviceTrust>,
}

#[cfg(test)]
pub(crate) mod tests;
