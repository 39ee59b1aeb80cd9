//! The difference between two configurations of the nodes. Pure; the supervisor applies it.

use std::collections::BTreeMap;

use super::{NodeId, NodeSpec};

/// A node as the configuration wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSetup<D> {
    /// What the core is told.
    pub spec: NodeSpec,
    /// Its device. Equal ones are the same device, reached in the same way.
    pub device: D,
}

/// What has changed of a node that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// What the operator says of it: the session with its device lives on.
    Spec,
    /// Its device, or the way to it.
    Device,
}

/// What a reload does to the nodes, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetDiff {
    /// Nodes that only the new configuration has.
    pub added: Vec<NodeId>,
    /// Nodes that only the old configuration has.
    pub removed: Vec<NodeId>,
    /// Nodes that stay, and are not as they were.
    pub changed: Vec<(NodeId, Change)>,
}

impl FleetDiff {
    /// What has to be done to get from these nodes to those.
    pub fn between<'a, D: PartialEq + 'a>(
        before: impl IntoIterator<Item = &'a NodeSetup<D>>,
        after: impl IntoIterator<Item = &'a NodeSetup<D>>,
    ) -> FleetDiff {
        let by_id = |setup: &'a NodeSetup<D>| (&setup.spec.id, setup);
        let mut before: BTreeMap<_, _> = before.into_iter().map(by_id).collect();
        let after: BTreeMap<_, _> = after.into_iter().map(by_id).collect();
        let mut diff = FleetDiff::default();
        for (id, new) in after {
            match before.remove(id) {
                None => diff.added.push(id.clone()),
                Some(old) if old.device != new.device => diff.changed.push((id.clone(), Change::Device)),
                Some(old) if old.spec != new.spec => diff.changed.push((id.clone(), Change::Spec)),
                Some(_) => {}
            }
        }
        diff.removed = before.into_keys().cloned().collect();
        diff
    }
}
