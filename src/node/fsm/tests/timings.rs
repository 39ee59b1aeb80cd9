//! One test for each rule about power.

use super::*;
use crate::node::fsm::evidence::Evidence;
use crate::node::journal::Stage;
use crate::node::{BootEnabled, BootMode, BootTarget};

#[test]
fn the_state_is_null_before_the_first_contact_and_never_after_it() {
    let mut world = World::new(Power::On);
    world.mood = Mood::Away;
    world.run(secs(30));
    assert_eq!(world.view().power, None);
    world.mood = Mood::Well;
    world.run(secs(60));
    assert_eq!(world.view().power, Some(Power::On));
    world.mood = Mood::Away;
    world.run(secs(3600));
    assert_eq!(world.view().power, Some(Power::On));
    world.crash(secs(1));
    assert_eq!(world.view().power, Some(Power::On));
}

#[test]
fn an_acknowledged_off_is_durable_first_and_shown_only_when_seen() {
    let mut world = World::settled(Power::On);
    world.reset(1, ResetType::ForceOff);
    assert_eq!(world.answered(1), None, "not durable yet");
    assert!(world.writes.is_empty());
    world.save_one();
    assert_eq!(world.answered(1), Some(&Ok(())));
    assert_eq!(world.disk.intent.as_ref().map(|intent| intent.reset), Some(ResetType::ForceOff));
    assert_eq!(world.view().power, Some(Power::On), "not before it is read");
    world.run(Duration::from_millis(200));
    assert_eq!((world.relay, world.view().power), (Power::Off, Some(Power::On)));
    world.run(secs(1));
    assert_eq!(world.view().power, Some(Power::Off));
    assert_eq!(world.writes.len(), 1);
    assert_eq!(world.disk.intent, None);
    let by_command = |h: &EventKind| matches!(h, EventKind::PowerChanged { cause: Cause::Command, .. });
    assert_eq!(world.was_told(by_command), 1);
}

#[test]
fn a_cycle_is_off_dwell_on() {
    for reset in [ResetType::PowerCycle, ResetType::ForceRestart] {
        let mut world = World::settled(Power::On);
        world.reset(1, reset);
        world.run(secs(15));
        assert_eq!(world.relay, Power::On);
        assert_eq!(world.dwells().len(), 1);
        assert!(world.dwells()[0] >= secs(10) && world.dwells()[0] < secs(12), "{:?}", world.dwells());
        assert_eq!(world.counts, [(reset, "done")]);
    }
}

#[test]
fn a_cycle_of_a_node_that_is_off_turns_it_on_at_once() {
    let mut world = World::settled(Power::Off);
    world.reset(1, ResetType::ForceRestart);
    world.run(secs(2));
    assert_eq!(world.view().power, Some(Power::On));
    assert_eq!(world.writes.len(), 1);
}

#[test]
fn off_dwell_holds_between_an_off_and_the_next_on() {
    let mut world = World::settled(Power::On);
    world.reset(1, ResetType::ForceOff);
    world.run(secs(2));
    world.reset(2, ResetType::On);
    world.run(secs(5));
    assert_eq!((world.answered(2), world.relay), (Some(&Ok(())), Power::Off));
    world.run(secs(8));
    assert_eq!(world.relay, Power::On);
    assert!(world.dwells()[0] >= secs(10), "{:?}", world.dwells());
}

#[test]
fn what_is_there_already_succeeds_and_writes_nothing() {
    for (power, reset) in
        [(Power::On, ResetType::On), (Power::On, ResetType::ForceOn), (Power::Off, ResetType::ForceOff)]
    {
        let mut world = World::settled(power);
        world.reset(1, reset);
        world.run(secs(1));
        world.run(secs(10));
        world.reset(2, reset);
        world.run(secs(1));
        assert_eq!((world.answered(1), world.answered(2)), (Some(&Ok(())), Some(&Ok(()))));
        assert_eq!(world.writes, [], "{reset}");
        assert_eq!(world.disk.intent, None);
    }
}

