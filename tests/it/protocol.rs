//! The protocol on the wire: header checks, queries, conditions, partial changes.

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::rig::{Rig, klap};
use crate::schemas;

const SYSTEM: &str = "/redfish/v1/Systems/a";

fn message(body: &Value) -> &str {
    body["error"]["@Message.ExtendedInfo"][0]["MessageId"].as_str().unwrap_or("").rsplit('.').next().unwrap()
}

async fn refused(rig: &Rig, request: RequestBuilder, status: u16, expect: &str) -> Value {
    let (got, body) = rig.send(request).await;
    assert_eq!((got.as_u16(), message(&body)), (status, expect), "{body}");
    assert_eq!(schemas::error_faults(&body), Vec::<String>::new(), "{body:#}");
    body
}

async fn query(rig: &Rig, path: &str) -> Value {
    let (status, body) = rig.get(path).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body
}

#[tokio::test]
async fn queries_choose_nodes_and_show_them_whole() {
    let rig = Rig::settled([klap("a"), klap("b"), klap("c")]).await;
    assert_eq!(rig.reset("b", "ForceOff").await.0, StatusCode::NO_CONTENT);
    rig.until(5, || async { rig.power("b").await == "Off" }).await;
    let off = query(&rig, "/redfish/v1/Systems?$filter=PowerState eq 'Off' and Status/State eq 'Enabled'").await;
    assert_eq!(off["Members"], json!([{ "@odata.id": "/redfish/v1/Systems/b" }]));
    let page = query(&rig, "/redfish/v1/Systems?$top=2&$expand=.&$select=Id,PowerState").await;
    assert_eq!(page["Members@odata.count"], 3);
    assert_eq!((&page["Members"][1]["Id"], &page["Members"][1]["PowerState"]), (&json!("b"), &json!("Off")));
    assert!(page["Members"][0].get("Boot").is_none());
    let rest = rig.get(page["Members@odata.nextLink"].as_str().unwrap()).await.1;
    assert_eq!((&rest["Members"][0]["Id"], rest["Members"].as_array().unwrap().len()), (&json!("c"), 1));
    assert!(rest.get("Members@odata.nextLink").is_none());

    let all = query(&rig, "/redfish/v1/?$expand=*($levels=3)").await;
    assert_eq!(all["Systems"]["Members"][0]["Processors"]["Members@odata.count"], 1);
    assert!(all["Links"]["Sessions"]["Members"].is_array());
    assert_eq!(all["Systems"]["Members"][0]["Links"]["Chassis"][0]["ChassisType"], "StandAlone");
    let near = query(&rig, "/redfish/v1/?$expand=.($levels=2)").await;
    for (part, uri) in [("/Systems/Members/0", SYSTEM), ("/Chassis/Members/2", "/redfish/v1/Chassis/c")] {
        assert_eq!(*near.pointer(part).unwrap(), rig.get(uri).await.1);
    }
    let features = &all["ProtocolFeaturesSupported"];
    assert_eq!((&features["ExcerptQuery"], &features["ExpandQuery"]["MaxLevels"]), (&json!(false), &json!(4)));

    let head = rig.request(Method::HEAD, "/redfish/v1/Systems?$top=1").send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    let one = query(&rig, "/redfish/v1/Systems/a/Processors?only").await;
    assert_eq!(one["@odata.id"], "/redfish/v1/Systems/a/Processors/0");
}

