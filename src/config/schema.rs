//! nodes.yaml as users write it, as types: the source of the JSON schema. The loader does not read into these, since serde
//! ends at the first mistake; tests hold both to the same keys and the same files.

#![allow(dead_code)] // only described, never read

use std::borrow::Cow;

use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Value, json};

use super::check::{
    ACCOUNT_NODES_MAX, DRIVES_MAX, HOST_NAMES_MAX, LISTEN_MAX, NICS_MAX, NODES_MAX, PROCESSORS_MAX, PROXIES_MAX,
};
use super::inventory::{CAPACITY_GB_MAX, MEMORY_GIB_MAX, SPEED_MHZ_MAX, THREADS_MAX};
use super::power::{EXEC_WORDS_MAX, WATTS_MAX};
use super::values::TEXT_CHARS_MAX;
use crate::account::ACCOUNTS_MAX;
use crate::driver::{DRIVERS, Driver};
use crate::reader::schema::{Mac, Secret};
use crate::reader::values::USERNAME_CHARS_MAX;

/// The configuration of plugfish. Unknown keys are errors; paths are relative to this file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "nodes.yaml")]
pub(crate) struct File {
    /// How clients are served.
    pub server: Option<Server>,
    /// The directory of the state. By default $STATE_DIRECTORY, else `state` beside this file.
    pub state_dir: Option<String>,
    /// Accounts that a start creates if they do not exist; from then on the store keeps them. Without any, the
    /// first start creates `admin` with a random password in `<state_dir>/initial-admin-password`.
    #[schemars(length(max = ACCOUNTS_MAX))]
    pub accounts: Option<Vec<Account>>,
    /// Defaults for all nodes.
    pub defaults: Option<WithDrivers<Defaults>>,
    /// The machines, each with the device that switches its power.
    #[schemars(length(max = NODES_MAX))]
    pub nodes: Vec<WithDrivers<Node>>,
}

/// How clients are served.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// IP addresses with ports, such as `127.0.0.1:8000`, `0.0.0.0:8000` or `[::]:8443`.
    #[schemars(length(min = 1, max = LISTEN_MAX), extend("default" = ["127.0.0.1:8000"]))]
    pub listen: Option<Vec<String>>,
    /// The certificate of the service. Without it plain HTTP is served.
    pub tls: Option<Tls>,
    /// Whether clients have to log in. `none` needs loopback addresses or allow_insecure.
    #[schemars(extend("default" = "required"))]
    pub auth: Option<Auth>,
    /// Allows `auth: none` on addresses that other machines can reach: every client there can switch the nodes.
    #[schemars(extend("default" = false))]
    pub allow_insecure: Option<bool>,
    /// Access to /metrics.
    #[schemars(extend("default" = "public"))]
    pub metrics: Option<Metrics>,
    /// Names by which clients reach this service. With `auth: none` the service answers only to these, `localhost`
    /// and the name of this machine. A self-signed certificate contains them.
    #[schemars(length(max = HOST_NAMES_MAX))]
    pub host_names: Option<Vec<String>>,
    /// Proxies in front of this service, as addresses or networks such as `10.0.0.0/8`: the client addresses that they send
    /// (X-Forwarded-For, Forwarded) are trusted.
    #[schemars(length(max = PROXIES_MAX))]
    pub trusted_proxies: Option<Vec<String>>,
}

/// A certificate and its key in PEM files, or a self-signed one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = tls_forms()))]
pub(crate) struct Tls {
    /// The PEM file of the certificate and its chain.
    pub certificate: Option<String>,
    /// The PEM file of the private key.
    pub key: Option<String>,
    /// Create a certificate at the first start and keep it in the state directory.
    pub self_signed: Option<SelfSigned>,
}

/// Whether to create a certificate, or the names in it.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum SelfSigned {
    /// For the names and addresses of this machine.
    Bool(bool),
    /// For these names as well.
    Names(SelfSignedNames),
}

/// Names in a self-signed certificate besides those of this machine.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SelfSignedNames {
    /// Host names and IP addresses.
    #[schemars(length(max = HOST_NAMES_MAX))]
    pub names: Option<Vec<String>>,
}

