//! Structural checks: dependencies between rooms, file sizes, where a library may be used, banned words, and the
//! correctness of the README. They resolve every path that the sources name, so that no spelling hides one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that is wrong may fall over")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/words.rs"]
mod words;

/// Lines of a source file. Above this it is more than one thing.
const LINES_MAX: usize = 500;

/// Each room with the rooms it may name. What is not listed may not be named.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("durable", &[]),
    ("telemetry", &["text"]),
    ("account", &["clock", "durable"]),
    ("recorder", &["clock"]),
    ("files", &[]),
    ("text", &[]),
    ("node", &["clock", "durable", "telemetry"]),
    ("reader", &["account", "files", "node"]),
    ("driver", &["clock", "durable", "telemetry", "node", "reader", "recorder", "text"]),
    ("store", &["clock", "durable", "telemetry", "node", "account", "files"]),
    ("config", &["clock", "node", "account", "driver", "files", "reader"]),
    ("http", &["clock", "durable", "telemetry", "node", "account", "files"]),
    ("redfish", &["clock", "durable", "telemetry", "node", "account", "http", "recorder"]),
    ("page", &["clock", "node", "http", "redfish"]),
    ("sim", &["clock"]),
    (
        "daemon",
        &[
            "account",
            "clock",
            "config",
            "driver",
            "durable",
            "files",
            "http",
            "node",
            "page",
            "recorder",
            "redfish",
            "store",
            "telemetry",
        ],
    ),
    (
        "cli",
        &[
            "account",
            "clock",
            "config",
            "daemon",
            "driver",
            "files",
            "http",
            "node",
            "reader",
            "sim",
            "store",
            "telemetry",
            "text",
        ],
    ),
    (
        "testing",
        &[
            "account",
            "cli",
            "clock",
            "config",
            "daemon",
            "driver",
            "durable",
            "http",
            "node",
            "reader",
            "redfish",
            "sim",
            "store",
            "telemetry",
        ],
    ),
    ("lib", &[]),
    ("main", &[]),
];

/// Paths that may be named only in the files that begin so, and why there.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("sled", &["src/store/tree.rs"]),
    ("serde_yaml", &["src/config/load.rs"]),
    ("std::time::SystemTime::now", &["src/clock.rs"]),
    ("std::time::Instant::now", &["src/clock.rs"]),
    ("tokio::time::Instant::now", &["src/clock.rs"]),
    ("jiff::Timestamp::now", &["src/clock.rs"]),
    ("jiff::Zoned::now", &["src/clock.rs"]),
    ("rand", &["src/clock.rs"]),
    // securePassthrough only, on both sides of the wire; a key is made of the library's own source of randomness.
    ("rsa", &["src/driver/tapo/passthrough", "src/sim/tapo/"]),
    // Threads of the store's own, which wait for a lock or a slow disk and hold up no actor.
    ("std::thread::sleep", &["src/clock.rs", "src/store/disk.rs", "src/store/state_dir.rs", "src/store/tree.rs"]),
];

/// A driver owns itself: beside its folder, only these name one. The demonstration and the facade of the tests know both sides
/// of a wire.
const NAME_DRIVERS: &[&str] = &["src/driver/mod.rs", "src/cli/demo.rs", "src/testing.rs"];

/// What the core must not know of.
const NOT_IN_NODE: &[&str] = &[
    "actix_web",
    "reqwest",
    "serde_json",
    "serde_yaml",
    "sled",
    "std::fs",
    "std::net",
    "std::process",
    "tokio::fs",
    "tokio::net",
    "tokio::process",
];

fn files(dir: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join(dir), &mut found);
    found.sort();
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
    let read: Vec<_> = found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect();
    assert!(!read.is_empty(), "no sources in {dir}");
    read
}

/// `src/node/fsm/mod.rs` is of the room `node`.
fn room(file: &str) -> &str {
    let inner = file.strip_prefix("src/").unwrap_or(file);
    inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs")
}

