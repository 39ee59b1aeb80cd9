//! Schema Chassis: the box around a node, and what its device measures: EnvironmentMetrics, and the older Power, which
//! is the only one that Ironic's sensor collection reads.

use serde_json::json;

use super::message::Fault;
use super::resource::{self, CHASSIS, Resource, link};
use super::sensors::{self, Sensor};
use super::{Seen, power_equipment};
use crate::node::view::NodeView;

/// `GET /redfish/v1/Chassis`.
pub fn collection(seen: &Seen<'_>) -> Result<Resource, Fault> {
    let table = seen.service.fleet.table();
    let members = seen.visible(&table).map(|node| resource::chassis(&node.id));
    Ok(Resource::collection(CHASSIS, "ChassisCollection", "Chassis", members))
}

/// `GET /redfish/v1/Chassis/{id}`.
pub fn chassis(view: &NodeView, _: &Seen<'_>) -> Result<Resource, Fault> {
    let uri = resource::chassis(&view.id);
    let measured = |part: &str| sensors::has_meter(view).then(|| link(&format!("{uri}/{part}")));
    let properties = json!({
        "ChassisType": "StandAlone",
        "Manufacturer": view.inventory.manufacturer,
        "Model": view.inventory.model,
        "SerialNumber": view.inventory.serial,
        "Status": resource::status(view),
        "Power": measured("Power"),
        "PowerSubsystem": measured("PowerSubsystem"),
        "Sensors": measured("Sensors"),
        "EnvironmentMetrics": measured("EnvironmentMetrics"),
        "Drives": (!view.inventory.drives.is_empty()).then(|| link(&resource::drives(&view.id))),
        "Links": {
            "ComputerSystems": [link(&resource::system(&view.id))],
            "ManagedBy": [link(&resource::manager(&view.id))],
            "PowerOutlets": power_equipment::outlet_uri(view).map(|uri| [link(&uri)]),
        },
    });
    let name = format!("Chassis of {}", view.id);
    Ok(Resource::new(&uri, "Chassis.v1_28_0", view.id.as_str(), &name, properties)
        .with("PowerState", resource::power_state(view)))
}

/// `GET /redfish/v1/Chassis/{id}/EnvironmentMetrics`.
pub fn environment_metrics(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    metered(view, seen)?;
    let uri = format!("{}/EnvironmentMetrics", resource::chassis(&view.id));
    let (id, name) = ("EnvironmentMetrics", "Environment Metrics");
    Ok(sensors::show(Resource::new(&uri, "EnvironmentMetrics.v1_5_0", id, name, json!({})), view, "PowerWatts"))
}

fn metered(view: &NodeView, seen: &Seen<'_>) -> Result<(), Fault> {
    if sensors::has_meter(view) { Ok(()) } else { Err(seen.not_found()) }
}

/// `GET /redfish/v1/Chassis/{id}/Power`.
pub fn power(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    metered(view, seen)?;
    let uri = format!("{}/Power", resource::chassis(&view.id));
    let about = view.about.as_deref();
    let watts = Sensor::Power.reading(view);
    let mut supply = json!({
        "@odata.id": format!("{uri}#/PowerSupplies/0"),
        "MemberId": "0",
        "Name": view.device.as_ref(),
        "PowerSupplyType": "AC",
        "LastPowerOutputWatts": watts,
        "PowerInputWatts": watts,
        "Status": resource::status(view),
    });
    if let (Some(supply), Some(model)) = (supply.as_object_mut(), about.and_then(|about| about.model.clone())) {
        supply.insert("Model".into(), json!(model));
    }
    let control = json!({
        "@odata.id": format!("{uri}#/PowerControl/0"),
        "MemberId": "0",
        "Name": "Power of the node",
        "PowerConsumedWatts": watts,
        "Status": resource::status(view),
    });
    Ok(Resource::new(&uri, "Power.v1_7_3", "Power", "Power", json!({}))
        .with("PowerControl", json!([control]))
        .with("PowerSupplies", json!([supply])))
}
