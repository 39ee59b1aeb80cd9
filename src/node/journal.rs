//! The core's interface to a store: one narrow trait and the records that it keeps.
//!
//! The store decides how and where they are kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::device::{Capabilities, DeviceIdentity};
use super::trust::{TrustBook, TrustRecord};
use super::{BootOverride, Inventory, NodeId, Power, ResetType};
use crate::clock::Wall;
use crate::durable::WriteFuture;

/// What the core needs of a store.
pub trait Journal: TrustBook {
    /// What is known of this node; the default when there is nothing. From memory: never waits for a disk.
    fn load(&self, node: &NodeId) -> NodeRecord;

    /// Makes the intent of a node durable. It replaces the one before.
    fn record_intent(&self, node: &NodeId, intent: Intent) -> WriteFuture;

    /// Forgets the intent of a node, if it is still this one. Reaches the disk when it suits the store: an intent that
    /// comes back after a crash is checked against the device before anything is done.
    fn clear_intent(&self, node: &NodeId, number: u64);

    /// Makes the boot override of a node durable.
    fn record_boot(&self, node: &NodeId, boot: BootRecord) -> WriteFuture;

    /// Remembers what was last seen. Reaches the disk when it suits the store: a poll brings it again.
    fn note_seen(&self, node: &NodeId, seen: SeenRecord);
}

/// All that the journal keeps of one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The command that was accepted and is not finished.
    pub intent: Option<Intent>,
    /// The last known state.
    pub seen: Option<SeenRecord>,
    pub boot: Option<BootRecord>,
    /// What its device ever proved.
    pub trust: Option<Arc<TrustRecord>>,
}

/// An accepted command: a durable wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Grows by one with each command of this node.
    pub number: u64,
    pub reset: ResetType,
    /// What was acknowledged before it and not done when it came, and is done first: an `On` right after a `ForceOff` cuts
    /// the power and turns it on again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<ResetType>,
    pub accepted: Wall,
    /// Who asked: the account's name.
    pub by: String,
    /// The stage that it has reached.
    pub stage: Stage,
}

/// How far a command is, as far as a restart must know. Written before the step that it names is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Nothing was sent that a restart could not simply repeat.
    #[default]
    Accepted,
    /// A cycle may have cut the power: it is owed its On from here, whatever the deadline says. Where the device
    /// restarts a machine by one order, that order may have been sent, and is sent again after a restart of ours.
    Cutting,
    /// The power was cut, and the order to turn it on again may have been sent. Where the device restarts a machine by
    /// one order, it has taken that order; all that is left is to see the machine on.
    Restoring,
}

/// The boot override with its change number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootRecord {
    pub boot: BootOverride,
    /// Grows with each write by a client, and when an override is used up: the node's ETag.
    pub writes: u64,
}

/// What was last seen of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeenRecord {
    pub power: Power,
    /// What the device itself was switched to, where that is not `power`: the relay of an outlet whose machine is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Power>,
    /// When it was last confirmed.
    pub at: Wall,
    /// Time of its last change.
    pub since: Wall,
    /// The sum of all energy measured, in watt-hours.
    pub energy_wh: u64,
    /// The device's own counter at that moment, so that the sum can go on.
    pub energy_today_wh: Option<u64>,
    /// The device in the operator's words: who answers at another address may be another one.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub device: Arc<str>,
    /// Who the device said it is.
    pub about: Arc<DeviceIdentity>,
    /// The capabilities at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "abilities")]
    pub capabilities: Option<Arc<Capabilities>>,
    /// What the device found in the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Arc<Inventory>>,
}
