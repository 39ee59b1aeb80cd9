//! Nodes whose power state is measured: the draw decides what is shown, the relay what is done.

use super::*;
use crate::node::{PowerSource, Watts};

/// The machine on the outlet.
#[derive(Clone, Debug)]
pub(super) struct Board {
    /// It starts when it gets power.
    pub starts: bool,
    /// How long it takes until it draws.
    pub boot: Duration,
    /// When it began to run, by the outlet or by its own button.
    pub runs_since: Option<Duration>,
    /// Its operating system shuts down when it is asked, this long after that.
    pub obeys: Option<Duration>,
    /// When it will have shut down.
    pub off_at: Option<Duration>,
    pub times_asked: usize,
}

impl Board {
    pub(super) fn powered(&mut self, power: Power, now: Duration) {
        (self.runs_since, self.off_at) = ((power == Power::On && self.starts).then_some(now), None);
    }

    pub(super) fn asked(&mut self, now: Duration) {
        self.times_asked += 1;
        if self.runs_since.is_some() {
            self.off_at = self.off_at.or(self.obeys.map(|after| now + after));
        }
    }

    /// It runs, or is about to.
    pub(super) fn runs(&self, now: Duration) -> bool {
        self.runs_since.is_some() && self.off_at.is_none_or(|at| now < at)
    }

    pub(super) fn draw(&self, relay: Power, now: Duration) -> u64 {
        match self.runs_since {
            _ if relay == Power::Off => 0,
            Some(since) if now >= since + self.boot && self.runs(now) => 28_000,
            _ => 900,
        }
    }
}

pub(super) const WATTS: Watts = Watts { off_below: 2_200, on_above: 6_500, settle: Duration::from_secs(10) };

/// A machine behind a plug, after a minute.
pub(super) fn measured(relay: Power, runs: bool) -> World {
    with_policy(relay, runs, PowerPolicy { source: PowerSource::Measured, watts: Some(WATTS), graceful: None })
}

pub(super) fn with_policy(relay: Power, runs: bool, policy: PowerPolicy) -> World {
    let mut world = World::new(relay);
    world.spec.policy = policy;
    world.metered = true;
    world.fsm = Fsm::new(world.spec.clone(), NodeRecord::default(), Mono::START, world.moment());
    world.board = Some(Board {
        starts: true,
        boot: secs(3),
        runs_since: runs.then_some(Duration::ZERO),
        obeys: None,
        off_at: None,
        times_asked: 0,
    });
    world.run(secs(60));
    world
}

pub(super) fn board(world: &mut World) -> &mut Board {
    world.board.as_mut().unwrap()
}

fn shown(world: &World) -> (Option<Power>, Option<Power>) {
    (world.view().power, world.view().relay)
}

const ON: (Option<Power>, Option<Power>) = (Some(Power::On), Some(Power::On));
const OFF: (Option<Power>, Option<Power>) = (Some(Power::Off), Some(Power::Off));
/// Off, with its outlet on.
const SHUT_DOWN: (Option<Power>, Option<Power>) = (Some(Power::Off), Some(Power::On));

#[test]
fn a_machine_that_shuts_itself_down_is_off_and_its_outlet_is_on() {
    let mut world = measured(Power::On, true);
    assert_eq!(shown(&world), ON);
    let off_at = world.now;
    board(&mut world).runs_since = None;
    world.until(|world| shown(world) == SHUT_DOWN);
    assert!(world.now - off_at <= secs(26), "{:?}", world.now - off_at);
    let outside = |what: &EventKind| {
        matches!(what, EventKind::PowerChanged { to: Power::Off, cause: Cause::Outside, measured: Some(900), .. })
    };
    assert_eq!(
        (world.was_told(outside), world.writes.len()),
        (1, 0),
        "it is told with its evidence, and nothing is cut"
    );
    // Someone presses its button.
    board(&mut world).runs_since = Some(world.now);
    world.run(secs(30));
    assert_eq!(shown(&world), ON);
}

