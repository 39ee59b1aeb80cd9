//! Schema Sensor: the measurements of a node's device, in the chassis of the node. Other resources show excerpts of it.

use serde_json::{Value, json};

use super::GetRequest;
use super::message::ErrorResponse;
use super::resource::{self, Resource, SENSOR, SENSORS, at};
use super::schema;
use crate::node::NodeId;
use crate::node::power_history::thousandth;
use crate::node::view::NodeView;

/// A measured quantity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sensor {
    /// The power draw.
    Power,
    /// The energy since the node was first seen.
    Energy,
}

impl Sensor {
    const ALL: [Sensor; 2] = [Sensor::Power, Sensor::Energy];

    const fn id(self) -> &'static str {
        match self {
            Sensor::Power => "Power",
            Sensor::Energy => "Energy",
        }
    }

    /// What it shows where its time is not shown with it; `None` while it is not known: old watts are not shown as new ones.
    pub(crate) fn reading(self, view: &NodeView) -> Option<f64> {
        let thousandths = match self {
            Sensor::Power => view.milliwatts,
            Sensor::Energy => view.energy_wh,
        };
        thousandths.and_then(thousandth)
    }

    fn uri(self, node: &NodeId) -> String {
        at(SENSOR, &[node, &self.id()])
    }

    /// What other resources show of it. The reading may be null.
    fn excerpt(self, view: &NodeView) -> Value {
        json!({ "DataSourceUri": self.uri(&view.id), "Reading": self.reading(view) })
    }
}

/// The sensors that a node has.
fn sensors(view: &NodeView) -> impl Iterator<Item = Sensor> {
    let of = move |sensor: &Sensor| *sensor == Sensor::Power || view.energy_wh.is_some();
    Sensor::ALL.into_iter().filter(move |_| has_meter(view)).filter(of)
}

/// The device of this node measures watts.
pub(crate) fn has_meter(view: &NodeView) -> bool {
    view.about.as_ref().is_some_and(|about| about.meter)
}

/// The same resource with excerpts of what is measured, the draw as this property.
pub(crate) fn show(resource: Resource, view: &NodeView, power: &str) -> Resource {
    let name = |sensor| if sensor == Sensor::Power { power } else { "EnergykWh" };
    sensors(view).fold(resource, |resource, sensor| resource.with(name(sensor), sensor.excerpt(view)))
}

/// The collection of the sensors of a node.
pub(crate) fn collection_uri(node: &NodeId) -> String {
    at(SENSORS, &[node])
}

/// `GET /redfish/v1/Chassis/{id}/Sensors`.
pub(crate) fn collection(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    if !has_meter(view) {
        return Err(seen.not_found());
    }
    let members = sensors(view).map(|sensor| sensor.uri(&view.id));
    Ok(Resource::collection(&collection_uri(&view.id), schema::SENSOR_COLLECTION, "Sensors", members))
}

/// `GET /redfish/v1/Chassis/{id}/Sensors/{sensor}`.
pub(crate) fn sensor(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let sensor = sensors(view).find(|sensor| sensor.id() == seen.id(1)).ok_or_else(|| seen.not_found())?;
    let (kind, units, name) = match sensor {
        Sensor::Power => ("Power", "W", "Power of the node"),
        Sensor::Energy => ("EnergykWh", "kW.h", "Energy of the node since it was first seen"),
    };
    // Here the time of the reading says how old it is.
    let (reading, at) = match sensor {
        Sensor::Power => {
            (view.measured.and_then(|(milliwatts, ..)| thousandth(milliwatts)), view.measured.map(|(_, at, _)| at))
        }
        Sensor::Energy => (sensor.reading(view), view.seen_at),
    };
    let properties = json!({
        "ReadingType": kind,
        "ReadingUnits": units,
        "ReadingTime": at.filter(|_| reading.is_some()).map(|at| at.to_string()),
        "Implementation": "Reported",
        "PhysicalContext": "PowerOutlet",
        "Status": resource::status(view),
    });
    Ok(Resource::new(&sensor.uri(&view.id), schema::SENSOR, sensor.id(), name, properties)
        .with("Reading", json!(reading)))
}
