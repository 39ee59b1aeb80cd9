//! Schemas SessionService and Session.

use secrecy::zeroize::Zeroizing;
use serde_json::{Map, json};

use super::accounts::matches;
use super::body::{Bad, Body, number, text};
use super::dispatch::not_let_in;
use super::message::{ErrorResponse, Message};
use super::resource::{self, Etag, Resource, SESSION_SERVICE, SESSIONS, link};
use super::schema;
use super::{Document, GetRequest, Pending, Reply, WriteRequest};
use crate::account::{AccessRules, SessionRecord};
use crate::http::auth::{AuthError, Privilege};

/// Shortest and longest `SessionTimeout` in seconds (schema SessionService).
const TIMEOUT_SECONDS: (u32, u32) = (30, 86_400);

/// Longest `Context` of a session: it is kept with each.
const CONTEXT_BYTES_MAX: usize = 256;

/// `GET /redfish/v1/SessionService`.
pub(crate) fn service(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    Ok(service_resource(&seen.service.access.rules()))
}

fn service_resource(rules: &AccessRules) -> Resource {
    let properties = json!({
        "Description": "Logins that last, and how long without being used.",
        "ServiceEnabled": true,
        "SessionTimeout": rules.session_seconds,
        "Status": resource::present(),
        "Sessions": link(SESSIONS),
    });
    Resource::new(SESSION_SERVICE, schema::SESSION_SERVICE, "SessionService", "Session Service", properties)
        .with_etag(Etag::OfAll(format!("\"{:x}\"", rules.session_seconds)))
}

/// `PATCH /redfish/v1/SessionService`: `SessionTimeout`.
pub(crate) fn patch(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let access = &asked.seen.service.access;
        let seen = access.rules();
        let current = service_resource(&seen);
        if !matches(asked.if_match, current.etag.as_ref().map_or("", Etag::text)) {
            return Err(ErrorResponse::precondition_failed());
        }
        let mut body = Body::of(asked.body.object()?, &current.body);
        let timeout = body.take("SessionTimeout", number(TIMEOUT_SECONDS.0, TIMEOUT_SECONDS.1));
        body.finish()?;
        let Some(session_seconds) = timeout else {
            return Err(ErrorResponse::new(400, Message::base("NoOperation", &[])));
        };
        let change = move |rules: AccessRules| AccessRules { session_seconds, ..rules };
        let rules = access.change_rules(seen, asked.if_match.is_some(), change).await?;
        let by = asked.seen.caller.name.as_ref();
        tracing::info!(event = "session_service_changed", by, session_seconds, "the timeout of sessions was changed");
        Ok(Reply::Document(Document::Resource(service_resource(&rules))))
    })
}

/// `GET /redfish/v1/SessionService/Sessions`: those that the caller may look at.
pub(crate) fn collection(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let sessions = seen.service.access.sessions();
    let members =
        sessions.iter().filter(|session| may_see(seen, session)).map(|session| resource::session(&session.id));
    Ok(Resource::collection(SESSIONS, schema::SESSION_COLLECTION, "Sessions", members))
}

fn may_see(seen: &GetRequest<'_>, session: &SessionRecord) -> bool {
    seen.is_own_or(&session.username, &[Privilege::ConfigureManager])
}

fn find(seen: &GetRequest<'_>) -> Result<SessionRecord, ErrorResponse> {
    let id = seen.id(0);
    let session = seen.service.access.sessions().into_iter().find(|session| session.id == id);
    let session = session.ok_or_else(|| seen.not_found())?;
    if may_see(seen, &session) { Ok(session) } else { Err(seen.withheld()) }
}

fn body(session: &SessionRecord) -> Resource {
    let properties = json!({
        "Description": "A login that lasts.",
        "UserName": session.username,
        "SessionType": "Redfish",
        "CreatedTime": session.created.to_string(),
        "ClientOriginIPAddress": session.origin,
        "Context": session.context,
    });
    Resource::new(&resource::session(&session.id), schema::SESSION, &session.id, "User Session", properties)
}

/// `GET /redfish/v1/SessionService/Sessions/{id}`: one's own with `ConfigureSelf`, anyone's with `ConfigureManager`.
pub(crate) fn session(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    find(seen).map(|session| body(&session))
}

/// `POST /redfish/v1/SessionService/Sessions`: log in.
pub(crate) fn create(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let object = asked.body.object()?;
        for name in ["UserName", "Password"] {
            if !object.contains_key(name) {
                return Err(ErrorResponse::bad_request("CreateFailedMissingReqProperties", &[name]));
            }
        }
        let nothing = Map::new();
        let mut given = Body::of(object, &nothing);
        let (name, password) = (given.take("UserName", text), given.secret("Password"));
        let context = given.take("Context", |value| {
            text(value).and_then(|text| if text.len() > CONTEXT_BYTES_MAX { Err(Bad::OutOfRange) } else { Ok(text) })
        });
        given.finish()?;
        let (name, password) = (name.unwrap_or_default(), Zeroizing::new(password.unwrap_or_default()));
        let access = &asked.seen.service.access;
        let session = access.log_in(&name, password, asked.origin, context).await.map_err(|error| match error {
            AuthError::Missing | AuthError::Wrong => {
                let uri = resource::SESSIONS;
                ErrorResponse::new(
                    401,
                    Message::base("ResourceAtUriUnauthorized", &[uri, "wrong user name or password"]),
                )
            }
            error => not_let_in(error),
        })?;
        let mut resource = body(&session.record);
        if session.caller.must_change_password {
            let message = Message::password_change_required(&resource::account(&session.caller.name));
            resource = resource.with("@Message.ExtendedInfo", json!([message.json()]));
        }
        let (location, token) = (resource::session(&session.record.id), Some(session.token));
        Ok(Reply::Created { location, document: Document::Resource(resource), token })
    })
}

/// `DELETE /redfish/v1/SessionService/Sessions/{id}`: log out. One's own with `ConfigureSelf`, anyone's with
/// `ConfigureManager`.
pub(crate) fn delete(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let session = find(&asked.seen)?;
        let ended = asked.seen.service.access.end_session(&session, asked.seen.caller, asked.origin).await;
        ended.map_err(|error| {
            let words = format!("{error}; the session has ended, and a crash may bring it back");
            let messages = vec![Message::ours("CannotWrite", &[&words]), Message::base("InsufficientStorage", &[])];
            ErrorResponse { status: 507, messages, retry_after: None, allow: None }
        })?;
        Ok(Reply::NoContent)
    })
}
