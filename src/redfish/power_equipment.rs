//! Schemas PowerEquipment, PowerDistribution and Outlet: the plugs and strips that feed the nodes. They can be read
//! here and are switched through the systems, so that there is one way to switch a node.
//!
//! A device is a member after it reported its hardware address, which shows whether two nodes are on one strip.

use std::sync::Arc;

use serde_json::{Value, json};

use super::message::ErrorResponse;
use super::resource::{self, OUTLET, OUTLETS, PDU, PDUS, POWER_EQUIPMENT, Resource, at, link};
use super::schema;
use super::{GetRequest, sensors};
use crate::node::Health;
use crate::node::view::NodeView;

/// The name of the device on which a node hangs, if that is a plug or a strip that is known.
fn pdu_id(view: &NodeView) -> Option<String> {
    let mac = view.about.as_ref().filter(|_| view.is_outlet)?.mac?;
    Some(mac.to_string().replace(':', ""))
}

/// The outlet on which a node hangs.
pub(crate) fn outlet_uri(view: &NodeView) -> Option<String> {
    Some(at(OUTLET, &[&pdu_id(view)?, &view.id]))
}

/// The nodes on plugs and strips, each with the name of the device.
fn outlets(seen: &GetRequest<'_>) -> Vec<(String, Arc<NodeView>)> {
    let table = seen.service.fleet.table();
    let of = |view: Arc<NodeView>| Some((pdu_id(&view)?, view));
    seen.visible(&table).filter_map(|node| of(node.view().clone())).collect()
}

/// There is something to show here, if not to every caller: the root, which leads here, is the same for all.
pub(crate) fn is_there(seen: &GetRequest<'_>) -> bool {
    seen.service.fleet.table().values().any(|node| pdu_id(&node.view()).is_some())
}

/// The nodes on the device that the path names, in their order.
fn pdu_outlets(seen: &GetRequest<'_>) -> Result<Vec<Arc<NodeView>>, ErrorResponse> {
    let outlets = outlets(seen).into_iter().filter(|(pdu, _)| pdu == seen.id(0)).map(|(_, view)| view);
    let outlets: Vec<_> = outlets.collect();
    if outlets.is_empty() { Err(seen.not_found()) } else { Ok(outlets) }
}

/// `GET /redfish/v1/PowerEquipment`.
pub(crate) fn service(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    if !is_there(seen) {
        return Err(seen.not_found());
    }
    let properties = json!({ "RackPDUs": link(PDUS), "Status": resource::present() });
    Ok(Resource::new(POWER_EQUIPMENT, schema::POWER_EQUIPMENT, "PowerEquipment", "Power Equipment", properties))
}

/// `GET /redfish/v1/PowerEquipment/RackPDUs`.
pub(crate) fn pdus(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let mut ids: Vec<String> = outlets(seen).into_iter().map(|(pdu, _)| pdu).collect();
    ids.sort_unstable();
    ids.dedup();
    if !is_there(seen) {
        return Err(seen.not_found());
    }
    let members = ids.iter().map(|id| at(PDU, &[id]));
    Ok(Resource::collection(PDUS, schema::POWER_DISTRIBUTION_COLLECTION, "Smart plugs and strips", members))
}

/// `GET /redfish/v1/PowerEquipment/RackPDUs/{pdu}`.
pub(crate) fn pdu(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let outlets = pdu_outlets(seen)?;
    let about = outlets.first().and_then(|view| view.about.clone()).unwrap_or_default();
    let uri = at(PDU, &[&seen.id(0)]);
    let managers: Vec<Value> = outlets.iter().map(|view| link(&resource::manager(&view.id))).collect();
    let health = outlets.iter().map(|view| view.health).max().unwrap_or(Health::OK).name();
    let properties = json!({
        "EquipmentType": "RackPDU",
        "Manufacturer": about.manufacturer,
        "Model": about.model,
        "Version": about.hardware,
        "FirmwareVersion": about.firmware,
        "Outlets": link(&at(OUTLETS, &[&seen.id(0)])),
        "Status": { "State": "Enabled", "Health": health, "HealthRollup": health },
        "Links": { "ManagedBy": managers },
    });
    let name = about.model.as_deref().unwrap_or("Smart plug");
    Ok(Resource::new(&uri, schema::POWER_DISTRIBUTION, seen.id(0), name, properties))
}

/// `GET /redfish/v1/PowerEquipment/RackPDUs/{pdu}/Outlets`: those on which a node of this service hangs.
pub(crate) fn outlet_collection(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let outlets = pdu_outlets(seen)?;
    let uri = at(OUTLETS, &[&seen.id(0)]);
    let members = outlets.iter().map(|view| at(OUTLET, &[&seen.id(0), &view.id]));
    Ok(Resource::collection(&uri, schema::OUTLET_COLLECTION, "Outlets", members))
}

/// `GET /redfish/v1/PowerEquipment/RackPDUs/{pdu}/Outlets/{id}`: an outlet is called like the node on it.
pub(crate) fn outlet(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let view = seen.find_node(seen.id(1)).map(|node| node.view().clone());
    let view = view.filter(|view| pdu_id(view).as_deref() == Some(seen.id(0))).ok_or_else(|| seen.not_found())?;
    let supply = sensors::has_meter(&view).then(|| link(&super::power_subsystem::supply_uri(&view.id)));
    let properties = json!({
        "VoltageType": "AC",
        "ElectricalConsumerNames": [view.id],
        "Status": resource::status(&view),
        "Links": {
            "Chassis": [link(&resource::chassis(&view.id))],
            "PowerSupplies": supply.map(|supply| [supply]),
        },
    });
    let (uri, name) = (at(OUTLET, &[&seen.id(0), &view.id]), format!("Outlet of {}", view.id));
    let outlet = Resource::new(&uri, schema::OUTLET, view.id.as_str(), &name, properties)
        .with("PowerState", resource::outlet_state(&view));
    Ok(sensors::show(outlet, &view, "PowerWatts"))
}