#[tokio::test]
async fn an_open_document_opens_no_other() {
    let rig = Rig::settled([klap("a")]).await;
    let url = format!("http://{}/redfish/v1/?$expand=*($levels=4)", rig.address);
    let expand = |request: RequestBuilder| async {
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    for request in [rig.client.get(&url), rig.client.get(&url).basic_auth("admin", Some("wrong"))] {
        let (status, body) = expand(request).await;
        assert_eq!((status, &body["Systems"]), (StatusCode::OK, &json!({ "@odata.id": "/redfish/v1/Systems" })));
    }
    let looker = rig.client.get(&url).basic_auth("looker", Some("looks only"));
    assert_eq!(expand(looker).await.1["Systems"]["Members"][0]["Id"], "a");
}

#[tokio::test]
async fn queries_that_cannot_be_answered_are_refused_by_kind() {
    let rig = Rig::settled([klap("a")]).await;
    for (path, status, expect) in [
        ("/redfish/v1/Systems?$count=true", 501, "QueryParameterUnsupported"),
        ("/redfish/v1/?$apply=x", 501, "QueryParameterUnsupported"),
        ("/redfish/v1/Systems?$filter=Name", 400, "QueryParameterValueFormatError"),
        ("/redfish/v1/Systems?$filter=%zz", 400, "QueryParameterValueFormatError"),
        ("/redfish/v1/Systems?$select=%ff%fe", 400, "QueryParameterValueFormatError"),
        ("/redfish/v1/Systems?$top=-1", 400, "QueryParameterOutOfRange"),
        ("/redfish/v1/Systems?$expand=.($levels=9)", 400, "QueryParameterOutOfRange"),
        ("/redfish/v1/Systems?$top=one", 400, "QueryParameterValueTypeError"),
        ("/redfish/v1/Systems?only&$expand=.", 400, "QueryCombinationInvalid"),
        ("/redfish/v1/Systems/a?$filter=Id%20eq%20'a'", 400, "QueryNotSupportedOnResource"),
        ("/redfish/v1/SessionService?only", 400, "QueryNotSupportedOnResource"),
        ("/redfish/v1/$metadata?$select=Name", 400, "QueryNotSupportedOnResource"),
        ("/redfish/v1/odata?$expand=.", 400, "QueryNotSupportedOnResource"),
    ] {
        refused(&rig, rig.request(Method::GET, path), status, expect).await;
    }
    let patch = rig.request(Method::PATCH, &format!("{SYSTEM}?$select=Name")).json(&json!({ "Boot": {} }));
    refused(&rig, patch, 400, "QueryNotSupportedOnOperation").await;
    refused(&rig, rig.request(Method::GET, "/redfish/v1/Systems?%zz=1"), 400, "QueryParameterValueFormatError").await;
    for harmless in ["?x=1", "?excerpt", "?", "?&&=&", "?name=%zz"] {
        let body = query(&rig, &format!("/redfish/v1/Systems{harmless}")).await;
        assert_eq!(body["Members@odata.count"], 1, "{harmless}");
    }
}

#[tokio::test]
async fn headers_that_are_not_understood_are_refused_by_kind() {
    let rig = Rig::settled([klap("a")]).await;
    let get = |path: &str, name: &'static str, value: &str| rig.request(Method::GET, path).header(name, value);
    for accept in [
        "*/*",
        "application/*",
        "application/json",
        "Application/JSON;charset=utf-8",
        "application/json;odata.metadata=minimal",
        "text/html, application/xhtml+xml, */*;q=0.8",
    ] {
        assert_eq!(rig.send(get(SYSTEM, "Accept", accept)).await.0, StatusCode::OK, "{accept}");
    }
    for accept in ["text/html", "application/xml", "application/json;q=0", "image/*", "", "nonsense"] {
        refused(&rig, get(SYSTEM, "Accept", accept), 406, "HeaderInvalid").await;
    }
    let metadata = "/redfish/v1/$metadata";
    for (accept, status) in [
        ("application/xml", 200),
        ("application/xml;charset=utf-8", 200),
        ("application/*", 200),
        ("application/json", 406),
    ] {
        assert_eq!(get(metadata, "Accept", accept).send().await.unwrap().status().as_u16(), status, "{accept}");
    }
    let two = HeaderMap::from_iter([(reqwest::header::ACCEPT, HeaderValue::from_static("text/html"))]);
    let two = rig.request(Method::GET, SYSTEM).header("Accept", "application/json").headers(two);
    refused(&rig, two, 406, "HeaderInvalid").await;

    refused(&rig, get(SYSTEM, "OData-Version", "4.1"), 412, "HeaderInvalid").await;
    assert_eq!(rig.send(get(SYSTEM, "OData-Version", "4.0")).await.0, StatusCode::OK);
    assert_eq!(rig.send(get(SYSTEM, "OData-MaxVersion", "3.0")).await.0, StatusCode::OK);
    let text = rig.request(Method::PATCH, SYSTEM).header("Content-Type", "text/plain").body("{\"Boot\":{}}");
    refused(&rig, text, 415, "HeaderInvalid").await;
    for (method, status) in [("PUT", 405), ("OPTIONS", 405), ("TRACE", 405), ("PROPFIND", 501), ("get", 501)] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = rig.request(method.clone(), SYSTEM).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["allow"]),
            (status, &HeaderValue::from_static("GET, HEAD, PATCH")),
            "{method}"
        );
    }
    // Who asks is judged before what else the head says.
    let stranger = rig.client.get(format!("http://{}{SYSTEM}", rig.address));
    let stranger = stranger.header("OData-Version", "4.1").header("Accept", "text/html").header("If-None-Match", "*");
    assert_eq!(stranger.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_a_client_has_already_is_not_sent_again_unless_it_may_have_changed() {
    let rig = Rig::settled([klap("a")]).await;
    let answer = |path: &'static str, tag: String| {
        let request = rig.request(Method::GET, path).header("If-None-Match", tag);
        async { request.send().await.unwrap() }
    };
    for path in ["/redfish/v1/SessionService", "/redfish/v1/Systems", "/redfish/v1/Chassis/a", "/redfish/v1/"] {
        let first = answer(path, "\"never\"".into()).await;
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        for tags in [tag.clone(), format!("\"x\", {tag}"), format!("W/{tag}"), "*".into()] {
            let known = answer(path, tags).await;
            assert_eq!(
                (known.status(), known.headers()["etag"].to_str().unwrap()),
                (StatusCode::NOT_MODIFIED, tag.as_str())
            );
            assert!(known.headers().contains_key("cache-control") && known.text().await.unwrap().is_empty());
        }
        assert_eq!(answer(path, tag.replace('"', "")).await.status(), StatusCode::OK);
    }
    // The ETag of a System says nothing of its power, so that it is always sent.
    let tag = rig.system("a").await["@odata.etag"].as_str().unwrap().to_owned();
    assert_eq!(rig.reset("a", "ForceOff").await.0, StatusCode::NO_CONTENT);
    rig.until(5, || async { rig.power("a").await == "Off" }).await;
    let now = answer(SYSTEM, tag.clone()).await;
    assert_eq!((now.status(), now.headers()["etag"].to_str().unwrap()), (StatusCode::OK, tag.as_str()));
    assert_eq!(now.json::<Value>().await.unwrap()["PowerState"], "Off");
}

