//! What the fuzzer gives to the readers of this room (tests/fuzz): any bytes as `Authorization` and as PEM.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{auth, tls};

/// The first byte says what the others are.
pub fn credentials(bytes: &[u8]) {
    match bytes.split_first() {
        Some((b'p', pem)) => certificate(pem),
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

/// What is taken is served, and can be shown.
fn certificate(text: &[u8]) {
    let path = Path::new("");
    let Ok(certified) = tls::parse(text, text, (path, path)) else { return };
    let shown: String = certified.cert.iter().map(tls::pem).collect();
    let again = tls::parse(shown.as_bytes(), text, (path, path)).unwrap();
    assert_eq!(again.cert, certified.cert);
}
