//! Schema Drive: the drives of a machine, from nodes.yaml or as the machine reports them.

use serde_json::json;

use super::GetRequest;
use super::message::ErrorResponse;
use super::resource::{self, DRIVE, DRIVES, Resource, at};
use super::schema;
use crate::node::view::NodeView;

/// `GET /redfish/v1/Chassis/{id}/Drives`.
pub(crate) fn collection(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    if view.inventory.drives.is_empty() {
        return Err(seen.not_found());
    }
    let members = (0..view.inventory.drives.len()).map(|index| at(DRIVE, &[&view.id, &index]));
    Ok(Resource::collection(&at(DRIVES, &[&view.id]), schema::DRIVE_COLLECTION, "Drives", members))
}

/// `GET /redfish/v1/Chassis/{id}/Drives/{index}`.
pub(crate) fn drive(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let (index, drive) = seen.indexed(&view.inventory.drives)?;
    let properties = json!({
        "CapacityBytes": drive.capacity_bytes,
        "Model": drive.model,
        "SerialNumber": drive.serial,
        "Status": resource::present(),
    });
    let uri = at(DRIVE, &[&view.id, &index]);
    Ok(Resource::new(&uri, schema::DRIVE, &index.to_string(), &drive.name, properties)
        // Null where not known, since Ironic's profile wants to see them.
        .with("MediaType", json!(drive.media))
        .with("Protocol", json!(drive.protocol)))
}
