//! What the device last said, and what follows from one reading to the next.

use std::sync::Arc;
use std::time::Duration;

use super::evidence::Evidence;
use super::{Effect, Fsm};
use crate::clock::{Mono, Now, Wall};
use crate::node::device::{Capabilities, DeviceIdentity, Notice, Observation, ScanResult};
use crate::node::event::EventKind;
use crate::node::journal::SeenRecord;
use crate::node::{Inventory, NodeSpec, Power};

/// What was last seen of the device.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub power: Power,
    /// What the device itself is switched to, where that is not `power`: the relay of an outlet.
    pub relay: Power,
    pub at: Wall,
    /// `None` when it was another process that saw it.
    pub mono: Option<Mono>,
    pub since: Wall,
    /// When `relay` was first seen off, if it has been seen to go off: what `off_dwell` counts from.
    pub off_since: Option<Mono>,
    pub on_for: Option<Duration>,
    /// The draw when it was last measured: not each reading measures it.
    pub measured: Option<Measured>,
    pub energy_wh: u64,
    pub energy_today_wh: Option<u64>,
    /// Where it was seen, in the operator's words.
    pub device: Arc<str>,
    pub about: Arc<DeviceIdentity>,
    pub capabilities: Option<Arc<Capabilities>>,
    pub inventory: Option<Arc<Inventory>>,
}

/// A measurement of the draw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    milliwatts: u64,
    at: Wall,
    mono: Mono,
    /// The power was not seen to change since.
    holds: bool,
}

/// For how many polls a measurement counts as what is drawn now: the device does not measure with each of them.
const DRAW_POLLS: u32 = 3;

/// How far a device's own count of seconds may be off before a shorter on-time means something.
const ON_TIME_SLACK: Duration = Duration::from_secs(5);

impl Seen {
    /// What another process saw. If it was off then, `off_dwell` goes on from there; a clock that jumped costs at most
    /// one dwell more.
    pub(super) fn restored(record: SeenRecord, now: Now, spec: &NodeSpec) -> Seen {
        let relay = record.relay.unwrap_or(record.power);
        let off_for = match spec.policy.measured() {
            // `since` is that of what is shown, and the relay may have opened later.
            Some(_) => Duration::ZERO,
            None => now.wall.since(record.since).min(spec.timings.off_dwell),
        };
        Seen {
            power: record.power,
            relay,
            at: record.at,
            mono: None,
            since: record.since,
            off_since: (relay == Power::Off).then(|| now.mono - off_for).filter(|_| off_for < spec.timings.off_dwell),
            on_for: None,
            measured: None,
            energy_wh: record.energy_wh,
            energy_today_wh: record.energy_today_wh,
            device: record.device,
            about: record.about,
            capabilities: record.capabilities,
            inventory: record.inventory,
        }
    }

    /// What this reading says, together with what is kept from before.
    pub(super) fn renewed(
        before: Option<Seen>,
        observation: Observation,
        Evidence { power, relay, .. }: Evidence,
        device: &Arc<str>,
        now: Now,
    ) -> Seen {
        let changed = before.as_ref().is_none_or(|seen| seen.power != power);
        let went_off = before.as_ref().is_some_and(|seen| seen.relay != Power::Off);
        let off_since = match (&before, relay) {
            (_, Power::On | Power::Asleep) => None,
            (Some(_), Power::Off) if went_off => Some(now.mono),
            (Some(seen), Power::Off) => seen.off_since,
            (None, Power::Off) => None,
        };
        let used = match (before.as_ref().and_then(|seen| seen.energy_today_wh), observation.energy_today_wh) {
            // The counter falls to zero at the device's midnight: what it shows then was used since.
            (Some(old), Some(new)) => {
                if new >= old {
                    new - old
                } else {
                    new
                }
            }
            _ => 0,
        };
        let measured = match observation.milliwatts {
            Some(milliwatts) => Some(Measured { milliwatts, at: now.wall, mono: now.mono, holds: true }),
            None => before
                .as_ref()
                .and_then(|seen| seen.measured)
                .map(|old| Measured { holds: old.holds && !changed, ..old }),
        };
        Seen {
            power,
            relay,
            at: now.wall,
            mono: Some(now.mono),
            since: if changed { now.wall } else { before.as_ref().map_or(now.wall, |seen| seen.since) },
            off_since,
            on_for: observation.on_for,
            measured,
            energy_wh: before.as_ref().map_or(0, |seen| seen.energy_wh).saturating_add(used),
            energy_today_wh: observation.energy_today_wh.or(before.as_ref().and_then(|seen| seen.energy_today_wh)),
            device: device.clone(),
            about: observation.about,
            capabilities: observation.capabilities,
            inventory: before.and_then(|seen| seen.inventory),
        }
    }

