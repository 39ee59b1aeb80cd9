//! A setting in the device itself: confirmed by a reading, or told as not known; never in the way of a command.

use super::engine::engine;
use super::*;
use crate::node::BootEnabled;

const TICKET: Ticket = 77;

fn plug() -> World {
    let mut world = World::new(Power::On);
    world.restore = Some(PowerRestore::LastState);
    world.run(secs(2));
    world
}

fn wanted(ticket: Ticket, policy: PowerRestore, if_match: Option<Vec<u64>>) -> Input {
    Input::SetPowerRestore { ticket, policy, by: "admin".into(), if_match }
}

fn set(world: &mut World) {
    world.input(wanted(TICKET, PowerRestore::AlwaysOn, None));
}

#[test]
fn a_client_is_answered_when_the_device_shows_it() {
    let mut world = plug();
    assert!(world.view().sets_power_restore);
    let reads = world.reads.len();
    set(&mut world);
    assert_eq!(world.answered(TICKET), None, "nothing is known yet");
    world.run(secs(1));
    assert_eq!(world.answered(TICKET), Some(&Ok(())));
    assert_eq!((world.told_restore, world.restore), (1, Some(PowerRestore::AlwaysOn)));
    assert!(world.reads.len() > reads, "it was read back");
    assert_eq!(world.view().about.as_ref().and_then(|about| about.power_restore), Some(PowerRestore::AlwaysOn));
    assert_eq!(world.writes, [], "no relay was touched");
}

/// What a device does with it, how often it is told then, and whether its client is told that it is done.
#[test]
fn what_is_not_confirmed_is_told_as_that() {
    for (mood, told, ends) in [
        (Mood::Ignores, 3, "still shows LastState"),
        (Mood::Away, 1, "it is unreachable"),
        (Mood::Mute, 1, "it is timeout"),
        (Mood::Refuses, 1, "it is refused"),
        (Mood::WrongPassword, 1, "it is auth"),
    ] {
        let mut world = plug();
        world.mood = mood;
        set(&mut world);
        world.run(secs(20));
        let Some(Err(refusal)) = world.answered(TICKET) else { panic!("{mood:?}: {:?}", world.answers) };
        assert!(refusal.to_string().contains(ends), "{mood:?}: {refusal}");
        assert!(world.told_restore >= told && world.told_restore <= 3, "{mood:?}: {}", world.told_restore);
        let is_certain = matches!(mood, Mood::Refuses | Mood::WrongPassword);
        assert_eq!(matches!(refusal, Refusal::NotNow { .. }), is_certain, "{mood:?}: {refusal:?}");
        world.mood = Mood::Well;
        world.run(secs(3600));
        assert!(world.told_restore <= 3, "{mood:?}: it is given up then");
    }
}

#[test]
fn a_lost_answer_is_found_by_the_reading() {
    let mut world = plug();
    world.mood = Mood::Mute;
    set(&mut world);
    world.until(|world| world.told_restore == 1);
    world.mood = Mood::Well;
    world.run(secs(8));
    assert_eq!(world.answered(TICKET), Some(&Ok(())));
}

#[test]
fn a_command_goes_first_and_neither_loses_the_other() {
    let mut world = plug();
    set(&mut world);
    world.input(Input::Reset { ticket: 1, reset: ResetType::ForceOff, by: "admin".into() });
    world.run(secs(8));
    assert_eq!((world.answered(1), world.answered(TICKET)), (Some(&Ok(())), Some(&Ok(()))));
    assert_eq!((world.relay, world.restore), (Power::Off, Some(PowerRestore::AlwaysOn)));
}

#[test]
fn it_is_refused_where_it_cannot_be_done() {
    let mut other = engine(Power::On);
    set(&mut other);
    assert!(matches!(other.answered(TICKET), Some(Err(Refusal::NotNow { .. }))), "{:?}", other.answers);
    let mut silent = World::new(Power::On);
    silent.run(secs(2));
    assert!(!silent.view().sets_power_restore, "it does not say what it does");
    let mut world = plug();
    set(&mut world);
    world.input(wanted(78, PowerRestore::AlwaysOff, None));
    assert!(matches!(world.answered(78), Some(Err(Refusal::NotNow { .. }))), "one at a time");
    world.input(Input::Stop);
    assert!(matches!(world.answered(TICKET), Some(Err(_))), "{:?}", world.answers);
}

#[test]
fn it_moves_the_change_number_and_keeps_to_it() {
    let mut world = plug();
    let number = world.view().writes;
    world.input(wanted(1, PowerRestore::AlwaysOn, Some(vec![number + 1])));
    assert!(matches!(world.answered(1), Some(Err(Refusal::Changed { .. }))), "{:?}", world.answers);
    world.input(wanted(2, PowerRestore::AlwaysOn, Some(vec![number])));
    world.run(secs(2));
    assert_eq!((world.answered(2), world.view().writes), (Some(&Ok(())), number + 1));
    assert_eq!(world.was_told(|what| matches!(what, EventKind::PowerRestoreSet { .. })), 1);
    world.input(wanted(3, PowerRestore::AlwaysOff, Some(vec![number])));
    assert!(matches!(world.answered(3), Some(Err(Refusal::Changed { .. }))), "{:?}", world.answers);
    world.crash(secs(1));
    assert_eq!(world.view().writes, number + 1, "it is durable");
}

#[test]
fn an_override_that_is_used_while_the_change_number_moves_stays_used() {
    let mut world = plug();
    world.input(Input::Reset { ticket: 1, reset: ResetType::ForceOff, by: "admin".into() });
    world.run(secs(20));
    let once = BootPatch { enabled: Some(BootEnabled::Once), target: Some(BootTarget::Pxe), ..BootPatch::default() };
    world.input(Input::PatchBoot { ticket: 2, patch: once, by: "admin".into(), if_match: None });
    world.run(secs(1));
    let number = world.view().writes;
    set(&mut world);
    world.until(|world| world.saves.iter().any(|save| matches!(save, Save::Boot(_))));
    // The button: the next reading, which is asked for here, ends before the write does.
    world.relay = Power::On;
    world.input(Input::ResetSession);
    world.now += OP_TIME;
    world.operate();
    assert_eq!(world.fsm.boot.boot.enabled, BootEnabled::Once, "it waits for the write");
    world.run(secs(2));
    assert_eq!((world.fsm.boot.boot.enabled, world.answered(TICKET)), (BootEnabled::Disabled, Some(&Ok(()))));
    assert_eq!(world.view().writes, number + 2);
    assert_eq!(world.disk.boot.as_ref().map(|record| record.boot.enabled), Some(BootEnabled::Disabled));
}

#[test]
fn a_change_number_that_cannot_be_written_is_told() {
    let mut world = plug();
    let number = world.view().writes;
    world.disk_full = true;
    set(&mut world);
    world.run(secs(2));
    assert!(matches!(world.answered(TICKET), Some(Err(Refusal::Unconfirmed { .. }))), "{:?}", world.answers);
    assert_eq!((world.restore, world.view().writes), (Some(PowerRestore::AlwaysOn), number));
}
