//! The laws, first part: what must hold at each request, each operation and each write. `promises.rs` has the laws
//! about commands and views, and docs/promises.md lists them all.

use std::time::Duration;

use plugfish::testing::clock::Wall;
use plugfish::testing::node::device::FailureClass;
use plugfish::testing::node::fsm::Op;
use plugfish::testing::node::journal::{Intent, NodeRecord, SeenRecord, Stage};
use plugfish::testing::node::{BootEnabled, BootOverride, BootTarget, Power, PowerAction, ResetType};

use super::answers::still_promised;
use super::hardware::Make;
use super::report::What;
use super::world::{Current, Dead, Reading, State};

/// How long the power stays off in a cycle, and between an off of ours and the next on.
pub const DWELL: Duration = Duration::from_secs(10);

/// A device that was given up is found again within this: the longest pause, its spread, and a slow answer.
pub const FOUND: Duration = Duration::from_secs(72);

/// Walls count in milliseconds.
const GRAIN: Duration = Duration::from_millis(5);

/// The actor of a node that was taken out may end its last operation while the next one is there already.
pub const ACTORS_OVERLAP: Duration = Duration::from_secs(50);

/// Orders older than this are not on their way any more.
pub const SETTLED: Duration = Duration::from_secs(60);

/// The state in which a command leaves the node; a diagnostic interrupt leaves it as it is.
pub fn end_of(reset: ResetType) -> Option<Power> {
    match reset {
        ResetType::ForceOff | ResetType::GracefulShutdown => Some(Power::Off),
        ResetType::Nmi => None,
        _ => Some(Power::On),
    }
}

/// It turns the power off and on again.
pub fn restarts(reset: ResetType) -> bool {
    matches!(reset, ResetType::PowerCycle | ResetType::ForceRestart | ResetType::GracefulRestart)
}

/// When the client asked: its name says so.
pub fn asked_at(by: &str) -> Duration {
    Duration::from_millis(by.split_once('@').and_then(|(_, ms)| ms.parse().ok()).unwrap_or(0))
}

/// The command of an intent.
pub fn current_of(intent: &Intent, now: Duration, restored: bool) -> Current {
    Current {
        by: intent.by.clone(),
        reset: intent.reset,
        number: intent.number,
        since: if restored { now } else { asked_at(&intent.by) },
        accepted: now,
        restored,
        overdue: false,
        answered: false,
        given: Vec::new(),
        taken: Vec::new(),
        owed: false,
        first: intent.first,
        asked: false,
    }
}

impl State {
    /// What a device bears: the gap, the requests in a second over time, and how many at the smallest gap.
    fn bears(make: Make) -> (Duration, usize, usize) {
        match make {
            Make::Plug => (Duration::from_millis(250), 2, 4),
            Make::Engine => (Duration::from_millis(50), 4, 48),
        }
    }

    /// Before this moment something out of the ordinary happened to the node's device, or to one that shares its gate.
    fn device_calm_since(&self, node: usize) -> Duration {
        let device = self.nodes[node].device;
        let strip = State::strip_of(device);
        let shares = |other: &usize| *other < self.devices.len() && State::strip_of(*other) == strip;
        let shared = [strip, strip + 1].into_iter().filter(shares);
        shared.map(|other| self.devices[other].disturbed).fold(self.devices[device].disturbed, Duration::max)
    }

    /// Before this moment something out of the ordinary happened to the node, its device, or the disk.
    pub fn calm_since(&self, node: usize) -> Duration {
        let disk = self.disk_slow.max(self.disk_full);
        self.nodes[node].disturbed.max(self.device_calm_since(node)).max(disk)
    }

