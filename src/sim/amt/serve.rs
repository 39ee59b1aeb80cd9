//! The path of a request to a machine: over TCP or TLS, through the login, to its state, with faults before and after.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::super::fault::{Action, Kind, Seen, Stage, WsmanFault};
use super::super::http::{Incoming, Request, Response, Wire, chunk};
use super::super::link::Reach;
use super::super::request_log::Counters;
use super::super::serve::{Ending, InFlight, Open, SimDevice, finish};
use super::digest_auth::{AuthRequest, Verdict};
use super::machine::Machine;
use super::soap::{Call, Operation, Unreadable, parse};
use crate::clock::{Clock, Mono, secret_bytes};

/// The path of WS-Management.
const TARGET: &str = "/wsman";
/// The content type of all answers of WS-Management.
const SOAP_TYPE: &str = "application/soap+xml; charset=UTF-8";
/// How long a TLS handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// The alert of a TLS server that finds nothing in common with its client.
const HANDSHAKE_FAILURE: [u8; 7] = [0x15, 3, 1, 0, 2, 2, 40];
/// The page of every 401 of the firmware: the first challenge, an old nonce, a wrong password and a locked account alike.
const LOGIN_PAGE: &str = "<html><head><title>Intel&reg; Active Management Technology</title></head><body><h2>Log on failed. \
    Incorrect user name or password, or user account temporarily locked.</h2></body></html>\n";
/// The size of a huge answer.
const HUGE_BYTES: usize = 4 << 20;
/// How deep a deep answer is nested.
const DEEP_LEVELS: usize = 20_000;
/// How many attributes a crowded tag has: all are compared with each other by a simple parser.
const CROWD_ATTRIBUTES: usize = 60_000;
/// The size of the parts of an endless answer.
const ENDLESS_PART_BYTES: usize = 16 * 1024;
/// Methods that only read.
const READING: [&str; 7] = [
    "GetUuid",
    "PositionToFirstRecord",
    "GetRecords",
    "ReadRecords",
    "GetLowAccuracyTimeSynch",
    "Identify",
    "GetRecord",
];

impl SimDevice for Machine {
    fn name(&self) -> &str {
        Machine::name(self)
    }

    fn clock(&self) -> &Clock {
        self.ticks()
    }

    fn address(&self) -> SocketAddr {
        Machine::address(self)
    }

    fn pokes(&self) -> watch::Receiver<u64> {
        self.poked()
    }

    fn reach(&self) -> Reach {
        self.with(|state, now| state.reach(now.mono))
    }

    fn note(&self, act: impl FnOnce(&mut Counters, Mono)) {
        self.with(|state, now| act(&mut state.book, now.mono));
    }

    fn connection(self: Arc<Self>, stream: TcpStream, silent: bool) -> impl Future<Output = ()> + Send {
        connection(self, stream, silent)
    }

    async fn answer_probe(&self, _: &[u8], _: SocketAddr) {}
}

