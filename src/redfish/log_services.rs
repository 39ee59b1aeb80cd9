//! Schemas LogService and LogEntry: the logs that a device keeps. The log of the machine hangs on its system, the log of
//! who did what to the device on its manager; each only where the device has it and it was read.

use serde_json::{Value, json};

use super::Seen;
use super::message::Fault;
use super::resource::{self, MANAGERS, Resource, link};
use crate::node::device::LogEntry;
use crate::node::view::NodeView;

/// The one log that the owner named by a path has.
struct Log<'v> {
    services: String,
    id: &'static str,
    name: &'static str,
    entries: &'v [LogEntry],
}

impl Log<'_> {
    fn uri(&self) -> String {
        format!("{}/{}", self.services, self.id)
    }

    fn entries_uri(&self) -> String {
        format!("{}/Entries", self.uri())
    }

    fn entry(&self, entry: &LogEntry) -> Resource {
        let properties = json!({
            "EntryType": "Event",
            "Severity": entry.severity.name(),
            "Created": entry.at.map(|at| at.to_string()),
            "Message": entry.text,
        });
        let uri = format!("{}/{}", self.entries_uri(), entry.id);
        Resource::new(&uri, "LogEntry.v1_21_0", &entry.id, &format!("Log entry {}", entry.id), properties)
    }
}

/// The log of the owner that the path names.
fn log_of<'v>(view: &'v NodeView, seen: &Seen<'_>) -> Result<Log<'v>, Fault> {
    let (owner, id, name, entries) = if seen.path.starts_with(MANAGERS) {
        (resource::manager(&view.id), "AuditLog", "Audit log", &view.audit_log)
    } else {
        (resource::system(&view.id), "EventLog", "Event log", &view.event_log)
    };
    let entries = entries.as_deref().ok_or_else(|| seen.not_found())?;
    Ok(Log { services: format!("{owner}/LogServices"), id, name, entries })
}

/// The same, where the path also names the log.
fn log<'v>(view: &'v NodeView, seen: &Seen<'_>) -> Result<Log<'v>, Fault> {
    let log = log_of(view, seen)?;
    if seen.id(1) == log.id { Ok(log) } else { Err(seen.not_found()) }
}

/// `GET .../LogServices`.
pub fn collection(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    let log = log_of(view, seen)?;
    let members = std::iter::once(log.uri());
    Ok(Resource::collection(&log.services, "LogServiceCollection", "Log Services", members))
}

/// `GET .../LogServices/{log}`.
pub fn service(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    let log = log(view, seen)?;
    let properties = json!({
        "LogEntryType": "Event",
        "Entries": link(&log.entries_uri()),
        "Status": resource::present(),
    });
    Ok(Resource::new(&log.uri(), "LogService.v1_9_0", log.id, log.name, properties))
}

/// `GET .../LogServices/{log}/Entries`, whole; the newest entry first.
pub fn entries(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    let log = log(view, seen)?;
    let members: Vec<Value> = log.entries.iter().map(|entry| Value::Object(log.entry(entry).body)).collect();
    let collection = Resource::collection(&log.entries_uri(), "LogEntryCollection", "Log Entries", std::iter::empty());
    Ok(collection.with("Members@odata.count", json!(members.len())).with("Members", json!(members)))
}

/// `GET .../LogServices/{log}/Entries/{entry}`.
pub fn entry(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    let log = log(view, seen)?;
    let entry = log.entries.iter().find(|entry| entry.id == seen.id(2)).ok_or_else(|| seen.not_found())?;
    Ok(log.entry(entry))
}
