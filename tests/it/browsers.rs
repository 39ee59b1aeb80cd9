//! Requests of browsers for pages of other sites are refused, those of programs are not, and addresses from proxies are
//! used: on the real program.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::program::{Daemon, configure, log, rack, until};

const RESET: &str = "/redfish/v1/Systems/n/Actions/ComputerSystem.Reset";

/// A daemon whose `server` section has these keys as well, on one plug that is on.
async fn daemon(rack: &plugfish::testing::sim::Rack, keys: &str) -> (Daemon, tempfile::TempDir) {
    let dir = configure(rack);
    let file = dir.path().join("nodes.yaml");
    let text = std::fs::read_to_string(&file).unwrap().replace("server: {", &format!("server: {{ {keys}"));
    std::fs::write(&file, text).unwrap();
    let daemon = Daemon::start(dir.path()).await;
    until(10, "first contact", async || daemon.system().await["PowerState"] == "On").await;
    (daemon, dir)
}

/// The status and the advice of the answer to a request with these headers, which may contradict each other.
async fn send(daemon: &Daemon, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut request = daemon.client.request(method, format!("{}{path}", daemon.url)).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    let advice = &body["error"]["@Message.ExtendedInfo"][0]["Resolution"];
    (status, advice.as_str().unwrap_or("").to_owned())
}

const BASIC: (&str, &str) = ("authorization", "Basic YWRtaW46c2VjcmV0");
const JSON: (&str, &str) = ("content-type", "application/json");
const FOREIGN: (&str, &str) = ("origin", "http://evil.example");
const CROSS: (&str, &str) = ("sec-fetch-site", "cross-site");

#[tokio::test]
async fn a_page_of_another_site_switches_nothing_and_reads_nothing() {
    let rack = rack().await;
    let (daemon, dir) = daemon(&rack, "auth: none,").await;
    let off = "{\"ResetType\":\"ForceOff\"}";
    for foreign in [FOREIGN, ("origin", "null"), CROSS, ("sec-fetch-site", "same-site")] {
        for body in ["", off] {
            for kind in [&[foreign][..], &[foreign, JSON][..], &[foreign, ("content-type", "text/plain")][..]] {
                let (status, advice) = send(&daemon, Method::POST, RESET, kind, body).await;
                assert_eq!(status, 403, "{kind:?} {body}");
                assert!(advice.contains("a page of another site"), "{advice}");
            }
        }
        for path in ["/redfish/v1/EventService/SSE", "/page/nodes", "/status", "/redfish/v1/Systems/n", "/"] {
            assert_eq!(send(&daemon, Method::GET, path, &[foreign], "").await.0, 403, "{path}");
        }
    }
    let link = [CROSS, ("sec-fetch-mode", "navigate")];
    assert_eq!(send(&daemon, Method::GET, "/", &link, "").await.0, 200, "a link to the page works");
    assert_eq!(send(&daemon, Method::GET, "/healthz", &[CROSS], "").await.0, 200);
    assert_eq!(rack.plugs()[0].relay(1), Some(true), "{}", log(dir.path()));
    // Its own page, and a browser that calls a form JSON only when it asks for it.
    let own = ("sec-fetch-site", "same-origin");
    for (kind, status) in
        [(&[own][..], 415), (&[own, ("content-type", "text/plain")][..], 415), (&[own, JSON][..], 204)]
    {
        assert_eq!(send(&daemon, Method::POST, RESET, kind, off).await.0, status, "{kind:?}");
    }
    until(10, "off", async || rack.plugs()[0].relay(1) == Some(false)).await;
    daemon.kill();
}

#[tokio::test]
async fn kept_credentials_do_not_work_for_a_foreign_page_and_programs_are_not_concerned() {
    let rack = rack().await;
    let (daemon, _dir) = daemon(&rack, "").await;
    let reset = "/redfish/v1/Managers/n/Actions/Manager.Reset";
    assert_eq!(send(&daemon, Method::POST, reset, &[BASIC, FOREIGN], "").await.0, 403);
    assert_eq!(send(&daemon, Method::POST, reset, &[BASIC, CROSS, JSON], "{}").await.0, 403);
    // curl -X POST, curl -d '', clients that send an empty text.
    for kind in [&[BASIC][..], &[BASIC, ("content-type", "application/x-www-form-urlencoded")][..], &[BASIC, JSON][..]]
    {
        assert_ne!(send(&daemon, Method::POST, reset, kind, "").await.0, 415, "{kind:?}");
    }
    assert_eq!(send(&daemon, Method::POST, RESET, &[BASIC], "{\"ResetType\":\"On\"}").await.0, 204, "no type at all");
    // Another program's client in a browser, with a token of its own login, may read.
    let token = daemon.log_in().await;
    let read =
        async |headers: &[(&str, &str)]| send(&daemon, Method::GET, "/redfish/v1/Systems/n", headers, "").await.0;
    assert_eq!(read(&[FOREIGN, ("x-auth-token", &token)]).await, 200);
    assert_eq!(read(&[FOREIGN, BASIC]).await, 403);
    daemon.kill();
}

