//! Holds the house in order: who may know whom, how large a file may be, what may be used where, and that the words of
//! the README are true. It reads the sources as text, so that it fails before anything clever could hide.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that is wrong may fall over")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a source file. Above this it is more than one thing.
const LINES_MAX: usize = 500;

/// Each room with the rooms it may name. What is not listed may not be named.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("telemetry", &[]),
    ("account", &["clock"]),
    ("recorder", &["clock"]),
    ("node", &["clock", "telemetry"]),
    ("driver", &["clock", "telemetry", "node", "recorder"]),
    ("store", &["clock", "telemetry", "node", "account"]),
    ("config", &["clock", "node", "account"]),
    ("http", &["clock", "telemetry", "node", "account"]),
    ("redfish", &["clock", "telemetry", "node", "account", "http", "recorder"]),
    ("page", &["clock", "node", "http", "redfish"]),
    ("sim", &["clock"]),
    ("cli", &["clock", "telemetry", "config", "http", "daemon"]),
    (
        "daemon",
        &[
            "account",
            "cli",
            "clock",
            "config",
            "driver",
            "http",
            "node",
            "page",
            "recorder",
            "redfish",
            "sim",
            "store",
            "telemetry",
        ],
    ),
    ("lib", &[]),
    ("main", &[]),
];

/// Words that may stand only where it is said.
const ONLY_IN: &[(&str, &str)] = &[
    ("sled::", "src/store/tree.rs"),
    ("serde_yaml::", "src/config/load.rs"),
    ("SystemTime::now", "src/clock.rs"),
    ("Instant::now", "src/clock.rs"),
    ("rand::rng", "src/clock.rs"),
];

/// What the core must not know of.
const NOT_IN_NODE: &[&str] = &["actix_web", "reqwest", "serde_json", "sled", "std::fs", "std::net"];

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

/// `src/node/machine/mod.rs` is of the room `node`.
fn room(file: &str) -> &str {
    let inner = file.strip_prefix("src/").unwrap_or(file);
    inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs")
}

/// The rooms that a line names.
fn named(line: &str) -> Vec<String> {
    let words = line.split("crate::").skip(1).chain(line.split("plugfish::").skip(1));
    words
        .flat_map(|rest| {
            let list = rest.strip_prefix('{').map(|list| list.split('}').next().unwrap_or(list).to_owned());
            let list = list.unwrap_or_else(|| rest.to_owned());
            let name = |part: &str| part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            list.split(',').map(name).take(if rest.starts_with('{') { 99 } else { 1 }).collect::<Vec<String>>()
        })
        .filter(|name| !name.is_empty() && name.chars().next().is_some_and(char::is_lowercase))
        .collect()
}

fn is_test(file: &str) -> bool {
    file.contains("/tests/") || file.contains("_tests.rs") || file.contains("tests.rs")
}

/// The part of a file before its tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

#[test]
fn rooms_name_only_the_rooms_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_NAME.iter().copied().collect();
    let mut wrong = Vec::new();
    for (file, text) in files("src") {
        let own = room(&file);
        let may = allowed.get(own).unwrap_or_else(|| panic!("{file}: the room {own} is not in the list"));
        if own == "main" {
            continue;
        }
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for name in named(line).iter().filter(|name| *name != own && allowed.contains_key(name.as_str())) {
                if !may.contains(&name.as_str()) {
                    wrong.push(format!("{file}:{}: {own} names {name}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_knows_no_http_no_files_and_no_formats() {
    let mut wrong = Vec::new();
    for (file, text) in files("src/node") {
        for word in NOT_IN_NODE.iter().filter(|word| text.contains(**word)) {
            wrong.push(format!("{file}: {word}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn some_words_stand_in_one_file_only() {
    let mut wrong = Vec::new();
    for (file, text) in files("src").iter().filter(|(file, _)| !is_test(file)) {
        for (word, home) in ONLY_IN.iter().filter(|(_, home)| file != home) {
            let code = without_tests(text).lines().filter(|line| !line.trim_start().starts_with("//"));
            if code.clone().any(|line| line.contains(word)) {
                wrong.push(format!("{file}: {word} belongs into {home}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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

#[test]
fn the_checks_can_fail() {
    assert_eq!(named("use crate::{driver, store::Store};"), ["driver", "store"]);
    assert_eq!(named("    let x = crate::sim::Rack::start();"), ["sim"]);
    assert_eq!(named("use crate::node::NodeId;"), ["node"]);
    assert_eq!(room("src/node/machine/mod.rs"), "node");
    assert_eq!(room("src/daemon.rs"), "daemon");
}
