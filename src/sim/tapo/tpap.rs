//! TPAP, the plug's side: SPAKE2+ with the password alone, then numbered frames in AES-CCM.
//!
//! It implements only the part that plugs use: no TLS, passcode type 2, suite 1, `aes_128_ccm`, `passwd_id` 2. Strict:
//! a registration evicts, the first frame carries `start_seq` and every other the next number, and wrong passwords lock
//! the plug.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p256::Scalar;
use serde_json::{Value, json};

use super::super::config::Lost;
use super::super::http::{Request, Response};
use super::crypt::{ccm_decrypt, ccm_encrypt, head, hkdf, md5, sha1, sha256};
use super::spake::{Outcome, Registration, scalar};
use super::{Opened, RequestScope, call, code, error, plain, same, session_name, unbase64};
use crate::clock::{Mono, secret_bytes};

/// The number of iterations that plugs request.
const ITERATIONS: u32 = 3000;
/// Locked after too many wrong passwords.
const LOCKED: i64 = -2101;
/// No cipher suite or encryption in common.
const NO_SUITE: i64 = -2201;
/// No passcode type in common.
const NO_PASSCODE_TYPE: i64 = -2202;
/// Wrong password.
const WRONG_PASSWORD: i64 = -2203;
/// A step of the login without the one before.
const NO_REGISTRATION: i64 = -1101;

/// A registration, or a session.
pub(super) struct Session {
    expires: Mono,
    stage: Stage,
}

enum Stage {
    /// The plug's share was sent; the client's is awaited.
    Registered { registration: Registration, y: Scalar, context: [u8; 32] },
    /// Logged in; the number is the next one.
    Open { stok: String, keys: Keys, seq: u32 },
}

impl Session {
    pub(super) fn is_live(&self, now: Mono) -> bool {
        matches!(self.stage, Stage::Open { .. }) && now < self.expires
    }
}

/// The keys of a session.
#[derive(Clone)]
pub(super) struct Keys {
    pub key: [u8; 16],
    pub nonce: [u8; 12],
}

impl Keys {
    pub(super) fn new(shared: &[u8]) -> Keys {
        Keys {
            key: hkdf(shared, Some(b"tp-kdf-salt-aes128-key"), b"tp-kdf-info-aes128-key"),
            nonce: hkdf(shared, Some(b"tp-kdf-salt-aes128-iv"), b"tp-kdf-info-aes128-iv"),
        }
    }

    fn nonce(&self, seq: u32) -> [u8; 12] {
        let base: [u8; 8] = head(&self.nonce);
        let mut nonce = [0; 12];
        nonce.iter_mut().zip(base.iter().chain(&seq.to_be_bytes())).for_each(|(to, from)| *to = *from);
        nonce
    }

    pub(super) fn seal(&self, seq: u32, text: &[u8]) -> Option<Vec<u8>> {
        let mut frame = seq.to_be_bytes().to_vec();
        frame.extend_from_slice(&ccm_encrypt(&self.key, &self.nonce(seq), text)?);
        Some(frame)
    }

    pub(super) fn unseal(&self, frame: &[u8]) -> Option<(u32, Vec<u8>)> {
        let (seq, sealed) = frame.split_first_chunk::<4>()?;
        let seq = u32::from_be_bytes(*seq);
        Some((seq, ccm_decrypt(&self.key, &self.nonce(seq), sealed)?))
    }
}

/// How the answer to one frame is sealed: with that frame's number.
pub(in crate::sim) struct Seal {
    keys: Keys,
    seq: u32,
}

impl Seal {
    pub(crate) fn close(&self, text: &[u8]) -> Response {
        match self.keys.seal(self.seq, text) {
            Some(frame) => Response::bytes(200, "application/octet-stream", frame),
            None => Response::page(500),
        }
    }
}

/// The `tpap` object of discovery and of the probe.
pub(super) fn offer(port: u16) -> Value {
    json!({"tls": 0, "dac": 0, "noc": 0, "pake": [2], "port": port})
}

/// The string that stands for the password under `passwd_id` 2.
pub(super) fn credential(password: &[u8]) -> String {
    hex::encode(sha1(&[password]))
}

pub(super) fn context(user_random: &[u8], dev_random: &[u8]) -> [u8; 32] {
    sha256(&[b"PAKE V1", user_random, dev_random])
}

/// Any POST to `/`.
pub(super) fn login(desk: &mut RequestScope, request: &Request) -> Response {
    let body = plain(request).unwrap_or_default();
    let params = body.get("params").unwrap_or(&Value::Null);
    let method = body.get("method").and_then(Value::as_str);
    let step = params.get("sub_method").and_then(Value::as_str).filter(|_| method == Some("login"));
    if locked(desk, step != Some("discover")) {
        return error(LOCKED);
    }
    match step {
        Some("discover") => {
            let mac = hex::encode_upper(desk.mac);
            let tpap = offer(desk.port);
            let result = json!({"sub_method": "discover", "tpap_preferred": true, "mac": mac, "tpap": tpap});
            Response::json(&json!({"error_code": 0, "result": result}))
        }
        Some("pake_register") => register(desk, params).unwrap_or_else(error),
        Some("pake_share") => share(desk, params).unwrap_or_else(error),
        _ => error(code::PARAMS),
    }
}

