//! Allowed destinations of events. This machine and its link are not allowed for every subscriber: a service that
//! listens there trusts requests of this machine, and the metadata service of a cloud hands out credentials to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Addresses outside of the link at which clouds tell a machine its credentials.
const METADATA: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254))];

/// Whether an address is of this machine, of its link, of a group, or of a cloud's metadata.
pub(crate) fn is_local(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_near = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast() || address.octets().starts_with(&[0]),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_near
        || address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || METADATA.contains(&address)
}

/// Whether a destination says of itself that it is [local](is_local). Other names may still lead there.
pub(crate) fn names_local(url: &Url) -> bool {
    match host_address(url) {
        Some(address) => is_local(address),
        None => {
            let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
            host == "localhost" || host.ends_with(".localhost")
        }
    }
}

fn host_address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Looks up names, and leaves out what is [local](is_local).
pub(crate) struct OnlyOutside;

impl Resolve for OnlyOutside {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let outside: Vec<SocketAddr> = found.filter(|address| !is_local(address.ip())).collect();
            if outside.is_empty() {
                return Err(LOCAL.into());
            }
            Ok(Box::new(outside.into_iter()) as Addrs)
        })
    }
}

/// Why nothing is sent there.
pub(crate) const LOCAL: &str =
    "the destination is an address of this machine or its link, which only an Administrator may use";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_its_link_and_metadata_are_local() {
        for local in [
            "http://127.0.0.1/",
            "http://127.9.9.9:8000/x",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0.0.0.0/",
            "http://0.1.2.3/",
            "http://169.254.169.254/latest",
            "http://[::1]/",
            "http://[::]/",
            "http://[fe80::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://LOCALHOST/",
            "http://localhost./",
            "http://a.localhost/",
        ] {
            assert!(names_local(&local.parse().unwrap()), "{local}");
        }
        for other in [
            "http://192.0.2.1/",
            "http://10.0.0.1/",
            "http://[2001:db8::1]/",
            "http://[fd00::1]/",
            "http://localhost.example/",
        ] {
            assert!(!names_local(&other.parse().unwrap()), "{other}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_found() {
        let found = OnlyOutside.resolve("localhost".parse().unwrap()).await.map(|found| found.count());
        assert!(found.is_err_and(|error| error.to_string().contains("Administrator")));
    }
}
