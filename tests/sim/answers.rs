//! The laws, third part: the answers and views that clients get, and the fate of acknowledged commands.

use std::time::Duration;

use plugfish::testing::node::{Power, Refusal, ResetType};

use super::laws::{FOUND, SETTLED, asked_at, end_of, restarts};
use super::report::What;
use super::world::{Current, State};

/// A client waits no longer than this, whatever the disk does.
const ANSWERED: Duration = Duration::from_millis(10_050);

/// So few clients of one node are no flood.
const ALONE: usize = 8;

/// No device is given up after fewer failures in a row than this.
const FAILURES_LEAST: u32 = 5;

/// What was last seen is not shown for longer than this of a node that is fenced.
pub const FENCED: Duration = Duration::from_secs(60);

/// What is still promised when a command takes the place of another one that was not done: `promised` was so before.
pub fn still_promised(
    promised: Option<(ResetType, Duration)>,
    before: &Current,
    by: ResetType,
) -> Option<(ResetType, Duration)> {
    let own = restarts(before.reset) || end_of(before.reset) == Some(Power::Off);
    // That an overdue one is given up was told.
    let own = (own && !before.overdue).then(|| (before.reset, asked_at(&before.by)));
    let cut = |(reset, _): &(ResetType, Duration)| *reset == ResetType::ForceOff;
    let (cut, any) = (promised.filter(cut).or(own.filter(cut)), promised.or(own));
    match by {
        ResetType::On | ResetType::ForceOn => cut.or(any),
        ResetType::ForceOff => None,
        ResetType::Nmi => any.filter(|(reset, _)| *reset != ResetType::GracefulShutdown),
        _ => cut,
    }
}

impl State {
    /// Its state is unknown when it was not confirmed for a while.
    pub fn is_fenced(node: usize) -> bool {
        node % 4 == 1
    }

    /// What may be shown of the power of a fenced node, where another one shows what it was: nothing too old.
    fn shows_as_fenced(&self, node: usize, shown: Option<Power>) -> bool {
        let (known, now) = (&self.nodes[node], self.now());
        let fresh = known.reading.is_some_and(|reading| now < reading.at + FENCED);
        let stale = known.reading.is_none_or(|reading| now > reading.at + FENCED + Duration::from_millis(5));
        // A reading that was just taken, or one of the device before, an actor that fell.
        let between = known.fell.is_some() || known.reading.is_some_and(|r| r.at == now || r.wiring != known.wiring);
        between || !(fresh && shown.is_none() || stale && shown.is_some())
    }

    /// What a client was answered.
    pub fn answered(
        &mut self,
        node: usize,
        asked: Duration,
        reset: ResetType,
        by: &str,
        before: Option<ResetType>,
        answer: &Result<(), Refusal>,
    ) {
        self.drain();
        let now = self.now();
        self.trace(node, What::Answer(format!("{by} is answered {answer:?}")));
        if matches!(answer, Ok(()) | Err(Refusal::Undecided { .. })) {
            self.nodes[node].causes.push_back((now, true));
        }
        self.check_answer(node, asked, answer);
        if answer.is_err() {
            return;
        }
        let serves = |other: ResetType| end_of(other) == end_of(reset);
        let landed = &self.pages[node].landed;
        let own = landed.iter().any(|(_, intent)| intent.by == by);
        let joined = before.is_some_and(serves) || landed.iter().any(|(at, other)| *at >= asked && serves(other.reset));
        if !own && !joined {
            self.broken(node, "durable-first", format!("{reset} of {by} is acknowledged and not on the disk"));
        }
    }

    /// The caller is answered in time, and is not refused while all is well.
    fn check_answer(&mut self, node: usize, asked: Duration, answer: &Result<(), Refusal>) {
        let now = self.now();
        if asked + ANSWERED < now {
            return self.broken(node, "bounded", format!("a client is answered after {:?}", now - asked));
        }
        let known = &self.nodes[node];
        // Someone may have renewed a refused login just now.
        let renewed = known.causes.back().is_some_and(|(at, _)| asked < *at + FOUND);
        let calm = self.calm_since(node) + FOUND < asked && !renewed;
        let well = calm && known.asking < ALONE && known.present && !self.stopping;
        let odd = match answer {
            Ok(())
            | Err(
                Refusal::Unsupported { .. }
                | Refusal::NotNow { .. }
                | Refusal::Changed { .. }
                | Refusal::Stopping { .. },
            ) => false,
            Err(Refusal::LoginHeld { .. }) => {
                self.view(node).is_some_and(|view| view.connectivity.held_until.is_none())
            }
            Err(_) => true,
        };
        let failures = self.view(node).map_or(0, |view| view.connectivity.failures);
        if matches!(answer, Err(Refusal::DeviceAway { .. }))
            && failures < FAILURES_LEAST
            && self.nodes[node].found < asked
        {
            self.broken(node, "answered", format!("the device is given up after {failures} failures"));
        }
        if well && odd {
            self.broken(node, "answered", format!("all is well, and the answer is {answer:?}"));
        }
    }

