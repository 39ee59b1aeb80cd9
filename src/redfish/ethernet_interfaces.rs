//! Schema EthernetInterface: the machine's own network interfaces, from which Ironic creates its ports, and that of the
//! device that switches it, under its manager.

use serde_json::json;

use super::GetRequest;
use super::message::ErrorResponse;
use super::resource::{
    self, MANAGER_INTERFACE, MANAGER_INTERFACES, MANAGERS, Resource, SYSTEM_INTERFACE, SYSTEM_INTERFACES, at,
};
use super::schema;
use crate::node::MacAddress;
use crate::node::view::NodeView;

/// The URI of a collection of interfaces, and that of its members.
type Uris = [&'static str; 2];

/// The interfaces of the owner that the path names, and the URI of their collection.
fn of(view: &NodeView, seen: &GetRequest<'_>) -> Result<(Vec<MacAddress>, Uris), ErrorResponse> {
    let (macs, uris): (Vec<MacAddress>, Uris) = if seen.path.starts_with(MANAGERS) {
        let own = view.about.as_ref().and_then(|about| about.mac);
        (own.into_iter().collect(), [MANAGER_INTERFACES, MANAGER_INTERFACE])
    } else {
        (view.inventory.nics.clone(), [SYSTEM_INTERFACES, SYSTEM_INTERFACE])
    };
    if macs.is_empty() { Err(seen.not_found()) } else { Ok((macs, uris)) }
}

/// `GET .../EthernetInterfaces`.
pub(crate) fn collection(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let (macs, [all, one]) = of(view, seen)?;
    let members = (0..macs.len()).map(|index| at(one, &[&view.id, &index]));
    Ok(Resource::collection(
        &at(all, &[&view.id]),
        schema::ETHERNET_INTERFACE_COLLECTION,
        "Ethernet Interfaces",
        members,
    ))
}

/// `GET .../EthernetInterfaces/{index}`.
pub(crate) fn interface(view: &NodeView, seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let (macs, [_, one]) = of(view, seen)?;
    let (index, mac) = seen.indexed(&macs)?;
    let properties = json!({
        "MACAddress": mac.to_string(),
        "PermanentMACAddress": mac.to_string(),
        "Status": resource::present(),
    });
    let uri = at(one, &[&view.id, &index]);
    let name = format!("Network interface {index}");
    Ok(Resource::new(&uri, schema::ETHERNET_INTERFACE, &index.to_string(), &name, properties))
}
