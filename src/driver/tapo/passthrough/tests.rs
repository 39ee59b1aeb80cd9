//! The vectors of the protocol page, and garbage.

use proptest::prelude::*;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;

use super::*;
use crate::driver::tapo::tests::vectors;

fn keys(vector: &Value) -> Keys {
    let bytes = |name: &str| Zeroizing::new(hex::decode(vector[name].as_str().unwrap()).unwrap().try_into().unwrap());
    Keys { key: bytes("aes_key"), iv: bytes("aes_iv") }
}

#[test]
fn the_vector_of_the_handshake() {
    let vector = &vectors()["passthrough"];
    let der = BASE64.decode(vector["rsa_private_pkcs1_der_b64"].as_str().unwrap()).unwrap();
    let key = RsaPrivateKey::from_pkcs1_der(&der).unwrap();
    let unwrapped = unwrap_keys(&key, vector["handshake_result_key"].as_str().unwrap()).unwrap();
    assert_eq!((*unwrapped.key, *unwrapped.iv), (*keys(vector).key, *keys(vector).iv));
    for bad in ["", "?", "AAAA", &"A".repeat(172)] {
        assert!(unwrap_keys(&key, bad).is_none(), "{bad}");
    }
    let public = key.to_public_key().to_public_key_der().unwrap();
    assert_eq!(BASE64.encode(public.as_bytes()), vector["rsa_public_spki_der_b64"].as_str().unwrap());
}

#[test]
fn the_vectors_of_login_and_request() {
    let vector = &vectors()["passthrough"];
    let text = |name: &str| vector[name].as_str().unwrap();
    let account = Account { username: text("username").into(), password: text("password").into() };
    let keys = keys(vector);
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let sealed = |text: &str| BASE64.encode(seal(&keys.key, &keys.iv, text.as_bytes()));
    for (form, name) in [(Form::V1, "login_v1"), (Form::V2, "login_v2")] {
        // The order of the keys of an object is free.
        let plain = text(&format!("{name}_plain"));
        assert_eq!(login_request(&account, form), parsed(plain));
        assert_eq!(sealed(plain), text(&format!("{name}_request")));
    }
    let request = envelope("get_device_info", None);
    assert_eq!(request.to_string(), text("request_plain"));
    let wrapped = json!({ "method": "securePassthrough", "params": { "request": text("request") } });
    assert_eq!(keys.wrap(&request), wrapped);
    let outer = json!({ "error_code": 0, "result": { "response": text("response") } });
    assert_eq!(keys.unwrap(&outer).unwrap(), parsed(text("response_plain")));
}

#[test]
fn of_an_answer_in_clear_nothing_is_believed_but_an_error() {
    let keys = keys(&vectors()["passthrough"]);
    let off = json!({ "error_code": 0, "result": { "device_on": false } });
    let error = json!({ "error_code": 9999, "result": { "device_on": false } });
    for (inner, read) in [(off, None), (error, Some(json!({ "error_code": 9999 })))] {
        for response in [inner.clone(), inner.to_string().into()] {
            assert_eq!(keys.unwrap(&json!({ "result": { "response": response } })), read);
        }
    }
    assert_eq!(keys.unwrap(&json!({ "result": { "response": "AAAA" } })), None);
    assert_eq!(keys.unwrap(&json!({ "result": {} })), None);
}

#[test]
fn each_key_is_new_and_of_the_only_size_that_plugs_take() {
    let ((one, pem), (two, _)) = (make_key().unwrap(), make_key().unwrap());
    assert_eq!((one.size(), one.n() == two.n()), (128, false));
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n") && pem.ends_with("-----END PUBLIC KEY-----\n"));
    assert_eq!(rsa::RsaPublicKey::from_public_key_pem(&pem).unwrap(), one.to_public_key());
}

proptest! {
    #[test]
    fn garbage_never_panics(text in ".*") {
        let keys = keys(&vectors()["passthrough"]);
        let read = keys.unwrap(&json!({ "result": { "response": text } }));
        prop_assert!(read.is_none() || serde_json::from_str::<Value>(&text).is_ok());
    }
}