/// Whether clients have to log in.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Auth {
    /// With HTTP Basic or a Redfish session.
    Required,
    /// Every client has all rights.
    None,
}

/// Access to /metrics.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Metrics {
    /// Everyone.
    Public,
    /// Each account.
    Authenticated,
    /// No one.
    Off,
}

/// An account of this service.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = one_of(&[&["password"], &["password_hash"]])))]
pub(crate) struct Account {
    /// The name to log in with; without a colon.
    #[schemars(length(min = 1, max = USERNAME_CHARS_MAX), regex(pattern = "^[^:]+$"))]
    pub username: String,
    /// Its password.
    pub password: Option<Secret>,
    /// The hash of its password, as `plugfish hash-password` prints it.
    #[schemars(regex(pattern = r"^\$argon2(id|i|d)\$"))]
    pub password_hash: Option<String>,
    /// Its rights; Administrator by default.
    pub role: Option<Role>,
    /// The only nodes that it sees and switches; for it the others do not exist. All nodes by default. Unlike the other keys, this
    /// one also applies to an existing account, from each start and reload on.
    #[schemars(length(min = 1, max = ACCOUNT_NODES_MAX))]
    pub nodes: Option<Vec<String>>,
}

/// The rights of an account.
#[derive(Deserialize, JsonSchema)]
pub(crate) enum Role {
    /// All rights.
    Administrator,
    /// Power and boot.
    Operator,
    /// Reading only.
    ReadOnly,
}

/// Defaults for all nodes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Defaults {
    /// Interval between reads of a healthy device; 5s to 1h.
    #[schemars(extend("default" = "15s"))]
    pub poll_interval: Option<Time>,
    /// How long the power stays off in a power cycle; 1s to 10m.
    #[schemars(extend("default" = "10s"))]
    pub off_dwell: Option<Time>,
    /// Time after which a command is given up; 10s to 30m.
    #[schemars(extend("default" = "60s"))]
    pub command_deadline: Option<Time>,
    /// For nodes that are fenced: past this age of the last reading `PowerState` is null instead of the last known state, so that
    /// no client takes a node for off without a recent reading; 10s to 24h, and at least 1.25 times `poll_interval` plus 5s.
    pub fence_age_max: Option<Time>,
}

/// The account of a device.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// Its name; for Tapo the e-mail address, capitals count.
    #[schemars(length(min = 1, max = USERNAME_CHARS_MAX))]
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

/// A group of keys, and those of the drivers in it.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct WithDrivers<T>(T);

/// What a driver adds to a group: the value under its key, and the description of that.
trait OfDrivers: JsonSchema {
    fn of(driver: &dyn Driver, generator: &mut SchemaGenerator) -> (Schema, &'static str);
}

impl OfDrivers for Node {
    fn of(driver: &dyn Driver, generator: &mut SchemaGenerator) -> (Schema, &'static str) {
        (driver.schema(generator), driver.section().about)
    }
}

impl OfDrivers for Defaults {
    fn of(driver: &dyn Driver, generator: &mut SchemaGenerator) -> (Schema, &'static str) {
        (generator.subschema_for::<Login>(), driver.section().about_login)
    }
}

impl<T: OfDrivers> JsonSchema for WithDrivers<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = T::json_schema(generator);
        for driver in DRIVERS {
            let (mut section, about) = T::of(*driver, generator);
            section.insert("description".into(), about.into());
            if let Some(Value::Object(properties)) = schema.get_mut("properties") {
                properties.insert(driver.section().key.into(), section.to_value());
            }
        }
        schema
    }
}

/// A number and a unit: 15s, 2m, 500ms, 1m30s.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = "^([0-9]+(ms|s|m|h))+$", "examples" = ["15s", "2m"]))]
pub(crate) struct Time(pub String);

