//! Events in Redfish format (schema Event, EventRecord): an event of the core becomes messages of the ResourceEvent
//! registry, and of plugfish's own registry if no standard message fits.

use serde_json::{Map, Value, json};

use crate::clock::Wall;
use crate::http::auth::{AuditEntry, AuditKind};
use crate::node::event::{Cause, Event, EventKind, evidence};
use crate::node::{BootEnabled, Health, NodeId, Power};
use crate::redfish::message::Message;
use crate::redfish::resource;

/// `EventFormatTypes`: the only way in which events are written here.
pub(crate) const FORMAT: &str = "Event";

/// `RegistryPrefixes`: the registries that the messages are from.
pub(crate) const REGISTRIES: [&str; 2] = ["Plugfish", "ResourceEvent"];

/// `ResourceTypes`: what events are about.
pub(crate) const RESOURCE_TYPES: [&str; 4] = ["ComputerSystem", "EventService", "Manager", "SessionService"];

/// `EventType`, which came before registries; some clients still select by it.
pub(crate) const EVENT_TYPES: [&str; 6] =
    ["Alert", "Other", "ResourceAdded", "ResourceRemoved", "ResourceUpdated", "StatusChange"];

/// An event before it has an id.
pub struct News {
    pub message: Message,
    /// One of [`EVENT_TYPES`].
    pub event_type: &'static str,
    /// One of [`RESOURCE_TYPES`].
    pub resource_type: &'static str,
    /// The URI of the resource.
    pub origin: String,
}

/// An event as it is sent, made once for all subscribers.
#[derive(Debug)]
pub struct Record {
    /// Grows by one with each event, also over restarts.
    pub id: u64,
    /// What can be asked of it, under the names that `$filter` has for them.
    pub facts: Value,
    /// `EventType`.
    pub event_type: String,
    /// `OK`, `Warning` or `Critical`.
    pub severity: String,
    /// The node to which it happened; `None` for a test, and for an entry of the audit.
    pub node: Option<NodeId>,
    /// It is for Administrators of all nodes only: it names accounts and addresses.
    pub is_audit: bool,
    body: Map<String, Value>,
}

impl Record {
    /// The record of a piece of news. Those of one `group` have one cause.
    pub fn of(news: &News, id: u64, group: u64, at: Wall) -> Record {
        let mut body = match news.message.json() {
            Value::Object(body) => body,
            _ => Map::new(),
        };
        body.remove("@odata.type");
        body.insert("EventType".into(), json!(news.event_type));
        body.insert("EventTimestamp".into(), json!(at.to_string()));
        body.insert("OriginOfCondition".into(), resource::link(&news.origin));
        let mut record = Record::free(body, id, group);
        record.facts = facts(news.message.id(), news.resource_type, &news.origin);
        record.severity = news.message.severity().into();
        record
    }

    /// A record with a body that a client chose, for tests of its subscribers. It is about the event service, or what the
    /// body says.
    pub fn free(mut body: Map<String, Value>, id: u64, group: u64) -> Record {
        body.entry("EventId").or_insert_with(|| json!(id.to_string()));
        body.entry("EventGroupId").or_insert_with(|| json!(group));
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let origin = body.get("OriginOfCondition").and_then(|origin| origin["@odata.id"].as_str()).map(str::to_owned);
        let facts = facts(&text("MessageId"), "EventService", &origin.unwrap_or_default());
        Record {
            id,
            facts,
            event_type: text("EventType"),
            severity: text("MessageSeverity"),
            node: None,
            is_audit: false,
            body,
        }
    }
}

fn facts(message: &str, resource_type: &str, origin: &str) -> Value {
    json!({
        "EventFormatType": FORMAT,
        "MessageId": message,
        "RegistryPrefix": message.split('.').next(),
        "ResourceType": resource_type,
        "OriginResource": origin,
    })
}

