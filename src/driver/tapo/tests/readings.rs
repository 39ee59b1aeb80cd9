//! What a reading consists of on the different kinds of plugs.

use serde_json::{Value, json};

use super::*;

/// Never polled: some firmware crashes or stalls on them.
const FORBIDDEN: [&str; 8] = ["led", "firmware", "_fw", "time", "matter", "cloud", "wireless", "schedule"];

fn usage() -> (&'static str, Value) {
    ("get_energy_usage", json!({ "today_energy": 120, "month_energy": 900, "current_power": 50_000 }))
}

#[tokio::test]
async fn a_plug_without_a_meter_is_asked_for_its_state_alone() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    {
        let mut plug = bench.fake.plug();
        plug.on = true;
        plug.info["on_time"] = 3600.into();
    }
    let seen = bench.read().await.unwrap();
    assert_eq!(bench.fake.names(), ["get_device_info"]);
    assert_eq!((seen.power, seen.on_for), (Some(Power::On), Some(Duration::from_secs(3600))));
    assert_eq!((seen.milliwatts, seen.energy_today_wh), (None, None));
    let about = &seen.about;
    assert_eq!(about.manufacturer.as_deref(), Some("TP-Link"));
    assert_eq!((about.model.as_deref(), about.nickname.as_deref()), (Some("P100"), Some("Rack left")));
    assert_eq!((about.serial.as_deref(), about.hardware.as_deref()), (Some("80220001"), Some("1.0")));
    assert_eq!(about.mac.map(|mac| mac.to_string()).as_deref(), Some("aa:bb:cc:dd:ee:01"));
    assert!(!about.meter);
    // The same, not only an equal one.
    let again = bench.read().await.unwrap();
    assert!(Arc::ptr_eq(&seen.about, &again.about));
}

#[tokio::test]
async fn a_meter_is_read_in_the_same_request() {
    let mut bench =
        Bench::new(Plug::new(klap()).metered(&[("get_emeter_data", json!({ "power_mw": 74_116 })), usage()])).await;
    let seen = bench.read().await.unwrap();
    assert_eq!((seen.milliwatts, seen.energy_today_wh), (Some(74_116), Some(120)));
    assert!(seen.about.meter);
    assert_eq!(bench.fake.names()[3], "multipleRequest(get_device_info,get_emeter_data,get_energy_usage)");
    // Energy at most each 60 s; the figure stays.
    let seen = bench.read().await.unwrap();
    assert_eq!(bench.fake.names(), ["multipleRequest(get_device_info,get_emeter_data)"]);
    assert_eq!((seen.milliwatts, seen.energy_today_wh), (Some(74_116), Some(120)));
}

#[tokio::test]
async fn energy_is_read_again_after_its_time() {
    let plug = Plug::new(klap()).metered(&[("get_emeter_data", json!({ "power_mw": 74_116 })), usage()]);
    let mut bench = Bench::with(plug, |_, timing| timing.usage_every = Duration::ZERO).await;
    bench.read().await.unwrap();
    bench.fake.names();
    bench.read().await.unwrap();
    assert_eq!(bench.fake.names(), ["multipleRequest(get_device_info,get_emeter_data,get_energy_usage)"]);
}

#[tokio::test]
async fn older_meters_are_read_as_they_can() {
    let mut bench = Bench::new(Plug::new(klap()).metered(&[usage()])).await;
    assert_eq!(bench.read().await.unwrap().milliwatts, Some(50_000));
    bench.fake.names();
    assert_eq!(bench.read().await.unwrap().milliwatts, Some(50_000));
    assert_eq!(bench.fake.names(), ["multipleRequest(get_device_info,get_energy_usage)"]);
    let answers =
        [("get_energy_usage", json!({ "today_energy": 1 })), ("get_current_power", json!({ "current_power": 74 }))];
    let mut bench = Bench::new(Plug::new(klap()).metered(&answers)).await;
    bench.read().await.unwrap();
    bench.fake.names();
    assert_eq!(bench.read().await.unwrap().milliwatts, Some(74_000));
    assert_eq!(bench.fake.names(), ["multipleRequest(get_device_info,get_current_power)"]);
}

