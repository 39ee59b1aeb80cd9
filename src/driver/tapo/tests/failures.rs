//! Lost answers, busy plugs, garbage, and switches that are taken but not done.

use super::*;

#[tokio::test]
async fn after_a_lost_answer_the_number_is_sent_that_the_plug_waits_for() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    bench.fake.trouble("/app/request", 1, Trouble::Deaf);
    bench.set(Power::On).await.unwrap();
    assert!(bench.on());
    assert_eq!(bench.fake.names(), ["set_device_info"], "the plug had not taken the first one");
    let mut bench = Bench::warm(Plug::new(klap())).await;
    bench.fake.trouble("set_device_info", 1, Trouble::LoseAnswer);
    bench.set(Power::On).await.unwrap();
    let names = bench.fake.names();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names[1].starts_with("request?seq="), "refused, since the plug had taken the first one: {names:?}");
    bench.fake.trouble("set_device_info", 1, Trouble::LoseAnswer);
    bench.set(Power::Off).await.unwrap();
    assert_eq!(bench.fake.names(), ["set_device_info", "set_device_info"], "the plug's way is known now");
    assert_eq!(bench.fake.plug().speech.logins(), 1);
}

#[tokio::test]
async fn a_session_survives_some_lost_answers_and_is_then_given_up() {
    let mut bench = Bench::warm(Plug::new(passthrough(|_| {}))).await;
    bench.fake.trouble("set_device_info", 3, Trouble::Close);
    assert_fails(bench.set(Power::On).await, FailureClass::Timeout, "closed");
    bench.set(Power::On).await.unwrap();
    assert_eq!(bench.fake.plug().speech.logins(), 1);
    bench.fake.trouble("set_device_info", 6, Trouble::Close);
    assert_fails(bench.set(Power::Off).await, FailureClass::Timeout, "closed");
    assert_fails(bench.set(Power::Off).await, FailureClass::Timeout, "closed");
    bench.set(Power::Off).await.unwrap();
    assert_eq!(bench.fake.plug().speech.logins(), 2);
}

#[tokio::test]
async fn a_request_is_tried_three_times_in_a_call() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    bench.fake.trouble("get_device_info", 2, Trouble::LoseAnswer);
    bench.read().await.unwrap();
    bench.fake.trouble("get_device_info", 3, Trouble::LoseAnswer);
    assert_fails(bench.read().await, FailureClass::Timeout, "closed before the answer was whole");
    bench.fake.names();
    bench.fake.trouble("set_device_info", 3, Trouble::LoseAnswer);
    assert_fails(bench.set(Power::On).await, FailureClass::Timeout, "closed");
    let names = bench.fake.names();
    assert_eq!(names.iter().filter(|name| *name == "set_device_info").count(), 3, "{names:?}");
    // It was done all the same: for the next reading to say.
    assert_eq!(bench.read().await.unwrap().power, Some(Power::On));
}

#[tokio::test]
async fn lost_logins_are_tried_three_times() {
    let mut bench = Bench::new(Plug::new(klap())).await;
    bench.fake.trouble("handshake1", 1, Trouble::LoseAnswer);
    bench.fake.trouble("handshake2", 1, Trouble::Close);
    bench.read().await.unwrap();
    bench.device.forget_session();
    bench.fake.names();
    bench.fake.trouble("handshake", 3, Trouble::Close);
    assert_fails(bench.read().await, FailureClass::Timeout, "closed");
    assert_eq!(bench.fake.names(), ["handshake1"; 3]);
}

#[tokio::test]
async fn a_silent_plug_is_a_timeout_in_words() {
    let mut bench = Bench::impatient(Plug::new(klap())).await;
    bench.fake.trouble("handshake1", 9, Trouble::Silence);
    assert_fails(bench.read().await, FailureClass::Timeout, "no answer within 0.5 s");
    let line = "plugfish_device_requests_total{node=\"node-1\",op=\"login\",outcome=\"timeout\"} 3";
    assert!(bench.metrics.render().contains(line), "{}", bench.metrics.render());
}

#[tokio::test]
async fn a_slow_plug_is_waited_for() {
    let mut bench = Bench::new(Plug::new(klap())).await;
    bench.fake.trouble("", 9, Trouble::Delay(Duration::from_millis(300)));
    bench.set(Power::On).await.unwrap();
    assert_eq!(
        bench.fake.names(),
        ["handshake1", "handshake2", "component_nego", "get_device_info", "set_device_info"]
    );
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let mut bench = Bench::with(Plug::new(klap()), |config, _| config.host = "127.0.0.9".into()).await;
    assert_fails(bench.read().await, FailureClass::Unreachable, "Connection refused");
    assert_fails(bench.set(Power::On).await, FailureClass::Unreachable, "Connection refused");
    let mut bench = Bench::with(Plug::new(klap()), |config, _| config.host = "no such host".into()).await;
    assert_fails(bench.read().await, FailureClass::Refused, "no such request");
}

#[tokio::test]
async fn a_plug_that_asks_for_rest_gets_it_once() {
    for (trouble, rest) in [(Trouble::Code(-1301), quick().rest), (Trouble::Status(429, ""), quick().long_rest)] {
        let mut bench = Bench::warm(Plug::new(klap())).await;
        bench.fake.trouble("set_device_info", 1, trouble.clone());
        bench.set(Power::On).await.unwrap();
        let seen = std::mem::take(&mut bench.fake.plug().seen);
        let names: Vec<String> = seen.iter().map(fake::Seen::name).collect();
        assert_eq!(names, ["set_device_info", "handshake1", "handshake2", "get_device_info", "set_device_info"]);
        assert!(seen[1].at.since(seen[0].at) >= rest);
        bench.fake.trouble("set_device_info", 2, trouble);
        assert_fails(bench.set(Power::Off).await, FailureClass::Busy, "asks for rest");
    }
    for step in ["handshake1", "handshake2"] {
        let mut bench = Bench::new(Plug::new(klap())).await;
        bench.fake.trouble(step, 2, Trouble::Status(429, ""));
        assert_fails(bench.read().await, FailureClass::Busy, "HTTP 429");
    }
}

