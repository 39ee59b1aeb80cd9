//! How much of everything there may be, and rules that look at more than one value. Pure.

use std::net::SocketAddr;

/// Most nodes. Each has an actor and a poll; at the longest poll interval of an hour this is still one every 180 ms.
pub(super) const NODES_MAX: usize = 20_000;

/// Most addresses to listen on: one for each network, IPv4 and IPv6, and room.
pub(super) const LISTEN_MAX: usize = 16;

/// Most names under which the service is reached.
pub(super) const HOST_NAMES_MAX: usize = 64;

/// Most proxies, or networks of them, that are trusted.
pub(super) const PROXIES_MAX: usize = 64;

/// Most nodes that an account can be limited to: they are kept with it, in a record of 16 KiB. More are for an account without
/// a limit.
pub(super) const ACCOUNT_NODES_MAX: usize = 128;

/// Most network interfaces of a machine. Servers with many ports have some twenty.
pub(super) const NICS_MAX: usize = 64;

/// Most processors of a machine; the largest boards have eight sockets.
pub(super) const PROCESSORS_MAX: usize = 64;

/// Most drives of a machine; the largest boxes have about a hundred.
pub(super) const DRIVES_MAX: usize = 256;

/// The first address that others than this machine can reach.
pub(super) fn reachable_from_outside(listen: &[SocketAddr]) -> Option<SocketAddr> {
    listen.iter().copied().find(|address| !address.ip().to_canonical().is_loopback())
}