#[tokio::test]
async fn right_after_a_switch_the_meter_is_not_believed() {
    let plug = Plug::new(klap()).metered(&[("get_emeter_data", json!({ "power_mw": 74_116 })), usage()]);
    let mut bench = Bench::with(plug, |_, timing| timing.settle = Duration::from_millis(300)).await;
    bench.read().await.unwrap();
    bench.set(Power::On).await.unwrap();
    bench.fake.names();
    assert_eq!(bench.read().await.unwrap().milliwatts, None);
    assert_eq!(bench.fake.names(), ["get_device_info"]);
    // In real time: the driver's clock is the system's.
    tokio::time::sleep(Duration::from_millis(310)).await;
    assert_eq!(bench.read().await.unwrap().milliwatts, Some(74_116));
}

#[tokio::test]
async fn a_plug_whose_clock_is_not_set_has_no_energy_and_no_failure() {
    let answers = [("get_emeter_data", json!({ "power_mw": 74_116 })), usage()];
    let plug = Plug::new(klap()).metered(&answers);
    let mut bench = Bench::with(plug, |_, timing| timing.usage_every = Duration::from_millis(200)).await;
    bench.fake.trouble("get_energy_usage", 1, Trouble::Code(-1601));
    let seen = bench.read().await.unwrap();
    assert_eq!((seen.milliwatts, seen.energy_today_wh), (Some(74_116), None));
    // Asked again in its time: the clock may be set by then.
    tokio::time::sleep(Duration::from_millis(210)).await;
    assert_eq!(bench.read().await.unwrap().energy_today_wh, Some(120));
}

#[tokio::test]
async fn a_plug_that_bears_no_batches_is_asked_for_one_thing_at_a_time() {
    let answers = [("get_emeter_data", json!({ "power_mw": 74_116 })), usage()];
    for (on, code) in
        [("multipleRequest", -1004), ("multipleRequest", -1006), ("multipleRequest", -1002), ("get_emeter", -1004)]
    {
        let mut bench = Bench::new(Plug::new(klap()).metered(&answers)).await;
        bench.fake.trouble(on, 1, Trouble::Code(code));
        let seen = bench.read().await.unwrap();
        assert_eq!((seen.milliwatts, seen.energy_today_wh), (Some(74_116), Some(120)), "{on} {code}");
        bench.fake.names();
        bench.read().await.unwrap();
        assert_eq!(bench.fake.names(), ["get_device_info", "get_emeter_data"]);
        assert_eq!(bench.fake.plug().speech.logins(), 1);
    }
}

#[tokio::test]
async fn a_plug_without_component_nego_is_judged_by_its_model() {
    let mut plug = Plug::new(klap()).metered(&[("get_emeter_data", json!({ "power_mw": 1000 }))]);
    plug.answers.remove(0);
    plug.info["model"] = "P110(EU)".into();
    let mut bench = Bench::new(plug).await;
    assert_eq!(bench.read().await.unwrap().milliwatts, Some(1000));
}

#[tokio::test]
async fn a_plug_that_does_not_say_its_state_is_an_error() {
    let mut bench = Bench::new(Plug::new(klap())).await;
    bench.fake.trouble("get_device_info", 9, Trouble::Ignore);
    assert_fails(bench.read().await, FailureClass::Protocol, "device_on");
}

#[tokio::test]
async fn what_is_wrong_with_a_plug_is_told() {
    let mut plug = Plug::new(klap());
    plug.on = true;
    plug.info["overheat_status"] = "overheated".into();
    plug.info["auto_off_status"] = "on".into();
    plug.info["auto_off_remain_time"] = 60.into();
    let mut bench = Bench::new(plug).await;
    let seen = bench.read().await.unwrap();
    assert!(notice(&seen, "plug-trouble").unwrap().text.contains("overheat_status: overheated"));
    assert!(notice(&seen, "auto-off").unwrap().text.contains("cut the power in 60 s"));
}

