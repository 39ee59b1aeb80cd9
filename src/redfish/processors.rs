//! Schema Processor: the known properties of a node's processors. If none is known, nothing links to this.

use serde_json::json;

use super::GetRequest;
use super::message::ErrorResponse;
use super::resource::{self, PROCESSOR, PROCESSORS, Resource, at};
use super::schema;
use crate::node::Architecture;
use crate::node::view::NodeView;

/// `GET /redfish/v1/Systems/{id}/Processors`.
pub(crate) fn collection(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    if view.inventory.processors.is_empty() {
        return Err(seen.not_found());
    }
    let uri = at(PROCESSORS, &[&view.id]);
    let members = (0..view.inventory.processors.len()).map(|index| at(PROCESSOR, &[&view.id, &index]));
    Ok(Resource::collection(&uri, schema::PROCESSOR_COLLECTION, "Processors", members))
}

/// `GET /redfish/v1/Systems/{id}/Processors/{index}`.
pub(crate) fn processor(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let (index, processor) = seen.indexed(&view.inventory.processors)?;
    let (architecture, instruction_set) = match processor.architecture {
        Some(Architecture::X86_64) => (Some("x86"), Some("x86-64")),
        Some(Architecture::ArmA64) => (Some("ARM"), Some("ARM-A64")),
        None => (None, None),
    };
    let properties = json!({
        "ProcessorType": "CPU",
        "Socket": processor.socket,
        "InstructionSet": instruction_set,
        "Manufacturer": processor.manufacturer,
        "Model": processor.model,
        "MaxSpeedMHz": processor.max_speed_mhz,
        "TotalCores": processor.cores,
        "Status": resource::present(),
    });
    let uri = at(PROCESSOR, &[&view.id, &index]);
    Ok(Resource::new(&uri, schema::PROCESSOR, &index.to_string(), &format!("Processor {index}"), properties)
        // Null where not known, since Ironic's profile wants to see them.
        .with("ProcessorArchitecture", json!(architecture))
        .with("TotalThreads", json!(processor.threads)))
}
