//! A client written for these tests: HTTP by hand, and the client's side of every variant. It sends exactly what a test
//! specifies and retries nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ccm::aead::{Aead, KeyInit};
use ccm::consts::{U12, U16};
use hmac::Mac;
use p256::elliptic_curve::bigint::U256;
use p256::elliptic_curve::ops::Reduce;
use p256::elliptic_curve::sec1::{FromSec1Point, ToSec1Point};
use p256::{AffinePoint, ProjectivePoint, Scalar, Sec1Point};
use plugfish::testing::sim::Variant;
use rsa::pkcs8::EncodePublicKey;
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any answer of a plug on loopback takes; what is to hang is given less.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn code(&self) -> i64 {
        self.json()["error_code"].as_i64().unwrap()
    }

    pub fn cookie(&self) -> String {
        self.headers["set-cookie"].split(';').next().unwrap().to_owned()
    }
}

/// How a request can fail on the wire.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    Refused,
    Reset,
    Closed,
    Truncated,
    NoHttp,
    Silent,
}

/// A connection, made at the first request and kept.
pub struct Http {
    pub address: SocketAddr,
    pub stream: Option<TcpStream>,
    pub patience: Duration,
}

impl Http {
    pub fn new(address: SocketAddr) -> Http {
        Http { address, stream: None, patience: ANSWER_MAX }
    }

    pub async fn post(&mut self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, Broken> {
        let mut text = format!("POST {target} HTTP/1.1\r\nHost: plug\r\nContent-Length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        text.push_str("\r\n");
        self.send(&[text.as_bytes(), body].concat()).await
    }

    /// Sends bytes as they are and reads one answer.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<Answer, Broken> {
        let patience = self.patience;
        match tokio::time::timeout(patience, self.exchange(bytes)).await {
            Ok(Ok(answer)) => {
                if answer.headers.get("connection").is_some_and(|value| value == "close") {
                    self.stream = None;
                }
                Ok(answer)
            }
            Ok(Err(broken)) => {
                self.stream = None;
                Err(broken)
            }
            Err(_) => {
                self.stream = None;
                Err(Broken::Silent)
            }
        }
    }

    async fn exchange(&mut self, bytes: &[u8]) -> Result<Answer, Broken> {
        if self.stream.is_none() {
            self.stream = Some(TcpStream::connect(self.address).await.map_err(|_| Broken::Refused)?);
        }
        let stream = self.stream.as_mut().unwrap();
        stream.write_all(bytes).await.map_err(|_| Broken::Reset)?;
        let mut got = Vec::new();
        loop {
            if let Some(answer) = parse(&got)? {
                return Ok(answer);
            }
            match stream.read_buf(&mut got).await {
                Ok(0) if got.is_empty() => return Err(Broken::Closed),
                Ok(0) => return Err(if parse_head(&got)?.is_some() { Broken::Truncated } else { Broken::NoHttp }),
                Ok(_) => {}
                Err(_) => return Err(Broken::Reset),
            }
        }
    }
}

type Head = (u16, HashMap<String, String>, usize);

fn parse_head(bytes: &[u8]) -> Result<Option<Head>, Broken> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| Broken::NoHttp)?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).ok_or(Broken::NoHttp)?;
    let status = status.split(' ').next().unwrap().parse().map_err(|_| Broken::NoHttp)?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Ok(Some((status, headers, end + 4)))
}

fn parse(bytes: &[u8]) -> Result<Option<Answer>, Broken> {
    let Some((status, headers, start)) = parse_head(bytes)? else { return Ok(None) };
    let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).ok_or(Broken::NoHttp)?;
    Ok(bytes.get(start..start + length).map(|body| Answer { status, headers, body: body.to_vec() }))
}

/// Why a call failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// On the wire.
    Broken(Broken),
    /// An HTTP status.
    Status(u16),
    /// An `error_code` outside of the seal.
    Outer(i64),
    /// An answer that does not open.
    Unreadable,
}

