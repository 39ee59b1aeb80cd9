//! A client that repeats one request as fast as it can, and records the latency of each answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// A server, and what is asked of it.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub tls: Option<Arc<ClientConfig>>,
    /// The headers that say who asks, each with its end of line.
    pub login: String,
    /// One connection for all requests, instead of one for each.
    pub keep: bool,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

pub const PATH: &str = "/redfish/v1/Systems/n0";

impl Target {
    fn connect(&self) -> Box<dyn Stream> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost").unwrap();
                Box::new(StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), stream))
            }
        }
    }

    fn request(&self) -> String {
        let close = if self.keep { "" } else { "Connection: close\r\n" };
        format!("GET {PATH} HTTP/1.1\r\nHost: x\r\nOData-Version: 4.0\r\n{}{close}\r\n", self.login)
    }

    /// One answer, whole.
    pub fn ask(&self) -> String {
        String::from_utf8(ask(&mut *self.connect(), self.request().as_bytes())).unwrap()
    }

    /// The answer to `body`, sent to `path`.
    pub fn post(&self, path: &str, body: &str) -> String {
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{}", self.login);
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        String::from_utf8(ask(&mut *self.connect(), request.as_bytes())).unwrap()
    }

    /// Asks over so many connections for so long; how long each answer took.
    pub fn load(&self, connections: usize, time: Duration) -> Round {
        let start = Instant::now();
        let client = || {
            let target = self.clone();
            std::thread::spawn(move || {
                let request = target.request();
                let (mut stream, mut took) = (target.connect(), Vec::new());
                while start.elapsed() < time {
                    let begin = Instant::now();
                    if !target.keep {
                        stream = target.connect();
                    }
                    let answer = ask(&mut *stream, request.as_bytes());
                    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
                    took.push(begin.elapsed());
                }
                took
            })
        };
        let clients: Vec<_> = (0..connections).map(|_| client()).collect();
        let mut took: Vec<Duration> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        took.sort();
        Round { per_second: took.len() as f64 / start.elapsed().as_secs_f64(), took }
    }
}

/// What came of a load.
pub struct Round {
    pub per_second: f64,
    /// How long each answer took, sorted.
    took: Vec<Duration>,
}

impl Round {
    /// What so many of a thousand answers did not take longer than, in milliseconds.
    pub fn millis(&self, of_thousand: usize) -> f64 {
        let index = (self.took.len() * of_thousand / 1000).min(self.took.len() - 1);
        self.took[index].as_secs_f64() * 1000.0
    }
}

fn ask(stream: &mut dyn Stream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).unwrap();
    stream.flush().unwrap();
    let mut answer = Vec::with_capacity(8192);
    let mut chunk = [0; 8192];
    loop {
        let got = stream.read(&mut chunk).unwrap();
        answer.extend_from_slice(&chunk[..got]);
        assert!(got > 0, "the connection ended in the middle: {}", String::from_utf8_lossy(&answer));
        let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        const LENGTH: &[u8] = b"content-length: ";
        let at = answer[..head].windows(LENGTH.len()).position(|window| window.eq_ignore_ascii_case(LENGTH));
        let length = at.map_or(0, |at| {
            let digits = answer[at + LENGTH.len()..].iter().take_while(|byte| byte.is_ascii_digit());
            digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'))
        });
        if answer.len() >= head + 4 + length {
            return answer;
        }
    }
}
