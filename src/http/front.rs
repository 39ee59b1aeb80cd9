//! Processing of each request before routing: its path is normalized, it gets the address of the client behind a
//! trusted proxy, and a request of a browser for a foreign page is refused.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_http::Request;
use actix_web::HttpResponse;
use actix_web::http::Uri;
use actix_web::http::uri::PathAndQuery;

use super::browser::{Foreign, HostNames, foreign_page};
use super::paths::canonical;
use super::proxies::Proxies;

/// The checks before routing, with their settings.
#[derive(Clone)]
pub struct Front {
    /// Who is believed about the client behind it.
    pub proxies: Arc<Proxies>,
    /// By which names this service is reached; `None` where a login is wanted, so that it does not matter.
    pub hosts: Option<Arc<HostNames>>,
    /// How a refusal is answered.
    pub refuse: fn(&str, Foreign) -> HttpResponse,
}

/// These are asked by probes and by Prometheus, under any name, and tell nothing that a login would hide.
const OPEN_PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

impl Front {
    /// Makes a request ready; the answer where it is refused.
    pub(super) fn refusal(&self, request: &mut Request) -> Option<HttpResponse> {
        let head = request.head_mut();
        if let Some(uri) = respelled(&head.uri) {
            head.uri = uri;
        }
        let peer = head.peer_addr;
        let behind_proxy = peer.is_some_and(|peer| self.proxies.trusts(peer.ip()));
        if let Some(peer) = peer.filter(|_| behind_proxy) {
            head.peer_addr = Some(SocketAddr::new(self.proxies.client(peer.ip(), &head.headers), peer.port()));
        }
        let path = head.uri.path();
        let foreign = if foreign_page(&head.method, &head.headers, behind_proxy) {
            Some(Foreign::Page)
        } else if self.hosts.as_ref().is_some_and(|hosts| !hosts.know(&head.headers)) {
            Some(Foreign::Host)
        } else {
            None
        };
        let foreign = foreign.filter(|_| !OPEN_PATHS.contains(&path))?;
        Some((self.refuse)(path, foreign))
    }
}

/// The same URI with its path in its one spelling; `None` where it is.
fn respelled(uri: &Uri) -> Option<Uri> {
    let std::borrow::Cow::Owned(path) = canonical(uri.path()) else { return None };
    let whole = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(whole).ok()?);
    Uri::from_parts(parts).ok()
}