#[test]
fn an_on_for_a_node_whose_button_was_pressed_turns_it_on() {
    let mut world = World::settled(Power::On);
    world.run(secs(5));
    world.turn(Power::Off);
    world.reset(1, ResetType::On);
    world.run(secs(12));
    assert_eq!((world.relay, world.view().power), (Power::On, Some(Power::On)));
}

#[test]
fn equal_commands_coalesce_and_the_newest_wins() {
    let mut world = World::settled(Power::On);
    world.reset(1, ResetType::PowerCycle);
    world.reset(2, ResetType::ForceRestart);
    world.run(secs(3));
    world.reset(3, ResetType::PowerCycle);
    assert!((1..=3).all(|ticket| world.answered(ticket) == Some(&Ok(()))));
    assert_eq!(world.writes.len(), 1);
    world.reset(4, ResetType::ForceOff);
    world.run(secs(30));
    assert_eq!((world.relay, world.writes.len()), (Power::Off, 1), "off during a cycle ends off");
    assert_eq!(world.was_told(|h| matches!(h, EventKind::CommandSuperseded { .. })), 1);
}

#[test]
fn an_on_waits_for_the_dwell_of_an_off_that_the_device_does_not_show_yet() {
    let mut world = World::settled(Power::On);
    world.mood = Mood::Ignores;
    world.reset(1, ResetType::ForceOff);
    world.run(secs(2));
    let told_off = world.writes.last().map(|(at, _)| *at).unwrap();
    world.mood = Mood::Well;
    world.reset(2, ResetType::On);
    world.run(secs(20));
    let (told_on, power) = *world.writes.last().unwrap();
    assert_eq!((power, world.relay, world.view().command), (Power::On, Power::On, None));
    assert!(told_on >= told_off + secs(10), "{:?}", world.writes);
}

#[test]
fn the_dwell_begins_anew_where_an_on_may_have_been_followed_unseen() {
    let mut world = World::settled(Power::Off);
    world.mood = Mood::Ignores;
    world.reset(1, ResetType::On);
    world.run(secs(2));
    world.mood = Mood::Well;
    world.reset(2, ResetType::PowerCycle);
    world.run(secs(30));
    let [.., (off, Power::Off), (on, Power::On)] = world.writes[..] else { panic!("{:?}", world.writes) };
    assert!(on >= off + secs(10), "{:?}", world.writes);
    assert_eq!((world.relay, world.view().command), (Power::On, None));
}

#[test]
fn a_renewed_login_is_tried_for_a_cycle_that_waits_for_its_on() {
    let mut world = World::settled(Power::On);
    world.reset(1, ResetType::PowerCycle);
    world.run(secs(2));
    world.mood = Mood::WrongPassword;
    world.run(secs(100));
    world.mood = Mood::Well;
    world.run(secs(100));
    assert_eq!(world.relay, Power::Off, "the login is left alone");
    world.input(Input::ResetSession);
    world.run(secs(5));
    assert_eq!((world.relay, world.view().command), (Power::On, None));
}

#[test]
fn an_ignored_order_is_repeated_until_it_is_followed() {
    let mut world = World::settled(Power::On);
    world.mood = Mood::Ignores;
    world.reset(1, ResetType::ForceOff);
    world.run(secs(10));
    assert_eq!((world.relay, world.view().power), (Power::On, Some(Power::On)));
    assert!((2..=4).contains(&world.writes.len()), "{:?}", world.writes);
    world.mood = Mood::Well;
    world.run(secs(10));
    assert_eq!(world.view().power, Some(Power::Off));
}

#[test]
fn a_lost_answer_is_settled_by_reading() {
    let mut world = World::settled(Power::On);
    world.mood = Mood::Mute;
    world.reset(1, ResetType::ForceOff);
    world.run(Duration::from_millis(100));
    world.mood = Mood::Well;
    world.run(secs(5));
    assert_eq!(world.view().power, Some(Power::Off));
    assert_eq!(world.writes.len(), 1, "read back before writing again");
}

