//! The keys of `defaults` and of every node: who it is, what switches it, by which times it lives.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::check::{NICS_MAX, NODES_MAX};
use super::{AmtTls, DeviceConfig, NodeConfig, TapoProtocol, inventory, power, values};
use crate::node::{BootMode, BootTarget, Inventory, MacAddress, Timings};
use crate::reader::tree::{Spot, Value};
use crate::reader::{Cursor, ErrorReported, Keys, Place, Read, Uniqueness, secret, values as words};

/// The keys of `defaults`.
pub(super) const DEFAULTS: &[&str] =
    &["tapo", "amt", "poll_interval", "off_dwell", "command_deadline", "fence_age_max"];
/// The keys of `defaults.tapo` and `defaults.amt`.
pub(super) const LOGIN: &[&str] = &["username", "password"];
/// The keys of a node.
pub(super) const NODE: &[&str] = &[
    "id",
    "tapo",
    "amt",
    "nics",
    "inventory",
    "boot_mode",
    "boot_targets",
    "power_state",
    "watts",
    "poll_interval",
    "off_dwell",
    "command_deadline",
    "fence_age_max",
];
/// The keys of `tapo` in a node.
pub(super) const TAPO: &[&str] = &["address", "mac", "outlet", "protocols", "factory", "username", "password"];
/// The values of `protocols` in `tapo`.
const TAPO_PROTOCOLS: &[(&str, TapoProtocol)] =
    &[("passthrough", TapoProtocol::Passthrough), ("klap", TapoProtocol::Klap), ("tpap", TapoProtocol::Tpap)];
/// The keys of `amt` in a node.
pub(super) const AMT: &[&str] = &["address", "tls", "username", "password"];
/// The account that every AMT machine has.
const AMT_USER: &str = "admin";
/// The keys of `tls` in `amt`, where it is no word.
pub(super) const AMT_PIN: &[&str] = &["pin"];

/// The last outlet of a strip. Strips have up to eight.
pub(super) const OUTLET_MAX: u8 = 15;

/// The port of a plug whose address is given without one.
const PLUG_PORT: u16 = 80;

/// The ports of an AMT machine: one machine has both.
const AMT_PORTS: [u16; 2] = [16992, 16993];

/// The values of `boot_mode`.
const BOOT_MODES: &[(&str, BootMode)] = &[("uefi", BootMode::Uefi), ("legacy", BootMode::Legacy)];

/// The values of `boot_targets`: what a network boot can lead to.
const BOOT_TARGETS: &[(&str, BootTarget)] = &[
    (BootTarget::Pxe.name(), BootTarget::Pxe),
    (BootTarget::Hdd.name(), BootTarget::Hdd),
    (BootTarget::Cd.name(), BootTarget::Cd),
    (BootTarget::UefiHttp.name(), BootTarget::UefiHttp),
];

/// What nodes fall back to.
pub(super) struct Defaults {
    timings: Timings,
    tapo: Login,
    amt: Login,
}

/// A login of `defaults`.
struct Login {
    username: Read<Option<String>>,
    password: Read<Option<SecretString>>,
    /// Its line.
    line: Option<usize>,
    /// The nodes that have no name of their own, where there is none here.
    no_username: MissingDefault,
    /// The same for the password.
    no_password: MissingDefault,
}

impl Login {
    fn new(username: Read<Option<String>>, password: Read<Option<SecretString>>, line: Option<usize>) -> Login {
        Login {
            username,
            password,
            line,
            no_username: MissingDefault::default(),
            no_password: MissingDefault::default(),
        }
    }

    fn read(keys: &Keys<'_>, kind: &'static str) -> Login {
        let login = keys.optional(kind, |at| {
            let keys = at.keys(LOGIN)?;
            let username = keys.optional("username", |at| at.parse(words::device_user));
            Ok((username, keys.optional("password", secret::secret)))
        });
        let (username, password) = match login {
            Ok(Some(login)) => login,
            Ok(None) => (Ok(None), Ok(None)),
            Err(ErrorReported) => (Err(ErrorReported), Err(ErrorReported)),
        };
        Login::new(username, password, keys.line(kind))
    }
}