#[tokio::test]
async fn of_changes_under_one_condition_exactly_one_is_made() {
    let rig = Rig::settled([klap("a")]).await;
    for round in 0..5 {
        let tag = rig.system("a").await["@odata.etag"].as_str().unwrap().to_owned();
        let patch = |target: &str| {
            let body = json!({ "Boot": { "BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": "Once" } });
            rig.send(rig.request(Method::PATCH, SYSTEM).header("If-Match", &tag).json(&body))
        };
        let targets = ["Pxe", "Hdd", "None", "Pxe"];
        let answers = tokio::join!(patch(targets[0]), patch(targets[1]), patch(targets[2]), patch(targets[3]));
        let statuses = [answers.0.0, answers.1.0, answers.2.0, answers.3.0];
        let won: Vec<usize> = (0..4).filter(|index| statuses[*index] == StatusCode::OK).collect();
        let lost = statuses.iter().filter(|status| **status == StatusCode::PRECONDITION_FAILED).count();
        assert_eq!((won.len(), lost), (1, 3), "round {round}: {statuses:?}");
        assert_eq!(rig.system("a").await["Boot"]["BootSourceOverrideTarget"], targets[won[0]]);
    }
    let stale = rig.request(Method::PATCH, SYSTEM).header("If-Match", "\"never\"").json(&json!({ "Odd": 1 }));
    refused(&rig, stale, 412, "PreconditionFailed").await;
}

