//! The plug's side of the variants, for the fake plug: written from the protocol, not from the driver.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rsa::pkcs8::DecodePublicKey;
use serde_json::{Value, json};

use super::tpap_side::TpapSide;
use crate::driver::tapo::cipher::{open, seal, sha1, sha256};

/// The account that the fake plugs are bound to.
pub(super) const USER: &str = "Test.User@Example.com";
pub(super) const PASSWORD: &str = "Pa55-word!";

/// Status, session id, body.
pub(super) type Answer = (u16, Option<String>, Vec<u8>);

/// What a request turned out to be.
pub(crate) enum Heard {
    /// A method, in the session.
    Request(Value),
    /// A readable step of a login.
    Login(Value),
    /// An unreadable step of a login.
    Handshake,
    /// Nothing of this session.
    WrongDevice,
}

/// Which variant a plug speaks.
pub(crate) enum Speech {
    Klap(KlapSide),
    Passthrough(PassthroughSide),
    Tpap(Box<TpapSide>),
    /// 403 to everything, and this to the discover request.
    Closed(Value),
    /// 404 to everything.
    Nothing,
}

#[derive(Default)]
pub(crate) struct KlapSide {
    pub v1: bool,
    /// The account it knows.
    pub account: (String, String),
    /// Says `tpap_preferred: false` to the discover request.
    pub knows_tpap: bool,
    /// Its answers carry no right signature.
    pub unsigned: bool,
    half: Option<([u8; 16], [u8; 16])>,
    keys: Option<KlapKeys>,
    pub logins: u32,
}

struct KlapKeys {
    key: [u8; 16],
    iv: Vec<u8>,
    sig: Vec<u8>,
    seq: i32,
    id: String,
}

#[derive(Default)]
pub(crate) struct PassthroughSide {
    /// Takes `password2` only.
    pub form2: bool,
    /// Sends the inner answers in clear.
    pub clear: bool,
    /// Sends those to requests in clear, and that to the login as it should.
    pub clear_later: bool,
    keys: Option<([u8; 16], [u8; 16])>,
    id: String,
    token: Option<String>,
    /// After -1501 the handshake must be done again.
    spoiled: bool,
    pub logins: u32,
}

pub(super) fn klap() -> Speech {
    Speech::Klap(KlapSide { account: (USER.into(), PASSWORD.into()), ..KlapSide::default() })
}

pub(super) fn klap_with(change: impl FnOnce(&mut KlapSide)) -> Speech {
    let mut side = KlapSide { account: (USER.into(), PASSWORD.into()), ..KlapSide::default() };
    change(&mut side);
    Speech::Klap(side)
}

pub(super) fn passthrough(change: impl FnOnce(&mut PassthroughSide)) -> Speech {
    let mut side = PassthroughSide::default();
    change(&mut side);
    Speech::Passthrough(side)
}

pub(super) fn tpap(change: impl FnOnce(&mut TpapSide)) -> Speech {
    let mut side = TpapSide::new();
    change(&mut side);
    Speech::Tpap(Box::new(side))
}

impl Speech {
    pub(crate) fn hear(&mut self, path: &str, head: &str, body: &[u8]) -> Heard {
        match self {
            Speech::Klap(side) => side.hear(path, head, body),
            Speech::Passthrough(side) => side.hear(path, head, body),
            Speech::Tpap(side) => side.hear(path, body),
            Speech::Closed(_) | Speech::Nothing => json_or(body, Heard::Handshake),
        }
    }

    pub(crate) fn log_in(&mut self, heard: &Heard, path: &str, body: &[u8]) -> Answer {
        match (self, heard) {
            (Speech::Klap(side), Heard::Handshake) => side.handshake(path, body),
            (Speech::Klap(side), Heard::Login(_)) if path == "/" && side.knows_tpap => {
                text(json!({ "error_code": 0, "result": { "sub_method": "discover", "tpap_preferred": false } }))
            }
            (Speech::Klap(_), Heard::Login(_)) => text(json!({ "error_code": 1003 })),
            (Speech::Passthrough(side), Heard::Login(login)) if path.starts_with("/app") => side.log_in(login),
            (Speech::Passthrough(_), Heard::Login(_)) => text(json!({ "error_code": 1003 })),
            (Speech::Tpap(side), Heard::Login(login)) => side.log_in(login),
            (Speech::Closed(discover), Heard::Login(_)) if path == "/" => text(discover.clone()),
            (Speech::Passthrough(_) | Speech::Nothing, Heard::Handshake) => (404, None, Vec::new()),
            (Speech::Passthrough(_), _) => text(json!({ "error_code": 9999 })),
            (Speech::Nothing, _) => (404, None, Vec::new()),
            (Speech::Klap(_) | Speech::Tpap(_) | Speech::Closed(_), _) => (403, None, Vec::new()),
        }
    }

