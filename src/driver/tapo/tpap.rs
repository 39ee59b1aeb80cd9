//! TPAP: what a plug says of it, the login with SPAKE2+, and frames in AES-CCM with a counter.
//!
//! It knows no method of the plug and no other variant. The arithmetic of the login is in `spake.rs`.

use aes::Aes128;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ccm::Ccm;
use ccm::aead::{Aead, KeyInit};
use ccm::consts::{U12, U16};
use serde_json::{Value, json};
use std::time::Duration;
use zeroize::Zeroizing;

use super::Account;
use super::cipher::{Block, md5, sha1, sha256};
use super::fault::{Fault, Kind, general};
use super::passthrough::on_thread;
use super::spake::{Proved, Secrets, expand, prove, scalar};
use super::transport::Rules;
use super::wire::{Content, Wire, envelope, error_code};
use crate::clock;
use crate::node::MacAddress;
use crate::node::trust::Proof;

/// The only cipher suite: P-256 with SHA-256.
const SUITE: i64 = 1;
/// The only encryption.
const ENCRYPTION: &str = "aes_128_ccm";
/// More rounds of PBKDF2 than this are an attack on us: plugs say 3000.
const ITERATIONS_MAX: u32 = 100_000;
/// `passwd_id` of the credential that plugs use: the hex SHA-1 of the password.
const PASSWORD_SHA1: i64 = 2;

/// What a plug says of its TPAP when asked to be discovered over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// 0 plain HTTP, 1 and 2 TLS.
    tls: i64,
    /// Where the login and the requests go, when not to the plug's usual port.
    port: Option<u16>,
    passcode: Passcode,
    /// The user name is hashed with SHA-256.
    sha256_user: bool,
    mac: Option<MacAddress>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passcode {
    /// `userpw`: the account's password.
    Account,
    /// `default_userpw`: made from the MAC address, which any host can read. A login with it proves nothing.
    Factory,
    /// Something else.
    Other,
}

/// What came back for the discover request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// TPAP mode.
    Terms(Terms),
    /// TPAP-capable, but third-party access is on: KLAP.
    Klap,
    /// Neither: what it answered, in words.
    Other(String),
}

/// Asks the plug what it speaks.
pub(super) async fn probe(wire: &mut Wire) -> Result<Probe, Fault> {
    let answer = ask(wire, "discover", None, &json!({ "sub_method": "discover" })).await?;
    match answer {
        Answer::Result(result) => Ok(read_probe(&result)),
        Answer::Code(code) => match general(code) {
            Some(fault) if matches!(fault.kind, Kind::Locked | Kind::Busy { .. }) => Err(fault),
            _ => Ok(Probe::Other(format!("error code {code}"))),
        },
        Answer::Other(words) => Ok(Probe::Other(words)),
    }
}

fn read_probe(result: &Value) -> Probe {
    let tpap = result.get("tpap");
    match (result.get("tpap_preferred").and_then(Value::as_bool), tpap) {
        (Some(true), _) | (None, Some(_)) => Probe::Terms(Terms::read(result)),
        (Some(false), _) => Probe::Klap,
        (None, None) => Probe::Other("nothing about TPAP".into()),
    }
}

