//! KLAP, the plug's side: two handshakes with raw bodies, then requests numbered one by one. Both versions.
//!
//! Strict where the protocol leaves a choice: handshake1 evicts, the cookie must be the session's, the number must be
//! the next one, and the signature must be right; else 403. A wrong number or signature ends the session.

use super::super::config::{Account, Binding, Variant};
use super::super::http::{Request, Response};
use super::crypt::{cbc_decrypt, cbc_encrypt, head, md5, sha1, sha256};
use super::{Opened, RequestScope, call, cookie, same, session_name, set_cookie};
use crate::clock::{Mono, secret_bytes};

/// A login on its way, or a session.
pub(super) struct Session {
    name: String,
    expires: Mono,
    stage: Stage,
}

enum Stage {
    /// Handshake1 was answered; this proof is awaited.
    Awaiting { proof: [u8; 32], keys: Keys },
    /// Logged in; the number is the last one used.
    Open { keys: Keys, seq: i32 },
}

impl Session {
    pub(super) fn is_live(&self, now: Mono) -> bool {
        matches!(self.stage, Stage::Open { .. }) && now < self.expires
    }
}

/// What both sides derive from the seeds and the credentials.
#[derive(Clone)]
pub(super) struct Keys {
    pub key: [u8; 16],
    pub iv: [u8; 12],
    pub signing: [u8; 28],
    /// The number before the first request's.
    pub seq: i32,
}

impl Keys {
    pub(super) fn new(local: &[u8], remote: &[u8], auth_hash: &[u8]) -> Keys {
        let derive = |label: &[u8]| sha256(&[label, local, remote, auth_hash]);
        let iv = derive(b"iv");
        let last = iv.last_chunk::<4>().copied().unwrap_or_default();
        Keys {
            key: head(&derive(b"lsk")),
            iv: head(&iv),
            signing: head(&derive(b"ldk")),
            seq: i32::from_be_bytes(last),
        }
    }

    fn iv(&self, seq: i32) -> [u8; 16] {
        let mut iv = [0; 16];
        iv.iter_mut().zip(self.iv.iter().chain(&seq.to_be_bytes())).for_each(|(to, from)| *to = *from);
        iv
    }

    /// Signature and cipher text.
    pub(super) fn seal(&self, seq: i32, text: &[u8]) -> Vec<u8> {
        let sealed = cbc_encrypt(&self.key, &self.iv(seq), text);
        let mut body = sha256(&[&self.signing, &seq.to_be_bytes(), &sealed]).to_vec();
        body.extend_from_slice(&sealed);
        body
    }

    /// The text in a body, its signature checked.
    pub(super) fn unseal(&self, seq: i32, body: &[u8]) -> Option<Vec<u8>> {
        let (signature, sealed) = body.split_first_chunk::<32>()?;
        let expected = sha256(&[&self.signing, &seq.to_be_bytes(), sealed]);
        if !same(signature, &expected) {
            return None;
        }
        cbc_decrypt(&self.key, &self.iv(seq), sealed)
    }
}

/// How the answer to one request is sealed: with that request's number.
pub(in crate::sim) struct Seal {
    keys: Keys,
    seq: i32,
}

impl Seal {
    pub(crate) fn close(&self, text: &[u8]) -> Response {
        Response::bytes(200, "application/octet-stream", self.keys.seal(self.seq, text))
    }
}

/// The hash that stands for the credentials.
pub(super) fn auth_hash(variant: Variant, email: &[u8], password: &[u8]) -> Vec<u8> {
    match variant {
        Variant::KlapV1 => md5(&[&md5(&[email]), &md5(&[password])]).to_vec(),
        _ => sha256(&[&sha1(&[email]), &sha1(&[password])]).to_vec(),
    }
}

fn expected_hash(variant: Variant, binding: Binding, account: &Account) -> Vec<u8> {
    let (email, password): (&[u8], &[u8]) = match binding {
        Binding::Account => (account.email.as_bytes(), account.password()),
        Binding::Blank => (b"", b""),
        Binding::TapoSetup => (b"test@tp-link.net", b"test"),
        Binding::KasaSetup => (b"kasa@tp-link.net", b"kasaSetup"),
    };
    auth_hash(variant, email, password)
}

/// Both proofs: the plug's in the answer to handshake1, and the client's that handshake2 must bring.
pub(super) fn proofs(variant: Variant, local: &[u8], remote: &[u8], auth_hash: &[u8]) -> ([u8; 32], [u8; 32]) {
    match variant {
        Variant::KlapV1 => (sha256(&[local, auth_hash]), sha256(&[remote, auth_hash])),
        _ => (sha256(&[local, remote, auth_hash]), sha256(&[remote, local, auth_hash])),
    }
}

pub(super) fn handshake1(desk: &mut RequestScope, request: &Request) -> Response {
    if request.body.len() != 16 {
        return Response::page(400);
    }
    desk.count_eviction();
    let (local, remote) = (&request.body, secret_bytes::<16>());
    let hash = expected_hash(desk.variant, desk.config.bound, &desk.config.account);
    let (ours, theirs) = proofs(desk.variant, local, &remote, &hash);
    let name = session_name();
    let mut body = remote.to_vec();
    body.extend_from_slice(&ours);
    let time = desk.config.session_time;
    let answer = set_cookie(Response::bytes(200, "application/octet-stream", body), &name, time);
    let stage = Stage::Awaiting { proof: theirs, keys: Keys::new(local, &remote, &hash) };
    desk.door.session = Some(super::Session::Klap(Session { name, expires: desk.now.mono + time, stage }));
    answer
}

pub(super) fn handshake2(desk: &mut RequestScope, request: &Request) -> Response {
    let Some(super::Session::Klap(session)) = &mut desk.door.session else { return Response::page(403) };
    let Stage::Awaiting { proof, keys } = &session.stage else { return Response::page(403) };
    if cookie(request) != Some(session.name.as_str()) {
        return Response::page(403);
    }
    if !same(proof, &request.body) {
        desk.book.wrong_passwords += 1;
        desk.door.session = None;
        return Response::page(403);
    }
    session.stage = Stage::Open { keys: keys.clone(), seq: keys.seq };
    desk.book.logins += 1;
    Response::bytes(200, "application/octet-stream", Vec::new())
}

pub(super) fn request(desk: &mut RequestScope, request: &Request) -> Opened {
    let now = desk.now.mono;
    let live = match &mut desk.door.session {
        Some(super::Session::Klap(session)) if session.is_live(now) && cookie(request) == Some(&session.name) => {
            match &mut session.stage {
                Stage::Open { keys, seq } => Some((keys.clone(), seq)),
                Stage::Awaiting { .. } => None,
            }
        }
        _ => None,
    };
    let Some((keys, last)) = live else {
        desk.stale();
        return Opened::Answer(Response::page(403));
    };
    let seq = request.query("seq").and_then(|text| text.parse::<i32>().ok());
    let text = seq.filter(|seq| *seq == last.wrapping_add(1)).and_then(|seq| {
        *last = seq;
        Some((seq, keys.unseal(seq, &request.body)?))
    });
    match text {
        Some((seq, text)) => call(&text, super::Seal::Klap(Seal { keys, seq })),
        None => {
            desk.out_of_sequence();
            Opened::Answer(Response::page(403))
        }
    }
}
