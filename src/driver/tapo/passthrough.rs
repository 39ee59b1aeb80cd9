//! securePassthrough: an RSA handshake, a login with the account, then JSON in AES-CBC in JSON.
//!
//! It knows no method of the plug but the login's, and no other variant.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rsa::pkcs8::{EncodePublicKey, LineEnding};
// The rsa crate wants the generators of its own generation of rand_core: the operating system's, as clock.rs has it.
use rsa::rand_core::OsRng;
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Account;
use super::cipher::{Block, open, seal, sha1};
use super::fault::{Fault, Kind, general};
use super::wire::{Content, Cookie, Wire, envelope, error_code};

/// The only size that plugs take (others: -1010).
const RSA_BITS: usize = 1024;

/// How the account is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `password`, base64 of the password.
    V1,
    /// `password2`, base64 of its hash: plugs that announce `lv` 2.
    V2,
}

impl Form {
    /// The one to try when this one was refused.
    pub(super) const fn other(self) -> Form {
        match self {
            Form::V1 => Form::V2,
            Form::V2 => Form::V1,
        }
    }
}

/// What came back for `handshake`.
pub(super) enum Greeting {
    /// securePassthrough: go on with [`Hello::log_in`].
    Hello(Hello),
    /// This plug speaks something else: what it answered, in words.
    Other(String),
}

/// The first half of a login.
pub(super) struct Hello {
    cookie: Option<Cookie>,
    keys: Keys,
}

/// Makes a key and sends `handshake`.
pub(super) async fn greet(wire: &mut Wire) -> Result<Greeting, Fault> {
    let key = on_thread(make_key).await?;
    let (key, public) = key.ok_or_else(|| Fault::new(Kind::UnsupportedProtocol, "no RSA key can be made"))?;
    let handshake = envelope("handshake", Some(&json!({ "key": public })));
    let body = (Content::Json, handshake.to_string().into_bytes());
    let reply = wire.post("handshake", None, "/app", None, body).await?;
    if reply.status == 429 {
        return Err(Fault::new(Kind::Busy { flooded: true }, "the plug asks for rest (HTTP 429)"));
    }
    let Some(answer) = reply.json().filter(|_| reply.status == 200) else {
        return Ok(Greeting::Other(format!("HTTP {} and no JSON", reply.status)));
    };
    match (error_code(&answer), answer.pointer("/result/key").and_then(Value::as_str)) {
        (0, Some(wrapped)) => {
            let wrapped = wrapped.to_owned();
            let keys = on_thread(move || unwrap_keys(&key, &wrapped)).await?;
            let keys = keys.ok_or_else(|| Fault::garbled("the plug's half of the handshake cannot be read"))?;
            Ok(Greeting::Hello(Hello { cookie: reply.cookie, keys }))
        }
        (0, None) => Ok(Greeting::Other("no key".into())),
        (code, _) => match general(code) {
            Some(fault) if matches!(fault.kind, Kind::Locked | Kind::Busy { .. }) => Err(fault),
            _ => Ok(Greeting::Other(format!("error code {code}"))),
        },
    }
}

/// Runs arithmetic that takes milliseconds and more where it holds up no one.
pub(super) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Fault::new(Kind::Unanswered, "the login's arithmetic broke off"))
}

/// A key for one handshake. It decrypts once and is dropped: what timing could tell of it is of no use then.
fn make_key() -> Option<(RsaPrivateKey, String)> {
    let key = RsaPrivateKey::new(&mut OsRng, RSA_BITS).ok()?;
    let public = key.to_public_key().to_public_key_pem(LineEnding::LF).ok()?;
    Some((key, public))
}

/// Decrypts the plug's half of the handshake. Every failure looks the same.
fn unwrap_keys(key: &RsaPrivateKey, wrapped: &str) -> Option<Keys> {
    let wrapped = BASE64.decode(wrapped).ok()?;
    let plain = Zeroizing::new(key.decrypt_blinded(&mut OsRng, Pkcs1v15Encrypt, &wrapped).ok()?);
    let (key, iv) = plain.split_first_chunk::<16>()?;
    Some(Keys { key: Zeroizing::new(*key), iv: Zeroizing::new(iv.try_into().ok()?) })
}

