//! The boot override of a node, from its change by a client to the boot that uses it up.
//!
//! Where the device sets the boot source, an override goes out with each order that boots, and one for one boot is used
//! up when such an order was followed. Elsewhere the next power on uses it up, whatever caused it.

use super::{Effect, Fsm, SAVES_MAX, Save, Saving, Ticket};
use crate::node::event::EventKind;
use crate::node::journal::BootRecord;
use crate::node::{BootEnabled, BootOverride, BootPatch, BootTarget, Power, PowerAction, Refusal};

/// An override for one boot that went out with an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Applied {
    /// The change number of the override.
    writes: u64,
    /// The device took the order.
    taken: bool,
}

impl Fsm {
    /// The override that goes out with an order.
    pub(super) fn boot_for(&mut self, order: PowerAction) -> BootOverride {
        // A machine that wakes up does not boot.
        let wakes = order == PowerAction::On && self.seen.as_ref().is_some_and(|seen| seen.power == Power::Asleep);
        if !self.spec.kind.applies_boot || !order.boots() || wakes || self.boot_used == Some(self.boot.writes) {
            // One that went out with an order that was not taken is not used by this one.
            self.applied = self.applied.filter(|applied| applied.taken);
            return BootOverride::default();
        }
        let once = self.boot.boot.enabled == BootEnabled::Once;
        self.applied = once.then_some(Applied { writes: self.boot.writes, taken: false });
        self.boot.boot.clone()
    }

    /// The device took an order.
    pub(super) fn boot_taken(&mut self, order: PowerAction) {
        // An On for a node that is on may have met one that was just going off: only its coming back tells.
        let stays = order == PowerAction::On && self.seen.as_ref().is_some_and(|seen| seen.power == Power::On);
        if let Some(applied) = self.applied.as_mut().filter(|_| order.boots() && !stays) {
            applied.taken = true;
        }
    }

    /// A reading arrived: was there a boot that used the override up?
    pub(super) fn boot_observed(&mut self, before: Option<Power>, power: Power, out: &mut Vec<Effect>) {
        let powered_on = before == Some(Power::Off) && power == Power::On;
        if !self.spec.kind.applies_boot {
            if powered_on {
                self.consume_boot(out);
            }
        } else if power == Power::On
            && let Some(applied) = self.applied.take_if(|applied| applied.taken || powered_on)
            && applied.writes == self.boot.writes
        {
            self.consume_boot(out);
        }
    }

    /// The boot override as it will be when everything that is being saved is saved.
    fn newest_boot(&self) -> &BootRecord {
        let newest = self.saves.iter().rev().find_map(|saving| match saving {
            Saving::Boot { record, .. } | Saving::Setting { record, .. } => Some(record),
            _ => None,
        });
        newest.unwrap_or(&self.boot)
    }

    pub(super) fn patch_boot(
        &mut self,
        (ticket, by): (Ticket, String),
        patch: &BootPatch,
        if_match: Option<&[u64]>,
        out: &mut Vec<Effect>,
    ) {
        let node = self.spec.id.clone();
        let newest = self.newest_boot();
        let refusal = if self.stopping {
            Some(Refusal::Stopping { node })
        } else if self.saves.len() >= SAVES_MAX {
            Some(Refusal::Overloaded { node })
        } else if if_match.is_some_and(|numbers| !numbers.contains(&newest.writes)) {
            Some(Refusal::Changed { node })
        } else {
            None
        };
        if let Some(refusal) = refusal {
            out.push(Effect::Answer(ticket, Err(refusal)));
            return;
        }
        let mut boot = newest.boot.clone();
        boot.target = patch.target.unwrap_or(boot.target);
        boot.enabled = patch.enabled.unwrap_or(boot.enabled);
        boot.mode = patch.mode.unwrap_or(boot.mode);
        boot.http_boot_uri = patch.http_boot_uri.clone().unwrap_or(boot.http_boot_uri);
        let record = BootRecord { boot, writes: newest.writes + 1 };
        self.save(Save::Boot(record.clone()), Saving::Boot { record, by, ticket }, out);
    }

    /// The node is at one of the change numbers that a client accepts.
    pub(super) fn is_at(&self, if_match: Option<&[u64]>) -> bool {
        if_match.is_none_or(|numbers| numbers.contains(&self.newest_boot().writes))
    }

    /// The record after a change of something else that a client can write: the same override at the next change number.
    pub(super) fn counted(&self) -> BootRecord {
        let newest = self.newest_boot();
        BootRecord { boot: newest.boot.clone(), writes: newest.writes + 1 }
    }

    /// Such a record is durable: the override is as it was, and may have been used meanwhile.
    pub(super) fn boot_counted(&mut self, record: BootRecord, out: &mut Vec<Effect>) {
        let moved = |writes: u64| if writes == self.boot.writes { record.writes } else { writes };
        self.boot_used = self.boot_used.map(moved);
        self.applied = self.applied.map(|applied| Applied { writes: moved(applied.writes), ..applied });
        self.boot = record;
        self.boot_unchanged(out);
    }

    /// A client's change of the override could not be recorded: the one before is still in force, unless it was used.
    pub(super) fn boot_unchanged(&mut self, out: &mut Vec<Effect>) {
        if self.boot_used.take_if(|writes| *writes == self.boot.writes).is_some() {
            self.consume_boot(out);
        }
    }

    /// A power on was seen: an override for one boot is used up.
    fn consume_boot(&mut self, out: &mut Vec<Effect>) {
        if self.boot.boot.enabled != BootEnabled::Once {
            return;
        }
        if self.saves.iter().any(|saving| matches!(saving, Saving::Boot { .. } | Saving::Setting { .. })) {
            // A client that is changing the override in this very moment means the next power on.
            self.boot_used = Some(self.boot.writes);
            return;
        }
        self.boot.boot.enabled = BootEnabled::Disabled;
        self.boot.boot.target = BootTarget::None;
        self.boot.writes += 1;
        out.push(Effect::Emit(EventKind::BootConsumed));
        self.save(Save::Boot(self.boot.clone()), Saving::BootConsumed, out);
    }
}
