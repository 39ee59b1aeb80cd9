//! The core: what a node is, what may be asked of it, and what is said of it.
//!
//! This room knows no HTTP, no bytes of any device protocol, no files and no configuration format. Everything outside
//! speaks to it in the words of this file.

pub mod actor;
pub mod device;
pub mod event;
pub mod fleet;
pub mod journal;
pub mod machine;
pub mod pace;
mod refusal;
pub mod view;

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

pub use refusal::Refusal;

/// The name of a node: the last part of its URLs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(Arc<str>);

/// Longest node name. It is a part of URLs, metrics labels and file names, and longer names help nobody.
pub const NODE_ID_LENGTH_MAX: usize = 64;

/// Why a text cannot be the name of a node.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BadNodeId {
    /// Nothing there.
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

/// Whether the load has mains power: what a device can be told and can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Power {
    /// The relay is closed, the machine runs.
    On,
    /// The relay is open, the machine is off.
    Off,
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Power::On => "On",
            Power::Off => "Off",
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
    /// Off and on at once. Composed as a power cycle where the device knows only on and off.
    ForceRestart,
    /// Off, `off_dwell`, on.
    PowerCycle,
}

impl ResetType {
    /// All of them, in the order in which they are shown.
    pub const ALL: [ResetType; 5] =
        [ResetType::On, ResetType::ForceOn, ResetType::ForceOff, ResetType::ForceRestart, ResetType::PowerCycle];

    /// The name as Redfish spells it.
    pub const fn name(self) -> &'static str {
        match self {
            ResetType::On => "On",
            ResetType::ForceOn => "ForceOn",
            ResetType::ForceOff => "ForceOff",
            ResetType::ForceRestart => "ForceRestart",
            ResetType::PowerCycle => "PowerCycle",
        }
    }

    /// The value with this name, if there is one.
    pub fn from_name(name: &str) -> Option<ResetType> {
        ResetType::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for ResetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `Boot.BootSourceOverrideTarget` (schema ComputerSystem): where the next boot is to come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BootTarget {
    /// The machine's own order.
    #[default]
    None,
    /// The network.
    Pxe,
    /// The disk.
    Hdd,
}

impl BootTarget {
    /// All of them, in the order in which they are shown.
    pub const ALL: [BootTarget; 3] = [BootTarget::None, BootTarget::Pxe, BootTarget::Hdd];

    /// The name as Redfish spells it.
    pub const fn name(self) -> &'static str {
        match self {
            BootTarget::None => "None",
            BootTarget::Pxe => "Pxe",
            BootTarget::Hdd => "Hdd",
        }
    }
}

/// `Boot.BootSourceOverrideEnabled` (schema ComputerSystem): how long an override holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BootEnabled {
    /// No override.
    #[default]
    Disabled,
    /// For the next boot; falls to `Disabled` then.
    Once,
    /// Until it is changed.
    Continuous,
}

impl BootEnabled {
    /// All of them, in the order in which they are shown.
    pub const ALL: [BootEnabled; 3] = [BootEnabled::Disabled, BootEnabled::Once, BootEnabled::Continuous];

    /// The name as Redfish spells it.
    pub const fn name(self) -> &'static str {
        match self {
            BootEnabled::Disabled => "Disabled",
            BootEnabled::Once => "Once",
            BootEnabled::Continuous => "Continuous",
        }
    }
}

/// `Boot.BootSourceOverrideMode` (schema ComputerSystem): the firmware interface of the boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BootMode {
    /// UEFI.
    #[default]
    #[serde(rename = "UEFI")]
    Uefi,
    /// BIOS.
    Legacy,
}

impl BootMode {
    /// All of them, in the order in which they are shown.
    pub const ALL: [BootMode; 2] = [BootMode::Uefi, BootMode::Legacy];

    /// The name as Redfish spells it.
    pub const fn name(self) -> &'static str {
        match self {
            BootMode::Uefi => "UEFI",
            BootMode::Legacy => "Legacy",
        }
    }
}

/// The boot override of a node, kept in the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootOverride {
    /// `BootSourceOverrideTarget`.
    pub target: BootTarget,
    /// `BootSourceOverrideEnabled`.
    pub enabled: BootEnabled,
    /// `BootSourceOverrideMode`.
    pub mode: BootMode,
}

/// Any subset of [`BootOverride`]: what a PATCH of `Boot` carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootPatch {
    /// `BootSourceOverrideTarget`.
    pub target: Option<BootTarget>,
    /// `BootSourceOverrideEnabled`.
    pub enabled: Option<BootEnabled>,
    /// `BootSourceOverrideMode`.
    pub mode: Option<BootMode>,
}

/// `Status.Health` (schema Resource).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// All is well.
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

/// What the operator says of a machine: it is shown, never acted upon. What is not said is left out of every answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// `Manufacturer`.
    pub manufacturer: Option<String>,
    /// `Model`.
    pub model: Option<String>,
    /// `SerialNumber`.
    pub serial: Option<String>,
    /// `UUID` of the system; [`NodeId::uuid`] when not said.
    pub uuid: Option<Uuid>,
    /// The machine's processors.
    pub processors: Vec<Processor>,
    /// `MemorySummary.TotalSystemMemoryGiB`.
    pub memory_gib: Option<f64>,
    /// The machine's drives.
    pub drives: Vec<Drive>,
    /// The machine's own network interfaces.
    pub nics: Vec<MacAddress>,
}

/// One processor socket, as the Redfish schema Processor names its properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processor {
    /// `Model`.
    pub model: Option<String>,
    /// `Manufacturer`.
    pub manufacturer: Option<String>,
    /// `TotalCores`.
    pub cores: Option<u32>,
    /// `TotalThreads`.
    pub threads: Option<u32>,
    /// `InstructionSet` and `ProcessorArchitecture` come from this.
    pub architecture: Option<Architecture>,
    /// `MaxSpeedMHz`.
    pub max_speed_mhz: Option<u32>,
}

/// The instruction set of a processor, spelled as in the Redfish schema Processor (`InstructionSet`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// `x86-64`.
    X86_64,
    /// `ARM-A64`.
    ArmA64,
}

/// One drive, as the Redfish schema Drive names its properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drive {
    /// `Name`, such as `nvme0n1`.
    pub name: String,
    /// `CapacityBytes`.
    pub capacity_bytes: Option<u64>,
    /// `MediaType`: `SSD`, `HDD`.
    pub media: Option<String>,
    /// `Protocol`: `NVMe`, `SATA`, `SAS`, `USB`.
    pub protocol: Option<String>,
    /// `Model`.
    pub model: Option<String>,
    /// `SerialNumber`.
    pub serial: Option<String>,
}

/// The times by which a node lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How often the device is read when all is well.
    pub poll_interval: Duration,
    /// How long the power stays off in a cycle, and between a `ForceOff` and the next `On`.
    pub off_dwell: Duration,
    /// How long a command may take before it is given up.
    pub command_deadline: Duration,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            poll_interval: Duration::from_secs(15),
            off_dwell: Duration::from_secs(10),
            command_deadline: Duration::from_secs(60),
        }
    }
}

/// Everything the core is told of a node by the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSpec {
    /// Its name.
    pub id: NodeId,
    /// What the operator says of the machine.
    pub inventory: Arc<Inventory>,
    /// Its times.
    pub rules: Rules,
    /// The device in the operator's words, for messages: `Tapo plug at 192.0.2.11`.
    pub device: Arc<str>,
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
