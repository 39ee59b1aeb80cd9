//! The core's interface to a device: one trait, the observations of a device, and its failures.
//!
//! Drivers implement this; the core never learns which protocol is behind it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::trust::{Proof, TrustRecord};
use super::{BootMode, BootOverride, BootTarget, Health, Inventory, MacAddress, Power, PowerAction};
use crate::clock::Wall;

/// What a call to a device returns. Dropping it before its end is allowed at any time: the device forgets its session
/// then, since it is not known what the other side has seen, and logs in again at the next call.
pub type DeviceFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, DeviceError>> + Send + 'a>>;

/// A device that switches the power of one node. One owner, one call at a time (`&mut`).
///
/// Every request that a call makes on the wire, logins included, passes the [`RequestGate`](super::rate_limit::RequestGate)
/// that the device was made with. A call ends by itself within a bounded time.
#[warn(missing_docs)]
pub trait PowerDevice: Send {
    /// Reads the state, and what else comes at little extra cost (watts and energy where there is a meter).
    fn read(&mut self) -> DeviceFuture<'_, Observation>;

    /// Gives the device an order. `Ok` means only that the device took it: what became of it is for
    /// [`read`](PowerDevice::read) to say. An order that is no [momentary](PowerAction::is_momentary) is absolute, so it may be
    /// repeated. Where the device sets the boot source ([`DeviceKind::applies_boot`]), an order after which the machine
    /// boots carries the override to use for that boot; without an override what was set before is cleared.
    fn order(&mut self, order: PowerAction, boot: BootOverride) -> DeviceFuture<'_, ()>;

    /// Looks into one more corner of the machine (inventory, logs): a step of a few requests, so that a command never
    /// waits long for it. Asked for while [`Observation::scan_due`] says that there is something new, and then until
    /// [`ScanResult::more`] is false.
    fn scan(&mut self) -> DeviceFuture<'_, ScanResult> {
        Box::pin(async { Ok(ScanResult::default()) })
    }

    /// Sets what the device does when its power comes back. Absolute, so it may be repeated; [`read`](PowerDevice::read) says
    /// whether it was done.
    fn set_power_restore(&mut self, _: PowerRestore) -> DeviceFuture<'_, ()> {
        let text = "this device has no such setting";
        Box::pin(async move { Err(DeviceError::new(FailureClass::Refused, text)) })
    }

    /// Drops the session, so that the next call logs in again.
    fn forget_session(&mut self);
}

/// What is known of all devices of one kind, before one of them is asked.
#[derive(Debug, PartialEq)]
pub struct DeviceKind {
    /// The boot targets of a node, as long as the device does not name its own ([`Capabilities`]).
    pub boot_targets: &'static [BootTarget],
    /// The boot modes among which a client may choose; none where the device would not follow the choice.
    pub boot_modes: &'static [BootMode],
    /// The device is the outlet on which the machine hangs, and no part of it.
    pub is_outlet: bool,
    /// A client may set what it does when its power comes back, where it says that.
    pub sets_power_restore: bool,
    /// The device itself sets the source of the next boot, with the order that boots. Elsewhere the override is for
    /// those who serve the network boot.
    pub applies_boot: bool,
    /// The orders beside on and off that a device of this kind can take, each while it offers it ([`Capabilities`]).
    pub orders: &'static [PowerAction],
    /// The device is read before each order: what it can do changes, or another machine may answer.
    pub reads_before_action: bool,
    /// When to read back after an order, counted from its end. When the last of these readings still shows the old
    /// state, the order is given again.
    pub verify_after: &'static [Duration],
    /// For how long it may be silent without being given up.
    pub silence_max: Duration,
}

/// What one device says it can do now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The orders that it takes in its present state. On and Off need not be among them.
    pub orders: Vec<PowerAction>,
    /// The boot targets that the machine has.
    pub boot_targets: Vec<BootTarget>,
}

/// What a device said at one reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// The state; `None` while the device is between two states, or reports an unknown value.
    pub power: Option<Power>,
    /// How long the load has been on, as the device counts it.
    pub on_for: Option<Duration>,
    /// The draw in milliwatts.
    pub milliwatts: Option<u64>,
    /// The device's own counter of today's energy in watt-hours. It falls to zero at the device's midnight.
    pub energy_today_wh: Option<u64>,
    /// Who the device says it is. The same `Arc` as long as nothing changed.
    pub about: Arc<DeviceIdentity>,
    /// What it can do now, where that depends on the device. The same `Arc` as long as nothing changed.
    pub capabilities: Option<Arc<Capabilities>>,
    /// There is something new for [`PowerDevice::scan`].
    pub scan_due: bool,
    /// What is odd but no failure, in words for the operator: "another client took the session 3 times ...".
    pub notices: Vec<Notice>,
    /// How it was shown that all this comes from the device. Never less than the device proved before.
    pub proof: Proof,
    /// What is on record of the device with this reading, where the driver keeps such a record. The same `Arc` as long as
    /// nothing changed.
    pub trust: Option<Arc<TrustRecord>>,
}

