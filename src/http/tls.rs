//! The certificate of the service: read from files or made by itself, and replaceable while serving.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;

/// Why there is no certificate to serve with.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {why}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The file has no certificate or no key in it, or they do not belong together.
    #[error("{path}: {why}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A new certificate cannot be made or kept.
    #[error("cannot make a self-signed certificate in {path}: {why}")]
    SelfSigned {
        /// Where.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
}

/// The certificate in use. Exchanging it does not touch connections that are open.
#[derive(Debug)]
pub struct Certificate(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Certificate {
    /// Reads a certificate chain and its key from PEM files.
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Certificate>, TlsError> {
        Ok(Arc::new(Certificate(ArcSwap::from_pointee(read(certificate, key)?))))
    }

    /// Reads them again. When they are not usable the ones in use stay.
    pub fn reload(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        self.0.store(Arc::new(read(certificate, key)?));
        Ok(())
    }

    /// The self-signed certificate of this state directory; it is made at the first start, so that its fingerprint stays.
    pub fn self_signed(state_dir: &Path, names: Vec<String>) -> Result<Arc<Certificate>, TlsError> {
        let (certificate, key) = (state_dir.join("self-signed.crt"), state_dir.join("self-signed.key"));
        if !(certificate.exists() && key.exists()) {
            let failed = |why: String| TlsError::SelfSigned { path: state_dir.into(), why };
            let made = rcgen::generate_simple_self_signed(names).map_err(|error| failed(error.to_string()))?;
            write_private(&key, &made.signing_key.serialize_pem()).map_err(|error| failed(error.to_string()))?;
            write_private(&certificate, &made.cert.pem()).map_err(|error| failed(error.to_string()))?;
        }
        Certificate::load(&certificate, &key)
    }

    /// What the listener needs: TLS 1.2 and 1.3 with this certificate.
    pub fn server_config(self: &Arc<Certificate>) -> ServerConfig {
        ServerConfig::builder().with_no_client_auth().with_cert_resolver(self.clone())
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let bytes =
        |path: &Path| fs::read(path).map_err(|error| TlsError::Read { path: path.into(), why: error.to_string() });
    let unusable = |path: &Path, why: String| TlsError::Unusable { path: path.into(), why };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&bytes(certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(certificate, format!("is no PEM file of certificates: {error}")))?;
    if chain.is_empty() {
        return Err(unusable(certificate, "has no certificate in it".into()));
    }
    let private = PrivateKeyDer::from_pem_slice(&bytes(key)?)
        .map_err(|error| unusable(key, format!("has no usable private key in it: {error}")))?;
    let provider = rustls::crypto::ring::default_provider();
    let certified = CertifiedKey::from_der(chain, private, &provider).map_err(|error| {
        unusable(key, format!("does not belong to the certificate in {}: {error}", certificate.display()))
    })?;
    Ok(certified)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["localhost".into(), "127.0.0.1".into()]
    }

    #[test]
    fn a_self_signed_certificate_is_made_once_and_kept_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        Certificate::self_signed(dir.path(), names()).unwrap();
        let first = fs::read(dir.path().join("self-signed.crt")).unwrap();
        Certificate::self_signed(dir.path(), names()).unwrap();
        assert_eq!(fs::read(dir.path().join("self-signed.crt")).unwrap(), first);
        let mode = fs::metadata(dir.path().join("self-signed.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_by_name() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let certificate = Certificate::self_signed(one.path(), names()).unwrap();
        Certificate::self_signed(two.path(), names()).unwrap();
        let (mine, other) = (one.path().join("self-signed.crt"), two.path().join("self-signed.key"));
        let error = certificate.reload(&mine, &other).unwrap_err().to_string();
        assert!(error.contains("self-signed.key") && error.contains("does not belong"), "{error}");
        fs::write(&other, "no key").unwrap();
        assert!(Certificate::load(&mine, &other).unwrap_err().to_string().contains("no usable private key"));
        assert!(Certificate::load(&two.path().join("absent"), &other).unwrap_err().to_string().contains("cannot read"));
    }
}
