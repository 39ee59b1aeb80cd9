//! Properties: random lives with faults, presses, crashes and jumping clocks.

use proptest::prelude::*;

use super::*;

/// What can happen in a random life.
#[derive(Clone, Debug)]
enum Step {
    Reset(ResetType),
    Feel(Mood),
    Press,
    Crash(u8),
    Full(bool),
    Wait(u16),
    Jump(i32),
}

fn step() -> impl Strategy<Value = Step> {
    let mood = prop::sample::select(vec![
        Mood::Well,
        Mood::Well,
        Mood::Away,
        Mood::Mute,
        Mood::Ignores,
        Mood::WrongPassword,
        Mood::Busy,
    ]);
    prop_oneof![
        4 => prop::sample::select(ResetType::ALL.to_vec()).prop_map(Step::Reset),
        2 => mood.prop_map(Step::Feel),
        1 => Just(Step::Press),
        2 => (0u8..20).prop_map(Step::Crash),
        1 => any::<bool>().prop_map(Step::Full),
        6 => (0u16..20_000).prop_map(Step::Wait),
        1 => (-100_000i32..100_000).prop_map(Step::Jump),
    ]
}

/// Lives through `steps`, then lets the device be well for two hours, and checks the laws.
fn live(first: Power, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::new(first);
    let mut accepted: Option<ResetType> = None;
    let mut pressed_since = false;
    for (ticket, step) in (0u64..).zip(steps) {
        match step {
            Step::Reset(reset) => world.reset(ticket, *reset),
            Step::Feel(mood) => world.mood = *mood,
            Step::Press => {
                let other = if world.relay == Power::On { Power::Off } else { Power::On };
                world.turn(other);
                pressed_since = true;
            }
            Step::Crash(gap) => world.crash(secs(u64::from(*gap))),
            Step::Full(full) => world.disk_full = *full,
            Step::Wait(ms) => world.run(Duration::from_millis(u64::from(*ms))),
            Step::Jump(ms) => world.wall_skew += i64::from(*ms),
        }
        while !world.saves.is_empty() {
            world.save_one();
        }
        if let Step::Reset(reset) = step
            && world.answered(ticket) == Some(&Ok(()))
        {
            accepted = Some(*reset);
            pressed_since = false;
        }
        // Never an invented value.
        if let Some(shown) = world.view().power {
            prop_assert!(world.relay_log.iter().any(|(_, power)| *power == shown));
        }
    }
    world.disk_full = false;
    world.mood = Mood::Well;
    world.run(secs(2 * 3600));
    let failed = world.was_told(|h| matches!(h, EventKind::CommandFailed { .. }));
    // Everything is true again, and nothing is left over.
    prop_assert_eq!(world.view().power, Some(world.relay));
    prop_assert_eq!(world.view().command, None);
    prop_assert_eq!(world.disk.intent.clone(), None);
    prop_assert!(!world.view().connectivity.breaker_open);
    // What was acknowledged last came true or was reported, unless someone pressed the button since.
    if let Some(reset) = accepted
        && !pressed_since
        && failed == 0
    {
        let wanted = if reset == ResetType::ForceOff { Power::Off } else { Power::On };
        prop_assert_eq!(world.relay, wanted, "after {}: {:?}", reset, world.told);
    }
    // A cycle never leaves a node off: it is off only if someone asked for that or pressed the button.
    let someone = steps.iter().any(|step| matches!(step, Step::Press | Step::Reset(ResetType::ForceOff)));
    if first == Power::On && !someone {
        prop_assert_eq!(world.relay, Power::On, "{:?}", world.told);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn the_laws_hold_in_any_life(on in any::<bool>(), steps in prop::collection::vec(step(), 1..40)) {
        live(if on { Power::On } else { Power::Off }, &steps)?;
    }

    #[test]
    fn a_relay_is_never_closed_sooner_than_the_dwell_after_our_off(
        asks in prop::collection::vec((0u16..15_000, prop::sample::select(ResetType::ALL.to_vec())), 1..30)
    ) {
        let mut world = World::settled(Power::On);
        for (ticket, (wait, reset)) in (0u64..).zip(&asks) {
            world.reset(ticket, *reset);
            world.run(Duration::from_millis(u64::from(*wait)));
        }
        world.run(secs(60));
        prop_assert!(world.dwells().iter().all(|dwell| *dwell >= secs(10)), "{:?}", world.dwells());
    }
}