#[test]
fn a_command_past_its_deadline_is_given_up_in_words() {
    let mut world = World::settled(Power::On);
    world.reset(1, ResetType::ForceOff);
    world.save_one();
    world.mood = Mood::Away;
    world.run(secs(59));
    assert_eq!(world.was_told(|h| matches!(h, EventKind::CommandFailed { .. })), 0);
    world.run(secs(10));
    assert_eq!(world.was_told(|h| matches!(h, EventKind::CommandFailed { .. })), 1);
    assert_eq!(world.disk.intent, None);
    let view = world.view();
    let said = view.conditions.iter().find(|condition| condition.message == "CommandFailed").unwrap();
    assert!(said.text.contains("ForceOff") && said.text.contains("Tapo plug at 192.0.2.11"), "{}", said.text);
    world.mood = Mood::Well;
    world.run(secs(120));
    assert_eq!(world.relay, Power::On, "given up is given up");
}

#[test]
fn a_cycle_that_has_cut_the_power_is_always_completed() {
    let mut world = World::settled(Power::On);
    world.reset(1, ResetType::PowerCycle);
    world.run(secs(3));
    assert_eq!(world.relay, Power::Off);
    world.mood = Mood::Away;
    world.run(secs(4 * 3600));
    assert_eq!(world.was_told(|h| matches!(h, EventKind::CommandFailed { .. })), 0);
    assert_eq!(world.was_told(|h| matches!(h, EventKind::CommandOverdue { .. })), 1);
    world.mood = Mood::Well;
    world.run(secs(15));
    assert_eq!(world.relay, Power::On);
}

#[test]
fn a_cycle_whose_cut_cannot_be_seen_in_time_leaves_the_node_on() {
    let mut world = World::settled(Power::On);
    world.mood = Mood::Ignores;
    world.reset(1, ResetType::PowerCycle);
    world.run(secs(70));
    world.mood = Mood::Well;
    world.run(secs(30));
    assert_eq!(world.relay, Power::On);
    assert_eq!(world.counts, [(ResetType::PowerCycle, "failed")]);
    assert_eq!(world.writes.last().map(|(_, power)| *power), Some(Power::On));
}

#[test]
fn health_falls_with_missed_polls_and_the_breaker_refuses_at_once() {
    let mut world = World::settled(Power::On);
    world.mood = Mood::Away;
    world.run(secs(14));
    assert_eq!(world.view().health, Health::OK);
    world.run(secs(4));
    assert_eq!(world.view().health, Health::Warning);
    world.run(secs(30));
    let view = world.view();
    assert_eq!((view.health, view.power, view.milliwatts), (Health::Critical, Some(Power::On), None));
    assert!(view.conditions[0].text.starts_with("Tapo plug at 192.0.2.11 does not answer"), "{:?}", view.conditions);
    let reads = world.reads.len();
    world.reset(1, ResetType::ForceOff);
    let Some(Err(refusal)) = world.answered(1) else { panic!("{:?}", world.answers) };
    assert!(matches!(refusal, Refusal::DeviceAway { .. }) && refusal.to_string().contains("192.0.2.11"));
    assert!(refusal.retry_after().is_some_and(|after| after >= secs(1) && after <= secs(66)));
    assert_eq!(world.reads.len(), reads, "a refusal costs the device nothing");
    world.mood = Mood::Well;
    world.run(secs(61));
    assert_eq!(world.view().health, Health::OK);
    let lost_and_found = |h: &EventKind| matches!(h, EventKind::DeviceLost { .. } | EventKind::DeviceFound);
    assert_eq!(world.was_told(lost_and_found), 2);
}

#[test]
fn a_device_that_is_away_is_asked_less_and_less() {
    let mut world = World::settled(Power::On);
    world.mood = Mood::Away;
    world.run(secs(3600));
    let tries = world.reads.len();
    assert!((60..=75).contains(&tries), "{tries} tries in an hour");
}

