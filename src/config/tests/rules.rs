//! Every rule: the file that breaks it, and what is said, on which line.

use super::*;
use crate::config::PROBLEMS_MAX;

#[test]
fn no_yaml() {
    check("nodes: [", &["|is no YAML"]);
    check("nodes:\n\t- id: a\n", &["2: is no YAML|with spaces, not with tabs"]);
    check("a: b: c", &["1: is no YAML"]);
    check("nodes: []\n---\nnodes: []\n", &["|is no YAML|more than one document"]);
    check("nodes: *gone", &["1: is no YAML|anchor"]);
}

#[test]
fn no_group_of_keys() {
    check("", &["|nodes: is missing|with an entry for each machine"]);
    check("# nothing\n", &["|nodes: is missing"]);
    check("- a", &["1: is a list and should be a group of keys"]);
    check("just words", &["1: is a text and should be a group of keys"]);
    check("server: {}", &["|nodes: is missing"]);
    check("nodes: 5", &["1: nodes: is a number and should be a list"]);
    check("nodes: { a: {} }", &["1: nodes: is a group of keys and should be a list, write it as [...]"]);
    check(&with_node("server: []"), &["1: server: is a list and should be a group of keys"]);
}

#[test]
fn unknown_keys() {
    check(&with_node("sever: {}"), &["1: sever: unknown key, did you mean \"server\"?"]);
    check(&with_node("colour: red"), &["1: colour: unknown key, the keys here are server, state_dir,"]);
    check(&node("id: a\ntapo:\n  adress: plug"), &["5: nodes[0].tapo.adress: unknown key, did you mean \"address\"?"]);
    check(&node("id: a\nTapo: { address: plug }"), &["4: nodes[0].Tapo: unknown key, did you mean \"tapo\"?"]);
    check(
        &node("<<: { id: a }\nid: a\ntapo: { address: plug }"),
        &["3: nodes[0].<<: unknown key, merge keys|defaults"],
    );
    check(
        &node("id: a\ntapo: { address: plug, password: { environment: X } }"),
        &["4: nodes[0].tapo.password.environment: unknown key, did you mean \"env\"?"],
    );
}

#[test]
fn keys_that_are_there_twice() {
    check("nodes: []\nserver: {}\nnodes: []\n", &["3: nodes: is there twice"]);
    check(&node("id: a\ntapo: { address: plug }\nid: b"), &["5: nodes[0].id: is there twice"]);
    check(
        &node("id: a\ntapo:\n  address: plug\n  outlet: 1\n  outlet: 2"),
        &["7: nodes[0].tapo.outlet: is there twice"],
    );
}

#[test]
fn wrong_types() {
    check(
        &node("id: 5\ntapo: { address: plug }"),
        &["3: nodes[0].id: is a number and should be a text, put it in quotes"],
    );
    check(&node("id: true\ntapo: { address: plug }"), &["3: nodes[0].id: is true or false and should be a text"]);
    check(&node("id: [a]\ntapo: { address: plug }"), &["3: nodes[0].id: is a list and should be a text"]);
    check(&node("id: a\ntapo: { address: [fe80::1] }"), &["4: nodes[0].tapo.address: is a list and should be a text"]);
    check(&node("id: a\ntapo: plug"), &["4: nodes[0].tapo: is a text and should be a group of keys"]);
    check(
        &node("id: a\ntapo: { address: plug, outlet: 300 }"),
        &["4: nodes[0].tapo.outlet: should be a whole number from 0 to 255"],
    );
    check(&node("id: a\ntapo: { address: plug, outlet: -1 }"), &["4: nodes[0].tapo.outlet: should be a whole number"]);
    check(
        &node("id: a\ntapo: { address: plug, outlet: x }"),
        &["4: nodes[0].tapo.outlet: is a text and should be a whole number"],
    );
    check(
        &node("id: a\ntapo: { address: plug }\nnics: 00:00:5e:00:53:01"),
        &["5: nodes[0].nics: is a text|write it as [...]"],
    );
    check(
        &node("id: a\ntapo: { address: plug }\nnics:\n  - 00:00:5e:00:53:01\n  - 5"),
        &["7: nodes[0].nics[1]: is a number|quotes"],
    );
    check(
        &node("id: a\ntapo: { address: plug, password: 12345 }"),
        &["4: nodes[0].tapo.password: is a number|put it in quotes"],
    );
    check(&node("id: a\ntapo: !plug { address: plug }"), &["4: nodes[0].tapo: is a value with a tag|leave the !"]);
    check("nodes:\n  - just words\n", &["2: nodes[0]: is a text and should be a group of keys"]);
    check(&with_node("server: { auth: maybe }"), &["1: server.auth: |there are required, none"]);
    check(&with_node("server: { auth: requird }"), &["1: server.auth: |did you mean \"required\"?"]);
    check(
        &with_node("server: { auth: true }"),
        &["1: server.auth: is true or false and should be one of required, none"],
    );
    check(
        &with_node("server: { allow_insecure: yes }"),
        &["1: server.allow_insecure: is a text and should be true or false"],
    );
}

