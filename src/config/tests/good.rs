//! Files without problems, and what comes of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;
use crate::account::Role;
use crate::config::{AuthMode, DeviceConfig, MetricsAccess, SeedPassword, TapoDevice, TlsConfig, load};
use crate::node::{Architecture, Rules};

fn tapo(config: &Config, n: usize) -> &TapoDevice {
    match &config.nodes[n].device {
        DeviceConfig::Tapo(tapo) => tapo,
    }
}

#[test]
fn the_example_loads_as_it_stands() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("nodes.yaml");
    let config = load(&file, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.server.listen, ["127.0.0.1:8000".parse().unwrap()]);
    assert_eq!(config.server.auth, AuthMode::Required);
    assert_eq!(config.state_dir, file.with_file_name("state"));
    assert_eq!(config.nodes.len(), 2);
    assert_eq!(tapo(&config, 1).outlet, Some(0));
    assert_eq!(config.nodes[1].rules.off_dwell, Duration::from_secs(20));
    assert_eq!(config.accounts[0].role, Role::Administrator);
}

#[test]
fn everything_has_a_default_but_the_nodes() {
    let config = read("nodes: []").unwrap();
    assert_eq!(config.server.listen, ["127.0.0.1:8000".parse().unwrap()]);
    assert_eq!(config.server.tls, None);
    assert_eq!(config.server.auth, AuthMode::Required);
    assert_eq!(config.server.metrics, MetricsAccess::Public);
    assert!(!config.server.allow_insecure && config.accounts.is_empty() && config.nodes.is_empty());
    assert_eq!(config.state_dir, Path::new("/etc/plugfish/state"));
}

#[test]
fn keys_without_a_value_are_as_if_they_were_not_there() {
    let config = read(&with_node("server:\naccounts:\ndefaults:\n  tapo:\nstate_dir:")).unwrap();
    assert_eq!(config.nodes[0].rules, Rules::default());
}

#[test]
fn the_file_of_the_interface_page() {
    let text = r#"
server:
  listen: ["127.0.0.1:8000", "[::1]:8443"]
  tls: { self_signed: true }
  auth: none
  metrics: off
state_dir: /var/lib/plugfish
accounts:
  - { username: admin, password: { env: PASSWORD }, role: Administrator }
  - username: ironic
    password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$PhQ6vJ0w1WLp3vD1g0zG5l1hUqXc6m1Y8M3tq7yX8nE"
    role: Operator
defaults:
  tapo: { username: me@example.org, password: { env: PASSWORD } }
  amt: { username: admin, password: { credential: amt } }
  poll_interval: 20s
  off_dwell: 12s
nodes:
  - id: node-1
    tapo: { address: "192.0.2.11:8080", mac: AA-BB-CC-DD-EE-FF }
    nics: ["00:5c:52:31:3a:9c"]
    inventory: { processors: [{ model: "Intel Core i5-8500T", cores: 6, threads: 6, architecture: x86-64, count: 2 }], memory_gib: 16,
                 drives: [{ name: nvme0n1, capacity_gb: 256, media: SSD, protocol: NVMe }], manufacturer: Dell, model: OptiPlex 3060, serial: ABC123,
                 uuid: 6b2b4f4e-0a5e-4b52-8a3f-0d4b2a4b6c11 }
  - id: node-2
    tapo: { address: "[2001:db8::5]:80", outlet: 1, username: other@example.org, password: own }
    poll_interval: 30s
    off_dwell: 1m
    command_deadline: 2m
"#;
    let config = read(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.server.tls, Some(TlsConfig::SelfSigned));
    assert_eq!((config.server.auth, config.server.metrics), (AuthMode::None, MetricsAccess::Off));
    assert_eq!(config.server.listen.len(), 2);
    assert_eq!(config.state_dir, Path::new("/var/lib/plugfish"));
    assert!(
        matches!(&config.accounts[0].password, SeedPassword::Plain(p) if p.expose_secret() == "from the environment")
    );
    assert!(
        matches!(&config.accounts[1].password, SeedPassword::Hash(h) if h.expose_secret().starts_with("$argon2id$"))
    );
    let (first, second) = (tapo(&config, 0), tapo(&config, 1));
    assert_eq!((first.host.as_str(), first.port), ("192.0.2.11", Some(8080)));
    assert_eq!(first.mac.map(|mac| mac.to_string()).as_deref(), Some("aa:bb:cc:dd:ee:ff"));
    assert_eq!((first.username.as_str(), first.password.expose_secret()), ("me@example.org", "from the environment"));
    assert_eq!((second.host.as_str(), second.port, second.outlet), ("2001:db8::5", Some(80), Some(1)));
    assert_eq!((second.username.as_str(), second.password.expose_secret()), ("other@example.org", "own"));
    let seconds = |n: usize| {
        let rules = &config.nodes[n].rules;
        [rules.poll_interval, rules.off_dwell, rules.command_deadline].map(|span| span.as_secs())
    };
    assert_eq!((seconds(0), seconds(1)), ([20, 12, 60], [30, 60, 120]));
    let inventory = &config.nodes[0].inventory;
    assert_eq!(inventory.processors.len(), 2);
    assert_eq!(inventory.processors[1].architecture, Some(Architecture::X86_64));
    assert_eq!(inventory.drives[0].capacity_bytes, Some(256_000_000_000));
    assert_eq!(inventory.drives[0].media.as_deref(), Some("SSD"));
    assert_eq!((inventory.memory_gib, inventory.nics.len()), (Some(16.0), 1));
    assert_eq!(inventory.uuid.map(|uuid| uuid.to_string()).as_deref(), Some("6b2b4f4e-0a5e-4b52-8a3f-0d4b2a4b6c11"));
}

