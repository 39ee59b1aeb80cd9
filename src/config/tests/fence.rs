//! How old a state may be for a fence.

use super::nodes::check_nodes;

#[test]
fn a_state_may_not_be_too_old_between_two_polls() {
    let node = |keys: &str| format!("- {{ id: a, tapo: {{ address: h }}, {keys} }}");
    let says = |age: &str, interval: &str, least: &str| {
        format!(
            "3: nodes[0]: has a fence_age_max of {age}, and with a poll_interval of {interval} the state is older than that \
             between two polls; let it be at least {least}, or poll more often"
        )
    };
    check_nodes(&node("fence_age_max: 20s"), &[&says("20s", "15s", "24s")]);
    check_nodes(&node("fence_age_max: 1m, poll_interval: 1m"), &[&says("1m", "1m", "80s")]);
    check_nodes(&node("fence_age_max: 24s"), &[]);
    check_nodes(&node("fence_age_max: 12s, poll_interval: 5s"), &[]);
}
