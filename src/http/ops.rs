//! The pages for operations: `/healthz`, `/readyz`, `/metrics`, and the metrics that are read off the nodes' views.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::auth::Access;
use crate::clock::Clock;
use crate::node::Power;
use crate::node::fleet::Fleet;
use crate::node::view::NodeView;
use crate::telemetry::{Metrics, NodeLabel};

/// Who may read `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Everybody.
    #[default]
    Public,
    /// Whoever may log in.
    Authenticated,
    /// Nobody: there is no such page.
    Off,
}

/// What the pages show.
pub struct Ops {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who may read it.
    pub metrics_access: MetricsAccess,
    /// Who may come in.
    pub access: Arc<Access>,
    /// The fleet is up and the listeners are open; false again when the service is about to stop.
    pub ready: AtomicBool,
    /// What is not as the configuration file says, in sentences.
    pub config_notes: ArcSwap<Vec<String>>,
}

/// Adds the pages.
pub fn mount(config: &mut ServiceConfig, ops: &Data<Ops>) {
    config.app_data(ops.clone());
    config.service(web::resource("/healthz").get(healthz));
    config.service(web::resource("/readyz").get(readyz));
    if ops.metrics_access != MetricsAccess::Off {
        config.service(web::resource("/metrics").get(metrics));
    }
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(ops: Data<Ops>) -> HttpResponse {
    if ops.ready.load(Ordering::Relaxed) {
        let notes = ops.config_notes.load();
        HttpResponse::Ok()
            .body(std::iter::once("ready\n").chain(notes.iter().flat_map(|note| [note, "\n"])).collect::<String>())
    } else {
        HttpResponse::ServiceUnavailable().body("not ready: starting or stopping\n")
    }
}

async fn metrics(request: HttpRequest, ops: Data<Ops>) -> HttpResponse {
    if ops.metrics_access == MetricsAccess::Authenticated {
        let header = |name: &str| request.headers().get(name).map(|value| value.as_bytes());
        let origin = request.peer_addr().map(|address| address.ip());
        let caller = ops.access.check(header("x-auth-token"), header(AUTHORIZATION.as_str()), origin).await;
        if !caller.is_ok_and(|caller| !caller.must_change_password) {
            let challenge = (WWW_AUTHENTICATE, "Basic realm=\"plugfish\"");
            return HttpResponse::Unauthorized().insert_header(challenge).finish();
        }
    }
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8"))
        .body(ops.metrics.render())
}

/// What is read off the views when Prometheus asks: always what readers of Redfish see at that moment.
pub struct ViewMetrics {
    /// The nodes.
    pub fleet: Fleet,
    /// For the age of what is shown.
    pub clock: Clock,
}

impl fmt::Debug for ViewMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ViewMetrics")
    }
}

/// A gauge or counter of one node, from its view. `None` where it is not known.
type Reading<'a> = &'a dyn Fn(&NodeView) -> Option<f64>;

impl Collector for ViewMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.clock.now();
        let one = |yes: bool| if yes { 1.0 } else { 0.0 };
        let number = |n: u64| u32::try_from(n).ok().map(f64::from);
        let readings: [(&str, &str, Reading<'_>); 7] = [
            (
                "node_power_on",
                "1 when the node was last seen on or asleep, 0 when off; absent before the first contact",
                &|view| view.power.map(|power| one(power != Power::Off)),
            ),
            ("node_state_age_seconds", "Time since the shown power state was confirmed by the device", &|view| {
                view.age(now).map(|age| age.as_secs_f64())
            }),
            ("node_power_watts", "The draw of the node, where its device measures it and answers", &|view| {
                view.milliwatts.and_then(number).map(|milliwatts| milliwatts / 1000.0)
            }),
            ("node_health", "Health of the node: 0 OK, 1 Warning, 2 Critical", &|view| {
                Some(f64::from(view.health as u8))
            }),
            ("node_command_pending", "1 while a command is being carried out", &|view| {
                Some(one(view.command.is_some()))
            }),
            ("device_up", "1 while the device of the node answers", &|view| Some(one(view.link.up()))),
            ("device_breaker_open", "1 while new commands are refused since the device does not answer", &|view| {
                Some(one(view.link.breaker_open))
            }),
        ];
        let table = self.fleet.table();
        for (name, help, reading) in readings {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for entry in table.values() {
                if let Some(value) = reading(&entry.view()) {
                    metric.encode_family(&NodeLabel { node: entry.id.as_str().into() })?.encode_gauge(&value)?;
                }
            }
        }
        let help = "Energy used by the node as measured by its device";
        let mut energy = encoder.encode_descriptor("node_energy_joules", help, None, MetricType::Counter)?;
        for entry in table.values() {
            if let Some(watt_hours) = entry.view().energy_wh.and_then(number) {
                let joules = watt_hours * 3600.0;
                energy
                    .encode_family(&NodeLabel { node: entry.id.as_str().into() })?
                    .encode_counter::<NoLabelSet, f64, f64>(&joules, None)?;
            }
        }
        Ok(())
    }
}
