//! Lines: every value is where the file has it, in every style of YAML.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::load::tree;
use super::*;
use crate::reader::tree::{Tree, Value};

/// All keys and items of a text with their lines: `a.0 2` is the first item under `a`, on line 2.
fn lines(text: &str) -> Vec<String> {
    fn walk(tree: &Tree, way: &str, found: &mut Vec<String>) {
        let mut go = |name: &str, child: &Tree| {
            let way = if way.is_empty() { name.to_owned() } else { format!("{way}.{name}") };
            let line = child.line.map_or("-".into(), |line| line.to_string());
            found.push(format!("{way} {line}"));
            walk(child, &way, found);
        };
        match &tree.value {
            Value::List(items) => items.iter().enumerate().for_each(|(index, item)| go(&index.to_string(), item)),
            Value::Map(entries) => entries.iter().for_each(|(key, value)| go(key, value)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    match tree(text, 10_000) {
        Ok(tree) => walk(&tree, "", &mut found),
        Err(problem) => panic!("{problem:?} in {text}"),
    }
    found
}

#[test]
fn every_style_of_yaml_has_its_lines() {
    for (text, expect) in [
        ("a: 1\nb: 2\n", vec!["a 1", "b 2"]),
        ("a: 1\r\n\r\nb: 2\r\n", vec!["a 1", "b 3"]),
        ("# first\n---\n\na:\n  # more\n  b: x\n...\n", vec!["a 4", "a.b 6"]),
        (
            "a:\n- x\n-\n  y\n- z: 1\n  w: 2\n-\n  z: 1\n",
            vec!["a 1", "a.0 2", "a.1 4", "a.2 5", "a.2.z 5", "a.2.w 6", "a.3 8", "a.3.z 8"],
        ),
        ("a: [x,\n  y, {z: 1,\n  w: 2}]\nb: {}\n", vec!["a 1", "a.0 1", "a.1 2", "a.2 2", "a.2.z 2", "a.2.w 3", "b 4"]),
        ("{a: 1, b: {c: [1, 2]}}", vec!["a 1", "b 1", "b.c 1", "b.c.0 1", "b.c.1 1"]),
        ("a: |\n  b: 1\n  c: 2\nd: >-\n\n  e\ne: 5\n", vec!["a 1", "d 4", "e 7"]),
        ("a: one\n  two\n  three\nb: \"x\n\n  y\"\nc: 'x: 1'\n", vec!["a 1", "b 4", "c 7"]),
        ("'a': 1\n\"b\": 2\n? c\n: 3\n5: x\ntrue: y\n", vec!["a 1", "b 2", "c 3", "5 5", "true 6"]),
        ("a:\nb: ~\nc: null\nd:\n  - \n  - x\n", vec!["a 1", "b 2", "c 3", "d 4", "d.0 5", "d.1 6"]),
        // What an alias repeats is where it was written first.
        (
            "a: &x\n  b: 1\nc: *x\nd: [*x, *x]\n",
            vec!["a 1", "a.b 2", "c 3", "c.b 2", "d 4", "d.0 2", "d.0.b 2", "d.1 2", "d.1.b 2"],
        ),
        ("a: &x 1\nb:\n- *x\n", vec!["a 1", "b 2", "b.0 1"]),
        (
            "a: !t\n  b: 1\nc: !u [x]\nd: !v w\ne:\n- !v w\n- !!str 5\n",
            vec!["a 1", "c 3", "d 4", "e 5", "e.0 6", "e.1 7"],
        ),
        // Nothing in an empty collection has a line.
        ("a:\n- {}\n- []\n- x\n", vec!["a 1", "a.0 -", "a.1 -", "a.2 4"]),
        ("a:\n- [[x]]\n- - y\n  - z\n", vec!["a 1", "a.0 2", "a.0.0 2", "a.0.0.0 2", "a.1 3", "a.1.0 3", "a.1.1 4"]),
        ("? {x: 1}\n: y\n? [z]\n: w\nb: 5\n", vec!["? 1", "? 3", "b 5"]),
        // A key may look like the error that carries the line.
        ("\", line: 9, column: 9)\":\n  b: 1\n", vec![", line: 9, column: 9) 1", ", line: 9, column: 9).b 2"]),
    ] {
        assert_eq!(lines(text), expect, "{text}");
    }
}

/// What stands in a generated text.
#[derive(Clone, Debug)]
enum Part {
    Scalar(usize),
    List(Vec<Part>, Style),
    Map(Vec<Part>, Style),
}

/// How a collection is written.
#[derive(Clone, Copy, Debug)]
struct Style {
    flow: bool,
    /// Flow: one part a line. Block: an empty line and a comment before every part.
    airy: bool,
}

/// Texts of one line that need no end, and some of several.
const SCALARS: [&str; 6] = ["x", "'a # b: [c]'", "\"d\\n\"", "12", "~", "two words"];

fn part() -> impl Strategy<Value = Part> {
    let style = || (any::<bool>(), any::<bool>()).prop_map(|(flow, airy)| Style { flow, airy });
    (0..SCALARS.len()).prop_map(Part::Scalar).prop_recursive(4, 40, 4, move |inner| {
        prop_oneof![
            (vec(inner.clone(), 0..4), style()).prop_map(|(parts, style)| Part::List(parts, style)),
            (vec(inner, 0..4), style()).prop_map(|(parts, style)| Part::Map(parts, style)),
        ]
    })
}

/// Writes parts and remembers on which lines.
#[derive(Default)]
struct Writer {
    text: String,
    lines: Vec<String>,
}

impl Writer {
    fn line(&self) -> usize {
        self.text.matches('\n').count() + 1
    }

    fn child(way: &str, name: &str) -> String {
        if way.is_empty() { name.to_owned() } else { format!("{way}.{name}") }
    }

    /// Everything behind `key:` or `-`, up to the end of the line. Returns the line of the first thing in it.
    fn write(&mut self, part: &Part, way: &str, indent: usize, in_flow: bool) -> Option<usize> {
        let (parts, style, is_map) = match part {
            Part::Scalar(index) => {
                let line = self.line();
                self.text += SCALARS[*index];
                return Some(line);
            }
            Part::List(parts, style) => (parts, style, false),
            Part::Map(parts, style) => (parts, style, true),
        };
        let flow = in_flow || style.flow || parts.is_empty();
        if flow {
            self.text += if is_map { "{" } else { "[" };
        }
        let mut first = None;
        for (index, part) in parts.iter().enumerate() {
            let apart = if flow { " ".repeat(indent + 1) } else { " ".repeat(indent) };
            match (flow, style.airy) {
                (true, false) => {}
                (true, true) => self.text += &format!("\n{apart}"),
                (false, false) => self.text += &format!("\n{apart}"),
                (false, true) => self.text += &format!("\n\n# k: [v\n{apart}"),
            }
            let name = if is_map { format!("k{index}") } else { index.to_string() };
            let way = Writer::child(way, &name);
            let place = self.lines.len();
            self.lines.push(String::new());
            let key_line = self.line();
            self.text += if is_map {
                format!("{name}: ")
            } else if flow {
                String::new()
            } else {
                "- ".into()
            }
            .as_str();
            let inner = self.write(part, &way, indent + 2, flow);
            let line = if is_map { Some(key_line) } else { inner };
            self.lines[place] = format!("{way} {}", line.map_or("-".into(), |line| line.to_string()));
            first = first.or(if index == 0 { line } else { None });
            if flow {
                self.text += ", ";
            }
        }
        if flow {
            self.text += if is_map { "}" } else { "]" };
        }
        first
    }
}

proptest! {
    #[test]
    fn whatever_is_written_has_the_line_on_which_it_was_written(part in part()) {
        let mut writer = Writer::default();
        writer.write(&part, "", 0, false);
        writer.text += "\n";
        prop_assert_eq!(lines(&writer.text), writer.lines, "{}", writer.text);
    }
}

#[test]
fn what_is_no_yaml_is_told_with_its_line() {
    for (text, expect) in [
        (
            "a: [",
            "1: this is not YAML: did not find expected node content at line 2 column 1, while parsing a flow node",
        ),
        ("a: 1\nb: 2: 3\n", "2: this is not YAML: mapping values are not allowed in this context at line 2 column 5"),
        (
            "a:\n\tb: 1\n",
            "2: this is not YAML: found character that cannot start any token at line 2 column 1, while \
                          scanning for the next token; indent with spaces, not with tabs",
        ),
        ("a: *x\n", "1: this is not YAML: unknown anchor at line 1 column 4"),
        ("a: 1\n---\nb: 2\n", "there is a second document after `---`; one file is one configuration"),
        ("a: !!int x\n", "1: a value does not fit the tag (!!...) before it; leave the tag out"),
    ] {
        check(text, &[expect]);
    }
}

#[test]
fn ends_of_lines_that_editors_do_not_count_are_told_of() {
    for (text, expect) in [
        ("a: 1\r\nb: 2\rc: 3", "2: there is a U+000D in this line"),
        ("\ra: 1", "1: there is a U+000D in this line"),
        ("a: 1\r", "1: there is a U+000D in this line"),
        ("# x\u{2028}\nb: 2", "1: there is a U+2028 in this line"),
        ("a: 1\nb: '\u{2029}'", "2: there is a U+2029 in this line"),
        ("a: \"\u{85}\"", "1: there is a U+0085 in this line"),
    ] {
        check(text, &[&format!("{expect}, which YAML takes for the end of the line; take it out")]);
    }
    check(
        "a: \"\\u2028\"",
        &[
            "nodes: is missing; it must be the list of nodes",
            "1: a: unknown key; known here: server, state_dir, accounts, defaults, nodes",
        ],
    );
}

#[test]
fn aliases_do_not_grow_without_bounds() {
    let wide = format!("a: &a [{}]\nb: [{}]\n", "x, ".repeat(100), "*a, ".repeat(100));
    let problem = |values_max| tree(&wide, values_max).err().map(|problem| (problem.line, problem.text));
    // The lists, their keys, what is in the first one, and a hundred times all of it in the second.
    let all = 1 + 4 + 100 + 100 * 101;
    assert_eq!(problem(all), None);
    let text = "there are more values in this file than 20,000 nodes need";
    assert_eq!(problem(all - 1).map(|(_, said)| said), Some(text.into()));
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..9 {
        let before = vec![format!("*a{}", n - 1); 8].join(", ");
        bomb += &format!("a{n}: &a{n} [{before}]\n");
    }
    check(&bomb, &["aliases (*name) repeat too much"]);
    let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    let too_deep = "1: lists and groups of keys lie too deep in each other";
    check(&deep, &[too_deep]);
    check("a: &a [*a, *a]", &[too_deep]);
}
