//! Schema ServiceRoot, and the documents that lead to it: `/redfish`, `/redfish/v1/odata`, `/redfish/v1/$metadata`.

use serde_json::json;

use super::query::LEVELS_MAX;
use super::resource::{
    ACCOUNT_SERVICE, CERTIFICATE_SERVICE, CHASSIS, EVENT_SERVICE, MANAGERS, POWER_EQUIPMENT, REGISTRIES, ROOT,
    Resource, SESSION_SERVICE, SESSIONS, SYSTEMS, TASK_SERVICE, UPDATE_SERVICE, link,
};
use super::{Document, Seen, power_equipment};
use crate::redfish::message::Fault;

/// The version of DSP0266 that the service follows.
const REDFISH_VERSION: &str = "1.20.0";

/// The schemas that the service uses, each with the version its resources name.
const SCHEMAS: &[(&str, &str)] = &[
    ("ServiceRoot", "v1_20_0"),
    ("ComputerSystemCollection", ""),
    ("ComputerSystem", "v1_27_0"),
    ("ProcessorCollection", ""),
    ("Processor", "v1_22_0"),
    ("MemoryCollection", ""),
    ("Memory", "v1_23_0"),
    ("SimpleStorageCollection", ""),
    ("SimpleStorage", "v1_3_2"),
    ("DriveCollection", ""),
    ("Drive", "v1_22_0"),
    ("EthernetInterfaceCollection", ""),
    ("EthernetInterface", "v1_12_4"),
    ("ManagerCollection", ""),
    ("Manager", "v1_24_0"),
    ("ManagerNetworkProtocol", "v1_12_0"),
    ("ChassisCollection", ""),
    ("Chassis", "v1_28_0"),
    ("Power", "v1_7_3"),
    ("PowerSubsystem", "v1_1_3"),
    ("PowerSupplyCollection", ""),
    ("PowerSupply", "v1_6_0"),
    ("PowerSupplyMetrics", "v1_2_0"),
    ("SensorCollection", ""),
    ("Sensor", "v1_12_0"),
    ("PowerEquipment", "v1_2_3"),
    ("PowerDistributionCollection", ""),
    ("PowerDistribution", "v1_6_0"),
    ("OutletCollection", ""),
    ("Outlet", "v1_4_4"),
    ("MessageRegistryFileCollection", ""),
    ("MessageRegistryFile", "v1_1_5"),
    ("MessageRegistry", "v1_6_3"),
    ("EnvironmentMetrics", "v1_5_0"),
    ("LogServiceCollection", ""),
    ("LogService", "v1_9_0"),
    ("LogEntryCollection", ""),
    ("LogEntry", "v1_21_0"),
    ("UpdateService", "v1_17_0"),
    ("SoftwareInventoryCollection", ""),
    ("SoftwareInventory", "v1_13_0"),
    ("TaskService", "v1_3_0"),
    ("TaskCollection", ""),
    ("EventService", "v1_12_0"),
    ("EventDestinationCollection", ""),
    ("EventDestination", "v1_16_0"),
    ("SessionService", "v1_2_0"),
    ("SessionCollection", ""),
    ("Session", "v1_8_0"),
    ("AccountService", "v1_18_1"),
    ("ManagerAccountCollection", ""),
    ("ManagerAccount", "v1_14_1"),
    ("RoleCollection", ""),
    ("Role", "v1_3_3"),
    ("CertificateService", "v1_2_1"),
    ("CertificateLocations", "v1_0_4"),
    ("CertificateCollection", ""),
    ("Certificate", "v1_11_0"),
];

