//! From the configuration of a device to the device: what all drivers have in common for the daemon, which knows none by name.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::cleaned::Cleaned;
use super::shutdown::HookedConfig;
use super::{DeviceContext, Driver};
use crate::clock::Clock;
use crate::node::device::{DeviceIdentity, DeviceKind, PowerDevice};
use crate::node::rate_limit::RequestGate;
use crate::node::trust::{DeviceTrust, Proven, TrustBook};
use crate::node::{BootTarget, NodeId, ShutdownHook};
use crate::recorder::FlightRecorder;
use crate::telemetry::Metrics;

/// How to reach one device: what its driver made of its section of nodes.yaml. Equal ones reach the same device in the same
/// way, so that a reload leaves it alone. `Debug` shows no password.
pub(crate) trait DeviceConfig: Comparable + fmt::Debug + Send + Sync {
    /// The driver of such devices.
    fn driver(&self) -> &'static dyn Driver;

    /// The device in words, for messages: `Tapo plug at 192.0.2.11`.
    fn label(&self) -> String;

    /// What nodes.yaml says of the device's identity.
    fn named(&self) -> Proven;

    /// What an operator should know of reaching a device in this way, as far as nodes.yaml tells.
    fn note(&self) -> Option<&'static str> {
        None
    }

    /// The same for a device that says this of itself.
    fn remark(&self, _: &DeviceIdentity) -> Option<&'static str> {
        None
    }

    /// Where it is: devices with one key share one gate, whatever else differs.
    fn gate_key(&self) -> String;

    /// Makes the device. Nothing is sent before its first call.
    fn open(&self, shared: &Shared, context: DeviceContext) -> Box<dyn PowerDevice>;
}

/// Equality with a value that may be of another type.
pub(crate) trait Comparable: Any {
    /// It is of the same type, and equal.
    fn equals(&self, other: &dyn Any) -> bool;
}

impl<T: Any + PartialEq> Comparable for T {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<T>() == Some(self)
    }
}

/// Which device, and how to reach it, whichever driver it needs.
#[derive(Clone)]
pub struct DriverConfig(Arc<dyn DeviceConfig>);

impl DriverConfig {
    /// A device of this driver's.
    pub(crate) fn new(config: impl DeviceConfig) -> DriverConfig {
        DriverConfig(Arc::new(config))
    }

    /// The same device, whose machine is asked to shut down by this hook; `boot_targets`: those of the node.
    pub fn with_shutdown(self, hook: ShutdownHook, boot_targets: Vec<BootTarget>) -> DriverConfig {
        DriverConfig::new(HookedConfig { device: self.0, hook, boot_targets })
    }

    /// The device in words, for messages: `Tapo plug at 192.0.2.11`.
    pub fn label(&self) -> String {
        self.0.label()
    }

    /// What is known of all devices of this kind.
    pub fn kind(&self) -> &'static DeviceKind {
        self.0.driver().kind()
    }

    /// What an operator should know of reaching a device in this way.
    pub(crate) fn note(&self) -> Option<&'static str> {
        self.0.note()
    }

    /// The same for a device that says this of itself.
    pub(crate) fn remark(&self, about: &DeviceIdentity) -> Option<&'static str> {
        self.0.remark(about)
    }

    /// The configuration as its driver has it, if it is of this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        let config: &dyn Any = &*self.0;
        config.downcast_ref()
    }
}

impl PartialEq for DriverConfig {
    fn eq(&self, other: &DriverConfig) -> bool {
        self.0.as_ref().equals(other.0.as_ref())
    }
}

impl fmt::Debug for DriverConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What devices of one kind share, by its type: the outlets of a strip have one session.
#[derive(Default)]
pub(crate) struct Shared(Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Shared {
    /// The only `T` of these devices.
    pub(crate) fn get<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        // What stands under the id of a type is of this type.
        Arc::clone(found).downcast().unwrap_or_default()
    }
}

/// Makes devices. One for the whole daemon, since the outlets of a strip share one session and one gate.
pub struct Drivers {
    clock: Clock,
    metrics: Arc<Metrics>,
    recorder: Arc<FlightRecorder>,
    book: Arc<dyn TrustBook>,
    shared: Shared,
    gates: Gates,
}

/// The gates of devices by their address: a device that is closed while a request is under way, and reopened, has the
/// same gate as before; and so has one that is taken out and put back in between, however often.
#[derive(Default)]
pub(super) struct Gates(Mutex<HashMap<String, Arc<RequestGate>>>);

impl Gates {
    pub(super) fn at(&self, address: String, new: impl FnOnce() -> Arc<RequestGate>) -> Arc<RequestGate> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(&address) {
            return gate.clone();
        }
        if gates.len() == gates.capacity() {
            // Before it grows: those that no one uses any more.
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        let gate = new();
        gates.insert(address, gate.clone());
        gate
    }
}

impl Drivers {
    /// A maker of devices on this clock, counting and writing down here; `book` holds what they ever proved.
    pub fn new(
        clock: Clock,
        metrics: Arc<Metrics>,
        recorder: Arc<FlightRecorder>,
        book: Arc<dyn TrustBook>,
    ) -> Drivers {
        Drivers { clock, metrics, recorder, book, shared: Shared::default(), gates: Gates::default() }
    }

    /// Makes the device of a node. Nothing is sent before its first call.
    pub fn open(&self, node: &NodeId, config: &DriverConfig) -> Box<dyn PowerDevice> {
        let DriverConfig(config) = config;
        let clock = self.clock.clone();
        let gate = || RequestGate::new(clock.clone(), config.driver().rate_limit());
        let trust = DeviceTrust::new(node.clone(), config.label(), config.named(), self.book.clone(), clock.clone());
        let context = DeviceContext {
            node: node.clone(),
            gate: self.gates.at(config.gate_key(), gate),
            clock: clock.clone(),
            meters: self.metrics.device(node.as_str()),
            exchange_log: self.recorder.exchange_log(node.as_str()),
            trust: Arc::new(trust),
        };
        Box::new(Cleaned::new(config.open(&self.shared, context)))
    }
}
