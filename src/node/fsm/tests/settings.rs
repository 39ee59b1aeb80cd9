//! A setting in the device itself: confirmed by a reading, or told as not known; never in the way of a command.

use super::engine::engine;
use super::*;

const TICKET: Ticket = 77;

fn plug() -> World {
    let mut world = World::new(Power::On);
    world.restore = Some(PowerRestore::LastState);
    world.run(secs(2));
    world
}

fn set(world: &mut World) {
    world.input(Input::SetPowerRestore { ticket: TICKET, policy: PowerRestore::AlwaysOn });
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
    world.input(Input::SetPowerRestore { ticket: 78, policy: PowerRestore::AlwaysOff });
    assert!(matches!(world.answered(78), Some(Err(Refusal::NotNow { .. }))), "one at a time");
    world.input(Input::Stop);
    assert!(matches!(world.answered(TICKET), Some(Err(_))), "{:?}", world.answers);
}
