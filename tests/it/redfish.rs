//! The output of the service: golden bodies, and the page of metrics.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::Value;

use crate::rig::{Rig, klap};

/// Puts something constant in the place of what differs from run to run.
fn steady(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, value) in object.iter_mut() {
                match name.as_str() {
                    "@odata.etag" if value.as_str().is_some_and(|etag| etag.len() > 12) => *value = "\"made-1\"".into(),
                    "DateTime" | "CreatedTime" | "ReadingTime" => *value = "2026-11-22T12:00:00Z".into(),
                    "ServiceEntryPointUUID" => *value = "11111111-2222-3333-4444-555555555555".into(),
                    "LastPowerOutputWatts" | "PowerInputWatts" | "PowerConsumedWatts" | "Reading" => {
                        *value = 30.5.into()
                    }
                    "AverageConsumedWatts" | "MinConsumedWatts" | "MaxConsumedWatts" => *value = 30.5.into(),
                    "IntervalInMin" => *value = 1.into(),
                    "Port" => *value = 8000.into(),
                    _ => steady(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(steady),
        Value::String(text) if text.contains("Tapo plug at 127.") => *text = "Tapo plug at 192.0.2.11".into(),
        _ => {}
    }
}

#[tokio::test]
async fn bodies_are_as_they_are_written_down() {
    let rig = Rig::settled([klap("n")]).await;
    let bodies = [
        ("system", "/redfish/v1/Systems/n"),
        ("systems", "/redfish/v1/Systems"),
        ("manager", "/redfish/v1/Managers/n"),
        ("chassis", "/redfish/v1/Chassis/n"),
        ("power", "/redfish/v1/Chassis/n/Power"),
        ("environment_metrics", "/redfish/v1/Chassis/n/EnvironmentMetrics"),
        ("processor", "/redfish/v1/Systems/n/Processors/0"),
        ("ethernet_interface", "/redfish/v1/Systems/n/EthernetInterfaces/0"),
        ("simple_storage", "/redfish/v1/Systems/n/SimpleStorage/1"),
        ("drive", "/redfish/v1/Chassis/n/Drives/0"),
        ("power_sensor", "/redfish/v1/Chassis/n/Sensors/Power"),
        ("energy_sensor", "/redfish/v1/Chassis/n/Sensors/Energy"),
        ("power_subsystem", "/redfish/v1/Chassis/n/PowerSubsystem"),
        ("power_supply", "/redfish/v1/Chassis/n/PowerSubsystem/PowerSupplies/0"),
        ("power_supply_metrics", "/redfish/v1/Chassis/n/PowerSubsystem/PowerSupplies/0/Metrics"),
        ("network_protocol", "/redfish/v1/Managers/n/NetworkProtocol"),
        ("manager_interface", "/redfish/v1/Managers/n/EthernetInterfaces/0"),
        ("registry_file", "/redfish/v1/Registries/Base"),
        ("update_service", "/redfish/v1/UpdateService"),
        ("firmware_inventory", "/redfish/v1/UpdateService/FirmwareInventory"),
        ("firmware", "/redfish/v1/UpdateService/FirmwareInventory/n.Manager"),
        ("session_service", "/redfish/v1/SessionService"),
        ("account_service", "/redfish/v1/AccountService"),
        ("accounts", "/redfish/v1/AccountService/Accounts"),
        ("account", "/redfish/v1/AccountService/Accounts/operator"),
        ("role", "/redfish/v1/AccountService/Roles/Operator"),
    ];
    compare(&rig, &bodies).await;
}

/// Holds what is served at each path to the golden file of that name.
pub async fn compare(rig: &Rig, bodies: &[(&str, &str)]) {
    for (name, path) in bodies {
        let (status, mut body) = rig.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        if name.ends_with("manager") {
            body["Description"] = Value::Null;
            body["UUID"] = "11111111-2222-3333-4444-666666666666".into();
        }
        steady(&mut body);
        let shown = format!("{body:#}\n");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/{name}.json"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &shown).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(shown, golden, "{} differs; UPDATE_GOLDEN=1 rewrites it", file.display());
    }
}
