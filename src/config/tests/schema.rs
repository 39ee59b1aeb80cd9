//! The schema for editors: the example is valid against it, and it knows what the loader knows.

use serde_json::Value;

use super::*;
use crate::config::schema;

/// The part of JSON schema that ours uses. What it does not know is an error, so that nothing is passed over.
fn validate(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Some(rules) = schema.as_object() else {
        return if schema == &Value::Bool(true) { Ok(()) } else { Err(at.into()) };
    };
    for (rule, wanted) in rules {
        let fits = match rule.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" | "properties" | "format" => true,
            "$ref" => {
                let pointer = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                validate(root, root.pointer(pointer).unwrap(), value, at)?;
                true
            }
            "type" => {
                let is = |name: &str| match name {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    "number" => value.is_number(),
                    "integer" => value.is_u64() || value.is_i64(),
                    other => panic!("unknown type {other}"),
                };
                wanted.as_str().map_or_else(|| wanted.as_array().unwrap().iter().any(|t| is(t.as_str().unwrap())), is)
            }
            "required" => wanted.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
            "additionalProperties" => {
                assert_eq!(wanted, &Value::Bool(false));
                let known = schema["properties"].as_object().unwrap();
                let values = value.as_object().into_iter().flatten();
                for (key, value) in values {
                    let schema = known.get(key).ok_or(format!("{at}.{key} is unknown"))?;
                    validate(root, schema, value, &format!("{at}.{key}"))?;
                }
                true
            }
            "items" => {
                let items = value.as_array().into_iter().flatten();
                items.enumerate().try_for_each(|(n, item)| validate(root, wanted, item, &format!("{at}[{n}]")))?;
                true
            }
            "enum" => wanted.as_array().unwrap().contains(value),
            "const" => wanted == value,
            "anyOf" | "oneOf" => {
                let fitting = wanted.as_array().unwrap().iter().filter(|one| validate(root, one, value, at).is_ok());
                let count = fitting.count();
                if rule == "oneOf" { count == 1 } else { count > 0 }
            }
            "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| crate::config::parse_span(text).is_ok()),
            other => panic!("the schema uses {other}, which this test does not know"),
        };
        if !fits {
            return Err(format!("{at}: {value} does not fit {rule}: {wanted}"));
        }
    }
    Ok(())
}

fn valid(text: &str) -> Result<(), String> {
    let value: Value = serde_yaml::from_str(text).unwrap();
    let schema = schema();
    validate(&schema, &schema, &value, "")
}

#[test]
fn the_example_is_valid() {
    valid(include_str!("../../../nodes.yaml")).unwrap();
}

#[test]
fn the_schema_refuses_what_the_loader_refuses() {
    for wrong in [
        "{}",
        "nodes: [{ tapo: { address: x } }]",
        "nodes: [{ id: a, tapo: { adress: x } }]",
        "nodes: [{ id: a, tapo: { address: x, outlet: 300 } }]",
        "nodes: [{ id: a, poll_interval: 5 }]",
        "nodes: [{ id: a, poll_interval: soon }]",
        "nodes: [{ id: a, tapo: { address: x, password: { environment: X } } }]",
        "nodes: []\nserver: { auth: maybe }",
        "nodes: []\nserver: { metrics: on }",
        "nodes: []\naccounts: [{ username: a, role: root }]",
        "nodes: []\ncolour: red",
    ] {
        assert!(valid(wrong).is_err(), "{wrong}");
        assert!(read(wrong).is_err(), "{wrong}");
    }
    valid("nodes: [{ id: a, amt: { address: x, tls: { pin: \"sha256:00\" }, password: { env: X } } }]").unwrap();
    valid("nodes: [{ id: a, tapo: }]\nserver:").unwrap();
}

#[test]
fn every_key_is_explained() {
    fn walk(schema: &Value, at: &str) {
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            assert!(schema["description"].is_string(), "{at}.{key} has no description");
        }
    }
    let schema = schema();
    walk(&schema, "");
    for (name, schema) in schema["$defs"].as_object().unwrap() {
        walk(schema, name);
    }
}
