//! Any bytes as a plug's half of KLAP, with the keys of the test vectors, so that a seed gets to the end.

use super::*;

const LOCAL: Seed = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const REMOTE: Seed = [16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31];

fn account() -> Account {
    Account { username: "Test.User@Example.com".into(), password: String::from("Pa55-word!").into() }
}

/// Two bytes of status, then the body: only who knows an account is greeted.
pub fn greets(bytes: &[u8]) {
    let Some((status, body)) = bytes.split_first_chunk::<2>() else { return };
    let reply = Reply { status: u16::from_be_bytes(*status), cookie: None, body: body.to_vec() };
    if let Ok(Greeting::Hello(hello)) =
        greeting(&account(), &Rules::of_first_contact(clock::Clock::system()), LOCAL, reply)
    {
        let proof = hello.known.version.plug_proof(&LOCAL, &hello.remote, &hello.known.account);
        assert_eq!(body, [hello.remote.as_slice(), &proof].concat());
    }
}

/// The body of an answer: what is signed is exactly what would be sealed; returns what is in it.
pub fn opens(body: &[u8]) -> Option<Vec<u8>> {
    let hash = Version::V2.account_hash(account().username(), account().password());
    let mut cipher = Cipher::new(&LOCAL, &REMOTE, &hash);
    let seq = cipher.seq.wrapping_add(1);
    let (plain, signed) = cipher.open(seq, body)?;
    assert!(plain.len() < body.len() && body.len() % 16 == 0);
    if signed {
        assert_eq!(cipher.seal(&plain), (seq, body.to_vec()));
    }
    Some(plain)
}

/// Whatever is sealed opens again, and under no other number with a right signature.
pub fn seals(plain: &[u8]) {
    let mut cipher = Cipher::new(&LOCAL, &REMOTE, &[7; 32]);
    let (seq, body) = cipher.seal(plain);
    assert_eq!(cipher.open(seq, &body), Some((plain.to_vec(), true)));
    assert!(cipher.open(seq.wrapping_add(1), &body).is_none_or(|(_, signed)| !signed));
}