#[tokio::test]
async fn an_unspecific_error_is_worth_one_repeat_in_the_session() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    bench.fake.trouble("set_device_info", 1, Trouble::Code(-1001));
    bench.set(Power::On).await.unwrap();
    assert_eq!(bench.fake.names(), ["set_device_info", "set_device_info"]);
    bench.fake.trouble("set_device_info", 2, Trouble::Code(-1001));
    assert_fails(bench.set(Power::On).await, FailureClass::Protocol, "error code -1001");
    bench.fake.names();
    // The session is as good as before.
    bench.read().await.unwrap();
    assert_eq!(bench.fake.names(), ["get_device_info"]);
}

#[tokio::test]
async fn a_method_that_the_plug_does_not_know_is_refused() {
    for code in [-1002, -1008] {
        let mut bench = Bench::warm(Plug::new(klap())).await;
        bench.fake.trouble("set_device_info", 1, Trouble::Code(code));
        assert_fails(bench.set(Power::On).await, FailureClass::Refused, "set_device_info");
        bench.fake.names();
        bench.set(Power::On).await.unwrap();
        assert_eq!(bench.fake.names(), ["set_device_info"]);
    }
}

#[tokio::test]
async fn taken_is_not_done_and_only_a_reading_tells() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    bench.fake.trouble("set_device_info", 1, Trouble::Ignore);
    bench.set(Power::On).await.unwrap();
    assert_eq!(bench.read().await.unwrap().power, Some(Power::Off));
}

/// Answers that are none, or end too early, or never.
fn garbage() -> Vec<Vec<u8>> {
    let text = |text: &str| text.as_bytes().to_vec();
    let body = |status: u16, body: &[u8]| {
        [format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
    };
    vec![
        text("garbage"),
        text("\u{0}\u{1}\u{2}\r\n\r\n"),
        text("HTTP/1.1 200 X\r\nContent-Length: 48\r\n\r\nshort"),
        [text("HTTP/1.1 200 X\r\n\r\n"), vec![b'x'; 200_000]].concat(),
        body(200, b""),
        body(200, &[7; 48]),
        body(200, b"<html>200 OK</html>"),
        body(200, b"{\"error_code\":\"x\"}"),
        body(200, b"{\"error_code\":0,\"result\":null}"),
        body(200, b"{\"error_code\":0,\"result\":{\"key\":\"AAAA\",\"tpap\":5,\"response\":5}}"),
        body(200, b"[[[["),
        body(500, b"oops"),
        body(302, b""),
        body(999, b""),
    ]
}

#[tokio::test]
async fn nothing_but_garbage_is_an_error_in_words() {
    for bytes in garbage() {
        let mut bench = Bench::new(Plug::new(klap())).await;
        bench.fake.trouble("", 1000, Trouble::Raw(bytes.clone()));
        let error = bench.read().await.unwrap_err();
        let fine = [FailureClass::Protocol, FailureClass::Timeout, FailureClass::Auth];
        assert!(fine.contains(&error.class), "{}: {error:?}", words(&bytes));
        assert!(bench.fake.names().len() <= 16, "{}", words(&bytes));
    }
}

#[tokio::test]
async fn garbage_in_place_of_one_answer_is_passed_over() {
    for speech in [klap as fn() -> speech::Speech, || passthrough(|_| {}), || tpap(|_| {})] {
        for bytes in garbage() {
            let mut bench = Bench::warm(Plug::new(speech())).await;
            bench.fake.trouble("", 1, Trouble::Raw(bytes.clone()));
            bench.set(Power::On).await.unwrap_or_else(|error| panic!("{}: {error}", words(&bytes)));
            assert!(bench.on(), "{}", words(&bytes));
        }
    }
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned()
}

#[tokio::test]
async fn garbage_in_a_login_of_a_known_plug_is_passed_over() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    for (step, body) in [("handshake1", "<html>"), ("handshake1", ""), ("handshake2", "x")] {
        bench.device.forget_session();
        bench.fake.trouble(step, 1, Trouble::Status(500, body));
        bench.fake.names();
        let result = bench.read().await;
        assert!(result.is_ok(), "{step}: {result:?}");
    }
}

#[tokio::test]
async fn a_plug_of_endless_trouble_gets_a_bounded_number_of_requests() {
    let mut bench = Bench::new(Plug::new(klap()).metered(&[])).await;
    for trouble in [Trouble::LoseAnswer, Trouble::Takeover, Trouble::Code(-1301), Trouble::Code(-1004)] {
        bench.fake.trouble("get_device_info", 1, Trouble::LoseAnswer);
        bench.fake.trouble("component_nego", 2, Trouble::Close);
        bench.fake.trouble("multipleRequest", 1, trouble.clone());
        bench.fake.trouble("handshake2", 2, Trouble::Close);
        let _ = bench.read().await;
        let names = bench.fake.names();
        assert!(names.len() <= 16, "{names:?}");
        bench.fake.plug().troubles.clear();
    }
}
