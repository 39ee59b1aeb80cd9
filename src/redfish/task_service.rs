//! Schemas TaskService and TaskCollection: there are none. Whatever is asked for is done, or durable, when it is answered.
//! Clients look for the list all the same, and an empty one tells them that nothing of theirs is under way.

use serde_json::json;

use super::Seen;
use super::message::Fault;
use super::resource::{self, Resource, TASK_SERVICE, TASKS, link};
use super::schema;

/// `GET /redfish/v1/TaskService`.
pub fn service(_: &Seen<'_>) -> Result<Resource, Fault> {
    let properties = json!({
        "ServiceEnabled": true,
        "Status": resource::present(),
        "LifeCycleEventOnTaskStateChange": false,
        "Tasks": link(TASKS),
    });
    Ok(Resource::new(TASK_SERVICE, schema::TASK_SERVICE, "TaskService", "Task Service", properties))
}

/// `GET /redfish/v1/TaskService/Tasks`.
pub fn collection(_: &Seen<'_>) -> Result<Resource, Fault> {
    Ok(Resource::collection(TASKS, schema::TASK_COLLECTION, "Tasks", std::iter::empty()))
}
