//! A scripted AMT machine on a real socket: strict about Digest, chunked as the firmware does it, and in any trouble that a
//! test asks for. It shares no code with the driver.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use md5::{Digest, Md5};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const REALM: &str = "Digest:727734D63A1FC0423736E48DA554E462";

/// What goes wrong with a request, in its turn. `Fine` is none.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    Fine,
    /// Nothing is said; the connection stays open.
    Silence,
    /// The connection is closed without a byte.
    Close,
    /// The answer is cut in its middle and the connection closed.
    Half,
    /// These bytes, and the connection is closed.
    Raw(Vec<u8>),
    /// These bytes again and again.
    Endless(Vec<u8>),
    /// This status and body.
    Status(u16, String),
    /// A new nonce is asked for, whatever was sent.
    Challenge {
        stale: bool,
    },
    /// It answers after this time.
    Delay(Duration),
    /// It answers, and closes the connection without having said so.
    CloseAfter,
}

/// One request as the machine saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Which connection it came on, counted from 1.
    pub connection: u32,
    pub head: String,
    pub body: String,
}

impl Seen {
    /// A parameter of `Authorization`.
    pub(crate) fn login(&self, name: &str) -> Option<String> {
        let line = self.head.lines().find(|line| line.starts_with("Authorization: Digest "))?;
        let at = line.split([' ', ',']).find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
        Some(at.trim_matches('"').to_owned())
    }

    /// The last part of the action: `Get`, `Pull`, `RequestPowerStateChange`; `Identify`.
    pub(crate) fn action(&self) -> String {
        let action = self.body.split("Action>").nth(1).unwrap_or("/Identify<");
        action.split('<').next().unwrap().rsplit('/').next().unwrap().to_owned()
    }
}

/// What the machine is and does.
pub(crate) struct Machine {
    pub server: &'static str,
    pub password: &'static str,
    pub realm: &'static str,
    pub qop: &'static str,
    /// A nonce serves so many requests.
    pub nonce_life: u32,
    /// The body for a request that contains the word; the first that fits.
    pub answers: Vec<(&'static str, String)>,
    pub troubles: VecDeque<Trouble>,
    /// Sizes of chunks, again and again.
    pub chunks: Vec<usize>,
    /// Identify needs no login.
    pub open_identify: bool,
    pub nonces: u32,
    pub used: u32,
    pub connections: u32,
    pub seen: Vec<Seen>,
}

impl Machine {
    pub(crate) fn new(answers: &[(&'static str, String)]) -> Machine {
        Machine {
            server: "Intel(R) Active Management Technology 12.0.67",
            password: "P@ssw0rd",
            realm: REALM,
            qop: "auth",
            nonce_life: u32::MAX,
            answers: answers.to_vec(),
            troubles: VecDeque::new(),
            chunks: vec![0x220],
            open_identify: false,
            nonces: 0,
            used: 0,
            connections: 0,
            seen: Vec::new(),
        }
    }

    fn nonce(&self) -> String {
        format!("B9AX94iAAAA/A+{:08}=", self.nonces)
    }

    /// Whether a request proves that it knows the password, with this nonce and a count that was not there before.
    fn admits(&mut self, seen: &Seen) -> bool {
        let get = |name| seen.login(name).unwrap_or_default();
        let md5 = |text: String| hex::encode(Md5::digest(text));
        let count = u32::from_str_radix(&get("nc"), 16).unwrap_or(0);
        let user = md5(format!("admin:{}:{}", self.realm, self.password));
        let (nonce, nc, cnonce) = (self.nonce(), get("nc"), get("cnonce"));
        let proof = md5(format!("{user}:{nonce}:{nc}:{cnonce}:auth:{}", md5("POST:/wsman".into())));
        let right = get("response") == proof
            && get("nonce") == nonce
            && get("realm") == self.realm
            && get("uri") == "/wsman"
            && get("qop") == "auth"
            && nc.len() == 8
            && cnonce.len() >= 8
            && count > self.used
            && count <= self.nonce_life;
        if right {
            self.used = count;
        }
        right
    }

    pub(crate) fn challenge(&mut self, stale: bool) -> Vec<u8> {
        self.nonces += 1;
        self.used = 0;
        let (realm, nonce, qop, server) = (self.realm, self.nonce(), self.qop, self.server);
        // What the firmware sends with every 401.
        let page =
            "<html><h2>Log on failed. Incorrect user name or password, or user account temporarily locked.</h2></html>";
        format!(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"{realm}\", nonce=\"{nonce}\",stale=\"{stale}\",\
             qop=\"{qop}\"\r\nContent-Type: text/html\r\nServer: {server}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n\
             {page}",
            page.len()
        )
        .into_bytes()
    }

    /// An answer in chunks as the firmware writes them: upper case, four digits.
    fn chunked(&self, status: u16, body: &str) -> Vec<u8> {
        let mut text = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/soap+xml; charset=UTF-8\r\nServer: {}\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            self.server
        );
        let mut rest = body;
        let mut sizes = self.chunks.iter().cycle();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            let _ = write!(text, "{:04X}\r\n{chunk}\r\n", chunk.len());
            rest = after;
        }
        text.push_str("0\r\n\r\n");
        text.into_bytes()
    }

