//! Reading a tree without stopping at the first mistake: every problem is written down with its place, and a function that reads
//! on gets [`ErrorReported`] in the place of the value. Which keys there are is not known here.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

use super::Problem;
use super::environment::Environment;
use super::suggest::suggest;
use super::tree::{Spot, Tree, Value};

/// Most problems that are told of one file. No one reads more of them, and a wrong line in a generator repeats itself.
pub(crate) const PROBLEMS_MAX: usize = 1000;

/// There is no value, and the reason is already among the problems.
#[derive(Debug)]
pub(crate) struct ErrorReported;

/// A value, or a problem that has been written down.
pub(crate) type Read<T> = Result<T, ErrorReported>;

/// The reading of one file: where it is, and what was found to be wrong.
pub(crate) struct Diagnostics<'s> {
    /// Environment and files.
    pub around: &'s dyn Environment,
    /// The folder of the file: paths are relative to it.
    pub folder: &'s Path,
    problems: RefCell<Vec<Problem>>,
    untold: Cell<usize>,
    inline_secret: RefCell<Option<Problem>>,
}

impl<'s> Diagnostics<'s> {
    /// Nothing is wrong yet.
    pub(crate) fn new(around: &'s dyn Environment, folder: &'s Path) -> Diagnostics<'s> {
        Diagnostics {
            around,
            folder,
            problems: RefCell::default(),
            untold: Cell::new(0),
            inline_secret: RefCell::default(),
        }
    }

    /// Writes down a problem.
    pub(crate) fn problem(&self, spot: &Spot<'_>, text: impl Display) -> ErrorReported {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < PROBLEMS_MAX {
            problems.push(Problem { path: spot.to_string(), line: spot.line, text: text.to_string() });
        } else {
            self.untold.set(self.untold.get() + 1);
        }
        ErrorReported
    }

    /// Remembers that a secret stands in the file itself.
    pub(crate) fn note_inline_secret(&self, spot: &Spot<'_>) {
        self.inline_secret.borrow_mut().get_or_insert_with(|| Problem {
            path: spot.to_string(),
            line: spot.line,
            text:
                "is a secret in a file that every user of this machine can read: take that right away (chmod 600), or \
                   write { file: PATH } or { env: NAME } instead of the secret"
                    .into(),
        });
    }

    /// The first secret in the file itself, as a warning.
    pub(crate) fn inline_secret(&self) -> Option<Problem> {
        self.inline_secret.borrow().clone()
    }

    /// All problems, in the order of their lines.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        let untold = self.untold.get();
        if untold > 0 {
            problems.push(Problem { path: String::new(), line: None, text: format!("and {untold} more problems") });
        }
        problems
    }
}

/// A place in the tree that is being read.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    /// The whole reading.
    pub reading: &'a Diagnostics<'a>,
    /// Where this is.
    pub spot: Spot<'a>,
    /// What is here.
    pub tree: &'a Tree,
}

