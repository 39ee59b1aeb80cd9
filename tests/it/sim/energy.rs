//! The power draw of the simulated computers, as the energy methods of a plug report it over the wire.

use std::time::Duration;

use plugfish::testing::sim::{
    Action, ComputerAct, ComputerConfig, ComputerState, Fault, MeterFault, Model, OnShutdown, Plug, PlugConfig,
    PowerLoss, Rack, RackConfig, Selector, Variant,
};
use serde_json::{Value, json};

use super::raw::{Client, Http};
use super::{EMAIL, PASSWORD, config, rack};

/// A plug whose meter is exact, and a computer that does everything in a fraction of a second. The rack has real sockets, and
/// so runs in real time.
fn quick(computer: ComputerConfig) -> PlugConfig {
    let boot = Some(Duration::from_millis(1_500));
    let computer = ComputerConfig { boot, shutdown: Duration::from_millis(150), ..computer };
    PlugConfig { meter_lag: Duration::ZERO, computer, ..config(Model::P110, Variant::KlapV2) }
}

async fn login(plug: &Plug) -> Client {
    Client::login(plug.address(), plug.variant(), EMAIL, PASSWORD).await.unwrap()
}

async fn told(client: &mut Client, method: &str) -> Value {
    client.get(method).await.unwrap()["result"].clone()
}

/// All three methods tell the same draw, in milliwatts.
async fn draw(client: &mut Client, plug: &Plug) -> u64 {
    // The noise of the computer changes twice in a second: one of the tries lies within one step of it.
    for _ in 0..20 {
        let before = plug.draw_mw(1).unwrap();
        let usage = told(client, "get_energy_usage").await["current_power"].as_u64().unwrap();
        let watts = told(client, "get_current_power").await["current_power"].as_u64().unwrap();
        let data = told(client, "get_emeter_data").await;
        if plug.draw_mw(1).unwrap() == before {
            assert_eq!((usage, watts, data["power_mw"].as_u64()), (before, before / 1000, Some(before)));
            assert_eq!(data["current_ma"].as_u64(), Some(before * 1000 / 230_400));
            return before;
        }
    }
    panic!("the draw never held for as long as three requests take");
}

