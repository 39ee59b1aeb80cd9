//! What answers in the place of a plug: it gets no password, its word is no observation, and it switches nothing.

use serde_json::json;
use tokio::net::{TcpListener, UdpSocket};

use super::speech::Speech;
use super::*;
use crate::clock::Clock;
use crate::node::trust::{DeviceTrust, Proof, Proven, TrustBook, TrustRecord};

const RESET: &str = "plugfish trust node-1 --reset";

/// No step of a securePassthrough login.
#[track_caller]
fn nothing_secret_in(names: &[String]) {
    assert!(!names.iter().any(|name| name == "handshake" || name == "login_device"), "{names:?}");
}

#[tokio::test]
async fn a_plug_that_spoke_klap_is_never_asked_in_passthrough_again() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    bench.fake.plug().speech = passthrough(|_| {});
    for again in 0..3 {
        assert_fails(bench.read().await, FailureClass::Distrusted, RESET);
        assert_fails(bench.set(Power::On).await, FailureClass::Distrusted, RESET);
        match again {
            0 => bench.device.forget_session(),
            _ => bench.restart(),
        }
    }
    nothing_secret_in(&bench.fake.names());
    assert_eq!(bench.fake.plug().speech.logins(), 0);
    assert_eq!(bench.fake.plug().switched, 0);
    // The plug is back.
    bench.fake.plug().speech = klap();
    assert_eq!(bench.read().await.unwrap().proof, Proof::Answer);
}

#[tokio::test]
async fn a_status_in_place_of_handshake1_is_a_failure_and_no_invitation() {
    for status in [400, 401, 404, 405, 410, 426, 500, 503] {
        let mut bench = Bench::warm(Plug::new(klap())).await;
        bench.fake.plug().speech = passthrough(|_| {});
        bench.fake.trouble("handshake1", 9, Trouble::Status(status, ""));
        assert!(bench.read().await.is_err(), "{status}");
        bench.restart();
        assert!(bench.set(Power::On).await.is_err(), "{status}");
        nothing_secret_in(&bench.fake.names());
    }
}

#[tokio::test]
async fn a_downgrade_in_the_middle_of_a_session_gets_nothing() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    for refuse in [Trouble::Status(403, ""), Trouble::Status(200, "{\"error_code\":1003}"), Trouble::Close] {
        bench.fake.plug().speech = passthrough(|_| {});
        bench.fake.trouble("/app/request", 1, refuse);
        assert!(bench.set(Power::Off).await.is_err());
        nothing_secret_in(&bench.fake.names());
        bench.fake.plug().troubles.clear();
        bench.fake.plug().speech = klap();
        bench.read().await.unwrap();
    }
}

#[tokio::test]
async fn a_plug_that_spoke_tpap_is_asked_in_nothing_less() {
    let mut bench = Bench::warm(Plug::new(tpap(|_| {}))).await;
    let less: [fn() -> Speech; 2] = [|| klap_with(|side| side.knows_tpap = true), || passthrough(|_| {})];
    for speech in less {
        bench.fake.plug().speech = speech();
        bench.restart();
        let error = bench.read().await.unwrap_err();
        assert!(error.text.contains(RESET), "{error}");
        let names = bench.fake.names();
        nothing_secret_in(&names);
        assert!(!names.iter().any(|name| name == "handshake1"), "{names:?}");
    }
}

#[tokio::test]
async fn a_person_gets_through_with_another_plug_after_a_reset() {
    let (node, book) = ("node-1".parse().unwrap(), Arc::new(crate::node::trust::VolatileBook::default()));
    let mut bench = Bench::new(Plug::new(tpap(|_| {}))).await;
    let trust = DeviceTrust::new("node-1".parse().unwrap(), "plug", Proven::default(), book.clone(), Clock::system());
    bench.context.trust = Arc::new(trust);
    bench.restart();
    bench.read().await.unwrap();
    bench.fake.plug().speech = passthrough(|_| {});
    bench.fake.plug().info["mac"] = "AA-BB-CC-DD-EE-77".into();
    bench.device.forget_session();
    assert!(bench.read().await.is_err());
    book.record_trust(&node, None).await.unwrap();
    bench.device.forget_session();
    let seen = bench.read().await.unwrap();
    assert_eq!((seen.about.protocol.as_deref(), seen.proof), (Some("securePassthrough"), Proof::Claimed));
    let record = seen.trust.unwrap();
    assert_eq!(record.proven.protocol.as_ref().map(|protocol| protocol.rank), Some(1));
}

