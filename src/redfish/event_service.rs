//! Schema EventService: the delivery settings, test events, and the stream of server-sent events.

use std::collections::HashMap;

use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Query;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};

use super::accounts::matches;
use super::body::{Body, number};
use super::body_cache::head;
use super::events::EventRefusal;
use super::events::record::{EVENT_TYPES, FORMAT, REGISTRIES, RESOURCE_TYPES};
use super::message::{ErrorResponse, Message};
use super::query::filter::Filter;
use super::resource::{self, EVENT_SERVICE, EVENT_STREAM, Etag, Resource, SUBMIT_TEST_EVENT, SUBSCRIPTIONS, link};
use super::schema;
use super::{Document, GetRequest, Pending, Reply, WriteRequest};

/// `DeliveryRetryAttempts`: beyond this, `RetryForever` is what is meant.
const ATTEMPTS_MAX: u32 = 1000;

/// `DeliveryRetryIntervalSeconds`: an hour.
const INTERVAL_MAX: u32 = 3600;

/// The longest body of a test event, as it will be sent: like those of real ones, with room for long texts.
const TEST_EVENT_BYTES_MAX: usize = 4096;

fn etag(seen: &GetRequest<'_>) -> String {
    format!("\"{:x}\"", seen.service.events.settings().change)
}

/// `GET /redfish/v1/EventService`.
pub(crate) fn service(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let settings = seen.service.events.settings();
    let properties = json!({
        "ServiceEnabled": true,
        "Status": resource::present(),
        "DeliveryRetryAttempts": settings.attempts,
        "DeliveryRetryIntervalSeconds": settings.interval_s,
        "EventFormatTypes": [FORMAT],
        "RegistryPrefixes": REGISTRIES,
        "ResourceTypes": RESOURCE_TYPES,
        "Severities": SEVERITIES,
        "ExcludeMessageId": false,
        "ExcludeRegistryPrefix": false,
        "IncludeOriginOfConditionSupported": false,
        "OriginResourcesSupported": true,
        "SubordinateResourcesSupported": true,
        "ServerSentEventUri": EVENT_STREAM,
        "SSEFilterPropertiesSupported": {
            "EventFormatType": true,
            "MessageId": true,
            "MetricReportDefinition": false,
            "OriginResource": true,
            "RegistryPrefix": true,
            "ResourceType": true,
            "SubordinateResources": false,
        },
        "Subscriptions": link(SUBSCRIPTIONS),
        "Actions": {
            "#EventService.SubmitTestEvent": {
                "target": SUBMIT_TEST_EVENT,
                "EventType@Redfish.AllowableValues": EVENT_TYPES,
                "MessageSeverity@Redfish.AllowableValues": SEVERITIES,
            },
        },
    });
    let resource = Resource::new(EVENT_SERVICE, schema::EVENT_SERVICE, "EventService", "Event Service", properties);
    Ok(resource.with_etag(Etag::OfAll(etag(seen))))
}

/// `Severities`.
pub(crate) const SEVERITIES: [&str; 3] = ["OK", "Warning", "Critical"];

/// `PATCH /redfish/v1/EventService`.
pub(crate) fn patch(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let events = &asked.seen.service.events;
        let (settings, current) = (events.settings(), service(&asked.seen)?);
        if !matches(asked.if_match, &etag(&asked.seen)) {
            return Err(ErrorResponse::precondition_failed());
        }
        let mut body = Body::of(asked.body.object()?, &current.body);
        let attempts = body.take("DeliveryRetryAttempts", number(0, ATTEMPTS_MAX));
        let interval = body.take("DeliveryRetryIntervalSeconds", number(1, INTERVAL_MAX));
        let left_out = body.finish_in_part(attempts.is_some() || interval.is_some())?;
        let at = asked.if_match.filter(|tags| tags.trim() != "*").map(|_| settings.change);
        let edit = |settings: &mut super::events::subscription::Settings| {
            settings.attempts = attempts.unwrap_or(settings.attempts);
            settings.interval_s = interval.unwrap_or(settings.interval_s);
        };
        events.set(at, edit).await?;
        Ok(Reply::Document(Document::Resource(service(&asked.seen)?.with_remarks(&left_out))))
    })
}

/// `POST .../Actions/EventService.SubmitTestEvent`: an event with the parameters as its properties. Without any, it is the
/// TestMessage of the ResourceEvent registry.
pub(crate) fn submit_test_event(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let now = asked.seen.service.clock.now().wall;
        let mut event = test_event(asked.body.object()?)?;
        event.entry("EventTimestamp").or_insert_with(|| json!(now.to_string()));
        if Value::Object(event.clone()).to_string().len() > TEST_EVENT_BYTES_MAX {
            return Err(ErrorResponse::new(413, Message::base("PayloadTooLarge", &[])));
        }
        asked.seen.service.events.publish_free(event);
        Ok(Reply::NoContent)
    })
}

