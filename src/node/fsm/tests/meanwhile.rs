//! Commands that come while another one is under way, and devices that are replaced meanwhile.

use super::engine::engine;
use super::*;
use crate::node::journal::Stage;

#[test]
fn an_on_takes_over_the_claim_of_a_cycle_when_the_command_between_could_not_be_recorded() {
    let mut world = World::new(Power::On);
    world.run(secs(1));
    world.reset(1, ResetType::PowerCycle);
    world.run(secs(3));
    world.reset(2, ResetType::ForceOff);
    world.reset(3, ResetType::On);
    world.disk_full = true;
    world.save_one();
    world.disk_full = false;
    world.mood = Mood::Away;
    world.run(secs(600));
    assert_eq!(world.disk.intent.as_ref().map(|intent| intent.stage), Some(Stage::Restoring));
    world.mood = Mood::Well;
    world.run(secs(90));
    assert_eq!((world.relay, &world.disk.intent), (Power::On, &None));
}

#[test]
fn a_cycle_does_not_join_one_that_has_turned_the_node_on_again() {
    for (before, cuts) in [(Power::On, 2), (Power::Off, 1)] {
        let mut world = World::settled(before);
        world.reset(1, ResetType::PowerCycle);
        while world.writes.last().is_none_or(|(_, power)| *power != Power::On) {
            world.run(Duration::from_millis(10));
        }
        assert!(world.view().command.is_some(), "it is on, and that was not read yet");
        world.reset(2, ResetType::PowerCycle);
        world.run(secs(30));
        assert_eq!(world.writes.iter().filter(|(_, power)| *power == Power::Off).count(), cuts, "{:?}", world.writes);
        assert_eq!((world.relay, world.answered(2), world.view().command), (Power::On, Some(&Ok(())), None));
        assert!(world.dwells().last().is_some_and(|dwell| *dwell >= secs(10)), "{:?}", world.dwells());
    }
}

#[test]
fn an_on_that_takes_the_place_of_a_cycle_waits_for_its_dwell() {
    let mut world = World::settled(Power::On);
    world.reset(1, ResetType::PowerCycle);
    world.run(secs(2));
    assert_eq!(world.relay, Power::Off);
    world.reset(2, ResetType::On);
    world.run(secs(20));
    assert_eq!(world.relay, Power::On);
    assert!(world.dwells()[0] >= secs(10));
}

#[test]
fn an_off_whose_answer_is_lost_after_a_doubtful_on_begins_the_dwell_anew() {
    let mut world = World::settled(Power::Off);
    world.run(secs(30));
    world.mood = Mood::Away;
    world.reset(1, ResetType::On);
    world.run(Duration::from_millis(500));
    world.mood = Mood::Well;
    world.reset(2, ResetType::PowerCycle);
    world.until(|world| matches!(world.running, Some((Op::PowerAction(PowerAction::Off, _), ..))));
    // The On arrives late, and the answer to the Off is lost.
    world.turn(Power::On);
    world.mood = Mood::Mute;
    world.next(secs(60));
    assert_eq!(world.relay, Power::Off);
    world.mood = Mood::Well;
    world.run(secs(60));
    assert_eq!(world.relay, Power::On);
    assert!(world.dwells().last().is_some_and(|dwell| *dwell >= secs(10)), "{:?}", world.dwells());
}

#[test]
fn a_restart_that_takes_the_place_of_a_cycle_is_not_begun_without_a_record() {
    let mut world = engine(Power::On);
    world.engine.system = true;
    world.run(secs(20));
    world.reset(1, ResetType::PowerCycle);
    world.save_one();
    world.until(|world| !world.saves.is_empty());
    world.reset(2, ResetType::GracefulRestart);
    world.save_one();
    world.save_one();
    world.disk_full = true;
    world.save_one();
    world.disk_full = false;
    world.run(secs(60));
    assert_eq!((&world.engine.orders[..], world.relay), (&[][..], Power::On));
    assert_eq!(world.was_told(|h| matches!(h, EventKind::CommandFailed { .. })), 1);
}

#[test]
fn an_off_that_may_be_lost_is_given_again_while_the_on_before_it_was_not_seen() {
    let mut world = World::settled(Power::Off);
    world.mood = Mood::Ignores;
    world.reset(1, ResetType::On);
    world.run(Duration::from_millis(100));
    world.reset(2, ResetType::ForceOff);
    world.until(|world| matches!(world.running, Some((Op::PowerAction(PowerAction::Off, _), ..))));
    world.mood = Mood::Away;
    world.next(secs(60));
    world.mood = Mood::Well;
    assert_eq!(world.writes.len(), 1, "the Off did not arrive");
    world.run(secs(30));
    assert_eq!(world.writes.iter().map(|(_, power)| *power).collect::<Vec<_>>(), [Power::On, Power::Off]);
    assert_eq!((world.view().command, world.view().power), (None, Some(Power::Off)));
}