#[tokio::test]
async fn factory_logins_prove_nothing() {
    let blank = || klap_with(|side| side.account = (String::new(), String::new()));
    let factory_tpap = || tpap(|side| side.discover = json!({ "tpap": { "tls": 0, "pake": [0] } }));
    let speeches: [fn() -> Speech; 2] = [blank, factory_tpap];
    for speech in speeches {
        let mut bench = Bench::new(Plug::new(speech())).await;
        assert_fails(bench.read().await, FailureClass::Refused, "factory: true");
        assert_fails(bench.set(Power::Off).await, FailureClass::Refused, "not bound to the TP-Link account");
        assert_eq!(bench.trust().known(), None);
    }
    // Where it is configured, it is used, and ends with the first proof of the account.
    let mut bench = Bench::with(Plug::new(blank()), |config, _| config.factory = true).await;
    let seen = bench.read().await.unwrap();
    assert_eq!((seen.proof, &seen.trust.unwrap().proven.protocol), (Proof::Claimed, &None));
    bench.fake.plug().speech = klap();
    bench.device.forget_session();
    assert_eq!(bench.read().await.unwrap().proof, Proof::Answer);
    for speech in speeches {
        bench.fake.plug().speech = speech();
        bench.restart();
        assert_fails(bench.read().await, FailureClass::Distrusted, RESET);
        assert_fails(bench.set(Power::Off).await, FailureClass::Distrusted, RESET);
    }
    assert_eq!(bench.fake.plug().switched, 0);
}

fn signs(bench: &Bench, signs: bool) {
    match &mut bench.fake.plug().speech {
        Speech::Klap(side) => side.unsigned = !signs,
        _ => panic!("not KLAP"),
    }
}

#[tokio::test]
async fn an_answer_without_its_signature_is_no_state() {
    let mut bench = Bench::warm(Plug::new(klap())).await;
    bench.set(Power::On).await.unwrap();
    assert_eq!(bench.read().await.unwrap().power, Some(Power::On));
    // A man in the middle says an old "off" for a new number.
    bench.fake.plug().on = false;
    signs(&bench, false);
    for _ in 0..3 {
        assert_fails(bench.read().await, FailureClass::Protocol, "signature of an answer is wrong");
        bench.restart();
    }
    signs(&bench, true);
    assert_eq!(bench.read().await.unwrap().power, Some(Power::Off));
}

#[tokio::test]
async fn a_plug_that_never_signs_is_used_with_a_notice() {
    let mut bench = Bench::new(Plug::new(klap_with(|side| side.unsigned = true))).await;
    let seen = bench.read().await.unwrap();
    assert_eq!(seen.proof, Proof::Login);
    assert!(notice(&seen, "unsigned").unwrap().text.contains("no proof for a fence"));
    // The first signature that is right is wanted from then on, and what came before it in the session is not believed.
    signs(&bench, true);
    assert_eq!(bench.read().await.unwrap().proof, Proof::Answer);
    signs(&bench, false);
    assert_fails(bench.read().await, FailureClass::Protocol, "signature of an answer is wrong");
}

#[tokio::test]
async fn what_comes_in_clear_into_a_session_with_keys_is_no_state() {
    let changes: [fn(&mut speech::PassthroughSide); 2] = [|side| side.clear = true, |side| side.clear_later = true];
    for change in changes {
        let mut bench = Bench::new(Plug::new(passthrough(change))).await;
        assert_fails(bench.read().await, FailureClass::Protocol, "not encrypted with the keys of the session");
        assert!(bench.set(Power::Off).await.is_err());
        assert_eq!(bench.trust().known(), None);
    }
}

