//! TLS towards devices: whom to trust, and what a failed handshake tells.
//!
//! It knows no HTTP and no device. The settings are given to reqwest whole: it would else look for a process-wide provider,
//! and panic when there is none.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, OtherError,
    RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};

use super::HttpError;

/// Sessions that are kept to be resumed: a client speaks to one device over TLS. rustls has room for 32 devices otherwise,
/// some 15 KiB, which it takes at once.
const SESSIONS_MAX: usize = 8;

/// Whether a device is spoken to over TLS, and whom to trust then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Plain HTTP.
    Off,
    /// A certificate from an authority that the system trusts, for the name in the address.
    Verify,
    /// The certificate with this SHA-256 fingerprint, whatever its names and dates.
    Pin([u8; 32]),
    /// Anyone: protects against listeners, not against impostors.
    Insecure,
}

/// The certificate that a device showed at a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Its SHA-256 fingerprint.
    pub fingerprint: [u8; 32],
    /// The device showed that it has the key, which a copy of the certificate cannot.
    pub proved: bool,
}

/// The certificate of the last handshake, if it was not for an authority to judge.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Arc<Mutex<Option<Certificate>>>);

impl Seen {
    pub(super) fn get(&self) -> Option<Certificate> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, certificate: Certificate) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate);
    }
}

impl Tls {
    /// The settings of a client; what it is shown goes to `seen`.
    pub(super) fn settings(self, seen: &Seen) -> Result<ClientConfig, HttpError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| HttpError::Unmakeable(error.to_string()))?;
        let seen = seen.clone();
        let trusting =
            |pin| builder.clone().dangerous().with_custom_certificate_verifier(Arc::new(Trust { provider, pin, seen }));
        let config: ConfigBuilder<ClientConfig, WantsClientCert> = match self {
            Tls::Off => builder.with_root_certificates(RootCertStore::empty()),
            Tls::Verify => builder.with_root_certificates(system_roots()?),
            Tls::Pin(pin) => trusting(Some(pin)),
            Tls::Insecure => trusting(None),
        };
        let mut config = config.with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        Ok(config)
    }
}

/// The authorities that the system trusts.
fn system_roots() -> Result<RootCertStore, HttpError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let text = "tls: verify needs the system's certificates and there are none; install ca-certificates or pin";
        return Err(HttpError::Unmakeable(text.into()));
    }
    Ok(roots)
}

/// Trusts one certificate by its fingerprint, or any.
#[derive(Debug)]
struct Trust {
    provider: Arc<CryptoProvider>,
    pin: Option<[u8; 32]>,
    seen: Seen,
}

impl Trust {
    /// What becomes of the proof that the other side has the key of its certificate. Without a pin it is noted, no more: some
    /// certificates of old firmware cannot be checked at all.
    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        verified: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        let fingerprint = Sha256::digest(certificate).into();
        self.seen.set(Certificate { fingerprint, proved: verified.is_ok() });
        match self.pin {
            Some(_) => verified,
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }
}

/// The certificate is not the pinned one.
#[derive(Debug)]
struct OtherCertificate {
    seen: [u8; 32],
}

impl fmt::Display for OtherCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = hex::encode(self.seen);
        write!(
            f,
            "the certificate is not the pinned one: its fingerprint is sha256:{seen}; if the machine was given a new \
             certificate, put that into tls.pin"
        )
    }
}

impl std::error::Error for OtherCertificate {}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let seen: [u8; 32] = Sha256::digest(end_entity).into();
        self.seen.set(Certificate { fingerprint: seen, proved: false });
        match self.pin {
            Some(pin) if pin != seen => {
                Err(CertificateError::Other(OtherError(Arc::new(OtherCertificate { seen }))).into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.judge(cert, verify_tls12_signature(message, cert, dss, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.judge(cert, verify_tls13_signature(message, cert, dss, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What to tell of a machine whose TLS is too old.
const TOO_OLD: &str = "the machine speaks only TLS versions or ciphers that are no longer considered safe; use plain 16992 \
     on a trusted network (tls: off) or update the firmware";

/// What to tell of a machine that wants to know who we are.
const MUTUAL: &str = "the machine asks for a client certificate (mutual TLS), which plugfish does not have";

/// The words for a failed handshake, if this cause of an error is one.
pub(super) fn handshake_words(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    let error = of_rustls(cause)?;
    Some(match error {
        // In TLS 1.2 this may also be what is said when a client certificate is missing.
        Error::AlertReceived(AlertDescription::HandshakeFailure) => format!("{TOO_OLD}; or {MUTUAL} ({error})"),
        Error::PeerIncompatible(_)
        | Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity) => {
            format!("{TOO_OLD} ({error})")
        }
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::BadCertificate) => {
            format!("{MUTUAL} ({error})")
        }
        Error::InvalidMessage(_) => format!("what answers does not speak TLS: 16992 is plain, 16993 is TLS ({error})"),
        Error::InvalidCertificate(reason) => match reason {
            CertificateError::Other(other) if other.0.is::<OtherCertificate>() => other.0.to_string(),
            _ => format!("the machine's certificate is not trusted; pin it (tls: {{ pin: \"sha256:...\" }}) ({error})"),
        },
        error => error.to_string(),
    })
}

/// rustls stands inside of one io::Error or two, which do not name it as their source.
fn of_rustls<'a>(mut cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    loop {
        if let Some(error) = cause.downcast_ref::<Error>() {
            return Some(error);
        }
        cause = cause.downcast_ref::<io::Error>()?.get_ref()?;
    }
}

#[cfg(test)]
mod tests;
