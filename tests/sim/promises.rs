//! The laws, second part: events, views and answers of the fleet compared with the truth, and guarantees over time.

use std::sync::Arc;
use std::time::Duration;

use plugfish::testing::node::event::{Event, EventKind};
use plugfish::testing::node::journal::Stage;
use plugfish::testing::node::view::NodeView;
use plugfish::testing::node::{BootEnabled, Power, PowerAction, ResetType};
use tokio::sync::broadcast::error::TryRecvError;

use super::answers::still_promised;
use super::hardware::Make;
use super::laws::{ACTORS_OVERLAP, DWELL, FOUND, SETTLED, current_of, end_of, restarts};
use super::report::What;
use super::world::{Current, State};

/// Two polls with their spread.
const TWO_POLLS: Duration = Duration::from_secs(33);

/// The longest time that a command may take that owes nothing: its deadline (that of a polite one), both legs of a cycle, and
/// an operation that was under way.
const COMMAND_LIMIT: Duration = Duration::from_secs(150 + 20 + 50);

/// From acceptance to the first order, on a device that is well: the operation under way, a login, a reading, the gate.
const FIRST_ORDER: Duration = Duration::from_secs(8);

/// After so many failures in a row ...
const GIVEN_UP: u32 = 8;

/// ... in this time every device is given up: also an engine, whose silence is ordinary for a minute.
const SILENT: Duration = Duration::from_secs(140);

/// What happened to a node is remembered up to this number.
const HAPPENINGS_MAX: usize = 200;

/// The device is tried this soon after someone renewed its session, if no other operation is under way.
const RENEWED: Duration = Duration::from_secs(60);

/// Clients that may wait for one node at once: 64 that join, one for each of 16 writes, and a mailbox of 32.
const ASKING_MAX: usize = 128;

impl State {
    /// Hears all events that were told.
    pub fn drain(&mut self) {
        loop {
            match self.events.as_mut().map(|events| events.try_recv()) {
                Some(Ok(event)) => self.heard(event),
                Some(Err(TryRecvError::Lagged(_))) => self.broken(0, "simulation", "events were missed".into()),
                _ => return,
            }
        }
    }

    fn heard(&mut self, event: Event) {
        let node = self.index(&event.node);
        let now = self.now();
        self.trace(node, What::Tells(event.what.clone()));
        if !matches!(event.what, EventKind::HealthChanged(_) | EventKind::Added | EventKind::Removed) {
            self.nodes[node].told = (self.nodes[node].told.0 + 1, event.number);
        }
        match event.what {
            EventKind::CommandAccepted { reset, by, first } => self.accepted(node, reset, by, first),
            EventKind::CommandDone { reset, .. } => {
                if let Some(current) = self.ends(node, reset) {
                    self.check_done(node, &current);
                    self.check_promised(node, &current);
                }
            }
            EventKind::CommandSuperseded { reset, by } => {
                let before = self.ends(node, reset);
                let known = &mut self.nodes[node];
                if let Some(before) = &before {
                    known.asked_politely = before.asked || before.given.contains(&PowerAction::GracefulOff);
                    known.promised = still_promised(known.promised, before, by);
                }
                let before = before.filter(|current| current.owed);
                let seen_on =
                    known.reading.filter(|reading| reading.power != Power::Off).map(|reading| reading.started);
                // An interrupt goes to a machine that was seen to run: nothing is owed to it any more.
                known.handed = before.is_some_and(|current| {
                    current.reset != ResetType::Nmi || seen_on.is_none_or(|started| started < current.since)
                });
            }
            EventKind::CommandFailed { reset, why } => {
                let Some(current) = self.ends(node, reset) else { return };
                (self.nodes[node].expect, self.nodes[node].promised) = (None, None);
                let device = &self.devices[self.nodes[node].device];
                let mut landed = self.pages[node].landed.iter();
                let cut = landed.find(|(_, intent)| intent.by == current.by && intent.stage == Stage::Cutting);
                let ours = cut.is_some_and(|(at, _)| {
                    device.turns.back().is_some_and(|(turned, order)| turned >= at && *order == PowerAction::Off)
                        && device.outside.is_none_or(|outside| outside < *at)
                });
                if ours && device.power == Power::Off && end_of(reset) == Some(Power::On) {
                    return self.broken(
                        node,
                        "never-left-off",
                        format!("{reset} cut the power and was given up: {why}"),
                    );
                }
                let polite =
                    |reset| matches!(reset, ResetType::GracefulShutdown | ResetType::GracefulRestart | ResetType::Nmi);
                let polite = polite(reset) || current.first.is_some_and(polite);
                if !polite && !current.restored && self.calm_since(node) + FOUND < current.since {
                    self.broken(node, "done-or-reported", format!("all is well and {reset} fails: {why}"));
                }
            }
            EventKind::CommandOverdue { .. } => {
                // It says what is not done any more.
                self.nodes[node].promised = None;
                if let Some(current) = self.nodes[node].current.as_mut() {
                    current.overdue = true;
                }
            }
            EventKind::BootChanged { .. } => self.nodes[node].boot_changed = Some(now),
            EventKind::BootConsumed => self.consumed(node),
            EventKind::Revived => {
                let fell = self.nodes[node].fell.take();
                self.nodes[node].disturbed = now;
                if let Some(at) = fell.filter(|at| now < *at + Duration::from_secs(1)) {
                    self.broken(node, "backoff", format!("an actor is restarted {:?} after it fell", now - at));
                }
            }
            _ => {}
        }
    }