#[test]
fn a_wrong_password_is_not_tried_again_for_half_an_hour() {
    let mut world = World::new(Power::On);
    world.mood = Mood::WrongPassword;
    world.run(secs(29 * 60));
    assert_eq!(world.reads.len(), 1);
    assert_eq!(world.view().health, Health::Critical);
    assert!(world.view().conditions[0].text.contains("not trying again before"), "{:?}", world.view().conditions);
    world.reset(1, ResetType::On);
    world.run(secs(5));
    assert_eq!(world.reads.len(), 2, "a person's command tries once");
    assert_eq!(world.was_told(|h| matches!(h, EventKind::CommandFailed { .. })), 1);
    for ticket in 2..10 {
        world.reset(ticket, ResetType::On);
        world.run(secs(1));
        assert!(matches!(world.answered(ticket), Some(Err(Refusal::LoginHeld { .. }))));
    }
    assert_eq!(world.reads.len(), 2, "a client in a loop does not");
    world.mood = Mood::Well;
    world.run(secs(31 * 60));
    assert_eq!(world.view().power, Some(Power::On));
    assert_eq!(world.view().health, Health::OK);
}

#[test]
fn a_change_of_configuration_tries_a_refused_login_at_once() {
    let mut world = World::new(Power::On);
    world.mood = Mood::WrongPassword;
    world.run(secs(60));
    world.mood = Mood::Well;
    let spec = world.spec.clone();
    world.input(Input::Reconfigured { spec, rewired: true });
    world.run(secs(1));
    assert_eq!(world.view().power, Some(Power::On));
}

#[test]
fn a_refusing_device_ends_the_command_and_a_busy_one_rests() {
    let mut world = World::settled(Power::On);
    world.mood = Mood::Refuses;
    world.reset(1, ResetType::ForceOff);
    world.run(secs(5));
    assert_eq!(world.counts, [(ResetType::ForceOff, "failed")]);
    let mut world = World::settled(Power::On);
    world.mood = Mood::Busy;
    world.reset(1, ResetType::ForceOff);
    world.run(secs(6));
    assert!(world.reads.len() <= 3, "{:?}", world.reads);
    world.mood = Mood::Well;
    world.run(secs(20));
    assert_eq!(world.relay, Power::Off);
}

#[test]
fn a_full_disk_refuses_and_changes_nothing() {
    let mut world = World::settled(Power::On);
    world.disk_full = true;
    world.reset(1, ResetType::ForceOff);
    world.run(secs(20));
    let Some(Err(refusal)) = world.answered(1) else { panic!("{:?}", world.answers) };
    assert!(refusal.to_string().contains("state/db: no space left"), "{refusal}");
    assert_eq!(world.relay, Power::On);
    world.disk_full = false;
    world.reset(2, ResetType::ForceOff);
    world.run(secs(5));
    assert_eq!(world.relay, Power::Off);
}

#[test]
fn a_press_of_the_button_is_seen_and_told_as_from_outside() {
    let mut world = World::settled(Power::On);
    world.turn(Power::Off);
    world.run(secs(17));
    assert_eq!(world.view().power, Some(Power::Off));
    let outside = |h: &EventKind| {
        matches!(h, EventKind::PowerChanged { from: Some(Power::On), to: Power::Off, cause: Cause::Outside, .. })
    };
    assert_eq!(world.was_told(outside), 1);
    world.turn(Power::On);
    world.run(secs(20));
    world.turn(Power::Off);
    world.turn(Power::On);
    world.run(secs(20));
    assert_eq!(world.was_told(|h| matches!(h, EventKind::OnTimeRestarted)), 1, "off and on between two polls");
}

#[test]
fn polls_come_at_their_interval_and_energy_adds_up_over_midnight() {
    let mut world = World::settled(Power::On);
    world.run(secs(150));
    assert!((10..=12).contains(&world.reads.len()), "{:?}", world.reads);
    let before = world.view().energy_wh.unwrap();
    assert_eq!(before, 2);
    let midnight = Seen::renewed(
        world.fsm.seen.clone(),
        Observation { power: Some(Power::On), energy_today_wh: Some(1), ..Observation::default() },
        Evidence { power: Power::On, relay: Power::On, machine: Power::On, draws: true, drawn: None, settled: false },
        &world.spec.device,
        world.moment().now,
    );
    assert_eq!(midnight.energy_wh, 3);
}

