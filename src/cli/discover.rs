//! `plugfish discover`: lists the supported devices on the network, with entries for nodes.yaml.
//!
//! Plugs answer a datagram. For AMT, each address is checked for a listening port, without a login. Nothing is changed
//! on any device.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use tokio::net::TcpStream;

use super::Discover;
use super::output::{print, table};
use crate::clock::Clock;
use crate::driver::amt::connection::Timing;
use crate::driver::amt::{self, PLAIN_PORT, TLS_PORT};
use crate::driver::http::{Deadlines, Tls};
use crate::driver::{DeviceContext, tapo};
use crate::node::NodeId;
use crate::node::rate_limit::RequestGate;
use crate::node::trust::DeviceTrust;
use crate::telemetry::Metrics;

/// Most addresses that are asked: a /20, some seconds of work. Larger networks are no place for plugs.
const ADDRESSES_MAX: u64 = 4096;

/// Connections that are tried at a time: few enough for a small router's table.
const AT_ONCE: usize = 64;

/// How long an address may take to accept a connection. On a LAN it takes milliseconds; an engine that has to wake up
/// takes longer and is found at the second run.
const CONNECT: Duration = Duration::from_secs(1);

/// The times for a machine that has accepted a connection: no repeats, since no caller waits for this one machine.
const PROBE: Timing = Timing {
    deadlines: Deadlines { connect: CONNECT, exchange: Duration::from_secs(5) },
    pauses: [Duration::from_millis(100); 3],
    call: Duration::ZERO,
};

/// A network, as `192.0.2.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: Ipv4Addr,
    prefix: u32,
}

impl Network {
    fn size(self) -> u64 {
        1 << (32 - self.prefix)
    }

    fn addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        let first = u32::from(self.first);
        (0..u32::try_from(self.size()).unwrap_or(u32::MAX)).map(move |n| Ipv4Addr::from(first.saturating_add(n)))
    }

    /// The /24 around an address.
    fn around(address: Ipv4Addr) -> Network {
        let [a, b, c, _] = address.octets();
        Network { first: Ipv4Addr::new(a, b, c, 0), prefix: 24 }
    }
}

impl FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Network, String> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let parsed = address.parse::<Ipv4Addr>().ok().zip(prefix.parse::<u32>().ok().filter(|prefix| *prefix <= 32));
        let (address, prefix) = parsed.ok_or_else(|| format!("{text:?} is no network; write it as 192.0.2.0/24"))?;
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        let network = Network { first: Ipv4Addr::from(u32::from(address) & mask), prefix };
        if network.size() > ADDRESSES_MAX {
            return Err(format!(
                "{text} has more than {ADDRESSES_MAX} addresses; write a part of it, such as {address}/24"
            ));
        }
        Ok(network)
    }
}

/// A device that was found.
struct Finding {
    cells: [String; 5],
    /// Its entry in nodes.yaml.
    entry: String,
}

/// Looks, and prints what there is.
pub(super) async fn discover(options: &Discover) -> Result<()> {
    let networks = match options.networks.as_slice() {
        [] => vec![own_network().await?],
        named => named.to_vec(),
    };
    if networks.iter().map(|network| network.size()).sum::<u64>() > ADDRESSES_MAX {
        bail!("these networks have more than {ADDRESSES_MAX} addresses in all; ask for them one after the other");
    }
    let addresses: Vec<Ipv4Addr> = networks.iter().flat_map(|network| network.addresses()).collect();
    let clock = Clock::system();
    // Only networks that were named are asked address by address; else a broadcast has to do.
    let targets = if options.networks.is_empty() { &[][..] } else { &addresses };
    let (plugs, machines) =
        futures_util::future::join(plugs(&clock, options, &networks, targets), machines(&clock, &addresses)).await;
    let mut found = plugs?;
    found.extend(machines);
    if found.is_empty() {
        print(
            "nothing was found; plugs must be in the same network and powered, AMT machines set up (MEBx); name other \
             networks with --network\n",
        );
        return Ok(());
    }
    let rows: Vec<Vec<String>> = found.iter().map(|finding| finding.cells.to_vec()).collect();
    print(&table(&["KIND", "ADDRESS", "MODEL", "MAC", "NOTE"], &rows));
    print("\nFor nodes.yaml (give them the names of your machines):\n\nnodes:\n");
    for finding in &found {
        print(&finding.entry);
    }
    Ok(())
}

/// The network that the default route leads to. Nothing is sent: an unsent datagram is enough to learn one's address.
async fn own_network() -> Result<Network> {
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    let lost = "this machine has no network that leads anywhere; name the one to search with --network 192.0.2.0/24";
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).await.context(lost)?;
    match socket.local_addr().context(lost)?.ip() {
        IpAddr::V4(own) => Ok(Network::around(own)),
        IpAddr::V6(_) => bail!(lost),
    }
}

