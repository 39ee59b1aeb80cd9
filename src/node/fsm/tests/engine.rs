//! A device that is part of the machine: native restarts, graceful actions, boot sources, scans, another machine.

use proptest::prelude::*;

use super::*;
use crate::node::PowerAction::{Cycle, GracefulOff, GracefulReset, Nmi, Reset};
use crate::node::{BootEnabled, journal::Stage};

const ENGINE: DeviceKind = DeviceKind {
    boot_targets: &[BootTarget::None],
    boot_modes: &[],
    is_outlet: false,
    sets_power_restore: false,
    applies_boot: true,
    orders: &[Cycle, Reset, GracefulOff, GracefulReset, Nmi],
    reads_before_action: true,
    verify_after: &[secs_const(2), secs_const(4), secs_const(6), secs_const(9), secs_const(12)],
    silence_max: Duration::from_secs(60),
};

const fn secs_const(s: u64) -> Duration {
    Duration::from_secs(s)
}

pub(super) fn engine(relay: Power) -> World {
    let mut world = World::of(&ENGINE, relay, Timings::default());
    world.engine.system = true;
    world.run(secs(2));
    assert_eq!(world.view().power, Some(relay));
    world
}

impl World {
    fn boot(&mut self, target: BootTarget, enabled: BootEnabled) {
        let patch = BootPatch { target: Some(target), enabled: Some(enabled), ..BootPatch::default() };
        self.input(Input::PatchBoot { ticket: 900, by: "admin".into(), patch, if_match: None });
        self.run(secs(1));
        assert_eq!((self.view().boot.target, self.view().boot.enabled), (target, enabled));
    }

    fn orders(&self) -> Vec<PowerAction> {
        self.engine.orders.iter().map(|(_, order)| *order).collect()
    }

    fn run_to_the_order(&mut self) {
        while !matches!(self.running, Some((Op::PowerAction(..), ..))) {
            assert!(self.next(self.now + secs(5)));
        }
    }

    fn done(&self) -> usize {
        self.was_told(|h| matches!(h, EventKind::CommandDone { .. }))
    }
}

#[test]
fn a_restart_is_one_order_and_the_node_is_never_off() {
    for (reset, order) in [
        (ResetType::ForceRestart, PowerAction::Reset),
        (ResetType::PowerCycle, PowerAction::Cycle),
        (ResetType::GracefulRestart, PowerAction::GracefulReset),
        (ResetType::Nmi, PowerAction::Nmi),
    ] {
        let mut world = engine(Power::On);
        world.reset(1, reset);
        world.run(secs(10));
        assert_eq!((world.orders(), world.done()), (vec![order], 1), "{reset}");
        assert_eq!((world.relay_log.len(), world.view().command), (1, None));
        let counted = (usize::from(order != PowerAction::Nmi), usize::from(order == PowerAction::Nmi));
        assert_eq!((world.engine.boots.len(), world.engine.interrupts), counted, "{reset}");
    }
}

#[test]
fn what_a_node_offers_follows_its_state() {
    let mut world = engine(Power::On);
    assert_eq!(world.view().resets, ResetType::ALL);
    world.engine.system = false;
    world.run(secs(20));
    assert!(world.view().resets.contains(&ResetType::Nmi));
    world.reset(1, ResetType::GracefulShutdown);
    assert!(matches!(world.answered(1), Some(Err(Refusal::NotNow { why, .. })) if why.ends_with("state, On")));
    world.turn(Power::Off);
    world.run(secs(20));
    let off = world.view().resets;
    assert_eq!(
        off,
        [ResetType::On, ResetType::ForceOn, ResetType::ForceOff, ResetType::ForceRestart, ResetType::PowerCycle]
    );
    world.reset(2, ResetType::ForceRestart);
    world.run(secs(20));
    assert_eq!(
        (world.relay, world.orders()),
        (Power::On, vec![PowerAction::On]),
        "a restart of a node that is off turns it on"
    );
}

