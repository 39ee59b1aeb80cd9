//! Reads compared with a bare actix-web handler that returns the same bytes, and reads while all devices hang.
//!
//! Both servers run in this process with the same number of workers and are loaded alternately, in short rounds, by the
//! same client, so that other load on the machine affects both. The figures are medians of the rounds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, LINK};
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};
use plugfish::testing::config::TlsConfig;
use plugfish::testing::http::tls::Certificate;
use plugfish::testing::sim::{Action, Fault, Selector};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::load::{PATH, Round, Target};
use crate::rig::{PASSWORD, Rig, USER, klap};
use crate::summary::{Aim, Figure};
use crate::{median, runtime};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 11;
const ROUND: Duration = Duration::from_millis(300);

/// Devices, and how often each is read, while reads are measured.
const NODES: usize = 50;
const POLL: Duration = Duration::from_secs(5);

/// A daemon on a rack, and a bare handler of the bytes that it answers.
struct Pair {
    ours: Target,
    bare: Target,
    rig: Rig,
}

impl Pair {
    async fn start(tls: bool) -> Pair {
        let plugs = (0..NODES).map(|index| klap(&format!("n{index}")));
        let plan = tls.then_some(TlsConfig::SelfSigned);
        let rig = Rig::over(plan, plugs, [], |node| node.spec.timings.poll_interval = POLL).await;
        rig.all_seen().await;
        let ours = Target { address: rig.address, tls: tls.then(|| client_of(&rig)), login: basic(), keep: true };
        let served = tls.then(|| {
            let file = |name| rig.state.join(name);
            Certificate::load(&file("self-signed.crt"), &file("self-signed.key")).unwrap()
        });
        let address = bare(ours.ask(), served);
        Pair { bare: Target { address, ..ours.clone() }, ours, rig }
    }

    fn with(&mut self, login: &str, keep: bool) {
        for target in [&mut self.ours, &mut self.bare] {
            (target.login, target.keep) = (login.to_owned(), keep);
        }
    }

    /// Both in turn.
    fn rounds(&self, connections: usize) -> Vec<(Round, Round)> {
        let round = |_| (self.ours.load(connections, ROUND), self.bare.load(connections, ROUND));
        (0..ROUNDS).map(round).collect()
    }
}

fn basic() -> String {
    use base64::Engine;
    let pair = base64::prelude::BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"));
    format!("Authorization: Basic {pair}\r\n")
}

fn token(ours: &Target) -> String {
    let body = format!(r#"{{"UserName":"{USER}","Password":"{PASSWORD}"}}"#);
    let answer = Target { login: String::new(), ..ours.clone() }.post("/redfish/v1/SessionService/Sessions", &body);
    let line = answer.lines().find(|line| line.to_lowercase().starts_with("x-auth-token: ")).expect(&answer);
    format!("{line}\r\n")
}

fn client_of(rig: &Rig) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(rig.state.join("self-signed.crt")).unwrap()).unwrap();
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// A handler that does nothing but return what plugfish returned, with the same headers.
fn bare(answer: String, certificate: Option<Arc<Certificate>>) -> SocketAddr {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")));
        line.unwrap().split_once(": ").unwrap().1.to_owned()
    };
    let headers = ["odata-version", "allow", "link", "etag"].map(header);
    let body = Bytes::from(body.to_owned());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let serve = move || {
        let (headers, body) = (headers.clone(), body.clone());
        let handler = move || {
            let [version, allow, link, etag] = headers.clone();
            let body = body.clone();
            async move {
                HttpResponse::Ok()
                    .insert_header(("odata-version", version))
                    .insert_header((CACHE_CONTROL, "no-cache"))
                    .insert_header((CONTENT_TYPE, "application/json"))
                    .insert_header((ALLOW, allow))
                    .insert_header((LINK, link))
                    .insert_header((ETAG, etag))
                    .body(body)
            }
        };
        App::new().route(PATH, web::get().to(handler))
    };
    std::thread::spawn(move || {
        let server = HttpServer::new(serve).workers(workers).disable_signals();
        let server = match certificate {
            Some(certificate) => server.listen_rustls_0_23(listener, certificate.server_config()).unwrap(),
            None => server.listen(listener).unwrap(),
        };
        actix::System::new().block_on(server.run()).unwrap();
    });
    address
}

fn ratio(rounds: &[(Round, Round)], figure: impl Fn(&Round) -> f64) -> f64 {
    median(rounds.iter().map(|(ours, bare)| figure(ours) / figure(bare)).collect())
}