/// The body of one event (schema Event). `lost` events are missing before it, which is told along with it.
pub(crate) fn payload(record: &Record, lost: u64, context: Option<&str>) -> Value {
    let mut records = Vec::new();
    if lost > 0 {
        let words = format!("{lost} events before this one were dropped");
        let message = Message::ours("EventsLost", &[&words]);
        let origin = resource::EVENT_SERVICE.to_owned();
        let news = News { message, event_type: "Alert", resource_type: "EventService", origin };
        let mut lost = Record::of(&news, record.id, record.id, Wall::default()).body;
        lost.remove("EventTimestamp");
        lost.insert("EventId".into(), json!(format!("{}-lost", record.id)));
        records.push(lost);
    }
    records.push(record.body.clone());
    for (index, record) in records.iter_mut().enumerate() {
        record.insert("MemberId".into(), json!(index.to_string()));
    }
    let mut event = json!({
        "@odata.type": "#Event.v1_13_0.Event",
        "Id": record.id.to_string(),
        "Name": "Event",
        "Events@odata.count": records.len(),
        "Events": records,
    });
    if let (Some(event), Some(context)) = (event.as_object_mut(), context) {
        event.insert("Context".into(), json!(context));
    }
    event
}

/// An entry of the audit.
pub(crate) fn audit_record(entry: &AuditEntry, id: u64, group: u64, at: Wall) -> Record {
    let (key, event_type) = match entry.kind {
        AuditKind::LoggedIn => ("LoggedIn", "Other"),
        AuditKind::LoggedOut => ("LoggedOut", "Other"),
        AuditKind::LoginFailed => ("LoginFailed", "Alert"),
        AuditKind::Changed => ("ChangedByClient", "Other"),
        AuditKind::ChangeRefused => ("ChangeRefused", "Alert"),
    };
    let message = Message::ours(key, &[&entry.text]);
    let news =
        News { message, event_type, resource_type: "SessionService", origin: resource::SESSION_SERVICE.to_owned() };
    Record { is_audit: true, ..Record::of(&news, id, group, at) }
}

/// What is to be told of a happening.
pub(crate) fn news(event: &Event) -> Vec<News> {
    let node = &event.node;
    let system = resource::system(node);
    let standard = |key: &str, args: &[&str], event_type| about_system(node, Message::event(key, args), event_type);
    let ours = |key: &str, words: String, event_type| about_system(node, Message::ours(key, &[&words]), event_type);
    match &event.what {
        EventKind::PowerChanged { from: None, .. } => vec![standard("ResourceChanged", &[], "ResourceUpdated")],
        EventKind::BootChanged { boot, by } => {
            let words = match boot.enabled {
                BootEnabled::Disabled => format!("{by} took away the boot override of {node}"),
                // The URI of UefiHttp may allow a download to every reader of it.
                enabled => {
                    format!("{by} set the boot override of {node}: {}, {}", boot.target.name(), enabled.name())
                }
            };
            let said = ours("BootOverrideChanged", words, "ResourceUpdated");
            vec![standard("ResourceChanged", &[], "ResourceUpdated"), said]
        }
        EventKind::PowerRestoreSet { policy, by } => {
            let words = format!("{by} set the PowerRestorePolicy of {node} to {}", policy.name());
            let said = ours("PowerRestorePolicyChanged", words, "ResourceUpdated");
            vec![standard("ResourceChanged", &[], "ResourceUpdated"), said]
        }
        EventKind::BootConsumed => {
            let words = format!("the boot override of {node} for one boot was used up by a power on");
            let said = ours("BootOverrideUsed", words, "ResourceUpdated");
            vec![standard("ResourceChanged", &[], "ResourceUpdated"), said]
        }
        EventKind::PowerChanged { from: Some(_), to, cause, measured } => {
            let powered = match to {
                Power::On => standard("ResourcePoweredOn", &[&system], "StatusChange"),
                Power::Off => standard("ResourcePoweredOff", &[&system], "StatusChange"),
                Power::Asleep => standard("ResourceStateChanged", &[&system, "StandbyOffline"], "StatusChange"),
            };
            let words = format!("{node} is {to} now{}, and no command from here caused it", evidence(*measured));
            let outside = (*cause == Cause::Outside).then(|| ours("PowerChangedOutside", words, "Alert"));
            std::iter::once(powered).chain(outside).collect()
        }
        EventKind::OnTimeRestarted => {
            let words =
                format!("the power of {node} was cycled, or its device restarted, and no command from here caused it");
            vec![ours("PowerCycledOutside", words, "Alert")]
        }
        EventKind::CommandAccepted { reset, by, first } => {
            let first = first.map_or_else(String::new, |first| {
                format!("; {first}, which was accepted before it and is not done, is done first")
            });
            vec![ours("CommandAccepted", format!("{reset} for {node} was accepted from {by}{first}"), "StatusChange")]
        }
        EventKind::CommandDone { reset, took } => {
            vec![ours(
                "CommandDone",
                format!("{reset} of {node} is done after {} ms", took.as_millis()),
                "StatusChange",
            )]
        }
        EventKind::CommandSuperseded { reset, by } => {
            vec![ours("CommandSuperseded", format!("{by} took the place of {reset} of {node}"), "StatusChange")]
        }
        EventKind::CommandFailed { why, .. } => vec![ours("CommandFailed", why.clone(), "Alert")],
        EventKind::CommandOverdue { why, .. } => vec![ours("CommandOverdue", why.clone(), "Alert")],
        EventKind::DeviceLost { why } | EventKind::DeviceDistrusted { why } => {
            vec![about_device(node, "DeviceAway", why)]
        }
        EventKind::LoginRefused { why, .. } => vec![about_device(node, "LoginRefused", why)],
        EventKind::Noticed { text } | EventKind::TrustLearned { text } => {
            vec![about_device(node, "DeviceNotice", text)]
        }
        EventKind::TrustReset { by, text } => vec![about_device(node, "DeviceNotice", &format!("{by} reset {text}"))],
        EventKind::DeviceFound => {
            vec![about_device(node, "DeviceBack", &format!("the device of {node} answers again"))]
        }
        EventKind::HealthChanged(health) => {
            let key = match health {
                Health::OK => "ResourceStatusChangedOK",
                Health::Warning => "ResourceStatusChangedWarning",
                Health::Critical => "ResourceStatusChangedCritical",
            };
            vec![standard(key, &[&system, health.name()], "StatusChange")]
        }
        EventKind::Added => vec![standard("ResourceCreated", &[], "ResourceAdded")],
        EventKind::Removed => vec![standard("ResourceRemoved", &[], "ResourceRemoved")],
        // The node itself was not touched by it.
        EventKind::Revived => Vec::new(),
    }
}

