//! The server side of HTTP/1.1 as far as devices implement it, written by hand so that faults can be put on the wire
//! itself.
//!
//! Reading is strict and bounded: any input ends in a request, a refusal or a closed connection. It knows nothing of
//! plugs and machines.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::clock::Clock;

/// The most that a request line and its headers may be: clients of plugs send a few hundred bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// The most headers in a request; clients of plugs send fewer than ten.
const HEADERS_MAX: usize = 48;
/// The most that a body may be. The longest real one, an RSA key or a batch of five, is below 4 KiB.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long an open connection may be silent between requests.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long a request may take from its first byte to its last: clients write it in one go.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// How long writing an answer may take: the client may have stopped reading.
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// The most bytes in one chunk of a chunked answer: about what fits into a packet.
const CHUNK_BYTES_MAX: usize = 0x0540;
/// How long a hung connection is kept when the client does not give up by itself.
const HANG_MAX: Duration = Duration::from_secs(120);

/// One request, complete.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Request {
    pub method: String,
    /// As it came, with the query.
    pub target: String,
    /// Names as the client wrote them, in its order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// HTTP/1.0 or `Connection: close`.
    pub last: bool,
}

impl Request {
    /// The target without its query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The value of a parameter of the query, as it stands there.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The value of a header, its name in any case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What came over a connection.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Incoming {
    /// A request.
    Request(Request),
    /// A request with a chunked body, which is not read.
    Chunked(Request),
    /// Something that is no request, or too much of one; the connection is of no use any more.
    Refused(u16),
    /// Nothing more: closed, broken or silent for too long.
    Closed,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Response {
    pub status: u16,
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// What the server calls itself.
    pub server: Cow<'static, str>,
    /// Whether the body goes out in chunks, their sizes in capital digits with leading zeros.
    pub chunked: bool,
}

impl Response {
    pub(super) fn json(value: &serde_json::Value) -> Response {
        Response::bytes(200, "application/json;charset=UTF-8", value.to_string().into_bytes())
    }

    pub(super) fn bytes(status: u16, content_type: &'static str, body: Vec<u8>) -> Response {
        Response { status, content_type, headers: Vec::new(), body, server: "SHIP 2.0".into(), chunked: false }
    }

    /// A status with the sort of page that small web servers send along.
    pub(super) fn page(status: u16) -> Response {
        let reason = reason(status);
        let body = format!("<html><head><title>{status} {reason}</title></head><body>{reason}</body></html>\n");
        Response::bytes(status, "text/html", body.into_bytes())
    }

    pub(super) fn with_header(mut self, name: &'static str, value: String) -> Response {
        self.headers.push((name, value));
        self
    }

    /// The answer on the wire.
    pub(super) fn encode(&self, close: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\nServer: {}\r\n", self.status, reason(self.status), self.server);
        if self.chunked {
            head.push_str("Transfer-Encoding: chunked\r\n");
        } else {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str(&format!("Content-Type: {}\r\n", self.content_type));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(if close { "Connection: close\r\n\r\n" } else { "Connection: keep-alive\r\n\r\n" });
        let mut bytes = head.into_bytes();
        if self.chunked {
            self.body.chunks(CHUNK_BYTES_MAX).for_each(|part| bytes.extend(chunk(part)));
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// One chunk of a chunked body.
pub(super) fn chunk(part: &[u8]) -> Vec<u8> {
    [format!("{:04X}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        303 => "See Other",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

/// A head as parsed, and what follows it.
#[derive(Debug, PartialEq)]
struct Head {
    request: Request,
    /// Bytes of the head, with the empty line.
    bytes: usize,
    body_bytes: usize,
    chunked: bool,
}

/// Parses a head. `Ok(None)` means that more bytes are needed; `Err` is the status to refuse with.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, u16> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(431) } else { Ok(None) };
    };
    if end > HEAD_BYTES_MAX {
        return Err(431);
    }
    let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default()).map_err(|_| 400u16)?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, words.next()) else {
        return Err(400);
    };
    let known = matches!(version, "HTTP/1.1" | "HTTP/1.0");
    if !known || method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase()) || !target.starts_with('/') {
        return Err(400);
    }
    let mut request = Request { method: method.into(), target: target.into(), ..Request::default() };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(400u16)?;
        let token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) || value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
            return Err(400);
        }
        if request.headers.len() >= HEADERS_MAX {
            return Err(431);
        }
        request.headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let chunked = request.header("Transfer-Encoding").is_some();
    let mut lengths = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Content-Length"));
    let body_bytes = match (lengths.next(), lengths.next()) {
        (None, _) => 0,
        (Some((_, text)), None) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().map_err(|_| 400u16)?,
        _ => return Err(400),
    };
    if body_bytes > BODY_BYTES_MAX {
        return Err(413);
    }
    request.last = version == "HTTP/1.0"
        || request.header("Connection").is_some_and(|value| value.to_ascii_lowercase().contains("close"));
    Ok(Some(Head { request, bytes: end + 4, body_bytes, chunked }))
}

/// What a connection runs over.
pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {
    /// The socket at its bottom.
    fn socket(&self) -> &TcpStream;
}

impl Pipe for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Pipe for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A connection of a client.
pub(super) struct Wire {
    stream: Box<dyn Pipe>,
    clock: Clock,
    /// Read and not yet used.
    buffer: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: impl Pipe + 'static, clock: Clock) -> Wire {
        // An answer is one small write; waiting for more to send would only delay it.
        let _ = stream.socket().set_nodelay(true);
        Wire { stream: Box::new(stream), clock, buffer: Vec::new() }
    }

