//! Schema ManagerNetworkProtocol: the protocols and ports of this service. Every manager has the same.

use serde_json::json;

use super::message::ErrorResponse;
use super::resource::{self, NETWORK_PROTOCOL, Resource, at};
use super::schema;
use super::{GetRequest, certificates};

/// `GET /redfish/v1/Managers/{id}/NetworkProtocol`.
pub(crate) fn network_protocol(seen: &GetRequest<'_>) -> Result<Resource, ErrorResponse> {
    let node = seen.node()?;
    let tls = seen.service.certificate.is_some();
    let port = |is_used: bool| is_used.then_some(seen.service.port);
    let properties = json!({
        "HTTP": { "ProtocolEnabled": !tls, "Port": port(!tls) },
        "HTTPS": {
            "ProtocolEnabled": tls,
            "Port": port(tls),
            "Certificates": certificates::link_of(seen, &node.id),
        },
        "Status": resource::present(),
    });
    let uri = at(NETWORK_PROTOCOL, &[&node.id]);
    Ok(Resource::new(&uri, schema::MANAGER_NETWORK_PROTOCOL, "NetworkProtocol", "Manager Network Protocol", properties))
}