#[tokio::test]
async fn only_the_protocols_of_nodes_yaml_are_spoken() {
    let change = |config: &mut TapoConfig| config.protocols = vec![TapoProtocol::Klap, TapoProtocol::Tpap];
    let mut bench = Bench::with(Plug::new(passthrough(|_| {})), |config, _| change(config)).await;
    assert_fails(bench.read().await, FailureClass::Refused, "takes no login in KLAP or TPAP");
    nothing_secret_in(&bench.fake.names());
    for speech in [klap(), tpap(|_| {})] {
        let mut bench = Bench::with(Plug::new(speech), |config, _| change(config)).await;
        bench.read().await.unwrap();
    }
    let tpap_alone = |config: &mut TapoConfig| config.protocols = vec![TapoProtocol::Tpap];
    let mut bench = Bench::with(Plug::new(klap()), |config, _| tpap_alone(config)).await;
    assert!(bench.read().await.is_err());
    assert_eq!(bench.fake.names(), ["discover"]);
}

/// Answers each probe with this MAC and address.
async fn discovery(at: &str, mac: &'static str, ip: &'static str) -> u16 {
    let socket = UdpSocket::bind((at, 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
            let json = json!({ "error_code": 0, "result": { "mac": mac, "ip": ip, "device_model": "P100" } });
            let datagram = [[0; 16].as_slice(), json.to_string().as_bytes()].concat();
            socket.send_to(&datagram, from).await.unwrap();
        }
    });
    port
}

#[tokio::test]
async fn a_spoofed_datagram_moves_a_node_to_nothing_that_does_not_prove_itself() {
    const MAC: &str = "AA-BB-CC-DD-EE-01";
    let rogues: [fn() -> Speech; 3] = [
        || passthrough(|_| {}),
        || klap_with(|side| side.account = ("someone@example.com".into(), "else".into())),
        || klap_with(|side| side.account = (String::new(), String::new())),
    ];
    for speech in rogues {
        let rogue = FakePlug::start(Plug::new(speech())).await;
        let discovery_port = discovery("127.0.0.255", MAC, "127.0.0.1").await;
        let mac = MAC.parse().ok();
        let config = TapoConfig { host: "127.0.0.2".into(), mac, discovery_port, ..config(rogue.port) };
        let mut device = Plugs::new(quick()).open(&config, context("node-1", no_pace(), &Metrics::new()));
        for _ in 0..4 {
            let error = device.read().await.unwrap_err();
            assert!(matches!(error.class, FailureClass::Unreachable | FailureClass::Refused), "{error}");
        }
        nothing_secret_in(&rogue.names());
        // The plug is back where it was, and is not kept waiting for what the rogue said.
        let listener = TcpListener::bind(("127.0.0.2", rogue.port)).await.unwrap();
        let _plug = FakePlug::listen(listener, Plug::new(klap()));
        assert_eq!(device.read().await.unwrap().notices, []);
    }
}

/// A disk that is full.
struct Full;

impl TrustBook for Full {
    fn trust(&self, _: &crate::node::NodeId) -> Option<Arc<TrustRecord>> {
        None
    }

    fn record_trust(&self, _: &crate::node::NodeId, _: Option<Arc<TrustRecord>>) -> crate::durable::WriteFuture {
        let error = crate::durable::WriteError { path: "state".into(), why: "no space left".into() };
        Box::pin(async { Err(error) })
    }
}

#[tokio::test]
async fn nothing_relies_on_a_proof_that_is_not_durable() {
    let mut bench = Bench::new(Plug::new(klap())).await;
    let node = "node-1".parse().unwrap();
    bench.context.trust = Arc::new(DeviceTrust::new(node, "plug", Proven::default(), Arc::new(Full), Clock::system()));
    bench.restart();
    assert_fails(bench.read().await, FailureClass::NotReady, "no space left");
    assert_fails(bench.set(Power::On).await, FailureClass::NotReady, "no space left");
    assert_eq!(bench.fake.plug().switched, 0);
}
