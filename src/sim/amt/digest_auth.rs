//! The login: HTTP Digest with MD5 as the engine implements it. Nonces with an age and a counter, `stale` in quotes, a
//! realm of the machine's own, an account that may lock. Pure but for the nonces, which are random.

use std::collections::VecDeque;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use crate::clock::{Mono, secret_bytes};

/// How many nonces are remembered; the oldest goes first.
const NONCES_MAX: usize = 64;

/// What the door looks at.
pub(super) struct AuthRequest<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub authorization: Option<&'a str>,
    pub body: &'a [u8],
}

/// The accepted account, and the variant of Digest.
pub(super) struct Rules<'a> {
    pub username: &'a str,
    pub password: &'a str,
    pub realm: &'a str,
    /// Whether `auth-int` is offered beside `auth`.
    pub integrity: bool,
    pub nonce_life: Duration,
    pub nonce_uses_max: Option<u32>,
    pub any_nc: bool,
    pub lock_after: Option<u32>,
    pub lock_time: Duration,
}

/// The result of an authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Come in. `first`: the first time with this nonce.
    Open { first: bool },
    /// The request had no credentials.
    Asked,
    /// The credentials are right, the nonce is not (any more).
    Stale,
    /// The credentials are wrong.
    Wrong,
    /// The account is locked.
    Locked,
}

#[derive(Clone, Debug)]
struct Nonce {
    text: String,
    made: Mono,
    /// The largest `nc` so far.
    count: u32,
    uses: u32,
}

/// The digest authentication of one engine.
#[derive(Clone, Debug, Default)]
pub(super) struct Door {
    nonces: VecDeque<Nonce>,
    wrong: u32,
    locked_until: Option<Mono>,
}

impl Door {
    /// The challenge of a 401, with a new nonce.
    pub(super) fn challenge(&mut self, rules: &Rules<'_>, stale: bool, now: Mono) -> String {
        if self.nonces.len() >= NONCES_MAX {
            self.nonces.pop_front();
        }
        let text = STANDARD.encode(secret_bytes::<24>());
        let qop = if rules.integrity { "auth-int, auth" } else { "auth" };
        let challenge = format!(r#"Digest realm="{}", nonce="{text}",stale="{stale}",qop="{qop}""#, rules.realm);
        self.nonces.push_back(Nonce { text, made: now, count: 0, uses: 0 });
        challenge
    }

    /// Forgets all nonces.
    pub(super) fn forget_nonces(&mut self) {
        self.nonces.clear();
    }

    /// Lifts a lock.
    pub(super) fn unlock(&mut self) {
        (self.wrong, self.locked_until) = (0, None);
    }

    pub(super) fn check(&mut self, rules: &Rules<'_>, knock: &AuthRequest<'_>, now: Mono) -> Verdict {
        if self.locked_until.is_some_and(|until| now < until) {
            return Verdict::Locked;
        }
        let Some(header) = knock.authorization else { return Verdict::Asked };
        let Some((nonce, count)) = verify(rules, knock, header) else {
            self.wrong += 1;
            if rules.lock_after.is_some_and(|max| self.wrong >= max) {
                self.locked_until = Some(now + rules.lock_time);
                self.wrong = 0;
            }
            return Verdict::Wrong;
        };
        self.wrong = 0;
        let Some(known) = self.nonces.iter_mut().find(|known| known.text == nonce) else { return Verdict::Stale };
        let replayed = count <= known.count && !rules.any_nc;
        let used_up = rules.nonce_uses_max.is_some_and(|max| known.uses >= max);
        if replayed || used_up || now.since(known.made) >= rules.nonce_life {
            return Verdict::Stale;
        }
        known.count = known.count.max(count);
        known.uses += 1;
        Verdict::Open { first: known.uses == 1 }
    }
}

/// Checks all but the nonce, and returns it with its count.
fn verify(rules: &Rules<'_>, knock: &AuthRequest<'_>, header: &str) -> Option<(String, u32)> {
    let (scheme, rest) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("digest") {
        return None;
    }
    let fields = fields(rest)?;
    let get = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let (nonce, nc, cnonce, qop) = (get("nonce")?, get("nc")?, get("cnonce")?, get("qop")?);
    let right_place = get("username")? == rules.username && get("realm")? == rules.realm && get("uri")? == knock.target;
    let algorithm = get("algorithm").is_none_or(|text| text.eq_ignore_ascii_case("md5"));
    if !right_place || !algorithm || cnonce.is_empty() || nc.len() != 8 {
        return None;
    }
    let ha1 = md5_hex(&[rules.username, ":", rules.realm, ":", rules.password]);
    let ha2 = match qop {
        "auth" => md5_hex(&[knock.method, ":", knock.target]),
        "auth-int" if rules.integrity => {
            md5_hex(&[knock.method, ":", knock.target, ":", &hex::encode(Md5::digest(knock.body))])
        }
        _ => return None,
    };
    let expected = md5_hex(&[&ha1, ":", nonce, ":", nc, ":", cnonce, ":", qop, ":", &ha2]);
    let count = u32::from_str_radix(nc, 16).ok()?;
    expected.eq_ignore_ascii_case(get("response")?).then(|| (nonce.to_owned(), count))
}

fn md5_hex(parts: &[&str]) -> String {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part.as_bytes()));
    hex::encode(hash.finalize())
}

