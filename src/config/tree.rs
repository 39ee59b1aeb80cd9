//! A YAML document as a tree, and reading typed values out of it.
//!
//! serde stops at its first error. So the document is read into a tree first, and then deserialized from the tree again and
//! again: each time the first thing that does not fit is named with its way, and taken out. What is taken out is as if it
//! had not been written, which is why all fields of the shapes are optional. The keys that a shape knows come from serde
//! itself; unknown ones are found here, with the nearest that is known. This file knows no YAML parser and no key.

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::problem::{Finding, Path, Step, nearest};

/// A value of a YAML document.
#[derive(Clone, Debug, PartialEq)]
pub enum Yaml {
    /// Nothing, or `null`.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond the other.
    Large(u64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Yaml>),
    /// Keys with their values, in their order; a key may be there twice.
    Map(Vec<(String, Yaml)>),
    /// A value with a tag of the user.
    Tagged(String),
    /// An item of a list that was taken out: the others keep their numbers. It is read as an empty value.
    Hole,
}

impl Yaml {
    /// Takes the value at `path` out; of two equal keys the second one, with `again`. Says whether it was there.
    pub fn take_out(&mut self, path: &Path, again: bool) -> bool {
        let Some((last, way)) = path.0.split_last() else {
            *self = Yaml::Map(Vec::new());
            return true;
        };
        let inner = way.iter().try_fold(self, |value, step| value.step(step));
        match (inner, last) {
            (Some(Yaml::Map(entries)), Step::Key(key)) => {
                let mut same = entries.iter().enumerate().filter(|(_, (name, _))| name == key).map(|(n, _)| n);
                let found = if again { same.nth(1) } else { same.next() };
                found.map(|n| entries.remove(n)).is_some()
            }
            (Some(Yaml::List(items)), Step::Item(index)) => match items.get_mut(*index) {
                Some(item) => std::mem::replace(item, Yaml::Hole) != Yaml::Hole,
                None => false,
            },
            _ => false,
        }
    }

    /// Takes the items of the list under a key out and leaves an empty list. `None` when there is no list.
    pub fn take_items(&mut self, key: &str) -> Option<Vec<Yaml>> {
        match self.step(&Step::Key(key.into())) {
            Some(Yaml::List(items)) => Some(std::mem::take(items)),
            _ => None,
        }
    }

    fn step(&mut self, step: &Step) -> Option<&mut Yaml> {
        match (self, step) {
            (Yaml::Map(entries), Step::Key(key)) => {
                entries.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            (Yaml::List(items), Step::Item(index)) => items.get_mut(*index),
            _ => None,
        }
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Yaml::Null | Yaml::Hole => Unexpected::Unit,
            Yaml::Bool(value) => Unexpected::Bool(*value),
            Yaml::Int(value) => Unexpected::Signed(*value),
            Yaml::Large(value) => Unexpected::Unsigned(*value),
            Yaml::Float(value) => Unexpected::Float(*value),
            Yaml::Text(value) => Unexpected::Str(value),
            Yaml::List(_) => Unexpected::Seq,
            Yaml::Map(_) => Unexpected::Map,
            Yaml::Tagged(_) => Unexpected::Enum,
        }
    }
}

/// What did not fit.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The way, from the inside out.
    way: Vec<Step>,
    again: bool,
    text: String,
    hint: Option<String>,
    /// The key, beside the one at the end of the way, that was surely meant.
    meant: Option<String>,
}

impl Misfit {
    fn new(text: impl Into<String>, hint: Option<String>) -> Misfit {
        Misfit { way: Vec::new(), again: false, text: text.into(), hint, meant: None }
    }

    fn at(mut self, step: Step) -> Misfit {
        self.way.push(step);
        self
    }

    fn unknown_key(key: &str, known: &[&str]) -> Misfit {
        let near = nearest(key, known.iter().copied());
        let hint = match near {
            Some(near) => format!("did you mean {near:?}?"),
            None if key == "<<" => "merge keys are not understood here: write the keys out, or use `defaults`".into(),
            None => format!("the keys here are {}", known.join(", ")),
        };
        let misfit = Misfit { meant: near.map(String::from), ..Misfit::new("unknown key", Some(hint)) };
        misfit.at(Step::Key(key.into()))
    }

