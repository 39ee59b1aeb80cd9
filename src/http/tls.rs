//! The certificate of the service: read from files or self-signed, and replaceable while serving.
//!
//! Files that nodes.yaml names belong to their maintainer (certbot, cert-manager, a person): they are read, again when
//! they change, and never written, so a client cannot replace them. The self-signed certificate can be replaced by a
//! client; the new one is kept in the state directory and is used from then on, also after restarts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::self_signed::{self, CertificateNames};
use crate::clock::Wall;
use crate::files;

/// What a client put in the place of the self-signed certificate: key and chain in one file, so that there is never one
/// without the other.
const REPLACED: &str = "replaced.pem";

/// Why a certificate is not replaced. Says nothing of the key but that it does not fit.
#[derive(Debug, Error)]
pub enum ReplaceError {
    /// It comes from files of the configuration.
    #[error(
        "the certificate is that of the files under server.tls in nodes.yaml; replace these, and they are taken over"
    )]
    FromFiles,
    /// The text is not what is needed.
    #[error("the text {0}")]
    Unusable(String),
    /// The disk did not take it.
    #[error("cannot keep the certificate in {path}: {why}; the one in use stays")]
    CannotWrite { path: PathBuf, why: String },
}

/// Why there is no certificate to serve with.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {why}")]
    Read { path: PathBuf, why: String },
    /// The file has no certificate or no key in it, or they do not belong together.
    #[error("{path}: {why}")]
    Unusable { path: PathBuf, why: String },
    /// A new certificate cannot be made or kept.
    #[error("cannot make a self-signed certificate in {path}: {why}")]
    SelfSigned { path: PathBuf, why: String },
}

/// The certificate in use. Exchanging it does not touch connections that are open.
#[derive(Debug)]
pub struct Certificate {
    current: ArcSwap<CertifiedKey>,
    /// Where one that replaces it is kept; `None` where it comes from files of the configuration.
    home: Option<PathBuf>,
    replacing: Mutex<()>,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Certificate {
    /// Reads a certificate chain and its key from PEM files.
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Certificate>, TlsError> {
        Ok(Certificate::of(read(certificate, key, files::read)?, None))
    }

    fn of(certified: CertifiedKey, home: Option<PathBuf>) -> Arc<Certificate> {
        Arc::new(Certificate { current: ArcSwap::from_pointee(certified), home, replacing: Mutex::default() })
    }

    /// Reads them again. When they are not usable the ones in use stay.
    pub fn reload(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        self.current.store(Arc::new(read(certificate, key, files::read)?));
        Ok(())
    }

    /// The self-signed certificate of this state directory. It is made at the first start, and again only when it has to be
    /// (`self_signed.rs`). Where a client has replaced it, the one that it put there.
    pub fn self_signed(state_dir: &Path, names: &CertificateNames, now: Wall) -> Result<Arc<Certificate>, TlsError> {
        let replaced = state_dir.join(REPLACED);
        if replaced.exists() {
            return Ok(Certificate::of(read(&replaced, &replaced, files::read_own)?, Some(state_dir.into())));
        }
        let (certificate, key) = (state_dir.join("self-signed.crt"), state_dir.join("self-signed.key"));
        let old =
            if certificate.exists() && key.exists() { Some(read(&certificate, &key, files::read_own)?) } else { None };
        let old = old.as_ref().and_then(|old| old.cert.first());
        let why = match old {
            None => Some("there is none yet".to_owned()),
            Some(old) => self_signed::is_due(old, names, now),
        };
        let Some(why) = why else {
            let lacking = old.map(|old| self_signed::lacking(old, &names.own)).unwrap_or_default();
            if !lacking.is_empty() {
                tracing::info!(
                    event = "certificate_lacks_names",
                    names = lacking.join(" "),
                    "the self-signed certificate does not name what this machine is called by now; clients that pinned it \
                     keep it so. Remove self-signed.crt from the state directory to have it made again"
                );
            }
            return Ok(Certificate::of(read(&certificate, &key, files::read_own)?, Some(state_dir.into())));
        };
        let failed = |why: String| TlsError::SelfSigned { path: state_dir.into(), why };
        // The key of one that was removed is used again as well: it may be pinned by itself.
        let kept = files::read_own(&key, PEM_BYTES_MAX).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let made = self_signed::make(names, kept.as_deref(), now).map_err(|error| failed(error.to_string()))?;
        if kept.is_none() {
            files::write_private(&key, made.key.as_bytes()).map_err(|error| failed(error.to_string()))?;
        }
        let new = state_dir.join("self-signed.crt.new");
        let written =
            files::write_private(&new, made.certificate.as_bytes()).and_then(|()| fs::rename(&new, &certificate));
        written.map_err(|error| failed(error.to_string()))?;
        let certified = read(&certificate, &key, files::read_own)?;
        let shown = |der: Option<&CertificateDer<'_>>| der.map_or_else(String::new, fingerprint);
        let (before, sha256) = (shown(old), shown(certified.cert.first()));
        match old {
            None => tracing::info!(event = "certificate_made", sha256, "a self-signed certificate was made"),
            Some(_) => tracing::warn!(
                event = "certificate_remade",
                why,
                before,
                sha256,
                "the self-signed certificate was made again, with the same key: clients that pinned the old one have to be \
                 told the new fingerprint"
            ),
        }
        Ok(Certificate::of(certified, Some(state_dir.into())))
    }

    /// Whether a client may replace it.
    pub fn is_replaceable(&self) -> bool {
        self.home.is_some()
    }

    /// Puts another one in its place: a chain and its key as PEM. It is on the disk before it is served. Blocks.
    pub fn replace(&self, pem: &str) -> Result<(), ReplaceError> {
        let home = self.home.as_ref().ok_or(ReplaceError::FromFiles)?;
        let text = Path::new("");
        let certified = parse(pem.as_bytes(), pem.as_bytes(), (text, text)).map_err(|error| match error {
            TlsError::Unusable { why, .. } => ReplaceError::Unusable(why),
            error => ReplaceError::Unusable(error.to_string()),
        })?;
        let _turn = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, new) = (home.join(REPLACED), home.join(format!("{REPLACED}.new")));
        let write = || {
            files::write_private(&new, pem.as_bytes())?;
            fs::rename(&new, &path)?;
            fs::File::open(home)?.sync_all()
        };
        write().map_err(|error| ReplaceError::CannotWrite { path: path.clone(), why: error.to_string() })?;
        self.current.store(Arc::new(certified));
        Ok(())
    }