#[test]
fn server() {
    check(&with_node("server: { listen: [] }"), &["1: server.listen: is empty"]);
    for (text, hint) in [
        ("localhost:8000", "write an IP address like \"127.0.0.1:8000\""),
        (":8000", "\"0.0.0.0:8000\" or \"[::]:8000\""),
        ("*:8000", "\"0.0.0.0:8000\""),
        ("8000", "\"0.0.0.0:8000\""),
        ("192.0.2.1", "\"192.0.2.1:8000\""),
        ("::1", "\"[::1]:8000\""),
        ("192.0.2.1:99999", "write it like"),
        ("", "write it like"),
    ] {
        let file = with_node(&format!("server:\n  listen:\n    - \"127.0.0.1:1\"\n    - \"{text}\""));
        check(&file, &[&format!("4: server.listen[1]: {text:?} is no address with a port|{hint}")]);
    }
    check(
        &with_node("server: { listen: [\"[::1]:1\", \"[::1]:1\"] }"),
        &["1: server.listen[1]: [::1]:1 is there twice"],
    );
    check(
        &with_node("server:\n  listen: [\"127.0.0.1:80\", \"0.0.0.0:80\"]\n  auth: none"),
        &["3: server.auth: `none` lets everybody who reaches 0.0.0.0:80 |allow_insecure: true"],
    );
    check(&with_node("server: { listen: [\"[::]:80\"], auth: none, allow_insecure: true }"), &[]);
    check(&with_node("server: { listen: [\"127.0.0.2:80\", \"[::1]:80\"], auth: none }"), &[]);
}

#[test]
fn tls() {
    let gone = "|cannot read /etc/plugfish/gone.crt: No such file";
    check(
        &with_node("server:\n  tls: { certificate: gone.crt }"),
        &[&format!("2: server.tls.certificate: {gone}"), "2: server.tls.key: is missing"],
    );
    check(
        &with_node("server:\n  tls: { self_signed: true, key: k }"),
        &["2: server.tls: names files and is self-signed too"],
    );
    check(&with_node("server:\n  tls: { self_signed: false }"), &["2: server.tls: says nothing|self_signed: true"]);
    check(&with_node("server:\n  tls: {}"), &["2: server.tls: says nothing"]);
    check(
        &with_node("server:\n  tls: { certificate: 5, key: 5 }"),
        &["2: server.tls.certificate: is a number", "2: server.tls.key: is a number"],
    );
}