/// A machine and the device that switches its power.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = one_device()))]
pub(crate) struct Node {
    /// The last part of its URLs: letters, digits, dot, underscore and hyphen.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,64}$"))]
    pub id: String,
    /// The hardware addresses of its network interfaces, the one that boots first.
    #[schemars(length(max = NICS_MAX))]
    pub nics: Option<Vec<Mac>>,
    /// The components of the machine. They are shown to clients and have no other effect.
    pub inventory: Option<Inventory>,
    /// The firmware interface with which it boots, shown as the only `BootSourceOverrideMode`. Without it an AMT machine counts
    /// as `uefi`, and for a machine behind a plug clients may set either.
    pub boot_mode: Option<BootMode>,
    /// The boot targets that the network boot of a machine behind a plug can provide: the `BootSourceOverrideTarget`s that clients
    /// may set. `Pxe` and `Hdd` by default.
    #[schemars(length(max = 4))]
    pub boot_targets: Option<Vec<BootTarget>>,
    /// Behind a plug: the source of `PowerState`. With `measured`, a machine whose draw stays at or below the threshold in `watts`
    /// is off, even if its outlet is on.
    #[schemars(extend("default" = "relay"))]
    pub power_state: Option<PowerSource>,
    /// Behind a plug with a meter: the power draw that distinguishes a running machine from one that is off.
    pub watts: Option<Watts>,
    /// Behind a plug: the way to request a shutdown of its operating system, for `GracefulShutdown` and `GracefulRestart`. Needs
    /// `watts`, which show when it is off.
    pub graceful: Option<Graceful>,
    /// Interval between reads of a healthy device; 5s to 1h.
    pub poll_interval: Option<Time>,
    /// How long the power stays off in a power cycle; 1s to 10m.
    pub off_dwell: Option<Time>,
    /// Time after which a command is given up; 10s to 30m.
    pub command_deadline: Option<Time>,
    /// For nodes that are fenced: past this age of the last reading `PowerState` is null instead of the last known state, so that
    /// no client takes a node for off without a recent reading; 10s to 24h, and at least 1.25 times `poll_interval` plus 5s.
    pub fence_age_max: Option<Time>,
}

/// The source of `PowerState`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PowerSource {
    /// The relay of the plug.
    Relay,
    /// The power draw of the machine while the relay is closed.
    Measured,
}

/// The draw of a running machine, and of one that is off; the two have to be 1 W apart.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Watts {
    /// At or below this draw in watts it is off.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = WATTS_MAX))]
    pub off_below: f64,
    /// At or above this draw in watts it runs.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = WATTS_MAX))]
    pub on_above: f64,
    /// How long the draw has to stay low before the machine counts as off; 4s to 10m.
    #[schemars(extend("default" = "10s"))]
    pub settle: Option<Time>,
}

/// The way to request a shutdown of the operating system: `exec` or `http`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = one_of(&[&["exec"], &["http"]])))]
pub(crate) struct Graceful {
    /// A program, with its absolute path, and its arguments; it is started without a shell.
    #[schemars(length(min = 1, max = EXEC_WORDS_MAX))]
    pub exec: Option<Vec<String>>,
    /// An HTTP hook.
    pub http: Option<Hook>,
    /// The time that the machine may take; past it the command fails and the outlet stays on; 30s to 570s.
    #[schemars(extend("default" = "150s"))]
    pub deadline: Option<Time>,
    /// The state of the outlet after the machine has shut down.
    #[schemars(extend("default" = "cut"))]
    pub then: Option<AfterShutdown>,
}

/// An HTTP hook, called with a POST without a body.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hook {
    /// Its http:// or https:// URL.
    #[schemars(length(min = 1))]
    pub url: String,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
}

/// The state of the outlet after the machine has shut down.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AfterShutdown {
    /// It is turned off.
    Cut,
    /// It stays on, so that the machine can be woken.
    Leave,
}

/// The firmware interface of a machine.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BootMode {
    /// UEFI.
    Uefi,
    /// BIOS.
    Legacy,
}

/// A boot target that a network boot can provide.
#[derive(Deserialize, JsonSchema)]
pub(crate) enum BootTarget {
    /// The network.
    Pxe,
    /// The disk.
    Hdd,
    /// A CD.
    Cd,
    /// An image at `HttpBootUri`.
    UefiHttp,
}

