//! KLAP, versions 1 and 2: two handshakes with hashes of the account, then AES-CBC frames with a counter.
//!
//! It knows no method of the plug and no other variant.

use serde_json::Value;
use subtle::ConstantTimeEq;
use tracing::warn;
use zeroize::Zeroizing;

use super::Account;
use super::cipher::{Block, md5, open, seal, sha1, sha256};
use super::fault::{Fault, Kind, WRONG_CREDENTIALS, general};
use super::transport::Rules;
use super::wire::{Content, Cookie, Reply, Wire, error_code};
use crate::clock;
use crate::node::trust::Proof;

/// A random half of the session's keys.
type Seed = [u8; 16];

/// Accounts that a plug knows until it is bound to the owner's. They are public: a proof made with one proves nothing.
const UNBOUND: [(&str, &str); 3] = [("", ""), ("test@tp-link.net", "test"), ("kasa@tp-link.net", "kasaSetup")];

/// How the account is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// MD5 and the short proofs.
    V1,
    /// SHA-256 and the long proofs: all Tapo plugs.
    V2,
}

impl Version {
    /// What `DeviceIdentity` calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Version::V1 => "KLAP v1",
            Version::V2 => "KLAP v2",
        }
    }

    fn account_hash(self, username: &str, password: &str) -> Zeroizing<Vec<u8>> {
        let (username, password) = (username.as_bytes(), password.as_bytes());
        Zeroizing::new(match self {
            Version::V1 => md5(&[md5(username), md5(password)].concat()).to_vec(),
            Version::V2 => sha256(&[&sha1(username), &sha1(password)]).to_vec(),
        })
    }

    fn plug_proof(self, local: &Seed, remote: &Seed, account: &[u8]) -> [u8; 32] {
        match self {
            Version::V1 => sha256(&[local, account]),
            Version::V2 => sha256(&[local, remote, account]),
        }
    }

    fn our_proof(self, local: &Seed, remote: &Seed, account: &[u8]) -> [u8; 32] {
        match self {
            Version::V1 => sha256(&[remote, account]),
            Version::V2 => sha256(&[remote, local, account]),
        }
    }
}

/// Which account a plug proved to know.
struct Known {
    version: Version,
    account: Zeroizing<Vec<u8>>,
    /// It is one of [`UNBOUND`], not the owner's.
    unbound: bool,
}

/// Finds out from the plug's proof which account it knows, before anything secret is sent.
fn recognise(account: &Account, rules: &Rules, local: &Seed, remote: &Seed, proof: &[u8; 32]) -> Result<Known, Fault> {
    let own = std::iter::once((account.username(), account.password(), false));
    let others = UNBOUND.iter().map(|(username, password)| (*username, *password, true));
    let known = own.chain(others).find_map(|(username, password, unbound)| {
        [Version::V2, Version::V1].into_iter().find_map(|version| {
            let account = version.account_hash(username, password);
            let expected = version.plug_proof(local, remote, &account);
            bool::from(expected.ct_eq(proof)).then_some(Known { version, account, unbound })
        })
    });
    let known = known.ok_or_else(|| Fault::new(Kind::ProofMismatch, WRONG_CREDENTIALS))?;
    if known.unbound {
        rules.allow_factory()?;
    }
    Ok(known)
}

/// The keys of a session and its counter.
struct Cipher {
    key: Zeroizing<Block>,
    iv12: [u8; 12],
    sig: Zeroizing<[u8; 28]>,
    seq: i32,
}

impl Cipher {
    fn new(local: &Seed, remote: &Seed, account: &[u8]) -> Cipher {
        let derive = |label: &[u8]| sha256(&[label, local, remote, account]);
        let iv = derive(b"iv");
        let [.., a, b, c, d] = iv;
        Cipher {
            key: Zeroizing::new(front(&derive(b"lsk"))),
            iv12: front(&iv),
            sig: Zeroizing::new(front(&derive(b"ldk"))),
            seq: i32::from_be_bytes([a, b, c, d]),
        }
    }

