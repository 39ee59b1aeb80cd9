//! Metrics that are computed at scrape time from the views of the nodes and the table of sessions: always the same
//! values that Redfish clients see at that moment. A node that was removed is not among them.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::auth::Authenticator;
use crate::clock::{Clock, Now};
use crate::node::Power;
use crate::node::entry::NodeEntry;
use crate::node::fleet::Fleet;
use crate::node::power_history::thousandth;
use crate::node::view::{Condition, NodeView};

/// Collects the metrics of the nodes' views.
pub(crate) struct ViewMetrics {
    pub fleet: Fleet,
    /// For the age of what is shown.
    pub clock: Clock,
}

impl fmt::Debug for ViewMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ViewMetrics")
    }
}

/// A gauge of every node: its name, unit, meaning, and value. `None` where it is not known.
struct Reading {
    name: &'static str,
    unit: Option<&'static str>,
    help: &'static str,
    value: fn(&NodeEntry, &NodeView, Now) -> Option<f64>,
}

const READINGS: [Reading; 10] = [
    Reading {
        name: "node_power_on",
        unit: None,
        help: "1 if the last known power state of the node is on or asleep, 0 if it is off; absent before the first contact.",
        value: |_, view, _| view.power.map(|power| one(power != Power::Off)),
    },
    Reading {
        name: "node_outlet_on",
        unit: None,
        help: "1 if the last known state of the node's outlet is on, 0 if it is off; absent for machines with AMT.",
        value: |_, view, _| view.relay.filter(|_| view.is_outlet).map(|relay| one(relay != Power::Off)),
    },
    Reading {
        name: "node_state_age",
        unit: Some("seconds"),
        help: "Time since the device last confirmed the power state; absent before the first contact.",
        value: |_, view, now| view.age(now).map(|age| age.as_secs_f64()),
    },
    Reading {
        name: "node_poll_interval",
        unit: Some("seconds"),
        help: "Interval between reads of a healthy device; compare the age of the state with it.",
        value: |_, view, _| Some(view.poll_interval.as_secs_f64()),
    },
    Reading {
        name: "node_power",
        unit: Some("watts"),
        help: "Power that the node draws; only while its device measures it and answers.",
        value: |_, view, _| view.milliwatts.and_then(thousandth),
    },
    Reading {
        name: "node_health",
        unit: None,
        help: "Status.Health of the node: 0 OK, 1 Warning, 2 Critical.",
        value: |_, view, _| Some(f64::from(view.health as u8)),
    },
    Reading {
        name: "node_command_pending",
        unit: None,
        help: "1 while a power command is in progress.",
        value: |_, view, _| Some(one(view.command.is_some())),
    },
    Reading {
        name: "node_requests_waiting",
        unit: None,
        help: "Commands and changes sent to the actor of the node that are not answered yet.",
        value: |entry, _, _| u64::try_from(entry.waiting()).ok().and_then(number),
    },
    Reading {
        name: "device_up",
        unit: None,
        help: "1 while the device of the node answers, 0 from its first failure on and while its login is not retried; \
               absent before the first request.",
        value: |_, view, _| (view.seen_mono.is_some() || !view.connectivity.up()).then(|| one(view.connectivity.up())),
    },
    Reading {
        name: "device_breaker_open",
        unit: None,
        help: "1 while new commands are refused because the device does not answer.",
        value: |_, view, _| Some(one(view.connectivity.breaker_open)),
    },
];

fn one(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

fn number(n: u64) -> Option<f64> {
    u32::try_from(n).ok().map(f64::from)
}

fn label(entry: &NodeEntry) -> [(&'static str, &str); 1] {
    [("node", entry.id.as_str())]
}

impl Collector for ViewMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.clock.now();
        let table = self.fleet.table();
        for Reading { name, unit, help, value } in READINGS {
            let unit = unit.map(|unit| Unit::Other(unit.into()));
            let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            for entry in table.values() {
                if let Some(value) = value(entry, &entry.view(), now) {
                    metric.encode_family(&label(entry))?.encode_gauge(&value)?;
                }
            }
        }
        let help = "1 while the node has this condition in its Status.Conditions, else 0.";
        let mut metric = encoder.encode_descriptor("node_condition", help, None, MetricType::Gauge)?;
        for entry in table.values() {
            let view = entry.view();
            for condition in Condition::MESSAGES {
                let is_so = view.conditions.iter().any(|is_so| is_so.message == condition);
                let labels = [("node", entry.id.as_str()), ("condition", condition)];
                metric.encode_family(&labels)?.encode_gauge(&one(is_so))?;
            }
        }
        let help = "Energy used by the node, measured by its device; kept over restarts.";
        let mut energy = encoder.encode_descriptor("node_energy", help, Some(&Unit::Joules), MetricType::Counter)?;
        for entry in table.values() {
            if let Some(watt_hours) = entry.view().energy_wh.and_then(number) {
                let joules = watt_hours * 3600.0;
                energy.encode_family(&label(entry))?.encode_counter::<NoLabelSet, f64, f64>(&joules, None)?;
            }
        }
        Ok(())
    }
}

/// How many are logged in.
pub(crate) struct SessionMetrics(pub Arc<Authenticator>);

impl fmt::Debug for SessionMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionMetrics")
    }
}

impl Collector for SessionMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let count = u64::try_from(self.0.sessions().len()).ok().and_then(number).unwrap_or_default();
        let help = "Open Redfish sessions. Clients with Basic authentication have none.";
        encoder.encode_descriptor("redfish_sessions", help, None, MetricType::Gauge)?.encode_gauge(&count)
    }
}
