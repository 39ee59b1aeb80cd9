//! Sessions and streams of one account: they end with the session or the account that opened them, and take no
//! resources from other accounts.

use std::time::Duration;

use plugfish::testing::clock::Clock;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::events::Listener;
use crate::program::{self, Daemon, configure, rack};
use crate::rig::Rig;
use crate::streams::{Reader, submit};

const ACCOUNTS: &str = "/redfish/v1/AccountService/Accounts";
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
const STREAM: &str = "/redfish/v1/EventService/SSE";
const SUBSCRIPTIONS: &str = "/redfish/v1/EventService/Subscriptions";
const GOOD: &str = "a long enough password";

struct Login {
    token: String,
    uri: String,
}

async fn create(rig: &Rig, name: &str, role: &str) -> String {
    let body = json!({ "UserName": name, "Password": GOOD, "RoleId": role });
    let (status, body) = rig.send(rig.request(Method::POST, ACCOUNTS).json(&body)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    body["@odata.id"].as_str().unwrap().to_owned()
}

async fn log_in(rig: &Rig, name: &str) -> Login {
    let body = json!({ "UserName": name, "Password": GOOD });
    let answer = rig.client.post(rig.url(SESSIONS)).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    Login { token: header("x-auth-token"), uri: header("location") }
}

impl Login {
    fn request(&self, rig: &Rig, method: Method, path: &str) -> RequestBuilder {
        rig.client.request(method, rig.url(path)).header("X-Auth-Token", &self.token)
    }
}

fn basic(rig: &Rig, name: &str, method: Method, path: &str) -> RequestBuilder {
    rig.client.request(method, rig.url(path)).basic_auth(name, Some(GOOD))
}

#[tokio::test]
async fn a_stream_ends_with_the_access_of_its_reader() {
    let rig = Rig::settled([]).await;
    let patch = |uri: &str, body: Value| rig.send(rig.request(Method::PATCH, uri).json(&body));
    let mut bystander = Reader::open(rig.request(Method::GET, STREAM)).await;
    for (n, how) in ["logout", "ended", "disabled", "deleted", "password", "must change"].into_iter().enumerate() {
        let name = format!("reader{n}");
        let account = create(&rig, &name, "ReadOnly").await;
        let login = log_in(&rig, &name).await;
        let mut by_session = Reader::open(login.request(&rig, Method::GET, STREAM)).await;
        let mut by_basic = Reader::open(basic(&rig, &name, Method::GET, STREAM)).await;
        submit(&rig, how).await;
        assert_eq!((by_session.message().await, by_basic.message().await), (how.to_owned(), how.to_owned()));
        let done = match how {
            "logout" => rig.send(login.request(&rig, Method::DELETE, &login.uri)).await.0,
            "ended" => rig.send(rig.request(Method::DELETE, &login.uri)).await.0,
            "disabled" => patch(&account, json!({ "Enabled": false })).await.0,
            "deleted" => rig.send(rig.request(Method::DELETE, &account)).await.0,
            "password" => patch(&account, json!({ "Password": "another password" })).await.0,
            _ => patch(&account, json!({ "PasswordChangeRequired": true })).await.0,
        };
        assert!(done.is_success(), "{how}: {done}");
        // At once, before anything else happens.
        assert_eq!(by_session.next().await, None, "{how}");
        submit(&rig, "after it").await;
        match how {
            "logout" | "ended" => assert_eq!(by_basic.message().await, "after it", "it never had that session"),
            _ => assert_eq!(by_basic.next().await, None, "{how}"),
        }
        assert_eq!((bystander.message().await, bystander.message().await), (how.to_owned(), "after it".to_owned()));
    }
}

#[tokio::test]
async fn nothing_is_delivered_for_an_account_that_is_disabled_or_gone() {
    let mut rig = Rig::settled([]).await;
    // An Administrator, since it listens on this machine.
    let account = create(&rig, "listener", "Administrator").await;
    let mut listener = Listener::start(&[204]).await;
    let body = json!({ "Destination": listener.url, "Protocol": "Redfish" });
    let (status, shown) = rig.send(basic(&rig, "listener", Method::POST, SUBSCRIPTIONS).json(&body)).await;
    assert_eq!(status, StatusCode::CREATED, "{shown}");
    let uri = shown["@odata.id"].as_str().unwrap();
    submit(&rig, "one").await;
    assert_eq!(message(&mut listener).await, "one");

    let enable = async |on: bool| {
        let patch = rig.request(Method::PATCH, &account).json(&json!({ "Enabled": on }));
        assert_eq!(rig.send(patch).await.0, StatusCode::OK);
    };
    enable(false).await;
    submit(&rig, "for no one").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    enable(true).await;
    submit(&rig, "two").await;
    assert_eq!(message(&mut listener).await, "two");

    assert_eq!(rig.send(rig.request(Method::DELETE, &account)).await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.get(uri).await.0, StatusCode::NOT_FOUND);
    // Nor for another account with the same name, also after a restart.
    create(&rig, "listener", "Administrator").await;
    submit(&rig, "for no one").await;
    rig.restart().await;
    submit(&rig, "for no one").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(listener.heard.try_recv().is_err());
}

/// What listens on this machine, or tells a cloud's credentials, is not for an Operator to send requests to.
#[tokio::test]
async fn only_an_administrator_sends_events_to_this_machine() {
    let rig = Rig::settled([]).await;
    create(&rig, "switcher", "Operator").await;
    let account = create(&rig, "second", "Administrator").await;
    let mut listener = Listener::start(&[204]).await;
    let port = listener.url.split(':').nth(2).unwrap().to_owned();
    let subscribe = async |name: &str, destination: &str| {
        let headers = json!([{ "Authorization": "Bearer x" }]);
        let body = json!({ "Destination": destination, "Protocol": "Redfish", "HttpHeaders": headers });
        rig.send(basic(&rig, name, Method::POST, SUBSCRIPTIONS).json(&body)).await
    };
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0", "169.254.169.254", "localhost"] {
        let (status, body) = subscribe("switcher", &format!("http://{host}:{port}")).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{host}: {body}");
        assert!(body.to_string().contains("only an Administrator"), "{body}");
    }
    assert_eq!(subscribe("switcher", "http://192.0.2.1/").await.0, StatusCode::CREATED);
    // What an account may not do any more, its subscriptions do not either.
    assert_eq!(subscribe("second", &listener.url).await.0, StatusCode::CREATED);
    submit(&rig, "one").await;
    assert_eq!(message(&mut listener).await, "one");
    let patch = rig.request(Method::PATCH, &account).json(&json!({ "RoleId": "Operator" }));
    assert_eq!(rig.send(patch).await.0, StatusCode::OK);
    submit(&rig, "two").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(listener.heard.try_recv().is_err());
}