    /// A request is about to go out.
    pub fn check_pace(&mut self, node: usize, device: usize) {
        let (life, now) = (self.life, self.now());
        let (gap, per_second, burst) = State::bears(self.devices[device].make);
        let traffic = &self.traffic[State::strip_of(device)];
        let broken = if traffic.in_flight > 0 {
            Some(("one-in-flight", "a second request goes out while one is under way".to_owned()))
        } else if let Some((_, end)) = traffic.last_end.filter(|(of, end)| *of == life && now < *end + gap) {
            Some(("gap", format!("{:?} after the end of the last request", now - end)))
        } else {
            let window = Duration::from_secs(10);
            let recent = traffic.starts.iter().filter(|(of, at)| *of == life && now < *at + window).count();
            let most = burst + per_second * 10 + 1;
            (recent > most).then(|| ("rate", format!("{recent} requests in {window:?}")))
        };
        if let Some((law, words)) = broken {
            self.broken(node, law, words);
        }
    }

    /// An operation begins. Returns when.
    pub fn operation_begins(&mut self, node: usize, device: usize, (epoch, wiring): (u32, u64), op: &Op) -> Duration {
        self.drain();
        let now = self.now();
        let known = &self.nodes[node];
        let gone = epoch != known.epoch || !known.present || device != known.device;
        if gone && known.moved + Duration::from_secs(5) < now {
            self.broken(node, "one-in-flight", format!("{op:?} by an actor or a connection that was taken away"));
        }
        if epoch != self.nodes[node].epoch {
            return now;
        }
        self.check_view(node);
        self.check_renewal(node);
        self.check_claim(node);
        (self.nodes[node].operations, self.nodes[node].asked) = (self.nodes[node].operations + 1, wiring);
        match op {
            Op::PowerAction(order, boot) => {
                let reading = self.nodes[node].reading;
                if wiring == self.nodes[node].wiring && reading.is_some_and(|reading| reading.wiring != wiring) {
                    self.broken(node, "only-what-was-seen", format!("{order:?} goes to a device that was not read"));
                }
                self.check_order(node, *order, boot);
                self.check_dwell(node, *order);
                self.check_kept_dwell(node, *order);
                self.nodes[node].polled = None;
                let known = &mut self.nodes[node];
                let stays =
                    *order == PowerAction::On && known.reading.is_some_and(|reading| reading.power == Power::On);
                if order.boots()
                    && boot.enabled == BootEnabled::Once
                    && (std::mem::replace(&mut known.boots, true) || stays)
                {
                    // The boot before was cut short by our own order before anyone saw it, or a machine that was called
                    // on met the order when it was off.
                    let writes = self.boot_writes(node);
                    self.nodes[node].used.entry(writes).or_default().1 += 1;
                }
                let mut ordered = None;
                if let Some(current) = self.nodes[node].current.as_mut() {
                    current.answered = true;
                    ordered = Some(current.by.clone());
                    let cycles = restarts(current.reset) || current.first.is_some();
                    current.owed |= (order.is_momentary() || *order == PowerAction::Off) && cycles;
                }
                (self.nodes[node].ordered, self.nodes[node].last_order) = (ordered, Some(now));
            }
            Op::Read => {
                self.check_overtaking(node);
                self.check_poll(node);
                self.check_restart_recorded(node);
            }
            Op::SetPowerRestore(_) => self.broken(node, "only-what-was-asked", "a setting".into()),
            Op::Scan => {
                let rest = Duration::from_secs(110);
                if self.nodes[node].scan_due.is_some_and(|(at, of)| of == wiring && now < at + rest) {
                    self.broken(node, "backoff", "a corner is looked into again at once".into());
                }
                if self.nodes[node].current.is_some() && self.view(node).is_some_and(|view| view.command.is_some()) {
                    self.broken(node, "overtake", "a study goes before a command".into());
                }
            }
        }
        now
    }

