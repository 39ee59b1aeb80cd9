//! The client address of a request: that of its connection, or the one that a trusted proxy reports. Pure.

use std::net::IpAddr;

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, X_FORWARDED_FOR};

/// Addresses with the same first bits, as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The addresses that share the first `bits` with this one.
    pub fn new(address: IpAddr, bits: u8) -> Network {
        Network { address, bits }
    }

    fn contains(self, other: IpAddr) -> bool {
        let differing = |a: u128, b: u128, width: u32| {
            let ignored = width.saturating_sub(self.bits.into());
            (a ^ b).checked_shr(ignored).unwrap_or(0)
        };
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => differing(a.to_bits().into(), b.to_bits().into(), 32) == 0,
            (IpAddr::V6(a), IpAddr::V6(b)) => differing(a.to_bits(), b.to_bits(), 128) == 0,
            _ => false,
        }
    }
}

/// The proxies whose client addresses are trusted.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<Network>);

impl Proxies {
    /// Trusts the proxies in these networks.
    pub fn new(networks: Vec<Network>) -> Proxies {
        Proxies(networks)
    }

    /// Whether this is one of them.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whose request this is, when it comes from `peer`: the last address in the list of hops that is not a trusted proxy
    /// itself. What stands before it was written by that client, and is not believed; where an entry is not an
    /// address, the proxy that wrote it down is the last thing known.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        let listed = hops(headers, &X_FORWARDED_FOR, Some);
        let hops = if listed.is_empty() { hops(headers, &FORWARDED, forwarded_for) } else { listed };
        let mut last = peer;
        for hop in hops.iter().rev() {
            let Some(address) = hop else { return last };
            last = *address;
            if !self.trusts(last) {
                return last;
            }
        }
        last
    }
}

/// The hops that a header names, the nearest last; `None` for one that is not an address.
fn hops<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    entry: impl Fn(&'a str) -> Option<&'a str>,
) -> Vec<Option<IpAddr>> {
    let values = headers.get_all(name).map(|value| value.to_str().unwrap_or("?"));
    let entries = values.flat_map(|value| value.split(','));
    entries.map(|text| address(entry(text.trim())?)).collect()
}

/// The `for` of an element of `Forwarded` (RFC 7239).
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    let plain = || text.rsplit_once(':').map(|(address, _)| address).filter(|address| !address.contains(':'));
    let parsed = |text: &str| text.parse::<IpAddr>().ok();
    let address = bracketed.map_or_else(|| parsed(text).or_else(|| parsed(plain()?)), parsed)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(peer: &str, name: HeaderName, values: &[&str]) -> String {
        let networks = [("10.0.0.0", 8), ("2001:db8::", 32), ("192.0.2.7", 32)];
        let proxies = Proxies::new(networks.map(|(address, bits)| Network::new(ip(address), bits)).into());
        let mut headers = HeaderMap::new();
        values.iter().for_each(|value| headers.append(name.clone(), HeaderValue::from_str(value).unwrap()));
        proxies.client(ip(peer), &headers).to_string()
    }

    #[test]
    fn only_what_a_trusted_proxy_says_is_believed() {
        let xff = |peer, values: &[&str]| client(peer, X_FORWARDED_FOR, values);
        assert_eq!(xff("198.51.100.1", &["203.0.113.9"]), "198.51.100.1", "a stranger says what it likes");
        assert_eq!(xff("10.1.2.3", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(xff("::ffff:10.1.2.3", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(xff("192.0.2.8", &["203.0.113.9"]), "192.0.2.8");
        assert_eq!(xff("10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(xff("10.1.2.3", &["1.1.1.1, 203.0.113.9, 10.9.9.9"]), "203.0.113.9", "from the right");
        assert_eq!(xff("10.1.2.3", &["1.1.1.1", "203.0.113.9", "192.0.2.7"]), "203.0.113.9", "in several lines");
        assert_eq!(xff("10.1.2.3", &["10.4.4.4, 10.9.9.9"]), "10.4.4.4", "all of them are proxies");
        assert_eq!(xff("10.1.2.3", &["203.0.113.9, unknown, 10.9.9.9"]), "10.9.9.9", "the last that is known");
        assert_eq!(xff("10.1.2.3", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(xff("2001:db8::5", &["[2001:db9::1]:80"]), "2001:db9::1");
        assert_eq!(xff("10.1.2.3", &["2001:db9::1"]), "2001:db9::1");
    }

    #[test]
    fn forwarded_is_read_where_it_stands_alone() {
        let forwarded = |values: &[&str]| client("10.1.2.3", FORWARDED, values);
        assert_eq!(forwarded(&["for=203.0.113.9;proto=https;by=10.0.0.1"]), "203.0.113.9");
        assert_eq!(forwarded(&["by=10.0.0.1; For=\"[2001:db9::1]:4711\""]), "2001:db9::1");
        assert_eq!(forwarded(&["for=1.1.1.1, for=203.0.113.9, for=10.2.2.2"]), "203.0.113.9");
        assert_eq!(forwarded(&["for=203.0.113.9, for=_hidden"]), "10.1.2.3");
    }

    #[test]
    fn a_network_is_its_first_bits() {
        let has = |network: &str, bits, other: &str| Network::new(ip(network), bits).contains(ip(other));
        assert!(has("10.0.0.0", 8, "10.255.0.1") && !has("10.0.0.0", 8, "11.0.0.0"));
        assert!(has("0.0.0.0", 0, "203.0.113.9") && !has("0.0.0.0", 0, "::1"));
        assert!(has("::", 0, "2001:db8::1") && has("::1", 128, "::1") && !has("::1", 128, "::2"));
    }
}