#[test]
fn accounts() {
    let account = |keys: &str| with_node(&format!("accounts:\n  - {keys}"));
    check(&account("{ password: p }"), &["2: accounts[0].username: is missing"]);
    check(&account("{ username: \"\", password: p }"), &["2: accounts[0].username: is empty"]);
    check(&account("{ username: \"a:b\", password: p }"), &["2: accounts[0].username: has the character ':'"]);
    check(
        &account(&format!("{{ username: {}, password: p }}", "x".repeat(65))),
        &["2: accounts[0].username: has 65 characters"],
    );
    check(&account("{ username: a }"), &["2: accounts[0].password: is missing"]);
    check(&account("{ username: a, password: \"\" }"), &["2: accounts[0].password: is empty"]);
    check(
        &account("{ username: a, password: p, password_hash: h }"),
        &["2: accounts[0].password_hash: comes with a password"],
    );
    check(
        &account("{ username: a, password_hash: p }"),
        &["2: accounts[0].password_hash: is no argon2 hash|plugfish hash-password"],
    );
    check(&account("{ username: a, password_hash: 5 }"), &["2: accounts[0].password_hash: is a number"]);
    check(
        &account("{ username: a, password: p, role: admin }"),
        &["2: accounts[0].role: |there are Administrator, Operator, ReadOnly"],
    );
    check(
        &account("{ username: a, password: p }\n  - { username: a, password: p }"),
        &["3: accounts[1].username: there is another account \"a\""],
    );
}

#[test]
fn secrets() {
    let password = |place: &str| with_node(&format!("accounts:\n  - username: a\n    password: {place}"));
    let at = "3: accounts[0].password: ";
    check(&password("{ env: PASSWORD }"), &[]);
    check(&password("{ env: OTHER }"), &[&format!("{at}the environment variable OTHER is not set")]);
    check(&password("{ env: NOTHING }"), &[&format!("{at}the environment variable NOTHING is empty")]);
    check(&password("{ file: gone }"), &[&format!("{at}cannot read /etc/plugfish/gone: No such file")]);
    check(
        &password("{ credential: amt }"),
        &[&format!("{at}there are no systemd credentials here|LoadCredential=amt")],
    );
    check(
        &password("{ env: A, file: b }"),
        &[&format!("{at}has to have exactly one of the keys env, file and credential")],
    );
    check(&password("{}"), &[&format!("{at}has to have exactly one")]);
    check(&password("{ env: 5 }"), &["3: accounts[0].password.env: is a number and should be a text"]);
}

#[test]
fn spans() {
    let rules = |keys: &str| with_node(&format!("defaults:\n  {keys}"));
    check(&rules("poll_interval: 4s"), &["2: defaults.poll_interval: 4s is too short: 5s is the least"]);
    check(&rules("poll_interval: 2h"), &["2: defaults.poll_interval: 2h is too long: 60m is the most"]);
    check(&rules("poll_interval: 15"), &["2: defaults.poll_interval: has no unit, write 15s if it is seconds"]);
    check(&rules("poll_interval: \"15\""), &["2: defaults.poll_interval: \"15\" has no unit, write it like 15s"]);
    check(&rules("poll_interval: soon"), &["2: defaults.poll_interval: \"soon\" is no span of time"]);
    check(&rules("poll_interval: 1.5"), &["2: defaults.poll_interval: is a number and should be a text like 15s"]);
    check(&rules("off_dwell: 500ms"), &["2: defaults.off_dwell: 500ms is too short: 1s is the least"]);
    check(&rules("command_deadline: 5s"), &["2: defaults.command_deadline: 5s is too short: 10s is the least"]);
    check(
        &rules("off_dwell: 1m"),
        &[
            "2: defaults.off_dwell: a power cycle|of 1m does not fit into|of 1m, write a `command_deadline` of 70s or more",
        ],
    );
    check(&rules("off_dwell: 1m\n  command_deadline: 65s"), &["3: defaults.command_deadline: a power cycle"]);
    check(&rules("off_dwell: 1m\n  command_deadline: 70s"), &[]);
    check(
        &node("id: a\ntapo: { address: plug }\noff_dwell: 1m\npoll_interval: 1s"),
        &["5: nodes[0].off_dwell: a power cycle", "6: nodes[0].poll_interval: 1s is too short"],
    );
}

