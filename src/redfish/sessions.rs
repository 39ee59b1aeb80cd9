//! Schemas SessionService and Session.

use serde_json::json;

use super::body::text;
use super::message::{Fault, Message};
use super::resource::{self, Resource, SESSION_SERVICE, SESSIONS, link};
use super::{Asked, Document, Pending, Reply, Seen};
use crate::account::SessionRecord;
use crate::http::auth::{AuthError, Privilege, SESSION_TIMEOUT};

/// `GET /redfish/v1/SessionService`.
pub fn service(_: &Seen<'_>) -> Result<Resource, Fault> {
    let properties = json!({
        "ServiceEnabled": true,
        "SessionTimeout": SESSION_TIMEOUT.as_secs(),
        "Status": resource::present(),
        "Sessions": link(SESSIONS),
    });
    Ok(Resource::new(SESSION_SERVICE, "SessionService.v1_2_0", "SessionService", "Session Service", properties))
}

/// `GET /redfish/v1/SessionService/Sessions`.
pub fn collection(seen: &Seen<'_>) -> Result<Resource, Fault> {
    let sessions = seen.service.access.sessions();
    let members = sessions.iter().map(|session| resource::session(&session.id));
    Ok(Resource::collection(SESSIONS, "SessionCollection", "Sessions", members))
}

fn find(seen: &Seen<'_>) -> Result<SessionRecord, Fault> {
    let id = seen.id(0);
    seen.service.access.sessions().into_iter().find(|session| session.id == id).ok_or_else(|| seen.not_found())
}

fn body(session: &SessionRecord) -> Resource {
    let properties = json!({
        "UserName": session.username,
        "CreatedTime": session.created.to_string(),
        "ClientOriginIPAddress": session.origin,
    });
    Resource::new(&resource::session(&session.id), "Session.v1_8_0", &session.id, "User Session", properties)
}

/// `GET /redfish/v1/SessionService/Sessions/{id}`.
pub fn session(seen: &Seen<'_>) -> Result<Resource, Fault> {
    find(seen).map(|session| body(&session))
}

/// `POST /redfish/v1/SessionService/Sessions`: log in.
pub fn create(asked: Asked<'_>) -> Pending<'_> {
    Box::pin(async move {
        let object = asked.body.object()?;
        let wanted = |name: &str| {
            let missing = || Fault::bad_request("PropertyMissing", &[name]);
            let value = object.get(name).filter(|value| !value.is_null()).ok_or_else(missing)?;
            // The value is not repeated: it may be a password.
            text(value).map_err(|_| Fault::bad_request("PropertyValueTypeError", &["(hidden)", name]))
        };
        let (name, password) = (wanted("UserName")?, wanted("Password")?);
        let access = &asked.seen.service.access;
        let caller = access.login(&name, &password).await.map_err(|error| match error {
            AuthError::Busy => Fault::later(None, std::time::Duration::from_secs(5)),
            AuthError::Missing | AuthError::Wrong => {
                let uri = resource::SESSIONS;
                Fault::new(401, Message::base("ResourceAtUriUnauthorized", &[uri, "wrong user name or password"]))
            }
        })?;
        let (record, token) = access.open_session(&caller, asked.origin.map(|origin| origin.to_string()));
        let location = resource::session(&record.id);
        let document = Document::Resource(body(&record));
        Ok(Reply::Created { location, document, token: Some(token) })
    })
}

/// `DELETE /redfish/v1/SessionService/Sessions/{id}`: log out. One's own with `ConfigureSelf`, anyone's with
/// `ConfigureManager`.
pub fn delete(asked: Asked<'_>) -> Pending<'_> {
    Box::pin(async move {
        let session = find(&asked.seen)?;
        let own = session.username == asked.seen.caller.name.as_ref();
        if !own && !asked.seen.caller.may(Privilege::ConfigureManager) {
            return Err(Fault::forbidden());
        }
        asked.seen.service.access.end_session(&session.id);
        Ok(Reply::NoContent)
    })
}
