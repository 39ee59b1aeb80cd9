//! Sends large bodies to clients: equal bodies are stored once, sent in small pieces, compressed if the client accepts
//! that, and bounded in total. A client that does not read holds a position in a body, and no copy of it. When too much
//! is in transit, the clients that read the oldest bodies are disconnected.

use std::fmt;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, HeaderMap, HeaderValue, VARY};
use actix_web::web::{self, Bytes};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Above this a body is large. What clients read all the time (a System has 3 KB) stays below, and is sent in one piece.
pub(crate) const LARGE: usize = 16 * 1024;

/// Sent at a time. HTTP keeps up to three of these for each connection.
const PIECE: usize = 8 * 1024;

/// Large bodies on their way, all together. The metrics of 3,000 nodes have 4 MB.
const IN_FLIGHT_MAX: usize = 24 << 20;

/// A tenth of the size, at a quarter of the time that the usual level 6 takes.
const LEVEL: u32 = 1;

/// The large bodies on their way.
#[derive(Default)]
pub struct Bodies {
    in_flight: Mutex<Vec<Weak<Shared>>>,
}

/// A body that several connections read.
pub(crate) struct Shared {
    length: usize,
    /// `None` once it was taken away.
    bytes: Mutex<Option<Bytes>>,
    /// The same compressed, while a reader holds that.
    packed: Mutex<Weak<Shared>>,
}

impl Shared {
    fn bytes(&self) -> Option<Bytes> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn packed(&self) -> MutexGuard<'_, Weak<Shared>> {
        self.packed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bodies {
    /// The body that these bytes are: one that is on its way already where it is equal.
    fn share(&self, bytes: Bytes) -> Arc<Shared> {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        in_flight.retain(|body| body.strong_count() > 0);
        let bodies: Vec<Arc<Shared>> = in_flight.iter().filter_map(Weak::upgrade).collect();
        let equal = bodies.iter().find(|body| body.length == bytes.len() && body.bytes().as_ref() == Some(&bytes));
        if let Some(equal) = equal {
            return equal.clone();
        }
        let mut total: usize = bytes.len() + bodies.iter().map(|body| body.length).sum::<usize>();
        for oldest in &bodies {
            if total <= IN_FLIGHT_MAX {
                break;
            }
            total -= oldest.length;
            *oldest.bytes.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        in_flight.retain(|body| body.upgrade().is_some_and(|body| body.bytes().is_some()));
        let body = Arc::new(Shared { length: bytes.len(), bytes: Mutex::new(Some(bytes)), packed: Mutex::default() });
        in_flight.push(Arc::downgrade(&body));
        body
    }

    /// The response with this body, in the way that the client with these headers takes it.
    pub async fn send(&self, response: HttpResponse, bytes: Bytes, headers: &HeaderMap) -> HttpResponse {
        if bytes.len() <= LARGE {
            return response.set_body(bytes).map_into_boxed_body();
        }
        self.send_shared(response, self.share(bytes), headers).await
    }

    async fn send_shared(&self, mut response: HttpResponse, body: Arc<Shared>, asked: &HeaderMap) -> HttpResponse {
        let headers = response.headers_mut();
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        let packed = if takes_gzip(asked) { self.packed(&body).await } else { None };
        if packed.is_some() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            if let Some(etag) = headers.get(ETAG).and_then(suffixed) {
                headers.insert(ETAG, etag);
            }
        }
        response.set_body(Pieces { body: packed.unwrap_or(body), sent: 0 }).map_into_boxed_body()
    }

    /// This body compressed, beside the HTTP workers.
    async fn packed(&self, body: &Shared) -> Option<Arc<Shared>> {
        if let Some(packed) = body.packed().upgrade().filter(|packed| packed.bytes().is_some()) {
            return Some(packed);
        }
        let bytes = body.bytes()?;
        let packed = self.share(web::block(move || gzip(&bytes)).await.ok()?.ok()?.into());
        *body.packed() = Arc::downgrade(&packed);
        Some(packed)
    }
}

/// Whether `Accept-Encoding` asks for gzip. Silence is no wish: not every client that says nothing can read it.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut codings =
        headers.get_all(ACCEPT_ENCODING).filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let is_refused = parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0)));
        name.eq_ignore_ascii_case("gzip") && !is_refused
    })
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::new(LEVEL));
    packed.write_all(bytes)?;
    packed.finish()
}

