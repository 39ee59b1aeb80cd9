//! Any bytes as a plug's half of TPAP, with the numbers of the test vectors, so that a seed gets to the end.

use std::sync::LazyLock;

use super::*;

/// Rounds of PBKDF2 that a run of the target has time for; the vectors have 3000.
const ITERATIONS_TRIED: u32 = 3000;

static VECTOR: LazyLock<Value> = LazyLock::new(|| {
    let vectors: Value = serde_json::from_str(include_str!("../../../../tests/fixtures/driver/tapo.json")).unwrap();
    vectors["tpap"].clone()
});

fn unhex(name: &str) -> Vec<u8> {
    hex::decode(VECTOR[name].as_str().unwrap()).unwrap()
}

/// A login that has got as far as the plug's proof.
static PROVED: LazyLock<Proved> = LazyLock::new(|| {
    let salt = BASE64.decode(VECTOR["dev_salt_b64"].as_str().unwrap()).unwrap();
    let secrets = Secrets::derive(VECTOR["credential"].as_str().unwrap().as_bytes(), &salt, ITERATIONS_TRIED);
    prove(&secrets, &unhex("context"), [b"", b""], &scalar(&unhex("x")), &unhex("dev_share")).unwrap()
});

fn account() -> Account {
    Account { username: String::new(), password: VECTOR["password"].as_str().unwrap().to_owned().into() }
}

/// The answer to discover.
pub fn probes(result: &Value) {
    if let Probe::Terms(terms) = read_probe(result) {
        let _ = (terms.check(&Rules::of_first_contact(clock::Clock::system())).is_ok(), terms.register(&[0; 32]));
        let _ = terms.credential(&account(), result.get("extra_crypt")).is_ok();
        assert_ne!(terms.port, Some(0));
    }
}

/// The answer to the first step of a login.
pub fn offers(result: &Value) {
    let Ok(offer) = Offer::read(result) else { return };
    assert!((1..=ITERATIONS_MAX).contains(&offer.iterations));
    let credential = Terms::usual().credential(&account(), offer.extra.as_ref());
    if let (Ok(credential), true) = (credential, offer.iterations <= ITERATIONS_TRIED) {
        let proved = offer.prove(&credential, &[0; 32]);
        assert!(proved.is_none_or(|proved| proved.share != *offer.share));
    }
}

/// The answer to the second step: a session only for who proved to know the password.
pub fn ends_login(result: &Value) {
    if Session::start(result, &PROVED, &Terms::usual()).is_ok() {
        let confirm = BASE64.decode(result["dev_confirm"].as_str().unwrap()).unwrap();
        assert_eq!(confirm, unhex("dev_confirm"));
    }
}

/// The body of an answer: what opens is exactly what would be sealed; returns what is in it.
pub fn opens(body: &[u8]) -> Option<Vec<u8>> {
    let result = json!({ "dev_confirm": BASE64.encode(unhex("dev_confirm")), "stok": "x", "start_seq": 0x1234_5678 });
    let mut session =
        Session::start(&result, &PROVED, &Terms::usual()).unwrap_or_else(|fault| unreachable!("{fault:?}"));
    let plain = session.open(session.seq, body)?;
    assert_eq!(session.seal(&plain), Some((0x1234_5678, body.to_vec())));
    Some(plain)
}
