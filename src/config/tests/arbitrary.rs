//! Whatever is in the file, the loader says something and lives.

use proptest::prelude::*;

use super::*;
use crate::config::load;

/// Pieces that a YAML parser cares about, and words of ours.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "nodes",
        "id",
        "tapo",
        "address",
        "password",
        "env",
        "server",
        "listen",
        "defaults",
        "a",
        "5",
        "1e9",
        "-1",
        "true",
        "null",
        "~",
        "15s",
        "\"",
        "'",
        ":",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&x ",
        "*x",
        "!t ",
        "|\n",
        ">\n",
        "#",
        "\t",
        "<<: ",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "\u{0}",
        "\u{feff}",
        "?",
        "@",
        "\\",
        ".inf",
        ".nan",
        "18446744073709551615",
        "99999999999999999999999",
    ];
    prop::sample::select(words.to_vec()).prop_map(String::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes.yaml");
        std::fs::write(&path, bytes).unwrap();
        if let Err(found) = load(&path, &|_| None) {
            prop_assert!(!found.problems.is_empty());
        }
    }

    #[test]
    fn any_text_of_yaml_pieces(pieces in prop::collection::vec(piece(), 0..60)) {
        if let Err(found) = read(&pieces.concat()) {
            prop_assert!(!found.problems.is_empty());
        }
    }

    /// The example with a piece changed: mostly YAML still, so that the deeper rules are reached.
    #[test]
    fn the_example_with_something_changed(at in any::<prop::sample::Index>(), length in 0usize..40, piece in piece()) {
        let text = include_str!("../../../nodes.yaml");
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        let mut text = lines.join("\n").into_bytes();
        let from = at.index(text.len());
        let to = (from + length).min(text.len());
        text.splice(from..to, piece.into_bytes());
        match read(&String::from_utf8_lossy(&text)) {
            Ok(_) => {}
            Err(found) => {
                prop_assert!(!found.problems.is_empty());
                let lines = text.iter().filter(|byte| **byte == b'\n').count() + 2;
                prop_assert!(found.problems.iter().all(|problem| problem.line.is_none_or(|line| line <= lines)), "{found}");
            }
        }
    }
}

#[test]
fn deep_and_repetitive_texts_are_refused_in_time() {
    let deep = format!("nodes: {}", "[".repeat(2000));
    assert!(read(&deep).is_err());
    let deep = format!("nodes: {}{}", "[".repeat(1000), "]".repeat(1000));
    assert!(read(&deep).is_err());
    let mut laughs = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (n, name) in ["b", "c", "d", "e", "f", "g", "h", "i"].into_iter().enumerate() {
        let before = ["a", "b", "c", "d", "e", "f", "g", "h"][n];
        laughs += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(", "));
    }
    let said = read(&laughs).unwrap_err().to_string();
    assert!(said.contains("repetition limit"), "{said}");
}
