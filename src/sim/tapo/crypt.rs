//! The hashes and ciphers of the protocol variants, on plain byte strings. It knows no session and no message.

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use ccm::Ccm;
use ccm::aead::{Aead, KeyInit};
use ccm::consts::{U12, U16};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

type FrameCipher = Ccm<Aes128, U16, U12>;

/// The digest of the parts, one after the other.
fn digest<D: Digest, const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut hasher = D::new();
    parts.iter().for_each(|part| hasher.update(part));
    let mut out = [0; N];
    out.iter_mut().zip(hasher.finalize()).for_each(|(to, from)| *to = from);
    out
}

pub(super) fn md5(parts: &[&[u8]]) -> [u8; 16] {
    digest::<Md5, 16>(parts)
}

pub(super) fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    digest::<Sha1, 20>(parts)
}

pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    digest::<Sha256, 32>(parts)
}

/// The first `N` bytes of a longer array.
pub(super) fn head<const N: usize, const M: usize>(bytes: &[u8; M]) -> [u8; N] {
    const { assert!(N <= M) };
    let mut out = [0; N];
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}

pub(super) fn cbc_encrypt(key: &[u8; 16], iv: &[u8; 16], plain: &[u8]) -> Vec<u8> {
    cbc::Encryptor::<Aes128>::new(key.into(), iv.into()).encrypt_padded_vec::<Pkcs7>(plain)
}

pub(super) fn cbc_decrypt(key: &[u8; 16], iv: &[u8; 16], sealed: &[u8]) -> Option<Vec<u8>> {
    cbc::Decryptor::<Aes128>::new(key.into(), iv.into()).decrypt_padded_vec::<Pkcs7>(sealed).ok()
}

/// AES-128-CCM with a 12-byte nonce and a 16-byte tag behind the text. `None` only for a text too long for the mode.
pub(super) fn ccm_encrypt(key: &[u8; 16], nonce: &[u8; 12], plain: &[u8]) -> Option<Vec<u8>> {
    FrameCipher::new(key.into()).encrypt(nonce.into(), plain).ok()
}

pub(super) fn ccm_decrypt(key: &[u8; 16], nonce: &[u8; 12], sealed: &[u8]) -> Option<Vec<u8>> {
    FrameCipher::new(key.into()).decrypt(nonce.into(), sealed).ok()
}

/// HKDF-SHA256. The lengths in use are far below its limit of 8160 bytes.
pub(super) fn hkdf<const N: usize>(input: &[u8], salt: Option<&[u8]>, info: &[u8]) -> [u8; N] {
    const { assert!(N <= 255 * 32) };
    let mut out = [0; N];
    let _never_too_long = Hkdf::<Sha256>::new(salt, input).expand(info, &mut out);
    out
}

/// HMAC-SHA256. HMAC takes a key of any length.
pub(super) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    if let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) {
        mac.update(message);
        out.iter_mut().zip(mac.finalize().into_bytes()).for_each(|(to, from)| *to = from);
    }
    out
}

pub(super) fn pbkdf2<const N: usize>(password: &[u8], salt: &[u8], rounds: u32) -> [u8; N] {
    pbkdf2::pbkdf2_hmac_array::<Sha256, N>(password, salt, rounds)
}
