//! DMTF's JSON schemas, from `tests/fixtures/redfish-schemas`: what a body breaks of the schema of its type.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::{Draft, Retrieve, Uri, Validator};
use serde_json::{Value, json};

/// Where all of them say that they are. SNIA's, for storage, lie beside them.
const HOMES: [&str; 2] = ["http://redfish.dmtf.org/schemas/v1/", "http://redfish.dmtf.org/schemas/swordfish/v1/"];

fn file_of(uri: &str) -> Option<&str> {
    HOMES.iter().find_map(|home| uri.strip_prefix(home))
}

struct Library {
    files: BTreeMap<String, Value>,
    /// The definitions that are referred to, by file.
    wanted: BTreeMap<String, BTreeSet<String>>,
}

static LIBRARY: LazyLock<Arc<Library>> = LazyLock::new(|| Arc::new(Library::read()));

struct SettingsStore(Arc<Library>);

impl Library {
    fn read() -> Library {
        let mut library = Library { files: BTreeMap::new(), wanted: BTreeMap::new() };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/redfish-schemas");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
                // DMTF's own dialect: draft 7 with remarks.
                schema.as_object_mut().unwrap().remove("$schema");
                library.want(&schema);
                library.files.insert(path.file_name().unwrap().to_str().unwrap().into(), schema);
            }
        }
        library
    }

    fn want(&mut self, value: &Value) {
        match value {
            Value::Object(object) => {
                let reference = object.get("$ref").and_then(Value::as_str).and_then(file_of);
                if let Some((file, definition)) = reference.and_then(|uri| uri.split_once("#/definitions/")) {
                    self.wanted.entry(file.into()).or_default().insert(definition.into());
                }
                object.values().for_each(|value| self.want(value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.want(item)),
            _ => {}
        }
    }

    /// A file as others refer to it. A resource is a link there: with the whole of it in its place, and the whole of what it
    /// links to, every schema would hold all others many times over. What has no file here fits nothing.
    fn referred(&self, file: &str) -> Value {
        let mut schema = self.files.get(file).cloned().unwrap_or_else(|| json!({ "definitions": {} }));
        let definitions = schema["definitions"].as_object_mut().unwrap();
        for name in self.wanted.get(file).into_iter().flatten() {
            definitions.entry(name).or_insert(json!(false));
        }
        let link = json!({ "$ref": format!("{}odata-v4.json#/definitions/idRef", HOMES[0]) });
        if let Some(own) = file.strip_suffix(".json").and_then(|name| definitions.get_mut(name)) {
            let may_be_link = own["anyOf"].as_array().is_some_and(|any| any.contains(&link));
            if may_be_link || !self.files.contains_key(file) {
                *own = link;
            }
        }
        schema
    }
}

impl Retrieve for SettingsStore {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        Ok(self.0.referred(file_of(uri.as_str()).ok_or("not one of DMTF's")?))
    }
}

static VALIDATORS: LazyLock<Mutex<BTreeMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

fn validator(file: &str) -> Arc<Validator> {
    let make = || {
        let schema = LIBRARY.files.get(file);
        let schema =
            schema.unwrap_or_else(|| panic!("tests/fixtures/redfish-schemas lacks {file}: add it from DSP8010"));
        let options = jsonschema::options().with_draft(Draft::Draft7).with_retriever(SettingsStore(LIBRARY.clone()));
        Arc::new(options.build(schema).unwrap())
    };
    VALIDATORS.lock().unwrap().entry(file.to_owned()).or_insert_with(make).clone()
}

/// What is wrong with a body, by the schema in this file.
fn faults_by(file: &str, body: &Value) -> Vec<String> {
    validator(file).iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// What is wrong with a resource, by the schema of its `@odata.type`.
pub fn faults(body: &Value) -> Vec<String> {
    let kind = body["@odata.type"].as_str().unwrap().strip_prefix('#').unwrap();
    let (schema, name) = kind.rsplit_once('.').unwrap();
    assert!(schema == name || schema.starts_with(&format!("{name}.v")), "{kind}");
    faults_by(&format!("{schema}.json"), body)
}

/// What is wrong with the body of an error.
pub fn error_faults(body: &Value) -> Vec<String> {
    faults_by("redfish-error.v1_0_2.json", body)
}

#[test]
fn the_schemas_find_what_is_wrong() {
    let good = json!({
        "@odata.id": "/redfish/v1/Chassis/n", "@odata.type": "#Chassis.v1_28_0.Chassis", "Id": "n", "Name": "n",
        "ChassisType": "StandAlone", "Status": { "State": "Enabled", "Health": "OK" },
        "Links": { "ManagedBy": [{ "@odata.id": "/redfish/v1/Managers/n" }] },
    });
    assert_eq!(faults(&good), Vec::<String>::new());
    for (pointer, wrong) in [
        ("/ChassisType", json!("Standalone")),
        ("/Status/Health", json!("Fine")),
        ("/Status", json!({ "HealthRollUp": "OK" })),
        ("/Name", json!(5)),
        ("/Name", Value::Null),
        ("/Links/ManagedBy/0", json!("/redfish/v1/Managers/n")),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = wrong;
        assert!(!faults(&bad).is_empty(), "{bad}");
    }
    for (name, value) in [("Odd", json!(1)), ("PowerState", json!("on")), ("EnvironmentMetrics", json!("/x"))] {
        let mut bad = good.clone();
        bad[name] = value;
        assert!(!faults(&bad).is_empty(), "{bad}");
    }
    let mut short = good;
    short.as_object_mut().unwrap().remove("ChassisType");
    assert!(!faults(&short).is_empty());
    assert!(!error_faults(&json!({ "error": { "code": "Base.1.22.GeneralError" } })).is_empty());
}