    fn accepted(&mut self, node: usize, reset: ResetType, by: String, first: Option<ResetType>) {
        let now = self.now();
        let landed = self.pages[node].landed.iter().find(|(_, intent)| intent.by == by && intent.reset == reset);
        let Some((_, intent)) = landed.cloned() else {
            return self.broken(node, "durable-first", format!("{reset} of {by} is accepted and not on the disk"));
        };
        if let Some(before) = &self.nodes[node].current {
            let words = format!("{} of {} is forgotten for {reset} of {by}", before.reset, before.by);
            return self.broken(node, "done-or-reported", words);
        }
        let shuts_down = self.devices[self.nodes[node].device].shuts_down.is_some();
        let dead = self.nodes[node].dead.is_some_and(|dead| dead.since + SILENT < dead.last);
        if dead
            && self
                .view(node)
                .is_some_and(|view| view.connectivity.failures >= GIVEN_UP && view.connectivity.held_until.is_none())
        {
            self.broken(node, "refused-at-once", format!("{reset} is accepted and the device is given up"));
        }
        let known = &mut self.nodes[node];
        let owed = std::mem::take(&mut known.handed) && end_of(reset) != Some(Power::Off);
        let asked = std::mem::take(&mut known.asked_politely);
        (known.current, known.polled) = (Some(Current { owed, first, asked, ..current_of(&intent, now, false) }), None);
        known.expect = match end_of(reset) {
            Some(power) => Some(power),
            // An interrupt takes the place of an off that was not done yet; a cut that was made is restored.
            None => known.expect.filter(|power| *power == Power::On),
        };
        if shuts_down && known.expect == Some(Power::On) {
            // A machine that was asked to shut down may do so after the next command was seen to be done.
            known.expect = None;
        }
    }

    fn ends(&mut self, node: usize, reset: ResetType) -> Option<Current> {
        let known = &mut self.nodes[node];
        match known.current.take_if(|current| current.reset == reset) {
            Some(current) => Some(current),
            None if known.ghost => None,
            None => {
                self.broken(node, "done-or-reported", format!("the end of {reset}, which no one knows"));
                None
            }
        }
    }

