//! The resources of plugs besides the switch (power equipment, sensors, supplies), resources that are omitted because
//! they would be untrue, and the registries.

use std::time::Duration;

use plugfish::testing::node::{BootMode, BootTarget};
use plugfish::testing::sim::{Action, Fault, MachineConfig, Model, Profile, Selector, Variant};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::crawl::crawl;
use crate::rig::{Rig, klap, plug};

const PDUS: &str = "/redfish/v1/PowerEquipment/RackPDUs";

fn links(value: &Value) -> Vec<String> {
    let uri = |link: &Value| link["@odata.id"].as_str().unwrap().to_owned();
    value.as_array().unwrap().iter().map(uri).collect()
}

async fn members(rig: &Rig, path: &str) -> Vec<String> {
    let (status, body) = rig.get(path).await;
    assert_eq!(status, StatusCode::OK, "{path}");
    links(&body["Members"])
}

#[tokio::test]
async fn plugs_and_strips_are_power_equipment() {
    let rig = Rig::settled([klap("metered"), plug("strip", Model::P300, Variant::KlapV2)]).await;
    let (plug, strip) = (hex::encode(rig.plug("metered").mac()), hex::encode(rig.plug("strip").mac()));
    let mut pdus = [format!("{PDUS}/{plug}"), format!("{PDUS}/{strip}")];
    pdus.sort();
    assert_eq!(members(&rig, PDUS).await, pdus);
    let outlets: Vec<String> = (0..3).map(|n| format!("{PDUS}/{strip}/Outlets/strip.{n}")).collect();
    assert_eq!(members(&rig, &format!("{PDUS}/{strip}/Outlets")).await, outlets, "one device with three nodes");
    let (_, pdu) = rig.get(&format!("{PDUS}/{strip}")).await;
    assert_eq!((&pdu["EquipmentType"], &pdu["Model"]), (&json!("RackPDU"), &json!("P300")));
    assert_eq!(links(&pdu["Links"]["ManagedBy"]).len(), 3);

    let (_, outlet) = rig.get(&outlets[1]).await;
    assert_eq!(links(&outlet["Links"]["Chassis"]), ["/redfish/v1/Chassis/strip.1"]);
    assert!(outlet.get("PowerWatts").is_none() && outlet["Links"].get("PowerSupplies").is_none(), "no meter: {outlet}");
    assert_eq!(rig.reset("strip.1", "ForceOff").await.0, StatusCode::NO_CONTENT);
    rig.until(5, || async { rig.get(&outlets[1]).await.1["PowerState"] == "Off" }).await;
    assert_eq!(rig.get(&outlets[0]).await.1["PowerState"], "On", "the others stay on");

    let outlet = format!("{PDUS}/{plug}/Outlets/metered");
    let supply = "/redfish/v1/Chassis/metered/PowerSubsystem/PowerSupplies/0";
    let (_, metered) = rig.get(&outlet).await;
    assert_eq!(links(&metered["Links"]["PowerSupplies"]), [supply]);
    assert_eq!(links(&rig.get(supply).await.1["Links"]["PowerOutlets"]), [outlet.as_str()]);
    assert_eq!(links(&rig.get("/redfish/v1/Chassis/metered").await.1["Links"]["PowerOutlets"]), [outlet]);
    for (watts, kwh) in [
        (&metered["PowerWatts"], &metered["EnergykWh"]),
        (&rig.get(&format!("{supply}/Metrics")).await.1["InputPowerWatts"], &metered["EnergykWh"]),
    ] {
        assert_eq!(watts["DataSourceUri"], "/redfish/v1/Chassis/metered/Sensors/Power");
        assert!(watts["Reading"].as_f64().is_some_and(|watts| watts > 1.0), "{watts}");
        assert_eq!(kwh["DataSourceUri"], "/redfish/v1/Chassis/metered/Sensors/Energy");
    }
    for wrong in [
        format!("{PDUS}/{plug}/Outlets/strip.0"),
        format!("{PDUS}/{}", "0".repeat(12)),
        "/redfish/v1/Chassis/strip.0/Sensors".into(),
        "/redfish/v1/Chassis/strip.0/PowerSubsystem".into(),
        "/redfish/v1/Chassis/metered/PowerSubsystem/PowerSupplies/1".into(),
        "/redfish/v1/Chassis/metered/Sensors/Noise".into(),
    ] {
        assert_eq!(rig.get(&wrong).await.0, StatusCode::NOT_FOUND, "{wrong}");
    }
    assert!(crawl(&rig).await.contains(&format!("{supply}/Metrics")));
}

