//! SPAKE2+ of RFC 9383 on P-256 with SHA-256, the verifier's side: the computation of a plug in TPAP mode.
//!
//! Pure: the secrets and the random scalar come in, the key comes out. It knows no message format.

use p256::elliptic_curve::bigint::U256;
use p256::elliptic_curve::group::Group;
use p256::elliptic_curve::ops::Reduce;
use p256::elliptic_curve::sec1::{FromSec1Point, ToSec1Point};
use p256::{AffinePoint, ProjectivePoint, Scalar, Sec1Point};

use super::crypt::{hkdf, hmac_sha256, pbkdf2, sha256};

/// M of RFC 9383, compressed.
const M: [u8; 33] = hex33(b"02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f");
/// N of RFC 9383, compressed.
const N: [u8; 33] = hex33(b"03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49");

/// What the verifier keeps of a password: w0 and L = w1*G.
pub(super) struct Registration {
    w0: Scalar,
    l: ProjectivePoint,
}

/// Both confirmations and the key of a run.
pub(super) struct Outcome {
    /// What the prover must have sent: a MAC over Y.
    pub prover_confirm: [u8; 32],
    /// What the verifier answers: a MAC over X.
    pub verifier_confirm: [u8; 32],
    /// The key that both now share.
    pub shared: [u8; 32],
}

impl Registration {
    /// From the credential string, by PBKDF2-HMAC-SHA256 to 80 bytes: two numbers of 40 bytes, each modulo the order.
    pub(super) fn new(credential: &[u8], salt: &[u8], iterations: u32) -> Registration {
        let stretched: [u8; 80] = pbkdf2(credential, salt, iterations);
        let (first, second) = stretched.split_at(40);
        let (w0, w1) = (reduce_wide(first), reduce_wide(second));
        Registration { w0, l: ProjectivePoint::GENERATOR * w1 }
    }

    /// Y = y*G + w0*N, uncompressed.
    pub(super) fn share(&self, y: &Scalar) -> Vec<u8> {
        encode(&(ProjectivePoint::GENERATOR * y + constant(&N) * self.w0))
    }

    /// What follows from the prover's X. `None` when X is no point of the curve or leads to the identity.
    pub(super) fn finish(
        &self,
        y: &Scalar,
        x_share: &[u8],
        context: &[u8],
        prover: &[u8],
        verifier: &[u8],
    ) -> Option<Outcome> {
        let x = decode(x_share)?;
        let z = (x - constant(&M) * self.w0) * y;
        let v = self.l * y;
        if bool::from(z.is_identity()) || bool::from(v.is_identity()) {
            return None;
        }
        let (x_bytes, y_bytes) = (encode(&x), self.share(y));
        let (m, n) = (encode(&constant(&M)), encode(&constant(&N)));
        let (z, v, w0) = (encode(&z), encode(&v), self.w0.to_bytes());
        let mut transcript = Vec::new();
        for part in [context, prover, verifier, &m, &n, &x_bytes, &y_bytes, &z, &v, &w0] {
            transcript.extend_from_slice(&(part.len() as u64).to_le_bytes());
            transcript.extend_from_slice(part);
        }
        let main = sha256(&[&transcript]);
        let confirmation: [u8; 64] = hkdf(&main, None, b"ConfirmationKeys");
        let (prover_key, verifier_key) = confirmation.split_at(32);
        Some(Outcome {
            prover_confirm: hmac_sha256(prover_key, &y_bytes),
            verifier_confirm: hmac_sha256(verifier_key, &x_bytes),
            shared: hkdf(&main, None, b"SharedKey"),
        })
    }
}

/// A scalar out of 32 random bytes. It is biased by less than 2^-32, which does not matter to a simulator.
pub(super) fn scalar(bytes: [u8; 32]) -> Scalar {
    <Scalar as Reduce<U256>>::reduce(&U256::from_be_slice(&bytes))
}

/// A number of 40 bytes modulo the order of the group: its top 8 bytes times 2^256, plus the rest.
fn reduce_wide(bytes: &[u8]) -> Scalar {
    let Some((top, rest)) = bytes.split_first_chunk::<8>() else { return Scalar::ZERO };
    let two_to_256 = <Scalar as Reduce<U256>>::reduce(&U256::MAX) + Scalar::ONE;
    let rest = rest.first_chunk::<32>().copied().unwrap_or_default();
    Scalar::from(u64::from_be_bytes(*top)) * two_to_256 + scalar(rest)
}

