//! The status page from the server's side: its files and their headers, the access to its document, and its content.

use std::collections::BTreeMap;

use plugfish::testing::config::TlsConfig;
use plugfish::testing::sim::{Model, Variant};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, USER, klap, plug};

/// What everyone may load: the page asks for a login itself.
const FILES: [(&str, &str); 5] = [
    ("/", "text/html; charset=utf-8"),
    ("/page/page.css", "text/css; charset=utf-8"),
    ("/page/page.js", "text/javascript; charset=utf-8"),
    ("/page/icon.svg", "image/svg+xml"),
    ("/favicon.ico", "image/svg+xml"),
];

const NODES: &str = "/page/nodes";

async fn ask(rig: &Rig, method: &str, path: &str) -> Response {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    rig.client.request(method, rig.url(path)).send().await.unwrap()
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// A browser that gets these headers loads nothing from elsewhere and runs nothing but the files.
fn check_policy(answer: &Response) {
    let policy: BTreeMap<&str, &str> =
        header(answer, "content-security-policy").split(';').map(|rule| rule.trim().split_once(' ').unwrap()).collect();
    for (rule, allows) in [
        ("default-src", "'none'"),
        ("script-src", "'self'"),
        ("style-src", "'self'"),
        ("connect-src", "'self'"),
        ("img-src", "'self' data:"),
        ("frame-ancestors", "'none'"),
        ("base-uri", "'none'"),
        ("form-action", "'none'"),
    ] {
        assert_eq!(policy.get(rule), Some(&allows), "{rule} of {}", answer.url());
    }
    assert_eq!(header(answer, "x-content-type-options"), "nosniff");
    assert_eq!(header(answer, "referrer-policy"), "no-referrer");
}

async fn files_are_served(rig: &Rig) {
    for (path, kind) in FILES {
        let answer = ask(rig, "GET", path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!((header(&answer, "content-type"), header(&answer, "cache-control")), (kind, "no-cache"), "{path}");
        check_policy(&answer);
        let etag = header(&answer, "etag").to_owned();
        let length = header(&answer, "content-length").to_owned();
        let body = answer.text().await.unwrap();
        assert_eq!(length, body.len().to_string());
        for elsewhere in ["http://", "https://", "src=\"//", "innerHTML", " style=", " onclick"] {
            let text = body.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains(elsewhere), "{path} has {elsewhere}");
        }

        let head = ask(rig, "HEAD", path).await;
        assert_eq!((head.status(), header(&head, "etag")), (StatusCode::OK, etag.as_str()), "{path}");
        assert_eq!(header(&head, "content-length"), length, "{path}");
        let again = rig.client.get(rig.url(path)).header("If-None-Match", format!("\"x\", W/{etag}"));
        let again = again.send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        check_policy(&again);
        let other = rig.client.get(rig.url(path)).header("If-None-Match", "\"x\"").send().await.unwrap();
        assert_eq!(other.status(), StatusCode::OK, "{path}");
    }
    for path in FILES.iter().map(|(path, _)| *path).chain([NODES]) {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
            let answer = ask(rig, method, path).await;
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(header(&answer, "allow"), "GET, HEAD", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_files_are_there_for_everybody_and_say_what_a_browser_may_do() {
    files_are_served(&Rig::start([]).await).await;
    files_are_served(&Rig::over(Some(TlsConfig::SelfSigned), [], [], |_| {}).await).await;
}

#[tokio::test]
async fn the_document_is_for_whoever_may_read_resources() {
    let rig = Rig::settled([klap("n")]).await;
    for method in ["GET", "HEAD"] {
        assert_eq!(ask(&rig, method, NODES).await.status(), StatusCode::UNAUTHORIZED, "{method}");
    }
    for ((name, password), role, may_switch) in [
        ((USER, PASSWORD), "Administrator", true),
        (("operator", "switches"), "Operator", true),
        (("looker", "looks only"), "ReadOnly", false),
    ] {
        let (status, body) = rig.send(rig.client.get(rig.url(NODES)).basic_auth(name, Some(password))).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body["caller"], json!({ "name": name, "role": role, "may_switch": may_switch }));
    }
    let answer = rig.request(Method::HEAD, NODES).send().await.unwrap();
    assert_eq!((answer.status(), header(&answer, "cache-control")), (StatusCode::OK, "no-store"));
    check_policy(&answer);
    let wrong = rig.client.get(rig.url(NODES)).basic_auth(USER, Some("wrong")).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);

    let change = json!({ "PasswordChangeRequired": true });
    let looker = rig.request(Method::PATCH, "/redfish/v1/AccountService/Accounts/looker").json(&change);
    assert_eq!(rig.send(looker).await.0, StatusCode::OK);
    let (status, body) = rig.send(rig.client.get(rig.url(NODES)).basic_auth("looker", Some("looks only"))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let message = &body["error"]["@Message.ExtendedInfo"][0];
    assert_eq!(message["MessageId"], "Base.1.22.PasswordChangeRequired");
    assert_eq!(message["MessageArgs"][0], "/redfish/v1/AccountService/Accounts/looker");
}

#[tokio::test]
async fn the_document_says_what_is_known_and_costs_the_devices_nothing() {
    let rig = Rig::settled([klap("metered"), plug("plain", Model::P100, Variant::Tpap)]).await;
    let nodes = || async { rig.get(NODES).await.1 };
    rig.until(10, || async { nodes().await["nodes"][0]["draw"].as_array().unwrap().len() >= 2 }).await;
    rig.plug("metered").reset_counters();
    for _ in 0..200 {
        nodes().await;
    }
    assert!(rig.plug("metered").counters().requests <= 6, "polls, and nothing else");

    let body = nodes().await;
    assert_eq!((&body["whole"], &body["total"], &body["notes"]), (&json!(true), &json!(2), &json!([])));
    let [metered, plain] = body["nodes"].as_array().unwrap().as_slice() else { panic!("{body}") };
    for (node, id) in [(metered, "metered"), (plain, "plain")] {
        let system = rig.system(id).await;
        assert_eq!((&node["id"], &node["system"]), (&json!(id), &system["@odata.id"]));
        assert_eq!((&node["power"], &node["machine"]), (&system["PowerState"], &json!("Dell OptiPlex 3060")));
        let offered = &system["Actions"]["#ComputerSystem.Reset"]["ResetType@Redfish.AllowableValues"];
        assert_eq!((&node["resets"], &node["up"], &node["away"]), (offered, &json!(true), &json!(false)));
        assert!(node["age_ms"].as_u64().unwrap() < 5_000, "{node}");
        assert_eq!(node["events"][0]["text"], "first contact: the power is on");
    }
    assert!(metered["watts"].as_f64().unwrap() > 1.0 && plain["watts"].is_null(), "{body}");
    assert_eq!(plain["draw"], json!([]));
    let times: Vec<f64> = metered["draw"].as_array().unwrap().iter().map(|one| one[0].as_f64().unwrap()).collect();
    assert!(times.is_sorted() && *times.last().unwrap() <= body["clock"].as_f64().unwrap(), "{times:?}");
    let text = body.to_string();
    for secret in [PASSWORD, "plugfish-demo", "owner@example.com"] {
        assert!(!text.contains(secret), "{text}");
    }

    assert_eq!(rig.reset("plain", "ForceOff").await.0, StatusCode::NO_CONTENT);
    rig.until(10, || async { nodes().await["nodes"][1]["power"] == "Off" }).await;
    let body = nodes().await;
    let told: Vec<&str> =
        body["nodes"][1]["events"].as_array().unwrap().iter().filter_map(|e| e["text"].as_str()).collect();
    assert!(told.contains(&"is off now") && told.contains(&"ForceOff asked for by admin"), "{told:?}");
}

#[tokio::test]
async fn a_reader_with_a_cursor_gets_what_is_new() {
    // Polled so seldom that a node stays untouched.
    let slow = |plan: &mut plugfish::testing::daemon::NodePlan| {
        if plan.spec.id.as_str() == "slow" {
            plan.spec.timings.poll_interval = std::time::Duration::from_secs(600);
        }
    };
    let mut rig = Rig::with([klap("fast"), klap("slow")], slow).await;
    rig.all_seen().await;
    let after = |cursor: &Value| format!("{NODES}?after={}", cursor.as_str().unwrap());
    let first = rig.get(NODES).await.1;
    let measured = first["nodes"][0]["draw"].as_array().unwrap().len();
    let of = |body: &Value| -> Vec<String> {
        body["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap().to_owned()).collect()
    };
    rig.until(10, || async {
        let cursor = rig.get(NODES).await.1["cursor"].clone();
        tokio::time::sleep(std::time::Duration::from_millis(2500)).await; // two polls of the fast one
        let next = rig.get(&after(&cursor)).await.1;
        assert_eq!((&next["whole"], &next["total"]), (&json!(false), &json!(2)));
        of(&next) == ["fast"] && next["nodes"][0]["draw"].as_array().unwrap().len() < 5
    })
    .await;
    let all = rig.get(NODES).await.1;
    assert!(all["nodes"][0]["draw"].as_array().unwrap().len() > measured + 1, "the whole curve is kept");
    for odd in ["", "nonsense", "00000000.5"] {
        assert_eq!(rig.get(&after(&json!(odd))).await.1["whole"], true, "{odd}");
    }
    rig.restart().await;
    let next = rig.get(&after(&all["cursor"])).await.1;
    assert_eq!((&next["whole"], of(&next)), (&json!(true), vec!["fast".to_owned(), "slow".to_owned()]));
}
