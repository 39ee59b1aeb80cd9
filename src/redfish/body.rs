//! Parses the body of a request: the properties in it, and all errors in them at once.

use serde_json::{Map, Value};

use super::message::{ErrorResponse, Message};

/// What can be wrong with the value of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// Another JSON type is wanted.
    Type,
    /// It is none of the allowed values.
    NotInList,
    /// It is written in another way than it must be.
    Format,
    /// It is too small or too large.
    OutOfRange,
}

/// The object of a PATCH or POST, read property by property against what the resource shows now.
pub(crate) struct Body<'a> {
    left: Vec<(&'a str, &'a Value)>,
    current: Option<&'a Map<String, Value>>,
    path: String,
    is_empty: bool,
    /// The errors in the values.
    problems: Vec<Message>,
    /// Properties that cannot be written here, whatever their value.
    strangers: Vec<Message>,
}

impl<'a> Body<'a> {
    /// A body for a resource that shows `current`: a property that is there but is not taken is not writable, one that
    /// is not there is unknown.
    pub(crate) fn of(object: &'a Map<String, Value>, current: &'a Map<String, Value>) -> Body<'a> {
        Body::at(object, Some(current), String::new())
    }

    fn at(object: &'a Map<String, Value>, current: Option<&'a Map<String, Value>>, path: String) -> Body<'a> {
        // Annotations are no properties: a client may send back what it read.
        let left = object.iter().filter(|(name, _)| !name.contains('@')).map(|(name, value)| (name.as_str(), value));
        Body {
            left: left.collect(),
            current,
            path,
            is_empty: object.is_empty(),
            problems: Vec::new(),
            strangers: Vec::new(),
        }
    }

    fn pull(&mut self, name: &str) -> Option<&'a Value> {
        let index = self.left.iter().position(|(left, _)| *left == name)?;
        Some(self.left.swap_remove(index).1)
    }

    fn full(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}/{name}", self.path) }
    }

    /// Takes the property `name` if it is there; what `read` says against its value is kept for [`Body::finish`].
    pub(crate) fn take<T>(&mut self, name: &str, read: impl Fn(&Value) -> Result<T, Bad>) -> Option<T> {
        let value = self.pull(name)?;
        match read(value) {
            Ok(value) => Some(value),
            Err(bad) => {
                let shown = value.as_str().map_or_else(|| value.to_string(), Into::into);
                self.wrong(name, bad, &clip(&shown));
                None
            }
        }
    }

    /// Takes the text `name` if it is there, and never repeats it: it may be a password.
    pub(crate) fn secret(&mut self, name: &str) -> Option<String> {
        let value = text(self.pull(name)?);
        value.map_err(|bad| self.wrong(name, bad, "(hidden)")).ok()
    }

    fn wrong(&mut self, name: &str, bad: Bad, shown: &str) {
        let key = match bad {
            Bad::Type => "PropertyValueTypeError",
            Bad::NotInList => "PropertyValueNotInList",
            Bad::Format => "PropertyValueFormatError",
            Bad::OutOfRange => "PropertyValueOutOfRange",
        };
        let message = Message::base(key, &[shown, name]).about(self.full(name));
        self.problems.push(message);
    }

    /// Reads the inner object `name` if it is there.
    pub(crate) fn inner(&mut self, name: &str, read: impl FnOnce(&mut Body<'a>)) {
        let Some(value) = self.pull(name) else { return };
        let path = self.full(name);
        match value {
            Value::Object(object) => {
                let current = self.current.and_then(|current| current.get(name)).and_then(Value::as_object);
                let mut inner = Body::at(object, current, path);
                read(&mut inner);
                inner.sort_out();
                self.problems.append(&mut inner.problems);
                self.strangers.append(&mut inner.strangers);
            }
            other => {
                let args = [&clip(&other.to_string()) as &str, name];
                self.problems.push(Message::base("PropertyValueTypeError", &args).about(path));
            }
        }
    }

    /// Whatever was not taken is not known here, or cannot be written.
    fn sort_out(&mut self) {
        for (name, _) in std::mem::take(&mut self.left) {
            let is_there = self.current.is_some_and(|current| current.contains_key(name));
            let key = if is_there { "PropertyNotWritable" } else { "PropertyUnknown" };
            let message = Message::base(key, &[&clip(name)]).about(self.full(name));
            self.strangers.push(message);
        }
    }

    /// Everything was asked for: whatever is left is a problem.
    pub(crate) fn finish(mut self) -> Result<(), ErrorResponse> {
        self.sort_out();
        self.problems.append(&mut self.strangers);
        self.refuse()
    }

    /// The same for a PATCH, which may be done in part (DSP0266, "PATCH"): what cannot be written at all is left out and
    /// told with the answer, as long as there is something to do besides. A wrong value still stops everything: half of
    /// what belongs together would be worse than nothing.
    pub(crate) fn finish_in_part(mut self, has_something_to_do: bool) -> Result<Vec<Message>, ErrorResponse> {
        self.sort_out();
        if has_something_to_do && self.problems.is_empty() {
            return Ok(self.strangers);
        }
        let nothing = if self.is_empty { "EmptyJSON" } else { "NoOperation" };
        self.problems.append(&mut self.strangers);
        self.refuse()?;
        if has_something_to_do { Ok(Vec::new()) } else { Err(ErrorResponse::bad_request(nothing, &[])) }
    }

    fn refuse(self) -> Result<(), ErrorResponse> {
        match self.problems {
            problems if problems.is_empty() => Ok(()),
            messages => Err(ErrorResponse { messages, ..ErrorResponse::bad_request("GeneralError", &[]) }),
        }
    }
}

