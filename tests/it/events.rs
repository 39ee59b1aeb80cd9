//! Events to subscribers that accept them, fail, hang, redirect and disappear, and to readers of a stream.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::rig::{Rig, klap};

const SERVICE: &str = "/redfish/v1/EventService";
const SUBSCRIPTIONS: &str = "/redfish/v1/EventService/Subscriptions";
const SUBMIT: &str = "/redfish/v1/EventService/Actions/EventService.SubmitTestEvent";

/// Someone who listens, and answers each delivery with the next of some statuses, the last of them for good. A status of
/// 0 is no answer at all.
pub struct Listener {
    pub url: String,
    pub heard: mpsc::UnboundedReceiver<(String, Value)>,
}

impl Listener {
    pub async fn start(statuses: &'static [u16]) -> Listener {
        Listener::with(statuses, None).await
    }

    async fn with(statuses: &'static [u16], tls: Option<tokio_rustls::TlsAcceptor>) -> Listener {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{}/events", socket.local_addr().unwrap().port());
        let (tell, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut count = 0;
            while let Ok((stream, _)) = socket.accept().await {
                let status = statuses.get(count).or(statuses.last()).copied().unwrap();
                match &tls {
                    None => answer(stream, status, &tell).await,
                    // A client that does not trust the certificate ends the handshake.
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => answer(stream, status, &tell).await,
                        Err(_) => continue,
                    },
                }
                count += 1;
            }
        });
        Listener { url, heard }
    }

    /// The next delivery: its head and its body.
    pub async fn next(&mut self) -> (String, Value) {
        let heard = tokio::time::timeout(Duration::from_secs(10), self.heard.recv()).await;
        let heard = heard.expect("nothing was delivered").unwrap();
        assert_eq!(crate::schemas::faults(&heard.1), Vec::<String>::new(), "{:#}", heard.1);
        heard
    }
}

async fn answer<S: AsyncReadExt + AsyncWriteExt + Unpin + Send + 'static>(
    mut stream: S,
    status: u16,
    tell: &mpsc::UnboundedSender<(String, Value)>,
) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
        if length.is_some_and(|length| body.len() >= length) {
            break (head.to_owned(), serde_json::from_str(body).unwrap());
        }
    };
    let _ = tell.send((head, body));
    if status == 0 {
        tokio::spawn(async move {
            // Longer than any delivery may take: the connection stays open and silent.
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(stream);
        });
        return;
    }
    let location = if (300..400).contains(&status) { "Location: http://localhost:9/elsewhere\r\n" } else { "" };
    let head = format!("HTTP/1.1 {status} Whatever\r\n{location}Content-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn subscribe(rig: &Rig, body: Value) -> String {
    let (status, shown) = rig.send(rig.request(Method::POST, SUBSCRIPTIONS).json(&body)).await;
    assert_eq!(status, StatusCode::CREATED, "{shown}");
    shown["@odata.id"].as_str().unwrap().to_owned()
}

