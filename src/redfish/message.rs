//! Error messages: entries of message registries, and the error bodies made of them (DSP0266, "Error responses").
//!
//! Texts, severities and resolutions come from the registry files themselves, so that they cannot differ from them.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::node::Refusal;

/// DMTF's Base registry, as published.
const BASE: &str = include_str!("registries/Base.1.22.1.json");

/// DMTF's registry of what happens to resources, as published.
const RESOURCE_EVENT: &str = include_str!("registries/ResourceEvent.1.4.3.json");

/// DMTF's registry of what happens to tasks, as published; for the task service, which is empty so far.
const TASK_EVENT: &str = include_str!("registries/TaskEvent.1.0.5.json");

/// The registry of plugfish.
const OURS: &str = include_str!("registries/Plugfish.1.0.0.json");

/// The registries as they are served.
pub(crate) const REGISTRIES: &[&str] = &[BASE, RESOURCE_EVENT, TASK_EVENT, OURS];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Registry {
    registry_prefix: String,
    registry_version: String,
    messages: HashMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    message: String,
    message_severity: String,
    resolution: String,
    number_of_args: usize,
}

impl Registry {
    fn read(text: &str) -> Registry {
        // The files are part of the program and a test reads them; an empty registry still gives honest answers.
        serde_json::from_str(text).unwrap_or_else(|_| Registry {
            registry_prefix: "Base".into(),
            registry_version: "1.22.1".into(),
            messages: HashMap::new(),
        })
    }

    /// `Base.1.22.PropertyUnknown`: clients split it at the dots, and want two parts of the version.
    fn id(&self, key: &str) -> String {
        let mut version = self.registry_version.split('.');
        let (major, minor) = (version.next().unwrap_or("1"), version.next().unwrap_or("0"));
        format!("{}.{major}.{minor}.{key}", self.registry_prefix)
    }
}

static BASE_REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::read(BASE));
static EVENT_REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::read(RESOURCE_EVENT));
static OUR_REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::read(OURS));

/// One message with its arguments (schema Message).
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    id: String,
    text: String,
    args: Vec<String>,
    severity: String,
    resolution: String,
    property: Option<String>,
}

impl Message {
    /// A message of the Base registry.
    pub fn base(key: &str, args: &[&str]) -> Message {
        Message::of(&BASE_REGISTRY, key, args)
    }

    /// A message of the ResourceEvent registry.
    pub fn event(key: &str, args: &[&str]) -> Message {
        Message::of(&EVENT_REGISTRY, key, args)
    }

    /// A message of our own registry.
    pub fn ours(key: &str, args: &[&str]) -> Message {
        Message::of(&OUR_REGISTRY, key, args)
    }

    fn of(registry: &Registry, key: &str, args: &[&str]) -> Message {
        let entry = registry.messages.get(key);
        debug_assert!(entry.is_some_and(|entry| entry.number_of_args == args.len()), "{key} {args:?}");
        Message {
            id: registry.id(key),
            text: entry.map_or_else(|| args.join(" "), |entry| filled(&entry.message, args)),
            args: args.iter().map(|arg| (*arg).into()).collect(),
            severity: entry.map_or_else(|| "Critical".into(), |entry| entry.message_severity.clone()),
            resolution: entry.map_or_else(String::new, |entry| entry.resolution.clone()),
            property: None,
        }
    }

    /// The account at this URI has to change its password before anything else.
    pub fn password_change_required(account: &str) -> Message {
        Message::base("PasswordChangeRequired", &[account])
    }

    /// The same, saying which property of the request it is about.
    pub fn about(mut self, pointer: impl Into<String>) -> Message {
        self.property = Some(pointer.into());
        self
    }

    /// Replaces the registry's advice by a better one.
    pub fn advise(&mut self, resolution: &str) {
        self.resolution = resolution.into();
    }

    /// `ResourceEvent.1.4.ResourcePoweredOn`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `OK`, `Warning` or `Critical`.
    pub fn severity(&self) -> &str {
        &self.severity
    }

    /// The text, with its arguments inserted.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The message as a JSON object.
    pub fn json(&self) -> Value {
        let mut body = json!({
            "@odata.type": "#Message.v1_3_0.Message",
            "MessageId": self.id,
            "Message": self.text,
            "MessageArgs": self.args,
            "MessageSeverity": self.severity,
            "Resolution": self.resolution,
        });
        if let (Some(property), Some(body)) = (&self.property, body.as_object_mut()) {
            body.insert("RelatedProperties".into(), json!([format!("#/{property}")]));
        }
        body
    }
}

/// The text with its arguments in the places of `%1`, `%2` and so on. An argument is a client's text and may hold these
/// signs as well: there they stand for nothing.
fn filled(text: &str, args: &[&str]) -> String {
    let mut parts = text.split('%');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_at(part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len()));
        match number.parse::<usize>().ok().and_then(|number| args.get(number.checked_sub(1)?)) {
            Some(arg) => filled.extend([arg, rest]),
            None => filled.extend(["%", part]),
        }
    }
    filled
}

/// The identifier of one of our own messages, for `Status.Conditions`.
pub(crate) fn our_id(key: &str) -> String {
    OUR_REGISTRY.id(key)
}

/// Why a request is not answered as asked: a status and what is said about it.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorResponse {
    /// The HTTP status.
    pub status: u16,
    /// What is said; the first one is what most clients show.
    pub messages: Vec<Message>,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
    /// `Allow`, for 405.
    pub allow: Option<String>,
}

impl ErrorResponse {
    /// A fault with one message.
    pub fn new(status: u16, message: Message) -> ErrorResponse {
        ErrorResponse { status, messages: vec![message], retry_after: None, allow: None }
    }

