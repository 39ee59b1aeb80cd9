//! A subscription as it is stored, and the filter that selects its events.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::record::Record;

/// `DeliveryRetryPolicy` (schema EventDestination): what becomes of a subscription whose subscriber stays away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// It is tried at each interval for as long as it takes.
    #[default]
    RetryForever,
    /// The same with growing pauses.
    RetryForeverWithBackoff,
    /// After the attempts, nothing is sent until a client resumes it.
    SuspendRetries,
    /// After the attempts, it is deleted.
    TerminateAfterRetries,
}

impl Policy {
    pub const ALL: [Policy; 4] =
        [Policy::RetryForever, Policy::RetryForeverWithBackoff, Policy::SuspendRetries, Policy::TerminateAfterRetries];

    /// The name as Redfish spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Policy::RetryForever => "RetryForever",
            Policy::RetryForeverWithBackoff => "RetryForeverWithBackoff",
            Policy::SuspendRetries => "SuspendRetries",
            Policy::TerminateAfterRetries => "TerminateAfterRetries",
        }
    }
}

/// Which events: an empty list takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// `RegistryPrefixes`.
    pub registries: Vec<String>,
    /// `MessageIds`.
    pub messages: Vec<String>,
    /// `ResourceTypes`.
    pub resource_types: Vec<String>,
    /// `OriginResources`.
    pub origins: Vec<String>,
    /// `SubordinateResources`: what is below the origins counts as well.
    pub subordinate: bool,
    /// `Severities`.
    pub severities: Vec<String>,
    /// `EventTypes`.
    pub event_types: Vec<String>,
}

impl Selection {
    /// Whether this event is selected. Audit events only if they are named: by message, type of resource or origin.
    pub fn takes(&self, record: &Record) -> bool {
        if record.is_audit && self.messages.is_empty() && self.resource_types.is_empty() && self.origins.is_empty() {
            return false;
        }
        let fact = |name: &str| record.facts.get(name).and_then(|fact| fact.as_str()).unwrap_or_default();
        let origin = fact("OriginResource");
        let below = |uri: &str| origin.strip_prefix(uri).is_some_and(|rest| rest.starts_with('/'));
        any(&self.registries, |prefix| prefix == fact("RegistryPrefix"))
            && any(&self.messages, |id| is_message(id, fact("MessageId")))
            && any(&self.resource_types, |kind| kind == fact("ResourceType"))
            && any(&self.origins, |uri| uri == origin || self.subordinate && below(uri))
            && any(&self.severities, |severity| severity == record.severity)
            && any(&self.event_types, |kind| kind == record.event_type)
    }
}

fn any(wanted: &[String], fits: impl Fn(&str) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| fits(wanted))
}

/// `ResourceEvent.1.4.ResourceCreated` also where a client names another version of the registry, or none: clients are
/// written against the one of their time.
fn is_message(wanted: &str, id: &str) -> bool {
    fn ends(id: &str) -> (Option<&str>, Option<&str>) {
        (id.split('.').next(), id.rsplit('.').next())
    }
    ends(wanted) == ends(id)
}

/// A subscription to deliveries, as it is kept.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// The last part of its URI.
    pub id: String,
    /// The account that created it.
    pub owner: String,
    /// The URL to which events are sent.
    pub destination: String,
    /// A text for the subscriber, sent along.
    pub context: Option<String>,
    pub selection: Selection,
    /// Headers to send along. They may be secrets: they are never shown, and kept in the state directory, which only its
    /// owner may read.
    pub headers: Vec<(String, String)>,
    /// The policy when deliveries fail.
    pub policy: Policy,
    /// The destination has to show a certificate that the system trusts.
    pub verify: bool,
    /// Nothing is sent until a client resumes it.
    pub suspended: bool,
    /// Grows by one with each change: its ETag.
    pub change: u64,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .field("owner", &self.owner)
            .field("change", &self.change)
            .finish_non_exhaustive()
    }
}

/// What the whole service is set to, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `DeliveryRetryAttempts`.
    pub attempts: u32,
    /// `DeliveryRetryIntervalSeconds`.
    pub interval_s: u32,
    /// Grows by one with each change: its ETag.
    pub change: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { attempts: 3, interval_s: 30, change: 0 }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record(message: &str, origin: &str) -> Record {
        let body = json!({ "MessageId": message, "MessageSeverity": "Warning", "EventType": "Alert",
            "OriginOfCondition": { "@odata.id": origin } });
        let Value::Object(body) = body else { panic!() };
        Record::free(body, 1, 1)
    }

    #[test]
    fn a_selection_takes_what_fits_all_of_its_lists() {
        let record = record("ResourceEvent.1.4.ResourceChanged", "/redfish/v1/Systems/n");
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
        let all = Selection::default();
        assert!(all.takes(&record));
        let fits = [
            Selection { registries: texts(&["Base", "ResourceEvent"]), ..all.clone() },
            Selection { messages: texts(&["ResourceEvent.1.0.ResourceChanged"]), ..all.clone() },
            Selection { messages: texts(&["ResourceEvent.ResourceChanged"]), ..all.clone() },
            Selection { resource_types: texts(&["EventService"]), ..all.clone() },
            Selection { origins: texts(&["/redfish/v1/Systems/n"]), ..all.clone() },
            Selection { origins: texts(&["/redfish/v1/Systems"]), subordinate: true, ..all.clone() },
            Selection { severities: texts(&["Warning"]), event_types: texts(&["Alert"]), ..all.clone() },
        ];
        for selection in fits {
            assert!(selection.takes(&record), "{selection:?}");
        }
        let does_not_fit = [
            Selection { registries: texts(&["Base"]), ..all.clone() },
            Selection { messages: texts(&["ResourceEvent.1.4.ResourceCreated"]), ..all.clone() },
            Selection { origins: texts(&["/redfish/v1/Systems"]), ..all.clone() },
            Selection { origins: texts(&["/redfish/v1/Sys"]), subordinate: true, ..all.clone() },
            Selection { registries: texts(&["ResourceEvent"]), severities: texts(&["OK"]), ..all.clone() },
            Selection { event_types: texts(&["StatusChange"]), ..all },
        ];
        for selection in does_not_fit {
            assert!(!selection.takes(&record), "{selection:?}");
        }
    }

    #[test]
    fn headers_are_not_printed() {
        let subscription = Subscription {
            id: "1".into(),
            owner: "admin".into(),
            destination: "http://192.0.2.1/?key=s3cret".into(),
            context: None,
            selection: Selection::default(),
            headers: vec![("X-Key".into(), "s3cret".into())],
            policy: Policy::default(),
            verify: true,
            suspended: false,
            change: 1,
        };
        assert!(!format!("{subscription:?}").contains("s3cret"));
    }
}
