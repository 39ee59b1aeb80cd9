//! Schema ComputerSystem: the node as Ironic, Metal3 and people see it. Reset and the boot override are here.

use serde_json::{Value, json};

use super::body::{Body, choice};
use super::message::Fault;
use super::resource::{self, Etag, Resource, SYSTEMS, link};
use super::{Asked, Document, Pending, Reply, Seen};
use crate::node::view::NodeView;
use crate::node::{BootEnabled, BootMode, BootPatch, BootTarget, Inventory, ResetType};

/// `GET /redfish/v1/Systems`.
pub fn collection(seen: &Seen<'_>) -> Result<Resource, Fault> {
    let table = seen.service.fleet.table();
    let members = table.keys().map(resource::system);
    Ok(Resource::collection(SYSTEMS, "ComputerSystemCollection", "Computer Systems", members))
}

/// `GET /redfish/v1/Systems/{id}`.
pub fn system(view: &NodeView, _: &Seen<'_>) -> Result<Resource, Fault> {
    Ok(resource(view))
}

/// The system of a node.
pub fn resource(view: &NodeView) -> Resource {
    let uri = resource::system(&view.id);
    let inventory = &view.inventory;
    let properties = json!({
        "SystemType": "Physical",
        "UUID": inventory.uuid.unwrap_or_else(|| view.id.uuid()).to_string(),
        "Manufacturer": inventory.manufacturer,
        "Model": inventory.model,
        "SerialNumber": inventory.serial,
        "Status": resource::status(view),
        "Boot": boot(view),
        "ProcessorSummary": processor_summary(inventory),
        "MemorySummary": inventory.memory_gib.map(|gib| json!({
            "TotalSystemMemoryGiB": gib,
            "Status": resource::present(),
        })),
        "Processors": (!inventory.processors.is_empty()).then(|| link(&format!("{uri}/Processors"))),
        "EthernetInterfaces": (!inventory.nics.is_empty()).then(|| link(&format!("{uri}/EthernetInterfaces"))),
        "Links": {
            "Chassis": [link(&resource::chassis(&view.id))],
            "ManagedBy": [link(&resource::manager(&view.id))],
        },
        "Actions": {
            "#ComputerSystem.Reset": {
                "target": format!("{uri}/Actions/ComputerSystem.Reset"),
                "ResetType@Redfish.AllowableValues": view.resets.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
            },
        },
    });
    Resource::new(&uri, "ComputerSystem.v1_27_0", view.id.as_str(), &format!("Node {}", view.id), properties)
        // Null only before the first contact of the node's life.
        .with("PowerState", json!(view.power.map(|power| power.to_string())))
        .with_etag(etag(view))
}

/// Moves only with what a client can write, so that a PATCH with `If-Match` is not refused for a change of power.
fn etag(view: &NodeView) -> Etag {
    Etag::OfWrites(format!("\"{:x}\"", view.writes))
}

/// The change numbers that an `If-Match` header accepts; `None` when it accepts anything.
fn accepted_numbers(if_match: Option<&str>) -> Option<Vec<u64>> {
    let tags = if_match?;
    if tags.split(',').any(|tag| tag.trim() == "*") {
        return None;
    }
    let number = |tag: &str| {
        let hex = tag.trim().strip_prefix('"')?.strip_suffix('"')?;
        // Only what we issued ourselves: no sign, no leading zero, no upper case.
        u64::from_str_radix(hex, 16).ok().filter(|number| format!("{number:x}") == hex)
    };
    Some(tags.split(',').filter_map(number).collect())
}

fn boot(view: &NodeView) -> Value {
    let names = |targets: &[BootTarget]| targets.iter().map(|target| target.name()).collect::<Vec<_>>();
    json!({
        "BootSourceOverrideEnabled": view.boot.enabled.name(),
        "BootSourceOverrideEnabled@Redfish.AllowableValues": BootEnabled::ALL.map(BootEnabled::name),
        "BootSourceOverrideTarget": view.boot.target.name(),
        "BootSourceOverrideTarget@Redfish.AllowableValues": names(&view.boot_targets),
        "BootSourceOverrideMode": view.boot.mode.name(),
        "BootSourceOverrideMode@Redfish.AllowableValues": BootMode::ALL.map(BootMode::name),
    })
}