/// What is wrong with the paths that a file names: rooms that its own may not name, and what belongs elsewhere.
fn misplaced(file: &str, text: &str) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = MAY_NAME.iter().copied().collect();
    let own = room(file);
    let may = allowed.get(own).unwrap_or_else(|| panic!("{file}: the room {own} is not in the list"));
    let lines = without_tests(text).lines().count();
    let mut wrong = Vec::new();
    for path in paths::named(file, text) {
        let written = path.path.join("::");
        let mut say = |what: &str| wrong.push(format!("{file}:{}: {written}: {what}", path.line));
        if own != "main" {
            match path.room() {
                Some("*") => say("names every room at once"),
                Some(other) if other != own && allowed.contains_key(other) && !may.contains(&other) => {
                    say(&format!("{own} may not name {other}"));
                }
                _ => {}
            }
        }
        if own == "node" && NOT_IN_NODE.iter().any(|word| path.is_within(word)) {
            say("the core knows no HTTP, no sockets, no files and no formats");
        }
        let in_test = is_test(file) || path.line > lines;
        if let ["crate", "driver", driver, ..] = path.path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            let home = format!("src/driver/{driver}/");
            let is_driver = Path::new(env!("CARGO_MANIFEST_DIR")).join(&home).join("mod.rs").exists();
            if is_driver && !in_test && !file.starts_with(&home) && !NAME_DRIVERS.contains(&file) {
                say("a driver is named in its folder and in the list of drivers");
            }
        }
        for (word, homes) in ONLY_IN.iter().filter(|(word, _)| !in_test && path.is_within(word)) {
            if !homes.iter().any(|home| file.starts_with(home)) {
                say(&format!("{word} belongs into {}", homes.join(" or ")));
            }
        }
    }
    wrong
}

fn is_test(file: &str) -> bool {
    file.contains("/tests/") || file.contains("_tests.rs") || file.contains("tests.rs")
}

/// The part of a file before its tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

#[test]
fn every_path_leads_where_it_may() {
    let wrong: Vec<String> = files("src").iter().flat_map(|(file, text)| misplaced(file, text)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The banned words in every text of a source tree.
fn wrong_words(root: &Path) -> Vec<String> {
    words::texts(root).iter().flat_map(|(file, text)| words::wrong(file, text)).collect()
}

#[test]
fn words_are_those_of_the_field() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wrong = wrong_words(root);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(words::wrong("src/node/mod.rs", concat!("/// No", "body sees it.\nstruct Keeper;")).len(), 2);
    let read: Vec<String> = words::texts(root).into_iter().map(|(file, _)| file).collect();
    for file in PLANTED.iter().chain(&["src/lib.rs", "CHANGELOG.md", "nodes.yaml", "tests/tidy.rs"]) {
        assert!(read.iter().any(|name| name == file), "{file} is not read");
    }
    assert!(!read.iter().any(|name| name.contains("/seeds/")), "input of the fuzzer is not prose");
}

/// One file of each kind that is read for banned words.
const PLANTED: &[&str] = &[
    ".ci/run",
    ".github/SECURITY.md",
    "README.md",
    "docs/security.md",
    "packaging/deb",
    "packaging/debian/postinst",
    "packaging/grafana/plugfish.json",
    "packaging/kubernetes/base/deployment.yaml",
    "packaging/plugfish.service",
    "packaging/prometheus/rules.yaml",
    "src/main.rs",
    "tests/bench/load.rs",
    "tests/fixtures/sim/README.md",
    "tests/foreign/README.md",
    "tests/foreign/page_walk.js",
    "tests/foreign/systemd",
    "tests/foreign/systemd_checks",
    "tests/foreign/tapo_clients.py",
    "tests/sim/mutate",
];

/// A banned word in any of these files is found, with its line.
#[test]
fn a_planted_word_is_found() {
    let tree = tempfile::tempdir().unwrap();
    for file in PLANTED {
        let path = tree.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, concat!("#!/bin/sh\n# for any", "body\n")).unwrap();
    }
    let found = wrong_words(tree.path());
    for file in PLANTED {
        assert!(found.iter().any(|wrong| wrong.starts_with(&format!("{file}:2: "))), "{file}: nothing is found");
    }
    assert_eq!(found.len(), PLANTED.len(), "{found:?}");
}

#[test]
fn every_file_says_what_it_is_for_and_is_one_thing() {
    let mut wrong = Vec::new();
    for (file, text) in files("src").into_iter().chain(files("tests")) {
        if !text.starts_with("//!") {
            wrong.push(format!("{file}: does not open with //!"));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{file}: {lines} lines, {LINES_MAX} are the most"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The commands in the fenced blocks of a page, one line each.
fn commands(page: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let mut inside = false;
    let mut found: Vec<String> = Vec::new();
    for line in text.replace("\\\n", " ").lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside && line.trim_start().starts_with("```console");
        } else if inside && !line.trim().is_empty() {
            found.push(line.trim().to_owned());
        }
    }
    found
}

/// README.md and the pages beside it.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap();
    let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    pages.sort();
    pages.insert(0, "README.md".into());
    pages
}

