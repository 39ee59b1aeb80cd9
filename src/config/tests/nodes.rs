//! The keys of `defaults` and of nodes.

use std::time::Duration;

use super::*;
use crate::driver::tapo::TapoConfig;
use crate::node::{BootMode, BootTarget};

/// Behind this stands a list of nodes, from line 3 on. They lack nothing.
const LOGIN: &str = "defaults: { tapo: { username: u, password: p } }\nnodes:\n";

#[track_caller]
pub(super) fn check_nodes(nodes: &str, expect: &[&str]) {
    check(&format!("{LOGIN}{nodes}"), expect);
}

#[track_caller]
fn nodes(nodes: &str) -> Vec<NodeConfig> {
    config(&format!("{LOGIN}{nodes}")).nodes
}

#[test]
fn a_node_takes_what_it_does_not_say_from_the_defaults() {
    let config = config(
        "defaults:
  tapo: { username: u, password: p }
  poll_interval: 30s
  off_dwell: 1m
  command_deadline: 2m
  fence_age_max: 50s
nodes:
  - id: plain
    tapo: { address: 192.0.2.1 }
  - id: own
    tapo: { address: '192.0.2.2:81', mac: AA-BB-CC-DD-EE-FF, outlet: 2, username: v, password: q }
    poll_interval: 5s
    off_dwell: 1s
    command_deadline: 1m30s
    fence_age_max: 1h
    boot_mode: legacy
    boot_targets: [Hdd, Cd]
    nics: ['00:5c:52:31:3a:9c', 005c52313a9d]
",
    );
    let [plain, own] = config.nodes.as_slice() else { panic!() };
    let timings = |poll_interval, off_dwell, command_deadline, fence_age_max| Timings {
        poll_interval: Duration::from_secs(poll_interval),
        off_dwell: Duration::from_secs(off_dwell),
        command_deadline: Duration::from_secs(command_deadline),
        fence_age_max: Some(Duration::from_secs(fence_age_max)),
    };
    assert_eq!(plain.timings, timings(30, 60, 120, 50));
    assert_eq!(own.timings, timings(5, 1, 90, 3600));
    assert_eq!((plain.boot_mode, own.boot_mode), (None, Some(BootMode::Legacy)));
    assert_eq!((&plain.boot_targets, &own.boot_targets), (&None, &Some(vec![BootTarget::Hdd, BootTarget::Cd])));
    let account = |node: &NodeConfig| {
        let plug = node.device.get::<TapoConfig>().unwrap();
        (plug.host.clone(), plug.username.clone(), plug.password.expose_secret().to_owned())
    };
    assert_eq!(account(plain), ("192.0.2.1".into(), "u".into(), "p".into()));
    assert_eq!(account(own), ("192.0.2.2".into(), "v".into(), "q".into()));
    assert_eq!(own.inventory.nics, ["00:5c:52:31:3a:9c", "00:5c:52:31:3a:9d"].map(|mac| mac.parse().unwrap()));
    assert_eq!(plain.inventory.as_ref(), &Inventory::default());
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_their_lines() {
    let known = super::super::nodes::node_keys().join(", ");
    assert!(known.starts_with("id, tapo, amt, ") && known.ends_with(", command_deadline, fence_age_max"), "{known}");
    check(
        "defaults:
  poll_interval: 4s
  tapo: { username: u }
nodes:
  - id: a b
    tapo:
      adress: 192.0.2.1
      outlet: x
    off_dwell: 11m
  - tapo: { address: 'http://192.0.2.1', password: p }
    nics: 5
    colour: red
  - 7
",
        &[
            "2: defaults.poll_interval: must be from 5s to 1h, not 4s",
            "3: defaults.tapo.password: is missing, and nodes[0] (line 5) has none of its own; it is that of the TP-Link account",
            "5: nodes[0].id: a node id is made of letters, digits, '.', '_' and '-', and ' ' is none of them",
            "7: nodes[0].tapo.adress: unknown key, did you mean \"address\"?",
            "8: nodes[0].tapo.outlet: must be a whole number from 0 to 15, not text",
            "9: nodes[0].off_dwell: must be from 1s to 10m, not 11m",
            "10: nodes[1].id: is missing; it must be the name of the node, the last part of its URLs",
            "10: nodes[1].tapo.address: \"http://192.0.2.1\" is not an address: write the host alone, without http:// and \
             without a path",
            "11: nodes[1].nics: must be a list, not a number",
            &format!("12: nodes[1].colour: unknown key; known here: {known}"),
            &format!("13: nodes[2]: must be a group of keys ({known}), not a number"),
        ],
    );
}

#[test]
fn boot_targets_are_for_plugs_and_of_the_network() {
    check_nodes(
        "
  - { id: a, tapo: { address: 192.0.2.1 }, boot_targets: [Pxe, BiosSetup] }
  - { id: b, amt: { address: 192.0.2.2, password: p }, boot_targets: [Pxe] }
",
        &[
            "4: nodes[0].boot_targets[1]: \"BiosSetup\" is not known here; it must be Pxe, Hdd, Cd or UefiHttp",
            "5: nodes[1].boot_targets: is for plugs; an AMT machine says itself what it can boot from",
        ],
    );
}

#[test]
fn ids_are_safe_in_urls_and_there_once() {
    check_nodes(
        "
- { id: a, tapo: { address: h1 } }
- { id: b, tapo: { address: h2 } }
- { id: a, tapo: { address: h3 } }
- { id: '', tapo: { address: h4 } }
- { id: 7, tapo: { address: h5 } }
- { id: .., tapo: { address: h6 } }
- { id: A, tapo: { address: h7 } }
",
        &[
            "6: nodes[2].id: a is already the id of nodes[0] (line 4)",
            "7: nodes[3].id: a node id cannot be empty",
            "8: nodes[4].id: must be text, not a number: put it in quotes",
            "9: nodes[5].id: a node id cannot be \".\" or \"..\"",
        ],
    );
}

#[test]
fn a_node_has_one_device() {
    check_nodes("- id: a", &[&format!("3: nodes[0]: {}", no_device())]);
    check_nodes(
        "- { id: a, tapo: { address: h }, amt: { address: h } }",
        &["3: nodes[0]: has two devices, tapo and amt; a node has one"],
    );
    check_nodes("- { id: a, tap: { address: h } }", &["3: nodes[0].tap: unknown key, did you mean \"tapo\"?"]);
    check_nodes(
        "- { id: a, tapo: {} }",
        &["3: nodes[0].tapo.address: is missing; it must be the plug's host or host:port"],
    );
    check_nodes(
        "- { id: a, tapo: 192.0.2.1 }",
        &[
            "3: nodes[0].tapo: must be a group of keys (address, mac, outlet, protocols, factory, username, password), not text",
        ],
    );
}

#[test]
fn what_is_wrong_with_an_amt_machine_is_told() {
    check(
        "defaults:\n  amt: { user: u }\n  tapo: { username: u, password: p }\nnodes:\n- id: a\n  amt:\n    address: 'a b'\n    \
         tls: { pin: x }\n    password: [x]\n- { id: b, amt: { address: h } }\n- { id: c, amt: { address: 'h:16993' } }",
        &[
            "2: defaults.amt.user: unknown key, did you mean \"username\"?",
            "2: defaults.amt.password: is missing, and nodes[1] (line 10) and 1 other node have none of their own; it is \
             that of the AMT account",
            "7: nodes[0].amt.address: \"a b\" is not an address: a host name is made of letters, digits and hyphens, with \
             dots between its parts",
            "8: nodes[0].amt.tls.pin: \"x\" is not a fingerprint: write sha256: and 64 hex digits",
            "9: nodes[0].amt.password: must be text, { env: NAME }, { file: PATH } or { credential: NAME }, not a list",
            "11: nodes[2].amt.address: this machine is already nodes[1] (line 10); one machine has one node",
        ],
    );
}

#[test]
fn times_have_a_unit_and_a_range() {
    let poll = |text: &str| {
        let node = format!("- {{ id: a, tapo: {{ address: h }}, poll_interval: {text} }}");
        match Fake::new(&format!("{LOGIN}{node}")).load() {
            Ok(loaded) => Ok(loaded.config.nodes[0].timings.poll_interval.as_millis()),
            Err(problems) => Err(problems.problems[0].text.clone()),
        }
    };
    for (text, milliseconds) in [("5s", 5000), ("5500ms", 5500), ("1m", 60_000), ("1h", 3_600_000), ("1m30s", 90_000)] {
        assert_eq!(poll(text), Ok(milliseconds), "{text}");
    }
    for text in ["s", "5 s", "5sec", "-5s", "5.5s", "5s5", "''", "99999999999999999999s", "9999999999999999h"] {
        let plain = text.trim_matches('\'');
        let expect = "is not a time: write a number and a unit, such as 15s or 2m (units: ms, s, m, h)";
        assert_eq!(poll(text), Err(format!("{plain:?} {expect}")), "{text}");
    }
    for text in ["4999ms", "0s", "61m", "2h"] {
        assert_eq!(poll(text), Err(format!("must be from 5s to 1h, not {text}")), "{text}");
    }
    assert_eq!(poll("15"), Err("has no unit; for seconds write 15s".into()));
    assert_eq!(poll("1.5"), Err("must be a time, such as 15s or 2m, not a number".into()));
    assert_eq!(poll("[15s]"), Err("must be a time, such as 15s or 2m, not a list".into()));
    for (key, low, high, range) in [
        ("off_dwell", "999ms", "601s", "1s to 10m"),
        ("command_deadline", "9s", "31m", "10s to 30m"),
        ("fence_age_max", "9s", "25h", "10s to 24h"),
    ] {
        for text in [low, high] {
            check_nodes(
                &format!("- {{ id: a, tapo: {{ address: h }}, {key}: {text} }}"),
                &[&format!("3: nodes[0].{key}: must be from {range}, not {text}")],
            );
        }
    }
}

#[test]
fn one_device_switches_one_node() {
    let once = "one plug has one node, on a strip name the outlet";
    check_nodes(
        "
- { id: a, tapo: { address: h } }
- { id: b, tapo: { address: H } }
- { id: c, tapo: { address: 'h:80' } }
- { id: d, tapo: { address: 'h:81' } }
- { id: e, tapo: { address: h, outlet: 0 } }
- { id: f, tapo: { address: h, outlet: 1 } }
- { id: g, tapo: { address: h, outlet: 1 } }
- { id: h, tapo: { address: '2001:db8::1' } }
- { id: i, tapo: { address: '[2001:DB8:0::1]:80' } }
",
        &[
            &format!("5: nodes[1].tapo.address: this plug already switches nodes[0] (line 4); {once}"),
            &format!("6: nodes[2].tapo.address: this plug already switches nodes[0] (line 4); {once}"),
            "10: nodes[6].tapo.address: outlet 1 of this strip already switches nodes[5] (line 9); one outlet has one node",
            &format!("12: nodes[8].tapo.address: this plug already switches nodes[7] (line 11); {once}"),
        ],
    );
    check_nodes(
        "
- { id: a, tapo: { address: h1, mac: 0255.0, outlet: 0 } }
- { id: b, tapo: { address: h2, mac: '02:00:00:00:00:01' } }
- { id: c, tapo: { address: h3, mac: 02-00-00-00-00-01 } }
- { id: d, tapo: { address: h4, mac: 02-00-00-00-00-02, outlet: 0 } }
- { id: e, tapo: { address: h4, mac: 02-00-00-00-00-02, outlet: 1 } }
- { id: f, tapo: { address: h5, mac: 02-00-00-00-00-02, outlet: 1 } }
- { id: g, tapo: { address: h2, mac: '02:00:00:00:00:01' } }
",
        &[
            "4: nodes[0].tapo.mac: must be text, not a number: put it in quotes",
            &format!("6: nodes[2].tapo.mac: this plug already switches nodes[1] (line 5); {once}"),
            "9: nodes[5].tapo.mac: outlet 1 of this strip already switches nodes[4] (line 8); one outlet has one node",
            &format!("10: nodes[6].tapo.address: this plug already switches nodes[1] (line 5); {once}"),
        ],
    );
}

#[test]
fn hardware_addresses_are_of_one_interface_each() {
    check_nodes(
        "
- { id: a, tapo: { address: h1, mac: '02:00:00:00:00:01' }, nics: ['02:00:00:00:00:02', '02:00:00:00:00:02'] }
- id: b
  tapo: { address: h2, mac: '02:00:00:00:00:02' }
  nics:
    - '02:00:00:00:00:01'
    - '00:00:00:00:00:00'
    - ff:ff:ff:ff:ff:ff
    - 01:00:5e:00:00:01
    - 52:54:00:12:34:5
    - 123456789012
    -
",
        &[
            "4: nodes[0].nics[1]: 02:00:00:00:00:02 is already the address of a network interface of nodes[0] (line 4)",
            "6: nodes[1].tapo.mac: 02:00:00:00:00:02 is the address of a network interface of nodes[0] (line 4), not of a plug",
            "8: nodes[1].nics[0]: 02:00:00:00:00:01 is the address of the plug of nodes[0] (line 4), not of a machine's \
             network interface",
            "9: nodes[1].nics[1]: 00:00:00:00:00:00 is not the address of one network interface",
            "10: nodes[1].nics[2]: ff:ff:ff:ff:ff:ff is not the address of one network interface",
            "11: nodes[1].nics[3]: 01:00:5e:00:00:01 is not the address of one network interface",
            "12: nodes[1].nics[4]: \"52:54:00:12:34:5\" is not a MAC address: six pairs of hex digits, separated by ':' or \
             '-' or by nothing",
            "13: nodes[1].nics[5]: must be text, not a number: put it in quotes",
            "14: nodes[1].nics[6]: has no value; it must be text",
        ],
    );
    let many = (0..65).map(|n| format!("'02:00:00:00:00:{n:02x}'")).collect::<Vec<_>>().join(",");
    check_nodes(
        &format!("- {{ id: a, tapo: {{ address: h }}, nics: [{many}] }}"),
        &["3: nodes[0].nics: has 65 items, at most 64 are possible"],
    );
}

#[test]
fn a_missing_login_is_told_of_once() {
    let three = "nodes:\n- { id: a, tapo: { address: h1 } }\n- { id: b, tapo: { address: h2 } }\n- { id: c, tapo: { address: \
                 h3, username: u } }";
    check(
        three,
        &[
            "defaults.tapo.username: is missing, and nodes[0] (line 2) and 1 other node have none of their own; it is that of \
         the TP-Link account",
            "defaults.tapo.password: is missing, and nodes[0] (line 2) and 2 other nodes have none of their own; it is that of \
         the TP-Link account",
        ],
    );
    let known = super::super::nodes::defaults_keys().join(", ");
    let wrong_defaults = format!("1: defaults: must be a group of keys ({known}), not a number");
    // What is wrong with the defaults is not told again.
    for (wrong, expect) in [
        (
            "defaults: { tapo: { username: '', password: 5 } }",
            vec![
                "1: defaults.tapo.username: must not be empty",
                "1: defaults.tapo.password: must be text, not a number: put it in quotes",
            ],
        ),
        (
            "defaults: { tapo: { user: u, password: p } }",
            vec!["1: defaults.tapo.user: unknown key, did you mean \"username\"?"],
        ),
        ("defaults: { tapo: [] }", vec!["1: defaults.tapo: must be a group of keys (username, password), not a list"]),
        ("default: { tapo: {} }", vec!["1: default: unknown key, did you mean \"defaults\"?"]),
        ("defaults: 5", vec![wrong_defaults.as_str()]),
    ] {
        check(&format!("{wrong}\n{three}"), &expect);
    }
}

#[test]
fn a_long_list_is_read_whole_and_its_mistakes_are_not_told_for_ever() {
    let list = |count: usize, key: &str| -> String {
        let node = |n: usize| format!("- {{ id: n{n}, {key}: {{ address: 10.0.{}.{} }} }}\n", n / 250, n % 250 + 1);
        (0..count).map(node).collect()
    };
    assert_eq!(nodes(&list(20_000, "tapo")).len(), 20_000);
    check_nodes(&list(20_001, "tapo"), &["2: nodes: has 20001 items, at most 20000 are possible"]);
    let problems = Fake::new(&format!("{LOGIN}{}", list(5000, "tpao"))).problems();
    assert_eq!(problems.len(), 1001);
    assert_eq!(problems[999], "1002: nodes[999].tpao: unknown key, did you mean \"tapo\"?");
    assert_eq!(problems[1000], "and 4000 more problems");
}