    /// What is drawn now, as far as it was measured lately and in the present state.
    pub(super) fn draws(&self, poll_interval: Duration) -> Option<u64> {
        let recent = |measured: &Measured| {
            self.mono.is_some_and(|seen| seen.since(measured.mono) <= poll_interval.saturating_mul(DRAW_POLLS))
        };
        self.measured.filter(|measured| measured.holds && recent(measured)).map(|measured| measured.milliwatts)
    }

    /// The last measurement and when it was made, also if the power changed since: but what a machine drew is not said of
    /// one that is off.
    pub(super) fn last_measured(&self) -> Option<(u64, Wall, Mono)> {
        let measured = self.measured.filter(|measured| measured.holds || self.power != Power::Off)?;
        Some((measured.milliwatts, measured.at, measured.mono))
    }

    /// The load was on at the last look and is on now, but not for as long as lies between.
    pub(super) fn was_cycled(&self, observation: &Observation, now: Now) -> bool {
        let (Some(seen), Some(on_before), Some(on_now)) = (self.mono, self.on_for, observation.on_for) else {
            return false;
        };
        let between = now.mono.since(seen);
        self.power == Power::On && on_now + ON_TIME_SLACK < between.min(on_before + between)
    }

    pub(super) fn record(&self) -> SeenRecord {
        SeenRecord {
            power: self.power,
            relay: Some(self.relay).filter(|relay| *relay != self.power),
            at: self.at,
            since: self.since,
            energy_wh: self.energy_wh,
            energy_today_wh: self.energy_today_wh,
            device: self.device.clone(),
            about: self.about.clone(),
            capabilities: self.capabilities.clone(),
            inventory: self.inventory.clone(),
        }
    }
}

impl Fsm {
    /// One more corner of the machine is known.
    pub(super) fn studied(&mut self, findings: ScanResult, now: Mono, out: &mut Vec<Effect>) {
        self.scan_at = findings.more.then_some(now);
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
            out.push(Effect::Emit(EventKind::Noticed { text }));
        }
        seen.inventory = Some(found);
        out.push(Effect::NoteSeen(seen.record()));
        self.inventory = known_inventory(&self.spec, self.seen.as_ref());
    }

    pub(super) fn take_notices<'a>(
        &mut self,
        notices: impl Iterator<Item = &'a Notice> + Clone,
        at: Wall,
        out: &mut Vec<Effect>,
    ) {
        self.notices.retain(|(old, _)| notices.clone().any(|new| new.key == old.key));
        for notice in notices {
            match self.notices.iter_mut().find(|(old, _)| old.key == notice.key) {
                Some((old, _)) => old.clone_from(notice),
                None => {
                    out.push(Effect::Emit(EventKind::Noticed { text: notice.text.clone() }));
                    self.notices.push((notice.clone(), at));
                }
            }
        }
    }
}

/// What is known of the inside of a node.
pub(super) fn known_inventory(spec: &NodeSpec, seen: Option<&Seen>) -> Arc<Inventory> {
    match seen.and_then(|seen| seen.inventory.as_ref()) {
        Some(found) => Arc::new(spec.inventory.over(found)),
        None => spec.inventory.clone(),
    }
}

/// An order that was sent this long ago is not on its way any more: no request to a device lives so long.
const ORDER_LIFE: Duration = Duration::from_secs(30);

/// Orders that were sent, with their effect not seen yet: the newest one to each side, and when. Both, if it is doubtful
/// that the last one arrived: what is read may still be from before the one before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OutstandingActions {
    on: Option<Mono>,
    off: Option<Mono>,
}

impl OutstandingActions {
    fn side(&mut self, power: Power) -> &mut Option<Mono> {
        match power {
            Power::On | Power::Asleep => &mut self.on,
            Power::Off => &mut self.off,
        }
    }

    /// When an order to `power` was sent.
    pub(super) fn to(mut self, power: Power) -> Option<Mono> {
        *self.side(power)
    }

    pub(super) fn any(&self) -> bool {
        self.on.or(self.off).is_some()
    }

    pub(super) fn sent(&mut self, power: Power, now: Mono) {
        *self.side(power) = Some(now);
    }

    /// The device took that one, and so is done with the others.
    pub(super) fn taken(&mut self, power: Power) {
        let mut only = OutstandingActions::default();
        *only.side(power) = *self.side(power);
        *self = only;
    }

    /// A reading that was begun at `started` says this.
    pub(super) fn seen(&mut self, power: Power, started: Mono) {
        let alive = |at: &Mono| started < *at + ORDER_LIFE;
        (self.on, self.off) = (self.on.filter(alive), self.off.filter(alive));
        if power != Power::Asleep {
            *self.side(power) = None;
        }
    }
}