#[test]
fn ids() {
    check(&node("tapo: { address: plug }"), &["3: nodes[0].id: is missing"]);
    check(&node("id: \"\"\ntapo: { address: plug }"), &["3: nodes[0].id: a node id cannot be empty"]);
    check(&node("id: a/b\ntapo: { address: plug }"), &["3: nodes[0].id: |'/' is none of them"]);
    check(
        &node(&format!("id: {}\ntapo: {{ address: plug }}", "x".repeat(65))),
        &["3: nodes[0].id: a node id has at most 64"],
    );
    let two = "id: a\ntapo: { address: x }";
    let text = format!("{}  - {{ id: a, tapo: {{ address: y }} }}\n", node(two));
    check(&text, &["5: nodes[1].id: \"a\" is the id of nodes[0] already"]);
}

#[test]
fn devices() {
    check(&node("id: a"), &["3: nodes[0]: has no device, write `tapo: { address: ... }`"]);
    check("nodes:\n  - id: a\n    tapo:\n", &["2: nodes[0]: has no device"]);
    check("nodes:\n  -\n", &["2: nodes[0]: has no device", "2: nodes[0].id: is missing"]);
    check(&node("id: a\ntapo: { address: x }\namt: { address: y }"), &["5: nodes[0].amt: is a second device"]);
    check(&node("id: a\namt: { address: y }"), &["4: nodes[0].amt: Intel AMT is not supported by this version"]);
    check(
        &node("id: a\namt: { address: \"y:0\", tls: { pin: \"sha256:12\" } }"),
        &[
            "4: nodes[0].amt: Intel AMT",
            "4: nodes[0].amt.address: \"0\" is no port",
            "4: nodes[0].amt.tls.pin: is no fingerprint",
        ],
    );
    check(
        &node("id: a\namt: { address: y, tls: on }"),
        &["4: nodes[0].amt: Intel AMT", "4: nodes[0].amt.tls: |off, verify, insecure"],
    );
    check(&node("id: a\ntapo: {}"), &["4: nodes[0].tapo.address: is missing"]);
    check(
        &node("id: a\ntapo: { address: \"http://plug\" }"),
        &["4: nodes[0].tapo.address: is a URL, write only the host"],
    );
    check(
        &node("id: a\ntapo: { address: plug, mac: \"12:34\" }"),
        &["4: nodes[0].tapo.mac: \"12:34\" is not a MAC address"],
    );
}

#[test]
fn devices_that_are_used_twice() {
    let two = |first: &str, second: &str| {
        let line = |n: usize, keys: &str| format!("  - {{ id: n{n}, tapo: {{ {keys} }} }}\n");
        format!("defaults: {{ tapo: {{ username: me, password: p }} }}\nnodes:\n{}{}", line(0, first), line(1, second))
    };
    check(&two("address: x", "address: y"), &[]);
    check(&two("address: x", "address: X"), &["4: nodes[1].tapo.address: is the same device as that of nodes[0]"]);
    check(&two("address: \"::1\"", "address: \"[0::1]\""), &["4: nodes[1].tapo.address: is the same device"]);
    check(&two("address: x", "address: \"x:8080\""), &[]);
    check(&two("address: x, outlet: 0", "address: x, outlet: 1"), &[]);
    check(&two("address: x, outlet: 1", "address: x, outlet: 1"), &["4: nodes[1].tapo.address: is the same outlet"]);
    check(&two("address: x, outlet: 1", "address: x"), &["4: nodes[1].tapo.address: is the same device"]);
    check(
        &two("address: x, mac: 00-00-5E-00-53-01", "address: y, mac: 00-00-5E-00-53-01"),
        &["4: nodes[1].tapo.mac: is the same device"],
    );
}

