//! Schema AccountService: the login policy, and the links to accounts and roles.

use serde_json::json;

use super::accounts::matches;
use super::body::{Body, number};
use super::message::{ErrorResponse, Message};
use super::resource::{self, ACCOUNT_SERVICE, ACCOUNTS, Etag, ROLES, Resource, link};
use super::schema;
use super::{Document, GetRequest, Pending, Reply, WriteRequest};
use crate::account::AccessRules;
use crate::http::auth::{PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN};

/// Highest `AccountLockoutThreshold`: more wrong passwords than that are no mistakes.
const THRESHOLD_MAX: u32 = 100;

/// Longest lock, in seconds: a day. An administrator may end it.
const LOCK_SECONDS_MAX: u32 = 86_400;

/// `GET /redfish/v1/AccountService`.
pub(crate) fn service(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    Ok(resource(&seen.service.access.rules()))
}

fn resource(rules: &AccessRules) -> Resource {
    let properties = json!({
        "Description": "Who may log in, and how passwords are judged.",
        "ServiceEnabled": true,
        "Status": resource::present(),
        "HTTPBasicAuth": "Enabled",
        "LocalAccountAuth": "Enabled",
        "SupportedAccountTypes": ["Redfish"],
        "MinPasswordLength": PASSWORD_CHARS_MIN,
        "MaxPasswordLength": PASSWORD_CHARS_MAX,
        "AccountLockoutThreshold": rules.lockout_threshold,
        "AccountLockoutDuration": rules.lockout_seconds,
        "AccountLockoutCounterResetAfter": rules.lockout_reset_seconds,
        "Accounts": link(ACCOUNTS),
        "Roles": link(ROLES),
    });
    Resource::new(ACCOUNT_SERVICE, schema::ACCOUNT_SERVICE, "AccountService", "Account Service", properties)
        .with_etag(Etag::OfAll(etag(rules)))
}

/// Made of what a client can write, and of nothing else.
fn etag(rules: &AccessRules) -> String {
    format!("\"{:x}-{:x}-{:x}\"", rules.lockout_threshold, rules.lockout_seconds, rules.lockout_reset_seconds)
}

/// `PATCH /redfish/v1/AccountService`: when an account is locked.
pub(crate) fn patch(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let access = &asked.seen.service.access;
        let seen = access.rules();
        if !matches(asked.if_match, &etag(&seen)) {
            return Err(ErrorResponse::precondition_failed());
        }
        let current = resource(&seen).body;
        let mut body = Body::of(asked.body.object()?, &current);
        let threshold = body.take("AccountLockoutThreshold", number(0, THRESHOLD_MAX));
        let duration = body.take("AccountLockoutDuration", number(0, LOCK_SECONDS_MAX));
        let reset = body.take("AccountLockoutCounterResetAfter", number(1, LOCK_SECONDS_MAX));
        body.finish()?;
        if threshold.is_none() && duration.is_none() && reset.is_none() {
            return Err(ErrorResponse::new(400, Message::base("NoOperation", &[])));
        }
        let change = move |rules: AccessRules| AccessRules {
            lockout_threshold: threshold.unwrap_or(rules.lockout_threshold),
            lockout_seconds: duration.unwrap_or(rules.lockout_seconds),
            lockout_reset_seconds: reset.unwrap_or(rules.lockout_reset_seconds),
            ..rules
        };
        let rules = access.change_rules(seen, asked.if_match.is_some(), change).await?;
        let by = asked.seen.caller.name.as_ref();
        tracing::info!(event = "account_service_changed", by, ?rules, "the rules about wrong passwords were changed");
        Ok(Reply::Document(Document::Resource(resource(&rules))))
    })
}
