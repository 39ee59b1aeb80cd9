//! What users are given to start with, the JSON schema, and that both say what the loader does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::super::{inventory, nodes, power, schema, service};
use super::*;
use crate::driver::DRIVERS;
use crate::reader::login::LOGIN;
use crate::reader::{Host, secret};

const EXAMPLE: &str = include_str!("../../../nodes.yaml");

/// A file on the disk with this mode.
fn on_disk(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nodes.yaml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

fn as_json(yaml: &str) -> Value {
    serde_yaml::from_str(yaml).unwrap()
}

#[test]
fn the_example_can_be_run_as_it_stands() {
    let (folder, path) = on_disk(EXAMPLE, 0o600);
    let loaded = load(&path).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let config = loaded.config;
    assert!(config.server.auth_required);
    assert!(config.server.listen.iter().all(|address| address.ip().is_loopback()));
    assert_eq!(config.nodes.len(), 5);
    if std::env::var_os("STATE_DIRECTORY").is_none() {
        assert_eq!(config.state_dir, folder.path().join("state"));
    }
    // Once it has a real password in it, a copy with the usual mode is warned of.
    let (_folder, path) = on_disk(EXAMPLE, 0o644);
    let warnings = load(&path).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].contains("defaults.tapo.password: is a secret in a file that every user of this machine"),
        "{warnings:?}"
    );
}

#[test]
fn what_the_example_has_in_comments_is_right_too() {
    let mut text = EXAMPLE.to_owned();
    for (comment, line) in [
        ("  # tls: { certificate", "  tls: { certificate"),
        ("# state_dir: /var", "state_dir: /var"),
        ("# accounts:\n#   - { username: admin", "accounts:\n  - { username: admin"),
        ("      # username: other", "      username: other"),
        ("  # amt: # the login", "  amt: # the login"),
        ("  #   password: { file: amt.pass }\n", "    password: { file: amt.pass }\n"),
        ("      # password: { file: other.pass", "      password: { file: other.pass"),
        ("password: \"the password of this account\"", "password: { credential: tapo }"),
    ] {
        assert_eq!(text.matches(comment).count(), 1, "{comment}");
        text = text.replace(comment, line);
    }
    let fake = Fake::new(&text)
        .file("tls.crt", "-----BEGIN CERTIFICATE-----")
        .file("tls.key", "-----BEGIN PRIVATE KEY-----")
        .file("admin.pass", "x\n")
        .file("other.pass", "x\n")
        .file("amt.pass", "x\n")
        .var("CREDENTIALS_DIRECTORY", "/run/c")
        .file("/run/c/tapo", "x");
    let config = fake.config();
    assert_eq!(config.accounts.len(), 1);
    assert_eq!(config.state_dir, Path::new("/var/lib/plugfish"));
}

#[test]
fn the_configuration_in_the_readme_is_right() {
    let readme = include_str!("../../../README.md");
    let from = readme.find("   server:\n").unwrap();
    let yaml: String =
        readme[from..].lines().take_while(|line| !line.contains("```")).map(|line| format!("{line}\n")).collect();
    let fake = Fake::new(&yaml).file("admin.pass", "x\n").file("tapo.pass", "x\n").file("amt.pass", "x\n");
    let config = fake.config();
    assert_eq!((config.accounts.len(), config.nodes.len()), (1, 2));
    assert_eq!(broken(&schema(), &schema(), &as_json(&yaml)), None);
}

