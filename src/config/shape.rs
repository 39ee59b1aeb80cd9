//! nodes.yaml as users write it: every key, with the text that editors show for it.
//!
//! The keys and their types, once, for reading (serde) and for `plugfish schema` (schemars). What they mean together is in
//! `check.rs`. Everything is optional here, so that one wrong key does not hide the problems of the others; what has to be
//! there is marked for the schema and demanded by `check.rs`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::account::Role;

/// The configuration of plugfish: which machines there are and what switches their power.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "nodes.yaml")]
pub struct File {
    /// Where and how clients are served.
    pub server: Option<Server>,
    /// The directory for what has to survive a restart. Default: `$STATE_DIRECTORY`, else `./state` beside this file.
    pub state_dir: Option<String>,
    /// Accounts that are made at the first start; from then on they live in the state directory.
    pub accounts: Option<Vec<Account>>,
    /// What holds for all nodes that do not say otherwise.
    pub defaults: Option<Defaults>,
    /// The machines.
    #[schemars(required)]
    pub nodes: Option<Vec<Node>>,
}

/// Where and how clients are served.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Addresses with ports, such as `127.0.0.1:8000` or `[::]:8443`. Default: `127.0.0.1:8000`.
    pub listen: Option<Vec<String>>,
    /// HTTPS. Absent: plain HTTP.
    pub tls: Option<Tls>,
    /// `none` is for loopback addresses. Default: `required`.
    pub auth: Option<Auth>,
    /// Allows `auth: none` on addresses that others can reach.
    pub allow_insecure: Option<bool>,
    /// Who may read `/metrics`. Default: `public`.
    pub metrics: Option<MetricsAccess>,
}

/// The certificate of the service.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The file with the certificate and its chain, in PEM.
    pub certificate: Option<String>,
    /// The file with the private key, in PEM.
    pub key: Option<String>,
    /// A certificate made by plugfish itself, in the place of the two files.
    pub self_signed: Option<bool>,
}

/// Whether clients have to log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// They have to.
    #[default]
    Required,
    /// They need not.
    None,
}

/// Who may read `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricsAccess {
    /// Everybody.
    #[default]
    Public,
    /// Whoever logs in.
    Authenticated,
    /// Nobody: there is no such page.
    Off,
}

/// An account that is made at the first start.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The name it logs in with.
    #[schemars(required)]
    pub username: Option<String>,
    /// Its password; or `password_hash` instead.
    pub password: Option<Secret>,
    /// Its password as `plugfish hash-password` prints it.
    pub password_hash: Option<String>,
    /// What it may do. Default: `ReadOnly`.
    pub role: Option<Role>,
}

/// What holds for all nodes that do not say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// The login of Tapo plugs.
    pub tapo: Option<Login>,
    /// The login of Intel AMT.
    #[expect(dead_code, reason = "only its form is checked until AMT can be driven")]
    pub amt: Option<Login>,
    /// How often a device is read when all is well. Default: 15s; 5s is the floor.
    pub poll_interval: Option<Span>,
    /// How long a power cycle stays off. Default: 10s.
    pub off_dwell: Option<Span>,
    /// How long a command may take before it is given up. Default: 60s.
    pub command_deadline: Option<Span>,
}

/// A login.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// For Tapo the e-mail of the TP-Link account, case-sensitive.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

/// A machine and what switches its power: exactly one of `tapo` and `amt`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The last part of its URLs: letters, digits, `.`, `_` and `-`, 64 at most.
    #[schemars(required)]
    pub id: Option<String>,
    /// A TP-Link Tapo smart plug, or an outlet of a strip.
    pub tapo: Option<Tapo>,
    /// The Intel AMT of the machine itself.
    pub amt: Option<Amt>,
    /// The MAC addresses of the machine's own network interfaces.
    pub nics: Option<Vec<String>>,
    /// What the machine is made of. It is shown to clients, never acted upon.
    pub inventory: Option<Inventory>,
    /// How often the device is read when all is well; 5s is the floor.
    pub poll_interval: Option<Span>,
    /// How long a power cycle stays off.
    pub off_dwell: Option<Span>,
    /// How long a command may take before it is given up.
    pub command_deadline: Option<Span>,
}

