//! The control API: a rack's plugs and machines over HTTP and JSON, for people and for tests in other languages.
//!
//! `GET /plugs`, `GET /plugs/NAME`, and of a plug `counters`, `history`, `computer`, `fault`. Commands are POSTs with a
//! JSON object, such as `POST /plugs/NAME/button {"outlet": 1}` or `POST /plugs/NAME/computer {"outlet": 1, "act":
//! "shut_down"}`. Machines have the same under `/machines` (`amt::control`). Meant for loopback: there is no login.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::amt::{self, machine::Machine};
use super::board::Load;
use super::computer::{ComputerAct, OnShutdown};
use super::config::{LoginVersion, Quirks, Variant};
use super::fault::{Choke, Fault};
use super::http::{Incoming, Request, Response, Wire};
use super::plug::Plug;
use crate::clock::Clock;

/// The most connections at once; more wait.
const CONNECTIONS_MAX: usize = 32;
/// How long to wait after a connection could not be taken.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What can be ordered of a plug: the last part of the path, with the body's fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Order {
    Button { outlet: usize },
    Switch { outlet: usize, on: bool },
    Load { outlet: usize, load: Load },
    Computer { outlet: usize, act: ComputerAct },
    OnShutdown { outlet: usize, makes: OnShutdown },
    Energy { outlet: usize, wh: u64 },
    Fault(Fault),
    Choke(Choke),
    Latency { ms: u64 },
    Variant { variant: Variant },
    Reboot { offline_ms: u64, keeps_relay: bool },
    Sleep { wake_ms: u64 },
    Offline { offline: bool },
    Refuse { refusing: bool },
    Move { address: Ipv4Addr, port: u16 },
    Login { version: LoginVersion },
    Quirks(Quirks),
    ForgetSession {},
    Unlock {},
}

/// What the API is about.
#[derive(Clone)]
pub(super) struct Subjects {
    pub plugs: Arc<[Arc<Plug>]>,
    pub machines: Arc<[Arc<Machine>]>,
}

/// Serves the API until it is dropped.
pub(super) async fn run(listener: TcpListener, subjects: Subjects, clock: Clock) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Wire::new(stream, clock.clone()), subjects.clone()));
                }
                Err(_) => clock.sleep(ACCEPT_RETRY).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut wire: Wire, subjects: Subjects) {
    loop {
        let (response, last) = match wire.next().await {
            Incoming::Request(request) => (answer(&subjects, &request).await, request.last),
            Incoming::Chunked(_) => (problem(400, "send a Content-Length instead of a chunked body"), true),
            Incoming::Refused(status) => (problem(status, "this is no request"), true),
            Incoming::Closed => return,
        };
        if wire.send(&response.encode(last)).await.is_err() || last {
            return;
        }
    }
}

async fn answer(subjects: &Subjects, request: &Request) -> Response {
    let plugs = &subjects.plugs;
    let path: Vec<&str> = request.path().split('/').filter(|part| !part.is_empty()).collect();
    let (name, what) = match path.as_slice() {
        ["plugs"] if request.method != "GET" => return problem(405, "GET lists the plugs"),
        ["plugs"] => {
            return Response::json(&json!(plugs.iter().map(|plug| plug.describe()).collect::<Vec<_>>()));
        }
        ["machines", rest @ ..] => return amt::control::answer(&subjects.machines, rest, request),
        ["plugs", name] => (*name, None),
        ["plugs", name, what] => (*name, Some(*what)),
        _ => return problem(404, "there is /plugs, /plugs/NAME and /plugs/NAME/WHAT, and the same under /machines"),
    };
    let Some(plug) = plugs.iter().find(|plug| plug.name() == name) else {
        return problem(404, "no plug has this name; GET /plugs lists them");
    };
    let outlet = || request.query("outlet").and_then(|text| text.parse().ok()).unwrap_or(1);
    match (request.method.as_str(), what) {
        ("GET", None) => Response::json(&json!(plug.describe())),
        ("GET", Some("counters")) => Response::json(&json!(plug.counters().totals())),
        ("GET", Some("fault")) => Response::json(&json!(plug.faults())),
        ("GET", Some("history")) => Response::json(&json!(plug.history(outlet()))),
        ("GET", Some("computer")) => Response::json(&json!(plug.computer_history(outlet()))),
        ("DELETE", Some("counters")) => {
            plug.reset_counters();
            Response::json(&json!({}))
        }
        ("DELETE", Some("fault")) => {
            plug.clear_faults();
            Response::json(&json!({}))
        }
        ("DELETE", Some("choke")) => {
            plug.set_choke(None);
            Response::json(&json!({}))
        }
        ("POST", Some(what)) => match order(what, &request.body) {
            Ok(order) => obey(plug, order).await,
            Err(error) => problem(400, &error),
        },
        _ => problem(405, "GET, POST or DELETE does not fit here"),
    }
}

/// Reads an order: its name from the path, its fields from the body.
pub(super) fn order<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, String> {
    let text = if body.is_empty() { b"{}" } else { body };
    let body: Value = serde_json::from_slice(text).unwrap_or_default();
    serde_json::from_value(json!({what: body})).map_err(|error| error.to_string())
}

async fn obey(plug: &Plug, order: Order) -> Response {
    let ms = Duration::from_millis;
    let found = match order {
        Order::Button { outlet } => plug.press_button(outlet),
        Order::Switch { outlet, on } => plug.switch(outlet, on),
        Order::Load { outlet, load } => plug.set_load(outlet, load),
        Order::Computer { outlet, act } => plug.act(outlet, act),
        Order::OnShutdown { outlet, makes } => plug.set_on_shutdown(outlet, makes),
        Order::Energy { outlet, wh } => plug.add_energy_wh(outlet, wh),
        Order::Fault(fault) => {
            if !plug.add_fault(fault) {
                return problem(409, "there are too many rules already");
            }
            true
        }
        Order::Move { address, port } => {
            if let Err(error) = plug.move_to(address, port).await {
                return problem(409, &error.to_string());
            }
            true
        }
        Order::Choke(choke) => {
            plug.set_choke(Some(choke));
            true
        }
        Order::Latency { ms: time } => {
            plug.set_latency(ms(time));
            true
        }
        Order::Variant { variant } => {
            plug.set_variant(variant);
            true
        }
        Order::Reboot { offline_ms, keeps_relay } => {
            plug.reboot(ms(offline_ms), keeps_relay);
            true
        }
        Order::Sleep { wake_ms } => {
            plug.fall_asleep(ms(wake_ms));
            true
        }
        Order::Offline { offline } => {
            plug.set_offline(offline);
            true
        }
        Order::Refuse { refusing } => {
            plug.set_refusing(refusing);
            true
        }
        Order::Login { version } => {
            plug.reconfigure(|config| config.login = version);
            true
        }
        Order::Quirks(quirks) => {
            plug.reconfigure(|config| config.quirks = quirks);
            true
        }
        Order::ForgetSession {} => {
            plug.forget_session();
            true
        }
        Order::Unlock {} => {
            plug.unlock();
            true
        }
    };
    if found { Response::json(&json!(plug.describe())) } else { problem(404, "the plug has no such outlet") }
}

pub(super) fn problem(status: u16, text: &str) -> Response {
    let mut response = Response::json(&json!({"error": text}));
    response.status = status;
    response
}
