//! Any bytes as a plug's half of securePassthrough, with the keys of the test vectors.

use std::sync::LazyLock;

use rsa::pkcs1::DecodeRsaPrivateKey;

use super::*;

static VECTOR: LazyLock<Value> = LazyLock::new(|| {
    let vectors: Value = serde_json::from_str(include_str!("../../../../tests/fixtures/driver/tapo.json")).unwrap();
    vectors["passthrough"].clone()
});

static KEY: LazyLock<RsaPrivateKey> = LazyLock::new(|| {
    let der = BASE64.decode(VECTOR["rsa_private_pkcs1_der_b64"].as_str().unwrap()).unwrap();
    RsaPrivateKey::from_pkcs1_der(&der).unwrap()
});

fn keys() -> Keys {
    let bytes = |name: &str| Zeroizing::new(hex::decode(VECTOR[name].as_str().unwrap()).unwrap().try_into().unwrap());
    Keys { key: bytes("aes_key"), iv: bytes("aes_iv") }
}

/// The key of a handshake.
pub fn unwraps_keys(text: &str) {
    if unwrap_keys(&KEY, text).is_some() {
        // PKCS#1 v1.5 is a block of the size of the key.
        assert_eq!(BASE64.decode(text).unwrap().len(), RSA_BITS / 8);
    }
}

/// The outer JSON of an answer; returns what is in it.
pub fn unwraps(outer: &Value) -> Option<Value> {
    let inner = keys().unwrap(outer)?;
    assert!(outer.pointer("/result/response").is_some());
    Some(inner)
}

/// Whatever is wrapped is unwrapped the same.
pub fn wraps(inner: &Value) {
    let wrapped = keys().wrap(inner);
    let response = wrapped.pointer("/params/request").unwrap();
    assert_eq!(unwraps(&json!({ "result": { "response": response } })).as_ref(), Some(inner));
}
