//! Schema EventDestination: event subscriptions, and the streams that are open.

use actix_web::http::header::{HeaderName, HeaderValue};
use reqwest::Url;
use serde_json::{Map, Value, json};

use super::accounts::matches;
use super::body::{Bad, Body, choice, clip, flag, text};
use super::event_service::SEVERITIES;
use super::events::destination::{LOCAL, names_local};
use super::events::record::{EVENT_TYPES, FORMAT, REGISTRIES, RESOURCE_TYPES};
use super::events::stream::Stream;
use super::events::subscription::{Policy, Selection, Subscription};
use super::events::{EventRefusal, SubscriberView};
use super::message::{ErrorResponse, Message};
use super::resource::{
    self, CHASSIS, Etag, MANAGERS, RESUME_SUBSCRIPTION, Resource, SUBSCRIPTIONS, SUSPEND_SUBSCRIPTION, SYSTEMS, at,
    link,
};
use super::schema;
use super::{Document, GetRequest, Pending, Reply, WriteRequest};
use crate::http::auth::Privilege;

/// The longest subscription, as it is kept: the store takes a little more.
const SUBSCRIPTION_BYTES_MAX: usize = 6 * 1024;

/// Headers that the delivery itself needs to be right.
const OWN_HEADERS: [&str; 6] = ["connection", "content-length", "content-type", "host", "te", "transfer-encoding"];

const SUSPEND: &str = "EventDestination.SuspendSubscription";
const RESUME: &str = "EventDestination.ResumeSubscription";

/// `GET /redfish/v1/EventService/Subscriptions`.
pub(crate) fn collection(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let ids = seen.service.events.ids();
    let members = ids.iter().filter(|id| find(seen, id).is_some()).map(|id| resource::subscription(id));
    Ok(Resource::collection(SUBSCRIPTIONS, schema::EVENT_DESTINATION_COLLECTION, "Event Subscriptions", members))
}

/// `GET /redfish/v1/EventService/Subscriptions/{id}`.
pub(crate) fn destination(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    match find(seen, seen.id(0)) {
        Some(SubscriberView::Delivery(subscription, failing)) => Ok(delivery(seen, &subscription, failing)),
        Some(SubscriberView::Stream(stream)) => Ok(open_stream(&stream)),
        None => Err(seen.not_found()),
    }
}

/// A subscriber that the caller may look at: one who sees only some nodes looks at its own.
fn find(seen: &GetRequest<'_>, id: &str) -> Option<SubscriberView> {
    let is_visible = |shown: &SubscriberView| seen.caller.scope.is_none() || shown.owner() == seen.caller.name.as_ref();
    seen.service.events.find(id).filter(is_visible)
}

fn etag(subscription: &Subscription) -> String {
    format!("\"{:x}\"", subscription.change)
}

fn delivery(seen: &GetRequest<'_>, subscription: &Subscription, failing: bool) -> Resource {
    let uri = resource::subscription(&subscription.id);
    let Selection { registries, messages, resource_types, origins, subordinate, severities, event_types } =
        &subscription.selection;
    // A node that is gone would be a link to nowhere.
    let origins: Vec<Value> = origins.iter().filter(|uri| is_there(seen, uri)).map(|uri| link(uri)).collect();
    let properties = json!({
        "Destination": subscription.destination,
        "Protocol": "Redfish",
        "SubscriptionType": "RedfishEvent",
        "EventFormatType": FORMAT,
        "RegistryPrefixes": registries,
        "MessageIds": messages,
        "ResourceTypes": resource_types,
        "OriginResources": origins,
        "SubordinateResources": subordinate,
        "Severities": severities,
        "EventTypes": (!event_types.is_empty()).then_some(event_types),
        "HttpHeaders": [],
        "DeliveryRetryPolicy": subscription.policy.name(),
        "VerifyCertificate": subscription.verify,
        "Status": {
            "State": if subscription.suspended { "Disabled" } else { "Enabled" },
            "Health": if failing || subscription.suspended { "Warning" } else { "OK" },
        },
        "Actions": {
            format!("#{SUSPEND}"): { "target": at(SUSPEND_SUBSCRIPTION, &[&subscription.id]) },
            format!("#{RESUME}"): { "target": at(RESUME_SUBSCRIPTION, &[&subscription.id]) },
        },
    });
    Resource::new(&uri, schema::EVENT_DESTINATION, &subscription.id, "Event Subscription", properties)
        .with("Context", json!(subscription.context))
        // Its health moves without a client.
        .with_etag(Etag::OfWrites(etag(subscription)))
}