#[test]
fn every_page_is_reached_from_the_readme_and_leads_to_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(root.join(&page)).unwrap();
        let folder = root.join(&page).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            if !folder.join(link).exists() {
                wrong.push(format!("{page} leads to {link}, which is not there"));
            }
        }
        if page != "README.md" && !fs::read_to_string(root.join("README.md")).unwrap().contains(&format!("]({page})")) {
            wrong.push(format!("README.md does not lead to {page}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_message_that_is_explained_is_one_that_is_said() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md");
    let sources = files("src");
    let mut tried = 0;
    for line in fs::read_to_string(page).unwrap().lines() {
        let Some((message, _)) = line.strip_prefix("| `").and_then(|rest| rest.split_once("` |")) else { continue };
        assert!(sources.iter().any(|(_, text)| without_tests(text).contains(message)), "nothing says: {message}");
        tried += 1;
    }
    assert!(tried > 20, "only {tried} messages found");
}

#[test]
fn every_plugfish_command_of_the_pages_exists() {
    use clap::Parser;
    let mut tried = 0;
    for command in pages().iter().flat_map(|page| commands(page)) {
        // What a shell does with the output is its own business.
        let typed = command.split(" > ").next().unwrap_or(&command);
        let words: Vec<&str> = typed.split_whitespace().skip_while(|word| word.contains('=')).collect();
        let typed = match words.as_slice() {
            ["plugfish", rest @ ..] => rest,
            ["cargo", "run", "--release", "--", rest @ ..] => rest,
            _ => continue,
        };
        let parsed = plugfish::cli::Cli::try_parse_from(std::iter::once(&"plugfish").chain(typed));
        assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
        tried += 1;
    }
    assert!(tried >= 10, "only {tried} commands found");
    assert_eq!(commands("README.md").iter().filter(|command| *command == "cargo test").count(), 1);
}

/// Code that moved leaves mutations behind that break nothing any more.
#[test]
fn every_mutation_of_the_simulation_still_applies() {
    let check = std::process::Command::new("tests/sim/mutate").arg("--check").output().unwrap();
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "put the patches in tests/sim/mutations right: {said}");
}

/// Each of these was once green.
#[test]
fn the_checks_can_fail() {
    let planted = [
        ("src/node/fsm/orders.rs", "use super::super::super::store::Store;"),
        ("src/redfish/systems.rs", "use crate::{\n    clock,\n    driver::{\n        amt,\n    },\n};"),
        ("src/node/actor.rs", "fn f() { tokio::net::TcpStream::connect(()); }"),
        ("src/node/actor.rs", "use tokio::{fs, time};"),
        ("src/http/ops.rs", "use jiff::Timestamp;\nfn f() { Timestamp::now(); }"),
        ("src/redfish/body.rs", "fn f() -> u8 { rand::random() }"),
        ("src/driver/http.rs", "use std::thread;\nfn f() { thread::sleep(d); }"),
        ("src/store/mod.rs", "use sled as db;"),
        ("src/store/mod.rs", "use sled as db;\nfn f() { db::open(p); }"),
        ("src/driver/tapo/plug.rs", "fn f() { let x = crate::sim::Rack::start(); }"),
        ("src/driver/tapo/plug.rs", "fn f() { println!(\"{}\", plugfish::sim::NAME); }"),
        ("src/http/auth/mod.rs", "mod inner { use super::super::super::store::Store; }"),
        ("src/page/mod.rs", "use crate::*;"),
        ("src/clock.rs", "pub use self::super::node::NodeId;"),
        ("src/config/mod.rs", "use std::time;\nfn f() { time::Instant::now(); }"),
        ("src/driver/amt/mod.rs", "fn f() { rsa::RsaPrivateKey::new(); }"),
        ("src/config/nodes.rs", "use crate::driver::{DRIVERS, tapo::TapoConfig};"),
        ("src/driver/registry.rs", "fn f() { super::amt::AmtMachine::new(); }"),
        ("src/driver/tapo/plug.rs", "use super::super::amt::AmtConfig;"),
    ];
    for (file, text) in planted {
        assert!(!misplaced(file, text).is_empty(), "{file}: nothing is said of {text}");
    }
    let fine = [
        ("src/node/fsm/orders.rs", "use super::super::device::Order;\nuse crate::clock::Now;"),
        ("src/store/tree.rs", "use sled as db;\nfn f() { db::open(p); }"),
        ("src/driver/tapo/plug.rs", "fn f() { self.rand.sim(); x.store(1); let sim = 3; }"),
        ("src/http/ops.rs", "// crate::driver\n/// crate::store\nfn f() -> impl Sized + use<'a> { \"crate::sim\" }"),
    ];
    for (file, text) in fine {
        assert_eq!(misplaced(file, text), Vec::<String>::new());
    }
    assert_eq!(room("src/node/fsm/mod.rs"), "node");
    assert_eq!(room("src/daemon.rs"), "daemon");
}