async fn message(listener: &mut Listener) -> String {
    let (_, event) = tokio::time::timeout(Duration::from_secs(10), listener.heard.recv()).await.unwrap().unwrap();
    event["Events"][0]["Message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_one_account_opens_takes_nothing_from_another() {
    let rig = Rig::settled([]).await;
    create(&rig, "greedy", "Operator").await;
    create(&rig, "second", "Administrator").await;
    let second = log_in(&rig, "second").await;
    let mut watching = Reader::open(second.request(&rig, Method::GET, STREAM)).await;

    let first = log_in(&rig, "greedy").await;
    let mut last = log_in(&rig, "greedy").await;
    for _ in 0..70 {
        last = log_in(&rig, "greedy").await;
    }
    let status = async |login: &Login| login.request(&rig, Method::GET, SESSIONS).send().await.unwrap().status();
    assert_eq!(status(&second).await, StatusCode::OK, "the session of another account");
    assert_eq!((status(&first).await, status(&last).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));

    let mut streams = Vec::new();
    for _ in 0..40 {
        streams.push(Reader::open(last.request(&rig, Method::GET, STREAM)).await);
    }
    submit(&rig, "hello").await;
    assert_eq!(watching.message().await, "hello");
    assert_eq!((streams[0].next().await, streams[39].message().await), (None, "hello".to_owned()));
    drop(Reader::open(second.request(&rig, Method::GET, STREAM)).await);

    let body = |n: usize| json!({ "Destination": format!("http://192.0.2.1/{n}"), "Protocol": "Redfish" });
    let mut statuses = Vec::new();
    for n in 0..40 {
        statuses.push(rig.send(last.request(&rig, Method::POST, SUBSCRIPTIONS).json(&body(n))).await.0);
    }
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::CREATED).count(), 32, "{statuses:?}");
    let other = rig.send(second.request(&rig, Method::POST, SUBSCRIPTIONS).json(&body(99))).await;
    assert_eq!(other.0, StatusCode::CREATED, "{}", other.1);
}

