//! SPAKE2+ (RFC 9383) on P-256 with SHA-256, the prover's side, with the choices that TPAP makes.
//!
//! Pure arithmetic: no JSON, no sockets. The transcript is RFC 9383's with 8-byte little-endian lengths.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use p256::elliptic_curve::Group;
use p256::elliptic_curve::sec1::{FromSec1Point, ToSec1Point};
use p256::{AffinePoint, ProjectivePoint, Scalar};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::cipher::sha256;

/// The points M and N of RFC 9383 for P-256: their logarithms are not known logarithms.
const M: [u8; 33] = [
    0x02, 0x88, 0x6e, 0x2f, 0x97, 0xac, 0xe4, 0x6e, 0x55, 0xba, 0x9d, 0xd7, 0x24, 0x25, 0x79, 0xf2, 0x99, 0x3b, 0x64,
    0xe1, 0x6e, 0xf3, 0xdc, 0xab, 0x95, 0xaf, 0xd4, 0x97, 0x33, 0x3d, 0x8f, 0xa1, 0x2f,
];
const N: [u8; 33] = [
    0x03, 0xd8, 0xbb, 0xd6, 0xc6, 0x39, 0xc6, 0x29, 0x37, 0xb0, 0x4d, 0x99, 0x7f, 0x38, 0xc3, 0x77, 0x07, 0x19, 0xc6,
    0x29, 0xd7, 0x01, 0x4d, 0x49, 0xa2, 0x4b, 0x4f, 0x98, 0xba, 0xa1, 0x29, 0x2b, 0x49,
];

/// Bytes that PBKDF2 makes for the two secrets: 40 for each, so that reducing them leaves no bias.
const SECRET_BYTES: usize = 80;

/// An uncompressed point.
pub(super) type Point = [u8; 65];

/// The two secrets that stand for the password.
pub(super) struct Secrets {
    w0: Zeroizing<Scalar>,
    w1: Zeroizing<Scalar>,
}

impl Secrets {
    /// From the credential with PBKDF2. Takes milliseconds; not for the async threads.
    pub(super) fn derive(credential: &[u8], salt: &[u8], iterations: u32) -> Secrets {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        pbkdf2::pbkdf2_hmac::<Sha256>(credential, salt, iterations, bytes.as_mut_slice());
        let (w0, w1) = bytes.split_at(SECRET_BYTES / 2);
        Secrets { w0: Zeroizing::new(scalar(w0)), w1: Zeroizing::new(scalar(w1)) }
    }
}

/// A big-endian number of any length modulo the order of the group.
pub(super) fn scalar(bytes: &[u8]) -> Scalar {
    let base = Scalar::from(256_u64);
    bytes.iter().fold(Scalar::ZERO, |sum, byte| sum * base + Scalar::from(u64::from(*byte)))
}

fn point(bytes: &[u8]) -> Option<ProjectivePoint> {
    AffinePoint::from_sec1_bytes(bytes).ok().map(ProjectivePoint::from)
}

fn bytes_of(point: &ProjectivePoint) -> Point {
    point.to_affine().to_uncompressed_point().into()
}

/// What the prover ends with.
pub(super) struct Proved {
    /// Our share, for the other side.
    pub share: Point,
    /// Our proof, for the other side.
    pub confirm: [u8; 32],
    /// The other side's proof is to be this.
    expected: [u8; 32],
    /// What both sides now have in common.
    pub shared: Zeroizing<[u8; 32]>,
}

impl Proved {
    /// Whether the other side knows the password.
    pub(super) fn confirmed_by(&self, theirs: &[u8]) -> bool {
        self.expected.ct_eq(theirs).into()
    }
}

/// The whole computation of the prover with the random `x`. `None` when `theirs` is no point of the curve, or one that
/// would give the secret away.
pub(super) fn prove(secrets: &Secrets, context: &[u8], ids: [&[u8]; 2], x: &Scalar, theirs: &[u8]) -> Option<Proved> {
    let (m, n, y) = (point(&M)?, point(&N)?, point(theirs)?);
    let ours = ProjectivePoint::GENERATOR * x + m * *secrets.w0;
    let unmasked = y - n * *secrets.w0;
    let (z, v) = (unmasked * x, unmasked * *secrets.w1);
    if [y, ours, z, v].iter().any(|point| bool::from(point.is_identity())) {
        return None;
    }
    let share = bytes_of(&ours);
    let w0: Zeroizing<[u8; 32]> = Zeroizing::new(secrets.w0.to_bytes().into());
    let [prover, verifier] = ids;
    let mut transcript = Zeroizing::new(Vec::with_capacity(640));
    let points = [&bytes_of(&m), &bytes_of(&n), &share, &bytes_of(&y), &bytes_of(&z), &bytes_of(&v)];
    let parts = [context, prover, verifier].into_iter();
    for part in parts.chain(points.into_iter().map(Point::as_slice)).chain([w0.as_slice()]) {
        transcript.extend_from_slice(&(part.len() as u64).to_le_bytes());
        transcript.extend_from_slice(part);
    }
    let main = Zeroizing::new(sha256(&[&transcript]));
    let confirmation: Zeroizing<[u8; 64]> = expand(main.as_slice(), None, b"ConfirmationKeys")?;
    let (ours_key, theirs_key) = confirmation.split_at(32);
    Some(Proved {
        confirm: hmac(ours_key, &bytes_of(&y))?,
        expected: hmac(theirs_key, &share)?,
        share,
        shared: expand(main.as_slice(), None, b"SharedKey")?,
    })
}

/// HKDF-SHA256. `None` only above 255 hashes' worth of bytes.
pub(super) fn expand<const N: usize>(secret: &[u8], salt: Option<&[u8]>, info: &[u8]) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::new(salt, secret).expand(info, bytes.as_mut_slice()).ok()?;
    Some(bytes)
}

fn hmac(key: &[u8], data: &[u8]) -> Option<[u8; 32]> {
    let mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    Some(mac.chain_update(data).finalize().into_bytes().into())
}

#[cfg(test)]
mod tests;
