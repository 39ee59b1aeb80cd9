//! The keys of the file, of `server` and of `accounts`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$VmZoVcLwLqCvNfX0MX1rYPmNyc0yP7gHkUxcqgTzuDQ";

/// What is wrong with a text, behind which a good node stands.
#[track_caller]
fn check_top(yaml: &str, expect: &[&str]) {
    check(&format!("{yaml}{GOOD}"), expect);
}

fn top(yaml: &str) -> Config {
    config(&format!("{yaml}{GOOD}"))
}

#[test]
fn everything_has_a_default_but_nodes() {
    let config = top("");
    let server = ServerConfig {
        listen: vec![(Ipv4Addr::LOCALHOST, 8000).into()],
        tls: None,
        auth_required: true,
        metrics: MetricsAccess::Public,
        host_names: vec![],
        trusted_proxies: vec![],
    };
    assert_eq!(config.server, server);
    assert_eq!(top("server: {}").server, server);
    assert_eq!(config.state_dir, Path::new("/etc/plugfish/state"));
    assert!(config.accounts.is_empty());
    assert_eq!(config.nodes[0].timings, Timings::default());
}

#[test]
fn a_file_that_is_no_configuration_is_told_of() {
    check("", &["nodes: is missing; it must be the list of nodes"]);
    check("# nothing\n", &["nodes: is missing; it must be the list of nodes"]);
    check("nodes:", &["1: nodes: has no value; it must be a list"]);
    check("[]", &["must be a group of keys (server, state_dir, accounts, defaults, nodes), not a list"]);
    check("a text", &["must be a group of keys (server, state_dir, accounts, defaults, nodes), not text"]);
    check(
        "\u{feff}server: {}\ncolour: red",
        &[
            "nodes: is missing; it must be the list of nodes",
            "2: colour: unknown key; known here: server, state_dir, accounts, defaults, nodes",
        ],
    );
    Fake::default().check(&["the file cannot be read: no such file"]);
    Fake::default()
        .file("nodes.yaml", vec![b' '; crate::config::load::FILE_BYTES_MAX + 1])
        .check(&["the file is larger than 16 MiB; is it the right one?"]);
    Fake::default()
        .file("nodes.yaml", b"a: 1\nb: \xff\n")
        .check(&["2: this is not UTF-8; save the file as UTF-8 text"]);
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    check("node: []", &["1: node: unknown key, did you mean \"nodes\"?"]);
    check_top("State-Dir: x", &["1: State-Dir: unknown key, did you mean \"state_dir\"?"]);
    check_top("server:\n  lisen: []", &["2: server.lisen: unknown key, did you mean \"listen\"?"]);
    check_top(
        "server: { port: 80 }\n\"a b\": 1",
        &[
            "1: server.port: unknown key; known here: listen, tls, auth, allow_insecure, metrics, host_names, trusted_proxies",
            "2: \"a b\": unknown key; known here: server, state_dir, accounts, defaults, nodes",
        ],
    );
    check_top("<<: { server: {} }", &["1: <<: keys are not merged here; write them out, or put them under defaults"]);
}

#[test]
fn keys_that_are_there_twice_are_told_of() {
    check_top(
        "state_dir: a\nserver: {}\nstate_dir: b",
        &["3: state_dir: is there twice, first on line 1; only one of them can hold"],
    );
    check("nodes: []\nnodes: []", &["2: nodes: is there twice, first on line 1; only one of them can hold"]);
}

#[test]
fn a_file_without_nodes_is_a_beginning_and_is_told_of() {
    let loaded = Fake::new("nodes: []").load().unwrap();
    assert!(loaded.config.nodes.is_empty());
    assert_eq!(loaded.warnings.len(), 1);
    assert!(
        loaded.warnings[0]
            .ends_with("nodes: has no node in it; add one: - { id: node-1, tapo: { address: 192.0.2.11 } }")
    );
}

