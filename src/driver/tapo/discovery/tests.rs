//! The vector of the protocol page, answers of many kinds, and garbage.

use proptest::prelude::*;
use rsa::pkcs8::DecodePublicKey;
use serde_json::json;

use super::*;
use crate::driver::tapo::tests::vectors;

const SENDER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11));

fn answer(json: &Value) -> Vec<u8> {
    [[0; HEADER_BYTES].as_slice(), json.to_string().as_bytes()].concat()
}

#[test]
fn the_vector_of_a_datagram() {
    let vector = &vectors()["discovery"];
    let text = |name: &str| vector[name].as_str().unwrap();
    let serial = u32::from_str_radix(text("serial"), 16).unwrap();
    let datagram = datagram(serial, text("payload"));
    assert_eq!(hex::encode(&datagram), text("datagram"));
    assert_eq!(hex::encode(&datagram[12..16]), text("crc"));
}

#[test]
fn the_probe_carries_a_whole_public_key() {
    let probe = probe(7);
    let json: Value = serde_json::from_slice(&probe[HEADER_BYTES..]).unwrap();
    let pem = json["params"]["rsa_key"].as_str().unwrap();
    assert!(rsa::RsaPublicKey::from_public_key_pem(pem).is_ok());
    assert_eq!(usize::from(u16::from_be_bytes([probe[4], probe[5]])), probe.len() - HEADER_BYTES);
    assert!(probe.len() < 1400, "one datagram, unfragmented");
}

#[test]
fn a_full_answer_is_read() {
    let found = parse(
        &answer(&json!({ "error_code": 0, "result": {
            "device_id": "0123", "owner": "D41D8CD98F00B204E9800998ECF8427E", "device_type": "SMART.TAPOPLUG",
            "device_model": "P110(EU)", "ip": "192.0.2.12", "mac": "AA-BB-CC-DD-EE-FF", "factory_default": false,
            "is_support_iot_cloud": true, "obd_src": "tss", "protocol_version": 1, "tpap_preferred": false,
            "mgt_encrypt_schm": { "encrypt_type": "KLAP", "http_port": 80, "is_support_https": false, "lv": 2 } } })),
        SENDER,
    )
    .unwrap();
    assert_eq!((found.address.to_string().as_str(), found.sender), ("192.0.2.12", SENDER));
    assert_eq!((found.model.as_deref(), found.port), (Some("P110"), Some(80)));
    assert_eq!(found.mac.map(|mac| mac.to_string()).as_deref(), Some("aa:bb:cc:dd:ee:ff"));
    assert_eq!((found.encrypt_type.as_deref(), found.login_version), (Some("KLAP"), Some(2)));
    assert_eq!((found.set_up_by.as_deref(), found.tpap, found.factory_default), (Some("tss"), false, false));
}

#[test]
fn sparse_answers_are_read_too() {
    let read = |result: Value| parse(&answer(&json!({ "error_code": 0, "result": result })), SENDER);
    let bare = read(json!({})).unwrap();
    assert_eq!((bare.address, bare.mac, bare.port), (SENDER, None, None));
    // A camera-like plug: the encryption of the answer stands in for that of the login.
    let odd = read(json!({ "encrypt_info": { "sym_schm": "AES", "key": "", "data": "" }, "ip": "0.0.0.0", "mac": 5 }));
    assert_eq!(odd.unwrap().encrypt_type.as_deref(), Some("AES"));
    let tpap = json!({ "tpap": { "tls": 0, "port": 80, "pake": [2], "dac": 0, "noc": 0 }, "factory_default": true,
        "mgt_encrypt_schm": { "encrypt_type": "TPAP", "http_port": 70000 } });
    let tpap = read(tpap).unwrap();
    assert_eq!((tpap.tpap, tpap.factory_default, tpap.port), (true, true, None));
    assert_eq!(read(json!([1])), None);
    assert_eq!(parse(&answer(&json!({ "error_code": -1, "result": {} })), SENDER), None);
}

#[tokio::test]
async fn every_plug_is_found_once() {
    let plug = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let target = plug.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        let (length, from) = plug.recv_from(&mut buffer).await.unwrap();
        assert!(serde_json::from_slice::<Value>(&buffer[HEADER_BYTES..length]).is_ok());
        let one = answer(&json!({ "error_code": 0, "result": { "mac": "AA-BB-CC-DD-EE-01" } }));
        let two = answer(&json!({ "error_code": 0, "result": { "mac": "AA-BB-CC-DD-EE-02" } }));
        for datagram in [b"garbage".as_slice(), &one, &one, b"", &two, &one] {
            plug.send_to(datagram, from).await.unwrap();
        }
    });
    let clock = Clock::system();
    let found = discover(&clock, &[target], Duration::from_millis(200)).await.unwrap();
    assert_eq!(found.len(), 2);
    // No one there, and nothing to ask.
    let closed = SocketAddr::from(([127, 0, 0, 1], 9));
    assert_eq!(discover(&clock, &[closed], Duration::from_millis(50)).await.unwrap(), []);
    assert!(discover(&clock, &[], Duration::from_millis(50)).await.is_err());
}

#[test]
fn the_neighbourhood_of_a_plug() {
    let targets = neighbourhood(Some(SENDER), 20002);
    let texts: Vec<String> = targets.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["255.255.255.255:20002", "192.0.2.255:20002", "192.0.2.11:20002"]);
    assert_eq!(neighbourhood(None, 20002).len(), 1);
}

proptest! {
    #[test]
    fn garbage_never_panics(datagram: Vec<u8>, json in ".*") {
        let _ = parse(&datagram, SENDER);
        let _ = parse(&[[0; HEADER_BYTES].as_slice(), json.as_bytes()].concat(), SENDER);
    }
}