/// Rates by kind of connection and login.
pub fn rates() -> Vec<Figure> {
    let mut figures = Vec::new();
    println!("{CONNECTIONS} connections, {ROUNDS} rounds of {} ms each; reads of {PATH}", ROUND.as_millis());
    println!("{:<42} {:>10} {:>10} {:>7}", "", "plugfish/s", "bare/s", "ratio");
    let runtime = runtime();
    for tls in [false, true] {
        let mut pair = runtime.block_on(Pair::start(tls));
        let token = token(&pair.ours);
        for (name, login, keep, target) in [
            ("keep-alive, Basic", basic(), true, None),
            ("keep-alive, token", token.clone(), true, Some(Aim::AtLeast(0.8))),
            ("connection per request, Basic", basic(), false, None),
            ("connection per request, token", token, false, Some(Aim::AtLeast(0.9))),
        ] {
            pair.with(&login, keep);
            let rounds = pair.rounds(CONNECTIONS);
            let ours = median(rounds.iter().map(|(ours, _)| ours.per_second).collect());
            let bare = median(rounds.iter().map(|(_, bare)| bare.per_second).collect());
            let name = format!("{name}{}", if tls { ", TLS" } else { "" });
            let ratio = ratio(&rounds, |round| round.per_second);
            println!("{name:<42} {ours:>10.0} {bare:>10.0} {ratio:>7.2}");
            let figure = |target| Figure::new(format!("reads a second / bare handler: {name}"), target, ratio);
            figures.extend(target.map(figure));
        }
    }
    figures
}

/// Rates and times by the number of connections.
pub fn connections() -> Vec<Figure> {
    let runtime = runtime();
    let mut pair = runtime.block_on(Pair::start(false));
    let token = token(&pair.ours);
    pair.with(&token, true);
    println!("keep-alive, token, {ROUNDS} rounds of {} ms each; plugfish/bare, times in ms", ROUND.as_millis());
    println!("{:>11} {:>6} {:>15} {:>15} {:>15}", "connections", "rate", "p50", "p99", "p99.9");
    for connections in [1, 4, 16, 50, 200] {
        let rounds = pair.rounds(connections);
        let times = [500, 990, 999].map(|part| {
            let of =
                |pick: fn(&(Round, Round)) -> &Round| median(rounds.iter().map(|r| pick(r).millis(part)).collect());
            format!("{:.2}/{:.2}", of(|round| &round.0), of(|round| &round.1))
        });
        let rate = ratio(&rounds, |round| round.per_second);
        println!("{connections:>11} {rate:>6.2} {:>15} {:>15} {:>15}", times[0], times[1], times[2]);
    }
    Vec::new()
}

/// How long reads take while all devices are well, and while all of them hang.
pub fn hanging() -> Vec<Figure> {
    const CONNECTIONS: [usize; 3] = [1, 16, 200];
    const REPEATS: usize = 3;
    println!(
        "{NODES} nodes read every {} s; keep-alive, token; times in ms, medians of {ROUNDS} rounds",
        POLL.as_secs()
    );
    println!("the bare handler, which has no devices, shows what else the machine did meanwhile");
    println!("{:>11} {:>9} {:>22} {:>22}", "connections", "", "plugfish p50/p99/p99.9", "bare p50/p99/p99.9");
    let runtime = runtime();
    let mut ratios: Vec<(usize, f64, f64)> = Vec::new();
    for _ in 0..REPEATS {
        let mut pair = runtime.block_on(Pair::start(false));
        let token = token(&pair.ours);
        pair.with(&token, true);
        let look = |name: &str| {
            CONNECTIONS.map(|connections| {
                let rounds = pair.rounds(connections);
                let p = |pick: fn(&(Round, Round)) -> &Round| {
                    [500, 990, 999].map(|part| median(rounds.iter().map(|r| pick(r).millis(part)).collect()))
                };
                let (ours, bare) = (p(|round| &round.0), p(|round| &round.1));
                let words = |p: &[f64; 3]| format!("{:.2}/{:.2}/{:.2}", p[0], p[1], p[2]);
                println!("{connections:>11} {name:>9} {:>22} {:>22}", words(&ours), words(&bare));
                (ours[1], bare[1])
            })
        };
        let well = look("well");
        for plug in pair.rig.rack.plugs() {
            plug.add_fault(Fault::always(Selector::Any, Action::Hang));
        }
        // Until every device was asked again, and has not answered.
        std::thread::sleep(POLL);
        let hang = look("hanging");
        for (index, connections) in CONNECTIONS.into_iter().enumerate() {
            ratios.push((connections, hang[index].0 / well[index].0, hang[index].1 / well[index].1));
        }
    }
    let figure = |connections| {
        let of = |pick: fn(&(usize, f64, f64)) -> f64| {
            median(ratios.iter().filter(|row| row.0 == connections).map(pick).collect())
        };
        let (ours, bare) = (of(|row| row.1), of(|row| row.2));
        println!("{connections:>4} connections: p99 while all hang / while all are well: {ours:.2} (bare: {bare:.2})");
        let what = format!("p99 while all devices hang / while all are well: {connections} connections");
        Figure::new(what, Aim::AtMost(1.2), ours)
    };
    CONNECTIONS.into_iter().map(figure).collect()
}
