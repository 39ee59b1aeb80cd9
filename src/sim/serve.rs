//! The sockets of a plug or a machine: they follow the state of its link, and end connections as configured. For a plug
//! also the path of a request to its state, with faults before and after.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::fault::{Action, Kind, Stage};
use super::http::{Incoming, Request, Response, Wire};
use super::link::Reach;
use super::place::Sockets;
use super::plug::Plug;
use super::request_log::Counters;
use super::tapo::{self, Opened};
use crate::clock::{Clock, Mono, secret_bytes};

/// The most connections of one device at once; more are reset. Real devices take far fewer.
const CONNECTIONS_MAX: usize = 64;
/// How long to wait before a port is tried again that cannot be bound or gives errors.
const SOCKET_RETRY: Duration = Duration::from_millis(100);
/// How often the second part of an endless answer is sent when the client takes it all: a gigabyte of 16 KiB parts.
const ENDLESS_TURNS_MAX: u32 = 65_536;
/// Room for a datagram; probes with the longest key are below it.
pub(super) const DATAGRAM_BYTES_MAX: usize = 2048;

/// A device that is served.
pub(super) trait SimDevice: Send + Sync + 'static {
    fn name(&self) -> &str;
    fn clock(&self) -> &Clock;
    /// Its TCP address.
    fn address(&self) -> SocketAddr;
    /// Told whenever [`SimDevice::reach`] says something new.
    fn pokes(&self) -> watch::Receiver<u64>;
    fn reach(&self) -> Reach;
    /// Writes something into the book of what clients did.
    fn note(&self, act: impl FnOnce(&mut Counters, Mono));
    /// Serves a connection. `silent`: nothing is said on it.
    fn connection(self: Arc<Self>, stream: TcpStream, silent: bool) -> impl Future<Output = ()> + Send;
    /// Answers a datagram, if it is a device that takes any.
    fn answer_probe(&self, datagram: &[u8], from: SocketAddr) -> impl Future<Output = ()> + Send;
}