/// A logged-in client.
pub struct Client {
    pub http: Http,
    pub session: Session,
}

pub enum Session {
    Klap { cookie: String, key: [u8; 16], iv: [u8; 12], signing: [u8; 28], seq: i32 },
    Passthrough { cookie: String, key: [u8; 16], iv: [u8; 16], token: String },
    Tpap { stok: String, key: [u8; 16], nonce: [u8; 12], seq: u32 },
}

impl Client {
    /// Logs in, whichever variant it is.
    pub async fn login(address: SocketAddr, variant: Variant, email: &str, password: &str) -> Result<Client, Failure> {
        let mut http = Http::new(address);
        let session = match variant {
            Variant::KlapV1 | Variant::KlapV2 => klap_login(&mut http, variant, email, password).await?,
            Variant::Passthrough => passthrough_login(&mut http, email, password, false).await?,
            Variant::Tpap => tpap_login(&mut http, password).await?,
        };
        Ok(Client { http, session })
    }

    /// One request with the next number, its inner answer returned whatever it says.
    pub async fn call(&mut self, request: Value) -> Result<Value, Failure> {
        let text = request.to_string();
        let (target, headers, body) = self.seal(text.as_bytes());
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = self.http.post(&target, &headers, &body).await.map_err(Failure::Broken)?;
        if answer.status != 200 {
            return Err(Failure::Status(answer.status));
        }
        self.open(&answer)
    }

    /// `get_device_info` and such.
    pub async fn get(&mut self, method: &str) -> Result<Value, Failure> {
        self.call(json!({"method": method})).await
    }

    /// Sets the relay of a plug.
    pub async fn set(&mut self, on: bool) -> Result<Value, Failure> {
        self.call(json!({"method": "set_device_info", "params": {"device_on": on}})).await
    }

