//! The plug's side of TPAP for the fake plug: the verifier of SPAKE2+, from RFC 9383 and the protocol.

use aes::Aes128;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ccm::Ccm;
use ccm::aead::{Aead, KeyInit};
use ccm::consts::{U12, U16};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use p256::elliptic_curve::sec1::{FromSec1Point, ToSec1Point};
use p256::{AffinePoint, ProjectivePoint, Scalar};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::speech::{Answer, Heard, PASSWORD, json_or, text};
use crate::driver::tapo::cipher::sha1;
use crate::driver::tapo::spake::scalar;

pub(crate) struct TpapSide {
    pub password: String,
    /// Overrides fields of the answer to `discover`.
    pub discover: Value,
    /// Overrides fields of the answer to `pake_register`.
    pub register: Value,
    /// Proves something else than it should.
    pub liar: bool,
    /// The life of a session.
    pub expired: u64,
    /// -2101 to everything.
    pub locked: bool,
    pub shares: u32,
    half: Option<Half>,
    session: Option<Session>,
}

struct Half {
    w0: Scalar,
    l: ProjectivePoint,
    y: Scalar,
    share: Vec<u8>,
    context: Vec<u8>,
}

struct Session {
    stok: String,
    key: [u8; 16],
    base: [u8; 12],
    seq: u32,
    heard: u32,
}

fn merge(mut base: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().into_iter().flatten() {
        base[key] = value.clone();
    }
    base
}

fn expand(secret: &[u8], salt: Option<&[u8]>, info: &str, bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    Hkdf::<Sha256>::new(salt, secret).expand(info.as_bytes(), &mut out).unwrap();
    out
}

fn point(hex_text: &str) -> ProjectivePoint {
    AffinePoint::from_sec1_bytes(&hex::decode(hex_text).unwrap()).unwrap().into()
}

fn bytes(point: &ProjectivePoint) -> Vec<u8> {
    point.to_affine().to_uncompressed_point().to_vec()
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(data).finalize().into_bytes().to_vec()
}

const M: &str = "02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f";
const N: &str = "03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49";

impl TpapSide {
    pub(crate) fn new() -> TpapSide {
        TpapSide {
            password: PASSWORD.into(),
            discover: json!({}),
            register: json!({}),
            liar: false,
            expired: 604_800,
            locked: false,
            shares: 0,
            half: None,
            session: None,
        }
    }

    pub(crate) fn forget(&mut self) {
        self.session = None;
    }

    pub(crate) fn hear(&mut self, path: &str, body: &[u8]) -> Heard {
        if !path.starts_with("/stok=") {
            return json_or(body, Heard::Handshake);
        }
        let Some(session) = &mut self.session else { return Heard::WrongDevice };
        let seq = u32::from_be_bytes(body[..4].try_into().unwrap());
        if path != format!("/stok={}/ds", session.stok) || seq != session.seq {
            return Heard::WrongDevice;
        }
        (session.heard, session.seq) = (seq, seq.wrapping_add(1));
        let cipher = Ccm::<Aes128, U16, U12>::new(&session.key.into());
        let nonce: [u8; 12] = [&session.base[..8], &body[..4]].concat().try_into().unwrap();
        Heard::Request(serde_json::from_slice(&cipher.decrypt(&nonce.into(), &body[4..]).unwrap()).unwrap())
    }

    pub(crate) fn say(&self, answer: &Value) -> Answer {
        let session = self.session.as_ref().unwrap();
        let seq = session.heard.to_be_bytes();
        let nonce: [u8; 12] = [&session.base[..8], &seq].concat().try_into().unwrap();
        let cipher = Ccm::<Aes128, U16, U12>::new(&session.key.into());
        let sealed = cipher.encrypt(&nonce.into(), answer.to_string().as_bytes()).unwrap();
        (200, None, [seq.as_slice(), &sealed].concat())
    }

