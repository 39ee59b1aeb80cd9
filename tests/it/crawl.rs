//! Every link, with every role: required properties of each resource, the methods in `Allow`, and DMTF's schema of each
//! body.

use std::collections::{BTreeMap, BTreeSet};

use plugfish::testing::sim::{Model, Variant};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::rig::{PASSWORD, Rig, USER, klap, plug};
use crate::schemas;

const ADMIN: (&str, &str) = (USER, PASSWORD);
const OPERATOR: (&str, &str) = ("operator", "switches");
const LOOKER: (&str, &str) = ("looker", "looks only");

/// What everyone may read (DSP0266, "Authentication").
const OPEN: [&str; 5] = ["/redfish", "/redfish/v1", "/redfish/v1/", "/redfish/v1/odata", "/redfish/v1/$metadata"];

/// What only administrators see: the accounts and sessions of others, and certificates (DMTF's privilege registry). The
/// only session here is one of an administrator.
fn is_hidden(uri: &str, who: &str) -> bool {
    let account = uri.strip_prefix("/redfish/v1/AccountService/Accounts/");
    account.is_some_and(|account| account != who)
        || uri.starts_with("/redfish/v1/SessionService/Sessions/")
        || uri.contains("/Certificates/")
}

pub async fn ask(rig: &Rig, who: Option<(&str, &str)>, method: &str, path: &str) -> Response {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = rig.client.request(method.clone(), format!("http://{}{path}", rig.address));
    if let Some((name, password)) = who {
        request = request.basic_auth(name, Some(password));
    }
    if matches!(method, Method::POST | Method::PATCH | Method::PUT) {
        // No resource and no action takes this, so that nothing happens.
        request = request.json(&json!({ "Nothing": 1 }));
    }
    request.send().await.unwrap()
}

/// Every URI that a body names.
pub fn uris(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match (name.as_str(), value.as_str()) {
                    ("target", Some(uri)) => drop(found.insert(format!("POST {uri}"))),
                    ("@odata.id" | "Members@odata.nextLink" | "@Redfish.ActionInfo", Some(uri)) => {
                        found.insert(uri.to_owned());
                    }
                    _ => uris(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| uris(item, found)),
        _ => {}
    }
}

/// What holds for every resource.
pub fn check(uri: &str, body: &Value) {
    assert_eq!(body["@odata.id"].as_str(), uri.split('?').next(), "{body}");
    assert!(body["Name"].as_str().is_some_and(|name| !name.is_empty()), "{uri}");
    match body.get("Members").and_then(Value::as_array) {
        Some(members) => {
            let is_page = uri.contains('?') || body.get("Members@odata.nextLink").is_some();
            let (count, shown) = (body["Members@odata.count"].as_u64().unwrap(), members.len() as u64);
            assert!(count == shown || is_page && count > shown, "{uri}: {count} and {shown}");
        }
        None if uri == "/redfish/v1/" => assert_eq!(body["Id"], "RootService"),
        None => assert_eq!(body["Id"].as_str(), uri.rsplit('/').next(), "{uri}"),
    }
    // A reference to a resource is a link to the schemas; members that are whole are looked at one by one.
    let mut body = body.clone();
    for member in body.get_mut("Members").and_then(Value::as_array_mut).into_iter().flatten() {
        if member.as_object().is_some_and(|member| member.len() > 1) {
            assert_eq!(schemas::faults(member), Vec::<String>::new(), "{uri}: {member:#}");
            *member = json!({ "@odata.id": member["@odata.id"] });
        }
    }
    assert_eq!(schemas::faults(&body), Vec::<String>::new(), "{uri}: {body:#}");
}

fn allowed(answer: &Response) -> BTreeSet<String> {
    let allow = answer.headers()["allow"].to_str().unwrap();
    allow.split(", ").map(Into::into).collect()
}