#[test]
fn listen_takes_addresses_with_ports() {
    let config = top("server: { listen: ['127.0.0.1:0', '127.0.0.1:0', '[::1]:8443'] }");
    let local = |ip: IpAddr, port| SocketAddr::from((ip, port));
    let (four, six) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
    assert_eq!(config.server.listen, [local(four, 0), local(four, 0), local(six, 8443)]);
    check_top("server: { listen: '127.0.0.1:80' }", &["1: server.listen: must be a list, not text"]);
    check_top(
        "server: { listen: [] }",
        &["1: server.listen: has no address in it; leave the key out for 127.0.0.1:8000"],
    );
    check_top(
        "server:\n  listen:\n    - '127.0.0.1:80'\n    - '127.0.0.1:80'\n    - 80",
        &[
            "4: server.listen[1]: 127.0.0.1:80 is there twice",
            "5: server.listen[2]: must be text, not a number: put it in quotes",
        ],
    );
    for odd in ["localhost:80", ":80", "127.0.0.1", "http://127.0.0.1:80", "127.0.0.1:70000", ""] {
        check_top(
            &format!("server: {{ listen: ['{odd}'] }}"),
            &[&format!(
                "1: server.listen[0]: {odd:?} is not an IP address with a port: write 127.0.0.1:8000, [::1]:8000, or \
             0.0.0.0:8000 for every network of this machine"
            )],
        );
    }
    let many = ["'127.0.0.1:0'"; 17].join(",");
    check_top(&format!("server: {{ listen: [{many}] }}"), &["1: server.listen: has 17 items, at most 16 are possible"]);
}

#[test]
fn without_a_login_nobody_outside_is_served_by_accident() {
    for fine in [
        "auth: none",
        "auth: none, listen: ['127.0.0.2:80', '[::1]:80', '[::ffff:127.0.0.1]:80']",
        "auth: none, listen: ['0.0.0.0:80'], allow_insecure: true",
    ] {
        assert!(!top(&format!("server: {{ {fine} }}")).server.auth_required, "{fine}");
    }
    assert!(top("server: { listen: ['0.0.0.0:80'] }").server.auth_required);
    let text = |address: &str| {
        format!(
            "4: server.auth: must be required while {address} can be reached from other machines: every client there \
             could switch the nodes; if that is wanted, set allow_insecure: true"
        )
    };
    for (listen, named) in
        [("'0.0.0.0:80'", "0.0.0.0:80"), ("'127.0.0.1:80', '192.0.2.1:80'", "192.0.2.1:80"), ("'[::]:80'", "[::]:80")]
    {
        let server = format!("server:\n  allow_insecure: false\n  listen: [{listen}]\n  auth: none");
        check_top(&server, &[&text(named)]);
    }
    let broken = "server:\n  listen: ['0.0.0.0:80', x]\n  \n  auth: none";
    let problems = Fake::new(&format!("{broken}{GOOD}")).problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!(problems[1], text("0.0.0.0:80"));
    check_top("server: { auth: off }", &["1: server.auth: \"off\" is not known here; it must be required or none"]);
    check_top("server: { auth: false }", &["1: server.auth: must be text, not true or false: put it in quotes"]);
    check_top("server: { allow_insecure: 1 }", &["1: server.allow_insecure: must be true or false, not a number"]);
}