impl Defaults {
    /// What there is without the keys of the file. The logins are lacking, or they are wrong.
    fn without_keys(login: fn() -> Read<()>) -> Defaults {
        let none = || Login::new(login().map(|()| None), login().map(|()| None), None);
        Defaults { timings: Timings::default(), tapo: none(), amt: none() }
    }
}

/// Reads `defaults`. What is wrong in there is told once, and not again for every node.
pub(super) fn defaults(at: &Cursor<'_>) -> Read<Defaults> {
    let keys = at.keys(DEFAULTS)?;
    let (tapo, amt) = (Login::read(&keys, "tapo"), Login::read(&keys, "amt"));
    let timings = timings(&keys, &Timings::default()).unwrap_or_default();
    Ok(Defaults { timings, tapo, amt })
}

/// The times of a group of keys; what is not there comes from `fallback`.
fn timings(keys: &Keys<'_>, fallback: &Timings) -> Read<Timings> {
    let poll_interval = keys.optional("poll_interval", |at| time(at, &values::POLL_INTERVAL));
    let off_dwell = keys.optional("off_dwell", |at| time(at, &values::OFF_DWELL));
    let command_deadline = keys.optional("command_deadline", |at| time(at, &values::COMMAND_DEADLINE));
    let fence_age_max = keys.optional("fence_age_max", |at| time(at, &values::FENCE_AGE_MAX));
    let (poll_interval, fence_age_max) =
        (poll_interval?.unwrap_or(fallback.poll_interval), fence_age_max?.or(fallback.fence_age_max));
    let least = Timings::fence_age_least(poll_interval);
    if let Some(age) = fence_age_max.filter(|age| *age < least) {
        return Err(keys.at.problem(format_args!(
            "has a fence_age_max of {}, and with a poll_interval of {} the state is older than that between two polls; \
             let it be at least {}, or poll more often",
            values::shown(age),
            values::shown(poll_interval),
            values::shown(least)
        )));
    }
    Ok(Timings {
        poll_interval,
        fence_age_max,
        off_dwell: off_dwell?.unwrap_or(fallback.off_dwell),
        command_deadline: command_deadline?.unwrap_or(fallback.command_deadline),
    })
}

pub(super) fn time(at: &Cursor<'_>, range: &RangeInclusive<Duration>) -> Read<Duration> {
    match at.tree.value {
        Value::Int(number) => Err(at.problem(format_args!("has no unit; for seconds write {number}s"))),
        Value::Text(_) => at.parse(|text| values::time_within(text, range)),
        _ => Err(at.wants("a time, such as 15s or 2m")),
    }
}

/// Reads all nodes.
pub(super) fn nodes(at: &Cursor<'_>, defaults: Read<Option<Defaults>>) -> Read<Vec<NodeConfig>> {
    let defaults = match defaults {
        Ok(defaults) => defaults.unwrap_or_else(|| Defaults::without_keys(|| Ok(()))),
        Err(ErrorReported) => Defaults::without_keys(|| Err(ErrorReported)),
    };
    let mut all = Nodes { defaults, taken: Uniqueness::default() };
    let mut index = 0;
    let nodes = at.list(NODES_MAX, |at| {
        let place = Place { index, line: at.spot.line };
        index += 1;
        all.node(at, place)
    });
    all.tell_of_logins(at);
    nodes
}

/// Nodes that lack something that the defaults lack too.
#[derive(Default)]
struct MissingDefault {
    first: Option<Place>,
    count: usize,
}

impl MissingDefault {
    fn note(&mut self, place: Place) -> ErrorReported {
        self.first.get_or_insert(place);
        self.count += 1;
        ErrorReported
    }
}

/// The nodes that were read so far.
struct Nodes {
    defaults: Defaults,
    taken: Uniqueness,
}