    /// What a client that changed the boot override was answered. `durable` is the number on the disk when it asked.
    pub fn patched(
        &mut self,
        node: usize,
        asked: Duration,
        if_match: Option<u64>,
        durable: u64,
        answer: &Result<(), Refusal>,
    ) {
        self.drain();
        self.trace(node, What::Answer(format!("the override: {answer:?}")));
        self.check_answer(node, asked, answer);
        if answer.is_ok() && self.pages[node].boot_writes() <= durable {
            self.broken(
                node,
                "durable-first",
                format!("a change of number {durable} is acknowledged and not on the disk"),
            );
        }
        let known = &mut self.nodes[node];
        let (Some(number), Ok(())) = (if_match, answer) else { return };
        if known.granted.contains(&number) {
            return self.broken(node, "etag", format!("two changes with If-Match {number} were both made"));
        }
        known.granted.push_back(number);
        if known.granted.len() > 16 {
            known.granted.pop_front();
        }
    }

    /// The picture of a node: what it shows was read, and its numbers move as they may.
    pub fn check_view(&mut self, node: usize) {
        let Some(view) = self.view(node) else { return };
        let known = &self.nodes[node];
        if !known.present {
            return;
        }
        let fenced = State::is_fenced(node);
        if fenced && !self.shows_as_fenced(node, view.power) {
            let words = format!("{:?} is shown of a fenced node that was read at {:?}", view.power, known.reading);
            return self.broken(node, "only-what-was-seen", words);
        }
        let power = if fenced { view.power.or(known.reading.map(|reading| reading.power)) } else { view.power };
        let shown = (power, view.seen_mono, view.seen_at);
        let loaded = known.loaded.as_ref().and_then(|(_, seen)| seen.as_ref());
        let right = match (known.reading, loaded) {
            (Some(reading), _) => shown == (Some(reading.power), Some(reading.mono), Some(reading.wall)),
            // An actor that fell leaves its last picture until the next one is published.
            (None, Some(seen)) => (fenced || shown.0 == Some(seen.power)) && shown.2 == Some(seen.at),
            (None, None) => view.power.is_none(),
        };
        if !right {
            let words = format!("shown {shown:?}, read {:?}, from the journal {loaded:?}", known.reading);
            return self.broken(node, "only-what-was-seen", words);
        }
        if view.change < known.change {
            let words = format!("picture {} comes after picture {}", view.change, known.change);
            return self.broken(node, "change", words);
        }
        let (writes, change) = (view.writes, view.change);
        if writes < known.writes + known.consumed || writes > known.writes + known.patches + known.consumed {
            let words = format!(
                "the change number goes from {} to {writes}, {} changes, {} used up",
                known.writes, known.patches, known.consumed
            );
            return self.broken(node, "etag", words);
        }
        self.nodes[node].change = change;
        let (durable, used_up) = (self.pages[node].boot_writes(), self.nodes[node].consumed);
        if writes > durable + used_up {
            let words = format!("the change number {writes} is shown and {durable} is on the disk, {used_up} used up");
            self.broken(node, "durable-first", words);
        }
    }

    /// What was acknowledged, and given up for a newer command that ends with the node on, was done all the same.
    pub fn check_promised(&mut self, node: usize, current: &Current) {
        let now = self.now();
        let known = &mut self.nodes[node];
        let Some((reset, asked)) = known.promised.take() else { return };
        let device = &self.devices[known.device];
        // An actor that was rebuilt does not know of the orders before it.
        let new = known.loaded.as_ref().is_some_and(|(at, _)| now < *at + SETTLED);
        if asked <= known.moved {
            // It went to the device that the node had before.
            return;
        }
        let off = matches!(reset, ResetType::ForceOff | ResetType::GracefulShutdown);
        // Where the machine was taken for one that is off, a restart is to turn it on.
        let taken_for_off = !off && device.lately >= asked;
        let unknowable = taken_for_off || new && device.is_late(now);
        if !unknowable && !device.came_to_an_end(asked, off) {
            let words = format!("{} is called done, and {reset}, acknowledged before it, never was", current.reset);
            self.broken(node, "nothing-dropped", words);
        }
    }

    /// The change number of the override in force, as shown.
    pub fn boot_writes(&self, node: usize) -> u64 {
        self.view(node).map_or(0, |view| view.writes)
    }

    /// Counts the boots that used an override for one boot.
    pub fn collect_boots(&mut self, node: usize) {
        let device = self.nodes[node].device;
        let boots = std::mem::take(&mut self.devices[device].boots);
        for boot in boots.into_iter().filter(|boot| boot.once) {
            let (count, doubts) = self.nodes[node].used.entry(boot.writes).or_default();
            *count += 1;
            if *count > 1 + *doubts {
                let words = format!("{:?} of change {} is used by a second boot", boot.target, boot.writes);
                self.broken(node, "boot-once", words);
            }
        }
    }
}