#[tokio::test]
async fn a_machine_with_amt_is_no_power_equipment_and_boots_as_its_operator_says() {
    let machine = MachineConfig::new("pc", Profile::Amt12);
    let rig = Rig::with_machines([], [machine], |node| node.spec.boot_mode = Some(BootMode::Legacy)).await;
    rig.all_seen().await;
    assert!(rig.get("/redfish/v1/").await.1.get("PowerEquipment").is_none());
    for gone in ["PowerEquipment", "PowerEquipment/RackPDUs", "Chassis/pc/PowerSubsystem", "Chassis/pc/Sensors"] {
        assert_eq!(rig.get(&format!("/redfish/v1/{gone}")).await.0, StatusCode::NOT_FOUND, "{gone}");
    }
    let (_, manager) = rig.get("/redfish/v1/Managers/pc/NetworkProtocol").await;
    assert_eq!(manager["HTTP"], json!({ "ProtocolEnabled": true, "Port": rig.address.port() }));
    assert_eq!(manager["HTTPS"], json!({ "ProtocolEnabled": false }));
    let boot = rig.system("pc").await["Boot"].clone();
    assert_eq!(boot["BootSourceOverrideMode"], "Legacy");
    assert_eq!(boot["BootSourceOverrideMode@Redfish.AllowableValues"], json!(["Legacy"]));
    let patch = async |mode: &str| {
        let request = rig.request(Method::PATCH, "/redfish/v1/Systems/pc");
        rig.send(request.json(&json!({ "Boot": { "BootSourceOverrideMode": mode } }))).await
    };
    assert_eq!(patch("Legacy").await.0, StatusCode::OK);
    let (status, answer) = patch("UEFI").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let message = &answer["error"]["@Message.ExtendedInfo"][0];
    assert!(message["MessageId"].as_str().unwrap().ends_with(".PropertyValueNotInList"), "{message}");
    assert!(message["Message"].as_str().unwrap().contains("'UEFI'"), "{message}");
}

#[tokio::test]
async fn a_plug_offers_the_boot_targets_that_its_operator_knows_the_network_boot_to_honour() {
    const TARGETS: &str = "BootSourceOverrideTarget@Redfish.AllowableValues";
    let said = [BootTarget::Cd, BootTarget::Pxe, BootTarget::Cd];
    let rig = Rig::with_machines([klap("said"), klap("plain")], [], |node| {
        node.spec.boot_targets = (node.spec.id.as_str() == "said").then(|| said.into());
    });
    let rig = rig.await;
    assert_eq!(rig.system("plain").await["Boot"][TARGETS], json!(["None", "Pxe", "Hdd"]));
    assert_eq!(rig.system("said").await["Boot"][TARGETS], json!(["None", "Pxe", "Cd"]));
    for (node, target, status) in [
        ("plain", "Cd", StatusCode::BAD_REQUEST),
        ("said", "Hdd", StatusCode::BAD_REQUEST),
        ("said", "Cd", StatusCode::OK),
    ] {
        let boot = json!({ "BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": "Once" });
        let request = rig.request(Method::PATCH, &format!("/redfish/v1/Systems/{node}"));
        assert_eq!(rig.send(request.json(&json!({ "Boot": boot }))).await.0, status, "{node} {target}");
    }
}

#[tokio::test]
async fn a_reset_of_the_manager_drops_the_session_and_leaves_the_power() {
    let rig = Rig::settled([klap("n")]).await;
    let logins = || rig.plug("n").counters().logins;
    let (before, action) = (logins(), "/redfish/v1/Managers/n/Actions/Manager.Reset");
    let (status, _) = rig.send(rig.request(Method::POST, action).json(&json!({ "ResetType": "ForceOff" }))).await;
    assert_eq!((status, logins()), (StatusCode::BAD_REQUEST, before));
    let (status, _) = rig.send(rig.request(Method::POST, action).json(&json!({ "ResetType": "ForceRestart" }))).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    rig.until(10, || async { logins() == before + 1 }).await;
    assert_eq!((rig.power("n").await, rig.plug("n").relay(1)), (json!("On"), Some(true)));
}

