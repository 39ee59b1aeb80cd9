//! What a node drew lately: a short ring of measurements, for whoever shows a curve. It is fed with what the core has read
//! anyway, and kept in memory only.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::view::NodeView;
use crate::clock::Mono;

/// Measurements kept of a node: half an hour at the usual 15 s between two polls, 3 KB.
pub const MEASUREMENTS_MAX: usize = 120;

/// What was measured at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    /// When.
    pub at: Mono,
    /// The draw.
    pub milliwatts: u64,
}

/// The last measurements of one node, the oldest first. Nothing is allocated for one without a meter.
#[derive(Debug, Default)]
pub struct Draw(ArcSwap<Vec<Measurement>>);

impl Draw {
    /// The measurements as of now.
    pub fn load(&self) -> Arc<Vec<Measurement>> {
        self.0.load_full()
    }

    /// Takes over what a new picture of the node has measured. Only from the arbiter of the actors, so that nothing is lost
    /// between two writers.
    pub(super) fn note(&self, view: &NodeView) {
        let (Some(at), Some(milliwatts)) = (view.seen_mono, view.milliwatts) else { return };
        let before = self.0.load();
        if before.last().is_some_and(|last| last.at >= at) {
            return;
        }
        let surplus = (before.len() + 1).saturating_sub(MEASUREMENTS_MAX);
        let kept = before.iter().skip(surplus).copied();
        self.0.store(Arc::new(kept.chain([Measurement { at, milliwatts }]).collect()));
    }
}
