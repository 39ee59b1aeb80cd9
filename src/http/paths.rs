//! Normalizes paths: URLs that were concatenated (`//redfish/v1`) and URLs with needless escapes
//! (`/redfish/v1/%53ystems`) mean the same as the plain one. Pure.
//!
//! Decoded, once, are the characters that need no encoding (RFC 3986, "unreserved"), and `$`, which `$metadata` has.
//! Everything else stays as it was sent: an encoded slash, percent sign or NUL is never decoded, and matches no
//! resource.

use std::borrow::Cow;

/// This path in its one spelling.
pub(super) fn canonical(path: &str) -> Cow<'_, str> {
    if !path.contains("//") && !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut whole = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(next) = rest.chars().next() {
        let (piece, read) = match decoded(rest) {
            Some(plain) => (plain, 3),
            None => (next, next.len_utf8()),
        };
        if !(piece == '/' && whole.ends_with('/')) {
            whole.push(piece);
        }
        rest = rest.get(read..).unwrap_or("");
    }
    Cow::Owned(whole)
}

/// What the escape at the start of this text stands for, if it stands for something that needs none.
fn decoded(text: &str) -> Option<char> {
    let digits = text.strip_prefix('%')?.get(..2)?;
    // `from_str_radix` would take a sign.
    let byte = u8::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'$');
    plain.then_some(char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_is_spelled_the_same() {
        for (sent, meant) in [
            ("/redfish/v1/Systems", "/redfish/v1/Systems"),
            ("//redfish/v1//Systems///n", "/redfish/v1/Systems/n"),
            ("/redfish/v1/%53ystems/%6e%2D1/", "/redfish/v1/Systems/n-1/"),
            ("/redfish/v1/%24metadata", "/redfish/v1/$metadata"),
            ("//", "/"),
        ] {
            assert_eq!(canonical(sent), meant, "{sent}");
        }
    }

    #[test]
    fn nothing_is_decoded_twice_and_nothing_becomes_a_separator() {
        for stays in
            ["/a%2fb", "/a%2F..%2Fb", "/%2553ystems", "/a%00", "/a%", "/a%5", "/a%zz", "/%+5", "/%c3%a4", "/a%3Fx"]
        {
            assert_eq!(canonical(stays), stays);
        }
        assert_eq!(canonical("/a/%2e%2e/b"), "/a/../b", "dots name nothing here, encoded or not");
        assert_eq!(canonical("/ä%e4//x"), "/ä%e4/x");
    }
}