#[test]
fn a_graceful_shutdown_is_waited_for_and_asked_for_once() {
    let mut world = engine(Power::On);
    world.reset(1, ResetType::GracefulShutdown);
    world.run(secs(60));
    assert_eq!((world.relay, world.done(), world.orders()), (Power::Off, 1, vec![PowerAction::GracefulOff]));

    let mut deaf = engine(Power::On);
    deaf.mood = Mood::Ignores;
    deaf.reset(1, ResetType::GracefulShutdown);
    deaf.run(secs(140));
    assert!(deaf.view().command.is_some());
    deaf.run(secs(20));
    assert_eq!((deaf.relay, deaf.orders()), (Power::On, vec![PowerAction::GracefulOff]), "it is never made a hard one");
    let words = deaf.view().conditions[0].text.clone();
    assert!(words.contains("took the order and still does not show Off"), "{words}");
}

#[test]
fn an_override_for_one_boot_is_used_by_exactly_one() {
    for (first, reset) in [
        (Power::On, ResetType::ForceRestart),
        (Power::On, ResetType::PowerCycle),
        (Power::Off, ResetType::On),
        (Power::Off, ResetType::ForceRestart),
    ] {
        let mut world = engine(first);
        world.boot(BootTarget::Pxe, BootEnabled::Once);
        world.reset(1, reset);
        world.run(secs(30));
        assert_eq!(world.engine.boots, [BootTarget::Pxe], "{reset}");
        assert_eq!(world.view().boot.enabled, BootEnabled::Disabled, "{reset}");
        assert_eq!(world.disk.boot.as_ref().map(|record| record.boot.enabled), Some(BootEnabled::Disabled));
        world.reset(2, ResetType::ForceRestart);
        world.run(secs(30));
        assert_eq!(world.engine.boots, [BootTarget::Pxe, BootTarget::None], "{reset}");
    }
}

#[test]
fn a_continuous_override_is_applied_each_time_and_disabled_not_at_all() {
    let mut world = engine(Power::On);
    world.boot(BootTarget::Hdd, BootEnabled::Continuous);
    for (ticket, reset) in [(1, ResetType::ForceRestart), (2, ResetType::ForceOff), (3, ResetType::On)] {
        world.reset(ticket, reset);
        world.run(secs(30));
    }
    assert_eq!(world.engine.boots, [BootTarget::Hdd, BootTarget::Hdd]);
    world.boot(BootTarget::Hdd, BootEnabled::Disabled);
    world.reset(4, ResetType::ForceRestart);
    world.run(secs(30));
    assert_eq!(world.engine.boots[2], BootTarget::None);
}

#[test]
fn a_boot_that_was_not_ours_leaves_the_override_for_the_next_one() {
    let mut world = engine(Power::Off);
    world.boot(BootTarget::Pxe, BootEnabled::Once);
    world.turn(Power::On);
    world.run(secs(20));
    assert_eq!(world.view().power, Some(Power::On));
    assert_eq!(world.view().boot.enabled, BootEnabled::Once, "the machine did not use it");
    world.reset(1, ResetType::ForceRestart);
    world.run(secs(20));
    assert_eq!(
        (world.engine.boots.as_slice(), world.view().boot.enabled),
        (&[BootTarget::Pxe][..], BootEnabled::Disabled)
    );
}

#[test]
fn an_override_that_is_changed_during_the_boot_is_kept() {
    let mut world = engine(Power::On);
    world.boot(BootTarget::Pxe, BootEnabled::Once);
    world.reset(1, ResetType::ForceRestart);
    world.run(secs(1));
    assert_eq!(world.orders(), [PowerAction::Reset]);
    world.boot(BootTarget::Hdd, BootEnabled::Once);
    world.run(secs(20));
    assert_eq!((world.view().boot.target, world.view().boot.enabled), (BootTarget::Hdd, BootEnabled::Once));
}

#[test]
fn not_ready_is_waited_out_and_is_no_trouble_of_the_link() {
    let mut world = engine(Power::On);
    world.mood = Mood::NotReady;
    world.reset(1, ResetType::ForceOff);
    world.run(secs(12));
    assert_eq!((world.view().health, world.view().connectivity.failures), (Health::OK, 0));
    world.mood = Mood::Well;
    world.run(secs(10));
    assert_eq!((world.relay, world.done()), (Power::Off, 1));

    let mut never = engine(Power::On);
    never.mood = Mood::NotReady;
    never.reset(1, ResetType::ForceOff);
    never.run(secs(70));
    assert!(never.view().conditions[0].text.contains("it is not_ready"), "{:?}", never.view().conditions);
    assert_eq!((never.relay, never.disk.intent.is_none()), (Power::On, true));
}

