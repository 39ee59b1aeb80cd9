//! Schema Storage: one for all drives of a machine, since nobody tells which controller they hang on. Ironic's inspection
//! finds the drives through it.

use serde_json::json;

use super::Seen;
use super::message::Fault;
use super::resource::{self, Resource, link};
use crate::node::view::NodeView;

/// The only member of the collection.
const ID: &str = "1";

fn uri(view: &NodeView, seen: &Seen<'_>) -> Result<String, Fault> {
    if view.inventory.drives.is_empty() {
        return Err(seen.not_found());
    }
    Ok(format!("{}/Storage", resource::system(&view.id)))
}

/// `GET /redfish/v1/Systems/{id}/Storage`.
pub fn collection(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    let uri = uri(view, seen)?;
    let members = std::iter::once(format!("{uri}/{ID}"));
    Ok(Resource::collection(&uri, "StorageCollection", "Storage", members))
}

/// `GET /redfish/v1/Systems/{id}/Storage/1`.
pub fn storage(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    let uri = uri(view, seen)?;
    if seen.id(1) != ID {
        return Err(seen.not_found());
    }
    let drives: Vec<_> =
        (0..view.inventory.drives.len()).map(|index| link(&resource::drive(&view.id, index))).collect();
    let properties = json!({
        "Drives@odata.count": drives.len(),
        "Drives": drives,
        "Status": resource::present(),
    });
    Ok(Resource::new(&format!("{uri}/{ID}"), "Storage.v1_21_0", ID, "Drives of the machine", properties))
}
