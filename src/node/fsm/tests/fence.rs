//! Nodes that are fenced: nothing is taken for off that was not seen off lately; and measurements that carry their time.

use super::engine::engine;
use super::*;

const AGE: Duration = Duration::from_secs(40);

fn fenced(power: Power) -> World {
    let mut world = World::with_rules(power, Timings { fence_age_max: Some(AGE), ..Timings::default() });
    world.run(secs(20));
    assert_eq!(world.view().power, Some(power));
    world
}

fn done(world: &World) -> usize {
    world.was_told(|h| matches!(h, EventKind::CommandDone { .. }))
}

#[test]
fn a_state_that_was_not_confirmed_lately_is_unknown() {
    let mut world = fenced(Power::Off);
    let seen = world.view().seen_mono.unwrap().since_start();
    world.mood = Mood::Away;
    // The button of the plug: nothing here learns of it.
    world.turn(Power::On);
    world.run(seen + AGE - world.now - Duration::from_millis(1));
    assert_eq!(world.view().power, Some(Power::Off), "it is as old as it may be");
    world.run(Duration::from_millis(1));
    assert_eq!((world.view().power, world.view().seen_mono.map(Mono::since_start)), (None, Some(seen)));
    world.run(secs(3600));
    assert_eq!(world.view().power, None);
    world.mood = Mood::Well;
    world.run(secs(70));
    assert_eq!(world.view().power, Some(Power::On));
    world.run(secs(300));
    assert_eq!(world.view().power, Some(Power::On), "polls keep it known");
}

#[test]
fn it_is_unknown_at_its_moment_also_while_the_device_keeps_us_waiting() {
    let mut world = fenced(Power::Off);
    world.latency = secs(3600);
    world.until(|world| world.running.is_some());
    let seen = world.view().seen_mono.unwrap().since_start();
    world.run(seen + AGE - world.now);
    assert_eq!(world.view().power, None);
}

#[test]
fn what_another_process_saw_and_what_another_device_said_is_unknown() {
    let mut world = fenced(Power::Off);
    world.mood = Mood::Away;
    world.crash(secs(1));
    assert_eq!(world.view().power, None);
    world.mood = Mood::Well;
    world.run(secs(70));
    assert_eq!(world.view().power, Some(Power::Off));
    world.mood = Mood::Away;
    world.input(Input::Reconfigured { spec: world.spec.clone(), rewired: true });
    assert_eq!(world.view().power, None);
}

#[test]
fn without_an_age_the_last_known_state_is_shown_for_ever() {
    let mut world = World::settled(Power::Off);
    world.mood = Mood::Away;
    world.run(secs(24 * 3600));
    assert_eq!(world.view().power, Some(Power::Off));
}

/// Whatever was seen before, and however the device fails: no reading, no "done".
#[test]
fn an_off_for_a_device_that_does_not_answer_is_never_done() {
    for is_engine in [false, true] {
        for before in [Power::On, Power::Off] {
            for mood in [Mood::Away, Mood::Mute, Mood::WrongPassword, Mood::Busy, Mood::Between] {
                let mut world = if is_engine { engine(before) } else { World::settled(before) };
                world.run(secs(20));
                world.mood = mood;
                // Behind it the machine runs.
                world.turn(Power::On);
                world.reset(1, ResetType::ForceOff);
                world.run(secs(300));
                let story = format!("{is_engine} {before} {mood:?}: {:?}", world.told);
                assert_eq!((world.answered(1), done(&world)), (Some(&Ok(())), 0), "{story}");
                assert_eq!(world.was_told(|h| matches!(h, EventKind::CommandFailed { .. })), 1, "{story}");
            }
        }
    }
}

#[test]
fn an_off_for_a_node_that_was_off_is_done_after_a_reading_and_not_before() {
    let mut world = fenced(Power::Off);
    world.turn(Power::On);
    let reads = world.reads.len();
    world.reset(1, ResetType::ForceOff);
    world.save_one();
    assert_eq!((done(&world), world.reads.len()), (0, reads + 1), "it is read first");
    world.run(secs(20));
    assert_eq!((world.relay, done(&world), world.writes.len()), (Power::Off, 1, 1));
}

#[test]
fn a_measurement_is_kept_with_its_time_and_said_of_no_machine_that_is_off() {
    let mut world = World::settled(Power::On);
    let (milliwatts, at, _) = world.view().measured.unwrap();
    assert_eq!((world.view().milliwatts, milliwatts), (Some(12_000), 12_000));
    world.meter = None;
    world.run(secs(15));
    assert_eq!((world.view().milliwatts, world.view().measured.map(|(_, at, _)| at)), (Some(12_000), Some(at)));
    world.reset(1, ResetType::ForceOff);
    world.run(secs(2));
    assert_eq!((world.view().power, world.view().milliwatts, world.view().measured), (Some(Power::Off), None, None));
    world.reset(2, ResetType::On);
    world.run(secs(12));
    assert_eq!((world.view().power, world.view().milliwatts), (Some(Power::On), None), "that was before it was off");
    assert_eq!(world.view().measured.map(|(milliwatts, at, _)| (milliwatts, at)), Some((12_000, at)));
    world.meter = Some(30_000);
    world.run(secs(6));
    assert_eq!(
        (world.view().milliwatts, world.view().measured.map(|(milliwatts, ..)| milliwatts)),
        (Some(30_000), Some(30_000))
    );
    world.meter = None;
    world.run(secs(61));
    assert_eq!(
        (world.view().milliwatts, world.view().measured.is_some()),
        (None, true),
        "it is not the draw of now any more"
    );
}

#[test]
fn a_change_is_looked_at_again_soon_and_then_as_ever() {
    let mut world = World::settled(Power::On);
    world.run(secs(20));
    world.turn(Power::Off);
    world.until(|world| world.view().power == Some(Power::Off));
    let (seen, reads) = (world.now, world.reads.len());
    world.run(secs(60));
    let after: Vec<u64> = world.reads[reads..].iter().map(|at| (*at - seen).as_secs()).collect();
    assert_eq!(after, [5, 20, 35, 50]);
}
