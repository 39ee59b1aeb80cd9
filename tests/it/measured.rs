//! Nodes whose power state is measured, from the simulated computer over the plug's meter to `PowerState`.

use std::time::Duration;

use plugfish::testing::daemon::NodePlan;
use plugfish::testing::node::{PowerSource, Watts};
use plugfish::testing::sim::{
    Action, ComputerAct, ComputerConfig, ComputerState, Fault, Load, MeterFault, OnShutdown, PlugConfig, Selector,
};

use super::rig::{Rig, klap};

/// Shorter than in practice, as all times of the rig are.
const SETTLE: Duration = Duration::from_secs(2);

fn measured(plan: &mut NodePlan) {
    plan.spec.policy.source = PowerSource::Measured;
    plan.spec.policy.watts = Some(Watts { off_below: 2_000, on_above: 8_000, settle: SETTLE });
}

fn computer(name: &str, config: ComputerConfig) -> PlugConfig {
    let (boot, shutdown) = (Some(Duration::from_secs(2)), Duration::from_millis(500));
    let computer = ComputerConfig { idle_mw: Some(20_000), boot, shutdown, ..config };
    PlugConfig { computer, meter_noise_mw: 100, ..klap(name) }
}

async fn rig(config: ComputerConfig) -> Rig {
    let rig = Rig::with([computer("n1", config)], measured).await;
    rig.all_seen().await;
    rig
}

async fn shows(rig: &Rig, power: &str, secs: u64) {
    rig.until(secs, || async { rig.power("n1").await == power }).await;
}

/// It is shown all the time, for so long.
async fn keeps_showing(rig: &Rig, power: &str, secs: u64) {
    let end = rig.now() + Duration::from_secs(secs);
    while rig.now() < end {
        assert_eq!(rig.power("n1").await, power);
        tokio::time::sleep(Duration::from_millis(100)).await; // real time, on real sockets
    }
}

#[tokio::test]
async fn a_machine_that_shuts_itself_down_is_off_and_one_that_wakes_up_is_on() {
    let rig = rig(ComputerConfig::default()).await;
    let plug = rig.plug("n1");
    assert_eq!(rig.power("n1").await, "On");
    plug.act(1, ComputerAct::ShutDown);
    shows(&rig, "Off", 12).await;
    assert_eq!((plug.computer(1), plug.relay(1)), (Some(ComputerState::Off), Some(true)));
    plug.act(1, ComputerAct::Wake);
    shows(&rig, "On", 10).await;
    assert_eq!(plug.history(1).len(), 1, "the relay had no part in it");
}

#[tokio::test]
async fn a_machine_that_hangs_or_ignores_its_shutdown_stays_on() {
    let rig = rig(ComputerConfig { on_shutdown: OnShutdown::Ignores, ..ComputerConfig::default() }).await;
    let plug = rig.plug("n1");
    plug.act(1, ComputerAct::ShutDown);
    keeps_showing(&rig, "On", 4).await;
    plug.set_on_shutdown(1, OnShutdown::Hangs);
    plug.act(1, ComputerAct::ShutDown);
    keeps_showing(&rig, "On", 5).await;
    assert_eq!(plug.computer(1), Some(ComputerState::Hung));
}

#[tokio::test]
async fn without_a_meter_off_is_never_concluded() {
    let faults = [
        ("null", MeterFault::Null),
        ("vanish", MeterFault::Vanish),
        ("stick", MeterFault::Stick),
        ("negative", MeterFault::Says(-1)),
        ("absurd", MeterFault::Says(i64::MAX)),
    ];
    let rig = Rig::with(faults.map(|(name, _)| computer(name, ComputerConfig::default())), measured).await;
    rig.all_seen().await;
    for (name, fault) in faults {
        rig.plug(name).add_fault(Fault::always(Selector::Any, Action::Meter(fault)));
    }
    // What a meter sticks at is what it showed of the running machine: it was asked for it before the shutdown.
    for (name, _) in faults {
        let plug = rig.plug(name);
        plug.reset_counters();
        rig.until(10, || async { plug.counters().by_method.contains_key("get_emeter_data") }).await;
    }
    for (name, _) in faults {
        rig.plug(name).act(1, ComputerAct::ShutDown);
    }
    let end = rig.now() + Duration::from_secs(6);
    while rig.now() < end {
        for (name, _) in faults {
            assert_eq!(rig.power(name).await, "On", "{name}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await; // real time, on real sockets
    }
    for (name, _) in faults {
        assert_eq!(rig.plug(name).computer(1), Some(ComputerState::Off), "{name}");
        rig.plug(name).clear_faults();
        rig.until(12, || async { rig.power(name).await == "Off" }).await;
    }
}

#[tokio::test]
async fn a_machine_that_is_off_by_itself_is_cut_by_forceoff_and_started_by_on() {
    let rig = rig(ComputerConfig::default()).await;
    let plug = rig.plug("n1");
    plug.act(1, ComputerAct::ShutDown);
    shows(&rig, "Off", 12).await;
    assert_eq!(rig.reset("n1", "ForceOff").await.0, 204);
    rig.until(5, || async { plug.relay(1) == Some(false) }).await;
    assert_eq!(rig.reset("n1", "On").await.0, 204);
    shows(&rig, "On", 15).await;
    assert_eq!(plug.computer(1), Some(ComputerState::Running));
    // Off with its outlet on: only a cycle brings it back.
    rig.until(15, || async { plug.os_runs(1) }).await;
    plug.act(1, ComputerAct::ShutDown);
    shows(&rig, "Off", 12).await;
    let switched = plug.power_ons(1);
    assert_eq!(rig.reset("n1", "On").await.0, 204);
    shows(&rig, "On", 20).await;
    assert_eq!((plug.computer(1), plug.power_ons(1)), (Some(ComputerState::Running), switched.map(|count| count + 1)));
}

#[tokio::test]
async fn current_through_an_open_relay_is_no_machine_that_is_off() {
    let rig = rig(ComputerConfig::default()).await;
    let plug = rig.plug("n1");
    plug.set_load(1, Load::Welded);
    plug.switch(1, false);
    let conditions = async || rig.system("n1").await["Status"]["Conditions"].to_string();
    rig.until(30, || async { conditions().await.contains("may be welded") }).await;
    assert_eq!(rig.power("n1").await, "On", "no one is told that it is off");
}