    /// As a finding, and the way to what was surely meant.
    pub fn into_finding(mut self) -> (Finding, Option<Path>) {
        self.way.reverse();
        let path = Path(self.way);
        let meant = self.meant.and_then(|key| Some(path.parent()?.key(&key)));
        (Finding { path, again: self.again, text: self.text, hint: self.hint }, meant)
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Misfit {}

/// No value is ever repeated in a message: it may be a password.
impl de::Error for Misfit {
    fn custom<T: std::fmt::Display>(message: T) -> Misfit {
        // A shape may give a hint after a line break.
        let message = message.to_string();
        match message.split_once('\n') {
            Some((text, hint)) => Misfit::new(text, Some(hint.into())),
            None => Misfit::new(message, None),
        }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Misfit {
        let wanted = in_words(&expected.to_string());
        let hint = match unexpected {
            Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_) | Unexpected::Bool(_)
                if wanted.starts_with("a text") =>
            {
                Some("put it in quotes".into())
            }
            Unexpected::Str(_) | Unexpected::Map if wanted == "a list" => Some("write it as [...]".into()),
            Unexpected::Enum => Some("leave the ! and its word out".into()),
            _ => None,
        };
        let is = match unexpected {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_) => "a number",
            Unexpected::Str(_) => "a text",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a group of keys",
            Unexpected::Enum => "a value with a tag",
            _ => "empty",
        };
        Misfit::new(format!("is {is} and should be {wanted}"), hint)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Misfit {
        Misfit::new(format!("should be {}", in_words(&expected.to_string())), None)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Misfit {
        let hint = match nearest(variant, expected.iter().copied()) {
            Some(near) => format!("did you mean {near:?}? There are {}", expected.join(", ")),
            None => format!("there are {}", expected.join(", ")),
        };
        Misfit::new("is none of the words that are known here", Some(hint))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Misfit {
        Misfit::unknown_key(field, expected)
    }
}

/// What serde expects, in the words of people.
fn in_words(expected: &str) -> String {
    match expected {
        "a string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" => "a whole number",
        "f64" => "a number",
        // "struct Server": the shapes have no names that a user would know.
        other if other.starts_with("struct ") => "a group of keys",
        other => other,
    }
    .into()
}

/// Reads typed values.
#[derive(Clone, Copy)]
pub struct Reader<'a>(pub &'a Yaml);

static EMPTY: Yaml = Yaml::Map(Vec::new());

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Yaml::Null | Yaml::Hole => visitor.visit_unit(),
            Yaml::Bool(value) => visitor.visit_bool(*value),
            Yaml::Int(value) => visitor.visit_i64(*value),
            Yaml::Large(value) => visitor.visit_u64(*value),
            Yaml::Float(value) => visitor.visit_f64(*value),
            Yaml::Text(value) => visitor.visit_borrowed_str(value),
            Yaml::List(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            Yaml::Map(entries) => visitor.visit_map(Entries { rest: entries.iter(), value: None }),
            Yaml::Tagged(_) => Err(de::Error::invalid_type(self.0.unexpected(), &visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Yaml::Null | Yaml::Hole => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Yaml::Hole => visitor.visit_str(""),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.0 {
            Yaml::Map(entries) => {
                check_keys(entries, known)?;
                self.deserialize_any(visitor)
            }
            // An item like `-` with nothing behind it is a group without keys, and says so by what it lacks.
            Yaml::Hole | Yaml::Null => Reader(&EMPTY).deserialize_any(visitor),
            other => Err(de::Error::invalid_type(other.unexpected(), &visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.0 {
            Yaml::Text(word) => visitor.visit_enum(Word(word)),
            other => {
                let wanted = format!("one of {}", known.join(", "));
                Err(de::Error::invalid_type(other.unexpected(), &wanted.as_str()))
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

fn check_keys(entries: &[(String, Yaml)], known: &[&str]) -> Result<(), Misfit> {
    for (n, (key, _)) in entries.iter().enumerate() {
        if entries.iter().take(n).any(|(earlier, _)| earlier == key) {
            let twice = Misfit::new("is there twice", Some("leave one of them out".into()));
            return Err(Misfit { again: true, ..twice.at(Step::Key(key.clone())) });
        }
        if !known.contains(&key.as_str()) {
            return Err(Misfit::unknown_key(key, known));
        }
    }
    Ok(())
}

struct Items<'a>(std::iter::Enumerate<std::slice::Iter<'a, Yaml>>);

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Misfit;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        let Some((index, item)) = self.0.next() else { return Ok(None) };
        seed.deserialize(Reader(item)).map(Some).map_err(|misfit| misfit.at(Step::Item(index)))
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, (String, Yaml)>,
    value: Option<&'a (String, Yaml)>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        self.value = self.rest.next();
        match self.value {
            Some((key, _)) => seed.deserialize(StrDeserializer::new(key)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        match self.value {
            Some((key, value)) => seed.deserialize(Reader(value)).map_err(|misfit| misfit.at(Step::Key(key.clone()))),
            None => Err(de::Error::custom("is not there")),
        }
    }
}

struct Word<'a>(&'a str);

impl<'de> EnumAccess<'de> for Word<'de> {
    type Error = Misfit;
    type Variant = <StrDeserializer<'de, Misfit> as EnumAccess<'de>>::Variant;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), Misfit> {
        let word: StrDeserializer<'de, Misfit> = self.0.into_deserializer();
        word.variant_seed(seed)
    }
}
