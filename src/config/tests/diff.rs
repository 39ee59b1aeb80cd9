//! What lies between two configurations.

use super::*;

const OLD: &str = "
server: { listen: ['127.0.0.1:80'] }
accounts: [{ username: a, password: x, role: Operator }]
defaults: { tapo: { username: u, password: p } }
nodes:
- { id: one, tapo: { address: h1 } }
- { id: two, tapo: { address: h2 } }
";

/// What lies between [`OLD`] and a text in which one part is replaced, as one line.
#[track_caller]
fn change(from: &str, to: &str) -> String {
    assert_eq!(OLD.matches(from).count(), 1, "{from}");
    told(&config(OLD), &config(&OLD.replace(from, to)))
}

fn told(old: &Config, new: &Config) -> String {
    let Diff { restart, added, removed, changed, rewired } = diff(old, new);
    let ids = |ids: Vec<NodeId>| ids.iter().map(NodeId::as_str).collect::<Vec<_>>().join(",");
    format!("{}/{}/{}/{}/{}", restart.join(","), ids(added), ids(removed), ids(changed), ids(rewired))
}

#[test]
fn nothing_lies_between_equal_configurations() {
    let difference = diff(&config(OLD), &config(OLD));
    assert!(difference.is_empty(), "{difference:?}");
    assert_eq!(change("{ id: one,", "{   id: one,"), "////");
    // The order of the nodes is nobody's business.
    let mut turned = config(OLD);
    turned.nodes.reverse();
    assert_eq!(told(&config(OLD), &turned), "////");
}

#[test]
fn nodes_come_go_and_change() {
    assert_eq!(change("- { id: one", "- { id: new, tapo: { address: h3 } }\n- { id: one"), "/new///");
    assert_eq!(change("- { id: two, tapo: { address: h2 } }", ""), "//two//");
    assert_eq!(change("{ id: two", "{ id: new"), "/new/two//");
    assert_eq!(change("h2 }", "h2 }, off_dwell: 20s"), "///two/");
    assert_eq!(change("h2 }", "h2 }, inventory: { model: m }"), "///two/");
    assert_eq!(change("h2 }", "h2 }, nics: ['02:00:00:00:00:01']"), "///two/");
    assert_eq!(change("h2 }", "h3 }"), "///two/two");
    assert_eq!(change("h2 }", "'h2:80' }"), "///two/two");
    assert_eq!(change("h2 }", "h2, outlet: 1 }"), "///two/two");
    assert_eq!(change("h2 }", "h2, mac: '02:00:00:00:00:01' }"), "///two/two");
    assert_eq!(change("password: p }", "password: q }"), "///one,two/one,two");
    assert_eq!(change("username: u,", "username: v,"), "///one,two/one,two");
    assert_eq!(change("password: p } }", "password: p }, poll_interval: 20s }"), "///one,two/");
}

#[test]
fn some_parts_need_a_start() {
    assert_eq!(change("127.0.0.1:80'", "127.0.0.1:81'"), "server.listen////");
    assert_eq!(change("server: {", "server: { auth: none,"), "server.auth////");
    assert_eq!(change("server: {", "server: { metrics: off,"), "server.metrics////");
    assert_eq!(change("accounts:", "state_dir: s\naccounts:"), "state_dir////");
    assert_eq!(change("server: {", "server: { tls: { self_signed: true },"), "server.tls////");
    // Accounts that are there stay as the store has them.
    assert_eq!(change("username: a, password: x", "username: a, password: y"), "////");
    assert_eq!(change("accounts: [", "accounts: [{ username: b, password: x, role: Operator }, "), "accounts////");
}

#[test]
fn a_certificate_is_exchanged_while_serving() {
    let files = |name: &str| Some(TlsConfig::Files { certificate: name.into(), key: name.into() });
    let made = Some(TlsConfig::SelfSigned);
    for (old, new, needs_start) in [
        (None, None, false),
        (files("a"), files("b"), false),
        (made.clone(), files("a"), false),
        (made.clone(), made.clone(), false),
        (files("a"), made.clone(), true),
        (files("a"), None, true),
        (None, files("a"), true),
        (made.clone(), None, true),
    ] {
        let with = |tls: &Option<TlsConfig>| {
            let mut config = config(OLD);
            config.server.tls = tls.clone();
            config
        };
        let restart = diff(&with(&old), &with(&new)).restart;
        assert_eq!(restart.contains(&"server.tls"), needs_start, "{old:?} {new:?}");
    }
}
