//! Parses a Python file of constants, `NAME = literal` line by line, without executing it.
//!
//! Supported are strings, numbers, `True`, `False`, `None`, lists, tuples and dictionaries. Any other statement is
//! skipped and reported with its line.

use std::iter::Peekable;
use std::str::CharIndices;

/// Deepest nesting of lists and dictionaries. Configurations have three levels.
const DEPTH_MAX: usize = 16;

/// Most values in a file: far more than machines that one emulator serves.
const VALUES_MAX: usize = 100_000;

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    /// `None`.
    None,
    /// `True` or `False`.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// Any other number, as written.
    Number(String),
    /// A string, bytes included.
    Text(String),
    /// A list or a tuple.
    List(Vec<Literal>),
    /// A dictionary, in the order of the file.
    Map(Vec<(String, Literal)>),
}

impl Literal {
    /// The text of a string.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Literal::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A statement of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Statement {
    /// `NAME = literal`; without a name a literal that stands alone.
    Constant {
        /// The name; empty for a literal that stands alone.
        name: String,
        /// The line on which it begins.
        line: usize,
        /// Its value, or why it has none.
        value: Result<Literal, String>,
    },
    /// Any other statement.
    Other {
        /// The line on which it begins.
        line: usize,
    },
}

/// Reads a whole file.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let mut reader = Reader { text, chars: text.char_indices().peekable(), ends, values_left: VALUES_MAX };
    let mut found = Vec::new();
    while let Some(at) = reader.next_statement() {
        let (line, start) = (reader.line(at), reader.chars.clone());
        let name = reader.name();
        let value = match name.as_str() {
            "" => Some(reader.literal(0)),
            _ if reader.take_assignment() => Some(reader.literal(0)),
            _ => None,
        };
        let value =
            value.map(|value| value.and_then(|value| if reader.at_end() { Ok(value) } else { Err(reader.odd()) }));
        found.push(match value {
            Some(value) => Statement::Constant { name, line, value },
            None => Statement::Other { line },
        });
        reader.skip_statement(start);
    }
    found
}

struct Reader<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    /// Offsets of the ends of lines.
    ends: Vec<usize>,
    values_left: usize,
}

impl<'a> Reader<'a> {
    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    fn position(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn line(&self, at: usize) -> usize {
        self.ends.partition_point(|end| *end < at) + 1
    }

    fn rest(&mut self) -> &'a str {
        let at = self.position();
        self.text.get(at..).unwrap_or_default()
    }

    fn take(&mut self, wanted: char) -> bool {
        self.chars.next_if(|(_, c)| *c == wanted).is_some()
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some((_, c)) = self.chars.next_if(|(_, c)| wanted(*c)) {
            taken.push(c);
        }
        taken
    }

