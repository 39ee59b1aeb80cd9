//! What tells whether the machine of a node runs.

use std::time::Duration;

use super::nodes::check_nodes;
use super::*;
use crate::node::{AfterShutdown, PowerSource, ShutdownHook, Watts};

fn node(keys: &str) -> String {
    format!("- {{ id: a, tapo: {{ address: h }}, {keys} }}")
}

#[test]
fn a_measured_node_has_its_thresholds() {
    let file = format!(
        "defaults: {{ tapo: {{ username: u, password: p }} }}\nnodes:\n{}",
        node("power_state: measured, watts: { off_below: 2.2, on_above: 6, settle: 12s }")
    );
    let policy = config(&file).nodes[0].policy.clone();
    let watts = Watts { off_below: 2_200, on_above: 6_000, settle: Duration::from_secs(12) };
    assert_eq!((policy.source, policy.watts, policy.measured()), (PowerSource::Measured, Some(watts), Some(watts)));
    check_nodes(&node("watts: { off_below: 2.2, on_above: 6 }"), &[]);
    check_nodes(&node("power_state: relay"), &[]);
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    check_nodes(
        &node("power_state: measured"),
        &[
            "3: nodes[0].power_state: is measured, and there is no watts: { off_below: .., on_above: .. } to tell off from on; \
           `plugfish calibrate` finds both for this machine (docs/power-state.md)",
        ],
    );
    check_nodes(
        &node("watts: { off_below: 5.5, on_above: 6 }"),
        &["3: nodes[0].watts: off_below 5.5 W and on_above 6.0 W have to lie 1.0 W apart at least"],
    );
    check_nodes(
        &node("watts: { off_below: 0, on_above: 6 }"),
        &["3: nodes[0].watts.off_below: must be above 0 and at most 4000"],
    );
    check_nodes(
        &node("watts: { off_below: .nan, on_above: .inf }"),
        &[
            "3: nodes[0].watts.off_below: must be above 0 and at most 4000",
            "3: nodes[0].watts.on_above: must be above 0 and at most 4000",
        ],
    );
    check_nodes(
        &node("watts: { off_below: 2, on_above: 6, settle: 1s }"),
        &["3: nodes[0].watts.settle: must be from 4s to 10m, not 1s"],
    );
}

#[test]
fn it_is_for_outlets() {
    check_nodes(
        "- { id: a, amt: { address: h, password: p }, power_state: measured, watts: { off_below: 2, on_above: 6 } }",
        &[
            "3: nodes[0].power_state: is for a node behind a plug; the machine of this one says itself whether it runs",
            "3: nodes[0].watts: is for a node behind a plug; the machine of this one says itself whether it runs",
        ],
    );
}

#[test]
fn a_shutdown_is_asked_for_by_one_thing_and_told_by_the_draw() {
    let file = |keys: &str| {
        format!(
            "defaults: {{ tapo: {{ username: u, password: p }} }}\nnodes:\n{}",
            node(&format!("watts: {{ off_below: 2, on_above: 6 }}, {keys}"))
        )
    };
    let of = |keys: &str| config(&file(keys)).nodes[0].policy.graceful.clone().unwrap();
    let plain = of("graceful: { exec: [/usr/bin/ssh, host, poweroff] }");
    assert_eq!(plain.hook, ShutdownHook::Exec(vec!["/usr/bin/ssh".into(), "host".into(), "poweroff".into()]));
    assert_eq!((plain.deadline, plain.after), (Duration::from_secs(150), AfterShutdown::Cut));
    let hook = of("graceful: { http: { url: 'http://192.0.2.1:9000/off', token: t }, deadline: 300s, then: leave }");
    assert_eq!((hook.deadline, hook.after), (Duration::from_secs(300), AfterShutdown::Leave));
    let watts = "watts: { off_below: 2, on_above: 6 }";
    for (keys, problem) in [
        ("graceful: {}", "nodes[0].graceful: has neither exec nor http; one of them asks the machine"),
        (
            "graceful: { exec: [/bin/a], http: { url: 'http://h/' } }",
            "nodes[0].graceful: has both exec and http; one of them asks the machine",
        ),
        (
            "graceful: { exec: [] }",
            "nodes[0].graceful.exec: must begin with the absolute path of a program; there is no shell, and no search for it",
        ),
        (
            "graceful: { exec: [ssh, h] }",
            "nodes[0].graceful.exec: must begin with the absolute path of a program; there is no shell, and no search for it",
        ),
        (
            "graceful: { exec: [/bin/a], deadline: 10m }",
            "nodes[0].graceful.deadline: must be from 30s to 570s, not 10m",
        ),
        (
            "graceful: { exec: [/bin/a], then: halt }",
            "nodes[0].graceful.then: \"halt\" is not known here; it must be cut or leave",
        ),
    ] {
        check_nodes(&node(&format!("{watts}, {keys}")), &[&format!("3: {problem}")]);
    }
    check_nodes(
        &node("graceful: { exec: [/bin/a] }"),
        &[
            "3: nodes[0].graceful: has nothing that tells when the machine is off; add watts: { off_below: .., on_above: .. } \
         (docs/power-state.md)",
        ],
    );
}