#[tokio::test]
async fn the_registries_explain_what_is_said() {
    let rig = Rig::start([klap("n")]).await;
    let (_, answer) = rig.get("/redfish/v1/Nothing").await;
    let said = &answer["error"]["@Message.ExtendedInfo"][0];
    let id: Vec<&str> = said["MessageId"].as_str().unwrap().split('.').collect();
    let [prefix, major, minor, key] = id.as_slice() else { panic!("{id:?}") };
    let (_, file) = rig.get(&format!("/redfish/v1/Registries/{prefix}")).await;
    assert_eq!(file["Registry"], format!("{prefix}.{major}.{minor}"));
    let uri = file["Location"][0]["Uri"].as_str().unwrap();
    let (status, registry) = rig.get(uri).await;
    assert_eq!(
        (status, registry["Messages"][key]["MessageSeverity"].clone()),
        (StatusCode::OK, said["MessageSeverity"].clone())
    );
    assert_eq!(registry["Id"].as_str(), uri.rsplit('/').next());
    assert_eq!(rig.get(&format!("/redfish/v1/Registries/{prefix}/Base.1.0.0")).await.0, StatusCode::NOT_FOUND);
    let (_, ours) = rig.get("/redfish/v1/Registries/Plugfish").await;
    assert!(registry["Messages"][key].get("Severity").is_none(), "deprecated by the schema");
    assert!(ours["Location"][0].get("PublicationUri").is_none(), "it is published nowhere else");
}

#[tokio::test]
async fn what_happens_to_a_node_is_in_its_log() {
    const LOG: &str = "/redfish/v1/Managers/n/LogServices/Log";
    let rig = Rig::settled([klap("n")]).await;
    assert_eq!(rig.reset("n", "ForceOff").await.0, StatusCode::NO_CONTENT);
    let entries = async || rig.get(&format!("{LOG}/Entries")).await.1;
    let id = |entry: &Value| entry["MessageId"].as_str().unwrap().rsplit('.').next().unwrap().to_owned();
    let ids = async || entries().await["Members"].as_array().unwrap().iter().map(id).collect::<Vec<_>>();
    rig.until(10, || async { ids().await.first().is_some_and(|id| id == "CommandDone") }).await;
    // The first contact says what the device proved, and is shown as a change.
    let told = ["CommandDone", "ResourcePoweredOff", "CommandAccepted", "ResourceChanged", "DeviceNotice"];
    assert_eq!(ids().await, told);
    rig.plug("n").press_button(1);
    rig.until(10, || async { ids().await.len() == told.len() + 1 }).await;
    let newest = entries().await["Members"][0].clone();
    assert_eq!((id(&newest).as_str(), &newest["Severity"]), ("PowerChangedOutside", &json!("Warning")));
    assert!(newest["Message"].as_str().unwrap().contains("n is On now"), "{newest}");
    assert_eq!(newest["Links"]["OriginOfCondition"]["@odata.id"], "/redfish/v1/Systems/n");
    let (_, page) = rig.get(&format!("{LOG}/Entries?$top=1&$skip=1")).await;
    assert_eq!((id(&page["Members"][0]).as_str(), &page["Members@odata.count"]), ("CommandDone", &json!(6)));
    let (status, entry) = rig.get(newest["@odata.id"].as_str().unwrap()).await;
    assert_eq!((status, &entry), (StatusCode::OK, &newest));
    assert!(crawl(&rig).await.contains(LOG));
}

