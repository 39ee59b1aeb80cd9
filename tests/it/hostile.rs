//! Clients that misbehave: a clear error of its kind for each, and the daemon keeps running.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::rig::{PASSWORD, Rig, USER, klap};

const RESET: &str = "/redfish/v1/Systems/n/Actions/ComputerSystem.Reset";

async fn fault(rig: &Rig, request: reqwest::RequestBuilder, status: StatusCode, message: &str) -> Value {
    let (got, body) = rig.send(request).await;
    assert_eq!(got, status, "{body}");
    let first = body["error"]["@Message.ExtendedInfo"][0]["MessageId"].as_str().unwrap();
    assert_eq!(first, format!("Base.1.22.{message}"), "{body}");
    body
}

#[tokio::test]
async fn bad_bodies_are_refused_by_kind() {
    let rig = Rig::settled([klap("n")]).await;
    let post = || rig.request(Method::POST, RESET).header("Content-Type", "application/json");
    fault(&rig, post().body("{"), StatusCode::BAD_REQUEST, "MalformedJSON").await;
    fault(&rig, post().body("[1]"), StatusCode::BAD_REQUEST, "UnrecognizedRequestBody").await;
    fault(&rig, post().body(vec![0xff, 0xfe]), StatusCode::BAD_REQUEST, "MalformedJSON").await;
    fault(&rig, post().body("[".repeat(60_000)), StatusCode::BAD_REQUEST, "MalformedJSON").await;
    fault(&rig, post().body(vec![b' '; 10_000_000]), StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge").await;
    let text = rig.request(Method::POST, RESET).header("Content-Type", "text/plain").body("{}");
    fault(&rig, text, StatusCode::UNSUPPORTED_MEDIA_TYPE, "HeaderInvalid").await;
    assert_eq!(rig.power("n").await, "On");
}

#[tokio::test]
async fn bad_urls_methods_and_headers_are_refused_by_kind() {
    let rig = Rig::settled([klap("n")]).await;
    let get = |path: &str| rig.request(Method::GET, path);
    for path in
        ["/redfish/v1/Systems/no one", "/redfish/v1/Nothing", "/redfish/v2", "/redfish/v1/Systems/n/Processors/9"]
    {
        fault(&rig, get(path), StatusCode::NOT_FOUND, "ResourceMissingAtURI").await;
    }
    let huge = get("/redfish/v1/Systems").header("X-Huge", "x".repeat(100_000));
    fault(&rig, huge, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "HeaderInvalid").await;
    let old = get("/redfish/v1/Systems").header("OData-Version", "4.1");
    assert_eq!(rig.send(old).await.0, StatusCode::PRECONDITION_FAILED);
    for (method, path) in
        [(Method::DELETE, "/redfish/v1/Systems/n"), (Method::POST, "/redfish/v1/"), (Method::GET, RESET)]
    {
        let answer = rig.request(method.clone(), path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert!(answer.headers().contains_key("allow"));
    }
    let odd = Method::from_bytes(b"FAKEMETHODFORTEST").unwrap();
    let answer = rig.request(odd, "/redfish/v1/Systems").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test]
async fn nobody_gets_in_without_a_login_and_nobody_does_more_than_their_role() {
    let rig = Rig::settled([klap("n")]).await;
    let url = |path: &str| format!("http://{}{path}", rig.address);
    for path in ["/redfish/v1/Systems", "/redfish/v1/Systems/n", "/redfish/v1/Nothing", RESET] {
        let answer = rig.client.get(url(path)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    }
    for open in ["/redfish", "/redfish/v1/", "/redfish/v1", "/redfish/v1/odata", "/redfish/v1/$metadata", "/healthz"] {
        assert_eq!(rig.client.get(url(open)).send().await.unwrap().status(), StatusCode::OK, "{open}");
    }
    let wrong = rig.client.get(url("/redfish/v1/Systems")).basic_auth(USER, Some("wrong")).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert!(!wrong.text().await.unwrap().contains("wrong"));

    let off = serde_json::json!({ "ResetType": "ForceOff" });
    let as_looker =
        rig.client.post(url(RESET)).basic_auth("looker", Some("looks only")).json(&off).send().await.unwrap();
    assert_eq!(as_looker.status(), StatusCode::FORBIDDEN);
    let looks = rig.client.get(url("/redfish/v1/Systems/n")).basic_auth("looker", Some("looks only"));
    assert_eq!(looks.send().await.unwrap().status(), StatusCode::OK);
    let as_operator = rig.client.post(url(RESET)).basic_auth("operator", Some("switches")).json(&off);
    assert_eq!(as_operator.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let manager = url("/redfish/v1/Managers/n/Actions/Manager.Reset");
    let as_operator = rig.client.post(manager).basic_auth("operator", Some("switches")).json(&serde_json::json!({}));
    assert_eq!(as_operator.send().await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn sessions_are_made_used_and_ended() {
    let rig = Rig::settled([klap("n")]).await;
    let sessions = format!("http://{}/redfish/v1/SessionService/Sessions", rig.address);
    let login = serde_json::json!({ "UserName": USER, "Password": PASSWORD });
    let answer = rig.client.post(&sessions).json(&login).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let token = answer.headers()["x-auth-token"].to_str().unwrap().to_owned();
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let body: Value = answer.json().await.unwrap();
    assert_eq!((body["@odata.id"].as_str(), body["UserName"].as_str()), (Some(location.as_str()), Some(USER)));
    let with_token = |method: Method, path: &str| {
        rig.client.request(method, format!("http://{}{path}", rig.address)).header("X-Auth-Token", &token)
    };
    assert_eq!(with_token(Method::GET, "/redfish/v1/Systems/n").send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(with_token(Method::DELETE, &location).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(
        with_token(Method::GET, "/redfish/v1/Systems/n").send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    for (body, status) in [
        (serde_json::json!({ "UserName": USER, "Password": "wrong" }), StatusCode::UNAUTHORIZED),
        (serde_json::json!({ "UserName": null, "Password": null }), StatusCode::BAD_REQUEST),
        (serde_json::json!({ "UserName": USER, "Password": 5 }), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(rig.client.post(&sessions).json(&body).send().await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn what_is_no_http_and_what_never_ends_holds_nobody_up() {
    let rig = Rig::settled([klap("n")]).await;
    let mut held: Vec<TcpStream> = Vec::new();
    for index in 0..200 {
        let mut stream = TcpStream::connect(rig.address).unwrap();
        match index % 3 {
            0 => stream.write_all(b"GET /redfish/v1/ HTTP/1.1\r\nHo").unwrap(),
            1 => stream
                .write_all(format!("POST {RESET} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{").as_bytes())
                .unwrap(),
            _ => {}
        }
        held.push(stream);
    }
    let mut garbage = TcpStream::connect(rig.address).unwrap();
    garbage.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0xff, b'\r', b'\n', b'\r', b'\n']).unwrap();
    garbage.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut answer = String::new();
    let _ = garbage.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    for _ in 0..50 {
        let start = rig.now();
        rig.system("n").await;
        assert!(rig.now().since(start) < Duration::from_secs(1));
    }
    drop(held);
}