impl<'a> Cursor<'a> {
    /// The beginning of a file.
    pub(crate) fn root(reading: &'a Diagnostics<'a>, tree: &'a Tree) -> Cursor<'a> {
        Cursor { reading, spot: Spot::root(), tree }
    }

    /// Writes down a problem with what is here.
    pub(crate) fn problem(&self, text: impl Display) -> ErrorReported {
        self.reading.problem(&self.spot, text)
    }

    /// Writes down that something else is wanted here. What is here is not shown: it may be a password.
    pub(crate) fn wants(&self, what: &str) -> ErrorReported {
        match self.tree.value {
            Value::Null => self.problem(format_args!("has no value; it must be {what}")),
            Value::Tagged => self.problem("has a tag (!...), which means nothing here; leave the tag out"),
            ref other => self.problem(format_args!("must be {what}, not {}", other.kind())),
        }
    }

    /// Text.
    pub(crate) fn text(&self) -> Read<&'a str> {
        match &self.tree.value {
            Value::Text(text) => Ok(text),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
                Err(self.problem(format_args!("must be text, not {}: put it in quotes", self.tree.value.kind())))
            }
            _ => Err(self.wants("text")),
        }
    }

    /// Text with a meaning.
    pub(crate) fn parse<T, E: Display>(&self, parse: impl FnOnce(&str) -> Result<T, E>) -> Read<T> {
        parse(self.text()?).map_err(|error| self.problem(error))
    }

    /// One of these words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Read<T> {
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        Err(match suggest(text, &known) {
            Some(meant) => self.problem(format_args!("{text:?} is not known here, did you mean {meant:?}?")),
            None => self.problem(format_args!("{text:?} is not known here; it must be {}", listed(&known))),
        })
    }

    /// Whether a group of keys is here, where something else could be.
    pub(crate) fn is_group(&self) -> bool {
        matches!(self.tree.value, Value::Map(_))
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self) -> Read<bool> {
        match self.tree.value {
            Value::Bool(flag) => Ok(flag),
            _ => Err(self.wants("true or false")),
        }
    }

    /// A number without a fraction.
    pub(crate) fn whole<T: TryFrom<i64>>(&self, range: RangeInclusive<i64>) -> Read<T> {
        let wanted = || format!("a whole number from {} to {}", range.start(), range.end());
        match self.tree.value {
            Value::Int(number) if range.contains(&number) => T::try_from(number).map_err(|_| self.wants(&wanted())),
            Value::Int(number) => Err(self.problem(format_args!("must be {}, not {number}", wanted()))),
            Value::Float(_) => Err(self.problem(format_args!("must be {}", wanted()))),
            _ => Err(self.wants(&wanted())),
        }
    }

    /// A number above zero.
    pub(crate) fn amount(&self, most: f64) -> Read<f64> {
        let number = match self.tree.value {
            Value::Int(number) => number as f64,
            Value::Float(number) => number,
            _ => return Err(self.wants("a number")),
        };
        if number > 0.0 && number <= most {
            Ok(number)
        } else {
            Err(self.problem(format_args!("must be above 0 and at most {most}")))
        }
    }

    /// Every item of a list, read by `read`. `Err` when one of them is wrong.
    pub(crate) fn list<T>(&self, most: usize, mut read: impl FnMut(&Cursor<'_>) -> Read<T>) -> Read<Vec<T>> {
        let Value::List(items) = &self.tree.value else { return Err(self.wants("a list")) };
        if items.len() > most {
            return Err(self.problem(format_args!("has {} items, at most {most} are possible", items.len())));
        }
        let at = |(index, tree): (usize, &'a Tree)| {
            let spot = self.spot.item(index, tree.line);
            read(&Cursor { reading: self.reading, spot, tree })
        };
        // All are read before the first wrong one ends it.
        let all: Vec<Read<T>> = items.iter().enumerate().map(at).collect();
        all.into_iter().collect()
    }

    /// A group of keys. Those that are not `known`, or there twice, are written down.
    pub(crate) fn keys(&self, known: &[&'static str]) -> Read<Keys<'a>> {
        let Value::Map(entries) = &self.tree.value else {
            return Err(self.wants(&format!("a group of keys ({})", known.join(", "))));
        };
        let mut meant = Vec::new();
        let mut seen: Vec<(&str, Option<usize>)> = Vec::new();
        for (key, value) in entries {
            let spot = self.spot.key(key, value.line);
            if !known.contains(&key.as_str()) {
                // Of `{ password: one,two }` the key `two` is a part of the password.
                if known.contains(&"password") && matches!(value.value, Value::Null) {
                    let spot = self.spot.key("?", value.line);
                    self.reading.problem(&spot, "a key without a value; text with a comma in it must be in quotes");
                    continue;
                }
                meant.extend(self.unknown(key, &spot, known));
            } else if let Some((_, first)) = seen.iter().find(|(other, _)| other == key) {
                let first = first.map(|line| format!(", first on line {line}")).unwrap_or_default();
                self.reading.problem(&spot, format_args!("is there twice{first}; only one of them can hold"));
            } else {
                seen.push((key, value.line));
            }
        }
        Ok(Keys { at: *self, entries, meant })
    }

    /// Writes down an unknown key. Returns the known one that was meant.
    fn unknown(&self, key: &str, spot: &Spot<'_>, known: &[&'static str]) -> Option<&'static str> {
        if key == "<<" {
            self.reading.problem(spot, "keys are not merged here; write them out, or put them under defaults");
            return None;
        }
        let meant = suggest(key, known);
        match meant {
            Some(meant) => self.reading.problem(spot, format_args!("unknown key, did you mean {meant:?}?")),
            None => self.reading.problem(spot, format_args!("unknown key; known here: {}", known.join(", "))),
        };
        meant
    }
}

/// A group of keys that is being read.
pub(crate) struct Keys<'a> {
    /// Where the group is.
    pub at: Cursor<'a>,
    entries: &'a [(String, Tree)],
    /// Keys that were meant by unknown ones: no one has to be told that they are missing.
    meant: Vec<&'static str>,
}

impl Keys<'_> {
    /// Whether the key is there, or was meant to be.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.meant.contains(&key) || self.entries.iter().any(|(other, _)| other == key)
    }

    /// The line of a key, or of the group if the key is not there.
    pub(crate) fn line(&self, key: &str) -> Option<usize> {
        let found = self.entries.iter().find(|(other, _)| other == key);
        found.and_then(|(_, tree)| tree.line).or(self.at.spot.line)
    }

    /// Writes down a problem with a key, whether it is there or not.
    pub(crate) fn problem(&self, key: &str, text: impl Display) -> ErrorReported {
        self.at.reading.problem(&self.at.spot.key(key, self.line(key)), text)
    }

    /// What `read` makes of the value under a key, if it is there.
    pub(crate) fn optional<T>(&self, key: &str, read: impl FnOnce(&Cursor<'_>) -> Read<T>) -> Read<Option<T>> {
        match self.entries.iter().find(|(other, _)| other == key) {
            Some((key, tree)) => {
                let spot = self.at.spot.key(key, tree.line);
                read(&Cursor { reading: self.at.reading, spot, tree }).map(Some)
            }
            None if self.meant.contains(&key) => Err(ErrorReported),
            None => Ok(None),
        }
    }

    /// The same for a key that must be there; `what` says what belongs there.
    pub(crate) fn required<T>(&self, key: &str, what: &str, read: impl FnOnce(&Cursor<'_>) -> Read<T>) -> Read<T> {
        self.optional(key, read)?.ok_or_else(|| self.problem(key, format_args!("is missing; it must be {what}")))
    }
}

/// `a, b or c`.
pub(crate) fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).into(),
        [first @ .., end] => format!("{} or {end}", first.join(", ")),
    }
}