#[test]
fn the_real_surroundings_read_files_and_variables() {
    let host = Host;
    let (folder, path) = on_disk("12345", 0o604);
    assert_eq!(host.read(&path, 5).unwrap(), b"12345");
    assert_eq!(host.read(&path, 3).unwrap(), b"1234");
    assert!(host.read(folder.path(), 3).is_err());
    assert!(host.read(&folder.path().join("no"), 3).is_err());
    assert!(host.everybody_reads(&path));
    assert!(!host.everybody_reads(folder.path()));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(!host.everybody_reads(&path));
    assert_eq!(host.var("PATH"), std::env::var_os("PATH"));
    assert_eq!(host.var("PLUGFISH_NO_SUCH_VARIABLE"), None);
    assert_eq!(
        load(&folder.path().join("no")).unwrap_err().problems[0].text,
        "the file cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn the_schema_knows_the_keys_that_the_loader_knows() {
    let schema = schema();
    let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let types = schema["$defs"].as_object().unwrap().iter().map(|(name, found)| (name.as_str(), found));
    for (name, found) in types.chain([("File", &schema)]) {
        if let Some(properties) = found["properties"].as_object() {
            keys.insert(name, properties.keys().map(String::as_str).collect());
            assert_eq!(found["additionalProperties"], json!(false), "{name}");
            let told = properties.values().all(|property| property["description"].is_string());
            assert!(told && found["description"].is_string(), "{name} has something without a description");
        }
    }
    let [env, file, credential] = secret::SECRET else { panic!() };
    let known: BTreeMap<&str, BTreeSet<&str>> = [
        ("File", service::FILE),
        ("Server", service::SERVER),
        ("Tls", service::TLS),
        ("SelfSignedNames", service::SELF_SIGNED),
        ("Account", service::ACCOUNT),
        ("Defaults", &nodes::defaults_keys()),
        ("Login", LOGIN),
        ("Node", &nodes::node_keys()),
        ("Watts", power::WATTS),
        ("Graceful", power::GRACEFUL),
        ("Hook", power::HOOK),
        ("Inventory", inventory::INVENTORY),
        ("Processor", inventory::PROCESSOR),
        ("Drive", inventory::DRIVE),
        ("FromEnv", &[*env]),
        ("FromFile", &[*file]),
        ("FromCredential", &[*credential]),
    ]
    .into_iter()
    .chain(DRIVERS.iter().flat_map(|driver| driver.groups().iter().copied()))
    .map(|(name, known)| (name, known.iter().copied().collect()))
    .collect();
    assert_eq!(keys, known);
}

/// What of a value breaks the schema. Knows the words that our schema uses and falls over at any other.
fn broken(root: &Value, schema: &Value, value: &Value) -> Option<String> {
    let fails = |schema: &Value| broken(root, schema, value).is_some();
    let number = |limit: &Value| limit.as_f64().unwrap();
    let count = |limit: &Value, found: usize, at_least: bool| {
        let limit = usize::try_from(limit.as_u64().unwrap()).unwrap();
        if at_least { found >= limit } else { found <= limit }
    };
    for (word, rule) in schema.as_object().unwrap() {
        let holds = match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "examples" | "format" => true,
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                !fails(&root["$defs"][name])
            }
            "type" => match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                other => panic!("unknown type {other}"),
            },
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "anyOf" => rule.as_array().unwrap().iter().any(|choice| !fails(choice)),
            "oneOf" => rule.as_array().unwrap().iter().filter(|choice| !fails(choice)).count() == 1,
            "required" => rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
            "properties" => {
                let known = rule.as_object().unwrap();
                for (key, inner) in value.as_object().into_iter().flatten() {
                    if let Some(why) = known.get(key).and_then(|rule| broken(root, rule, inner)) {
                        return Some(format!("{key}.{why}"));
                    }
                }
                true
            }
            "additionalProperties" => {
                assert_eq!(rule, &json!(false));
                let known = schema["properties"].as_object().unwrap();
                value.as_object().is_none_or(|value| value.keys().all(|key| known.contains_key(key)))
            }
            "items" => value.as_array().is_none_or(|items| items.iter().all(|item| broken(root, rule, item).is_none())),
            "minItems" => value.as_array().is_none_or(|items| count(rule, items.len(), true)),
            "maxItems" => value.as_array().is_none_or(|items| count(rule, items.len(), false)),
            "minLength" => value.as_str().is_none_or(|text| count(rule, text.chars().count(), true)),
            "maxLength" => value.as_str().is_none_or(|text| count(rule, text.chars().count(), false)),
            "pattern" => {
                let pattern = regex_lite::Regex::new(rule.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "minimum" => value.as_f64().is_none_or(|found| found >= number(rule)),
            "maximum" => value.as_f64().is_none_or(|found| found <= number(rule)),
            "exclusiveMinimum" => value.as_f64().is_none_or(|found| found > number(rule)),
            other => panic!("unknown word {other}"),
        };
        if !holds {
            return Some(format!("{word}: {rule}"));
        }
    }
    None
}

