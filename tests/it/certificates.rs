//! The certificate over the real service: shown, replaced while serving, stored; and the versions of TLS.

use std::time::Duration;

use plugfish::testing::config::TlsConfig;
use reqwest::tls::{TlsInfo, Version};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::rig::{PASSWORD, Rig, USER, klap};

const REPLACE: &str = "/redfish/v1/CertificateService/Actions/CertificateService.ReplaceCertificate";
const CERTIFICATE: &str = "/redfish/v1/Managers/n/NetworkProtocol/HTTPS/Certificates/1";

/// A certificate as DER, and as PEM with its key.
fn made() -> (Vec<u8>, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.der().to_vec(), format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()))
}

/// The certificate that a new connection sees.
async fn seen(rig: &Rig, version: Version) -> Vec<u8> {
    let client = Client::builder().no_proxy().tls_info(true).tls_danger_accept_invalid_certs(true);
    let client = client.tls_version_min(version).tls_version_max(version).build().unwrap();
    let answer = client.get(rig.url("/redfish/v1/")).send().await.unwrap();
    answer.extensions().get::<TlsInfo>().unwrap().peer_certificate().unwrap().to_vec()
}

fn body(pem: &str) -> Value {
    json!({ "CertificateString": pem, "CertificateType": "PEM", "CertificateUri": { "@odata.id": CERTIFICATE } })
}

#[tokio::test]
async fn the_certificate_is_replaced_while_serving_and_that_outlives_a_restart() {
    let mut rig = Rig::over(Some(TlsConfig::SelfSigned), [klap("n")], [], |_| {}).await;
    let first = seen(&rig, Version::TLS_1_2).await;
    assert_eq!(seen(&rig, Version::TLS_1_3).await, first);
    assert_eq!(rig.get("/redfish/v1/").await.1["CertificateService"]["@odata.id"], "/redfish/v1/CertificateService");
    let (_, locations) = rig.get("/redfish/v1/CertificateService/CertificateLocations").await;
    assert_eq!(locations["Links"]["Certificates"], json!([{ "@odata.id": CERTIFICATE }]));
    let (status, before) = rig.get(CERTIFICATE).await;
    assert_eq!((status, &before["CertificateType"]), (StatusCode::OK, &json!("PEM")));

    let ((der, pem), (_, other)) = (made(), made());
    let split =
        |pem: &str| pem.find("-----BEGIN PRIVATE").map(|at| (pem[..at].to_owned(), pem[at..].to_owned())).unwrap();
    let mixed = split(&pem).0 + &split(&other).1;
    for (bad, words) in
        [(mixed.as_str(), "does not belong"), (&split(&pem).0, "no usable private key"), ("x", "no certificate")]
    {
        let (status, answer) = rig.send(rig.request(Method::POST, REPLACE).json(&body(bad))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer.to_string().contains(words) && !answer.to_string().contains("PRIVATE KEY"), "{answer}");
    }
    for (name, value) in
        [("CertificateType", json!("PKCS7")), ("CertificateUri", json!({ "@odata.id": "/x" })), ("Odd", json!(1))]
    {
        let mut odd = body(&pem);
        odd[name] = value;
        assert_eq!(rig.send(rig.request(Method::POST, REPLACE).json(&odd)).await.0, StatusCode::BAD_REQUEST, "{name}");
    }
    let operator = rig.client.post(rig.url(REPLACE)).basic_auth("operator", Some("switches")).json(&body(&pem));
    assert_eq!(rig.send(operator).await.0, StatusCode::FORBIDDEN);
    assert_eq!(seen(&rig, Version::TLS_1_3).await, first);

    // The connection of this client was opened with the old one and goes on.
    let answer = rig.request(Method::POST, REPLACE).json(&body(&pem)).send().await.unwrap();
    assert_eq!((answer.status(), &answer.headers()["location"]), (StatusCode::CREATED, &CERTIFICATE.parse().unwrap()));
    let shown: Value = answer.json().await.unwrap();
    assert!(!shown.to_string().contains("PRIVATE") && shown["Fingerprint"] != before["Fingerprint"]);
    assert_eq!((seen(&rig, Version::TLS_1_2).await, seen(&rig, Version::TLS_1_3).await), (der.clone(), der.clone()));
    rig.restart().await;
    assert_eq!(seen(&rig, Version::TLS_1_3).await, der);
    assert_eq!(rig.get(CERTIFICATE).await, (StatusCode::OK, shown));
}

#[tokio::test]
async fn a_certificate_from_files_is_left_to_whoever_keeps_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let (path, (der, pem)) = (dir.path().join("both.pem"), made());
    std::fs::write(&path, &pem).unwrap();
    let rig = Rig::over(Some(TlsConfig::Files { certificate: path.clone(), key: path }), [klap("n")], [], |_| {}).await;
    let service = rig.get("/redfish/v1/CertificateService").await.1;
    assert_eq!(service["Actions"], Value::Null);
    let (status, answer) = rig.send(rig.request(Method::POST, REPLACE).json(&body(&made().1))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer.to_string().contains("server.tls in nodes.yaml"), "{answer}");
    assert_eq!(seen(&rig, Version::TLS_1_3).await, der);
}

#[tokio::test]
async fn without_tls_there_is_no_certificate() {
    let rig = Rig::start([klap("n")]).await;
    assert_eq!(rig.get("/redfish/v1/").await.1["CertificateService"], Value::Null);
    for path in ["/redfish/v1/CertificateService", CERTIFICATE] {
        let request = rig.client.get(rig.url(path)).basic_auth(USER, Some(PASSWORD));
        assert_eq!(rig.send(request).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn clients_that_leave_their_handshakes_unfinished_keep_nobody_out() {
    let rig = Rig::over(Some(TlsConfig::SelfSigned), [klap("n")], [], |_| {}).await;
    let url = reqwest::Url::parse(&rig.url("/")).unwrap();
    let address = (url.host_str().unwrap().to_owned(), url.port().unwrap());
    let mut held = Vec::new();
    for _ in 0..800 {
        held.push(TcpStream::connect(address.clone()).await.unwrap());
    }
    // A handshake that is not finished is ended after 3 s: a waiting client would be late.
    let answer = tokio::time::timeout(Duration::from_secs(2), rig.get("/redfish/v1/")).await;
    assert_eq!(answer.expect("no one was let in").0, StatusCode::OK);
}

#[tokio::test]
async fn plain_http_at_the_port_of_https_is_told_so() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let rig = Rig::over(Some(TlsConfig::SelfSigned), [klap("n")], [], |_| {}).await;
    for request in
        ["GET /redfish/v1/ HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 9000\r\n\r\nxxxx", "q"]
    {
        let mut stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains("this port speaks HTTPS: use https://"), "{answer}");
    }
    assert_eq!(rig.get("/redfish/v1/Systems").await.0, 200);
}