#[test]
fn tls_is_two_files_or_self_signed() {
    let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let with_files = |tls: &str| {
        Fake::new(&format!("server: {{ tls: {tls} }}{GOOD}"))
            .file("tls.crt", pem("CERTIFICATE"))
            .file("tls.key", pem("EC PRIVATE KEY"))
            .file("empty", "")
    };
    let files = TlsConfig::Files { certificate: "/etc/plugfish/tls.crt".into(), key: "/etc/plugfish/tls.key".into() };
    assert_eq!(with_files("{ certificate: tls.crt, key: tls.key }").config().server.tls, Some(files.clone()));
    let absolute = "{ certificate: /etc/plugfish/tls.crt, key: tls.key, self_signed: false }";
    assert_eq!(with_files(absolute).config().server.tls, Some(files));
    assert_eq!(with_files("{ self_signed: true }").config().server.tls, Some(TlsConfig::SelfSigned));
    let named = with_files("{ self_signed: { names: [BMC.lan, 192.0.2.7] } }").config().server;
    assert_eq!(
        (named.tls, named.host_names),
        (Some(TlsConfig::SelfSigned), vec!["bmc.lan".into(), "192.0.2.7".into()])
    );
    assert_eq!(with_files("{ self_signed: {} }").config().server.tls, Some(TlsConfig::SelfSigned));
    for (tls, expect) in [
        ("{ self_signed: { names: [a, a] } }", ".self_signed.names[1]: is there twice"),
        ("{ self_signed: { name: [a] } }", ".self_signed.name: unknown key, did you mean \"names\"?"),
        ("{ self_signed: yes please }", ".self_signed: must be true or false, not text"),
        ("{ certificate: tls.crt }", ".key: is missing; it must be the path of the private key (PEM)"),
        ("{ key: tls.key }", ".certificate: is missing; it must be the path of the certificate (PEM)"),
        (
            "{ certificate: tls.crt, key: tls.key, self_signed: true }",
            ": has files and self_signed: true; only one of them can hold",
        ),
        (
            "{ certificate: tls.key, key: tls.key }",
            ".certificate: /etc/plugfish/tls.key has no certificate in PEM form in it",
        ),
        ("{ certificate: tls.crt, key: empty }", ".key: /etc/plugfish/empty has no private key in PEM form in it"),
        ("{ certificate: tls.crt, key: no.key }", ".key: /etc/plugfish/no.key cannot be read: no such file"),
        ("{ certificate: tls.crt, key: '' }", ".key: must be a path"),
    ] {
        with_files(tls).check(&[&format!("1: server.tls{expect}")]);
    }
    for nothing in ["{}", "{ self_signed: false }"] {
        with_files(nothing)
            .check(&["1: server.tls: must be { certificate: PATH, key: PATH } or { self_signed: true }; for \
                                     plain HTTP leave the key tls out"]);
    }
}

#[test]
fn names_and_proxies_are_lists() {
    let server =
        top("server: { host_names: [bmc.example.org, Bmc], trusted_proxies: [10.0.0.0/8, '::1', 192.0.2.1] }").server;
    assert_eq!(server.host_names, ["bmc.example.org", "bmc"]);
    let (v4, v6): (IpAddr, IpAddr) = (Ipv4Addr::new(10, 0, 0, 0).into(), Ipv6Addr::LOCALHOST.into());
    assert_eq!(server.trusted_proxies, [(v4, 8), (v6, 128), (Ipv4Addr::new(192, 0, 2, 1).into(), 32)]);
    check_top(
        "server: { trusted_proxies: [10.0.0.0/33, proxy, 10.0.0.1/, '::/x'], host_names: ['a b', a, a] }",
        &[
            "1: server.host_names[0]: \"a b\" is neither an IP address nor a host name: a host name is made of letters, digits and \
             hyphens, with dots between its parts",
            "1: server.host_names[2]: is there twice",
            "1: server.trusted_proxies[0]: \"10.0.0.0/33\" has more than the 32 bits of such an address",
            "1: server.trusted_proxies[1]: \"proxy\" is neither an IP address nor a network such as 10.0.0.0/8",
            "1: server.trusted_proxies[2]: \"10.0.0.1/\" is neither an IP address nor a network such as 10.0.0.0/8",
            "1: server.trusted_proxies[3]: \"::/x\" is neither an IP address nor a network such as 10.0.0.0/8",
        ],
    );
}

