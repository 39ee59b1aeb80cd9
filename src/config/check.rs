//! Rules that look at more than one value: what may not be there twice, and what does not go together. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;
use std::net::SocketAddr;

use uuid::Uuid;

use crate::node::{MacAddress, NodeId};

/// Most nodes. Each has an actor and a poll; at the longest poll interval of an hour this is still one every 180 ms.
pub(super) const NODES_MAX: usize = 20_000;

/// Most addresses to listen on: one for each network, IPv4 and IPv6, and room.
pub(super) const LISTEN_MAX: usize = 16;

/// Most names under which the service is reached.
pub(super) const HOST_NAMES_MAX: usize = 64;

/// Most proxies, or networks of them, that are trusted.
pub(super) const PROXIES_MAX: usize = 64;

/// Most nodes that an account can be limited to: they are kept with it, in a record of 16 KiB. More are for an account without
/// a limit.
pub(super) const ACCOUNT_NODES_MAX: usize = 128;

/// Most network interfaces of a machine. Servers with many ports have some twenty.
pub(super) const NICS_MAX: usize = 64;

/// Most processors of a machine; the largest boards have eight sockets.
pub(super) const PROCESSORS_MAX: usize = 64;

/// Most drives of a machine; the largest boxes have about a hundred.
pub(super) const DRIVES_MAX: usize = 256;

/// The last outlet of a strip. Strips have up to eight.
pub(super) const OUTLET_MAX: u8 = 15;

/// The port of a plug whose address is given without one.
const PLUG_PORT: u16 = 80;

/// The ports of an AMT machine: one machine has both.
const AMT_PORTS: [u16; 2] = [16992, 16993];

/// A node by its place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
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

/// What the nodes that were read so far have taken for themselves.
#[derive(Default)]
pub(super) struct Uniqueness {
    ids: HashMap<NodeId, Place>,
    uuids: HashMap<Uuid, Place>,
    nics: HashMap<MacAddress, Place>,
    plugs: HashMap<MacAddress, Place>,
    outlets_by_address: HashMap<(String, u16, Option<u8>), Place>,
    machines: HashMap<(String, Option<u16>), Place>,
    outlets_by_mac: HashMap<(MacAddress, Option<u8>), Place>,
}

impl Uniqueness {
    /// Takes the name of a node.
    pub(super) fn id(&mut self, id: &NodeId, by: Place) -> Result<(), String> {
        take(&mut self.ids, id.clone(), by).map_err(|first| format!("{id} is already the id of {first}"))
    }

    /// Takes the UUID of a machine.
    pub(super) fn uuid(&mut self, uuid: Uuid, by: Place) -> Result<(), String> {
        take(&mut self.uuids, uuid, by).map_err(|first| format!("{uuid} is already the UUID of {first}"))
    }

    /// Takes a network interface of a machine.
    pub(super) fn nic(&mut self, mac: MacAddress, by: Place) -> Result<(), String> {
        if let Some(plug) = self.plugs.get(&mac) {
            return Err(format!("{mac} is the address of the plug of {plug}, not of a machine's network interface"));
        }
        take(&mut self.nics, mac, by)
            .map_err(|first| format!("{mac} is already the address of a network interface of {first}"))
    }

    /// Takes a plug, or an outlet of a strip, by its address.
    pub(super) fn plug_at(
        &mut self,
        host: &str,
        port: Option<u16>,
        outlet: Option<u8>,
        by: Place,
    ) -> Result<(), String> {
        let key = (host.to_owned(), port.unwrap_or(PLUG_PORT), outlet);
        take(&mut self.outlets_by_address, key, by).map_err(|first| same_device(first, outlet))
    }

    /// Takes an AMT machine by its address.
    pub(super) fn amt_at(&mut self, host: &str, port: Option<u16>, by: Place) -> Result<(), String> {
        let key = (host.to_owned(), port.filter(|port| !AMT_PORTS.contains(port)));
        take(&mut self.machines, key, by)
            .map_err(|first| format!("this machine is already {first}; one machine has one node"))
    }

    /// Takes a plug, or an outlet of a strip, by its hardware address.
    pub(super) fn plug(&mut self, mac: MacAddress, outlet: Option<u8>, by: Place) -> Result<(), String> {
        if let Some(node) = self.nics.get(&mac) {
            return Err(format!("{mac} is the address of a network interface of {node}, not of a plug"));
        }
        self.plugs.entry(mac).or_insert(by);
        take(&mut self.outlets_by_mac, (mac, outlet), by).map_err(|first| same_device(first, outlet))
    }
}

fn same_device(first: Place, outlet: Option<u8>) -> String {
    match outlet {
        Some(outlet) => format!("outlet {outlet} of this strip already switches {first}; one outlet has one node"),
        None => format!("this plug already switches {first}; one plug has one node, on a strip name the outlet"),
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

/// The first address that others than this machine can reach.
pub(super) fn reachable_from_outside(listen: &[SocketAddr]) -> Option<SocketAddr> {
    listen.iter().copied().find(|address| !address.ip().to_canonical().is_loopback())
}