    /// 400 with a message of the Base registry.
    pub fn bad_request(key: &str, args: &[&str]) -> ErrorResponse {
        ErrorResponse::new(400, Message::base(key, args))
    }

    /// 404.
    pub fn not_found(uri: &str) -> ErrorResponse {
        ErrorResponse::new(404, Message::base("ResourceMissingAtURI", &[uri]))
    }

    /// 401.
    pub fn unauthorized() -> ErrorResponse {
        ErrorResponse::new(401, Message::base("NoValidSession", &[]))
    }

    /// 403.
    pub fn forbidden() -> ErrorResponse {
        ErrorResponse::new(403, Message::base("InsufficientPrivilege", &[]))
    }

    /// 403 for a caller that has to change the password of the account at this URI first.
    pub fn password_change_required(account: &str) -> ErrorResponse {
        ErrorResponse::new(403, Message::password_change_required(account))
    }

    /// 405.
    pub fn not_allowed(allow: String) -> ErrorResponse {
        ErrorResponse { allow: Some(allow), ..ErrorResponse::new(405, Message::base("OperationNotAllowed", &[])) }
    }

    /// 412.
    pub fn precondition_failed() -> ErrorResponse {
        ErrorResponse::new(412, Message::base("PreconditionFailed", &[]))
    }

    /// 503 for a service that will take the request in a moment.
    pub fn later(words: Option<Message>, after: Duration) -> ErrorResponse {
        let seconds = after.as_secs_f64().ceil().max(1.0);
        let standard = Message::base("ServiceTemporarilyUnavailable", &[&format!("{seconds:.0}")]);
        let messages = words.into_iter().chain([standard]).collect();
        ErrorResponse { status: 503, messages, retry_after: Some(after), allow: None }
    }

    /// The body (DSP0266, "Error responses").
    pub fn body(&self) -> Value {
        let infos: Vec<Value> = self.messages.iter().map(Message::json).collect();
        let (code, message) = match self.messages.as_slice() {
            [only] => (only.id.clone(), only.text.clone()),
            [first, ..] => (BASE_REGISTRY.id("GeneralError"), first.text.clone()),
            [] => (BASE_REGISTRY.id("GeneralError"), String::new()),
        };
        json!({ "error": { "code": code, "message": message, "@Message.ExtendedInfo": infos } })
    }
}

impl From<Refusal> for ErrorResponse {
    fn from(refusal: Refusal) -> ErrorResponse {
        let words = refusal.to_string();
        let ours = |key| Message::ours(key, &[&words]);
        let after = refusal.retry_after().unwrap_or_default();
        match refusal {
            Refusal::Unsupported { what, .. } => {
                let args = [what.as_str(), "ResetType", "ComputerSystem.Reset"];
                ErrorResponse::bad_request("ActionParameterValueNotInList", &args)
            }
            Refusal::NotNow { .. } => ErrorResponse::new(409, ours("NotNow")),
            Refusal::DeviceAway { .. } => ErrorResponse::later(Some(ours("DeviceAway")), after),
            Refusal::LoginHeld { .. } => ErrorResponse::later(Some(ours("LoginRefused")), after),
            Refusal::Unconfirmed { .. } => ErrorResponse::later(Some(ours("NotConfirmed")), after),
            Refusal::Overloaded { .. } | Refusal::Undecided { .. } | Refusal::Stopping { .. } => {
                ErrorResponse::later(Some(ours("NodeOverloaded")), after)
            }
            Refusal::CannotWrite { .. } => {
                let messages = vec![ours("CannotWrite"), Message::base("InsufficientStorage", &[])];
                ErrorResponse { status: 507, messages, retry_after: None, allow: None }
            }
            Refusal::Changed { .. } => ErrorResponse::precondition_failed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_from_the_registry() {
        let message = Message::base("PropertyValueNotInList", &["Sideways", "BootSourceOverrideTarget"]);
        assert_eq!(message.id, "Base.1.22.PropertyValueNotInList");
        let text =
            "The value 'Sideways' for the property BootSourceOverrideTarget is not in the list of acceptable values.";
        assert_eq!(message.text(), text);
        assert_eq!(our_id("DeviceAway"), "Plugfish.1.0.DeviceAway");
    }

    #[test]
    fn an_argument_is_taken_as_it_is() {
        // Each `%1` in the second argument became the first one: 16 KiB of a query made 300 MB of an answer.
        let message = Message::base("PropertyValueNotInList", &["%2%1", "%1%1"]);
        let text = "The value '%2%1' for the property %1%1 is not in the list of acceptable values.";
        assert_eq!(message.text(), text);
        assert_eq!(filled("%2 of %1, 100 % and %3%", &["a", "b"]), "b of a, 100 % and %3%");
    }

    #[test]
    fn a_refusal_names_the_device_first_and_says_when_to_come_back() {
        let refusal = Refusal::DeviceAway {
            node: "node-1".parse().unwrap(),
            device: "Tapo plug at 192.0.2.11".into(),
            why: "connection refused".into(),
            retry_after: Duration::from_millis(11_200),
        };
        let fault = ErrorResponse::from(refusal);
        assert_eq!((fault.status, fault.retry_after), (503, Some(Duration::from_millis(11_200))));
        let body = fault.body();
        let first = &body["error"]["@Message.ExtendedInfo"][0];
        assert_eq!(first["MessageId"], "Plugfish.1.0.DeviceAway");
        assert!(first["Message"].as_str().unwrap().starts_with("Tapo plug at 192.0.2.11, which switches node-1"));
        assert_eq!(body["error"]["@Message.ExtendedInfo"][1]["MessageArgs"][0], "12");
    }
}