#[tokio::test]
async fn firmware_is_listed_as_it_was_seen_and_nothing_is_updated() {
    const FIRMWARE: &str = "/redfish/v1/UpdateService/FirmwareInventory";
    let machine = MachineConfig::new("pc", Profile::Amt16).quick();
    let rig = Rig::with_machines([klap("n.Manager")], [machine], |_| {}).await;
    rig.all_seen().await;
    let bios = async || rig.system("pc").await["BiosVersion"].is_string();
    rig.until(30, bios).await;
    let expect = ["n.Manager.Manager", "pc.Manager", "pc.BIOS"].map(|id| format!("{FIRMWARE}/{id}"));
    assert_eq!(members(&rig, FIRMWARE).await, expect);
    for (id, of, version) in [
        ("n.Manager.Manager", "Managers/n.Manager", "FirmwareVersion"),
        ("pc.Manager", "Managers/pc", "FirmwareVersion"),
        ("pc.BIOS", "Systems/pc", "BiosVersion"),
    ] {
        let (_, firmware) = rig.get(&format!("{FIRMWARE}/{id}")).await;
        let of = format!("/redfish/v1/{of}");
        assert_eq!((links(&firmware["RelatedItem"]), &firmware["Updateable"]), (vec![of.clone()], &json!(false)));
        assert_eq!(firmware["Version"], rig.get(&of).await.1[version], "{id}");
    }
    for absent in ["n.Manager", "n.Manager.BIOS", "pc", "pc.bios", "x.Manager"] {
        assert_eq!(rig.get(&format!("{FIRMWARE}/{absent}")).await.0, StatusCode::NOT_FOUND, "{absent}");
    }
    assert!(rig.get("/redfish/v1/UpdateService").await.1.get("Actions").is_none());
}

#[tokio::test]
async fn the_reset_of_a_chassis_is_that_of_its_system() {
    let rig = Rig::settled([klap("n")]).await;
    let (_, chassis) = rig.get("/redfish/v1/Chassis/n").await;
    let action = &chassis["Actions"]["#Chassis.Reset"];
    let system = &rig.system("n").await["Actions"]["#ComputerSystem.Reset"];
    const TYPES: &str = "ResetType@Redfish.AllowableValues";
    assert_eq!(action[TYPES], system[TYPES]);
    let reset = async |kind: &str| {
        let request = rig.request(Method::POST, action["target"].as_str().unwrap());
        rig.send(request.json(&json!({ "ResetType": kind }))).await
    };
    let (status, said) = reset("GracefulShutdown").await;
    let said = said["error"]["@Message.ExtendedInfo"][0]["Message"].as_str().unwrap().to_owned();
    assert!(status == StatusCode::BAD_REQUEST && said.contains("Chassis.Reset"), "{said}");
    assert_eq!(reset("ForceOff").await.0, StatusCode::NO_CONTENT);
    rig.until(10, || async { rig.power("n").await == "Off" }).await;
    assert_eq!(rig.plug("n").relay(1), Some(false));
}