fn open_stream(stream: &Stream) -> Resource {
    let properties = json!({
        "Context": stream.id,
        "Protocol": "Redfish",
        "SubscriptionType": "SSE",
        "EventFormatType": FORMAT,
        "Status": resource::present(),
    });
    let uri = resource::subscription(&stream.id);
    Resource::new(&uri, schema::EVENT_DESTINATION, &stream.id, "Server-sent event stream", properties)
}

/// `POST /redfish/v1/EventService/Subscriptions`.
pub(crate) fn create(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let seen = &asked.seen;
        let object = asked.body.object()?;
        for name in ["Destination", "Protocol"] {
            if !object.contains_key(name) {
                return Err(ErrorResponse::bad_request("CreateFailedMissingReqProperties", &[name]));
            }
        }
        if let Some(protocol) = object.get("Protocol").and_then(Value::as_str).filter(|name| is_elsewhere(name)) {
            return Err(not_delivered_by(protocol));
        }
        let nothing = Map::new();
        let mut body = Body::of(object, &nothing);
        let destination = body.take("Destination", destination_uri);
        body.take("Protocol", only("Redfish"));
        body.take("SubscriptionType", only("RedfishEvent"));
        body.take("EventFormatType", only(FORMAT));
        let there = |value: &Value| origins(seen, value);
        let selection = Selection {
            registries: body.take("RegistryPrefixes", some_of(&REGISTRIES)).unwrap_or_default(),
            messages: body.take("MessageIds", message_ids).unwrap_or_default(),
            resource_types: body.take("ResourceTypes", some_of(&RESOURCE_TYPES)).unwrap_or_default(),
            origins: body.take("OriginResources", there).unwrap_or_default(),
            subordinate: body.take("SubordinateResources", flag).unwrap_or_default(),
            severities: body.take("Severities", some_of(&SEVERITIES)).unwrap_or_default(),
            event_types: body.take("EventTypes", some_of(&EVENT_TYPES)).unwrap_or_default(),
        };
        let mut subscription = Subscription {
            id: String::new(),
            owner: seen.caller.name.to_string(),
            destination: destination.unwrap_or_default(),
            context: None,
            selection,
            headers: Vec::new(),
            policy: Policy::default(),
            verify: false,
            suspended: false,
            change: 0,
        };
        Changes::read(&mut body).apply(&mut subscription);
        body.finish()?;
        check_size(&subscription)?;
        let is_local = subscription.destination.parse().is_ok_and(|url| names_local(&url));
        if is_local && !seen.caller.may(Privilege::ConfigureManager) {
            let mut fault = ErrorResponse::forbidden();
            fault.messages.iter_mut().for_each(|message| message.advise(&format!("Name another one: {LOCAL}.")));
            return Err(fault);
        }
        let subscription = seen.service.events.subscribe(subscription).await?;
        log(&asked, "subscription_made", &subscription.id);
        let document = Document::Resource(delivery(seen, &subscription, false));
        Ok(Reply::Created { location: resource::subscription(&subscription.id), document, token: None })
    })
}

/// What a client may also change later.
#[derive(Default, PartialEq)]
struct Changes {
    context: Option<Option<String>>,
    policy: Option<Policy>,
    verify: Option<bool>,
    headers: Option<Vec<(String, String)>>,
}

impl Changes {
    fn read(body: &mut Body<'_>) -> Changes {
        Changes {
            context: body.take("Context", |value| if value.is_null() { Ok(None) } else { text(value).map(Some) }),
            policy: body.take("DeliveryRetryPolicy", choice(&Policy::ALL, Policy::name)),
            verify: body.take("VerifyCertificate", flag),
            headers: body.take("HttpHeaders", http_headers),
        }
    }

    fn apply(&self, subscription: &mut Subscription) {
        fn put<T: Clone>(new: Option<&T>, old: &mut T) {
            if let Some(new) = new {
                old.clone_from(new);
            }
        }
        put(self.context.as_ref(), &mut subscription.context);
        put(self.policy.as_ref(), &mut subscription.policy);
        put(self.verify.as_ref(), &mut subscription.verify);
        put(self.headers.as_ref(), &mut subscription.headers);
    }
}

fn check_size(subscription: &Subscription) -> Result<(), ErrorResponse> {
    let length = serde_json::to_string(subscription).map_or(usize::MAX, |text| text.len());
    if length <= SUBSCRIPTION_BYTES_MAX {
        Ok(())
    } else {
        Err(ErrorResponse::new(413, Message::base("PayloadTooLarge", &[])))
    }
}

