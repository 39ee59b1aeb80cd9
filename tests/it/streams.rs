//! Server-sent events: filters, replay, and clients that read slowly or disconnect.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::rig::{PASSWORD, Rig, USER, klap};

const STREAM: &str = "/redfish/v1/EventService/SSE";
const SUBSCRIPTIONS: &str = "/redfish/v1/EventService/Subscriptions";
const SUBMIT: &str = "/redfish/v1/EventService/Actions/EventService.SubmitTestEvent";

/// A client of a stream.
pub struct Reader {
    answer: Response,
    text: String,
}

impl Reader {
    pub async fn open(request: RequestBuilder) -> Reader {
        let answer = request.timeout(Duration::from_secs(60)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        Reader { answer, text: String::new() }
    }

    /// The next event and its id; `None` when the stream ends.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some((id, data)) = block.split_once("\ndata: ") {
                    return Some((id.strip_prefix("id: ").unwrap().to_owned(), serde_json::from_str(data).unwrap()));
                }
                assert!(block.starts_with(':'), "{block}");
            }
            let chunk =
                tokio::time::timeout(Duration::from_secs(10), self.answer.chunk()).await.expect("no event came");
            match chunk {
                Ok(Some(chunk)) => self.text.push_str(std::str::from_utf8(&chunk).unwrap()),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    pub async fn message(&mut self) -> String {
        self.next().await.unwrap().1["Events"][0]["Message"].as_str().unwrap().to_owned()
    }
}

pub async fn submit(rig: &Rig, text: &str) {
    let body = json!({ "MessageId": "ResourceEvent.1.4.TestMessage", "Message": text });
    assert_eq!(rig.send(rig.request(Method::POST, SUBMIT).json(&body)).await.0, StatusCode::NO_CONTENT);
}

