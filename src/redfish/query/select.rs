//! `$select`: some properties only.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A tree of wanted properties; one without branches is wanted whole.
#[derive(Debug, Default)]
pub(super) struct Select(BTreeMap<String, Select>);

/// Deepest property that can be named; the deepest one of the schemas used here is at four.
const DEPTH_MAX: usize = 16;

/// What every resource says, whatever is selected.
const ALWAYS: [&str; 4] = ["@odata.id", "@odata.type", "@odata.context", "@odata.etag"];

impl Select {
    /// `Name,Status/State`. The error says what to do about it.
    pub(super) fn parse(text: &str) -> Result<Select, String> {
        let mut select = Select::default();
        for path in text.split(',') {
            let parts: Vec<&str> = path.trim().split('/').collect();
            if parts.len() > DEPTH_MAX || !parts.iter().all(|part| is_name(part)) {
                return Err("List the names of properties with commas between them, such as Name,Status/State.".into());
            }
            let mut at = &mut select;
            let mut wanted_whole = false;
            for (index, part) in parts.iter().enumerate() {
                let is_old = at.0.contains_key(*part);
                at = at.0.entry((*part).into()).or_default();
                // `Status` and `Status/State` together are `Status`.
                wanted_whole = is_old && at.0.is_empty() && index + 1 < parts.len();
                if wanted_whole {
                    break;
                }
            }
            if !wanted_whole {
                at.0.clear();
            }
        }
        Ok(select)
    }

    /// Leaves the selected properties, and what a resource always says. Members that are whole resources are looked
    /// through in the same way, so that `Name` is the name of the collection and of each of them.
    pub(super) fn apply(&self, body: &mut Map<String, Value>) {
        let members = body.get_mut("Members").filter(|_| !self.0.contains_key("Members")).map(Value::take);
        let envelope: Vec<(String, Value)> = body
            .iter()
            .filter(|(name, _)| name.starts_with("Members@"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        self.keep(body);
        let Some(Value::Array(mut members)) = members else { return };
        let mut are_whole = false;
        for member in members.iter_mut().filter_map(Value::as_object_mut).filter(|member| member.len() > 1) {
            are_whole = true;
            self.keep(member);
        }
        if are_whole {
            body.extend(envelope);
            body.insert("Members".into(), Value::Array(members));
        }
    }

    fn keep(&self, body: &mut Map<String, Value>) {
        body.retain(|name, value| {
            // The annotations of a property come with it.
            let property = name.split('@').next().filter(|property| !property.is_empty()).unwrap_or(name);
            if ALWAYS.contains(&name.as_str()) || self.0.contains_key(name) {
                if let Some(inner) = self.0.get(name).filter(|inner| !inner.0.is_empty()) {
                    inner.keep_in(value);
                }
                return true;
            }
            self.0.contains_key(property)
        });
    }

    fn keep_in(&self, value: &mut Value) {
        match value {
            Value::Object(object) => self.keep(object),
            Value::Array(items) => items.iter_mut().for_each(|item| self.keep_in(item)),
            _ => {}
        }
    }
}

/// What a property, or an annotation, can be called.
pub(super) fn is_name(text: &str) -> bool {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '.' | '#' | '-');
    !text.is_empty() && text.chars().all(is_fit)
}
