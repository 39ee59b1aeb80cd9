//! Schema ManagerAccount: the accounts, managed by administrators, and the password of each, changed by its owner.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::body::{Body, choice, flag, text};
use super::dispatch::not_let_in;
use super::message::{ErrorResponse, Message};
use super::resource::{self, ACCOUNTS, Etag, Resource, link};
use super::schema;
use super::{Document, GetRequest, Pending, Reply, WriteRequest};
use crate::account::{AccountRecord, NAME_CHARS_MAX, Role, account_id, is_plain_name};
use crate::clock::Wall;
use crate::http::auth::{AccountChange, AccountRefusal, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, Privilege};

/// `GET /redfish/v1/AccountService/Accounts`: those that the caller may look at.
pub(crate) fn collection(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let accounts = seen.service.access.accounts();
    let members = accounts.iter().map(|account| account.username.as_str()).filter(|name| may_read(seen, name));
    Ok(Resource::collection(ACCOUNTS, schema::MANAGER_ACCOUNT_COLLECTION, "Accounts", members.map(resource::account)))
}

fn may_read(seen: &GetRequest<'_>, name: &str) -> bool {
    seen.is_own_or(name, &[Privilege::ConfigureUsers, Privilege::ConfigureManager])
}

/// The account that the path names, if the caller may look at it; to others it is not told whether there is one.
fn find(seen: &GetRequest<'_>) -> Result<Arc<AccountRecord>, ErrorResponse> {
    let account = seen.service.access.account(seen.id(0));
    let name = account.as_ref().map_or("", |account| account.username.as_str());
    if !may_read(seen, name) {
        return Err(seen.withheld());
    }
    account.ok_or_else(|| seen.not_found())
}

fn resource(account: &AccountRecord, seen: &GetRequest<'_>) -> Resource {
    let locked = seen.service.access.is_locked(&account.username);
    let properties = json!({
        "Description": "User Account",
        "UserName": account.username,
        "RoleId": account.role.name(),
        "Enabled": account.enabled,
        "Locked": locked,
        "PasswordChangeRequired": account.password_change_required,
        "AccountTypes": ["Redfish"],
        "Links": { "Role": link(&resource::role(account.role)) },
    });
    let (uri, id) = (resource::account(&account.username), account_id(&account.username));
    Resource::new(&uri, schema::MANAGER_ACCOUNT, &id, "User Account", properties)
        .with("Password", Value::Null)
        .with_etag(Etag::OfAll(etag(account, locked)))
}

/// Never the same again: a new account with an old name was made at another time.
fn etag(account: &AccountRecord, locked: bool) -> String {
    format!("\"{:x}-{:x}{}\"", account.created.0, account.change, if locked { "-locked" } else { "" })
}

/// Whether an `If-Match` header lets a resource with this ETag be changed.
pub(crate) fn matches(if_match: Option<&str>, etag: &str) -> bool {
    if_match.is_none_or(|tags| tags.split(',').map(str::trim).any(|tag| tag == "*" || tag == etag))
}

/// `GET /redfish/v1/AccountService/Accounts/{id}`.
pub(crate) fn account(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    Ok(resource(&*find(seen)?, seen))
}