    /// An answer in the session.
    pub(crate) fn say(&mut self, answer: &Value) -> Answer {
        match self {
            Speech::Klap(side) => side.say(answer),
            Speech::Passthrough(side) => side.say(answer),
            Speech::Tpap(side) => side.say(answer),
            Speech::Closed(_) | Speech::Nothing => (404, None, Vec::new()),
        }
    }

    /// Another client logs in.
    pub(crate) fn take_session(&mut self) {
        match self {
            Speech::Klap(side) => side.keys = None,
            Speech::Passthrough(side) => side.token = None,
            Speech::Tpap(side) => side.forget(),
            Speech::Closed(_) | Speech::Nothing => {}
        }
    }

    /// How a request without a session is answered.
    pub(crate) fn refuse(&self) -> Answer {
        match self {
            Speech::Passthrough(_) => text(json!({ "error_code": 9999 })),
            Speech::Tpap(_) => text(json!({ "error_code": -2402 })),
            _ => (403, None, Vec::new()),
        }
    }

    pub(crate) fn logins(&self) -> u32 {
        match self {
            Speech::Klap(side) => side.logins,
            Speech::Passthrough(side) => side.logins,
            Speech::Tpap(side) => side.shares,
            Speech::Closed(_) | Speech::Nothing => 0,
        }
    }
}

pub(super) fn text(answer: Value) -> Answer {
    (200, None, answer.to_string().into_bytes())
}

pub(super) fn json_or(body: &[u8], other: Heard) -> Heard {
    serde_json::from_slice(body).map_or(other, Heard::Login)
}

impl KlapSide {
    fn account_hash(&self) -> Vec<u8> {
        use md5::{Digest, Md5};
        let (user, password) = (self.account.0.as_bytes(), self.account.1.as_bytes());
        if self.v1 {
            Md5::digest([Md5::digest(user), Md5::digest(password)].concat()).to_vec()
        } else {
            sha256(&[&sha1(user), &sha1(password)]).to_vec()
        }
    }

    fn hear(&mut self, path: &str, head: &str, body: &[u8]) -> Heard {
        let Some(seq) = path.strip_prefix("/app/request?seq=") else { return json_or(body, Heard::Handshake) };
        let Some(keys) = &mut self.keys else { return Heard::WrongDevice };
        let seq: i32 = seq.parse().unwrap();
        if !head.contains(&format!("Cookie: TP_SESSIONID={}", keys.id)) || seq != keys.seq.wrapping_add(1) {
            return Heard::WrongDevice;
        }
        assert_eq!(body[..32], sha256(&[&keys.sig, &seq.to_be_bytes(), &body[32..]]), "signature");
        keys.seq = seq;
        let iv = [keys.iv.as_slice(), &seq.to_be_bytes()].concat().try_into().unwrap();
        Heard::Request(serde_json::from_slice(&open(&keys.key, &iv, &body[32..]).unwrap()).unwrap())
    }

    fn handshake(&mut self, path: &str, body: &[u8]) -> Answer {
        let hash = self.account_hash();
        match path {
            "/app/handshake1" => {
                let local: [u8; 16] = body.try_into().unwrap();
                let remote: [u8; 16] = crate::clock::secret_bytes();
                let proof = if self.v1 { sha256(&[&local, &hash]) } else { sha256(&[&local, &remote, &hash]) };
                // Strict: a new login ends the session.
                (self.half, self.keys) = (Some((local, remote)), None);
                self.logins += 1;
                let id = format!("S{}", self.logins);
                (200, Some(id), [remote.as_slice(), &proof].concat())
            }
            "/app/handshake2" => {
                let Some((local, remote)) = self.half.take() else { return (403, None, Vec::new()) };
                let proof = if self.v1 { sha256(&[&remote, &hash]) } else { sha256(&[&remote, &local, &hash]) };
                if body != proof {
                    return (403, None, Vec::new());
                }
                let derive = |label: &[u8]| sha256(&[label, &local, &remote, &hash]).to_vec();
                let iv = derive(b"iv");
                let seq = i32::from_be_bytes(iv[28..].try_into().unwrap());
                let key = derive(b"lsk")[..16].try_into().unwrap();
                let id = format!("S{}", self.logins);
                let sig = derive(b"ldk")[..28].to_vec();
                self.keys = Some(KlapKeys { key, iv: iv[..12].to_vec(), sig, seq, id });
                (200, None, Vec::new())
            }
            "/app" | "/" => text(json!({ "error_code": 1003 })),
            _ => (404, None, Vec::new()),
        }
    }

