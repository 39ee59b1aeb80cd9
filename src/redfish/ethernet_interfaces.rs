//! Schema EthernetInterface: the machine's own network interfaces, of which Ironic makes its ports, and that of the device
//! that switches it, as its manager's.

use serde_json::json;

use super::Seen;
use super::message::Fault;
use super::resource::{self, MANAGERS, Resource};
use crate::node::MacAddress;
use crate::node::view::NodeView;

/// The interfaces of the owner that the path names, and the URI of their collection.
fn of(view: &NodeView, seen: &Seen<'_>) -> Result<(Vec<MacAddress>, String), Fault> {
    let (owner, macs) = if seen.path.starts_with(MANAGERS) {
        let own = view.about.as_ref().and_then(|about| about.mac);
        (resource::manager(&view.id), own.into_iter().collect())
    } else {
        (resource::system(&view.id), view.inventory.nics.clone())
    };
    if macs.is_empty() { Err(seen.not_found()) } else { Ok((macs, format!("{owner}/EthernetInterfaces"))) }
}

/// `GET .../EthernetInterfaces`.
pub fn collection(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    let (macs, uri) = of(view, seen)?;
    let members = (0..macs.len()).map(|index| format!("{uri}/{index}"));
    Ok(Resource::collection(&uri, "EthernetInterfaceCollection", "Ethernet Interfaces", members))
}

/// `GET .../EthernetInterfaces/{index}`.
pub fn interface(view: &NodeView, seen: &Seen<'_>) -> Result<Resource, Fault> {
    let (macs, uri) = of(view, seen)?;
    let (index, mac) = seen.indexed(&macs)?;
    let properties = json!({
        "MACAddress": mac.to_string(),
        "PermanentMACAddress": mac.to_string(),
        "Status": resource::present(),
    });
    let uri = format!("{uri}/{index}");
    let name = format!("Network interface {index}");
    Ok(Resource::new(&uri, "EthernetInterface.v1_12_4", &index.to_string(), &name, properties))
}