    fn answer(&mut self, seen: &Seen) -> Vec<u8> {
        let open = self.open_identify && seen.action() == "Identify";
        if !open && !self.admits(seen) {
            return self.challenge(false);
        }
        let known = self.answers.iter().find(|(word, _)| seen.body.contains(word));
        let (status, body) = known.map_or((400, super::fault("w:ActionNotSupported")), |(_, body)| (200, body.clone()));
        let status = if body.contains(":Fault>") { 400 } else { status };
        self.chunked(status, &body)
    }
}

pub(crate) struct Fake {
    pub port: u16,
    machine: Arc<Mutex<Machine>>,
}

impl Fake {
    pub(crate) async fn start(machine: Machine) -> Fake {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let machine = Arc::new(Mutex::new(machine));
        let shared = machine.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut machine = shared.lock().unwrap();
                    machine.connections += 1;
                    machine.connections
                };
                tokio::spawn(serve(stream, number, shared.clone()));
            }
        });
        Fake { port, machine }
    }

    pub(crate) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap()
    }

    pub(crate) fn trouble(&self, troubles: &[Trouble]) {
        self.machine().troubles.extend(troubles.iter().cloned());
    }

    /// The actions that came, in their order.
    pub(crate) fn actions(&self) -> Vec<String> {
        self.machine().seen.iter().map(Seen::action).collect()
    }
}

async fn serve(mut stream: TcpStream, connection: u32, machine: Arc<Mutex<Machine>>) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut buffer).await {
        let seen = Seen { connection, head, body };
        let (trouble, answer) = {
            let mut machine = machine.lock().unwrap();
            machine.seen.push(seen.clone());
            let trouble = machine.troubles.pop_front().unwrap_or(Trouble::Fine);
            let answer = match &trouble {
                Trouble::Challenge { stale } => machine.challenge(*stale),
                Trouble::Status(status, body) => machine.chunked(*status, body),
                Trouble::Raw(bytes) | Trouble::Endless(bytes) => bytes.clone(),
                Trouble::Silence | Trouble::Close => Vec::new(),
                _ => machine.answer(&seen),
            };
            (trouble, answer)
        };
        let ends = match trouble {
            Trouble::Silence => std::future::pending().await,
            Trouble::Delay(time) => {
                tokio::time::sleep(time).await;
                false
            }
            Trouble::Endless(ref bytes) => {
                while stream.write_all(bytes).await.is_ok() {}
                true
            }
            Trouble::Close | Trouble::Half | Trouble::Raw(_) | Trouble::CloseAfter => true,
            _ => answer.windows(17).any(|part| part == b"Connection: close"),
        };
        let sent = if matches!(trouble, Trouble::Half) { answer.len() / 2 } else { answer.len() };
        if stream.write_all(&answer[..sent]).await.is_err() || ends {
            return;
        }
    }
}

/// The next request: its head without the empty line, and its body.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|part| part == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            let whole = end + 4 + length.parse::<usize>().unwrap();
            if buffer.len() >= whole {
                let body = String::from_utf8(buffer[end + 4..whole].to_vec()).unwrap();
                buffer.drain(..whole);
                return Some((head, body));
            }
        }
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => buffer.extend_from_slice(&bytes[..length]),
        }
    }
}