#[test]
fn the_schema_accepts_what_the_loader_accepts() {
    let schema = schema();
    let device = "nodes: [{ id: a, tapo: { address: h } }]";
    for yaml in [
        EXAMPLE,
        device,
        &format!(
            "server: {{ tls: {{ self_signed: true }}, auth: none, metrics: off, allow_insecure: true }}\n{device}"
        ),
        &format!("server: {{ tls: {{ certificate: a, key: b }}, listen: ['[::]:80'] }}\n{device}"),
        &format!("accounts: [{{ username: a, password: {{ env: X }}, role: ReadOnly }}]\n{device}"),
        &format!("defaults: {{ tapo: {{ password: {{ credential: x }} }}, amt: {{}}, off_dwell: 1m30s }}\n{device}"),
        "nodes: [{ id: a, amt: { address: h, tls: off } }, { id: b, amt: { address: h, tls: { pin: 'sha256:0000000000000000\
         000000000000000000000000000000000000000000000000' } } }]",
    ] {
        assert_eq!(broken(&schema, &schema, &as_json(yaml)), None, "{yaml}");
        // The types behind the schema read the same, up to what they leave to the drivers.
        let mut value = as_json(yaml);
        let groups = value["nodes"].as_array_mut().unwrap().iter_mut().collect::<Vec<_>>();
        for group in groups {
            DRIVERS.iter().for_each(|driver| drop(group.as_object_mut().unwrap().remove(driver.section().key)));
        }
        if let Some(defaults) = value.get_mut("defaults").and_then(Value::as_object_mut) {
            DRIVERS.iter().for_each(|driver| drop(defaults.remove(driver.section().key)));
        }
        let read: Result<schema::File, _> = serde_json::from_value(value);
        assert!(read.is_ok_and(|file| !file.nodes.is_empty()), "{yaml}");
    }
}

#[test]
fn the_schema_refuses_what_the_loader_refuses() {
    let schema = schema();
    let device = "nodes: [{ id: a, tapo: { address: h, username: u, password: p } }]";
    assert_eq!(broken(&schema, &schema, &as_json(device)), None);
    check(device, &[]);
    for top in [
        "colour: red",
        "server:",
        "server: { listen: [] }",
        "server: { listen: '127.0.0.1:80' }",
        "server: { auth: maybe }",
        "server: { metrics: false }",
        "server: { tls: {} }",
        "server: { tls: { self_signed: false } }",
        "server: { tls: { certificate: a } }",
        "accounts: [{ username: a, role: Operator }]",
        "accounts: [{ username: 'a:b', role: Operator, password: x }]",
        "accounts: [{ username: a, role: operator, password: x }]",
        "accounts: [{ username: a, role: Operator, password: 5 }]",
        "accounts: [{ username: a, role: Operator, password: { file: x, env: y } }]",
        "accounts: [{ username: a, role: Operator, password_hash: x }]",
        "defaults: { poll_interval: 15 }",
        "defaults: { poll_interval: 15 s }",
        "defaults: { tapo: { user: x } }",
    ] {
        let yaml = format!("{top}\n{device}");
        assert!(broken(&schema, &schema, &as_json(&yaml)).is_some(), "{top}");
        assert!(Fake::new(&yaml).load().is_err(), "{top}");
    }
    for node in [
        "{ id: a }",
        "{ tapo: { address: h } }",
        "{ id: a b, tapo: { address: h } }",
        "{ id: 5, tapo: { address: h } }",
        "{ id: a, tapo: { address: h }, amt: { address: h } }",
        "{ id: a, tapo: {} }",
        "{ id: a, tapo: { address: h, outlet: 16 } }",
        "{ id: a, tapo: { address: h, mac: x } }",
        "{ id: a, tapo: { address: h }, nics: ['00:5c:52:31:3a'] }",
        "{ id: a, tapo: { address: h }, inventory: { memory_gib: 0 } }",
        "{ id: a, tapo: { address: h }, inventory: { uuid: x } }",
        "{ id: a, tapo: { address: h }, inventory: { processors: [{ cores: 0 }] } }",
        "{ id: a, tapo: { address: h }, inventory: { processors: [{ architecture: sparc }] } }",
        "{ id: a, tapo: { address: h }, inventory: { drives: [{ media: SSD }] } }",
        "{ id: a, tapo: { address: h }, inventory: { drives: [{ name: a, capacity_gb: 0 }] } }",
        "{ id: a, tapo: { address: h }, inventory: { drives: [{ name: a, protocol: nvme }] } }",
    ] {
        let yaml = format!("defaults: {{ tapo: {{ username: u, password: p }} }}\nnodes: [{node}]");
        assert!(broken(&schema, &schema, &as_json(&yaml)).is_some(), "{node}");
        assert!(Fake::new(&yaml).load().is_err(), "{node}");
    }
}