fn encode(point: &ProjectivePoint) -> Vec<u8> {
    point.to_affine().to_sec1_point(false).as_bytes().to_vec()
}

/// A point as it comes over the wire; only the uncompressed form is taken, and never the identity.
fn decode(bytes: &[u8]) -> Option<ProjectivePoint> {
    if bytes.len() != 65 {
        return None;
    }
    let point = Sec1Point::from_bytes(bytes).ok()?;
    Option::<AffinePoint>::from(AffinePoint::from_sec1_point(&point)).map(ProjectivePoint::from)
}

/// M or N. They are on the curve (a test checks it), so the identity is never returned.
fn constant(compressed: &[u8; 33]) -> ProjectivePoint {
    let point = Sec1Point::from_bytes(compressed).ok();
    point
        .and_then(|point| Option::<AffinePoint>::from(AffinePoint::from_sec1_point(&point)))
        .map_or(ProjectivePoint::IDENTITY, ProjectivePoint::from)
}

#[expect(clippy::indexing_slicing, reason = "runs in the compiler, which checks it")]
const fn hex33(text: &[u8; 66]) -> [u8; 33] {
    const fn digit(byte: u8) -> u8 {
        if byte.is_ascii_digit() { byte - b'0' } else { byte - b'a' + 10 }
    }
    let mut out = [0; 33];
    let mut at = 0;
    while at < 33 {
        out[at] = digit(text[2 * at]) << 4 | digit(text[2 * at + 1]);
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar_of(text: &str) -> Scalar {
        scalar(hex::decode(text).unwrap().try_into().unwrap())
    }

    #[test]
    fn the_constants_are_points() {
        assert!(!bool::from(constant(&M).is_identity()));
        assert!(!bool::from(constant(&N).is_identity()));
    }

    /// The P-256, SHA-256, HMAC vector of RFC 9383, appendix C.
    #[test]
    fn the_vector_of_the_rfc() {
        let w0 = scalar_of("bb8e1bbcf3c48f62c08db243652ae55d3e5586053fca77102994f23ad95491b3");
        let w1 = scalar_of("7e945f34d78785b8a3ef44d0df5a1a97d6b3b460409a345ca7830387a74b1dba");
        let y = scalar_of("717a72348a182085109c8d3917d6c43d59b224dc6a7fc4f0483232fa6516d8b3");
        let x_share = hex::decode(concat!(
            "04ef3bd051bf78a2234ec0df197f7828060fe9856503579bb1733009042c15c0c1",
            "de127727f418b5966afadfdd95a6e4591d171056b333dab97a79c7193e341727"
        ))
        .unwrap();
        let registration = Registration { w0, l: ProjectivePoint::GENERATOR * w1 };
        let outcome = registration
            .finish(&y, &x_share, b"SPAKE2+-P256-SHA256-HKDF-SHA256-HMAC-SHA256 Test Vectors", b"client", b"server")
            .unwrap();
        assert_eq!(hex::encode(outcome.shared), "0c5f8ccd1413423a54f6c1fb26ff01534a87f893779c6e68666d772bfd91f3e7");
        assert_eq!(
            hex::encode(outcome.prover_confirm),
            "926cc713504b9b4d76c9162ded04b5493e89109f6d89462cd33adc46fda27527"
        );
        assert_eq!(
            hex::encode(outcome.verifier_confirm),
            "9747bcc4f8fe9f63defee53ac9b07876d907d55047e6ff2def2e7529089d3e68"
        );
    }

    #[test]
    fn no_point_no_outcome() {
        let registration = Registration::new(b"credential", b"salt", 1);
        let y = scalar([7; 32]);
        assert!(registration.finish(&y, &[4; 65], b"", b"", b"").is_none());
        assert!(registration.finish(&y, &[0], b"", b"", b"").is_none());
        assert!(registration.finish(&y, &[], b"", b"", b"").is_none());
    }
}
