//! What may not be there twice: names and devices of nodes. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;

use crate::node::MacAddress;

/// A node by its place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its place in the list.
    pub index: usize,
    /// Its line.
    pub line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nodes[{}]", self.index)?;
        match self.line {
            Some(line) => write!(f, " (line {line})"),
            None => Ok(()),
        }
    }
}

/// What the nodes that were read so far have claimed for themselves.
#[derive(Default)]
pub(crate) struct Uniqueness {
    claims: HashMap<(&'static str, String), Place>,
    nics: HashMap<MacAddress, Place>,
    /// Hardware addresses of devices, with the word for such a device.
    devices: HashMap<MacAddress, (&'static str, Place)>,
}

impl Uniqueness {
    /// Claims a key among all of its kind. `Err` is the node that has it.
    pub(crate) fn claim(&mut self, kind: &'static str, key: impl Into<String>, by: Place) -> Result<(), Place> {
        take(&mut self.claims, (kind, key.into()), by)
    }

    /// Claims the hardware address of a network interface of a machine.
    pub(crate) fn nic(&mut self, mac: MacAddress, by: Place) -> Result<(), String> {
        if let Some((device, node)) = self.devices.get(&mac) {
            return Err(format!(
                "{mac} is the address of the {device} of {node}, not of a machine's network interface"
            ));
        }
        take(&mut self.nics, mac, by)
            .map_err(|first| format!("{mac} is already the address of a network interface of {first}"))
    }

    /// Notes the hardware address of a device, which is no network interface of a machine. Several nodes may share a device:
    /// whether they do is for [`claim`](Uniqueness::claim) to say. `device` is the word for it: `plug`.
    pub(crate) fn device(&mut self, mac: MacAddress, device: &'static str, by: Place) -> Result<(), String> {
        if let Some(node) = self.nics.get(&mac) {
            return Err(format!("{mac} is the address of a network interface of {node}, not of a {device}"));
        }
        self.devices.entry(mac).or_insert((device, by));
        Ok(())
    }
}

fn take<K: Eq + Hash>(taken: &mut HashMap<K, Place>, key: K, by: Place) -> Result<(), Place> {
    match taken.entry(key) {
        Entry::Occupied(first) => Err(*first.get()),
        Entry::Vacant(free) => {
            free.insert(by);
            Ok(())
        }
    }
}
