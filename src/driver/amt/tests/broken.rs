//! Answers that do not come, are cut, make no sense, do not end; and how often each is asked for again.

use super::*;

/// Reads with this trouble at every request after the login. What it came to, and how many requests that took.
async fn reading(trouble: Trouble) -> (Fault, usize) {
    let (fake, mut wsman) = machine_with(timing_for(&trouble)).await;
    read(&mut wsman).await.unwrap();
    wsman.forget();
    fake.trouble(&[Trouble::Fine]);
    fake.trouble(&vec![trouble; 6]);
    let before = fake.machine().seen.len() + 1;
    let fault = read(&mut wsman).await.unwrap_err();
    let asked = fake.machine().seen.len() - before;
    // Whatever it was, it is over when the machine is well again.
    fake.machine().troubles.clear();
    read(&mut wsman).await.unwrap();
    (fault, asked)
}

/// The same with a power request.
async fn resetting(trouble: Trouble) -> (Fault, usize) {
    let (fake, mut wsman) = machine_with(timing_for(&trouble)).await;
    read(&mut wsman).await.unwrap();
    fake.trouble(&vec![trouble; 6]);
    let fault = reset(&mut wsman).await.unwrap_err();
    (fault, fake.actions().iter().filter(|action| *action == "RequestPowerStateChange").count())
}

fn ok(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes(), body].concat()
}

#[tokio::test]
async fn reading_is_repeated_and_a_power_request_is_not() {
    use FailureClass::{Busy, Protocol, Timeout};
    let busy = |name: &str| Trouble::Status(400, fault(name));
    for (trouble, class, asked) in [
        (Trouble::Silence, Timeout, 4),
        (Trouble::Close, Timeout, 4),
        (Trouble::Half, Timeout, 4),
        (Trouble::Raw(b"garbage\r\n\r\n".to_vec()), Protocol, 4),
        (Trouble::Raw(ok("Content-Length: 7\r\n", b"<html/>")), Protocol, 4),
        (Trouble::Raw(ok("Content-Length: 0\r\n", b"")), Protocol, 4),
        (Trouble::Status(500, String::new()), Protocol, 4),
        (Trouble::Status(503, String::new()), Busy, 4),
        (Trouble::Status(429, "<html/>".into()), Busy, 4),
        (Trouble::Status(500, fault("w:InternalError")), Busy, 4),
        (busy("w:TimedOut"), Busy, 4),
        (busy("w:QuotaLimit"), Busy, 4),
        (busy("s:Unheard"), FailureClass::Refused, 1),
        (busy("w:AccessDenied"), FailureClass::Refused, 1),
        (Trouble::Status(303, String::new()), Protocol, 1),
        (Trouble::Status(404, "<html>".into()), Protocol, 1),
    ] {
        let (fault, count) = reading(trouble.clone()).await;
        assert_eq!((fault.class(), count), (class, asked), "{trouble:?}: {fault}");
        let (fault, count) = resetting(trouble.clone()).await;
        assert_eq!((fault.class(), count), (class, 1), "{trouble:?}: {fault}");
    }
}

#[tokio::test]
async fn answers_without_measure_are_cut_soon() {
    let head = "Transfer-Encoding: chunked\r\n";
    let mut big = ok(head, b"");
    big.extend(b"400000\r\n");
    big.extend(vec![b'x'; 4 << 20]);
    for trouble in
        [Trouble::Raw(big), Trouble::Endless(ok("", &vec![b'x'; 1 << 16])), Trouble::Endless(vec![b'H'; 1 << 16])]
    {
        let (fault, _) = resetting(trouble).await;
        assert_eq!(fault.class(), FailureClass::Protocol, "{fault}");
    }
}

/// 60,000 attributes in one tag: reading that once held up everything else for a quarter of a minute.
#[tokio::test]
async fn a_crowded_answer_does_not_hold_up_the_thread() {
    let attributes: String = (0..60_000).map(|n| format!(" a{n}=\"\"")).collect();
    let crowded =
        format!("<E:Envelope xmlns:E=\"http://www.w3.org/2003/05/soap-envelope\"{attributes}><E:Body/></E:Envelope>");
    let (fake, mut wsman) = machine().await;
    read(&mut wsman).await.unwrap();
    fake.trouble(&vec![Trouble::Status(200, crowded); 4]);
    // A task of the same thread, which counts how late it is.
    let ticks = tokio::spawn(async {
        let clock = Clock::system();
        let mut latest = Duration::ZERO;
        for _ in 0..20 {
            let start = clock.now().mono;
            tokio::time::sleep(Duration::from_millis(5)).await;
            latest = latest.max(clock.now().mono.since(start));
        }
        latest
    });
    let fault = read(&mut wsman).await.unwrap_err();
    assert_eq!(fault.class(), FailureClass::Protocol, "{fault}");
    let latest = ticks.await.unwrap();
    assert!(latest < Duration::from_secs(1), "{latest:?}");
    read(&mut wsman).await.unwrap();
}