#[test]
fn another_machine_is_neither_believed_nor_switched() {
    let mut world = engine(Power::On);
    world.mood = Mood::Stranger;
    world.relay = Power::Off;
    world.run(secs(40));
    let view = world.view();
    assert_eq!((view.power, view.health), (Some(Power::On), Health::Critical));
    assert!(view.conditions[0].text.contains("another machine answers there"), "{:?}", view.conditions);
    world.reset(1, ResetType::On);
    world.run(secs(100));
    assert_eq!(world.orders(), []);
    world.mood = Mood::Well;
    world.run(secs(60));
    assert_eq!((world.view().power, world.view().health == Health::Critical), (Some(Power::Off), false));
}

#[test]
fn silence_that_is_ordinary_for_an_engine_is_no_outage() {
    let mut world = engine(Power::Off);
    world.mood = Mood::Away;
    world.run(secs(40));
    assert_eq!((world.view().health, world.view().connectivity.breaker_open), (Health::OK, false));
    world.run(secs(180));
    assert_eq!((world.view().health, world.view().connectivity.breaker_open), (Health::Critical, true));
    assert_eq!(world.view().power, Some(Power::Off));
    world.mood = Mood::Well;
    world.run(secs(70));
    assert_eq!(world.view().health, Health::OK);
}

#[test]
fn a_restart_whose_answer_is_lost_is_sent_again_but_an_interrupt_is_not() {
    let lost = |reset: ResetType| {
        let mut world = engine(Power::On);
        world.reset(1, reset);
        world.run_to_the_order();
        world.mood = Mood::Mute;
        world.operate();
        world.mood = Mood::Well;
        world.run(secs(60));
        world
    };
    let restarted = lost(ResetType::ForceRestart);
    assert_eq!((restarted.orders(), restarted.done()), (vec![PowerAction::Reset, PowerAction::Reset], 1));
    let interrupted = lost(ResetType::Nmi);
    assert_eq!((interrupted.engine.interrupts, interrupted.done()), (1, 0));
    assert_eq!(interrupted.was_told(|h| matches!(h, EventKind::CommandFailed { .. })), 1);
}

#[test]
fn an_interrupt_does_not_turn_on_a_machine_that_goes_off_after_it() {
    let mut world = engine(Power::On);
    world.reset(1, ResetType::GracefulShutdown);
    world.run(secs(19));
    world.reset(2, ResetType::Nmi);
    world.run(secs(120));
    assert_eq!((world.relay, world.orders()), (Power::Off, vec![PowerAction::GracefulOff, PowerAction::Nmi]));
    assert_eq!(world.was_told(|h| matches!(h, EventKind::CommandFailed { .. })), 1);
}

#[test]
fn an_interrupt_that_was_not_taken_does_not_turn_on_a_machine_that_went_off() {
    let mut world = engine(Power::On);
    world.mood = Mood::NotReady;
    world.reset(1, ResetType::Nmi);
    world.run(secs(3));
    world.turn(Power::Off);
    world.mood = Mood::Well;
    world.run(secs(60));
    assert_eq!((world.relay, world.orders(), world.view().command), (Power::Off, vec![], None));
}

#[test]
fn an_interrupt_that_cannot_be_recorded_is_not_sent() {
    let mut world = engine(Power::On);
    world.reset(1, ResetType::Nmi);
    world.save_one();
    world.disk_full = true;
    world.run(secs(30));
    assert_eq!((world.orders(), world.view().command), (vec![], None));
    assert_eq!(world.was_told(|h| matches!(h, EventKind::CommandFailed { .. })), 1);
}

#[test]
fn an_override_whose_change_could_not_be_written_is_used_by_one_boot() {
    let mut world = engine(Power::On);
    world.boot(BootTarget::Pxe, BootEnabled::Once);
    world.reset(1, ResetType::ForceRestart);
    world.run(secs(1));
    world.input(Input::PatchBoot { ticket: 901, by: "admin".into(), patch: BootPatch::default(), if_match: None });
    let change = world.saves.pop_front();
    world.run(secs(30));
    (world.saves, world.disk_full) = (change.into_iter().collect(), true);
    world.save_one();
    world.disk_full = false;
    world.reset(2, ResetType::PowerCycle);
    world.run(secs(30));
    assert_eq!(world.engine.boots, [BootTarget::Pxe, BootTarget::None]);
}

