//! Vectors of the RFCs, challenges as machines send them, and hostile ones.

use proptest::prelude::*;

use super::*;

const AMT_15: &str = r#"Digest realm="Digest:727734D63A1FC0423736E48DA554E462", nonce="B9AX94iAAAAAAAAAx6rrSfPHGUrx/3uA",stale="false",qop="auth""#;
const AMT_16: &str = r#"Digest realm="Digest:A4070000000000000000000000000000", nonce="jpMJFAAAAAAAAADDV8cKjOzQPxLFvT0=",stale="false",qop="auth-int, auth""#;
const RFC_7616: &str = r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=ALGORITHM, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;
const RFC_7616_CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

fn parse(header: &str) -> Result<Challenge, ChallengeError> {
    Challenge::parse([header])
}

fn mufasa(password: &str) -> Claim<'_> {
    Claim { username: "Mufasa", password, method: "GET", uri: "/dir/index.html" }
}

/// A parameter of a built header, read by the parser of challenges.
fn part(header: &str, name: &str) -> Option<String> {
    let (found, whole) = split(header);
    assert!(whole && found.len() == 1, "{header}");
    found[0].1.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone())
}

#[test]
fn rfc_2617() {
    let header = r#"Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
    let built = authorization(&parse(header).unwrap(), mufasa("Circle Of Life"), 1, "0a4f113b");
    assert_eq!(
        built,
        "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
         uri=\"/dir/index.html\", response=\"6629fae49393a05397450978507c4ef1\", qop=auth, nc=00000001, \
         cnonce=\"0a4f113b\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\""
    );
}

#[test]
fn rfc_2069_without_qop() {
    let header = r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093""#;
    let built = authorization(&parse(header).unwrap(), mufasa("CircleOfLife"), 1, "0a4f113b");
    // The response as the errata of the RFC correct it.
    assert_eq!(part(&built, "response").unwrap(), "1949323746fe6a43ef61f9606e7febea");
    assert!(!built.contains("qop") && !built.contains("nc=") && !built.contains("cnonce"), "{built}");
}

#[test]
fn rfc_7616_with_every_algorithm() {
    for (algorithm, response) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        // Made with another implementation: the RFC has no vectors for sessions.
        ("MD5-sess", "e783283f46242139c486a698fec7211d"),
        ("SHA-256-sess", "2fd51b3a77ad75bad6afad6003e818d767133c46d9e2749e7f5232ae1ea3efd7"),
    ] {
        let challenge = parse(&RFC_7616.replace("ALGORITHM", algorithm)).unwrap();
        let built = authorization(&challenge, mufasa("Circle of Life"), 1, RFC_7616_CNONCE);
        assert_eq!(part(&built, "response").unwrap(), response, "{algorithm}");
        assert_eq!(part(&built, "algorithm").unwrap(), algorithm);
        assert_eq!(part(&built, "opaque"), challenge.opaque);
    }
}

#[test]
fn amt_as_it_is() {
    let challenge = parse(AMT_15).unwrap();
    assert_eq!(challenge.realm, "Digest:727734D63A1FC0423736E48DA554E462");
    assert_eq!(challenge.nonce, "B9AX94iAAAAAAAAAx6rrSfPHGUrx/3uA");
    assert!(challenge.qop && !challenge.stale);
    let pending_power_on = Claim { username: "admin", password: "P@ssw0rd", method: "POST", uri: "/wsman" };
    let built = authorization(&challenge, pending_power_on, 10, "0a4f113b");
    assert!(
        built.contains("response=\"4b6374007f9ed8738c62acb67263e8f9\", qop=auth, nc=0000000a, cnonce=\"0a4f113b\""),
        "{built}"
    );
    assert!(!built.contains("algorithm") && !built.contains("opaque") && !built.contains("P@ssw0rd"), "{built}");
    assert!(parse(AMT_16).unwrap().qop);
}