    /// The next request as it goes over the wire: target, headers, body.
    pub fn seal(&mut self, text: &[u8]) -> (String, Vec<(&'static str, String)>, Vec<u8>) {
        match &mut self.session {
            Session::Klap { cookie, key, iv, signing, seq } => {
                *seq = seq.wrapping_add(1);
                let sealed = cbc_encrypt(key, &klap_iv(iv, *seq), text);
                let signature = sha256(&[signing, &seq.to_be_bytes(), &sealed]);
                let body = [&signature[..], &sealed].concat();
                (format!("/app/request?seq={seq}"), vec![("Cookie", cookie.clone())], body)
            }
            Session::Passthrough { cookie, key, iv, token } => {
                let sealed = STANDARD.encode(cbc_encrypt(key, iv, text));
                let body = json!({"method": "securePassthrough", "params": {"request": sealed}}).to_string();
                (format!("/app?token={token}"), vec![("Cookie", cookie.clone())], body.into_bytes())
            }
            Session::Tpap { stok, key, nonce, seq } => {
                let body = [&seq.to_be_bytes()[..], &ccm(key).encrypt(&tpap_nonce(nonce, *seq).into(), text).unwrap()];
                let body = body.concat();
                *seq = seq.wrapping_add(1);
                (format!("/stok={stok}/ds"), vec![], body)
            }
        }
    }

    fn open(&self, answer: &Answer) -> Result<Value, Failure> {
        let text = match &self.session {
            Session::Klap { key, iv, signing, seq, .. } => {
                let (signature, sealed) = answer.body.split_at_checked(32).ok_or(Failure::Unreadable)?;
                if sha256(&[signing, &seq.to_be_bytes(), sealed]) != signature {
                    return Err(Failure::Unreadable);
                }
                cbc_decrypt(key, &klap_iv(iv, *seq), sealed)
            }
            Session::Passthrough { key, iv, .. } => {
                let outer: Value = serde_json::from_slice(&answer.body).map_err(|_| Failure::Unreadable)?;
                if outer["error_code"] != 0 {
                    return Err(Failure::Outer(outer["error_code"].as_i64().unwrap()));
                }
                let response = outer["result"]["response"].as_str().unwrap();
                STANDARD.decode(response).ok().and_then(|sealed| cbc_decrypt(key, iv, &sealed))
            }
            Session::Tpap { key, nonce, seq, .. } => {
                if let Ok(plain) = serde_json::from_slice::<Value>(&answer.body) {
                    return Err(Failure::Outer(plain["error_code"].as_i64().unwrap()));
                }
                let (number, sealed) = answer.body.split_at_checked(4).ok_or(Failure::Unreadable)?;
                let used = seq.wrapping_sub(1);
                if number != used.to_be_bytes() {
                    return Err(Failure::Unreadable);
                }
                ccm(key).decrypt(&tpap_nonce(nonce, used).into(), sealed).ok()
            }
        };
        text.and_then(|text| serde_json::from_slice(&text).ok()).ok_or(Failure::Unreadable)
    }
}

pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

pub fn sha1(text: &[u8]) -> [u8; 20] {
    Sha1::digest(text).into()
}

fn md5(text: &[u8]) -> [u8; 16] {
    md5::Md5::digest(text).into()
}

fn cbc_encrypt(key: &[u8; 16], iv: &[u8; 16], text: &[u8]) -> Vec<u8> {
    cbc::Encryptor::<Aes128>::new(key.into(), iv.into()).encrypt_padded_vec::<Pkcs7>(text)
}

fn cbc_decrypt(key: &[u8; 16], iv: &[u8; 16], sealed: &[u8]) -> Option<Vec<u8>> {
    cbc::Decryptor::<Aes128>::new(key.into(), iv.into()).decrypt_padded_vec::<Pkcs7>(sealed).ok()
}

fn ccm(key: &[u8; 16]) -> ccm::Ccm<Aes128, U16, U12> {
    ccm::Ccm::new(key.into())
}

fn klap_iv(iv: &[u8; 12], seq: i32) -> [u8; 16] {
    [&iv[..], &seq.to_be_bytes()].concat().try_into().unwrap()
}

fn tpap_nonce(nonce: &[u8; 12], seq: u32) -> [u8; 12] {
    [&nonce[..8], &seq.to_be_bytes()].concat().try_into().unwrap()
}

pub fn klap_hash(variant: Variant, email: &str, password: &str) -> Vec<u8> {
    let (email, password) = (email.as_bytes(), password.as_bytes());
    match variant {
        Variant::KlapV1 => md5(&[md5(email), md5(password)].concat()).to_vec(),
        _ => sha256(&[&sha1(email), &sha1(password)]).to_vec(),
    }
}

/// What handshake1 gives: the cookie, the plug's seed, and whether its proof fits the credentials.
pub async fn klap_handshake1(
    http: &mut Http,
    variant: Variant,
    hash: &[u8],
) -> Result<(String, [u8; 16], bool), Failure> {
    let local = [7; 16];
    let answer = http.post("/app/handshake1", &[], &local).await.map_err(Failure::Broken)?;
    if answer.status != 200 {
        return Err(Failure::Status(answer.status));
    }
    let remote: [u8; 16] = answer.body[..16].try_into().unwrap();
    let proof = match variant {
        Variant::KlapV1 => sha256(&[&local, hash]),
        _ => sha256(&[&local, &remote, hash]),
    };
    Ok((answer.cookie(), remote, answer.body[16..] == proof))
}

/// What handshake2 must bring.
pub fn klap_proof(variant: Variant, remote: &[u8], hash: &[u8]) -> [u8; 32] {
    match variant {
        Variant::KlapV1 => sha256(&[remote, hash]),
        _ => sha256(&[remote, &[7; 16], hash]),
    }
}

async fn klap_login(http: &mut Http, variant: Variant, email: &str, password: &str) -> Result<Session, Failure> {
    let hash = klap_hash(variant, email, password);
    let (cookie, remote, _) = klap_handshake1(http, variant, &hash).await?;
    let proof = klap_proof(variant, &remote, &hash);
    let answer = http.post("/app/handshake2", &[("Cookie", &cookie)], &proof).await.map_err(Failure::Broken)?;
    if answer.status != 200 {
        return Err(Failure::Status(answer.status));
    }
    let derive = |label: &[u8]| sha256(&[label, &[7; 16], &remote, &hash]);
    let (key, signing, iv) = (derive(b"lsk"), derive(b"ldk"), derive(b"iv"));
    Ok(Session::Klap {
        cookie,
        key: key[..16].try_into().unwrap(),
        iv: iv[..12].try_into().unwrap(),
        signing: signing[..28].try_into().unwrap(),
        seq: i32::from_be_bytes(iv[28..].try_into().unwrap()),
    })
}

/// The RSA handshake: cookie, key and IV, or the code of the refusal.
pub async fn passthrough_handshake(http: &mut Http, bits: usize) -> Result<(String, [u8; 16], [u8; 16]), Failure> {
    let private = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).unwrap();
    let public = private.to_public_key().to_public_key_pem(rsa::pkcs8::LineEnding::LF).unwrap();
    let body = json!({"method": "handshake", "params": {"key": public}}).to_string();
    let answer = http.post("/app", &[], body.as_bytes()).await.map_err(Failure::Broken)?;
    if answer.code() != 0 {
        return Err(Failure::Outer(answer.code()));
    }
    let sealed = STANDARD.decode(answer.json()["result"]["key"].as_str().unwrap()).unwrap();
    let secret = private.decrypt(Pkcs1v15Encrypt, &sealed).unwrap();
    Ok((answer.cookie(), secret[..16].try_into().unwrap(), secret[16..].try_into().unwrap()))
}