#[test]
fn waking_up_uses_no_override_up_that_an_earlier_order_failed_to_bring() {
    let mut world = engine(Power::On);
    world.boot(BootTarget::Pxe, BootEnabled::Once);
    world.mood = Mood::NotReady;
    world.reset(1, ResetType::ForceRestart);
    world.run(secs(120));
    world.turn(Power::Asleep);
    world.mood = Mood::Well;
    world.reset(2, ResetType::On);
    world.run(secs(30));
    assert_eq!((world.relay, world.done()), (Power::On, 1));
    assert_eq!((world.engine.boots.len(), world.view().boot.enabled), (0, BootEnabled::Once));
}

#[test]
fn an_interrupt_owes_no_on_to_a_machine_that_went_off_and_away() {
    let mut world = engine(Power::On);
    world.reset(1, ResetType::Nmi);
    world.run_to_the_order();
    world.operate();
    world.turn(Power::Off);
    world.mood = Mood::Away;
    world.run(secs(100));
    world.mood = Mood::Well;
    world.run(secs(100));
    assert_eq!((world.relay, world.orders(), world.view().command), (Power::Off, vec![PowerAction::Nmi], None));
}

#[test]
fn a_machine_that_went_off_while_an_order_waited_is_seen_to_be_off_before_it() {
    let mut world = engine(Power::On);
    world.boot(BootTarget::Pxe, BootEnabled::Once);
    world.reset(1, ResetType::GracefulShutdown);
    world.run(secs(3));
    world.reset(2, ResetType::On);
    world.run(secs(2));
    world.turn(Power::Off);
    world.run(secs(60));
    assert_eq!((world.relay, world.engine.boots.as_slice()), (Power::On, &[BootTarget::Pxe][..]));
    assert_eq!(world.view().boot.enabled, BootEnabled::Disabled);
}

#[test]
fn a_restart_that_was_taken_is_not_made_twice_when_its_reading_fails() {
    for (reset, order) in [(ResetType::ForceRestart, PowerAction::Reset), (ResetType::Nmi, PowerAction::Nmi)] {
        let mut world = engine(Power::On);
        world.reset(1, reset);
        world.run_to_the_order();
        world.operate();
        world.mood = Mood::Away;
        world.run(secs(8));
        world.mood = Mood::Well;
        world.run(secs(40));
        assert_eq!((world.orders(), world.done()), (vec![order], 1), "{reset}");
    }
}

#[test]
fn a_machine_between_two_states_is_not_asked_all_the_time() {
    let mut world = engine(Power::On);
    world.reset(1, ResetType::ForceRestart);
    world.run_to_the_order();
    world.operate();
    world.mood = Mood::Away;
    world.run(secs(8));
    world.mood = Mood::Between;
    let before = world.reads.len();
    world.run(secs(30));
    assert!(world.reads.len() <= before + 17, "{before} {}", world.reads.len());
    world.mood = Mood::Well;
    world.run(secs(30));
    assert_eq!((world.orders(), world.done()), (vec![PowerAction::Reset], 1));
}

#[test]
fn an_on_for_a_machine_that_is_on_uses_no_override_up() {
    let mut world = engine(Power::On);
    world.engine.system = false;
    world.boot(BootTarget::Pxe, BootEnabled::Once);
    world.mood = Mood::Ignores;
    world.reset(1, ResetType::ForceOff);
    world.run(secs(61));
    world.mood = Mood::Well;
    world.reset(2, ResetType::On);
    world.run(secs(30));
    assert_eq!((world.orders().last(), world.done()), (Some(&PowerAction::On), 1));
    assert_eq!((world.engine.boots.len(), world.view().boot.enabled), (0, BootEnabled::Once));
}

#[test]
fn a_node_that_was_given_another_address_may_be_another_machine() {
    let mut world = engine(Power::On);
    world.mood = Mood::Stranger;
    world.spec.device = "AMT machine at 192.0.2.99".into();
    world.input(Input::Reconfigured { spec: world.spec.clone(), rewired: true });
    world.run(secs(20));
    assert_eq!((world.view().health, world.view().about.unwrap().uuid), (Health::OK, Some(Uuid::from_u128(2))));
}

