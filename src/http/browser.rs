//! What the headers of a browser say about the page that sent a request, and whether the request is allowed. Pure.
//!
//! A browser adds its own access to this service to the requests of foreign pages: its address on this network, Basic
//! credentials, and with `auth: none` nothing more is needed. So a request of a foreign page is refused if it would
//! change something, and if its answer would be worth reading. Programs send neither `Origin` nor `Sec-Fetch-Site`, and
//! are not affected.

use std::collections::HashSet;
use std::net::IpAddr;

use actix_web::http::Method;
use actix_web::http::header::{HOST, HeaderMap, HeaderName, ORIGIN};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A page of another site is behind it.
    Page,
    /// It was sent to a name that is not known to be this service's.
    Host,
}

impl Foreign {
    /// What to tell the client.
    pub fn words(self) -> &'static str {
        match self {
            Foreign::Page => {
                "a page of another site sent this request; a browser may use this service only from the service's own \
                 page. Behind a proxy, let the proxy pass on the Host header"
            }
            Foreign::Host => {
                "without a login (server.auth: none) this service is reached only by an IP address, as localhost, or by a \
                 name that is listed under server.host_names in nodes.yaml"
            }
        }
    }
}

/// Whether a browser sent this: others send neither of these headers.
pub(crate) fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE)
}

/// Whether a page of another site is behind this request, and it is one that must not be.
pub(crate) fn foreign_page(method: &Method, headers: &HeaderMap, behind_proxy: bool) -> bool {
    let header = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_foreign = match (header(&SEC_FETCH_SITE), header(&ORIGIN)) {
        // What the browser itself says; `none` is what a person typed.
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let forwarded = header(&X_FORWARDED_HOST).filter(|_| behind_proxy);
            !header(&HOST).into_iter().chain(forwarded).any(|host| is_of(origin, host))
        }
        (None, None) => return false,
    };
    if !is_foreign || !matches!(*method, Method::GET | Method::HEAD) {
        return is_foreign;
    }
    // A link on another page may lead here: it opens a page of ours, which the other one cannot read. And a client that sends
    // a token has got it from its own login; no browser adds one by itself.
    !(header(&SEC_FETCH_MODE) == Some("navigate") || headers.contains_key(X_AUTH_TOKEN))
}

/// Whether a page with this origin comes from this host. The scheme is not compared: a proxy may have taken TLS off.
fn is_of(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let port = match scheme {
        "https" => ":443",
        _ => ":80",
    };
    let bare = |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
    !authority.is_empty() && bare(authority) == bare(host)
}

/// The names by which this service is reached, where it matters by which: a page can make a name of its own lead to this
/// address (DNS rebinding), and then counts as our own page.
#[derive(Clone, Debug, Default)]
pub struct HostNames(HashSet<String>);

impl HostNames {
    /// These names, beside `localhost` and every IP address.
    pub fn new(names: impl IntoIterator<Item = String>) -> HostNames {
        HostNames(names.into_iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect())
    }

    /// Whether this `Host` header is one of them. Without the header there is no browser.
    pub fn know(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(HOST) else { return true };
        let Ok(host) = host.to_str() else { return false };
        let name = host_name(host);
        if name.parse::<IpAddr>().is_ok() {
            return true;
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        name == "localhost" || name.ends_with(".localhost") || self.0.contains(&name)
    }
}

/// A `Host` without its port, and an IPv6 address without its brackets.
fn host_name(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        given.iter().map(pair).collect()
    }

    #[test]
    fn what_a_foreign_page_may_not_ask_for() {
        let refused = |method, given: &[(&'static str, &str)], proxied| foreign_page(&method, &headers(given), proxied);
        let host = ("host", "bmc:8000");
        assert!(!refused(Method::POST, &[host], false), "a program");
        for own in [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none"), ("origin", "http://bmc:8000")] {
            assert!(
                !refused(Method::POST, &[host, own], false) && !refused(Method::GET, &[host, own], false),
                "{own:?}"
            );
        }
        for foreign in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "null"),
            ("origin", "http://bmc:8001"),
            ("origin", "http://evil.example"),
            ("origin", "http://bmc:8000.evil.example"),
        ] {
            for method in [Method::POST, Method::PATCH, Method::DELETE, Method::GET] {
                assert!(refused(method, &[host, foreign], false), "{foreign:?}");
            }
            let token = ("x-auth-token", "t");
            assert!(
                !refused(Method::GET, &[host, foreign, token], false)
                    && refused(Method::POST, &[host, foreign, token], false)
            );
        }
        let link = [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert!(!refused(Method::GET, &link, false) && refused(Method::POST, &link, false));
    }

    #[test]
    fn a_page_behind_a_proxy_is_ours_where_anything_says_so() {
        let origin = ("origin", "https://bmc.example");
        let refused = |given: &[(&'static str, &str)], proxied| foreign_page(&Method::POST, &headers(given), proxied);
        assert!(!refused(&[("host", "bmc.example"), origin], false), "TLS ends at the proxy");
        assert!(!refused(&[("host", "bmc.example:443"), origin], false));
        let inside = ("host", "127.0.0.1:8000");
        assert!(!refused(&[inside, origin, ("sec-fetch-site", "same-origin")], false), "the browser says it");
        let forwarded = [inside, origin, ("x-forwarded-host", "bmc.example")];
        assert!(!refused(&forwarded, true) && refused(&forwarded, false), "only a trusted proxy says it");
    }

    #[test]
    fn names_that_lead_here_are_known() {
        let names = HostNames::new(["bmc.example".to_owned()]);
        for known in
            ["localhost:8000", "LOCALHOST", "x.localhost", "127.0.0.1", "127.1.2.3:80", "[::1]:8000", "BMC.example.:80"]
        {
            assert!(names.know(&headers(&[("host", known)])), "{known}");
        }
        for other in
            ["evil.example", "localhost.evil.example", "bmc.example.evil", "127.0.0.1.evil.example", "[::1", ""]
        {
            assert!(!names.know(&headers(&[("host", other)])), "{other}");
        }
        assert!(names.know(&headers(&[])));
    }
}
