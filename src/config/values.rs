//! Texts that mean something: spans of time, addresses of devices, password hashes.
//!
//! Pure functions from a text to a value or to the reason why not. They know neither keys nor files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Why a text is not what it should be, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct BadValue {
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

fn bad(text: impl Into<String>, hint: &str) -> BadValue {
    BadValue { text: text.into(), hint: Some(hint.into()).filter(|hint: &String| !hint.is_empty()) }
}

/// Reads `15s`, `2m`, `1m30s`, `500ms`.
pub fn span(text: &str) -> Result<Duration, BadValue> {
    let wrong = || bad(format!("{text:?} is no span of time"), "write it like 15s, 2m or 1m30s");
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "" => return Err(bad(format!("{text:?} has no unit"), "write it like 15s, 2m or 1m30s")),
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(millis).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(wrong)?;
        rest = tail;
    }
    Ok(total)
}

/// A span as [`span`] reads it, for messages.
pub fn span_text(span: Duration) -> String {
    match (span.as_secs(), span.subsec_millis()) {
        (0, millis) => format!("{millis}ms"),
        (seconds, 0) if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        (seconds, 0) => format!("{seconds}s"),
        (seconds, millis) => format!("{seconds}s{millis}ms"),
    }
}

/// Reads the address of a device: `host`, `host:port`, `[::1]`, `[::1]:80`, `::1`.
pub fn address(text: &str) -> Result<(String, Option<u16>), BadValue> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(bad(format!("{text:?} is no port"), "a port is a number from 1 to 65535")),
    };
    if text.contains("://") {
        return Err(bad("is a URL", "write only the host, with a port if it is an odd one"));
    }
    if let Some(inner) = text.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or_else(|| bad("has a [ without a ]", "write it as [::1]:80"))?;
        let host: Ipv6Addr = host.parse().map_err(|_| bad(format!("{host:?} is no IPv6 address"), ""))?;
        return match rest.strip_prefix(':') {
            Some(number) => Ok((host.to_string(), Some(port(number)?))),
            None if rest.is_empty() => Ok((host.to_string(), None)),
            None => Err(bad(format!("{rest:?} after the address makes no sense"), "write it as [::1]:80")),
        };
    }
    if let Ok(host) = text.parse::<IpAddr>() {
        return Ok((host.to_string(), None));
    }
    match text.split_once(':') {
        Some((host, number)) => Ok((host_name(host)?, Some(port(number)?))),
        None => Ok((host_name(text)?, None)),
    }
}

/// Longest host name (RFC 1035).
const HOST_LENGTH_MAX: usize = 253;

fn host_name(text: &str) -> Result<String, BadValue> {
    let hint = "write a host name or an IP address, with a port if it is an odd one";
    if text.is_empty() {
        return Err(bad("has no host", hint));
    }
    if text.parse::<Ipv4Addr>().is_ok() {
        return Ok(text.into());
    }
    if let Some(odd) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || ".-_".contains(*c))) {
        return Err(bad(format!("{odd:?} cannot be in a host name"), hint));
    }
    let labels = || text.strip_suffix('.').unwrap_or(text).split('.');
    if text.len() > HOST_LENGTH_MAX || labels().any(|label| label.is_empty() || label.len() > 63) {
        return Err(bad("is no host name", hint));
    }
    // 192.0.2 and 192.0.2.300 are slips of the finger, not names.
    if labels().all(|label| label.chars().all(|c| c.is_ascii_digit())) {
        return Err(bad(format!("{text:?} is no IP address"), ""));
    }
    Ok(text.to_ascii_lowercase())
}

/// Whether a text looks like what `plugfish hash-password` prints: a PHC string of argon2.
pub fn is_password_hash(text: &str) -> bool {
    let mut parts = text.split('$');
    let (before, kind, version) = (parts.next(), parts.next(), parts.next());
    let (costs, salt, hash) = (parts.next(), parts.next(), parts.next());
    let base64 = |part: Option<&str>, at_least: usize| {
        part.is_some_and(|part| {
            part.len() >= at_least && part.chars().all(|c| c.is_ascii_alphanumeric() || "+/.-_".contains(c))
        })
    };
    let number = |text: &str, name: &str| text.strip_prefix(name).is_some_and(|n| n.parse::<u32>().is_ok());
    let costs = costs.is_some_and(|costs| {
        let named = |name: &str| costs.split(',').any(|part| number(part, name));
        named("m=") && named("t=") && named("p=")
    });
    before == Some("")
        && matches!(kind, Some("argon2id" | "argon2i" | "argon2d"))
        && version.is_some_and(|version| number(version, "v="))
        && costs
        && base64(salt, 11)
        && base64(hash, 16)
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, seconds) in
            [("15s", 15.0), ("2m", 120.0), ("1m30s", 90.0), ("500ms", 0.5), ("1h", 3600.0), (" 5s ", 5.0)]
        {
            assert_eq!(span(text).map(|span| span.as_secs_f64()), Ok(seconds), "{text}");
        }
        for text in [
            "",
            "15",
            "s",
            "15 s",
            "-5s",
            "1.5s",
            "15sec",
            "5d",
            "15s 2",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(span(text).is_err(), "{text}");
        }
        for text in ["15s", "2m", "90s", "500ms", "5s500ms"] {
            assert_eq!(span(text).map(span_text), Ok(text.into()));
        }
    }

    #[test]
    fn addresses() {
        for (text, host, port) in [
            ("192.0.2.11", "192.0.2.11", None),
            ("192.0.2.11:8080", "192.0.2.11", Some(8080)),
            ("Plug-1.Example.org", "plug-1.example.org", None),
            ("plug:80", "plug", Some(80)),
            ("[::1]:80", "::1", Some(80)),
            ("[fe80:0::1]", "fe80::1", None),
            ("2001:db8::5", "2001:db8::5", None),
        ] {
            assert_eq!(address(text), Ok((host.into(), port)), "{text}");
        }
        for text in [
            "",
            ":80",
            "plug:",
            "plug:0",
            "plug:65536",
            "plug:http",
            "[::1",
            "[::1]80",
            "[plug]:80",
            "http://plug",
            "a b",
            "plug/1",
            "a..b",
            "192.0.2",
            "192.0.2.300",
            "192.0.2.300:80",
            &"x".repeat(64),
            "plüg",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn password_hashes() {
        let good = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$PhQ6vJ0w1WLp3vD1g0zG5l1hUqXc6m1Y8M3tq7yX8nE";
        assert!(is_password_hash(good));
        for bad in [
            "",
            "secret",
            "$2b$12$abcdefghijklmnopqrstuv",
            "$argon2id$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$PhQ6vJ0w1WLp3vD1g0zG5l1hUqXc6m1Y8M3tq7yX8nE",
            "$argon2id$v=19$m=19456,t=2$c2FsdHNhbHRzYWx0$PhQ6vJ0w1WLp3vD1g0zG5l1hUqXc6m1Y8M3tq7yX8nE",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$short",
        ] {
            assert!(!is_password_hash(bad), "{bad}");
        }
        assert!(!is_password_hash(&format!("{good}$more")));
    }
}
