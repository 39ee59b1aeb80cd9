//! Rendered resources, cached: most reads are for resources that have not changed since the last read.
//!
//! A node's view is immutable, so a body made from it is valid for as long as the view is published. Each worker thread
//! has a cache of its own, so that no lock is taken.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::HttpResponseBuilder;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LINK,
};
use actix_web::web::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::message::ErrorResponse;
use super::resource::Etag;
use super::{Document, Route, tags};
use crate::http::bodies::{Bodies, LARGE};
use crate::node::view::NodeView;

/// Bodies cached by one worker. A System has about 2 KB, so this is 1 MB; with a larger fleet some are rendered again.
const CACHED_MAX: usize = 512;

/// The type of almost every answer.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The type of `$metadata`.
const XML: HeaderValue = HeaderValue::from_static("application/xml;charset=utf-8");

/// The version of OData that Redfish is built on, `4.0`.
pub(crate) const ODATA_VERSION: HeaderName = HeaderName::from_static("odata-version");

/// A document with its headers, ready to be sent.
#[derive(Clone)]
pub struct CachedBody {
    body: Bytes,
    kind: HeaderValue,
    allow: HeaderValue,
    link: Option<HeaderValue>,
    etag: Option<HeaderValue>,
    /// As long as the ETag stays the same, so does the body.
    etag_speaks_for_all: bool,
}

/// A body with the view from which it was rendered.
struct Entry {
    view: Arc<NodeView>,
    body: CachedBody,
}

thread_local! {
    static CACHE: RefCell<HashMap<String, Entry>> = RefCell::default();
}

/// The body of this path for this view, from the cache or rendered now.
pub(crate) fn serve(
    path: &str,
    view: &Arc<NodeView>,
    make: impl FnOnce() -> Result<CachedBody, ErrorResponse>,
) -> Result<CachedBody, ErrorResponse> {
    CACHE.with_borrow_mut(|cache| {
        if let Some(entry) = cache.get(path).filter(|entry| Arc::ptr_eq(&entry.view, view)) {
            return Ok(entry.body.clone());
        }
        let body = make()?;
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(path.to_owned(), Entry { view: view.clone(), body: body.clone() });
        Ok(body)
    })
}

impl CachedBody {
    /// A document made ready. One without an ETag of its own gets a digest of its body.
    pub fn of(document: Document, route: &Route) -> CachedBody {
        // Our own names and numbers: always fit for a header.
        let header = |text: String| HeaderValue::from_maybe_shared(Bytes::from(text)).ok();
        let allow = header(route.allow()).unwrap_or(HeaderValue::from_static("GET, HEAD"));
        let (kind, body, link, own_etag) = match document {
            Document::Resource(resource) => {
                let link = header(described_by(resource.schema));
                (JSON, to_bytes(&Value::Object(resource.body)), link, resource.etag)
            }
            Document::Json(body) => (JSON, to_bytes(&body), None, None),
            Document::Text(body) => (JSON, body.into(), None, None),
            Document::Xml(text) => (XML, text.into(), None, None),
        };
        let (etag, etag_speaks_for_all) = match own_etag {
            None => (digest(&body), true),
            Some(Etag::OfAll(etag)) => (etag, true),
            Some(Etag::OfWrites(etag)) => (etag, false),
        };
        let etag = header(etag);
        CachedBody { body, kind, allow, link, etag, etag_speaks_for_all }
    }

    /// Its media type.
    pub fn content_type(&self) -> &HeaderValue {
        &self.kind
    }

    /// Whether a client that sends these headers has it already.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        self.etag.as_ref().filter(|_| self.etag_speaks_for_all).is_some_and(|etag| knows(headers, etag.as_bytes()))
    }

    /// The response to a read: as it is when it is small, and else in the way that this client takes it.
    pub async fn read(self, headers: &HeaderMap, bodies: &Bodies) -> HttpResponse {
        if self.is_known(headers) {
            return self.response(StatusCode::NOT_MODIFIED);
        }
        if self.body.len() <= LARGE {
            return self.response(StatusCode::OK);
        }
        let body = self.body.clone();
        bodies.send(CachedBody { body: Bytes::new(), ..self }.response(StatusCode::OK), body, headers).await
    }

    /// The response with this status.
    pub fn response(self, status: StatusCode) -> HttpResponse {
        let mut response = head(status);
        response.insert_header((ALLOW, self.allow));
        for (name, value) in [(LINK, self.link), (ETAG, self.etag)] {
            if let Some(value) = value {
                response.insert_header((name, value));
            }
        }
        if status == StatusCode::NOT_MODIFIED {
            return response.finish();
        }
        response.insert_header((CONTENT_TYPE, self.kind));
        response.body(self.body)
    }
}

/// Whether the `If-None-Match` of these headers name this ETag.
pub(crate) fn knows(headers: &HeaderMap, etag: &[u8]) -> bool {
    let tags = tags::sent(headers, &IF_NONE_MATCH);
    tags.is_some_and(|tags| tags.split(',').any(|tag| tag == "*" || tag.as_bytes() == etag))
}

/// A strong ETag of what is sent. Eight bytes are enough, since an attacker gains nothing from a collision.
pub(crate) fn digest(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    format!("\"{}\"", hex::encode(digest.get(..8).unwrap_or_default()))
}

/// A response with the headers that every answer has.
pub(crate) fn head(status: StatusCode) -> HttpResponseBuilder {
    let mut builder = HttpResponse::build(status);
    builder.insert_header((ODATA_VERSION, HeaderValue::from_static("4.0")));
    builder.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-cache")));
    builder
}

/// JSON as bytes.
pub(crate) fn to_bytes(body: &Value) -> Bytes {
    // A `Value` has only text keys, so this cannot fail.
    serde_json::to_vec(body).unwrap_or_default().into()
}

/// The schema of a resource (DSP0266, "Link header").
fn described_by(schema: &str) -> String {
    format!("<http://redfish.dmtf.org/schemas/v1/{schema}.json>; rel=describedby")
}
