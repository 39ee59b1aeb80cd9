//! The self-signed certificate of the service: its names, its validity, and when it is created again.
//!
//! Clients pin the certificate of their first contact, so it is created again only if the configuration wants a name
//! that it lacks, or if it is about to expire; with the same key, for clients that pin the key; and always with a line
//! in the log. A changed name or address of this machine is logged, and has no other effect.

use std::net::IpAddr;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SerialNumber, date_time_ymd,
};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

use crate::clock::{Wall, secret_bytes};

/// How long it holds. Clients that pinned it are not told of a new one, so it outlives the machine, as those of
/// other management controllers do.
const YEARS: i32 = 10;

/// It is made again when less than this is left at a start.
const DAYS_LEFT_MIN: u64 = 30;

/// Before this a clock is wrong: a small machine without a battery begins in 1970. The certificate begins here then.
const EARLIEST: Wall = Wall(1_767_225_600_000);

/// A day in milliseconds.
const DAY: i64 = 86_400_000;

/// Maximum length of a common name (X.520).
const COMMON_NAME_MAX: usize = 64;

/// The names in the certificate.
#[derive(Clone, Debug, Default)]
pub struct CertificateNames {
    /// What the configuration wants: names and addresses that must be in it.
    pub wanted: Vec<String>,
    /// What this machine is called and where it is reached, as far as it knows.
    pub own: Vec<String>,
}

/// A certificate with its key, both as PEM.
pub(super) struct Made {
    pub certificate: String,
    pub key: String,
}

/// Makes a certificate, for this key where there is one.
pub(super) fn make(names: &CertificateNames, key: Option<&str>, now: Wall) -> Result<Made, rcgen::Error> {
    let key = key.map_or_else(KeyPair::generate, KeyPair::from_pem)?;
    let mut all: Vec<String> = Vec::new();
    for name in names.own.iter().chain(&names.wanted).chain(&["localhost".into(), "127.0.0.1".into(), "::1".into()]) {
        if !all.contains(name) {
            all.push(name.clone());
        }
    }
    let is_name = |name: &&String| name.parse::<IpAddr>().is_err() && name.len() <= COMMON_NAME_MAX;
    let common_name = all.iter().find(is_name).cloned().unwrap_or_else(|| "plugfish".into());
    let mut params = CertificateParams::new(all)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.distinguished_name.push(DnType::OrganizationName, "plugfish");
    // Clients whose clock is a little behind take it as well.
    let (year, month, day) = Wall(now.0.max(EARLIEST.0) - DAY).date();
    params.not_before = date_time_ymd(year, month, day);
    params.not_after = date_time_ymd(year + YEARS, month, day.min(28));
    // Another one each time: browsers refuse two certificates of one issuer with the same number.
    let mut serial = secret_bytes::<16>();
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key)?;
    Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// Which of these names the certificate does not have. One that cannot be read has them all, since nothing is known of it.
pub(super) fn lacking<'a>(certificate: &CertificateDer<'_>, names: &'a [String]) -> Vec<&'a str> {
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return Vec::new() };
    let has = |name: &str| ServerName::try_from(name).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok());
    names.iter().map(String::as_str).filter(|name| !has(name)).collect()
}

/// Why it has to be made again, if it has to.
pub(super) fn is_due(certificate: &CertificateDer<'_>, names: &CertificateNames, now: Wall) -> Option<String> {
    let lacking = lacking(certificate, &names.wanted);
    if !lacking.is_empty() {
        return Some(format!("it does not name {}", lacking.join(", ")));
    }
    let (year, month, day) = (now + std::time::Duration::from_secs(DAYS_LEFT_MIN * 86_400)).date();
    let soon = format!("{year:04}{month:02}{day:02}");
    let end = not_after(certificate)?;
    (end <= soon && now >= EARLIEST).then(|| format!("it ends, or ended, on {end}"))
}