    /// Blanks, ends of lines and comments.
    fn skip_blanks(&mut self, over_lines: bool) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\u{feff}') || (over_lines && c == '\n'));
            if self.rest().starts_with("\\\n") {
                self.chars.nth(1);
            } else if self.peek() == Some('#') {
                self.take_while(|c| c != '\n');
            } else {
                return;
            }
        }
    }

    fn next_statement(&mut self) -> Option<usize> {
        loop {
            self.skip_blanks(true);
            if !self.take(';') {
                break;
            }
        }
        self.peek().map(|_| self.position())
    }

    /// A name at the beginning of a statement, unless it is the prefix of a string or a constant.
    fn name(&mut self) -> String {
        let name: String = self.rest().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let is_string = self.rest().get(name.len()..).is_some_and(|rest| rest.starts_with(['\'', '"']));
        let is_value =
            matches!(name.as_str(), "None" | "True" | "False") || name.starts_with(|c: char| c.is_ascii_digit());
        if is_string || is_value {
            return String::new();
        }
        self.take_while(|c| c.is_alphanumeric() || c == '_')
    }

    fn take_assignment(&mut self) -> bool {
        self.skip_blanks(false);
        self.rest().starts_with('=') && !self.rest().starts_with("==") && self.take('=')
    }

    fn at_end(&mut self) -> bool {
        self.skip_blanks(false);
        matches!(self.peek(), None | Some('\n' | ';'))
    }

    fn odd(&mut self) -> String {
        let (at, found) = (self.position(), self.peek());
        let line = self.line(at);
        match found {
            Some(c) => format!("line {line}: {c:?} is not understood; only constants are read, nothing is computed"),
            None => format!("line {line}: the file ends in the middle of a value"),
        }
    }

    /// Goes behind the statement that begins there: its last line is the first on which no bracket and no string is open.
    fn skip_statement(&mut self, start: Peekable<CharIndices<'a>>) {
        self.chars = start;
        let mut depth = 0_usize;
        while let Some(c) = self.peek() {
            match c {
                '\n' | ';' if depth == 0 => return,
                '#' => drop(self.take_while(|c| c != '\n')),
                '\'' | '"' => drop(self.string(false)),
                _ => {
                    match c {
                        '[' | '(' | '{' => depth += 1,
                        ']' | ')' | '}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    self.chars.next();
                    if c == '\\' {
                        self.chars.next();
                    }
                }
            }
        }
    }

    fn literal(&mut self, depth: usize) -> Result<Literal, String> {
        self.skip_blanks(depth > 0);
        self.values_left = self.values_left.saturating_sub(1);
        if depth > DEPTH_MAX || self.values_left == 0 {
            return Err(format!("there are more than {VALUES_MAX} values, or more than {DEPTH_MAX} in each other"));
        }
        match self.peek() {
            Some('[') => self.list(depth, '[', ']').map(|(items, _)| Literal::List(items)),
            Some('(') => {
                let (mut items, comma) = self.list(depth, '(', ')')?;
                // Brackets around a single value mean nothing.
                if items.len() == 1 && !comma {
                    items.pop().ok_or_else(|| self.odd())
                } else {
                    Ok(Literal::List(items))
                }
            }
            Some('{') => self.map(depth),
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => {
                let written = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_'));
                let whole = written.replace('_', "").parse().map(Literal::Whole);
                Ok(whole.unwrap_or(Literal::Number(written)))
            }
            _ => self.word_or_string(depth),
        }
    }

    fn word_or_string(&mut self, depth: usize) -> Result<Literal, String> {
        let word: String = self.rest().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let quoted = self.rest().get(word.len()..).is_some_and(|rest| rest.starts_with(['\'', '"']));
        if !quoted {
            let value = match word.as_str() {
                "None" => Literal::None,
                "True" => Literal::Flag(true),
                "False" => Literal::Flag(false),
                _ => return Err(self.odd()),
            };
            self.take_while(|c| c.is_alphanumeric());
            return Ok(value);
        }
        let mut text = String::new();
        // Strings that stand beside each other are one.
        loop {
            let prefix = self.take_while(|c| c.is_ascii_alphabetic()).to_ascii_lowercase();
            if !matches!(prefix.as_str(), "" | "u" | "b" | "r" | "br" | "rb") {
                return Err(format!("{}; the string has the prefix {prefix}", self.odd()));
            }
            let raw = prefix.contains('r');
            text.push_str(&self.string(raw)?);
            self.skip_blanks(depth > 0);
            let more: String = self.rest().chars().take_while(char::is_ascii_alphabetic).collect();
            if !self.rest().get(more.len()..).is_some_and(|rest| rest.starts_with(['\'', '"'])) {
                return Ok(Literal::Text(text));
            }
        }
    }

    fn string(&mut self, raw: bool) -> Result<String, String> {
        let start = self.position();
        let Some((_, quote)) = self.chars.next() else { return Err(self.odd()) };
        let triple = self.rest().starts_with(&String::from_iter([quote; 2]));
        if triple {
            self.chars.nth(1);
        } else if self.take(quote) {
            return Ok(String::new());
        }
        let end = String::from_iter(std::iter::repeat_n(quote, if triple { 3 } else { 1 }));
        let mut text = String::new();
        loop {
            if self.rest().starts_with(&end) {
                self.chars.nth(end.len() - 1);
                return Ok(text);
            }
            match self.chars.next() {
                Some((_, '\\')) if !raw => self.escape(&mut text)?,
                Some((_, '\n')) if !triple => break,
                Some((_, c)) => text.push(c),
                None => break,
            }
        }
        Err(format!("line {}: the string that begins here has no end", self.line(start)))
    }

    fn escape(&mut self, text: &mut String) -> Result<(), String> {
        let Some((_, c)) = self.chars.next() else { return Err(self.odd()) };
        let digits = match c {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if digits > 0 {
            let hex: String = self.rest().chars().take(digits).collect();
            let code = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits).and_then(char::from_u32);
            text.push(code.ok_or_else(|| self.odd())?);
            self.chars.nth(digits - 1);
            return Ok(());
        }
        match c {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            '\n' => {}
            '\\' | '\'' | '"' => text.push(c),
            '0'..='7' | 'a' | 'b' | 'f' | 'v' | 'N' => {
                return Err(format!("{}; escapes such as \\{c} are not read", self.odd()));
            }
            other => text.extend(['\\', other]),
        }
        Ok(())
    }

    /// The values between brackets, and whether the last one has a comma behind it.
    fn list(&mut self, depth: usize, open: char, close: char) -> Result<(Vec<Literal>, bool), String> {
        self.take(open);
        let (mut items, mut comma) = (Vec::new(), false);
        loop {
            self.skip_blanks(true);
            if self.take(close) {
                return Ok((items, comma));
            }
            if !items.is_empty() && !comma {
                return Err(self.odd());
            }
            items.push(self.literal(depth + 1)?);
            self.skip_blanks(true);
            comma = self.take(',');
        }
    }

    fn map(&mut self, depth: usize) -> Result<Literal, String> {
        self.take('{');
        let (mut entries, mut comma) = (Vec::new(), true);
        loop {
            self.skip_blanks(true);
            if self.take('}') {
                return Ok(Literal::Map(entries));
            }
            if !comma {
                return Err(self.odd());
            }
            let Literal::Text(key) = self.literal(depth + 1)? else { return Err(self.odd()) };
            self.skip_blanks(true);
            if !self.take(':') {
                return Err(self.odd());
            }
            entries.push((key, self.literal(depth + 1)?));
            self.skip_blanks(true);
            comma = self.take(',');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(text: &str) -> Result<Literal, String> {
        match statements(&format!("X = {text}\n")).into_iter().next() {
            Some(Statement::Constant { value, .. }) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn literals_are_read_as_python_means_them() {
        let text = |text: &str| Ok(Literal::Text(text.into()));
        assert_eq!(value("u'a' \"b\""), text("ab"));
        assert_eq!(value("''"), text(""));
        assert_eq!(value("\"\"\"a\n'b'\"\"\""), text("a\n'b'"));
        assert_eq!(value(r#"'it\'s \\ \n \x41 ü \u00fc \d'"#), text("it's \\ \n A ü ü \\d"));
        assert_eq!(value(r"r'\d'"), text("\\d"));
        assert_eq!(value("-7"), Ok(Literal::Whole(-7)));
        assert_eq!(value("1.5"), Ok(Literal::Number("1.5".into())));
        assert_eq!(value("('a')"), text("a"));
        assert_eq!(value("('a',)"), Ok(Literal::List(vec![Literal::Text("a".into())])));
        let map = value("{\n  'a': [1, None,], # why\n  'b': True,\n}").unwrap();
        let list = Literal::List(vec![Literal::Whole(1), Literal::None]);
        assert_eq!(map, Literal::Map(vec![("a".into(), list), ("b".into(), Literal::Flag(true))]));
    }

    #[test]
    fn nothing_is_run_and_what_is_odd_is_told_by_its_line() {
        for odd in
            ["os.environ['A']", "open('x')", "'a' + 'b'", "[1 2]", "{1: 2}", "f'{x}'", "'open", "[1,", "1 if x else 2"]
        {
            assert!(value(odd).is_err(), "{odd}: {:?}", value(odd));
        }
        let deep = "[".repeat(100_000);
        assert!(value(&deep).is_err());
        let file = "import os\n\nA = 'x' # one\nif os:\n    B = 2; C = 3\nD = f(\n  1)\nE = [1,\n  2]\n[3]\n";
        let seen: Vec<String> = statements(file)
            .into_iter()
            .map(|statement| match statement {
                Statement::Constant { name, line, value } => format!("{line} {name} {}", value.is_ok()),
                Statement::Other { line } => format!("{line} ?"),
            })
            .collect();
        assert_eq!(seen, ["1 ?", "3 A true", "4 ?", "5 B true", "5 C true", "6 D false", "8 E true", "10  true"]);
    }

    proptest! {
        #[test]
        fn any_text_is_borne(text in "[\\PC\n]{0,200}") {
            let _ = statements(&text);
        }

        #[test]
        fn any_python_like_text_is_borne(text in "[A='\"\\[\\](){}:,;#\\\\\nux1 ]{0,80}") {
            let _ = statements(&text);
        }
    }
}
