//! One HTTP recipe for all drivers: deadlines, a cap on answers, no proxy, no redirects, logs without secrets.
//!
//! It knows no device protocol. Every request passes the device's gate, is counted and is written down for the flight
//! recorder here, so no driver can forget it; what it was about in clear only the driver can add.
//! Logs name the step of a protocol, never a URL, a header or a body: tokens live in all three.

use std::error::Error as _;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use thiserror::Error;
use tracing::debug;

mod tls;

pub(crate) use self::tls::Certificate;
pub use self::tls::Tls;
use super::DeviceContext;
use crate::clock::{Clock, Mono};
use crate::recorder::Exchange;

/// Longest answer of a plug that is read. The largest honest ones (a strip's list) have a few kilobytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How long an unused connection to a plug is kept: a login, what follows it, and the reading after an order share one. Not
/// from poll to poll: a plug bears few connections, others want one too, and an open one costs us 28 KiB.
const PLUG_IDLE_MAX: Duration = Duration::from_secs(3);

/// One unused connection is kept: more would take up the few that a plug bears, and there is one request at a time.
const IDLE_CONNECTIONS_MAX: usize = 1;

/// Most pieces of an answer. AMT's are of 544 bytes: the longest answer that is read has 2,000.
const PIECES_MAX: usize = 20_000;

/// How long the page of a 401 is waited for: it is not used, and its connection is closed when it does not come.
const PAGE_MAX: Duration = Duration::from_secs(1);

/// How long a device is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// For the connection, the look-up of a name included.
    pub connect: Duration,
    /// For the whole exchange, from the connection to the last byte of the answer.
    pub exchange: Duration,
}

/// What a client is made by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientConfig {
    /// How long a device is waited for.
    pub deadlines: Deadlines,
    /// Longest answer that is read.
    pub answer_bytes_max: usize,
    /// How long an unused connection is kept.
    pub idle_max: Duration,
    /// Whom to trust.
    pub tls: Tls,
}

/// An HTTP client for one device.
pub(crate) struct HttpClient {
    client: reqwest::Client,
    client_config: ClientConfig,
    seen: tls::Seen,
    /// Until when the next request will use the connection that the last answer left open.
    kept: Mutex<Option<Mono>>,
}

/// On whose behalf a request is made, and what for.
pub(crate) struct RequestContext<'a> {
    /// The device's gate and meters, and the node for the logs.
    pub context: &'a DeviceContext,
    /// What the meters call it: `login`, `read`, `set`.
    pub op: &'static str,
    /// What the logs call it: `handshake1`.
    pub step: &'static str,
    /// Which request of the call it is, counted from 1.
    pub attempt: u32,
}

/// A request. All of them are POST.
pub(crate) struct Post {
    /// Where to.
    pub url: String,
    /// Headers beside `Host`, `Accept` and `Content-Length`.
    pub headers: HeaderMap,
    /// The body, sent whole with its `Content-Length`.
    pub body: Vec<u8>,
}

/// An answer with any status.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// Why there is no answer. The words never hold a URL, a header or a body.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HttpError {
    /// No connection, so nothing was asked.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// A connection, but no whole answer in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The other side closed the connection before its answer was whole.
    #[error("the connection was closed before the answer was whole: {0}")]
    Closed(String),
    /// The same before the answer began, on a connection that was kept from the request before: most likely it had been
    /// closed in the meantime, and the request was never read. It cannot be told.
    #[error("the connection was closed before the answer began: {0}")]
    Gone(String),
    /// What came is no HTTP.
    #[error("the answer is no HTTP: {0}")]
    Malformed(String),
    /// The answer does not end.
    #[error("the answer has more than {0} bytes, or too many pieces")]
    TooLong(usize),
    /// A connection, but no TLS that both sides want.
    #[error("no TLS connection: {0}")]
    Tls(String),
    /// The request could not even be made, such as a host that fits into no URL.
    #[error("no such request can be made: {0}")]
    Unmakeable(String),
}

impl HttpError {
    /// How the meters call it: the name of the failure class that it becomes, or `closed`, which need not be a failure.
    const fn outcome(&self) -> &'static str {
        match self {
            HttpError::Unreachable(_) => "unreachable",
            HttpError::TimedOut(_) | HttpError::Closed(_) => "timeout",
            HttpError::Gone(_) => "closed",
            HttpError::Malformed(_) | HttpError::TooLong(_) | HttpError::Tls(_) => "protocol",
            HttpError::Unmakeable(_) => "refused",
        }
    }
}

impl HttpClient {
    /// A client for plugs: plain HTTP.
    pub(crate) fn plain(deadlines: Deadlines) -> Result<HttpClient, HttpError> {
        let (answer_bytes_max, idle_max) = (ANSWER_BYTES_MAX, PLUG_IDLE_MAX);
        HttpClient::new(&ClientConfig { deadlines, answer_bytes_max, idle_max, tls: Tls::Off })
    }

    /// A client. Names and addresses are in each request; nothing is sent yet.
    pub(crate) fn new(client_config: &ClientConfig) -> Result<HttpClient, HttpError> {
        let seen = tls::Seen::default();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(client_config.tls.settings(&seen)?)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .http1_title_case_headers()
            .tcp_nodelay(true)
            .connect_timeout(client_config.deadlines.connect)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(client_config.idle_max)
            .build()
            .map_err(|error| HttpError::Unmakeable(innermost(&error)))?;
        Ok(HttpClient { client, client_config: *client_config, seen, kept: Mutex::default() })
    }

    /// A client for another device by the same recipe. They share the settings and the pool, in which each address has
    /// connections of its own: this costs nearly nothing, where a new client has some 18 KiB.
    pub(crate) fn for_another(&self) -> HttpClient {
        HttpClient {
            client: self.client.clone(),
            client_config: self.client_config,
            seen: self.seen.clone(),
            kept: Mutex::default(),
        }
    }

