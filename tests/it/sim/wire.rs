//! The HTTP server of the simulated plugs: accepted and refused requests, and its quirks.

use plugfish::testing::sim::{Model, PlugConfig, Quirks, Variant};
use serde_json::json;

use super::raw::{Broken, Client, Http};
use super::{EMAIL, PASSWORD, config, rack};

const PROBE: &[u8] = br#"{"method":"login","params":{"sub_method":"discover"}}"#;

#[tokio::test]
async fn connections_are_kept() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let mut client = Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.unwrap();
    for _ in 0..5 {
        client.get("get_device_info").await.unwrap();
    }
    let counters = plug.counters();
    assert_eq!((counters.connections, counters.connections_open, counters.requests), (1, 1, 7));
    assert_eq!(counters.in_flight_max, 1);
}

#[tokio::test]
async fn requests_may_come_in_pieces_or_together() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let one = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", PROBE.len());
    let one = [one.as_bytes(), PROBE].concat();
    let mut http = Http::new(plug.address());
    let (head, rest) = one.split_at(10);
    let mut stream = tokio::net::TcpStream::connect(plug.address()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, head).await.unwrap();
    // Real time, so that the first piece is on its way alone.
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    http.stream = Some(stream);
    assert_eq!(http.send(rest).await.unwrap().code(), 1003);
    assert_eq!(http.send(&[&one[..], &one].concat()).await.unwrap().code(), 1003);
    assert_eq!(plug.counters().requests, 3);
}

#[tokio::test]
async fn what_is_no_request_is_turned_away_and_harms_nobody() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let mut client = Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.unwrap();
    let long = format!("POST / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(9000));
    let cases: [(&[u8], u16); 6] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: ten\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", 413),
        (long.as_bytes(), 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 500),
    ];
    for (bytes, status) in cases {
        let answer = Http::new(plug.address()).send(bytes).await.unwrap();
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(bytes));
        assert_eq!(answer.headers["connection"], "close");
    }
    let answer = Http::new(plug.address()).send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(answer.status, 405);
    assert_eq!(client.get("get_device_info").await.unwrap()["error_code"], 0, "the session did not suffer");
}

/// Bytes that look random and are the same in every run.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(seed), next).skip(1).take(length).map(|state| (state >> 24) as u8).collect()
}

#[tokio::test]
async fn no_body_makes_any_variant_fall_over() {
    let json = [
        "{}",
        "[]",
        "null",
        "1",
        r#""handshake""#,
        r#"{"method":1}"#,
        r#"{"method":"handshake"}"#,
        r#"{"method":"handshake","params":{"key":1}}"#,
        r#"{"method":"securePassthrough","params":[]}"#,
        r#"{"method":"login"}"#,
        r#"{"method":"login","params":{"sub_method":"pake_share"}}"#,
        r#"{"method":"login","params":{"sub_method":"pake_register","user_random":"%%%"}}"#,
    ];
    let deep = "[".repeat(20_000);
    let mut bodies: Vec<Vec<u8>> =
        json.into_iter().chain([deep.as_str()]).map(|text| text.as_bytes().to_vec()).collect();
    bodies.extend((0..12).map(|seed| noise(seed, 1 << seed)));
    for variant in [Variant::Passthrough, Variant::KlapV1, Variant::KlapV2, Variant::Tpap] {
        let (_rack, plug) = rack(config(Model::P110, variant)).await;
        let mut http = Http::new(plug.address());
        for target in
            ["/", "/app", "/app/handshake1", "/app/handshake2", "/app/request?seq=x", "/app?token=", "/stok=/ds"]
        {
            for body in &bodies {
                let answer = http.post(target, &[("Cookie", "TP_SESSIONID=")], body).await;
                assert!(answer.is_ok(), "{variant:?} {target} {}: {answer:?}", String::from_utf8_lossy(body));
            }
        }
        let mut client = Client::login(plug.address(), variant, EMAIL, PASSWORD).await.unwrap();
        client.get("get_device_info").await.unwrap();
    }
}