    /// It ended, or was dropped.
    pub fn operation_ends(&mut self, node: usize, epoch: u32, op: &Op, result: Result<(), FailureClass>) {
        let (now, well) = (self.now(), result.is_ok());
        self.collect_boots(node);
        let writes = self.boot_writes(node);
        let known = &mut self.nodes[node];
        if epoch != known.epoch {
            return;
        }
        known.last_try = now;
        // One that was under way when someone renewed the session counts as the try.
        known.renewed.1 = None;
        let settled = known.moved + Duration::from_secs(50) < now && known.renewed.0.is_none();
        if *op == Op::Read && known.current.is_none() && settled {
            let certain = known.reading.is_some_and(|reading| reading.at == now);
            let changed = known.reading.is_some_and(|r| r.before.is_some_and(|before| before != r.power));
            let least = match result {
                Ok(()) if certain && !changed => Duration::from_secs(13),
                Ok(()) | Err(FailureClass::Busy) => Duration::from_millis(4_400),
                Err(_) => Duration::from_millis(850),
            };
            known.polled = Some((now, least));
        }
        if well {
            if known.dead.take().is_some() {
                known.found = now;
            }
        } else {
            let dead = known.dead.get_or_insert(Dead { since: now, last: now, swept: now, tries: 0, allowed: 12.0 });
            (dead.last, dead.tries) = (now, dead.tries + 1);
        }
        if *op == Op::Scan && !matches!(result, Ok(()) | Err(FailureClass::Auth | FailureClass::Locked)) {
            known.scan_due = Some((now, known.asked));
        }
        if let Op::PowerAction(order, boot) = op {
            if let Some(current) = known.current.as_mut() {
                current.given.push(*order);
                let may_be = *order == PowerAction::Nmi && result != Err(FailureClass::NotReady);
                // One that was under way when the command took another's place is not its own.
                let own = known.ordered.as_ref().is_some_and(|by| *by == current.by);
                current.taken.extend((own && (well || may_be)).then_some(*order));
                // The order of the one before may be all that this one wants.
                current.answered |= well && end_of(current.reset) == Some(order.leads_to());
                if *order == PowerAction::GracefulOff && !own && known.expect == Some(Power::On) {
                    // The machine may shut down after the next command was seen to be done.
                    known.expect = None;
                }
            }
            if !well && boot.enabled == BootEnabled::Once {
                known.used.entry(writes).or_default().1 += 1;
            }
        }
    }