#[test]
fn a_force_off_ends_with_the_relay_open_also_where_the_machine_is_off_already() {
    let mut world = measured(Power::On, false);
    assert_eq!(shown(&world), SHUT_DOWN);
    world.reset(1, ResetType::ForceOff);
    world.run(secs(10));
    assert_eq!((shown(&world), world.relay), (OFF, Power::Off));
    assert_eq!(world.was_told(|what| matches!(what, EventKind::CommandDone { .. })), 1);
    // A relay that does not follow: the machine draws nothing, and the command is not done.
    let mut world = measured(Power::On, false);
    world.mood = Mood::Ignores;
    world.reset(1, ResetType::ForceOff);
    world.run(secs(120));
    assert_eq!(world.was_told(|what| matches!(what, EventKind::CommandDone { .. })), 0);
    assert_eq!(world.was_told(|what| matches!(what, EventKind::CommandFailed { .. })), 1);
}

#[test]
fn on_is_done_when_the_machine_draws() {
    let mut world = measured(Power::Off, false);
    world.reset(1, ResetType::On);
    world.until(|world| world.view().relay == Some(Power::On));
    assert_eq!(shown(&world), SHUT_DOWN, "it has power and was not seen to run");
    assert!(world.view().command.is_some());
    world.run(secs(8));
    assert_eq!((shown(&world), world.view().command), (ON, None));
    assert_eq!(world.writes.len(), 1, "{:?}", world.writes);
}

#[test]
fn a_machine_that_is_off_with_its_outlet_on_is_started_by_a_cycle_with_its_dwell() {
    let mut world = measured(Power::On, false);
    let start = world.now;
    world.reset(1, ResetType::On);
    world.until(|world| shown(world) == ON && world.view().command.is_none());
    assert!(world.now - start < secs(45), "within Ironic's 60 s: {:?}", world.now - start);
    assert_eq!(world.dwells().len(), 1);
    assert!(world.dwells()[0] >= secs(10), "{:?}", world.dwells());
}

#[test]
fn a_machine_that_runs_at_the_last_look_is_not_cut() {
    for late in 0..40 {
        let mut world = measured(Power::On, false);
        // Its button is pressed at some moment around the command.
        world.run(Duration::from_millis(late * 50));
        board(&mut world).boot = Duration::ZERO;
        world.reset(1, ResetType::On);
        while world.writes.is_empty() && world.view().command.is_some() {
            if world.now >= secs(60) + Duration::from_millis(1_000) {
                let now = world.now;
                board(&mut world).runs_since.get_or_insert(now);
            }
            let end = world.now + secs(600);
            assert!(world.next(end));
        }
        // At each cut the last reading before it, at most 2 s old, showed a machine that does not run.
        if let Some((cut, Power::Off)) = world.writes.first() {
            let read = world.reads.iter().rev().find(|read| *read < cut).unwrap();
            assert!(*cut - *read <= secs(2) && *read + OP_TIME <= secs(61) + OP_TIME, "{late}: {read:?} {cut:?}");
        }
        world.run(secs(90));
        assert_eq!(shown(&world), ON, "{late}");
    }
}

#[test]
fn a_machine_that_does_not_start_with_its_power_is_told_and_keeps_it() {
    for (relay, cuts) in [(Power::Off, 0), (Power::On, 1)] {
        let mut world = measured(relay, false);
        board(&mut world).starts = false;
        world.reset(1, ResetType::On);
        world.run(secs(120));
        let why = "does not start when it gets it";
        let failed =
            |what: &EventKind| matches!(what, EventKind::CommandFailed { why: text, .. } if text.contains(why));
        assert_eq!((world.was_told(failed), shown(&world)), (1, SHUT_DOWN), "{:?}", world.told);
        assert_eq!(world.writes.iter().filter(|(_, power)| *power == Power::Off).count(), cuts);
        // A button press later mends it.
        board(&mut world).runs_since = Some(world.now);
        world.run(secs(40));
        assert_eq!((shown(&world), world.view().health), (ON, Health::OK));
    }
}

#[test]
fn a_restart_that_brings_no_machine_back_is_told() {
    let mut world = measured(Power::On, true);
    board(&mut world).starts = false;
    world.reset(1, ResetType::ForceRestart);
    world.run(secs(200));
    assert_eq!((shown(&world), world.view().command), (SHUT_DOWN, None));
    assert_eq!(world.was_told(|what| matches!(what, EventKind::CommandFailed { .. })), 1);
    assert_eq!(world.relay, Power::On, "the power is back");
}

