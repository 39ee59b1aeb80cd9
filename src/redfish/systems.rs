//! Schema ComputerSystem: the node as Ironic, Metal3 and people see it, with Reset and the boot override.

use actix_web::http::Uri;
use serde_json::{Map, Value, json};

use super::body::{Bad, Body, choice, text};
use super::message::{ErrorResponse, Message};
use super::resource::{
    self, Etag, MEMORY, PROCESSORS, Resource, SIMPLE_STORAGES, SYSTEM_INTERFACES, SYSTEM_LOGS, SYSTEM_RESET, SYSTEMS,
    at, link,
};
use super::schema;
use super::{Document, GetRequest, Pending, Reply, WriteRequest};
use crate::node::device::PowerRestore;
use crate::node::view::NodeView;
use crate::node::{BootEnabled, BootMode, BootOverride, BootPatch, BootTarget, Inventory, Power, Refusal, ResetType};

/// `GET /redfish/v1/Systems`.
pub(crate) fn collection(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let table = seen.service.fleet.table();
    let members = seen.visible(&table).map(|node| resource::system(&node.id));
    Ok(Resource::collection(SYSTEMS, schema::COMPUTER_SYSTEM_COLLECTION, "Computer Systems", members))
}

/// `GET /redfish/v1/Systems/{id}`.
pub(crate) fn system(view: &NodeView, _: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    Ok(resource(view))
}

/// The system of a node.
pub(crate) fn resource(view: &NodeView) -> Resource {
    let uri = resource::system(&view.id);
    let inventory = &view.inventory;
    let uuid = inventory.uuid.or(view.about.as_ref().and_then(|about| about.uuid));
    let part = |part: &str, is_there: bool| is_there.then(|| link(&at(part, &[&view.id])));
    let properties = json!({
        "SystemType": "Physical",
        "UUID": uuid.unwrap_or_else(|| view.id.uuid()).to_string(),
        "Manufacturer": inventory.manufacturer,
        "Model": inventory.model,
        "SerialNumber": inventory.serial,
        "HostName": inventory.host_name,
        "BiosVersion": inventory.bios_version,
        "PowerRestorePolicy": view.about.as_ref().and_then(|about| about.power_restore).map(PowerRestore::name),
        "PowerRestorePolicy@Redfish.AllowableValues": power_restore_policies(view),
        "Status": resource::status_in(view, state(view)),
        "ProcessorSummary": processor_summary(inventory),
        "MemorySummary": memory_gib(inventory).map(|gib| json!({
            "TotalSystemMemoryGiB": gib,
        })),
        "Processors": part(PROCESSORS, !inventory.processors.is_empty()),
        "Memory": part(MEMORY, !inventory.memory.is_empty()),
        "SimpleStorage": part(SIMPLE_STORAGES, !inventory.drives.is_empty()),
        "EthernetInterfaces": part(SYSTEM_INTERFACES, !inventory.nics.is_empty()),
        "LogServices": part(SYSTEM_LOGS.services, view.event_log.is_some()),
        "Links": {
            "Chassis": [link(&resource::chassis(&view.id))],
            "ManagedBy": [link(&resource::manager(&view.id))],
        },
        "Actions": {
            "#ComputerSystem.Reset": {
                "target": at(SYSTEM_RESET, &[&view.id]),
                "ResetType@Redfish.AllowableValues": reset_types(view),
            },
        },
    });
    // Its name is its id: Tinkerbell finds a system by `Name`.
    Resource::new(&uri, schema::COMPUTER_SYSTEM, view.id.as_str(), view.id.as_str(), properties)
        .with("Boot", boot(view))
        .with("PowerState", resource::power_state(view))
        .with_etag(etag(view))
}

/// What a client may write as the policy, where the device can be told.
fn power_restore_policies(view: &NodeView) -> Option<[&'static str; 3]> {
    view.sets_power_restore.then(|| PowerRestore::ALL.map(PowerRestore::name))
}

/// What may be asked of the power of a node now.
pub(crate) fn reset_types(view: &NodeView) -> Vec<&'static str> {
    view.resets.iter().map(|kind| kind.name()).collect()
}

