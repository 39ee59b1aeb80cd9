//! From the file to the tree, and from a way in the tree back to a line. The only file that knows the YAML parser.
//!
//! The parser does not tell where values are, except in its errors. So the line of a problem is found by reading the text
//! once more and stopping with an error at the very place: whatever the style of the file, the parser's own answer is right.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{self, PathBuf};

use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess,
    Visitor,
};

use super::Config;
use super::check::check;
use super::problem::{ConfigProblems, Finding, Findings, PROBLEMS_MAX, Path, Problem, Step};
use super::secret::Surroundings;
use super::shape;
use super::tree::{Reader, Yaml};

/// Largest nodes.yaml. 10,000 nodes with all that can be said of them are 8 MB.
const FILE_LENGTH_MAX: u64 = 32 * 1024 * 1024;

/// Bytes that are read again to find the lines of problems; what does not fit has a way and no line. It lets every
/// ordinary file have all its lines, and keeps the check of the largest one under some seconds.
const FINDING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reads, checks and resolves the configuration in `file`. `env` gives environment variables.
pub fn load(file: &path::Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigProblems> {
    let whole = |text: String, hint: Option<String>, line: Option<usize>| {
        let problem = Problem { path: String::new(), line, text, hint };
        ConfigProblems { file: file.into(), problems: vec![problem], more: 0 }
    };
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(FILE_LENGTH_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Err(whole(format!("cannot be read: {error}"), None, None));
    }
    if bytes.len() as u64 > FILE_LENGTH_MAX {
        return Err(whole(format!("is larger than {} MiB", FILE_LENGTH_MAX / 1024 / 1024), None, None));
    }
    match String::from_utf8(bytes) {
        Ok(text) => parse(&text, file, env),
        Err(error) => {
            let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(whole("is no text in UTF-8".into(), Some("save it in that encoding".into()), Some(line)))
        }
    }
}

/// As [`load`], from a text that stands in `file`.
pub fn parse(text: &str, file: &path::Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigProblems> {
    let dir = file.parent().map(PathBuf::from).unwrap_or_default();
    let mut findings = Findings::default();
    let config = match Yaml::deserialize(serde_yaml::Deserializer::from_str(text)) {
        Ok(tree) => {
            let shape = read_shape(tree, &mut findings);
            check(shape, &Surroundings { env, dir }, &mut findings)
        }
        Err(error) => return Err(syntax(text, file, &error)),
    };
    let found = findings.into_vec();
    match config {
        Some(config) if found.is_empty() => Ok(config),
        _ => Err(problems(text, file, found)),
    }
}

/// Reads the typed values out of the tree; what does not fit is noted and left out. The nodes are read one by one: each
/// problem costs another reading of what it is in.
fn read_shape(mut tree: Yaml, findings: &mut Findings) -> shape::File {
    let items = tree.take_items("nodes");
    let mut shape: shape::File = read_value(tree, &Path::default(), findings);
    if let Some(items) = items {
        let at = Path::top("nodes");
        let read = |(n, item)| read_value(item, &at.item(n), findings);
        shape.nodes = Some(items.into_iter().enumerate().map(read).collect());
    }
    shape
}

fn read_value<T: DeserializeOwned + Default>(mut tree: Yaml, at: &Path, findings: &mut Findings) -> T {
    while findings.len() <= PROBLEMS_MAX {
        let misfit = match T::deserialize(Reader(&tree)) {
            Ok(value) => return value,
            Err(misfit) => misfit,
        };
        let (mut finding, meant) = misfit.into_finding();
        let taken = tree.take_out(&finding.path, finding.again);
        finding.path = at.join(finding.path);
        findings.form(finding, meant.map(|meant| at.join(meant)));
        if !taken {
            // It would be found again for ever.
            break;
        }
    }
    T::default()
}

fn syntax(text: &str, file: &path::Path, error: &serde_yaml::Error) -> ConfigProblems {
    let line = error.location().map(|location| location.line());
    let on_line = line.and_then(|line| text.lines().nth(line.saturating_sub(1)));
    let hint = match on_line {
        Some(on_line) if on_line.contains('\t') => Some("indent with spaces, not with tabs".to_owned()),
        _ => None,
    };
    let problem = Problem { path: String::new(), line, text: format!("is no YAML: {error}"), hint };
    ConfigProblems { file: file.into(), problems: vec![problem], more: 0 }
}

fn problems(text: &str, file: &path::Path, found: Vec<Finding>) -> ConfigProblems {
    let more = found.len().saturating_sub(PROBLEMS_MAX);
    let affordable = (FINDING_BYTES_MAX / text.len().max(1)).max(1);
    let located = found.into_iter().take(PROBLEMS_MAX).enumerate().map(|(n, finding)| {
        let line = if n < affordable { line_of(text, &finding.path, finding.again) } else { None };
        Problem { path: finding.path.to_string(), line, text: finding.text, hint: finding.hint }
    });
    let mut problems: Vec<Problem> = located.collect();
    problems.sort_by_key(|problem| (problem.line.unwrap_or(usize::MAX), problem.path.clone()));
    ConfigProblems { file: file.into(), problems, more }
}

/// The line of the key or the item that `path` leads to; if it is not there, of the nearest thing that it would be in.
fn line_of(text: &str, path: &Path, again: bool) -> Option<usize> {
    let mut path = path.clone();
    loop {
        let finder = Finder { way: &path.0, again };
        let stopped = finder.deserialize(serde_yaml::Deserializer::from_str(text));
        if let Some(location) = stopped.err().and_then(|error| error.location()) {
            return Some(location.line());
        }
        path = path.parent()?;
    }
}

/// Goes a way and stops at its end with an error.
#[derive(Clone, Copy)]
struct Finder<'a> {
    way: &'a [Step],
    /// At the second of two equal keys.
    again: bool,
}

impl<'de> DeserializeSeed<'de> for Finder<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Finder<'_> {
    type Value = ();

    /// Every value that is not gone into is an error, and errors have a place. That is only right at the end of the way.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the end of the way")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.way.split_first() else { return Err(de::Error::custom("here")) };
        let Step::Item(index) = step else { return skip_items(items) };
        for _ in 0..*index {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        items.next_element_seed(Finder { way: rest, ..self })?;
        skip_items(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.way.split_first() else { return Err(de::Error::custom("here")) };
        let mut skip = usize::from(self.again && rest.is_empty());
        let wanted = match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item(_) => None,
        };
        while let Some(found) = entries.next_key_seed(KeyFinder { wanted, last: rest.is_empty() && skip == 0 })? {
            if !found || rest.is_empty() {
                skip -= usize::from(found && skip > 0);
                entries.next_value::<IgnoredAny>()?;
            } else {
                return Ok(entries.next_value_seed(Finder { way: rest, ..self })?).and_then(|()| skip_entries(entries));
            }
        }
        Ok(())
    }
}