/// A TP-Link Tapo smart plug, or an outlet of a strip.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tapo {
    /// Its host name or IP address, with a port if it is an odd one.
    #[schemars(required)]
    pub address: Option<String>,
    /// The plug's own MAC address: finds it again when its IP address has changed.
    pub mac: Option<String>,
    /// On a strip: which outlet, counted from 0.
    pub outlet: Option<u8>,
    /// The e-mail of the TP-Link account, case-sensitive. Default: `defaults.tapo.username`.
    pub username: Option<String>,
    /// Its password. Default: `defaults.tapo.password`.
    pub password: Option<Secret>,
}

/// The Intel AMT of a machine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Amt {
    /// Its host name or IP address, with a port if it is an odd one.
    #[schemars(required)]
    pub address: Option<String>,
    /// `off` (port 16992), or on port 16993 `verify`, a pinned certificate, or `insecure`. Default: `off`.
    pub tls: Option<AmtTls>,
    /// The name of the AMT account. Default: `defaults.amt.username`.
    #[expect(dead_code, reason = "only its form is checked until AMT can be driven")]
    pub username: Option<String>,
    /// Its password. Default: `defaults.amt.password`.
    #[expect(dead_code, reason = "only its form is checked until AMT can be driven")]
    pub password: Option<Secret>,
}

/// What a machine is made of.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Who made it.
    pub manufacturer: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// The UUID of its firmware. Default: one made from the id.
    pub uuid: Option<String>,
    /// Its memory in GiB.
    pub memory_gib: Option<f64>,
    /// Its processors.
    pub processors: Option<Vec<Processor>>,
    /// Its drives.
    pub drives: Option<Vec<Drive>>,
}

/// A processor, or several equal ones.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Processor {
    /// Its model, such as `Intel Core i5-8500T`.
    pub model: Option<String>,
    /// Who made it.
    pub manufacturer: Option<String>,
    /// How many cores one of them has.
    pub cores: Option<u32>,
    /// How many threads one of them has.
    pub threads: Option<u32>,
    /// Its instruction set.
    pub architecture: Option<Architecture>,
    /// Its highest clock in MHz.
    pub max_speed_mhz: Option<u32>,
    /// How many of them there are. Default: 1.
    pub count: Option<u8>,
}

/// The instruction set of a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Architecture {
    /// 64-bit x86.
    #[serde(rename = "x86-64")]
    X86_64,
    /// The same.
    #[serde(rename = "x86_64")]
    X86,
    /// The same.
    #[serde(rename = "amd64")]
    Amd64,
    /// 64-bit ARM.
    #[serde(rename = "arm64")]
    Arm64,
    /// The same.
    #[serde(rename = "aarch64")]
    Aarch64,
}

/// A drive.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drive {
    /// Its name, such as `nvme0n1`: letters, digits, `.`, `_` and `-`.
    #[schemars(required)]
    pub name: Option<String>,
    /// Its capacity in GB, of 1,000,000,000 bytes each.
    pub capacity_gb: Option<f64>,
    /// What it is made of.
    pub media: Option<Media>,
    /// How it is attached.
    pub protocol: Option<Protocol>,
    /// Its model.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
}

/// `MediaType` (schema Drive).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Media {
    /// A hard disk.
    Hdd,
    /// A solid-state drive.
    Ssd,
    /// A hard disk with shingled tracks.
    Smr,
}

/// `Protocol` (schema Protocol), those that a drive in a small machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Protocol {
    /// NVM Express.
    #[serde(rename = "NVMe")]
    Nvme,
    /// Serial ATA.
    #[serde(rename = "SATA")]
    Sata,
    /// Serial Attached SCSI.
    #[serde(rename = "SAS")]
    Sas,
    /// USB.
    #[serde(rename = "USB")]
    Usb,
    /// Memory soldered to the board.
    #[serde(rename = "eMMC")]
    Emmc,
}