/// The subscription that the path names, if the caller may change it: its owner, and `ConfigureManager`.
fn own(asked: &WriteRequest<'_>) -> Result<SubscriberView, ErrorResponse> {
    let seen = &asked.seen;
    let shown = find(seen, seen.id(0)).ok_or_else(|| seen.not_found())?;
    if seen.is_own_or(shown.owner(), &[Privilege::ConfigureManager]) {
        Ok(shown)
    } else {
        Err(ErrorResponse::forbidden())
    }
}

/// The condition under which a change is made, if the request has one that holds.
fn condition(asked: &WriteRequest<'_>, subscription: &Subscription) -> Result<Option<u64>, ErrorResponse> {
    if !matches(asked.if_match, &etag(subscription)) {
        return Err(ErrorResponse::precondition_failed());
    }
    Ok(asked.if_match.filter(|tags| tags.trim() != "*").map(|_| subscription.change))
}

/// `PATCH /redfish/v1/EventService/Subscriptions/{id}`.
pub(crate) fn patch(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let SubscriberView::Delivery(subscription, failing) = own(&asked)? else {
            // A stream is what it was opened as.
            return Err(ErrorResponse::not_allowed("GET, HEAD, DELETE".into()));
        };
        let at = condition(&asked, &subscription)?;
        let current = delivery(&asked.seen, &subscription, failing);
        let mut body = Body::of(asked.body.object()?, &current.body);
        let changes = Changes::read(&mut body);
        let left_out = body.finish_in_part(changes != Changes::default())?;
        let mut wanted = Subscription::clone(&subscription);
        changes.apply(&mut wanted);
        check_size(&wanted)?;
        let edit = |subscription: &mut Subscription| changes.apply(subscription);
        let changed = asked.seen.service.events.change(&subscription.id, at, edit).await?;
        log(&asked, "subscription_changed", &changed.id);
        Ok(Reply::Document(Document::Resource(delivery(&asked.seen, &changed, failing).with_remarks(&left_out))))
    })
}

/// `DELETE /redfish/v1/EventService/Subscriptions/{id}`. A stream is closed by it.
pub(crate) fn delete(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let at = match own(&asked)? {
            SubscriberView::Delivery(subscription, _) => condition(&asked, &subscription)?,
            SubscriberView::Stream(_) => None,
        };
        let id = asked.seen.id(0);
        asked.seen.service.events.end(id, at).await.map_err(|refusal| match refusal {
            EventRefusal::Gone => asked.seen.not_found(),
            refusal => refusal.into(),
        })?;
        log(&asked, "subscription_ended", id);
        Ok(Reply::NoContent)
    })
}

