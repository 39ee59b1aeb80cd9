//! Machines behind an outlet that are asked to shut down: cut when they have, and never before.

use super::measured::{WATTS, board, with_policy};
use super::*;
use crate::node::{AfterShutdown, Graceful, PowerSource, ShutdownHook};

const DEADLINE: Duration = Duration::from_secs(150);

/// A machine that runs and shuts down this long after it is asked.
fn polite(source: PowerSource, after: AfterShutdown, obeys: Option<Duration>) -> World {
    let graceful = Graceful { hook: ShutdownHook::Exec(Vec::new()), deadline: DEADLINE, after };
    let policy = PowerPolicy { source, watts: Some(WATTS), graceful: Some(graceful) };
    let mut world = with_policy(Power::On, true, policy);
    board(&mut world).obeys = obeys;
    assert!(world.view().resets.contains(&ResetType::GracefulShutdown));
    world
}

const SOURCES: [PowerSource; 2] = [PowerSource::Relay, PowerSource::Measured];

fn ended(world: &World) -> (usize, usize) {
    let done = world.was_told(|what| matches!(what, EventKind::CommandDone { .. }));
    (done, world.was_told(|what| matches!(what, EventKind::CommandFailed { .. })))
}

fn cuts(world: &World) -> usize {
    world.writes.iter().filter(|(_, power)| *power == Power::Off).count()
}

#[test]
fn a_machine_that_shuts_down_is_cut_then() {
    for source in SOURCES {
        for takes in [0, 5, 40, 120] {
            let mut world = polite(source, AfterShutdown::Cut, Some(secs(takes)));
            world.reset(1, ResetType::GracefulShutdown);
            world.run(secs(takes + 30));
            assert_eq!((ended(&world), world.relay, cuts(&world)), ((1, 0), Power::Off, 1), "{source:?} {takes}");
            assert_eq!((world.cut_running, board(&mut world).times_asked), (0, 1), "{source:?} {takes}");
            assert_eq!(world.view().power, Some(Power::Off));
        }
    }
}

#[test]
fn its_outlet_may_stay_on() {
    let mut world = polite(PowerSource::Measured, AfterShutdown::Leave, Some(secs(5)));
    world.reset(1, ResetType::GracefulShutdown);
    world.run(secs(40));
    assert_eq!((ended(&world), world.relay, world.view().power), ((1, 0), Power::On, Some(Power::Off)));
    assert_eq!(cuts(&world), 0);
}

#[test]
fn one_that_ignores_it_keeps_its_power_and_its_client_is_told_why() {
    for source in SOURCES {
        for reset in [ResetType::GracefulShutdown, ResetType::GracefulRestart] {
            let mut world = polite(source, AfterShutdown::Cut, None);
            world.reset(1, reset);
            world.run(DEADLINE + secs(60));
            assert_eq!((ended(&world), cuts(&world)), ((0, 1), 0), "{source:?} {reset}: {:?}", world.told);
            assert_eq!((board(&mut world).times_asked, world.view().power), (1, Some(Power::On)));
            if reset == ResetType::GracefulShutdown {
                let says = |what: &EventKind| matches!(what, EventKind::CommandFailed { why, .. } if why.contains("still draws 28.0 W"));
                assert_eq!(world.was_told(says), 1, "{:?}", world.told);
            }
        }
    }
}

#[test]
fn a_restart_shuts_down_cuts_and_starts() {
    for source in SOURCES {
        for after in [AfterShutdown::Cut, AfterShutdown::Leave] {
            let mut world = polite(source, after, Some(secs(8)));
            world.reset(1, ResetType::GracefulRestart);
            world.run(secs(90));
            assert_eq!((ended(&world), world.relay, world.cut_running), ((1, 0), Power::On, 0), "{source:?} {after:?}");
            assert!(board(&mut world).runs_since.is_some() && world.dwells()[0] >= secs(10));
        }
    }
}

