//! The answers of the simulated plugs' methods, through the encryption.

use std::time::Duration;

use plugfish::testing::clock::{Clock, Wall};
use plugfish::testing::sim::{Cause, Model, Plug, PlugConfig, PowerLoss, Quirks, Rack, RackConfig, Variant};
use serde_json::{Value, json};

use super::raw::Client;
use super::{EMAIL, PASSWORD, config, rack};

async fn login(plug: &Plug) -> Client {
    Client::login(plug.address(), plug.variant(), EMAIL, PASSWORD).await.unwrap()
}

async fn result(client: &mut Client, request: Value) -> Value {
    let answer = client.call(request.clone()).await.unwrap();
    assert_eq!(answer["error_code"], 0, "{request}: {answer}");
    answer["result"].clone()
}

async fn code(client: &mut Client, request: Value) -> i64 {
    client.call(request).await.unwrap()["error_code"].as_i64().unwrap()
}

fn ids(list: &Value) -> Vec<&str> {
    list["component_list"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_plug_says_who_it_is() {
    let config = PlugConfig {
        mac: Some([0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]),
        nickname: Some("Rack 1".into()),
        ..config(Model::P110, Variant::KlapV2)
    };
    let (_rack, plug) = rack(config).await;
    let mut client = login(&plug).await;
    let info = result(&mut client, json!({"method": "get_device_info"})).await;
    assert_eq!(info["mac"], "AA-BB-CC-DD-EE-FF");
    assert_eq!(info["nickname"], "UmFjayAx");
    assert_eq!(info["model"], "P110");
    assert_eq!(info["device_id"], plug.device_id());
    assert_eq!(info["device_id"].as_str().unwrap().len(), 40);
    assert_eq!(info["ip"], plug.address().ip().to_string());
    assert_eq!(info["fw_ver"], "1.3.1 Build 240621 Rel.162048");
    assert_eq!(info["default_states"], json!({"type": "last_states", "state": {}}));
    let components = result(&mut client, json!({"method": "component_nego"})).await;
    assert!(ids(&components).contains(&"energy_monitoring") && !ids(&components).contains(&"control_child"));
}

#[tokio::test]
async fn what_a_model_has_not_is_unknown() {
    let meter = ["get_energy_usage", "get_current_power", "get_emeter_data"];
    let check = |config: PlugConfig, has: [bool; 3]| async move {
        let (_rack, plug) = rack(config).await;
        let mut client = login(&plug).await;
        for (method, has) in meter.into_iter().zip(has) {
            assert_eq!(code(&mut client, json!({"method": method})).await, if has { 0 } else { -1002 }, "{method}");
        }
    };
    let old =
        PlugConfig { firmware: Some("1.3.0 Build 230905 Rel.152200".into()), ..config(Model::P110, Variant::KlapV2) };
    check(config(Model::P100, Variant::KlapV2), [false; 3]).await;
    check(config(Model::P110, Variant::KlapV2), [true; 3]).await;
    check(config(Model::P110, Variant::Tpap), [true; 3]).await;
    check(old, [true, true, false]).await;
}

#[tokio::test]
async fn wrong_parameters_are_refused() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let mut client = login(&plug).await;
    let set = |params: Value| json!({"method": "set_device_info", "params": params});
    for params in [json!({}), json!({"device_on": "on"}), json!({"device_on": null}), json!([true])] {
        assert_eq!(code(&mut client, set(params.clone())).await, -1008, "{params}");
    }
    assert_eq!(code(&mut client, json!({"method": "get_countdown_rules", "params": null})).await, -1008);
    assert_eq!(code(&mut client, json!({"method": "get_device_info", "params": null})).await, 0);
    assert_eq!(code(&mut client, json!({"method": "no_such_method"})).await, -1002);
    assert_eq!(code(&mut client, json!({"params": {}})).await, -1002);
    assert_eq!(code(&mut client, json!({"method": "get_child_device_list"})).await, -1002, "it is no strip");
    assert_eq!((plug.relay(1), plug.counters().relay_writes), (Some(true), 0));
}

#[tokio::test]
async fn a_batch_is_answered_part_by_part() {
    let quirks = Quirks { batch_max: 3, ..Quirks::default() };
    let (_rack, plug) = rack(PlugConfig { quirks, ..config(Model::P110, Variant::KlapV2) }).await;
    let mut client = login(&plug).await;
    let parts = json!([
        {"method": "get_device_info"}, {"method": "no_such_method"},
        {"method": "set_device_info", "params": {"device_on": false}}, {"method": "get_device_info"},
    ]);
    let batch = json!({"method": "multipleRequest", "params": {"requests": parts}});
    let responses = result(&mut client, batch).await["responses"].clone();
    let codes: Vec<i64> =
        responses.as_array().unwrap().iter().map(|part| part["error_code"].as_i64().unwrap()).collect();
    assert_eq!(codes, [0, -1002, 0, -1004], "the fourth is one too many for this firmware");
    assert_eq!(responses[0]["method"], "get_device_info");
    assert_eq!(plug.relay(1), Some(false));
    let nested = json!({"method": "multipleRequest", "params": {"requests": [
        {"method": "multipleRequest", "params": {"requests": []}},
    ]}});
    assert_eq!(result(&mut client, nested).await["responses"][0]["error_code"], -1008);
}

#[tokio::test]
async fn on_time_begins_at_a_switch_and_not_at_an_order_that_changes_nothing() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let mut client = login(&plug).await;
    client.set(true).await.unwrap();
    let info = result(&mut client, json!({"method": "get_device_info"})).await;
    assert!(info["on_time"].as_u64().unwrap() > 1000, "it has been on since before the rack started");
    client.set(false).await.unwrap();
    assert_eq!(result(&mut client, json!({"method": "get_device_info"})).await["on_time"], 0);
    client.set(true).await.unwrap();
    assert!(result(&mut client, json!({"method": "get_device_info"})).await["on_time"].as_u64().unwrap() < 60);
    let causes: Vec<(bool, Cause)> = plug.history(1).iter().map(|change| (change.on, change.cause)).collect();
    assert_eq!(causes, [(true, Cause::Start), (false, Cause::Client), (true, Cause::Client)]);
    assert_eq!((plug.power_ons(1), plug.counters().relay_writes), (Some(1), 3));
}

