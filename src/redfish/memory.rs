//! Schema Memory: the memory modules of a machine that reports them. If none is known, nothing links to this.

use serde_json::json;

use super::GetRequest;
use super::message::ErrorResponse;
use super::resource::{self, MEMORY, MEMORY_MODULE, Resource, at};
use super::schema;
use crate::node::view::NodeView;

/// `GET /redfish/v1/Systems/{id}/Memory`.
pub(crate) fn collection(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    if view.inventory.memory.is_empty() {
        return Err(seen.not_found());
    }
    let uri = at(MEMORY, &[&view.id]);
    let members = (0..view.inventory.memory.len()).map(|index| at(MEMORY_MODULE, &[&view.id, &index]));
    Ok(Resource::collection(&uri, schema::MEMORY_COLLECTION, "Memory", members))
}

/// `GET /redfish/v1/Systems/{id}/Memory/{index}`.
pub(crate) fn memory(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let (index, module) = seen.indexed(&view.inventory.memory)?;
    let properties = json!({
        "MemoryType": "DRAM",
        "MemoryDeviceType": module.kind,
        "BaseModuleType": module.module,
        "CapacityMiB": module.capacity_mib,
        "OperatingSpeedMhz": module.speed_mhz,
        "Manufacturer": module.manufacturer,
        "PartNumber": module.part_number,
        "SerialNumber": module.serial,
        "Location": module.locator.as_ref().map(|label| json!({ "PartLocation": { "ServiceLabel": label } })),
        "Status": resource::present(),
    });
    let uri = at(MEMORY_MODULE, &[&view.id, &index]);
    Ok(Resource::new(&uri, schema::MEMORY, &index.to_string(), &format!("Memory module {index}"), properties))
}
