//! Accounts limited to some of the nodes: for each of them the others do not exist, in no document, event, header or
//! metric, and cannot be switched. Such an account is for a client that acts on the first system that it finds.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use plugfish::testing::account::Role;
use plugfish::testing::redfish::SITEMAP;
use plugfish::testing::sim::{MachineConfig, Model, Profile, Variant};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::crawl::{ask, check, uris};
use crate::program::{Daemon, configure, log, rack_of, until};
use crate::rig::{PASSWORD, Rig, klap, plug};
use crate::streams::Reader;

const SUBSCRIPTIONS: &str = "/redfish/v1/EventService/Subscriptions";

/// The account, and the one node that it sees: an outlet of a strip, whose other outlets are other nodes.
const TENANT: (&str, &str) = ("tenant", PASSWORD);
const OWN: &str = "strip.0";
const OTHERS: [&str; 4] = ["strip.1", "strip.2", "wombat", "quokka"];

/// Nodes of every kind, and a tenant with this role.
async fn rig(role: Role) -> Rig {
    let plugs = [plug("strip", Model::P300, Variant::KlapV2), klap("wombat")];
    let machine = MachineConfig::new("quokka", Profile::Amt16).quick();
    let mut rig = Rig::with_machines(plugs, [machine], |_| {}).await;
    rig.restart_with(TENANT.0, role, &[OWN]).await;
    rig.all_seen().await;
    rig
}

fn by(rig: &Rig, method: Method, path: &str) -> RequestBuilder {
    rig.client.request(method, rig.url(path)).basic_auth(TENANT.0, Some(TENANT.1))
}

async fn read(rig: &Rig, path: &str) -> (StatusCode, Value) {
    rig.send(by(rig, Method::GET, path)).await
}

/// What names a node that the tenant does not see.
fn leak(text: &str) -> Option<&'static str> {
    OTHERS.into_iter().find(|node| text.contains(node))
}

#[tokio::test]
async fn a_crawl_finds_one_rack_and_no_word_of_the_others() {
    for role in [Role::Administrator, Role::Operator, Role::ReadOnly] {
        let rig = rig(role).await;
        // Sessions and subscribers of others, which it must not find either.
        let login = json!({ "UserName": "admin", "Password": PASSWORD, "Context": "wombat" });
        let sessions = rig.request(Method::POST, "/redfish/v1/SessionService/Sessions").json(&login);
        let session = rig.send(sessions).await.1["@odata.id"].as_str().unwrap().to_owned();
        let hook = json!({ "Destination": "http://127.0.0.1:9/", "Protocol": "Redfish", "Context": "wombat" });
        let hook = rig.send(rig.request(Method::POST, SUBSCRIPTIONS).json(&hook)).await;
        let hook = hook.1["@odata.id"].as_str().unwrap().to_owned();
        // The bodies of others are in the kept ones of the workers.
        crate::crawl::crawl(&rig).await;

        let mut to_visit = BTreeSet::from(["/redfish/v1/".to_owned()]);
        let mut seen = BTreeSet::new();
        while let Some(uri) = to_visit.pop_first() {
            if uri.starts_with("POST ") || uri.contains('#') || !seen.insert(uri.clone()) {
                continue;
            }
            for query in ["", "?$expand=.", "?$expand=*($levels=4)"] {
                let answer = ask(&rig, Some(TENANT), "GET", &format!("{uri}{query}")).await;
                assert_eq!(answer.status(), StatusCode::OK, "{uri}{query}");
                let headers = format!("{:?}", answer.headers());
                let text = answer.text().await.unwrap();
                assert_eq!(leak(&headers).or(leak(&text)), None, "{uri}{query}: {headers} {text}");
                if query.is_empty() {
                    let body: Value = serde_json::from_str(&text).unwrap();
                    check(&uri, &body);
                    uris(&body, &mut to_visit);
                }
            }
        }
        for uri in ["/redfish/v1/Systems/strip.0", "/redfish/v1/Chassis/strip.0", "/redfish/v1/Managers/strip.0"] {
            assert!(seen.contains(uri), "{seen:?}");
        }
        for end in ["/Outlets/strip.0", "/FirmwareInventory/strip.0.Manager"] {
            assert!(seen.iter().any(|uri| uri.ends_with(end)), "{end} is not in {seen:?}");
        }
        for hidden in [&session, &hook, "/redfish/v1/AccountService/Accounts/admin"] {
            assert!(!seen.contains(hidden), "{hidden}");
            assert_eq!(read(&rig, hidden).await.0, StatusCode::NOT_FOUND, "{hidden}");
            assert_eq!(rig.get(hidden).await.0, StatusCode::OK, "{hidden}");
        }
    }
}

