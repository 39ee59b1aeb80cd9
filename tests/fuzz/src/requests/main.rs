//! Any text as a request: `METHOD target`, headers, an empty line and the body, as in HTTP. It goes through the whole
//! Redfish service, without a socket. Nothing panics, no answer has the status 500, and every answer conforms to
//! DSP0266: it has the version, and errors in JSON.

#![no_main]

#[path = "../odd.rs"]
mod odd;
mod world;

use std::cell::OnceCell;
use std::collections::BTreeMap;

use actix_web::body::to_bytes;
use actix_web::dev::Service as _;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};
use actix_web::web::Data;
use actix_web::{App, test};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use plugfish::testing::redfish::dispatch;
use serde_json::Value;
use world::World;

thread_local! {
    static SYSTEM: actix_rt::SystemRunner = actix_rt::System::new();
    static WORLD: OnceCell<World> = const { OnceCell::new() };
}

/// A subscriber that is there from the start; no one listens at its port, and nothing is sent in this world.
const SUBSCRIBER: &str = "POST /redfish/v1/EventService/Subscriptions\n\n\
    {\"Destination\":\"http://127.0.0.1:9/\",\"Protocol\":\"Redfish\"}";

fuzz_target!(|text: &str| {
    SYSTEM.with(|system| {
        WORLD.with(|world| {
            let world = world.get_or_init(|| {
                let mut world = system.block_on(World::new());
                world.values = system.block_on(answer(&world, SUBSCRIBER));
                assert!(!world.values.is_empty());
                world
            });
            system.block_on(answer(world, text));
        });
    });
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let body = data[..size].windows(2).position(|two| two == b"\n\n").map_or(size, |end| end + 2);
    odd::mutate(data, size, max_size, seed, body)
});

/// Answers one request; returns what is kept afterwards.
async fn answer(world: &World, text: &str) -> BTreeMap<String, Value> {
    let (service, kept) = world.service();
    let events = service.events.clone();
    let service = Data::new(service);
    if let Some(request) = request(text) {
        let is_read = *request.method() == Method::GET;
        let app = test::init_service(App::new().configure(|config| dispatch::mount(config, &service))).await;
        let response = app.call(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        assert!(status < 500 || status == 501 || status == 503, "{status}: {text}");
        assert_eq!(headers.get("odata-version"), Some(&HeaderValue::from_static("4.0")));
        let is_json = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if is_json {
            // Streams have another type, and no end.
            let bytes = to_bytes(response.into_body()).await.unwrap_or_else(|_| unreachable!());
            let body: Value = serde_json::from_slice(&bytes).unwrap();
            let messages = body.pointer("/error/@Message.ExtendedInfo").and_then(Value::as_array);
            assert!(status < 400 || messages.is_some_and(|messages| !messages.is_empty()), "{status}: {body}");
            assert!(bytes.len() < 4_000_000);
        } else {
            assert!(status < 400 || is_read, "{status} without a word: {text}");
        }
    }
    events.stop();
    let values = kept.values.lock().unwrap();
    values.clone()
}

/// The request, if HTTP lets it be one.
fn request(text: &str) -> Option<actix_http::Request> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, target) = lines.next()?.split_once(' ')?;
    let (method, target): (Method, Uri) = (method.parse().ok()?, target.parse().ok()?);
    let mut request = test::TestRequest::default().method(method).uri(&target.to_string());
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let name: HeaderName = name.parse().ok()?;
        request = request.append_header((name, HeaderValue::from_str(value.trim()).ok()?));
    }
    Some(request.set_payload(body.to_owned()).to_request())
}