impl Nodes {
    fn node(&mut self, at: &Cursor<'_>, place: Place) -> Read<NodeConfig> {
        let keys = at.keys(NODE)?;
        let id = keys.required("id", "the name of the node, the last part of its URLs", |at| {
            let id = at.parse(values::node_id)?;
            let taken = self.taken.claim("id", id.as_str(), place);
            taken.map_err(|first| at.problem(format_args!("{id} is already the id of {first}")))?;
            Ok(id)
        });
        let nics = keys.optional("nics", |at| {
            at.list(NICS_MAX, |at| {
                let mac = at.parse(words::mac)?;
                self.taken.nic(mac, place).map_err(|text| at.problem(text))?;
                Ok(mac)
            })
        });
        let inventory = keys.optional("inventory", |at| {
            inventory::inventory(at, &mut |uuid| {
                let taken = self.taken.claim("uuid", uuid.to_string(), place);
                taken.map_err(|first| format!("{uuid} is already the UUID of {first}"))
            })
        });
        let timings = timings(&keys, &self.defaults.timings);
        let boot_mode = keys.optional("boot_mode", |at| at.word(BOOT_MODES));
        let boot_targets = keys.optional("boot_targets", |at| {
            if keys.has("amt") {
                return Err(at.problem("is for plugs; an AMT machine says itself what it can boot from"));
            }
            at.list(BOOT_TARGETS.len(), |at| at.word(BOOT_TARGETS))
        });
        let policy = power::policy(&keys, keys.has("tapo"));
        let device = self.device(&keys, place);
        let inventory = Inventory { nics: nics?.unwrap_or_default(), ..inventory?.unwrap_or_default() };
        let (inventory, boot_mode, boot_targets) = (Arc::new(inventory), boot_mode?, boot_targets?);
        Ok(NodeConfig {
            id: id?,
            inventory,
            timings: timings?,
            boot_mode,
            boot_targets,
            policy: policy?,
            device: device?,
        })
    }

    fn device(&mut self, keys: &Keys<'_>, place: Place) -> Read<DeviceConfig> {
        if keys.has("tapo") && keys.has("amt") {
            return Err(keys.at.problem("has two devices, tapo and amt; a node has one"));
        }
        let tapo = keys.optional("tapo", |at| self.tapo(at, place));
        let amt = keys.optional("amt", |at| self.amt(at, place));
        let lacking = "has no device; add tapo: { address: 192.0.2.11 } or amt: { address: 192.0.2.12 }";
        tapo?.or(amt?).ok_or_else(|| keys.at.problem(lacking))
    }

    fn tapo(&mut self, at: &Cursor<'_>, place: Place) -> Read<DeviceConfig> {
        let keys = at.keys(TAPO)?;
        let outlet = keys.optional("outlet", |at| at.whole(0..=i64::from(OUTLET_MAX)));
        let known_outlet = outlet.as_ref().ok().copied();
        let address = keys.required("address", "the plug's host or host:port", |at| {
            let (host, port) = at.parse(words::address)?;
            if let Some(outlet) = known_outlet {
                let key = format!("{host} {} {outlet:?}", port.unwrap_or(PLUG_PORT));
                let taken = self.taken.claim("tapo.address", key, place);
                taken.map_err(|first| at.problem(same_device(first, outlet)))?;
            }
            Ok((host, port))
        });
        let mac = keys.optional("mac", |at| {
            let mac: MacAddress = at.parse(words::mac)?;
            // Two nodes with one address are told of already.
            if let (Some(outlet), true) = (known_outlet, address.is_ok()) {
                self.taken.device(mac, "plug", place).map_err(|text| at.problem(text))?;
                let taken = self.taken.claim("tapo.mac", format!("{mac} {outlet:?}"), place);
                taken.map_err(|first| at.problem(same_device(first, outlet)))?;
            }
            Ok(mac)
        });
        let protocols =
            keys.optional("protocols", |at| match at.list(TAPO_PROTOCOLS.len(), |at| at.word(TAPO_PROTOCOLS)) {
                Ok(list) if list.is_empty() => Err(at.problem("is empty; name at least one protocol, or leave it out")),
                list => list,
            });
        let factory = keys.optional("factory", |at| at.flag());
        let username = keys.optional("username", |at| at.parse(words::device_user));
        let password = keys.optional("password", secret::secret);
        let login = &mut self.defaults.tapo;
        let username = or_default(username, &login.username, || login.no_username.note(place));
        let password = or_default(password, &login.password, || login.no_password.note(place));
        let (host, port) = address?;
        let (protocols, factory) = (protocols?.unwrap_or_default(), factory?.unwrap_or(false));
        let (mac, outlet, username, password) = (mac?, outlet?, username?, password?);
        Ok(DeviceConfig::Tapo { host, port, mac, outlet, protocols, factory, username, password })
    }