/// Follows every link from the root; all URIs, with what `Allow` says of each. Actions have `POST` before them.
async fn walk(rig: &Rig, who: (&str, &str)) -> BTreeMap<String, BTreeSet<String>> {
    let mut to_visit: BTreeSet<String> = BTreeSet::from(["/redfish/v1/".to_owned()]);
    let mut seen = BTreeMap::new();
    while let Some(uri) = to_visit.pop_first() {
        if seen.contains_key(&uri) || uri.contains('#') {
            continue;
        }
        if uri.starts_with("POST ") {
            seen.insert(uri, BTreeSet::from(["POST".to_owned()]));
            continue;
        }
        let answer = ask(rig, Some(who), "GET", &uri).await;
        if who != ADMIN && is_hidden(&uri, who.0) {
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{uri} for {}", who.0);
            continue;
        }
        assert_eq!(answer.status(), StatusCode::OK, "{uri} for {}", who.0);
        for header in ["odata-version", "cache-control", "allow", "link", "content-type", "etag"] {
            assert!(answer.headers().contains_key(header), "{uri} has no {header}");
        }
        let head = ask(rig, Some(who), "HEAD", &uri).await;
        assert_eq!((head.status(), &head.headers()["link"]), (StatusCode::OK, &answer.headers()["link"]), "{uri}");
        assert_eq!(head.headers()["content-type"], "application/json", "{uri}");
        seen.insert(uri.clone(), allowed(&answer));
        let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "{uri}: {etag}");
        let body: Value = answer.json().await.unwrap();
        assert!(body.get("@odata.etag").is_none_or(|property| *property == etag), "{uri}: {etag}");
        assert!(head.text().await.unwrap().is_empty(), "{uri}");
        check(&uri, &body);
        uris(&body, &mut to_visit);
    }
    seen
}

/// Follows every link from the root as an administrator.
pub async fn crawl(rig: &Rig) -> BTreeSet<String> {
    walk(rig, ADMIN).await.into_keys().collect()
}

async fn rig() -> Rig {
    let rig = Rig::settled([klap("metered"), plug("plain", Model::P100, Variant::Tpap)]).await;
    let login = json!({ "UserName": USER, "Password": PASSWORD });
    let sessions = rig.request(Method::POST, "/redfish/v1/SessionService/Sessions").json(&login);
    assert_eq!(rig.send(sessions).await.0, StatusCode::CREATED);
    rig
}

#[tokio::test]
async fn every_link_leads_somewhere_and_every_resource_is_whole_for_every_role() {
    let rig = rig().await;
    let all = crawl(&rig).await;
    assert!(all.len() > 25, "{all:?}");
    for who in [OPERATOR, LOOKER] {
        let seen: BTreeSet<String> = walk(&rig, who).await.into_keys().collect();
        let expect: BTreeSet<String> = all.iter().filter(|uri| !is_hidden(uri, who.0)).cloned().collect();
        let differ: Vec<&String> = seen.symmetric_difference(&expect).collect();
        assert!(differ.is_empty(), "{}: {differ:?}", who.0);
    }
}

#[tokio::test]
async fn without_a_login_there_is_nothing_but_what_is_open() {
    let rig = rig().await;
    for open in OPEN {
        assert_eq!(ask(&rig, None, "GET", open).await.status(), StatusCode::OK, "{open}");
        assert_eq!(ask(&rig, None, "HEAD", open).await.status(), StatusCode::OK, "{open}");
    }
    for uri in crawl(&rig).await.iter().map(|uri| uri.trim_start_matches("POST ")) {
        for method in ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"] {
            let is_open = matches!(method, "GET" | "HEAD") && OPEN.contains(&uri);
            let is_login = method == "POST" && uri == "/redfish/v1/SessionService/Sessions";
            if is_open || is_login {
                continue;
            }
            let answer = ask(&rig, None, method, uri).await;
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {uri}");
            assert!(answer.headers().contains_key("www-authenticate"), "{method} {uri}");
        }
    }
    assert_eq!(ask(&rig, None, "GET", "/redfish/v1/Nothing").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn allow_says_what_works_and_nothing_else() {
    let rig = rig().await;
    for (uri, allow) in walk(&rig, ADMIN).await {
        let uri = uri.trim_start_matches("POST ");
        for method in ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"] {
            // No one is hurt by what one may not do.
            let who = if method == "DELETE" { LOOKER } else { ADMIN };
            let answer = ask(&rig, Some(who), method, uri).await;
            let status = answer.status();
            if !allow.contains(method) {
                assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {uri}");
                assert_eq!(allowed(&answer), allow, "{method} {uri}");
                continue;
            }
            let expect = match method {
                "GET" | "HEAD" => StatusCode::OK,
                "DELETE" => StatusCode::FORBIDDEN,
                _ => StatusCode::BAD_REQUEST,
            };
            assert_eq!(status, expect, "{method} {uri}");
            if expect.is_client_error() {
                let body: Value = answer.json().await.unwrap();
                assert_eq!(schemas::error_faults(&body), Vec::<String>::new(), "{method} {uri}: {body:#}");
            }
            let is_login = uri == "/redfish/v1/SessionService/Sessions";
            if matches!(method, "POST" | "PATCH") && !is_login {
                let is_own = uri == "/redfish/v1/AccountService/Accounts/looker";
                let looked = ask(&rig, Some(LOOKER), method, uri).await.status();
                assert_eq!(looked == StatusCode::FORBIDDEN, !is_own, "{method} {uri}: {looked}");
            }
        }
    }
}