fn skip_items<'de, A: SeqAccess<'de>>(mut items: A) -> Result<(), A::Error> {
    while items.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_entries<'de, A: MapAccess<'de>>(mut entries: A) -> Result<(), A::Error> {
    while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Says whether a key is the wanted one; stops there when it is the end of the way.
struct KeyFinder<'a> {
    wanted: Option<&'a str>,
    last: bool,
}

impl<'de> DeserializeSeed<'de> for KeyFinder<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(KeyVisitor(|key: String| match self.wanted == Some(&key) {
            true if self.last => Err("here"),
            found => Ok(found),
        }))
    }
}

/// Reads a key as a text, whatever it is, and hands it on.
struct KeyVisitor<F>(F);

impl<'de, T, F: FnOnce(String) -> Result<T, &'static str>> Visitor<'de> for KeyVisitor<F> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is a word")
    }
    fn visit_str<E: de::Error>(self, key: &str) -> Result<T, E> {
        (self.0)(key.into()).map_err(E::custom)
    }
    fn visit_bool<E: de::Error>(self, key: bool) -> Result<T, E> {
        self.visit_str(&key.to_string())
    }
    fn visit_i64<E: de::Error>(self, key: i64) -> Result<T, E> {
        self.visit_str(&key.to_string())
    }
    fn visit_u64<E: de::Error>(self, key: u64) -> Result<T, E> {
        self.visit_str(&key.to_string())
    }
    fn visit_f64<E: de::Error>(self, key: f64) -> Result<T, E> {
        self.visit_str(&key.to_string())
    }
    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        self.visit_str("null")
    }
}

struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_any(KeyVisitor(|key| Ok(Key(key))))
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Yaml, D::Error> {
        struct YamlVisitor;
        impl<'de> Visitor<'de> for YamlVisitor {
            type Value = Yaml;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Yaml, E> {
                Ok(Yaml::Null)
            }
            fn visit_none<E>(self) -> Result<Yaml, E> {
                Ok(Yaml::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
                Ok(Yaml::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
                Ok(Yaml::Int(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
                Ok(i64::try_from(value).map_or(Yaml::Large(value), Yaml::Int))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Yaml, E> {
                Ok(Yaml::Float(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
                Ok(Yaml::Text(value.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Yaml::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
                let mut map = Vec::new();
                while let Some((Key(key), value)) = entries.next_entry()? {
                    map.push((key, value));
                }
                Ok(Yaml::Map(map))
            }
            fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Yaml, A::Error> {
                let (tag, value) = tagged.variant::<String>()?;
                de::VariantAccess::newtype_variant::<IgnoredAny>(value)?;
                Ok(Yaml::Tagged(tag))
            }
        }
        deserializer.deserialize_any(YamlVisitor)
    }
}
