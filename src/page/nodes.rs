//! `GET /page/nodes`: all data of the page, in one read. Made from views only: nothing here waits for an actor, a disk
//! or a device.
//!
//! A client that passes the `cursor` of its last answer (`?after=CURSOR`) gets only the nodes that changed since, and
//! only the new points of their curves. After a restart the cursor belongs to another process, and the answer is
//! complete again.

use std::time::Duration;

use serde::Serialize;

use super::words::{Tone, tell};
use crate::clock::{Mono, Now};
use crate::http::auth::{Caller, Privilege};
use crate::node::entry::NodeEntry;
use crate::node::event::Event;
use crate::node::power_history::thousandth;
use crate::node::view::{Condition, NodeView};
use crate::node::{Power, PowerSource};
use crate::redfish::Service;

/// What happened lately is told for each node up to this many; the manager's log has more.
const EVENTS_MAX: usize = 8;

/// How far a cursor lies before its answer: a picture that is exchanged while the answer is made is in the next one. A step
/// of a machine takes microseconds.
const CURSOR_SLACK: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Document<'a> {
    /// Stands for this answer in `?after=`.
    cursor: String,
    /// All nodes are here, and not only those that were touched.
    whole: bool,
    /// How many nodes there are.
    total: usize,
    /// The service's wall clock, in milliseconds since 1970, as are all moments here.
    now: i64,
    /// Its monotonic clock in seconds, by which `draw` is told.
    clock: f64,
    version: &'static str,
    caller: Who<'a>,
    /// What is not as it should be, in sentences.
    notes: &'a [String],
    nodes: Vec<Node<'a>>,
}

#[derive(Serialize)]
struct Who<'a> {
    name: &'a str,
    role: &'static str,
    may_switch: bool,
}

#[derive(Serialize)]
struct Node<'a> {
    id: &'a str,
    /// URI of the node's System.
    system: String,
    /// What the operator or the device says of the machine.
    machine: Option<String>,
    device: &'a str,
    /// What the device says of itself.
    about: Option<String>,
    is_outlet: bool,
    power: Option<String>,
    /// The outlet is on, and the power is told by the draw.
    outlet_on: bool,
    since: Option<i64>,
    /// How long ago the power was confirmed.
    age_ms: Option<u64>,
    health: &'static str,
    conditions: Vec<Trouble<'a>>,
    /// Whether the device answers.
    up: bool,
    /// It is given up for now: commands are refused.
    away: bool,
    resets: Vec<&'static str>,
    command: Option<Command<'a>>,
    boot: Option<String>,
    watts: Option<f64>,
    energy_wh: Option<u64>,
    /// `[seconds, watts]`, the oldest first.
    draw: Vec<(f64, f64)>,
    events: Vec<Told>,
}

#[derive(Serialize)]
struct Trouble<'a> {
    severity: &'static str,
    text: &'a str,
    at: i64,
}

#[derive(Serialize)]
struct Command<'a> {
    reset: &'static str,
    by: &'a str,
    at: i64,
}

#[derive(Serialize)]
struct Told {
    /// Grows with time over all nodes.
    number: u64,
    at: i64,
    tone: Tone,
    text: String,
}

/// The document for this caller, as JSON.
pub(super) fn document(service: &Service, notes: &[String], run: &str, caller: &Caller, query: &str) -> Vec<u8> {
    let now = service.clock.now();
    let after = after(query, run);
    let table = service.fleet.table();
    let visible = || table.values().filter(|entry| caller.sees(entry.id.as_str()));
    let touched = visible().filter(|entry| after.is_none_or(|after| entry.published() >= after));
    let touched: Vec<_> = touched.map(|entry| (entry, entry.view().clone())).collect();
    let cursor = millis((now.mono - CURSOR_SLACK).since_start());
    let document = Document {
        cursor: format!("{run}.{cursor}"),
        whole: after.is_none(),
        total: visible().count(),
        now: now.wall.0,
        clock: now.mono.since_start().as_secs_f64(),
        version: env!("CARGO_PKG_VERSION"),
        caller: Who {
            name: &caller.name,
            role: caller.role.name(),
            may_switch: caller.may(Privilege::ConfigureComponents),
        },
        // What is wrong with the file is told with the names of its nodes.
        notes: if caller.scope.is_some() { &[] } else { notes },
        nodes: touched.iter().map(|(entry, view)| node(entry, view, now, after)).collect(),
    };
    // Numbers, texts and lists of them: this cannot fail.
    serde_json::to_vec(&document).unwrap_or_default()
}

