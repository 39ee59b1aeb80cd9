//! What devices say, in many firmwares' words, and garbage.

use proptest::prelude::*;

use super::*;

#[test]
fn a_full_answer_is_read() {
    let info = DeviceInfo::read(&json!({
        "device_id": "8022F5D1", "model": "P110(EU)", "type": "SMART.TAPOPLUG", "fw_ver": "1.3.0 Build 230905 Rel.152200",
        "hw_ver": "1.0", "mac": "AA-BB-CC-DD-EE-FF", "nickname": "VGhlIHJhY2s=", "ssid": "aG9tZQ==", "device_on": true,
        "on_time": 3600, "rssi": -44, "default_states": { "type": "custom", "state": { "on": true } },
        "auto_off_status": "off", "overheat_status": "normal", "overcurrent_status": "normal",
        "power_protection_status": "normal", "charging_status": "normal" }));
    assert_eq!((info.power, info.on_for), (Some(Power::On), Some(Duration::from_secs(3600))));
    assert_eq!((info.model.as_deref(), info.nickname.as_deref()), (Some("P110"), Some("The rack")));
    assert_eq!(info.mac.map(|mac| mac.to_string()).as_deref(), Some("aa:bb:cc:dd:ee:ff"));
    assert_eq!((info.troubles.len(), info.auto_off), (0, None));
    assert_eq!(info.power_restore, Some(PowerRestore::AlwaysOn));
}

#[test]
fn what_the_relay_does_after_a_power_loss_comes_in_three_ways() {
    let read = |states| DeviceInfo::read(&json!({ "device_on": true, "default_states": states })).power_restore;
    for (states, expect) in [
        (json!({ "type": "last_states" }), Some(PowerRestore::LastState)),
        (json!({ "type": "last_states", "state": {} }), Some(PowerRestore::LastState)),
        (json!({ "type": "custom", "state": { "on": true } }), Some(PowerRestore::AlwaysOn)),
        (
            json!({ "type": "custom", "state": { "on": false }, "re_power_type": "always_off" }),
            Some(PowerRestore::AlwaysOff),
        ),
        (json!({ "type": "custom", "state": {} }), None),
        (json!({ "type": "odd" }), None),
        (json!([1]), None),
    ] {
        assert_eq!(read(states.clone()), expect, "{states}");
    }
}

#[test]
fn missing_and_odd_fields_are_no_failure() {
    // 2021 firmware lacks default_states; others write numbers as floats or texts.
    let info = DeviceInfo::read(&json!({ "device_on": false, "on_time": 7, "model": "", "nickname": "%%%", "mac": 5 }));
    assert_eq!(info, DeviceInfo { power: Some(Power::Off), ..DeviceInfo::default() });
    let info = DeviceInfo::read(&json!({ "device_on": true, "on_time": 7.0 }));
    assert_eq!(info.on_for, Some(Duration::from_secs(7)));
    let info = DeviceInfo::read(&json!({ "device_on": 1, "on_time": "7" }));
    assert_eq!((info.power, info.on_for), (Some(Power::On), None));
    assert_eq!(DeviceInfo::read(&json!([1, 2])), DeviceInfo::default());
}

#[test]
fn names_are_tamed() {
    let name = |text: &str| nickname(&BASE64.encode(text));
    assert_eq!(name("rack\n\u{1b}[31mred").as_deref(), Some("rack[31mred"));
    assert_eq!(name(&"ü".repeat(500)).map(|name| name.chars().count()), Some(NAME_CHARS_MAX));
    assert_eq!((name(""), name("  ")), (None, None));
    assert_eq!(nickname(&BASE64.encode([0xff, 0x41])).as_deref(), Some("\u{fffd}A"));
}

#[test]
fn troubles_are_told() {
    let info = DeviceInfo::read(&json!({
        "device_on": true, "overheat_status": "overheated", "overcurrent_status": "lifted", "overheated": true,
        "charging_status": "finished", "auto_off_status": "on", "auto_off_remain_time": 90 }));
    assert_eq!(info.troubles, ["overheat_status: overheated", "overcurrent_status: lifted", "overheated"]);
    assert_eq!(info.auto_off, Some(Some(Duration::from_secs(90))));
    // Auto-off of something that is off cuts nothing.
    let info = DeviceInfo::read(&json!({ "device_on": false, "auto_off_status": "on" }));
    assert_eq!(info.auto_off, None);
}