/// `a="b, c", d=e` taken apart; names in small letters.
fn fields(text: &str) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after.get(..end)?.trim().to_owned(), after.get(end..)?)
            }
        };
        fields.push((name.trim().to_ascii_lowercase(), value));
        rest = tail.trim_start().trim_start_matches(',').trim_start();
    }
    Some(fields)
}

/// The text up to the closing quote, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, text.get(at + 1..)?)),
            (_, '\\') => value.push(chars.next()?.1),
            (_, other) => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules<'_> = Rules {
        username: "admin",
        password: "P@ss:w0rd",
        realm: "Digest:00",
        integrity: false,
        nonce_life: Duration::from_secs(300),
        nonce_uses_max: None,
        any_nc: false,
        lock_after: Some(3),
        lock_time: Duration::from_secs(60),
    };

    fn at(s: u64) -> Mono {
        Mono::after_start(Duration::from_secs(s))
    }

    /// A client's header.
    fn header(nonce: &str, nc: u32, qop: &str, password: &str, body: &[u8]) -> String {
        let ha1 = md5_hex(&["admin:Digest:00:", password]);
        let body_hash = hex::encode(Md5::digest(body));
        let ha2 = if qop == "auth" { md5_hex(&["POST:/wsman"]) } else { md5_hex(&["POST:/wsman:", &body_hash]) };
        let response = md5_hex(&[&format!("{ha1}:{nonce}:{nc:08x}:c0:{qop}:{ha2}")]);
        format!(
            r#"Digest username="admin",realm="Digest:00", nonce="{nonce}",uri="/wsman", response="{response}",qop={qop},nc={nc:08x},cnonce="c0""#
        )
    }

    fn check(digest_auth: &mut Door, rules: &Rules<'_>, header: Option<&str>, now: Mono) -> Verdict {
        digest_auth.check(
            rules,
            &AuthRequest { method: "POST", target: "/wsman", authorization: header, body: b"x" },
            now,
        )
    }

    fn nonce(challenge: &str) -> String {
        challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    #[test]
    fn the_challenge_is_written_as_captured() {
        let mut digest_auth = Door::default();
        let text = digest_auth.challenge(&RULES, false, at(0));
        let rest = text.strip_prefix("Digest realm=\"Digest:00\", nonce=\"").unwrap();
        assert!(rest.ends_with("\",stale=\"false\",qop=\"auth\""), "{text}");
        let newer = Rules { integrity: true, ..RULES };
        assert!(digest_auth.challenge(&newer, true, at(0)).ends_with(",stale=\"true\",qop=\"auth-int, auth\""));
    }

    #[test]
    fn a_count_is_good_once_and_a_nonce_for_a_time() {
        let mut digest_auth = Door::default();
        assert_eq!(check(&mut digest_auth, &RULES, None, at(0)), Verdict::Asked);
        let nonce = nonce(&digest_auth.challenge(&RULES, false, at(0)));
        let mut say =
            |nc, now| check(&mut digest_auth, &RULES, Some(&header(&nonce, nc, "auth", "P@ss:w0rd", b"")), now);
        assert_eq!(say(1, at(1)), Verdict::Open { first: true });
        assert_eq!(say(1, at(1)), Verdict::Stale);
        assert_eq!(say(5, at(2)), Verdict::Open { first: false });
        assert_eq!(say(4, at(2)), Verdict::Stale);
        assert_eq!(say(6, at(300)), Verdict::Stale);
    }

    #[test]
    fn wrong_credentials_lock_the_account_where_that_is_set() {
        let mut digest_auth = Door::default();
        let nonce = nonce(&digest_auth.challenge(&RULES, false, at(0)));
        let wrong = header(&nonce, 1, "auth", "guess", b"");
        for _ in 0..3 {
            assert_eq!(check(&mut digest_auth, &RULES, Some(&wrong), at(0)), Verdict::Wrong);
        }
        let right = header(&nonce, 1, "auth", "P@ss:w0rd", b"");
        assert_eq!(check(&mut digest_auth, &RULES, Some(&right), at(59)), Verdict::Locked);
        assert_eq!(check(&mut digest_auth, &RULES, Some(&right), at(60)), Verdict::Open { first: true });
    }

    #[test]
    fn integrity_is_checked_where_it_is_offered() {
        let mut digest_auth = Door::default();
        let newer = Rules { integrity: true, ..RULES };
        let nonce = nonce(&digest_auth.challenge(&newer, false, at(0)));
        let good = header(&nonce, 1, "auth-int", "P@ss:w0rd", b"x");
        let other_body = header(&nonce, 2, "auth-int", "P@ss:w0rd", b"y");
        assert_eq!(check(&mut digest_auth, &RULES, Some(&good), at(0)), Verdict::Wrong);
        assert_eq!(check(&mut digest_auth, &newer, Some(&good), at(0)), Verdict::Open { first: true });
        assert_eq!(check(&mut digest_auth, &newer, Some(&other_body), at(0)), Verdict::Wrong);
    }

    #[test]
    fn other_places_and_schemes_do_not_open() {
        let mut digest_auth = Door::default();
        let nonce = nonce(&digest_auth.challenge(&RULES, false, at(0)));
        let good = header(&nonce, 1, "auth", "P@ss:w0rd", b"");
        let elsewhere = AuthRequest { method: "POST", target: "/other", authorization: Some(&good), body: b"" };
        assert_eq!(digest_auth.check(&Rules { lock_after: None, ..RULES }, &elsewhere, at(0)), Verdict::Wrong);
        for text in ["Basic YWRtaW46cGFzcw==", "Digest", "Digest username=\"admin", "Digest =", ""] {
            assert_eq!(
                check(&mut digest_auth, &Rules { lock_after: None, ..RULES }, Some(text), at(0)),
                Verdict::Wrong
            );
        }
        let unknown = header("bm9uY2U=", 1, "auth", "P@ss:w0rd", b"");
        assert_eq!(check(&mut digest_auth, &RULES, Some(&unknown), at(0)), Verdict::Stale);
    }

    /// RFC 2617, 3.5.
    #[test]
    fn the_example_of_the_standard_opens() {
        let rules = Rules { username: "Mufasa", password: "Circle Of Life", realm: "testrealm@host.com", ..RULES };
        let header = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, nc=00000001, \
             cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let knock = AuthRequest { method: "GET", target: "/dir/index.html", authorization: Some(header), body: b"" };
        assert_eq!(Door::default().check(&rules, &knock, at(0)), Verdict::Stale);
    }
}