impl Terms {
    fn read(result: &Value) -> Terms {
        let whole = |key| result.pointer(key).and_then(Value::as_i64);
        let offered = result.pointer("/tpap/pake").and_then(Value::as_array).map(Vec::as_slice);
        let offers =
            |kinds: &[i64]| offered.is_some_and(|o| o.iter().filter_map(Value::as_i64).any(|k| kinds.contains(&k)));
        let passcode = match offered {
            // Not said: what all plugs have.
            None | Some([]) => Passcode::Account,
            Some(_) if offers(&[2, 5]) => Passcode::Account,
            Some(_) if offers(&[0]) => Passcode::Factory,
            Some(_) => Passcode::Other,
        };
        Terms {
            tls: whole("/tpap/tls").unwrap_or(0),
            port: whole("/tpap/port").and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0),
            passcode,
            sha256_user: whole("/user_hash_type").or_else(|| whole("/tpap/user_hash_type")) == Some(1),
            mac: result.get("mac").and_then(Value::as_str).and_then(|mac| mac.parse().ok()),
        }
    }

    /// What to suppose of a plug that does not say.
    pub(super) fn usual() -> Terms {
        Terms::read(&Value::Null)
    }

    fn check(&self, rules: &Rules) -> Result<(), Fault> {
        rules.is_own(self.mac)?;
        let unspoken = |what: &str| {
            let cure = "switch on Third-Party Compatibility in the Tapo app (Me > Third-Party Services)";
            Err(Fault::new(
                Kind::UnsupportedProtocol,
                format!("the plug wants TPAP with {what}, which plugfish does not speak; {cure}"),
            ))
        };
        match (self.tls, self.passcode) {
            (0, Passcode::Account) => Ok(()),
            (0, Passcode::Factory) => rules.allow_factory(),
            (0, Passcode::Other) => unspoken("an unknown kind of passcode"),
            (tls, _) => unspoken(&format!("TLS (tls {tls})")),
        }
    }

    fn register(&self, user_random: &[u8; 32]) -> Value {
        let username = match self.sha256_user {
            true => hex::encode_upper(sha256(&[b"admin"])),
            false => hex::encode(md5(b"admin")),
        };
        json!({
            "sub_method": "pake_register",
            "username": username,
            "user_random": BASE64.encode(user_random),
            "cipher_suites": [SUITE],
            "encryption": [ENCRYPTION],
            "passcode_type": if self.passcode == Passcode::Factory { "default_userpw" } else { "userpw" },
        })
    }

    /// The text that PBKDF2 is fed with.
    fn credential(&self, account: &Account, extra: Option<&Value>) -> Result<Zeroizing<String>, Fault> {
        let text = |pointer| extra.and_then(|extra| extra.pointer(pointer)).and_then(Value::as_str);
        let id = extra.and_then(|extra| extra.pointer("/params/passwd_id")).and_then(Value::as_i64);
        match (self.passcode, self.mac, text("/type"), id) {
            (Passcode::Factory, Some(mac), None, _) => factory_passcode(mac),
            (Passcode::Account, _, Some("password_shadow"), Some(PASSWORD_SHA1)) => {
                Ok(Zeroizing::new(hex::encode(sha1(account.password().as_bytes()))))
            }
            // Guessing here would spend one of the few wrong logins before the plug locks itself.
            (_, _, kind, id) => {
                let kind = kind.unwrap_or("no extra_crypt");
                Err(Fault::new(
                    Kind::UnsupportedProtocol,
                    format!("the plug wants an unknown kind of password ({kind}, {id:?})"),
                ))
            }
        }
    }
}

fn factory_passcode(mac: MacAddress) -> Result<Zeroizing<String>, Fault> {
    let [a, b, c, d, e, f] = mac.0;
    let secret = [b"GqY5o136oa4i6VprTlMW2DpVXxmfW8".as_slice(), &[d, e, f, a, b, c]].concat();
    let bytes = expand::<32>(&secret, Some(b"tp-kdf-salt-default-passcode"), b"tp-kdf-info-default-passcode");
    let bytes = bytes.ok_or_else(|| Fault::garbled("no passcode"))?;
    Ok(Zeroizing::new(hex::encode_upper(bytes.as_slice())))
}

/// What a login message was answered with.
enum Answer {
    Result(Value),
    Code(i64),
    Other(String),
}

async fn ask(wire: &mut Wire, step: &'static str, port: Option<u16>, params: &Value) -> Result<Answer, Fault> {
    let body = (Content::Json, envelope("login", Some(params)).to_string().into_bytes());
    let reply = wire.post(step, port, "/", None, body).await?;
    if reply.status == 429 {
        return Err(Fault::new(Kind::Busy { flooded: true }, "the plug asks for rest (HTTP 429)"));
    }
    let Some(mut answer) = reply.json().filter(|answer| reply.status == 200 && answer.is_object()) else {
        return Ok(Answer::Other(format!("HTTP {} and no JSON", reply.status)));
    };
    Ok(match error_code(&answer) {
        0 => Answer::Result(answer.get_mut("result").map(Value::take).unwrap_or_default()),
        code => Answer::Code(code),
    })
}

/// How a login with given terms ended.
pub(super) enum Login {
    /// Done.
    Session(Session),
    /// The plug does not (or no longer) speak TPAP: what it answered, in words.
    Other(String),
}

