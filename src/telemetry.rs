//! What is told of the daemon: the logs and the registry of metrics with all their names.
//!
//! A leaf: everything may use it, it uses nothing of ours. Metrics that are read off the nodes' views at scrape time
//! (power, watts, age) are made by `http/ops.rs`; what is counted as it happens is here.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What the names of our fields in the journal begin with: `journalctl PLUGFISH_NODE=node-1`.
const JOURNAL_PREFIX: &str = "PLUGFISH";

/// Where log lines go and how they look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
    /// systemd's journal, with fields.
    Journald,
}

impl LogFormat {
    /// What fits where stderr goes: the journal under systemd, lines for people on a terminal, JSON in a pipe.
    pub fn fitting() -> LogFormat {
        if std::env::var_os("JOURNAL_STREAM").is_some() {
            LogFormat::Journald
        } else if std::io::stderr().is_terminal() {
            LogFormat::Text
        } else {
            LogFormat::Json
        }
    }
}

/// Starts logging to stderr or the journal, at the levels of `RUST_LOG`, else at `default_levels`. Called once.
pub fn start_logging(format: LogFormat, default_levels: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_levels));
    let text = || {
        let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(ansi)
    };
    let layer = match format {
        LogFormat::Text => text().boxed(),
        LogFormat::Json => text().json().flatten_event(true).with_target(true).boxed(),
        LogFormat::Journald => match tracing_journald::layer() {
            Ok(journal) => {
                journal.with_syslog_identifier("plugfish".into()).with_field_prefix(Some(JOURNAL_PREFIX.into())).boxed()
            }
            Err(_) => text().boxed(),
        },
    };
    // A second start (tests in one process) keeps the first one's layers.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}

/// The label of everything that is counted for one node.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct NodeLabel {
    /// The node's id.
    pub node: Arc<str>,
}

/// A request to a device.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DeviceRequestLabels {
    node: Arc<str>,
    op: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TransitionLabels {
    node: Arc<str>,
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OpLabel {
    op: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RedfishLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

/// All that is counted, and the registry that shows it.
pub struct Metrics {
    registry: Mutex<Registry>,
    device_requests: Family<DeviceRequestLabels, Counter>,
    device_request_seconds: Family<OpLabel, Histogram, fn() -> Histogram>,
    handshakes: Family<NodeLabel, Counter>,
    transitions: Family<TransitionLabels, Counter>,
    node_restarts: Family<NodeLabel, Counter>,
    redfish_requests: Family<RedfishLabels, Counter>,
    redfish_seconds: Histogram,
    store_writes: Family<OpLabel, Counter>,
    store_sync_seconds: Histogram,
    store_errors: Counter,
    config_ok: Gauge,
    events: Family<OutcomeLabel, Counter>,
}

/// From a healthy plug's 20 ms to the request deadline.
fn device_buckets() -> Histogram {
    Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0])
}

impl Metrics {
    /// An empty set with every name registered.
    pub fn new() -> Arc<Metrics> {
        let metrics = Metrics {
            registry: Mutex::new(Registry::with_prefix("plugfish")),
            device_requests: Family::default(),
            device_request_seconds: Family::new_with_constructor(device_buckets),
            handshakes: Family::default(),
            transitions: Family::default(),
            node_restarts: Family::default(),
            redfish_requests: Family::default(),
            redfish_seconds: Histogram::new([0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.1, 1.0]),
            store_writes: Family::default(),
            store_sync_seconds: Histogram::new([0.000_25, 0.001, 0.004, 0.016, 0.064, 0.25, 1.0]),
            store_errors: Counter::default(),
            config_ok: Gauge::default(),
            events: Family::default(),
        };
        metrics.config_ok.set(1);
        metrics.register();
        Arc::new(metrics)
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register(
            "device_requests",
            "Requests sent to the device of a node, by what they were for and how they ended",
            self.device_requests.clone(),
        );
        registry.register_with_unit(
            "device_request_duration",
            "How long requests to devices took",
            Unit::Seconds,
            self.device_request_seconds.clone(),
        );
        registry.register("device_session_handshakes", "Logins to the device of a node", self.handshakes.clone());
        registry.register("node_transitions", "Power commands of a node, by kind and result", self.transitions.clone());
        registry.register(
            "node_restarts",
            "How often the actor of a node was rebuilt after a fault",
            self.node_restarts.clone(),
        );
        registry.register(
            "redfish_requests",
            "HTTP requests answered, by route, method and status",
            self.redfish_requests.clone(),
        );
        registry.register_with_unit(
            "redfish_request_duration",
            "How long HTTP requests took",
            Unit::Seconds,
            self.redfish_seconds.clone(),
        );
        registry.register("store_writes", "Durable writes to the store, by kind", self.store_writes.clone());
        registry.register_with_unit(
            "store_sync_duration",
            "How long durable writes to the store took",
            Unit::Seconds,
            self.store_sync_seconds.clone(),
        );
        registry.register("store_errors", "Writes to the store that failed", self.store_errors.clone());
        registry.register(
            "config_last_load_successful",
            "1 while the running configuration is the one in the file",
            self.config_ok.clone(),
        );
        registry.register(
            "events",
            "Events for subscribers: delivered, streamed, failed (a try), given_up, dropped (their queue was full)",
            self.events.clone(),
        );
        registry.register("build", "What is running", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    }

    /// Adds metrics that are read at scrape time.
    pub fn add_collector(&self, collector: Box<dyn Collector>) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register_collector(collector);
    }