#[test]
fn a_crash_while_a_machine_is_being_started_cuts_none_that_boots() {
    let mut world = measured(Power::Off, false);
    board(&mut world).boot = secs(9);
    world.reset(1, ResetType::On);
    world.until(|world| world.relay == Power::On);
    world.crash(secs(2));
    world.run(secs(60));
    assert_eq!((shown(&world), world.view().command), (ON, None));
    assert_eq!(world.writes.iter().filter(|(_, power)| *power == Power::Off).count(), 0, "{:?}", world.writes);
}

#[test]
fn a_crash_in_the_middle_of_a_starting_cycle_ends_with_a_machine_that_runs() {
    for step in 0..60 {
        let mut world = measured(Power::On, false);
        world.reset(1, ResetType::On);
        for _ in 0..step {
            let end = world.now + secs(60);
            world.next(end);
        }
        let acknowledged = world.answered(1) == Some(&Ok(()));
        world.crash(secs(3));
        world.run(secs(120));
        if acknowledged {
            assert_eq!((shown(&world), world.view().command), (ON, None), "crash after {step} steps");
        }
        assert!(world.dwells().iter().all(|dwell| *dwell >= secs(10)), "{step}: {:?}", world.dwells());
    }
}

#[test]
fn without_a_meter_the_relay_is_shown_and_it_is_told() {
    let mut world = measured(Power::On, false);
    assert_eq!(shown(&world), SHUT_DOWN);
    (world.board, world.meter, world.metered) = (None, None, false);
    world.run(secs(120));
    assert_eq!(shown(&world), ON);
    assert!(world.view().conditions.iter().any(|condition| condition.text.contains("measures nothing")));
}

#[test]
fn a_welded_relay_is_on_whatever_it_says() {
    let mut world = measured(Power::Off, false);
    (world.board, world.meter) = (None, Some(28_000));
    world.run(secs(60));
    assert_eq!(world.view().power, Some(Power::On));
    assert!(world.view().conditions.iter().any(|condition| condition.text.contains("welded")));
    world.reset(1, ResetType::ForceOff);
    world.run(secs(120));
    assert_eq!(
        world.was_told(|what| matches!(what, EventKind::CommandDone { .. })),
        0,
        "no fence is told that it is off"
    );
}

#[test]
fn a_relay_node_is_as_it_was() {
    let mut world = World::settled(Power::On);
    world.meter = Some(900);
    world.run(secs(120));
    assert_eq!((world.view().power, world.view().source), (Some(Power::On), PowerSource::Relay));
}

/// Whatever commands come, whenever a button is pressed, whenever the process dies: Off with the outlet on is shown of no machine
/// that has run for 20 s or longer, and only commands that cut take the power from one that draws.
#[test]
fn the_laws_of_measured_nodes() {
    for seed in 0..400 {
        let rng = crate::clock::Clock::simulated(seed, Wall(0));
        let mut world = measured(if seed % 2 == 0 { Power::On } else { Power::Off }, seed % 4 == 0);
        board(&mut world).starts = rng.below(4) > 0;
        let mut cuts_asked = false;
        for ticket in 0..30 {
            match rng.below(8) {
                0 => world.reset(ticket, ResetType::On),
                1 => {
                    let cuts = [ResetType::ForceOff, ResetType::ForceRestart, ResetType::PowerCycle];
                    world.reset(ticket, cuts[usize::try_from(rng.below(3)).unwrap()]);
                    cuts_asked = true;
                }
                2 if world.relay == Power::On => {
                    let now = world.now;
                    board(&mut world).runs_since.get_or_insert(now);
                }
                3 => board(&mut world).runs_since = None,
                4 => world.crash(secs(rng.below(5))),
                _ => {}
            }
            let end = world.now + Duration::from_millis(rng.below(20_000));
            while world.next(end) {
                let runs = world.board.as_ref().and_then(|board| board.runs_since).filter(|_| world.relay == Power::On);
                let runs_long = runs.is_some_and(|since| world.now > since + secs(20) + secs(3));
                if shown(&world) == SHUT_DOWN {
                    assert!(!runs_long, "seed {seed}: {:?} at {:?}", world.board, world.now);
                }
            }
            world.now = world.now.max(end);
            if !cuts_asked {
                let cut = world.cut_running;
                assert_eq!(cut, 0, "seed {seed}: a machine that ran was cut and no one asked for that");
            }
        }
    }
}