#[tokio::test]
async fn another_plug_at_the_address_is_neither_believed_nor_switched() {
    for (key, value) in [("mac", "AA-BB-CC-DD-EE-77"), ("device_id", "80220099")] {
        let mut bench = Bench::warm(Plug::new(klap())).await;
        bench.fake.plug().info[key] = value.into();
        let words = "plugfish trust node-1 --reset";
        assert_fails(bench.read().await, FailureClass::Distrusted, words);
        // With a session, without one, and after a restart.
        assert_fails(bench.set(Power::On).await, FailureClass::Distrusted, words);
        bench.device.forget_session();
        assert_fails(bench.set(Power::On).await, FailureClass::Distrusted, words);
        bench.restart();
        assert_fails(bench.set(Power::On).await, FailureClass::Distrusted, words);
        assert_eq!(bench.fake.plug().switched, 0);
    }
}

#[tokio::test]
async fn a_question_about_energy_that_fails_concerns_itself_alone() {
    // A P110 that knows no multipleRequest and has no energy to tell.
    for code in [-1003, -1001, 1003, -1301, 9999, -1501] {
        let mut bench = Bench::new(Plug::new(klap()).metered(&[])).await;
        bench.fake.trouble("multipleRequest", 99, Trouble::Code(-1006));
        bench.fake.trouble("get_e", 99, Trouble::Code(code));
        bench.fake.trouble("get_current_power", 99, Trouble::Code(code));
        for power in [Power::On, Power::Off] {
            bench.set(power).await.unwrap();
            let seen = bench.read().await.unwrap_or_else(|error| panic!("{code}: {error}"));
            assert_eq!((seen.power, seen.milliwatts), (Some(power), None), "{code}");
        }
        assert_eq!(bench.fake.plug().speech.logins(), 1, "{code}");
    }
}

#[tokio::test]
async fn an_energy_method_in_a_batch_fails_alone_too() {
    for code in [-1003, 9999, -1301, -1501] {
        let mut bench = Bench::new(Plug::new(klap()).metered(&[usage()])).await;
        bench.fake.trouble("get_emeter", 99, Trouble::Code(code));
        let seen = bench.read().await.unwrap_or_else(|error| panic!("{code}: {error}"));
        assert_eq!((seen.power, seen.energy_today_wh), (Some(Power::Off), Some(120)), "{code}");
    }
}

#[tokio::test]
async fn an_energy_question_without_an_answer_leaves_the_state() {
    for trouble in [Trouble::Close, Trouble::Status(500, "")] {
        let mut bench = Bench::new(Plug::new(klap()).metered(&[usage()])).await;
        bench.fake.trouble("multipleRequest", 99, Trouble::Code(-1006));
        bench.fake.trouble("get_e", 99, trouble);
        for _ in 0..3 {
            assert_eq!(bench.read().await.unwrap().power, Some(Power::Off));
        }
    }
}

#[tokio::test]
async fn what_no_plug_can_carry_is_not_believed_and_passes() {
    let wrapped = [
        ("get_emeter_data", json!({ "power_mw": 4_294_924_798_u64 })),
        ("get_energy_usage", json!({ "today_energy": 4_294_967_290_u64, "current_power": 23_000 })),
    ];
    let plug = Plug::new(klap()).metered(&wrapped);
    let mut bench = Bench::with(plug, |_, timing| timing.usage_every = Duration::ZERO).await;
    let seen = bench.read().await.unwrap();
    assert_eq!((seen.milliwatts, seen.energy_today_wh), (Some(23_000), None), "the next source is asked");
    bench.fake.plug().answers.retain(|(method, _)| *method == "component_nego");
    bench.fake.plug().answers.extend([("get_emeter_data", json!({ "power_mw": 4_000_000 })), usage()]);
    let seen = bench.read().await.unwrap();
    assert_eq!((seen.milliwatts, seen.energy_today_wh), (Some(4_000_000), Some(120)));
}

#[tokio::test]
async fn nothing_is_asked_that_plugs_choke_on() {
    let answers = [("get_emeter_data", json!({ "power_mw": 74_116 })), usage()];
    let mut bench = Bench::new(Plug::new(klap()).metered(&answers)).await;
    for power in [Power::On, Power::Off] {
        bench.set(power).await.unwrap();
        bench.read().await.unwrap();
    }
    for name in bench.fake.names() {
        assert!(!FORBIDDEN.iter().any(|word| name.contains(word)), "{name}");
        // Two or three parts: a P300 never answers its second batch of five.
        assert!(name.matches(',').count() <= 2, "{name}");
    }
}
