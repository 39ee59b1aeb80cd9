//! docs/configuration.md, the reference of nodes.yaml, is made from the schema: `UPDATE_DOCS=1 cargo test reference` writes it.

use std::borrow::Cow;
use std::fmt::Write;
use std::fs;

use serde_json::Value;

use super::super::schema;
use crate::driver::{DRIVERS, Driver};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");

const HEAD: &str = "# Configuration: nodes.yaml

This page is generated from the JSON schema, which `plugfish schema` prints for editors. [nodes.yaml](../nodes.yaml) is an example with comments. Everything but `nodes`
has a default, unknown keys are errors, and paths are relative to the file. `plugfish check` lists all errors at once:

```console
plugfish check
plugfish schema
```

The file, its secret files and its certificate are checked for changes every second. A change is validated as a whole and then applied; nodes that
did not change are not affected. If there is an error, nothing changes, and the log, `/readyz`, `/metrics` and the status page report it.
Keys that are applied at a start only are marked *(start)*.

A **secret** is a text, `{ env: NAME }`, `{ file: PATH }` or `{ credential: NAME }` (systemd `LoadCredential=`). A **time** is `15s`, `2m` or `1h`.
";

/// What takes effect at a start only.
const AT_START: &[&str] = &["server.listen", "server.tls", "server.auth", "server.metrics", "state_dir", "accounts"];

/// A group of keys: the heading, the definition in the schema, and the path before its keys.
type Group = (Cow<'static, str>, &'static str, Cow<'static, str>);

/// The groups before those of the drivers.
const GROUPS: &[(&str, &str, &str)] = &[
    ("The file", "", ""),
    ("server", "Server", "server."),
    ("accounts", "Account", "accounts[]."),
    ("defaults", "Defaults", "defaults."),
    ("nodes", "Node", "nodes[]."),
    ("watts, of a node", "Watts", "nodes[].watts."),
    ("graceful, of a node", "Graceful", "nodes[].graceful."),
    ("http, of graceful", "Hook", "nodes[].graceful.http."),
];

/// The groups behind those of the drivers.
const INVENTORY: &[(&str, &str, &str)] = &[
    ("inventory, of a node", "Inventory", "nodes[].inventory."),
    ("processors, of an inventory", "Processor", "nodes[].inventory.processors[]."),
    ("drives, of an inventory", "Drive", "nodes[].inventory.drives[]."),
];

fn groups() -> Vec<Group> {
    let fixed = |(heading, name, path): &(&'static str, &'static str, &'static str)| {
        (Cow::from(*heading), *name, Cow::from(*path))
    };
    let of_driver = |driver: &&dyn Driver| {
        let (key, (name, _)) = (driver.section().key, driver.groups()[0]);
        (format!("{key}, of a node").into(), name, format!("nodes[].{key}.").into())
    };
    let of_drivers = DRIVERS.iter().map(of_driver);
    GROUPS.iter().map(fixed).chain(of_drivers).chain(INVENTORY.iter().map(fixed)).collect()
}

fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// The words of an enumeration, if this is one.
fn words(of: &Value) -> Option<Vec<String>> {
    let consts = of["oneOf"].as_array().map(|all| all.iter().map(|one| &one["const"]).collect::<Vec<_>>());
    let all = consts.or_else(|| of["enum"].as_array().map(|all| all.iter().collect()))?;
    let words: Option<Vec<String>> = all.iter().map(|word| word.as_str().map(|word| format!("`{word}`"))).collect();
    words.filter(|words| !words.is_empty())
}

/// What may stand under a key.
fn kind(schema: &Value, property: &Value) -> String {
    if property["items"].is_object() {
        return match kind(schema, &property["items"]).as_str() {
            "group" => "list of groups".into(),
            item => format!("list of {item}"),
        };
    }
    let name = property["$ref"].as_str().map(|name| name.trim_start_matches("#/$defs/"));
    match name {
        Some("Secret") => "secret".into(),
        Some("Time") => "time".into(),
        Some("Mac") => "hardware address".into(),
        Some("Label") => "text".into(),
        Some("Tls") => "`{ certificate: PATH, key: PATH }` or `{ self_signed: true }`".into(),
        Some("AmtTls") => "`off`, `verify`, `insecure` or `{ pin: \"sha256:...\" }`".into(),
        Some(name) => match words(&schema["$defs"][name]) {
            Some(words) => words.join(", "),
            None => "group".into(),
        },
        None => {
            let range = match (&property["minimum"], &property["maximum"]) {
                (Value::Number(least), Value::Number(most)) => format!(" from {least} to {most}"),
                _ => String::new(),
            };
            let word = match property["type"].as_str() {
                Some("string") => "text",
                Some("boolean") => "`true` or `false`",
                Some("integer") => "whole number",
                Some("number") => "number",
                _ => "see the schema",
            };
            format!("{word}{range}")
        }
    }
}

fn reference() -> String {
    let schema = schema::schema();
    let schema: Value = serde_json::to_value(schema).unwrap();
    let mut page = HEAD.to_owned();
    for (heading, name, path) in groups() {
        let group = if name.is_empty() { &schema } else { &schema["$defs"][name] };
        let required: Vec<&str> =
            group["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        write!(page, "\n## {heading}\n\n| key | value | default | description |\n| --- | --- | --- | --- |\n").unwrap();
        for (key, property) in group["properties"].as_object().unwrap() {
            let default = match &property["default"] {
                Value::Null if required.contains(&key.as_str()) => "required".into(),
                Value::Null => String::new(),
                Value::String(text) => format!("`{text}`"),
                other => format!("`{other}`"),
            };
            let start = if AT_START.contains(&format!("{path}{key}").as_str()) { " *(start)*" } else { "" };
            let about = property["description"].as_str().unwrap_or_default();
            assert!(!about.is_empty(), "{path}{key} is not described");
            let (kind, about) = (cell(&kind(&schema, property)), cell(about));
            writeln!(page, "| `{path}{key}`{start} | {kind} | {default} | {about} |").unwrap();
        }
    }
    page
}

#[test]
fn the_reference_says_what_the_schema_says() {
    let page = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    let written = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "docs/configuration.md is not what the schema says: UPDATE_DOCS=1 cargo test reference");
}