    /// The whole registry in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a String fails only if a metric's own encoder does, and none of ours can.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }

    /// What one device's driver counts.
    pub fn device(self: &Arc<Metrics>, node: &str) -> DeviceMeters {
        DeviceMeters { node: node.into(), metrics: self.clone() }
    }

    /// A power command ended (or was refused).
    pub fn transition(&self, node: &str, kind: &'static str, result: &'static str) {
        self.transitions.get_or_create(&TransitionLabels { node: node.into(), kind, result }).inc();
    }

    /// The actor of a node was rebuilt.
    pub fn node_restarted(&self, node: &str) {
        self.node_restarts.get_or_create(&NodeLabel { node: node.into() }).inc();
    }

    /// An HTTP request was answered.
    pub fn redfish_request(&self, route: &'static str, method: &'static str, status: u16, took: Duration) {
        self.redfish_requests.get_or_create(&RedfishLabels { route, method, status }).inc();
        self.redfish_seconds.observe(took.as_secs_f64());
    }

    /// What became of an event for one subscriber.
    pub fn event(&self, outcome: &'static str) {
        self.events.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// The configuration was read again: whether it is the running one now.
    pub fn config_loaded(&self, ok: bool) {
        self.config_ok.set(i64::from(ok));
    }

    /// Whether the running configuration is the one in the file.
    pub fn config_is_loaded(&self) -> bool {
        self.config_ok.get() == 1
    }

    /// A durable write to the store ended.
    pub fn store_write(&self, kind: &'static str, took: Duration, ok: bool) {
        self.store_writes.get_or_create(&OpLabel { op: kind }).inc();
        self.store_sync_seconds.observe(took.as_secs_f64());
        if !ok {
            self.store_errors.inc();
        }
    }
}

/// Counts what is sent to one device.
#[derive(Clone)]
pub struct DeviceMeters {
    node: Arc<str>,
    metrics: Arc<Metrics>,
}

impl DeviceMeters {
    /// A request ended: what it was for (`login`, `read`, `set`, `discover`) and how (`ok`, `closed` when a kept
    /// connection was closed instead of an answer, or a failure class).
    pub fn request(&self, op: &'static str, outcome: &'static str, took: Duration) {
        let labels = DeviceRequestLabels { node: self.node.clone(), op, outcome };
        self.metrics.device_requests.get_or_create(&labels).inc();
        self.metrics.device_request_seconds.get_or_create(&OpLabel { op }).observe(took.as_secs_f64());
    }

    /// A login was begun.
    pub fn handshake(&self) {
        self.metrics.handshakes.get_or_create(&NodeLabel { node: self.node.clone() }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_things_show_up_under_their_names() {
        let metrics = Metrics::new();
        let device = metrics.device("node-1");
        device.request("read", "ok", Duration::from_millis(20));
        device.handshake();
        metrics.transition("node-1", "ForceOff", "done");
        metrics.redfish_request("/redfish/v1/Systems/{id}", "GET", 200, Duration::from_micros(80));
        metrics.store_write("intent", Duration::from_millis(1), false);
        let text = metrics.render();
        for line in [
            "plugfish_device_requests_total{node=\"node-1\",op=\"read\",outcome=\"ok\"} 1",
            "plugfish_device_session_handshakes_total{node=\"node-1\"} 1",
            "plugfish_node_transitions_total{node=\"node-1\",kind=\"ForceOff\",result=\"done\"} 1",
            "plugfish_redfish_requests_total{route=\"/redfish/v1/Systems/{id}\",method=\"GET\",status=\"200\"} 1",
            "plugfish_store_errors_total 1",
            "plugfish_config_last_load_successful 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
