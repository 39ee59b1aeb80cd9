//! Holds the sitemap against DMTF's privilege registry: who may do what is not for each route to invent.
//!
//! A route that is new has to be named here with the entity of the registry that it is; until then the test fails.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Privilege, SITEMAP};

/// DMTF's registry, as published.
const REGISTRY: &str = include_str!("../../tests/fixtures/privileges/Redfish_1.8.0_PrivilegeRegistry.json");

/// Each URL of the sitemap and what it is in the registry. Those of DSP0266 that everybody may read are none.
const ENTITIES: &[(&str, &str)] = &[
    ("/redfish", ""),
    ("/redfish/v1", "ServiceRoot"),
    ("/redfish/v1/odata", ""),
    ("/redfish/v1/$metadata", ""),
    ("/redfish/v1/Systems", "ComputerSystemCollection"),
    ("/redfish/v1/Systems/{}", "ComputerSystem"),
    ("/redfish/v1/Systems/{}/Actions/ComputerSystem.Reset", "ComputerSystem"),
    ("/redfish/v1/Systems/{}/Processors", "ProcessorCollection"),
    ("/redfish/v1/Systems/{}/Processors/{}", "Processor"),
    ("/redfish/v1/Systems/{}/EthernetInterfaces", "EthernetInterfaceCollection"),
    ("/redfish/v1/Systems/{}/EthernetInterfaces/{}", "EthernetInterface"),
    ("/redfish/v1/Systems/{}/Memory", "MemoryCollection"),
    ("/redfish/v1/Systems/{}/Memory/{}", "Memory"),
    ("/redfish/v1/Systems/{}/SimpleStorage", "SimpleStorageCollection"),
    ("/redfish/v1/Systems/{}/SimpleStorage/{}", "SimpleStorage"),
    ("/redfish/v1/Systems/{}/LogServices", "LogServiceCollection"),
    ("/redfish/v1/Systems/{}/LogServices/{}", "LogService"),
    ("/redfish/v1/Systems/{}/LogServices/{}/Entries", "LogEntryCollection"),
    ("/redfish/v1/Systems/{}/LogServices/{}/Entries/{}", "LogEntry"),
    ("/redfish/v1/Managers", "ManagerCollection"),
    ("/redfish/v1/Managers/{}", "Manager"),
    ("/redfish/v1/Managers/{}/Actions/Manager.Reset", "Manager"),
    ("/redfish/v1/Managers/{}/NetworkProtocol", "ManagerNetworkProtocol"),
    ("/redfish/v1/Managers/{}/EthernetInterfaces", "EthernetInterfaceCollection"),
    ("/redfish/v1/Managers/{}/EthernetInterfaces/{}", "EthernetInterface"),
    ("/redfish/v1/Managers/{}/LogServices", "LogServiceCollection"),
    ("/redfish/v1/Managers/{}/LogServices/{}", "LogService"),
    ("/redfish/v1/Managers/{}/LogServices/{}/Entries", "LogEntryCollection"),
    ("/redfish/v1/Managers/{}/LogServices/{}/Entries/{}", "LogEntry"),
    ("/redfish/v1/Chassis", "ChassisCollection"),
    ("/redfish/v1/Chassis/{}", "Chassis"),
    ("/redfish/v1/Chassis/{}/Actions/Chassis.Reset", "Chassis"),
    ("/redfish/v1/Chassis/{}/Power", "Power"),
    ("/redfish/v1/Chassis/{}/EnvironmentMetrics", "EnvironmentMetrics"),
    ("/redfish/v1/Chassis/{}/Drives", "DriveCollection"),
    ("/redfish/v1/Chassis/{}/Drives/{}", "Drive"),
    ("/redfish/v1/Chassis/{}/Sensors", "SensorCollection"),
    ("/redfish/v1/Chassis/{}/Sensors/{}", "Sensor"),
    ("/redfish/v1/Chassis/{}/PowerSubsystem", "PowerSubsystem"),
    ("/redfish/v1/Chassis/{}/PowerSubsystem/PowerSupplies", "PowerSupplyCollection"),
    ("/redfish/v1/Chassis/{}/PowerSubsystem/PowerSupplies/{}", "PowerSupply"),
    ("/redfish/v1/Chassis/{}/PowerSubsystem/PowerSupplies/{}/Metrics", "PowerSupplyMetrics"),
    ("/redfish/v1/PowerEquipment", "PowerEquipment"),
    ("/redfish/v1/PowerEquipment/RackPDUs", "PowerDistributionCollection"),
    ("/redfish/v1/PowerEquipment/RackPDUs/{}", "PowerDistribution"),
    ("/redfish/v1/PowerEquipment/RackPDUs/{}/Outlets", "OutletCollection"),
    ("/redfish/v1/PowerEquipment/RackPDUs/{}/Outlets/{}", "Outlet"),
    ("/redfish/v1/Registries", "MessageRegistryFileCollection"),
    ("/redfish/v1/Registries/{}", "MessageRegistryFile"),
    ("/redfish/v1/Registries/{}/{}", "MessageRegistry"),
    ("/redfish/v1/SessionService", "SessionService"),
    ("/redfish/v1/SessionService/Sessions", "SessionCollection"),
    ("/redfish/v1/SessionService/Sessions/Members", "SessionCollection"),
    ("/redfish/v1/SessionService/Sessions/{}", "Session"),
    ("/redfish/v1/AccountService", "AccountService"),
    ("/redfish/v1/AccountService/Accounts", "ManagerAccountCollection"),
    ("/redfish/v1/AccountService/Accounts/Members", "ManagerAccountCollection"),
    ("/redfish/v1/AccountService/Accounts/{}", "ManagerAccount"),
    ("/redfish/v1/CertificateService", "CertificateService"),
    ("/redfish/v1/CertificateService/CertificateLocations", "CertificateLocations"),
    ("/redfish/v1/CertificateService/Actions/CertificateService.ReplaceCertificate", "CertificateService"),
    ("/redfish/v1/Managers/{}/NetworkProtocol/HTTPS/Certificates", "CertificateCollection"),
    ("/redfish/v1/Managers/{}/NetworkProtocol/HTTPS/Certificates/{}", "Certificate"),
    ("/redfish/v1/AccountService/Roles", "RoleCollection"),
    ("/redfish/v1/AccountService/Roles/{}", "Role"),
    ("/redfish/v1/UpdateService", "UpdateService"),
    ("/redfish/v1/UpdateService/FirmwareInventory", "SoftwareInventoryCollection"),
    ("/redfish/v1/UpdateService/FirmwareInventory/{}", "SoftwareInventory"),
    ("/redfish/v1/TaskService", "TaskService"),
    ("/redfish/v1/TaskService/Tasks", "TaskCollection"),
    ("/redfish/v1/EventService", "EventService"),
    ("/redfish/v1/EventService/Actions/EventService.SubmitTestEvent", "EventService"),
    ("/redfish/v1/EventService/SSE", "EventService"),
    ("/redfish/v1/EventService/Subscriptions", "EventDestinationCollection"),
    ("/redfish/v1/EventService/Subscriptions/Members", "EventDestinationCollection"),
    ("/redfish/v1/EventService/Subscriptions/{}", "EventDestination"),
    ("/redfish/v1/EventService/Subscriptions/{}/Actions/EventDestination.SuspendSubscription", "EventDestination"),
    ("/redfish/v1/EventService/Subscriptions/{}/Actions/EventDestination.ResumeSubscription", "EventDestination"),
    ("/status", "ours"),
    ("/status/{}", "ours"),
    ("/trace/{}", "ours"),
    ("/trust/{}", "ours"),
];

