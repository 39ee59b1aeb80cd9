//! Each command in the place of each other one, at every stage of it: what was acknowledged is done, or it is told that it
//! was not.

use proptest::prelude::*;

use super::engine::engine;
use super::*;

/// What may go wrong once, some steps after the last command.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    Nothing,
    /// The device acts, and the answer is lost.
    AnswerLost,
    /// It says ok and does nothing.
    Ignored,
    /// It does not take orders.
    NotReady,
    /// The process dies.
    Crash,
    /// A write fails.
    DiskFull,
}

const TROUBLES: [Trouble; 6] =
    [Trouble::Nothing, Trouble::AnswerLost, Trouble::Ignored, Trouble::NotReady, Trouble::Crash, Trouble::DiskFull];

/// What an acknowledged command is worth when another one took its place.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Owed {
    /// The node is off for a while: by force.
    Cut(Duration),
    /// The same, as the system likes.
    Off(Duration),
    /// The system restarts.
    Restart(Duration),
}

fn restarts(reset: ResetType) -> bool {
    matches!(reset, ResetType::PowerCycle | ResetType::ForceRestart | ResetType::GracefulRestart)
}

/// What is owed once `by` took the place of `old`, which was asked for at `asked`.
fn owed(before: Option<Owed>, old: ResetType, asked: Duration, by: ResetType) -> Option<Owed> {
    let own = match old {
        ResetType::ForceOff => Some(Owed::Cut(asked)),
        ResetType::GracefulShutdown => Some(Owed::Off(asked)),
        _ => restarts(old).then_some(Owed::Restart(asked)),
    };
    let cut = |owed: &Owed| matches!(owed, Owed::Cut(_));
    match by {
        ResetType::On | ResetType::ForceOn => before.filter(cut).or(own.filter(cut)).or(before).or(own),
        ResetType::ForceOff | ResetType::Nmi => None,
        _ => before.filter(cut).or(own.filter(cut)),
    }
}

impl World {
    fn is_paid(&self, owed: Owed) -> bool {
        let off = |since: Duration| {
            let before = self.relay_log.iter().rev().find(|(at, _)| *at <= since);
            let later = self.relay_log.iter().any(|(at, power)| *at >= since && *power == Power::Off);
            later || before.is_some_and(|(_, power)| *power == Power::Off)
        };
        match owed {
            Owed::Cut(since) | Owed::Off(since) => off(since),
            Owed::Restart(since) => off(since) || self.engine.restarts.iter().any(|at| *at >= since),
        }
    }
}

fn world(is_engine: bool, power: Power, latency: Duration) -> World {
    let mut world = if is_engine { engine(power) } else { World::settled(power) };
    world.latency = latency;
    // Whatever it was before, its dwell is over.
    world.run(secs(31));
    world
}

/// Asks for each command that many steps after the one before, lets one thing go wrong that many steps after the last one,
/// and checks what came of it. False when the last command came after the end of all others.
fn live(mut world: World, asks: &[(ResetType, usize)], trouble: Trouble, after: usize) -> bool {
    if trouble == Trouble::Ignored && world.spec.kind.applies_boot {
        // That a restart was taken is all that there is to see of it.
        return false;
    }
    let mut asked = Vec::new();
    let mut meets = true;
    for (ticket, (reset, steps)) in (0u64..).zip(asks) {
        for _ in 0..*steps {
            world.next(world.now + secs(60));
        }
        meets = ticket == 0 || world.view().command.is_some() || !world.saves.is_empty();
        asked.push((*reset, world.now));
        world.reset(ticket, *reset);
    }
    for _ in 0..after {
        world.next(world.now + secs(60));
    }
    match trouble {
        Trouble::Nothing => {}
        Trouble::AnswerLost => world.mood = Mood::Mute,
        Trouble::Ignored => world.mood = Mood::Ignores,
        Trouble::NotReady => world.mood = Mood::NotReady,
        Trouble::Crash => world.crash(secs(1)),
        Trouble::DiskFull => world.disk_full = true,
    }
    world.next(world.now + secs(60));
    (world.mood, world.disk_full) = (Mood::Well, false);
    world.run(secs(500));
    check(&world, &asked, &format!("{asks:?} {trouble:?} after {after}"));
    meets
}

