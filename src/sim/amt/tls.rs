//! The certificate of a machine that speaks TLS: self-signed, so that clients can only pin it.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{self, ServerConfig};

/// Why there is no certificate.
#[derive(Debug, Error)]
pub(in crate::sim) enum Unmade {
    #[error("cannot make a certificate: {0}")]
    Made(#[from] rcgen::Error),
    #[error("cannot use the certificate: {0}")]
    Used(#[from] rustls::Error),
}

/// A certificate, and what takes connections with it.
pub(in crate::sim) struct Certificate {
    pub acceptor: TlsAcceptor,
    /// SHA-256 in small hexadecimal letters.
    pub fingerprint: String,
    pub pem: String,
}

impl Certificate {
    /// For a machine of this name. What stands in it fits no address, as with most real machines.
    pub(crate) fn new(name: &str) -> Result<Certificate, Unmade> {
        let made = rcgen::generate_simple_self_signed(vec![format!("{name}.example.com")])?;
        let der = made.cert.der().clone();
        let fingerprint = hex::encode(Sha256::digest(&der));
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![der], key)?;
        Ok(Certificate { acceptor: TlsAcceptor::from(Arc::new(config)), fingerprint, pem: made.cert.pem() })
    }
}
