//! What would take the YAML parser a long time, found before it: for each word it looks at every list and group that is still
//! open, and for each tag directive at every other one.

use super::Problem;

/// Lists and groups in each other. A configuration has five.
const DEPTH_MAX: usize = 64;

/// Directives (`%YAML`, `%TAG`). A file has one, if any.
const DIRECTIVES_MAX: usize = 16;

/// What the scanner is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    Single,
    Double,
    Comment,
}

/// The line in which a text becomes deeper than a configuration is.
///
/// Brackets count where they can open something: as the first letter of a value, or inside of other brackets; not in
/// quotes, nor in comments. In a text block they count too, which none of our keys has.
pub(super) fn too_deep(text: &str) -> Option<Problem> {
    let (mut state, mut depth, mut line, mut directives) = (State::Plain, 0_usize, 1_usize, 0_usize);
    // The last letter that is not a space, and whether there was one between.
    let (mut before, mut spaced, mut escaped) = ('\n', false, false);
    for c in text.chars() {
        if c == '\n' {
            line += 1;
        }
        match state {
            State::Comment if c != '\n' => continue,
            State::Single | State::Double if c == '\n' => continue,
            State::Single => {
                // A quote in quotes is doubled: closed and opened again.
                if c == '\'' {
                    (state, before, spaced) = (State::Plain, ':', true);
                }
                continue;
            }
            State::Double => {
                match c {
                    _ if escaped => escaped = false,
                    '\\' => escaped = true,
                    '"' => (state, before, spaced) = (State::Plain, '"', false),
                    _ => {}
                }
                continue;
            }
            State::Plain | State::Comment => state = State::Plain,
        }
        let begins = match before {
            '\n' => true,
            '[' | '{' | ',' => depth > 0,
            ':' | '-' | '?' => spaced || depth > 0,
            _ => false,
        };
        match c {
            '\'' if begins => state = State::Single,
            '"' if begins => state = State::Double,
            '#' if spaced || before == '\n' => state = State::Comment,
            '%' if before == '\n' && !spaced => directives += 1,
            '[' | '{' if begins || depth > 0 => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX || directives > DIRECTIVES_MAX {
            let text = match depth > DEPTH_MAX {
                true => "lists and groups of keys lie too deep in each other",
                false => "there are too many directives (%) in this file",
            };
            return Some(Problem { path: String::new(), line: Some(line), text: text.into() });
        }
        match c {
            '\n' => (before, spaced) = ('\n', false),
            ' ' | '\t' => spaced = true,
            c => (before, spaced) = (c, false),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<usize> {
        too_deep(text).and_then(|problem| problem.line)
    }

    #[test]
    fn what_is_deep_is_found_wherever_it_begins() {
        let deep = "[".repeat(100);
        for (begin, at) in [
            ("", 1),
            ("a: ", 1),
            ("a:\n  - ", 2),
            ("a: [b, ", 1),
            ("a: it's\nb: ", 2),
            ("a: 'it''s'\nb: ", 2),
            ("a: \"\\\"\"\nb: ", 2),
            ("a: x #'\nb: ", 2),
            ("# '\n- ", 2),
            ("a: say 'hi\nb: ", 2),
            ("{ 'a':", 1),
            ("{ \"a\":", 1),
            ("a: &anchor\n  ", 2),
        ] {
            assert_eq!(line(&format!("{begin}{deep}")), Some(at), "{begin}");
        }
        assert_eq!(line(&"[\n".repeat(100)), Some(65));
        assert_eq!(line(&"{ a: ".repeat(100)), Some(1));
        assert_eq!(line(&"%TAG !a! b\n".repeat(100)), Some(17));
    }

    #[test]
    fn what_is_text_is_not_deep() {
        let texts = "[{".repeat(100);
        for text in [
            format!("a: '{texts}'"),
            format!("a: \"{texts}\""),
            format!("a: x{texts}"),
            format!("# {texts}"),
            format!("a: [\"{texts}\", '{texts}']"),
            "- { password: \"a[\" }\n".repeat(1000),
            "- { password: 'a{''[' }\n".repeat(1000),
            "- name: it's [here\n".repeat(1000),
            "- [a, [b, {c: d}]]\n".repeat(1000),
            "  % %\n".repeat(100),
        ] {
            assert_eq!(line(&text), None, "{}", text.chars().take(60).collect::<String>());
        }
    }
}
