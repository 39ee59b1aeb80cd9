//! Invalid input over the wire: an error of its kind for each, in bounded time and memory, while the next client is
//! served.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::{PASSWORD, Rig, USER, klap};
use crate::schemas;

const SYSTEM: &str = "/redfish/v1/Systems/n";

/// How soon another client must be served, whatever goes on; a debug build on a busy machine needs some of it.
const SOON: Duration = Duration::from_secs(2);

fn login() -> String {
    format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")))
}

async fn connect(rig: &Rig) -> TcpStream {
    TcpStream::connect(rig.address).await.unwrap()
}

/// Another client is served, and soon.
async fn others_are_served(rig: &Rig) {
    let start = rig.now();
    assert!(rig.system("n").await["PowerState"].is_string());
    let took = rig.now().since(start);
    assert!(took < SOON, "another client waited {took:?}");
}

/// Everything up to the end of the connection, for at most this long: status, body, and whether it ended by itself.
async fn answer(stream: &mut TcpStream, most: Duration) -> (u16, String, bool) {
    let mut bytes = Vec::new();
    let ended = tokio::time::timeout(most, stream.read_to_end(&mut bytes)).await.is_ok();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body, ended)
}

fn check(body: &str, message: &str) {
    let body: Value = serde_json::from_str(body).expect(body);
    let id = body["error"]["@Message.ExtendedInfo"][0]["MessageId"].as_str().unwrap();
    assert_eq!(id, format!("Base.1.22.{message}"), "{body}");
    assert_eq!(schemas::error_faults(&body), Vec::<String>::new(), "{body:#}");
}