/// Key and IV, the same for the whole session.
struct Keys {
    key: Zeroizing<Block>,
    iv: Zeroizing<Block>,
}

impl Keys {
    fn wrap(&self, inner: &Value) -> Value {
        let sealed = seal(&self.key, &self.iv, inner.to_string().as_bytes());
        envelope("securePassthrough", Some(&json!({ "request": BASE64.encode(sealed) })))
    }

    /// The inner answer. Some plugs send it in clear, as text or as it is: of that an error code is believed and nothing
    /// else, since any host on the way could have put it there.
    fn unwrap(&self, outer: &Value) -> Option<Value> {
        let response = outer.pointer("/result/response")?;
        let error_in = |clear: &Value| match error_code(clear) {
            0 => None,
            code => Some(json!({ "error_code": code })),
        };
        let Some(text) = response.as_str() else { return error_in(response) };
        let sealed = BASE64.decode(text).ok();
        let plain = sealed.and_then(|sealed| open(&self.key, &self.iv, &sealed));
        let inner = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        inner.or_else(|| error_in(&serde_json::from_str(text).ok()?))
    }
}

impl Hello {
    /// Sends the account in this form. `Ok(None)`: refused, which may be the form's fault; a new handshake is needed.
    pub(super) async fn log_in(self, wire: &mut Wire, account: &Account, form: Form) -> Result<Option<Session>, Fault> {
        let mut session = Session { cookie: self.cookie, keys: self.keys, token: Zeroizing::default() };
        let answer = session.send(wire, "login_device", &login_request(account, form)).await?;
        match error_code(&answer) {
            0 => {}
            -1501 => return Ok(None),
            code => {
                let odd = || {
                    Fault::new(
                        Kind::UnsupportedProtocol,
                        format!("the plug did not take the login (error code {code})"),
                    )
                };
                return Err(general(code).unwrap_or_else(odd));
            }
        }
        let token = answer.pointer("/result/token").and_then(Value::as_str);
        session.token = Zeroizing::new(token.ok_or_else(|| Fault::garbled("the login's answer has no token"))?.into());
        Ok(Some(session))
    }
}

fn login_request(account: &Account, form: Form) -> Value {
    let hash = |text: &str| BASE64.encode(hex::encode(sha1(text.as_bytes())));
    let username = hash(account.username());
    let params = match form {
        Form::V1 => json!({ "username": username, "password": BASE64.encode(account.password()) }),
        Form::V2 => json!({ "username": username, "password2": hash(account.password()) }),
    };
    envelope("login_device", Some(&params))
}

/// A login that both sides agreed on.
pub(super) struct Session {
    cookie: Option<Cookie>,
    keys: Keys,
    token: Zeroizing<String>,
}

impl Session {
    /// The session's life as the plug says it.
    pub(super) fn timeout(&self) -> Option<std::time::Duration> {
        self.cookie.as_ref().and_then(|cookie| cookie.timeout)
    }

    /// Sends a request and returns the JSON of the answer.
    pub(super) async fn exchange(&mut self, wire: &mut Wire, request: &Value) -> Result<Value, Fault> {
        self.send(wire, "securePassthrough", request).await
    }

    async fn send(&mut self, wire: &mut Wire, step: &'static str, inner: &Value) -> Result<Value, Fault> {
        let path = match self.token.as_str() {
            "" => "/app".into(),
            token => format!("/app?token={token}"),
        };
        let body = (Content::Json, self.keys.wrap(inner).to_string().into_bytes());
        let reply = wire.post(step, None, &path, self.cookie.as_ref(), body).await?;
        if let Some(fault) = reply.session_fault() {
            return Err(fault);
        }
        let unreadable = |what: &str| Fault::new(Kind::SessionGone { taken: false }, format!("the answer {what}"));
        let outer = reply.json().ok_or_else(|| unreadable("is no JSON"))?;
        match error_code(&outer) {
            0 => self.keys.unwrap(&outer).ok_or_else(|| unreadable("is not encrypted with the keys of the session")),
            code => {
                let odd = || unreadable(&format!("is the error code {code}"));
                Err(general(code).unwrap_or_else(odd))
            }
        }
    }
}

#[cfg(fuzzing)]
pub(super) mod fuzz;
#[cfg(test)]
mod tests;