#[test]
fn metrics_are_for_everybody_or_not() {
    for (word, metrics) in [
        ("public", MetricsAccess::Public),
        ("authenticated", MetricsAccess::Authenticated),
        ("off", MetricsAccess::Off),
    ] {
        assert_eq!(top(&format!("server: {{ metrics: {word} }}")).server.metrics, metrics);
    }
    check_top(
        "server: { metrics: Public }",
        &["1: server.metrics: \"Public\" is not known here, did you mean \"public\"?"],
    );
    check_top(
        "server: { metrics: all }",
        &["1: server.metrics: \"all\" is not known here; it must be public, authenticated or off"],
    );
}

#[test]
fn the_state_is_where_it_is_said_or_where_systemd_wants_it_or_beside_the_file() {
    let state_dir = |yaml: &str, given: Option<&str>| {
        let fake = Fake::new(&format!("{yaml}{GOOD}"));
        let fake = given.map_or(fake.clone(), |given| fake.var("STATE_DIRECTORY", given));
        fake.config().state_dir.to_str().unwrap().to_owned()
    };
    assert_eq!(state_dir("", None), "/etc/plugfish/state");
    assert_eq!(state_dir("", Some("")), "/etc/plugfish/state");
    assert_eq!(state_dir("", Some("/var/lib/a:/var/lib/b")), "/var/lib/a");
    assert_eq!(state_dir("state_dir: /s", Some("/var/lib/a")), "/s");
    assert_eq!(state_dir("state_dir: s", None), "/etc/plugfish/s");
    check_top("state_dir: ''", &["1: state_dir: must be a path"]);
    check_top("state_dir: 5", &["1: state_dir: must be text, not a number: put it in quotes"]);
}

#[test]
fn accounts_have_a_name_a_password_and_perhaps_a_role() {
    let config = top(&format!(
        "accounts:\n- {{ username: a, password: x, role: Operator }}\n- {{ username: b, password_hash: '{HASH}', role: ReadOnly }}"
    ));
    let account =
        |username: &str, password, role| AccountSeed { username: username.into(), password, role, scope: None };
    assert_eq!(
        config.accounts,
        [
            account("a", AccountPassword::Plain("x".into()), Role::Operator),
            account("b", AccountPassword::Hash(HASH.into()), Role::ReadOnly),
        ]
    );
    let alone = top("accounts: [{ username: admin, password: x }]").accounts;
    assert_eq!(alone, [account("admin", AccountPassword::Plain("x".into()), Role::Administrator)]);
    check_top(
        "accounts:\n- {}\n- { username: a, pasword: x, role: admin }\n- { username: a, role: Adminstrator }",
        &[
            "accounts[0].username: is missing; it must be the name to log in with",
            "accounts[0].password: is missing; give password or password_hash",
            "3: accounts[1].pasword: unknown key, did you mean \"password\"?",
            "3: accounts[1].role: \"admin\" is not known here, did you mean \"Administrator\"?",
            "4: accounts[2].username: a is already the name of accounts[1]",
            "4: accounts[2].password: is missing; give password or password_hash",
            "4: accounts[2].role: \"Adminstrator\" is not known here, did you mean \"Administrator\"?",
        ],
    );
    check_top(
        &format!("accounts: [{{ username: a, role: Operator, password: x, password_hash: '{HASH}' }}]"),
        &["1: accounts[0].password_hash: is there beside password; only one of them can hold"],
    );
    check_top("accounts: { username: a }", &["1: accounts: must be a list, not a group of keys"]);
}