#[tokio::test]
async fn counts_and_the_only_member_are_those_of_its_rack() {
    let rig = rig(Role::Operator).await;
    for collection in ["Systems", "Managers", "Chassis"] {
        let uri = format!("/redfish/v1/{collection}");
        let own = json!([{ "@odata.id": format!("{uri}/{OWN}") }]);
        for (query, count, members) in [
            ("", 1, &own),
            ("?$filter=Id ne 'x'", 1, &own),
            ("?$filter=Id eq 'wombat'", 0, &json!([])),
            ("?$skip=1", 1, &json!([])),
            ("?$top=5", 1, &own),
        ] {
            let body = read(&rig, &format!("{uri}{query}")).await.1;
            assert_eq!((&body["Members@odata.count"], &body["Members"]), (&json!(count), members), "{uri}{query}");
            assert_eq!(body.get("Members@odata.nextLink"), None, "{uri}{query}");
        }
        assert_eq!(read(&rig, &format!("{uri}?only")).await.1["Id"], OWN);
        assert_eq!(rig.get(&uri).await.1["Members@odata.count"], 5, "for others all are there");
    }
    // A name of a system that a client can look for.
    assert_eq!(read(&rig, "/redfish/v1/Systems/strip.0").await.1["Name"], OWN);
}

/// Every URL with a node in it, with each method, as if the node were not there; and what concerns all nodes is refused.
#[tokio::test]
async fn nothing_of_another_node_is_there_to_be_read_or_switched() {
    let rig = rig(Role::Administrator).await;
    let fill = |path: &str, node: &str| path.replacen("{}", node, 1).replace("{}", "0");
    let mut tried = 0;
    for route in SITEMAP {
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            let Some(needs) = route.privilege(method) else { continue };
            let verb = Method::from_bytes(method.as_bytes()).unwrap();
            let of_node = [
                "/redfish/v1/Systems/{}",
                "/redfish/v1/Managers/{}",
                "/redfish/v1/Chassis/{}",
                "/status/{}",
                "/trace/{}",
                "/trust/{}",
            ]
            .iter()
            .any(|path| route.path.starts_with(path));
            if of_node {
                for node in OTHERS {
                    let path = fill(route.path, node);
                    // A body that would be taken of its own node.
                    let body = json!({ "ResetType": "ForceOff", "Boot": { "BootSourceOverrideTarget": "Pxe" } });
                    let (status, said) = rig.send(by(&rig, verb.clone(), &path).json(&body)).await;
                    let (absent, _) = rig.send(by(&rig, verb.clone(), &fill(route.path, "absent")).json(&body)).await;
                    assert_eq!(
                        (status, absent),
                        (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
                        "{method} {path}: {said}"
                    );
                    tried += 1;
                }
                continue;
            }
            let is_shared = matches!(needs.name(), "ConfigureManager" | "ConfigureUsers");
            let path = fill(route.path, "absent");
            let status = by(&rig, verb.clone(), &path).json(&json!({})).send().await.unwrap().status();
            assert_eq!(status == StatusCode::FORBIDDEN, is_shared, "{method} {path}: {status}");
        }
    }
    assert!(tried > 100, "{tried}");
    for node in OTHERS {
        assert_eq!(rig.power(node).await, "On", "{node}");
    }
    // Its own node is its own.
    let reset = "/redfish/v1/Systems/strip.0/Actions/ComputerSystem.Reset";
    let off = by(&rig, Method::POST, reset).json(&json!({ "ResetType": "ForceOff" }));
    assert_eq!(rig.send(off).await.0, StatusCode::NO_CONTENT);
    rig.until(10, || async { rig.power(OWN).await == "Off" }).await;
    let manager = by(&rig, Method::POST, "/redfish/v1/Managers/strip.0/Actions/Manager.Reset").json(&json!({}));
    assert_eq!(rig.send(manager).await.0, StatusCode::NO_CONTENT);
    let (status, trace) = read(&rig, "/trace/strip.0").await;
    assert_eq!((status, leak(&trace.to_string())), (StatusCode::OK, None));
}