async fn plugs(
    clock: &Clock,
    options: &Discover,
    networks: &[Network],
    addresses: &[Ipv4Addr],
) -> Result<Vec<Finding>> {
    let last = |network: &Network| network.addresses().last();
    let everywhere = [Ipv4Addr::BROADCAST].into_iter().chain(networks.iter().filter_map(last));
    let targets: Vec<SocketAddr> = everywhere
        .chain(addresses.iter().copied())
        .map(|address| SocketAddr::from((address, tapo::DISCOVERY_PORT)))
        .collect();
    let wait = Duration::from_secs(options.wait.into());
    let mut found = tapo::discovery::discover(clock, &targets, wait)
        .await
        .context("cannot send on the network to look for plugs")?;
    found.sort_by_key(|plug| plug.address);
    Ok(found.iter().map(plug).collect())
}

fn plug(found: &tapo::discovery::Found) -> Finding {
    let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let mut notes = Vec::new();
    if found.factory_default {
        notes.push("not set up in the Tapo app yet".to_owned());
    } else if found.tpap {
        notes.push("third-party access off".into());
    }
    notes.extend(found.encrypt_type.clone());
    let strip = matches!(found.model.as_deref(), Some("P300" | "P304M" | "P306" | "P316M"));
    if strip {
        notes.push("a node for each outlet".into());
    }
    let mac = found.mac.map(|mac| mac.to_string());
    let end = mac.as_ref().map_or_else(|| found.address.to_string(), |mac| mac.replace(':', ""));
    let id: String = end.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let at = mac.as_ref().map_or_else(String::new, |mac| format!(", mac: \"{mac}\""));
    let outlet = if strip { ", outlet: 0" } else { "" };
    // Real plugs listen on 80.
    let port = found.port.filter(|port| *port != 80).map_or_else(String::new, |port| format!(":{port}"));
    Finding {
        entry: format!("  - {{ id: tapo-{id}, tapo: {{ address: \"{}{port}\"{at}{outlet} }} }}\n", found.address),
        cells: [
            "Tapo".into(),
            found.address.to_string(),
            said(&found.model),
            mac.unwrap_or_else(|| "-".into()),
            notes.join(", "),
        ],
    }
}

async fn machines(clock: &Clock, addresses: &[Ipv4Addr]) -> Vec<Finding> {
    let metrics = Metrics::new();
    let asks = addresses.iter().map(|address| machine(clock, *address, &metrics));
    futures_util::stream::iter(asks).buffered(AT_ONCE).filter_map(std::future::ready).collect().await
}

/// The AMT machine at this address, if there is one.
async fn machine(clock: &Clock, address: Ipv4Addr, metrics: &Arc<Metrics>) -> Option<Finding> {
    let listens = async |port| matches!(clock.limit(CONNECT, TcpStream::connect((address, port))).await, Some(Ok(_)));
    let (plain, tls) = futures_util::future::join(listens(PLAIN_PORT), listens(TLS_PORT)).await;
    if !plain && !tls {
        return None;
    }
    // It has no node yet; the name is for the logs.
    let node: NodeId = "discover".parse().ok()?;
    let gate = RequestGate::new(clock.clone(), amt::RATE_LIMIT);
    let (meters, exchange_log) = (metrics.device(node.as_str()), Arc::default());
    let trust = Arc::new(DeviceTrust::volatile(node.clone(), clock.clone()));
    let context = DeviceContext { node, clock: clock.clone(), gate, meters, exchange_log, trust };
    let host = address.to_string();
    let ask = async |trust| amt::probe::probe(&host, None, trust, context.clone(), PROBE).await;
    let over_tls = if tls { Some(ask(Tls::Insecure).await) } else { None };
    // What is plain can be altered on its way, so it is only for machines whose TLS is of no use.
    let (found, key, note) = match over_tls {
        Some(Ok(found)) => {
            let pin = found.certificate.filter(|certificate| certificate.proved);
            let key = match pin {
                Some(pin) => format!(", tls: {{ pin: \"sha256:{}\" }}", hex::encode(pin.fingerprint)),
                None => ", tls: insecure".into(),
            };
            let note = if plain { "set up, plain and TLS" } else { "set up, TLS only" };
            (Some(found), key, note.to_owned())
        }
        Some(Err(fault)) if !plain => (None, ", tls: insecure".into(), format!("listens, but: {fault}")),
        refused => match (ask(Tls::Off).await, refused) {
            (Err(fault), _) => (None, String::new(), format!("listens, but: {fault}")),
            (Ok(found), Some(_)) => (Some(found), String::new(), "set up, TLS fails".into()),
            (Ok(found), _) => (Some(found), String::new(), "set up, plain only".into()),
        },
    };
    let version = found.and_then(|found| found.version).unwrap_or_else(|| "-".into());
    let id = address.to_string().replace('.', "-");
    Some(Finding {
        entry: format!("  - {{ id: amt-{id}, amt: {{ address: \"{address}\"{key} }} }}\n"),
        cells: ["AMT".into(), address.to_string(), version, "-".into(), note],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_people_write_them() {
        let network: Network = "192.0.2.77/30".parse().unwrap();
        let addresses: Vec<String> = network.addresses().map(|address| address.to_string()).collect();
        assert_eq!(addresses, ["192.0.2.76", "192.0.2.77", "192.0.2.78", "192.0.2.79"]);
        assert_eq!("192.0.2.7".parse::<Network>().map(Network::size), Ok(1));
        for bad in ["", "192.0.2.0/33", "192.0.2.0/", "192.0.2/24", "10.0.0.0/8", "0.0.0.0/0", "::1/128"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
