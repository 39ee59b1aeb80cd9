//! Schema ManagerNetworkProtocol: where this service can be reached. Every manager is spoken for by it.

use serde_json::{Value, json};

use super::Seen;
use super::message::Fault;
use super::resource::{self, Resource};

/// Where the service listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// TCP port; the first one where there are several.
    pub port: u16,
    /// With TLS; plain HTTP without.
    pub tls: bool,
}

/// `GET /redfish/v1/Managers/{id}/NetworkProtocol`.
pub fn network_protocol(seen: &Seen<'_>) -> Result<Resource, Fault> {
    let node = seen.node()?;
    let Listening { port, tls } = seen.service.listening;
    let protocol = |is_used: bool| -> Value { json!({ "ProtocolEnabled": is_used, "Port": is_used.then_some(port) }) };
    let properties = json!({
        "HTTP": protocol(!tls),
        "HTTPS": protocol(tls),
        "Status": resource::present(),
    });
    let uri = format!("{}/NetworkProtocol", resource::manager(&node.id));
    Ok(Resource::new(&uri, "ManagerNetworkProtocol.v1_12_0", "NetworkProtocol", "Manager Network Protocol", properties))
}