/// What one step of [`PowerDevice::scan`] brought; `None` where there is nothing new.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScanResult {
    /// What is inside the machine, as far as it is known.
    pub inventory: Option<Arc<Inventory>>,
    /// More of the inventory is to come: what it lacks may still be there.
    pub partial: bool,
    /// The log of the machine's hardware and firmware, the newest entry first.
    pub event_log: Option<Arc<[LogEntry]>>,
    /// The log of who did what to the device, the newest entry first.
    pub audit_log: Option<Arc<[LogEntry]>>,
    /// There is more to look at.
    pub more: bool,
}

/// One entry of a device's log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Names it as long as it is in the log; safe in a URL.
    pub id: String,
    /// When, by the device's own clock.
    pub at: Option<Wall>,
    pub severity: Health,
    /// The message for people.
    pub text: String,
}

/// What a device does when its power comes back after a loss (schema ComputerSystem, `PowerRestorePolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PowerRestore {
    /// It turns the machine on.
    AlwaysOn,
    /// It leaves the machine off.
    AlwaysOff,
    /// The state before the power loss.
    LastState,
}

impl PowerRestore {
    pub(crate) const ALL: [PowerRestore; 3] =
        [PowerRestore::AlwaysOn, PowerRestore::AlwaysOff, PowerRestore::LastState];

    /// The name as Redfish spells it.
    pub const fn name(self) -> &'static str {
        match self {
            PowerRestore::AlwaysOn => "AlwaysOn",
            PowerRestore::AlwaysOff => "AlwaysOff",
            PowerRestore::LastState => "LastState",
        }
    }
}

/// Who a device says it is; every field only if the device said it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceIdentity {
    /// The manufacturer.
    pub manufacturer: Option<String>,
    /// `P110`.
    pub model: Option<String>,
    /// `1.3.0 Build 230905 Rel.152200`.
    pub firmware: Option<String>,
    /// The hardware revision.
    pub hardware: Option<String>,
    /// The serial number or device id.
    pub serial: Option<String>,
    /// The device's own hardware address (not the machine's).
    pub mac: Option<MacAddress>,
    /// The name its owner gave it.
    pub nickname: Option<String>,
    /// The protocol in use: `KLAP v2`.
    pub protocol: Option<String>,
    /// How it was set up, in words, where that decides what it can do: `admin control mode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<String>,
    /// Whether it measures watts.
    pub meter: bool,
    /// What its relay does when the mains come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_restore: Option<PowerRestore>,
    /// The identity of the machine, where the device is part of one. Another one than before is another machine, which
    /// is neither believed nor switched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
}

/// Something odd that an operator should know of. `key` is stable, `text` may carry figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Names the kind, such as `session-taken`; one notice of a kind at a time.
    pub key: &'static str,
    /// The text of the entry.
    pub text: String,
}

/// How a device failed. `class` alone decides what happens next; `text` is for people and holds no secret.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text}")]
pub struct DeviceError {
    /// What to do about it.
    pub class: FailureClass,
    /// What happened and what to do, in one sentence without a full stop.
    pub text: String,
}

impl DeviceError {
    /// An error of this class.
    pub fn new(class: FailureClass, text: impl Into<String>) -> DeviceError {
        DeviceError { class, text: text.into() }
    }
}

/// The classes of failure, each with its own treatment by the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// No connection. Tried again with growing pauses.
    Unreachable,
    /// A connection, but no answer in time. Tried again with growing pauses; what the request did is unknown.
    Timeout,
    /// An answer that makes no sense. Tried again with growing pauses.
    Protocol,
    /// The device asks for rest (too many requests). Tried again after a longer pause.
    Busy,
    /// The device is well and cannot do it just now (it has not finished what it was told before). An order is tried
    /// again until its deadline.
    NotReady,
    /// The device understood and will not (no such outlet, no such method). Never tried again by itself.
    Refused,
    /// The login was refused. Never tried again by itself for half an hour: devices lock themselves.
    Auth,
    /// The device has locked itself after wrong logins. As `Auth`, and not even a command tries.
    Locked,
    /// The device proves less than it did before, so that something else may answer in its place. It is neither believed
    /// nor switched until it proves as much again, or a person resets what is on record of it.
    Distrusted,
}

impl FailureClass {
    /// The name, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            FailureClass::Unreachable => "unreachable",
            FailureClass::Timeout => "timeout",
            FailureClass::Protocol => "protocol",
            FailureClass::Busy => "busy",
            FailureClass::NotReady => "not_ready",
            FailureClass::Refused => "refused",
            FailureClass::Auth => "auth",
            FailureClass::Locked => "locked",
            FailureClass::Distrusted => "distrusted",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An outlet, for the tests of this room: it can do nothing but on and off, and follows at once.
    pub(crate) const OUTLET: DeviceKind = DeviceKind {
        boot_targets: &[BootTarget::None, BootTarget::Pxe, BootTarget::Hdd],
        boot_modes: &BootMode::ALL,
        is_outlet: true,
        sets_power_restore: true,
        applies_boot: false,
        orders: &[],
        reads_before_action: false,
        verify_after: &[
            Duration::from_millis(300),
            Duration::from_secs(1),
            Duration::from_secs(2),
            Duration::from_secs(4),
        ],
        silence_max: Duration::ZERO,
    };
}