#[test]
fn a_crash_between_a_restart_and_its_record_repeats_it_and_after_the_record_does_not() {
    let mut before = engine(Power::On);
    before.reset(1, ResetType::ForceRestart);
    before.run_to_the_order();
    before.crash(secs(1));
    before.run(secs(30));
    assert_eq!((before.orders(), before.disk.intent.is_none()), (vec![PowerAction::Reset, PowerAction::Reset], true));

    let mut after = engine(Power::On);
    after.reset(1, ResetType::ForceRestart);
    while after.disk.intent.as_ref().is_none_or(|intent| intent.stage != Stage::Restoring) {
        assert!(after.next(after.now + secs(5)));
    }
    after.crash(secs(1));
    after.run(secs(30));
    assert_eq!((after.orders(), after.disk.intent.is_none()), (vec![PowerAction::Reset], true));
}

#[test]
fn corners_are_looked_into_when_nothing_else_is_wanted() {
    let mut world = engine(Power::On);
    world.engine.corners = 5;
    world.run(secs(20));
    assert_eq!((world.engine.corners, world.view().inventory.serial.as_deref()), (0, Some("from the machine")));
    assert!(world.disk.seen.as_ref().is_some_and(|seen| seen.inventory.is_some()));
    world.crash(secs(1));
    assert_eq!(world.view().inventory.serial.as_deref(), Some("from the machine"), "known before the first contact");
    world.run(secs(2));
    world.engine.corners = 1000;
    world.run(secs(20));
    world.reset(1, ResetType::ForceOff);
    world.run(secs(4));
    assert_eq!((world.relay, world.engine.corners > 0), (Power::Off, true), "a command does not wait for them");
}

#[derive(Clone, Debug)]
enum Step {
    Reset(ResetType),
    Boot(BootEnabled),
    Feel(Mood),
    Press,
    System(bool),
    Crash(u8),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let moods = vec![Mood::Well, Mood::Well, Mood::Away, Mood::Mute, Mood::Ignores, Mood::NotReady, Mood::Stranger];
    prop_oneof![
        4 => prop::sample::select(ResetType::ALL.to_vec()).prop_map(Step::Reset),
        1 => prop::sample::select(BootEnabled::ALL.to_vec()).prop_map(Step::Boot),
        2 => prop::sample::select(moods).prop_map(Step::Feel),
        1 => Just(Step::Press),
        1 => any::<bool>().prop_map(Step::System),
        2 => (0u8..20).prop_map(Step::Crash),
        6 => (0u16..20_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_laws_hold_for_an_engine_too(on in any::<bool>(), steps in prop::collection::vec(step(), 1..40)) {
        let first = if on { Power::On } else { Power::Off };
        let mut world = engine(first);
        for (ticket, step) in (0u64..).zip(&steps) {
            match step {
                Step::Reset(reset) => world.reset(ticket, *reset),
                Step::Boot(enabled) => {
                    let patch = BootPatch { target: Some(BootTarget::Pxe), enabled: Some(*enabled), ..BootPatch::default() };
                    world.input(Input::PatchBoot { ticket, by: "admin".into(), patch, if_match: None });
                }
                Step::Feel(mood) => world.mood = *mood,
                Step::Press => world.turn(if world.relay == Power::On { Power::Off } else { Power::On }),
                Step::System(answers) => world.engine.system = *answers,
                Step::Crash(gap) => world.crash(secs(u64::from(*gap))),
                Step::Wait(ms) => world.run(Duration::from_millis(u64::from(*ms))),
            }
            while !world.saves.is_empty() {
                world.save_one();
            }
            if let Some(shown) = world.view().power {
                prop_assert!(world.relay_log.iter().any(|(_, power)| *power == shown));
            }
        }
        world.mood = Mood::Well;
        world.run(secs(2 * 3600));
        prop_assert_eq!(world.view().power, Some(world.relay));
        prop_assert_eq!(world.view().command, None);
        prop_assert_eq!(world.disk.intent.clone(), None);
        prop_assert!(!world.view().connectivity.breaker_open);
        // A node is off only if someone asked for that or pressed the button.
        let off = |step: &Step| matches!(step, Step::Press | Step::Reset(ResetType::ForceOff | ResetType::GracefulShutdown));
        if first == Power::On && !steps.iter().any(off) {
            prop_assert_eq!(world.relay, Power::On, "{:?}", world.told);
        }
    }
}
