//! The TCP connection of a client with its slot in the table of connections: it ends when the slot is taken away, and
//! reports when it costs memory. This file knows nothing of HTTP and TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connections::Held;

/// What is read of a client before anything is answered: more than this is a large request. Ordinary ones have a few
/// hundred bytes.
const LARGE_REQUEST: usize = 8 * 1024;

/// Longest greeting of TLS. With keys that withstand quantum computers it has about 2 KiB.
const HELLO_BYTES_MAX: usize = 16 * 1024;

/// See the top of the file.
pub(super) struct Guarded {
    stream: TcpStream,
    held: Held,
    /// Read since something was written.
    unanswered: usize,
    is_handshake: bool,
    heavy: bool,
}

impl Guarded {
    /// This connection at this place.
    pub(super) fn new(stream: TcpStream, held: Held) -> Guarded {
        Guarded { stream, held, unanswered: 0, is_handshake: false, heavy: false }
    }

    /// Whether a TLS handshake is under way: until it ends little is read, and the connection counts among those that cost
    /// memory.
    pub(super) fn set_handshake(&mut self, is_handshake: bool) {
        self.is_handshake = is_handshake;
        self.set_heavy(is_handshake);
    }

    /// The first byte that is there to be read, which stays there; `None` at the end.
    pub(super) fn poll_first(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        self.held.check(cx)?;
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        self.stream.poll_peek(cx, &mut buf).map_ok(|read| buf.filled().first().copied().filter(|_| read > 0))
    }

    fn set_heavy(&mut self, heavy: bool) {
        if self.heavy != heavy {
            self.heavy = heavy;
            self.held.set_heavy(heavy);
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.held.check(cx)?;
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if read > 0 {
            self.held.touch();
            self.unanswered += read;
            if self.is_handshake && self.unanswered > HELLO_BYTES_MAX {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            if self.unanswered > LARGE_REQUEST {
                self.set_heavy(true);
            }
        }
        polled
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.held.check(cx)?;
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_pending() {
            self.set_heavy(true);
        } else {
            self.held.touch();
            if !self.is_handshake {
                self.unanswered = 0;
                self.set_heavy(false);
            }
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