fn about_system(node: &NodeId, message: Message, event_type: &'static str) -> News {
    News { message, event_type, resource_type: "ComputerSystem", origin: resource::system(node) }
}

fn about_device(node: &NodeId, key: &str, words: &str) -> News {
    let message = Message::ours(key, &[words]);
    News { message, event_type: "Alert", resource_type: "Manager", origin: resource::manager(node) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::device::PowerRestore;
    use crate::node::{BootOverride, BootTarget};

    fn told(what: EventKind) -> Vec<Record> {
        let event = Event { number: 1, node: "n".parse().unwrap(), at: Wall(1_795_359_818_999), what };
        news(&event).iter().zip(7..).map(|(news, id)| Record::of(news, id, 7, event.at)).collect()
    }

    #[test]
    fn a_change_from_outside_is_told_in_standard_words_and_in_ours() {
        let to = Power::Off;
        let records =
            told(EventKind::PowerChanged { from: Some(Power::On), to, cause: Cause::Outside, measured: None });
        let event = payload(&records[0], 0, Some("mine"));
        let expect = json!({
            "@odata.type": "#Event.v1_13_0.Event",
            "Id": "7",
            "Name": "Event",
            "Context": "mine",
            "Events@odata.count": 1,
            "Events": [{
                "MemberId": "0",
                "EventId": "7",
                "EventGroupId": 7,
                "EventType": "StatusChange",
                "EventTimestamp": "2026-11-22T15:03:38Z",
                "MessageId": "ResourceEvent.1.4.ResourcePoweredOff",
                "Message": "The resource '/redfish/v1/Systems/n' has powered off.",
                "MessageArgs": ["/redfish/v1/Systems/n"],
                "MessageSeverity": "OK",
                "Resolution": "None.",
                "OriginOfCondition": { "@odata.id": "/redfish/v1/Systems/n" },
            }],
        });
        assert_eq!(event, expect);
        assert_eq!(records[1].facts["MessageId"], "Plugfish.1.0.PowerChangedOutside");
        let commanded = EventKind::PowerChanged { from: Some(Power::On), to, cause: Cause::Command, measured: None };
        assert_eq!(told(commanded).len(), 1);
    }

    #[test]
    fn what_was_dropped_is_told_with_the_next_event() {
        let records = told(EventKind::DeviceLost { why: "the plug is silent".into() });
        let event = payload(&records[0], 3, None);
        assert_eq!(event["Events@odata.count"], 2);
        assert_eq!(event["Events"][0]["Message"], "3 events before this one were dropped");
        assert_eq!(event["Events"][1]["MessageId"], "Plugfish.1.0.DeviceAway");
        assert_eq!(event["Events"][1]["MemberId"], "1");
        assert_eq!(event.get("Context"), None);
    }

    #[test]
    fn a_boot_override_is_told_with_what_it_is_and_who_set_it() {
        let said = |target, enabled, uri: Option<&str>| {
            let boot = BootOverride { target, enabled, http_boot_uri: uri.map(Into::into), ..BootOverride::default() };
            let records = told(EventKind::BootChanged { boot, by: "ironic".into() });
            let ids: Vec<&str> = records.iter().map(|record| record.facts["MessageId"].as_str().unwrap()).collect();
            assert_eq!(ids, ["ResourceEvent.1.4.ResourceChanged", "Plugfish.1.0.BootOverrideChanged"]);
            records[1].body["Message"].as_str().unwrap().to_owned()
        };
        let uri = Some("https://192.0.2.1/boot.iso");
        let set = "ironic set the boot override of n: ";
        assert_eq!(said(BootTarget::Pxe, BootEnabled::Once, uri), format!("{set}Pxe, Once"));
        let http = format!("{set}UefiHttp, Continuous");
        assert_eq!(said(BootTarget::UefiHttp, BootEnabled::Continuous, uri), http);
        assert_eq!(said(BootTarget::Pxe, BootEnabled::Disabled, None), "ironic took away the boot override of n");
    }

    #[test]
    fn every_message_is_of_a_registry_and_about_a_type_that_is_offered() {
        let reset = crate::node::ResetType::On;
        let why = || "why".to_owned();
        let power = |from, to, cause| EventKind::PowerChanged { from, to, cause, measured: None };
        let all = [
            power(None, Power::On, Cause::Outside),
            power(Some(Power::Off), Power::Asleep, Cause::Command),
            EventKind::OnTimeRestarted,
            EventKind::CommandAccepted { reset, by: why(), first: None },
            EventKind::CommandAccepted { reset, by: why(), first: Some(reset) },
            EventKind::CommandDone { reset, took: std::time::Duration::ZERO },
            EventKind::CommandSuperseded { reset, by: reset },
            EventKind::CommandFailed { reset, why: why() },
            EventKind::CommandOverdue { reset, why: why() },
            EventKind::DeviceLost { why: why() },
            EventKind::DeviceDistrusted { why: why() },
            EventKind::TrustLearned { text: why() },
            EventKind::TrustReset { by: why(), text: why() },
            EventKind::DeviceFound,
            EventKind::LoginRefused { why: why(), until: Wall(0) },
            EventKind::BootChanged { boot: BootOverride::default(), by: why() },
            EventKind::BootConsumed,
            EventKind::PowerRestoreSet { policy: PowerRestore::AlwaysOn, by: why() },
            EventKind::Noticed { text: why() },
            EventKind::HealthChanged(Health::OK),
            EventKind::HealthChanged(Health::Warning),
            EventKind::HealthChanged(Health::Critical),
            EventKind::Added,
            EventKind::Removed,
        ];
        for record in all.into_iter().flat_map(told) {
            // `Message::of` itself asserts that the key and the number of arguments are those of the registry.
            let fact = |name: &str| record.facts[name].as_str().unwrap();
            assert!(REGISTRIES.contains(&fact("RegistryPrefix")), "{record:?}");
            assert!(RESOURCE_TYPES.contains(&fact("ResourceType")), "{record:?}");
            assert!(EVENT_TYPES.contains(&record.event_type.as_str()), "{record:?}");
        }
    }
}