/// The components of a machine.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inventory {
    /// Its manufacturer.
    pub manufacturer: Option<Label>,
    /// Its model.
    pub model: Option<Label>,
    /// Its serial number. Numbers need quotes.
    pub serial: Option<Label>,
    /// Its UUID, as its firmware reports it. By default one is derived from the node's id.
    #[schemars(regex(pattern = "^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$"))]
    pub uuid: Option<String>,
    /// Its processors.
    #[schemars(length(max = PROCESSORS_MAX))]
    pub processors: Option<Vec<Processor>>,
    /// Its memory in GiB.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = MEMORY_GIB_MAX))]
    pub memory_gib: Option<f64>,
    /// Its drives.
    #[schemars(length(max = DRIVES_MAX))]
    pub drives: Option<Vec<Drive>>,
}

/// One line of text.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Label(#[schemars(length(min = 1, max = TEXT_CHARS_MAX))] pub String);

/// A processor, or several of one kind.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Processor {
    /// Its model.
    pub model: Option<Label>,
    /// Its manufacturer.
    pub manufacturer: Option<Label>,
    /// Its number of cores.
    #[schemars(range(min = 1, max = THREADS_MAX))]
    pub cores: Option<u32>,
    /// Its number of hardware threads.
    #[schemars(range(min = 1, max = THREADS_MAX))]
    pub threads: Option<u32>,
    /// Its instruction set.
    #[schemars(extend("enum" = ["x86-64", "x86_64", "amd64", "x64", "arm64", "aarch64", "ARM-A64"]))]
    pub architecture: Option<String>,
    /// Its highest clock rate in MHz.
    #[schemars(range(min = 1, max = SPEED_MHZ_MAX))]
    pub max_speed_mhz: Option<u32>,
    /// The number of processors of this kind.
    #[schemars(range(min = 1, max = PROCESSORS_MAX), extend("default" = 1))]
    pub count: Option<u32>,
}

/// A drive.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drive {
    /// Its name, such as nvme0n1.
    pub name: Label,
    /// Its size in GB (1000 to the third), as on its label.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = CAPACITY_GB_MAX))]
    pub capacity_gb: Option<f64>,
    /// Its medium.
    #[schemars(extend("enum" = ["SSD", "HDD", "SMR"]))]
    pub media: Option<String>,
    /// Its protocol.
    #[schemars(extend("enum" = ["NVMe", "SATA", "SAS", "USB", "eMMC"]))]
    pub protocol: Option<String>,
    /// Its model.
    pub model: Option<Label>,
    /// Its serial number. Numbers need quotes.
    pub serial: Option<Label>,
}

/// The JSON schema of nodes.yaml, for editors.
pub(crate) fn schema() -> Value {
    let mut schema = schemars::schema_for!(File);
    NoNull.transform(&mut schema);
    schema.to_value()
}

/// Exactly one of these groups of keys must be there.
fn one_of(groups: &[&[&str]]) -> Value {
    groups.iter().map(|keys| json!({ "required": keys })).collect()
}

/// The section of exactly one driver.
fn one_device() -> Value {
    DRIVERS.iter().map(|driver| json!({ "required": [driver.section().key] })).collect()
}

/// Both files, or a certificate of its own.
fn tls_forms() -> Value {
    let self_signed = json!({ "required": ["self_signed"], "properties": { "self_signed": { "anyOf": [{ "const": true }, { "type": "object" }] } } });
    json!([{ "required": ["certificate", "key"] }, self_signed])
}

/// Takes `null` out: a key without a value is an error of the loader, and not the same as no key.
struct NoNull;

impl Transform for NoNull {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                schema.insert("type".into(), only);
            }
        }
        if let Some(Value::Array(kinds)) = schema.get_mut("enum") {
            kinds.retain(|kind| !kind.is_null());
        }
        if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
            choices.retain(|choice| *choice != json!({ "type": "null" }));
            if let [Value::Object(only)] = choices.as_slice() {
                let only = only.clone();
                schema.remove("anyOf");
                for (key, value) in only {
                    schema.insert(key, value);
                }
            }
        }
        transform_subschemas(self, schema);
    }
}