#[tokio::test]
async fn a_patch_does_what_it_can_and_says_what_it_cannot() {
    let rig = Rig::settled([klap("a")]).await;
    let patch = |body: Value| rig.request(Method::PATCH, SYSTEM).json(&body);
    let mixed = json!({ "Boot": { "BootSourceOverrideTarget": "Pxe", "Odd": 1 }, "PowerState": "Off" });
    let (status, body) = rig.send(patch(mixed)).await;
    assert_eq!((status, &body["Boot"]["BootSourceOverrideTarget"]), (StatusCode::OK, &json!("Pxe")), "{body}");
    let remarks = body["@Message.ExtendedInfo"].as_array().unwrap();
    let said = |index: usize| (remarks[index]["MessageId"].as_str().unwrap(), &remarks[index]["RelatedProperties"]);
    assert_eq!(said(0), ("Base.1.22.PropertyUnknown", &json!(["#/Boot/Odd"])));
    assert_eq!(said(1), ("Base.1.22.PropertyNotWritable", &json!(["#/PowerState"])));
    assert_eq!(schemas::faults(&body), Vec::<String>::new(), "{body:#}");
    assert!(rig.system("a").await.get("@Message.ExtendedInfo").is_none());
    assert_eq!(rig.power("a").await, "On");

    let half = json!({ "Boot": { "BootSourceOverrideEnabled": "Continuous", "BootSourceOverrideTarget": "Floppy" } });
    refused(&rig, patch(half), 400, "PropertyValueNotInList").await;
    assert_eq!(
        rig.system("a").await["Boot"]["BootSourceOverrideEnabled"],
        "Disabled",
        "a wrong value stops everything"
    );
}

