//! Schema Chassis: the box around a node, and what its device measures: EnvironmentMetrics, and the older Power, which
//! is the only one that Ironic's sensor collection reads.

use serde_json::json;

use super::Seen;
use super::message::Fault;
use super::resource::{self, CHASSIS, Resource, link};
use crate::node::view::NodeView;

/// `GET /redfish/v1/Chassis`.
pub fn collection(seen: &Seen<'_>) -> Result<Resource, Fault> {
    let table = seen.service.fleet.table();
    Ok(Resource::collection(CHASSIS, "ChassisCollection", "Chassis", table.keys().map(resource::chassis)))
}

/// The device of this node measures watts.
fn has_meter(view: &NodeView) -> bool {
    view.about.as_ref().is_some_and(|about| about.meter)
}

/// `GET /redfish/v1/Chassis/{id}`.
pub fn chassis(view: &NodeView, _: &Seen<'_>) -> Result<Resource, Fault> {
    let uri = resource::chassis(&view.id);
    let measured = |part: &str| has_meter(view).then(|| link(&format!("{uri}/{part}")));
    let properties = json!({
        "ChassisType": "StandAlone",
        "Manufacturer": view.inventory.manufacturer,
        "Model": view.inventory.model,
        "SerialNumber": view.inventory.serial,
        "Status": resource::status(view),
        "Power": measured("Power"),
        "EnvironmentMetrics": measured("EnvironmentMetrics"),
        "Drives": (!view.inventory.drives.is_empty()).then(|| link(&resource::drives(&view.id))),
        "Links": {
            "ComputerSystems": [link(&resource::system(&view.id))],
            "ManagedBy": [link(&resource::manager(&view.id))],
        },
    });
    let name = format!("Chassis of {}", view.id);
    Ok(Resource::new(&uri, "Chassis.v1_28_0", view.id.as_str(), &name, properties)
        .with("PowerState", resource::power_state(view)))
}

fn metered(view: &NodeView, seen: &Seen<'_>) -> Result<(), Fault> {
    if has_meter(view) { Ok(()) } else { Err(seen.not_found()) }
}

fn watts(view: &NodeView) -> Option<f64> {
    // Milliwatts of a plug fit a f64 exactly.
    view.milliwatts
        .and_then(|milliwatts| u32::try_from(milliwatts).ok())
        .map(|milliwatts| f64::from(milliwatts) / 1000.0)
}

fn kilowatt_hours(view: &NodeView) -> Option<f64> {
    view.energy_wh.and_then(|energy| u32::try_from(energy).ok()).map(|energy| f64::from(energy) / 1000.0)
}

/// `GET /redfish/v1/Chassis/{id}/EnvironmentMetrics`.
pub fn environment_metrics(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    metered(view, seen)?;
    let uri = format!("{}/EnvironmentMetrics", resource::chassis(&view.id));
    let properties = json!({
        "EnergykWh": kilowatt_hours(view).map(|energy| json!({ "Reading": energy })),
    });
    Ok(Resource::new(&uri, "EnvironmentMetrics.v1_5_0", "EnvironmentMetrics", "Environment Metrics", properties)
        // Null while the device is away: old watts are not shown as new ones.
        .with("PowerWatts", json!({ "Reading": watts(view) })))
}

/// `GET /redfish/v1/Chassis/{id}/Power`.
pub fn power(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    metered(view, seen)?;
    let uri = format!("{}/Power", resource::chassis(&view.id));
    let about = view.about.as_deref();
    let watts = watts(view);
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