/// The line of a failed login, as it is in each format of the log, is one that fail2ban finds, and with the right address.
#[tokio::test]
async fn fail2ban_reads_the_line_of_a_failed_login() {
    let filter = include_str!("../../packaging/fail2ban/filter.conf");
    let (_, rules) = filter.split_once("failregex =").unwrap();
    let (rules, _) = rules.split_once("ignoreregex").unwrap();
    let rules: Vec<regex_lite::Regex> = rules
        .lines()
        .map(|rule| rule.trim().replace("<HOST>", r"(?P<host>[\w:.]+)"))
        .filter(|rule| !rule.is_empty())
        .map(|rule| regex_lite::Regex::new(&rule).unwrap())
        .collect();
    let hosts = |line: &str| -> Vec<String> {
        rules.iter().filter_map(|rule| Some(rule.captures(line)?["host"].to_owned())).collect()
    };
    // What a client chose must not be taken for an address.
    let forged = "\" login failed from 192.0.2.66 event=\"login_failed\" \"message\":\"login failed from 192.0.2.66\"";
    let rack = rack().await;
    for format in ["text", "json"] {
        let dir = configure(&rack);
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let program = std::process::Command::new(env!("CARGO_BIN_EXE_plugfish"))
            .args(["--log-format", format, "serve", "--config"])
            .arg(dir.path().join("nodes.yaml"))
            .stderr(log)
            .spawn()
            .unwrap();
        let daemon = Daemon::of(program, dir.path()).await;
        let wrong = async |name: &str, session: bool| {
            let body = json!({ "UserName": name, "Password": "wrong" });
            let request = match session {
                true => daemon.client.post(format!("{}{SESSIONS}", daemon.url)).json(&body),
                false => daemon.client.get(format!("{}{ACCOUNTS}", daemon.url)).basic_auth(name, Some("wrong")),
            };
            assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        };
        wrong("admin", true).await;
        wrong("admin", false).await;
        wrong(forged, true).await;
        daemon.log_in().await;
        let figures = daemon.text("/metrics").await;
        assert!(figures.contains("plugfish_logins_total{outcome=\"wrong\"} 3"), "{figures}");
        assert!(figures.contains("plugfish_logins_total{outcome=\"ok\"} 1"), "{figures}");
        daemon.kill();
        let log = program::log(dir.path());
        // fail2ban takes the time out of a line before it looks at the rest.
        let lines: Vec<String> =
            log.lines().map(|line| line.trim_start_matches(|c| c != ' ' && c != '{').into()).collect();
        let found: Vec<String> = lines.iter().flat_map(|line| hosts(line)).collect();
        assert_eq!(found, ["127.0.0.1"; 3], "{log}");
        assert!(!log.contains("192.0.2.66"), "a name that is not one of an account may be a password: {log}");
        assert!(log.contains("logged_in") && log.contains("(unknown)"), "{log}");
        if format == "json" {
            let message =
                |line: &String| serde_json::from_str::<Value>(line).ok()?["message"].as_str().map(str::to_owned);
            let failed = lines.iter().filter_map(message).find(|message| message.starts_with("login failed")).unwrap();
            assert_eq!(hosts(&format!("host plugfish[12]: {failed}")), ["127.0.0.1"], "as the journal has it");
        }
    }
}

/// A query that reads every node takes a core, and not the workers that answer others.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_over_all_nodes_slows_no_other_read() {
    const NODES: usize = 1500;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    // Nothing listens at these addresses; the nodes are shown all the same.
    let node = |n: usize| format!("  - {{ id: n{n}, tapo: {{ address: \"127.0.0.1:{}\", outlet: 0 }} }}\n", 10_000 + n);
    let nodes: String = (0..NODES).map(node).collect();
    let config = format!(
        "server: {{ listen: [\"127.0.0.1:{port}\"] }}\nstate_dir: state\n\
         accounts: [{{ username: admin, password: secret, role: Administrator }}]\n\
         defaults: {{ tapo: {{ username: a@example.com, password: x }}, poll_interval: 1h }}\nnodes:\n{nodes}"
    );
    std::fs::write(dir.path().join("nodes.yaml"), config).unwrap();
    std::fs::write(dir.path().join("port"), port.to_string()).unwrap();
    let daemon = Daemon::start(dir.path()).await;
    let clock = Clock::system();
    let terms: Vec<String> = (0..64).map(|n| format!("Status/State%20eq%20'x{n}'")).collect();
    let heavy = format!("{}/redfish/v1/Systems?$filter={}", daemon.url, terms.join("%20or%20"));
    let ask = |url: &str| daemon.client.get(url).basic_auth("admin", Some("secret")).send();
    let timed = async |url: &str| {
        let start = clock.now().mono;
        let answer = ask(url).await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.bytes().await.unwrap();
        clock.now().mono.since(start)
    };
    timed(&heavy).await;
    let alone = timed(&heavy).await;
    let flood: Vec<_> = (0..6)
        .map(|_| {
            let request = daemon.client.get(&heavy).basic_auth("admin", Some("secret"));
            tokio::spawn(async move {
                loop {
                    let _ = request.try_clone().unwrap().send().await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut reads = Vec::new();
    for n in 0..41 {
        reads.push(timed(&format!("{}/redfish/v1/Systems/n{n}", daemon.url)).await);
    }
    flood.into_iter().for_each(|client| client.abort());
    reads.sort();
    assert!(
        reads[20] < alone / 4,
        "half of all reads take more than {:?}, and the query alone takes {alone:?}",
        reads[20]
    );
    daemon.kill();
}