/// `POST /redfish/v1/AccountService/Accounts`.
pub(crate) fn create(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let seen = &asked.seen;
        let object = asked.body.object()?;
        for name in ["UserName", "Password", "RoleId"] {
            if !object.contains_key(name) {
                return Err(ErrorResponse::bad_request("CreateFailedMissingReqProperties", &[name]));
            }
        }
        let nothing = Map::new();
        let mut body = Body::of(object, &nothing);
        let (username, password) = (body.take("UserName", text), body.secret("Password"));
        let role = body.take("RoleId", choice(&Role::ALL, Role::name));
        let (enabled, must_change) = (body.take("Enabled", flag), body.take("PasswordChangeRequired", flag));
        body.take("Locked", unlocked);
        body.take("AccountTypes", account_types);
        body.finish()?;
        let (Some(username), Some(password), Some(role)) = (username, password, role) else {
            return Err(ErrorResponse::bad_request("UnrecognizedRequestBody", &[]));
        };
        if !is_plain_name(&username) {
            let advice = format!("Choose a name of 1 to {NAME_CHARS_MAX} letters, digits and the characters . _ - @");
            return Err(bad_format(&super::body::clip(&username), "UserName", &advice));
        }
        let account = AccountRecord {
            username,
            password_hash: hashed(seen, password).await?,
            role,
            enabled: enabled.unwrap_or(true),
            change: 0,
            password_change_required: must_change.unwrap_or(false),
            created: Wall::default(),
            scope: None,
        };
        let name = account.username.clone();
        let account = seen.service.access.add_account(account).await.map_err(|refusal| match refusal {
            AccountRefusal::Exists => {
                ErrorResponse::new(409, Message::base("ResourceAlreadyExists", &["ManagerAccount", "UserName", &name]))
            }
            refusal => refusal.into(),
        })?;
        log(&asked, "account_made", &name);
        let document = Document::Resource(resource(&account, seen));
        Ok(Reply::Created { location: resource::account(&name), document, token: None })
    })
}

/// `PATCH /redfish/v1/AccountService/Accounts/{id}`: all their own password, administrators the rest.
pub(crate) fn patch(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let seen = &asked.seen;
        let account = find(seen)?;
        let current = resource(&account, seen);
        if !matches(asked.if_match, current.etag.as_ref().map_or("", Etag::text)) {
            return Err(ErrorResponse::precondition_failed());
        }
        let mut body = Body::of(asked.body.object()?, &current.body);
        let password = body.secret("Password");
        let change = AccountChange {
            password_hash: None,
            role: body.take("RoleId", choice(&Role::ALL, Role::name)),
            enabled: body.take("Enabled", flag),
            unlock: body.take("Locked", unlocked).is_some(),
            password_change_required: body.take("PasswordChangeRequired", flag),
        };
        body.finish()?;
        let AccountChange { role, enabled, unlock, password_change_required: must_change, .. } = change;
        let more = role.is_some() || enabled.is_some() || unlock || must_change.is_some();
        if more && seen.caller.must_change_password {
            return Err(ErrorResponse::password_change_required(&resource::account(&seen.caller.name)));
        }
        if more && !seen.caller.may(Privilege::ConfigureUsers) {
            return Err(ErrorResponse::forbidden());
        }
        let password_hash = match password {
            Some(password) => Some(hashed(seen, password).await?),
            None if more => None,
            None => return Err(ErrorResponse::new(400, Message::base("NoOperation", &[]))),
        };
        let change = AccountChange { password_hash, ..change };
        let (exact, keep) = (asked.if_match.is_some_and(|tags| tags.trim() != "*"), seen.caller.session.clone());
        let changed = seen.service.access.change_account(account, exact, change, keep).await;
        let changed = changed.map_err(|refusal| match refusal {
            AccountRefusal::LastAdministrator => {
                let (name, value) = match role {
                    Some(role) if role != Role::Administrator => ("RoleId", role.name()),
                    _ => ("Enabled", "false"),
                };
                let args = [name, value, seen.path];
                let mut message = Message::base("PropertyValueResourceConflict", &args).about(name);
                message.advise(&sentence(&refusal));
                ErrorResponse::new(409, message)
            }
            refusal => refusal.into(),
        })?;
        log(&asked, "account_changed", &changed.username);
        Ok(Reply::Document(Document::Resource(resource(&changed, seen))))
    })
}

