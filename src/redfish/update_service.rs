//! Schemas UpdateService and SoftwareInventory: the firmware that devices and machines report. Nothing can be updated
//! here, so no action is offered.

use serde_json::json;

use super::GetRequest;
use super::message::ErrorResponse;
use super::resource::{self, FIRMWARE, FIRMWARE_INVENTORY, Resource, UPDATE_SERVICE, at, link};
use super::schema;
use crate::node::view::NodeView;

/// What of a node has firmware; its name is the end of the member's id.
#[derive(Clone, Copy)]
enum Part {
    /// The plug, strip or engine.
    Device,
    /// The firmware of the machine.
    Bios,
}

impl Part {
    const ALL: [Part; 2] = [Part::Device, Part::Bios];

    const fn name(self) -> &'static str {
        match self {
            Part::Device => "Manager",
            Part::Bios => "BIOS",
        }
    }

    /// What was seen; `None` where nothing was.
    fn version(self, view: &NodeView) -> Option<&str> {
        match self {
            Part::Device => view.about.as_ref()?.firmware.as_deref(),
            Part::Bios => view.inventory.bios_version.as_deref(),
        }
    }
}

/// Ids of nodes may have dots in them, and none of these names does.
fn member_id(view: &NodeView, part: Part) -> String {
    format!("{}.{}", view.id, part.name())
}

/// `GET /redfish/v1/UpdateService`.
pub(crate) fn service(_: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let properties = json!({
        "Description": "Which firmware runs where. It is not updated here.",
        "Status": resource::present(),
        "FirmwareInventory": link(FIRMWARE_INVENTORY),
    });
    Ok(Resource::new(UPDATE_SERVICE, schema::UPDATE_SERVICE, "UpdateService", "Update Service", properties))
}

/// `GET /redfish/v1/UpdateService/FirmwareInventory`.
pub(crate) fn collection(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let table = seen.service.fleet.table();
    let of = |view: &NodeView| -> Vec<String> {
        let known = Part::ALL.into_iter().filter(|part| part.version(view).is_some());
        known.map(|part| at(FIRMWARE, &[&member_id(view, part)])).collect()
    };
    let members: Vec<String> = seen.visible(&table).flat_map(|node| of(&node.view())).collect();
    let schema = schema::SOFTWARE_INVENTORY_COLLECTION;
    Ok(Resource::collection(FIRMWARE_INVENTORY, schema, "Firmware Inventory", members.into_iter()))
}

/// `GET /redfish/v1/UpdateService/FirmwareInventory/{id}`.
pub(crate) fn firmware(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let (node, part) = seen.id(0).rsplit_once('.').ok_or_else(|| seen.not_found())?;
    let part = Part::ALL.into_iter().find(|known| known.name() == part).ok_or_else(|| seen.not_found())?;
    let view = seen.find_node(node).map(|node| node.view().clone()).ok_or_else(|| seen.not_found())?;
    let version = part.version(&view).ok_or_else(|| seen.not_found())?;
    let (name, manufacturer, of) = match part {
        Part::Device => {
            let manufacturer = view.about.as_ref().and_then(|about| about.manufacturer.clone());
            (format!("Firmware of {}", view.device), manufacturer, resource::manager(&view.id))
        }
        Part::Bios => (format!("BIOS of {}", view.id), None, resource::system(&view.id)),
    };
    let properties = json!({
        "Version": version,
        "Manufacturer": manufacturer,
        "Updateable": false,
        "Status": resource::present(),
        "RelatedItem": [link(&of)],
        "RelatedItem@odata.count": 1,
    });
    let id = member_id(&view, part);
    Ok(Resource::new(&at(FIRMWARE, &[&id]), schema::SOFTWARE_INVENTORY, &id, &name, properties))
}
