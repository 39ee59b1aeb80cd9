//! Laws that hold for every file: the loader does not fall over, what it says can be shown, and what it lets pass is sound.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{inventory, nodes, power, service, values};
use super::*;
use crate::driver::DRIVERS;
use crate::reader::login::LOGIN;
use crate::reader::secret;

/// What must hold of any file.
fn holds(bytes: &[u8]) -> Result<(), TestCaseError> {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    match Fake::default().file("nodes.yaml", bytes).load() {
        Ok(loaded) => {
            let nodes = &loaded.config.nodes;
            let ids: HashSet<_> = nodes.iter().map(|node| &node.id).collect();
            prop_assert_eq!(ids.len(), nodes.len());
            prop_assert!(!nodes.is_empty() && !loaded.config.server.listen.is_empty());
            for timings in nodes.iter().map(|node| &node.timings) {
                prop_assert!(values::POLL_INTERVAL.contains(&timings.poll_interval));
                prop_assert!(values::OFF_DWELL.contains(&timings.off_dwell));
                prop_assert!(values::COMMAND_DEADLINE.contains(&timings.command_deadline));
            }
        }
        Err(problems) => {
            prop_assert!(!problems.problems.is_empty());
            prop_assert_eq!(problems.to_string().lines().count(), problems.problems.len());
            for problem in &problems.problems {
                prop_assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem:?}");
                prop_assert!(!problem.text.is_empty());
            }
        }
    }
    Ok(())
}

/// Words and signs of which texts are made that are nearly YAML.
const PIECES: [&str; 46] = [
    "\n", "\n", "\n  ", "\n    ", "\n- ", "\n  - ", "\t", " ", ": ", ": ", ":", "- ", "{ ", " }", "[", "]", ", ",
    "&a ", "*a", "!t ", "!!int ", "'", "\"", "\\", "|\n", ">-\n", "? ", "# ", "---\n", "...\n", "<<", "%", "@", "5",
    "15s", "~", "é", "\u{feff}", "\r\n", "\r", "\u{2028}", "nodes", "tapo", "address", "h", "id",
];

const KEYS: &[&[&str]] = &[
    service::FILE,
    service::SERVER,
    service::TLS,
    service::SELF_SIGNED,
    service::ACCOUNT,
    LOGIN,
    power::WATTS,
    power::GRACEFUL,
    power::HOOK,
    inventory::INVENTORY,
    inventory::PROCESSOR,
    inventory::DRIVE,
    secret::SECRET,
];

/// Trees with our keys and with values that may stand under them.
fn ours() -> impl Strategy<Value = Value> {
    let texts =
        ["", "h", "192.0.2.1:80", "15s", "none", "required", "a b", "x86-64", "00:5c:52:31:3a:9c", "127.0.0.1:0"];
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        (0..texts.len()).prop_map(move |index| json!(texts[index])),
        "\\PC*".prop_map(Value::from),
    ];
    let of_drivers = DRIVERS.iter().flat_map(|driver| driver.groups()).flat_map(|(_, keys)| keys.iter().copied());
    let keys: Vec<&str> =
        [nodes::defaults_keys(), nodes::node_keys(), KEYS.concat()].concat().into_iter().chain(of_drivers).collect();
    scalar.prop_recursive(6, 80, 8, move |inner| {
        let keys = keys.clone();
        let key = (0..keys.len()).prop_map(move |index| keys[index].to_owned());
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key, inner), 0..8).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..300)) {
        holds(&bytes)?;
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        holds(text.as_bytes())?;
    }

    #[test]
    fn texts_that_are_nearly_yaml(pieces in vec(0..PIECES.len(), 0..60)) {
        let text: String = pieces.iter().map(|index| PIECES[*index]).collect();
        holds(text.as_bytes())?;
    }

    #[test]
    fn trees_of_our_keys(server in ours(), accounts in ours(), defaults in ours(), node in ours(), tapo in ours()) {
        let node = match node {
            Value::Object(mut node) => {
                node.insert("tapo".into(), tapo);
                Value::Object(node)
            }
            other => other,
        };
        let file = json!({ "server": server, "accounts": [accounts], "defaults": defaults, "nodes": [node] });
        let text = serde_yaml::to_string(&file).unwrap();
        holds(text.as_bytes())?;
    }

    #[test]
    fn the_example_with_a_slip_in_it(from in 0..3500usize, length in 0..40usize, piece in 0..PIECES.len()) {
        let mut bytes = include_bytes!("../../../nodes.yaml").to_vec();
        let from = from.min(bytes.len());
        let to = (from + length).min(bytes.len());
        bytes.splice(from..to, PIECES[piece].bytes());
        holds(&bytes)?;
    }
}

#[test]
fn a_problem_is_one_line_whatever_is_in_the_file() {
    check(
        "nodes:\n- id: a\n  tapo: { address: h, username: u, password: { env: \"a\\nb\\u001b[2J\" } }",
        &["3: nodes[0].tapo.password: the environment variable a\\nb\\u{1b}[2J is not set"],
    );
}
