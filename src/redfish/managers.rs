//! Schema Manager: the device that switches a node, and this service in front of it.

use serde_json::{Value, json};
use uuid::Uuid;

use super::message::ErrorResponse;
use super::resource::{
    self, MANAGER_INTERFACES, MANAGER_LOGS, MANAGER_RESET, MANAGERS, NETWORK_PROTOCOL, Resource, at, link,
};
use super::schema;
use super::{GetRequest, Pending, Reply, WriteRequest};

/// `GET /redfish/v1/Managers`.
pub(crate) fn collection(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let table = seen.service.fleet.table();
    let members = seen.visible(&table).map(|node| resource::manager(&node.id));
    Ok(Resource::collection(MANAGERS, schema::MANAGER_COLLECTION, "Managers", members))
}

/// `GET /redfish/v1/Managers/{id}`.
pub(crate) fn manager(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let view = seen.node()?.view().clone();
    let about = view.about.as_deref();
    let uri = resource::manager(&view.id);
    let properties = json!({
        "ManagerType": "BMC",
        "UUID": Uuid::new_v5(&seen.service.uuid, format!("manager:{}", view.id).as_bytes()).to_string(),
        "Description": format!("{}, spoken for by plugfish {}", view.device, env!("CARGO_PKG_VERSION")),
        "ServiceEntryPointUUID": seen.service.uuid.to_string(),
        "Manufacturer": about.and_then(|about| about.manufacturer.clone()),
        "Model": about.and_then(|about| about.model.clone()),
        "SerialNumber": about.and_then(|about| about.serial.clone()),
        "FirmwareVersion": about.and_then(|about| about.firmware.clone()),
        "DateTime": seen.service.clock.now().wall.to_string(),
        "DateTimeLocalOffset": "+00:00",
        "Status": resource::status(&view),
        "NetworkProtocol": link(&at(NETWORK_PROTOCOL, &[&view.id])),
        "EthernetInterfaces": about.and_then(|about| about.mac).map(|_| link(&at(MANAGER_INTERFACES, &[&view.id]))),
        "LogServices": link(&at(MANAGER_LOGS.services, &[&view.id])),
        "Links": {
            "ManagerForServers": [link(&resource::system(&view.id))],
            "ManagerForChassis": [link(&resource::chassis(&view.id))],
        },
        "Actions": {
            "#Manager.Reset": {
                "target": at(MANAGER_RESET, &[&view.id]),
                "ResetType@Redfish.AllowableValues": RESETS,
            },
        },
    });
    Ok(Resource::new(&uri, schema::MANAGER, view.id.as_str(), &format!("Manager of {}", view.id), properties))
}

/// Both mean: drop the device's session and read the device again. The node's power is not touched.
const RESETS: [&str; 2] = ["ForceRestart", "GracefulRestart"];

/// `POST /redfish/v1/Managers/{id}/Actions/Manager.Reset`.
pub(crate) fn reset(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        const ACTION: &str = "Manager.Reset";
        let node = asked.seen.node()?;
        for (name, value) in asked.body.object()? {
            match (name.as_str(), value) {
                ("ResetType", Value::String(text)) if RESETS.contains(&text.as_str()) => {}
                ("ResetType", Value::String(text)) => {
                    return Err(ErrorResponse::bad_request(
                        "ActionParameterValueNotInList",
                        &[text, "ResetType", ACTION],
                    ));
                }
                ("ResetType", other) => {
                    let args = [&other.to_string(), "ResetType", ACTION];
                    return Err(ErrorResponse::bad_request("ActionParameterValueTypeError", &args));
                }
                (name, _) if name.starts_with('@') => {}
                (name, _) => return Err(ErrorResponse::bad_request("ActionParameterUnknown", &[ACTION, name])),
            }
        }
        asked.seen.service.fleet.renew(&node)?;
        Ok(Reply::NoContent)
    })
}
