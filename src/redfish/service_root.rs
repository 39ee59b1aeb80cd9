//! Schema ServiceRoot, and the documents that lead to it: `/redfish`, `/redfish/v1/odata`, `/redfish/v1/$metadata`.

use std::collections::BTreeSet;

use serde_json::json;

use super::query::LEVELS_MAX;
use super::resource::{
    ACCOUNT_SERVICE, CERTIFICATE_SERVICE, CHASSIS, EVENT_SERVICE, MANAGERS, METADATA, POWER_EQUIPMENT, REGISTRIES,
    ROOT, Resource, SESSION_SERVICE, SESSIONS, SYSTEMS, TASK_SERVICE, UPDATE_SERVICE, link,
};
use super::{Document, GetRequest, SITEMAP, power_equipment, schema};
use crate::redfish::message::ErrorResponse;

/// The version of DSP0266 that the service follows.
const REDFISH_VERSION: &str = "1.20.0";

/// `GET /redfish/v1/`.
pub(crate) fn root(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
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
    Ok(Resource::new(ROOT, schema::SERVICE_ROOT, "RootService", "Root Service", properties))
}

/// `GET /redfish`.
pub(crate) fn versions(_: &GetRequest<'_>) -> Result<Document, ErrorResponse> {
    Ok(Document::Json(json!({ "v1": ROOT })))
}

/// `GET /redfish/v1/odata`: the OData service document.
pub(crate) fn odata(_: &GetRequest<'_>) -> Result<Document, ErrorResponse> {
    let entry = |name: &str, url: &str| json!({ "name": name, "kind": "Singleton", "url": url });
    Ok(Document::Json(json!({
        "@odata.context": METADATA,
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
pub(crate) fn metadata(_: &GetRequest<'_>) -> Result<Document, ErrorResponse> {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <edmx:Edmx xmlns:edmx=\"http://docs.oasis-open.org/odata/ns/edmx\" Version=\"4.0\">\n",
    );
    let schemas: BTreeSet<&str> = SITEMAP.iter().filter_map(|route| route.schema).collect();
    for schema in schemas {
        let name = schema::name(schema);
        text.push_str(&format!(
            "  <edmx:Reference Uri=\"http://redfish.dmtf.org/schemas/v1/{name}_v1.xml\">\n    <edmx:Include Namespace=\"{name}\"/>\n"
        ));
        if schema != name {
            text.push_str(&format!("    <edmx:Include Namespace=\"{schema}\"/>\n"));
        }
        text.push_str("  </edmx:Reference>\n");
    }
    text.push_str(&format!(
        "  <edmx:Reference Uri=\"http://redfish.dmtf.org/schemas/v1/RedfishExtensions_v1.xml\">\n    \
         <edmx:Include Namespace=\"RedfishExtensions.v1_0_0\" Alias=\"Redfish\"/>\n  </edmx:Reference>\n  \
         <edmx:DataServices>\n    <Schema xmlns=\"http://docs.oasis-open.org/odata/ns/edm\" Namespace=\"Service\">\n      \
         <EntityContainer Name=\"Service\" Extends=\"{}.ServiceContainer\"/>\n    </Schema>\n  \
         </edmx:DataServices>\n</edmx:Edmx>\n",
        schema::SERVICE_ROOT
    ));
    Ok(Document::Xml(text))
}
