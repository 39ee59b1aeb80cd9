//! Sessions: kept, shared, renewed, lost, taken, and forgotten when a call is dropped.

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_warm_call_costs_one_request() {
    for speech in [klap(), passthrough(|_| {}), tpap(|_| {})] {
        let mut bench = Bench::warm(Plug::new(speech)).await;
        for power in [Power::On, Power::Off] {
            bench.set(power).await.unwrap();
            assert_eq!(bench.fake.names(), ["set_device_info"]);
            assert_eq!(bench.read().await.unwrap().power, Some(power));
            assert_eq!(bench.fake.names(), ["get_device_info"]);
        }
    }
}

#[tokio::test]
async fn a_taken_session_is_taken_back_silently_and_told_of() {
    for speech in [klap(), passthrough(|_| {}), tpap(|_| {})] {
        let mut bench = Bench::warm(Plug::new(speech)).await;
        let before = bench.fake.plug().speech.logins();
        bench.fake.trouble("set_device_info", 1, Trouble::Takeover);
        bench.set(Power::On).await.unwrap();
        assert!(bench.on());
        assert_eq!(bench.fake.plug().speech.logins(), before + 1);
        let seen = bench.read().await.unwrap();
        assert_eq!(notice(&seen, "session-taken"), None, "once may have been a restart of the plug");
        bench.fake.trouble("get_device_info", 1, Trouble::Takeover);
        let text = &notice(&bench.read().await.unwrap(), "session-taken").unwrap().text.clone();
        assert!(text.contains("2 times in the last hour; give each plug one owner"), "{text}");
    }
}