async fn connection(machine: Arc<Machine>, mut stream: TcpStream, silent: bool) {
    let clock = machine.ticks().clone();
    let (asleep, fault) = machine.with(|state, now| {
        state.book.connected();
        (state.knocked(now.mono), state.faults.pick(Stage::Connect, &Seen::bare()))
    });
    let _open = Open(&*machine);
    if silent || asleep {
        return Wire::new(stream, clock).hang().await;
    }
    if let Some(ending) = before(&machine, fault.as_ref()).await {
        finish(Wire::new(stream, clock), ending, true).await;
        return;
    }
    let mut wire = match machine.acceptor() {
        None => Wire::new(stream, clock),
        Some(_) if machine.with(|state, _| state.config.quirks.old_tls) => {
            // What the client said is read first: a socket that is closed with something unread ends in a reset.
            let mut hello = [0; 4096];
            let _ = clock.limit(HANDSHAKE_TIME_MAX, stream.read(&mut hello)).await;
            finish(Wire::new(stream, clock), Ending::Raw(HANDSHAKE_FAILURE.to_vec()), true).await;
            return;
        }
        Some(acceptor) => match clock.limit(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await {
            Some(Ok(stream)) => Wire::new(stream, clock.clone()),
            Some(Err(_)) | None => return machine.with(|state, _| state.book.nonsense += 1),
        },
    };
    loop {
        let (ending, last) = match wire.next().await {
            Incoming::Request(request) => {
                let ending = answer(&machine, &request).await;
                let closes = matches!(&ending, Ending::Answer(response) if response.status == 401);
                (ending, request.last || closes || machine.with(|state, _| state.config.quirks.close_after_answer))
            }
            Incoming::Chunked(_) => (Ending::Answer(page(&machine, 501)), true),
            Incoming::Refused(status) => {
                machine.with(|state, _| state.book.nonsense += 1);
                (Ending::Answer(page(&machine, status)), true)
            }
            Incoming::Closed => return,
        };
        match finish(wire, ending, last).await {
            Some(open) => wire = open,
            None => return,
        }
    }
}

/// A page of the web server of the engine.
fn page(machine: &Machine, status: u16) -> Response {
    named(machine, Response::page(status))
}

fn named(machine: &Machine, mut response: Response) -> Response {
    let version = machine.with(|state, _| state.config.version.clone());
    response.server = format!("Intel(R) Active Management Technology {version}").into();
    response
}

/// An answer of WS-Management.
fn soap(machine: &Machine, status: u16, text: String) -> Response {
    let mut response = named(machine, Response::bytes(status, SOAP_TYPE, text.into_bytes()));
    response.chunked = true;
    response
}

/// A 401 with a new nonce. `stale` is what the challenge says.
fn unauthorized(machine: &Machine, stale: bool) -> Response {
    let challenge = machine.with(|state, now| state.challenge(stale, now));
    let mut response = page(machine, 401).with_header("WWW-Authenticate", challenge);
    response.body = LOGIN_PAGE.as_bytes().to_vec();
    response
}

/// What a request is, once it is known whose it is.
fn look(call: Result<&Call, &Unreadable>, kind: Kind) -> Seen {
    let methods = match call {
        Ok(call) if call.operation == Operation::Identify => vec!["Identify".to_owned()],
        Ok(call) => {
            let name = call.operation.name();
            vec![format!("{}.{name}", call.class), name.to_owned(), call.class.clone()]
        }
        Err(_) => Vec::new(),
    };
    Seen { path: TARGET.to_owned(), kind, methods }
}

fn kind(call: &Call) -> Kind {
    match &call.operation {
        Operation::Put | Operation::Create | Operation::Delete => Kind::Write,
        Operation::Invoke(method) if method == "RequestPowerStateChange" => Kind::PowerWrite,
        Operation::Invoke(method) if !READING.contains(&method.as_str()) => Kind::Write,
        _ => Kind::Read,
    }
}

async fn answer(machine: &Machine, request: &Request) -> Ending {
    let call = parse(&request.body);
    let authorization = request.header("Authorization");
    let anonymous = authorization.is_none();
    let probe = anonymous
        && call.as_ref().is_ok_and(|call| call.operation == Operation::Identify)
        && !machine.with(|state, _| state.config.quirks.identify_needs_login);
    let (first_look, stage) = if request.path() != TARGET || request.method != "POST" {
        (Seen { path: request.path().to_owned(), kind: Kind::Other, methods: Vec::new() }, Stage::Plain)
    } else if probe {
        (look(call.as_ref(), Kind::Probe), Stage::Plain)
    } else if anonymous {
        (look(call.as_ref(), Kind::Login), Stage::Plain)
    } else {
        (Seen { path: TARGET.to_owned(), kind: Kind::Sealed, methods: Vec::new() }, Stage::Sealed)
    };
    let (number, asleep) =
        machine.with(|state, now| (state.book.arrived(now.mono, &first_look), state.knocked(now.mono)));
    let _in_flight = InFlight(machine, number);
    if asleep {
        return Ending::Hang;
    }
    machine.ticks().sleep(machine.with(|state, _| state.config.latency)).await;
    let first = machine.with(|state, _| state.faults.pick(stage, &first_look));
    if let Some(ending) = before(machine, first.as_ref()).await {
        if stage == Stage::Sealed {
            let seen = look(call.as_ref(), call.as_ref().map_or(Kind::Other, kind));
            machine.with(|state, _| state.book.known(number, &seen));
        }
        return ending;
    }
    let response = match (request.method.as_str(), request.path()) {
        ("GET", "/") => page(machine, 303).with_header("Location", "/logon.htm".to_owned()),
        ("GET", "/logon.htm") => page(machine, 200),
        ("POST", TARGET) if probe => match &call {
            Ok(call) => perform(machine, call, false),
            Err(_) => page(machine, 400),
        },
        ("POST", TARGET) => return logged_in(machine, request, &call, number, first).await,
        (_, TARGET) => page(machine, 405),
        _ => page(machine, 404),
    };
    after(machine, response, first.iter(), call.as_ref().ok())
}

/// A request of WS-Management with, or still without, credentials.
async fn logged_in(
    machine: &Machine,
    request: &Request,
    call: &Result<Call, Unreadable>,
    number: u64,
    first: Option<Action>,
) -> Ending {
    let authorization = request.header("Authorization");
    let knock = AuthRequest { method: &request.method, target: &request.target, authorization, body: &request.body };
    let verdict = machine.with(|state, now| state.check(&knock, now));
    if !matches!(verdict, Verdict::Open { .. }) {
        if authorization.is_some() {
            let seen = look(call.as_ref(), Kind::Login);
            machine.with(|state, _| state.book.known(number, &seen));
        }
        let says_stale = machine.with(|state, _| state.config.quirks.says_stale);
        let response = unauthorized(machine, says_stale && verdict == Verdict::Stale);
        return after(machine, response, first.iter(), None);
    }
    let seen = look(call.as_ref(), call.as_ref().map_or(Kind::Other, kind));
    let second = machine.with(|state, _| {
        state.book.known(number, &seen);
        state.faults.pick(Stage::Opened, &seen)
    });
    if let Some(ending) = before(machine, second.as_ref()).await {
        return ending;
    }
    let response = match (call, &second) {
        (_, Some(Action::Wsman(WsmanFault::SoapFault(subcode)))) => {
            let text = machine.with(|state, _| state.refuse(call.as_ref().ok(), subcode));
            soap(machine, 400, text)
        }
        (Err(Unreadable(subcode)), _) => {
            let text = machine.with(|state, _| state.refuse(None, subcode));
            soap(machine, 400, text)
        }
        (Ok(call), Some(Action::ErrorCode(code))) => match machine.with(|state, _| state.returns(call, *code)) {
            Some(text) => soap(machine, 200, text),
            None => perform(machine, call, false),
        },
        (Ok(call), second) => perform(machine, call, *second == Some(Action::IgnoreWrite)),
    };
    after(machine, response, first.iter().chain(&second), call.as_ref().ok())
}

fn perform(machine: &Machine, call: &Call, idle: bool) -> Response {
    let (status, text) = machine.with(|state, now| state.perform(call, idle, now));
    soap(machine, status, text)
}

/// What goes wrong before the request is acted on. `None`: it is acted on.
async fn before(machine: &Machine, action: Option<&Action>) -> Option<Ending> {
    match action? {
        Action::Hang => Some(Ending::Hang),
        Action::Drop => Some(Ending::Close),
        Action::Reset => Some(Ending::Reset),
        Action::Status(status) => Some(Ending::Answer(page(machine, *status))),
        Action::Wsman(WsmanFault::Stale) => Some(Ending::Answer(unauthorized(machine, true))),
        Action::Wsman(WsmanFault::LoginAgain) => Some(Ending::Answer(unauthorized(machine, false))),
        Action::DelayMs(delay) => {
            machine.ticks().sleep(Duration::from_millis(*delay)).await;
            None
        }
        Action::ForgetSession => {
            machine.forget_nonces();
            None
        }
        Action::Reboot { offline_ms, keeps_relay } => {
            machine.restart(Duration::from_millis(*offline_ms), *keeps_relay);
            Some(Ending::Reset)
        }
        _ => None,
    }
}

/// What goes wrong with the answer.
fn after<'a>(
    machine: &Machine,
    mut response: Response,
    mut actions: impl Iterator<Item = &'a Action>,
    call: Option<&Call>,
) -> Ending {
    let hit = actions.find(|action| action.is_after() || matches!(action, Action::Wsman(_)));
    match hit {
        Some(Action::LoseAnswer) => return Ending::Close,
        Some(Action::DoAndHang) => return Ending::Hang,
        Some(Action::GarbageHttp) => return Ending::Raw(b"\x16\x03\x01 this is no HTTP\r\n\r\n".to_vec()),
        Some(Action::Garbage) => response.body = secret_bytes::<96>().to_vec(),
        Some(Action::Truncate) => {
            let mut bytes = response.encode(false);
            bytes.truncate(bytes.len() - response.body.len() / 2 - 1);
            return Ending::Raw(bytes);
        }
        Some(Action::Wsman(trick)) => match trick {
            WsmanFault::HalfXml => response.body.truncate(response.body.len() / 2),
            WsmanFault::Huge => {
                let filler = format!("<!--{}-->", "x".repeat(HUGE_BYTES));
                response.body.extend_from_slice(filler.as_bytes());
            }
            WsmanFault::Endless => {
                let head = response.encode(true);
                let end = head.len() - b"0\r\n\r\n".len();
                return Ending::Endless(
                    head.get(..end).unwrap_or_default().to_vec(),
                    chunk(&[b' '; ENDLESS_PART_BYTES]),
                );
            }
            WsmanFault::Deep => {
                response.body = format!("{}{}", "<a>".repeat(DEEP_LEVELS), "</a>".repeat(DEEP_LEVELS)).into_bytes();
            }
            WsmanFault::Attributes => {
                let attributes: String = (0..CROWD_ATTRIBUTES).map(|number| format!(" a{number}=\"\"")).collect();
                response.body = format!("<a{attributes}/>").into_bytes();
            }
            WsmanFault::Empty => response.body.clear(),
            WsmanFault::Latin1 => {
                let tag = b"Manufacturer>";
                if let Some(at) = response.body.windows(tag.len()).position(|part| part == tag) {
                    // The sign of a registered trade mark in ISO-8859-1.
                    response.body.insert(at + tag.len(), 0xAE);
                }
            }
            WsmanFault::EntityBomb => response.body = bomb().into_bytes(),
            WsmanFault::Page => {
                response = page(machine, 200);
            }
            WsmanFault::OtherClass => {
                let (text, wrong) = (String::from_utf8_lossy(&response.body), "CIM_Elsewhere");
                let class = call.map(|call| call.class.as_str()).filter(|class| !class.is_empty());
                let text = class.map_or_else(|| text.to_string(), |class| text.replace(class, wrong));
                response.body = text.into_bytes();
            }
            WsmanFault::Stale | WsmanFault::LoginAgain | WsmanFault::SoapFault(_) => {}
        },
        _ => {}
    }
    Ending::Answer(response)
}

/// A document whose entities grow to gigabytes.
fn bomb() -> String {
    let lines: String =
        (1..10).map(|level| format!("<!ENTITY e{level} \"{}\">", format!("&e{};", level - 1).repeat(10))).collect();
    format!("<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY e0 \"boom\">{lines}]><a>&e9;</a>")
}