fn check(world: &World, asked: &[(ResetType, Duration)], story: &str) {
    let told = || format!("{story}: {:?}, {:?}, {:?}", world.told, world.relay_log, world.engine.orders);
    let when =
        |reset: ResetType| asked.iter().find(|(other, _)| *other == reset).map(|(_, at)| *at).unwrap_or_default();
    let (mut current, mut promised, mut end) = (None, None, None);
    for happening in &world.told {
        match happening {
            EventKind::CommandAccepted { reset, .. } => current = Some(*reset),
            EventKind::CommandSuperseded { reset, by } => promised = owed(promised, *reset, when(*reset), *by),
            EventKind::CommandDone { reset, .. } => {
                // The process died before it could tell that this one took the place of the other.
                if let Some(old) = current.filter(|old| old != reset) {
                    promised = owed(promised, old, when(old), *reset);
                }
                assert!(promised.is_none_or(|owed| world.is_paid(owed)), "{promised:?}: {}", told());
                (current, promised, end) = (None, None, Some(Ok(*reset)));
            }
            EventKind::CommandFailed { .. } => (current, promised, end) = (None, None, Some(Err(()))),
            _ => {}
        }
    }
    assert_eq!((world.view().command, world.disk.intent.clone()), (None, None), "{}", told());
    let wanted = match end {
        Some(Ok(ResetType::ForceOff | ResetType::GracefulShutdown)) => Some(Power::Off),
        Some(Ok(ResetType::Nmi) | Err(())) | None => None,
        Some(Ok(_)) => Some(Power::On),
    };
    assert!(wanted.is_none_or(|power| power == world.relay), "{}", told());
    // Of those that were acknowledged the newest one decides, also where it was joined by another.
    let acknowledged = (0u64..).zip(asked).filter(|(ticket, _)| world.answered(*ticket) == Some(&Ok(())));
    let (last, off) = (acknowledged.last().map(|(_, (reset, _))| *reset), ResetType::ForceOff);
    if let (Some(last), Some(Ok(_))) = (last, end) {
        assert!((last == off) <= (world.relay == Power::Off), "{}", told());
        assert!(!matches!(last, ResetType::On | ResetType::ForceOn) || world.relay == Power::On, "{}", told());
    }
    assert!(world.engine.interrupts <= asked.iter().filter(|(reset, _)| *reset == ResetType::Nmi).count());
    assert!(world.dwells().iter().all(|dwell| *dwell >= secs(10)), "{}", told());
}

