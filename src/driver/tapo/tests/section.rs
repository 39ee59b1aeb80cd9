//! The section of a plug in nodes.yaml.

use super::super::TapoDriver;
use super::*;
use crate::driver::tests::read;

const LOGIN: &str = "{ username: u, password: p }";

/// The plug in a section, without the braces.
#[track_caller]
fn plug(keys: &str) -> TapoConfig {
    let device = read(&TapoDriver, LOGIN, &[&format!("{{ {keys} }}")]).unwrap().remove(0);
    device.get::<TapoConfig>().unwrap().clone()
}

/// What is wrong with a section.
#[track_caller]
fn problems(keys: &str) -> Vec<String> {
    read(&TapoDriver, LOGIN, &[&format!("{{ {keys} }}")]).unwrap_err()
}

#[test]
fn a_plug_is_read_with_its_account() {
    let plain = TapoConfig {
        host: "192.0.2.1".into(),
        port: None,
        mac: None,
        outlet: None,
        protocols: TapoProtocol::ALL.to_vec(),
        factory: false,
        username: "u".into(),
        password: "p".into(),
        discovery_port: crate::driver::tapo::DISCOVERY_PORT,
    };
    assert_eq!(plug("address: 192.0.2.1"), plain);
    assert_eq!(
        plug("address: '192.0.2.2:81', mac: AA-BB-CC-DD-EE-FF, outlet: 2, username: v, password: q"),
        TapoConfig {
            host: "192.0.2.2".into(),
            port: Some(81),
            mac: Some("AA:BB:CC:DD:EE:FF".parse().unwrap()),
            outlet: Some(2),
            username: "v".into(),
            password: "q".into(),
            ..plain
        }
    );
    assert_eq!(problems(""), ["address: is missing; it must be the plug's host or host:port"]);
}

#[test]
fn outlets_are_counted_from_zero() {
    for (outlet, expect) in [
        ("-1", "must be a whole number from 0 to 15, not -1"),
        ("16", "must be a whole number from 0 to 15, not 16"),
        ("'1'", "must be a whole number from 0 to 15, not text"),
        ("", "has no value; it must be a whole number from 0 to 15"),
    ] {
        assert_eq!(problems(&format!("address: h, outlet: {outlet}")), [format!("outlet: {expect}")]);
    }
    assert_eq!(plug("address: h, outlet: 15").outlet, Some(15));
}

#[test]
fn the_protocols_of_a_plug_may_be_named() {
    use TapoProtocol::{Klap, Tpap};
    let read = |keys: &str| (plug(keys).protocols, plug(keys).factory);
    assert_eq!(read("address: h, protocols: [klap, tpap], factory: true"), (vec![Klap, Tpap], true));
    assert_eq!(
        problems("address: h, protocols: []"),
        ["protocols: is empty; name at least one protocol, or leave it out"]
    );
}

#[test]
fn one_plug_has_one_node_and_an_outlet_too() {
    let two = |one: &str, other: &str| read(&TapoDriver, LOGIN, &[one, other]).err().unwrap_or_default().join("\n");
    let once = "one plug has one node, on a strip name the outlet";
    let mac = "'02:00:00:00:00:01'";
    assert_eq!(
        two("{ address: h }", "{ address: 'H:80' }"),
        format!("address: this plug already switches nodes[0]; {once}")
    );
    assert_eq!(
        two(&format!("{{ address: h, mac: {mac} }}"), &format!("{{ address: i, mac: {mac} }}")),
        format!("mac: this plug already switches nodes[0]; {once}")
    );
    assert_eq!(
        two("{ address: h, outlet: 1 }", "{ address: h, outlet: 1 }"),
        "address: outlet 1 of this strip already switches nodes[0]; one outlet has one node"
    );
    assert_eq!(two("{ address: h, outlet: 1 }", "{ address: h, outlet: 2 }"), "");
    assert_eq!(two("{ address: h }", "{ address: 'h:81' }"), "");
}