    /// A command that is called done was read back, and is true.
    fn check_done(&mut self, node: usize, current: &Current) {
        let known = &self.nodes[node];
        let device = &self.devices[known.device];
        let wanted = end_of(current.reset).unwrap_or(Power::On);
        let read_back = known.reading.filter(|reading| reading.started >= current.since && reading.power == wanted);
        let undisturbed = known.disturbed < current.since && device.outside.is_none_or(|at| at < current.since);
        let restarts = restarts(current.reset) || current.reset == ResetType::Nmi;
        let seen_to_boot = known.reading.is_some_and(|reading| reading.before == Some(Power::Off));
        let restarted = seen_to_boot || current.given.iter().any(|order| order.boots() || *order == PowerAction::Nmi);
        // A polite request does nothing yet, and an interrupt nothing to the power: nothing tells a late reading from a
        // true one.
        let quiet = matches!(current.reset, ResetType::GracefulShutdown | ResetType::Nmi);
        // An actor that was rebuilt does not know of the orders before it.
        let new = known.loaded.as_ref().is_some_and(|(at, _)| self.now() < *at + SETTLED);
        let unknowable = (quiet || new) && device.is_late(self.now());
        let words = if read_back.is_none() {
            format!("{} is called done, and the last reading is {:?}", current.reset, known.reading)
        } else if undisturbed && device.moving.is_none() && device.power != wanted && !unknowable {
            format!("{} is called done, and the power is {}", current.reset, device.power)
        } else if undisturbed && restarts && !current.restored && !restarted {
            format!("{} is called done, and it was given {:?} for it", current.reset, current.given)
        } else {
            return;
        };
        self.broken(node, "read-back", words);
    }

    fn consumed(&mut self, node: usize) {
        self.collect_boots(node);
        let now = self.now();
        let shown = self.view(node).is_some_and(|view| view.boot.enabled == BootEnabled::Once);
        if shown && self.pages[node].boot_landed.0 != now {
            self.broken(node, "boot-once", "an override is said to be used up and is still in force".into());
        }
        let (writes, calm_since) = (self.boot_writes(node), self.calm_since(node));
        let known = &mut self.nodes[node];
        (known.consumed, known.used_up) = (known.consumed + 1, Some(now));
        let device = &self.devices[known.device];
        let quiet = device.outside.is_none_or(|at| at + FOUND < now);
        let used = match device.make {
            // The change of one that had been used meanwhile could not be written.
            Make::Plug => {
                let booted = known.reading.is_some_and(|r| r.power == Power::On && r.before == Some(Power::Off));
                booted || self.pages[node].failed.is_some_and(|at| now < at + Duration::from_secs(1))
            }
            // The number that is shown is that of after its use.
            Make::Engine => {
                let used = writes.checked_sub(1).and_then(|writes| known.used.get(&writes));
                // A machine whose state is told late may be on when it is turned on.
                used.is_some_and(|(count, doubts)| count + doubts > 0) || !quiet || calm_since + FOUND > now
            }
        };
        if !used {
            self.broken(node, "boot-once", "an override is said to be used up, and no boot used it".into());
        }
    }

    /// A login was refused: there are not many of them, and each but the first has a cause.
    pub fn login_refused(&mut self, node: usize) {
        let now = self.now();
        let known = &mut self.nodes[node];
        known.refused.push_back(now);
        let held = Duration::from_secs(29 * 60);
        known.refused.retain(|at| now < *at + held);
        known.causes.retain(|(at, _)| now < *at + held);
        let minute = Duration::from_secs(55);
        let soon = known.refused.iter().filter(|at| now < **at + minute).count();
        let causes_soon = known.causes.iter().filter(|(at, by_client)| !by_client && now < *at + minute).count();
        if known.refused.len() > 1 + known.causes.len() || soon > 2 + causes_soon {
            let words = format!("{} refused logins in {held:?}, {soon} in {minute:?}", known.refused.len());
            self.broken(node, "login-hold", words);
        }
    }

    /// A command in the place of one that cut the power has its claim to an On on record.
    pub fn check_claim(&mut self, node: usize) {
        let record = self.pages[node].memory.intent.as_ref();
        let unclaimed = record.filter(|intent| intent.stage == Stage::Accepted);
        let Some(current) = self.nodes[node].current.as_ref().filter(|c| unclaimed.is_some_and(|i| i.by == c.by))
        else {
            return;
        };
        if current.owed
            && end_of(current.reset) != Some(Power::Off)
            && self.pages[node].failed.is_none_or(|at| at < current.accepted)
        {
            let words = format!("{} takes the place of a command that cut the power, and owes nothing", current.reset);
            self.broken(node, "never-left-off", words);
        }
    }

