//! What has changed between two configurations of the nodes. Pure.

use std::collections::BTreeMap;

use super::{Config, NodeConfig};
use crate::node::NodeId;

/// What to do to get from one list of nodes to another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// To be started.
    pub added: Vec<NodeConfig>,
    /// To be stopped.
    pub removed: Vec<NodeId>,
    /// Their device is another one, or reached in another way: to be built anew.
    pub rewired: Vec<NodeConfig>,
    /// Only what is said of them or the times they live by have changed: their device stays as it is.
    pub described: Vec<NodeConfig>,
    /// Not to be touched.
    pub unchanged: Vec<NodeId>,
}

impl Diff {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.rewired.is_empty() && self.described.is_empty()
    }
}

/// Compares two lists of nodes. The order of the nodes does not matter.
pub fn diff(old: &[NodeConfig], new: &[NodeConfig]) -> Diff {
    let mut before: BTreeMap<&NodeId, &NodeConfig> = old.iter().map(|node| (&node.id, node)).collect();
    let mut diff = Diff::default();
    for node in new {
        match before.remove(&node.id) {
            None => diff.added.push(node.clone()),
            Some(old) if old == node => diff.unchanged.push(node.id.clone()),
            Some(old) if old.device == node.device => diff.described.push(node.clone()),
            Some(_) => diff.rewired.push(node.clone()),
        }
    }
    diff.removed = before.into_keys().cloned().collect();
    diff
}

/// The parts that have changed and are only read at the start, in the words of nodes.yaml.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (&old.server, &new.server);
    let parts = [
        ("server.listen", a.listen != b.listen),
        ("server.tls", a.tls != b.tls),
        ("server.auth", a.auth != b.auth),
        ("server.metrics", a.metrics != b.metrics),
        ("state_dir", old.state_dir != new.state_dir),
    ];
    parts.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::config::{DeviceConfig, TapoDevice};
    use crate::node::{Inventory, Rules};

    fn node(id: &str, password: &str) -> NodeConfig {
        let device = DeviceConfig::Tapo(TapoDevice {
            host: format!("{id}.example.org"),
            port: None,
            mac: None,
            outlet: None,
            username: "me".into(),
            password: password.into(),
        });
        NodeConfig { id: id.parse().unwrap(), inventory: Arc::default(), rules: Rules::default(), device }
    }

    #[test]
    fn equal_lists_in_any_order_have_no_difference() {
        let (a, b) = (node("a", "x"), node("b", "x"));
        let found = diff(&[a.clone(), b.clone()], &[b, a]);
        assert!(found.is_empty());
        assert_eq!(found.unchanged.len(), 2);
    }

    #[test]
    fn each_kind_of_change_is_told_apart() {
        let old = [node("same", "x"), node("gone", "x"), node("login", "x"), node("times", "x"), node("words", "x")];
        let mut times = node("times", "x");
        times.rules.poll_interval = Duration::from_secs(99);
        let mut words = node("words", "x");
        words.inventory = Arc::new(Inventory { model: Some("OptiPlex".into()), ..Inventory::default() });
        let mut both = node("login", "y");
        both.rules.poll_interval = Duration::from_secs(99);
        let new = [both.clone(), node("new", "x"), times.clone(), words.clone(), node("same", "x")];
        let found = diff(&old, &new);
        assert!(!found.is_empty());
        assert_eq!(found.added, [node("new", "x")]);
        assert_eq!(found.removed, ["gone".parse().unwrap()]);
        assert_eq!(found.rewired, [both]);
        assert_eq!(found.described, [times, words]);
        assert_eq!(found.unchanged, ["same".parse().unwrap()]);
    }
}