    pub(crate) fn log_in(&mut self, login: &Value) -> Answer {
        if self.locked {
            return text(json!({ "error_code": -2101 }));
        }
        let params = &login["params"];
        let ok = |result: Value| text(json!({ "error_code": 0, "result": result }));
        match params["sub_method"].as_str() {
            Some("discover") => ok(merge(
                json!({ "sub_method": "discover", "tpap_preferred": true, "mac": "AABBCCDDEE01",
                        "tpap": { "tls": 0, "dac": 0, "noc": 0, "pake": [2] } }),
                &self.discover,
            )),
            Some("pake_register") => {
                assert_eq!(params["username"], "21232f297a57a5a743894a0e4a801fc3");
                ok(self.register(BASE64.decode(params["user_random"].as_str().unwrap()).unwrap()))
            }
            Some("pake_share") => match self.share(params) {
                Some(result) => ok(result),
                None => text(json!({ "error_code": -2203 })),
            },
            _ => text(json!({ "error_code": 1003 })),
        }
    }

    fn register(&mut self, user_random: Vec<u8>) -> Value {
        let credential = hex::encode(sha1(self.password.as_bytes()));
        let (salt, random) = (crate::clock::secret_bytes::<16>(), crate::clock::secret_bytes::<32>());
        // Few rounds keep the tests fast; the vectors have the usual 3000.
        let rounds = 10;
        let mut secrets = [0; 80];
        pbkdf2::pbkdf2_hmac::<Sha256>(credential.as_bytes(), &salt, rounds, &mut secrets);
        let (w0, w1) = (scalar(&secrets[..40]), scalar(&secrets[40..]));
        let y = scalar(&crate::clock::secret_bytes::<32>());
        let share = bytes(&(ProjectivePoint::GENERATOR * y + point(N) * w0));
        let context = Sha256::digest([b"PAKE V1".as_slice(), &user_random, &random].concat()).to_vec();
        self.half = Some(Half { w0, l: ProjectivePoint::GENERATOR * w1, y, share: share.clone(), context });
        merge(
            json!({ "dev_random": BASE64.encode(random), "dev_salt": BASE64.encode(salt),
                    "dev_share": BASE64.encode(share), "cipher_suites": 1, "iterations": rounds,
                    "encryption": "aes_128_ccm",
                    "extra_crypt": { "type": "password_shadow", "params": { "passwd_id": 2 } } }),
            &self.register,
        )
    }

    fn share(&mut self, params: &Value) -> Option<Value> {
        self.shares += 1;
        let Half { w0, l, y, share, context } = self.half.take()?;
        let theirs = BASE64.decode(params["user_share"].as_str()?).ok()?;
        let x: ProjectivePoint = AffinePoint::from_sec1_bytes(&theirs).ok()?.into();
        let z = (x - point(M) * w0) * y;
        let v = l * y;
        let parts = [
            context,
            vec![],
            vec![],
            bytes(&point(M)),
            bytes(&point(N)),
            theirs.clone(),
            share.clone(),
            bytes(&z),
            bytes(&v),
            w0.to_bytes().to_vec(),
        ];
        let mut transcript = Vec::new();
        for part in parts {
            transcript.extend_from_slice(&(part.len() as u64).to_le_bytes());
            transcript.extend_from_slice(&part);
        }
        let main = Sha256::digest(transcript);
        let keys = expand(&main, None, "ConfirmationKeys", 64);
        if hmac(&keys[..32], &share) != BASE64.decode(params["user_confirm"].as_str()?).ok()? {
            return None;
        }
        let shared = expand(&main, None, "SharedKey", 32);
        let key = expand(&shared, Some(b"tp-kdf-salt-aes128-key"), "tp-kdf-info-aes128-key", 16);
        let base = expand(&shared, Some(b"tp-kdf-salt-aes128-iv"), "tp-kdf-info-aes128-iv", 12);
        let stok = hex::encode(crate::clock::secret_bytes::<16>());
        // At the wrap, so that every test of a session crosses it.
        let seq = u32::MAX;
        self.session =
            Some(Session { stok: stok.clone(), key: key.try_into().ok()?, base: base.try_into().ok()?, seq, heard: 0 });
        let confirm = hmac(&keys[32..], if self.liar { b"something else" } else { &theirs });
        Some(json!({ "dev_confirm": BASE64.encode(confirm), "stok": stok, "start_seq": seq, "expired": self.expired }))
    }
}
