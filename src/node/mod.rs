//! The core: types and rules of a node, its commands and its state.
//!
//! This room knows no HTTP, no bytes of any device protocol, no files and no configuration format. Other rooms use it
//! through the types of this file.

pub(crate) mod actor;
mod boot;
pub(crate) mod calibration;
pub(crate) mod device;
pub(crate) mod entry;
pub(crate) mod event;
pub(crate) mod fleet;
pub(crate) mod fsm;
mod inventory;
pub(crate) mod journal;
pub(crate) mod measured;
mod policy;
pub(crate) mod power_history;
pub(crate) mod rate_limit;
mod refusal;
pub(crate) mod reload;
pub(crate) mod supervisor;
pub(crate) mod trust;
pub(crate) mod view;

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

pub use boot::{BootEnabled, BootMode, BootOverride, BootPatch, BootTarget};
pub use inventory::{Architecture, Drive, Inventory, MemoryModule, Processor};
pub use measured::Watts;
pub use policy::{AfterShutdown, Graceful, PowerPolicy, PowerSource, ShutdownHook};
pub use refusal::Refusal;

/// The name of a node: the last part of its URLs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(Arc<str>);

/// Longest node name. It is a part of URLs, metrics labels and file names, and longer names have no use.
pub(crate) const NODE_ID_LENGTH_MAX: usize = 64;

/// Why a text cannot be the name of a node.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadNodeId {
    /// The id is empty.
    #[error("a node id cannot be empty")]
    Empty,
    /// Over [`NODE_ID_LENGTH_MAX`].
    #[error("a node id has at most {NODE_ID_LENGTH_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// Not safe in a URL.
    #[error("a node id is made of letters, digits, '.', '_' and '-', and {0:?} is none of them")]
    Character(char),
    /// `.` and `..` are path steps.
    #[error("a node id cannot be \".\" or \"..\"")]
    Dots,
}

impl NodeId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The UUID of the machine when nothing better is known: a version 5 UUID of the name, the same at every start.
    pub fn uuid(&self) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("urn:plugfish:node:{}", self.0).as_bytes())
    }
}

impl Borrow<str> for NodeId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = BadNodeId;
    fn from_str(text: &str) -> Result<NodeId, BadNodeId> {
        let length = text.chars().count();
        if length == 0 {
            return Err(BadNodeId::Empty);
        }
        if length > NODE_ID_LENGTH_MAX {
            return Err(BadNodeId::TooLong(length));
        }
        if let Some(odd) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
            return Err(BadNodeId::Character(odd));
        }
        if text == "." || text == ".." {
            return Err(BadNodeId::Dots);
        }
        Ok(NodeId(text.into()))
    }
}

impl TryFrom<String> for NodeId {
    type Error = BadNodeId;
    fn try_from(text: String) -> Result<NodeId, BadNodeId> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> String {
        id.0.as_ref().into()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The power of a machine, as a device can tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Power {
    /// The relay is closed, the machine runs.
    On,
    /// The relay is open, the machine is off.
    Off,
    /// The machine sleeps: it has power, and wakes up when it is told to turn on.
    Asleep,
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Power::On => "On",
            Power::Off => "Off",
            Power::Asleep => "Asleep",
        })
    }
}

/// `Resource.ResetType` (DSP0266, schema Resource): what a client may ask of a node's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ResetType {
    /// Turn on.
    On,
    /// Turn on, whatever the machine thinks of it. The same as `On` here.
    ForceOn,
    /// Cut the power at once.
    ForceOff,
    /// Ask the operating system to shut down. Only where the device can.
    GracefulShutdown,
    /// Off and on at once. Composed as a power cycle where the device knows only on and off.
    ForceRestart,
    /// Ask the operating system to restart. Only where the device can.
    GracefulRestart,
    /// Off, `off_dwell`, on.
    PowerCycle,
    /// A diagnostic interrupt. Only where the device can.
    Nmi,
}