async fn becomes(plug: &Plug, state: ComputerState) {
    for _ in 0..500 {
        if plug.computer(1) == Some(state) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still {:?}", plug.computer(1));
}

#[tokio::test]
async fn a_machine_that_shuts_itself_down_draws_little_behind_a_closed_relay() {
    let (_rack, plug) = rack(quick(ComputerConfig { idle_mw: Some(20_000), ..ComputerConfig::default() })).await;
    let mut client = login(&plug).await;
    assert!((10_000..30_000).contains(&draw(&mut client, &plug).await) && plug.os_runs(1));
    assert!(plug.act(1, ComputerAct::ShutDown) && !plug.act(2, ComputerAct::ShutDown));
    assert_eq!(plug.computer(1), Some(ComputerState::ShuttingDown));
    becomes(&plug, ComputerState::Off).await;
    assert!((200..1_300).contains(&draw(&mut client, &plug).await), "S5 without an engine");
    assert_eq!((plug.relay(1), plug.os_runs(1)), (Some(true), false));
    assert_eq!(told(&mut client, "get_device_info").await["device_on"], true);
    plug.act(1, ComputerAct::Wake);
    becomes(&plug, ComputerState::Running).await;
    let mut highest = 0;
    while !plug.os_runs(1) {
        highest = highest.max(told(&mut client, "get_energy_usage").await["current_power"].as_u64().unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(highest > 36_000, "POST draws twice as much at least: {highest}");
    let states: Vec<ComputerState> = plug.computer_history(1).iter().map(|change| change.state).collect();
    use ComputerState::{Off, Running, ShuttingDown};
    assert_eq!(states, [Running, ShuttingDown, Off, Running]);
    assert_eq!((plug.history(1).len(), plug.power_ons(1)), (1, Some(0)), "the relay had no part in it");
}

#[tokio::test]
async fn an_engine_that_is_awake_and_sleep_draw_a_little_more() {
    let (_rack, plug) = rack(quick(ComputerConfig { engine: true, ..ComputerConfig::default() })).await;
    let mut client = login(&plug).await;
    plug.act(1, ComputerAct::ShutDown);
    becomes(&plug, ComputerState::Off).await;
    assert!((1_000..4_000).contains(&draw(&mut client, &plug).await), "S5 with the engine awake");
    client.set(false).await.unwrap();
    assert_eq!((draw(&mut client, &plug).await, plug.computer(1)), (0, Some(ComputerState::Unpowered)));
    client.set(true).await.unwrap();
    assert_eq!(plug.computer(1), Some(ComputerState::Running), "its firmware starts it when it gets power");

    let (_rack, plug) = rack(quick(ComputerConfig { asleep_mw: Some(2_500), ..ComputerConfig::default() })).await;
    let mut client = login(&plug).await;
    plug.act(1, ComputerAct::Sleep);
    assert!((2_400..2_600).contains(&draw(&mut client, &plug).await) && !plug.os_runs(1), "S3");
    plug.act(1, ComputerAct::Wake);
    assert!(draw(&mut client, &plug).await > 5_000 && plug.os_runs(1), "it goes on where it was");
}

#[tokio::test]
async fn a_shutdown_may_be_ignored_or_hang_and_power_may_start_nothing() {
    let stays =
        ComputerConfig { on_shutdown: OnShutdown::Ignores, restore: PowerLoss::Off, ..ComputerConfig::default() };
    let (_rack, plug) = rack(quick(stays)).await;
    let mut client = login(&plug).await;
    plug.act(1, ComputerAct::ShutDown);
    assert_eq!(plug.computer(1), Some(ComputerState::Running));
    assert!(plug.set_on_shutdown(1, OnShutdown::Hangs));
    plug.act(1, ComputerAct::ShutDown);
    becomes(&plug, ComputerState::Hung).await;
    assert!(draw(&mut client, &plug).await > 8_000 && !plug.os_runs(1), "it draws on");
    plug.act(1, ComputerAct::ShutDown);
    assert_eq!(plug.computer(1), Some(ComputerState::Hung));
    client.set(false).await.unwrap();
    client.set(true).await.unwrap();
    assert_eq!(plug.computer(1), Some(ComputerState::Off), "only a magic packet or its button starts it");
    assert!(draw(&mut client, &plug).await < 1_300);
}

#[tokio::test]
async fn the_meter_may_be_noisy_and_coarse_and_repeats_with_the_seed() {
    let noisy = PlugConfig { meter_noise_mw: 3_000, ..quick(ComputerConfig::default()) };
    let (_rack, plug) = rack(noisy).await;
    let mut client = login(&plug).await;
    client.set(false).await.unwrap();
    let mut shown = Vec::new();
    for _ in 0..6 {
        shown.push(told(&mut client, "get_energy_usage").await["current_power"].as_u64().unwrap());
        tokio::time::sleep(Duration::from_millis(510)).await;
    }
    assert!(shown.iter().all(|draw| *draw <= 3_000), "{shown:?}");
    assert!(shown.iter().any(|draw| *draw > 0), "{shown:?}");

    let (_rack, plug) = rack(PlugConfig { meter_step_mw: 1_000, ..quick(ComputerConfig::default()) }).await;
    let mut client = login(&plug).await;
    let coarse = told(&mut client, "get_emeter_data").await["power_mw"].as_u64().unwrap();
    assert!(coarse.is_multiple_of(1_000) && coarse.abs_diff(plug.draw_mw(1).unwrap()) < 2_000, "{coarse}");
}

#[tokio::test]
async fn the_meter_lags_behind_a_machine_that_goes_off_by_itself() {
    let (_rack, plug) =
        rack(PlugConfig { meter_lag: Duration::from_millis(800), ..quick(ComputerConfig::default()) }).await;
    let mut client = login(&plug).await;
    plug.act(1, ComputerAct::ShutDown);
    becomes(&plug, ComputerState::Off).await;
    let late = told(&mut client, "get_energy_usage").await["current_power"].as_u64().unwrap();
    assert!(late > 8_000 && plug.draw_mw(1).unwrap() < 1_300, "{late}");
    tokio::time::sleep(Duration::from_millis(820)).await;
    assert!(draw(&mut client, &plug).await < 1_300);
}

#[tokio::test]
async fn a_meter_may_stick_or_vanish_or_say_nothing_or_nonsense() {
    let (_rack, plug) = rack(quick(ComputerConfig::default())).await;
    let mut client = login(&plug).await;
    let fault = |fault| {
        plug.clear_faults();
        assert!(plug.add_fault(Fault::always(Selector::Any, Action::Meter(fault))));
    };
    fault(MeterFault::Stick);
    let first = told(&mut client, "get_energy_usage").await["current_power"].clone();
    client.set(false).await.unwrap();
    assert_eq!(told(&mut client, "get_energy_usage").await["current_power"], first, "whatever the relay does");
    assert_eq!(told(&mut client, "get_emeter_data").await["power_mw"], first);
    plug.clear_faults();
    assert_eq!(told(&mut client, "get_energy_usage").await["current_power"], 0);

    fault(MeterFault::Vanish);
    let usage = told(&mut client, "get_energy_usage").await;
    assert!(usage.get("current_power").is_none() && usage["today_energy"].is_u64(), "{usage}");
    assert_eq!(told(&mut client, "get_current_power").await, json!({}));
    let data = told(&mut client, "get_emeter_data").await;
    assert!(data.get("power_mw").is_none() && data["voltage_mv"].is_u64(), "{data}");

    fault(MeterFault::Null);
    assert_eq!(told(&mut client, "get_current_power").await, json!({"current_power": null}));
    assert_eq!(told(&mut client, "get_emeter_data").await["power_mw"], Value::Null);

    for nonsense in [-5, 4_294_967_295_000, i64::MIN, i64::MAX] {
        fault(MeterFault::Says(nonsense));
        assert_eq!(told(&mut client, "get_energy_usage").await["current_power"], nonsense);
        assert_eq!(told(&mut client, "get_current_power").await["current_power"], nonsense / 1000);
        assert_eq!(told(&mut client, "get_emeter_data").await["power_mw"], nonsense);
    }
    assert_eq!(told(&mut client, "get_device_info").await["device_on"], false, "only the meter is hit");
}

#[tokio::test]
async fn each_outlet_of_a_strip_has_its_own_computer() {
    let (_rack, plug) = rack(config(Model::P304M, Variant::KlapV2)).await;
    plug.act(2, ComputerAct::Hang);
    plug.switch(3, false);
    let states = [1, 2, 3, 4, 5].map(|outlet| plug.computer(outlet));
    use ComputerState::{Hung, Running, Unpowered};
    assert_eq!(states, [Some(Running), Some(Hung), Some(Unpowered), Some(Running), None]);
}

#[tokio::test]
async fn the_control_api_acts_on_computers() {
    let control = Some((std::net::Ipv4Addr::LOCALHOST, 0).into());
    let rack = RackConfig { control, ..RackConfig::new(7) }.with(quick(ComputerConfig::default()));
    let rack = Rack::start(rack).await.unwrap();
    let (plug, mut http) = (&rack.plugs()[0], Http::new(rack.control().unwrap()));
    let mut order = async |what: &str, body: Value| {
        let answer = http.post(&format!("/plugs/n1/{what}"), &[], body.to_string().as_bytes()).await.unwrap();
        (answer.status, answer.json())
    };
    assert_eq!(order("on-shutdown", json!({"outlet": 1, "makes": "hangs"})).await.0, 200);
    let (status, said) = order("computer", json!({"outlet": 1, "act": "shut_down"})).await;
    assert_eq!((status, &said["outlets"][0]["computer"]), (200, &json!("shutting_down")));
    becomes(plug, ComputerState::Hung).await;
    assert_eq!(order("computer", json!({"outlet": 2, "act": "wake"})).await.0, 404);
    assert_eq!(order("computer", json!({"outlet": 1, "act": "explode"})).await.0, 400);
    let fault = json!({"on": "any", "action": {"meter": {"says": -1}}});
    assert_eq!(order("fault", fault).await.0, 200);
    assert_eq!(order("fault", json!({"on": "any", "action": {"meter": "null"}})).await.0, 200);
    let history = http.send(b"GET /plugs/n1/computer?outlet=1 HTTP/1.1\r\n\r\n").await.unwrap().json();
    let states: Vec<&str> = history.as_array().unwrap().iter().map(|entry| entry["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["running", "shutting_down", "hung"]);
}