#[test]
fn anchors_and_aliases_are_understood() {
    let text =
        "nodes:\n  - { id: a, tapo: &plug { address: a, username: me, password: p } }\n  - { id: b, tapo: *plug }\n";
    // The alias is understood, and so it is the same plug; the line is that of the text which is meant.
    check(text, &["2: nodes[1].tapo.address: |same device|nodes[0]"]);
}

#[test]
fn the_state_directory_comes_from_systemd_when_it_is_not_written() {
    let env = |name: &str| (name == "STATE_DIRECTORY").then(|| "/var/lib/plugfish:/var/lib/other".to_owned());
    let dir = |text| parse(text, Path::new("/etc/nodes.yaml"), &env).unwrap().state_dir;
    assert_eq!(dir("nodes: []"), Path::new("/var/lib/plugfish"));
    assert_eq!(dir("nodes: []\nstate_dir: here"), Path::new("/etc/here"));
}

#[test]
fn paths_are_relative_to_the_file() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        (
            "nodes.yaml",
            with_node(
                "server: { tls: { certificate: tls.crt, key: tls.key } }\ndefaults: { tapo: { password: { file: pass } } }",
            ),
        ),
        ("tls.crt", String::new()),
        ("tls.key", String::new()),
        ("pass", "secret\n".into()),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let config = load(&dir.path().join("nodes.yaml"), &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    let files = TlsConfig::Files { certificate: dir.path().join("tls.crt"), key: dir.path().join("tls.key") };
    assert_eq!(config.server.tls, Some(files));
    assert_eq!(config.state_dir, dir.path().join("state"));
}

#[test]
fn no_secret_is_printed() {
    let secret = "correct-horse";
    let text = with_node(&format!(
        "accounts:\n  - {{ username: a, password: {secret} }}\ndefaults: {{ tapo: {{ username: me, password: {secret} }} }}"
    ))
    .replace("password: p", &format!("password: {secret}"));
    let config = read(&text).unwrap();
    assert!(!format!("{config:?}").contains(secret));
    assert_eq!(tapo(&config, 0).password.expose_secret(), secret);
    // Nor when something is wrong with it, or around it.
    for wrong in ["password: [correct-horse]", "password: { correct-horse: 1 }", "password: { env: 1, file: 2 }"] {
        let text = text.replace("password: correct-horse } }]", &format!("{wrong} }} }}]"));
        let said = read(&text).unwrap_err().to_string();
        assert!(!said.contains(secret) || wrong.contains("{ correct"), "{said}");
    }
}

#[test]
fn a_file_that_is_not_there_or_no_text() {
    let dir = tempfile::tempdir().unwrap();
    let said = |path: &PathBuf| load(path, &|_| None).unwrap_err().to_string();
    let path = dir.path().join("nodes.yaml");
    assert!(said(&path).contains("nodes.yaml: cannot be read: No such file"), "{}", said(&path));
    assert!(said(&dir.path().to_path_buf()).contains("cannot be read"));
    std::fs::write(&path, b"nodes: []\n# \xff\n").unwrap();
    assert!(said(&path).contains("nodes.yaml:2: is no text in UTF-8"), "{}", said(&path));
}
