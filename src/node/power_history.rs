//! Recent power draw of a node: a short ring of measurements, for the curves of the status page. It is fed with
//! readings that the core takes anyway, and kept in memory only.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::clock::Mono;

/// Measurements kept of a node: half an hour at the usual 15 s between two polls, 3 KB.
pub(crate) const MEASUREMENTS_MAX: usize = 120;

/// What was measured at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement {
    pub at: Mono,
    pub milliwatts: u64,
}

/// The last measurements of one node, the oldest first. Nothing is allocated for one without a meter.
#[derive(Debug, Default)]
pub(crate) struct PowerHistory(ArcSwap<Vec<Measurement>>);

impl PowerHistory {
    /// The measurements as of now.
    pub(crate) fn load(&self) -> Arc<Vec<Measurement>> {
        self.0.load_full()
    }

    /// Takes over what was measured when the node was last seen. Only from the arbiter of the actors, so that nothing is
    /// lost between two writers.
    pub(super) fn record(&self, seen: Option<Mono>, milliwatts: Option<u64>) {
        let (Some(at), Some(milliwatts)) = (seen, milliwatts) else { return };
        let before = self.0.load();
        if before.last().is_some_and(|last| last.at >= at) {
            return;
        }
        let surplus = (before.len() + 1).saturating_sub(MEASUREMENTS_MAX);
        let supervised = before.iter().skip(surplus).copied();
        self.0.store(Arc::new(supervised.chain([Measurement { at, milliwatts }]).collect()));
    }
}

/// A thousandth of what was measured: watts of milliwatts, kilowatt hours of watt hours. `None` of what no node reaches in its
/// life and what a `f64` might not hold to the last digit.
pub(crate) fn thousandth(value: u64) -> Option<f64> {
    u32::try_from(value).ok().map(|value| f64::from(value) / 1000.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_and_each_reading_once() {
        let at = |seconds| Some(Mono::after_start(Duration::from_secs(seconds)));
        let power_history = PowerHistory::default();
        power_history.record(None, Some(1));
        power_history.record(at(1), None);
        assert_eq!(power_history.load().capacity(), 0, "nothing is allocated without a meter");
        for second in 1..=200 {
            // A view is exchanged more often than the device is read.
            power_history.record(at(second), Some(second));
            power_history.record(at(second), Some(second));
        }
        let supervised: Vec<u64> = power_history.load().iter().map(|one| one.milliwatts).collect();
        assert_eq!(supervised, (81..=200).collect::<Vec<u64>>());
    }
}