/// The tag of the compressed body: another one, since other bytes are sent. It comes back as it is, and `tags` reads it.
fn suffixed(etag: &HeaderValue) -> Option<HeaderValue> {
    let inner = etag.to_str().ok()?.strip_suffix('"')?;
    HeaderValue::from_str(&format!("{inner}-gzip\"")).ok()
}

/// A body, a little at a time.
struct Pieces {
    body: Arc<Shared>,
    sent: usize,
}

/// Too much is on its way, and this body is the oldest.
#[derive(Debug)]
struct CutOff;

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client read too slowly, and others needed the memory")
    }
}

impl std::error::Error for CutOff {}

impl MessageBody for Pieces {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        BodySize::Sized(u64::try_from(self.body.length).unwrap_or(u64::MAX))
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.sent >= self.body.length {
            return Poll::Ready(None);
        }
        let Some(bytes) = self.body.bytes() else { return Poll::Ready(Some(Err(CutOff.into()))) };
        let piece = bytes.slice(self.sent..self.body.length.min(self.sent + PIECE));
        self.sent += piece.len();
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use actix_web::http::header::HeaderName;

    use super::*;

    fn asks(value: &'static str) -> HeaderMap {
        std::iter::once((ACCEPT_ENCODING, HeaderValue::from_static(value))).collect()
    }

    fn large(byte: u8, length: usize) -> Bytes {
        vec![byte; length].into()
    }

    fn header<'a>(response: &'a HttpResponse, names: &[HeaderName]) -> Vec<&'a str> {
        names.iter().map(|name| response.headers().get(name).unwrap().to_str().unwrap()).collect()
    }

    async fn collect(response: HttpResponse) -> Result<Bytes, ()> {
        actix_web::body::to_bytes(response.into_body()).await.map_err(|_| ())
    }

    #[actix_web::test]
    async fn a_large_body_is_compressed_for_whoever_asks_and_a_small_one_for_nobody() {
        let bodies = Bodies::default();
        let response = || HttpResponse::Ok().insert_header((ETAG, "\"1\"")).finish();
        let small = bodies.send(response(), large(b'x', LARGE), &asks("gzip")).await;
        assert!(!small.headers().contains_key(CONTENT_ENCODING) && !small.headers().contains_key(VARY));
        for refused in ["", "identity", "br", "gzip;q=0", "gzip; q=0.0, br"] {
            let plain = bodies.send(response(), large(b'x', LARGE + 1), &asks(refused)).await;
            assert_eq!(header(&plain, &[ETAG, VARY]), ["\"1\"", "Accept-Encoding"]);
            assert_eq!(collect(plain).await.unwrap(), large(b'x', LARGE + 1), "{refused}");
        }
        for asked in ["gzip", "br, GZIP;q=0.5", "deflate, gzip"] {
            let packed = bodies.send(response(), large(b'x', 100_000), &asks(asked)).await;
            assert_eq!(header(&packed, &[ETAG, CONTENT_ENCODING]), ["\"1-gzip\"", "gzip"]);
            let mut whole = Vec::new();
            flate2::read::GzDecoder::new(&collect(packed).await.unwrap()[..]).read_to_end(&mut whole).unwrap();
            assert_eq!(whole, large(b'x', 100_000), "{asked}");
        }
    }

    #[actix_web::test]
    async fn equal_bodies_are_one_and_the_oldest_goes_when_there_is_too_much() {
        let bodies = Bodies::default();
        let size = IN_FLIGHT_MAX / 3;
        let first = bodies.share(large(0, size));
        assert!(Arc::ptr_eq(&first, &bodies.share(large(0, size))));
        let [second, third] = [1, 2].map(|byte| bodies.share(large(byte, size)));
        assert!([&first, &second, &third].iter().all(|body| body.bytes().is_some()));
        let mut reader = Pieces { body: first.clone(), sent: 0 };
        let mut next = || Pin::new(&mut reader).poll_next(&mut Context::from_waker(std::task::Waker::noop()));
        assert!(matches!(next(), Poll::Ready(Some(Ok(piece))) if piece.len() == PIECE));
        let fourth = bodies.share(large(3, size));
        assert!(first.bytes().is_none() && fourth.bytes().is_some() && second.bytes().is_some());
        assert!(matches!(next(), Poll::Ready(Some(Err(_)))), "its reader is cut off");
        drop((second, third));
        let huge = bodies.share(large(4, 2 * IN_FLIGHT_MAX));
        assert!(huge.bytes().is_some(), "one alone is sent, however large");
    }
}
