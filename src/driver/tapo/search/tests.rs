//! Broadcasts are shared. On loopback addresses, where 127.0.0.255 stands for the broadcast address of a network.

use serde_json::json;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::net::UdpSocket;

use super::*;
use crate::driver::tapo::tests::{context, no_pace, quick};
use crate::node::rate_limit::RateLimit;
use crate::telemetry::Metrics;

/// Answers every probe with these plugs, and counts the probes.
async fn responder(plugs: &'static [(&'static str, &'static str)]) -> (u16, Arc<AtomicU32>) {
    let socket = UdpSocket::bind(("127.0.0.255", 0)).await.unwrap();
    let (port, probes) = (socket.local_addr().unwrap().port(), Arc::new(AtomicU32::new(0)));
    let counted = probes.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
            counted.fetch_add(1, Ordering::Relaxed);
            for (mac, ip) in plugs {
                let json = json!({ "error_code": 0, "result": { "mac": mac, "ip": ip,
                    "mgt_encrypt_schm": { "encrypt_type": "KLAP", "http_port": 8080 } } });
                let datagram = [[0; 16].as_slice(), json.to_string().as_bytes()].concat();
                socket.send_to(&datagram, from).await.unwrap();
            }
        }
    });
    (port, probes)
}

fn lost(mac: &str, port: u16) -> Lost<'static> {
    Lost { host: "127.0.0.2", home: "127.0.0.2", port, mac: mac.parse().ok(), elsewhere: false }
}

#[tokio::test]
async fn all_connections_share_one_broadcast() {
    let plugs = &[("AA-BB-CC-DD-EE-01", "127.0.0.3"), ("AA-BB-CC-DD-EE-02", "127.0.0.2")];
    let (port, probes) = responder(plugs).await;
    let (searches, metrics) = (Searches::default(), Metrics::new());
    let context = context("node-1", no_pace(), &metrics);
    let seen = searches.seek(&context, &lost("aabbccddee01", port), &quick()).await;
    assert_eq!(seen, Some(Seen { host: Some("127.0.0.3".into()), port: Some(8080) }));
    // It is where it was: nothing moves.
    let seen = searches.seek(&context, &lost("aabbccddee02", port), &quick()).await;
    assert_eq!(seen, Some(Seen { host: None, port: Some(8080) }));
    assert_eq!(searches.seek(&context, &lost("aabbccddee03", port), &quick()).await, None);
    assert_eq!(probes.load(Ordering::Relaxed), 1);
    // One unicast probe for each, and one broadcast for all.
    let text = metrics.render();
    assert!(text.contains("op=\"discover\",outcome=\"ok\"} 1"), "{text}");
    assert!(text.contains("op=\"discover\",outcome=\"timeout\"} 3"), "{text}");
}

#[tokio::test]
async fn probes_pass_the_gate() {
    let (searches, metrics) = (Searches::default(), Metrics::new());
    let one = NonZeroU32::MIN;
    let context = context(
        "node-1",
        RateLimit { gap: std::time::Duration::from_millis(400), per_second: one, burst: one },
        &metrics,
    );
    drop(context.gate.pass().await);
    let start = context.clock.now().mono;
    let lost = Lost { host: "127.0.0.2", home: "127.0.0.2", port: 9, mac: None, elsewhere: false };
    assert_eq!(searches.seek(&context, &lost, &quick()).await, None);
    assert!(context.clock.now().mono.since(start) >= std::time::Duration::from_millis(400));
}
