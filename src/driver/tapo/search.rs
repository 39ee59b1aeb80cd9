//! What is done when a plug's address does not answer: wake the plug there, or find it elsewhere by its MAC address.
//!
//! It knows discovery and nothing of sessions. A broadcast reaches every plug of the network past their gates, so there
//! is one such search for all connections of the daemon, and not often.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tracing::debug;

use super::connection::Timing;
use super::discovery::{Found, neighbourhood, search};
use crate::clock::{Clock, Mono};
use crate::driver::DeviceContext;
use crate::node::MacAddress;
use crate::recorder::Exchange;

/// How long the findings of a broadcast serve all plugs. After a power cut all plugs are away at once, and each of
/// their nodes would else make all the others answer.
const BROADCAST_REST: Duration = Duration::from_secs(10);

/// The broadcasts of the last [`BROADCAST_REST`].
#[derive(Default)]
pub(super) struct Searches(Mutex<HashMap<Option<SocketAddr>, LastSearch>>);

/// When a network was searched, which is the key, and what was found.
type LastSearch = (Mono, Arc<[Found]>);

/// A plug that does not answer where it is looked for.
pub(super) struct Lost<'a> {
    /// Where it was last.
    pub host: &'a str,
    /// Where it is by the configuration.
    pub home: &'a str,
    /// Its discovery port.
    pub port: u16,
    /// Its MAC address, if configured.
    pub mac: Option<MacAddress>,
    /// It is known not to be at `host`.
    pub elsewhere: bool,
}

/// Where a plug answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its new address; `None` when it is where it was.
    pub host: Option<String>,
    /// Its TCP port.
    pub port: Option<u16>,
}

impl Searches {
    /// Probes the plug where it was, which also wakes it, and then everywhere if its MAC address is known. Gives the
    /// plug time to wake up. `None` when it did not answer.
    pub(super) async fn seek(&self, context: &DeviceContext, lost: &Lost<'_>, timing: &Timing) -> Option<Seen> {
        let address = resolve(&context.clock, lost.host, lost.port, timing).await;
        if let (Some(address), false) = (address, lost.elsewhere) {
            let woken = context.clock.now().mono + timing.wake;
            let found = probe(context, &[address], timing, |found| found.sender == address.ip()).await;
            let at_home = |found: &&Found| found.sender == address.ip();
            let known = |found: &&Found| lost.mac.is_none() || found.mac.is_none() || found.mac == lost.mac;
            let here = found.iter().find(|found| at_home(found) && known(found));
            if here.is_some() || lost.mac.is_none() {
                context.clock.sleep_until(woken).await;
                return here.map(|here| Seen { host: None, port: here.port });
            }
        }
        let mac = lost.mac?;
        let mut targets = neighbourhood(address.map(|address| address.ip()), lost.port);
        if lost.home != lost.host {
            targets.extend(resolve(&context.clock, lost.home, lost.port, timing).await);
        }
        let all = self.broadcast(context, &targets, timing).await;
        let found = all.iter().find(|found| found.mac == Some(mac))?;
        let here = address.is_some_and(|address| [found.sender, found.address].contains(&address.ip()));
        Some(Seen { host: (!here).then(|| found.address.to_string()), port: found.port })
    }

    async fn broadcast(&self, context: &DeviceContext, targets: &[SocketAddr], timing: &Timing) -> Arc<[Found]> {
        // Held while searching, so that the others wait for these findings.
        let mut recent = self.0.lock().await;
        let now = context.clock.now().mono;
        recent.retain(|_, (at, _)| now.since(*at) < BROADCAST_REST);
        let key = targets.get(1).copied();
        if let Some((_, found)) = recent.get(&key) {
            return found.clone();
        }
        // To the end, since the others want to know of more plugs than the first one does.
        let found: Arc<[Found]> = probe(context, targets, timing, |_| false).await.into();
        recent.insert(key, (now, found.clone()));
        found
    }
}

/// One round of probes, through the gate and counted like every request.
async fn probe(
    context: &DeviceContext,
    targets: &[SocketAddr],
    timing: &Timing,
    enough: impl Fn(&Found) -> bool,
) -> Vec<Found> {
    let turn = context.gate.pass().await;
    let start = context.clock.now().mono;
    let result = search(&context.clock, targets, timing.wake, enough).await;
    let outcome = match &result {
        Ok(found) if found.is_empty() => "timeout",
        Ok(_) => "ok",
        Err(_) => "unreachable",
    };
    drop(turn);
    let now = context.clock.now();
    let took = now.mono.since(start);
    context.meters.request("discover", outcome, took);
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let error = result.as_ref().err().map(ToString::to_string);
    context.exchange_log.record(Exchange {
        at: now.wall,
        op: "discover",
        step: "probe",
        attempt: 1,
        took,
        outcome,
        status: None,
        sent: None,
        answered: result.as_ref().ok().map(|found| format!("{} plugs", found.len()).into()),
        remark: error.clone().map(Into::into),
    });
    debug!(node = %context.node, op = "discover", took_ms, outcome, error, "device request");
    result.unwrap_or_default()
}

async fn resolve(clock: &Clock, host: &str, port: u16, timing: &Timing) -> Option<SocketAddr> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, port));
    }
    let found = clock.limit(timing.deadlines.connect, tokio::net::lookup_host((host, port))).await?;
    found.ok()?.next()
}

#[cfg(test)]
mod tests;
