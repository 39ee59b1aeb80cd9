//! ETags as clients send them back: a proxy that compresses answers changes them (`W/"6"` by nginx, `"6-gzip"` by
//! Apache), and they still match the ETag that was sent. Pure.

use actix_web::http::header::{HeaderMap, HeaderName};

/// What is put behind a tag when the body is compressed. None of our own tags ends like this.
const SUFFIXES: [&str; 6] = ["--gzip", ";gzip", "-gzip", "-br", "-zstd", "-deflate"];

/// The tags of this header, all of its lines, each as we made it; `None` where it was not sent.
pub(super) fn sent(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut lines = headers.get_all(name).map(|line| line.to_str().unwrap_or("\"?\"")).peekable();
    lines.peek()?;
    let tags: Vec<String> = lines.flat_map(|line| line.split(',')).map(|tag| plain(tag.trim())).collect();
    Some(tags.join(","))
}

/// A tag without what was done to it on its way.
fn plain(tag: &str) -> String {
    let strong = tag.strip_prefix("W/").unwrap_or(tag);
    let Some(inner) = strong.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return tag.to_owned() };
    let inner = SUFFIXES.iter().find_map(|suffix| inner.strip_suffix(suffix)).unwrap_or(inner);
    format!("\"{inner}\"")
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderValue, IF_MATCH};

    use super::*;

    #[test]
    fn tags_are_what_they_were() {
        let sent = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            lines.iter().for_each(|line| headers.append(IF_MATCH, HeaderValue::from_str(line).unwrap()));
            super::sent(&headers, &IF_MATCH)
        };
        assert_eq!(sent(&[]), None);
        for (given, made) in [
            ("\"6\"", "\"6\""),
            ("W/\"6\"", "\"6\""),
            ("\"6-gzip\"", "\"6\""),
            ("W/\"6-br\" , \"7--gzip\"", "\"6\",\"7\""),
            ("*", "*"),
            ("6", "6"),
            ("\"6-gzip", "\"6-gzip"),
            ("", ""),
        ] {
            assert_eq!(sent(&[given]).as_deref(), Some(made), "{given}");
        }
        assert_eq!(sent(&["\"1\"", "W/\"2\""]).as_deref(), Some("\"1\",\"2\""));
    }
}