impl ResetType {
    /// All of them, in the order in which they are shown.
    pub const ALL: [ResetType; 8] = [
        ResetType::On,
        ResetType::ForceOn,
        ResetType::ForceOff,
        ResetType::GracefulShutdown,
        ResetType::ForceRestart,
        ResetType::GracefulRestart,
        ResetType::PowerCycle,
        ResetType::Nmi,
    ];

    /// The name as Redfish spells it.
    pub const fn name(self) -> &'static str {
        match self {
            ResetType::On => "On",
            ResetType::ForceOn => "ForceOn",
            ResetType::ForceOff => "ForceOff",
            ResetType::GracefulShutdown => "GracefulShutdown",
            ResetType::ForceRestart => "ForceRestart",
            ResetType::GracefulRestart => "GracefulRestart",
            ResetType::PowerCycle => "PowerCycle",
            ResetType::Nmi => "Nmi",
        }
    }

    /// The value with this name, if there is one.
    pub fn from_name(name: &str) -> Option<ResetType> {
        ResetType::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The one order that does it, where a device has it; what has none is composed of on and off.
    pub const fn native(self) -> Option<PowerAction> {
        match self {
            ResetType::On | ResetType::ForceOn => Some(PowerAction::On),
            ResetType::ForceOff => Some(PowerAction::Off),
            ResetType::GracefulShutdown => Some(PowerAction::GracefulOff),
            ResetType::ForceRestart => Some(PowerAction::Reset),
            ResetType::GracefulRestart => Some(PowerAction::GracefulReset),
            ResetType::PowerCycle => Some(PowerAction::Cycle),
            ResetType::Nmi => Some(PowerAction::Nmi),
        }
    }

    /// Every device can do it, since on and off are enough for it.
    pub const fn is_composable(self) -> bool {
        use ResetType::{ForceOff, ForceOn, ForceRestart, On, PowerCycle};
        matches!(self, On | ForceOn | ForceOff | ForceRestart | PowerCycle)
    }
}

/// One order to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PowerAction {
    /// Turn on, or wake up.
    On,
    /// Cut the power.
    Off,
    /// Off and on again, by the device itself.
    Cycle,
    /// Restart without cutting the power.
    Reset,
    /// Let the operating system shut down.
    GracefulOff,
    /// Let the operating system restart.
    GracefulReset,
    /// A diagnostic interrupt.
    Nmi,
}

impl PowerAction {
    /// It ends in the state in which it began, so that no reading tells whether it was followed: only the device's
    /// own "ok" does.
    pub const fn is_momentary(self) -> bool {
        matches!(self, PowerAction::Cycle | PowerAction::Reset | PowerAction::GracefulReset | PowerAction::Nmi)
    }

    /// The machine boots after it.
    pub const fn boots(self) -> bool {
        matches!(self, PowerAction::On | PowerAction::Cycle | PowerAction::Reset | PowerAction::GracefulReset)
    }

    /// The state in which it ends.
    pub const fn leads_to(self) -> Power {
        match self {
            PowerAction::Off | PowerAction::GracefulOff => Power::Off,
            _ => Power::On,
        }
    }

    /// The name, for logs.
    pub const fn name(self) -> &'static str {
        match self {
            PowerAction::On => "on",
            PowerAction::Off => "off",
            PowerAction::Cycle => "cycle",
            PowerAction::Reset => "reset",
            PowerAction::GracefulOff => "graceful off",
            PowerAction::GracefulReset => "graceful reset",
            PowerAction::Nmi => "nmi",
        }
    }
}

impl fmt::Display for ResetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `Status.Health` (schema Resource).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// No problem.
    #[default]
    OK,
    /// Some polls were missed.
    Warning,
    /// The device is given up for now: what is shown is the last known state.
    Critical,
}

impl Health {
    /// The name as Redfish spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Health::OK => "OK",
            Health::Warning => "Warning",
            Health::Critical => "Critical",
        }
    }
}

/// A hardware address, shown as `00:5c:52:31:3a:9c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

/// A text that is no hardware address.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a MAC address: six pairs of hex digits, separated by ':' or '-' or by nothing")]
pub struct BadMacAddress(String);