/// `POST .../Actions/EventDestination.SuspendSubscription`: nothing is sent until it is resumed; what waits is forgotten.
pub(crate) fn suspend(asked: WriteRequest<'_>) -> Pending<'_> {
    set_suspended(asked, SUSPEND, true)
}

/// `POST .../Actions/EventDestination.ResumeSubscription`: what happens from now on is sent.
pub(crate) fn resume(asked: WriteRequest<'_>) -> Pending<'_> {
    set_suspended(asked, RESUME, false)
}

fn set_suspended<'a>(asked: WriteRequest<'a>, action: &'static str, suspended: bool) -> Pending<'a> {
    Box::pin(async move {
        let SubscriberView::Delivery(subscription, _) = own(&asked)? else { return Err(asked.seen.not_found()) };
        let unknown = asked.body.object()?.keys().find(|name| !name.starts_with('@'));
        if let Some(name) = unknown {
            return Err(ErrorResponse::bad_request("ActionParameterUnknown", &[action, name]));
        }
        let edit = |subscription: &mut Subscription| subscription.suspended = suspended;
        asked.seen.service.events.change(&subscription.id, None, edit).await?;
        log(&asked, if suspended { "subscription_suspended" } else { "subscription_resumed" }, &subscription.id);
        Ok(Reply::NoContent)
    })
}

fn log(asked: &WriteRequest<'_>, event: &str, subscription: &str) {
    tracing::info!(event, subscription, by = asked.seen.caller.name.as_ref(), "a client changed what it is told");
}

/// Where events can be sent: over HTTP or HTTPS, and without a password in the URI, which every reader would see.
fn destination_uri(value: &Value) -> Result<String, Bad> {
    let text = text(value)?;
    let url = Url::parse(&text).map_err(|_| Bad::Format)?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let fits = matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain;
    if fits { Ok(text) } else { Err(Bad::Format) }
}

/// Protocols that the schema has, and that are not spoken here.
fn is_elsewhere(protocol: &str) -> bool {
    ["SNMP", "Syslog", "SMTP"].iter().any(|begin| protocol.starts_with(begin))
}

fn not_delivered_by(protocol: &str) -> ErrorResponse {
    let mut message = Message::base("PropertyValueNotInList", &[&clip(protocol), "Protocol"]).about("Protocol");
    message.advise(&format!(
        "Events are not sent by {}: only by HTTP or HTTPS POST. Set Protocol to Redfish, and Destination to the URL of a listener; \
         for syslog, send the log of plugfish itself on.",
        clip(protocol)
    ));
    ErrorResponse::new(400, message)
}

fn only(value: &'static str) -> impl Fn(&Value) -> Result<(), Bad> {
    move |given| if text(given)? == value { Ok(()) } else { Err(Bad::NotInList) }
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> Result<T, Bad>) -> Result<Vec<T>, Bad> {
    value.as_array().ok_or(Bad::Type)?.iter().map(read).collect()
}

fn some_of(values: &'static [&'static str]) -> impl Fn(&Value) -> Result<Vec<String>, Bad> {
    move |given| {
        list(given, |one| text(one).and_then(|one| if values.contains(&&*one) { Ok(one) } else { Err(Bad::NotInList) }))
    }
}

/// `MessageIds`: of our registries, with or without a version.
fn message_ids(value: &Value) -> Result<Vec<String>, Bad> {
    let known = |id: &str| id.split_once('.').is_some_and(|(prefix, _)| REGISTRIES.contains(&prefix));
    list(value, |one| text(one).and_then(|one| if known(&one) { Ok(one) } else { Err(Bad::NotInList) }))
}

/// `OriginResources`: links to what is there.
fn origins(seen: &GetRequest<'_>, value: &Value) -> Result<Vec<String>, Bad> {
    list(value, |one| {
        let uri = text(one.get("@odata.id").ok_or(Bad::Type)?)?;
        if is_there(seen, &uri) { Ok(uri) } else { Err(Bad::NotInList) }
    })
}

/// Whether something is served at this URI: a thing of the service itself, or of a node that the caller sees.
fn is_there(seen: &GetRequest<'_>, uri: &str) -> bool {
    let Some((route, ids)) = super::route(uri).filter(|(route, _)| route.get.is_some()) else { return false };
    let of_node = [SYSTEMS, MANAGERS, CHASSIS].iter().any(|collection| route.path.starts_with(collection));
    match ids.as_slice() {
        [] => true,
        [node] => of_node && seen.find_node(node).is_some(),
        _ => false,
    }
}

/// `HttpHeaders`: `[{ "X-Key": "..." }]`.
fn http_headers(value: &Value) -> Result<Vec<(String, String)>, Bad> {
    let objects = list(value, |one| one.as_object().ok_or(Bad::Type).cloned())?;
    let pairs = objects.into_iter().flatten().map(|(name, value)| {
        let value = text(&value)?;
        let known = name.parse::<HeaderName>().map_err(|_| Bad::Format)?;
        value.parse::<HeaderValue>().map_err(|_| Bad::Format)?;
        if OWN_HEADERS.contains(&known.as_str()) { Err(Bad::NotInList) } else { Ok((name, value)) }
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_http_and_hold_no_password() {
        for good in ["http://192.0.2.1/x", "https://[2001:db8::1]:8443/events?a=1", "https://listener.example/"] {
            assert_eq!(destination_uri(&json!(good)), Ok(good.to_owned()));
        }
        for bad in ["", "/x", "ftp://192.0.2.1/", "http://", "https://u:p@192.0.2.1/", "http://u@h/", "http://h/#x"] {
            assert_eq!(destination_uri(&json!(bad)), Err(Bad::Format), "{bad}");
        }
        assert_eq!(destination_uri(&json!(1)), Err(Bad::Type));
    }

    #[test]
    fn headers_that_would_break_a_delivery_are_refused() {
        let read = |value: Value| http_headers(&value);
        assert_eq!(read(json!([{ "X-A": "1" }, { "X-B": "2" }])).unwrap().len(), 2);
        assert_eq!(read(json!([{ "Host": "x" }])), Err(Bad::NotInList));
        assert_eq!(read(json!([{ "X A": "x" }])), Err(Bad::Format));
        assert_eq!(read(json!([{ "X-A": "x\r\nX-B: y" }])), Err(Bad::Format));
        assert_eq!(read(json!([{ "X-A": 1 }])), Err(Bad::Type));
        assert_eq!(read(json!({ "X-A": "1" })), Err(Bad::Type));
    }
}
