//! Schemas TaskService and TaskCollection: there are no tasks. Every request is done, or durable, when it is answered.
//! Clients read the list all the same, and an empty one means that none of their requests is in progress.

use serde_json::json;

use super::GetRequest;
use super::message::ErrorResponse;
use super::resource::{self, Resource, TASK_SERVICE, TASKS, link};
use super::schema;

/// `GET /redfish/v1/TaskService`.
pub(crate) fn service(_: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let properties = json!({
        "ServiceEnabled": true,
        "Status": resource::present(),
        "LifeCycleEventOnTaskStateChange": false,
        "Tasks": link(TASKS),
    });
    Ok(Resource::new(TASK_SERVICE, schema::TASK_SERVICE, "TaskService", "Task Service", properties))
}

/// `GET /redfish/v1/TaskService/Tasks`.
pub(crate) fn collection(_: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    Ok(Resource::collection(TASKS, schema::TASK_COLLECTION, "Tasks", std::iter::empty()))
}