#[test]
fn a_machine_that_runs_again_before_the_cut_is_not_cut() {
    for millis in (0..12_000).step_by(250) {
        let mut world = polite(PowerSource::Measured, AfterShutdown::Cut, Some(secs(2)));
        world.reset(1, ResetType::GracefulShutdown);
        world.until(|world| world.board.as_ref().unwrap().off_at.is_some_and(|at| world.now >= at));
        world.run(Duration::from_millis(millis));
        if cuts(&world) > 0 {
            continue;
        }
        let now = world.now;
        let board = board(&mut world);
        (board.runs_since, board.off_at, board.boot, board.obeys) = (Some(now), None, Duration::ZERO, None);
        world.run(DEADLINE + secs(60));
        let last_read = |cut: Duration| world.reads.iter().rev().find(|read| **read < cut).copied();
        if world.cut_running > 0 {
            let cut = world.writes.iter().find(|(_, power)| *power == Power::Off).unwrap().0;
            assert!(last_read(cut).unwrap() <= now, "{millis}: it was seen to run, and cut");
            assert!(cut - now < secs(1), "{millis}: the look was older than that");
        }
    }
}

#[test]
fn a_crash_between_the_request_and_the_cut_finishes_it() {
    for source in SOURCES {
        for reset in [ResetType::GracefulShutdown, ResetType::GracefulRestart] {
            for at in 0..40 {
                let mut world = polite(source, AfterShutdown::Cut, Some(secs(8)));
                world.reset(1, reset);
                world.until(|world| world.answered(1).is_some());
                world.run(Duration::from_millis(at * 700));
                world.crash(secs(2));
                world.run(secs(200));
                let ends = if reset == ResetType::GracefulShutdown { Power::Off } else { Power::On };
                assert_eq!(
                    (world.relay, world.view().command),
                    (ends, None),
                    "{source:?} {reset} {at}: {:?}",
                    world.told
                );
                assert_eq!(world.cut_running, 0, "{source:?} {reset} {at}");
            }
        }
    }
}

#[test]
fn a_force_off_takes_the_place_of_a_shutdown_and_an_on_comes_after_it() {
    let mut world = polite(PowerSource::Measured, AfterShutdown::Cut, None);
    world.reset(1, ResetType::GracefulShutdown);
    world.run(secs(10));
    world.reset(2, ResetType::ForceOff);
    world.run(secs(10));
    assert_eq!((world.relay, world.view().command), (Power::Off, None));
    let mut world = polite(PowerSource::Measured, AfterShutdown::Cut, Some(secs(20)));
    world.reset(1, ResetType::GracefulShutdown);
    world.run(secs(10));
    world.reset(2, ResetType::On);
    world.run(secs(120));
    assert_eq!((world.relay, world.cut_running, world.view().power), (Power::On, 0, Some(Power::On)));
    assert!(board(&mut world).runs_since.is_some_and(|since| since > secs(70)), "what was acknowledged was done first");
}

#[test]
fn nothing_is_offered_that_no_one_can_do() {
    let world = super::measured::measured(Power::On, true);
    assert!(!world.view().resets.contains(&ResetType::GracefulShutdown), "no hook");
    let mut world = polite(PowerSource::Relay, AfterShutdown::Cut, Some(secs(1)));
    world.reset(1, ResetType::ForceOff);
    world.run(secs(20));
    assert!(!world.view().resets.contains(&ResetType::GracefulShutdown), "it is off");
}

/// A machine that was turned on a moment ago does not draw yet: it is not one that shut down.
#[test]
fn a_machine_that_boots_has_not_shut_down() {
    for source in SOURCES {
        for millis in (0..20_000).step_by(500) {
            let mut world = polite(source, AfterShutdown::Cut, Some(secs(6)));
            board(&mut world).boot = secs(9);
            world.reset(1, ResetType::ForceRestart);
            world.until(|world| world.dwells().len() == 1);
            world.run(Duration::from_millis(millis));
            world.reset(2, ResetType::GracefulRestart);
            world.run(secs(250));
            assert_eq!((world.relay, world.view().command), (Power::On, None), "{source:?} {millis}");
            let asked = board(&mut world).times_asked;
            assert!(cuts(&world) == 1 || asked >= 1, "{source:?} {millis}: it was cut while it booted");
        }
    }
}
