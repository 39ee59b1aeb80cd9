//! The fuzzing entry points of this room (tests/fuzz): any bytes as `Authorization`, as PEM, as a path, and as the list
//! of hops that a proxy sends.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderValue, X_FORWARDED_FOR};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::proxies::{Network, Proxies};
use super::{auth, paths, tls};

/// The first byte says what the others are.
pub fn credentials(bytes: &[u8]) {
    match bytes.split_first() {
        Some((b'p', pem)) => certificate(pem),
        Some((b'u', path)) => spelling(path),
        Some((b'f', header)) => hops(header),
        Some((_, header)) => authorization(header),
        None => {}
    }
}

/// What is read is what was encoded: what is read is UTF-8, also where Latin-1 was sent.
fn authorization(header: &[u8]) {
    let Some(credentials) = auth::basic(header) else { return };
    let written = format!("Basic {}", BASE64_STANDARD.encode(credentials.as_bytes()));
    assert_eq!(auth::basic(written.as_bytes()), Some(credentials));
}

/// The one spelling is not longer, and has no empty segment.
fn spelling(path: &[u8]) {
    let Ok(path) = std::str::from_utf8(path) else { return };
    let canonical = paths::canonical(path);
    assert!(canonical.len() <= path.len() && !canonical.contains("//"), "{canonical:?}");
}

/// A peer that is not trusted is the client, whatever it sends; a trusted one is not when it names another that is not.
fn hops(header: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(header) else { return };
    let proxies = Proxies::new(vec![Network::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8)]);
    let (near, far) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    for name in [X_FORWARDED_FOR, FORWARDED] {
        let headers = HeaderMap::from_iter([(name, value.clone())]);
        assert_eq!(proxies.client(far, &headers), far);
        let _ = proxies.client(near, &headers);
    }
}

/// What is taken is served, and can be shown.
fn certificate(text: &[u8]) {
    let path = Path::new("");
    let Ok(certified) = tls::parse(text, text, (path, path)) else { return };
    let shown: String = certified.cert.iter().map(tls::pem).collect();
    let again = tls::parse(shown.as_bytes(), text, (path, path)).unwrap();
    assert_eq!(again.cert, certified.cert);
}
