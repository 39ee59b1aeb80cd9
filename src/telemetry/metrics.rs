//! The registry of metrics, and the metrics of the daemon as a whole.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::nodes::{DeviceMetrics, Label, NodeMeters, Nodes, Seconds};
use super::plain;
use super::process::Process;

/// What all names begin with, but those of the process, which are the same for every program.
const PREFIX: &str = "plugfish";

/// What can become of an event for a subscriber.
const EVENT_OUTCOMES: [&str; 5] = ["delivered", "streamed", "failed", "given_up", "dropped"];

/// How a login can end.
const LOGIN_OUTCOMES: [&str; 5] = ["ok", "wrong", "locked", "slowed", "busy"];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RedfishLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

/// All that is counted, and the registry that shows it.
pub struct Metrics {
    registry: Mutex<Registry>,
    nodes: Nodes,
    device_seconds: Seconds,
    command_seconds: Seconds,
    redfish_requests: Family<RedfishLabels, Counter>,
    redfish_seconds: Seconds,
    store_writes: Family<Label, Counter>,
    store_seconds: Histogram,
    store_errors: Counter,
    store_writable: Gauge,
    config_ok: Gauge,
    config_ok_at: Gauge<f64, std::sync::atomic::AtomicU64>,
    events: Family<Label, Counter>,
    logins: Family<Label, Counter>,
}

/// From a healthy plug's 20 ms to the request deadline.
fn device_buckets() -> Histogram {
    Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0])
}

/// From a plug that is switched and read back to an operating system that takes its time, with what Ironic and Metal3
/// wait for (60 and 120 s) among the bounds.
fn command_buckets() -> Histogram {
    Histogram::new([0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0])
}

/// From a kept body to a password that has to be hashed.
fn redfish_buckets() -> Histogram {
    Histogram::new([0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.1, 1.0])
}

/// From a disk that lies to one that is dying.
fn store_buckets() -> Histogram {
    Histogram::new([0.000_25, 0.001, 0.004, 0.016, 0.064, 0.25, 1.0])
}

impl Metrics {
    /// An empty set with every name registered.
    pub fn new() -> Arc<Metrics> {
        let metrics = Metrics {
            registry: Mutex::new(Registry::default()),
            nodes: Nodes::default(),
            device_seconds: Family::new_with_constructor(device_buckets),
            command_seconds: Family::new_with_constructor(command_buckets),
            redfish_requests: Family::default(),
            redfish_seconds: Family::new_with_constructor(redfish_buckets),
            store_writes: Family::default(),
            store_seconds: store_buckets(),
            store_errors: Counter::default(),
            store_writable: Gauge::default(),
            config_ok: Gauge::default(),
            config_ok_at: Gauge::default(),
            events: Family::default(),
            logins: Family::default(),
        };
        // So that the first of a kind is an increase.
        for outcome in EVENT_OUTCOMES {
            drop(metrics.events.get_or_create(&[("outcome", outcome)]));
        }
        for outcome in LOGIN_OUTCOMES {
            drop(metrics.logins.get_or_create(&[("outcome", outcome)]));
        }
        metrics.store_is_writable(true);
        metrics.register();
        Arc::new(metrics)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self) {
        let mut registry = self.registry();
        registry.register_collector(Box::new(Process));
        let registry = registry.sub_registry_with_prefix(PREFIX);
        registry.register_collector(Box::new(self.nodes.clone()));
        let timed = [
            ("device_request_duration", "Duration of requests to devices, by operation", &self.device_seconds),
            (
                "node_transition_duration",
                "Time from the acceptance of a power command to the reading that confirmed it, by kind (`ResetType`)",
                &self.command_seconds,
            ),
            ("redfish_request_duration", "Duration of HTTP requests, by route", &self.redfish_seconds),
        ];
        for (name, help, seconds) in timed {
            registry.register_with_unit(name, help, Unit::Seconds, seconds.clone());
        }
        registry.register(
            "redfish_requests",
            "HTTP requests answered, by route, method and status; a stream counts when it begins",
            self.redfish_requests.clone(),
        );
        registry.register(
            "store_writes",
            "Durable writes to the disk, by the kind of the first change in each",
            self.store_writes.clone(),
        );
        registry.register_with_unit(
            "store_write_duration",
            "Duration of a durable write to the disk, fsync included",
            Unit::Seconds,
            self.store_seconds.clone(),
        );
        registry.register("store_write_errors", "Failed writes to the disk", self.store_errors.clone());
        registry.register(
            "store_writable",
            "1 while the state can be written, 0 after a failed write, while commands are refused",
            self.store_writable.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "1 if the last read of nodes.yaml succeeded, 0 if it was rejected and the previous configuration stays",
            self.config_ok.clone(),
        );
        registry.register_with_unit(
            "config_last_reload_success_timestamp",
            "Unix time at which the running configuration was read",
            Unit::Seconds,
            self.config_ok_at.clone(),
        );
        registry.register(
            "events",
            "Events for subscribers, by outcome: delivered, streamed, failed (one try), given_up, dropped (the queue was full)",
            self.events.clone(),
        );
        registry.register(
            "logins",
            "Passwords sent by clients, by outcome: ok, wrong, locked (the account is locked), slowed and busy (the password was not checked)",
            self.logins.clone(),
        );
        registry.register(
            "build",
            "Version of the running plugfish",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
    }

    /// Adds metrics that are read at scrape time.
    pub fn add_collector(&self, collector: Box<dyn Collector>) {
        self.registry().sub_registry_with_prefix(PREFIX).register_collector(collector);
    }

    /// The whole registry in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Writing to a String fails only if a metric's own encoder does, and none of ours can.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry());
        text
    }