/// A login that fails in the inner answer gives its code as [`Failure::Outer`].
pub async fn passthrough_login(http: &mut Http, email: &str, password: &str, v2: bool) -> Result<Session, Failure> {
    let (cookie, key, iv) = passthrough_handshake(http, 1024).await?;
    let user = STANDARD.encode(hex::encode(sha1(email.as_bytes())));
    let params = if v2 {
        json!({"username": user, "password2": STANDARD.encode(hex::encode(sha1(password.as_bytes())))})
    } else {
        json!({"username": user, "password": STANDARD.encode(password)})
    };
    let inner = json!({"method": "login_device", "params": params}).to_string();
    let sealed = STANDARD.encode(cbc_encrypt(&key, &iv, inner.as_bytes()));
    let body = json!({"method": "securePassthrough", "params": {"request": sealed}}).to_string();
    let answer = http.post("/app", &[("Cookie", &cookie)], body.as_bytes()).await.map_err(Failure::Broken)?;
    if answer.code() != 0 {
        return Err(Failure::Outer(answer.code()));
    }
    let response = STANDARD.decode(answer.json()["result"]["response"].as_str().unwrap()).unwrap();
    let inner: Value = serde_json::from_slice(&cbc_decrypt(&key, &iv, &response).unwrap()).unwrap();
    match inner["result"]["token"].as_str() {
        Some(token) => Ok(Session::Passthrough { cookie, key, iv, token: token.to_owned() }),
        None => Err(Failure::Outer(inner["error_code"].as_i64().unwrap())),
    }
}