#[test]
fn logins_of_devices() {
    let bare = |nodes: usize, defaults: &str| {
        let nodes: String = (0..nodes).map(|n| format!("  - {{ id: n{n}, tapo: {{ address: plug{n} }} }}\n")).collect();
        format!("defaults: {defaults}\nnodes:\n{nodes}")
    };
    check(
        &bare(1, "{}"),
        &["3: nodes[0].tapo.password: is missing, |defaults.tapo.password", "3: nodes[0].tapo.username: is missing, "],
    );
    check(
        &bare(12, "{ tapo: { username: me } }"),
        &["3: nodes[0].tapo.password: is missing (and 11 other nodes have none either)"],
    );
    check(
        &bare(2, "{ tapo: { password: p } }"),
        &["3: nodes[0].tapo.username: is missing (and another node has none either)"],
    );
    // What is there but wrong is complained about once, not at each node.
    check(
        &bare(3, "{ tapo: { username: me, password: { env: OTHER } } }"),
        &["1: defaults.tapo.password: |OTHER is not set"],
    );
    check(&bare(3, "{ tapo: { username: 5, password: p } }"), &["1: defaults.tapo.username: is a number"]);
    check(&bare(3, "{ tapo: { user: me, password: p } }"), &["1: defaults.tapo.user: unknown key, |username"]);
    check(&bare(3, "{ tapo: { username: \" \", password: p } }"), &["1: defaults.tapo.username: is empty"]);
}

#[test]
fn inventory() {
    let part = |keys: &str| node(&format!("id: a\ntapo: {{ address: x }}\ninventory:\n  {keys}"));
    let at = "6: nodes[0].inventory.";
    for (keys, expected) in [
        ("uuid: abc", "uuid: \"abc\" is no UUID"),
        ("memory_gib: 0", "memory_gib: should be more than 0"),
        ("memory_gib: .inf", "memory_gib: should be more than 0"),
        ("memory_gib: .nan", "memory_gib: should be more than 0"),
        ("memory_gib: lots", "memory_gib: is a text and should be a number"),
        ("serial: 12345", "serial: is a number and should be a text, put it in quotes"),
        ("model: \"a\\tb\"", "model: has a control character"),
        ("processors: [{ cores: 0 }]", "processors[0].cores: should be more than 0"),
        ("processors: [{ cores: 4, threads: 2 }]", "processors[0].threads: there are 4 cores"),
        ("processors: [{ count: 65 }]", "processors: are 65 processors, and 64 are allowed"),
        ("processors: [{ architecture: arm46 }]", "processors[0].architecture: |did you mean \"arm64\"?"),
        ("drives: [{ name: a }, { name: a }]", "drives[1].name: there is another drive \"a\""),
        ("drives: [{ name: a/b }]", "drives[0].name: has the character '/'"),
        ("drives: [{ name: .. }]", "drives[0].name: should be a name"),
        ("drives: [{ capacity_gb: 5 }]", "drives[0].name: is missing"),
        ("drives: [{ name: a, capacity_gb: -5 }]", "drives[0].capacity_gb: should be more than 0"),
        ("drives: [{ name: a, media: ssd }]", "drives[0].media: |did you mean \"SSD\"?"),
        ("drives: [{ name: a, protocol: nvme }]", "drives[0].protocol: |did you mean \"NVMe\"?"),
    ] {
        check(&part(keys), &[&format!("{at}{expected}")]);
    }
    for architecture in ["x86-64", "x86_64", "amd64", "arm64", "aarch64"] {
        check(&part(&format!("processors: [{{ architecture: {architecture} }}]")), &[]);
    }
}

#[test]
fn nics_and_uuids_that_are_there_twice() {
    let uuid = "6b2b4f4e-0a5e-4b52-8a3f-0d4b2a4b6c11";
    let line = |n: usize| {
        format!(
            "  - {{ id: n{n}, tapo: {{ address: p{n} }}, nics: [\"00:00:5e:00:53:01\"], inventory: {{ uuid: {uuid} }} }}\n"
        )
    };
    let text = format!("defaults: {{ tapo: {{ username: me, password: p }} }}\nnodes:\n{}{}", line(0), line(1));
    check(
        &text,
        &[
            "4: nodes[1].inventory.uuid: 6b2b4f4e-0a5e-4b52-8a3f-0d4b2a4b6c11 is at nodes[0].inventory.uuid already",
            "4: nodes[1].nics[0]: 00:00:5e:00:53:01 is at nodes[0].nics[0] already",
        ],
    );
    check(
        &node("id: a\ntapo: { address: x }\nnics: [\"nonsense\"]"),
        &["5: nodes[0].nics[0]: \"nonsense\" is not a MAC address"],
    );
}

