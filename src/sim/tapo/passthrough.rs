//! securePassthrough, the plug's side: an RSA handshake, `login_device`, and JSON in an AES envelope.
//!
//! Strict: keys of another size than RSA-1024 are refused, a new handshake evicts, and a failed login ends the
//! handshake too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::Pkcs1v15Encrypt;
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};

use super::super::config::LoginVersion;
use super::super::http::{Request, Response};
use super::crypt::{cbc_decrypt, cbc_encrypt, sha1};
use super::{
    Opened, RequestScope, call, code, cookie, error, plain, public_key, same, session_name, set_cookie, unbase64,
};
use crate::clock::{Mono, secret_bytes};

/// The only size of key that plugs take.
const KEY_BITS: usize = 1024;
/// The key is too long or too short.
const KEY_LENGTH: i64 = -1010;
/// Wrong e-mail or password.
const WRONG_CREDENTIALS: i64 = -1501;

/// A handshake, and the login on top of it.
pub(super) struct Session {
    name: String,
    expires: Mono,
    key: [u8; 16],
    iv: [u8; 16],
    /// Set by the login.
    token: Option<String>,
}

impl Session {
    pub(super) fn is_live(&self, now: Mono) -> bool {
        self.token.is_some() && now < self.expires
    }
}

/// How answers of a session are sealed.
pub(in crate::sim) struct Seal {
    key: [u8; 16],
    iv: [u8; 16],
    /// The request came without a token: it can only be a login.
    pub is_login: bool,
    plain: bool,
}

impl Seal {
    pub(crate) fn close(&self, answer: &Value) -> Response {
        let text = answer.to_string();
        let sealed = if self.plain { text } else { seal(&self.key, &self.iv, text.as_bytes()) };
        Response::json(&json!({"error_code": 0, "result": {"response": sealed}}))
    }
}

pub(super) fn seal(key: &[u8; 16], iv: &[u8; 16], text: &[u8]) -> String {
    STANDARD.encode(cbc_encrypt(key, iv, text))
}

/// Any POST to `/app`.
pub(super) fn post(desk: &mut RequestScope, request: &Request) -> Opened {
    let Some(body) = plain(request) else { return Opened::Answer(error(code::JSON_DECODE)) };
    let params = body.get("params").unwrap_or(&Value::Null);
    match body.get("method").and_then(Value::as_str) {
        Some("handshake") => Opened::Answer(handshake(desk, params)),
        Some("securePassthrough") => envelope(desk, request, params),
        // In the clear there is nothing else to be had. Clients that probe with `component_nego` take every code but
        // 1003 (another variant) and 9999 (a lost session) for "this is the right variant".
        _ => Opened::Answer(error(code::UNKNOWN_METHOD)),
    }
}

fn handshake(desk: &mut RequestScope, params: &Value) -> Response {
    let Some(pem) = params.get("key").and_then(Value::as_str) else { return error(code::PARAMS) };
    let Some(public) = public_key(pem) else { return error(KEY_LENGTH) };
    if public.size() * 8 != KEY_BITS {
        return error(KEY_LENGTH);
    }
    let (key, iv) = (secret_bytes::<16>(), secret_bytes::<16>());
    let secret: Vec<u8> = key.iter().chain(&iv).copied().collect();
    // RSA of this version wants its own generation of random numbers; it is the operating system's all the same.
    let Ok(sealed) = public.encrypt(&mut rsa::rand_core::OsRng, Pkcs1v15Encrypt, &secret) else {
        return error(KEY_LENGTH);
    };
    desk.count_eviction();
    let name = session_name();
    let time = desk.config.session_time;
    let answer = Response::json(&json!({"error_code": 0, "result": {"key": STANDARD.encode(sealed)}}));
    let answer = set_cookie(answer, &name, time);
    let expires = desk.now.mono + time;
    desk.door.session = Some(super::Session::Passthrough(Session { name, expires, key, iv, token: None }));
    answer
}

fn envelope(desk: &mut RequestScope, request: &Request, params: &Value) -> Opened {
    let now = desk.now.mono;
    let token = request.query("token");
    let session = match &desk.door.session {
        Some(super::Session::Passthrough(session))
            if now < session.expires
                && cookie(request).is_some_and(|name| same(name.as_bytes(), session.name.as_bytes()))
                && token == session.token.as_deref() =>
        {
            session
        }
        _ => {
            desk.stale();
            return Opened::Answer(error(code::SESSION_TIMEOUT));
        }
    };
    let seal = Seal {
        key: session.key,
        iv: session.iv,
        is_login: session.token.is_none(),
        plain: desk.config.quirks.plain_response,
    };
    let text = unbase64(params.get("request")).and_then(|sealed| cbc_decrypt(&session.key, &session.iv, &sealed));
    match text {
        Some(text) => call(&text, super::Seal::Passthrough(seal)),
        None => Opened::Answer(error(code::AES_DECODE)),
    }
}

/// The first request inside a handshake: it must log in.
pub(super) fn login_device(desk: &mut RequestScope, request: &Value) -> Value {
    if request.get("method").and_then(Value::as_str) != Some("login_device") {
        desk.door.session = None;
        return json!({"error_code": code::SESSION_TIMEOUT});
    }
    let account = &desk.config.account;
    let field = |name: &str| request.get("params").and_then(|params| params.get(name)).and_then(Value::as_str);
    let (name, expected) = match desk.config.login {
        LoginVersion::V1 => ("password", STANDARD.encode(account.password())),
        LoginVersion::V2 => ("password2", STANDARD.encode(hex::encode(sha1(&[account.password()])))),
    };
    let user = STANDARD.encode(hex::encode(sha1(&[account.email.as_bytes()])));
    let right = field("username").is_some_and(|given| same(given.as_bytes(), user.as_bytes()))
        && field(name).is_some_and(|given| same(given.as_bytes(), expected.as_bytes()));
    match &mut desk.door.session {
        Some(super::Session::Passthrough(session)) if right => {
            let token = session_name();
            session.token = Some(token.clone());
            desk.book.logins += 1;
            json!({"error_code": 0, "result": {"token": token}})
        }
        _ => {
            desk.book.wrong_passwords += u64::from(field(name).is_some());
            desk.door.session = None;
            json!({"error_code": WRONG_CREDENTIALS})
        }
    }
}
