//! The recipe against servers that are none, in real time with short deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::driver::tests::no_pace;
use crate::telemetry::Metrics;

/// For servers that answer: long enough for busy cores.
const LONG: Deadlines = Deadlines { connect: Duration::from_secs(5), exchange: Duration::from_secs(5) };

/// For servers that do not.
const QUICK: Deadlines = Deadlines { connect: Duration::from_millis(300), exchange: Duration::from_millis(300) };

/// Takes connections, reads what comes first, and sends these bytes.
async fn server(answer: &'static [u8], then_close: bool) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = vec![0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(answer).await;
            if !then_close {
                kept.push(stream);
            }
        }
    });
    port
}

pub(super) fn context(metrics: &Arc<Metrics>) -> DeviceContext {
    crate::driver::tests::context("node-1", no_pace(), metrics)
}

async fn post_to(url: String, context: &DeviceContext, deadlines: Deadlines) -> Result<Answer, HttpError> {
    let client = HttpClient::plain(deadlines).unwrap();
    let context = RequestContext { context, op: "read", step: "test", attempt: 1 };
    client.post(context, Post { url, headers: HeaderMap::new(), body: b"{}".to_vec() }).await
}

async fn outcome(answer: &'static [u8], then_close: bool) -> Result<Answer, HttpError> {
    outcome_within(LONG, answer, then_close).await
}

async fn outcome_within(limits: Deadlines, answer: &'static [u8], then_close: bool) -> Result<Answer, HttpError> {
    let port = server(answer, then_close).await;
    let url = format!("http://127.0.0.1:{port}/secret?token=geheim");
    let result = post_to(url, &context(&Metrics::new()), limits).await;
    if let Err(error) = &result {
        let words = error.to_string();
        assert!(!words.contains("geheim") && !words.contains("http://"), "{words}");
    }
    result
}

#[tokio::test]
async fn no_provider_of_tls_is_needed() {
    assert!(HttpClient::plain(QUICK).is_ok());
}

#[tokio::test]
async fn any_status_is_an_answer_and_redirects_are_not_followed() {
    for status in [200, 302, 403, 500] {
        let text = format!("HTTP/1.1 {status} X\r\nLocation: http://192.0.2.1/\r\nContent-Length: 2\r\n\r\nok");
        let answer = outcome(Box::leak(text.into_bytes().into_boxed_slice()), true).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (status, b"ok".as_slice()));
    }
    // No length: the body ends with the connection.
    let answer = outcome(b"HTTP/1.0 200 X\r\n\r\nto the end", true).await.unwrap();
    assert_eq!(answer.body, b"to the end");
}

#[tokio::test]
async fn what_is_no_http_is_malformed() {
    for garbage in [
        b"garbage\r\n\r\n".as_slice(),
        b"\x00\xff\xfe\x00\x00\r\n\r\n",
        b"HTTP/9.9 200 X\r\n\r\n",
        b"220 ftp ready\r\n",
    ] {
        let error = outcome(garbage, true).await.unwrap_err();
        assert!(matches!(error, HttpError::Malformed(_)), "{error:?}");
    }
    let bad_length = b"HTTP/1.1 200 X\r\nContent-Length: -5\r\n\r\n";
    assert!(matches!(outcome(bad_length, true).await.unwrap_err(), HttpError::Malformed(_)));
}

#[tokio::test]
async fn truncated_answers_were_closed_too_early() {
    for answer in [b"".as_slice(), b"HTTP/1.1 20", b"HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\nhalf"] {
        let error = outcome(answer, true).await.unwrap_err();
        assert!(matches!(error, HttpError::Closed(_)), "{error:?}");
    }
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    for answer in [b"".as_slice(), b"HTTP/1.1 200 X\r\n", b"HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\nhalf"] {
        let error = outcome_within(QUICK, answer, false).await.unwrap_err();
        assert_eq!(error, HttpError::TimedOut(QUICK.exchange));
    }
}

