//! The test vectors of the protocol, from the plug's side. Tests only.

use p256::Scalar;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
use serde_json::Value;

use super::super::config::Variant;
use super::crypt::{cbc_decrypt, ccm_decrypt, md5};
use super::*;

fn load(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name].as_str().unwrap_or_else(|| panic!("the vector has no {name}"))
}

fn bytes(vector: &Value, name: &str) -> Vec<u8> {
    hex::decode(text(vector, name)).unwrap()
}

fn number(vector: &Value, name: &str) -> i32 {
    i32::try_from(vector[name].as_i64().unwrap()).unwrap()
}

fn check_klap(variant: Variant, vector: &Value) {
    let (local, remote) = (bytes(vector, "local_seed"), bytes(vector, "remote_seed"));
    let hash = klap::auth_hash(variant, text(vector, "username").as_bytes(), text(vector, "password").as_bytes());
    assert_eq!(hash, bytes(vector, "auth_hash"));
    let (ours, theirs) = klap::proofs(variant, &local, &remote, &hash);
    assert_eq!([&remote[..], &ours].concat(), bytes(vector, "handshake1_response_body"));
    assert_eq!(theirs.to_vec(), bytes(vector, "handshake2_request_body"));

    let keys = klap::Keys::new(&local, &remote, &hash);
    assert_eq!(keys.key.to_vec(), bytes(vector, "key"));
    assert_eq!(keys.iv.to_vec(), bytes(vector, "iv12"));
    assert_eq!(keys.signing.to_vec(), bytes(vector, "sig_key"));
    assert_eq!(keys.seq, number(vector, "seq_initial"));

    let seq = number(vector, "request_seq");
    assert_eq!(seq, keys.seq.wrapping_add(1));
    let request = [bytes(vector, "request_signature"), bytes(vector, "request_ciphertext")].concat();
    assert_eq!(keys.unseal(seq, &request).unwrap(), text(vector, "request_plain").as_bytes());
    assert_eq!(keys.seal(seq, text(vector, "response_plain").as_bytes()), bytes(vector, "response_body"));

    let wrapped = number(vector, "wrap_seq");
    assert_eq!(wrapped, i32::MAX.wrapping_add(1));
    let request = bytes(vector, "wrap_request_body");
    assert_eq!(keys.unseal(wrapped, &request).unwrap(), text(vector, "request_plain").as_bytes());
    assert_eq!(keys.unseal(wrapped.wrapping_add(1), &request), None, "the signature covers the number");
}

#[test]
fn klap_v1() {
    check_klap(Variant::KlapV1, &load(include_str!("../../../tests/fixtures/sim/klap_v1.json")));
}

#[test]
fn klap_v2() {
    check_klap(Variant::KlapV2, &load(include_str!("../../../tests/fixtures/sim/klap_v2.json")));
}

#[test]
fn klap_fallbacks() {
    let vectors = load(include_str!("../../../tests/fixtures/sim/klap_fallbacks.json"));
    let check = |name: &str, variant, email: &[u8], password: &[u8]| {
        assert_eq!(klap::auth_hash(variant, email, password), bytes(&vectors, name), "{name}");
    };
    check("v1 blank", Variant::KlapV1, b"", b"");
    check("v1 test@tp-link.net/test", Variant::KlapV1, b"test@tp-link.net", b"test");
    check("v1 kasa@tp-link.net/kasaSetup", Variant::KlapV1, b"kasa@tp-link.net", b"kasaSetup");
    check("v2 blank", Variant::KlapV2, b"", b"");
    check("v2 test@tp-link.net/test", Variant::KlapV2, b"test@tp-link.net", b"test");
    check("v2 kasa@tp-link.net/kasaSetup", Variant::KlapV2, b"kasa@tp-link.net", b"kasaSetup");
}

#[test]
fn secure_passthrough() {
    let vector = load(include_str!("../../../tests/fixtures/sim/passthrough.json"));
    let key: [u8; 16] = bytes(&vector, "aes_key").try_into().unwrap();
    let iv: [u8; 16] = bytes(&vector, "aes_iv").try_into().unwrap();
    let pairs =
        [("login_v1_request", "login_v1_plain"), ("login_v2_request", "login_v2_plain"), ("request", "request_plain")];
    for (sealed, opened) in pairs {
        let sealed = STANDARD.decode(text(&vector, sealed)).unwrap();
        assert_eq!(cbc_decrypt(&key, &iv, &sealed).unwrap(), text(&vector, opened).as_bytes());
    }
    assert_eq!(passthrough::seal(&key, &iv, text(&vector, "response_plain").as_bytes()), text(&vector, "response"));

    // The handshake's key is what the client finds in it: AES key, then IV.
    let private = STANDARD.decode(text(&vector, "rsa_private_pkcs1_der_b64")).unwrap();
    let private = RsaPrivateKey::from_pkcs1_der(&private).unwrap();
    let sealed = STANDARD.decode(text(&vector, "handshake_result_key")).unwrap();
    assert_eq!(private.decrypt(Pkcs1v15Encrypt, &sealed).unwrap(), [key, iv].concat());
}

#[test]
fn tpap() {
    let vector = load(include_str!("../../../tests/fixtures/sim/tpap.json"));
    let of_base64 = |name: &str| STANDARD.decode(text(&vector, name)).unwrap();
    let credential = tpap::credential(text(&vector, "password").as_bytes());
    assert_eq!(credential, text(&vector, "credential"));
    assert_eq!(hex::encode(md5(&[b"admin"])), text(&vector, "register_username"));
    let context = tpap::context(&of_base64("user_random_b64"), &of_base64("dev_random_b64"));
    assert_eq!(context.to_vec(), bytes(&vector, "context"));

    let iterations = u32::try_from(vector["iterations"].as_u64().unwrap()).unwrap();
    let registration = spake::Registration::new(credential.as_bytes(), &of_base64("dev_salt_b64"), iterations);
    let y: Scalar = spake::scalar(bytes(&vector, "y").try_into().unwrap());
    assert_eq!(registration.share(&y), bytes(&vector, "dev_share"));
    let outcome = registration.finish(&y, &bytes(&vector, "user_share"), &context, b"", b"").unwrap();
    assert_eq!(outcome.prover_confirm.to_vec(), bytes(&vector, "user_confirm"));
    assert_eq!(outcome.verifier_confirm.to_vec(), bytes(&vector, "dev_confirm"));
    assert_eq!(outcome.shared.to_vec(), bytes(&vector, "shared_key"));

    let keys = tpap::Keys::new(&outcome.shared);
    assert_eq!(keys.key.to_vec(), bytes(&vector, "session_key"));
    assert_eq!(keys.nonce.to_vec(), bytes(&vector, "base_nonce"));
    let (seq, opened) = keys.unseal(&bytes(&vector, "request_body")).unwrap();
    assert_eq!(u64::from(seq), vector["start_seq"].as_u64().unwrap());
    assert_eq!(opened, text(&vector, "request_plain").as_bytes());
    let answer = keys.seal(seq, b"{}").unwrap();
    assert_eq!(answer[..4], seq.to_be_bytes());
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&keys.nonce[..8]);
    nonce[8..].copy_from_slice(&seq.to_be_bytes());
    assert_eq!(ccm_decrypt(&keys.key, &nonce, &answer[4..]).unwrap(), b"{}");
}
