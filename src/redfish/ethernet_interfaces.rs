//! Schema EthernetInterface: the machine's own network interfaces. Ironic makes its ports of them.

use serde_json::json;

use super::Seen;
use super::message::Fault;
use super::resource::{self, Resource};
use crate::node::view::NodeView;

/// `GET /redfish/v1/Systems/{id}/EthernetInterfaces`.
pub fn collection(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    if view.inventory.nics.is_empty() {
        return Err(seen.not_found());
    }
    let uri = format!("{}/EthernetInterfaces", resource::system(&view.id));
    let members = (0..view.inventory.nics.len()).map(|index| format!("{uri}/{index}"));
    Ok(Resource::collection(&uri, "EthernetInterfaceCollection", "Ethernet Interfaces", members))
}

/// `GET /redfish/v1/Systems/{id}/EthernetInterfaces/{index}`.
pub fn interface(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    let (index, mac) = seen.indexed(&view.inventory.nics)?;
    let properties = json!({
        "MACAddress": mac.to_string(),
        "PermanentMACAddress": mac.to_string(),
        "Status": resource::present(),
    });
    let uri = format!("{}/EthernetInterfaces/{index}", resource::system(&view.id));
    let name = format!("Network interface {index}");
    Ok(Resource::new(&uri, "EthernetInterface.v1_12_4", &index.to_string(), &name, properties))
}
