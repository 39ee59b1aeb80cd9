//! Device drivers: the only list of them, and what every one of them is given.

pub(crate) mod amt;
mod cleaned;
pub(crate) mod digest;
pub(crate) mod http;
pub(crate) mod tapo;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Clock;
use crate::node::NodeId;
use crate::node::device::{DeviceKind, PowerDevice};
use crate::node::rate_limit::RequestGate;
use crate::node::trust::{DeviceTrust, Proven, TrustBook};
use crate::recorder::{ExchangeLog, FlightRecorder};
use crate::telemetry::{DeviceMetrics, Metrics};

/// Which device, and how to reach it. Made from nodes.yaml by the daemon.
#[derive(Clone, Debug, PartialEq)]
pub enum DriverConfig {
    /// A TP-Link Tapo smart plug, or one outlet of a strip.
    Tapo(tapo::TapoConfig),
    /// A machine with Intel AMT.
    Amt(amt::AmtConfig),
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

impl DriverConfig {
    /// The device in words, for messages: `Tapo plug at 192.0.2.11`.
    pub fn label(&self) -> String {
        match self {
            DriverConfig::Tapo(config) => config.label(),
            DriverConfig::Amt(config) => config.label(),
        }
    }

    /// What nodes.yaml says of the device's identity.
    fn named(&self) -> Proven {
        match self {
            DriverConfig::Tapo(config) => Proven { mac: config.mac, ..Proven::default() },
            DriverConfig::Amt(config) => config.named(),
        }
    }

    /// What is known of all devices of this kind.
    pub const fn kind(&self) -> &'static DeviceKind {
        match self {
            DriverConfig::Tapo(_) => &tapo::KIND,
            DriverConfig::Amt(_) => &amt::KIND,
        }
    }
}

/// Makes devices. One for the whole daemon, since the outlets of a strip share one session and one gate.
pub struct Drivers {
    clock: Clock,
    metrics: Arc<Metrics>,
    recorder: Arc<FlightRecorder>,
    book: Arc<dyn TrustBook>,
    tapo: tapo::Plugs,
    gates: Gates,
}

/// The gates of devices by their address: a device that is closed while a request is under way, and reopened, has the
/// same gate as before; and so has one that is taken out and put back in between, however often.
#[derive(Default)]
struct Gates(Mutex<HashMap<String, Arc<RequestGate>>>);

impl Gates {
    fn at(&self, address: String, new: impl FnOnce() -> Arc<RequestGate>) -> Arc<RequestGate> {
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
        Drivers { clock, metrics, recorder, book, tapo: tapo::Plugs::default(), gates: Gates::default() }
    }

    /// Makes the device of a node. Nothing is sent before its first call.
    pub fn open(&self, node: &NodeId, config: &DriverConfig) -> Box<dyn PowerDevice> {
        let gate = |pace| RequestGate::new(self.clock.clone(), pace);
        let (book, clock) = (self.book.clone(), self.clock.clone());
        let trust = Arc::new(DeviceTrust::new(node.clone(), config.label(), config.named(), book, clock));
        let context = |gate| DeviceContext {
            node: node.clone(),
            clock: self.clock.clone(),
            gate,
            meters: self.metrics.device(node.as_str()),
            exchange_log: self.recorder.exchange_log(node.as_str()),
            trust: trust.clone(),
        };
        let device: Box<dyn PowerDevice> = match config {
            DriverConfig::Tapo(config) => {
                let address = format!("{} {}", config.host, config.port.unwrap_or_default());
                Box::new(self.tapo.open(config, context(self.gates.at(address, || gate(tapo::RATE_LIMIT)))))
            }
            DriverConfig::Amt(config) => {
                let gate = self.gates.at(config.url(""), || gate(amt::RATE_LIMIT));
                Box::new(amt::AmtMachine::new(config, context(gate)))
            }
        };
        Box::new(cleaned::Cleaned::new(device))
    }
}

#[cfg(test)]
pub(crate) mod tests;
