//! Schema EthernetInterface: the machine's own network interfaces, as the operator lists them. Ironic makes its ports of them.

use serde_json::json;

use super::Seen;
use super::message::Fault;
use super::resource::{self, Resource};

/// `GET /redfish/v1/Systems/{id}/EthernetInterfaces`.
pub fn collection(seen: &Seen<'_>) -> Result<Resource, Fault> {
    let view = seen.node()?.view().clone();
    if view.inventory.nics.is_empty() {
        return Err(seen.not_found());
    }
    let uri = format!("{}/EthernetInterfaces", resource::system(&view.id));
    let members = (0..view.inventory.nics.len()).map(|index| format!("{uri}/{index}"));
    Ok(Resource::collection(&uri, "EthernetInterfaceCollection", "Ethernet Interfaces", members))
}

/// `GET /redfish/v1/Systems/{id}/EthernetInterfaces/{index}`.
pub fn interface(seen: &Seen<'_>) -> Result<Resource, Fault> {
    let view = seen.node()?.view().clone();
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