/// The day on which it ends, as `20361127`.
fn not_after(certificate: &[u8]) -> Option<String> {
    let (_, whole, _) = element(certificate)?;
    let (_, mut rest, _) = element(whole)?;
    // The version (which may be absent), the number, the algorithm, the issuer; then the validity.
    let mut skip = 3;
    if rest.first() == Some(&0xa0) {
        skip += 1;
    }
    for _ in 0..skip {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (tag, end, _) = element(element(validity)?.2)?;
    let end = std::str::from_utf8(end).ok()?;
    match tag {
        // Two digits of the year: up to 2049.
        0x17 => Some(format!("20{}", end.get(..6)?)),
        0x18 => Some(end.get(..8)?.to_owned()),
        _ => None,
    }
}

/// The first element of this DER: its tag, what is in it, and what comes after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (inner, after) = rest.split_at_checked(length)?;
    Some((*tag, inner, after))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::pem::PemObject;

    use super::*;

    const NOW: Wall = Wall(1_796_083_200_000); // 2026-12-01

    fn names(wanted: &[&str], own: &[&str]) -> CertificateNames {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        CertificateNames { wanted: texts(wanted), own: texts(own) }
    }

    fn der(made: &Made) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()
    }

    #[test]
    fn it_names_the_machine_and_what_is_wanted_and_ends_one_day() {
        let names = names(&["bmc.example.org", "192.0.2.7"], &["nuc", "nuc.local", "2001:db8::7"]);
        let certificate = der(&make(&names, None, NOW).unwrap());
        let all = ["bmc.example.org", "192.0.2.7", "nuc", "nuc.local", "2001:db8::7", "localhost", "127.0.0.1", "::1"];
        let all: Vec<String> = all.map(String::from).into();
        assert_eq!(lacking(&certificate, &all), Vec::<&str>::new());
        assert_eq!(lacking(&certificate, &["other".into(), "192.0.2.8".into()]), ["other", "192.0.2.8"]);
        assert_eq!(not_after(&certificate).as_deref(), Some("20361128"));
        let text = String::from_utf8_lossy(&certificate).into_owned();
        assert!(text.contains("plugfish") && !text.contains("rcgen"));
        let wrong_clock = der(&make(&names, None, Wall(0)).unwrap());
        assert_eq!(not_after(&wrong_clock).as_deref(), Some("20351228"));
    }

    #[test]
    fn it_is_made_again_for_a_wanted_name_and_before_its_end_and_for_nothing_else() {
        let first = make(&names(&["a.example"], &["nuc"]), None, NOW).unwrap();
        let due = |wanted: &[&str], own: &[&str], at: Wall| is_due(&der(&first), &names(wanted, own), at);
        assert_eq!(due(&["a.example"], &["other", "192.0.2.9"], NOW), None, "pins are worth more than an address");
        assert_eq!(due(&[], &["nuc"], NOW), None);
        assert_eq!(due(&["a.example", "b.example"], &["nuc"], NOW).unwrap(), "it does not name b.example");
        let years = Duration::from_secs(10 * 365 * 86_400);
        assert!(due(&[], &[], NOW + years).unwrap().starts_with("it ends, or ended, on 20361128"));
        assert_eq!(due(&[], &[], NOW + (years - Duration::from_secs(60 * 86_400))), None);
        assert_eq!(due(&[], &[], Wall(0)), None, "a clock that is wrong says nothing");
        let again = make(&names(&["b.example"], &["nuc"]), Some(&first.key), NOW).unwrap();
        assert_eq!(again.key, first.key);
        assert_ne!(again.certificate, first.certificate);
    }

    #[test]
    fn one_of_an_earlier_version_stays() {
        let old = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".into()]).unwrap();
        assert_eq!(is_due(old.cert.der(), &names(&["127.0.0.1"], &["nuc"]), NOW), None);
        assert_eq!(not_after(old.cert.der()).as_deref(), Some("40960101"));
        assert!(is_due(old.cert.der(), &names(&["bmc"], &[]), NOW).is_some());
        assert_eq!(is_due(&CertificateDer::from(vec![0x30, 0x82, 0xff]), &names(&["bmc"], &[]), NOW), None);
    }
}
