//! What all resources have in common: their URIs, their type, links and collections, Status, and the properties that
//! are left out when they are not known.
//!
//! The URI of a resource is made in one place, which links use too, so that a link cannot rot.

use serde_json::{Map, Value, json};

use super::message::{self, Message};
use crate::account::{Role, account_id};
use crate::node::view::{Condition, NodeView};
use crate::node::{Health, NodeId, Power};

/// The service root.
pub const ROOT: &str = "/redfish/v1/";
/// The collection of systems.
pub const SYSTEMS: &str = "/redfish/v1/Systems";
/// The collection of managers.
pub const MANAGERS: &str = "/redfish/v1/Managers";
/// The collection of chassis.
pub const CHASSIS: &str = "/redfish/v1/Chassis";
/// The session service.
pub const SESSION_SERVICE: &str = "/redfish/v1/SessionService";
/// The plugs and strips.
pub const POWER_EQUIPMENT: &str = "/redfish/v1/PowerEquipment";
/// The registries of messages.
pub const REGISTRIES: &str = "/redfish/v1/Registries";
/// The collection of sessions.
pub const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

/// The account service.
pub const ACCOUNT_SERVICE: &str = "/redfish/v1/AccountService";
/// The collection of accounts.
pub const ACCOUNTS: &str = "/redfish/v1/AccountService/Accounts";
/// The collection of roles.
pub const ROLES: &str = "/redfish/v1/AccountService/Roles";

/// The certificate service.
pub const CERTIFICATE_SERVICE: &str = "/redfish/v1/CertificateService";
/// The update service.
pub const UPDATE_SERVICE: &str = "/redfish/v1/UpdateService";
/// The collection of firmware.
pub const FIRMWARE_INVENTORY: &str = "/redfish/v1/UpdateService/FirmwareInventory";
/// The task service.
pub const TASK_SERVICE: &str = "/redfish/v1/TaskService";
/// The collection of tasks.
pub const TASKS: &str = "/redfish/v1/TaskService/Tasks";
/// The event service.
pub const EVENT_SERVICE: &str = "/redfish/v1/EventService";
/// The stream of server-sent events.
pub const EVENT_STREAM: &str = "/redfish/v1/EventService/SSE";
/// The collection of subscriptions to events.
pub const SUBSCRIPTIONS: &str = "/redfish/v1/EventService/Subscriptions";

/// A subscription to events.
pub fn subscription(id: &str) -> String {
    format!("{SUBSCRIPTIONS}/{id}")
}

/// The system of a node.
pub fn system(id: &NodeId) -> String {
    format!("{SYSTEMS}/{id}")
}

/// The manager of a node.
pub fn manager(id: &NodeId) -> String {
    format!("{MANAGERS}/{id}")
}

/// The chassis of a node.
pub fn chassis(id: &NodeId) -> String {
    format!("{CHASSIS}/{id}")
}

/// The collection of the drives of a node.
pub fn drives(id: &NodeId) -> String {
    format!("{}/Drives", chassis(id))
}

/// A drive of a node.
pub fn drive(id: &NodeId, index: usize) -> String {
    format!("{}/{index}", drives(id))
}

/// A session.
pub fn session(id: &str) -> String {
    format!("{SESSIONS}/{id}")
}

/// The account with this name.
pub fn account(name: &str) -> String {
    format!("{ACCOUNTS}/{}", account_id(name))
}

/// A role.
pub fn role(role: Role) -> String {
    format!("{ROLES}/{role}")
}

/// A resource, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// The schema with its version, such as `ComputerSystem.v1_27_0`: for `@odata.type` and the `Link` header.
    pub schema: &'static str,
    /// The body.
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
    let name = schema.split('.').next().unwrap_or(schema);
    format!("#{schema}.{name}")
}

/// A link.
pub fn link(uri: &str) -> Value {
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
pub fn power_state(view: &NodeView) -> Value {
    json!(view.power.map(|power| match power {
        Power::On | Power::Asleep => "On",
        Power::Off => "Off",
    }))
}

/// `Status` of what belongs to a node: enabled, as healthy as the node, and why not.
pub fn status(view: &NodeView) -> Value {
    status_in(view, "Enabled")
}

/// The same with another `State`.
pub fn status_in(view: &NodeView, state: &str) -> Value {
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

/// `Status` of a part that is known to be there; nobody measures how well it is.
pub fn present() -> Value {
    json!({ "State": "Enabled", "Health": Health::OK.name() })
}

#[cfg(test)]
mod tests {
    use super::*;

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
