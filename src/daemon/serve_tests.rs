//! Tests from nodes.yaml to a running service: sockets of systemd, and the effect of a reload on the nodes.

use super::*;
use crate::config::ServerConfig;
use crate::node::reload::{Change, FleetDiff};

fn plan_of(listen: &str, auth_required: bool) -> Plan {
    let server = ServerConfig { listen: vec![listen.parse().unwrap()], auth_required, ..ServerConfig::default() };
    Plan { server, sockets: Vec::new(), state_dir: PathBuf::new(), accounts: Vec::new(), nodes: Vec::new() }
}

#[test]
fn a_socket_does_not_open_a_service_without_a_login() {
    let sockets = |address: &str| vec![TcpListener::bind(address).unwrap()];
    let refused = with_sockets(plan_of("127.0.0.1:8000", false), sockets("0.0.0.0:0")).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("server.auth is none"), "{refused}");
    for (plan, address) in [
        (plan_of("127.0.0.1:8000", false), "127.0.0.1:0"),
        (plan_of("127.0.0.1:8000", true), "0.0.0.0:0"),
        (plan_of("0.0.0.0:8000", false), "0.0.0.0:0"),
    ] {
        let taken = with_sockets(plan, sockets(address)).unwrap();
        assert_eq!(taken.server.listen, [taken.sockets[0].local_addr().unwrap()]);
    }
    let own = with_sockets(plan_of("127.0.0.1:8000", true), Vec::new()).unwrap();
    assert_eq!(own.server.listen, ["127.0.0.1:8000".parse().unwrap()]);
}

const OLD: &str = "
defaults: { tapo: { username: u, password: p } }
nodes:
- { id: one, tapo: { address: h1 } }
- { id: two, tapo: { address: h2 } }
";

fn nodes(text: &str) -> Vec<NodePlan> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nodes.yaml");
    std::fs::write(&path, text).unwrap();
    node_plans(&config::load(&path).unwrap().config)
}

/// What a reload does, as one line: added, removed, changed, and those of the changed ones with another device.
fn told(old: &[NodePlan], new: &[NodePlan]) -> String {
    let FleetDiff { added, removed, changed } = FleetDiff::between(old, new);
    let words = |ids: Vec<&str>| ids.join(",");
    let others = changed.iter().filter(|(_, change)| *change == Change::Device);
    format!(
        "{}/{}/{}/{}",
        words(added.iter().map(|id| id.as_str()).collect()),
        words(removed.iter().map(|id| id.as_str()).collect()),
        words(changed.iter().map(|(id, _)| id.as_str()).collect()),
        words(others.map(|(id, _)| id.as_str()).collect())
    )
}

/// What a reload does to [`OLD`] in which one part is replaced.
#[track_caller]
fn change(from: &str, to: &str) -> String {
    assert_eq!(OLD.matches(from).count(), 1, "{from}");
    told(&nodes(OLD), &nodes(&OLD.replace(from, to)))
}

#[test]
fn nothing_lies_between_equal_configurations() {
    assert_eq!(told(&nodes(OLD), &nodes(OLD)), "///");
    assert_eq!(change("{ id: one,", "{   id: one,"), "///");
    // The order of the nodes does not matter.
    let mut turned = nodes(OLD);
    turned.reverse();
    assert_eq!(told(&nodes(OLD), &turned), "///");
}

#[test]
fn nodes_come_go_and_change() {
    assert_eq!(change("- { id: one", "- { id: new, tapo: { address: h3 } }\n- { id: one"), "new///");
    assert_eq!(change("- { id: two, tapo: { address: h2 } }", ""), "/two//");
    assert_eq!(change("{ id: two", "{ id: new"), "new/two//");
    assert_eq!(change("h2 }", "h2 }, off_dwell: 20s"), "//two/");
    assert_eq!(change("h2 }", "h2 }, inventory: { model: m }"), "//two/");
    assert_eq!(change("h2 }", "h2 }, nics: ['02:00:00:00:00:01']"), "//two/");
    assert_eq!(change("h2 }", "h3 }"), "//two/two");
    assert_eq!(change("h2 }", "'h2:80' }"), "//two/two");
    assert_eq!(change("h2 }", "h2, outlet: 1 }"), "//two/two");
    assert_eq!(change("h2 }", "h2, mac: '02:00:00:00:00:01' }"), "//two/two");
    assert_eq!(change("password: p }", "password: q }"), "//one,two/one,two");
    assert_eq!(change("username: u,", "username: v,"), "//one,two/one,two");
    assert_eq!(change("password: p } }", "password: p }, poll_interval: 20s }"), "//one,two/");
}

/// The UUID of an AMT machine stands beside its section, and says which machine is believed.
#[test]
fn another_uuid_is_another_device_for_amt_alone() {
    let file = |device: &str, uuid: &str| {
        let inventory = format!("inventory: {{ uuid: 4c4c4544-0042-3510-8052-b4c04f4e333{uuid} }}");
        nodes(&format!("nodes: [{{ id: one, {device}: {{ address: h, username: u, password: p }}, {inventory} }}]"))
    };
    assert_eq!(told(&file("amt", "2"), &file("amt", "2")), "///");
    assert_eq!(told(&file("amt", "2"), &file("amt", "3")), "//one/one");
    assert_eq!(told(&file("tapo", "2"), &file("tapo", "3")), "//one/");
    assert_eq!(told(&file("tapo", "2"), &file("amt", "2")), "//one/one");
}