/// A span of time: `15s`, `2m`, `1m30s`, `500ms`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Span(pub String);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        struct SpanVisitor;
        impl Visitor<'_> for SpanVisitor {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text like 15s or 2m")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
                Ok(Span(text.into()))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Span, E> {
                Err(E::custom(format_args!("has no unit\nwrite {number}s if it is seconds")))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Span, E> {
                self.visit_u64(number.unsigned_abs())
            }
        }
        deserializer.deserialize_any(SpanVisitor)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A span of time: `15s`, `2m`, `1m30s`, `500ms`.",
            "pattern": "^([0-9]+(ms|s|m|h))+$",
        })
    }
}

/// A secret, or where it is.
#[derive(Debug)]
pub enum Secret {
    /// Itself.
    Plain(SecretString),
    /// The name of an environment variable.
    Env(String),
    /// A file, relative to the configuration.
    File(String),
    /// The name of a systemd credential.
    Credential(String),
}

/// Where a secret is, as it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SecretPlace {
    /// The name of an environment variable.
    env: Option<String>,
    /// A file, relative to the configuration. A line break at its end does not count.
    file: Option<String>,
    /// The name of a systemd credential (`LoadCredential=`).
    credential: Option<String>,
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        struct SecretVisitor;
        impl<'de> Visitor<'de> for SecretVisitor {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or one of { env: NAME }, { file: PATH }, { credential: NAME }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::Plain(text.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
                let place = SecretPlace::deserialize(MapAccessDeserializer::new(map))?;
                match (place.env, place.file, place.credential) {
                    (Some(name), None, None) => Ok(Secret::Env(name)),
                    (None, Some(path), None) => Ok(Secret::File(path)),
                    (None, None, Some(name)) => Ok(Secret::Credential(name)),
                    _ => Err(A::Error::custom("has to have exactly one of the keys env, file and credential")),
                }
            }
        }
        deserializer.deserialize_any(SecretVisitor)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let place = generator.subschema_for::<SecretPlace>();
        json_schema!({
            "description": "A secret itself, or where it is: `{ env: NAME }`, `{ file: PATH }`, `{ credential: NAME }`.",
            "anyOf": [{ "type": "string" }, place],
        })
    }
}

/// How the connection to AMT is protected.
#[derive(Debug, PartialEq, Eq)]
pub enum AmtTls {
    /// Not at all.
    Off,
    /// By a certificate that the system trusts.
    Verify,
    /// By whatever certificate it shows.
    Insecure,
    /// By the certificate with this fingerprint.
    Pin(String),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AmtPin {
    /// The SHA-256 fingerprint of the certificate: `sha256:...`.
    #[schemars(required)]
    pin: Option<String>,
}

impl<'de> Deserialize<'de> for AmtTls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AmtTls, D::Error> {
        struct AmtTlsVisitor;
        impl<'de> Visitor<'de> for AmtTlsVisitor {
            type Value = AmtTls;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one of off, verify, insecure, { pin: \"sha256:...\" }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<AmtTls, E> {
                match text {
                    "off" => Ok(AmtTls::Off),
                    "verify" => Ok(AmtTls::Verify),
                    "insecure" => Ok(AmtTls::Insecure),
                    _ => Err(E::unknown_variant(text, &["off", "verify", "insecure"])),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AmtTls, A::Error> {
                let AmtPin { pin } = AmtPin::deserialize(MapAccessDeserializer::new(map))?;
                pin.map(AmtTls::Pin).ok_or_else(|| A::Error::custom("has to have the key pin"))
            }
        }
        deserializer.deserialize_any(AmtTlsVisitor)
    }
}

impl JsonSchema for AmtTls {
    fn schema_name() -> Cow<'static, str> {
        "AmtTls".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let pin = generator.subschema_for::<AmtPin>();
        json_schema!({ "anyOf": [{ "enum": ["off", "verify", "insecure"] }, pin] })
    }
}
