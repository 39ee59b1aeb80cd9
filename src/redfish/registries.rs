//! Schemas MessageRegistryFile and MessageRegistry: the registries of the messages in use, for clients that cannot
//! reach the internet.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::message::{self, ErrorResponse};
use super::resource::{REGISTRIES, REGISTRY, REGISTRY_FILE, Resource, at};
use super::schema;
use super::{Document, GetRequest};

/// A parsed registry.
struct Registry(Value);

/// Without what the schema deprecates: beside `MessageSeverity`, DMTF's files have `Severity` for old readers.
fn read(text: &str) -> Option<Registry> {
    let mut registry: Value = serde_json::from_str(text).ok()?;
    for (_, message) in registry.get_mut("Messages")?.as_object_mut()? {
        message.as_object_mut()?.remove("Severity");
    }
    Some(Registry(registry))
}

static ALL: LazyLock<Vec<Registry>> =
    LazyLock::new(|| message::REGISTRIES.iter().filter_map(|text| read(text)).collect());

impl Registry {
    fn text(&self, property: &str) -> &str {
        self.0.get(property).and_then(Value::as_str).unwrap_or("")
    }

    /// `Base`: which one it is, whatever its version.
    fn id(&self) -> &str {
        self.text("RegistryPrefix")
    }

    /// `Base.1.22.1`.
    fn full(&self) -> &str {
        self.text("Id")
    }

    fn uri(&self) -> String {
        at(REGISTRY_FILE, &[&self.id()])
    }

    fn file_uri(&self) -> String {
        at(REGISTRY, &[&self.id(), &self.full()])
    }
}

fn find(seen: &GetRequest<'_>) -> Result<&'static Registry, ErrorResponse> {
    ALL.iter().find(|registry| registry.id() == seen.id(0)).ok_or_else(|| seen.not_found())
}

/// `GET /redfish/v1/Registries`.
pub(crate) fn collection(_: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let members = ALL.iter().map(Registry::uri);
    Ok(Resource::collection(REGISTRIES, schema::MESSAGE_REGISTRY_FILE_COLLECTION, "Registry Files", members))
}

/// `GET /redfish/v1/Registries/{registry}`.
pub(crate) fn file(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let registry = find(seen)?;
    let (language, full) = (registry.text("Language"), registry.full());
    let is_published = registry.text("OwningEntity") == "DMTF";
    let version = registry.text("RegistryVersion");
    let properties = json!({
        "Languages": [language],
        // Two parts of the version, as the schema wants it.
        "Registry": format!("{}.{}", registry.id(), version.rsplit_once('.').map_or(version, |(minor, _)| minor)),
        "Location": [{
            "Language": language,
            "Uri": registry.file_uri(),
            "PublicationUri": is_published.then(|| format!("https://redfish.dmtf.org/registries/{full}.json")),
        }],
    });
    Ok(Resource::new(&registry.uri(), schema::MESSAGE_REGISTRY_FILE, registry.id(), registry.text("Name"), properties))
}

/// `GET /redfish/v1/Registries/{registry}/{registry with its version}`: the registry itself.
pub(crate) fn registry(seen: &GetRequest<'_>) -> Result<Document, ErrorResponse> {
    let registry = find(seen)?;
    if seen.id(1) != registry.full() {
        return Err(seen.not_found());
    }
    Ok(Document::Json(registry.0.clone()))
}