#[tokio::test]
async fn without_a_login_only_names_that_are_known_lead_here() {
    let rack = rack().await;
    let (daemon, _dir) = daemon(&rack, "auth: none, host_names: [bmc.example],").await;
    let port = daemon.url.rsplit(':').next().unwrap().to_owned();
    let get = async |host: &str, path: &str| {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
        let host = if host.is_empty() { String::new() } else { format!("Host: {host}\r\n") };
        stream.write_all(format!("GET {path} HTTP/1.1\r\n{host}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap(), answer)
    };
    for known in ["127.0.0.1", "localhost", "[::1]", "bmc.example", "BMC.example."] {
        for host in [known.to_owned(), format!("{known}:{port}")] {
            assert_eq!(get(&host, "/redfish/v1/Systems/n").await.0, 200, "{host}");
        }
    }
    for other in ["evil.example", "bmc.example.evil", "localhost.evil.example:8000"] {
        for path in ["/redfish/v1/", "/redfish/v1/Systems/n", "/", "/page/nodes"] {
            let (status, text) = get(other, path).await;
            assert_eq!(status, 403, "{other}");
            assert!(text.contains("server.host_names"), "{text}");
        }
    }
    assert_eq!(get("evil.example", "/healthz").await.0, 200, "probes and Prometheus come under any name");
    daemon.kill();
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_its_clients() {
    let rack = rack().await;
    let (daemon, _dir) = daemon(&rack, "trusted_proxies: [127.0.0.0/8],").await;
    let guess = async |client: &str| {
        let request = daemon.client.get(format!("{}/redfish/v1/Systems", daemon.url)).header("x-forwarded-for", client);
        request.basic_auth("no one", Some("wrong")).send().await.unwrap().status()
    };
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(guess("198.51.100.7, 203.0.113.9").await);
    }
    assert!(statuses.contains(&StatusCode::SERVICE_UNAVAILABLE), "its guesses are used up: {statuses:?}");
    assert_eq!(guess("203.0.113.10").await, StatusCode::UNAUTHORIZED, "another client behind the same proxy");
    assert_eq!(guess("203.0.113.10, 203.0.113.9").await, StatusCode::SERVICE_UNAVAILABLE, "what a client wrote itself");
    let login = daemon.client.post(format!("{}/redfish/v1/SessionService/Sessions", daemon.url));
    let login =
        login.header("x-forwarded-for", "203.0.113.77").json(&json!({ "UserName": "admin", "Password": "secret" }));
    let session: Value = login.send().await.unwrap().json().await.unwrap();
    assert_eq!(session["ClientOriginIPAddress"], "203.0.113.77");
    daemon.kill();
}

/// How soon a probe is answered, whatever strangers do.
const PROBE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn probes_are_answered_and_devices_reached_while_two_addresses_hold_all_connections() {
    const IDLE: u32 = 700;
    let rack = rack().await;
    let dir = configure(&rack);
    // As few files as a shell gives, so that the flood is one.
    let program = env!("CARGO_BIN_EXE_plugfish");
    let start =
        format!("ulimit -Hn 1024; exec {program} --log-format json serve --config {}/nodes.yaml", dir.path().display());
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &start]).stdout(std::process::Stdio::null());
    command.stderr(std::fs::File::create(dir.path().join("log")).unwrap());
    let daemon = Daemon::of(command.spawn().unwrap(), dir.path()).await;
    until(10, "first contact", async || daemon.system().await["PowerState"] == "On").await;
    let port: u16 = daemon.url.rsplit(':').next().unwrap().parse().unwrap();
    let mut held = Vec::new();
    for n in 0..2 * IDLE {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("127.0.7.{}:0", 1 + n % 2).parse().unwrap()).unwrap();
        let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
        if n % 4 < 2 {
            let _ = stream.write_all(b"GET /redfish/v1/ HTTP/1.1\r\nHo").await;
        }
        held.push(stream);
    }
    let clock = plugfish::testing::clock::Clock::system();
    for _ in 0..10 {
        let start = clock.mono();
        // A connection of its own each time, as probes have it.
        let mut probe = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        probe.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PROBE, probe.read_to_string(&mut answer)).await.expect("a probe waited").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(clock.mono().since(start) < PROBE);
    }
    assert_eq!(daemon.reset("ForceOff").await, Some(StatusCode::NO_CONTENT), "{}", log(dir.path()));
    until(10, "off", async || rack.plugs()[0].relay(1) == Some(false)).await;
    assert!(!log(dir.path()).contains("Too many open files"), "{}", log(dir.path()));
    daemon.kill();
}
