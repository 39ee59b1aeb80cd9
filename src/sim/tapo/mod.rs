//! The Tapo side of a plug: the variant for each path, its one session, encryption and decryption.
//!
//! Everything here is a function of the request, the login state that the plug keeps, and the time. Sockets and faults
//! are in `serve`, the methods in `methods`.

pub(super) mod discovery;
pub(super) mod facts;
pub(super) mod methods;
pub(super) mod strip;

mod crypt;
mod klap;
mod passthrough;
mod spake;
mod tpap;

#[cfg(test)]
mod vectors;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey;
use rsa::pkcs8::DecodePublicKey;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::config::{PlugConfig, Variant};
use super::fault::{Forgery, Kind, Seen};
use super::http::{Request, Response};
use super::request_log::Counters;
use crate::clock::{Mono, Now, secret_bytes};

/// How deep requests may be nested: a batch in a child's request in a batch.
const NESTING_MAX: usize = 4;
/// How many methods of one request are told apart.
const METHODS_MAX: usize = 64;

/// `error_code`s that more than one place gives.
pub(super) mod code {
    /// This variant is not spoken here.
    pub(crate) const WRONG_VARIANT: i64 = 1003;
    /// The session is gone (passthrough).
    pub(crate) const SESSION_TIMEOUT: i64 = 9999;
    /// Unknown method.
    pub(crate) const UNKNOWN_METHOD: i64 = -1002;
    /// Not JSON.
    pub(crate) const JSON_DECODE: i64 = -1003;
    /// A part of a batch did not fit.
    pub(crate) const JSON_ENCODE: i64 = -1004;
    /// The cipher text does not open.
    pub(crate) const AES_DECODE: i64 = -1005;
    /// Wrong parameters.
    pub(crate) const PARAMS: i64 = -1008;
}

/// What a plug remembers of logins.
#[derive(Default)]
pub(super) struct Door {
    session: Option<Session>,
    /// TPAP: wrong passwords in a row.
    failures: u32,
    /// TPAP: logins are locked until then.
    locked_until: Option<Mono>,
}

/// The one session, or a login on its way to one.
enum Session {
    Klap(klap::Session),
    Passthrough(passthrough::Session),
    Tpap(Box<tpap::Session>),
}

impl Door {
    /// Drops the session, as a restart does.
    pub(super) fn forget_session(&mut self) {
        self.session = None;
    }

    /// Lifts the lock.
    pub(super) fn unlock(&mut self) {
        (self.failures, self.locked_until) = (0, None);
    }

    /// Whether a client is logged in.
    pub(super) fn is_logged_in(&self, now: Mono) -> bool {
        match &self.session {
            None => false,
            Some(Session::Klap(session)) => session.is_live(now),
            Some(Session::Passthrough(session)) => session.is_live(now),
            Some(Session::Tpap(session)) => session.is_live(now),
        }
    }
}

/// All that answering one request needs.
pub(super) struct RequestScope<'a> {
    pub config: &'a PlugConfig,
    pub variant: Variant,
    pub mac: [u8; 6],
    pub port: u16,
    pub door: &'a mut Door,
    pub book: &'a mut Counters,
    pub now: Now,
}

impl RequestScope<'_> {
    /// Counts the live session, if there is one, that a new login is about to replace.
    fn count_eviction(&mut self) {
        self.book.evictions += u64::from(self.door.is_logged_in(self.now.mono));
    }

    fn stale(&mut self) {
        self.book.stale_requests += 1;
    }

    fn out_of_sequence(&mut self) {
        self.book.out_of_sequence += 1;
        self.door.session = None;
    }
}

/// The result of decrypting a request.
pub(super) enum Opened {
    /// The request is answered without reaching the methods.
    Answer(Response),
    /// It was sealed, and here is what was in it.
    Call(Call),
}

/// A request from inside a session.
pub(super) struct Call {
    pub request: Value,
    pub seal: Seal,
}

/// How the answer is to be sealed.
pub(super) enum Seal {
    Klap(klap::Seal),
    Passthrough(passthrough::Seal),
    Tpap(tpap::Seal),
}

