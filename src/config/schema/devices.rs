//! The sections of nodes.yaml that say how a device is reached, one type for each driver.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::nodes::OUTLET_MAX;
use crate::reader::schema::{Mac, Secret};
use crate::reader::values::USERNAME_CHARS_MAX;

/// A TP-Link Tapo smart plug, or one outlet of a strip.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tapo {
    /// Host or host:port; an IPv6 address with a port is written `[2001:db8::11]:80`.
    #[schemars(length(min = 1), extend("examples" = ["192.0.2.11"]))]
    pub address: String,
    /// The plug's own hardware address: finds it again when its IP address has changed.
    pub mac: Option<Mac>,
    /// On a strip: which outlet, counted from 0.
    #[schemars(range(min = 0, max = OUTLET_MAX))]
    pub outlet: Option<u8>,
    /// With what the plug may be spoken to; without it with all of them, the one that proves most first. `[klap, tpap]` never
    /// sends the password to a plug that has not proved that it knows the account.
    #[schemars(length(min = 1, max = 3))]
    pub protocols: Option<Vec<TapoProtocol>>,
    /// Log in to a plug that is not bound to the account with the logins that such plugs have. They are public, so that
    /// such a plug proves nothing.
    #[schemars(extend("default" = false))]
    pub factory: Option<bool>,
    /// The e-mail address of the TP-Link account, where it is not that of `defaults`.
    #[schemars(length(min = 1, max = USERNAME_CHARS_MAX))]
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

/// A protocol of Tapo plugs.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TapoProtocol {
    /// securePassthrough: the plug proves nothing.
    Passthrough,
    /// KLAP: the plug proves that it knows the account.
    Klap,
    /// TPAP: and so is every answer.
    Tpap,
}

/// Intel AMT.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amt {
    /// Host or host:port.
    #[schemars(length(min = 1))]
    pub address: String,
    /// How the connection is protected.
    #[schemars(extend("default" = "off"))]
    pub tls: Option<AmtTls>,
    /// The account, where it is not that of `defaults`.
    #[schemars(length(min = 1, max = USERNAME_CHARS_MAX))]
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

/// How a connection to Intel AMT is protected.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum AmtTls {
    /// One of the usual ways.
    Word(AmtTlsWord),
    /// By the fingerprint of the machine's certificate.
    Pin(AmtPin),
}

/// The usual ways to protect a connection to Intel AMT.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AmtTlsWord {
    /// Not at all (port 16992).
    Off,
    /// By a certificate that is signed by someone known (port 16993).
    Verify,
    /// By any certificate (port 16993).
    Insecure,
}

/// The fingerprint of a certificate.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AmtPin {
    /// `sha256:` and 64 hex digits.
    #[schemars(regex(pattern = "^sha256:[0-9A-Fa-f]{64}$"))]
    pub pin: String,
}
