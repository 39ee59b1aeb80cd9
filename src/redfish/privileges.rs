//! Checks the sitemap against DMTF's privilege registry, so that the privileges of a route are those of the standard.
//!
//! The schema of a route is its entity in the registry.

use serde_json::Value;

use super::resource::{TRACE_OF_NODE, TRUST_OF_NODE, VERSIONS};
use super::{SITEMAP, schema};
use crate::http::auth::Privilege;

/// DMTF's registry, as published.
const REGISTRY: &str = include_str!("../../tests/fixtures/privileges/Redfish_1.8.0_PrivilegeRegistry.json");

/// Where a route asks for less than the registry's table says, and why that is right.
const LESS: &[(&str, &str, Privilege, &str)] = &[
    ("SessionCollection", "POST", Privilege::None, "a client that logs in is not logged in yet"),
    (
        "ManagerAccount",
        "PATCH",
        Privilege::ConfigureSelf,
        "its property override: the own password, which `accounts.rs` judges",
    ),
];

/// The alternatives that the registry has for an operation on an entity.
fn published(registry: &Value, entity: &str, method: &str) -> Vec<String> {
    let mapping = registry["Mappings"].as_array().unwrap().iter().find(|mapping| mapping["Entity"] == entity);
    let mapping = mapping.unwrap_or_else(|| panic!("the registry has no {entity}"));
    let alternatives = mapping["OperationMap"][method].as_array().unwrap();
    alternatives.iter().map(|one| one["Privilege"][0].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_route_asks_for_what_the_registry_says() {
    let registry: Value = serde_json::from_str(REGISTRY).unwrap();
    let mut wrong = Vec::new();
    for route in SITEMAP {
        let entity = route.schema.map(schema::name);
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            let Some(asks) = route.privilege(method) else { continue };
            let fits = match entity {
                None if route.path.starts_with(VERSIONS) => asks == Privilege::None && method == "GET",
                // Beside Redfish: what is shown of nodes needs a login, what passes between us and a device, or
                // decides what a device must prove, the manager's privilege.
                None if route.path == TRACE_OF_NODE => asks == Privilege::ConfigureManager && method == "GET",
                None if route.path == TRUST_OF_NODE => asks == Privilege::ConfigureManager,
                None => asks == Privilege::Login && method == "GET",
                Some(entity) => {
                    let less = LESS.iter().any(|(of, on, less, _)| (*of, *on, *less) == (entity, method, asks));
                    less || published(&registry, entity, method).iter().any(|name| name == asks.name())
                }
            };
            if !fits {
                wrong.push(format!("{method} {}: {} is not what the registry says", route.path, asks.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