impl Seal {
    pub(super) fn close(&self, answer: &Value) -> Response {
        let text = answer.to_string();
        match self {
            Seal::Klap(seal) => seal.close(text.as_bytes()),
            Seal::Passthrough(seal) => seal.close(answer),
            Seal::Tpap(seal) => seal.close(text.as_bytes()),
        }
    }
}

impl Seal {
    /// What a rogue makes of the answer.
    pub(super) fn forge(&self, mut answer: Value, forgery: Forgery) -> Response {
        let lies: &[(&str, Value)] = match forgery {
            Forgery::Replay | Forgery::Clear => &[("device_on", json!(false))],
            Forgery::OtherDevice => &[("device_id", json!("0".repeat(40))), ("mac", json!("02-00-5E-00-00-99"))],
        };
        rewrite(&mut answer, lies, 0);
        match (forgery, self) {
            (Forgery::OtherDevice, _) => self.close(&answer),
            (Forgery::Clear, Seal::Passthrough(_)) => {
                Response::json(&json!({"error_code": 0, "result": {"response": answer}}))
            }
            (Forgery::Clear, _) => Response::json(&answer),
            (Forgery::Replay, _) => {
                let mut response = self.close(&answer);
                // The signature of KLAP, and the number of TPAP, stand in front.
                if let Some(first) = response.body.first_mut() {
                    *first ^= 1;
                }
                response
            }
        }
    }
}

/// Puts these values in the place of those under the same keys, however deep.
fn rewrite(value: &mut Value, lies: &[(&str, Value)], depth: usize) {
    if depth > 4 * NESTING_MAX {
        return;
    }
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match lies.iter().find(|(name, _)| name == key) {
                    Some((_, lie)) => *value = lie.clone(),
                    None => rewrite(value, lies, depth + 1),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| rewrite(value, lies, depth + 1)),
        _ => {}
    }
}

/// Finds out what a request wants, and opens it.
pub(super) fn open(desk: &mut RequestScope, request: &Request) -> Opened {
    let answer = match (request.path(), desk.variant) {
        ("/", Variant::Tpap) => tpap::login(desk, request),
        ("/", variant) => {
            let knows = desk.config.knows_tpap && variant != Variant::Passthrough;
            match plain(request).as_ref().and_then(sub_method) {
                Some("discover") if knows => Response::json(
                    &json!({"error_code": 0, "result": {"sub_method": "discover", "tpap_preferred": false}}),
                ),
                _ => error(code::WRONG_VARIANT),
            }
        }
        ("/app", Variant::Passthrough) => return passthrough::post(desk, request),
        ("/app", _) => error(code::WRONG_VARIANT),
        ("/app/handshake1" | "/app/handshake2" | "/app/request", Variant::Passthrough) => Response::page(404),
        ("/app/handshake1" | "/app/handshake2" | "/app/request", Variant::Tpap) => Response::page(403),
        ("/app/handshake1", _) => klap::handshake1(desk, request),
        ("/app/handshake2", _) => klap::handshake2(desk, request),
        ("/app/request", _) => return klap::request(desk, request),
        (path, Variant::Tpap) if path.starts_with("/stok=") => return tpap::frame(desk, request),
        _ => Response::page(404),
    };
    Opened::Answer(answer)
}

/// The inner request of a call, or the sealed error that its text deserves.
fn call(text: &[u8], seal: Seal) -> Opened {
    match serde_json::from_slice(text) {
        Ok(request) => Opened::Call(Call { request, seal }),
        Err(_) => Opened::Answer(seal.close(&json!({"error_code": code::JSON_DECODE}))),
    }
}

/// Answers what has to do with logging in from inside a session; everything else is for the methods.
pub(super) fn login_device(desk: &mut RequestScope, call: &Call) -> Option<Value> {
    matches!(&call.seal, Seal::Passthrough(seal) if seal.is_login)
        .then(|| passthrough::login_device(desk, &call.request))
}

