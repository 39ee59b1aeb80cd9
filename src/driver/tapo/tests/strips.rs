//! Strips: outlets in the order of their positions, one session, one gate, one request at a time.

use serde_json::json;

use super::*;

/// A device for each of these outlets of one strip.
fn outlets(bench: &Bench, numbers: &[u8]) -> Vec<TapoPlug> {
    let open = |number: &u8| {
        let config = TapoConfig { outlet: Some(*number), ..config(bench.fake.port) };
        let node = format!("node-{number}");
        bench.plugs.open(&config, context(&node, no_pace(), &bench.metrics))
    };
    numbers.iter().map(open).collect()
}

fn is_on(bench: &Bench, position: u64) -> bool {
    let plug = bench.fake.plug();
    let outlet = plug.outlets.iter().find(|outlet| outlet["position"] == position).unwrap();
    outlet["device_on"].as_bool().unwrap()
}

#[tokio::test]
async fn outlets_count_from_0_in_the_order_of_their_positions() {
    // A P300 lists position 3 first.
    let bench = Bench::new(Plug::new(klap()).strip(&[3, 1, 2], &[])).await;
    let mut devices = outlets(&bench, &[0, 1, 2]);
    for (position, device) in (1..).zip(&mut devices) {
        device.order(PowerAction::On, BootOverride::default()).await.unwrap();
        assert!(is_on(&bench, position));
        let seen = device.read().await.unwrap();
        assert_eq!(seen.power, Some(Power::On));
        assert_eq!(seen.about.serial.as_deref(), Some(format!("80220001{position:02}").as_str()));
        assert_eq!((seen.about.model.as_deref(), seen.about.nickname.as_deref()), (Some("P300"), Some("outlet")));
        device.order(PowerAction::Off, BootOverride::default()).await.unwrap();
        assert!(!is_on(&bench, position));
    }
    assert_eq!(bench.fake.plug().speech.logins(), 1);
}

#[tokio::test]
async fn a_warm_outlet_costs_one_request_for_each_page_of_the_list() {
    let bench = Bench::new(Plug::new(klap()).strip(&[2, 1], &[])).await;
    let mut device = outlets(&bench, &[1]).remove(0);
    device.read().await.unwrap();
    assert_eq!(
        bench.fake.names(),
        ["handshake1", "handshake2", "component_nego", "get_device_info", "get_child_device_list"]
    );
    device.order(PowerAction::On, BootOverride::default()).await.unwrap();
    assert_eq!(bench.fake.names(), ["control_child(set_device_info)"]);
    device.read().await.unwrap();
    assert_eq!(bench.fake.names(), ["get_child_device_list"]);
}

#[tokio::test]
async fn siblings_share_a_fresh_list_but_not_one_from_before_a_switch() {
    let bench = Bench::new(Plug::new(klap()).strip(&[1, 2], &[])).await;
    let mut devices = outlets(&bench, &[0, 1]);
    devices[0].read().await.unwrap();
    bench.fake.names();
    devices[1].read().await.unwrap();
    assert!(bench.fake.names().is_empty());
    devices[1].order(PowerAction::On, BootOverride::default()).await.unwrap();
    bench.fake.names();
    assert_eq!(devices[1].read().await.unwrap().power, Some(Power::On));
    assert_eq!(bench.fake.names(), ["get_child_device_list"]);
    assert_eq!(devices[0].read().await.unwrap().power, Some(Power::Off));
    assert!(bench.fake.names().is_empty());
}

#[tokio::test]
async fn all_outlets_at_once_are_one_request_at_a_time() {
    let bench = Bench::new(Plug::new(klap()).strip(&[3, 1, 2], &[])).await;
    bench.fake.trouble("control_child", 100, Trouble::Delay(Duration::from_millis(20)));
    let devices = outlets(&bench, &[0, 1, 2]);
    let work = devices.into_iter().map(|mut device| async move {
        for power in [Power::On, Power::Off, Power::On] {
            let order = if power == Power::On { PowerAction::On } else { PowerAction::Off };
            device.order(order, BootOverride::default()).await.unwrap();
            assert_eq!(device.read().await.unwrap().power, Some(power));
        }
    });
    futures_util::future::join_all(work).await;
    assert!((1..=3).all(|position| is_on(&bench, position)));
    let plug = bench.fake.plug();
    assert_eq!((plug.requests_max, plug.connections_max, plug.speech.logins()), (1, 1, 1));
}

