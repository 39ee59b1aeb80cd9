//! Schema SimpleStorage: the drives of a machine as one list, since their controllers and volumes, which the schema
//! Storage requires, are unknown. Ironic's inspection reads their sizes here; the other properties of a drive are in
//! its own resource, under the chassis.

use serde_json::json;

use super::GetRequest;
use super::message::ErrorResponse;
use super::resource::{self, Resource, SIMPLE_STORAGE, SIMPLE_STORAGES, at, link};
use super::schema;
use crate::node::view::NodeView;

/// The only member of the collection.
const ID: &str = "1";

fn check(view: &NodeView, seen: &GetRequest<'_>) -> Result<(), ErrorResponse> {
    if view.inventory.drives.is_empty() { Err(seen.not_found()) } else { Ok(()) }
}

/// `GET /redfish/v1/Systems/{id}/SimpleStorage`.
pub(crate) fn collection(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    check(view, seen)?;
    let members = std::iter::once(at(SIMPLE_STORAGE, &[&view.id, &ID]));
    Ok(Resource::collection(
        &at(SIMPLE_STORAGES, &[&view.id]),
        schema::SIMPLE_STORAGE_COLLECTION,
        "Simple Storage",
        members,
    ))
}

/// `GET /redfish/v1/Systems/{id}/SimpleStorage/1`.
pub(crate) fn storage(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    check(view, seen)?;
    if seen.id(1) != ID {
        return Err(seen.not_found());
    }
    let device = |drive: &crate::node::Drive| {
        json!({
            "Name": drive.name,
            "Model": drive.model,
            "CapacityBytes": drive.capacity_bytes,
            "Status": resource::present(),
        })
    };
    let properties = json!({
        "Devices": view.inventory.drives.iter().map(device).collect::<Vec<_>>(),
        "Links": { "Chassis": link(&resource::chassis(&view.id)) },
        "Status": resource::present(),
    });
    Ok(Resource::new(
        &at(SIMPLE_STORAGE, &[&view.id, &ID]),
        schema::SIMPLE_STORAGE,
        ID,
        "Drives of the machine",
        properties,
    ))
}