/// Whether logins are locked now. Further tries prolong the lock.
fn locked(desk: &mut RequestScope, tries: bool) -> bool {
    let now = desk.now.mono;
    let locked = desk.door.locked_until.is_some_and(|until| now < until);
    if locked && tries {
        desk.door.locked_until = Some(now + desk.config.lock_time);
    } else if !locked && desk.door.locked_until.take().is_some() {
        desk.door.failures = 0;
    }
    locked
}

fn register(desk: &mut RequestScope, params: &Value) -> Result<Response, i64> {
    let text = |name: &str| params.get(name).and_then(Value::as_str);
    let offers =
        |name: &str, what: Value| params.get(name).and_then(Value::as_array).is_some_and(|all| all.contains(&what));
    let user_random = unbase64(params.get("user_random")).filter(|random| random.len() == 32).ok_or(code::PARAMS)?;
    if text("username") != Some(hex::encode(md5(&[b"admin"])).as_str()) {
        return Err(code::PARAMS);
    }
    if !offers("cipher_suites", json!(1)) || !offers("encryption", json!("aes_128_ccm")) {
        return Err(NO_SUITE);
    }
    if text("passcode_type") != Some("userpw") {
        return Err(NO_PASSCODE_TYPE);
    }
    desk.count_eviction();
    let (dev_random, salt) = (secret_bytes::<32>(), secret_bytes::<16>());
    let credential = credential(desk.config.account.password());
    let registration = Registration::new(credential.as_bytes(), &salt, ITERATIONS);
    let y = scalar(secret_bytes());
    let result = json!({
        "sub_method": "pake_register",
        "dev_random": STANDARD.encode(dev_random),
        "dev_salt": STANDARD.encode(salt),
        "dev_share": STANDARD.encode(registration.share(&y)),
        "cipher_suites": 1,
        "iterations": ITERATIONS,
        "encryption": "aes_128_ccm",
        "extra_crypt": {"type": "password_shadow", "params": {"passwd_id": 2}},
    });
    let stage = Stage::Registered { registration, y, context: context(&user_random, &dev_random) };
    let expires = desk.now.mono + desk.config.session_time;
    desk.door.session = Some(super::Session::Tpap(Box::new(Session { expires, stage })));
    Ok(Response::json(&json!({"error_code": 0, "result": result})))
}

fn share(desk: &mut RequestScope, params: &Value) -> Result<Response, i64> {
    let user_share = unbase64(params.get("user_share")).ok_or(code::PARAMS)?;
    let user_confirm = unbase64(params.get("user_confirm")).ok_or(code::PARAMS)?;
    // Whatever comes of it, a registration is good for one try.
    let Some(super::Session::Tpap(session)) = desk.door.session.take_if(|session| !is_open(session)) else {
        return Err(NO_REGISTRATION);
    };
    let Stage::Registered { registration, y, context } = session.stage else { return Err(NO_REGISTRATION) };
    let outcome = registration
        .finish(&y, &user_share, &context, b"", b"")
        .filter(|outcome| same(&outcome.prover_confirm, &user_confirm));
    let Some(Outcome { verifier_confirm, shared, .. }) = outcome else {
        desk.book.wrong_passwords += 1;
        desk.door.failures += 1;
        if desk.door.failures >= desk.config.lock_after {
            desk.door.locked_until = Some(desk.now.mono + desk.config.lock_time);
        }
        return Err(WRONG_PASSWORD);
    };
    desk.door.failures = 0;
    desk.book.logins += 1;
    let stok = session_name().to_lowercase();
    // A start far below the end of the range, as plugs give.
    let start = u32::from_be_bytes(secret_bytes()) >> 1;
    let result = json!({
        "sub_method": "pake_share",
        "dev_confirm": STANDARD.encode(verifier_confirm),
        "stok": stok,
        "start_seq": start,
        "expired": desk.config.session_time.as_secs(),
    });
    let stage = Stage::Open { stok, keys: Keys::new(&shared), seq: start };
    desk.door.session = Some(super::Session::Tpap(Box::new(Session { expires: session.expires, stage })));
    Ok(Response::json(&json!({"error_code": 0, "result": result})))
}

fn is_open(session: &super::Session) -> bool {
    matches!(session, super::Session::Tpap(session) if matches!(session.stage, Stage::Open { .. }))
}

/// A POST to `/stok=.../ds`.
pub(super) fn frame(desk: &mut RequestScope, request: &Request) -> Opened {
    if locked(desk, false) {
        return Opened::Answer(error(LOCKED));
    }
    let now = desk.now.mono;
    let given = request.path().strip_prefix("/stok=").and_then(|rest| rest.strip_suffix("/ds"));
    let live = match &mut desk.door.session {
        Some(super::Session::Tpap(session)) if session.is_live(now) => match &mut session.stage {
            Stage::Open { stok, keys, seq } if given.is_some_and(|given| same(given.as_bytes(), stok.as_bytes())) => {
                Some((keys.clone(), seq))
            }
            _ => None,
        },
        _ => None,
    };
    let Some((keys, next)) = live else {
        desk.stale();
        return Opened::Answer(lost(desk));
    };
    match keys.unseal(&request.body).filter(|(seq, _)| *seq == *next) {
        Some((seq, text)) => {
            *next = seq.wrapping_add(1);
            call(&text, super::Seal::Tpap(Seal { keys, seq }))
        }
        None => {
            desk.out_of_sequence();
            Opened::Answer(lost(desk))
        }
    }
}

fn lost(desk: &RequestScope) -> Response {
    match desk.config.quirks.lost {
        Lost::Code(code) => error(code),
        Lost::Forbidden => Response::page(403),
    }
}