#[tokio::test]
async fn no_sealed_request_makes_a_strip_fall_over() {
    let (_rack, plug) = rack(config(Model::P304M, Variant::KlapV2)).await;
    let mut client = Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.unwrap();
    let child = plug.child_id(1).unwrap();
    let mut nested = json!({"method": "get_device_info"});
    for _ in 0..20 {
        nested = json!({"method": "multipleRequest", "params": {"requests": [
            {"method": "control_child", "params": {"device_id": child, "requestData": nested}},
        ]}});
    }
    let mut many = json!({"method": "multipleRequest", "params": {"requests": []}});
    many["params"]["requests"] = (0..500).map(|_| json!({"method": "get_child_device_list"})).collect();
    let requests = [
        json!(null),
        json!([]),
        json!("get_device_info"),
        json!({"method": {}}),
        nested,
        many,
        json!({"method": "multipleRequest", "params": {"requests": {}}}),
        json!({"method": "multipleRequest", "params": {"requests": [null, 1, [], {}]}}),
        json!({"method": "control_child", "params": {"device_id": child}}),
        json!({"method": "control_child", "params": {"device_id": child, "requestData": 5}}),
        json!({"method": "get_child_device_list", "params": {"start_index": -1}}),
        json!({"method": "get_child_device_list", "params": {"start_index": u64::MAX}}),
    ];
    for request in requests {
        let answer = client.call(request.clone()).await;
        assert!(answer.is_ok(), "{request}: {answer:?}");
    }
    // What is sealed well but is no JSON.
    let (target, headers, body) = client.seal(b"no json");
    assert_eq!(client.http.post(&target, &[("Cookie", &headers[0].1)], &body).await.unwrap().status, 200);
    client.get("get_device_info").await.unwrap();
}

#[tokio::test]
async fn too_many_connections_are_reset() {
    let (_rack, plug) = rack(config(Model::P110, Variant::KlapV2)).await;
    let mut crowd = Vec::new();
    for _ in 0..64 {
        let mut http = Http::new(plug.address());
        assert_eq!(http.post("/", &[], PROBE).await.unwrap().code(), 1003);
        crowd.push(http);
    }
    let broken = Http::new(plug.address()).post("/", &[], PROBE).await.unwrap_err();
    assert!(matches!(broken, Broken::Reset | Broken::Closed), "{broken:?}");
    crowd.pop();
    // The plug notices a moment later that one has left.
    let mut left = 0;
    while Http::new(plug.address()).post("/", &[], PROBE).await.is_err() {
        left += 1;
        assert!(left < 100, "there is no room although one has left");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn some_close_after_every_answer() {
    let quirks = Quirks { close_after_answer: true, text_html: true, ..Quirks::default() };
    let (_rack, plug) = rack(PlugConfig { quirks, ..config(Model::P100, Variant::KlapV2) }).await;
    let mut client = Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.unwrap();
    client.get("get_device_info").await.unwrap();
    assert_eq!(plug.counters().connections, 3);
    let answer = client.http.post("/", &[], PROBE).await.unwrap();
    assert_eq!(
        (answer.headers["connection"].as_str(), answer.headers["content-type"].as_str()),
        ("close", "text/html")
    );
}

#[tokio::test]
async fn some_send_a_page_when_a_header_is_empty() {
    let (_rack, plug) = rack(config(Model::P100, Variant::KlapV2)).await;
    let mut http = Http::new(plug.address());
    assert_eq!(http.post("/", &[("Cookie", "")], PROBE).await.unwrap().code(), 1003);
    plug.reconfigure(|config| config.quirks.page_for_empty_header = true);
    let answer = http.post("/", &[("Cookie", "")], PROBE).await.unwrap();
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "text/html"));
    assert!(answer.body.starts_with(b"<html>"));
}

#[tokio::test]
async fn some_know_headers_only_in_title_case() {
    let quirks = Quirks { title_case_only: true, ..Quirks::default() };
    let (_rack, plug) = rack(PlugConfig { quirks, ..config(Model::P100, Variant::KlapV2) }).await;
    let mut client = Client::login(plug.address(), Variant::KlapV2, EMAIL, PASSWORD).await.unwrap();
    let (target, headers, body) = client.seal(br#"{"method":"get_device_info"}"#);
    let answer = client.http.post(&target, &[("cookie", &headers[0].1)], &body).await.unwrap();
    assert_eq!(answer.status, 403);
    assert_eq!(client.http.post(&target, &[("Cookie", &headers[0].1)], &body).await.unwrap().status, 200);
}
