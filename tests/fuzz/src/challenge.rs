//! Any text as `WWW-Authenticate`, one header per line: nothing panics, and the response fits into a header.

#![no_main]

mod law;

use libfuzzer_sys::fuzz_target;
use plugfish::testing::driver::digest::{Challenge, Claim, authorization};

fuzz_target!(|headers: &str| law::linear_text(headers, read));

fn read(headers: &str) {
    let Ok(challenge) = Challenge::parse(headers.lines()) else { return };
    let claim = Claim { username: "admin", password: "secret", method: "POST", uri: "/wsman" };
    let answer = authorization(&challenge, claim, 1, "cnonce");
    assert!(!answer.contains(char::is_control), "{answer:?}");
    // The answer has the grammar of a challenge, so what was read must be in it.
    let again = Challenge::parse([answer.as_str()]).unwrap();
    assert_eq!((&again.realm, &again.nonce, &again.opaque), (&challenge.realm, &challenge.nonce, &challenge.opaque));
    assert_eq!((again.algorithm, again.qop), (challenge.algorithm, challenge.qop));
}