    /// The next request.
    pub(super) async fn next(&mut self) -> Incoming {
        let clock = self.clock.clone();
        while self.buffer.is_empty() {
            match clock.limit(IDLE_MAX, self.read_some()).await {
                Some(true) => {}
                Some(false) | None => return Incoming::Closed,
            }
        }
        clock.limit(REQUEST_TIME_MAX, self.read_request()).await.unwrap_or(Incoming::Refused(408))
    }

    async fn read_request(&mut self) -> Incoming {
        let head = loop {
            match parse_head(&self.buffer) {
                Ok(Some(head)) => break head,
                Ok(None) => {}
                Err(status) => return Incoming::Refused(status),
            }
            if !self.read_some().await {
                return Incoming::Closed;
            }
        };
        if head.chunked {
            return Incoming::Chunked(head.request);
        }
        let whole = head.bytes + head.body_bytes;
        while self.buffer.len() < whole {
            if !self.read_some().await {
                return Incoming::Closed;
            }
        }
        let rest = self.buffer.split_off(whole);
        let mut request = head.request;
        request.body = std::mem::replace(&mut self.buffer, rest).split_off(head.bytes);
        Incoming::Request(request)
    }

    /// Reads what there is. `false`: there will be nothing more.
    async fn read_some(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(count) if count > 0)
    }

    /// Writes bytes as they are.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.clock.limit(WRITE_TIME_MAX, self.stream.write_all(bytes)).await {
            Some(done) => done,
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Ends the connection in order, which over TLS is more than to drop it.
    pub(super) async fn close(mut self) {
        let _ = self.clock.limit(WRITE_TIME_MAX, self.stream.shutdown()).await;
    }

    /// Says nothing more until the client gives up.
    pub(super) async fn hang(&mut self) {
        let clock = self.clock.clone();
        let until_closed = async {
            while self.read_some().await {
                self.buffer.clear();
            }
        };
        let _ = clock.limit(HANG_MAX, until_closed).await;
    }

    /// Ends the connection with a reset instead of an orderly close.
    pub(super) fn reset(self) {
        let _ = socket2::SockRef::from(self.stream.socket()).set_linger(Some(Duration::ZERO));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_head_is_taken_apart() {
        let text = b"POST /app/request?seq=-5&x=1 HTTP/1.1\r\nContent-Length: 3\r\nCookie: TP_SESSIONID=A\r\n\r\nabc";
        let head = parse_head(text).unwrap().unwrap();
        assert_eq!(head.body_bytes, 3);
        assert_eq!(text.len() - head.bytes, 3);
        assert_eq!(head.request.path(), "/app/request");
        assert_eq!(head.request.query("seq"), Some("-5"));
        assert_eq!(head.request.query("token"), None);
        assert_eq!(head.request.header("cookie"), Some("TP_SESSIONID=A"));
        assert!(!head.request.last);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let check = |text: &str, expect: u16| assert_eq!(parse_head(text.as_bytes()), Err(expect), "{text}");
        check("hello\r\n\r\n", 400);
        check("POST  / HTTP/1.1\r\n\r\n", 400);
        check("POST / HTTP/2.0\r\n\r\n", 400);
        check("post / HTTP/1.1\r\n\r\n", 400);
        check("POST app HTTP/1.1\r\n\r\n", 400);
        check("POST / HTTP/1.1\r\nno colon\r\n\r\n", 400);
        check("POST / HTTP/1.1\r\nA B: c\r\n\r\n", 400);
        check("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400);
        check("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400);
        check("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400);
        check("POST / HTTP/1.1\r\nContent-Length: 70000\r\n\r\n", 413);
        check(&format!("POST / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1)), 431);
        check(&"A".repeat(HEAD_BYTES_MAX + 1), 431);
        assert_eq!(parse_head(b"POST / HT"), Ok(None));
    }

    #[test]
    fn the_last_request_of_a_connection_is_known() {
        let last = |text: &str| parse_head(text.as_bytes()).unwrap().unwrap().request.last;
        assert!(last("POST / HTTP/1.0\r\n\r\n"));
        assert!(last("POST / HTTP/1.1\r\nConnection: Close\r\n\r\n"));
        assert!(!last("POST / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n"));
    }

    #[test]
    fn an_answer_is_written_as_plugs_do() {
        let text = String::from_utf8(Response::page(403).encode(false)).unwrap();
        assert!(text.starts_with("HTTP/1.1 403 Forbidden\r\nServer: SHIP 2.0\r\nContent-Length: "), "{text}");
        assert!(text.contains("\r\nConnection: keep-alive\r\n\r\n<html>"), "{text}");
    }

    #[test]
    fn a_chunked_answer_says_sizes_as_machines_do() {
        let mut response = Response::bytes(200, "text/xml", vec![b'x'; CHUNK_BYTES_MAX + 10]);
        response.chunked = true;
        let text = String::from_utf8(response.encode(false)).unwrap();
        assert!(text.contains("\r\nTransfer-Encoding: chunked\r\n") && !text.contains("Content-Length"), "{text}");
        assert!(text.contains("\r\n\r\n0540\r\nxx") && text.ends_with("\r\n000A\r\nxxxxxxxxxx\r\n0\r\n\r\n"), "{text}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fall_over(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse_head(&bytes);
        }

        #[test]
        fn no_headers_make_the_parser_fall_over(text in "POST /[a-z?=&]{0,9} HTTP/1.1\r\n([A-Za-z-]{0,9}:? ?[ -~]{0,9}\r\n){0,5}\r\n") {
            let _ = parse_head(text.as_bytes());
        }
    }
}
