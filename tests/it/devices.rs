//! Every kind of plug end to end: first state, off, on, cycle with its dwell, a button press, watts.

use plugfish::testing::sim::{Model, Variant};
use reqwest::StatusCode;

use crate::rig::{DWELL, Rig, plug};

const KINDS: [(Model, Variant); 6] = [
    (Model::P100, Variant::Passthrough),
    (Model::P110, Variant::Passthrough),
    (Model::P100, Variant::KlapV1),
    (Model::P110, Variant::KlapV2),
    (Model::P110, Variant::Tpap),
    (Model::P100, Variant::Tpap),
];

#[tokio::test]
async fn every_variant_is_switched_cycled_and_watched() {
    let plugs = KINDS.iter().enumerate().map(|(index, (model, variant))| plug(&format!("n{index}"), *model, *variant));
    let rig = Rig::settled(plugs).await;
    let flows = (0..KINDS.len()).map(|index| flow(&rig, format!("n{index}"), KINDS[index].0));
    futures_util::future::join_all(flows).await;
}

async fn flow(rig: &Rig, node: String, model: Model) {
    let plug = rig.plug(&node);
    assert_eq!(rig.power(&node).await, "On");

    let start = rig.now();
    assert_eq!(rig.reset(&node, "ForceOff").await.0, StatusCode::NO_CONTENT);
    rig.until(5, || async { plug.relay(1) == Some(false) }).await;
    assert!(rig.now().since(start).as_millis() < 2000, "the relay follows within 2 s");
    rig.until(5, || async { rig.power(&node).await == "Off" }).await;

    assert_eq!(rig.reset(&node, "On").await.0, StatusCode::NO_CONTENT);
    rig.until(5, || async { rig.power(&node).await == "On" }).await;
    assert_eq!(plug.relay(1), Some(true));

    assert_eq!(rig.reset(&node, "PowerCycle").await.0, StatusCode::NO_CONTENT);
    rig.until(5, || async { plug.relay(1) == Some(false) }).await;
    rig.until(5, || async { rig.power(&node).await == "On" && plug.relay(1) == Some(true) }).await;
    let history = plug.history(1);
    let changes: Vec<_> =
        history.windows(2).filter(|pair| !pair[0].on).map(|pair| pair[1].at.since(pair[0].at)).collect();
    assert!(changes.iter().all(|dwell| *dwell >= DWELL), "{node}: {changes:?}");

    plug.press_button(1);
    rig.until(5, || async { rig.power(&node).await == "Off" }).await;
    plug.press_button(1);
    rig.until(5, || async { rig.power(&node).await == "On" }).await;

    let (status, metrics) = rig.get(&format!("/redfish/v1/Chassis/{node}/EnvironmentMetrics")).await;
    if model.has_meter() {
        assert_eq!(status, StatusCode::OK);
        rig.until(5, || async {
            let shown = rig.get(&format!("/redfish/v1/Chassis/{node}/EnvironmentMetrics")).await.1;
            shown["PowerWatts"]["Reading"].as_f64().is_some_and(|watts| watts > 1.0)
        })
        .await;
    } else {
        assert_eq!(status, StatusCode::NOT_FOUND, "{metrics}");
        assert!(rig.get(&format!("/redfish/v1/Chassis/{node}")).await.1.get("Power").is_none(), "no dangling link");
    }

    let counters = plug.counters();
    assert!(counters.in_flight_max <= 1, "one request at a time: {}", counters.in_flight_max);
    assert!(counters.requests_in_a_second_max() <= 5, "{}", counters.requests_in_a_second_max());
    assert!(counters.gap_min().is_some_and(|gap| gap.as_millis() >= 245), "{:?}", counters.gap_min());
    assert_eq!(counters.wrong_passwords, 0);
}

#[tokio::test]
async fn the_outlets_of_a_strip_are_nodes_that_share_one_session() {
    let rig = Rig::settled([plug("strip", Model::P300, Variant::KlapV2)]).await;
    let strip = rig.plug("strip");
    for node in ["strip.0", "strip.1", "strip.2"] {
        assert_eq!(rig.power(node).await, "On");
    }
    assert_eq!(rig.reset("strip.1", "ForceOff").await.0, StatusCode::NO_CONTENT);
    rig.until(5, || async { rig.power("strip.1").await == "Off" }).await;
    let relays: Vec<_> = (1..=3).map(|outlet| strip.relay(outlet)).collect();
    assert_eq!(relays, [Some(true), Some(false), Some(true)]);
    assert_eq!((rig.power("strip.0").await, rig.power("strip.2").await), ("On".into(), "On".into()));
    let counters = strip.counters();
    assert_eq!((counters.logins, counters.evictions), (1, 0));
    assert!(counters.in_flight_max <= 1 && counters.requests_in_a_second_max() <= 5);
}

#[tokio::test]
async fn reads_cost_the_plug_nothing() {
    let rig = Rig::settled([plug("n", Model::P110, Variant::KlapV2)]).await;
    let plug = rig.plug("n");
    plug.reset_counters();
    let start = rig.now();
    let mut reads = 0u32;
    while rig.now().since(start).as_secs() < 4 {
        let looks = (0..8).map(|_| rig.system("n"));
        reads += u32::try_from(futures_util::future::join_all(looks).await.len()).unwrap();
    }
    let requests = plug.counters().requests;
    assert!(reads > 500, "only {reads} reads");
    assert!(requests <= 6, "{reads} reads cost the plug {requests} requests in 4 s at a poll each second");
}
