//! Discovery datagrams, the plug's side: validation of probes, and their answers. Pure; the socket is in `serve`.
//!
//! Strict: length and checksum must be right, and the probe must contain an RSA key; anything else gets no answer.

use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};

use super::super::config::{Binding, LoginVersion, PlugConfig, Variant};
use super::super::fault::Impersonation;
use super::crypt::md5;
use super::facts::Facts;
use super::public_key;
use super::tpap::offer;

/// Bytes before the JSON.
const HEADER: usize = 16;
/// Stands in the place of the checksum while it is computed.
const CRC_PLACEHOLDER: [u8; 4] = 0x5a6b_7c8d_u32.to_be_bytes();
/// Sizes of RSA keys that are taken.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 128..=512;

/// The content of an answer.
pub(in crate::sim) struct Announcement<'a> {
    pub config: &'a PlugConfig,
    pub facts: &'a Facts,
    pub variant: Variant,
    pub port: u16,
    /// Whose names it gives instead of its own.
    pub claimed: Option<&'a Impersonation>,
}

/// The serial number of a probe that is in order.
pub(in crate::sim) fn parse(datagram: &[u8]) -> Option<[u8; 4]> {
    let (header, body) = datagram.split_first_chunk::<HEADER>()?;
    let [version, kind, op1, op2, len1, len2, flags, padding, s1, s2, s3, s4, crc @ ..] = *header;
    let right = (version, kind, [op1, op2], flags, padding) == (2, 0, [0, 1], 0x11, 0);
    let length = usize::from(u16::from_be_bytes([len1, len2]));
    if !right || length != body.len() || crc != checksum(header, body) {
        return None;
    }
    let request: Value = serde_json::from_slice(body).ok()?;
    let key = public_key(request.get("params")?.get("rsa_key")?.as_str()?)?;
    KEY_BYTES.contains(&key.size()).then_some([s1, s2, s3, s4])
}

/// The answer to the probe with this serial number.
pub(in crate::sim) fn answer(announcement: &Announcement, serial: [u8; 4]) -> Vec<u8> {
    let body = json!({"error_code": 0, "result": announcement.result()}).to_string().into_bytes();
    let [len1, len2] = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let [s1, s2, s3, s4] = serial;
    let header = [2, 0, 0, 1, len1, len2, 0x11, 0, s1, s2, s3, s4, 0, 0, 0, 0];
    let crc = checksum(&header, &body);
    let mut datagram: Vec<u8> = header.into_iter().take(12).chain(crc).collect();
    datagram.extend_from_slice(&body);
    datagram
}

fn checksum(header: &[u8; HEADER], body: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    let front: Vec<u8> = header.iter().take(12).copied().chain(CRC_PLACEHOLDER).collect();
    hasher.update(&front);
    hasher.update(body);
    hasher.finalize().to_be_bytes()
}

impl Announcement<'_> {
    fn result(&self) -> Value {
        let (config, facts) = (self.config, self.facts);
        let version_2 = match self.variant {
            Variant::Passthrough => config.login == LoginVersion::V2,
            Variant::KlapV1 => false,
            Variant::KlapV2 | Variant::Tpap => true,
        };
        let mut scheme = json!({
            "encrypt_type": self.variant.encrypt_type(), "http_port": self.port, "is_support_https": false,
        });
        let bound = config.bound == Binding::Account;
        let owner = if bound { hex::encode_upper(md5(&[config.account.email.as_bytes()])) } else { String::new() };
        let mut result = json!({
            "device_id": self.claimed.map_or(&facts.discovery_id, |claimed| &claimed.device_id),
            "owner": owner,
            "device_type": "SMART.TAPOPLUG",
            "device_model": facts.model.in_discovery(),
            "ip": facts.ip.to_string(),
            "mac": self.claimed.map_or_else(|| facts.mac_dashed(), |claimed| claimed.mac.clone()),
            "factory_default": false,
            "is_support_iot_cloud": true,
            "obd_src": "tplink",
            "protocol_version": 1,
        });
        if let (true, Some(scheme)) = (version_2, scheme.as_object_mut()) {
            scheme.insert("lv".into(), json!(2));
        }
        if let Some(result) = result.as_object_mut() {
            result.insert("mgt_encrypt_schm".into(), scheme);
            if self.variant == Variant::Tpap {
                result.insert("tpap".into(), offer(self.port));
            }
            if self.variant == Variant::Tpap || (config.knows_tpap && self.variant != Variant::Passthrough) {
                result.insert("tpap_preferred".into(), json!(self.variant == Variant::Tpap));
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_of_the_vector() {
        let vector: Value = serde_json::from_str(include_str!("../../../tests/fixtures/sim/discovery.json")).unwrap();
        let datagram = hex::decode(vector["datagram"].as_str().unwrap()).unwrap();
        let (header, body) = datagram.split_first_chunk::<HEADER>().unwrap();
        assert_eq!(hex::encode(checksum(header, body)), vector["crc"].as_str().unwrap());
        assert_eq!(body, vector["payload"].as_str().unwrap().as_bytes());
        // Its key is none, so it gets no answer.
        assert_eq!(parse(&datagram), None);
    }

    /// A probe with this text in the place of the key.
    fn probe(key: &str) -> Vec<u8> {
        let body = json!({"params": {"rsa_key": key}}).to_string().into_bytes();
        let [a, b] = u16::try_from(body.len()).unwrap().to_be_bytes();
        let header = [2, 0, 0, 1, a, b, 0x11, 0, 1, 2, 3, 4, 0, 0, 0, 0];
        let mut datagram = header[..12].to_vec();
        datagram.extend(checksum(&header, &body));
        datagram.extend(body);
        datagram
    }

    const SPKI: &str = include_str!("../../../tests/fixtures/sim/discovery_key_spki.pem");
    const PKCS1: &str = include_str!("../../../tests/fixtures/sim/discovery_key_pkcs1.pem");

    #[test]
    fn both_forms_of_key_are_taken() {
        assert_eq!(parse(&probe(SPKI)), Some([1, 2, 3, 4]));
        assert_eq!(parse(&probe(PKCS1)), Some([1, 2, 3, 4]));
        let lines: Vec<&str> = SPKI.lines().collect();
        let one_line = format!("{}\n{}\n{}", lines[0], lines[1..lines.len() - 1].concat(), lines[lines.len() - 1]);
        assert_eq!(parse(&probe(&one_line)), Some([1, 2, 3, 4]));
    }

    #[test]
    fn a_probe_that_is_not_in_order_gets_no_answer() {
        let good = probe(SPKI);
        for at in (0..12).chain([14, 40]) {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert_eq!(parse(&bad), None, "byte {at}");
        }
        assert_eq!(parse(&good[..good.len() - 1]), None);
        assert_eq!(parse(&hex::decode("020000010000000000000000463cb5d3").unwrap()), None);
        assert_eq!(parse(&probe("")), None);
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_fall_over(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
