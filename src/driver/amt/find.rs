//! AMT machines on the network, as `plugfish discover` shows them: asked one by one whether they listen, without a login.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::net::TcpStream;

use super::config::fingerprint_text;
use super::connection::Timing;
use super::probe::probe;
use super::{PLAIN_PORT, RATE_LIMIT, TLS_PORT};
use crate::clock::Clock;
use crate::driver::DeviceContext;
use crate::driver::find::{Finding, Search};
use crate::driver::http::{Deadlines, Tls};
use crate::node::NodeId;
use crate::node::rate_limit::RequestGate;
use crate::node::trust::DeviceTrust;
use crate::telemetry::Metrics;

/// Connections that are tried at a time: few enough for a small router's table.
const AT_ONCE: usize = 64;

/// How long an address may take to accept a connection. On a LAN it takes milliseconds; an engine that has to wake up
/// takes longer and is found at the second run.
const CONNECT: Duration = Duration::from_secs(1);

/// The times for a machine that has accepted a connection: no repeats, since no caller waits for this one machine.
const PROBE: Timing = Timing {
    deadlines: Deadlines { connect: CONNECT, exchange: Duration::from_secs(5) },
    pauses: [Duration::from_millis(100); 3],
    call: Duration::ZERO,
};

/// Looks for machines at every address.
pub(super) async fn find(search: &Search<'_>) -> Vec<Finding> {
    let metrics = Metrics::new();
    let asks = search.addresses.iter().map(|address| machine(search.clock, *address, &metrics));
    futures_util::stream::iter(asks).buffered(AT_ONCE).filter_map(std::future::ready).collect().await
}

/// The machine at this address, if there is one.
async fn machine(clock: &Clock, address: Ipv4Addr, metrics: &Arc<Metrics>) -> Option<Finding> {
    let listens = async |port| matches!(clock.limit(CONNECT, TcpStream::connect((address, port))).await, Some(Ok(_)));
    let (plain, tls) = futures_util::future::join(listens(PLAIN_PORT), listens(TLS_PORT)).await;
    if !plain && !tls {
        return None;
    }
    // It has no node yet; the name is for the logs.
    let node: NodeId = "discover".parse().ok()?;
    let gate = RequestGate::new(clock.clone(), RATE_LIMIT);
    let (meters, exchange_log) = (metrics.device(node.as_str()), Arc::default());
    let trust = Arc::new(DeviceTrust::volatile(node.clone(), clock.clone()));
    let context = DeviceContext { node, clock: clock.clone(), gate, meters, exchange_log, trust };
    let host = address.to_string();
    let ask = async |trust| probe(&host, None, trust, context.clone(), PROBE).await;
    let over_tls = if tls { Some(ask(Tls::Insecure).await) } else { None };
    // What is plain can be altered on its way, so it is only for machines whose TLS is of no use.
    let (found, key, note) = match over_tls {
        Some(Ok(found)) => {
            let pin = found.certificate.filter(|certificate| certificate.proved);
            let key = match pin {
                Some(pin) => format!(", tls: {{ pin: \"{}\" }}", fingerprint_text(pin.fingerprint)),
                None => ", tls: insecure".into(),
            };
            let note = if plain { "set up, plain and TLS" } else { "set up, TLS only" };
            (Some(found), key, note.to_owned())
        }
        Some(Err(fault)) if !plain => (None, ", tls: insecure".into(), format!("listens, but: {fault}")),
        refused => match (ask(Tls::Off).await, refused) {
            (Err(fault), _) => (None, String::new(), format!("listens, but: {fault}")),
            (Ok(found), Some(_)) => (Some(found), String::new(), "set up, TLS fails".into()),
            (Ok(found), _) => (Some(found), String::new(), "set up, plain only".into()),
        },
    };
    Some(Finding {
        address: address.into(),
        model: found.and_then(|found| found.version),
        mac: None,
        note,
        name: host.replace('.', "-"),
        keys: format!("address: \"{address}\"{key}"),
    })
}