/// Logs in. Never repeats anything: each wrong password brings the plug nearer to locking itself.
pub(super) async fn log_in(wire: &mut Wire, account: &Account, terms: &Terms, rules: &Rules) -> Result<Login, Fault> {
    terms.check(rules)?;
    let random: [u8; 32] = clock::secret_bytes();
    let offer = match ask(wire, "pake_register", terms.port, &terms.register(&random)).await? {
        Answer::Result(result) => Offer::read(&result)?,
        Answer::Code(code @ (-2201 | -2202)) => {
            let text = format!("the plug wants another TPAP than plugfish speaks (error code {code})");
            return Err(Fault::new(Kind::UnsupportedProtocol, text));
        }
        Answer::Code(code) => match general(code) {
            Some(fault) if matches!(fault.kind, Kind::Locked | Kind::Busy { .. } | Kind::Auth) => return Err(fault),
            _ => return Ok(Login::Other(format!("error code {code}"))),
        },
        Answer::Other(words) => return Ok(Login::Other(words)),
    };
    let credential = terms.credential(account, offer.extra.as_ref())?;
    let proved = on_thread(move || offer.prove(&credential, &random)).await?;
    let proved =
        proved.ok_or_else(|| Fault::new(Kind::UnsupportedProtocol, "the plug's share is no point to compute with"))?;
    let share = json!({
        "sub_method": "pake_share",
        "user_share": BASE64.encode(proved.share),
        "user_confirm": BASE64.encode(proved.confirm),
    });
    let answer = ask(wire, "pake_share", terms.port, &share).await.map_err(|fault| match fault.kind {
        Kind::Unanswered | Kind::InvalidResponse => Fault { kind: Kind::LoginUnconfirmed, ..fault },
        _ => fault,
    })?;
    match answer {
        Answer::Result(result) => Session::start(&result, &proved, terms).map(Login::Session),
        Answer::Code(code) => {
            // -40401 is a lost session elsewhere and a wrong password here.
            let code = if code == -40401 { -2203 } else { code };
            let odd = || {
                Fault::new(Kind::UnsupportedProtocol, format!("the plug did not take the login (error code {code})"))
            };
            Err(general(code).unwrap_or_else(odd))
        }
        Answer::Other(words) => {
            Err(Fault::new(Kind::LoginUnconfirmed, format!("the plug broke off the login ({words})")))
        }
    }
}

/// The plug's half of the first step.
struct Offer {
    random: Vec<u8>,
    salt: Vec<u8>,
    share: Vec<u8>,
    iterations: u32,
    extra: Option<Value>,
}

impl Offer {
    fn read(result: &Value) -> Result<Offer, Fault> {
        let bad = |what: &str| Fault::new(Kind::UnsupportedProtocol, format!("the plug offers {what} for the login"));
        let bytes = |key| {
            let text = result.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            text.and_then(|text| BASE64.decode(text).ok()).ok_or_else(|| bad(&format!("no readable {key}")))
        };
        if result.get("cipher_suites").and_then(Value::as_i64) != Some(SUITE) {
            return Err(bad("another cipher suite than it was asked"));
        }
        if result.get("encryption").and_then(Value::as_str) != Some(ENCRYPTION) {
            return Err(bad("another encryption than it was asked"));
        }
        let iterations = result.get("iterations").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        Ok(Offer {
            random: bytes("dev_random")?,
            salt: bytes("dev_salt")?,
            share: bytes("dev_share")?,
            iterations: iterations
                .filter(|n| (1..=ITERATIONS_MAX).contains(n))
                .ok_or_else(|| bad("an unreasonable number of iterations"))?,
            extra: result.get("extra_crypt").filter(|extra| !extra.is_null()).cloned(),
        })
    }

    fn prove(&self, credential: &str, user_random: &[u8; 32]) -> Option<Proved> {
        let secrets = Secrets::derive(credential.as_bytes(), &self.salt, self.iterations);
        let context = sha256(&[b"PAKE V1", user_random, &self.random]);
        // 48 random bytes modulo the order leave no bias; zero comes once in 2^256.
        let x = Zeroizing::new(scalar(Zeroizing::new(clock::secret_bytes::<48>()).as_slice()));
        prove(&secrets, &context, [b"", b""], &x, &self.share)
    }
}

/// A login that both sides agreed on.
pub(super) struct Session {
    stok: Zeroizing<String>,
    port: Option<u16>,
    key: Zeroizing<Block>,
    base: [u8; 12],
    /// The number of the next request.
    seq: u32,
    /// The session's life as the plug says it.
    pub timeout: Option<Duration>,
    /// The passcode was made from the MAC address: the plug knows no account of the owner yet.
    pub unbound: bool,
}

