//! The host name and the addresses of this machine.

use std::net::{IpAddr, Ipv6Addr};

/// Addresses that are looked at. Machines with containers have dozens.
const ADDRESSES_MAX: usize = 64;

/// What this machine calls itself, if that is a name at all.
pub(crate) fn name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_ascii_lowercase();
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    (is_name && !name.is_empty() && name != "localhost").then_some(name)
}

/// That name, and the one that mDNS gives it.
pub(crate) fn names() -> Vec<String> {
    let Some(name) = name() else { return Vec::new() };
    let local = format!("{}.local", name.split('.').next().unwrap_or(&name));
    if local == name { vec![name] } else { vec![name, local] }
}

/// Its addresses on networks, as the kernel lists them; none where it does not.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let mut found = v4(&read("/proc/net/fib_trie"));
    found.extend(v6(&read("/proc/net/if_inet6")));
    found.truncate(ADDRESSES_MAX);
    found
}

/// An address stands in a line of its own, and what it is in the next.
fn v4(text: &str) -> Vec<IpAddr> {
    let (mut found, mut last) = (Vec::new(), None);
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<IpAddr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last.filter(|address| !address.is_loopback() && !found.contains(address))
        {
            found.push(address);
        }
    }
    found
}

/// `20010db8000000000000000000000001 02 40 00 80 eth0`: address, interface, prefix, scope, flags, name.
fn v6(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut fields = line.split_whitespace();
        let address = Ipv6Addr::from_bits(u128::from_str_radix(fields.next()?, 16).ok()?);
        let (scope, flags) = (fields.nth(2)?, u8::from_str_radix(fields.next()?, 16).ok()?);
        // One that is temporary (RFC 8981) is another one tomorrow.
        (scope == "00" && flags & 1 == 0).then_some(IpAddr::V6(address))
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 192.0.2.0/24 2 0 2\n        |-- 192.0.2.0\n           \
                    /24 link UNICAST\n        |-- 192.0.2.11\n           /32 host LOCAL\n        |-- 192.0.2.255\n           /32 link BROADCAST\nLocal:\n        \
                    |-- 127.0.0.1\n           /32 host LOCAL\n        |-- 192.0.2.11\n           /32 host LOCAL\n";
        assert_eq!(v4(trie), ["192.0.2.11".parse::<IpAddr>().unwrap()]);
        let table = "fe80000000000000025cfffe31319c00 02 40 20 80 eth0\n20010db8000000000000000000000011 02 40 00 80 eth0\n\
                     20010db80000000000000000deadbeef 02 40 00 01 eth0\n00000000000000000000000000000001 01 80 10 80 lo\n";
        assert_eq!(v6(table), ["2001:db8::11".parse::<IpAddr>().unwrap()]);
        assert!(v4("").is_empty() && v6("nonsense\n").is_empty());
    }
}