#[test]
fn every_word_of_the_schema_is_a_word_of_the_loader() {
    let schema = schema();
    let words = |kind: &str, key: &str| -> Vec<String> {
        let property = &schema["$defs"][kind]["properties"][key];
        // The words of a list are those of its items.
        let one = property["items"].as_object().map_or(property, |_| &property["items"]);
        let named = one["$ref"].as_str().map(|name| &schema["$defs"][name.trim_start_matches("#/$defs/")]);
        let of = named.unwrap_or(one);
        let consts = of["oneOf"].as_array().map(|all| all.iter().map(|one| &one["const"]).collect::<Vec<_>>());
        let all = consts.unwrap_or_else(|| of["enum"].as_array().unwrap().iter().collect());
        all.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let device = "tapo: { address: h, username: u, password: p }";
    let inventory = |inventory: String| format!("nodes: [{{ id: a, {device}, inventory: {{ {inventory} }} }}]");
    let top = |top: String| format!("{top}\nnodes: [{{ id: a, {device} }}]");
    let mut count = 0;
    let mut try_all = |words: Vec<String>, yaml: &dyn Fn(&str) -> String| {
        for word in words {
            check(&yaml(&word), &[]);
            count += 1;
        }
    };
    try_all(words("Server", "auth"), &|word| top(format!("server: {{ auth: {word} }}")));
    try_all(words("Server", "metrics"), &|word| top(format!("server: {{ metrics: {word} }}")));
    try_all(words("Account", "role"), &|word| top(format!("accounts: [{{ username: a, password: x, role: {word} }}]")));
    try_all(words("Processor", "architecture"), &|word| inventory(format!("processors: [{{ architecture: {word} }}]")));
    try_all(words("Drive", "media"), &|word| inventory(format!("drives: [{{ name: a, media: {word} }}]")));
    try_all(words("Drive", "protocol"), &|word| inventory(format!("drives: [{{ name: a, protocol: {word} }}]")));
    try_all(words("Node", "boot_mode"), &|word| format!("nodes: [{{ id: a, {device}, boot_mode: {word} }}]"));
    try_all(words("Node", "boot_targets"), &|word| format!("nodes: [{{ id: a, {device}, boot_targets: [{word}] }}]"));
    assert_eq!(count, 2 + 3 + 3 + 7 + 3 + 5 + 2 + 4);
}

#[test]
fn the_times_of_the_schema_are_those_of_the_node() {
    let defaults = &schema()["$defs"]["Defaults"]["properties"];
    let timings = Timings::default();
    for (key, time, range) in [
        ("poll_interval", timings.poll_interval, super::super::values::POLL_INTERVAL),
        ("off_dwell", timings.off_dwell, super::super::values::OFF_DWELL),
        ("command_deadline", timings.command_deadline, super::super::values::COMMAND_DEADLINE),
    ] {
        use super::super::values::{shown, time as read};
        assert_eq!(read(defaults[key]["default"].as_str().unwrap()), Ok(time));
        let range = format!("; {} to {}.", shown(*range.start()), shown(*range.end()));
        assert!(defaults[key]["description"].as_str().unwrap().ends_with(&range), "{key} {range}");
    }
}
