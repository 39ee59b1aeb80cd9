//! A connection that reads no more from a client than it has answered.
//!
//! actix-web parses all requests that have arrived at once, thousands of them if a client pipelines, and keeps them
//! while it cannot send the answers. A client that never reads would cost megabytes, and the time of the thread that
//! serves the other clients. So this connection reads nothing while data waits to be sent, and little at a time. This
//! file knows nothing of HTTP.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Read before others get their turn. An ordinary request fits; the shortest ones that make it up are some fifty.
const TURN_BYTES: usize = 2048;

/// See the top of the file.
pub(super) struct Backpressured<S> {
    stream: S,
    /// What is left of this turn.
    left: usize,
    /// The last write had to wait.
    blocked: bool,
    /// A read was put off for that.
    put_off: bool,
}

impl<S> Backpressured<S> {
    /// Adds backpressure to this connection.
    pub(super) fn new(stream: S) -> Backpressured<S> {
        Backpressured { stream, left: TURN_BYTES, blocked: false, put_off: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Backpressured<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.blocked {
            // It wakes the task that waits for the write.
            self.put_off = true;
            return Poll::Pending;
        }
        if self.left == 0 {
            self.left = TURN_BYTES;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let most = self.left.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut part);
        let read = part.filled().len();
        buf.advance(read);
        self.left = if polled.is_pending() { TURN_BYTES } else { self.left - read };
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Backpressured<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.blocked = written.is_pending();
        if !self.blocked && std::mem::take(&mut self.put_off) {
            cx.waker().wake_by_ref();
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

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn nothing_is_read_while_an_answer_waits_and_all_of_it_after() {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let (mut answers, mut requests) = tokio::io::split(client);
        let mut server = Backpressured::new(server);
        requests.write_all(&[1; 30_000]).await.unwrap();
        let mut chunk = vec![0; 64 * 1024];
        assert_eq!(server.read(&mut chunk).await.unwrap(), TURN_BYTES, "a little at a time");
        let mut sent = 0;
        while let Ok(written) = tokio::time::timeout(std::time::Duration::from_millis(20), server.write(&chunk)).await {
            sent += written.unwrap();
        }
        let read = tokio::time::timeout(std::time::Duration::from_millis(20), server.read(&mut chunk)).await;
        assert!(read.is_err(), "an answer waits: nothing is read");
        answers.read_exact(&mut vec![0; sent]).await.unwrap();
        server.write_all(b"x").await.unwrap();
        let mut rest = vec![0; 30_000 - TURN_BYTES];
        server.read_exact(&mut rest).await.unwrap();
        assert!(rest.iter().all(|byte| *byte == 1));
    }
}