fn processor_summary(inventory: &Inventory) -> Option<Value> {
    let processors = &inventory.processors;
    let first = processors.first()?;
    let sum = |of: fn(&crate::node::Processor) -> Option<u32>| -> Option<u32> {
        processors.iter().map(of).collect::<Option<Vec<u32>>>().map(|counts| counts.iter().sum())
    };
    Some(json!({
        "Count": processors.len(),
        "Model": first.model,
        "CoreCount": sum(|processor| processor.cores),
        "LogicalProcessorCount": sum(|processor| processor.threads),
        "Status": resource::present(),
    }))
}

/// `POST /redfish/v1/Systems/{id}/Actions/ComputerSystem.Reset`.
pub fn reset(asked: Asked<'_>) -> Pending<'_> {
    Box::pin(async move {
        const ACTION: &str = "ComputerSystem.Reset";
        let node = asked.seen.node()?;
        let resets = node.view().resets.clone();
        let names: Vec<&str> = resets.iter().map(|kind| kind.name()).collect();
        let mut kind = None;
        for (name, value) in asked.body.object()? {
            match (name.as_str(), value) {
                ("ResetType", Value::String(text)) => {
                    let known = ResetType::from_name(text).filter(|kind| resets.contains(kind));
                    let unknown = || Fault::bad_request("ActionParameterValueNotInList", &[text, "ResetType", ACTION]);
                    kind = Some(known.ok_or_else(|| with_choice(unknown(), &names))?);
                }
                ("ResetType", other) => {
                    let args = [&other.to_string(), "ResetType", ACTION];
                    return Err(Fault::bad_request("ActionParameterValueTypeError", &args));
                }
                (name, _) if name.starts_with('@') => {}
                (name, _) => return Err(Fault::bad_request("ActionParameterUnknown", &[ACTION, name])),
            }
        }
        let Some(kind) = kind else {
            return Err(with_choice(Fault::bad_request("ActionParameterMissing", &[ACTION, "ResetType"]), &names));
        };
        asked.seen.service.fleet.reset(&node, kind, asked.seen.caller.name.to_string()).await?;
        Ok(Reply::NoContent)
    })
}

/// Says which values there are, where the registry's text does not.
fn with_choice(mut fault: Fault, names: &[&str]) -> Fault {
    if let Some(message) = fault.messages.first_mut() {
        message.advise(&format!("Choose one of {}.", names.join(", ")));
    }
    fault
}

/// `PATCH /redfish/v1/Systems/{id}`: any subset of the properties of `Boot`.
pub fn patch(asked: Asked<'_>) -> Pending<'_> {
    Box::pin(async move {
        let node = asked.seen.node()?;
        let numbers = accepted_numbers(asked.if_match);
        // A stale condition is said before any complaint about the body; it is checked again where the change is made.
        if numbers.as_ref().is_some_and(|numbers| !numbers.contains(&node.view().writes)) {
            return Err(Fault::precondition_failed());
        }
        let current = resource(&node.view()).body;
        let mut body = Body::of(asked.body.object()?, &current);
        let mut patch = BootPatch::default();
        let targets = node.view().boot_targets.clone();
        body.inner("Boot", |boot| {
            patch.enabled = boot.take("BootSourceOverrideEnabled", choice(&BootEnabled::ALL, BootEnabled::name));
            patch.target = boot.take("BootSourceOverrideTarget", choice(&targets, BootTarget::name));
            patch.mode = boot.take("BootSourceOverrideMode", choice(&BootMode::ALL, BootMode::name));
        });
        let left_out = body.finish_in_part(patch != BootPatch::default())?;
        asked.seen.service.fleet.patch_boot(&node, patch, numbers).await?;
        Ok(Reply::Document(Document::Resource(resource(&node.view()).with_remarks(&left_out))))
    })
}
