//! What all resources have in common: their URIs, their type, links and collections, Status, and properties that are
//! omitted when they are unknown.
//!
//! The URI of a resource is built in one place, which links use too, so that a link cannot become wrong.

use std::fmt::{Display, Write};

use serde_json::{Map, Value, json};

use super::message::{self, Message};
use super::schema;
use crate::account::{Role, account_id};
use crate::node::view::{Condition, NodeView};
use crate::node::{Health, NodeId, Power};

/// The service root, as clients are told of it.
pub(crate) const ROOT: &str = "/redfish/v1/";

// Every other URI, as the sitemap has it: `{}` stands for one part of any value.
pub(super) const VERSIONS: &str = "/redfish";
pub(super) const SERVICE_ROOT: &str = "/redfish/v1";
pub(super) const ODATA: &str = "/redfish/v1/odata";
pub(super) const METADATA: &str = "/redfish/v1/$metadata";
pub(super) const SYSTEMS: &str = "/redfish/v1/Systems";
pub(super) const SYSTEM: &str = "/redfish/v1/Systems/{}";
pub(super) const SYSTEM_RESET: &str = "/redfish/v1/Systems/{}/Actions/ComputerSystem.Reset";
pub(super) const PROCESSORS: &str = "/redfish/v1/Systems/{}/Processors";
pub(super) const PROCESSOR: &str = "/redfish/v1/Systems/{}/Processors/{}";
pub(super) const MEMORY: &str = "/redfish/v1/Systems/{}/Memory";
pub(super) const MEMORY_MODULE: &str = "/redfish/v1/Systems/{}/Memory/{}";
pub(super) const SIMPLE_STORAGES: &str = "/redfish/v1/Systems/{}/SimpleStorage";
pub(super) const SIMPLE_STORAGE: &str = "/redfish/v1/Systems/{}/SimpleStorage/{}";
pub(super) const SYSTEM_INTERFACES: &str = "/redfish/v1/Systems/{}/EthernetInterfaces";
pub(super) const SYSTEM_INTERFACE: &str = "/redfish/v1/Systems/{}/EthernetInterfaces/{}";
pub(super) const SYSTEM_LOGS: LogUris = LogUris {
    services: "/redfish/v1/Systems/{}/LogServices",
    service: "/redfish/v1/Systems/{}/LogServices/{}",
    entries: "/redfish/v1/Systems/{}/LogServices/{}/Entries",
    entry: "/redfish/v1/Systems/{}/LogServices/{}/Entries/{}",
};
pub(super) const MANAGERS: &str = "/redfish/v1/Managers";
pub(super) const MANAGER: &str = "/redfish/v1/Managers/{}";
pub(super) const MANAGER_RESET: &str = "/redfish/v1/Managers/{}/Actions/Manager.Reset";
pub(super) const NETWORK_PROTOCOL: &str = "/redfish/v1/Managers/{}/NetworkProtocol";
pub(super) const CERTIFICATES: &str = "/redfish/v1/Managers/{}/NetworkProtocol/HTTPS/Certificates";
pub(super) const CERTIFICATE: &str = "/redfish/v1/Managers/{}/NetworkProtocol/HTTPS/Certificates/{}";
pub(super) const MANAGER_INTERFACES: &str = "/redfish/v1/Managers/{}/EthernetInterfaces";
pub(super) const MANAGER_INTERFACE: &str = "/redfish/v1/Managers/{}/EthernetInterfaces/{}";
pub(super) const MANAGER_LOGS: LogUris = LogUris {
    services: "/redfish/v1/Managers/{}/LogServices",
    service: "/redfish/v1/Managers/{}/LogServices/{}",
    entries: "/redfish/v1/Managers/{}/LogServices/{}/Entries",
    entry: "/redfish/v1/Managers/{}/LogServices/{}/Entries/{}",
};
pub(super) const CHASSIS: &str = "/redfish/v1/Chassis";
pub(super) const CHASSIS_OF_NODE: &str = "/redfish/v1/Chassis/{}";
pub(super) const CHASSIS_RESET: &str = "/redfish/v1/Chassis/{}/Actions/Chassis.Reset";
pub(super) const DRIVES: &str = "/redfish/v1/Chassis/{}/Drives";
pub(super) const DRIVE: &str = "/redfish/v1/Chassis/{}/Drives/{}";
pub(super) const POWER: &str = "/redfish/v1/Chassis/{}/Power";
pub(super) const ENVIRONMENT_METRICS: &str = "/redfish/v1/Chassis/{}/EnvironmentMetrics";
pub(super) const SENSORS: &str = "/redfish/v1/Chassis/{}/Sensors";
pub(super) const SENSOR: &str = "/redfish/v1/Chassis/{}/Sensors/{}";
pub(super) const POWER_SUBSYSTEM: &str = "/redfish/v1/Chassis/{}/PowerSubsystem";
pub(super) const POWER_SUPPLIES: &str = "/redfish/v1/Chassis/{}/PowerSubsystem/PowerSupplies";
pub(super) const POWER_SUPPLY: &str = "/redfish/v1/Chassis/{}/PowerSubsystem/PowerSupplies/{}";
pub(super) const POWER_SUPPLY_METRICS: &str = "/redfish/v1/Chassis/{}/PowerSubsystem/PowerSupplies/{}/Metrics";
pub(super) const POWER_EQUIPMENT: &str = "/redfish/v1/PowerEquipment";
pub(super) const PDUS: &str = "/redfish/v1/PowerEquipment/RackPDUs";
pub(super) const PDU: &str = "/redfish/v1/PowerEquipment/RackPDUs/{}";
pub(super) const OUTLETS: &str = "/redfish/v1/PowerEquipment/RackPDUs/{}/Outlets";
pub(super) const OUTLET: &str = "/redfish/v1/PowerEquipment/RackPDUs/{}/Outlets/{}";
pub(super) const REGISTRIES: &str = "/redfish/v1/Registries";
pub(super) const REGISTRY_FILE: &str = "/redfish/v1/Registries/{}";
pub(super) const REGISTRY: &str = "/redfish/v1/Registries/{}/{}";
pub(super) const SESSION_SERVICE: &str = "/redfish/v1/SessionService";
pub(super) const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
pub(super) const SESSIONS_MEMBERS: &str = "/redfish/v1/SessionService/Sessions/Members";
pub(super) const SESSION: &str = "/redfish/v1/SessionService/Sessions/{}";
pub(super) const TASK_SERVICE: &str = "/redfish/v1/TaskService";
pub(super) const TASKS: &str = "/redfish/v1/TaskService/Tasks";
pub(super) const UPDATE_SERVICE: &str = "/redfish/v1/UpdateService";
pub(super) const FIRMWARE_INVENTORY: &str = "/redfish/v1/UpdateService/FirmwareInventory";
pub(super) const FIRMWARE: &str = "/redfish/v1/UpdateService/FirmwareInventory/{}";
pub(super) const EVENT_SERVICE: &str = "/redfish/v1/EventService";
pub(super) const SUBMIT_TEST_EVENT: &str = "/redfish/v1/EventService/Actions/EventService.SubmitTestEvent";
pub(super) const EVENT_STREAM: &str = "/redfish/v1/EventService/SSE";
pub(super) const SUBSCRIPTIONS: &str = "/redfish/v1/EventService/Subscriptions";
pub(super) const SUBSCRIPTIONS_MEMBERS: &str = "/redfish/v1/EventService/Subscriptions/Members";
pub(super) const SUBSCRIPTION: &str = "/redfish/v1/EventService/Subscriptions/{}";
pub(super) const SUSPEND_SUBSCRIPTION: &str =
    "/redfish/v1/EventService/Subscriptions/{}/Actions/EventDestination.SuspendSubscription";
