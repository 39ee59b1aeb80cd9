//! Schema Chassis: the enclosure of a node, and the measurements of its device: EnvironmentMetrics, and the older
//! Power, which is the only one that Ironic's sensor collection reads.

use std::time::Duration;

use serde_json::{Value, json};

use super::message::ErrorResponse;
use super::resource::{
    self, CHASSIS, CHASSIS_RESET, DRIVES, ENVIRONMENT_METRICS, POWER, POWER_SUBSYSTEM, Resource, SENSORS, at, link,
};
use super::schema;
use super::sensors::{self, Sensor};
use super::{GetRequest, power_equipment, systems};
use crate::node::power_history::{Measurement, thousandth};
use crate::node::view::NodeView;

/// `GET /redfish/v1/Chassis`.
pub(crate) fn collection(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let table = seen.service.fleet.table();
    let members = seen.visible(&table).map(|node| resource::chassis(&node.id));
    Ok(Resource::collection(CHASSIS, schema::CHASSIS_COLLECTION, "Chassis", members))
}

/// `GET /redfish/v1/Chassis/{id}`.
pub(crate) fn chassis(view: &NodeView, _: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let uri = resource::chassis(&view.id);
    let measured = |part: &str| sensors::has_meter(view).then(|| link(&at(part, &[&view.id])));
    let properties = json!({
        "ChassisType": "StandAlone",
        "Manufacturer": view.inventory.manufacturer,
        "Model": view.inventory.model,
        "SerialNumber": view.inventory.serial,
        "Status": resource::status(view),
        "Power": measured(POWER),
        "PowerSubsystem": measured(POWER_SUBSYSTEM),
        "Sensors": measured(SENSORS),
        "EnvironmentMetrics": measured(ENVIRONMENT_METRICS),
        "Drives": (!view.inventory.drives.is_empty()).then(|| link(&at(DRIVES, &[&view.id]))),
        "Links": {
            "ComputerSystems": [link(&resource::system(&view.id))],
            "ManagedBy": [link(&resource::manager(&view.id))],
            "PowerOutlets": power_equipment::outlet_uri(view).map(|uri| [link(&uri)]),
        },
        "Actions": {
            "#Chassis.Reset": {
                "target": at(CHASSIS_RESET, &[&view.id]),
                "ResetType@Redfish.AllowableValues": systems::reset_types(view),
            },
        },
    });
    let name = format!("Chassis of {}", view.id);
    Ok(Resource::new(&uri, schema::CHASSIS, view.id.as_str(), &name, properties)
        .with("PowerState", resource::power_state(view)))
}

/// `GET /redfish/v1/Chassis/{id}/EnvironmentMetrics`.
pub(crate) fn environment_metrics(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    metered(view, seen)?;
    let uri = at(ENVIRONMENT_METRICS, &[&view.id]);
    let (id, name) = ("EnvironmentMetrics", "Environment Metrics");
    Ok(sensors::show(Resource::new(&uri, schema::ENVIRONMENT_METRICS, id, name, json!({})), view, "PowerWatts"))
}

fn metered(view: &NodeView, seen: &GetRequest<'_>) -> Result<(), ErrorResponse> {
    if sensors::has_meter(view) { Ok(()) } else { Err(seen.not_found()) }
}

/// `GET /redfish/v1/Chassis/{id}/Power`.
pub(crate) fn power(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    metered(view, seen)?;
    let uri = at(POWER, &[&view.id]);
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
        "PowerMetrics": power_metrics(watts.map(|_| seen.node().map(|node| node.power_history())).transpose()?.as_deref()),
        "Status": resource::status(view),
    });
    Ok(Resource::new(&uri, schema::POWER, "Power", "Power", json!({}))
        .with("PowerControl", json!([control]))
        .with("PowerSupplies", json!([supply])))
}

/// Over how many minutes at most the old Power says the average: as long as the history is at the usual poll interval.
const METRICS_MINUTES_MAX: u64 = 30;

/// `PowerMetrics`: what was measured in the last minutes, without the time before the device was away for longer. All of it is null
/// while the draw is not known; some clients (telegraf) fall over where it is missing.
fn power_metrics(draw: Option<&Vec<Measurement>>) -> Value {
    let newest = draw.and_then(|draw| draw.last());
    let window = Duration::from_secs(METRICS_MINUTES_MAX * 60);
    let lately = |one: &&Measurement| newest.is_some_and(|newest| newest.at.since(one.at) <= window);
    let lately: Vec<&Measurement> = draw.into_iter().flatten().filter(lately).collect();
    let milliwatts = || lately.iter().map(|one| one.milliwatts);
    let average = u64::try_from(lately.len()).ok().and_then(|count| milliwatts().sum::<u64>().checked_div(count));
    let span = lately.first().zip(newest).map(|(first, newest)| newest.at.since(first.at).as_secs());
    json!({
        // A part of a minute counts as one: everything that was measured lies within.
        "IntervalInMin": span.map(|seconds| seconds.div_ceil(60).max(1)),
        "AverageConsumedWatts": average.and_then(thousandth),
        "MinConsumedWatts": milliwatts().min().and_then(thousandth),
        "MaxConsumedWatts": milliwatts().max().and_then(thousandth),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Mono;

    #[test]
    fn power_metrics_are_of_the_last_half_hour_and_null_without_a_measurement() {
        let at = |seconds, milliwatts| Measurement { at: Mono::after_start(Duration::from_secs(seconds)), milliwatts };
        let none = json!({
            "IntervalInMin": null, "AverageConsumedWatts": null, "MinConsumedWatts": null, "MaxConsumedWatts": null,
        });
        assert_eq!((power_metrics(None), power_metrics(Some(&Vec::new()))), (none.clone(), none));
        let show = |interval: u64, average: f64, least: f64, most: f64| {
            json!({
                "IntervalInMin": interval, "AverageConsumedWatts": average, "MinConsumedWatts": least, "MaxConsumedWatts": most,
            })
        };
        assert_eq!(power_metrics(Some(&vec![at(5, 1500)])), show(1, 1.5, 1.5, 1.5));
        assert_eq!(power_metrics(Some(&vec![at(0, 1000), at(15, 3000), at(75, 5000)])), show(2, 3.0, 1.0, 5.0));
        // What was measured an hour ago says nothing of now.
        assert_eq!(power_metrics(Some(&vec![at(0, 90_000), at(3600, 2000), at(5400, 4000)])), show(30, 3.0, 2.0, 4.0));
        let absurd = power_metrics(Some(&vec![at(0, u64::from(u32::MAX) * 2)]));
        assert_eq!(absurd["MaxConsumedWatts"], Value::Null);
    }
}