#[test]
fn once_is_used_up_by_the_next_power_on_and_survives_a_crash_before() {
    let mut world = World::settled(Power::On);
    let patch = BootPatch {
        target: Some(BootTarget::Pxe),
        enabled: Some(BootEnabled::Once),
        mode: Some(BootMode::Legacy),
        http_boot_uri: None,
    };
    world.input(Input::PatchBoot { ticket: 1, by: "admin".into(), patch, if_match: Some(vec![0]) });
    assert_eq!(world.view().boot.enabled, BootEnabled::Disabled, "not durable yet");
    world.run(secs(1));
    assert_eq!((world.answered(1), world.view().writes), (Some(&Ok(())), 1));
    world.crash(secs(1));
    world.run(secs(20));
    assert_eq!((world.view().boot.target, world.view().boot.enabled), (BootTarget::Pxe, BootEnabled::Once));
    world.reset(2, ResetType::ForceRestart);
    world.run(secs(20));
    let boot = world.view().boot;
    assert_eq!((boot.enabled, boot.mode), (BootEnabled::Disabled, BootMode::Legacy));
    assert_eq!(world.view().writes, 2);
}

#[test]
fn of_four_changes_with_one_etag_exactly_one_wins() {
    let mut world = World::settled(Power::On);
    for ticket in 1..=4 {
        let patch = BootPatch { enabled: Some(BootEnabled::Continuous), ..BootPatch::default() };
        world.input(Input::PatchBoot { ticket, by: "admin".into(), patch, if_match: Some(vec![0]) });
    }
    world.run(secs(1));
    let won = (1..=4).filter(|ticket| world.answered(*ticket) == Some(&Ok(()))).count();
    let lost = (1..=4).filter(|t| matches!(world.answered(*t), Some(Err(Refusal::Changed { .. })))).count();
    assert_eq!((won, lost), (1, 3));
}

#[test]
fn a_flood_of_changes_is_bounded() {
    let mut world = World::settled(Power::On);
    for ticket in 0..100 {
        world.input(Input::PatchBoot { ticket, by: "admin".into(), patch: BootPatch::default(), if_match: None });
    }
    assert_eq!(world.saves.len(), SAVES_MAX);
    world.run(secs(1));
    assert_eq!(world.answers.len(), 100);
}

#[test]
fn clients_that_join_a_command_on_a_stuck_disk_are_bounded() {
    let mut world = World::settled(Power::On);
    (0..500).for_each(|ticket| world.reset(ticket, ResetType::ForceOff));
    let refused = world.answers.iter().filter(|(_, a)| matches!(a, Err(Refusal::Overloaded { .. }))).count();
    assert_eq!((refused, world.answers.len(), world.saves.len()), (500 - JOINED_MAX, 500 - JOINED_MAX, 1));
    world.run(secs(5));
    assert_eq!((world.answers.len(), world.relay), (500, Power::Off));
}

#[test]
fn stopping_takes_no_new_commands_and_leaves_a_cycle_as_an_intent() {
    let mut world = World::settled(Power::On);
    world.reset(1, ResetType::PowerCycle);
    world.run(secs(3));
    world.input(Input::Stop);
    world.reset(2, ResetType::On);
    assert!(matches!(world.answered(2), Some(Err(Refusal::Stopping { .. }))));
    assert!(world.fsm.is_idle());
    assert_eq!(world.disk.intent.as_ref().map(|intent| intent.stage), Some(Stage::Cutting));
    world.crash(secs(100));
    world.run(secs(15));
    assert_eq!(world.relay, Power::On);
}

#[test]
fn a_command_that_was_too_old_at_the_start_is_not_replayed() {
    let mut world = World::settled(Power::On);
    world.reset(1, ResetType::ForceOff);
    world.save_one();
    world.running = None;
    world.crash(secs(3600));
    world.run(secs(30));
    assert_eq!(world.relay, Power::On);
    assert_eq!(world.was_told(|h| matches!(h, EventKind::CommandFailed { .. })), 1);
}
