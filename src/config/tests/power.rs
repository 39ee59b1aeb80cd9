//! What tells whether the machine of a node runs.

use std::time::Duration;

use super::nodes::check_nodes;
use super::*;
use crate::node::{PowerSource, Watts};

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
           measure both for this machine (docs/power-state.md)",
        ],
    );
    check_nodes(
        &node("watts: { off_below: 5.5, on_above: 6 }"),
        &[
            "3: nodes[0].watts: has an off_below of 5.5 and an on_above of 6: they have to lie 1 W apart at least; a machine \
           whose draw when off and when idle is closer than that cannot be told by it",
        ],
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