    /// The same in the older text format of Prometheus (0.0.4).
    pub fn render_plain(&self) -> String {
        plain::plain(&self.render())
    }

    /// What one device's driver counts.
    pub fn device(&self, node: &str) -> DeviceMetrics {
        self.nodes.device(node, &self.device_seconds)
    }

    /// What the actor of a node counts.
    pub fn node(&self, node: &str) -> NodeMeters {
        self.nodes.node(node, &self.command_seconds)
    }

    /// There is no such node any more: nor are there its series.
    pub fn forget(&self, node: &str) {
        self.nodes.forget(node);
    }

    /// An HTTP request was answered.
    pub fn redfish_request(&self, route: &'static str, method: &'static str, status: u16, took: Duration) {
        self.redfish_requests.get_or_create(&RedfishLabels { route, method, status }).inc();
        self.redfish_seconds.get_or_create(&[("route", route)]).observe(took.as_secs_f64());
    }

    /// What became of an event for one subscriber.
    pub fn event(&self, outcome: &'static str) {
        self.events.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// A client sent a password.
    pub fn login(&self, outcome: &'static str) {
        self.logins.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// The configuration was read: whether it is the running one now, and when that was (since 1970).
    pub fn config_loaded(&self, ok: bool, now: Duration) {
        self.config_ok.set(i64::from(ok));
        if ok {
            self.config_ok_at.set(now.as_secs_f64());
        }
    }

    /// Whether the running configuration is the one in the file.
    pub fn config_is_loaded(&self) -> bool {
        self.config_ok.get() == 1
    }

    /// Whether the database can be written.
    pub fn store_is_writable(&self, ok: bool) {
        self.store_writable.set(i64::from(ok));
    }

    /// Whether the last write to the database was made.
    pub fn store_can_be_written(&self) -> bool {
        self.store_writable.get() == 1
    }

    /// A durable write to the store ended.
    pub fn store_write(&self, kind: &'static str, took: Duration, ok: bool) {
        self.store_writes.get_or_create(&[("kind", kind)]).inc();
        self.store_seconds.observe(took.as_secs_f64());
        if !ok {
            self.store_errors.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_things_show_up_under_their_names() {
        let metrics = Metrics::new();
        let (device, node) = (metrics.device("node-1"), metrics.node("node-1"));
        device.request("read", "ok", Duration::from_millis(20));
        device.handshake();
        node.expect("On");
        node.transition("ForceOff", "done");
        node.done_after("ForceOff", Duration::from_secs(2));
        metrics.redfish_request("/redfish/v1/Systems/{id}", "GET", 200, Duration::from_micros(80));
        metrics.store_write("intent", Duration::from_millis(1), false);
        metrics.config_loaded(true, Duration::from_millis(1_700_000_000_500));
        metrics.config_loaded(false, Duration::from_secs(1_800_000_000));
        let text = metrics.render();
        for line in [
            "plugfish_device_requests_total{node=\"node-1\",op=\"read\",outcome=\"ok\"} 1",
            "plugfish_device_request_duration_seconds_count{op=\"read\"} 1",
            "plugfish_device_session_handshakes_total{node=\"node-1\"} 1",
            "plugfish_node_transitions_total{node=\"node-1\",kind=\"ForceOff\",result=\"done\"} 1",
            "plugfish_node_transitions_total{node=\"node-1\",kind=\"On\",result=\"failed\"} 0",
            "plugfish_node_transition_duration_seconds_bucket{le=\"2.5\",kind=\"ForceOff\"} 1",
            "plugfish_node_restarts_total{node=\"node-1\"} 0",
            "plugfish_redfish_requests_total{route=\"/redfish/v1/Systems/{id}\",method=\"GET\",status=\"200\"} 1",
            "plugfish_redfish_request_duration_seconds_count{route=\"/redfish/v1/Systems/{id}\"} 1",
            "plugfish_store_write_errors_total 1",
            "plugfish_config_last_reload_successful 0",
            "plugfish_config_last_reload_success_timestamp_seconds 1700000000.5",
            "plugfish_events_total{outcome=\"dropped\"} 0",
            "plugfish_logins_total{outcome=\"wrong\"} 0",
            "\nprocess_open_fds ",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_node_that_is_gone_has_no_series() {
        let metrics = Metrics::new();
        let (device, node) = (metrics.device("node-1"), metrics.node("node-1"));
        metrics.device("node-2").handshake();
        device.request("read", "ok", Duration::from_millis(20));
        metrics.forget("node-1");
        // What it still does is counted nowhere.
        device.handshake();
        node.transition("On", "done");
        let text = metrics.render();
        assert!(!text.contains("node-1"), "{text}");
        assert!(text.contains("plugfish_device_session_handshakes_total{node=\"node-2\"} 1"), "{text}");
        // And when it comes back, it begins again.
        metrics.device("node-1").handshake();
        let text = metrics.render();
        assert!(text.contains("plugfish_device_session_handshakes_total{node=\"node-1\"} 1"), "{text}");
        assert!(!text.contains("plugfish_device_requests_total{node=\"node-1\""), "{text}");
    }
}