    fn iv(&self, seq: i32) -> Block {
        let mut iv = [0; 16];
        for (to, from) in iv.iter_mut().zip(self.iv12.iter().chain(&seq.to_be_bytes())) {
            *to = *from;
        }
        iv
    }

    fn signature(&self, seq: i32, sealed: &[u8]) -> [u8; 32] {
        sha256(&[self.sig.as_slice(), &seq.to_be_bytes(), sealed])
    }

    /// The next request: its number and its body.
    fn seal(&mut self, plain: &[u8]) -> (i32, Vec<u8>) {
        self.seq = self.seq.wrapping_add(1);
        let sealed = seal(&self.key, &self.iv(self.seq), plain);
        (self.seq, [&self.signature(self.seq, &sealed), sealed.as_slice()].concat())
    }

    /// What is in the answer to request `seq`, and whether its signature is right.
    fn open(&self, seq: i32, body: &[u8]) -> Option<(Vec<u8>, bool)> {
        let (signature, sealed) = body.split_first_chunk::<32>()?;
        let plain = open(&self.key, &self.iv(seq), sealed)?;
        Some((plain, self.signature(seq, sealed).ct_eq(signature).into()))
    }
}

fn front<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    let mut front = [0; N];
    for (to, from) in front.iter_mut().zip(hash) {
        *to = *from;
    }
    front
}

/// What came back for `handshake1`.
pub(super) enum Greeting {
    /// KLAP, and the plug knows one of our accounts: go on with [`Hello::confirm`].
    Hello(Hello),
    /// 403: TPAP mode, not a wrong password.
    Forbidden,
    /// This plug speaks no KLAP: what it answered, in words.
    Other(String),
    /// An answer such as no plug is known to give, in words.
    Odd(String),
}

/// The first half of a login.
pub(super) struct Hello {
    local: Seed,
    remote: Seed,
    cookie: Option<Cookie>,
    known: Known,
}

/// Sends `handshake1`.
pub(super) async fn greet(wire: &mut Wire, account: &Account, rules: &Rules) -> Result<Greeting, Fault> {
    let local: Seed = clock::secret_bytes();
    let body = (Content::Bytes, local.to_vec());
    let reply = wire.post("handshake1", None, "/app/handshake1", None, body).await?;
    greeting(account, rules, local, reply)
}

fn greeting(account: &Account, rules: &Rules, local: Seed, reply: Reply) -> Result<Greeting, Fault> {
    match reply.status {
        200 => {}
        403 => return Ok(Greeting::Forbidden),
        429 => return Err(Fault::new(Kind::Busy { flooded: true }, "the plug asks for rest (HTTP 429)")),
        status @ 400..500 => return Ok(Greeting::Other(format!("HTTP {status}"))),
        status => return Ok(Greeting::Odd(format!("HTTP {status}"))),
    }
    let Some((remote, proof)) = reply.body.split_first_chunk::<16>() else { return spoken_otherwise(&reply) };
    let Ok(proof) = <&[u8; 32]>::try_from(proof) else { return spoken_otherwise(&reply) };
    let known = recognise(account, rules, &local, remote, proof)?;
    Ok(Greeting::Hello(Hello { local, remote: *remote, cookie: reply.cookie, known }))
}

/// 200, but not the 48 bytes: perhaps JSON with an error code.
fn spoken_otherwise(reply: &Reply) -> Result<Greeting, Fault> {
    match reply.json().as_ref().map(error_code) {
        Some(code) => match general(code) {
            Some(fault) if matches!(fault.kind, Kind::Locked | Kind::Busy { .. }) => Err(fault),
            _ => Ok(Greeting::Other(format!("error code {code}"))),
        },
        None => Ok(Greeting::Odd(format!("{} bytes that are no KLAP", reply.body.len()))),
    }
}