pub(super) const RESUME_SUBSCRIPTION: &str =
    "/redfish/v1/EventService/Subscriptions/{}/Actions/EventDestination.ResumeSubscription";
pub(super) const ACCOUNT_SERVICE: &str = "/redfish/v1/AccountService";
pub(super) const ACCOUNTS: &str = "/redfish/v1/AccountService/Accounts";
pub(super) const ACCOUNTS_MEMBERS: &str = "/redfish/v1/AccountService/Accounts/Members";
pub(super) const ACCOUNT: &str = "/redfish/v1/AccountService/Accounts/{}";
pub(super) const ROLES: &str = "/redfish/v1/AccountService/Roles";
pub(super) const ROLE: &str = "/redfish/v1/AccountService/Roles/{}";
pub(super) const CERTIFICATE_SERVICE: &str = "/redfish/v1/CertificateService";
pub(super) const CERTIFICATE_LOCATIONS: &str = "/redfish/v1/CertificateService/CertificateLocations";
pub(super) const REPLACE_CERTIFICATE: &str =
    "/redfish/v1/CertificateService/Actions/CertificateService.ReplaceCertificate";
pub(super) const STATUS: &str = "/status";
pub(super) const STATUS_OF_NODE: &str = "/status/{}";
pub(super) const TRACE_OF_NODE: &str = "/trace/{}";
pub(super) const TRUST_OF_NODE: &str = "/trust/{}";

