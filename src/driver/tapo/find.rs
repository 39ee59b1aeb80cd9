//! Plugs on the network, as `plugfish discover` shows them.

use std::net::{Ipv4Addr, SocketAddr};

use super::DISCOVERY_PORT;
use super::discovery::{Found, discover};
use crate::driver::find::{FindError, Finding, Search};

/// Looks for plugs: they answer a datagram. Nothing is changed anywhere.
pub(super) async fn find(search: &Search<'_>) -> Result<Vec<Finding>, FindError> {
    let everywhere = [Ipv4Addr::BROADCAST].into_iter().chain(search.broadcasts.iter().copied());
    // Only networks that were named are asked address by address; else a broadcast has to do.
    let one_by_one = if search.is_named { search.addresses } else { &[] };
    let targets: Vec<SocketAddr> = everywhere
        .chain(one_by_one.iter().copied())
        .map(|address| SocketAddr::from((address, DISCOVERY_PORT)))
        .collect();
    let found = discover(search.clock, &targets, search.wait).await;
    let mut found =
        found.map_err(|source| FindError { what: "cannot send on the network to look for plugs", source })?;
    found.sort_by_key(|plug| plug.address);
    Ok(found.iter().map(finding).collect())
}

fn finding(found: &Found) -> Finding {
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
    let at = mac.map_or_else(String::new, |mac| format!(", mac: \"{mac}\""));
    let outlet = if strip { ", outlet: 0" } else { "" };
    // Real plugs listen on 80.
    let port = found.port.filter(|port| *port != 80).map_or_else(String::new, |port| format!(":{port}"));
    Finding {
        address: found.address,
        model: found.model.clone(),
        mac: found.mac,
        note: notes.join(", "),
        name: end.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect(),
        keys: format!("address: \"{}{port}\"{at}{outlet}", found.address),
    }
}

#[cfg(test)]
mod tests {
    use super::super::TapoDriver;
    use super::*;
    use crate::driver::tests::read;

    #[test]
    fn what_is_found_can_be_written_into_nodes_yaml() {
        let found = Found {
            address: "192.0.2.11".parse().unwrap(),
            sender: "192.0.2.11".parse().unwrap(),
            port: Some(8080),
            mac: Some("02:00:00:00:00:01".parse().unwrap()),
            model: Some("P300".into()),
            device_type: None,
            encrypt_type: Some("KLAP".into()),
            login_version: None,
            owner: None,
            set_up_by: None,
            factory_default: true,
            tpap: false,
        };
        let finding = finding(&found);
        assert_eq!(finding.name, "020000000001");
        assert_eq!(finding.note, "not set up in the Tapo app yet, KLAP, a node for each outlet");
        assert_eq!(finding.keys, "address: \"192.0.2.11:8080\", mac: \"02:00:00:00:00:01\", outlet: 0");
        read(&TapoDriver, "{ username: u, password: p }", &[&format!("{{ {} }}", finding.keys)]).unwrap();
    }
}
