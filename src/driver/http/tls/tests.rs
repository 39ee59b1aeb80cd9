//! Handshakes with servers of all kinds, in real time with short deadlines.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use reqwest::header::HeaderMap;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, Stream};

use super::super::tests::context;
use super::super::{Answer, ClientConfig, Deadlines, HttpClient, Post, RequestContext};
use super::*;
use crate::telemetry::Metrics;

/// How the child of a test finds its server.
const CHILD_PORT: &str = "PLUGFISH_TEST_TLS_PORT";

static EACH_VERSION: [&[&rustls::SupportedProtocolVersion]; 2] =
    [&[&rustls::version::TLS12], &[&rustls::version::TLS13]];

/// A server's certificate for `127.0.0.1`, and its key.
fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
}

fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

/// Serves one connection in a thread of its own.
fn serve(one: impl FnOnce(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || one(listener.accept().unwrap().0));
    port
}

/// Serves one request over TLS with this certificate, signing with this key.
fn serve_tls(
    own: (CertificateDer<'static>, PrivateKeyDer<'static>),
    versions: &'static [&'static rustls::SupportedProtocolVersion],
) -> u16 {
    serve_answer(own, versions, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

/// The same with this answer. The connection is closed without a close_notify.
fn serve_answer(
    (certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>),
    versions: &'static [&'static rustls::SupportedProtocolVersion],
    answer: &'static [u8],
) -> u16 {
    serve(move |mut stream| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = Stream::new(&mut tls, &mut stream);
        let mut buffer = [0; 4096];
        if stream.read(&mut buffer).is_ok() {
            let _ = stream.write_all(answer);
        }
    })
}

/// Reads the ClientHello and answers with these bytes.
fn serve_raw(answer: &'static [u8]) -> u16 {
    serve(move |mut stream| {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer);
        let _ = stream.write_all(answer);
        let _ = stream.read(&mut buffer);
    })
}

async fn ask(port: u16, tls: Tls) -> Result<Answer, HttpError> {
    let deadlines = Deadlines { connect: Duration::from_secs(5), exchange: Duration::from_secs(5) };
    let client =
        HttpClient::new(&ClientConfig { deadlines, answer_bytes_max: 1000, idle_max: deadlines.exchange, tls })?;
    let context = context(&Metrics::new());
    let context = RequestContext { context: &context, op: "read", step: "test", attempt: 1 };
    let url = format!("https://127.0.0.1:{port}/wsman");
    client.post(context, Post { url, headers: HeaderMap::new(), body: Vec::new() }).await
}