impl Hello {
    /// Sends `handshake2`: proves to the plug that we know the account too.
    pub(super) async fn confirm(self, wire: &mut Wire) -> Result<Session, Fault> {
        let Hello { local, remote, cookie, known } = self;
        let proof = known.version.our_proof(&local, &remote, &known.account);
        let send = async |wire: &mut Wire| {
            let body = (Content::Bytes, proof.to_vec());
            wire.post("handshake2", None, "/app/handshake2", cookie.as_ref(), body).await
        };
        let (reply, again) = match send(wire).await {
            Err(fault) if fault.kind == Kind::Unanswered => (send(wire).await?, true),
            reply => (reply?, false),
        };
        match reply.status {
            200 => {}
            // It had taken the first one: the session is open. If it is not, the first request will tell.
            403 if again => {}
            429 => return Err(Fault::new(Kind::Busy { flooded: true }, "the plug asks for rest (HTTP 429)")),
            // Its own proof was right, so the account is: another client came in between.
            status => {
                let text = format!("the plug broke off the login (HTTP {status} to handshake2)");
                return Err(Fault::new(Kind::SessionGone { taken: status == 403 }, text));
            }
        }
        if known.unbound {
            warn!(node = %wire.context.node, "the plug is not bound to the TP-Link account: it took a factory login");
        }
        let cipher = Cipher::new(&local, &remote, &known.account);
        let (version, unbound) = (known.version, known.unbound);
        Ok(Session { cookie: reply.cookie.or(cookie), cipher, version, unbound, signs: None })
    }
}

/// A login that both sides agreed on.
pub(super) struct Session {
    cookie: Option<Cookie>,
    cipher: Cipher,
    /// The version in use.
    pub version: Version,
    /// The plug knows no account of the owner yet.
    pub unbound: bool,
    /// Whether the plug signs its answers: as the first one in the session was.
    signs: Option<bool>,
}

impl Session {
    /// The session's life as the plug says it.
    pub(super) fn timeout(&self) -> Option<std::time::Duration> {
        self.cookie.as_ref().and_then(|cookie| cookie.timeout)
    }

    /// How what is answered in this session is proved.
    pub(super) const fn proof(&self) -> Proof {
        match (self.unbound, self.signs) {
            (true, _) => Proof::Claimed,
            (false, Some(true)) => Proof::Answer,
            (false, _) => Proof::Login,
        }
    }

    /// Without a signature an answer can be altered, or be an old one: the keys hide it, and do not authenticate it. So
    /// a plug that has signed, in this session or ever, signs always.
    fn check_signature(&mut self, wire: &Wire, signed: bool) -> Result<(), Fault> {
        let trust = &wire.context.trust;
        let before = self.signs == Some(true) || (!self.unbound && trust.proven().proof == Proof::Answer);
        if before && !signed {
            let text = format!(
                "the signature of an answer is wrong, and this plug signs its answers: it was damaged or forged; if the \
                 plug was replaced, run \"{}\"",
                trust.command()
            );
            return Err(Fault::garbled(text));
        }
        if self.signs == Some(false) && signed {
            // What it said before was not from the plug.
            return Err(Fault::garbled("some answers of the session are signed, and others are not"));
        }
        self.signs = Some(signed);
        Ok(())
    }

    /// Goes back in the numbers of requests.
    pub(super) fn go_back(&mut self, numbers: i32) {
        self.cipher.seq = self.cipher.seq.wrapping_sub(numbers);
    }

    /// Sends a request and returns the JSON of the answer.
    pub(super) async fn exchange(&mut self, wire: &mut Wire, request: &Value) -> Result<Value, Fault> {
        let (seq, body) = self.cipher.seal(request.to_string().as_bytes());
        let path = format!("/app/request?seq={seq}");
        let body = (Content::Bytes, body);
        let reply = wire.post("request", None, &path, self.cookie.as_ref(), body).await?;
        if let Some(fault) = reply.session_fault() {
            return Err(fault);
        }
        let unreadable = |what: &str| Fault::new(Kind::SessionGone { taken: false }, format!("the answer {what}"));
        let (plain, signed) = self.cipher.open(seq, &reply.body).ok_or_else(|| unreadable("cannot be decrypted"))?;
        self.check_signature(wire, signed)?;
        serde_json::from_slice(&plain).map_err(|_| unreadable("is no JSON"))
    }
}

#[cfg(fuzzing)]
pub(super) mod fuzz;
#[cfg(test)]
mod tests;
