//! `plugfish discover`: lists the supported devices on the network, with entries for nodes.yaml.
//!
//! Each driver searches for its own devices, without a login. Nothing is changed on any device.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Discover;
use super::output::{print, table};
use crate::clock::Clock;
use crate::driver::DRIVERS;
use crate::driver::find::{Finding, Search};
use crate::driver::section::Section;

/// Most addresses that are asked: a /20, some seconds of work. Larger networks are no place for plugs.
const ADDRESSES_MAX: u64 = 4096;

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
    let broadcasts: Vec<Ipv4Addr> = networks.iter().filter_map(|network| network.addresses().last()).collect();
    let search = Search {
        clock: &Clock::system(),
        addresses: &addresses,
        broadcasts: &broadcasts,
        is_named: !options.networks.is_empty(),
        wait: Duration::from_secs(options.wait.into()),
    };
    let mut found: Vec<(&Section, Finding)> = Vec::new();
    let searches = DRIVERS.iter().map(|driver| driver.find(&search));
    for (driver, of_driver) in DRIVERS.iter().zip(futures_util::future::join_all(searches).await) {
        found.extend(of_driver?.into_iter().map(|finding| (driver.section(), finding)));
    }
    if found.is_empty() {
        let wanted: Vec<&str> = DRIVERS.iter().map(|driver| driver.section().found_when).collect();
        print(&format!("nothing was found; {}; name other networks with --network\n", wanted.join(", ")));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = found.iter().map(|(section, finding)| row(section, finding)).collect();
    print(&table(&["KIND", "ADDRESS", "MODEL", "MAC", "NOTE"], &rows));
    print("\nFor nodes.yaml (give them the names of your machines):\n\nnodes:\n");
    for (section, finding) in &found {
        print(&entry(section, finding));
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

/// The row of a device in the table.
fn row(section: &Section, found: &Finding) -> Vec<String> {
    let nothing = || "-".to_owned();
    let mac = found.mac.map_or_else(nothing, |mac| mac.to_string());
    let model = found.model.clone().unwrap_or_else(nothing);
    vec![section.name.into(), found.address.to_string(), model, mac, found.note.clone()]
}

/// The entry of a device in nodes.yaml.
fn entry(section: &Section, found: &Finding) -> String {
    let (key, Finding { name, keys, .. }) = (section.key, found);
    format!("  - {{ id: {key}-{name}, {key}: {{ {keys} }} }}\n")
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