/// Every pair, at every stage of the first one.
fn walk(is_engine: bool, power: Power, latency: Duration, trouble: Trouble) {
    let world = world(is_engine, power, latency);
    for first in ResetType::ALL {
        for second in ResetType::ALL {
            let afters = if trouble == Trouble::Nothing { 1 } else { 8 };
            for after in 0..afters {
                for steps in 0..60 {
                    if !live(world.clone(), &[(first, 0), (second, steps)], trouble, after) {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn every_pair_of_commands_at_every_stage_of_the_first_one() {
    for power in [Power::On, Power::Off] {
        for latency in [OP_TIME, secs(1)] {
            walk(false, power, latency, Trouble::Nothing);
            walk(true, power, latency, Trouble::Nothing);
        }
    }
}

#[test]
fn every_pair_of_commands_when_one_thing_goes_wrong() {
    for trouble in TROUBLES {
        walk(false, Power::On, OP_TIME, trouble);
        walk(true, Power::On, OP_TIME, trouble);
    }
}

#[test]
fn an_on_right_after_an_off_cuts_the_power_and_boots_from_what_was_set_between_them() {
    for is_engine in [false, true] {
        let mut world = world(is_engine, Power::On, OP_TIME);
        world.reset(1, ResetType::ForceOff);
        world.save_one();
        let patch = BootPatch {
            target: Some(BootTarget::Pxe),
            enabled: Some(crate::node::BootEnabled::Once),
            ..BootPatch::default()
        };
        world.input(Input::PatchBoot { ticket: 2, patch, by: "admin".into(), if_match: None });
        world.save_one();
        world.reset(3, ResetType::On);
        world.run(secs(60));
        assert!((1..=3).all(|ticket| world.answered(ticket) == Some(&Ok(()))));
        assert_eq!((world.relay, world.dwells().len(), world.view().command), (Power::On, 1, None));
        assert!(world.dwells()[0] >= secs(10), "{:?}", world.dwells());
        assert_eq!(world.engine.boots, if is_engine { vec![BootTarget::Pxe] } else { vec![] });
        assert_eq!(world.view().boot.enabled, crate::node::BootEnabled::Disabled, "used by that boot");
        let said = |h: &EventKind| {
            matches!(h, EventKind::CommandAccepted { reset: ResetType::On, first: Some(ResetType::ForceOff), .. })
        };
        assert_eq!(world.was_told(said), 1);
    }
}

#[test]
fn an_off_that_waits_for_a_device_that_is_away_is_done_before_the_on_after_it() {
    let mut world = world(false, Power::On, OP_TIME);
    world.mood = Mood::Away;
    world.reset(1, ResetType::ForceOff);
    world.run(secs(5));
    world.reset(2, ResetType::On);
    world.run(secs(5));
    world.crash(secs(5));
    assert_eq!(world.disk.intent.as_ref().and_then(|intent| intent.first), Some(ResetType::ForceOff));
    world.mood = Mood::Well;
    world.run(secs(40));
    assert_eq!((world.relay, world.dwells().len(), world.view().command), (Power::On, 1, None));
}

#[test]
fn an_off_that_could_not_be_recorded_is_not_made_for_the_on_after_it() {
    let mut world = world(false, Power::On, OP_TIME);
    world.reset(1, ResetType::ForceOff);
    world.reset(2, ResetType::On);
    world.disk_full = true;
    world.save_one();
    world.disk_full = false;
    world.run(secs(60));
    assert!(matches!(world.answered(1), Some(Err(Refusal::CannotWrite { .. }))));
    assert_eq!((world.answered(2), world.writes.len(), world.relay), (Some(&Ok(())), 0, Power::On));
}

#[test]
fn an_on_after_a_polite_shutdown_never_makes_it_a_hard_one() {
    let mut world = world(true, Power::On, OP_TIME);
    world.reset(1, ResetType::GracefulShutdown);
    world.run(secs(1));
    world.reset(2, ResetType::On);
    world.run(secs(60));
    let orders: Vec<PowerAction> = world.engine.orders.iter().map(|(_, order)| *order).collect();
    assert_eq!((orders, world.relay), (vec![PowerAction::GracefulOff, PowerAction::On], Power::On));

    let mut deaf = engine(Power::On);
    deaf.mood = Mood::Ignores;
    deaf.reset(1, ResetType::GracefulShutdown);
    deaf.run(secs(1));
    deaf.reset(2, ResetType::On);
    deaf.run(secs(200));
    assert_eq!(deaf.relay_log.len(), 1);
    assert_eq!(deaf.was_told(|h| matches!(h, EventKind::CommandFailed { reset: ResetType::On, .. })), 1);
    let words = deaf.view().conditions[0].text.clone();
    assert!(words.contains("GracefulShutdown") && words.contains("left on"), "{words}");
}

#[test]
fn an_interrupt_does_not_take_the_place_of_a_cut() {
    use ResetType::{ForceOff, GracefulShutdown, On, PowerCycle};
    for asked in [&[ForceOff][..], &[PowerCycle], &[ForceOff, On], &[ForceOff, On, GracefulShutdown]] {
        let mut world = engine(Power::On);
        asked.iter().for_each(|reset| world.reset(1, *reset));
        world.reset(2, ResetType::Nmi);
        let Some(Err(refusal @ Refusal::NotNow { .. })) = world.answered(2) else { panic!("{:?}", world.answers) };
        assert!(refusal.to_string().contains(&format!("{} is not done yet", asked[0])), "{refusal}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn chains_of_commands(
        is_engine in any::<bool>(),
        on in any::<bool>(),
        asks in prop::collection::vec((prop::sample::select(ResetType::ALL.to_vec()), 0usize..14), 3..6),
        trouble in prop::sample::select(TROUBLES.to_vec()),
        after in 0usize..12,
    ) {
        let power = if on { Power::On } else { Power::Off };
        live(world(is_engine, power, OP_TIME), &asks, trouble, after);
    }
}