#[tokio::test]
async fn the_meter_counts_and_begins_anew_at_midnight() {
    let clock = Clock::simulated(1, Wall(1_795_359_818_000));
    let plug = PlugConfig { meter_lag: Duration::ZERO, ..config(Model::P110, Variant::Tpap) };
    let rack = Rack::start(RackConfig { clock: clock.clone(), ..RackConfig::new(7) }.with(plug)).await.unwrap();
    let plug = &rack.plugs()[0];
    let mut client = login(plug).await;
    plug.add_energy_wh(1, 700);
    let usage = result(&mut client, json!({"method": "get_energy_usage"})).await;
    assert_eq!(
        (usage["today_energy"].clone(), usage["local_time"].clone()),
        (json!(700), json!("2026-11-22 15:03:38"))
    );
    let month = usage["month_energy"].as_u64().unwrap();
    let data = result(&mut client, json!({"method": "get_emeter_data"})).await;
    assert_eq!(data["energy_wh"], 700);
    let (watts, real) = (data["power_mw"].as_u64().unwrap(), plug.draw_mw(1).unwrap());
    assert!(watts.abs_diff(real) < real / 10, "{watts} {real}");
    let implied = data["current_ma"].as_u64().unwrap() * data["voltage_mv"].as_u64().unwrap() / 1000;
    assert!(implied.abs_diff(watts) < 300, "volts times amperes are the watts");

    clock.jump_wall(24 * 3_600_000);
    let usage = result(&mut client, json!({"method": "get_energy_usage"})).await;
    assert_eq!(usage["today_energy"], 0);
    assert_eq!(usage["month_energy"], month, "the month goes on");
    client.set(false).await.unwrap();
    assert_eq!(result(&mut client, json!({"method": "get_current_power"})).await["current_power"], 0);
}

#[tokio::test]
async fn there_is_one_countdown() {
    let (_rack, plug) = rack(config(Model::P100, Variant::KlapV2)).await;
    let mut client = login(&plug).await;
    let add = |delay: u64| json!({"method": "add_countdown_rule", "params": {"enable": true, "delay": delay, "desired_states": {"on": true}}});
    assert_eq!(code(&mut client, add(0)).await, -1008);
    assert_eq!(code(&mut client, add(86_401)).await, -1008);
    let id = result(&mut client, add(600)).await["id"].clone();
    assert_eq!(code(&mut client, add(600)).await, -1901);
    let rules = result(&mut client, json!({"method": "get_countdown_rules", "params": {}})).await;
    assert_eq!(rules["rule_list"][0]["id"], id);
    assert_eq!(rules["rule_list"][0]["desired_states"], json!({"on": true}));
    assert!((595..=600).contains(&rules["rule_list"][0]["remain"].as_u64().unwrap()));
    let remove = json!({"method": "remove_countdown_rules", "params": {"remove_all": true}});
    assert_eq!(code(&mut client, remove).await, 0);
    assert_eq!(code(&mut client, add(1)).await, 0);
    client.set(false).await.unwrap();
    // Real time, since the plug is on real sockets.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(plug.relay(1), Some(true), "a dead man's switch");
    assert_eq!(plug.history(1).last().unwrap().cause, Cause::Countdown);
}