#[tokio::test]
async fn bodies_that_are_wrong_are_refused_by_kind() {
    let rig = Rig::settled([klap("n")]).await;
    let before = rig.system("n").await["@odata.etag"].clone();
    let nested = |depth: usize| format!("{{\"Boot\":{}1{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    let boot = |inner: &str| format!("{{\"Boot\":{{{inner}}}}}").into_bytes();
    let cases: Vec<(Vec<u8>, u16, &str)> = vec![
        (b"".into(), 400, "EmptyJSON"),
        (b"{}".into(), 400, "EmptyJSON"),
        (b"{\"@odata.id\":\"/x\"}".into(), 400, "NoOperation"),
        (b"{\"Boot\":{}}".into(), 400, "NoOperation"),
        (b"{\"Odd\":1}".into(), 400, "PropertyUnknown"),
        (b"{\"PowerState\":\"Off\"}".into(), 400, "PropertyNotWritable"),
        (b"{\"Boot\":\"Pxe\"}".into(), 400, "PropertyValueTypeError"),
        (boot("\"BootSourceOverrideTarget\":5"), 400, "PropertyValueTypeError"),
        (boot("\"BootSourceOverrideTarget\":null"), 400, "PropertyValueTypeError"),
        (boot("\"BootSourceOverrideTarget\":\"pxe\""), 400, "PropertyValueNotInList"),
        (boot("\"BootSourceOverrideTarget\":\"Pxe\",\"BootSourceOverrideTarget\":\"Hdd\""), 400, "PropertyDuplicate"),
        (b"{\"Boot\":{},\"Boot\":{\"BootSourceOverrideTarget\":\"Pxe\"}}".into(), 400, "PropertyDuplicate"),
        (nested(100), 400, "PropertyValueTypeError"),
        (nested(1000), 400, "MalformedJSON"),
        (b"[]".into(), 400, "UnrecognizedRequestBody"),
        (b"{\"Boot\":".into(), 400, "MalformedJSON"),
        (b"{\"Boot\":{}}{}".into(), 400, "MalformedJSON"),
        (b"{\"Boot\":\"\xff\xfe\"}".into(), 400, "MalformedJSON"),
        (b"\xef\xbb\xbf{}".into(), 400, "EmptyJSON"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}".into(), 400, "MalformedJSON"),
        (b"{'Boot':{}}".into(), 400, "MalformedJSON"),
        (vec![b' '; 100_000], 413, "PayloadTooLarge"),
    ];
    for (body, status, message) in cases {
        let shown = String::from_utf8_lossy(&body).chars().take(80).collect::<String>();
        let patch = rig.request(Method::PATCH, SYSTEM).header("Content-Type", "application/json").body(body);
        let (got, ()) = tokio::join!(async { patch.send().await.unwrap() }, others_are_served(&rig));
        assert_eq!(got.status().as_u16(), status, "{shown}");
        check(&got.text().await.unwrap(), message);
    }
    assert_eq!(rig.system("n").await["@odata.etag"], before, "nothing was changed");
}

#[tokio::test]
async fn heads_that_are_too_large_or_no_http_are_refused() {
    let rig = Rig::settled([klap("n")]).await;
    let long = "x".repeat(20_000);
    let many: String = (0..2000).map(|number| format!("X-{number}: 1\r\n")).collect();
    let cases: Vec<(String, u16, Option<&str>)> = vec![
        (format!("GET {SYSTEM} HTTP/1.1\r\nHost: x\r\n{}X-Long: {long}\r\n\r\n", login()), 431, Some("HeaderInvalid")),
        (format!("GET {SYSTEM}?{long} HTTP/1.1\r\nHost: x\r\n{}\r\n", login()), 431, Some("HeaderInvalid")),
        (format!("GET {SYSTEM}/{long} HTTP/1.1\r\nHost: x\r\n{}\r\n", login()), 431, Some("HeaderInvalid")),
        // What is no request never reaches the service, so that there is a status and no more.
        (format!("GET {SYSTEM} HTTP/1.1\r\nHost: x\r\n{many}\r\n"), 431, None),
        (format!("GET {SYSTEM} HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(300_000)), 431, None),
        ("GET \u{e9} HTTP/1.1\r\n\r\n".into(), 400, None),
        (format!("GET {SYSTEM} HTTP/9.9\r\nHost: x\r\n\r\n"), 400, None),
        (format!("GET {SYSTEM} HTTP/1.1\r\nBad Header: x\r\n\r\n"), 400, None),
        (format!("POST {SYSTEM} HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"), 400, None),
        (format!("POST {SYSTEM} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400, None),
        ("nonsense\r\n\r\n".into(), 400, None),
    ];
    for (head, status, message) in cases {
        let mut stream = connect(&rig).await;
        // It may be refused before all of it is sent.
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.shutdown().await;
        let shown: String = head.chars().take(60).collect();
        let ((got, body, _), ()) = tokio::join!(answer(&mut stream, SOON), others_are_served(&rig));
        assert_eq!(got, status, "{shown}: {body}");
        if let Some(message) = message {
            check(&body, message);
        }
    }
}

#[tokio::test]
async fn a_body_of_one_byte_a_second_is_given_up_and_holds_nobody_up() {
    let rig = Rig::settled([klap("n")]).await;
    let mut slow = connect(&rig).await;
    let head = format!(
        "PATCH {SYSTEM} HTTP/1.1\r\nHost: x\r\n{}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n",
        login()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = slow.split();
    let drip = async {
        // Real seconds: the deadline is one of real time, and a paused clock breaks real sockets.
        while write.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let start = rig.now();
    let listen = async {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        while !bytes.ends_with(b"}") {
            let got = read.read(&mut chunk).await.unwrap();
            assert!(got > 0, "it ended without a word");
            bytes.extend_from_slice(&chunk[..got]);
        }
        String::from_utf8(bytes).unwrap()
    };
    let others = async {
        loop {
            others_are_served(&rig).await;
            tokio::time::sleep(Duration::from_millis(250)).await; // a client like any other
        }
    };
    let text = tokio::select! {
        text = listen => text,
        () = others => unreachable!(),
        () = drip => panic!("the connection broke before the answer"),
    };
    let took = rig.now().since(start);
    assert!(took > Duration::from_secs(8) && took < Duration::from_secs(15), "{took:?}");
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    check(text.split_once("\r\n\r\n").unwrap().1, "OperationTimeout");
}

#[tokio::test]
async fn thousands_of_idle_connections_hold_nobody_up() {
    const IDLE: usize = 3000;
    let rig = Rig::settled([klap("n")]).await;
    let mut idle = Vec::new();
    for _ in 0..IDLE / 100 {
        idle.extend(join_all((0..100).map(|_| connect(&rig))).await);
        others_are_served(&rig).await;
    }
    // Some are in the middle of a head, some keep alive what they had.
    for (index, stream) in idle.iter_mut().enumerate() {
        match index % 3 {
            0 => stream.write_all(b"GET /redfish/v1/ HTTP/1.1\r\nHo").await.unwrap(),
            1 => stream.write_all(b"GET /redfish HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap(),
            _ => {}
        }
    }
    for _ in 0..20 {
        others_are_served(&rig).await;
    }
    assert_eq!(rig.reset("n", "ForceOff").await.0, StatusCode::NO_CONTENT, "and a device is reached");
    rig.until(10, || async { rig.power("n").await == "Off" }).await;
}
