//! Strict parsing of JSON from clients: a duplicate property is an error, since it is unknown which of the two was
//! meant.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::message::{ErrorResponse, Message};

/// Reads a body. Deeper than serde_json's 128 levels is malformed.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, ErrorResponse> {
    let twice = RefCell::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = Strict { twice: &twice }.deserialize(&mut deserializer);
    match read.and_then(|value| deserializer.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(error) => Err(match twice.into_inner() {
            Some(name) => ErrorResponse::bad_request("PropertyDuplicate", &[&name]),
            None => {
                let mut message = Message::base("MalformedJSON", &[]);
                message.advise(&format!("Correct the JSON at line {}, column {}.", error.line(), error.column()));
                ErrorResponse::new(400, message)
            }
        }),
    }
}

/// Reads any value; keeps the name of a property that is there twice.
#[derive(Clone, Copy)]
struct Strict<'a> {
    twice: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if object.contains_key(&name) {
                self.twice.replace(Some(name.chars().take(NAME_CHARS_MAX).collect()));
                return Err(A::Error::custom("a property is there twice"));
            }
            let value = entries.next_value_seed(self)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// Longest name that is repeated in an answer.
const NAME_CHARS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        read(text.as_bytes()).unwrap_err().messages[0].text().to_owned()
    }

    #[test]
    fn what_is_good_is_read_as_serde_json_reads_it() {
        let text =
            r#"{"a":[1,-2,2.5,18446744073709551615,1e3],"b":{"a":null,"c":{"a":true}},"\u0061x":"\u00e9\n","":[]}"#;
        assert_eq!(read(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn what_is_there_twice_is_named_at_any_depth_and_however_it_is_written() {
        for text in [r#"{"Odd":1,"Odd":1}"#, r#"{"b":[{"Odd":1,"\u004fdd":2}]}"#, r#"{"Odd":{},"x":1,"Odd":[}"#] {
            assert!(said(text).contains("Odd was duplicated"), "{text}");
        }
        assert!(said(&format!("{{\"{0}\":1,\"{0}\":2}}", "y".repeat(5000))).len() < 300);
    }

    #[test]
    fn what_is_broken_says_where() {
        for text in [
            "",
            "{",
            "{}x",
            "{\"a\":1,}",
            "nul",
            "1e999",
            &"[".repeat(200),
            &format!("{}{}", "[".repeat(200), "]".repeat(200)),
        ] {
            assert!(said(text).contains("malformed JSON"), "{text}");
        }
        let fault = read(b"{\n \"a\": x}").unwrap_err();
        assert!(fault.body().to_string().contains("line 2, column 7"), "{}", fault.body());
    }
}
