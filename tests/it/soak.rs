//! A rack with continuous faults, and clients that keep sending requests: afterwards every state is correct again.
//!
//! Eight seconds of faults in an ordinary run; `PLUGFISH_SOAK_SECS` sets more, `PLUGFISH_SOAK_SEED` another sequence.

use std::time::Duration;

use plugfish::testing::clock::{Clock, Wall};
use plugfish::testing::sim::{Action, Choke, Fault, Model, Selector, Variant};
use reqwest::StatusCode;

use crate::rig::{Rig, plug};

const PLUGS: usize = 8;
const KINDS: [&str; 5] = ["On", "ForceOn", "ForceOff", "ForceRestart", "PowerCycle"];
const VARIANTS: [Variant; 4] = [Variant::KlapV2, Variant::Tpap, Variant::Passthrough, Variant::KlapV1];

fn from_env(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

fn fault(chance: &Clock) -> Fault {
    let actions = [
        Action::Hang,
        Action::DelayMs(1500),
        Action::Drop,
        Action::Reset,
        Action::LoseAnswer,
        Action::DoAndHang,
        Action::Garbage,
        Action::GarbageHttp,
        Action::Truncate,
        Action::Status(500),
        Action::Status(403),
        Action::Status(429),
        Action::ForgetSession,
        Action::ErrorCode(-1301),
        Action::ErrorCode(-1001),
        Action::IgnoreWrite,
        Action::Reboot { offline_ms: 2000, keeps_relay: true },
    ];
    let action = actions[usize::try_from(chance.below(actions.len() as u64)).unwrap()].clone();
    Fault::times(u32::try_from(1 + chance.below(3)).unwrap(), Selector::Any, action)
}

#[tokio::test]
async fn after_any_trouble_everything_is_true_again() {
    let seed = from_env("PLUGFISH_SOAK_SEED", 11);
    let chance = Clock::simulated(seed, Wall(0));
    let plugs = (0..PLUGS).map(|index| plug(&format!("n{index}"), Model::P110, VARIANTS[index % VARIANTS.len()]));
    let rig = Rig::settled(plugs).await;
    for plug in rig.rack.plugs() {
        let choke = Choke { connections_max: Some(3), ..Choke::above(5, Duration::from_secs(3)) };
        plug.set_choke(Some(choke));
    }
    let end = rig.now() + Duration::from_secs(from_env("PLUGFISH_SOAK_SECS", 8));
    let mut wanted: Vec<Option<&str>> = vec![None; PLUGS];
    while rig.now() < end {
        let index = usize::try_from(chance.below(PLUGS as u64)).unwrap();
        let (name, plug) = (format!("n{index}"), &rig.rack.plugs()[index]);
        match chance.below(10) {
            0..4 => {
                plug.add_fault(fault(&chance));
            }
            4 => {
                // The button cancels what was wanted.
                plug.press_button(1);
                wanted[index] = None;
            }
            5 => plug.forget_session(),
            _ => {
                let kind = KINDS[usize::try_from(chance.below(KINDS.len() as u64)).unwrap()];
                let (status, body) = rig.reset(&name, kind).await;
                assert!([StatusCode::NO_CONTENT, StatusCode::SERVICE_UNAVAILABLE].contains(&status), "{body}");
                if status == StatusCode::NO_CONTENT {
                    wanted[index] = Some(kind);
                }
            }
        }
        assert!(rig.power(&name).await.is_string());
        tokio::time::sleep(Duration::from_millis(chance.below(300))).await; // lets things overlap
    }
    for plug in rig.rack.plugs() {
        plug.clear_faults();
    }
    for (index, wanted) in wanted.iter().enumerate() {
        let (name, plug) = (format!("n{index}"), &rig.rack.plugs()[index]);
        rig.until(100, || async {
            let system = rig.system(&name).await;
            let shown = if plug.relay(1) == Some(true) { "On" } else { "Off" };
            let reported = system["Status"].to_string().contains("was given up");
            let done = match wanted {
                Some("ForceOff") => shown == "Off",
                Some(_) => shown == "On",
                None => true,
            };
            system["PowerState"] == shown && (done || reported)
        })
        .await;
        let counters = plug.counters();
        assert!(counters.requests_in_a_second_max() <= 5, "{name}: {}", counters.requests_in_a_second_max());
        assert_eq!((counters.chokes, counters.wrong_passwords), (0, 0), "{name}, seed {seed}");
    }
}