#[test]
fn an_account_is_limited_to_nodes_that_are_there() {
    let nodes = "nodes:\n- { id: node-4, tapo: { address: 192.0.2.4, username: u, password: p } }\n\
                 - { id: node-5, tapo: { address: 192.0.2.5, username: u, password: p } }\n";
    let one = config(&format!("accounts: [{{ username: a, password: x, nodes: [node-5, node-4, node-5] }}]\n{nodes}"));
    let scope = one.accounts[0].scope.clone().unwrap();
    assert!(scope.has("node-4") && scope.has("node-5") && !scope.has("node-6"));
    check(
        &format!(
            "accounts:\n- {{ username: a, password: x, nodes: [node-4, nod-5] }}\n- {{ username: b, password: x, nodes: [] }}\n\
             - {{ username: c, password: x, nodes: [elsewhere, ..] }}\n- {{ username: d, password: x, nodes: node-4 }}\n{nodes}"
        ),
        &[
            "2: accounts[0].nodes[1]: there is no node nod-5 in nodes, did you mean node-5?",
            "3: accounts[1].nodes: has no node in it; leave the key out for all nodes",
            "4: accounts[2].nodes[0]: there is no node elsewhere in nodes",
            "4: accounts[2].nodes[1]: a node id cannot be \".\" or \"..\"",
            "5: accounts[3].nodes: must be a list, not text",
        ],
    );
    // What is wrong with a node is said there, and not a second time here.
    check(
        "accounts: [{ username: a, password: x, nodes: [n] }]\nnodes: [{ id: n }]\n",
        &[&format!("2: nodes[0]: {}", no_device())],
    );
}

#[test]
fn account_names_can_be_carried_by_basic_authentication() {
    let long = "x".repeat(255);
    for (name, expect) in [
        ("'a:b'", "must be without a colon: HTTP Basic authentication could not carry it"),
        ("''", "must not be empty"),
        ("' a'", "must be without spaces at its beginning and end"),
        ("\"a\\nb\"", "must be one line without control characters"),
        (long.as_str(), "has 255 characters, at most 254 are possible"),
        ("1", "must be text, not a number: put it in quotes"),
    ] {
        check_top(
            &format!("accounts: [{{ username: {name}, password: x, role: Operator }}]"),
            &[&format!("1: accounts[0].username: {expect}")],
        );
    }
}

#[test]
fn password_hashes_are_those_of_argon2() {
    let huge = HASH.replace("m=19456", "m=4294967295");
    let slow = HASH.replace("t=2", "t=1000000");
    let cut = HASH.rsplit_once('$').unwrap().0;
    let odd = HASH.replace("p=1", "q=1");
    for (hash, expect) in [
        ("secret", "is not a password hash ($argon2id$v=19$...)"),
        ("$2b$12$abcdefghijklmnopqrstuv", "is not a password hash ($argon2id$v=19$...)"),
        ("$pbkdf2-sha256$i=1000$c29tZXNhbHQ$c29tZWhhc2hzb21laGFzaA", "is a password hash of another kind than argon2"),
        (cut, "is a password hash that is not complete"),
        (odd.as_str(), "has parameters that argon2 does not know"),
        (huge.as_str(), "is a password hash that takes too much memory or time at every login"),
        (slow.as_str(), "is a password hash that takes too much memory or time at every login"),
    ] {
        check_top(
            &format!("accounts: [{{ username: a, password_hash: '{hash}', role: Operator }}]"),
            &[&format!("1: accounts[0].password_hash: {expect}; make one with: plugfish hash-password")],
        );
    }
}

#[test]
fn a_configuration_is_looked_for_in_its_places() {
    let find = |given: Option<&str>, there: &[&str]| {
        find_among(given.map(PathBuf::from), |path| there.iter().any(|there| Path::new(there) == path))
    };
    assert_eq!(find(Some("given"), &[]), Ok("given".into()));
    assert_eq!(find(None, &["/etc/plugfish/nodes.yaml"]), Ok("/etc/plugfish/nodes.yaml".into()));
    assert_eq!(find(Some(""), &PLACES), Ok("./nodes.yaml".into()));
    assert_eq!(find(None, &PLACES), Ok("./nodes.yaml".into()));
    assert_eq!(
        find(None, &[]).unwrap_err().to_string(),
        "there is no configuration: neither ./nodes.yaml nor /etc/plugfish/nodes.yaml is there; write one, or say where \
         it is with --config or PLUGFISH_CONFIG"
    );
}