fn words(result: Result<Answer, HttpError>) -> String {
    match result.unwrap_err() {
        HttpError::Tls(words) => words,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pinned_certificate_is_taken_whatever_its_name() {
    for versions in EACH_VERSION {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["elsewhere.invalid".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let pin = fingerprint(&certificate);
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let port = serve_tls((certificate.clone(), key.clone_key()), versions);
        assert_eq!(ask(port, Tls::Pin(pin)).await.unwrap().body, b"ok");
        let port = serve_tls((certificate, key), versions);
        assert_eq!(ask(port, Tls::Insecure).await.unwrap().body, b"ok");
    }
}

/// Small servers close the socket and leave it at that. What has a length must still be whole.
#[tokio::test]
async fn a_connection_that_is_closed_without_a_notice_ends_what_has_no_length() {
    for versions in EACH_VERSION {
        for (answer, expected) in [
            (b"HTTP/1.1 401 X\r\nConnection: close\r\n\r\n<html>".as_slice(), Ok((401, b"<html>".as_slice()))),
            (b"HTTP/1.1 401 X\r\nContent-Length: 90\r\n\r\n<html>", Ok((401, b""))),
            (b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\nok", Ok((200, b"ok"))),
            (b"HTTP/1.1 200 X\r\nContent-Length: 90\r\n\r\nok", Err(())),
            (b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", Err(())),
        ] {
            let port = serve_answer(certificate(), versions, answer);
            let said = ask(port, Tls::Insecure).await;
            let said = said.as_ref().map(|answer| (answer.status, answer.body.as_slice())).map_err(|_| ());
            assert_eq!(said, expected, "{}", String::from_utf8_lossy(answer));
        }
    }
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_named() {
    let own = certificate();
    let seen = hex::encode(fingerprint(&own.0));
    let port = serve_tls(own, rustls::ALL_VERSIONS);
    let words = words(ask(port, Tls::Pin([7; 32])).await);
    assert!(words.contains("not the pinned one") && words.contains(&format!("sha256:{seen}")), "{words}");
}

/// Who has copied the pinned certificate does not have its key.
#[tokio::test]
async fn a_pinned_certificate_without_its_key_is_not_trusted() {
    /// Shows one certificate and signs with the key of another.
    #[derive(Debug)]
    struct Impostor(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Impostor {
        fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    for versions in EACH_VERSION {
        for (trusts, pinned) in [(false, true), (true, false)] {
            let (copied, _) = certificate();
            let (_, own) = certificate();
            let pin = fingerprint(&copied);
            let port = serve(move |mut stream| {
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let key = provider.key_provider.load_private_key(own).unwrap();
                let shown = Arc::new(rustls::sign::CertifiedKey::new(vec![copied], key));
                let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
                let config = config.with_no_client_auth().with_cert_resolver(Arc::new(Impostor(shown)));
                let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
                let mut stream = Stream::new(&mut tls, &mut stream);
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            });
            let tls = if pinned { Tls::Pin(pin) } else { Tls::Insecure };
            let result = ask(port, tls).await;
            assert_eq!(result.is_ok(), trusts, "{result:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_of_its_own_making_is_not_verified() {
    let port = serve_tls(certificate(), rustls::ALL_VERSIONS);
    match ask(port, Tls::Verify).await.unwrap_err() {
        HttpError::Tls(words) => assert!(words.contains("not trusted") && words.contains("pin it"), "{words}"),
        // A system without any certificates.
        other => assert!(other.to_string().contains("ca-certificates"), "{other}"),
    }
}

/// The certificates that the system trusts are named by the environment, which is the process's: so a child asks.
#[test]
fn a_certificate_that_the_system_trusts_is_verified() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trusted.pem");
    let (own, key) = certificate();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &own);
    std::fs::write(&file, format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")).unwrap();
    for (trusted, port) in
        [(true, serve_tls((own, key), rustls::ALL_VERSIONS)), (false, serve_tls(certificate(), rustls::ALL_VERSIONS))]
    {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "driver::http::tls::tests::the_child_asks"])
            .env("SSL_CERT_FILE", &file)
            .env(CHILD_PORT, port.to_string())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(said.contains("running 1 test"), "{said}");
        assert_eq!(child.status.success(), trusted, "{said}");
    }
}

#[tokio::test]
#[ignore = "run by the test above in a process of its own"]
async fn the_child_asks() {
    let port = std::env::var(CHILD_PORT).unwrap().parse().unwrap();
    assert_eq!(ask(port, Tls::Verify).await.unwrap().body, b"ok");
}

#[tokio::test]
async fn old_firmware_is_told_what_to_do() {
    // Alerts: protocol_version, handshake_failure, insufficient_security. Then the beginning of a ServerHello of TLS 1.0.
    let hello = [&[0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1][..], &[7; 32], &[0, 0, 0x2F, 0]].concat();
    let hello: &'static [u8] = Box::leak(hello.into_boxed_slice());
    for answer in [&[0x15, 3, 1, 0, 2, 2, 70][..], &[0x15, 3, 3, 0, 2, 2, 40], &[0x15, 3, 3, 0, 2, 2, 71], hello] {
        let words = words(ask(serve_raw(answer), Tls::Insecure).await);
        assert!(words.contains("no longer considered safe") && words.contains("tls: off"), "{answer:?}: {words}");
    }
}

#[tokio::test]
async fn other_trouble_has_other_words() {
    let mutual = words(ask(serve_raw(&[0x15, 3, 3, 0, 2, 2, 116]), Tls::Insecure).await);
    assert!(mutual.contains("client certificate"), "{mutual}");
    // TLS 1.2 has no alert of its own for that.
    let either = words(ask(serve_raw(&[0x15, 3, 3, 0, 2, 2, 40]), Tls::Insecure).await);
    assert!(either.contains("no longer considered safe") && either.contains("client certificate"), "{either}");
    let plain = words(ask(serve_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Tls::Insecure).await);
    assert!(plain.contains("does not speak TLS") && plain.contains("16993"), "{plain}");
    let odd = words(ask(serve_raw(&[0x15, 3, 3, 0, 2, 2, 80]), Tls::Insecure).await);
    assert!(!odd.contains("no longer"), "{odd}");
    // Closed in the middle of the handshake: the reason is not known.
    let closed = ask(serve(drop), Tls::Insecure).await.unwrap_err();
    assert!(matches!(closed, HttpError::Unreachable(_)), "{closed:?}");
}
