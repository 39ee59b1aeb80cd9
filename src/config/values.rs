//! From one text to one value: times, names, hashes. Pure; each says what is wrong with the text and how it should look, and
//! none shows a secret. What devices are told in the same words is in [`reader`](crate::reader).

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use uuid::Uuid;

use crate::account::{check_hash, check_line, check_name};
use crate::node::NodeId;
use crate::reader::values::host_name;

/// How often a device may be read. Plugs that are asked more often than this restart with the load switched off; and
/// what was seen longer than an hour ago is nothing to act on.
pub(super) const POLL_INTERVAL: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(3600);

/// How long the power may stay off in a cycle. Supplies need about a second to run dry; clients give up a restart before
/// ten minutes are over.
pub(super) const OFF_DWELL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// Past which age a state may count as unknown. The shortest poll interval needs 11.25 s; after a day nothing is fenced by it.
pub(super) const FENCE_AGE_MAX: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(24 * 3600);

/// How long a command may take. A login and one repeated request take some seconds, so under 10 s a slow plug would
/// never be switched; after half an hour no one expects the command to be carried out any more.
pub(super) const COMMAND_DEADLINE: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(1800);

/// Longest name of a machine's part: it is shown in tables.
pub(super) const TEXT_CHARS_MAX: usize = 256;

/// `15s`, `2m`, `1h`, `500ms`, `1m30s`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not a time: write a number and a unit, such as 15s or 2m (units: ms, s, m, h)");
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let milliseconds = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            _ => None,
        };
        let part = Duration::from_millis(milliseconds.ok_or_else(bad)?);
        total = total.checked_add(part).ok_or_else(bad)?;
        rest = behind;
    }
    if text.is_empty() { Err(bad()) } else { Ok(total) }
}

/// A time that lies in a range.
pub(super) fn time_within(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let time = time(text)?;
    if range.contains(&time) {
        return Ok(time);
    }
    Err(format!("must be from {} to {}, not {text}", shown(*range.start()), shown(*range.end())))
}

/// A time as it is written in the file.
pub(super) fn shown(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (0, 0) => "0s".into(),
        (seconds, 0) if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        (seconds, 0) if seconds % 60 == 0 => format!("{}m", seconds / 60),
        (seconds, 0) => format!("{seconds}s"),
        _ => format!("{}ms", time.as_millis()),
    }
}

/// Where to listen: an IP address with a port.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{text:?} is not an IP address with a port: write 127.0.0.1:8000, [::1]:8000, or 0.0.0.0:8000 for every \
             network of this machine"
        )
    })
}

/// A name by which clients reach this service: a host name or an IP address.
pub(super) fn server_name(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    host_name(text)
        .map(|()| text.to_ascii_lowercase())
        .map_err(|why| format!("{text:?} is neither an IP address nor a host name: {why}"))
}

/// An address, or a network as `10.0.0.0/8`.
pub(super) fn network(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || format!("{text:?} is neither an IP address nor a network such as 10.0.0.0/8");
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Ok(most), |bits| bits.parse::<u8>().map_err(|_| wrong()))?;
    if bits > most {
        return Err(format!("{text:?} has more than the {most} bits of such an address"));
    }
    Ok((address, bits))
}

/// The name of a node.
pub(super) fn node_id(text: &str) -> Result<NodeId, String> {
    text.parse().map_err(|error| format!("{error}"))
}

/// The UUID of a machine.
pub(super) fn uuid(text: &str) -> Result<Uuid, String> {
    let uuid = Uuid::try_parse(text).ok().filter(|uuid| !uuid.is_nil() && !uuid.is_max());
    let uuid = uuid.filter(|_| text.len() == uuid::fmt::Hyphenated::LENGTH);
    uuid.ok_or_else(|| format!("{text:?} is not the UUID of a machine, such as 4c4c4544-0042-3510-8052-b4c04f4e3332"))
}

/// A name for people: one line, not too long.
pub(super) fn label(text: &str) -> Result<String, String> {
    check_line(text, TEXT_CHARS_MAX)?;
    Ok(text.into())
}

/// The name of an account of this service.
pub(super) fn account_name(text: &str) -> Result<String, String> {
    check_name(text)?;
    Ok(text.into())
}

/// The hash of a password, as `plugfish hash-password` prints it.
pub(super) fn password_hash(text: &str) -> Result<String, String> {
    check_hash(text).map_err(|why| format!("{why}; make one with: plugfish hash-password"))?;
    Ok(text.into())
}
