//! What a reading says of the machine behind an outlet: the relay, and where it is measured the draw.
//!
//! An open relay is certain. With the relay closed, a node whose power state is measured shows what the draw says, as soon as
//! that is settled ([`Classifier`]); until then it shows what it showed before. A command
//! that turns off ends with the relay read as open, whatever the draw: a machine that is off by itself can turn itself on.

use super::Fsm;
use crate::clock::Mono;
use crate::node::device::{Notice, Observation};
use crate::node::measured::{Band, Classifier, Fit, Reading, WELDED_ABOVE, Welded};
use crate::node::power_history::thousandth;
use crate::node::{Power, PowerAction, PowerSource};

/// One reading, weighed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    /// What is shown.
    pub power: Power,
    /// What the device itself is switched to: the relay of an outlet.
    pub relay: Power,
    /// What the draw has said of the machine since its outlet was turned on, whether that is shown or not; the relay where
    /// nothing tells it.
    pub machine: Power,
    /// The machine draws what it draws when it runs; where nothing is measured, the relay is closed.
    pub draws: bool,
    /// The draw in milliwatts, where it was measured.
    pub drawn: Option<u64>,
    /// The draw decided what is shown.
    pub settled: bool,
}

/// What the draw has said lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    classifier: Classifier,
    welded: Welded,
    fit: Fit,
    is_doubtful: bool,
    /// What it said of the machine since its outlet was turned on.
    verdict: Option<Power>,
}

impl Meter {
    /// When to read again, where that is sooner than the next poll would be.
    pub(super) fn look_at(&self) -> Option<Mono> {
        self.classifier.look_at().or(self.welded.look_at())
    }
}

impl Evidence {
    /// What counts for an order: a machine that was asked to shut down is off before its outlet is.
    pub(super) fn of(self, order: PowerAction) -> Power {
        match order {
            PowerAction::GracefulOff => self.machine,
            PowerAction::Off => self.relay,
            _ => self.power,
        }
    }

    /// The state that was asked for is there.
    pub(super) fn is(self, want: Power) -> bool {
        want == if want == Power::Off { self.relay } else { self.power }
    }
}

impl Fsm {
    /// Weighs a reading in which the device shows `relay`.
    pub(super) fn weigh(&mut self, relay: Power, observation: &Observation, now: Mono) -> Evidence {
        let drawn = observation.milliwatts;
        let is_shown = self.spec.policy.source == PowerSource::Measured;
        let Some(watts) = self.spec.policy.watts else {
            let draws = relay != Power::Off;
            return Evidence { power: relay, relay, machine: relay, draws, drawn, settled: false };
        };
        if relay == Power::Off {
            self.meter.classifier.restart();
            self.meter.verdict = None;
            // Current through an open relay: the machine has power, and no one is told that it is off.
            // Nor of one that was on, before the draw has fallen.
            let is_welded = self.meter.welded.reading(drawn, now);
            let was_on = self.seen.as_ref().is_some_and(|seen| seen.relay != Power::Off);
            let draws = is_shown && (is_welded || was_on && drawn.is_some_and(|drawn| drawn > WELDED_ABOVE));
            let state = if draws { Power::On } else { Power::Off };
            return Evidence { power: state, relay: state, machine: state, draws, drawn, settled: false };
        }
        self.meter.welded.restart();
        if let Some(drawn) = drawn {
            self.meter.is_doubtful = self.meter.fit.reading(watts.band(drawn), now);
        }
        // What another process saw is settled again, and is shown until then.
        let restored = self.seen.as_ref().filter(|_| is_shown).map(|seen| seen.power);
        let seen_here = self.seen.as_ref().filter(|seen| is_shown && seen.mono.is_some()).map(|seen| seen.power);
        let shown = if is_shown { seen_here } else { self.meter.verdict };
        let reading = Reading {
            milliwatts: drawn,
            shown,
            ordered_on: self.has_ordered(Power::On),
            poll_interval: self.spec.timings.poll_interval,
            at: now,
        };
        let settled = self.meter.classifier.reading(&watts, reading);
        self.meter.verdict = settled.or(self.meter.verdict);
        let machine = self.meter.verdict.unwrap_or(Power::On);
        let draws = drawn.is_none_or(|milliwatts| watts.band(milliwatts) == Band::On);
        let power = if is_shown { settled.or(shown).or(restored).unwrap_or(Power::On) } else { relay };
        Evidence { power, relay, machine, draws, drawn, settled: is_shown && settled.is_some() }
    }

    /// What is odd about the measuring itself.
    pub(super) fn measuring_notices(&self, observation: &Observation, evidence: Evidence) -> Vec<Notice> {
        let mut notices = Vec::new();
        if self.spec.policy.measured().is_some() && !observation.about.meter {
            let text = format!(
                "{} measures nothing, so that the node is shown as on while its outlet is on; write power_state: relay, or \
                 take a plug with a meter",
                self.spec.device
            );
            notices.push(Notice { key: "no-meter", text });
        }
        if evidence.relay == Power::On && observation.power == Some(Power::Off) {
            let watts = evidence.drawn.and_then(thousandth).unwrap_or_default();
            let text = format!(
                "{} says that its outlet is off, and {watts:.1} W go through it: its relay may be welded; replace it, and \
                 cut the power by hand",
                self.spec.device
            );
            notices.push(Notice { key: "relay-welded", text });
        }
        if self.meter.is_doubtful {
            let text =
                "more than one measurement in 100 of the last day lay between off_below and on_above, and tells \
                        nothing; calibrate this node again"
                    .into();
            notices.push(Notice { key: "calibration-doubtful", text });
        }
        notices
    }

    /// The device is read before each order: its own kind asks for that, or the machine may have changed its state by itself.
    pub(super) fn reads_before_action(&self) -> bool {
        self.spec.kind.reads_before_action
            || self.spec.policy.measured().is_some()
            || self.spec.policy.graceful.is_some()
    }

    /// A change to this state is our own doing.
    pub(super) fn has_ordered(&self, power: Power) -> bool {
        let by_command = |command: &super::Command| {
            command.taken.is_some() && (command.want() == power || command.order().is_momentary())
        };
        self.outstanding.to(power).is_some() || self.command.as_ref().is_some_and(by_command)
    }
}