#[tokio::test]
async fn default_states_can_be_set() {
    let (_rack, plug) = rack(PlugConfig { power_loss: PowerLoss::Off, ..config(Model::P100, Variant::KlapV2) }).await;
    let mut client = login(&plug).await;
    let states = |info: Value| info["default_states"].clone();
    let off = json!({"type": "custom", "state": {"on": false}});
    assert_eq!(states(result(&mut client, json!({"method": "get_device_info"})).await), off);
    let on = json!({"type": "custom", "state": {"on": true}});
    let set = json!({"method": "set_device_info", "params": {"default_states": on}});
    assert_eq!(code(&mut client, set).await, 0);
    assert_eq!(states(result(&mut client, json!({"method": "get_device_info"})).await), on);
    assert_eq!((plug.counters().relay_writes, plug.relay(1)), (0, Some(true)));
}

#[tokio::test]
async fn a_strip_lists_its_outlets_page_by_page_and_in_no_useful_order() {
    let quirks = Quirks { page_size: 2, ..Quirks::default() };
    let (_rack, plug) = rack(PlugConfig { quirks, ..config(Model::P300, Variant::KlapV2) }).await;
    let mut client = login(&plug).await;
    plug.switch(2, false);
    let mut seen = Vec::new();
    for start in [0, 2] {
        let page = json!({"method": "get_child_device_list", "params": {"start_index": start}});
        let page = result(&mut client, page).await;
        assert_eq!((page["sum"].clone(), page["start_index"].clone()), (json!(3), json!(start)));
        for child in page["child_device_list"].as_array().unwrap() {
            let position = child["position"].as_u64().unwrap();
            assert_eq!(child["device_on"], position != 2);
            assert_eq!(child["device_id"].as_str().map(str::to_owned), plug.child_id(position as usize));
            seen.push(position);
        }
    }
    assert_eq!(seen, [3, 2, 1]);
    let info = result(&mut client, json!({"method": "get_device_info"})).await;
    assert!(info.get("device_on").is_none(), "the strip itself has no relay");
    let components = result(&mut client, json!({"method": "component_nego"})).await;
    assert!(ids(&components).contains(&"control_child") && !ids(&components).contains(&"energy_monitoring"));
    let lists = result(&mut client, json!({"method": "get_child_device_component_list"})).await;
    assert_eq!(lists["child_component_list"].as_array().unwrap().len(), 2, "paged too");
}

#[tokio::test]
async fn an_outlet_is_switched_alone() {
    for model in [Model::P300, Model::P304M] {
        let (_rack, plug) = rack(config(model, Variant::KlapV2)).await;
        let mut client = login(&plug).await;
        let control = |child: &str, request: Value| json!({"method": "control_child", "params": {"device_id": child, "requestData": request}});
        let off = json!({"method": "set_device_info", "params": {"device_on": false}});
        let second = plug.child_id(2).unwrap();
        let single = result(&mut client, control(&second, off.clone())).await;
        assert_eq!(single, json!({"responseData": {"error_code": 0}}));
        assert_eq!((plug.relay(1), plug.relay(2)), (Some(true), Some(false)));

        let batch = json!({"method": "multipleRequest", "params": {"requests": [off]}});
        let third = plug.child_id(3).unwrap();
        let batch = result(&mut client, control(&third, batch)).await;
        let part = json!({"method": "set_device_info", "error_code": 0});
        assert_eq!(batch, json!({"responseData": {"result": {"responses": [part]}}}));
        assert_eq!(plug.relay(3), Some(false));

        let wrong = control("no such child", json!({"method": "get_device_info"}));
        assert_eq!(code(&mut client, wrong).await, -1008);
        let whole = json!({"method": "set_device_info", "params": {"device_on": false}});
        assert_eq!(code(&mut client, whole).await, -1002, "the strip itself has no relay");
        let nothing = control(&second, json!({"method": "control_child", "params": {}}));
        assert_eq!(result(&mut client, nothing).await["responseData"]["error_code"], -1002);
        assert_eq!(plug.counters().relay_writes, 2);
    }
}

#[tokio::test]
async fn each_outlet_of_a_p304m_has_its_meter() {
    let (_rack, plug) = rack(config(Model::P304M, Variant::KlapV2)).await;
    let mut client = login(&plug).await;
    plug.add_energy_wh(4, 50);
    let request = |method: &str| {
        let child = plug.child_id(4).unwrap();
        json!({"method": "control_child", "params": {"device_id": child, "requestData": {"method": method}}})
    };
    let usage = result(&mut client, request("get_energy_usage")).await["responseData"]["result"].clone();
    assert_eq!(usage["today_energy"], 50);
    assert!(usage.get("current_power").is_none(), "only get_current_power tells the watts");
    let power = result(&mut client, request("get_current_power")).await["responseData"]["result"].clone();
    let real = plug.draw_mw(4).unwrap() / 1000;
    assert!(power["current_power"].as_u64().unwrap().abs_diff(real) <= real / 10 + 1);
    assert_eq!(result(&mut client, request("get_emeter_data")).await["responseData"]["error_code"], -1002);
}
