//! The keys of `defaults` and of every node: who it is, what switches it, by which times it lives.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::check::{NICS_MAX, NODES_MAX};
use super::{NodeConfig, inventory, power, values};
use crate::driver::section::{Section, SectionContext};
use crate::driver::{DRIVERS, Driver, DriverConfig};
use crate::node::{BootMode, BootTarget, Inventory, Timings};
use crate::reader::tree::Value;
use crate::reader::values::mac;
use crate::reader::{Cursor, ErrorReported, Keys, Login, Place, Read, Uniqueness, listed};

/// The keys of `defaults`, behind those of the drivers.
const DEFAULTS: &[&str] = &["poll_interval", "off_dwell", "command_deadline", "fence_age_max"];

/// The keys of a node, behind its `id` and those of the drivers.
const NODE: &[&str] = &[
    "nics",
    "inventory",
    "boot_mode",
    "boot_targets",
    "power_state",
    "watts",
    "graceful",
    "poll_interval",
    "off_dwell",
    "command_deadline",
    "fence_age_max",
];
/// The values of `boot_mode`.
const BOOT_MODES: &[(&str, BootMode)] = &[("uefi", BootMode::Uefi), ("legacy", BootMode::Legacy)];

/// The values of `boot_targets`: what a network boot can lead to.
const BOOT_TARGETS: &[(&str, BootTarget)] = &[
    (BootTarget::Pxe.name(), BootTarget::Pxe),
    (BootTarget::Hdd.name(), BootTarget::Hdd),
    (BootTarget::Cd.name(), BootTarget::Cd),
    (BootTarget::UefiHttp.name(), BootTarget::UefiHttp),
];

/// All keys of `defaults`.
pub(super) fn defaults_keys() -> Vec<&'static str> {
    driver_keys().chain(DEFAULTS.iter().copied()).collect()
}

/// All keys of a node.
pub(super) fn node_keys() -> Vec<&'static str> {
    ["id"].into_iter().chain(driver_keys()).chain(NODE.iter().copied()).collect()
}

fn driver_keys() -> impl Iterator<Item = &'static str> {
    DRIVERS.iter().map(|driver| driver.section().key)
}

/// What nodes fall back to.
pub(super) struct Defaults {
    timings: Timings,
    /// The accounts of devices, one for each of [`DRIVERS`].
    logins: Vec<Login>,
}

/// Reads `defaults`. What is wrong in there is told once, and not again for every node.
pub(super) fn defaults(at: &Cursor<'_>) -> Read<Defaults> {
    let keys = at.keys(&defaults_keys())?;
    let logins = driver_keys().map(|key| Login::read(&keys, key)).collect();
    let timings = timings(&keys, &Timings::default()).unwrap_or_default();
    Ok(Defaults { timings, logins })
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
    let without = |login: fn() -> Login| Defaults {
        timings: Timings::default(),
        logins: DRIVERS.iter().map(|_| login()).collect(),
    };
    let defaults = match defaults {
        Ok(defaults) => defaults.unwrap_or_else(|| without(Login::none)),
        Err(ErrorReported) => without(Login::wrong),
    };
    let mut all = Nodes { keys: node_keys(), defaults, taken: Uniqueness::default() };
    let mut index = 0;
    let nodes = at.list(NODES_MAX, |at| {
        let place = Place { index, line: at.spot.line };
        index += 1;
        all.node(at, place)
    });
    for (driver, login) in DRIVERS.iter().zip(&all.defaults.logins) {
        let section = driver.section();
        login.report_missing(at, section.key, section.account);
    }
    nodes
}

/// The nodes that were read so far.
struct Nodes {
    keys: Vec<&'static str>,
    defaults: Defaults,
    taken: Uniqueness,
}

impl Nodes {
    fn node(&mut self, at: &Cursor<'_>, place: Place) -> Read<NodeConfig> {
        let keys = at.keys(&self.keys)?;
        let id = keys.required("id", "the name of the node, the last part of its URLs", |at| {
            let id = at.parse(values::node_id)?;
            let taken = self.taken.claim("id", id.as_str(), place);
            taken.map_err(|first| at.problem(format_args!("{id} is already the id of {first}")))?;
            Ok(id)
        });
        let nics = keys.optional("nics", |at| {
            at.list(NICS_MAX, |at| {
                let mac = at.parse(mac)?;
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
            if let Some(driver) = named(&keys).find(|driver| !driver.kind().is_outlet) {
                let machine = driver.section().machine;
                return Err(at.problem(format_args!("is for plugs; {machine} says itself what it can boot from")));
            }
            at.list(BOOT_TARGETS.len(), |at| at.word(BOOT_TARGETS))
        });
        let policy = power::policy(&keys, named(&keys).any(|driver| driver.kind().is_outlet));
        let uuid = inventory.as_ref().ok().and_then(|inventory| inventory.as_ref()?.uuid);
        let device = self.device(&keys, place, uuid);
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

    fn device(&mut self, keys: &Keys<'_>, place: Place, uuid: Option<Uuid>) -> Read<DriverConfig> {
        if let [one, another, ..] = named(keys).collect::<Vec<_>>().as_slice() {
            let (one, another) = (one.section().key, another.section().key);
            return Err(keys.at.problem(format_args!("has two devices, {one} and {another}; a node has one")));
        }
        let mut device = Ok(None);
        for (driver, login) in DRIVERS.iter().zip(&mut self.defaults.logins) {
            let taken = &mut self.taken;
            let read =
                keys.optional(driver.section().key, |at| driver.read(at, SectionContext { place, uuid, taken, login }));
            device = device.and_then(|found: Option<DriverConfig>| Ok(found.or(read?)));
        }
        device?.ok_or_else(|| {
            let ways: Vec<String> = DRIVERS.iter().map(|driver| example(driver.section())).collect();
            let ways: Vec<&str> = ways.iter().map(String::as_str).collect();
            keys.at.problem(format_args!("has no device; add {}", listed(&ways)))
        })
    }
}

/// The drivers whose sections a node has, or was meant to have.
fn named(keys: &Keys<'_>) -> impl Iterator<Item = &'static dyn Driver> {
    DRIVERS.iter().copied().filter(|driver| keys.has(driver.section().key))
}

/// The shortest section: `tapo: { address: 192.0.2.11 }`.
pub(super) fn example(section: &Section) -> String {
    format!("{}: {}", section.key, section.example)
}