    /// Every order stands on a durable command, in the stage that it needs.
    fn check_order(&mut self, node: usize, order: PowerAction, boot: &BootOverride) {
        let Some(intent) = self.pages[node].memory.intent.clone() else {
            return self.broken(node, "durable-first", format!("the order {order:?} without a command on record"));
        };
        let seen_off = self.nodes[node].reading.is_some_and(|reading| reading.power != Power::On);
        let stage = intent.stage;
        let cut = stage != Stage::Accepted;
        let owed = |(_, landed): &(Duration, Intent)| landed.by == intent.by && landed.stage == Stage::Cutting;
        let owed = self.pages[node].landed.iter().any(owed);
        // Another device may be in another state.
        let known = &self.nodes[node];
        let restored = known.current.as_ref().is_some_and(|current| current.restored);
        let other = known.current.as_ref().is_some_and(|current| known.disturbed >= current.since);
        // What a command took over from the one before could perhaps not be recorded.
        let failed = self.pages[node].failed;
        let owes = known.current.as_ref().is_some_and(|current| failed.is_some_and(|at| at >= current.accepted));
        use ResetType as R;
        let fits = match (intent.reset, order) {
            (R::On | R::ForceOn, PowerAction::On) | (R::ForceOff, PowerAction::Off) => true,
            (R::GracefulShutdown, PowerAction::GracefulOff) => true,
            (R::PowerCycle | R::ForceRestart, PowerAction::Off) => stage == Stage::Cutting,
            (R::On | R::ForceOn, PowerAction::GracefulOff) => cut && intent.first == Some(R::GracefulShutdown),
            (R::On | R::ForceOn, PowerAction::GracefulReset) => cut && intent.first == Some(R::GracefulRestart),
            (R::On | R::ForceOn, PowerAction::Off | PowerAction::Cycle | PowerAction::Reset) => {
                cut && matches!(intent.first, Some(R::ForceOff | R::PowerCycle | R::ForceRestart))
            }
            (R::GracefulRestart, PowerAction::Off) => cut && intent.first == Some(R::ForceOff),
            (R::GracefulShutdown, PowerAction::Off) => intent.first == Some(R::ForceOff),
            (R::PowerCycle | R::ForceRestart | R::GracefulRestart, PowerAction::On) => cut || seen_off || other || owes,
            (R::PowerCycle, PowerAction::Cycle) | (R::ForceRestart, PowerAction::Reset) => cut,
            (R::GracefulRestart, PowerAction::GracefulReset) => cut,
            (R::Nmi, PowerAction::On) => owed || restored || owes,
            (R::Nmi, PowerAction::Nmi) => stage == Stage::Restoring,
            _ => false,
        };
        if !fits {
            let words =
                format!("the order {order:?} while the command on record is {:?} in stage {stage:?}", intent.reset);
            self.broken(node, "durable-first", words);
        }
        let again = |current: &Current| current.taken.contains(&order);
        if order.is_momentary() && self.nodes[node].current.as_ref().is_some_and(again) {
            self.broken(node, "no-second-restart", format!("{order:?} was taken and is sent again"));
        }
        let force = boot.in_force();
        let shown = self.view(node).map_or(BootTarget::None, |view| view.boot.in_force());
        let applies = self.devices[self.nodes[node].device].make == Make::Engine;
        let unread = self.nodes[node].reading.is_none();
        if unread && self.nodes[node].current.as_ref().is_some_and(|current| current.restored) {
            self.broken(
                node,
                "read-back",
                format!("{order:?} for a command from the journal before anything was read"),
            );
        }
        let wakes =
            self.nodes[node].reading.is_some_and(|reading| reading.power == Power::Asleep) && order == PowerAction::On;
        let fitting = if wakes { BootTarget::None } else { shown };
        // What was decided at this moment may have been decided before the change.
        let changed_now = self.nodes[node].boot_changed == Some(self.now());
        // One that was used while someone was changing it is not used again, whatever becomes of that change.
        let changing = force == BootTarget::None && self.pages[node].waiting() > 0;
        if applies && order.boots() && force != fitting && !changed_now && !changing {
            self.broken(node, "boot-once", format!("{order:?} carries {force:?} while {shown:?} is in force"));
        }
        if force != BootTarget::None && (!applies || force != shown && !changed_now || !order.boots()) {
            self.broken(node, "boot-once", format!("{order:?} carries {force:?} while {shown:?} is in force"));
        }
    }

    /// What our order turned off stays off for the dwell before our order turns it on.
    fn check_dwell(&mut self, node: usize, order: PowerAction) {
        let now = self.now();
        let known = &self.nodes[node];
        let device = &self.devices[known.device];
        let ours = device.turns.back().is_some_and(|(at, last)| {
            // A machine that was asked politely goes off when it likes, unseen if it tells late.
            let tells = device.lately + SETTLED < device.turned;
            let knows = *last == PowerAction::Off || tells && known.reading.is_some_and(|r| r.power == Power::Off);
            last.leads_to() == Power::Off
                && knows
                && known.disturbed < *at
                && device.outside.is_none_or(|outside| outside < *at)
        });
        // An engine takes up to 4 s to follow; where that is not seen, the dwell counts from the order.
        let dwell = if device.make == Make::Engine { DWELL - Duration::from_secs(4) } else { DWELL };
        if ours && order == PowerAction::On && device.power == Power::Off && now < device.turned + dwell {
            let words = format!("an order to turn on {:?} after it went off", now - device.turned);
            self.broken(node, "dwell", words);
        }
    }