/// Reads the parameters of a test event into its record.
fn test_event(parameters: &Map<String, Value>) -> Result<Map<String, Value>, ErrorResponse> {
    const ACTION: &str = "EventService.SubmitTestEvent";
    let mut event = Map::new();
    for (name, value) in parameters {
        let (fits, in_list) = match name.as_str() {
            "EventId" | "EventTimestamp" | "Message" | "MessageId" => (value.is_string(), true),
            "EventGroupId" => (value.is_u64(), true),
            "EventType" => (value.is_string(), value.as_str().is_some_and(|text| EVENT_TYPES.contains(&text))),
            "MessageSeverity" | "Severity" => {
                (value.is_string(), value.as_str().is_some_and(|text| SEVERITIES.contains(&text)))
            }
            "MessageArgs" => (value.as_array().is_some_and(|args| args.iter().all(Value::is_string)), true),
            "OriginOfCondition" => (value.is_string(), true),
            name if name.starts_with('@') => continue,
            name => return Err(ErrorResponse::bad_request("ActionParameterUnknown", &[ACTION, name])),
        };
        let args = [super::body::clip(&value.to_string()), name.clone(), ACTION.into()];
        let args = args.each_ref().map(String::as_str);
        if !fits {
            return Err(ErrorResponse::bad_request("ActionParameterValueTypeError", &args));
        }
        if !in_list {
            return Err(ErrorResponse::bad_request("ActionParameterValueNotInList", &args));
        }
        let value = if name == "OriginOfCondition" { json!({ "@odata.id": value }) } else { value.clone() };
        event.insert(name.clone(), value);
    }
    let standard = Message::event("TestMessage", &[]);
    if !event.contains_key("MessageId") {
        event.entry("Message").or_insert_with(|| json!(standard.text()));
    }
    event.entry("MessageId").or_insert_with(|| json!(standard.id()));
    event.entry("EventType").or_insert_with(|| json!("Alert"));
    let severity = event.get("Severity").cloned().unwrap_or_else(|| json!("OK"));
    event.entry("MessageSeverity").or_insert(severity);
    event.entry("OriginOfCondition").or_insert_with(|| link(EVENT_SERVICE));
    Ok(event)
}

/// `GET /redfish/v1/EventService/SSE`: events as they happen, until the client closes the connection.
pub(crate) fn stream(seen: &GetRequest<'_>, request: &HttpRequest) -> Result<HttpResponse, ErrorResponse> {
    let mut response = head(StatusCode::OK);
    response.insert_header((CONTENT_TYPE, HeaderValue::from_static("text/event-stream;charset=utf-8")));
    let filter = filter(request.query_string())?;
    if request.method() == Method::HEAD {
        return Ok(response.finish());
    }
    let last = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let stream = seen.service.events.open_stream(seen.service.access.pass(seen.caller), filter, last)?;
    Ok(response.streaming(stream))
}

fn filter(query: &str) -> Result<Option<Filter>, ErrorResponse> {
    let wrong = |text: &str| {
        ErrorResponse::bad_request("QueryParameterValueFormatError", &[&super::body::clip(text), "$filter"])
    };
    let query = Query::<HashMap<String, String>>::from_query(query).map_err(|_| wrong(query))?.into_inner();
    if let Some(other) = query.keys().find(|name| name.starts_with('$') && *name != "$filter") {
        return Err(ErrorResponse::new(501, Message::base("QueryParameterUnsupported", &[other])));
    }
    let Some(text) = query.get("$filter") else { return Ok(None) };
    Filter::parse(text).map(Some).map_err(|advice| {
        let mut fault = wrong(text);
        fault.messages.iter_mut().for_each(|message| message.advise(&advice));
        fault
    })
}

impl From<EventRefusal> for ErrorResponse {
    fn from(refusal: EventRefusal) -> ErrorResponse {
        match refusal {
            EventRefusal::Full => ErrorResponse::new(503, Message::base("EventSubscriptionLimitExceeded", &[])),
            EventRefusal::Changed => ErrorResponse::precondition_failed(),
            EventRefusal::Gone => ErrorResponse::not_found(SUBSCRIPTIONS),
            EventRefusal::CannotWrite(_) => {
                let ours = Message::ours("CannotWrite", &[&refusal.to_string()]);
                let messages = vec![ours, Message::base("InsufficientStorage", &[])];
                ErrorResponse { messages, ..ErrorResponse::new(507, Message::base("InsufficientStorage", &[])) }
            }
        }
    }
}