#[tokio::test]
async fn the_status_the_page_and_the_metrics_are_those_of_its_nodes() {
    let rig = rig(Role::ReadOnly).await;
    for path in ["/status", "/status/strip.0", "/page/nodes"] {
        let text = by(&rig, Method::GET, path).send().await.unwrap().text().await.unwrap();
        assert!(text.contains(OWN) && leak(&text).is_none(), "{path}: {text}");
    }
    let page = read(&rig, "/page/nodes").await.1;
    assert_eq!((&page["total"], page["nodes"].as_array().unwrap().len()), (&json!(1), 1));
    let metrics = async |request: RequestBuilder| request.send().await.unwrap().text().await.unwrap();
    let own = metrics(by(&rig, Method::GET, "/metrics")).await;
    assert!(own.contains("plugfish_node_power_on{node=\"strip.0\"} 1") && leak(&own).is_none(), "{own}");
    assert!(own.contains("plugfish_redfish_sessions "), "the service's own are there");
    let everyone = metrics(rig.client.get(rig.url("/metrics"))).await;
    assert!(OTHERS.iter().all(|node| everyone.contains(&format!("plugfish_node_power_on{{node=\"{node}\"}}"))));
    let wrong = rig.client.get(rig.url("/metrics")).basic_auth(TENANT.0, Some("wrong"));
    assert_eq!(wrong.send().await.unwrap().status(), StatusCode::OK, "the page is for everyone");
}

#[tokio::test]
async fn events_are_those_of_its_nodes_also_after_a_restart() {
    let mut rig = rig(Role::Operator).await;
    let hook = |origins: Value| json!({ "Destination": "http://listener.invalid/", "Protocol": "Redfish", "OriginResources": origins });
    let of_other = hook(json!([{ "@odata.id": "/redfish/v1/Systems/wombat" }]));
    let (status, _) = rig.send(by(&rig, Method::POST, SUBSCRIPTIONS).json(&of_other)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, made) = rig.send(by(&rig, Method::POST, SUBSCRIPTIONS).json(&hook(json!([])))).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let own = json!([{ "@odata.id": made["@odata.id"] }]);
    assert_eq!(read(&rig, SUBSCRIPTIONS).await.1["Members"], own);
    let test = json!({ "Message": "of wombat", "MessageId": "ResourceEvent.1.4.TestMessage" });
    let submit = "/redfish/v1/EventService/Actions/EventService.SubmitTestEvent";
    for (other, to) in [("wombat", "ForceOff"), ("wombat", "On")] {
        let mut stream = Reader::open(by(&rig, Method::GET, "/redfish/v1/EventService/SSE")).await;
        assert_eq!(rig.send(rig.request(Method::POST, submit).json(&test)).await.0, StatusCode::NO_CONTENT);
        assert_eq!(rig.reset(other, to).await.0, StatusCode::NO_CONTENT);
        let power = if to == "On" { "On" } else { "Off" };
        rig.until(10, || async { rig.power(other).await == power }).await;
        assert_eq!(rig.reset(OWN, to).await.0, StatusCode::NO_CONTENT);
        loop {
            let (_, event) = stream.next().await.unwrap();
            assert_eq!(leak(&event.to_string()), None);
            assert!(event.to_string().contains(OWN), "{event}");
            if event.to_string().contains("CommandDone") {
                break;
            }
        }
        // What is replayed is no more than what was streamed.
        let again = by(&rig, Method::GET, "/redfish/v1/EventService/SSE").header("Last-Event-ID", "1");
        let (_, first) = Reader::open(again).await.next().await.unwrap();
        assert_eq!(leak(&first.to_string()), None, "{first}");
        rig.restart().await;
        rig.all_seen().await;
        assert_eq!(read(&rig, SUBSCRIPTIONS).await.1["Members"], own);
    }
}

