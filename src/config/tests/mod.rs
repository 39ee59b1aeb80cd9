//! Tests of the configuration as a whole: what is said about which file, and on which line.

mod arbitrary;
mod good;
mod rules;
mod schema;

use std::path::Path;

use super::load::parse;
use super::{Config, ConfigProblems};

/// Reads a text as if it were `/etc/plugfish/nodes.yaml`, with an environment of its own.
fn read(text: &str) -> Result<Config, ConfigProblems> {
    let env = |name: &str| match name {
        "PASSWORD" => Some("from the environment".to_owned()),
        "NOTHING" => Some(String::new()),
        _ => None,
    };
    parse(text, Path::new("/etc/plugfish/nodes.yaml"), &env)
}

/// The problems of a text, one a line, without the name of the file: `12: nodes[1].id: ...`.
fn problems(text: &str) -> Vec<String> {
    match read(text) {
        Ok(_) => Vec::new(),
        Err(found) => found.to_string().lines().map(|line| line.replacen("/etc/plugfish/nodes.yaml:", "", 1)).collect(),
    }
}

/// Checks that a file has exactly these problems: each starts with the line and the way, and has the words after `|`.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let found = problems(text);
    let fits = |line: &str, expected: &str| {
        let mut parts = expected.split('|');
        let start = parts.next().unwrap_or_default();
        line.starts_with(start) && parts.all(|words| line.contains(words))
    };
    let all = found.len() == expected.len() && found.iter().zip(expected).all(|(line, expected)| fits(line, expected));
    assert!(all, "in\n{text}\nexpected\n{}\nbut there is\n{}", expected.join("\n"), found.join("\n"));
}

/// A file with one good node and these lines before it; the first of them is line 1.
fn with_node(lines: &str) -> String {
    format!("{lines}\nnodes: [{{ id: a, tapo: {{ address: plug, username: me, password: p }} }}]\n")
}

/// A file with one node, whose keys these lines are; the first of them is line 3.
fn node(lines: &str) -> String {
    let login = "defaults: { tapo: { username: me, password: p } }";
    let indented: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("{login}\nnodes:\n  -{}", indented.trim_start_matches("   "))
}