#[tokio::test]
async fn every_way_to_lose_a_session_leads_to_one_new_login() {
    let odd_json = r#"{"error_code":-40401}"#;
    let ways = [
        (klap as fn() -> speech::Speech, Trouble::Status(403, "")),
        (klap, Trouble::Status(401, "")),
        // Seen on a P100 1.5.5.
        (klap, Trouble::Status(400, "")),
        // Some firmware answers 200 with a page.
        (klap, Trouble::Status(200, "<html>200 OK</html>")),
        (klap, Trouble::Code(-1003)),
        (klap, Trouble::Code(1112)),
        (|| passthrough(|_| {}), Trouble::Status(200, r#"{"error_code":9999}"#)),
        (|| passthrough(|_| {}), Trouble::Status(200, r#"{"error_code":0,"result":{"response":"AAAA"}}"#)),
        (|| passthrough(|_| {}), Trouble::Status(200, "nothing")),
        (|| tpap(|_| {}), Trouble::Status(200, r#"{"error_code":-2402}"#)),
        (|| tpap(|_| {}), Trouble::Status(200, odd_json)),
        (|| tpap(|_| {}), Trouble::Status(401, "")),
        (|| tpap(|_| {}), Trouble::Status(200, "garbage")),
    ];
    for (speech, way) in ways {
        let words = format!("{way:?}");
        let mut bench = Bench::warm(Plug::new(speech())).await;
        let before = bench.fake.plug().speech.logins();
        bench.fake.trouble("set_device_info", 1, way.clone());
        bench.set(Power::On).await.unwrap_or_else(|error| panic!("{words}: {error}"));
        assert!(bench.on(), "{words}");
        assert_eq!(bench.fake.plug().speech.logins(), before + 1, "{words}");
        // A second loss in the same call is not fought over.
        bench.fake.trouble("set_device_info", 2, way);
        let error = bench.set(Power::Off).await.unwrap_err();
        assert!(matches!(error.class, FailureClass::Busy | FailureClass::Protocol), "{words}: {error}");
        assert_eq!(bench.fake.plug().speech.logins(), before + 2, "{words}");
        bench.set(Power::Off).await.unwrap();
    }
}

#[tokio::test]
async fn two_clients_that_steal_from_each_other_do_not_flood_the_plug() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    bench.fake.trouble("get_device_info", 100, Trouble::Takeover);
    let mut busy = None;
    for _ in 0..10 {
        busy = bench.read().await.err();
    }
    let busy = busy.unwrap();
    assert_eq!(busy.class, FailureClass::Busy);
    assert!(busy.text.contains("lost 6 times in the last minute"), "{busy}");
    assert!(busy.text.contains("another client uses this plug; give each plug one owner"), "{busy}");
    // The first login, and six that the cap allows.
    assert_eq!(bench.fake.plug().speech.logins(), 7);
    // A command is no way around the cap either.
    assert_fails(bench.set(Power::On).await, FailureClass::Busy, "another client");
    assert_eq!(bench.fake.plug().speech.logins(), 7);
}

#[tokio::test]
async fn a_session_is_renewed_before_it_ends() {
    // A life of a second, in real time: the plug counts it.
    let mut bench = Bench::warm(Plug::new(tpap(|side| side.expired = 1))).await;
    bench.read().await.unwrap();
    assert_eq!(bench.fake.names(), ["get_device_info"]);
    tokio::time::sleep(Duration::from_millis(950)).await;
    bench.set(Power::On).await.unwrap();
    assert_eq!(bench.fake.names(), ["pake_register", "pake_share", "get_device_info", "set_device_info"]);
    assert_eq!(bench.read().await.unwrap().notices, []);
}

#[tokio::test]
async fn a_dropped_call_forgets_the_session() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    bench.fake.trouble("set_device_info", 1, Trouble::Delay(Duration::from_millis(200)));
    let call = bench.device.order(PowerAction::On, BootOverride::default());
    assert!(tokio::time::timeout(Duration::from_millis(60), call).await.is_err());
    bench.read().await.unwrap();
    assert_eq!(bench.fake.names(), ["set_device_info", "handshake1", "handshake2", "get_device_info"]);
}

#[tokio::test]
async fn a_call_may_be_dropped_at_any_moment() {
    for speech in [klap as fn() -> speech::Speech, || passthrough(|_| {}), || tpap(|_| {})] {
        let mut bench = Bench::new(Plug::new(speech())).await;
        for step in 0..30 {
            let call = bench.device.order(PowerAction::On, BootOverride::default());
            let _ = tokio::time::timeout(Duration::from_micros(step * step * 40), call).await;
            let _ = tokio::time::timeout(Duration::from_micros(step * 300), bench.device.read()).await;
        }
        bench.set(Power::On).await.unwrap();
        assert_eq!(bench.read().await.unwrap().power, Some(Power::On));
    }
}

#[tokio::test]
async fn a_plug_that_closes_each_connection_costs_no_request_more() {
    let mut plug = Plug::new(klap());
    plug.closes = true;
    let mut bench = Bench::new(plug).await;
    for power in [Power::On, Power::Off, Power::On] {
        bench.set(power).await.unwrap();
        // The plug's goodbye has to arrive, as it has after the gap that the gate keeps.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(bench.read().await.unwrap().power, Some(power));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let names = bench.fake.names();
    assert_eq!(names.iter().filter(|name| *name == "handshake1").count(), 1, "{names:?}");
    let plug = bench.fake.plug();
    assert_eq!((plug.connections_max, plug.requests_max), (1, 1));
}

#[tokio::test]
async fn one_connection_and_headers_that_plugs_bear() {
    for speech in [klap(), passthrough(|_| {}), tpap(|_| {})] {
        let mut bench = Bench::new(Plug::new(speech)).await;
        bench.read().await.unwrap();
        bench.set(Power::On).await.unwrap();
        let plug = bench.fake.plug();
        assert_eq!(plug.connections_max, 1);
        for seen in &plug.seen {
            let mut lines = seen.head.split("\r\n");
            assert!(lines.next().unwrap().starts_with("POST /"), "{}", seen.head);
            assert!(seen.head.contains("\r\nContent-Length: "), "{}", seen.head);
            for line in lines {
                let (name, value) = line.split_once(": ").unwrap();
                assert!(name.split('-').all(|word| word.starts_with(|c: char| c.is_ascii_uppercase())), "{line}");
                assert!(!value.is_empty(), "{line}");
                // Only the id goes back, never TIMEOUT.
                assert!(name != "Cookie" || (value.starts_with("TP_SESSIONID=") && !value.contains(';')), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn a_firmware_update_is_noticed_and_abilities_are_asked_again() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    bench.fake.plug().info["fw_ver"] = "1.4.6 Build 260101".into();
    let seen = bench.read().await.unwrap();
    assert_eq!(seen.about.firmware.as_deref(), Some("1.4.6 Build 260101"));
    bench.fake.names();
    bench.fake.plug().answers = vec![
        ("component_nego", fake::components(&["energy_monitoring"])),
        ("get_emeter_data", json!({ "power_mw": 5000 })),
    ];
    let seen = bench.read().await.unwrap();
    assert_eq!(seen.milliwatts, Some(5000));
    assert_eq!(bench.fake.names()[0], "component_nego");
}
