//! What a file says, as a tree in which every value knows its line. Nothing here knows YAML or what the keys mean.

use std::fmt;

/// A value and where it stands. It may be a password, so it has no `Debug`.
pub(crate) struct Tree {
    /// Of a value in a mapping, the line of its key; of an item in a list, the line on which it begins. Counted from 1;
    /// `None` when it is not known.
    pub line: Option<usize>,
    /// What is there.
    pub value: Value,
}

impl Tree {
    /// What stands under a key; nothing where this has no keys.
    pub(crate) fn get(&self, key: &str) -> Option<&Tree> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(other, _)| other == key).map(|(_, tree)| tree)
    }
}

/// What may stand in a file.
pub(crate) enum Value {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without a fraction.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// Keys and values, in the order of the file; a key may be there twice.
    Map(Vec<(String, Tree)>),
    /// A value with a tag of its own (`!secret`).
    Tagged,
}

impl Value {
    /// What it is, in words. Never what it says, since that may be a password.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a group of keys",
            Value::Tagged => "a value with a tag (!...)",
        }
    }
}

/// The way to a value through the tree: `nodes[3].tapo.address`.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'p> {
    step: Step<'p>,
    parent: Option<&'p Spot<'p>>,
    /// The line of the value.
    pub line: Option<usize>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p> Spot<'p> {
    /// The whole file.
    pub(crate) fn root() -> Spot<'p> {
        Spot { step: Step::Root, parent: None, line: None }
    }

    /// What stands under a key. Without a line of its own it is looked for where the group is.
    pub(crate) fn key(&'p self, key: &'p str, line: Option<usize>) -> Spot<'p> {
        Spot { step: Step::Key(key), parent: Some(self), line: line.or(self.line) }
    }

    /// An item of the list.
    pub(crate) fn item(&'p self, index: usize, line: Option<usize>) -> Spot<'p> {
        Spot { step: Step::Index(index), parent: Some(self), line }
    }
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Longer keys are cut: they are no keys of ours.
        const KEY_SHOWN_MAX: usize = 40;
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        let dot = if self.parent.is_some_and(|parent| !matches!(parent.step, Step::Root)) { "." } else { "" };
        match self.step {
            Step::Root => Ok(()),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) if is_plain(key) && key.len() <= KEY_SHOWN_MAX => write!(f, "{dot}{key}"),
            Step::Key(key) => write!(f, "{dot}{:?}", key.chars().take(KEY_SHOWN_MAX).collect::<String>()),
        }
    }
}

/// Whether a key can be shown as it is.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-<?".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_shown_as_people_write_them() {
        let root = Spot::root();
        let nodes = root.key("nodes", Some(2));
        let node = nodes.item(3, Some(7));
        let tapo = node.key("tapo", None);
        assert_eq!(tapo.to_string(), "nodes[3].tapo");
        assert_eq!(tapo.line, Some(7));
        assert_eq!(tapo.key("a b\u{1b}", None).to_string(), "nodes[3].tapo.\"a b\\u{1b}\"");
        assert_eq!(root.key(&"x".repeat(99), None).to_string().len(), 42);
        assert_eq!(root.to_string(), "");
    }
}