/// The URIs of the logs of a system or a manager.
pub(super) struct LogUris {
    pub services: &'static str,
    pub service: &'static str,
    pub entries: &'static str,
    pub entry: &'static str,
}

/// A URI with these parts in the place of its `{}`.
pub(super) fn at(uri: &str, parts: &[&dyn Display]) -> String {
    let mut pieces = uri.split('{');
    let mut text = String::with_capacity(uri.len() + PART_CHARS * parts.len());
    text.push_str(pieces.next().unwrap_or(""));
    for (part, piece) in parts.iter().zip(pieces) {
        // A String takes everything.
        let _ = write!(text, "{part}");
        text.push_str(piece.strip_prefix('}').unwrap_or(piece));
    }
    text
}

/// Most parts of a URI are names of nodes, and shorter than this.
const PART_CHARS: usize = 16;

/// The system of a node.
pub(crate) fn system(id: &NodeId) -> String {
    at(SYSTEM, &[id])
}

/// The manager of a node.
pub(crate) fn manager(id: &NodeId) -> String {
    at(MANAGER, &[id])
}

/// The chassis of a node.
pub(crate) fn chassis(id: &NodeId) -> String {
    at(CHASSIS_OF_NODE, &[id])
}

/// URI of a session.
pub(crate) fn session(id: &str) -> String {
    at(SESSION, &[&id])
}

/// URI of an event subscription.
pub(crate) fn subscription(id: &str) -> String {
    at(SUBSCRIPTION, &[&id])
}

/// The account with this name.
pub(crate) fn account(name: &str) -> String {
    at(ACCOUNT, &[&account_id(name)])
}

/// URI of a role.
pub(crate) fn role(role: Role) -> String {
    at(ROLE, &[&role])
}

/// A resource, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// The schema with its version, such as `ComputerSystem.v1_27_0`: for `@odata.type` and the `Link` header.
    pub schema: &'static str,
    pub body: Map<String, Value>,
    /// The ETag, when a client can write to the resource.
    pub etag: Option<Etag>,
}

/// An ETag that a resource gives itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Etag {
    /// It moves with everything that the resource shows.
    OfAll(String),
    /// It moves only with what a client can write: good for `If-Match`, but it does not say that nothing else has changed.
    OfWrites(String),
}

impl Etag {
    /// As it stands in the header, with its quotes.
    pub fn text(&self) -> &str {
        match self {
            Etag::OfAll(text) | Etag::OfWrites(text) => text,
        }
    }
}

impl Resource {
    /// A resource of this schema (`ComputerSystem.v1_27_0`, or `ComputerSystemCollection` without a version) at this
    /// URI. `properties` that are null are left out: what is not known is not said.
    pub fn new(uri: &str, schema: &'static str, id: &str, name: &str, properties: Value) -> Resource {
        let mut body = match json!({ "@odata.id": uri, "@odata.type": odata_type(schema), "Id": id, "Name": name }) {
            Value::Object(body) => body,
            _ => Map::new(),
        };
        if let Value::Object(properties) = without_nulls(properties) {
            body.extend(properties);
        }
        Resource { schema, body, etag: None }
    }

    /// A collection with these members.
    pub fn collection(uri: &str, schema: &'static str, name: &str, members: impl Iterator<Item = String>) -> Resource {
        let members: Vec<Value> = members.map(|uri| link(&uri)).collect();
        let body = json!({
            "@odata.id": uri,
            "@odata.type": odata_type(schema),
            "Name": name,
            "Members@odata.count": members.len(),
            "Members": members,
        });
        let body = if let Value::Object(body) = body { body } else { Map::new() };
        Resource { schema, body, etag: None }
    }

