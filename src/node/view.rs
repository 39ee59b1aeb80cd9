//! The published state of a node: an immutable snapshot, swapped as a whole. Readers never wait and never use a
//! mailbox.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::device::{DeviceIdentity, LogEntry};
use super::trust::TrustRecord;
use super::{BootMode, BootOverride, BootTarget, Health, Inventory, NodeId, Power, PowerSource, ResetType};
use crate::clock::{Mono, Now, Wall};

/// A node as it is known at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeView {
    pub id: NodeId,
    /// What is inside the machine: what the operator says, else what the device found.
    pub inventory: Arc<Inventory>,
    /// The log of the machine's hardware and firmware, if the device has one and it was read; the newest entry first.
    pub event_log: Option<Arc<[LogEntry]>>,
    /// The log of who did what to the device, likewise.
    pub audit_log: Option<Arc<[LogEntry]>>,
    /// The device, for people.
    pub device: Arc<str>,
    /// The device is the outlet on which the machine hangs.
    pub is_outlet: bool,
    /// A client may set what the device does when its power comes back.
    pub sets_power_restore: bool,
    /// Who the device says it is; `None` before the first contact of the node's life.
    pub about: Option<Arc<DeviceIdentity>>,
    /// What the device ever proved; `None` before the first contact, and after a person had it forgotten.
    pub trust: Option<Arc<TrustRecord>>,
    /// What was last confirmed; `None` before the first contact of the node's life, and after it only where what was confirmed is
    /// older than [`Timings::fence_age_max`](super::Timings::fence_age_max).
    pub power: Option<Power>,
    /// What the device itself is switched to, as far as it is confirmed like `power`: the relay of an outlet. It differs from
    /// `power` where that is measured.
    pub relay: Option<Power>,
    /// The source of `power`.
    pub source: PowerSource,
    /// Time of the last confirmation.
    pub seen_at: Option<Wall>,
    /// The same on the monotonic clock; `None` when it was another process that saw it.
    pub seen_mono: Option<Mono>,
    /// How often the device is read while all is well.
    pub poll_interval: Duration,
    /// Time of the last change.
    pub since: Option<Wall>,
    /// The last measurement of the draw, and when it was made: perhaps before the power last changed.
    pub measured: Option<(u64, Wall, Mono)>,
    /// The draw of now, when the device measures it and was seen lately.
    pub milliwatts: Option<u64>,
    /// The sum of the energy measured in the node's life, when the device measures it.
    pub energy_wh: Option<u64>,
    /// The worst of `conditions`.
    pub health: Health,
    /// What is not well, in words.
    pub conditions: Vec<Condition>,
    /// What may be asked of the node's power.
    pub resets: Vec<ResetType>,
    /// Which boot targets this node can honour.
    pub boot_targets: Arc<[BootTarget]>,
    /// Among which boot modes a client may choose; one where there is no choice, and then it is that of `boot`.
    pub boot_modes: &'static [BootMode],
    pub boot: BootOverride,
    /// Moves only with what a client can write: the ETag.
    pub writes: u64,
    /// The command that is being carried out.
    pub command: Option<CommandView>,
    /// The connection to the device.
    pub connectivity: ConnectivityView,
    /// Grows with every new picture of this node.
    pub change: u64,
}

/// Something that is not well with a node (schema Resource, `Status.Conditions`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The message of our registry: one of [`Condition::MESSAGES`].
    pub message: &'static str,
    pub severity: Health,
    /// The message for people.
    pub text: String,
    /// Start of the condition.
    pub at: Wall,
}

impl Condition {
    /// All messages that there are.
    pub const MESSAGES: [&'static str; 5] =
        ["DeviceAway", "LoginRefused", "CommandFailed", "CommandOverdue", "DeviceNotice"];
}

/// A command that is being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandView {
    pub reset: ResetType,
    /// The account that sent it.
    pub by: String,
    pub accepted: Wall,
}

/// The connection to a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectivityView {
    /// Failures in a row.
    pub failures: u32,
    /// The last failure in words, while there are failures.
    pub last_error: Option<String>,
    /// Whether new commands are refused.
    pub breaker_open: bool,
    /// The login was refused, and is not tried again before this.
    pub held_until: Option<Wall>,
}

impl ConnectivityView {
    /// The device answered when it was last asked.
    pub fn up(&self) -> bool {
        self.failures == 0 && self.held_until.is_none()
    }
}

impl NodeView {
    /// How old the shown state is.
    pub fn age(&self, now: Now) -> Option<Duration> {
        match self.seen_mono {
            Some(seen) => Some(now.mono.since(seen)),
            None => self.seen_at.map(|seen| now.wall.since(seen)),
        }
    }
}

impl NodeView {
    /// When the draw of now was measured.
    pub fn drawn_at(&self) -> Option<Mono> {
        self.measured.filter(|_| self.milliwatts.is_some()).map(|(.., at)| at)
    }

    /// The picture after this one while its actor is rebuilt, of a node whose state is not to be shown when it is old.
    pub fn unconfirmed(&self) -> NodeView {
        NodeView { power: None, relay: None, measured: None, milliwatts: None, change: self.change + 1, ..self.clone() }
    }
}

/// Where the current picture of a node hangs.
pub(crate) type ViewCell = ArcSwap<NodeView>;