    /// A restart that was taken is on record before anything else.
    pub fn check_restart_recorded(&mut self, node: usize) {
        let record = self.pages[node].memory.intent.as_ref();
        let cutting = record.filter(|intent| intent.stage == Stage::Cutting);
        let Some(current) = self.nodes[node].current.as_ref().filter(|c| cutting.is_some_and(|i| i.by == c.by)) else {
            return;
        };
        let taken = current.taken.iter().any(|order| order.is_momentary());
        // One that was given up at its deadline is not repeated after a crash either.
        if taken && !current.restored && !current.overdue && self.disk_full.max(self.disk_slow) < current.accepted {
            let words = format!("{} was taken, and the record says that it may have been sent", current.reset);
            self.broken(node, "durable-first", words);
        }
    }

    /// The laws about all nodes.
    pub fn sweep(&mut self) {
        self.drain();
        for node in 0..self.nodes.len() {
            if self.nodes[node].present {
                self.collect_boots(node);
                self.check_view(node);
                self.check_node(node);
            }
        }
    }

    fn check_node(&mut self, node: usize) {
        let now = self.now();
        let Some(view) = self.view(node) else { return };
        let device = self.nodes[node].device;
        self.devices[device].advance(now);
        let calm = self.calm_since(node);
        let known = &mut self.nodes[node];
        if let Some(dead) = known.dead.as_mut() {
            let rate = if view.command.is_some() { 4.0 } else { 50.0 };
            dead.allowed += (now - dead.swept).as_secs_f64() / rate;
            dead.swept = now;
            let extra = known.causes.iter().filter(|(at, _)| *at >= dead.since).count() * 8;
            if dead.tries as f64 > dead.allowed + extra as f64 {
                let words = format!("{} tries in {:?}", dead.tries, now - dead.since);
                return self.broken(node, "backoff", words);
            }
        }
        let known = &self.nodes[node];
        if let Some(current) = &known.current {
            let age = now - current.accepted;
            let owed =
                matches!(current.reset, ResetType::PowerCycle | ResetType::ForceRestart | ResetType::GracefulRestart)
                    || current.overdue
                    || self.pages[node].memory.intent.as_ref().is_some_and(|intent| intent.stage != Default::default());
            if age > COMMAND_LIMIT + DWELL * 6
                && !current.overdue
                && self.disk_slow.max(self.disk_full) < current.accepted
            {
                let words = format!("{} is not done after {age:?}, and no one was told", current.reset);
                return self.broken(node, "done-or-reported", words);
            }
            if age > COMMAND_LIMIT && !owed {
                return self.broken(node, "done-or-reported", format!("{} has no end after {age:?}", current.reset));
            }
            // A machine that was asked to go off may do so during the dwell, which begins again then.
            // One that lets it do so may give no order at all before, nor may one that asks for what was asked already.
            let polite = current.first == Some(ResetType::GracefulShutdown)
                || current.asked && current.reset == ResetType::GracefulShutdown;
            let waits = age > FIRST_ORDER + DWELL * 2 && !current.answered && !current.restored && !polite;
            if waits && calm + FOUND < current.since && view.connectivity.up() {
                return self.broken(node, "overtake", format!("{} waits for {age:?}", current.reset));
            }
        }
        let unwritten =
            view.writes > self.pages[node].boot_writes() && self.disk_slow.max(self.disk_full) + FOUND < now;
        let at_leisure = known.used_up.is_some_and(|at| self.disk_slow.max(self.disk_full) < at && at + DWELL < now);
        if unwritten && at_leisure {
            return self.broken(node, "durable-first", "that an override was used up is not written".into());
        }
        if let Some(at) = known.renewed.1.filter(|at| *at + RENEWED < now && known.fell.is_none()) {
            return self.broken(
                node,
                "renewal",
                format!("nothing was tried since someone renewed the session at {at:?}"),
            );
        }
        let entry = self.fleet.as_ref().and_then(|fleet| fleet.find(known.id.as_str()));
        let happenings = entry.map(|entry| entry.happenings());
        let newest = happenings.as_ref().and_then(|happenings| happenings.first()).map_or(0, |event| event.number);
        let remembered = (happenings.map_or(0, |happenings| happenings.len()), newest);
        if now < known.moved + ACTORS_OVERLAP {
            // What the one before still tells is not remembered.
            self.nodes[node].told = remembered;
        } else if remembered != (known.told.0.min(HAPPENINGS_MAX), known.told.1) {
            let words = format!("{remembered:?} is remembered of {:?} that were told", known.told);
            return self.broken(node, "told-once", words);
        }
        if now > calm + FOUND + TWO_POLLS && view.connectivity.held_until.is_none() {
            self.check_truth(node, &view);
        }
    }