/// What costs a client more than it costs the sender: headers without end, a byte at a time, what grows when it is unpacked, a
/// nonce of 100 KB that would be sent back. Each is given up, soon and once.
#[tokio::test]
async fn other_answers_that_want_too_much_are_given_up() {
    let clock = Clock::system();
    let headers: String = (0..30_000).map(|n| format!("X-{n}: y\r\n")).collect();
    let bytewise = [ok("Transfer-Encoding: chunked\r\n", b""), b"1\r\nx\r\n".repeat(1 << 20)].concat();
    let packed = ok(
        "Content-Encoding: gzip\r\nContent-Length: 20\r\n",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\0\0\xff\xff\0\0\0\0\0",
    );
    let nonce = "n".repeat(100_000);
    let login = format!(
        "HTTP/1.1 401 X\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\"\r\nContent-Length: 0\r\n\r\n"
    );
    let many = "Digest realm=\"r\", nonce=\"n\", ".repeat(10_000);
    let logins = format!("HTTP/1.1 401 X\r\nWWW-Authenticate: {many}\r\nContent-Length: 0\r\n\r\n");
    for (name, bytes) in [
        ("headers", ok(&headers, b"")),
        ("bytewise", bytewise),
        ("packed", packed),
        ("nonce", login.into_bytes()),
        ("challenges", logins.into_bytes()),
    ] {
        let (fake, mut wsman) = machine().await;
        read(&mut wsman).await.unwrap();
        fake.trouble(&[Trouble::Raw(bytes)]);
        let start = clock.now().mono;
        let fault = reset(&mut wsman).await.unwrap_err();
        let took = clock.now().mono.since(start);
        assert!(took < Duration::from_secs(4), "{name}: {took:?}");
        assert_eq!(fault.class(), FailureClass::Protocol, "{name}: {fault}");
        assert_eq!(fake.machine().seen.len(), 3, "{name}");
        read(&mut wsman).await.unwrap();
    }
}

#[tokio::test]
async fn a_late_answer_is_an_answer() {
    let (fake, mut wsman) = machine().await;
    fake.trouble(&[Trouble::Delay(Duration::from_millis(300)), Trouble::Delay(Duration::from_millis(300))]);
    read(&mut wsman).await.unwrap();
    assert_eq!(fake.machine().seen.len(), 2);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_was_not_used_is_no_failure() {
    let metrics = Metrics::new();
    let (fake, _) = machine().await;
    let timing = Timing { pauses: [Duration::from_secs(60); 3], ..quick() };
    let mut wsman = WsMan::with_timing(config(fake.port, "P@ssw0rd"), context(&metrics), timing);
    read(&mut wsman).await.unwrap();
    for _ in 0..5 {
        // Closed after an answer that did not say so: seen before or while the next request is sent.
        fake.trouble(&[Trouble::CloseAfter]);
        read(&mut wsman).await.unwrap();
        read(&mut wsman).await.unwrap();
        // Closed as soon as the request is there, without a byte: not to be told from the above.
        fake.trouble(&[Trouble::Close]);
        read(&mut wsman).await.unwrap();
    }
    let text = metrics.render();
    assert!(!text.contains("outcome=\"timeout\"") && !text.contains("outcome=\"unreachable\""), "{text}");
    // On a new connection it is one.
    wsman.forget();
    fake.trouble(&[Trouble::Close]);
    let clock = Clock::system();
    assert!(clock.limit(Duration::from_secs(1), read(&mut wsman)).await.is_none());
    assert!(metrics.render().contains("outcome=\"timeout\"} 1"));
}

#[tokio::test]
async fn a_power_request_on_a_connection_that_closes_is_sent_once() {
    let (fake, mut wsman) = machine().await;
    read(&mut wsman).await.unwrap();
    fake.trouble(&[Trouble::Close]);
    assert_eq!(reset(&mut wsman).await.unwrap_err().kind, Kind::Unanswered);
    assert_eq!(fake.actions().iter().filter(|action| *action == "RequestPowerStateChange").count(), 1);
}

#[tokio::test]
async fn nobody_there_is_unreachable_also_for_a_power_request() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let metrics = Metrics::new();
    let mut wsman = WsMan::with_timing(config(port, "x"), context(&metrics), quick());
    assert_eq!(reset(&mut wsman).await.unwrap_err().class(), FailureClass::Unreachable);
    let line = "plugfish_device_requests_total{node=\"node-1\",op=\"set\",outcome=\"unreachable\"} 4";
    assert!(metrics.render().contains(line), "{}", metrics.render());
}

#[tokio::test]
async fn no_repeat_is_begun_late() {
    let (fake, _) = machine().await;
    let timing = Timing { call: Duration::from_millis(300), ..hasty() };
    let mut wsman = WsMan::with_timing(config(fake.port, "P@ssw0rd"), context(&Metrics::new()), timing);
    fake.trouble(&vec![Trouble::Silence; 9]);
    assert_eq!(read(&mut wsman).await.unwrap_err().class(), FailureClass::Timeout);
    assert_eq!(fake.machine().seen.len(), 1);
}

#[tokio::test]
async fn reads_come_through_when_one_in_three_requests_is_lost() {
    let (fake, mut wsman) = machine().await;
    for round in 0..40 {
        let lost = [Trouble::Close, Trouble::Half, Trouble::CloseAfter][round % 3].clone();
        fake.trouble(&[lost, Trouble::Fine, Trouble::Fine]);
        read(&mut wsman).await.unwrap_or_else(|fault| panic!("{round}: {fault}"));
    }
    // A count is never used twice with a nonce, whatever was lost.
    let machine = fake.machine();
    let mut used = std::collections::BTreeSet::new();
    for seen in machine.seen.iter().filter(|seen| seen.login("nc").is_some()) {
        assert!(used.insert((seen.login("nonce"), seen.login("nc"))), "{seen:?}");
    }
}
