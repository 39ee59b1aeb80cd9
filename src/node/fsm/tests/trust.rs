//! What the device proves, what it proves less, and what a person does about it.

use super::*;
use crate::node::trust::{Proven, TrustRecord};

fn record(proof: Proof) -> Option<Arc<TrustRecord>> {
    let proven = Proven { proof, device_id: Some("8022".into()), ..Proven::default() };
    Some(Arc::new(TrustRecord { device: "Tapo plug at 192.0.2.11".into(), since: START, proven }))
}

/// A node whose device proved every answer.
fn proved(relay: Power) -> World {
    let mut world = World::new(relay);
    (world.proof, world.record) = (Proof::Answer, record(Proof::Answer));
    world.disk.trust = world.record.clone();
    world.run(secs(2));
    assert_eq!(world.view().power, Some(relay));
    world
}

#[test]
fn the_first_contact_is_told_once() {
    let mut world = proved(Power::On);
    world.run(secs(60));
    assert_eq!(world.was_told(|h| matches!(h, EventKind::TrustLearned { text } if text.contains("first use"))), 1);
    assert_eq!(world.view().trust, record(Proof::Answer));
    world.crash(secs(1));
    world.run(secs(60));
    assert_eq!(world.was_told(|h| matches!(h, EventKind::TrustLearned { .. })), 1, "it is on record");
}

#[test]
fn an_off_that_is_proved_less_than_before_is_no_observation() {
    let mut world = proved(Power::On);
    (world.relay, world.proof) = (Power::Off, Proof::Login);
    world.run(secs(20));
    assert_eq!(world.view().power, Some(Power::On), "nothing was seen");
    assert_eq!(world.view().health, Health::Critical);
    let names_it = |text: &str| text.contains("plugfish trust node-1 --reset");
    assert!(world.view().conditions.iter().any(|condition| names_it(&condition.text)));
    assert_eq!(world.was_told(|h| matches!(h, EventKind::DeviceDistrusted { why } if names_it(why))), 1);
    world.reset(1, ResetType::ForceOff);
    world.run(secs(1));
    let refused = world.answered(1).unwrap().as_ref().unwrap_err();
    assert!(names_it(&refused.to_string()), "{refused}");
    // After a restart as well.
    world.crash(secs(1));
    world.run(secs(40));
    assert_eq!(world.view().power, Some(Power::On));
    // It proves as much again.
    world.proof = Proof::Answer;
    world.run(secs(40));
    assert_eq!((world.view().power, world.view().health), (Some(Power::Off), Health::OK));
}

#[test]
fn a_person_gets_through_with_a_swapped_device_in_one_command() {
    let mut world = proved(Power::On);
    (world.relay, world.proof, world.record) = (Power::Off, Proof::Claimed, None);
    world.run(secs(20));
    assert_eq!(world.view().power, Some(Power::On));
    world.input(Input::ResetTrust { ticket: 7, by: "admin".into() });
    assert_eq!(world.answered(7), None, "not durable yet");
    world.run(secs(1));
    assert_eq!((world.answered(7), &world.disk.trust), (Some(&Ok(())), &None));
    world.run(secs(2));
    assert_eq!((world.view().power, world.view().health), (Some(Power::Off), Health::OK), "read at once");
    assert_eq!(world.was_told(|h| matches!(h, EventKind::TrustReset { by, .. } if by == "admin")), 1);
    assert_eq!(world.view().trust, None);
}

#[test]
fn a_reset_that_cannot_be_written_changes_nothing() {
    let mut world = proved(Power::On);
    world.disk_full = true;
    world.input(Input::ResetTrust { ticket: 7, by: "admin".into() });
    world.run(secs(1));
    assert!(matches!(world.answered(7), Some(Err(Refusal::CannotWrite { .. }))));
    assert_eq!(world.view().trust, record(Proof::Answer));
}