fn to(listener: &Listener, more: Value) -> Value {
    let mut body = json!({ "Destination": listener.url, "Protocol": "Redfish" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn submit(rig: &Rig, text: &str) {
    let body = json!({ "MessageId": "ResourceEvent.1.4.TestMessage", "Message": text });
    let (status, body) = rig.send(rig.request(Method::POST, SUBMIT).json(&body)).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
}

async fn set_retries(rig: &Rig, attempts: u32) {
    let body = json!({ "DeliveryRetryAttempts": attempts, "DeliveryRetryIntervalSeconds": 1 });
    let (status, body) = rig.send(rig.request(Method::PATCH, SERVICE).json(&body)).await;
    assert_eq!((status, &body["DeliveryRetryIntervalSeconds"]), (StatusCode::OK, &json!(1)), "{body}");
}

async fn members(rig: &Rig) -> Vec<String> {
    let body = rig.get(SUBSCRIPTIONS).await.1;
    body["Members"].as_array().unwrap().iter().map(|link| link["@odata.id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_happens_is_delivered_in_order() {
    let rig = Rig::settled([klap("n")]).await;
    let mut listener = Listener::start(&[200]).await;
    let more = json!({
        "Context": "mine",
        "RegistryPrefixes": ["ResourceEvent"],
        "ResourceTypes": ["ComputerSystem"],
        "OriginResources": [{ "@odata.id": "/redfish/v1/Systems" }],
        "SubordinateResources": true,
        "HttpHeaders": [{ "X-Key": "s3cret" }],
    });
    let uri = subscribe(&rig, to(&listener, more)).await;
    let (_, shown) = rig.get(&uri).await;
    assert!(!shown.to_string().contains("s3cret"), "{shown}");
    let id = uri.rsplit('/').next().unwrap();
    let expect = json!({
        "@odata.etag": "\"1\"",
        "@odata.id": uri,
        "@odata.type": "#EventDestination.v1_16_0.EventDestination",
        "Id": id,
        "Name": "Event Subscription",
        "Destination": listener.url,
        "Protocol": "Redfish",
        "Context": "mine",
        "SubscriptionType": "RedfishEvent",
        "EventFormatType": "Event",
        "RegistryPrefixes": ["ResourceEvent"],
        "MessageIds": [],
        "ResourceTypes": ["ComputerSystem"],
        "OriginResources": [{ "@odata.id": "/redfish/v1/Systems" }],
        "SubordinateResources": true,
        "Severities": [],
        "HttpHeaders": [],
        "DeliveryRetryPolicy": "RetryForever",
        "VerifyCertificate": false,
        "Status": { "State": "Enabled", "Health": "OK" },
        "Actions": {
            "#EventDestination.SuspendSubscription":
                { "target": format!("{uri}/Actions/EventDestination.SuspendSubscription") },
            "#EventDestination.ResumeSubscription":
                { "target": format!("{uri}/Actions/EventDestination.ResumeSubscription") },
        },
    });
    assert_eq!(shown, expect);

    assert_eq!(rig.reset("n", "ForceOff").await.0, StatusCode::NO_CONTENT);
    let (head, off) = listener.next().await;
    assert!(head.starts_with("POST /events HTTP/1.1") && head.to_ascii_lowercase().contains("x-key: s3cret"), "{head}");
    assert_eq!(off["Events"][0]["MessageId"], "ResourceEvent.1.4.ResourcePoweredOff");
    assert_eq!(off["Events"][0]["OriginOfCondition"]["@odata.id"], "/redfish/v1/Systems/n");
    assert_eq!((&off["Context"], &off["Events@odata.count"]), (&json!("mine"), &json!(1)));
    assert_eq!(rig.reset("n", "On").await.0, StatusCode::NO_CONTENT);
    let (_, on) = listener.next().await;
    assert_eq!(on["Events"][0]["MessageId"], "ResourceEvent.1.4.ResourcePoweredOn");
    let number = |event: &Value| event["Id"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(number(&on) > number(&off));
}

#[tokio::test]
async fn an_event_is_sent_again_until_it_is_taken_and_the_next_one_waits() {
    let rig = Rig::settled([]).await;
    set_retries(&rig, 3).await;
    let mut listener = Listener::start(&[500, 307, 200]).await;
    subscribe(&rig, to(&listener, json!({}))).await;
    submit(&rig, "first").await;
    submit(&rig, "second").await;
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(listener.next().await.1["Events"][0]["Message"].as_str().unwrap().to_owned());
    }
    assert_eq!(heard, ["first", "first", "first", "second"]);
    let page = rig.client.get(format!("http://{}/metrics", rig.address)).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("plugfish_events_total{outcome=\"failed\"} 2"), "{page}");
    assert!(!page.contains("plugfish_events_total{outcome=\"delivered\"} 0"), "{page}");
}

#[tokio::test]
async fn a_subscriber_that_stays_away_is_suspended_or_ended_as_it_asked() {
    let mut rig = Rig::settled([]).await;
    set_retries(&rig, 1).await;
    let mut listener = Listener::start(&[503, 503, 200]).await;
    let suspended = subscribe(&rig, to(&listener, json!({ "DeliveryRetryPolicy": "SuspendRetries" }))).await;
    let unreachable = json!({ "Destination": "http://127.0.0.1:9/", "Protocol": "Redfish",
        "DeliveryRetryPolicy": "TerminateAfterRetries" });
    let ended = subscribe(&rig, unreachable).await;
    submit(&rig, "lost").await;
    let state = |uri: String| {
        let rig = &rig;
        async move { rig.get(&uri).await.1["Status"]["State"].clone() }
    };
    rig.until(10, || async { state(suspended.clone()).await == "Disabled" }).await;
    rig.until(10, || async { rig.get(&ended).await.0 == StatusCode::NOT_FOUND }).await;
    submit(&rig, "not sent").await;
    let resume = format!("{suspended}/Actions/EventDestination.ResumeSubscription");
    assert_eq!(rig.send(rig.request(Method::POST, &resume)).await.0, StatusCode::NO_CONTENT);
    submit(&rig, "sent").await;
    let mut last = Value::Null;
    for _ in 0..3 {
        last = listener.next().await.1;
    }
    assert_eq!(last["Events"][0]["Message"], "sent");
    rig.restart().await;
    assert_eq!(members(&rig).await, [suspended]);
}

#[tokio::test]
async fn subscriptions_and_settings_survive_a_restart() {
    let mut rig = Rig::settled([]).await;
    set_retries(&rig, 7).await;
    let mut listener = Listener::start(&[200]).await;
    let uri = subscribe(&rig, to(&listener, json!({ "Context": "still me", "HttpHeaders": [{ "X-A": "b" }] }))).await;
    let before = rig.get(&uri).await.1;
    submit(&rig, "before").await;
    let id = |event: &Value| event["Id"].as_str().unwrap().parse::<u64>().unwrap();
    let first = listener.next().await.1;
    rig.restart().await;
    assert_eq!(rig.get(&uri).await.1, before);
    assert_eq!(rig.get(SERVICE).await.1["DeliveryRetryAttempts"], 7);
    submit(&rig, "after").await;
    let (head, event) = listener.next().await;
    assert_eq!((&event["Events"][0]["Message"], &event["Context"]), (&json!("after"), &json!("still me")));
    assert!(head.to_ascii_lowercase().contains("x-a: b") && id(&event) > id(&first));
    assert_eq!(rig.send(rig.request(Method::DELETE, &uri)).await.0, StatusCode::NO_CONTENT);
    rig.restart().await;
    assert!(members(&rig).await.is_empty());
}

#[tokio::test]
async fn a_subscriber_that_hangs_slows_nobody_and_costs_a_bounded_amount() {
    let mut rig = Rig::settled([klap("n")]).await;
    let mut hanging = Listener::start(&[0]).await;
    let mut well = Listener::start(&[200]).await;
    subscribe(&rig, to(&hanging, json!({}))).await;
    subscribe(&rig, to(&well, json!({ "MessageIds": ["ResourceEvent.ResourcePoweredOff"] }))).await;
    for count in 0..600 {
        submit(&rig, &count.to_string()).await;
    }
    hanging.next().await;
    let start = rig.now();
    assert_eq!(rig.power("n").await, "On");
    assert!(rig.now().since(start) < Duration::from_secs(1));
    assert_eq!(rig.reset("n", "ForceOff").await.0, StatusCode::NO_CONTENT);
    assert_eq!(well.next().await.1["Events"][0]["MessageId"], "ResourceEvent.1.4.ResourcePoweredOff");
    let page = rig.client.get(format!("http://{}/metrics", rig.address)).send().await.unwrap().text().await.unwrap();
    assert!(!page.contains("plugfish_events_total{outcome=\"dropped\"} 0"), "{page}");
    let took = rig.stop();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn https_is_verified_where_it_is_asked_for() {
    let rig = Rig::settled([]).await;
    set_retries(&rig, 0).await;
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = rustls::pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![key.cert.der().clone()], pem).unwrap();
    let mut listener = Listener::with(&[200], Some(Arc::new(config).into())).await;
    let more = json!({ "VerifyCertificate": true, "DeliveryRetryPolicy": "SuspendRetries" });
    let uri = subscribe(&rig, to(&listener, more)).await;
    submit(&rig, "not for impostors").await;
    rig.until(10, || async { rig.get(&uri).await.1["Status"]["State"] == "Disabled" }).await;
    let trusting = json!({ "VerifyCertificate": false });
    assert_eq!(rig.send(rig.request(Method::PATCH, &uri).json(&trusting)).await.0, StatusCode::OK);
    let resume = format!("{uri}/Actions/EventDestination.ResumeSubscription");
    assert_eq!(rig.send(rig.request(Method::POST, &resume)).await.0, StatusCode::NO_CONTENT);
    submit(&rig, "for anyone").await;
    assert_eq!(listener.next().await.1["Events"][0]["Message"], "for anyone");
}

#[tokio::test]
async fn of_four_changes_with_one_etag_one_is_made() {
    let rig = Rig::settled([]).await;
    let listener = Listener::start(&[200]).await;
    let uri = subscribe(&rig, to(&listener, json!({}))).await;
    let patch = |name: &'static str| {
        let request = rig.request(Method::PATCH, &uri).header("If-Match", "\"1\"").json(&json!({ "Context": name }));
        async { rig.send(request).await.0 }
    };
    let four = tokio::join!(patch("a"), patch("b"), patch("c"), patch("d"));
    let four = [four.0, four.1, four.2, four.3];
    assert_eq!(four.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{four:?}");
    assert_eq!(four.iter().filter(|status| **status == StatusCode::PRECONDITION_FAILED).count(), 3, "{four:?}");
    let stale = rig.request(Method::DELETE, &uri).header("If-Match", "\"1\"");
    assert_eq!(rig.send(stale).await.0, StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn bad_subscriptions_are_refused_in_words() {
    let rig = Rig::settled([klap("n")]).await;
    let good = json!({ "Destination": "http://127.0.0.1:9/", "Protocol": "Redfish" });
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let bad = [
        (json!({ "Protocol": "Redfish" }), "CreateFailedMissingReqProperties"),
        (json!({ "Destination": "http://127.0.0.1:9/" }), "CreateFailedMissingReqProperties"),
        (with("Protocol", json!("FTP")), "PropertyValueNotInList"),
        (with("Destination", json!("ftp://127.0.0.1/")), "PropertyValueFormatError"),
        (with("Destination", json!("http://user:secret@127.0.0.1/")), "PropertyValueFormatError"),
        (with("Destination", json!(7)), "PropertyValueTypeError"),
        (with("RegistryPrefixes", json!(["Storage"])), "PropertyValueNotInList"),
        (with("ResourceTypes", json!("ComputerSystem")), "PropertyValueTypeError"),
        (with("OriginResources", json!([{ "@odata.id": "/redfish/v1/Systems/no one" }])), "PropertyValueNotInList"),
        (with("HttpHeaders", json!([{ "Content-Length": "5" }])), "PropertyValueNotInList"),
        (with("SubscriptionType", json!("SSE")), "PropertyValueNotInList"),
        (with("DeliveryRetryPolicy", json!("Never")), "PropertyValueNotInList"),
        (with("Odd", json!(1)), "PropertyUnknown"),
    ];
    for (body, key) in bad {
        let (status, fault) = rig.send(rig.request(Method::POST, SUBSCRIPTIONS).json(&body)).await;
        let id = fault["error"]["@Message.ExtendedInfo"][0]["MessageId"].as_str().unwrap();
        assert_eq!((status, id.rsplit('.').next().unwrap()), (StatusCode::BAD_REQUEST, key), "{body} {fault}");
    }
    let long = with("Context", json!("x".repeat(7000)));
    let (status, _) = rig.send(rig.request(Method::POST, SUBSCRIPTIONS).json(&long)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    for body in [json!({ "EventType": "Odd" }), json!({ "Nothing": 1 }), json!({ "MessageArgs": [1] })] {
        assert_eq!(rig.send(rig.request(Method::POST, SUBMIT).json(&body)).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
    assert!(members(&rig).await.is_empty());
    for _ in 0..32 {
        subscribe(&rig, good.clone()).await;
    }
    let (status, fault) = rig.send(rig.request(Method::POST, SUBSCRIPTIONS).json(&good)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{fault}");
}

#[tokio::test]
async fn subscribers_manage_their_own_and_managers_all() {
    let rig = Rig::settled([]).await;
    let body = json!({ "Destination": "http://192.0.2.1:9/", "Protocol": "Redfish" });
    let by = |name: &str, password: &str, method: Method, path: &str| {
        rig.client.request(method, format!("http://{}{path}", rig.address)).basic_auth(name, Some(password))
    };
    let operator = |method, path: &str| by("operator", "switches", method, path);
    let looker = by("looker", "looks only", Method::POST, SUBSCRIPTIONS).json(&body);
    assert_eq!(rig.send(looker).await.0, StatusCode::FORBIDDEN);
    let admins = subscribe(&rig, body.clone()).await;
    let (status, own) = rig.send(operator(Method::POST, SUBSCRIPTIONS).json(&body)).await;
    assert_eq!(status, StatusCode::CREATED, "{own}");
    assert_eq!(rig.send(operator(Method::DELETE, &admins)).await.0, StatusCode::FORBIDDEN);
    assert_eq!(rig.send(operator(Method::PATCH, SERVICE).json(&json!({}))).await.0, StatusCode::FORBIDDEN);
    assert_eq!(rig.send(operator(Method::POST, SUBMIT)).await.0, StatusCode::FORBIDDEN);
    let own = own["@odata.id"].as_str().unwrap();
    let patch = operator(Method::PATCH, own).json(&json!({ "Context": "new" }));
    assert_eq!(rig.send(patch).await.1["Context"], "new");
    assert_eq!(rig.send(rig.request(Method::DELETE, own)).await.0, StatusCode::NO_CONTENT);
    crate::redfish::compare(&rig, &[("event_service", SERVICE)]).await;
    assert!(crate::crawl::crawl(&rig).await.contains(&admins));
}

#[tokio::test]
async fn protocols_that_are_not_spoken_are_refused_by_name() {
    let rig = Rig::start([]).await;
    for protocol in ["SyslogUDP", "SyslogTLS", "SNMPv2c", "SNMPv3", "SMTP"] {
        let body =
            json!({ "Destination": "syslog://192.0.2.1:514", "Protocol": protocol, "SubscriptionType": "Syslog" });
        let (status, said) = rig.send(rig.request(Method::POST, SUBSCRIPTIONS).json(&body)).await;
        let said = &said["error"]["@Message.ExtendedInfo"][0];
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(said["RelatedProperties"], json!(["#/Protocol"]), "{said}");
        let advice = said["Resolution"].as_str().unwrap();
        assert!(
            advice.contains(&format!("not sent by {protocol}")) && advice.contains("Protocol to Redfish"),
            "{advice}"
        );
    }
    assert!(members(&rig).await.is_empty());
}