/// `Status.State`: a command that ends in a boot shows for as long as it is carried out, since not every restart passes
/// through `Off`.
fn state(view: &NodeView) -> &'static str {
    use ResetType::{ForceOff, GracefulShutdown, Nmi};
    match (&view.command, view.power) {
        (Some(command), _) if !matches!(command.reset, ForceOff | GracefulShutdown | Nmi) => "Starting",
        (_, Some(Power::Asleep)) => "StandbyOffline",
        _ => "Enabled",
    }
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
    let mut boot = Map::new();
    let mut show = |name: &str, value: Value| boot.insert(name.into(), value);
    show("BootSourceOverrideEnabled", json!(view.boot.enabled.name()));
    show("BootSourceOverrideEnabled@Redfish.AllowableValues", json!(BootEnabled::ALL.map(BootEnabled::name)));
    show("BootSourceOverrideTarget", json!(view.boot.target.name()));
    show("BootSourceOverrideTarget@Redfish.AllowableValues", json!(names(&view.boot_targets)));
    let modes: Vec<&str> = view.boot_modes.iter().map(|mode| mode.name()).collect();
    show("BootSourceOverrideMode", json!(view.boot.mode.name()));
    show("BootSourceOverrideMode@Redfish.AllowableValues", json!(modes));
    if loads_over_http(view) {
        // Null where there is none: sushy writes it only where it can read it.
        show("HttpBootUri", json!(view.boot.http_boot_uri));
    }
    Value::Object(boot)
}

fn loads_over_http(view: &NodeView) -> bool {
    view.boot_targets.contains(&BootTarget::UefiHttp)
}

/// What the operator says, else the sum of the modules when the size of each is known.
fn memory_gib(inventory: &Inventory) -> Option<f64> {
    let modules = || -> Option<f64> {
        let sizes: Option<Vec<u64>> = inventory.memory.iter().map(|module| module.capacity_mib).collect();
        let mib = u32::try_from(sizes.filter(|sizes| !sizes.is_empty())?.iter().sum::<u64>()).ok()?;
        Some(f64::from(mib) / 1024.0)
    };
    inventory.memory_gib.or_else(modules)
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
    }))
}