/// What is answered to a request that is sent as it stands, which no client library would do: status, headers, body.
async fn raw(rig: &Rig, line: &str) -> (u16, String, String) {
    use base64::Engine;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let login = base64::prelude::BASE64_STANDARD.encode("admin:correct horse");
    let mut stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let head = format!("{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn a_path_means_the_same_however_it_is_spelled() {
    let rig = Rig::settled([klap("a")]).await;
    for path in [
        "//redfish/v1/Systems/a",
        "/redfish//v1///Systems//a/",
        "/redfish/v1/%53ystems/%61",
        "//redfish/v1/Systems/a?x=1",
    ] {
        let (status, _, body) = raw(&rig, &format!("GET {path}")).await;
        assert_eq!(status, 200, "{path}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["@odata.id"], SYSTEM, "{path}");
    }
    for path in ["//redfish/v1/Systems?$select=Name", "/redfish/v1/%24metadata", "//metrics", "//"] {
        assert_eq!(raw(&rig, &format!("GET {path}")).await.0, 200, "{path}");
    }
    for path in [
        "/redfish/v1%2FSystems/a",
        "/redfish/v1/Systems%2fa",
        "/redfish/v1/%2553ystems/a",
        "/redfish/v1/Systems/a%00",
        "/redfish/v1/Systems/../Systems/a",
        "/redfish/v1/Chassis/%2e%2e/Systems/a",
        "/redfish/v1/Systems/a%2F..%2Fa",
    ] {
        let (status, _, body) = raw(&rig, &format!("GET {path}")).await;
        assert!(matches!(status, 400 | 404), "{path}: {status} {body}");
    }
    let (status, head, _) = raw(&rig, "POST //redfish/v1/%53ystems/a").await;
    assert!(status == 405 && head.contains("\r\nallow: get, head, patch"), "{head}");
    // Who may do what does not depend on the spelling either.
    let url = format!("http://{}//redfish/v1/Systems/a/Actions/ComputerSystem%2EReset", rig.address);
    let looker =
        rig.client.post(url).basic_auth("looker", Some("looks only")).json(&json!({ "ResetType": "ForceOff" }));
    assert_eq!(looker.send().await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn tags_that_a_proxy_has_changed_are_known() {
    let rig = Rig::settled([klap("a")]).await;
    let tag = |body: &Value| body["@odata.etag"].as_str().unwrap().trim_matches('"').to_owned();
    let patch = |tag: String| {
        let request = rig.request(Method::PATCH, SYSTEM).header("If-Match", tag);
        request.json(&json!({ "Boot": { "BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once" } }))
    };
    for form in ["W/\"TAG\"", "\"TAG-gzip\"", "W/\"TAG-br\"", "\"nothing\", W/\"TAG\""] {
        let now = tag(&rig.system("a").await);
        refused(&rig, patch(form.replace("TAG", &format!("1{now}"))), 412, "PreconditionFailed").await;
        let (status, body) = rig.send(patch(form.replace("TAG", &now))).await;
        assert!(status.is_success(), "{form}: {body}");
    }
    let chassis = rig.request(Method::GET, "/redfish/v1/Systems").send().await.unwrap();
    let etag = chassis.headers()["etag"].to_str().unwrap().trim_matches('"').to_owned();
    for form in ["W/\"TAG\"", "\"TAG-gzip\"", "\"x\", W/\"TAG--gzip\""] {
        let again = rig.request(Method::GET, "/redfish/v1/Systems").header("If-None-Match", form.replace("TAG", &etag));
        assert_eq!(again.send().await.unwrap().status(), StatusCode::NOT_MODIFIED, "{form}");
    }
}

#[tokio::test]
async fn large_answers_are_compressed_for_whoever_asks() {
    use std::io::Read;
    let rig = Rig::settled([klap("a")]).await;
    let all = "/redfish/v1/?$expand=*($levels=4)";
    let get = |path: &str, asked: &str| rig.request(Method::GET, path).header("Accept-Encoding", asked).send();
    let plain = get(all, "identity").await.unwrap();
    assert!(plain.headers().get("content-encoding").is_none() && plain.headers()["vary"] == "Accept-Encoding");
    let packed = get(all, "gzip, br").await.unwrap();
    assert!(packed.headers()["content-encoding"] == "gzip" && packed.headers()["vary"] == "Accept-Encoding");
    let (plain, packed) = (plain.bytes().await.unwrap(), packed.bytes().await.unwrap());
    let mut whole = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut whole).unwrap();
    let shape = |text: &str| serde_json::from_str::<Value>(text).unwrap()["Systems"]["Members"][0]["Id"].clone();
    assert_eq!(shape(&whole), shape(std::str::from_utf8(&plain).unwrap()));
    assert!(packed.len() * 4 < plain.len(), "{} of {}", packed.len(), plain.len());
    let files = rig.get("/redfish/v1/Registries").await.1;
    let file = rig.get(files["Members"][0]["@odata.id"].as_str().unwrap()).await.1;
    let registry = file["Location"][0]["Uri"].as_str().unwrap().to_owned();
    let first = get(&registry, "gzip").await.unwrap();
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert!(etag.ends_with("-gzip\""), "{etag}");
    let again = rig.request(Method::GET, &registry).header("If-None-Match", etag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    let small = get(SYSTEM, "gzip").await.unwrap();
    assert!(small.headers().get("content-encoding").is_none() && small.headers().get("vary").is_none());
    let stream = get("/redfish/v1/EventService/SSE", "gzip").await.unwrap();
    assert!(stream.headers().get("content-encoding").is_none());
}

#[tokio::test]
async fn a_body_in_another_encoding_is_refused_by_name() {
    let rig = Rig::settled([klap("a")]).await;
    let patch = |encoding: &str| {
        let request = rig.request(Method::PATCH, SYSTEM).header("Content-Encoding", encoding);
        request.header("Content-Type", "application/json").body("{\"Boot\":{}}")
    };
    let body = refused(&rig, patch("gzip"), 415, "HeaderInvalid").await;
    assert!(body.to_string().contains("without Content-Encoding"), "{body}");
    refused(&rig, patch("identity"), 400, "NoOperation").await;
}
