//! What the core needs of a device: one trait, what a device says, and how it fails.
//!
//! Drivers implement this; the core never learns which protocol is behind it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{MacAddress, Power};

/// What a call to a device returns. Dropping it before its end is allowed at any time: the device forgets its session
/// then, since nobody knows what the other side has seen, and logs in again at the next call.
pub type DeviceFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, DeviceError>> + Send + 'a>>;

/// A device that switches the power of one node. One owner, one call at a time (`&mut`).
///
/// Every request that a call makes on the wire, logins included, passes the [`RequestGate`](super::pace::RequestGate)
/// that the device was made with. A call ends by itself within a bounded time.
pub trait PowerDevice: Send {
    /// Reads the state, and what else comes at no extra cost (watts and energy where there is a meter).
    fn read(&mut self) -> DeviceFuture<'_, Observation>;

    /// Tells the device to switch. `Ok` means only that the device took the order: what became of it is for
    /// [`read`](PowerDevice::read) to say. The order is absolute, so it may be repeated.
    fn set(&mut self, power: Power) -> DeviceFuture<'_, ()>;

    /// Drops the session, so that the next call logs in anew.
    fn forget_session(&mut self);
}

/// What a device said at one reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The state of the relay.
    pub power: Power,
    /// How long the load has been on, as the device counts it.
    pub on_for: Option<Duration>,
    /// The draw in milliwatts.
    pub milliwatts: Option<u64>,
    /// The device's own counter of today's energy in watt-hours. It falls to zero at the device's midnight.
    pub energy_today_wh: Option<u64>,
    /// Who the device says it is. The same `Arc` as long as nothing changed.
    pub about: Arc<AboutDevice>,
    /// What is odd but no failure, in words for the operator: "another client took the session 3 times ...".
    pub notices: Vec<Notice>,
}

/// Who a device says it is; every field only if the device said it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AboutDevice {
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
    /// It measures watts.
    pub meter: bool,
}

/// Something odd that an operator should know of. `key` is stable, `text` may carry figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Names the kind, such as `session-taken`; one notice of a kind at a time.
    pub key: &'static str,
    /// The words.
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
    /// The device understood and will not (no such outlet, no such method). Never tried again by itself.
    Refused,
    /// The login was refused. Never tried again by itself for half an hour: devices lock themselves.
    Auth,
    /// The device has locked itself after wrong logins. As `Auth`, and not even a command tries.
    Locked,
}

impl FailureClass {
    /// The name, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            FailureClass::Unreachable => "unreachable",
            FailureClass::Timeout => "timeout",
            FailureClass::Protocol => "protocol",
            FailureClass::Busy => "busy",
            FailureClass::Refused => "refused",
            FailureClass::Auth => "auth",
            FailureClass::Locked => "locked",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
