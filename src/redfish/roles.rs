//! Schema Role: the three standard roles. They cannot be changed, and there are no others.

use serde_json::json;

use super::GetRequest;
use super::message::ErrorResponse;
use super::resource::{self, ROLES, Resource};
use super::schema;
use crate::account::Role;
use crate::http::auth::Privilege;

/// `GET /redfish/v1/AccountService/Roles`.
pub(crate) fn collection(_: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    Ok(Resource::collection(ROLES, schema::ROLE_COLLECTION, "Roles", Role::ALL.into_iter().map(resource::role)))
}

/// `GET /redfish/v1/AccountService/Roles/{id}`.
pub(crate) fn role(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let role: Role = seen.id(0).parse().map_err(|_| seen.not_found())?;
    let privileges: Vec<&str> = Privilege::of(role).iter().map(|privilege| privilege.name()).collect();
    let properties = json!({
        "Description": match role {
            Role::Administrator => "May do everything, accounts included.",
            Role::Operator => "May switch nodes and set their boot source.",
            Role::ReadOnly => "May look only.",
        },
        "RoleId": role.name(),
        "IsPredefined": true,
        "AssignedPrivileges": privileges,
    });
    Ok(Resource::new(&resource::role(role), schema::ROLE, role.name(), &format!("{role} Role"), properties))
}
