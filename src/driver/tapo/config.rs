//! How to reach one plug, or one outlet of a strip.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::{Account, Plugs, TapoDriver};
use crate::driver::{DeviceConfig, DeviceContext, Driver, DriverConfig, Shared};
use crate::node::MacAddress;
use crate::node::device::{DeviceIdentity, PowerDevice};
use crate::node::trust::{Protocol, Proven};

// The order of their worth: the one that proves least first.
/// A protocol of Tapo plugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TapoProtocol {
    // And it is sent the password of the account.
    /// securePassthrough: the plug proves nothing.
    Passthrough = 1,
    // Before it is sent anything.
    /// KLAP: the plug proves that it knows the account.
    Klap = 2,
    // Both sides prove that they know the password, and every answer is authenticated.
    /// TPAP: and so is every answer.
    Tpap = 3,
}

impl TapoProtocol {
    /// All of them.
    pub const ALL: [TapoProtocol; 3] = [TapoProtocol::Passthrough, TapoProtocol::Klap, TapoProtocol::Tpap];

    /// The name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            TapoProtocol::Passthrough => "securePassthrough",
            TapoProtocol::Klap => "KLAP",
            TapoProtocol::Tpap => "TPAP",
        }
    }

    /// Its place in a trust record.
    pub(super) const fn rank(self) -> u8 {
        self as u8
    }

    /// What a trust record calls it, in this version.
    pub(super) fn named(self, name: &str) -> Protocol {
        Protocol { rank: self.rank(), name: name.into() }
    }
}

/// What a plug is worth that speaks nothing better.
const PROVES_NOTHING: &str = "the plug speaks only securePassthrough, which proves nothing: any host that answers at its address \
     is believed, and is sent the password of the TP-Link account; update its firmware in the Tapo app (KLAP, TPAP), or keep \
     it in a network of its own";

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
    /// On a strip: which outlet: its position on the strip, counted from 0.
    pub outlet: Option<u8>,
    /// With what the plug may be spoken to.
    pub protocols: Vec<TapoProtocol>,
    /// The plug may be logged in to with the accounts that it has before it is bound to its owner's. They are public.
    pub factory: bool,
    /// Where discovery is answered; [`DISCOVERY_PORT`](super::DISCOVERY_PORT) but in tests.
    pub discovery_port: u16,
}

impl PartialEq for TapoConfig {
    fn eq(&self, other: &TapoConfig) -> bool {
        (&self.host, self.port, self.mac, self.outlet, self.discovery_port)
            == (&other.host, other.port, other.mac, other.outlet, other.discovery_port)
            && (&self.protocols, self.factory) == (&other.protocols, other.factory)
            && self.account() == other.account()
    }
}

impl TapoConfig {
    pub(super) fn account(&self) -> Account {
        Account { username: self.username.clone(), password: self.password.clone() }
    }
}

impl DeviceConfig for TapoConfig {
    fn driver(&self) -> &'static dyn Driver {
        &TapoDriver
    }

    /// `Tapo plug at 192.0.2.11`, `outlet 2 of the Tapo strip at 192.0.2.11`.
    fn label(&self) -> String {
        let at = match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        };
        match self.outlet {
            Some(outlet) => format!("outlet {outlet} of the Tapo strip at {at}"),
            None => format!("Tapo plug at {at}"),
        }
    }

    fn named(&self) -> Proven {
        Proven { mac: self.mac, ..Proven::default() }
    }

    fn remark(&self, about: &DeviceIdentity) -> Option<&'static str> {
        (about.protocol.as_deref() == Some(TapoProtocol::Passthrough.name())).then_some(PROVES_NOTHING)
    }

    fn gate_key(&self) -> String {
        format!("{} {}", self.host, self.port.unwrap_or_default())
    }

    fn open(&self, shared: &Shared, context: DeviceContext) -> Box<dyn PowerDevice> {
        Box::new(shared.get::<Plugs>().open(self, context))
    }
}

impl From<TapoConfig> for DriverConfig {
    fn from(config: TapoConfig) -> DriverConfig {
        DriverConfig::new(config)
    }
}