#[test]
fn all_problems_at_once_in_the_order_of_their_lines() {
    let text = "\
server:
  listen: [\"localhost:80\"]
  auht: none
defaults:
  tapo: { username: me, password: { env: GONE } }
  poll_interval: 1s
nodes:
  - id: \"a b\"
    tapo: { adress: x }
  - id: c
    tapo:
      address: \"x:0\"
      outlet: many
    nics:
      - \"00:00:5e:00:53:01\"
      - \"00:00:5e:00:53\"
  - { id: c, amt: { address: y } }
";
    check(
        text,
        &[
            "2: server.listen[0]: ",
            "3: server.auht: unknown key, did you mean \"auth\"?",
            "5: defaults.tapo.password: the environment variable GONE is not set",
            "6: defaults.poll_interval: 1s is too short",
            "8: nodes[0].id: ",
            "9: nodes[0].tapo.adress: unknown key, did you mean \"address\"?",
            "12: nodes[1].tapo.address: \"0\" is no port",
            "13: nodes[1].tapo.outlet: is a text",
            "16: nodes[1].nics[1]: |is not a MAC address",
            "17: nodes[2].amt: Intel AMT",
            "17: nodes[2].id: \"c\" is the id of nodes[1] already",
        ],
    );
}

#[test]
fn lines_are_right_in_every_style() {
    let wrong = "nodes[0].tapo.outlet: is a text";
    for (text, line) in [
        ("nodes: [{ id: a, tapo: { address: x, username: m, password: p, outlet: y } }]", 1),
        ("nodes:\n- id: a\n  tapo:\n    address: x\n    username: m\n    password: p\n    outlet: y\n", 7),
        (
            "# comment\n\nnodes:\n\n  # comment\n  - tapo:\n      password: p\n\n      outlet: y\n      username: m\n      address: x\n    id: a\n",
            9,
        ),
        (
            "nodes: [\n  { id: a,\n    tapo: {\n      address: x, username: m,\n      password: p,\n      outlet: y } }\n]\n",
            6,
        ),
        (
            "%YAML 1.2\n---\nnodes:\n  - id: a\n    tapo: { address: x, username: m, password: p,\n            outlet: y }\n...\n",
            6,
        ),
        (
            "{ \"nodes\": [ { \"id\": \"a\", \"tapo\": {\n \"address\": \"x\", \"username\": \"m\", \"password\": \"p\",\n \"outlet\": \"y\" } } ] }",
            3,
        ),
        (
            "nodes:\n  - id: >-\n      a\n    tapo:\n      username: \"m\n        n\"\n      address: x\n      password: |\n        p: q\n        outlet: 7\n      outlet: y\n",
            11,
        ),
        ("nodes:\r\n  - id: a\r\n    tapo:\r\n      { address: x, username: m, password: p, outlet: y }\r\n", 4),
        ("\u{feff}nodes:\n  - id: \u{fc}\n    tapo: { address: x, username: m, password: p, outlet: y }\n", 3),
    ] {
        let found = problems(text);
        let expected = format!("{line}: {wrong}");
        assert!(
            found.iter().any(|found| found.starts_with(&expected)),
            "in\n{text}\nexpected {expected}, found {found:?}"
        );
    }
}

#[test]
fn the_number_of_problems_is_bounded() {
    let nodes: String =
        (0..PROBLEMS_MAX * 2).map(|n| format!("  - {{ id: n{n}, tapo: {{ address: \"x:0\" }} }}\n")).collect();
    let text = format!("defaults: {{ tapo: {{ username: me, password: p }} }}\nnodes:\n{nodes}");
    let found = read(&text).unwrap_err();
    assert_eq!((found.problems.len(), found.more), (PROBLEMS_MAX, PROBLEMS_MAX));
    let unknown: String = (0..PROBLEMS_MAX * 2).map(|n| format!("key{n}: 1\n")).collect();
    let found = read(&unknown).unwrap_err();
    assert_eq!(found.problems.len(), PROBLEMS_MAX);
    assert!(found.more > 0);
}