/// `GET /redfish/v1/`.
pub fn root(seen: &Seen<'_>) -> Result<Resource, Fault> {
    let properties = json!({
        "RedfishVersion": REDFISH_VERSION,
        "UUID": seen.service.uuid.to_string(),
        "Vendor": "plugfish",
        "Product": "plugfish",
        "Systems": link(SYSTEMS),
        "Managers": link(MANAGERS),
        "Chassis": link(CHASSIS),
        "PowerEquipment": power_equipment::is_there(seen).then(|| link(POWER_EQUIPMENT)),
        "Registries": link(REGISTRIES),
        "Tasks": link(TASK_SERVICE),
        "UpdateService": link(UPDATE_SERVICE),
        "EventService": link(EVENT_SERVICE),
        "SessionService": link(SESSION_SERVICE),
        "AccountService": link(ACCOUNT_SERVICE),
        "CertificateService": seen.service.certificate.as_ref().map(|_| link(CERTIFICATE_SERVICE)),
        "ProtocolFeaturesSupported": {
            "ExpandQuery": { "ExpandAll": true, "NoLinks": true, "Links": true, "Levels": true, "MaxLevels": LEVELS_MAX },
            "FilterQuery": true,
            "FilterQueryComparisonOperations": true,
            "FilterQueryCompoundOperations": true,
            "SelectQuery": true,
            "TopSkipQuery": true,
            "OnlyMemberQuery": true,
            "ExcerptQuery": false,
            "IncludeOriginOfConditionQuery": false,
            "MultipleHTTPRequests": true,
            "DeepOperations": { "DeepPATCH": false, "DeepPOST": false },
        },
        "Links": { "Sessions": link(SESSIONS) },
    });
    Ok(Resource::new(ROOT, "ServiceRoot.v1_20_0", "RootService", "Root Service", properties))
}

/// `GET /redfish`.
pub fn versions(_: &Seen<'_>) -> Result<Document, Fault> {
    Ok(Document::Json(json!({ "v1": ROOT })))
}

/// `GET /redfish/v1/odata`: the OData service document.
pub fn odata(_: &Seen<'_>) -> Result<Document, Fault> {
    let entry = |name: &str, url: &str| json!({ "name": name, "kind": "Singleton", "url": url });
    Ok(Document::Json(json!({
        "@odata.context": "/redfish/v1/$metadata",
        "value": [
            entry("Service", ROOT),
            entry("Systems", SYSTEMS),
            entry("Managers", MANAGERS),
            entry("Chassis", CHASSIS),
            entry("Registries", REGISTRIES),
            entry("Tasks", TASK_SERVICE),
            entry("UpdateService", UPDATE_SERVICE),
            entry("EventService", EVENT_SERVICE),
            entry("SessionService", SESSION_SERVICE),
            entry("Sessions", SESSIONS),
            entry("AccountService", ACCOUNT_SERVICE),
        ],
    })))
}

/// `GET /redfish/v1/$metadata`: which schemas the service uses (OData CSDL).
pub fn metadata(_: &Seen<'_>) -> Result<Document, Fault> {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <edmx:Edmx xmlns:edmx=\"http://docs.oasis-open.org/odata/ns/edmx\" Version=\"4.0\">\n",
    );
    for (schema, version) in SCHEMAS {
        text.push_str(&format!(
            "  <edmx:Reference Uri=\"http://redfish.dmtf.org/schemas/v1/{schema}_v1.xml\">\n    <edmx:Include Namespace=\"{schema}\"/>\n"
        ));
        if !version.is_empty() {
            text.push_str(&format!("    <edmx:Include Namespace=\"{schema}.{version}\"/>\n"));
        }
        text.push_str("  </edmx:Reference>\n");
    }
    text.push_str(
        "  <edmx:Reference Uri=\"http://redfish.dmtf.org/schemas/v1/RedfishExtensions_v1.xml\">\n    \
         <edmx:Include Namespace=\"RedfishExtensions.v1_0_0\" Alias=\"Redfish\"/>\n  </edmx:Reference>\n  \
         <edmx:DataServices>\n    <Schema xmlns=\"http://docs.oasis-open.org/odata/ns/edm\" Namespace=\"Service\">\n      \
         <EntityContainer Name=\"Service\" Extends=\"ServiceRoot.v1_20_0.ServiceContainer\"/>\n    </Schema>\n  \
         </edmx:DataServices>\n</edmx:Edmx>\n",
    );
    Ok(Document::Xml(text))
}