    /// A client asks: not too many do so at one time.
    pub fn check_asking(&mut self, node: usize) {
        let asking = self.nodes[node].asking;
        if asking > ASKING_MAX {
            self.broken(node, "bounded", format!("{asking} clients wait for one node"));
        }
    }

    /// Nothing is wrong for a while: everything is true.
    fn check_truth(&mut self, node: usize, view: &Arc<NodeView>) {
        let now = self.now();
        let known = &self.nodes[node];
        let device = &self.devices[known.device];
        let age = now.saturating_sub(known.reading.map_or(Duration::ZERO, |reading| reading.at));
        // A machine that was asked politely goes off when it likes.
        let settled = device.moving.is_none() && device.turned + TWO_POLLS < now;
        let quiet = known.last_order.is_none_or(|at| at + FOUND < now) && settled;
        // Someone may have renewed a refused login just now.
        let renewed = known.causes.back().is_some_and(|(at, _)| now < *at + FOUND);
        let is_true = view.power == Some(device.power) || State::is_fenced(node) && view.power.is_none();
        let words = if !view.connectivity.up() && !renewed {
            format!("the device is well and not found: {:?}", view.connectivity)
        } else if known.dead.is_some() {
            return;
        } else if age > TWO_POLLS && now > known.found + TWO_POLLS {
            format!("the last reading is {age:?} old")
        } else if quiet && known.current.is_none() && !is_true {
            format!("{:?} is shown and it is {}", view.power, device.power)
        } else if quiet && known.current.is_none() && known.expect.is_some_and(|power| power != device.power) {
            format!("it should be {:?} and is {}", known.expect, device.power)
        } else {
            return;
        };
        self.broken(node, "true-again", words);
    }

    /// At the end, long after the last fault.
    pub fn at_the_end(&mut self) {
        self.sweep();
        for node in 0..self.nodes.len() {
            let Some(view) = self.view(node) else { continue };
            if view.connectivity.held_until.is_some() && !self.shape.patient {
                continue;
            }
            let known = &self.nodes[node];
            let device = &self.devices[known.device];
            let once = view.boot.enabled == BootEnabled::Once && device.make == Make::Engine;
            let used = known.used.get(&view.writes).is_some_and(|(count, doubts)| *count > 0 && *doubts == 0);
            let entry = self.fleet.as_ref().and_then(|fleet| fleet.find(known.id.as_str()));
            let happenings = entry.map_or(0, |entry| entry.happenings().len());
            let odd = view.conditions.iter().find(|c| !matches!(c.message, "CommandFailed" | "DeviceNotice"));
            let (law, words) = if let Some(current) = &known.current {
                ("done-or-reported", format!("{} of {} never ended", current.reset, current.by))
            } else if view.command.is_some() || self.pages[node].memory.intent.is_some() {
                ("done-or-reported", format!("a command is left over: {:?}", view.command))
            } else if view.power != Some(device.power) || !view.connectivity.up() || odd.is_some() {
                ("true-again", format!("shown {:?}, true {}, {odd:?}", view.power, device.power))
            } else if known.expect.is_some_and(|power| power != device.power) {
                ("never-left-off", format!("it was left {} and should be {:?}", device.power, known.expect))
            } else if once && used {
                ("boot-once", "an override that was used is still in force".into())
            } else if device.corners_then > 0 && device.corners == device.corners_then {
                ("true-again", "there are corners to look into, and no one does".into())
            } else if happenings > HAPPENINGS_MAX {
                ("bounded", format!("{happenings} happenings are remembered"))
            } else {
                continue;
            };
            self.broken(node, law, words);
        }
    }
}
