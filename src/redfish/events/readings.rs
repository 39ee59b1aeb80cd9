//! The number of subscribers and of queued events, computed at scrape time.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{Events, Want};

/// The subscribers of this hub.
pub(crate) struct SubscriberMetrics(pub Arc<Events>);

impl fmt::Debug for SubscriberMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubscriberMetrics")
    }
}

impl Collector for SubscriberMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (mut deliveries, mut streams, mut queued) = (0u32, 0u32, 0u32);
        for subscriber in self.0.lock().subscribers.values() {
            match subscriber.want {
                Want::Delivery { .. } => deliveries += 1,
                Want::Stream(_) => streams += 1,
            }
            queued += u32::try_from(subscriber.queue.waiting()).unwrap_or(u32::MAX);
        }
        let help = "Event subscribers, by kind of delivery.";
        let mut metric = encoder.encode_descriptor("event_subscribers", help, None, MetricType::Gauge)?;
        for (kind, count) in [("delivery", deliveries), ("stream", streams)] {
            metric.encode_family(&[("kind", kind)])?.encode_gauge(&f64::from(count))?;
        }
        let help = "Events in the queues of all subscribers.";
        encoder.encode_descriptor("events_queued", help, None, MetricType::Gauge)?.encode_gauge(&f64::from(queued))
    }
}
