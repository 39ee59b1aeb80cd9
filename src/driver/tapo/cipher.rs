//! The primitives that the variants share: hashes over parts, AES-CBC, and JSON out of bytes.
//!
//! Pure functions. Nothing here knows a message of any protocol.

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A key or an initialisation vector of AES-128.
pub(super) type Block = [u8; 16];

/// SHA-256 over the parts one after another.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

/// SHA-1.
pub(super) fn sha1(data: &[u8]) -> [u8; 20] {
    Sha1::digest(data).into()
}

/// MD5.
pub(super) fn md5(data: &[u8]) -> [u8; 16] {
    Md5::digest(data).into()
}

/// AES-128-CBC with PKCS#7 padding.
pub(super) fn seal(key: &Block, iv: &Block, plain: &[u8]) -> Vec<u8> {
    cbc::Encryptor::<Aes128>::new(key.into(), iv.into()).encrypt_padded_vec::<Pkcs7>(plain)
}

/// The other way; `None` when length or padding are wrong.
pub(super) fn open(key: &Block, iv: &Block, sealed: &[u8]) -> Option<Vec<u8>> {
    cbc::Decryptor::<Aes128>::new(key.into(), iv.into()).decrypt_padded_vec::<Pkcs7>(sealed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hashes_are_the_known_ones() {
        assert_eq!(hex::encode(md5(b"admin")), "21232f297a57a5a743894a0e4a801fc3");
        assert_eq!(hex::encode(sha1(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(sha256(&[b"a", b"", b"bc"])), abc);
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(key: Block, iv: Block, plain: Vec<u8>) {
            let sealed = seal(&key, &iv, &plain);
            prop_assert!(sealed.len() > plain.len() && sealed.len().is_multiple_of(16));
            prop_assert_eq!(open(&key, &iv, &sealed), Some(plain));
        }

        #[test]
        fn garbage_never_panics(key: Block, iv: Block, garbage: Vec<u8>) {
            let opened = open(&key, &iv, &garbage);
            prop_assert!(garbage.len().is_multiple_of(16) || opened.is_none());
        }
    }
}