/// Serves a device until it is dropped.
pub(super) async fn run<S: SimDevice>(station: Arc<S>, sockets: Sockets, mut moves: mpsc::Receiver<Sockets>) {
    let clock = station.clock().clone();
    let mut pokes = station.pokes();
    let mut connections = JoinSet::new();
    let (mut listener, mut udp) = (Some(sockets.tcp), sockets.udp);
    let mut cuts = 0;
    let mut datagram = [0; DATAGRAM_BYTES_MAX];
    loop {
        let reach = station.reach();
        let mut until = reach.until;
        if reach.cuts != cuts {
            connections.shutdown().await;
            cuts = reach.cuts;
        }
        if !reach.listens {
            listener = None;
        } else if listener.is_none() {
            listener = listen(&*station).await;
            if listener.is_none() {
                until = Some(clock.now().mono + SOCKET_RETRY);
            }
        }
        tokio::select! {
            _ = pokes.changed() => {}
            Some(sockets) = moves.recv() => (listener, udp) = (Some(sockets.tcp), sockets.udp),
            () = sleep_until(&clock, until) => {}
            accepted = accept(listener.as_ref()) => match accepted {
                Ok(stream) if connections.len() < CONNECTIONS_MAX => {
                    connections.spawn(Arc::clone(&station).connection(stream, reach.silent));
                }
                Ok(stream) => Wire::new(stream, clock.clone()).reset(),
                Err(_) => clock.sleep(SOCKET_RETRY).await,
            },
            (bytes, from) = receive(udp.as_deref(), &mut datagram) => {
                station.answer_probe(datagram.get(..bytes).unwrap_or_default(), from).await;
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn listen(station: &impl SimDevice) -> Option<TcpListener> {
    let address = station.address();
    match TcpListener::bind(address).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(event = "device_cannot_listen", device = station.name(), %address, %error, "trying again");
            None
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

pub(super) async fn receive(udp: Option<&UdpSocket>, buffer: &mut [u8]) -> (usize, SocketAddr) {
    match udp {
        None => std::future::pending().await,
        // An error is that of a client who went away before an earlier answer.
        Some(udp) => loop {
            if let Ok(got) = udp.recv_from(buffer).await {
                return got;
            }
        },
    }
}

async fn sleep_until(clock: &Clock, when: Option<Mono>) {
    match when {
        Some(when) => clock.sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Counts a connection for as long as it lives.
pub(super) struct Open<'a, S: SimDevice>(pub &'a S);

impl<S: SimDevice> Drop for Open<'_, S> {
    fn drop(&mut self) {
        self.0.note(|book, _| book.disconnected());
    }
}

/// Counts a request for as long as it is worked on.
pub(super) struct InFlight<'a, S: SimDevice>(pub &'a S, pub u64);

impl<S: SimDevice> Drop for InFlight<'_, S> {
    fn drop(&mut self) {
        self.0.note(|book, now| book.ended(self.1, now));
    }
}

/// What becomes of a request or a connection.
pub(super) enum Ending {
    Answer(Response),
    /// The connection is closed without an answer.
    Close,
    Reset,
    /// The connection stays open without an answer.
    Hang,
    /// These bytes, then closed.
    Raw(Vec<u8>),
    /// These bytes, then the second ones over and over until the client gives up.
    Endless(Vec<u8>, Vec<u8>),
}

impl SimDevice for Plug {
    fn name(&self) -> &str {
        Plug::name(self)
    }

    fn clock(&self) -> &Clock {
        Plug::clock(self)
    }

    fn address(&self) -> SocketAddr {
        Plug::address(self)
    }

    fn pokes(&self) -> watch::Receiver<u64> {
        Plug::pokes(self)
    }

    fn reach(&self) -> Reach {
        Plug::reach(self)
    }

    fn note(&self, act: impl FnOnce(&mut Counters, Mono)) {
        self.with(|state, now| act(&mut state.book, now.mono));
    }

    fn connection(self: Arc<Self>, stream: TcpStream, silent: bool) -> impl Future<Output = ()> + Send {
        connection(self, stream, silent)
    }

    fn answer_probe(&self, datagram: &[u8], from: SocketAddr) -> impl Future<Output = ()> + Send {
        Plug::answer_probe(self, datagram, from)
    }
}

async fn connection(plug: Arc<Plug>, stream: TcpStream, silent: bool) {
    let mut wire = Wire::new(stream, plug.clock().clone());
    let fault = plug.with(|state, now| state.connected(now));
    let _open = Open(&*plug);
    if silent {
        return wire.hang().await;
    }
    if let Some(ending) = before(&plug, fault.as_ref()).await {
        finish(wire, ending, true).await;
        return;
    }
    loop {
        let (ending, last) = match wire.next().await {
            Incoming::Request(request) => {
                let quirks = plug.with(|state, _| state.config.quirks.clone());
                let last = request.last || quirks.close_after_answer;
                let mut ending = answer(&plug, request).await;
                if let (Ending::Answer(response), true) = (&mut ending, quirks.text_html) {
                    response.content_type = "text/html";
                }
                (ending, last)
            }
            Incoming::Chunked(_) => (Ending::Answer(Response::page(500)), true),
            Incoming::Refused(status) => {
                plug.with(|state, _| state.book.nonsense += 1);
                (Ending::Answer(Response::page(status)), true)
            }
            Incoming::Closed => return,
        };
        match finish(wire, ending, last).await {
            Some(open) => wire = open,
            None => return,
        }
    }
}

async fn answer(plug: &Plug, mut request: Request) -> Ending {
    let seen = tapo::look(&request);
    let (number, choked) = plug.with(|state, now| state.arrived(&seen, now));
    let _in_flight = InFlight(plug, number);
    if choked {
        return Ending::Close;
    }
    plug.clock().sleep(plug.with(|state, _| state.config.latency)).await;
    let stage = if seen.kind == Kind::Sealed { Stage::Sealed } else { Stage::Plain };
    let first = plug.with(|state, _| state.faults.pick(stage, &seen));
    if let Some(ending) = before(plug, first.as_ref()).await {
        return ending;
    }
    if let Some(page) = plug.with(|state, _| state.turned_away(&mut request)) {
        return after(page, first.iter());
    }
    let call = match plug.with(|state, now| state.open(&request, now)) {
        Opened::Answer(response) => {
            if stage == Stage::Sealed {
                plug.with(|state, _| state.book.known(number, &seen));
            }
            return after(response, first.iter());
        }
        Opened::Call(call) => call,
    };
    let inside = tapo::look_inside(&seen.path, &call.request);
    let second = plug.with(|state, _| {
        state.book.known(number, &inside);
        state.faults.pick(Stage::Opened, &inside)
    });
    if let Some(Action::ErrorCode(code)) = second {
        return Ending::Answer(call.seal.close(&serde_json::json!({"error_code": code})));
    }
    if let Some(ending) = before(plug, second.as_ref()).await {
        return ending;
    }
    let response = plug.with(|state, now| state.act(&call, second.as_ref(), now));
    after(response, first.iter().chain(&second))
}

/// What goes wrong before the request is acted on. `None`: it is acted on.
async fn before(plug: &Plug, action: Option<&Action>) -> Option<Ending> {
    match action? {
        Action::Hang => Some(Ending::Hang),
        Action::Drop => Some(Ending::Close),
        Action::Reset => Some(Ending::Reset),
        Action::Status(status) => Some(Ending::Answer(Response::page(*status))),
        Action::ErrorCode(code) => Some(Ending::Answer(tapo::error(*code))),
        Action::DelayMs(delay) => {
            plug.clock().sleep(Duration::from_millis(*delay)).await;
            None
        }
        Action::ForgetSession => {
            plug.forget_session();
            None
        }
        Action::Reboot { offline_ms, keeps_relay } => {
            plug.reboot(Duration::from_millis(*offline_ms), *keeps_relay);
            Some(Ending::Reset)
        }
        Action::LoseAnswer
        | Action::DoAndHang
        | Action::Garbage
        | Action::GarbageHttp
        | Action::Truncate
        | Action::IgnoreWrite
        | Action::Forge(_)
        | Action::Meter(_)
        | Action::Impersonate(_)
        | Action::Wsman(_) => None,
    }
}

/// What goes wrong with the answer.
fn after<'a>(mut response: Response, mut actions: impl Iterator<Item = &'a Action>) -> Ending {
    match actions.find(|action| action.is_after()) {
        Some(Action::LoseAnswer) => Ending::Close,
        Some(Action::DoAndHang) => Ending::Hang,
        Some(Action::Garbage) => {
            response.body = secret_bytes::<96>().to_vec();
            Ending::Answer(response)
        }
        Some(Action::GarbageHttp) => Ending::Raw(b"\x16\x03\x01 this is no HTTP\r\n\r\n".to_vec()),
        Some(Action::Truncate) => {
            let mut bytes = response.encode(false);
            bytes.truncate(bytes.len() - response.body.len() / 2 - 1);
            Ending::Raw(bytes)
        }
        _ => Ending::Answer(response),
    }
}

/// Puts the ending on the wire, and gives the wire back if it is to be used further.
pub(super) async fn finish(mut wire: Wire, ending: Ending, last: bool) -> Option<Wire> {
    match ending {
        Ending::Answer(response) => match wire.send(&response.encode(last)).await {
            Ok(()) if !last => Some(wire),
            Ok(()) => {
                wire.close().await;
                None
            }
            Err(_) => None,
        },
        Ending::Close => None,
        Ending::Reset => {
            wire.reset();
            None
        }
        Ending::Hang => {
            wire.hang().await;
            None
        }
        Ending::Raw(bytes) => {
            if wire.send(&bytes).await.is_ok() {
                wire.close().await;
            }
            None
        }
        Ending::Endless(first, again) => {
            let mut sent = wire.send(&first).await;
            for _ in 0..ENDLESS_TURNS_MAX {
                if sent.is_err() {
                    break;
                }
                sent = wire.send(&again).await;
            }
            None
        }
    }
}