#[test]
fn power_comes_in_three_units() {
    assert_eq!(emeter_milliwatts(&json!({ "power_mw": 74116, "voltage_mv": 230000 })), Some(74116));
    assert_eq!(usage_milliwatts(&json!({ "current_power": 74116, "today_energy": 1 })), Some(74116));
    assert_eq!(current_milliwatts(&json!({ "current_power": 74 })), Some(74000));
    assert_eq!(usage_milliwatts(&json!({ "today_energy": 1 })), None);
    assert_eq!(emeter_milliwatts(&json!({ "power_mw": -5 })), None);
    assert_eq!(current_milliwatts(&json!({ "current_power": u64::MAX })), None);
    assert_eq!(usage_today_wh(&json!({ "today_energy": 12, "today_energy_mwh": 12999 })), Some(12));
    assert_eq!(usage_today_wh(&json!({ "today_energy_mwh": 12999 })), Some(12));
}

#[test]
fn components_tell_meters_and_strips() {
    let of = |ids: &[&str]| {
        let list: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "ver_code": 1 })).collect();
        components(&json!({ "component_list": list })).unwrap()
    };
    assert_eq!(of(&["device", "led"]), Components { meter: false, strip: false });
    assert_eq!(of(&["energy_monitoring"]), Components { meter: true, strip: false });
    assert_eq!(of(&["control_child", "child_device", "energy_monitoring"]), Components { meter: true, strip: true });
    assert_eq!(components(&json!({})), None);
    let model = |model: &str, on: bool| {
        let power = on.then_some(Power::On);
        components_of_model(&DeviceInfo { model: Some(model.into()), power, ..DeviceInfo::default() })
    };
    assert_eq!(model("P110M", true), Components { meter: true, strip: false });
    assert_eq!(model("P100", true), Components { meter: false, strip: false });
    assert_eq!(model("P304M", false), Components { meter: true, strip: true });
}

#[test]
fn batches_are_taken_apart_by_name() {
    let methods = ["a", "b", "c"];
    let result =
        json!({ "responses": [{ "method": "b", "error_code": -1002 }, { "method": "a", "error_code": 0 }, 5] });
    let answers = of_together(&result, &methods);
    assert_eq!(answers.iter().map(|a| a.as_ref().map(error_code)).collect::<Vec<_>>(), [Some(0), Some(-1002), None]);
    assert_eq!(of_together(&json!({}), &methods), [None, None, None]);
    assert_eq!(
        together(&["a", "b"]).to_string(),
        r#"{"method":"multipleRequest","params":{"requests":[{"method":"a"},{"method":"b"}]}}"#
    );
}

#[test]
fn every_code_of_the_page_has_its_kind() {
    let kind = |code: i64| result("m", json!({ "error_code": code })).unwrap_err().kind;
    let gone = |taken| Kind::SessionGone { taken };
    for code in [9999, -2402, -40401] {
        assert_eq!(kind(code), gone(true), "{code}");
    }
    for code in [1003, 1100, 1111, 1112, 1200, -1003, -1004, -1005, -1006, -1101] {
        assert_eq!(kind(code), gone(false), "{code}");
    }
    assert_eq!(kind(-1301), Kind::Busy { flooded: false });
    assert_eq!((kind(-1501), kind(-2203), kind(-2101)), (Kind::Auth, Kind::Auth, Kind::Locked));
    for code in [1002, -1001, -1002, -1007, -1008, -1010, -1012, -1601, -1602, -1603, -1802, -1901, -2201, -12345] {
        assert_eq!(kind(code), Kind::Code(code), "{code}");
    }
    let unsupported = |code: i64| is_unsupported(&result("m", json!({ "error_code": code })).unwrap_err());
    assert!(unsupported(-1002) && unsupported(-1008) && !unsupported(-1601) && !unsupported(-1007));
    assert_eq!(result("m", json!({ "error_code": 0 })).unwrap(), Value::Null);
}

#[test]
fn lists_of_outlets_are_read_page_by_page() {
    let page = json!({ "child_device_list": [{ "position": 3, "device_on": true }, 5], "start_index": 0, "sum": 3 });
    let (page, sum) = children(&page).unwrap();
    assert_eq!((page.len(), page[0].position, page[0].power, sum), (2, Some(3), Some(Power::On), 3));
    assert_eq!(children(&json!({ "child_device_list": [{}] })).unwrap().1, 1);
    assert!(children(&json!({ "sum": 3 })).is_none());
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = "device_on|on_time|nickname|model|responses|method|error_code|child_device_list|sum|mac|power_mw";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((names, inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_borne(json in any_json()) {
        let _ = DeviceInfo::read(&json);
        let _ = (components(&json), children(&json), of_child(json.clone()).is_ok());
        let _ = (emeter_milliwatts(&json), usage_milliwatts(&json), current_milliwatts(&json), usage_today_wh(&json));
        prop_assert_eq!(of_together(&json, &["a", "b"]).len(), 2);
        let code = error_code(&json);
        prop_assert_eq!(result("m", json).is_ok(), code == 0);
    }
}