#[tokio::test]
async fn it_changes_its_own_password_and_no_account() {
    let rig = rig(Role::Administrator).await;
    let accounts = "/redfish/v1/AccountService/Accounts";
    let own = json!([{ "@odata.id": format!("{accounts}/tenant") }]);
    assert_eq!(read(&rig, accounts).await.1["Members"], own);
    let new = json!({ "UserName": "more", "Password": "a long password", "RoleId": "ReadOnly" });
    assert_eq!(rig.send(by(&rig, Method::POST, accounts).json(&new)).await.0, StatusCode::FORBIDDEN);
    let patch = |name: &str, body: Value| by(&rig, Method::PATCH, &format!("{accounts}/{name}")).json(&body);
    assert_eq!(rig.send(patch("operator", json!({ "Enabled": false }))).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.send(patch("tenant", json!({ "Enabled": true }))).await.0, StatusCode::FORBIDDEN);
    assert_eq!(rig.send(patch("tenant", json!({ "Password": "another password" }))).await.0, StatusCode::OK);
    let answer = ask(&rig, Some(("tenant", "another password")), "GET", "/redfish/v1/Systems").await;
    assert_eq!(answer.json::<Value>().await.unwrap()["Members@odata.count"], 1, "the limit stays");
}

#[tokio::test]
async fn the_file_sets_and_ends_the_limit_while_the_program_runs() {
    let rack = rack_of([klap("n"), klap("wombat")]).await;
    let dir = configure(&rack);
    let file = dir.path().join("nodes.yaml");
    let plain = fs::read_to_string(&file).unwrap();
    let with = |nodes: &str| {
        let account = format!("accounts: [{{ username: tenant, password: secret, role: Operator{nodes} }}, {{");
        fs::write(&file, plain.replace("accounts: [{", &account)).unwrap();
    };
    with("");
    let daemon = Daemon::start(dir.path()).await;
    let status = async |node: &str| {
        let url = format!("{}/redfish/v1/Systems/{node}", daemon.url);
        daemon.client.get(url).basic_auth("tenant", Some("secret")).send().await.unwrap().status()
    };
    assert_eq!((status("n").await, status("wombat").await), (StatusCode::OK, StatusCode::OK));
    with(", nodes: [n]");
    until(10, "limited", async || status("wombat").await == StatusCode::NOT_FOUND).await;
    assert_eq!(status("n").await, StatusCode::OK);
    with(", nodes: [m]");
    until(10, "refused", async || log(dir.path()).contains("there is no node m in nodes")).await;
    assert_eq!(status("wombat").await, StatusCode::NOT_FOUND, "as it was");
    // The line of the account is taken out; the account is still there, and so is its limit, also after a restart.
    fs::write(&file, &plain).unwrap();
    until(10, "read again", async || daemon.text("/readyz").await == "ready\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await; // nothing must happen
    assert_eq!(status("wombat").await, StatusCode::NOT_FOUND);
    daemon.kill();
    let daemon = Daemon::start(dir.path()).await;
    let status = async |node: &str| {
        let url = format!("{}/redfish/v1/Systems/{node}", daemon.url);
        daemon.client.get(url).basic_auth("tenant", Some("secret")).send().await.unwrap().status()
    };
    assert_eq!((status("n").await, status("wombat").await), (StatusCode::OK, StatusCode::NOT_FOUND));
    with("");
    until(10, "open again", async || status("wombat").await == StatusCode::OK).await;
    daemon.kill();
}