#[test]
fn what_fails_and_is_late_with_its_on_says_both() {
    let mut world = engine(Power::On);
    world.run(secs(20));
    world.mood = Mood::NotReady;
    world.reset(1, ResetType::PowerCycle);
    world.run(secs(3));
    // The On was to do the off first, which could not be recorded; nor can the cycle that it does first now.
    world.reset(2, ResetType::ForceOff);
    world.reset(3, ResetType::On);
    world.disk_full = true;
    world.save_one();
    world.disk_full = false;
    world.save_one();
    world.disk_full = true;
    world.save_one();
    world.disk_full = false;
    world.turn(Power::Asleep);
    world.run(secs(100));
    let says = |h: &EventKind| matches!(h, EventKind::CommandOverdue { why, .. } if why.contains("no space left") && why.contains("left on"));
    assert_eq!((world.answered(3), world.was_told(says)), (Some(&Ok(())), 1), "{:?}", world.told);
    assert!(world.view().conditions.iter().any(|condition| condition.text.contains("no space left")));
}

#[test]
fn a_restart_that_is_not_offered_after_a_cut_leaves_the_node_on() {
    let mut world = engine(Power::On);
    world.engine.system = true;
    world.run(secs(20));
    world.mood = Mood::Ignores;
    world.reset(1, ResetType::PowerCycle);
    world.until(|world| matches!(world.running, Some((Op::PowerAction(..), ..))));
    world.reset(2, ResetType::GracefulRestart);
    world.save_one();
    world.engine.system = false;
    world.until(|world| matches!(world.running, Some((Op::Read, ..))));
    world.next(secs(60));
    // The machine was seen on, and follows the cycle after all.
    world.mood = Mood::Well;
    world.turn(Power::Off);
    world.run(secs(60));
    assert_eq!((world.relay, world.answered(2), world.view().command), (Power::On, Some(&Ok(())), None));
    assert_eq!(world.was_told(|h| matches!(h, EventKind::CommandFailed { .. })), 1);
}

#[test]
fn a_node_that_is_given_another_device_is_read_there_before_it_is_switched() {
    let mut world = World::settled(Power::On);
    world.reset(1, ResetType::PowerCycle);
    world.run(secs(3));
    assert_eq!(world.relay, Power::Off);
    // Its On would be due after the dwell; the new plug is on.
    world.turn(Power::On);
    let (reads, writes) = (world.reads.len(), world.writes.len());
    world.input(Input::Reconfigured { spec: world.spec.clone(), rewired: true });
    world.run(secs(30));
    assert!(world.reads.len() > reads);
    assert_eq!((world.writes.len(), world.relay, world.view().command), (writes, Power::On, None));
}

#[test]
fn what_the_device_before_said_is_not_taken_for_the_new_one() {
    let mut world = World::settled(Power::On);
    world.run(secs(60));
    world.until(|world| matches!(world.running, Some((Op::Read, ..))));
    world.reset(1, ResetType::ForceRestart);
    world.save_one();
    // The one before is off when it is read at last, and the new one is on.
    world.input(Input::Reconfigured { spec: world.spec.clone(), rewired: true });
    let told = world.told.len();
    world.relay = Power::Off;
    world.operate();
    world.relay = Power::On;
    assert!(matches!(world.running, Some((Op::Read, ..))), "{:?}", world.running);
    world.run(secs(60));
    let changes = |happening: &&EventKind| matches!(happening, EventKind::PowerChanged { cause: Cause::Outside, .. });
    assert_eq!(world.told[told..].iter().filter(changes).count(), 0, "{:?}", &world.told[told..]);
    assert_eq!(world.writes.iter().map(|(_, power)| *power).collect::<Vec<_>>(), [Power::Off, Power::On]);
}

#[test]
fn an_interrupt_that_may_be_lost_does_not_fail_the_command_after_it() {
    let mut world = engine(Power::On);
    world.run(secs(20));
    world.reset(1, ResetType::Nmi);
    world.until(|world| matches!(world.running, Some((Op::PowerAction(PowerAction::Nmi, _), ..))));
    world.mood = Mood::Mute;
    world.reset(2, ResetType::ForceOff);
    world.save_one();
    world.operate();
    world.mood = Mood::Well;
    world.run(secs(30));
    assert_eq!((world.relay, world.engine.interrupts, world.view().command), (Power::Off, 1, None));
    assert_eq!(world.was_told(|h| matches!(h, EventKind::CommandFailed { .. })), 0);
}