/// `POST /redfish/v1/Systems/{id}/Actions/ComputerSystem.Reset`.
pub(crate) fn reset(asked: WriteRequest<'_>) -> Pending<'_> {
    reset_by(asked, "ComputerSystem.Reset")
}

/// `POST /redfish/v1/Chassis/{id}/Actions/Chassis.Reset`: a chassis holds its one system and nothing else, so that this is the
/// reset of the system.
pub(crate) fn reset_chassis(asked: WriteRequest<'_>) -> Pending<'_> {
    reset_by(asked, "Chassis.Reset")
}

fn reset_by<'a>(asked: WriteRequest<'a>, action: &'static str) -> Pending<'a> {
    Box::pin(async move {
        let node = asked.seen.node()?;
        let resets = node.view().resets.clone();
        let names: Vec<&str> = resets.iter().map(|kind| kind.name()).collect();
        let mut kind = None;
        for (name, value) in asked.body.object()? {
            match (name.as_str(), value) {
                ("ResetType", Value::String(text)) => {
                    // What the node offers is decided where its state is known best.
                    let known = ResetType::from_name(text);
                    let unknown =
                        || ErrorResponse::bad_request("ActionParameterValueNotInList", &[text, "ResetType", action]);
                    kind = Some(known.ok_or_else(|| with_choice(unknown(), &names))?);
                }
                ("ResetType", other) => {
                    let args = [&other.to_string(), "ResetType", action];
                    return Err(ErrorResponse::bad_request("ActionParameterValueTypeError", &args));
                }
                (name, _) if name.starts_with('@') => {}
                (name, _) => return Err(ErrorResponse::bad_request("ActionParameterUnknown", &[action, name])),
            }
        }
        let Some(kind) = kind else {
            return Err(with_choice(
                ErrorResponse::bad_request("ActionParameterMissing", &[action, "ResetType"]),
                &names,
            ));
        };
        match asked.seen.service.fleet.reset(&node, kind, asked.seen.caller.name.to_string()).await {
            Ok(()) => Ok(Reply::NoContent),
            Err(Refusal::Unsupported { what, .. }) => {
                let unknown =
                    ErrorResponse::bad_request("ActionParameterValueNotInList", &[&what, "ResetType", action]);
                Err(with_choice(unknown, &names))
            }
            Err(refusal) => Err(refusal.into()),
        }
    })
}

/// Says which values there are, where the registry's text does not.
fn with_choice(mut fault: ErrorResponse, names: &[&str]) -> ErrorResponse {
    if let Some(message) = fault.messages.first_mut() {
        message.advise(&format!("Choose one of {}.", names.join(", ")));
    }
    fault
}

/// `PATCH /redfish/v1/Systems/{id}`: any subset of the properties of `Boot`, and `PowerRestorePolicy` where the device can be told.
pub(crate) fn patch(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let node = asked.seen.node()?;
        let numbers = accepted_numbers(asked.if_match);
        // A stale condition is said before any complaint about the body; it is checked again where the change is made.
        if numbers.as_ref().is_some_and(|numbers| !numbers.contains(&node.view().writes)) {
            return Err(ErrorResponse::precondition_failed());
        }
        let view = node.view().clone();
        let current = resource(&view).body;
        let mut body = Body::of(asked.body.object()?, &current);
        let mut patch = BootPatch::default();
        body.inner("Boot", |boot| {
            patch.enabled = boot.take("BootSourceOverrideEnabled", choice(&BootEnabled::ALL, BootEnabled::name));
            patch.target = boot.take("BootSourceOverrideTarget", choice(&view.boot_targets, BootTarget::name));
            patch.mode = boot.take("BootSourceOverrideMode", choice(view.boot_modes, BootMode::name));
            // What this node does not show is not taken either, and so is unknown here.
            if loads_over_http(&view) {
                patch.http_boot_uri = boot.take("HttpBootUri", boot_uri);
            }
        });
        let restore = match view.sets_power_restore {
            true => body.take("PowerRestorePolicy", choice(&PowerRestore::ALL, PowerRestore::name)),
            false => None,
        };
        let mut remarks = body.finish_in_part(patch != BootPatch::default() || restore.is_some())?;
        if lacks_uri(&patch, &view.boot) {
            let message = Message::base("PropertyMissing", &["HttpBootUri"]).about("Boot/HttpBootUri");
            return Err(ErrorResponse::new(400, message));
        }
        let by = asked.seen.caller.name.to_string();
        let fleet = &asked.seen.service.fleet;
        // First what is durable at once. What the device does not do then is told beside it.
        let changes_boot = patch != BootPatch::default() || restore.is_none();
        if changes_boot {
            fleet.patch_boot(&node, patch, by.clone(), numbers.clone()).await?;
        }
        if let Some(policy) = restore {
            let numbers = numbers.filter(|_| !changes_boot);
            match fleet.set_power_restore(&node, policy, by, numbers).await {
                Ok(()) => {}
                Err(refusal) if changes_boot => remarks.append(&mut ErrorResponse::from(refusal).messages),
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Ok(Reply::Document(Document::Resource(resource(&node.view()).with_remarks(&remarks))))
    })
}

/// Longest `HttpBootUri`: firmware that boots over HTTP has room for this many bytes.
const BOOT_URI_BYTES_MAX: usize = 300;

/// `HttpBootUri`, or null to take it away. Such firmware loads over HTTPS and nothing else.
fn boot_uri(value: &Value) -> Result<Option<String>, Bad> {
    if value.is_null() {
        return Ok(None);
    }
    let text = text(value)?;
    let uri: Uri = text.parse().map_err(|_| Bad::Format)?;
    let is_plain = text.len() <= BOOT_URI_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_https = uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty());
    if is_plain && is_https { Ok(Some(text)) } else { Err(Bad::Format) }
}

/// After this change the node would boot over HTTP without being told from where.
fn lacks_uri(patch: &BootPatch, now: &BootOverride) -> bool {
    let uri = patch.http_boot_uri.as_ref().unwrap_or(&now.http_boot_uri);
    patch.target.unwrap_or(now.target) == BootTarget::UefiHttp && uri.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_uris_that_firmware_can_load_are_taken() {
        assert_eq!(boot_uri(&Value::Null), Ok(None));
        for good in ["https://192.0.2.1/boot.iso", "https://[2001:db8::1]:8443/a/b.efi?x=1"] {
            assert_eq!(boot_uri(&json!(good)), Ok(Some(good.to_owned())));
        }
        let long = format!("https://h/{}", "x".repeat(BOOT_URI_BYTES_MAX));
        for bad in [
            "",
            "/boot.iso",
            "https://",
            "http://192.0.2.1/boot.iso",
            "https://h/a b",
            "https://h/é",
            "tftp://h/x",
            &long,
        ] {
            assert_eq!(boot_uri(&json!(bad)), Err(Bad::Format), "{bad}");
        }
        assert_eq!(boot_uri(&json!(1)), Err(Bad::Type));
    }
}