/// The moment that `after=RUN.MILLISECONDS` names, if it is of this process.
fn after(query: &str, run: &str) -> Option<Mono> {
    let cursor = query.split('&').find_map(|pair| pair.strip_prefix("after="))?;
    let (of, at) = cursor.split_once('.')?;
    (of == run).then_some(())?;
    Some(Mono::after_start(Duration::from_millis(at.parse().ok()?)))
}

fn node<'a>(entry: &'a NodeEntry, view: &'a NodeView, now: Now, after: Option<Mono>) -> Node<'a> {
    let draw = entry.power_history();
    // A measurement has the time of the step after which it was published.
    let measured = draw.iter().filter(|one| after.is_none_or(|after| one.at >= after));
    let curve = measured.filter_map(|one| Some((tenths(one.at.since_start().as_secs_f64()), watts(one.milliwatts)?)));
    let (inventory, about) = (&view.inventory, view.about.as_ref());
    Node {
        id: view.id.as_str(),
        system: crate::redfish::resource::system(&view.id),
        machine: machine(inventory.manufacturer.as_deref(), inventory.model.as_deref()),
        device: &view.device,
        about: about.and_then(|about| words([&about.model, &about.protocol, &about.firmware].map(Option::as_deref))),
        is_outlet: view.is_outlet,
        power: view.power.map(|power| power.to_string()),
        outlet_on: view.source == PowerSource::Measured && view.relay == Some(Power::On),
        since: view.since.map(|at| at.0),
        age_ms: view.age(now).map(millis),
        health: view.health.name(),
        conditions: view.conditions.iter().map(trouble).collect(),
        up: view.connectivity.up(),
        away: view.connectivity.breaker_open || view.connectivity.held_until.is_some(),
        resets: view.resets.iter().map(|reset| reset.name()).collect(),
        command: view.command.as_ref().map(|command| Command {
            reset: command.reset.name(),
            by: &command.by,
            at: command.accepted.0,
        }),
        boot: boot(view),
        watts: view.milliwatts.and_then(watts),
        energy_wh: view.energy_wh,
        draw: curve.collect(),
        events: entry.happenings().iter().filter_map(|event| told(event)).take(EVENTS_MAX).collect(),
    }
}

fn trouble(condition: &Condition) -> Trouble<'_> {
    Trouble { severity: condition.severity.name(), text: &condition.text, at: condition.at.0 }
}

fn told(event: &Event) -> Option<Told> {
    let (tone, text) = tell(&event.what)?;
    Some(Told { number: event.number, at: event.at.0, tone, text })
}

/// The boot override, if there is one: `Pxe, Once`.
fn boot(view: &NodeView) -> Option<String> {
    let boot = &view.boot;
    (boot.enabled != crate::node::BootEnabled::Disabled)
        .then(|| format!("{}, {}", boot.target.name(), boot.enabled.name()))
}

/// Many a model's name begins with its manufacturer's.
fn machine(manufacturer: Option<&str>, model: Option<&str>) -> Option<String> {
    let twice = manufacturer.zip(model).is_some_and(|(manufacturer, model)| model.starts_with(manufacturer));
    words([manufacturer.filter(|_| !twice), model])
}

/// What is known of these, one after the other.
fn words<const N: usize>(parts: [Option<&str>; N]) -> Option<String> {
    let known: Vec<&str> = parts.into_iter().flatten().collect();
    (!known.is_empty()).then(|| known.join(" "))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn watts(milliwatts: u64) -> Option<f64> {
    thousandth(milliwatts).map(tenths)
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_another_process_stands_for_nothing() {
        let at = |ms| Some(Mono::after_start(Duration::from_millis(ms)));
        assert_eq!(after("after=ab.1500", "ab"), at(1500));
        assert_eq!(after("x=1&after=ab.0", "ab"), at(0));
        for other in ["", "after=", "after=ab", "after=cd.1500", "after=ab.-1", "after=ab.x", "before=ab.1"] {
            assert_eq!(after(other, "ab"), None, "{other}");
        }
    }

    #[test]
    fn a_manufacturer_is_named_once() {
        assert_eq!(machine(Some("HP"), Some("HP Mini")).as_deref(), Some("HP Mini"));
        assert_eq!(machine(Some("Dell"), Some("OptiPlex")).as_deref(), Some("Dell OptiPlex"));
        assert_eq!((machine(None, Some("X")).as_deref(), machine(None, None)), (Some("X"), None));
    }

    #[test]
    fn watts_are_told_in_tenths() {
        assert_eq!((watts(0), watts(37_249), watts(u64::MAX)), (Some(0.0), Some(37.2), None));
    }
}
