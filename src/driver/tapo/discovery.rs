//! UDP discovery: finds plugs, wakes a plug whose TCP port sleeps, and finds one again by its MAC address.
//!
//! It knows no login. What a plug says here is not authenticated: it is good for finding, never for trusting.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::net::UdpSocket;

use crate::clock::{self, Clock};
use crate::node::MacAddress;

/// Bytes before the JSON of a datagram.
const HEADER_BYTES: usize = 16;
/// Stands where the checksum goes while the checksum is computed.
const CHECKSUM_SEED: [u8; 4] = 0x5A6B_7C8D_u32.to_be_bytes();
/// Largest answer of a plug.
const DATAGRAM_BYTES_MAX: usize = 2048;
/// A probe is repeated after this long: datagrams get lost.
const REPEAT_EVERY: Duration = Duration::from_secs(3);
/// Most plugs of one search: more answers than a house or a lab has plugs are someone's flood.
const FOUND_MAX: usize = 4096;
/// Most datagrams read in one search, for the same reason.
const DATAGRAMS_MAX: usize = 4 * FOUND_MAX;

/// A public key, which plugs want to see. Its private half was thrown away: only cameras would use the key.
const THROW_AWAY_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAraTXBgXHE8TDS2k8lkIT
Y+9RjO+UG/zKvAakLU46/HvAuoP51DkNe2IZJVXBatysn7Y3q/+9VbMxg4Zm4GrR
YIXJ9YQgHs/mVYZ03hDGkDBDsBlSsX8D9pvHi0PuVU0epUXLtEv9KiCnQB6xqxHh
s+fu5uOEs2/ckZZ8BwYl6Vqegy3H/3sMTJooJzh3xz6tU4z6ReZ2isPIxnfbwSQI
8eOHIm9Yc+R5/hjtkOCk+pnrAHG2LXcy9SlcKYoiM1lWCTbbHKc4iB3qGNcuAjvT
EijbXHpPK5N8KQvq229iUafDwSkJ9JCtEJ5vT2yuYmXB6xrpppplP5e495A2UWDU
QwIDAQAB
-----END PUBLIC KEY-----
";

/// A plug that answered, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it is: `ip` if it says so, else where its answer came from.
    pub address: IpAddr,
    /// Where its answer came from.
    pub sender: IpAddr,
    /// Its TCP port (`http_port`).
    pub port: Option<u16>,
    /// `mac`.
    pub mac: Option<MacAddress>,
    /// `device_model` up to its region: `P110`.
    pub model: Option<String>,
    /// `device_type`: `SMART.TAPOPLUG` for plugs and strips.
    pub device_type: Option<String>,
    /// `encrypt_type`: `AES`, `KLAP`, `TPAP`.
    pub encrypt_type: Option<String>,
    /// `lv`, the version of its login.
    pub login_version: Option<u64>,
    /// `owner`: a hash of the owner's account; empty when it was set up without the cloud.
    pub owner: Option<String>,
    /// `obd_src`: how it was set up: `tplink`, `matter`, `tss`.
    pub set_up_by: Option<String>,
    /// It was never set up.
    pub factory_default: bool,
    /// It is in TPAP mode: Third-Party Compatibility is off.
    pub tpap: bool,
}

impl Found {
    fn same(&self, other: &Found) -> bool {
        match (self.mac, other.mac) {
            (Some(one), Some(two)) => one == two,
            _ => self.address == other.address,
        }
    }
}

/// A probe with this serial number.
pub(super) fn probe(serial: u32) -> Vec<u8> {
    datagram(serial, &serde_json::json!({ "params": { "rsa_key": THROW_AWAY_KEY } }).to_string())
}

fn datagram(serial: u32, json: &str) -> Vec<u8> {
    let length = u16::try_from(json.len()).unwrap_or(u16::MAX);
    // Version 2, type 0, op code 1 (probe), length, flags 0x11, padding, serial.
    let [l1, l0] = length.to_be_bytes();
    let head = [&[2, 0, 0, 1, l1, l0, 0x11, 0], serial.to_be_bytes().as_slice()].concat();
    let mut sum = crc32fast::Hasher::new();
    for part in [head.as_slice(), &CHECKSUM_SEED, json.as_bytes()] {
        sum.update(part);
    }
    [head.as_slice(), &sum.finalize().to_be_bytes(), json.as_bytes()].concat()
}

