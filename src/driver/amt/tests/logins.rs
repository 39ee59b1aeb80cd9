//! Logins: the nonce and its count, old nonces, wrong passwords, the page of a 401, strangers.

use super::*;

#[tokio::test]
async fn one_login_serves_many_requests_on_one_connection() {
    let (fake, mut wsman) = machine().await;
    for _ in 0..4 {
        read(&mut wsman).await.unwrap();
    }
    assert_eq!(reset(&mut wsman).await, Ok(0));
    assert_eq!(wsman.realm(), Some(REALM));
    assert_eq!(wsman.server_version(), Some("12.0.67"));
    let machine = fake.machine();
    let counts: Vec<_> = machine.seen.iter().map(|seen| seen.login("nc")).collect();
    let expected = [None, Some(1), Some(2), Some(3), Some(4), Some(5)].map(|n| n.map(|n: u32| format!("{n:08}")));
    assert_eq!(counts, expected);
    // The 401 closes its connection; all others share one.
    assert_eq!(machine.seen.iter().map(|seen| seen.connection).collect::<Vec<_>>(), [1, 2, 2, 2, 2, 2]);
    let head = &machine.seen[1].head;
    assert!(head.starts_with("POST /wsman HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: application/soap+xml;charset=UTF-8\r\n"), "{head}");
    assert!(!head.contains("Transfer-Encoding") && !head.contains("Expect"), "{head}");
    // A new nonce of the client for each request.
    let cnonces: std::collections::BTreeSet<_> = machine.seen.iter().filter_map(|seen| seen.login("cnonce")).collect();
    assert_eq!(cnonces.len(), 5);
}

#[tokio::test]
async fn the_challenge_of_newer_firmware_is_answered() {
    let (fake, mut wsman) = machine().await;
    fake.machine().qop = "auth-int, auth";
    fake.machine().server = "Intel(R) Active Management Technology 16.1.25.2124";
    read(&mut wsman).await.unwrap();
    assert_eq!(wsman.server_version(), Some("16.1.25.2124"));
    fake.machine().server = "AMT";
    read(&mut wsman).await.unwrap();
    assert_eq!((wsman.server(), wsman.server_version()), (Some("AMT"), None));
}

#[tokio::test]
async fn a_nonce_that_is_forgotten_or_old_costs_one_request() {
    let (fake, mut wsman) = machine().await;
    fake.machine().nonce_life = 2;
    for _ in 0..4 {
        read(&mut wsman).await.unwrap();
    }
    assert_eq!(fake.machine().seen.len(), 4 + 2);
    // Also in front of a request that must not be sent twice: a 401 says that it was not taken.
    read(&mut wsman).await.unwrap();
    fake.trouble(&[Trouble::Challenge { stale: true }]);
    assert_eq!(reset(&mut wsman).await, Ok(0));
    // Twice in a row, if it says that only the nonce is old.
    fake.trouble(&[Trouble::Challenge { stale: true }, Trouble::Challenge { stale: true }]);
    read(&mut wsman).await.unwrap();
}

