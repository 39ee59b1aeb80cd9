//! The vectors of the protocol page, and garbage.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::driver::tapo::tests::vectors;

fn bytes<const N: usize>(vector: &Value, name: &str) -> [u8; N] {
    hex::decode(vector[name].as_str().unwrap()).unwrap().try_into().unwrap()
}

fn account(vector: &Value) -> Account {
    let text = |name: &str| vector[name].as_str().unwrap().to_owned();
    Account { username: text("username"), password: text("password").into() }
}

fn rules() -> Rules {
    Rules::of_first_contact(clock::Clock::system())
}

#[test]
fn the_vectors_of_both_versions() {
    for (name, version) in [("klap_v1", Version::V1), ("klap_v2", Version::V2)] {
        let vector = &vectors()[name];
        let text = |name: &str| vector[name].as_str().unwrap();
        let (local, remote): (Seed, Seed) = (bytes(vector, "local_seed"), bytes(vector, "remote_seed"));
        let hash = version.account_hash(text("username"), text("password"));
        assert_eq!(hex::encode(hash.as_slice()), text("auth_hash"));

        let body = hex::decode(text("handshake1_response_body")).unwrap();
        assert_eq!(body[..16], remote);
        let known = recognise(&account(vector), &rules(), &local, &remote, &body[16..].try_into().unwrap()).unwrap();
        assert_eq!((known.version, known.unbound), (version, false));
        let proof = version.our_proof(&local, &remote, &hash);
        assert_eq!(hex::encode(proof), text("handshake2_request_body"));

        let mut cipher = Cipher::new(&local, &remote, &hash);
        assert_eq!(hex::encode(cipher.key.as_slice()), text("key"));
        assert_eq!(hex::encode(cipher.iv12), text("iv12"));
        assert_eq!(hex::encode(cipher.sig.as_slice()), text("sig_key"));
        assert_eq!(i64::from(cipher.seq), vector["seq_initial"].as_i64().unwrap());

        let (seq, request) = cipher.seal(text("request_plain").as_bytes());
        assert_eq!(i64::from(seq), vector["request_seq"].as_i64().unwrap());
        let expected = [text("request_signature"), text("request_ciphertext")].concat();
        assert_eq!(hex::encode(request), expected);
        let answer = cipher.open(seq, &hex::decode(text("response_body")).unwrap()).unwrap();
        assert_eq!(answer, (text("response_plain").as_bytes().to_vec(), true));
    }
}

#[test]
fn a_proof_that_was_recorded_is_none_for_another_login() {
    for name in ["klap_v1", "klap_v2"] {
        let vector = &vectors()[name];
        let (local, remote): (Seed, Seed) = (bytes(vector, "local_seed"), bytes(vector, "remote_seed"));
        let body = hex::decode(vector["handshake1_response_body"].as_str().unwrap()).unwrap();
        let proof = body[16..].try_into().unwrap();
        assert!(recognise(&account(vector), &rules(), &local, &remote, &proof).is_ok());
        let mut other = local;
        other[0] ^= 1;
        let fault = recognise(&account(vector), &rules(), &other, &remote, &proof).err().unwrap();
        assert_eq!(fault.kind, Kind::ProofMismatch);
    }
}

#[test]
fn the_counter_wraps() {
    for name in ["klap_v1", "klap_v2"] {
        let vector = &vectors()[name];
        let hash = hex::decode(vector["auth_hash"].as_str().unwrap()).unwrap();
        let mut cipher = Cipher::new(&bytes(vector, "local_seed"), &bytes(vector, "remote_seed"), &hash);
        cipher.seq = i32::MAX;
        let (seq, request) = cipher.seal(vector["request_plain"].as_str().unwrap().as_bytes());
        assert_eq!(i64::from(seq), vector["wrap_seq"].as_i64().unwrap());
        assert_eq!(hex::encode(request), vector["wrap_request_body"].as_str().unwrap());
    }
}

#[test]
fn the_hashes_of_the_factory_logins() {
    let vector = &vectors()["fallback_auth_hash"];
    for (version, prefix) in [(Version::V1, "v1"), (Version::V2, "v2")] {
        for ((username, password), name) in
            UNBOUND.iter().zip(["blank", "test@tp-link.net/test", "kasa@tp-link.net/kasaSetup"])
        {
            let hash = hex::encode(version.account_hash(username, password).as_slice());
            assert_eq!(hash, vector[format!("{prefix} {name}")].as_str().unwrap());
        }
    }
}

#[test]
fn a_wrong_signature_is_no_failure() {
    let cipher = Cipher::new(&[1; 16], &[2; 16], &[3; 32]);
    let sealed = seal(&cipher.key, &cipher.iv(7), b"{}");
    let body = [[0; 32].as_slice(), &sealed].concat();
    assert_eq!(cipher.open(7, &body), Some((b"{}".to_vec(), false)));
}

proptest! {
    #[test]
    fn garbage_never_panics(body: Vec<u8>, status in 100_u16..600, seq: i32) {
        let account = account(&vectors()["klap_v2"]);
        let opened = Cipher::new(&[1; 16], &[2; 16], &[3; 32]).open(seq, &body);
        prop_assert!(opened.is_none_or(|(_, signed)| !signed));
        let greeting = greeting(&account, &rules(), [0; 16], Reply { status, cookie: None, body });
        prop_assert!(!matches!(greeting, Ok(Greeting::Hello(_))));
    }
}
