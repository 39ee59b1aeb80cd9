//! From a file to a tree and on to the configuration. The only file that speaks to serde_yaml; which keys there are, and
//! what may stand under them, is the business of others.
//!
//! serde_yaml tells a line only with an error. So a scalar whose line is wanted is taken, and then refused: the refusal
//! comes back with the line, and the reader has already moved on behind the scalar. Keys and items of lists are refused
//! like that, which gives every value of the tree its line from the parser itself.

use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::de::{self, DeserializeSeed, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::{Config, ConfigProblems, Loaded, Problem, depth, nodes, service};
use crate::driver::DRIVERS;
use crate::files;
use crate::reader::cursor::Diagnostics;
use crate::reader::tree::{Tree, Value};
use crate::reader::{Environment, Host};

/// Largest file that is read. 20,000 nodes with everything that can be said of them fit in; a log or an image does not.
pub(super) const FILE_BYTES_MAX: usize = 16 << 20;

/// Most values in a file. Aliases can make a small file say a lot (`&a [*b, *b]`); 20,000 nodes need a third of this.
const VALUES_MAX: usize = 4_000_000;

/// What is said of more than [`VALUES_MAX`].
const TOO_MANY: &str = "there are more values in this file than 20,000 nodes need";

/// How long all files of a configuration may take to be read. A file system that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(10);

/// Reads a configuration and checks all of it. What is wrong is said at once, with its place.
pub fn load(path: &Path) -> Result<Loaded, ConfigProblems> {
    let file = path.to_owned();
    in_time(path, move || load_in(&file, &Host))?
}

/// Reads files on a thread of its own, and ends with a problem where that hangs.
pub(super) fn in_time<T: Send + 'static>(
    path: &Path,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ConfigProblems> {
    files::within(DEADLINE, read).map_err(|error| {
        let text = format!("this file or one that it names cannot be read: {error}");
        ConfigProblems { file: path.into(), problems: vec![Problem { path: String::new(), line: None, text }] }
    })
}

/// The same in other surroundings.
pub fn load_in(path: &Path, around: &dyn Environment) -> Result<Loaded, ConfigProblems> {
    let fail = |problems| ConfigProblems { file: path.into(), problems };
    let text = read(path, around).map_err(|problem| fail(vec![problem]))?;
    let tree = tree(&text, VALUES_MAX).map_err(|problem| fail(vec![problem]))?;
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let reading = Diagnostics::new(around, whole.parent().unwrap_or(Path::new("/")));
    let config = service::config(&reading, &tree);
    let inline_secret = reading.inline_secret().filter(|_| around.everybody_reads(path));
    match (config, reading.into_problems()) {
        (Ok(config), problems) if problems.is_empty() => {
            let warnings = inline_secret.into_iter().chain(no_node(&config));
            Ok(Loaded { warnings: warnings.map(|warning| warning.in_file(path)).collect(), config })
        }
        (_, problems) => Err(fail(problems)),
    }
}

/// A service without nodes runs, so that a package can be installed before there are any; no one means it to stay so.
fn no_node(config: &Config) -> Option<Problem> {
    let device = DRIVERS.first().map(|driver| nodes::example(driver.section())).unwrap_or_default();
    let text = format!("has no node in it; add one: - {{ id: node-1, {device} }}");
    config.nodes.is_empty().then(|| Problem { path: "nodes".into(), line: None, text })
}

fn read(path: &Path, around: &dyn Environment) -> Result<String, Problem> {
    let whole_file = |text: String| Problem { path: String::new(), line: None, text };
    let bytes =
        around.read(path, FILE_BYTES_MAX).map_err(|error| whole_file(format!("the file cannot be read: {error}")))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(whole_file(format!("the file is larger than {} MiB; is it the right one?", FILE_BYTES_MAX >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = Some(good.iter().filter(|byte| **byte == b'\n').count() + 1);
        Problem { line, ..whole_file("this is not UTF-8; save the file as UTF-8 text".into()) }
    })?;
    if let Some(problem) = odd_line_end(&text).or_else(|| depth::too_deep(&text)) {
        return Err(problem);
    }
    // serde_yaml takes the mark that some editors put before UTF-8 text for a document of its own.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The first end of a line that is one for the parser and not for editors. Every line behind it would be told wrong.
fn odd_line_end(text: &str) -> Option<Problem> {
    let lone_return = |at: usize| text.as_bytes().get(at + 1) != Some(&b'\n');
    let odd = |(at, c): &(usize, char)| match c {
        '\r' => lone_return(*at),
        c => matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}'),
    };
    let (at, c) = text.char_indices().find(odd)?;
    let line = text.get(..at).map(|before| before.matches('\n').count() + 1);
    let name = u32::from(c);
    let text = format!("there is a U+{name:04X} in this line, which YAML takes for the end of the line; take it out");
    Some(Problem { path: String::new(), line, text })
}

/// What a text says. The tree has everything that was written, whether it makes sense or not.
pub(super) fn tree(text: &str, values_max: usize) -> Result<Tree, Problem> {
    let left = Cell::new(values_max);
    let mut grown = Grown::Nothing;
    let seed = TreeBuilder { grown: &mut grown, left: &left, refuse: false };
    match (seed.deserialize(serde_yaml::Deserializer::from_str(text)), grown) {
        (Ok(()), Grown::Uniqueness(tree)) => Ok(tree),
        (Ok(()), _) => Ok(Tree { line: None, value: Value::Null }),
        (Err(error), _) => Err(not_yaml(&error, text)),
    }
}

fn not_yaml(error: &serde_yaml::Error, text: &str) -> Problem {
    // What is missing at the end of the file is missing in its last line.
    let last = text.lines().count().max(1);
    let line = error.location().map(|location| location.line().min(last));
    let said = error.to_string();
    let indent = line.and_then(|line| text.lines().nth(line.checked_sub(1)?)).unwrap_or_default();
    let indent = indent.get(..indent.len() - indent.trim_start().len()).unwrap_or_default();
    let known = [
        // These two would quote the value, which may be a password.
        ("invalid value", "a value does not fit the tag (!!...) before it; leave the tag out"),
        ("invalid type", "a value does not fit the tag (!!...) before it; leave the tag out"),
        ("more than one document", "there is a second document after `---`; one file is one configuration"),
        ("recursion limit", "lists and groups of keys lie too deep in each other"),
        ("repetition limit", "aliases (*name) repeat too much"),
        (TOO_MANY, TOO_MANY),
    ];
    let text = match known.iter().find(|(begin, _)| said.contains(begin)) {
        Some((_, text)) => (*text).into(),
        None if indent.contains('\t') => format!("this is not YAML: {said}; indent with spaces, not with tabs"),
        None => format!("this is not YAML: {said}"),
    };
    Problem { path: String::new(), line, text }
}

/// What came of a value.
enum Grown {
    Nothing,
    /// It was taken.
    Uniqueness(Tree),
    /// It was taken and refused, for the sake of the line in the refusal.
    Refused(Tree),
}

/// Grows one value of the tree.
struct TreeBuilder<'g> {
    grown: &'g mut Grown,
    /// How many more values there may be.
    left: &'g Cell<usize>,
    /// Refuse it, if it is a scalar.
    refuse: bool,
}

impl TreeBuilder<'_> {
    fn count<E: de::Error>(&self) -> Result<(), E> {
        self.left.set(self.left.get().checked_sub(1).ok_or_else(|| E::custom(TOO_MANY))?);
        Ok(())
    }

    fn scalar<E: de::Error>(self, value: Value) -> Result<(), E> {
        self.count()?;
        let tree = Tree { line: None, value };
        if self.refuse {
            *self.grown = Grown::Refused(tree);
            return Err(E::custom(""));
        }
        *self.grown = Grown::Uniqueness(tree);
        Ok(())
    }

    /// Takes one part of a collection, and gives it its line if it was refused. `None` when there are no more.
    fn part<E: de::Error>(
        &self,
        refuse: bool,
        next: impl FnOnce(TreeBuilder<'_>) -> Result<Option<()>, E>,
    ) -> Result<Option<Tree>, E> {
        let mut grown = Grown::Nothing;
        match (next(TreeBuilder { grown: &mut grown, left: self.left, refuse }), grown) {
            (Ok(Some(())), Grown::Uniqueness(tree)) => Ok(Some(tree)),
            (Ok(_), _) => Ok(None),
            (Err(error), Grown::Refused(tree)) => Ok(Some(Tree { line: line_in(&error), ..tree })),
            (Err(error), _) => Err(error),
        }
    }
}

/// The line in an error, which serde_yaml shows with `Debug`: `Error("...", line: 3, column: 5)`.
fn line_in(error: &impl fmt::Debug) -> Option<usize> {
    let shown = format!("{error:?}");
    let (_, from_line) = shown.rsplit_once(", line: ")?;
    from_line.split_once(',')?.0.parse().ok()
}

impl<'de> DeserializeSeed<'de> for TreeBuilder<'_> {
    type Value = ();
    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TreeBuilder<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.scalar(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        self.scalar(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<(), E> {
        self.scalar(Value::Bool(flag))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.scalar(Value::Int(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        self.scalar(i64::try_from(number).map_or(Value::Float(f64::INFINITY), Value::Int))
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<(), E> {
        self.scalar(Value::Float(f64::NEG_INFINITY))
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<(), E> {
        self.scalar(Value::Float(f64::INFINITY))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        self.scalar(Value::Float(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.scalar(Value::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.count()?;
        let mut items: Vec<Tree> = Vec::new();
        while let Some(item) = self.part(true, |grow| list.next_element_seed(grow))? {
            items.push(item);
        }
        let line = items.first().and_then(|first| first.line);
        *self.grown = Grown::Uniqueness(Tree { line, value: Value::List(items) });
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.count()?;
        let mut entries: Vec<(String, Tree)> = Vec::new();
        while let Some(key) = self.part(true, |grow| map.next_key_seed(grow))? {
            let value = self.part(false, |grow| map.next_value_seed(grow).map(Some))?;
            let value = value.map_or(Value::Null, |value| value.value);
            entries.push((written(key.value), Tree { line: key.line, value }));
        }
        let line = entries.first().and_then(|(_, first)| first.line);
        *self.grown = Grown::Uniqueness(Tree { line, value: Value::Map(entries) });
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let (_, variant) = tagged.variant::<IgnoredAny>()?;
        let TreeBuilder { grown, left, refuse } = self;
        let result = variant.newtype_variant_seed(TreeBuilder { grown: &mut *grown, left, refuse });
        if let Grown::Uniqueness(tree) | Grown::Refused(tree) = grown {
            tree.value = Value::Tagged;
        }
        result
    }
}

/// A key as text; `5:` and `true:` are keys too. What no key of ours can be is shown as `?`.
fn written(key: Value) -> String {
    match key {
        Value::Text(text) => text,
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Null => "null".into(),
        Value::List(_) | Value::Map(_) | Value::Tagged => "?".into(),
    }
}