#[tokio::test]
async fn endless_answers_are_cut() {
    let endless = [b"HTTP/1.1 200 X\r\n\r\n".as_slice(), &vec![b'x'; 2 * ANSWER_BYTES_MAX]].concat();
    assert_eq!(
        outcome(Box::leak(endless.into_boxed_slice()), false).await.unwrap_err(),
        HttpError::TooLong(ANSWER_BYTES_MAX)
    );
    let headers = [b"HTTP/1.1 200 X\r\nX: ".as_slice(), &vec![b'x'; 2 << 20]].concat();
    assert!(outcome(Box::leak(headers.into_boxed_slice()), false).await.is_err());
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let metrics = Metrics::new();
    let context = context(&metrics);
    // The port was free a moment ago.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = post_to(format!("http://127.0.0.1:{port}/"), &context, LONG).await.unwrap_err();
    assert!(matches!(&error, HttpError::Unreachable(words) if words.contains("refused")), "{error:?}");
    let error = post_to("http://name.invalid:80/".into(), &context, LONG).await.unwrap_err();
    assert!(matches!(error, HttpError::Unreachable(_)), "{error:?}");
    let error = post_to("http://a b/".into(), &context, LONG).await.unwrap_err();
    assert!(matches!(error, HttpError::Unmakeable(_)), "{error:?}");
    let line = "plugfish_device_requests_total{node=\"node-1\",op=\"read\",outcome=\"unreachable\"} 2";
    assert!(metrics.render().contains(line), "{}", metrics.render());
}

#[tokio::test]
async fn a_request_that_is_dropped_is_counted_too() {
    let metrics = Metrics::new();
    let context = context(&metrics);
    let port = server(b"", false).await;
    let clock = context.clock.clone();
    let dropped =
        clock.limit(Duration::from_millis(50), post_to(format!("http://127.0.0.1:{port}/"), &context, LONG)).await;
    assert!(dropped.is_none());
    let line = "plugfish_device_requests_total{node=\"node-1\",op=\"read\",outcome=\"timeout\"} 1";
    assert!(metrics.render().contains(line), "{}", metrics.render());
    // The gate is open again.
    assert!(clock.limit(Duration::from_millis(50), context.gate.pass()).await.is_some());
}

#[tokio::test]
async fn headers_are_as_plugs_bear_them() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 4096];
        let length = stream.read(&mut bytes).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    });
    let client = HttpClient::plain(LONG).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(COOKIE, HeaderValue::from_static("TP_SESSIONID=1"));
    let metrics = Metrics::new();
    let context = context(&metrics);
    let context = RequestContext { context: &context, op: "read", step: "test", attempt: 1 };
    let post = Post { url: format!("http://127.0.0.1:{port}/app/handshake1"), headers, body: vec![7; 16] };
    client.post(context, post).await.unwrap();
    let request = server.await.unwrap();
    let lines: Vec<&str> = request.split("\r\n").take_while(|line| !line.is_empty()).collect();
    assert_eq!(lines[0], "POST /app/handshake1 HTTP/1.1");
    for line in &lines[1..] {
        let (name, value) = line.split_once(": ").unwrap();
        let title = |word: &str| word.starts_with(|c: char| c.is_ascii_uppercase());
        assert!(name.split('-').all(title), "{name}");
        assert!(!value.trim().is_empty(), "{line}");
    }
    assert!(lines.contains(&"Content-Length: 16") && lines.contains(&"Cookie: TP_SESSIONID=1"), "{lines:?}");
    assert!(!request.contains("Transfer-Encoding"));
}

#[tokio::test]
async fn devices_share_a_client_and_no_connection_which_is_kept_for_a_while() {
    const IDLE: Duration = Duration::from_millis(200);
    let client_config = ClientConfig { deadlines: LONG, answer_bytes_max: 1000, idle_max: IDLE, tls: Tls::Off };
    let one = HttpClient::new(&client_config).unwrap();
    let other = one.for_another();
    let (counts, context) = ([Arc::default(), Arc::default()], context(&Metrics::new()));
    let [port, other_port] = [counting(&counts[0]).await, counting(&counts[1]).await];
    let ask = async |client: &HttpClient, port: u16| {
        let context = RequestContext { context: &context, op: "read", step: "test", attempt: 1 };
        let url = format!("http://127.0.0.1:{port}/");
        client.post(context, Post { url, headers: HeaderMap::new(), body: Vec::new() }).await.unwrap();
    };
    let seen = || counts.each_ref().map(|count: &Arc<AtomicUsize>| count.load(Ordering::Relaxed));
    for _ in 0..3 {
        ask(&one, port).await;
        ask(&other, other_port).await;
    }
    assert_eq!(seen(), [1, 1]);
    assert!(one.keep_until(None).is_some(), "the end of a kept connection would not be known as that");
    tokio::time::sleep(2 * IDLE).await; // the pool has a clock of its own
    ask(&one, port).await;
    assert_eq!(seen(), [2, 1]);
}

/// Answers to every request, and counts its connections.
async fn counting(count: &Arc<AtomicUsize>) -> u16 {
    let (listener, count) = (TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), count.clone());
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|got| got > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n").await;
                }
            });
        }
    });
    port
}