    /// The certificates in use, each as DER, the service's own one first.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.current.load().cert.clone()
    }

    /// What the listener needs: TLS 1.2 and 1.3 with this certificate.
    pub fn server_config(self: &Arc<Certificate>) -> ServerConfig {
        ServerConfig::builder().with_no_client_auth().with_cert_resolver(self.clone())
    }
}

/// A certificate as PEM.
pub(crate) fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// The SHA-256 of a certificate, as clients show and pin it.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex::encode(Sha256::digest(certificate))
}

/// Most that is read of a certificate or key file. A chain of a few certificates has some 10 KiB.
const PEM_BYTES_MAX: usize = 1 << 20;

/// How a file is read: one of the operator, or one of our own.
type ReadFile = fn(&Path, usize) -> std::io::Result<Vec<u8>>;

fn read(certificate: &Path, key: &Path, read: ReadFile) -> Result<CertifiedKey, TlsError> {
    let bytes = |path: &Path| {
        read(path, PEM_BYTES_MAX).map_err(|error| TlsError::Read { path: path.into(), why: error.to_string() })
    };
    parse(&bytes(certificate)?, &bytes(key)?, (certificate, key))
}

/// A chain and its key from PEM; the paths are where they come from.
pub(super) fn parse(
    chain: &[u8],
    private: &[u8],
    (certificate, key): (&Path, &Path),
) -> Result<CertifiedKey, TlsError> {
    let unusable = |path: &Path, why: String| TlsError::Unusable { path: path.into(), why };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(certificate, format!("is no PEM file of certificates: {error}")))?;
    if chain.is_empty() {
        return Err(unusable(certificate, "has no certificate in it".into()));
    }
    let private = PrivateKeyDer::from_pem_slice(private)
        .map_err(|error| unusable(key, format!("has no usable private key in it: {error}")))?;
    let provider = rustls::crypto::ring::default_provider();
    let certified = CertifiedKey::from_der(chain, private, &provider).map_err(|error| {
        let of = if key == certificate { "beside it".into() } else { format!("in {}", certificate.display()) };
        unusable(key, format!("has a private key that does not belong to the certificate {of}: {error}"))
    })?;
    Ok(certified)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_796_083_200_000);

    fn names() -> CertificateNames {
        CertificateNames { wanted: vec!["127.0.0.1".into()], own: vec!["nuc".into()] }
    }

    #[test]
    fn a_self_signed_certificate_is_made_again_for_a_name_with_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| fs::read(dir.path().join(name)).unwrap();
        let made = |wanted: &str| {
            let names = CertificateNames { wanted: vec![wanted.into()], own: vec!["nuc".into()] };
            Certificate::self_signed(dir.path(), &names, NOW).unwrap().chain()
        };
        let first = made("a.example");
        let key = file("self-signed.key");
        assert_eq!(made("a.example"), first);
        let second = made("b.example");
        assert_ne!(second, first);
        assert_eq!(file("self-signed.key"), key);
        fs::remove_file(dir.path().join("self-signed.crt")).unwrap();
        assert_ne!(made("b.example"), second);
        assert_eq!(file("self-signed.key"), key);
    }

    #[test]
    fn a_self_signed_certificate_is_made_once_and_kept_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        Certificate::self_signed(dir.path(), &names(), NOW).unwrap();
        let first = fs::read(dir.path().join("self-signed.crt")).unwrap();
        Certificate::self_signed(dir.path(), &names(), NOW).unwrap();
        assert_eq!(fs::read(dir.path().join("self-signed.crt")).unwrap(), first);
        let mode = fs::metadata(dir.path().join("self-signed.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_replaced_certificate_stays_and_a_bad_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let certificate = Certificate::self_signed(dir.path(), &names(), NOW).unwrap();
        let first = certificate.chain();
        let ((chain, key), (_, other)) = (made(), made());
        for (bad, why) in [
            (chain.clone(), "has no usable private key"),
            (key.clone(), "has no certificate"),
            (format!("{chain}{other}"), "does not belong to the certificate beside it"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned() + &key, "does not belong"),
            (String::new(), "has no certificate"),
        ] {
            let error = certificate.replace(&bad).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert_eq!(certificate.chain(), first);
        }
        certificate.replace(&format!("{chain}{key}")).unwrap();
        assert_eq!(pem(&certificate.chain()[0]).lines().collect::<String>(), chain.lines().collect::<String>());
        let again = Certificate::self_signed(dir.path(), &names(), NOW).unwrap();
        assert_eq!(again.chain(), certificate.chain());
        fs::remove_dir_all(dir.path()).unwrap();
        assert!(
            certificate.replace(&format!("{chain}{key}")).unwrap_err().to_string().contains("the one in use stays")
        );
    }

    #[test]
    fn a_certificate_from_files_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (path, (chain, key)) = (dir.path().join("both.pem"), made());
        fs::write(&path, format!("{chain}{key}")).unwrap();
        let certificate = Certificate::load(&path, &path).unwrap();
        let error = certificate.replace(&format!("{chain}{key}")).unwrap_err().to_string();
        assert!(!certificate.is_replaceable() && error.contains("replace these"), "{error}");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_by_name() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let certificate = Certificate::self_signed(one.path(), &names(), NOW).unwrap();
        Certificate::self_signed(two.path(), &names(), NOW).unwrap();
        let (mine, other) = (one.path().join("self-signed.crt"), two.path().join("self-signed.key"));
        let error = certificate.reload(&mine, &other).unwrap_err().to_string();
        assert!(error.contains("self-signed.key") && error.contains("does not belong"), "{error}");
        fs::write(&other, "no key").unwrap();
        assert!(Certificate::load(&mine, &other).unwrap_err().to_string().contains("no usable private key"));
        assert!(Certificate::load(&two.path().join("absent"), &other).unwrap_err().to_string().contains("cannot read"));
    }
}