#[test]
fn forms_of_challenges() {
    for header in [
        "digest REALM=r,NONCE=n",
        "Digest realm=r,nonce=n",
        "Digest realm = \"r\" , nonce\t=\t\"n\"",
        "Digest  ,, realm=\"r\",,nonce=\"n\",",
        "Negotiate, Digest realm=\"r\", nonce=\"n\"",
        "Digest realm=\"r\", nonce=\"n\", Basic realm=\"b\"",
        "Basic realm=\"b, Digest realm=x\", Digest realm=\"r\", nonce=\"n\"",
        "NTLM TlRMTVNTUAAC/+==, Digest realm=\"r\", nonce=\"n\"",
        "Digest realm=\"r\", nonce=\"n\", qop=\"\"",
        "Digest realm=\"r\", nonce=\"n\", future=\"x, y=z\", domain=\"/\"",
        "Digest realm=\"r\", realm=\"second\", nonce=\"n\"",
    ] {
        let challenge = parse(header).unwrap_or_else(|error| panic!("{header}: {error}"));
        let Challenge { realm, nonce, qop, stale, algorithm, .. } = challenge;
        assert_eq!((realm.as_str(), nonce.as_str(), qop, stale), ("r", "n", false, false), "{header}");
        assert_eq!(algorithm, Algorithm::Md5);
    }
    let escaped = parse(r#"Digest realm="a \"quoted\" \\ realm, with=comma", nonce="n""#).unwrap();
    assert_eq!(escaped.realm, r#"a "quoted" \ realm, with=comma"#);
    let built = authorization(&escaped, mufasa("x"), 1, "c");
    assert_eq!(part(&built, "realm").unwrap(), escaped.realm);
    for stale in ["stale=true", "stale=\"true\"", "STALE=\"TRUE\"", "stale=\" true \""] {
        assert!(parse(&format!("Digest realm=r, nonce=n, {stale}")).unwrap().stale, "{stale}");
    }
    for qop in ["auth", "\"auth\"", "\"auth-int, auth\"", "\"auth-int,auth\"", "\" auth , x\"", "\"AUTH\""] {
        assert!(parse(&format!("Digest realm=r, nonce=n, qop={qop}")).unwrap().qop, "{qop}");
    }
}

#[test]
fn the_strongest_of_several_challenges_is_taken() {
    let md5 = "Digest realm=r, nonce=weak";
    let sha = "Digest realm=r, nonce=strong, algorithm=SHA-256";
    let odd = "Digest realm=r, nonce=odd, algorithm=SHA-512-256";
    for headers in [[md5, sha, odd], [odd, sha, md5], [sha, odd, md5]] {
        assert_eq!(Challenge::parse(headers).unwrap().nonce, "strong");
        assert_eq!(parse(&headers.join(", ")).unwrap().nonce, "strong");
    }
    assert_eq!(Challenge::parse(["Basic realm=\"x\"", md5]).unwrap().nonce, "weak");
}

#[test]
fn what_cannot_be_answered_says_why() {
    use ChallengeError::{Malformed, NoDigest, Unsupported};
    let long = format!("Digest realm=\"{}\", nonce=n", "x".repeat(CHALLENGE_BYTES_MAX));
    let many = format!("Digest realm=r, {} nonce=n", "x=y, ".repeat(PARAMETERS_MAX));
    // A character of two bytes across the limit.
    let across = format!("Digest realm=r, x=\"{}\u{e4}\", nonce=n", "x".repeat(CHALLENGE_BYTES_MAX - 20));
    for (header, error) in [
        ("", NoDigest),
        (" , ,", NoDigest),
        ("Basic realm=\"x\"", NoDigest),
        ("Negotiate", NoDigest),
        ("realm=\"r\", nonce=\"n\"", NoDigest),
        ("Digest", Malformed),
        ("Digest realm=\"r\"", Malformed),
        ("Digest nonce=\"n\"", Malformed),
        (&format!("Digest realm=\"{}\", nonce=n", "r".repeat(REALM_BYTES_MAX + 1)), Malformed),
        ("Digest realm=\"r\", nonce=\"\"", Malformed),
        ("Digest realm=\"r\", nonce=\"n", Malformed),
        ("Digest realm=\"r, nonce=n", Malformed),
        ("Digest realm=\"r\\", Malformed),
        ("Digest \"realm\"=\"r\", nonce=\"n\"", Malformed),
        ("\"", Malformed),
        ("=", Malformed),
        ("Digest realm=\"a\rb\", nonce=n", Malformed),
        ("Digest realm=\"a\\\nb\", nonce=n", Malformed),
        ("Digest realm=r, nonce=n\u{7f}", Malformed),
        (&long, Malformed),
        (&many, Malformed),
        (&across, Malformed),
        ("Digest realm=r, nonce=n, qop=\"auth-int\"", Unsupported),
        ("Digest realm=r, nonce=n, algorithm=SHA-512-256", Unsupported),
        ("Digest realm=r, nonce=n, algorithm=\"\"", Unsupported),
    ] {
        assert_eq!(parse(header), Err(error), "{header}");
    }
}

fn quotable() -> impl Strategy<Value = String> {
    "[ -~\u{e4}\u{20ac}]{1,40}"
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(header in any::<String>(), digest in "(Digest|,|=|\"|\\\\| |realm|nonce|qop|a)*") {
        let _ = parse(&header);
        let _ = parse(&digest);
        let _ = Challenge::parse([header.as_str(), digest.as_str()]);
    }

    #[test]
    fn what_is_written_is_read(realm in quotable(), nonce in quotable(), user in quotable(), stale in any::<bool>(),
                               count in any::<u32>()) {
        let text = format!("Digest realm={},nonce={} , stale=\"{stale}\", qop=auth", quote(&realm), quote(&nonce));
        let challenge = parse(&text).unwrap();
        prop_assert_eq!(&challenge.realm, &realm);
        prop_assert_eq!(&challenge.nonce, &nonce);
        prop_assert_eq!(challenge.stale, stale);
        let pending_power_on = Claim { username: &user, password: "secret", method: "POST", uri: "/wsman" };
        let built = authorization(&challenge, pending_power_on, count, "c");
        prop_assert_eq!(part(&built, "username").unwrap(), user);
        prop_assert_eq!(part(&built, "realm").unwrap(), realm);
        prop_assert_eq!(part(&built, "nonce").unwrap(), nonce);
        prop_assert_eq!(part(&built, "nc").unwrap(), format!("{count:08x}"));
    }
}
