//! Listeners: sockets are bound before anything else starts, workers have limits, and the shutdown is graceful.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Request};
use actix_rt::net::TcpStream;
use actix_server::GracefulShutdownSignal;
use actix_service::{Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, fn_service, map_config};
use actix_web::App;
use actix_web::dev::{AppConfig, Server, ServerHandle};
use actix_web::error::InternalError;
use actix_web::web::ServiceConfig;
use futures_util::future::{Either, ready};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use super::accept;
use super::connections::{Connections, UNSEEN_MAX};
use super::front::Front;
use super::guarded::Guarded;
use super::socket::Backpressured;
use super::tls::Certificate;
use crate::clock::Clock;

/// Connections that may wait to be accepted. Ironic opens one for each request, from several workers at a time.
const BACKLOG: i32 = 1024;

/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How long a client may take for the head of a request: a slow one holds nothing but its own connection.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may leave unread, or unconfirmed, what was sent to it; then its connection is cut.
const SEND_DEADLINE: Duration = Duration::from_secs(30);

/// How long a connection may take to end after its last answer.
const END_DEADLINE: Duration = Duration::from_secs(1);

/// What is kept ready for a connection that does not take it; a body that is larger is asked for more when it does.
const UNSENT_BYTES_MAX: usize = 16 * 1024;

/// How long answers under way may take when the service stops.
const STOP_SECONDS: u64 = 2;

/// Threads for slow work (password hashes) of each worker.
const BLOCKING_THREADS: usize = 2;

/// Why a listener could not be opened.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {why}")]
pub struct BindError {
    pub address: SocketAddr,
    /// What to do about it.
    pub why: String,
}

/// Allows this process as many open files as the system lets it: each connection is one, and the usual 1024 would be all
/// taken by clients that only hold connections open. What cannot be had is done without. Returns how many it may have;
/// `None` when there is no limit.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, current = limit.current, "the limit of open files stays as it is");
            limit.current
        }
    }
}

/// Opens the listeners, all or none.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    addresses.iter().map(|address| bind_one(*address).map_err(|error| explain(*address, &error))).collect()
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can both be listed.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    #[cfg(target_os = "linux")]
    // The connections that come of it inherit this.
    socket.set_tcp_user_timeout(Some(SEND_DEADLINE))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn explain(address: SocketAddr, error: &io::Error) -> BindError {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program (or another plugfish) is there already; stop it or choose another port".into()
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher port".into(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        _ => error.to_string(),
    };
    BindError { address, why }
}

/// Takes over a listener that another process opened.
pub(crate) fn adopt(listener: TcpListener) -> io::Result<TcpListener> {
    let socket = Socket::from(listener);
    if !socket.is_listener()? {
        return Err(io::Error::other("it does not listen; a socket unit needs Accept=no"));
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SEND_DEADLINE))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The settings of the listeners.
pub struct Door {
    /// With which certificate; plain HTTP without.
    pub certificate: Option<Arc<Certificate>>,
    /// Number of worker threads.
    pub workers: usize,
    pub connections: Arc<Connections>,
    /// What is done with each request first.
    pub front: Front,
    pub clock: Clock,
}

/// Starts serving what `app` mounts on these listeners. The server ends by its handle.
///
/// This is what `HttpServer` of actix-web does, on guarded connections (`guarded.rs`, `socket.rs`).
pub fn run(
    listeners: Vec<TcpListener>,
    door: &Door,
    app: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<(Server, ServerHandle)> {
    let Door { certificate, workers, connections, front, clock } = door;
    // The table decides who stays. What it cuts ends a little later, so each worker has room for some more.
    let in_worker = connections.most() / workers + UNSEEN_MAX;
    let mut builder = Server::build()
        .workers(*workers)
        .worker_max_blocking_threads(BLOCKING_THREADS)
        .max_concurrent_connections(in_worker)
        .shutdown_timeout(STOP_SECONDS)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let config = certificate.as_ref().map(|certificate| {
        let mut config = certificate.server_config();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    });
    for listener in listeners {
        let (app, front, stopping) = (app.clone(), front.clone(), stopping.clone());
        let (connections, clock, name) = (connections.clone(), clock.clone(), listener.local_addr()?.to_string());
        builder = match config.clone() {
            Some(config) => builder.listen(name, listener, move || {
                let (connections, config, clock) = (connections.clone(), config.clone(), clock.clone());
                let accept = move |io: TcpStream| {
                    let (guarded, peer) = guard(io, &connections);
                    let (config, clock) = (config.clone(), clock.clone());
                    async move {
                        let io = accept::tls(guarded, config, &clock).await.map_err(DispatchError::Io)?;
                        Ok((Backpressured::new(io), peer))
                    }
                };
                fn_service(accept).and_then(http(app.clone(), front.clone(), stopping.clone()))
            })?,
            None => builder.listen(name, listener, move || {
                let connections = connections.clone();
                let accept = move |io: TcpStream| {
                    let (guarded, peer) = guard(io, &connections);
                    ready(Ok((Backpressured::new(guarded), peer)))
                };
                fn_service(accept).and_then(http(app.clone(), front.clone(), stopping.clone()))
            })?,
        };
    }
    let server = builder.run();
    let handle = server.handle();
    Ok((server, handle))
}

/// Gives a connection its place among the others.
fn guard(io: TcpStream, connections: &Arc<Connections>) -> (Guarded, Option<SocketAddr>) {
    let peer = io.peer_addr().ok();
    (Guarded::new(io, connections.admit(peer)), peer)
}

/// HTTP/1 on connections of one kind.
fn http<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    app: impl Fn(&mut ServiceConfig) + Clone + 'static,
    front: Front,
    stopping: GracefulShutdownSignal,
) -> impl ServiceFactory<(S, Option<SocketAddr>), Config = (), Response = (), Error = DispatchError, InitError = ()> {
    let app = map_config(App::new().configure(app), |()| AppConfig::default());
    let app = apply_fn_factory(app, move |mut request: Request, app| match front.refusal(&mut request) {
        None => Either::Left(app.call(request)),
        Some(refusal) => Either::Right(ready(Err(InternalError::from_response("", refusal).into()))),
    });
    HttpService::build()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_DEADLINE)
        .client_disconnect_timeout(END_DEADLINE)
        .h1_write_buffer_size(UNSENT_BYTES_MAX)
        .h1(app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_explained() {
        let first = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let taken = first[0].local_addr().unwrap();
        let error = bind(&[taken]).unwrap_err().to_string();
        assert!(error.contains(&taken.to_string()) && error.contains("another program"), "{error}");
        let error = bind(&["192.0.2.1:8000".parse().unwrap()]).unwrap_err().to_string();
        assert!(error.contains("no such address"), "{error}");
    }
}