    /// What another process, or an actor that fell, saw go off stays off for the dwell, as far as it is on record.
    fn check_kept_dwell(&mut self, node: usize, order: PowerAction) {
        let (now, wall) = (self.now(), self.clock().now().wall);
        let known = &self.nodes[node];
        let Some((at, Some(seen))) = &known.loaded else { return };
        let still = known.reading.is_none_or(|r| r.power == Power::Off && r.before == Some(Power::Off));
        let undisturbed = self.jumped < *at && known.disturbed <= *at;
        let off_for = Wall(wall.0 - (now - *at).as_millis() as i64).since(seen.since).min(DWELL);
        let was_off = order == PowerAction::On && seen.power == Power::Off;
        if was_off && still && undisturbed && now + off_for + GRAIN < *at + DWELL {
            let words =
                format!("an order to turn on {:?} after a restart that found it off for {off_for:?}", now - *at);
            self.broken(node, "dwell", words);
        }
    }

    /// A renewal drops the session before the next operation.
    fn check_renewal(&mut self, node: usize) {
        let now = self.now();
        let known = &mut self.nodes[node];
        known.renewed.1 = None;
        if known.renewed.0.is_some_and(|at| at < now) {
            self.broken(node, "renewal", "an operation begins with the session that someone renewed".into());
        }
    }

    /// Polls leave a device alone for a while, if nothing else happens.
    fn check_poll(&mut self, node: usize) {
        let now = self.now();
        let known = &self.nodes[node];
        if let Some((end, least)) = known.polled.filter(|(end, least)| known.current.is_none() && now < *end + *least) {
            self.broken(node, "poll-pace", format!("a poll {:?} after the last one, not {least:?}", now - end));
        }
    }

    /// A command for a device that is well, and whose state is known, is not kept waiting by a poll.
    fn check_overtaking(&mut self, node: usize) {
        let now = self.now();
        let known = &self.nodes[node];
        let (Some(current), Some(reading)) = (&known.current, known.reading) else { return };
        let first = match current.reset {
            ResetType::On | ResetType::ForceOn if current.first.is_none() => Power::On,
            _ => Power::Off,
        };
        // A slow disk only makes a poll fall due while the command waits for it.
        let calm = known.disturbed.max(self.device_calm_since(node)).max(known.found);
        let settled = known.last_order.is_none_or(|at| at + SETTLED < current.since);
        if current.accepted == now
            && !current.answered
            && !current.restored
            && reading.power != first
            && reading.at < current.since
            && settled
            && self.devices[known.device].make == Make::Plug
            && calm + FOUND < current.since
            && self.view(node).is_some_and(|view| view.connectivity.up() && view.command.is_some())
        {
            self.broken(node, "overtake", format!("a poll goes before {} of {}", current.reset, current.by));
        }
    }

    /// A reading reached the actor.
    pub fn delivered(&mut self, node: usize, (epoch, wiring): (u32, u64), started: Duration, power: Option<Power>) {
        self.trace(node, What::Read(power));
        let (at, moment) = (self.now(), self.clock().now());
        let known = &mut self.nodes[node];
        if let Some(power) = power.filter(|_| epoch == known.epoch) {
            let before = known.reading.map(|reading| reading.power);
            let before = before.or(known.loaded.as_ref().and_then(|(_, seen)| seen.as_ref()).map(|seen| seen.power));
            known.boots &= power != Power::On;
            let reading = Reading { at, mono: moment.mono, wall: moment.wall, started, wiring, power, before };
            // An actor that was not told yet that it has another device notes what it read.
            *(if wiring == known.wiring { &mut known.reading } else { &mut known.outdated }) = Some(reading);
        }
    }