#[tokio::test]
async fn what_a_plug_does_after_a_power_loss_is_read_and_set() {
    use plugfish::testing::sim::PowerLoss;
    let rig = Rig::settled([klap("n")]).await;
    let policy = async || rig.system("n").await["PowerRestorePolicy"].clone();
    assert_eq!(policy().await, "LastState");
    for (loss, shown) in
        [(PowerLoss::On, "AlwaysOn"), (PowerLoss::Off, "AlwaysOff"), (PowerLoss::LastState, "LastState")]
    {
        rig.plug("n").set_power_loss(1, loss);
        rig.until(10, || async { policy().await == shown }).await;
    }
    let set = async |policy: &str| {
        let body = json!({ "PowerRestorePolicy": policy });
        rig.send(rig.request(Method::PATCH, "/redfish/v1/Systems/n").json(&body)).await
    };
    for name in ["AlwaysOn", "AlwaysOff", "LastState"] {
        let (status, system) = set(name).await;
        assert_eq!((status, &system["PowerRestorePolicy"]), (StatusCode::OK, &json!(name)), "{system}");
    }
    assert_eq!(rig.plug("n").relay(1), Some(true), "the relay was not touched");
    let (status, said) = set("Sometimes").await;
    assert!(status == StatusCode::BAD_REQUEST && said.to_string().contains("PropertyValueNotInList"), "{said}");
    // A plug that says ok and does nothing, and one whose answer is lost.
    rig.plug("n").add_fault(Fault::times(9, Selector::Method("set_device_info".into()), Action::IgnoreWrite));
    let (status, said) = set("AlwaysOn").await;
    assert!(status == StatusCode::SERVICE_UNAVAILABLE && said.to_string().contains("NotConfirmed"), "{status} {said}");
    assert_eq!(policy().await, "LastState", "what was not seen is not shown");
    rig.plug("n").clear_faults();
    rig.plug("n").add_fault(Fault::times(1, Selector::Method("set_device_info".into()), Action::LoseAnswer));
    assert_eq!(set("AlwaysOn").await.0, StatusCode::OK);
    // Half of a change is told as that, and each half that is done moves the ETag.
    let etag = async || rig.system("n").await["@odata.etag"].clone();
    let before = etag().await;
    rig.plug("n").add_fault(Fault::times(9, Selector::Method("set_device_info".into()), Action::IgnoreWrite));
    let both = json!({ "PowerRestorePolicy": "AlwaysOff", "Boot": { "BootSourceOverrideEnabled": "Disabled" } });
    let (status, said) = rig.send(rig.request(Method::PATCH, "/redfish/v1/Systems/n").json(&both)).await;
    assert!(status == StatusCode::OK && said["@Message.ExtendedInfo"].to_string().contains("NotConfirmed"), "{said}");
    let after = etag().await;
    assert_ne!(before, after);
    rig.plug("n").clear_faults();
    let conditional = async |policy: &str, etag: &Value| {
        let body = json!({ "PowerRestorePolicy": policy });
        let request = rig.request(Method::PATCH, "/redfish/v1/Systems/n").json(&body);
        rig.send(request.header("If-Match", etag.as_str().unwrap())).await.0
    };
    assert_eq!(conditional("AlwaysOff", &before).await, StatusCode::PRECONDITION_FAILED);
    assert_eq!(conditional("AlwaysOn", &after).await, StatusCode::OK);
    assert_ne!(etag().await, after);
    // With the mains away and back, the plug does as it was told.
    assert_eq!(rig.reset("n", "ForceOff").await.0, StatusCode::NO_CONTENT);
    rig.until(10, || async { rig.power("n").await == "Off" }).await;
    rig.plug("n").cut_power(Duration::from_secs(1));
    rig.until(20, || async { rig.plug("n").relay(1) == Some(true) }).await;
}

#[tokio::test]
async fn an_outlet_of_a_strip_is_told_for_itself_and_no_machine_is() {
    let rig = Rig::settled([plug("strip", Model::P300, Variant::KlapV2)]).await;
    let (first, second) = ("strip.0", "strip.1");
    let patch = async |node: &str| {
        let body = json!({ "PowerRestorePolicy": "AlwaysOff" });
        rig.send(rig.request(Method::PATCH, &format!("/redfish/v1/Systems/{node}")).json(&body)).await
    };
    assert_eq!(patch(first).await.0, StatusCode::OK);
    assert_eq!(rig.system(first).await["PowerRestorePolicy"], "AlwaysOff");
    assert_eq!(rig.system(second).await["PowerRestorePolicy"], "LastState");
}

#[tokio::test]
async fn the_old_power_says_what_was_drawn_lately() {
    let rig = Rig::settled([klap("n")]).await;
    let metrics = async || rig.get("/redfish/v1/Chassis/n/Power").await.1["PowerControl"][0]["PowerMetrics"].clone();
    rig.until(10, || async { metrics().await["AverageConsumedWatts"].is_number() }).await;
    let shown = metrics().await;
    let watts =
        ["MinConsumedWatts", "AverageConsumedWatts", "MaxConsumedWatts"].map(|name| shown[name].as_f64().unwrap());
    assert!(watts[0] > 0.0 && watts.is_sorted() && shown["IntervalInMin"] == 1, "{shown}");
    rig.plug("n").set_offline(true);
    rig.until(10, || async { metrics().await["AverageConsumedWatts"].is_null() }).await;
    assert!(metrics().await.as_object().unwrap().contains_key("IntervalInMin"), "telegraf looks for it");
}