fn hkdf<const N: usize>(secret: &[u8], salt: Option<&[u8]>, info: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    hkdf::Hkdf::<Sha256>::new(salt, secret).expand(info, &mut out).unwrap();
    out
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = <hmac::Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn number(bytes: &[u8]) -> Scalar {
    // 256 bits at a time, as one does by hand.
    bytes.iter().fold(Scalar::ZERO, |sum, byte| sum * Scalar::from(256u64) + Scalar::from(u64::from(*byte)))
}

fn point(bytes: &[u8]) -> ProjectivePoint {
    AffinePoint::from_sec1_point(&Sec1Point::from_bytes(bytes).unwrap()).unwrap().into()
}

fn uncompressed(point: &ProjectivePoint) -> Vec<u8> {
    point.to_affine().to_sec1_point(false).as_bytes().to_vec()
}

/// A step of the TPAP login: its result, or its code.
pub async fn tpap_step(http: &mut Http, params: Value) -> Result<Value, Failure> {
    let body = json!({"method": "login", "params": params}).to_string();
    let answer = http.post("/", &[], body.as_bytes()).await.map_err(Failure::Broken)?;
    match answer.code() {
        0 => Ok(answer.json()["result"].clone()),
        code => Err(Failure::Outer(code)),
    }
}

/// What a client says first.
pub fn tpap_register() -> Value {
    json!({
        "sub_method": "pake_register", "username": hex::encode(md5(b"admin")), "passcode_type": "userpw",
        "user_random": STANDARD.encode([9; 32]), "cipher_suites": [1], "encryption": ["aes_128_ccm"],
    })
}

async fn tpap_login(http: &mut Http, password: &str) -> Result<Session, Failure> {
    let registered = tpap_step(http, tpap_register()).await?;
    let of = |name: &str| STANDARD.decode(registered[name].as_str().unwrap()).unwrap();
    let m = point(&hex::decode("02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f").unwrap());
    let n = point(&hex::decode("03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49").unwrap());
    let credential = hex::encode(sha1(password.as_bytes()));
    let rounds = u32::try_from(registered["iterations"].as_u64().unwrap()).unwrap();
    let stretched: [u8; 80] = pbkdf2::pbkdf2_hmac_array::<Sha256, 80>(credential.as_bytes(), &of("dev_salt"), rounds);
    let (w0, w1) = (number(&stretched[..40]), number(&stretched[40..]));
    let x = <Scalar as Reduce<U256>>::reduce(&U256::from_be_slice(&plugfish::testing::clock::secret_bytes::<32>()));
    let share = ProjectivePoint::GENERATOR * x + m * w0;
    let dev_share = of("dev_share");
    let base = point(&dev_share) - n * w0;
    let context = sha256(&[b"PAKE V1", &[9; 32], &of("dev_random")]);
    let (share, z, v) = (uncompressed(&share), uncompressed(&(base * x)), uncompressed(&(base * w1)));
    let (m, n, w0) = (uncompressed(&m), uncompressed(&n), w0.to_bytes().to_vec());
    let parts: [&[u8]; 10] = [&context, b"", b"", &m, &n, &share, &dev_share, &z, &v, &w0];
    let transcript: Vec<u8> =
        parts.iter().flat_map(|part| [&(part.len() as u64).to_le_bytes()[..], *part].concat()).collect();
    let main = sha256(&[&transcript]);
    let confirm: [u8; 64] = hkdf(&main, None, b"ConfirmationKeys");
    let shared: [u8; 32] = hkdf(&main, None, b"SharedKey");
    let params = json!({
        "sub_method": "pake_share", "user_share": STANDARD.encode(&share),
        "user_confirm": STANDARD.encode(hmac(&confirm[..32], &dev_share)),
    });
    let result = tpap_step(http, params).await?;
    let dev_confirm = STANDARD.decode(result["dev_confirm"].as_str().unwrap()).unwrap();
    assert_eq!(dev_confirm, hmac(&confirm[32..], &share), "the plug proves that it knows the password too");
    Ok(Session::Tpap {
        stok: result["stok"].as_str().unwrap().to_owned(),
        key: hkdf(&shared, Some(b"tp-kdf-salt-aes128-key"), b"tp-kdf-info-aes128-key"),
        nonce: hkdf(&shared, Some(b"tp-kdf-salt-aes128-iv"), b"tp-kdf-info-aes128-iv"),
        seq: u32::try_from(result["start_seq"].as_u64().unwrap()).unwrap(),
    })
}
