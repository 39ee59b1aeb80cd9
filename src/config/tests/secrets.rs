//! Where secrets come from, and that none is shown.

use std::os::unix::ffi::OsStringExt;

use secrecy::ExposeSecret;

use super::*;
use crate::driver::tapo::TapoConfig;

/// A configuration with this as the password of the plug.
fn with(secret: &str) -> Fake {
    Fake::new(&format!("nodes:\n- id: a\n  tapo: {{ address: h, username: u, password: {secret} }}"))
}

#[track_caller]
fn password(fake: &Fake) -> String {
    let device = fake.config().nodes[0].device.clone();
    device.get::<TapoConfig>().unwrap().password.expose_secret().to_owned()
}

#[test]
fn secrets_come_from_four_places() {
    assert_eq!(password(&with("' p w '")), " p w ");
    assert_eq!(password(&with("{ env: PW }").var("PW", "x\u{e4}")), "x\u{e4}");
    assert_eq!(password(&with("{ file: pw }").file("pw", "x\n")), "x");
    assert_eq!(password(&with("{ file: /pw }").file("/pw", "x \r\n")), "x ");
    assert_eq!(password(&with("{ file: d/pw }").file("d/pw", "x")), "x");
    let credentials = with("{ credential: tapo }").var("CREDENTIALS_DIRECTORY", "/run/c").file("/run/c/tapo", "x\n");
    assert_eq!(password(&credentials), "x");
    let longest = "x".repeat(1024);
    assert_eq!(password(&with("{ file: pw }").file("pw", format!("{longest}\r\n"))), longest);
}

#[test]
fn secrets_that_are_not_there_are_told_of() {
    let forms = "must be text, { env: NAME }, { file: PATH } or { credential: NAME }";
    let long = "x".repeat(1025);
    let too_long = "is longer than 1024 bytes; is it the right one?";
    for (fake, expect) in [
        (with("''"), "the secret is empty".to_owned()),
        (with("\"a\\nb\""), "the secret must be one line without control characters".into()),
        (with(&long), format!("the secret {too_long}")),
        (with("12345"), "must be text, not a number: put it in quotes".into()),
        (with("true"), "must be text, not true or false: put it in quotes".into()),
        (with(""), format!("has no value; it {forms}")),
        (with("[hidden]"), format!("{forms}, not a list")),
        (with("!vault hidden"), "has a tag (!...), which means nothing here; leave the tag out".into()),
        (with("{ hidden }"), format!("{forms}; this key is none of them")),
        (with("{ files: pw }"), format!("{forms}; this key is none of them; did you mean file?")),
        (with("{ env: A, file: B }"), format!("{forms}: exactly one key")),
        (with("{}"), format!("{forms}: exactly one key")),
        (with("{{ hidden }}"), format!("{forms}; this key is none of them")),
        (with("{ env: PW }"), "the environment variable PW is not set".into()),
        (with("{ env: PW }").var("PW", ""), "the environment variable PW is empty".into()),
        (with("{ file: pw }"), "/etc/plugfish/pw cannot be read: no such file".into()),
        (with("{ file: pw }").file("pw", ""), "/etc/plugfish/pw is empty".into()),
        (with("{ file: pw }").file("pw", "\n"), "/etc/plugfish/pw is empty".into()),
        (
            with("{ file: pw }").file("pw", "a\nb\n"),
            "/etc/plugfish/pw must be one line without control characters".into(),
        ),
        (with("{ file: pw }").file("pw", b"\xff"), "/etc/plugfish/pw is not UTF-8 text".into()),
        (with("{ file: pw }").file("pw", &long), format!("/etc/plugfish/pw {too_long}")),
        // Cut in the middle of a letter.
        (with("{ file: pw }").file("pw", "\u{20ac}".repeat(900)), format!("/etc/plugfish/pw {too_long}")),
        (
            with("{ credential: tapo }"),
            "there are no credentials ($CREDENTIALS_DIRECTORY is not set): systemd gives them to units with \
             LoadCredential=tapo:PATH"
                .into(),
        ),
        (
            with("{ credential: ../x }").var("CREDENTIALS_DIRECTORY", "/run/c"),
            "\"../x\" is not the name of a credential: it is a file name, not a path".into(),
        ),
        (
            with("{ credential: tapo }").var("CREDENTIALS_DIRECTORY", "/run/c"),
            "/run/c/tapo cannot be read: no such file".into(),
        ),
    ] {
        fake.check(&[&format!("3: nodes[0].tapo.password: {expect}")]);
    }
    with("{ env: 5 }").check(&["3: nodes[0].tapo.password.env: must be text, not a number: put it in quotes"]);
    with("{ file: '' }").check(&["3: nodes[0].tapo.password.file: must not be empty"]);
    let mut odd = with("{ env: PW }");
    odd.vars.insert("PW".into(), OsString::from_vec(vec![0xff]));
    odd.check(&["3: nodes[0].tapo.password: the environment variable PW is not UTF-8 text"]);
}

#[test]
fn a_secret_in_a_file_that_everybody_reads_is_warned_of_once() {
    let inline = "accounts:\n- { username: a, password: x, role: Operator }\nnodes:\n- { id: a, tapo: { address: h, username: \
                  u, password: p } }";
    let mut fake = Fake::new(inline);
    assert_eq!(fake.load().unwrap().warnings, Vec::<String>::new());
    fake.open_to_all = true;
    assert_eq!(
        fake.load().unwrap().warnings,
        [
            "/etc/plugfish/nodes.yaml:2: accounts[0].password: is a secret in a file that every user of this machine can read: \
         take that right away (chmod 600), or write { file: PATH } or { env: NAME } instead of the secret"
        ]
    );
    let mut elsewhere = with("{ env: PW }").var("PW", "x");
    elsewhere.open_to_all = true;
    assert!(elsewhere.load().unwrap().warnings.is_empty());
}

#[test]
fn nothing_shows_a_secret() {
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$VmZoVcLwLqCvNfX0MX1rYPmNyc0yP7gHkUxcqgTzuDQ";
    let good = format!(
        "accounts:\n- {{ username: a, password: hidden, role: Operator }}\n- {{ username: b, password_hash: '{hash}', role: \
         Operator }}\nnodes:\n- {{ id: a, tapo: {{ address: h, username: u, password: hidden }} }}"
    );
    let shown = format!("{:?}", Fake::new(&good).load().unwrap());
    assert!(!shown.contains("hidden") && !shown.contains("argon2"), "{shown}");
    // Whatever is done to a secret, the problem does not quote it.
    for wrong in [
        "hidden: x",
        "x,hidden",
        "hidden, hidden",
        "[hidden]",
        "{ hidden: x }",
        "{ hidden }",
        "{ file: x, hidden: y }",
        "!hidden x",
        "!x hidden",
        "!!int hidden",
        "!!bool hidden",
        "\"hidden\\u0000\"",
        "*hidden",
        "&hidden",
        "{{ hidden }}",
        "@hidden",
        "hidden }",
        "'hidden",
        "{ env: { hidden: x } }",
        "{ env: [hidden] }",
        "? hidden",
        "|\n hidden",
    ] {
        let problems = with(wrong).problems();
        assert!(!problems.is_empty(), "{wrong}");
        assert!(problems.iter().all(|problem| !problem.contains("hidden")), "{wrong}: {problems:?}");
    }
}
