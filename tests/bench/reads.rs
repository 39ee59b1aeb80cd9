//! How fast a read is, beside a bare actix-web handler that returns the same bytes: `cargo bench --bench reads`.
//!
//! Both servers run in this process with the same number of workers and are loaded in turn, in short rounds, by the same
//! client, so that whatever else the machine does hits both. The figure is the median of the rounds' ratios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a bench measures real time, prints, and may fall over"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, LINK};
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};
use plugfish::cli::Demo;
use plugfish::daemon::demo::DemoRack;

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(400);
const PATH: &str = "/redfish/v1/Systems/node-1";
const BASIC: &str = "Authorization: Basic YWRtaW46cGx1Z2Zpc2gtZGVtbw==\r\n";

fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (ours, bare) = start();
    let token = format!("X-Auth-Token: {}\r\n", log_in(ours));
    println!("{CONNECTIONS} connections, {ROUNDS} rounds of {} ms each; reads of {PATH}", ROUND.as_millis());
    println!("{:<34} {:>10} {:>10} {:>7}", "", "plugfish/s", "bare/s", "ratio");
    for (name, auth, keep) in [
        ("keep-alive, Basic", BASIC, true),
        ("keep-alive, token", token.as_str(), true),
        ("connection per request, Basic", BASIC, false),
        ("connection per request, token", token.as_str(), false),
    ] {
        let mut rounds: Vec<(f64, f64)> =
            (0..ROUNDS).map(|_| (load(ours, auth, keep), load(bare, auth, keep))).collect();
        rounds.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
        let (mine, other) = rounds[ROUNDS / 2];
        println!("{name:<34} {mine:>10.0} {other:>10.0} {:>7.2}", mine / other);
    }
}

/// Both servers; they live as long as the process.
fn start() -> (SocketAddr, SocketAddr) {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix::System::new().block_on(async move {
            let options = Demo {
                listen: "127.0.0.1:0".parse().unwrap(),
                tls: false,
                tapo: 1,
                amt: 0,
                seed: 1,
                rack_control: None,
            };
            let demo = DemoRack::start(&options).await.unwrap();
            let ours = demo.running.addresses[0];
            tokio::time::sleep(Duration::from_secs(2)).await;
            let answer = tokio::task::spawn_blocking(move || {
                let mut stream = TcpStream::connect(ours).unwrap();
                request(&mut stream, BASIC, true)
            });
            let bare = bare(answer.await.unwrap());
            tell.send((ours, bare)).unwrap();
            std::future::pending::<()>().await;
            drop(demo);
        });
    });
    told.recv().unwrap()
}

/// A handler that does nothing but return what plugfish returned, with the same headers.
fn bare(answer: Vec<u8>) -> SocketAddr {
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
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
    let server = HttpServer::new(move || {
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
    });
    actix::spawn(server.workers(workers).listen(listener).unwrap().run());
    address
}

fn log_in(server: SocketAddr) -> String {
    let mut stream = TcpStream::connect(server).unwrap();
    let body = r#"{"UserName":"admin","Password":"plugfish-demo"}"#;
    write!(
        stream,
        "POST /redfish/v1/SessionService/Sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let answer = String::from_utf8(read_answer(&mut stream)).unwrap();
    let line = answer.lines().find(|line| line.to_lowercase().starts_with("x-auth-token: ")).expect(&answer);
    line.split_once(": ").unwrap().1.trim().to_owned()
}

fn request(stream: &mut TcpStream, auth: &str, keep: bool) -> Vec<u8> {
    let close = if keep { "" } else { "Connection: close\r\n" };
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: x\r\nOData-Version: 4.0\r\n{auth}{close}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    read_answer(stream)
}

fn read_answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::with_capacity(8192);
    let mut chunk = [0; 8192];
    loop {
        let got = stream.read(&mut chunk).unwrap();
        answer.extend_from_slice(&chunk[..got]);
        if let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = std::str::from_utf8(&answer[..head]).unwrap().to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or("0", str::trim);
            if answer.len() >= head + 4 + length.parse::<usize>().unwrap() || got == 0 {
                return answer;
            }
        }
    }
}

/// Requests a second.
fn load(server: SocketAddr, auth: &str, keep: bool) -> f64 {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (stop, count, auth) = (stop.clone(), count.clone(), auth.to_owned());
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(server).unwrap();
                stream.set_nodelay(true).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    if !keep {
                        stream = TcpStream::connect(server).unwrap();
                    }
                    let answer = request(&mut stream, &auth, keep);
                    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    std::thread::sleep(ROUND);
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    count.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}
