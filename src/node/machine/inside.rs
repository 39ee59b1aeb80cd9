//! What a device found inside the machine, a part at a time, and what that makes of the node's inventory.

use std::sync::Arc;

use super::seen::Seen;
use super::{Effect, Machine};
use crate::clock::Mono;
use crate::node::device::Findings;
use crate::node::event::Happening;
use crate::node::{Inventory, NodeSpec};

impl Machine {
    /// One more corner of the machine is known.
    pub(super) fn studied(&mut self, findings: Findings, now: Mono, out: &mut Vec<Effect>) {
        self.study_at = findings.more.then_some(now);
        self.event_log = findings.event_log.or(self.event_log.take());
        self.audit_log = findings.audit_log.or(self.audit_log.take());
        let (Some(mut found), Some(seen)) = (findings.inventory, self.seen.as_mut()) else { return };
        if findings.partial
            && let Some(known) = &seen.inventory
        {
            found = Arc::new(found.over(known));
        }
        if seen.inventory.as_ref() == Some(&found) {
            return;
        }
        // What was told before, with another part of the inventory, is not told again.
        let told = seen.inventory.as_ref().map(|known| self.spec.inventory.differences(known)).unwrap_or_default();
        let mut differences = self.spec.inventory.differences(&found);
        differences.retain(|difference| !told.contains(difference));
        if !differences.is_empty() {
            let text =
                format!("nodes.yaml and the machine differ, and nodes.yaml is shown: {}", differences.join(", "));
            out.push(Effect::Tell(Happening::Noticed { text }));
        }
        seen.inventory = Some(found);
        out.push(Effect::NoteSeen(seen.record()));
        self.inventory = known_inventory(&self.spec, self.seen.as_ref());
    }
}

/// What is known of the inside of a node.
pub(super) fn known_inventory(spec: &NodeSpec, seen: Option<&Seen>) -> Arc<Inventory> {
    match seen.and_then(|seen| seen.inventory.as_ref()) {
        Some(found) => Arc::new(spec.inventory.over(found)),
        None => spec.inventory.clone(),
    }
}