    fn amt(&mut self, at: &Cursor<'_>, place: Place) -> Read<DeviceConfig> {
        let keys = at.keys(AMT)?;
        let tls = keys.optional("tls", amt_tls);
        let address = keys.required("address", "the machine's host or host:port", |at| {
            let (host, port) = at.parse(words::address)?;
            let key = format!("{host} {:?}", port.filter(|port| !AMT_PORTS.contains(port)));
            let taken = self.taken.claim("amt.address", key, place);
            taken.map_err(|first| {
                at.problem(format_args!("this machine is already {first}; one machine has one node"))
            })?;
            Ok((host, port))
        });
        let username = keys.optional("username", |at| at.parse(words::device_user));
        let password = keys.optional("password", secret::secret);
        let login = &mut self.defaults.amt;
        let username = match (username?, &login.username) {
            (Some(own), _) => Ok(own),
            (None, Ok(name)) => Ok(name.clone().unwrap_or_else(|| AMT_USER.into())),
            (None, Err(ErrorReported)) => Err(ErrorReported),
        };
        let password = or_default(password, &login.password, || login.no_password.note(place));
        let (host, port) = address?;
        Ok(DeviceConfig::Amt { host, port, tls: tls?.unwrap_or(AmtTls::Off), username: username?, password: password? })
    }

    /// Says once what many nodes may lack.
    fn tell_of_logins(&self, at: &Cursor<'_>) {
        for (kind, login, whose) in
            [("tapo", &self.defaults.tapo, "the TP-Link account"), ("amt", &self.defaults.amt, "the AMT account")]
        {
            self.tell_of_login(at, kind, login, whose);
        }
    }

    fn tell_of_login(&self, at: &Cursor<'_>, kind: &'static str, login: &Login, whose: &str) {
        let root = Spot::root();
        let defaults = root.key("defaults", login.line);
        let kind = defaults.key(kind, None);
        for (key, lacking) in [("username", &login.no_username), ("password", &login.no_password)] {
            let Some(first) = lacking.first else { continue };
            let who = match lacking.count - 1 {
                0 => format!("{first} has none of its own"),
                1 => format!("{first} and 1 other node have none of their own"),
                others => format!("{first} and {others} other nodes have none of their own"),
            };
            let text = format_args!("is missing, and {who}; it is that of {whose}");
            at.reading.problem(&kind.key(key, None), text);
        }
    }
}

fn or_default<T: Clone>(
    own: Read<Option<T>>,
    default: &Read<Option<T>>,
    lacking: impl FnOnce() -> ErrorReported,
) -> Read<T> {
    match (own?, default) {
        (Some(own), _) => Ok(own),
        (None, Ok(Some(default))) => Ok(default.clone()),
        (None, Ok(None)) => Err(lacking()),
        (None, Err(ErrorReported)) => Err(ErrorReported),
    }
}

fn same_device(first: Place, outlet: Option<u8>) -> String {
    match outlet {
        Some(outlet) => format!("outlet {outlet} of this strip already switches {first}; one outlet has one node"),
        None => format!("this plug already switches {first}; one plug has one node, on a strip name the outlet"),
    }
}

fn amt_tls(at: &Cursor<'_>) -> Read<AmtTls> {
    if let Value::Map(_) = at.tree.value {
        let keys = at.keys(AMT_PIN)?;
        return keys.required("pin", "sha256: and 64 hex digits", |at| at.parse(values::pin)).map(AmtTls::Pin);
    }
    at.word(&[("off", AmtTls::Off), ("verify", AmtTls::Verify), ("insecure", AmtTls::Insecure)])
}
