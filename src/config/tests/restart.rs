//! What of another configuration needs a start.

use super::*;

const OLD: &str = "
server: { listen: ['127.0.0.1:80'] }
accounts: [{ username: a, password: x, role: Operator }]
defaults: { tapo: { username: u, password: p } }
nodes:
- { id: one, tapo: { address: h1 } }
- { id: two, tapo: { address: h2 } }
";

/// What needs a start to get from [`OLD`] to a text in which one part is replaced.
#[track_caller]
fn change(from: &str, to: &str) -> String {
    assert_eq!(OLD.matches(from).count(), 1, "{from}");
    needs_restart(&config(OLD), &config(&OLD.replace(from, to))).join(",")
}

#[test]
fn nodes_and_what_stays_the_same_need_no_start() {
    assert_eq!(change("{ id: one,", "{   id: one,"), "");
    assert_eq!(change("{ id: two", "{ id: new"), "");
    assert_eq!(change("h2 }", "h3 }"), "");
    assert_eq!(change("username: u,", "username: v,"), "");
}

#[test]
fn some_parts_need_a_start() {
    assert_eq!(change("127.0.0.1:80'", "127.0.0.1:81'"), "server.listen");
    assert_eq!(change("server: {", "server: { auth: none,"), "server.auth");
    assert_eq!(change("server: {", "server: { metrics: off,"), "server.metrics");
    assert_eq!(change("accounts:", "state_dir: s\naccounts:"), "state_dir");
    assert_eq!(change("server: {", "server: { tls: { self_signed: true },"), "server.tls");
    // Accounts that are there stay as the store has them.
    assert_eq!(change("username: a, password: x", "username: a, password: y"), "");
    assert_eq!(change("accounts: [", "accounts: [{ username: b, password: x, role: Operator }, "), "accounts");
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
        let restart = needs_restart(&with(&old), &with(&new));
        assert_eq!(restart.contains(&"server.tls"), needs_start, "{old:?} {new:?}");
    }
}
