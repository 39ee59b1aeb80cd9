//! Documents beside Redfish, for plugfish's own command line client: all nodes in one read (`/status`), the flight
//! recorder (`/trace/{node}`), and what a device has proved about its identity (`/trust/{node}`). Like all other URLs
//! they are in the sitemap, which has their privileges.
//!
//! Their format is described in `docs/commands.md`: a property may be added, and none is renamed or removed.

use serde_json::{Value, json};

use super::message::ErrorResponse;
use super::{Document, GetRequest, Pending, Reply, WriteRequest};
use crate::node::PowerSource;
use crate::node::power_history::thousandth;
use crate::node::trust::reset_command;
use crate::node::view::{ConnectivityView, NodeView};
use crate::recorder::Exchange;

/// `GET /status`: every node.
pub(crate) fn all(seen: &GetRequest<'_>) -> Result<Document, ErrorResponse> {
    let table = seen.service.fleet.table();
    let mut text = b"{\"nodes\":[".to_vec();
    for (index, entry) in seen.visible(&table).enumerate() {
        if index > 0 {
            text.push(b',');
        }
        // A `Value` has only text keys, and a `Vec` takes everything: this cannot fail.
        let _ = serde_json::to_writer(&mut text, &node_of(&entry.view(), seen));
    }
    text.extend(b"]}");
    Ok(Document::Text(text))
}

/// `GET /status/{node}`: one of them.
pub(crate) fn one(seen: &GetRequest<'_>) -> Result<Document, ErrorResponse> {
    Ok(Document::Json(node_of(&seen.node()?.view(), seen)))
}

/// What is not known is null.
fn node_of(view: &NodeView, seen: &GetRequest<'_>) -> Value {
    let tenths = |seconds: f64| (seconds * 10.0).round() / 10.0;
    let age = view.age(seen.service.clock.now()).map(|age| tenths(age.as_secs_f64()));
    let watts = view.milliwatts.and_then(thousandth);
    let about = view.about.as_deref();
    json!({
        "node": view.id.as_str(),
        "power": view.power.map(|power| power.to_string()),
        "power_source": source(view),
        "outlet": view.relay.filter(|_| view.is_outlet).map(|relay| relay.to_string()),
        "since": view.since.map(|at| at.to_string()),
        "command": view.command.as_ref().map(|command| json!({
            "reset": command.reset.name(),
            "by": command.by,
            "accepted": command.accepted.to_string(),
        })),
        "watts": watts,
        "energy_wh": view.energy_wh,
        "seen": view.seen_at.map(|at| at.to_string()),
        "age_seconds": age,
        "health": view.health.name(),
        "device": {
            "name": &*view.device,
            "state": link_word(&view.connectivity),
            "failures": view.connectivity.failures,
            "error": view.connectivity.last_error,
            "model": about.and_then(|about| about.model.clone()),
            "firmware": about.and_then(|about| about.firmware.clone()),
            "protocol": about.and_then(|about| about.protocol.clone()),
        },
        "boot": {
            "enabled": view.boot.enabled.name(),
            "target": view.boot.target.name(),
            "mode": view.boot.mode.name(),
        },
        "resets": view.resets.iter().map(|reset| reset.name()).collect::<Vec<_>>(),
        "conditions": view.conditions.iter().map(|condition| json!({
            "key": condition.message,
            "severity": condition.severity.name(),
            "since": condition.at.to_string(),
            "text": condition.text,
        })).collect::<Vec<_>>(),
    })
}

/// What the shown power follows.
fn source(view: &NodeView) -> &'static str {
    match (view.is_outlet, view.source) {
        (false, _) => "machine",
        (true, PowerSource::Relay) => "relay",
        (true, PowerSource::Measured) => "measured",
    }
}

/// The state of the connection in a word.
fn link_word(link: &ConnectivityView) -> &'static str {
    match link {
        link if link.held_until.is_some() => "login-refused",
        link if link.breaker_open => "away",
        link if link.failures > 0 => "failing",
        _ => "up",
    }
}

/// `GET /trace/{node}`: the last exchanges with the device of a node, the oldest first.
pub(crate) fn trace(seen: &GetRequest<'_>) -> Result<Document, ErrorResponse> {
    let view = seen.node()?.view().clone();
    let dispatch = |dispatch: &Exchange| {
        json!({
            "at": dispatch.at.to_string(),
            "op": dispatch.op,
            "step": dispatch.step,
            "attempt": dispatch.attempt,
            "took_ms": u64::try_from(dispatch.took.as_millis()).unwrap_or(u64::MAX),
            "outcome": dispatch.outcome,
            "status": dispatch.status,
            "sent": dispatch.sent,
            "answered": dispatch.answered,
            "remark": dispatch.remark,
        })
    };
    let exchanges = seen.service.recorder.exchanges(view.id.as_str());
    Ok(Document::Json(json!({
        "node": view.id.as_str(),
        "device": &*view.device,
        "plugfish": env!("CARGO_PKG_VERSION"),
        "exchanges": exchanges.iter().map(dispatch).collect::<Vec<_>>(),
    })))
}

/// `GET /trust/{node}`: what the device of a node ever proved, and has to prove from then on.
pub(crate) fn trust(seen: &GetRequest<'_>) -> Result<Document, ErrorResponse> {
    let view = seen.node()?.view().clone();
    // A record of the device that the node had before binds the present one to nothing.
    let record = view.trust.as_deref().filter(|record| record.device == view.device);
    Ok(Document::Json(json!({
        "node": view.id.as_str(),
        "device": &*view.device,
        "since": record.map(|record| record.since.to_string()),
        "proved": record.map(|record| json!({
            "protocol": record.proven.protocol.as_ref().map(|protocol| protocol.name.as_str()),
            "proof": record.proven.proof.words(),
            "mac": record.proven.mac.map(|mac| mac.to_string()),
            "device_id": record.proven.device_id,
            "uuid": record.proven.uuid.map(|uuid| uuid.to_string()),
            "certificate": record.proven.certificate,
            "realm": record.proven.realm,
        })),
        "reset": reset_command(&view.id),
    })))
}

/// `DELETE /trust/{node}`: a person says that the device is another one, or was set up again.
pub(crate) fn forget_trust(asked: WriteRequest<'_>) -> Pending<'_> {
    Box::pin(async move {
        let node = asked.seen.node()?;
        let by = asked.seen.caller.name.to_string();
        asked.seen.service.fleet.reset_trust(&node, by).await?;
        Ok(Reply::NoContent)
    })
}