/// One of `values`, by its name.
pub(crate) fn choice<T: Copy>(values: &[T], name: impl Fn(T) -> &'static str) -> impl Fn(&Value) -> Result<T, Bad> {
    move |value| {
        let text = value.as_str().ok_or(Bad::Type)?;
        values.iter().copied().find(|value| name(*value) == text).ok_or(Bad::NotInList)
    }
}

/// Parses a string.
pub(crate) fn text(value: &Value) -> Result<String, Bad> {
    value.as_str().map(Into::into).ok_or(Bad::Type)
}

/// Parses a boolean.
pub(crate) fn flag(value: &Value) -> Result<bool, Bad> {
    value.as_bool().ok_or(Bad::Type)
}

/// A whole number from `least` to `most`.
pub(crate) fn number(least: u32, most: u32) -> impl Fn(&Value) -> Result<u32, Bad> {
    move |value| {
        if !(value.is_u64() || value.is_i64()) {
            return Err(Bad::Type);
        }
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.filter(|number| (least..=most).contains(number)).ok_or(Bad::OutOfRange)
    }
}

/// Longest piece of a request that is repeated in an answer.
const CLIP: usize = 128;

/// A piece of a request, short enough to be repeated.
pub(crate) fn clip(text: &str) -> String {
    if text.chars().count() <= CLIP {
        return text.into();
    }
    text.chars().take(CLIP).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_have_bounds_and_secrets_are_not_repeated() {
        let read = number(1, 9);
        assert_eq!((read(&json!(1)), read(&json!(9))), (Ok(1), Ok(9)));
        for out in [json!(0), json!(10), json!(-1), json!(u64::MAX)] {
            assert_eq!(read(&out), Err(Bad::OutOfRange), "{out}");
        }
        for odd in [json!(1.0), json!("1"), json!(null), json!(true)] {
            assert_eq!(read(&odd), Err(Bad::Type), "{odd}");
        }
        let (body, nothing) = (json!({ "Password": ["s3cret"] }), Map::new());
        let mut body = Body::of(body.as_object().unwrap(), &nothing);
        assert_eq!(body.secret("Password"), None);
        assert!(!format!("{:?}", body.finish()).contains("s3cret"));
    }

    fn read(body: Value) -> (Option<u8>, Result<(), Vec<String>>) {
        let current = json!({ "PowerState": "On", "Boot": { "Speed": 1, "Order": [] } });
        let (Value::Object(body), Value::Object(current)) = (body, current) else { panic!() };
        let mut speed = None;
        let mut reader = Body::of(&body, &current);
        reader.inner("Boot", |boot| speed = boot.take("Speed", choice(&[1u8, 2], |n| if n == 1 { "1" } else { "2" })));
        let problems = reader.finish().map_err(|fault| fault.messages.iter().map(|m| m.text().into()).collect());
        (speed, problems)
    }

    fn patch(body: Value) -> Result<Vec<String>, Vec<String>> {
        let current = json!({ "Speed": 1, "Name": "x" });
        let (Value::Object(body), Value::Object(current)) = (body, current) else { panic!() };
        let mut reader = Body::of(&body, &current);
        let speed = reader.take("Speed", choice(&[1u8], |_| "1"));
        let texts = |messages: &[Message]| messages.iter().map(|message| message.text().into()).collect();
        reader.finish_in_part(speed.is_some()).map(|left| texts(&left)).map_err(|fault| texts(&fault.messages))
    }

    #[test]
    fn a_patch_is_done_in_part_where_the_rest_can_never_be_written() {
        assert_eq!(patch(json!({ "Speed": "1" })), Ok(vec![]));
        let left = patch(json!({ "Speed": "1", "Name": "y", "Odd": 1 })).unwrap().join("\n");
        assert!(left.contains("Name is a read-only") && left.contains("Odd is not in"), "{left}");
        assert_eq!(patch(json!({ "Speed": "2", "Name": "y" })).unwrap_err().len(), 2);
        assert_eq!(patch(json!({ "Name": "y" })).unwrap_err().len(), 1);
        assert!(patch(json!({ "@odata.id": "/x" })).unwrap_err()[0].contains("no data to act upon"));
        assert!(patch(json!({})).unwrap_err()[0].contains("empty JSON object"));
    }

    #[test]
    fn every_problem_is_named() {
        assert_eq!(read(json!({ "Boot": { "Speed": "2" }, "@odata.id": "/x" })), (Some(2), Ok(())));
        let (speed, problems) = read(json!({ "Boot": { "Speed": 3, "Order": [], "Odd": 1 }, "PowerState": "Off" }));
        let problems = problems.unwrap_err().join("\n");
        assert_eq!(speed, None);
        for part in [
            "'3' for the property Speed is not a type",
            "Order is a read-only",
            "Odd is not in",
            "PowerState is a read",
        ] {
            assert!(problems.contains(part), "{part} is not in\n{problems}");
        }
        assert_eq!(read(json!({ "Boot": "x" })).1.unwrap_err().len(), 1);
        let long = "y".repeat(1000);
        assert!(read(json!({ long: 1 })).1.unwrap_err()[0].len() < 300);
    }
}
