//! The vectors of the protocol page, readings of odd answers, and garbage.

use proptest::prelude::*;

use super::*;
use crate::driver::tapo::tests::vectors;

fn session() -> Session {
    let vector = &vectors()["tpap"];
    let unhex = |name: &str| hex::decode(vector[name].as_str().unwrap()).unwrap();
    let shared = unhex("shared_key");
    let key = expand::<16>(&shared, Some(b"tp-kdf-salt-aes128-key"), b"tp-kdf-info-aes128-key").unwrap();
    let base = expand::<12>(&shared, Some(b"tp-kdf-salt-aes128-iv"), b"tp-kdf-info-aes128-iv").unwrap();
    assert_eq!(key.as_slice(), unhex("session_key"));
    assert_eq!(base.as_slice(), unhex("base_nonce"));
    let seq = counter(vector["start_seq"].as_i64().unwrap()).unwrap();
    Session { stok: Zeroizing::new("x".into()), port: None, key, base: *base, seq, timeout: None, unbound: false }
}

#[test]
fn the_vector_of_a_request() {
    let vector = &vectors()["tpap"];
    let mut session = session();
    let plain = vector["request_plain"].as_str().unwrap().as_bytes();
    let (seq, body) = session.seal(plain).unwrap();
    assert_eq!(hex::encode(&body), vector["request_body"].as_str().unwrap());
    assert_eq!(u64::from(seq), vector["start_seq"].as_u64().unwrap());
    assert_eq!(session.seq, seq + 1);
    assert_eq!(session.open(seq, &body).as_deref(), Some(plain));
    // Another number in front, and another number asked for.
    assert_eq!(session.open(seq + 1, &body), None);
    let mut other = body.clone();
    other[3] ^= 1;
    assert_eq!(session.open(seq ^ 1, &other), None);
}

#[test]
fn the_vector_of_the_factory_passcode() {
    let vector = &vectors()["default_passcode"];
    let mac: MacAddress = vector["mac"].as_str().unwrap().parse().unwrap();
    assert_eq!(factory_passcode(mac).unwrap().as_str(), vector["passcode"].as_str().unwrap());
    let result = json!({ "mac": "AABBCCDDEEFF", "tpap": { "tls": 0, "pake": [0] } });
    let terms = Terms::read(&result);
    assert!(terms.check(&Rules::of_first_contact(clock::Clock::system())).is_ok());
    let account = Account { username: String::new(), password: "x".into() };
    assert_eq!(terms.credential(&account, None).unwrap().as_str(), vector["passcode"].as_str().unwrap());
    assert_eq!(terms.register(&[0; 32])["passcode_type"], "default_userpw");
}

#[test]
fn the_first_message_is_as_plugs_want_it() {
    let vector = &vectors()["tpap"];
    let random = BASE64.decode(vector["user_random_b64"].as_str().unwrap()).unwrap();
    let message = Terms::usual().register(&random.try_into().unwrap());
    assert_eq!(
        message,
        json!({ "sub_method": "pake_register", "username": "21232f297a57a5a743894a0e4a801fc3",
                "user_random": vector["user_random_b64"], "cipher_suites": [1], "encryption": ["aes_128_ccm"],
                "passcode_type": "userpw" })
    );
    let hashed = Terms::read(&json!({ "user_hash_type": 1 })).register(&[0; 32]);
    assert_eq!(hashed["username"], "8C6976E5B5410415BDE908BD4DEE15DFB167A9C873FC4BB8A81F6F2AB448A918");
}

#[test]
fn the_credential_of_plugs_is_the_hash_of_the_password() {
    let vector = &vectors()["tpap"];
    let account = Account { username: String::new(), password: vector["password"].as_str().unwrap().into() };
    let extra = json!({ "type": "password_shadow", "params": { "passwd_id": 2 } });
    let credential = Terms::usual().credential(&account, Some(&extra)).unwrap();
    assert_eq!(credential.as_str(), vector["credential"].as_str().unwrap());
    for extra in [None, Some(json!({})), Some(json!({ "type": "password_shadow", "params": { "passwd_id": 1 } }))] {
        let fault = Terms::usual().credential(&account, extra.as_ref()).unwrap_err();
        assert_eq!(fault.kind, Kind::UnsupportedProtocol);
    }
}

#[test]
fn the_answer_to_discover_decides() {
    let terms = |result: &Value| matches!(read_probe(result), Probe::Terms(_));
    let full = json!({ "sub_method": "discover", "tpap_preferred": true, "mac": "AABBCCDDEEFF",
        "tpap": { "tls": 0, "dac": 0, "noc": 0, "pake": [2], "port": 80 } });
    let Probe::Terms(read) = read_probe(&full) else { panic!("no terms") };
    assert_eq!((read.tls, read.port, read.passcode), (0, Some(80), Passcode::Account));
    assert!(terms(&json!({ "tpap_preferred": true })) && terms(&json!({ "tpap": {} })));
    assert_eq!(read_probe(&json!({ "sub_method": "discover", "tpap_preferred": false })), Probe::Klap);
    assert!(matches!(read_probe(&json!({})), Probe::Other(_)));
}

#[test]
fn a_start_number_may_be_signed() {
    assert_eq!(counter(305_419_896), Some(0x1234_5678));
    assert_eq!(counter(-1), Some(u32::MAX));
    assert_eq!(counter(4_294_967_295), Some(u32::MAX));
    assert_eq!((counter(1 << 32), counter(i64::MIN)), (None, None));
}

proptest! {
    #[test]
    fn garbage_never_panics(body: Vec<u8>, seq: u32) {
        prop_assert_eq!(session().open(seq, &body), None);
        let numbered = [seq.to_be_bytes().as_slice(), &body].concat();
        prop_assert_eq!(session().open(seq, &numbered), None);
    }

    #[test]
    fn odd_offers_never_panic(iterations: i64, suite: i64, text in ".{0,12}") {
        let offer = Offer::read(&json!({ "cipher_suites": suite, "encryption": "aes_128_ccm", "iterations": iterations,
            "dev_random": text, "dev_salt": text, "dev_share": text }));
        prop_assert!(offer.is_err() || (suite == 1 && (1..=100_000).contains(&iterations)));
    }
}
