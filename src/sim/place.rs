//! The addresses of the plugs and machines of a rack: a loopback address for each, with its TCP and UDP ports.
//!
//! Every address of 127.0.0.0/8 can be bound on Linux. Elsewhere a device falls back to 127.0.0.1 and has no discovery;
//! its description says so.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};

use super::config::dice;
use crate::clock;

/// How many free addresses are tried for one device before it falls back. Two racks that meet by chance are rare.
const TRIES_MAX: u64 = 64;

/// The sockets of a device.
pub(super) struct Sockets {
    pub tcp: TcpListener,
    pub tcp_address: SocketAddr,
    pub udp: Option<Arc<UdpSocket>>,
    /// What did not go as wished.
    pub note: Option<String>,
}

impl Sockets {
    pub(super) fn ip(&self) -> Ipv4Addr {
        match self.tcp_address {
            SocketAddr::V4(address) => *address.ip(),
            SocketAddr::V6(_) => Ipv4Addr::LOCALHOST,
        }
    }
}

/// Finds a place: the address asked for, or somewhere free, or as a last resort 127.0.0.1.
pub(super) async fn find(address: Option<Ipv4Addr>, port: u16, discovery: Option<u16>) -> io::Result<Sockets> {
    match address {
        Some(address) => match bind(address, port, discovery).await {
            Ok(sockets) => Ok(sockets),
            Err(error) => fall_back(&format!("cannot listen on {address}:{port}: {error}")).await,
        },
        None => {
            for _ in 0..TRIES_MAX {
                match bind(candidate(), port, discovery).await {
                    Ok(sockets) if sockets.udp.is_some() == discovery.is_some() => return Ok(sockets),
                    _ => {}
                }
            }
            fall_back("found no free loopback address").await
        }
    }
}

/// Binds both sockets. Without discovery if only its port cannot be had.
pub(super) async fn bind(address: Ipv4Addr, port: u16, discovery: Option<u16>) -> io::Result<Sockets> {
    let tcp = TcpListener::bind((address, port)).await?;
    let tcp_address = tcp.local_addr()?;
    let (udp, note) = match discovery {
        None => (None, Some("discovery is switched off".to_owned())),
        Some(port) => match UdpSocket::bind((address, port)).await {
            Ok(udp) => (Some(Arc::new(udp)), None),
            Err(error) => (None, Some(format!("no discovery: cannot bind UDP {address}:{port}: {error}"))),
        },
    };
    Ok(Sockets { tcp, tcp_address, udp, note })
}

async fn fall_back(why: &str) -> io::Result<Sockets> {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let tcp_address = tcp.local_addr()?;
    let note = Some(format!("{why}; on {tcp_address} instead, without discovery"));
    Ok(Sockets { tcp, tcp_address, udp: None, note })
}

/// A loopback address that other racks of this and of other processes hardly take: 127.64.0.0 to 127.127.255.255.
fn candidate() -> Ipv4Addr {
    let [a, b, c, ..] = dice(u64::from(std::process::id()), clock::serial()).to_be_bytes();
    Ipv4Addr::new(127, 64 + a % 64, b, 1 + c % 254)
}
