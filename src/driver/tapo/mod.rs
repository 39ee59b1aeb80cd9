//! TP-Link Tapo smart plugs and strips.

use secrecy::{ExposeSecret, SecretString};

use super::DeviceContext;
use crate::node::device::{DeviceError, DeviceFuture, FailureClass, Observation, PowerDevice};
use crate::node::{MacAddress, Power};

/// UDP port on which plugs answer discovery.
pub const DISCOVERY_PORT: u16 = 20002;

/// How to reach one plug.
#[derive(Clone, Debug)]
pub struct TapoConfig {
    /// Name or IP address, without a port.
    pub host: String,
    /// TCP port, when the operator gave one; else what discovery says, else 80.
    pub port: Option<u16>,
    /// The e-mail of the TP-Link account, case-sensitive.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// The plug's hardware address: finds it again when its IP address has changed.
    pub mac: Option<MacAddress>,
    /// On a strip: which outlet, counted from 0 in the order of their positions.
    pub outlet: Option<u8>,
    /// Where discovery is answered; [`DISCOVERY_PORT`] but in tests.
    pub discovery_port: u16,
}

impl PartialEq for TapoConfig {
    fn eq(&self, other: &TapoConfig) -> bool {
        (&self.host, self.port, &self.username, self.mac, self.outlet, self.discovery_port)
            == (&other.host, other.port, &other.username, other.mac, other.outlet, other.discovery_port)
            && self.password.expose_secret() == other.password.expose_secret()
    }
}

impl TapoConfig {
    /// `Tapo plug at 192.0.2.11`, `outlet 2 of the Tapo strip at 192.0.2.11`.
    pub fn label(&self) -> String {
        let at = match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        };
        match self.outlet {
            Some(outlet) => format!("outlet {outlet} of the Tapo strip at {at}"),
            None => format!("Tapo plug at {at}"),
        }
    }
}

/// One plug, or one outlet of a strip.
pub struct TapoPlug {}

impl TapoPlug {
    /// A plug that has not been talked to.
    pub fn new(_config: TapoConfig, _context: DeviceContext) -> TapoPlug {
        TapoPlug {}
    }
}

impl PowerDevice for TapoPlug {
    fn read(&mut self) -> DeviceFuture<'_, Observation> {
        Box::pin(async { Err(DeviceError::new(FailureClass::Refused, "not here yet")) })
    }
    fn set(&mut self, _power: Power) -> DeviceFuture<'_, ()> {
        Box::pin(async { Err(DeviceError::new(FailureClass::Refused, "not here yet")) })
    }
    fn forget_session(&mut self) {}
}