/// Reads an answer. The header is skipped, not verified, as other clients do; fields may lack.
pub(super) fn parse(datagram: &[u8], sender: IpAddr) -> Option<Found> {
    let answer: Value = serde_json::from_slice(datagram.get(HEADER_BYTES..)?).ok()?;
    if super::wire::error_code(&answer) != 0 {
        return None;
    }
    let result = answer.get("result").filter(|result| result.is_object())?;
    let text = |pointer| result.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let whole = |pointer| result.pointer(pointer).and_then(Value::as_u64);
    let said: Option<IpAddr> = text("/ip").and_then(|ip| ip.parse().ok());
    Some(Found {
        address: said.filter(|ip| !ip.is_unspecified()).unwrap_or(sender),
        sender,
        port: whole("/mgt_encrypt_schm/http_port").and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0),
        mac: text("/mac").and_then(|mac| mac.parse().ok()),
        model: text("/device_model").map(|model| super::smart::plain_model(&model)),
        device_type: text("/device_type"),
        encrypt_type: text("/mgt_encrypt_schm/encrypt_type").or_else(|| text("/encrypt_info/sym_schm")),
        login_version: whole("/mgt_encrypt_schm/lv"),
        owner: text("/owner"),
        set_up_by: text("/obd_src"),
        factory_default: result.get("factory_default").and_then(Value::as_bool).unwrap_or(false),
        tpap: result.get("tpap").is_some_and(Value::is_object),
    })
}

/// Asks `targets` (unicast or broadcast) and returns every plug that answered within `wait`, each once.
///
/// An error only when nothing at all could be sent.
pub(crate) async fn discover(clock: &Clock, targets: &[SocketAddr], wait: Duration) -> io::Result<Vec<Found>> {
    search(clock, targets, wait, |_| false).await
}

/// As [`discover`], but ends as soon as an answer is `enough`.
pub(super) async fn search(
    clock: &Clock,
    targets: &[SocketAddr],
    wait: Duration,
    enough: impl Fn(&Found) -> bool,
) -> io::Result<Vec<Found>> {
    let any: IpAddr = match targets.iter().any(SocketAddr::is_ipv4) {
        true => Ipv4Addr::UNSPECIFIED.into(),
        false => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    if any.is_ipv4() {
        socket.set_broadcast(true)?;
    }
    let mut found = Vec::new();
    let mut left = wait;
    let mut sent = send(&socket, targets).await;
    loop {
        let listening = left.min(REPEAT_EVERY);
        let done = clock.limit(listening, listen(&socket, &mut found, &enough)).await;
        left = left.saturating_sub(listening);
        if done.is_some() || left.is_zero() {
            // One answer proves that something was sent, whatever a single target's error.
            return if found.is_empty() { sent.map(|()| found) } else { Ok(found) };
        }
        sent = sent.or(send(&socket, targets).await);
    }
}

/// Sends one probe to each target. An error only when none could be sent.
async fn send(socket: &UdpSocket, targets: &[SocketAddr]) -> io::Result<()> {
    let probe = probe(u32::from_be_bytes(clock::secret_bytes()));
    let mut result = Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no address to ask"));
    for target in targets {
        match socket.send_to(&probe, target).await {
            Ok(_) => result = Ok(()),
            Err(error) => result = result.or(Err(error)),
        }
    }
    result
}

/// Collects answers; returns when one is enough, or when there are too many.
async fn listen(socket: &UdpSocket, found: &mut Vec<Found>, enough: impl Fn(&Found) -> bool) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    for _ in 0..DATAGRAMS_MAX {
        // An error tells of a target that is not there; the others may still answer.
        let Ok((length, sender)) = socket.recv_from(&mut buffer).await else { continue };
        let Some(plug) = parse(buffer.get(..length).unwrap_or_default(), sender.ip()) else { continue };
        if found.iter().any(|known: &Found| known.same(&plug)) {
            continue;
        }
        let last = enough(&plug);
        found.push(plug);
        if last || found.len() >= FOUND_MAX {
            return;
        }
    }
}

/// Where to look for a plug that is not at `address` any more: the broadcast addresses of its network and of the
/// machine's own, and the address itself, for networks where broadcasts get lost.
pub(super) fn neighbourhood(address: Option<IpAddr>, port: u16) -> Vec<SocketAddr> {
    let mut targets = vec![IpAddr::from(Ipv4Addr::BROADCAST)];
    if let Some(IpAddr::V4(v4)) = address {
        let [a, b, c, _] = v4.octets();
        // Home networks and labs are /24 nearly always; in others the first target has to do.
        targets.push(Ipv4Addr::new(a, b, c, 255).into());
    }
    targets.extend(address);
    targets.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
}

#[cfg(test)]
mod tests;
