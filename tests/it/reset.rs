//! Power commands of a client, and their answers.

use std::time::Duration;

use plugfish::testing::sim::{Action, Fault, Kind, Selector};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::rig::{Rig, klap};

#[tokio::test]
async fn every_reset_type_is_taken_on_a_node_that_is_off() {
    let rig = Rig::settled([klap("n")]).await;
    for kind in ["ForceRestart", "PowerCycle", "On", "ForceOn"] {
        assert_eq!(rig.reset("n", "ForceOff").await.0, StatusCode::NO_CONTENT);
        rig.until(5, || async { rig.power("n").await == "Off" }).await;
        assert_eq!(rig.reset("n", kind).await.0, StatusCode::NO_CONTENT, "{kind}");
        rig.until(5, || async { rig.power("n").await == "On" }).await;
    }
    let system = rig.system("n").await;
    let offered = &system["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"];
    assert_eq!(*offered, json!(["On", "ForceOn", "ForceOff", "ForceRestart", "PowerCycle"]));
}

#[tokio::test]
async fn an_off_during_a_cycle_ends_off_and_a_second_cycle_joins_the_first() {
    let rig = Rig::settled([klap("a"), klap("b")]).await;
    for node in ["a", "b"] {
        assert_eq!(rig.reset(node, "PowerCycle").await.0, StatusCode::NO_CONTENT);
        rig.until(5, || async { rig.plug(node).relay(1) == Some(false) }).await;
    }
    assert_eq!(rig.reset("a", "ForceOff").await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.reset("b", "ForceRestart").await.0, StatusCode::NO_CONTENT);
    tokio::time::sleep(Duration::from_secs(3)).await; // longer than the dwell: a wrong On would have come
    assert_eq!((rig.power("a").await, rig.power("b").await), ("Off".into(), "On".into()));
    assert_eq!(rig.plug("b").power_ons(1), Some(1), "one cycle");
}

#[tokio::test]
async fn what_is_there_already_costs_no_write() {
    let rig = Rig::settled([klap("n")]).await;
    for _ in 0..3 {
        assert_eq!(rig.reset("n", "On").await.0, StatusCode::NO_CONTENT);
        tokio::time::sleep(Duration::from_millis(400)).await; // the command is over by then
    }
    assert_eq!(rig.plug("n").counters().relay_writes, 0);
}

#[tokio::test]
async fn a_wrong_reset_is_refused_with_the_choice() {
    let rig = Rig::settled([klap("n")]).await;
    let path = "/redfish/v1/Systems/n/Actions/ComputerSystem.Reset";
    for (body, message) in [
        (json!({ "ResetType": "Sideways" }), "ActionParameterValueNotInList"),
        (json!({ "ResetType": "GracefulShutdown" }), "ActionParameterValueNotInList"),
        (json!({ "ResetType": 1 }), "ActionParameterValueTypeError"),
        (json!({ "ResetTyp": "On" }), "ActionParameterUnknown"),
        (json!({}), "ActionParameterMissing"),
    ] {
        let (status, answer) = rig.send(rig.request(Method::POST, path).json(&body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        let first = &answer["error"]["@Message.ExtendedInfo"][0];
        assert_eq!(first["MessageId"], format!("Base.1.22.{message}"), "{answer}");
    }
    let (_, answer) = rig.reset("n", "Sideways").await;
    assert!(answer.to_string().contains("ForceRestart"), "{answer}");
    assert_eq!(rig.reset("no one", "On").await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.plug("n").counters().relay_writes, 0);
}

#[tokio::test]
async fn the_boot_override_is_kept_read_back_and_used_up() {
    let rig = Rig::settled([klap("n")]).await;
    let path = "/redfish/v1/Systems/n";
    let etag = |system: &serde_json::Value| system["@odata.etag"].as_str().unwrap().to_owned();
    let first = etag(&rig.system("n").await);
    let patch = |body: serde_json::Value| rig.request(Method::PATCH, path).json(&json!({ "Boot": body }));

    let (status, body) = rig.send(patch(json!({ "BootSourceOverrideTarget": "Pxe" }))).await;
    assert_eq!((status, &body["Boot"]["BootSourceOverrideEnabled"]), (StatusCode::OK, &json!("Disabled")));
    let second = etag(&body);
    assert_ne!(first, second);
    let stale = patch(json!({ "BootSourceOverrideEnabled": "Once" })).header("If-Match", &first);
    assert_eq!(rig.send(stale).await.0, StatusCode::PRECONDITION_FAILED);
    for odd in ["\"0", "\"+1\"", "\"01\"", "W/1", "\"1\"foobar", "%"] {
        let odd_tag = patch(json!({ "BootSourceOverrideEnabled": "Once" })).header("If-Match", odd);
        assert_eq!(rig.send(odd_tag).await.0, StatusCode::PRECONDITION_FAILED, "{odd}");
    }
    let right = patch(json!({ "BootSourceOverrideEnabled": "Once" })).header("If-Match", &second);
    assert_eq!(rig.send(right).await.0, StatusCode::OK);

    rig.plug("n").press_button(1);
    rig.until(5, || async { rig.power("n").await == "Off" }).await;
    let boot = rig.system("n").await["Boot"].clone();
    assert_eq!(
        (&boot["BootSourceOverrideTarget"], &boot["BootSourceOverrideEnabled"]),
        (&json!("Pxe"), &json!("Once"))
    );
    assert_eq!(rig.reset("n", "On").await.0, StatusCode::NO_CONTENT);
    rig.until(5, || async { rig.system("n").await["Boot"]["BootSourceOverrideEnabled"] == "Disabled" }).await;

    let (status, body) = rig.send(patch(json!({ "BootSourceOverrideTarget": "Floppy", "Odd": 1 }))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["error"]["@Message.ExtendedInfo"].as_array().unwrap().len(), 2, "{body}");
    assert_eq!(rig.system("n").await["Boot"]["BootSourceOverrideTarget"], "None", "a bad request changes nothing");
}

#[tokio::test]
async fn stopping_takes_no_longer_than_five_seconds_and_a_cycle_is_finished_by_the_next_start() {
    let mut rig = Rig::settled([klap("n")]).await;
    rig.plug("n").add_fault(Fault::times(1, Selector::Kind(Kind::RelayWrite), Action::DoAndHang));
    assert_eq!(rig.reset("n", "PowerCycle").await.0, StatusCode::NO_CONTENT);
    rig.until(5, || async { rig.plug("n").relay(1) == Some(false) }).await;
    let took = rig.stop();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(rig.plug("n").relay(1), Some(false));
    rig.restart().await;
    rig.until(15, || async { rig.power("n").await == "On" && rig.plug("n").power_ons(1) == Some(1) }).await;
}