/// What can be seen of a request from outside.
pub(super) fn look(request: &Request) -> Seen {
    let path = request.path().to_owned();
    let named = |kind, method: &str| (kind, vec![method.to_owned()]);
    let (kind, methods) = match path.as_str() {
        "/app/handshake1" => named(Kind::Login, "handshake1"),
        "/app/handshake2" => named(Kind::Login, "handshake2"),
        "/app/request" => (Kind::Sealed, Vec::new()),
        "/" | "/app" => {
            let body = plain(request).unwrap_or_default();
            match (body.get("method").and_then(Value::as_str), sub_method(&body)) {
                (Some("securePassthrough"), _) => (Kind::Sealed, Vec::new()),
                (Some("handshake"), _) => named(Kind::Login, "handshake"),
                (Some("component_nego"), _) => named(Kind::Probe, "component_nego"),
                (Some("login"), Some("discover")) => named(Kind::Probe, "discover"),
                (Some("login"), Some(step)) => named(Kind::Login, step),
                _ => (Kind::Other, Vec::new()),
            }
        }
        path if path.starts_with("/stok=") => (Kind::Sealed, Vec::new()),
        _ => (Kind::Other, Vec::new()),
    };
    Seen { path, kind, methods }
}

/// What can be seen of an opened request.
pub(super) fn look_inside(path: &str, request: &Value) -> Seen {
    let mut methods = Vec::new();
    let mut moves_relay = false;
    collect(request, 0, &mut methods, &mut moves_relay);
    let writes =
        |name: &String| ["set_", "add_", "edit_", "remove_", "device_re"].iter().any(|start| name.starts_with(start));
    let kind = if methods.iter().any(|name| name == "login_device") {
        Kind::Login
    } else if moves_relay {
        Kind::RelayWrite
    } else if methods.iter().any(writes) {
        Kind::Write
    } else {
        Kind::Read
    };
    Seen { path: path.to_owned(), kind, methods }
}

fn collect(request: &Value, depth: usize, methods: &mut Vec<String>, moves_relay: &mut bool) {
    let Some(method) = request.get("method").and_then(Value::as_str) else { return };
    if depth > NESTING_MAX || methods.len() >= METHODS_MAX {
        return;
    }
    methods.push(method.to_owned());
    let params = request.get("params").unwrap_or(&Value::Null);
    *moves_relay |= method == "set_device_info" && params.get("device_on").is_some();
    if let Some(child) = params.get("requestData") {
        collect(child, depth + 1, methods, moves_relay);
    }
    for part in params.get("requests").and_then(Value::as_array).into_iter().flatten() {
        collect(part, depth + 1, methods, moves_relay);
    }
}

/// A plain answer that says only this code.
pub(super) fn error(code: i64) -> Response {
    Response::json(&json!({"error_code": code}))
}

fn plain(request: &Request) -> Option<Value> {
    serde_json::from_slice(&request.body).ok()
}

fn sub_method(body: &Value) -> Option<&str> {
    body.get("params")?.get("sub_method")?.as_str()
}

fn unbase64(value: Option<&Value>) -> Option<Vec<u8>> {
    STANDARD.decode(value?.as_str()?).ok()
}

/// The key in a PEM text, of whichever of the two usual forms. Lines may be of any length: some clients write one.
fn public_key(pem: &str) -> Option<RsaPublicKey> {
    let (_, rest) = pem.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (text, _) = rest.split_once("-----END ")?;
    let der = STANDARD.decode(text.split_ascii_whitespace().collect::<String>()).ok()?;
    match label {
        "PUBLIC KEY" => RsaPublicKey::from_public_key_der(&der).ok(),
        "RSA PUBLIC KEY" => RsaPublicKey::from_pkcs1_der(&der).ok(),
        _ => None,
    }
}

/// The session's name in the cookie, if the client sent it back as plugs want it: alone, without `TIMEOUT`.
fn cookie(request: &Request) -> Option<&str> {
    let mut pairs = request.header("Cookie")?.split(';').map(str::trim).filter(|pair| !pair.is_empty());
    let (name, value) = pairs.next()?.split_once('=')?;
    (name == "TP_SESSIONID" && pairs.next().is_none()).then_some(value)
}

fn set_cookie(response: Response, session: &str, time: std::time::Duration) -> Response {
    response.with_header("Set-Cookie", format!("TP_SESSIONID={session};TIMEOUT={}", time.as_secs()))
}

/// A session name that cannot be guessed.
fn session_name() -> String {
    hex::encode_upper(secret_bytes::<16>())
}

fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}