    /// The actor of a node is built: what it finds in the journal.
    pub fn loads(&mut self, node: usize, record: &NodeRecord) {
        self.drain();
        let now = self.now();
        self.trace(node, What::Note("the journal is read for it"));
        let known = &mut self.nodes[node];
        (known.loaded, known.disturbed) = (Some((now, record.seen.clone())), now);
        (known.reading, known.dead, known.polled) = (None, None, None);
        let page = &mut self.pages[node];
        let untold = record.intent.as_ref().is_some_and(|intent| page.untold.contains(intent));
        let lost = match &record.seen {
            _ if record.boot.as_ref().map_or(0, |boot| boot.writes) < page.boot_writes() => Some("a boot override"),
            seen if self.disk.closed && *seen != page.memory.seen => Some("what was last seen"),
            _ if self.disk.closed && record.intent != page.memory.intent && !untold => Some("the end of a command"),
            _ => None,
        };
        page.found(now, record);
        if let Some(lost) = lost {
            self.broken(node, "nothing-lost", format!("{lost} is not in the journal any more: {record:?}"));
        }
        let known = &mut self.nodes[node];
        (known.renewed, known.scan_due, known.used_up, known.handed) = ((None, None), None, None, false);
        known.causes.push_back((now, false));
        known.used.values_mut().for_each(|(_, doubts)| *doubts += 1);
        known.writes = record.boot.as_ref().map_or(0, |boot| boot.writes);
        (known.consumed, known.boot_saves, known.patches) = (0, 0, known.asking as u64);
        if let (Some(before), Some(intent)) = (&known.current, &record.intent)
            && before.by != intent.by
        {
            known.promised = still_promised(known.promised, before, intent.reset);
        }
        match (&known.current, &record.intent) {
            (None, None) => {}
            (Some(current), None) => {
                let words = format!("{} of {} is not in the journal any more", current.reset, current.by);
                self.broken(node, "nothing-lost", words);
            }
            (Some(current), Some(intent)) if intent.number < current.number => {
                let words = format!("{} of {} is gone, an older one is there", current.reset, current.by);
                self.broken(node, "nothing-lost", words);
            }
            (before, Some(intent)) => {
                if before.as_ref().is_none_or(|before| before.by != intent.by) {
                    // It had ended already and comes back, or no one was told yet that it was accepted.
                    known.ghost = true;
                    known.expect = None;
                }
                known.current = Some(current_of(intent, now, true));
            }
        }
    }

    /// The actor remembers what it saw: that must be what was read.
    pub fn notes(&mut self, node: usize, seen: &SeenRecord) {
        let known = &mut self.nodes[node];
        known.reading = known.outdated.take().filter(|reading| reading.wall == seen.at).or(known.reading);
        let reading = known.reading;
        // The actor of a node that was taken out ends its operation beside the one that was put back.
        let alone = self.nodes[node].moved + ACTORS_OVERLAP < self.now();
        if let Some(view) = self.view(node).filter(|view| alone && view.seen_at != Some(seen.at)) {
            let words = format!("{} is noted while the picture is of {:?}", seen.at, view.seen_at);
            self.broken(node, "only-what-was-seen", words);
        }
        if reading.is_some_and(|reading| reading.wall == seen.at && reading.power != seen.power) {
            self.broken(node, "only-what-was-seen", format!("{} is noted and {reading:?} was read", seen.power));
        }
    }

    /// The actor writes its intent.
    pub fn writes_journal(&mut self, node: usize) {
        self.drain();
        self.check_view(node);
        if self.pages[node].waiting() > 4 {
            let words = format!("{} writes of one node are under way", self.pages[node].waiting());
            self.broken(node, "bounded", words);
        }
    }

    /// The actor writes its boot override.
    pub fn writes_boot(&mut self, node: usize, writes: u64) {
        self.writes_journal(node);
        let known = &mut self.nodes[node];
        known.boot_saves += 1;
        if known.boot_saves > known.patches + known.consumed {
            let words = format!("the change number {writes} is written and no one changed anything");
            self.broken(node, "etag", words);
        }
    }
}
