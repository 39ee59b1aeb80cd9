//! The counters of each node. When a node leaves the configuration, its series end.
//!
//! A counter is a handle that is made once: a node that was removed may still count, but its counters are no longer
//! shown.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// A name and one of our words.
pub(super) type Label = [(&'static str, &'static str); 1];

/// How long something took, by what it was for.
pub(super) type Seconds = Family<Label, Histogram, fn() -> Histogram>;

/// What is counted for one node. The words are ours, so there are only so many of each.
#[derive(Debug, Default)]
struct Counts {
    /// By what it was for and how it ended.
    requests: BTreeMap<(&'static str, &'static str), u64>,
    handshakes: u64,
    /// By kind and result.
    transitions: BTreeMap<(&'static str, &'static str), u64>,
    restarts: u64,
}

type Shared = Arc<Mutex<Counts>>;

/// Reads one of the counters.
type Count = fn(&Counts) -> u64;

fn lock(counts: &Shared) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The counts of all nodes that there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes(Arc<Mutex<BTreeMap<Arc<str>, Shared>>>);

impl Nodes {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Shared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self, node: &str) -> Shared {
        self.all().entry(node.into()).or_default().clone()
    }

    pub(super) fn device(&self, node: &str, seconds: &Seconds) -> DeviceMetrics {
        DeviceMetrics { counts: self.counts(node), seconds: seconds.clone() }
    }

    pub(super) fn node(&self, node: &str, seconds: &Seconds) -> NodeMeters {
        NodeMeters { counts: self.counts(node), seconds: seconds.clone() }
    }

    pub(super) fn forget(&self, node: &str) {
        self.all().remove(node);
    }
}

impl Collector for Nodes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.all();
        let help = "Requests sent to the device of a node, by operation and outcome.";
        let mut metric = encoder.encode_descriptor("device_requests", help, None, MetricType::Counter)?;
        for (node, counts) in all.iter() {
            for ((op, outcome), count) in &lock(counts).requests {
                metric
                    .encode_family(&[("node", &**node), ("op", op), ("outcome", outcome)])?
                    .encode_counter::<NoLabelSet, u64, u64>(count, None)?;
            }
        }
        let help =
            "Power commands of a node, by kind (`ResetType`) and result: done, failed, superseded, coalesced, refused.";
        let mut metric = encoder.encode_descriptor("node_transitions", help, None, MetricType::Counter)?;
        for (node, counts) in all.iter() {
            for ((kind, result), count) in &lock(counts).transitions {
                metric
                    .encode_family(&[("node", &**node), ("kind", kind), ("result", result)])?
                    .encode_counter::<NoLabelSet, u64, u64>(count, None)?;
            }
        }
        let plain: [(&str, &str, Count); 2] = [
            ("device_session_handshakes", "Logins to the device of a node.", |counts| counts.handshakes),
            ("node_restarts", "Restarts of the actor of a node after it crashed.", |counts| counts.restarts),
        ];
        for (name, help, count) in plain {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (node, counts) in all.iter() {
                let count = count(&lock(counts));
                metric.encode_family(&[("node", &**node)])?.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
            }
        }
        Ok(())
    }
}

/// Counts what is sent to one device.
#[derive(Clone)]
pub struct DeviceMetrics {
    counts: Shared,
    seconds: Seconds,
}

impl DeviceMetrics {
    /// A request ended: what it was for (`login`, `read`, `set`, `study`, `discover`) and how (`ok`, `closed` when a kept
    /// connection was closed instead of an answer, or a failure class).
    pub fn request(&self, op: &'static str, outcome: &'static str, took: Duration) {
        *lock(&self.counts).requests.entry((op, outcome)).or_default() += 1;
        self.seconds.get_or_create(&[("op", op)]).observe(took.as_secs_f64());
    }

    /// A login to the device begins.
    pub fn handshake(&self) {
        lock(&self.counts).handshakes += 1;
    }
}

/// Counts what a node does.
#[derive(Clone)]
pub struct NodeMeters {
    counts: Shared,
    seconds: Seconds,
}

impl NodeMeters {
    /// Commands of this kind may fail: from now on there is a zero, so that the first failure is an increase.
    pub fn expect(&self, kind: &'static str) {
        lock(&self.counts).transitions.entry((kind, "failed")).or_default();
    }

    /// A power command ended, or was refused.
    pub fn transition(&self, kind: &'static str, result: &'static str) {
        *lock(&self.counts).transitions.entry((kind, result)).or_default() += 1;
    }

    /// A power command was seen to be done, this long after it was accepted.
    pub fn done_after(&self, kind: &'static str, took: Duration) {
        self.seconds.get_or_create(&[("kind", kind)]).observe(took.as_secs_f64());
    }

    /// The actor was restarted.
    pub fn restarted(&self) {
        lock(&self.counts).restarts += 1;
    }
}
