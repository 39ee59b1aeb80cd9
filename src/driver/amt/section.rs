//! The section `amt` of a node in nodes.yaml: its keys, how they are read, and what they are in a JSON schema.

use schemars::JsonSchema;
use serde::Deserialize;

use super::config::fingerprint_of;
use super::{AmtConfig, PLAIN_PORT, TLS_PORT};
use crate::driver::http::Tls;
use crate::driver::section::{Section, SectionContext};
use crate::reader::schema::Secret;
use crate::reader::values::{self, USERNAME_CHARS_MAX};
use crate::reader::{Cursor, Read, secret};

/// The section in words.
pub(super) const SECTION: Section = Section {
    key: "amt",
    name: "AMT",
    found_when: "AMT machines set up (MEBx)",
    keys: &["address", "tls", "username", "password"],
    example: "{ address: 192.0.2.12 }",
    about: "Its Intel AMT engine.",
    about_login: "The login of Intel AMT; the user is admin where none is named.",
    account: "the AMT account",
    machine: "an AMT machine",
};

/// The keys of `tls`, where it is no word.
pub(super) const PIN: &[&str] = &["pin"];

/// The account that every AMT machine has.
const USUAL_USER: &str = "admin";

/// Reads the section of one node.
pub(super) fn read(at: &Cursor<'_>, context: SectionContext<'_>) -> Read<AmtConfig> {
    let SectionContext { place, uuid, taken, login } = context;
    let keys = at.keys(SECTION.keys)?;
    let tls = keys.optional("tls", tls);
    let address = keys.required("address", "the machine's host or host:port", |at| {
        let (host, port) = at.parse(values::address)?;
        // One machine has both ports.
        let other_port = port.filter(|port| ![PLAIN_PORT, TLS_PORT].contains(port));
        let claimed = taken.claim("address of an AMT machine", format!("{host} {other_port:?}"), place);
        claimed
            .map_err(|first| at.problem(format_args!("this machine is already {first}; one machine has one node")))?;
        Ok((host, port))
    });
    let username = keys.optional("username", |at| at.parse(values::device_user));
    let password = keys.optional("password", secret::secret);
    let username = login.username_or(username?, USUAL_USER);
    let password = login.password(password, place);
    let (host, port) = address?;
    Ok(AmtConfig { host, port, tls: tls?.unwrap_or(Tls::Off), username: username?, password: password?, uuid })
}

fn tls(at: &Cursor<'_>) -> Read<Tls> {
    if at.is_group() {
        let keys = at.keys(PIN)?;
        return keys.required("pin", "sha256: and 64 hex digits", |at| at.parse(pin)).map(Tls::Pin);
    }
    at.word(&[("off", Tls::Off), ("verify", Tls::Verify), ("insecure", Tls::Insecure)])
}

fn pin(text: &str) -> Result<[u8; 32], String> {
    fingerprint_of(text).ok_or_else(|| format!("{text:?} is not a fingerprint: write sha256: and 64 hex digits"))
}

/// Intel AMT.
#[allow(dead_code)] // only described, never read
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Amt {
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
#[allow(dead_code)] // only described, never read
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum AmtTls {
    /// One of the usual ways.
    Word(AmtTlsWord),
    /// By the fingerprint of the machine's certificate.
    Pin(AmtPin),
}

/// The usual ways to protect a connection to Intel AMT.
#[allow(dead_code)] // only described, never read
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AmtTlsWord {
    /// Not at all (port 16992).
    Off,
    /// By a certificate that is signed by someone known (port 16993).
    Verify,
    /// By any certificate (port 16993).
    Insecure,
}

/// The fingerprint of a certificate.
#[allow(dead_code)] // only described, never read
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AmtPin {
    /// `sha256:` and 64 hex digits.
    #[schemars(regex(pattern = "^sha256:[0-9A-Fa-f]{64}$"))]
    pub pin: String,
}