impl FromStr for MacAddress {
    type Err = BadMacAddress;
    fn from_str(text: &str) -> Result<MacAddress, BadMacAddress> {
        let bad = || BadMacAddress(text.into());
        let separators = text.chars().filter(|c| matches!(c, ':' | '-')).count();
        let whole = text.len() == 12 && separators == 0;
        let parted = text.len() == 17
            && [":", "-"].iter().any(|sep| text.split(sep).count() == 6 && text.split(sep).all(|part| part.len() == 2));
        if !(whole || parted) {
            return Err(bad());
        }
        let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-')).collect();
        let mut bytes = [0; 6];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| bad())?;
        Ok(MacAddress(bytes))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = BadMacAddress;
    fn try_from(text: String) -> Result<MacAddress, BadMacAddress> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> String {
        mac.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The times by which a node lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How often the device is read when all is well.
    pub poll_interval: Duration,
    /// How long the power stays off in a cycle, and between a `ForceOff` and the next `On`.
    pub off_dwell: Duration,
    /// How long a command may take before it is given up.
    pub command_deadline: Duration,
    /// A state that was confirmed longer ago than this is not shown: for nodes that are fenced. `None` shows the last known
    /// state whatever its age.
    pub fence_age_max: Option<Duration>,
}

impl Timings {
    /// The least `fence_age_max` with this interval: two polls lie apart by it, its spread, and as long as a slow device takes
    /// to log in and answer. With less the state would be unknown between any two polls.
    pub fn fence_age_least(poll_interval: Duration) -> Duration {
        const SLOW_READING: Duration = Duration::from_secs(5);
        let least = poll_interval + poll_interval / 4 + SLOW_READING;
        Duration::from_secs(least.as_secs() + u64::from(least.subsec_nanos() > 0))
    }
}

impl Default for Timings {
    fn default() -> Timings {
        Timings {
            poll_interval: Duration::from_secs(15),
            off_dwell: Duration::from_secs(10),
            command_deadline: Duration::from_secs(60),
            fence_age_max: None,
        }
    }
}

/// Everything the core is told of a node by the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSpec {
    pub id: NodeId,
    /// What the operator says of the machine.
    pub inventory: Arc<Inventory>,
    pub timings: Timings,
    /// The device in the operator's words, for messages: `Tapo plug at 192.0.2.11`.
    pub device: Arc<str>,
    /// What is known of every device of this kind.
    pub kind: &'static device::DeviceKind,
    /// The firmware interface with which the machine boots, when the operator says so: nothing here can change it.
    pub boot_mode: Option<BootMode>,
    /// What a client may choose for the next boot where the device knows nothing of it, when the operator says so. `None` of
    /// Redfish is always there beside them.
    pub boot_targets: Option<Arc<[BootTarget]>>,
    /// What tells whether its machine runs.
    pub policy: PowerPolicy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_are_safe_in_a_url() {
        for good in ["node-1", "a", "R2.d2_x", &"x".repeat(64)] {
            assert_eq!(good.parse::<NodeId>().map(String::from).as_deref(), Ok(good));
        }
        for bad in ["", ".", "..", "a/b", "a b", "é", "%41", &"x".repeat(65)] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn mac_addresses_are_read_in_the_usual_spellings() {
        for good in ["00:5c:52:31:3a:9C", "00-5C-52-31-3A-9C", "005c52313a9c"] {
            assert_eq!(good.parse::<MacAddress>().map(|m| m.to_string()).as_deref(), Ok("00:5c:52:31:3a:9c"));
        }
        for bad in ["", "00:5c:52:31:3a", "00:5c:52:31:3a:9g", "005c52313a9", "0:05c:52:31:3a:9c", "00:5c-52:31-3a:9c"]
        {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn reset_types_keep_their_names() {
        for kind in ResetType::ALL {
            assert_eq!(ResetType::from_name(kind.name()), Some(kind));
        }
        assert_eq!(ResetType::from_name("on"), None);
    }
}