#[tokio::test]
async fn a_machine_that_always_calls_its_nonce_old_is_left_alone() {
    let (fake, mut wsman) = machine().await;
    fake.trouble(&vec![Trouble::Challenge { stale: true }; 100]);
    let fault = read(&mut wsman).await.unwrap_err();
    // Held like a wrong password, which it may be.
    assert_eq!((fault.class(), fake.machine().seen.len()), (FailureClass::Auth, 3), "{fault}");
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_said_in_words() {
    let (fake, _) = machine().await;
    let mut wsman = WsMan::with_timing(config(fake.port, "Secret-1!"), context(&Metrics::new()), quick());
    let fault = read(&mut wsman).await.unwrap_err();
    assert_eq!(fault.class(), FailureClass::Auth);
    assert!(fault.text.contains("password") && fault.text.contains("AMT has locked it"), "{fault}");
    let said = format!(
        "{fault:?} {:?} {}",
        config(1, "Secret-1!"),
        crate::driver::DeviceConfig::label(&config(1, "Secret-1!"))
    );
    assert!(!said.contains("Secret"), "{said}");
    assert_eq!(fake.machine().seen.iter().filter(|seen| seen.login("response").is_some()).count(), 1);
    // A power request alike.
    assert_eq!(reset(&mut wsman).await.unwrap_err().class(), FailureClass::Auth);
    assert_eq!(fake.machine().seen.len(), 4);
}

#[tokio::test]
async fn a_password_that_was_changed_costs_two_tries() {
    let (fake, mut wsman) = machine().await;
    read(&mut wsman).await.unwrap();
    fake.machine().password = "Other-1!";
    assert_eq!(read(&mut wsman).await.unwrap_err().class(), FailureClass::Auth);
    assert_eq!(fake.machine().seen.len(), 2 + 2);
}

/// The page of a 401 is written for people and the same for everything: what a 401 means follows from what was sent.
#[tokio::test]
async fn the_page_of_a_401_says_nothing_about_a_lock() {
    let (fake, mut wsman) = machine().await;
    read(&mut wsman).await.unwrap();
    // An expired nonce, which firmware does not call stale.
    fake.trouble(&[Trouble::Challenge { stale: false }]);
    read(&mut wsman).await.unwrap();
    // Also without a word about staleness, without a length, or with a page that breaks off.
    for without in [",stale=\"false\"", "Content-Length: ", "</html>"] {
        let page = String::from_utf8(fake.machine().challenge(false)).unwrap();
        assert!(page.contains("temporarily locked") && page.contains(without), "{page}");
        let replacement = if without.ends_with(": ") { "X-Length: " } else { "" };
        fake.trouble(&[Trouble::Raw(page.replace(without, replacement).into_bytes())]);
        read(&mut wsman).await.unwrap();
    }
    // A wrong password is one, in the same words.
    fake.machine().password = "Other-1!";
    assert_eq!(read(&mut wsman).await.unwrap_err().class(), FailureClass::Auth);
}

#[tokio::test]
async fn other_logins_than_digest_are_not_answered() {
    for header in ["", "WWW-Authenticate: Basic realm=\"AMT\"\r\n", "WWW-Authenticate: Digest realm=\"x\r\n"] {
        let (fake, mut wsman) = machine().await;
        let raw = format!("HTTP/1.1 401 X\r\n{header}Content-Length: 0\r\n\r\n").into_bytes();
        fake.trouble(&vec![Trouble::Raw(raw); 9]);
        let fault = read(&mut wsman).await.unwrap_err();
        assert_eq!((fault.class(), fake.machine().seen.len()), (FailureClass::Protocol, 1), "{fault}");
    }
}

#[tokio::test]
async fn what_answers_without_a_login_is_not_believed() {
    let (fake, mut wsman) = machine().await;
    fake.trouble(&[Trouble::Status(200, fixture("get-power"))]);
    let fault = read(&mut wsman).await.unwrap_err();
    assert_eq!((fault.class(), fake.machine().seen.len()), (FailureClass::Protocol, 1), "{fault}");
    read(&mut wsman).await.unwrap();
}

#[tokio::test]
async fn another_realm_than_the_one_on_record_gets_no_proof() {
    let (fake, mut wsman) = machine().await;
    read(&mut wsman).await.unwrap();
    let trust = wsman.context().trust.clone();
    trust.prove(&wsman.shown(None)).await.unwrap();
    fake.machine().realm = "Digest:00000000000000000000000000000000";
    wsman.forget();
    let fault = read(&mut wsman).await.unwrap_err();
    assert_eq!((&fault.kind, fault.class()), (&Kind::Distrusted, FailureClass::Distrusted), "{fault}");
    assert!(fault.text.contains("plugfish trust node-1 --reset") && fault.text.contains("Digest:0000"), "{fault}");
    assert_eq!(fake.machine().seen.len(), 3);
    assert!(fake.machine().seen[2].login("response").is_none());
}

#[tokio::test]
async fn a_user_name_that_fits_into_no_header_is_refused() {
    let fake = Fake::start(Machine::new(&[])).await;
    let odd = AmtConfig { username: "admin\r\nX: y".into(), ..config(fake.port, "x") };
    let mut wsman = WsMan::with_timing(odd, context(&Metrics::new()), quick());
    assert_eq!(read(&mut wsman).await.unwrap_err().class(), FailureClass::Refused);
}

#[tokio::test]
async fn logins_are_counted() {
    let metrics = Metrics::new();
    let (fake, _) = machine().await;
    let mut wsman = WsMan::with_timing(config(fake.port, "P@ssw0rd"), context(&metrics), quick());
    read(&mut wsman).await.unwrap();
    read(&mut wsman).await.unwrap();
    let text = metrics.render();
    for line in [
        "plugfish_device_requests_total{node=\"node-1\",op=\"read\",outcome=\"ok\"} 2",
        "plugfish_device_requests_total{node=\"node-1\",op=\"read\",outcome=\"refused\"} 1",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
