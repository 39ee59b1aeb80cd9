//! A TLS connection from its first byte to the end of its handshake, and the answer to a client that speaks plain HTTP.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::guarded::Guarded;
use crate::clock::Clock;

/// How long a handshake may take. It is two turns on the network; a small machine with many at once needs some of it.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// How long a client that was told that this is HTTPS may take to go.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is sent and not taken yet by the client, inside of TLS, of one connection.
const UNSENT_BYTES_MAX: usize = 16 * 1024;

/// What a browser shows and curl prints.
const SPEAKS_HTTPS: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 71\r\n\
                            Connection: close\r\n\r\n\
                            this port speaks HTTPS: use https:// instead of http:// in the address\n";

/// Makes TLS of a connection. An error where it does not come about; there is nothing more to be done with it then.
pub(super) async fn tls(
    mut stream: Guarded,
    config: Arc<ServerConfig>,
    clock: &Clock,
) -> io::Result<TlsStream<Guarded>> {
    stream.set_handshake(true);
    let handshake = async {
        // No record of TLS begins with a letter, and every request of HTTP does.
        let first = poll_fn(|cx| stream.poll_first(cx)).await?;
        if first.is_some_and(|byte| byte.is_ascii_alphabetic()) {
            return Err(say_https(&mut stream).await);
        }
        let set = |session: &mut rustls::ServerConnection| session.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        TlsAcceptor::from(config).accept_with(stream, set).await
    };
    let mut stream = clock.limit(HANDSHAKE_DEADLINE, pin!(handshake)).await.ok_or(io::ErrorKind::TimedOut)??;
    stream.get_mut().0.set_handshake(false);
    Ok(stream)
}

/// Answers a request in plain HTTP, without reading it first.
async fn say_https(stream: &mut Guarded) -> io::Error {
    let said = async {
        stream.write_all(SPEAKS_HTTPS.as_bytes()).await?;
        stream.shutdown().await?;
        // What lies unread when a connection is closed makes the system take back what was sent.
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    let ended = tokio::time::timeout(FAREWELL, said).await;
    ended.ok().and_then(Result::err).unwrap_or_else(|| io::Error::other("plain HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_is_as_long_as_it_says() {
        let (head, body) = SPEAKS_HTTPS.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
