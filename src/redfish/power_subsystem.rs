//! Schemas PowerSubsystem, PowerSupply and PowerSupplyMetrics: what a metering plug says of the machine behind it. The
//! machine has a power supply, and what it takes in is what the plug gives out; nothing else of it is known.

use serde_json::json;

use super::message::Fault;
use super::resource::{self, Resource, link};
use super::{Seen, power_equipment, sensors};
use crate::node::NodeId;
use crate::node::view::NodeView;

/// The only supply that can be told of.
const ID: &str = "0";

fn uri(node: &NodeId) -> String {
    format!("{}/PowerSubsystem", resource::chassis(node))
}

fn supplies_uri(node: &NodeId) -> String {
    format!("{}/PowerSupplies", uri(node))
}

/// The power supply of a node.
pub fn supply_uri(node: &NodeId) -> String {
    format!("{}/{ID}", supplies_uri(node))
}

fn check(view: &NodeView, seen: &Seen<'_>) -> Result<(), Fault> {
    let is_named = seen.ids.get(1).is_none_or(|id| *id == ID);
    if sensors::has_meter(view) && is_named { Ok(()) } else { Err(seen.not_found()) }
}

/// `GET /redfish/v1/Chassis/{id}/PowerSubsystem`.
pub fn subsystem(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    check(view, seen)?;
    let properties = json!({
        "PowerSupplies": link(&supplies_uri(&view.id)),
        "Status": resource::present(),
    });
    Ok(Resource::new(&uri(&view.id), "PowerSubsystem.v1_1_3", "PowerSubsystem", "Power Subsystem", properties))
}

/// `GET /redfish/v1/Chassis/{id}/PowerSubsystem/PowerSupplies`.
pub fn supplies(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    check(view, seen)?;
    let members = std::iter::once(supply_uri(&view.id));
    Ok(Resource::collection(&supplies_uri(&view.id), "PowerSupplyCollection", "Power Supplies", members))
}

/// `GET /redfish/v1/Chassis/{id}/PowerSubsystem/PowerSupplies/0`.
pub fn supply(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    check(view, seen)?;
    let uri = supply_uri(&view.id);
    let outlets: Vec<_> = power_equipment::outlet_uri(view).iter().map(|uri| link(uri)).collect();
    let properties = json!({
        "PowerSupplyType": "AC",
        "Metrics": link(&format!("{uri}/Metrics")),
        "Status": resource::present(),
        "Links": { "PowerOutlets": outlets },
    });
    Ok(Resource::new(&uri, "PowerSupply.v1_6_0", ID, "Power supply of the node", properties))
}

/// `GET /redfish/v1/Chassis/{id}/PowerSubsystem/PowerSupplies/0/Metrics`.
pub fn metrics(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    check(view, seen)?;
    let uri = format!("{}/Metrics", supply_uri(&view.id));
    let metrics = Resource::new(&uri, "PowerSupplyMetrics.v1_2_0", "Metrics", "Metrics of the power supply", json!({}));
    Ok(sensors::show(metrics, view, "InputPowerWatts"))
}
