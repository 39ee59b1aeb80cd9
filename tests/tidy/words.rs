//! Words that may not come back: the field has its own for each of them (glossary at the top of `src/lib.rs`).

use std::fs;
use std::path::{Path, PathBuf};

/// Not in prose, code or messages. Components are not people.
const NOT_IN_PROSE: &[&str] = &["whoever", "nobody", "somebody", "anybody", "everybody", "anew"];

/// Not as names in `src`: with the name that took their place.
const NOT_AS_NAME: &[(&str, &str)] = &[
    ("Keeper", "Supervisor"),
    ("Fallen", "Crashed"),
    ("Surroundings", "NodeContext, Environment"),
    ("Happening", "EventKind"),
    ("Unsettled", "OutstandingActions"),
    ("Findings", "ScanResult"),
    ("Abilities", "Capabilities"),
    ("AboutDevice", "DeviceIdentity"),
    ("Inbox", "WriteQueue"),
    ("Rescue", "Recovery"),
    ("Aside", "Quarantine"),
    ("Ledger", "Manifest, RequestLog"),
    ("Rehearsal", "TestStore"),
    ("Restrained", "Backpressured"),
    ("Guesses", "Throttle"),
    ("Errand", "RequestContext"),
    ("Recipe", "ClientConfig"),
    ("Tally", "RequestGuard"),
    ("Tape", "ExchangeLog"),
    ("DeviceMeters", "DeviceMetrics"),
    ("Unspoken", "UnsupportedProtocol"),
    ("Unproven", "LoginUnconfirmed"),
    ("Disproved", "ProofMismatch"),
    ("Garbled", "InvalidResponse"),
    ("Patience", "RetryBudget"),
    ("Grow", "TreeBuilder"),
    ("Lacking", "MissingDefault"),
    ("Wires", "DeviceRegistry"),
    ("Knock", "AuthRequest"),
    ("Desk", "RequestScope"),
    ("Station", "SimDevice"),
    ("Trick", "WsmanFault"),
];

/// Folders whose files are all read.
const WHOLE: &[&str] = &[".ci/", ".github/", "packaging/"];

/// File names outside of these folders that are read: code, scripts and pages. A script without an extension is known by
/// its first line.
const KINDS: &[&str] = &["rs", "py", "js", "mjs", "sh", "md"];

/// This list itself.
const OWN: &str = "tests/tidy/words.rs";

/// Whether the words of this file are checked. Input of the fuzzer, golden files and the texts of others are not.
fn is_read(file: &str, text: &str) -> bool {
    let name = Path::new(file);
    let kind = name.extension().and_then(|kind| kind.to_str());
    if file == OWN || file.contains("/seeds/") {
        return false;
    }
    if WHOLE.iter().any(|folder| file.starts_with(folder)) || file == "nodes.yaml" {
        return true;
    }
    match kind {
        Some("md") => !file.starts_with("tests/") || name.ends_with("README.md"),
        Some(kind) => KINDS.contains(&kind),
        None => text.starts_with("#!"),
    }
}

/// The texts of a source tree whose words are checked, by their path in it.
pub fn texts(root: &Path) -> Vec<(String, String)> {
    let mut folders: Vec<PathBuf> =
        [".ci", ".github", "docs", "packaging", "src", "tests"].iter().map(|folder| root.join(folder)).collect();
    let mut files: Vec<PathBuf> =
        ["README.md", "CHANGELOG.md", "nodes.yaml"].iter().map(|file| root.join(file)).collect();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            match path.file_name().and_then(|name| name.to_str()) {
                Some("target" | "node_modules") => {}
                _ if path.is_dir() => folders.push(path),
                _ => files.push(path),
            }
        }
    }
    files.sort();
    let name = |path: &Path| path.strip_prefix(root).unwrap().display().to_string().replace('\\', "/");
    let read = files.iter().filter_map(|path| Some((name(path), fs::read_to_string(path).ok()?)));
    read.filter(|(file, text)| is_read(file, text)).collect()
}

/// What is wrong with the words of a file.
pub fn wrong(file: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words = || line.split(|c: char| !c.is_alphanumeric() && c != '_');
        for word in words() {
            if NOT_IN_PROSE.iter().any(|banned| word.eq_ignore_ascii_case(banned)) {
                wrong.push(format!("{file}:{number}: \"{word}\" has a plainer word"));
            }
            if let Some((_, instead)) =
                NOT_AS_NAME.iter().find(|(banned, _)| file.starts_with("src") && word == *banned)
            {
                wrong.push(format!("{file}:{number}: {word} is called {instead} here"));
            }
        }
    }
    wrong
}
