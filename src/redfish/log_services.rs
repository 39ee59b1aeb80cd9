//! Schemas LogService and LogEntry: the logs that a device keeps. The log of the machine hangs on its system, the log of
//! who did what to the device on its manager; each only where the device has it and it was read.

use std::collections::HashMap;

use actix_web::web::Query;
use serde_json::{Value, json};

use super::Seen;
use super::message::Fault;
use super::resource::{self, MANAGERS, Resource, link};
use crate::node::device::LogEntry;
use crate::node::view::NodeView;

/// Entries in one answer: some 20 KB. A client that wants more follows `Members@odata.nextLink`.
const PAGE: usize = 50;

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

/// `GET .../LogServices/{log}/Entries`, with `$skip` and `$top`; the newest entry first.
pub fn entries(seen: &Seen<'_>) -> Result<Resource, Fault> {
    let view = seen.node()?.view().clone();
    let log = log(&view, seen)?;
    let query = Query::<HashMap<String, String>>::from_query(seen.query).map(Query::into_inner).unwrap_or_default();
    let skip = number(&query, "$skip")?.unwrap_or(0);
    let top = number(&query, "$top")?;
    let size = top.map_or(PAGE, |top| top.min(PAGE));
    let members = log.entries.iter().skip(skip).take(size).map(|entry| Value::Object(log.entry(entry).body));
    let members: Vec<Value> = members.collect();
    let next = skip.saturating_add(members.len());
    let more = !members.is_empty() && next < log.entries.len();
    let uri = log.entries_uri();
    let collection = Resource::collection(&uri, "LogEntryCollection", "Log Entries", std::iter::empty())
        .with("Members", json!(members))
        .with("Members@odata.count", json!(log.entries.len()));
    if !more {
        return Ok(collection);
    }
    let top = top.map_or_else(String::new, |top| format!("&$top={top}"));
    Ok(collection.with("Members@odata.nextLink", json!(format!("{uri}?$skip={next}{top}"))))
}

/// A query parameter that is a number.
fn number(query: &HashMap<String, String>, name: &str) -> Result<Option<usize>, Fault> {
    let wrong = |text: &String| Fault::bad_request("QueryParameterValueTypeError", &[text, name]);
    query.get(name).map(|text| text.parse().map_err(|_| wrong(text))).transpose()
}

/// `GET .../LogServices/{log}/Entries/{entry}`.
pub fn entry(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    let log = log(view, seen)?;
    let entry = log.entries.iter().find(|entry| entry.id == seen.id(2)).ok_or_else(|| seen.not_found())?;
    Ok(log.entry(entry))
}