    /// The certificate that the device showed last; `None` without TLS, and where an authority vouches for it.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        self.seen.get()
    }

    /// Sends a request when the gate lets it pass, and reads the whole answer.
    pub(crate) async fn post(&self, context: RequestContext<'_>, post: Post) -> Result<Answer, HttpError> {
        let turn = context.context.gate.pass().await;
        let start = context.context.clock.now().mono;
        let mut request_guard =
            RequestGuard { start, outcome: "timeout", status: None, error: None, context: &context };
        let limit = self.client_config.deadlines.exchange;
        let result = match context.context.clock.limit(limit, self.exchange(&context.context.clock, post)).await {
            Some(result) => result,
            None => Err(HttpError::TimedOut(limit)),
        };
        match &result {
            Ok(answer) => {
                (request_guard.outcome, request_guard.status) = (status_outcome(answer.status), Some(answer.status))
            }
            Err(error) => {
                (request_guard.outcome, request_guard.error) = (error.outcome(), Some(error.to_string().into()))
            }
        }
        drop(request_guard);
        drop(turn);
        result
    }

    async fn exchange(&self, clock: &Clock, post: Post) -> Result<Answer, HttpError> {
        let kept = self.keep_until(None).is_some_and(|until| clock.now().mono < until);
        let request = self.client.post(post.url).headers(post.headers).body(post.body);
        let mut response = request.send().await.map_err(|error| match self.sort(&error) {
            HttpError::Closed(words) if kept => HttpError::Gone(words),
            other => other,
        })?;
        let body = if response.status() == StatusCode::UNAUTHORIZED {
            // All that it says stands in its headers, whatever becomes of the page.
            let page = clock.limit(PAGE_MAX, self.body(&mut response)).await;
            page.and_then(Result::ok).ok_or(())
        } else {
            Ok(self.body(&mut response).await?)
        };
        let headers = response.headers().clone();
        let closes = headers.get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        let kept = !closes && body.is_ok();
        self.keep_until(kept.then(|| clock.now().mono + self.client_config.idle_max));
        Ok(Answer { status: response.status().as_u16(), headers, body: body.unwrap_or_default() })
    }

    /// The whole body, of bounded length and in a bounded number of pieces: each costs as much as some hundred bytes.
    async fn body(&self, response: &mut reqwest::Response) -> Result<Vec<u8>, HttpError> {
        let framed = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| response.headers().contains_key(name));
        let most = self.client_config.answer_bytes_max;
        let mut body = Vec::new();
        for _ in 0..PIECES_MAX {
            match response.chunk().await {
                Ok(None) => return Ok(body),
                Ok(Some(chunk)) if body.len() + chunk.len() <= most => body.extend_from_slice(&chunk),
                Ok(Some(_)) => break,
                // It ends with the connection, which was closed without the close_notify of TLS.
                Err(error) if !framed && was_closed(&error) => return Ok(body),
                Err(error) => return Err(self.sort(&error)),
            }
        }
        Err(HttpError::TooLong(most))
    }

    /// Notes until when the connection is kept; what was noted before.
    fn keep_until(&self, until: Option<Mono>) -> Option<Mono> {
        std::mem::replace(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner), until)
    }

    fn sort(&self, error: &reqwest::Error) -> HttpError {
        let words = innermost(error);
        let deadlines = self.client_config.deadlines;
        if error.is_builder() {
            HttpError::Unmakeable(words)
        } else if let Some(words) = causes(error).find_map(tls::handshake_words) {
            HttpError::Tls(words)
        } else if error.is_connect() {
            let late = error.is_timeout().then(|| format!("nothing within {} s", deadlines.connect.as_secs_f32()));
            HttpError::Unreachable(late.unwrap_or(words))
        } else if error.is_timeout() {
            HttpError::TimedOut(deadlines.exchange)
        } else if was_closed(error) {
            HttpError::Closed(words)
        } else {
            HttpError::Malformed(words)
        }
    }
}

/// The last link of the chain of causes: `Connection refused (os error 111)`. The links before it name the URL.
fn innermost(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| "unknown cause".into(), ToString::to_string)
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

fn was_closed(error: &reqwest::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    causes(error).any(|cause| match cause.downcast_ref::<io::Error>() {
        Some(io) => matches!(io.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof),
        // hyper has no public kind for it; a test holds on to its words.
        None => cause.to_string().contains("closed"),
    })
}

const fn status_outcome(status: u16) -> &'static str {
    match status {
        200..=299 => "ok",
        429 => "busy",
        400..=499 => "refused",
        _ => "protocol",
    }
}

/// Counts, logs and writes down a request when it goes out of scope: also one that is dropped before its end, which is what a
/// deadline further out does.
struct RequestGuard<'a> {
    start: Mono,
    outcome: &'static str,
    status: Option<u16>,
    error: Option<Box<str>>,
    context: &'a RequestContext<'a>,
}

impl Drop for RequestGuard<'_> {
    fn drop(&mut self) {
        let RequestContext { context, op, step, attempt } = self.context;
        let now = context.clock.now();
        let took = now.mono.since(self.start);
        context.meters.request(op, self.outcome, took);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        debug!(node = %context.node, op, step, attempt, took_ms, outcome = self.outcome, "device request");
        context.exchange_log.record(Exchange {
            at: now.wall,
            op,
            step,
            attempt: *attempt,
            took,
            outcome: self.outcome,
            status: self.status,
            sent: None,
            answered: None,
            remark: self.error.take(),
        });
    }
}

#[cfg(test)]
mod tests;