/// Where a route asks for less than the registry's table says, and why that is right.
const LESS: &[(&str, &str, Privilege, &str)] = &[
    ("SessionCollection", "POST", Privilege::None, "whoever logs in is not logged in"),
    (
        "ManagerAccount",
        "PATCH",
        Privilege::ConfigureSelf,
        "its property override: the own password, which `accounts.rs` judges",
    ),
];

/// The alternatives that the registry has for an operation on an entity.
fn published(registry: &Value, entity: &str, method: &str) -> Vec<String> {
    let mapping = registry["Mappings"].as_array().unwrap().iter().find(|mapping| mapping["Entity"] == entity);
    let mapping = mapping.unwrap_or_else(|| panic!("the registry has no {entity}"));
    let alternatives = mapping["OperationMap"][method].as_array().unwrap();
    alternatives.iter().map(|one| one["Privilege"][0].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_route_asks_for_what_the_registry_says() {
    let registry: Value = serde_json::from_str(REGISTRY).unwrap();
    let entities: BTreeMap<&str, &str> = ENTITIES.iter().copied().collect();
    let mut wrong = Vec::new();
    for route in SITEMAP {
        let Some(entity) = entities.get(route.path) else {
            wrong.push(format!("{} is not in ENTITIES", route.path));
            continue;
        };
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            let Some(asks) = route.privilege(method) else { continue };
            let fits = match *entity {
                "" => asks == Privilege::None && method == "GET",
                // Beside Redfish: what is shown of nodes needs a login, what passes between us and a device, or
                // decides what a device must prove, the manager's privilege.
                "ours" if route.path.starts_with("/trace") => asks == Privilege::ConfigureManager && method == "GET",
                "ours" if route.path.starts_with("/trust") => asks == Privilege::ConfigureManager,
                "ours" => asks == Privilege::Login && method == "GET",
                entity => {
                    let less = LESS.iter().any(|(of, on, less, _)| (*of, *on, *less) == (entity, method, asks));
                    less || published(&registry, entity, method).iter().any(|name| name == asks.name())
                }
            };
            if !fits {
                wrong.push(format!("{method} {}: {} is not what the registry says", route.path, asks.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(entities.len(), SITEMAP.len(), "ENTITIES names a URL that is not there, or one twice");
}