/// `DELETE /redfish/v1/AccountService/Accounts/{id}`.
pub(crate) fn delete(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let seen = &asked.seen;
        let account = find(seen)?;
        let locked = seen.service.access.is_locked(&account.username);
        if !matches(asked.if_match, &etag(&account, locked)) {
            return Err(ErrorResponse::precondition_failed());
        }
        let exact = asked.if_match.is_some_and(|tags| tags.trim() != "*");
        seen.service.access.delete_account(account.clone(), exact).await?;
        seen.service.events.end_owned(&account.username).await;
        log(&asked, "account_deleted", &account.username);
        Ok(Reply::NoContent)
    })
}

fn log(asked: &WriteRequest<'_>, event: &str, account: &str) {
    tracing::info!(event, account, by = asked.seen.caller.name.as_ref(), "an account was made, changed or deleted");
}

/// Looks at a new password, and hashes it off this thread.
async fn hashed(seen: &GetRequest<'_>, password: String) -> Result<String, ErrorResponse> {
    let password = secrecy::zeroize::Zeroizing::new(password);
    if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&password.chars().count()) {
        let advice = format!("Choose a password of {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters.");
        return Err(bad_format("(hidden)", "Password", &advice));
    }
    seen.service.access.hash(password).await.map_err(not_let_in)
}

fn bad_format(value: &str, property: &str, advice: &str) -> ErrorResponse {
    let mut message = Message::base("PropertyValueFormatError", &[value, property]).about(property);
    message.advise(advice);
    ErrorResponse::new(400, message)
}

/// `Locked`: only the service locks, and clients end it.
fn unlocked(value: &Value) -> Result<(), super::body::Bad> {
    if flag(value)? { Err(super::body::Bad::NotInList) } else { Ok(()) }
}

/// `AccountTypes`: there is only one.
fn account_types(value: &Value) -> Result<(), super::body::Bad> {
    if *value == json!(["Redfish"]) { Ok(()) } else { Err(super::body::Bad::NotInList) }
}

/// The words of a refusal as a sentence.
fn sentence(refusal: &AccountRefusal) -> String {
    let words = refusal.to_string();
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

impl From<AccountRefusal> for ErrorResponse {
    fn from(refusal: AccountRefusal) -> ErrorResponse {
        let said = |status, mut message: Message| {
            message.advise(&sentence(&refusal));
            ErrorResponse::new(status, message)
        };
        match &refusal {
            AccountRefusal::Changed => ErrorResponse::precondition_failed(),
            AccountRefusal::Gone => said(404, Message::base("ResourceMissingAtURI", &[ACCOUNTS])),
            AccountRefusal::Exists | AccountRefusal::Full => {
                said(400, Message::base("CreateLimitReachedForResource", &[]))
            }
            AccountRefusal::LastAdministrator => said(409, Message::base("ResourceCannotBeDeleted", &[])),
            AccountRefusal::ResetAfterLock => {
                let args = ["AccountLockoutCounterResetAfter", "AccountLockoutDuration"];
                said(400, Message::base("PropertyValueConflict", &args).about(args[0]))
            }
            AccountRefusal::CannotWrite(_) => {
                let messages = vec![
                    Message::ours("CannotWrite", &[&refusal.to_string()]),
                    Message::base("InsufficientStorage", &[]),
                ];
                ErrorResponse { messages, ..ErrorResponse::new(507, Message::base("InsufficientStorage", &[])) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_issued_matches() {
        let tag = "\"19f-2\"";
        for good in [None, Some("*"), Some(tag), Some("\"1\", \"19f-2\"")] {
            assert!(matches(good, tag), "{good:?}");
        }
        for bad in ["", "\"19f-2\"foobar", "W/\"19f-2\"", "19f-2", "\"19f-3\""] {
            assert!(!matches(Some(bad), tag), "{bad}");
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        let fault = ErrorResponse::from(AccountRefusal::LastAdministrator);
        assert_eq!(fault.status, 409);
        let advice = fault.body()["error"]["@Message.ExtendedInfo"][0]["Resolution"].as_str().unwrap().to_owned();
        assert!(advice.starts_with("It is the last enabled") && advice.ends_with("first."), "{advice}");
    }
}
