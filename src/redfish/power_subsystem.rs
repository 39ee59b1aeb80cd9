//! Schemas PowerSubsystem, PowerSupply and PowerSupplyMetrics: what a metering plug measures of the machine behind it.
//! The machine has a power supply, whose input is the output of the plug; nothing else of it is known.

use serde_json::json;

use super::message::ErrorResponse;
use super::resource::{self, POWER_SUBSYSTEM, POWER_SUPPLIES, POWER_SUPPLY, POWER_SUPPLY_METRICS, Resource, at, link};
use super::schema;
use super::{GetRequest, power_equipment, sensors};
use crate::node::NodeId;
use crate::node::view::NodeView;

/// The only supply that can be told of.
const ID: &str = "0";

fn uri(node: &NodeId) -> String {
    at(POWER_SUBSYSTEM, &[node])
}

fn supplies_uri(node: &NodeId) -> String {
    at(POWER_SUPPLIES, &[node])
}

/// The power supply of a node.
pub(crate) fn supply_uri(node: &NodeId) -> String {
    at(POWER_SUPPLY, &[node, &ID])
}

fn check(view: &NodeView, seen: &GetRequest<'_>) -> Result<(), ErrorResponse> {
    let is_named = seen.ids.get(1).is_none_or(|id| *id == ID);
    if sensors::has_meter(view) && is_named { Ok(()) } else { Err(seen.not_found()) }
}

/// `GET /redfish/v1/Chassis/{id}/PowerSubsystem`.
pub(crate) fn subsystem(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    check(view, seen)?;
    let properties = json!({
        "PowerSupplies": link(&supplies_uri(&view.id)),
        "Status": resource::present(),
    });
    Ok(Resource::new(&uri(&view.id), schema::POWER_SUBSYSTEM, "PowerSubsystem", "Power Subsystem", properties))
}

/// `GET /redfish/v1/Chassis/{id}/PowerSubsystem/PowerSupplies`.
pub(crate) fn supplies(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    check(view, seen)?;
    let members = std::iter::once(supply_uri(&view.id));
    Ok(Resource::collection(&supplies_uri(&view.id), schema::POWER_SUPPLY_COLLECTION, "Power Supplies", members))
}

/// `GET /redfish/v1/Chassis/{id}/PowerSubsystem/PowerSupplies/0`.
pub(crate) fn supply(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    check(view, seen)?;
    let uri = supply_uri(&view.id);
    let outlets: Vec<_> = power_equipment::outlet_uri(view).iter().map(|uri| link(uri)).collect();
    let properties = json!({
        "PowerSupplyType": "AC",
        "Metrics": link(&at(POWER_SUPPLY_METRICS, &[&view.id, &ID])),
        "Status": resource::present(),
        "Links": { "PowerOutlets": outlets },
    });
    Ok(Resource::new(&uri, schema::POWER_SUPPLY, ID, "Power supply of the node", properties))
}

/// `GET /redfish/v1/Chassis/{id}/PowerSubsystem/PowerSupplies/0/Metrics`.
pub(crate) fn metrics(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    check(view, seen)?;
    let uri = at(POWER_SUPPLY_METRICS, &[&view.id, &ID]);
    let metrics =
        Resource::new(&uri, schema::POWER_SUPPLY_METRICS, "Metrics", "Metrics of the power supply", json!({}));
    Ok(sensors::show(metrics, view, "InputPowerWatts"))
}
