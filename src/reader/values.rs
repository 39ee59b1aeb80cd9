//! From one text to one value: what the sections of several drivers have in common. Pure; each says what is wrong with the
//! text and how it should look.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::account::{NAME_CHARS_MAX, check_line};
use crate::node::MacAddress;

/// Longest name of an account of a device: as long as one of this service.
pub(crate) const USERNAME_CHARS_MAX: usize = NAME_CHARS_MAX;

/// Longest host name (RFC 1035).
const HOST_CHARS_MAX: usize = 253;

/// Longest part of a host name (RFC 1035).
const LABEL_CHARS_MAX: usize = 63;

/// Where a device is: `192.0.2.11`, `192.0.2.11:80`, `plug-1.lan`, `2001:db8::11`, `[2001:db8::11]:80`. IPv6 addresses
/// come back without brackets, names in small letters.
pub(crate) fn address(text: &str) -> Result<(String, Option<u16>), String> {
    let bad = |why: &str| format!("{text:?} is not an address: {why}");
    if text.contains("://") || text.contains('/') {
        return Err(bad("write the host alone, without http:// and without a path"));
    }
    if text.contains('%') {
        return Err(bad("an IPv6 zone (%eth0) cannot be used; give the device a global or a unique local address"));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, port) = rest.split_once(']').ok_or_else(|| bad("the closing ] is missing"))?;
        let ip: Ipv6Addr = inner.parse().map_err(|_| bad("what is in the brackets must be an IPv6 address"))?;
        let port = match port.strip_prefix(':') {
            Some(port) => Some(self::port(port).ok_or_else(|| bad("behind the colon must be a port, 1 to 65535"))?),
            None if port.is_empty() => None,
            None => return Err(bad("behind the brackets only :PORT may follow")),
        };
        return Ok((device_ip(ip.into()).map_err(bad)?, port));
    }
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Ok((device_ip(ip.into()).map_err(bad)?, None));
    }
    let (host, port) = match text.split_once(':') {
        Some((_, more)) if more.contains(':') => {
            return Err(bad("an IPv6 address with a port is written [2001:db8::11]:80"));
        }
        Some((host, port)) => {
            let port = self::port(port).ok_or_else(|| bad("behind the colon must be a port, 1 to 65535"))?;
            (host, Some(port))
        }
        None => (text, None),
    };
    if host.chars().all(|c| c.is_ascii_digit() || c == '.') {
        let ip: Ipv4Addr = host.parse().map_err(|_| bad("an IPv4 address has four numbers from 0 to 255"))?;
        return Ok((device_ip(ip.into()).map_err(bad)?, port));
    }
    host_name(host).map_err(bad)?;
    Ok((host.to_ascii_lowercase(), port))
}

fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

fn device_ip(ip: IpAddr) -> Result<String, &'static str> {
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    if ip.is_unspecified() || ip.is_multicast() || broadcast {
        return Err("this is not the address of one device");
    }
    Ok(ip.to_string())
}

/// A host name; what is wrong with one.
pub(crate) fn host_name(host: &str) -> Result<(), &'static str> {
    let labels = host.strip_suffix('.').unwrap_or(host);
    if labels.is_empty() {
        return Err("the host is missing");
    }
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let good = |label: &str| {
        (1..=LABEL_CHARS_MAX).contains(&label.len())
            && label.chars().all(letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() > HOST_CHARS_MAX || !labels.split('.').all(good) {
        return Err("a host name is made of letters, digits and hyphens, with dots between its parts");
    }
    Ok(())
}

/// The hardware address of one network interface.
pub(crate) fn mac(text: &str) -> Result<MacAddress, String> {
    let mac: MacAddress = text.parse().map_err(|error| format!("{error}"))?;
    /// In the first byte of an address: it is of a group, not of one interface.
    const GROUP: u8 = 1;
    let [first, ..] = mac.0;
    if mac.0 == [0; 6] || first & GROUP != 0 {
        return Err(format!("{mac} is not the address of one network interface"));
    }
    Ok(mac)
}

/// The name of an account of a device.
pub(crate) fn device_user(text: &str) -> Result<String, String> {
    check_line(text, USERNAME_CHARS_MAX)?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_the_usual_forms() {
        for (text, host, port) in [
            ("192.0.2.11", "192.0.2.11", None),
            ("192.0.2.11:8080", "192.0.2.11", Some(8080)),
            ("plug-1", "plug-1", None),
            ("Plug_1.Example.org:80", "plug_1.example.org", Some(80)),
            ("plug.lan.", "plug.lan.", None),
            ("[::1]:80", "::1", Some(80)),
            ("[2001:DB8:0::1]", "2001:db8::1", None),
            ("2001:db8::1", "2001:db8::1", None),
            ("127.0.0.1:65535", "127.0.0.1", Some(65535)),
        ] {
            assert_eq!(address(text), Ok((host.into(), port)), "{text}");
        }
        let long_label = format!("{}.org", "x".repeat(64));
        let long = vec!["abc"; 70].join(".");
        let name = "a host name is made of letters, digits and hyphens, with dots between its parts";
        let port = "behind the colon must be a port, 1 to 65535";
        for (text, why) in [
            ("", "an IPv4 address has four numbers from 0 to 255"),
            (":80", "an IPv4 address has four numbers from 0 to 255"),
            ("1.2.3", "an IPv4 address has four numbers from 0 to 255"),
            ("1.2.3.256", "an IPv4 address has four numbers from 0 to 255"),
            ("h:", port),
            ("h:0", port),
            ("h:+80", port),
            ("h:65536", port),
            ("[::1]:x", port),
            ("[::1", "the closing ] is missing"),
            ("[h]:80", "what is in the brackets must be an IPv6 address"),
            ("[::1]80", "behind the brackets only :PORT may follow"),
            ("1:2:3", "an IPv6 address with a port is written [2001:db8::11]:80"),
            ("fe80::1%eth0", "an IPv6 zone (%eth0) cannot be used; give the device a global or a unique local address"),
            ("http://h", "write the host alone, without http:// and without a path"),
            ("h/app", "write the host alone, without http:// and without a path"),
            ("0.0.0.0", "this is not the address of one device"),
            ("[::]:80", "this is not the address of one device"),
            ("255.255.255.255", "this is not the address of one device"),
            ("224.0.0.1", "this is not the address of one device"),
            ("ff02::1", "this is not the address of one device"),
            ("a b", name),
            ("-a", name),
            ("a-.b", name),
            ("a..b", name),
            ("ä", name),
            (long_label.as_str(), name),
            (long.as_str(), name),
        ] {
            assert_eq!(address(text), Err(format!("{text:?} is not an address: {why}")), "{text}");
        }
    }
}
