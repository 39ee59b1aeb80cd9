//! Schemas LogService and LogEntry. The event log of the machine belongs to its system, the audit log of the device to
//! its manager, each only if the device has it and it was read. Beside it is the log of the node's events while this
//! service ran.

use std::sync::Arc;

use serde_json::{Value, json};

use super::GetRequest;
use super::events::record::news;
use super::message::{ErrorResponse, Message};
use super::resource::{self, LogUris, MANAGER_LOGS, MANAGERS, Resource, SYSTEM_LOGS, at, link};
use super::schema;
use crate::node::NodeId;
use crate::node::device::LogEntry;
use crate::node::entry::HAPPENINGS_MAX;
use crate::node::event::Event;

/// A log of the owner that a path names.
struct Log {
    uris: &'static LogUris,
    node: NodeId,
    id: &'static str,
    name: &'static str,
    entries: Entries,
}

/// The entries of a log, the newest first.
enum Entries {
    /// The log of the device.
    Device(Arc<[LogEntry]>),
    /// The log of this service.
    Own(Vec<(Arc<Event>, Message)>),
}

impl Log {
    fn uri(&self) -> String {
        at(self.uris.service, &[&self.node, &self.id])
    }

    fn entries_uri(&self) -> String {
        at(self.uris.entries, &[&self.node, &self.id])
    }

    fn all(&self) -> Vec<Resource> {
        match &self.entries {
            Entries::Device(entries) => entries.iter().map(|entry| self.of_device(entry)).collect(),
            Entries::Own(entries) => entries.iter().map(|(event, message)| self.own(event, message)).collect(),
        }
    }

    fn find(&self, id: &str) -> Option<Resource> {
        match &self.entries {
            Entries::Device(entries) => entries.iter().find(|entry| entry.id == id).map(|entry| self.of_device(entry)),
            Entries::Own(entries) => {
                let own = entries.iter().find(|(event, _)| event.number.to_string() == id);
                own.map(|(event, message)| self.own(event, message))
            }
        }
    }

    fn of_device(&self, entry: &LogEntry) -> Resource {
        let properties = json!({
            "Severity": entry.severity.name(),
            "Created": entry.at.map(|at| at.to_string()),
            "Message": entry.text,
        });
        self.entry(&entry.id, properties)
    }

    fn own(&self, event: &Event, message: &Message) -> Resource {
        let mut properties = message.json();
        if let Some(body) = properties.as_object_mut() {
            body.remove("@odata.type");
            let severity = body.remove("MessageSeverity");
            body.insert("Severity".into(), severity.unwrap_or_default());
            body.insert("Created".into(), json!(event.at.to_string()));
            body.insert("Links".into(), json!({ "OriginOfCondition": link(&resource::system(&self.node)) }));
        }
        self.entry(&event.number.to_string(), properties)
    }

    fn entry(&self, id: &str, properties: Value) -> Resource {
        let uri = at(self.uris.entry, &[&self.node, &self.id, &id]);
        Resource::new(&uri, schema::LOG_ENTRY, id, &format!("Log entry {id}"), properties)
            .with("EntryType", json!("Event"))
    }
}

/// The logs of the owner that the path names.
fn logs(seen: &GetRequest<'_>) -> Result<Vec<Log>, ErrorResponse> {
    let node = seen.node()?;
    let view = node.view().clone();
    let log = |uris, id, name, entries| Log { uris, node: view.id.clone(), id, name, entries };
    let device = |uris, id, name, entries: &Option<Arc<[LogEntry]>>| {
        entries.clone().map(|entries| log(uris, id, name, Entries::Device(entries)))
    };
    let logs: Vec<Log> = if seen.path.starts_with(MANAGERS) {
        let happenings = node.happenings();
        let told = happenings.iter().filter_map(|event| Some((event.clone(), news(event).pop()?.message))).collect();
        let own = log(&MANAGER_LOGS, "Log", "What happened to the node", Entries::Own(told));
        std::iter::once(own).chain(device(&MANAGER_LOGS, "AuditLog", "Audit log", &view.audit_log)).collect()
    } else {
        device(&SYSTEM_LOGS, "EventLog", "Event log", &view.event_log).into_iter().collect()
    };
    if logs.is_empty() { Err(seen.not_found()) } else { Ok(logs) }
}

/// The log that the path names.
fn log(seen: &GetRequest<'_>) -> Result<Log, ErrorResponse> {
    logs(seen)?.into_iter().find(|log| log.id == seen.id(1)).ok_or_else(|| seen.not_found())
}

/// `GET .../LogServices`.
pub(crate) fn collection(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let logs = logs(seen)?;
    let uri = logs.first().map(|log| at(log.uris.services, &[&log.node])).unwrap_or_default();
    Ok(Resource::collection(&uri, schema::LOG_SERVICE_COLLECTION, "Log Services", logs.iter().map(Log::uri)))
}

/// `GET .../LogServices/{log}`.
pub(crate) fn service(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let log = log(seen)?;
    let own = matches!(log.entries, Entries::Own(..));
    let properties = json!({
        "LogEntryType": "Event",
        "LogPurposes": own.then_some(["Operations", "Diagnostic"]),
        "MaxNumberOfRecords": own.then_some(HAPPENINGS_MAX),
        "OverWritePolicy": own.then_some("WrapsWhenFull"),
        "Persistency": own.then_some(false),
        "Entries": link(&log.entries_uri()),
        "Status": resource::present(),
    });
    Ok(Resource::new(&log.uri(), schema::LOG_SERVICE, log.id, log.name, properties))
}

/// `GET .../LogServices/{log}/Entries`, whole; the newest entry first.
pub(crate) fn entries(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let log = log(seen)?;
    let members: Vec<Value> = log.all().into_iter().map(|entry| Value::Object(entry.body)).collect();
    let collection =
        Resource::collection(&log.entries_uri(), schema::LOG_ENTRY_COLLECTION, "Log Entries", std::iter::empty());
    Ok(collection.with("Members@odata.count", json!(members.len())).with("Members", json!(members)))
}

/// `GET .../LogServices/{log}/Entries/{entry}`.
pub(crate) fn entry(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    log(seen)?.find(seen.id(2)).ok_or_else(|| seen.not_found())
}