#[tokio::test]
async fn meters_of_outlets_are_read_with_their_state() {
    let mut plug = Plug::new(klap()).strip(&[1, 2], &["energy_monitoring"]);
    plug.answers.push(("get_emeter_data", json!({ "power_mw": 7000 })));
    plug.answers.push(("get_energy_usage", json!({ "today_energy": 12 })));
    let bench = Bench::new(plug).await;
    let mut device = outlets(&bench, &[1]).remove(0);
    device.read().await.unwrap();
    // The first list is no longer fresh.
    tokio::time::sleep(quick().list_fresh).await;
    bench.fake.names();
    let seen = device.read().await.unwrap();
    assert_eq!((seen.power, seen.milliwatts, seen.energy_today_wh), (Some(Power::Off), Some(7000), Some(12)));
    assert!(seen.about.meter);
    assert_eq!(bench.fake.names(), ["control_child(multipleRequest(get_device_info,get_emeter_data))"]);
}

#[tokio::test]
async fn outlets_that_know_no_get_device_info_are_read_off_the_list() {
    let mut plug = Plug::new(klap()).strip(&[1, 2], &["energy_monitoring"]);
    plug.answers.push(("get_emeter_data", json!({ "power_mw": 7000 })));
    let bench = Bench::new(plug).await;
    let mut device = outlets(&bench, &[0]).remove(0);
    bench.fake.trouble("get_device_info", 1, Trouble::Delay(Duration::ZERO));
    device.read().await.unwrap();
    tokio::time::sleep(quick().list_fresh).await;
    bench.fake.trouble("get_device_info", 1, Trouble::Code(-1002));
    assert_eq!(device.read().await.unwrap().milliwatts, Some(7000));
    tokio::time::sleep(quick().list_fresh).await;
    bench.fake.names();
    assert_eq!(device.read().await.unwrap().milliwatts, Some(7000));
    assert_eq!(bench.fake.names(), ["get_child_device_list", "control_child(get_emeter_data)"]);
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_is_refused_in_words() {
    let bench = Bench::new(Plug::new(klap()).strip(&[3, 1, 2], &[])).await;
    let mut device = outlets(&bench, &[7]).remove(0);
    let words = "the strip has 3 outlets, \"outlet: 0\" to \"outlet: 2\", and nodes.yaml says \"outlet: 7\"";
    assert_fails(device.read().await, FailureClass::Refused, words);
    assert_fails(device.order(PowerAction::On, BootOverride::default()).await, FailureClass::Refused, words);

    let mut bench = Bench::new(Plug::new(klap()).strip(&[3, 1, 2], &[])).await;
    let words = "it is a strip with 3 outlets: say in nodes.yaml which one switches this node, from \"outlet: 0\" to \"outlet: 2\"";
    assert_fails(bench.set(Power::Off).await, FailureClass::Refused, words);
    assert_fails(bench.read().await, FailureClass::Refused, words);
    assert_eq!(bench.fake.plug().switched, 0);

    let bench = Bench::new(Plug::new(klap())).await;
    let mut device = outlets(&bench, &[2]).remove(0);
    let words = "it is no strip and has no outlets to choose from: remove \"outlet: 2\" from nodes.yaml";
    assert_fails(device.order(PowerAction::Off, BootOverride::default()).await, FailureClass::Refused, words);
    assert_fails(device.read().await, FailureClass::Refused, words);
    assert_eq!(bench.fake.plug().switched, 0);
}

#[tokio::test]
async fn an_outlet_that_has_another_id_is_another_outlet() {
    let bench = Bench::new(Plug::new(klap()).strip(&[1, 2], &[])).await;
    let mut device = outlets(&bench, &[1]).remove(0);
    device.read().await.unwrap();
    bench.fake.plug().outlets[1]["device_id"] = "new".into();
    assert!(device.order(PowerAction::On, BootOverride::default()).await.is_err());
    for _ in 0..2 {
        let words = "its device id is new, and before 8022000102";
        assert_fails(device.order(PowerAction::On, BootOverride::default()).await, FailureClass::Distrusted, words);
        assert_fails(device.read().await, FailureClass::Distrusted, "plugfish trust node-1 --reset");
    }
    assert_eq!(bench.fake.plug().switched, 0);
}

/// What a strip must not be believed: each is told, nothing is switched, and what was known stays.
#[tokio::test]
async fn a_list_that_leaves_open_which_outlet_is_where_is_refused() {
    type Change = fn(&mut Vec<serde_json::Value>);
    let cases: [(&[u64], Change, &str); 6] = [
        (&[2, 3], |_| {}, "it lists the positions 2, 3, and says that it has 2 outlets"),
        (&[1, 2, 2], |_| {}, "two outlets at one position"),
        (&[1, 3], |_| {}, "it lists the positions 1, 3"),
        (&[0, 1], |_| {}, "it lists the positions 0, 1"),
        (&[1, 2], |list| drop(list[1].as_object_mut().unwrap().remove("position")), "at which position each outlet is"),
        (&[1, 2], |list| list[1]["device_id"] = list[0]["device_id"].clone(), "one outlet twice"),
    ];
    for (positions, change, words) in cases {
        let mut plug = Plug::new(klap()).strip(positions, &[]);
        change(&mut plug.outlets);
        let bench = Bench::new(plug).await;
        for mut device in outlets(&bench, &[0, 1]) {
            assert_fails(device.order(PowerAction::Off, BootOverride::default()).await, FailureClass::Refused, words);
            assert_fails(device.read().await, FailureClass::Refused, words);
        }
        assert_eq!(bench.fake.plug().switched, 0, "{words}");
    }
}

#[tokio::test]
async fn an_outlet_is_its_position_whatever_the_list_does_later() {
    let bench = Bench::new(Plug::new(klap()).strip(&[1, 2, 3], &[])).await;
    let mut device = outlets(&bench, &[1]).remove(0);
    device.read().await.unwrap();
    // The first outlet falls out of the list: what stands in its place is not taken for it.
    bench.fake.plug().outlets.remove(0);
    tokio::time::sleep(quick().list_fresh).await;
    assert_fails(device.read().await, FailureClass::Refused, "it lists the positions 2, 3");
    device.order(PowerAction::On, BootOverride::default()).await.unwrap();
    assert!(is_on(&bench, 2) && !is_on(&bench, 3), "its id is known");
}

#[tokio::test]
async fn a_lamp_on_a_strip_is_no_outlet() {
    // A P306 lists its night light beside its outlets.
    let mut plug = Plug::new(klap()).strip(&[1, 2], &[]);
    plug.outlets[1]["category"] = "plug.powerstrip.sub-bulb".into();
    let bench = Bench::new(plug).await;
    let mut device = outlets(&bench, &[1]).remove(0);
    assert_fails(device.order(PowerAction::Off, BootOverride::default()).await, FailureClass::Refused, "is a lamp");
    assert_eq!(bench.fake.plug().switched, 0);
}

#[tokio::test]
async fn a_dropped_call_of_one_outlet_does_not_stop_the_others() {
    let bench = Bench::new(Plug::new(klap()).strip(&[1, 2], &[])).await;
    let mut devices = outlets(&bench, &[0, 1]);
    devices[0].read().await.unwrap();
    bench.fake.trouble("control_child", 1, Trouble::Silence);
    let call = devices[0].order(PowerAction::On, BootOverride::default());
    assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
    devices[1].order(PowerAction::On, BootOverride::default()).await.unwrap();
    assert_eq!(devices[1].read().await.unwrap().power, Some(Power::On));
}

#[tokio::test]
async fn connections_are_shared_by_address_and_account_and_go_with_their_last_outlet() {
    let metrics = Metrics::new();
    let plugs = Plugs::new(quick());
    let open = |config: &TapoConfig| plugs.open(config, context("node-1", no_pace(), &metrics));
    let count = || plugs.connections.lock().unwrap().values().flatten().filter(|c| c.strong_count() > 0).count();
    let one = open(&config(1));
    let two = open(&TapoConfig { outlet: Some(1), ..config(1) });
    assert_eq!(count(), 1);
    let other_port = open(&config(2));
    let other_account = open(&TapoConfig { password: "x".into(), ..config(1) });
    assert_eq!(count(), 3);
    drop((one, other_port, other_account));
    assert_eq!(count(), 1);
    drop(two);
    assert_eq!(count(), 0);
}