    fn say(&self, answer: &Value) -> Answer {
        let keys = self.keys.as_ref().unwrap();
        let iv = [keys.iv.as_slice(), &keys.seq.to_be_bytes()].concat().try_into().unwrap();
        let sealed = seal(&keys.key, &iv, answer.to_string().as_bytes());
        let of = keys.seq.wrapping_sub(i32::from(self.unsigned));
        let signature = sha256(&[&keys.sig, &of.to_be_bytes(), &sealed]);
        (200, None, [signature.as_slice(), &sealed].concat())
    }
}

impl PassthroughSide {
    fn hear(&mut self, path: &str, head: &str, body: &[u8]) -> Heard {
        let outer: Value = match serde_json::from_slice(body) {
            Ok(outer) => outer,
            Err(_) => return Heard::Handshake,
        };
        if outer["method"] != "securePassthrough" {
            return Heard::Login(outer);
        }
        let Some((key, iv)) = self.keys else { return Heard::WrongDevice };
        assert!(head.contains(&format!("Cookie: TP_SESSIONID={}", self.id)), "{head}");
        let sealed = BASE64.decode(outer["params"]["request"].as_str().unwrap()).unwrap();
        let inner: Value = serde_json::from_slice(&open(&key, &iv, &sealed).unwrap()).unwrap();
        match &self.token {
            _ if inner["method"] == "login_device" => Heard::Login(inner),
            Some(token) if path == format!("/app?token={token}") => Heard::Request(inner),
            _ => Heard::WrongDevice,
        }
    }

    fn log_in(&mut self, login: &Value) -> Answer {
        let params = &login["params"];
        match login["method"].as_str() {
            Some("handshake") => {
                let public = rsa::RsaPublicKey::from_public_key_pem(params["key"].as_str().unwrap()).unwrap();
                let keys: [u8; 32] = crate::clock::secret_bytes();
                let wrapped = public.encrypt(&mut rsa::rand_core::OsRng, rsa::Pkcs1v15Encrypt, &keys).unwrap();
                self.keys = Some((keys[..16].try_into().unwrap(), keys[16..].try_into().unwrap()));
                self.spoiled = false;
                self.id = hex::encode(crate::clock::secret_bytes::<4>());
                let answer = json!({ "error_code": 0, "result": { "key": BASE64.encode(wrapped) } });
                (200, Some(self.id.clone()), answer.to_string().into_bytes())
            }
            Some("login_device") if self.spoiled => text(json!({ "error_code": 9999 })),
            Some("login_device") => {
                self.logins += 1;
                let hash = |text: &str| BASE64.encode(hex::encode(sha1(text.as_bytes())));
                let right = match self.form2 {
                    true => params["password2"] == hash(PASSWORD),
                    false => params["password"] == BASE64.encode(PASSWORD),
                };
                if right && params["username"] == hash(USER) {
                    let token = hex::encode(crate::clock::secret_bytes::<16>());
                    self.token = Some(token.clone());
                    self.wrap(&json!({ "error_code": 0, "result": { "token": token } }))
                } else {
                    self.spoiled = true;
                    self.wrap(&json!({ "error_code": -1501 }))
                }
            }
            _ => text(json!({ "error_code": 1003 })),
        }
    }

    fn wrap(&self, answer: &Value) -> Answer {
        let (key, iv) = self.keys.unwrap();
        let response = match self.clear {
            true => answer.to_string(),
            false => BASE64.encode(seal(&key, &iv, answer.to_string().as_bytes())),
        };
        text(json!({ "error_code": 0, "result": { "response": response } }))
    }

    fn say(&self, answer: &Value) -> Answer {
        match self.clear_later {
            true => text(json!({ "error_code": 0, "result": { "response": answer } })),
            false => self.wrap(answer),
        }
    }
}