pub async fn streams(rig: &Rig) -> Vec<Value> {
    rig.get(SUBSCRIPTIONS).await.1["Members"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_stream_is_a_subscriber_for_as_long_as_it_is_open() {
    let rig = Rig::settled([klap("n")]).await;
    let mut reader = Reader::open(rig.request(Method::GET, STREAM)).await;
    let uri = streams(&rig).await[0]["@odata.id"].as_str().unwrap().to_owned();
    let shown = rig.get(&uri).await.1;
    assert_eq!((&shown["SubscriptionType"], &shown["Context"]), (&json!("SSE"), &shown["Id"]));
    assert!(crate::crawl::crawl(&rig).await.contains(&uri));
    let patch = rig.request(Method::PATCH, &uri).json(&json!({ "Context": "x" }));
    assert_eq!(rig.send(patch).await.0, StatusCode::METHOD_NOT_ALLOWED);

    submit(&rig, "hello").await;
    let (id, event) = reader.next().await.unwrap();
    assert_eq!((&event["Id"], &event["Events"][0]["Message"]), (&json!(id), &json!("hello")));
    assert_eq!(rig.send(rig.request(Method::DELETE, &uri)).await.0, StatusCode::NO_CONTENT);
    assert_eq!(reader.next().await, None);
    assert!(streams(&rig).await.is_empty());

    let again = Reader::open(rig.request(Method::GET, STREAM)).await;
    assert_eq!(streams(&rig).await.len(), 1);
    drop(again);
    // Noticed at once, or when something is written to it.
    rig.until(10, || async {
        submit(&rig, "are you there").await;
        streams(&rig).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_filter_takes_what_it_says() {
    let rig = Rig::settled([klap("n")]).await;
    let open = |filter: &str| {
        let filter = filter.replace(' ', "%20").replace('\'', "%27");
        Reader::open(rig.request(Method::GET, &format!("{STREAM}?$filter={filter}")))
    };
    let mut power = open("MessageId eq 'ResourceEvent.1.4.ResourcePoweredOff'").await;
    let mut system = open(
        "(RegistryPrefix eq 'ResourceEvent' or RegistryPrefix eq 'Base') and OriginResource eq '/redfish/v1/Systems/n'",
    )
    .await;
    let mut tests = open("ResourceType eq 'EventService' and EventFormatType eq 'Event'").await;
    assert_eq!(rig.reset("n", "ForceOff").await.0, StatusCode::NO_CONTENT);
    for reader in [&mut power, &mut system] {
        let event = reader.next().await.unwrap().1;
        assert_eq!(event["Events"][0]["MessageId"], "ResourceEvent.1.4.ResourcePoweredOff");
    }
    submit(&rig, "only this").await;
    assert_eq!(tests.message().await, "only this");
    for (query, status) in [
        ("$filter=", StatusCode::BAD_REQUEST),
        ("$filter=MessageId%20is%20'x'", StatusCode::BAD_REQUEST),
        ("$expand=.", StatusCode::NOT_IMPLEMENTED),
    ] {
        let (got, body) = rig.get(&format!("{STREAM}?{query}")).await;
        assert_eq!(got, status, "{query}");
        assert!(body["error"]["code"].is_string());
    }
    let head = rig.request(Method::HEAD, STREAM).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    let anonymous = rig.client.get(format!("http://{}{STREAM}", rig.address)).send().await.unwrap();
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_client_that_comes_back_is_told_what_it_missed() {
    let rig = Rig::settled([]).await;
    let mut reader = Reader::open(rig.request(Method::GET, STREAM)).await;
    submit(&rig, "1").await;
    let (id, _) = reader.next().await.unwrap();
    drop(reader);
    submit(&rig, "2").await;
    submit(&rig, "3").await;
    let after = |id: &str| Reader::open(rig.request(Method::GET, STREAM).header("Last-Event-ID", id));
    let mut back = after(&id).await;
    assert_eq!((back.message().await, back.message().await), ("2".to_owned(), "3".to_owned()));
    // From before all that is remembered: told that something is missing, then all of it.
    let mut old = after("17").await;
    let (_, event) = old.next().await.unwrap();
    assert_eq!(event["Events"][0]["MessageId"], "Plugfish.1.0.EventsLost");
    assert_eq!((&event["Events"][1]["Message"], old.message().await), (&json!("1"), "2".to_owned()));
    // What makes no sense is as good as nothing.
    let mut odd = after("yesterday").await;
    submit(&rig, "4").await;
    assert_eq!(odd.message().await, "4");
}

#[tokio::test]
async fn a_slow_reader_is_cut_and_the_number_of_streams_is_bounded() {
    let mut rig = Rig::settled([]).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(rig.address).await.unwrap();
    let login = rig.request(Method::GET, STREAM).basic_auth(USER, Some(PASSWORD)).build().unwrap();
    let login = login.headers()["authorization"].to_str().unwrap().to_owned();
    let head = format!("GET {STREAM} HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\n\r\n");
    slow.write_all(head.as_bytes()).await.unwrap();
    rig.until(5, || async { streams(&rig).await.len() == 1 }).await;
    let text = "x".repeat(3500);
    // What the system buffers for the connection, and then the queue.
    for _ in 0..50 {
        for _ in 0..100 {
            submit(&rig, &text).await;
        }
        if streams(&rig).await.is_empty() {
            break;
        }
    }
    assert!(streams(&rig).await.is_empty(), "it was not cut");
    drop(slow);

    let mut open = Vec::new();
    for _ in 0..32 {
        open.push(Reader::open(rig.request(Method::GET, STREAM)).await);
    }
    // One more of the same account takes the place of its oldest one.
    open.push(Reader::open(rig.request(Method::GET, STREAM)).await);
    assert_eq!(open.remove(0).next().await, None);
    assert_eq!(streams(&rig).await.len(), 32);
    let took = rig.stop();
    assert!(took < Duration::from_secs(5), "{took:?}");
    for reader in &mut open {
        assert_eq!(reader.next().await, None);
    }
}

/// Message keys and texts of a stream, until the test event `end`, or up to the message with that key.
async fn audit(reader: &mut Reader, end: &str) -> Vec<(String, String)> {
    let mut entries = Vec::new();
    loop {
        let event = reader.next().await.unwrap().1["Events"][0].take();
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        if text("Message") == end {
            return entries;
        }
        let id = text("MessageId");
        entries.push((id.rsplit('.').next().unwrap_or_default().to_owned(), text("Message")));
        if id.ends_with(end) {
            return entries;
        }
    }
}

#[tokio::test]
async fn logins_and_changes_are_events_for_those_who_administer_all_nodes() {
    let rig = Rig::settled([klap("node-1")]).await;
    for (name, role) in [("watcher", "ReadOnly"), ("worker", "Operator")] {
        let account = json!({ "UserName": name, "Password": "correct horse", "RoleId": role });
        let request = rig.request(Method::POST, "/redfish/v1/AccountService/Accounts").json(&account);
        assert_eq!(rig.send(request).await.0, StatusCode::CREATED);
    }
    let url = rig.url(&format!("{STREAM}?$filter=EventFormatType eq 'Event'"));
    let mut plain = Reader::open(rig.request(Method::GET, STREAM)).await;
    let mut whole = Reader::open(rig.client.get(&url).basic_auth(USER, Some(PASSWORD))).await;
    let mut watcher = Reader::open(rig.client.get(&url).basic_auth("watcher", Some("correct horse"))).await;
    let mut narrow =
        Reader::open(rig.request(Method::GET, &format!("{STREAM}?$filter=MessageId eq 'Plugfish.1.0.LoginFailed'")))
            .await;
    let system = rig.url("/redfish/v1/Systems/node-1");
    for (name, password) in [("worker", "guessed"), ("hunter2", "hunter2"), ("worker", "correct horse")] {
        let _ = rig.client.get(&system).basic_auth(name, Some(password)).send().await.unwrap();
    }
    let patch = rig.client.patch(rig.url("/redfish/v1/AccountService")).json(&json!({ "AccountLockoutThreshold": 9 }));
    let refused = patch.basic_auth("worker", Some("correct horse")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    // The audit has a channel of its own, so it may come after a later event of another kind.
    let heard: Vec<_> = audit(&mut whole, ".ChangeRefused").await;
    submit(&rig, "end").await;
    let of = |key: &str| -> Vec<&str> {
        heard.iter().filter(|(kind, _)| kind == key).map(|(_, text)| text.as_str()).collect()
    };
    let failed = of("LoginFailed");
    assert_eq!(failed.len(), 2, "{heard:?}");
    assert!(failed[0].contains("worker") && failed[0].contains("127.0.0.1"), "{failed:?}");
    assert!(!heard.iter().any(|(_, text)| text.contains("hunter2")), "what was typed as a name may be a password");
    assert!(of("LoggedIn").iter().any(|text| text.starts_with("worker logged in from ")), "{heard:?}");
    assert!(of("ChangeRefused")[0].contains("worker") && of("ChangeRefused")[0].contains("PATCH"), "{heard:?}");
    assert_eq!(narrow.next().await.unwrap().1["Events"][0]["MessageId"], "Plugfish.1.0.LoginFailed");
    assert_eq!(audit(&mut watcher, "end").await, [], "not for one who administers nothing");
    assert_eq!(audit(&mut plain, "end").await, [], "nor for one who did not ask for it");
    // What a client changes is told too, and none of it is told again to a stream that comes back.
    let changes = audit(&mut whole, ".ChangedByClient").await;
    assert!(changes.iter().any(|(_, text)| text.contains("SubmitTestEvent")), "{changes:?}");
    submit(&rig, "more").await;
    let mut back =
        Reader::open(rig.client.get(&url).basic_auth(USER, Some(PASSWORD)).header("Last-Event-ID", "17")).await;
    let replayed = audit(&mut back, "more").await;
    let audited = ["LoggedIn", "LoginFailed", "ChangeRefused"];
    assert!(!replayed.iter().any(|(kind, _)| audited.contains(&kind.as_str())), "{replayed:?}");
}