    /// The same with this property, which is shown even when it is null.
    pub fn with(mut self, property: &str, value: Value) -> Resource {
        self.body.insert(property.into(), value);
        self
    }

    /// The same with an ETag, which is also shown as a property.
    pub fn with_etag(mut self, etag: Etag) -> Resource {
        self.body.insert("@odata.etag".into(), json!(etag.text()));
        self.etag = Some(etag);
        self
    }

    /// The same with what is to be said about the request that it answers, if there is anything.
    pub fn with_remarks(self, remarks: &[Message]) -> Resource {
        match remarks {
            [] => self,
            remarks => self.with("@Message.ExtendedInfo", remarks.iter().map(Message::json).collect()),
        }
    }
}

/// `#ComputerSystem.v1_27_0.ComputerSystem`.
fn odata_type(schema: &str) -> String {
    format!("#{schema}.{}", schema::name(schema))
}

/// A link.
pub(crate) fn link(uri: &str) -> Value {
    json!({ "@odata.id": uri })
}

/// Leaves out, at any depth, the properties of objects that are null, and objects that are empty for it.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter(|(_, value)| !value.is_null()).filter_map(|(name, value)| {
                let was_filled = value.as_object().is_some_and(|object| !object.is_empty());
                let value = without_nulls(value);
                let is_empty = value.as_object().is_some_and(Map::is_empty);
                (!(was_filled && is_empty)).then_some((name, value))
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// `PowerState` of a node; null only before the first contact of its life, and past the `fence_age_max` of a node that has one.
///
/// A machine that sleeps is shown as on, and `Status.State` of its system says that it sleeps. Redfish has `Paused` for it,
/// but Ironic knows only on and off, and takes anything else for a machine in an unknown state. It keeps its memory and may
/// wake up at any time, so that a cluster which was told `Off` would start what runs on it a second time.
pub(crate) fn power_state(view: &NodeView) -> Value {
    json!(view.power.map(power_name))
}

/// `PowerState` of the outlet on which a node hangs: its relay, whatever the machine draws.
pub(crate) fn outlet_state(view: &NodeView) -> Value {
    json!(view.relay.map(power_name))
}

fn power_name(power: Power) -> &'static str {
    match power {
        Power::On | Power::Asleep => "On",
        Power::Off => "Off",
    }
}

/// `Status` of what belongs to a node: enabled, as healthy as the node, and why not.
pub(crate) fn status(view: &NodeView) -> Value {
    status_in(view, "Enabled")
}

/// The same with another `State`.
pub(crate) fn status_in(view: &NodeView, state: &str) -> Value {
    let mut status = json!({ "State": state, "Health": view.health.name(), "HealthRollup": view.health.name() });
    let condition = |condition: &Condition| {
        json!({
            "MessageId": message::our_id(condition.message),
            "Message": condition.text,
            "MessageArgs": [condition.text],
            "Severity": condition.severity.name(),
            "Timestamp": condition.at.to_string(),
            "OriginOfCondition": link(&system(&view.id)),
        })
    };
    if let (Some(status), false) = (status.as_object_mut(), view.conditions.is_empty()) {
        status.insert("Conditions".into(), view.conditions.iter().map(condition).collect());
    }
    status
}

/// `Status` of a part that is known to be there; its health is not measured.
pub(crate) fn present() -> Value {
    json!({ "State": "Enabled", "Health": Health::OK.name() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_has_its_parts_in_their_places() {
        assert_eq!(at(SYSTEMS, &[]), "/redfish/v1/Systems");
        assert_eq!(at(SYSTEM_LOGS.entries, &[&"n", &7]), "/redfish/v1/Systems/n/LogServices/7/Entries");
        assert_eq!(at(DRIVE, &[&"{}", &0]), "/redfish/v1/Chassis/{}/Drives/0");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let properties = json!({ "Model": null, "Links": { "A": null }, "List": [{ "B": null, "C": 1 }], "Empty": {} });
        let resource = Resource::new("/x", "Chassis.v1_28_0", "x", "X", properties).with("PowerState", Value::Null);
        let expect = json!({
            "@odata.id": "/x", "@odata.type": "#Chassis.v1_28_0.Chassis", "Id": "x", "Name": "X",
            "List": [{ "C": 1 }], "Empty": {}, "PowerState": null,
        });
        assert_eq!(Value::Object(resource.body), expect);
    }
}