impl Session {
    fn start(result: &Value, proved: &Proved, terms: &Terms) -> Result<Session, Fault> {
        let text = |key| result.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let confirm = text("dev_confirm").and_then(|text| BASE64.decode(text).ok());
        if !confirm.is_some_and(|confirm| proved.confirmed_by(&confirm)) {
            // This device guesses passwords. Each further login would be one more guess for it.
            return Err(Fault::new(Kind::Auth, "the plug did not prove that it knows the password of the account"));
        }
        let stok = text("stok").or_else(|| text("sessionId"));
        let seq = result.get("start_seq").and_then(Value::as_i64);
        let (Some(stok), Some(seq)) = (stok, seq.and_then(counter)) else {
            return Err(Fault::garbled("the login's answer has no stok or no start_seq"));
        };
        let shared = proved.shared.as_slice();
        let key = expand::<16>(shared, Some(b"tp-kdf-salt-aes128-key"), b"tp-kdf-info-aes128-key");
        let base = expand::<12>(shared, Some(b"tp-kdf-salt-aes128-iv"), b"tp-kdf-info-aes128-iv");
        let (Some(key), Some(base)) = (key, base) else { return Err(Fault::garbled("no session keys")) };
        let timeout = result.get("expired").and_then(Value::as_u64).map(Duration::from_secs);
        let (port, unbound) = (terms.port, terms.passcode == Passcode::Factory);
        Ok(Session { stok: Zeroizing::new(stok.into()), port, key, base: *base, seq, timeout, unbound })
    }

    /// How what is answered in this session is proved.
    pub(super) const fn proof(&self) -> Proof {
        if self.unbound { Proof::Claimed } else { Proof::Answer }
    }

    fn nonce(&self, seq: u32) -> [u8; 12] {
        let [a, b, c, d, e, f, g, h, ..] = self.base;
        let [s, t, u, v] = seq.to_be_bytes();
        [a, b, c, d, e, f, g, h, s, t, u, v]
    }

    /// The next request: its number and its body.
    fn seal(&mut self, plain: &[u8]) -> Option<(u32, Vec<u8>)> {
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        let cipher = Ccm::<Aes128, U16, U12>::new((&*self.key).into());
        let sealed = cipher.encrypt(&self.nonce(seq).into(), plain).ok()?;
        Some((seq, [seq.to_be_bytes().as_slice(), &sealed].concat()))
    }

    /// What is in the answer to request `seq`.
    fn open(&self, seq: u32, body: &[u8]) -> Option<Vec<u8>> {
        let (number, sealed) = body.split_first_chunk::<4>()?;
        if u32::from_be_bytes(*number) != seq {
            return None;
        }
        let cipher = Ccm::<Aes128, U16, U12>::new((&*self.key).into());
        cipher.decrypt(&self.nonce(seq).into(), sealed).ok()
    }

    /// Sends a request and returns the JSON of the answer.
    pub(super) async fn exchange(&mut self, wire: &mut Wire, request: &Value) -> Result<Value, Fault> {
        let sealed = self.seal(request.to_string().as_bytes());
        let (seq, body) = sealed.ok_or_else(|| Fault::garbled("the request cannot be encrypted"))?;
        let path = format!("/stok={}/ds", self.stok.as_str());
        let reply = wire.post("ds", self.port, &path, None, (Content::Bytes, body)).await?;
        if let Some(fault) = reply.session_fault() {
            return Err(fault);
        }
        if let Some(plain) = self.open(seq, &reply.body) {
            let unreadable = || Fault::new(Kind::SessionGone { taken: false }, "the answer is no JSON");
            return serde_json::from_slice(&plain).map_err(|_| unreadable());
        }
        match reply.json().as_ref().map(error_code) {
            Some(-2101) => Err(general(-2101).unwrap_or_else(|| Fault::new(Kind::Locked, "the plug is locked"))),
            Some(code) if code != 0 => {
                let text = format!("the plug ended the session (error code {code})");
                Err(Fault::new(Kind::SessionGone { taken: true }, text))
            }
            _ => Err(Fault::new(Kind::SessionGone { taken: false }, "the answer cannot be decrypted")),
        }
    }
}

/// `start_seq` as a counter of 32 bits, which some write as a signed number.
fn counter(number: i64) -> Option<u32> {
    u32::try_from(number).ok().or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned))
}

#[cfg(fuzzing)]
pub(super) mod fuzz;
#[cfg(test)]
mod tests;
