//! Listeners: sockets bound before anything else starts, workers with limits, a graceful end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use super::tls::Certificate;

/// Connections that may wait to be accepted. Ironic opens one for each request, from several workers at a time.
const BACKLOG: i32 = 1024;

/// Connections at once in one worker: thousands of idle ones fit into some tens of megabytes.
const CONNECTIONS_MAX: usize = 4096;

/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How long a client may take for the head of a request: a slow one holds nothing but its own connection.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may leave unread, or unconfirmed, what was sent to it; then its connection is cut.
const SEND_DEADLINE: Duration = Duration::from_secs(30);

/// How long answers under way may take when the service stops.
const STOP_SECONDS: u64 = 2;

/// Threads for slow work (password hashes) of each worker.
const BLOCKING_THREADS: usize = 2;

/// Why a listener could not be opened.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {why}")]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// What to do about it.
    pub why: String,
}

/// Allows this process as many open files as the system lets it: each connection is one, and the usual 1024 would be all
/// taken by clients that only hold connections open. What cannot be had is done without.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, current = limit.current, "the limit of open files stays as it is");
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

/// Takes over a listener that somebody else opened.
pub fn adopt(listener: TcpListener) -> io::Result<TcpListener> {
    let socket = Socket::from(listener);
    if !socket.is_listener()? {
        return Err(io::Error::other("it does not listen; a socket unit needs Accept=no"));
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SEND_DEADLINE))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Starts serving what `app` mounts on these listeners. The server ends by its handle.
pub fn run(
    listeners: Vec<TcpListener>,
    tls: Option<&Arc<Certificate>>,
    workers: usize,
    app: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<(Server, ServerHandle)> {
    let mut server = HttpServer::new(move || App::new().configure(app.clone()))
        .workers(workers)
        .worker_max_blocking_threads(BLOCKING_THREADS)
        .max_connections(CONNECTIONS_MAX)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_DEADLINE)
        .shutdown_timeout(STOP_SECONDS)
        .disable_signals();
    for listener in listeners {
        server = match tls {
            Some(certificate) => server.listen_rustls_0_23(listener, certificate.server_config())?,
            None => server.listen(listener)?,
        };
    }
    let server = server.run();
    let handle = server.handle();
    Ok((server, handle))
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
