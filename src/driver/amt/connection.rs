//! The connection to one AMT machine: login, requests, repeats.
//!
//! It knows HTTP and WS-Management, and no class. One request at a time (`&mut`): the Digest counter needs that order,
//! and the management engine bears no more. Dropping a call before its end is allowed at any time.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, SERVER, WWW_AUTHENTICATE};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::enumeration::Open;
use super::fault::{Fault, Kind};
use super::redact::shown;
use super::wsman::{self, Output, ReplyError, Request};
use super::xml::{Instance, Value, XML_BYTES_MAX};
use super::{AmtConfig, fingerprint_of, fingerprint_text};
use crate::clock::{self, Clock, Mono};
use crate::driver::DeviceContext;
use crate::driver::digest::{self, Challenge, Claim};
use crate::driver::http::{
    Answer, Certificate, ClientConfig, Deadlines, HttpClient, HttpError, Post, RequestContext, Tls,
};
use crate::node::trust::{Proof, Protocol, Proven};

/// The two ways to speak to a machine, the one that can prove less first, as they are put on record.
pub(super) const PLAIN: (u8, &str) = (0, "WS-Man");
pub(super) const OVER_TLS: (u8, &str) = (1, "WS-Man over TLS");

/// The only target of requests.
const PATH: &str = "/wsman";

/// Requests for one answer: the first, one with a new nonce, and one more when that nonce is called stale at once.
const LOGINS_MAX: u32 = 3;

/// How long an unused connection is kept: longer than the usual poll interval, since TLS is hard work for an engine.
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(60);

/// How much a pause may differ, so that machines that went away together are not all asked at once.
const PAUSE_SWING: f64 = 0.1;

/// Longest `Server` that is kept. Real ones have some 50 characters.
const SERVER_CHARACTERS_MAX: usize = 128;

/// Longest answer that is read on the thread of the actors: less than a millisecond. Only logs and long inventories are longer.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Longest time for reading a long answer, on a thread of its own. The limits of the XML keep it far below.
const UNDERSTAND_MAX: Duration = Duration::from_secs(5);

/// The times by which the connection lives. One set but in tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// For requests.
    pub deadlines: Deadlines,
    /// Pauses before a request is repeated; as many repeats as there are pauses.
    pub pauses: [Duration; 3],
    /// No repeat is begun when a call is this old: the core ends an operation at 45 s.
    pub call: Duration,
}

impl Timing {
    /// What real machines need. 10 s is what other clients wait for an answer; an engine that has to wake up first is slow
    /// to connect, and answers the repeat.
    pub(crate) const MACHINE: Timing = Timing {
        deadlines: Deadlines { connect: Duration::from_secs(5), exchange: Duration::from_secs(10) },
        pauses: [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)],
        call: Duration::from_secs(15),
    };
}

/// Whether a request may be sent again when it is not known what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Reading, and writing the same again.
    Safe,
    /// Reading by a caller that asks again later and has other things to ask first. It is sent again only on a new
    /// connection, when the one that was kept had been closed.
    Later,
    /// Power requests and the like. It is sent again only if the machine surely has not taken it: there was no
    /// connection, or it asked for a login.
    Never,
}

/// A login that the machine has asked for.
struct Login {
    challenge: Challenge,
    /// Requests with this nonce.
    count: u32,
}

/// The connection to one machine.
pub(crate) struct WsMan {
    config: AmtConfig,
    pub(super) context: DeviceContext,
    timing: Timing,
    /// Made at the first request, since it reads the certificates of the system when it is to verify.
    client: Option<(Tls, HttpClient)>,
    login: Option<Login>,
    /// An enumeration that was not finished.
    pub(super) open: Option<Open>,
    realm: Option<String>,
    server: Option<String>,
    messages: u64,
}

impl WsMan {
    /// A connection; nothing is sent yet.
    pub(crate) fn new(config: AmtConfig, context: DeviceContext) -> WsMan {
        WsMan::with_timing(config, context, Timing::MACHINE)
    }

    /// The same with other times, for tests.
    pub(crate) fn with_timing(config: AmtConfig, context: DeviceContext, timing: Timing) -> WsMan {
        WsMan { config, context, timing, client: None, login: None, open: None, realm: None, server: None, messages: 0 }
    }

    /// The realm that the machine's last challenge named: it stays until the machine is provisioned again.
    #[cfg(test)]
    pub(crate) fn realm(&self) -> Option<&str> {
        self.realm.as_deref()
    }

    /// The last `Server` header.
    pub(crate) fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// The version in it: `16.1.25.2124`. Some firmware says none.
    pub(crate) fn server_version(&self) -> Option<&str> {
        self.server.as_deref().and_then(version_in)
    }

    /// The certificate that the machine showed, where it is not for an authority to judge.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        self.client.as_ref().and_then(|(_, client)| client.certificate())
    }

    /// Whom to trust: a certificate that is on record is as good as one that is pinned.
    fn tls(&self) -> Tls {
        let recorded = || self.context.trust.proven().certificate.as_deref().and_then(fingerprint_of);
        match self.config.tls {
            Tls::Insecure => recorded().map_or(Tls::Insecure, Tls::Pin),
            other => other,
        }
    }

    /// What the machine has shown of itself, this UUID included. Digest proves us to the machine and not the machine to us, so
    /// that in the clear it has proved nothing.
    pub(crate) fn shown(&self, uuid: Option<Uuid>) -> Proven {
        let certificate = self.certificate().filter(|certificate| certificate.proved);
        let (is_proved, (rank, name)) = match self.config.tls {
            Tls::Off => (false, PLAIN),
            Tls::Verify | Tls::Pin(_) => (true, OVER_TLS),
            Tls::Insecure => (certificate.is_some(), OVER_TLS),
        };
        Proven {
            proof: if is_proved { Proof::Answer } else { Proof::Claimed },
            protocol: Some(Protocol { rank, name: name.into() }),
            uuid,
            certificate: certificate.map(|certificate| fingerprint_text(certificate.fingerprint)),
            realm: self.realm.clone(),
            ..Proven::default()
        }
    }

    /// Whether nodes.yaml names another machine than the one with this UUID.
    pub(crate) fn names_another(&self, uuid: Option<Uuid>) -> bool {
        self.config.uuid.is_some_and(|named| uuid.is_some_and(|uuid| uuid != named))
    }

    fn distrust(&self, what: &str) -> Fault {
        Fault::new(Kind::Distrusted, self.context.trust.distrust(what).text)
    }

    /// The gate, the meters and the clock that it was made with.
    pub(crate) fn context(&self) -> &DeviceContext {
        &self.context
    }

    /// Drops the connection and the login.
    pub(crate) fn forget(&mut self) {
        self.client = None;
        self.login = None;
        self.open = None;
    }

    /// Reads one instance; without selectors the only one. `op` is what the meters call it.
    pub(crate) async fn get(
        &mut self,
        op: &'static str,
        class: &str,
        selectors: &[(&str, &str)],
    ) -> Result<Instance, Fault> {
        let envelope = self.request(class, selectors).get();
        self.call(op, "Get", Repeat::Safe, envelope, wsman::instance).await
    }

    /// Reads the only instance of a class, once.
    pub(crate) async fn get_once(&mut self, op: &'static str, class: &str) -> Result<Instance, Fault> {
        let envelope = self.request(class, &[]).get();
        let instance = self.call(op, "Get", Repeat::Later, envelope, wsman::instance).await?;
        let is_other =
            || Fault::new(Kind::InvalidResponse, format!("the machine answers with an instance of {}", instance.class));
        if instance.class == class { Ok(instance) } else { Err(is_other()) }
    }

    /// Writes an instance whole, usually one that was read and changed.
    pub(crate) async fn put(
        &mut self,
        op: &'static str,
        instance: &Instance,
        selectors: &[(&str, &str)],
    ) -> Result<(), Fault> {
        let envelope = self.request(&instance.class, selectors).put(instance);
        self.call(op, "Put", Repeat::Safe, envelope, wsman::done).await
    }

    /// Calls a method, whatever it returns.
    pub(crate) async fn invoke(
        &mut self,
        op: &'static str,
        class: &str,
        method: &'static str,
        parameters: &[(&str, Value)],
        repeat: Repeat,
    ) -> Result<Output, Fault> {
        let envelope = self.request(class, &[]).invoke(method, parameters);
        self.call(op, method, repeat, envelope, move |reply| wsman::output(reply, method)).await
    }

    pub(super) fn request<'a>(&mut self, class: &'a str, selectors: &'a [(&'a str, &'a str)]) -> Request<'a> {
        self.messages += 1;
        Request { class, selectors, message_id: self.messages }
    }

    /// Sends a request, repeats it where that helps and is allowed, and reads the answer.
    pub(super) async fn call<T: Send + 'static>(
        &mut self,
        op: &'static str,
        step: &'static str,
        repeat: Repeat,
        envelope: String,
        read: impl Fn(&[u8]) -> Result<T, ReplyError> + Copy + Send + 'static,
    ) -> Result<T, Fault> {
        let mut patience = self.patience();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let context = Step { op, step, repeat, attempt };
            let said = match self.log_in_and_send(context, &envelope).await {
                Ok(answer) => understand(&self.context.clock, answer, read).await,
                Err(fault) => Err(fault),
            };
            let fault = match said {
                Ok(said) => return Ok(said),
                Err(fault) => fault,
            };
            self.context.exchange_log.remark(&fault.text);
            let again = match repeat {
                Repeat::Safe => fault.is_passing(),
                Repeat::Never => fault.kind == Kind::Unreachable,
                Repeat::Later => false,
            };
            if !again || !patience.rest(&self.context.clock).await {
                return Err(fault);
            }
        }
    }

    pub(super) fn patience(&self) -> RetryBudget {
        let Timing { pauses, call, .. } = self.timing;
        RetryBudget { pauses: pauses.into_iter(), until: self.context.clock.now().mono + call }
    }

    /// Sends a request with the login that is known, and with a new one when the machine asks for it.
    async fn log_in_and_send(&mut self, step: Step, envelope: &str) -> Result<Answer, Fault> {
        let mut nonce_is_fresh = false;
        for _ in 0..LOGINS_MAX {
            let is_logged_in = self.login.is_some();
            let answer = self.send(step, envelope).await?;
            if answer.status == 200 && !is_logged_in {
                return Err(Fault::new(Kind::UnsupportedProtocol, NO_LOGIN));
            }
            if answer.status != 401 {
                return Ok(answer);
            }
            // Only the header counts: firmware sends one page with every 401, the first challenge included.
            self.login = None;
            let challenge = challenge_in(&answer)?;
            self.realm = Some(challenge.realm.clone());
            if let Some(known) = self.context.trust.proven().realm.filter(|known| *known != challenge.realm) {
                return Err(self.distrust(&format!("its Digest realm is {}, and before {known}", challenge.realm)));
            }
            if nonce_is_fresh && !challenge.stale {
                return Err(Fault::new(Kind::Auth, WRONG_CREDENTIALS));
            }
            self.context.meters.handshake();
            self.login = Some(Login { challenge, count: 0 });
            nonce_is_fresh = true;
        }
        self.login = None;
        // Held like a wrong password, which is what it may be: tried on and on it would lock the account.
        Err(Fault::new(Kind::Auth, NONCES_REFUSED))
    }

    /// One exchange. Where it may be repeated, a connection that had been closed while it was not used is replaced.
    pub(super) async fn send(&mut self, step: Step, envelope: &str) -> Result<Answer, Fault> {
        let mut result = self.post(step, envelope).await?;
        if step.repeat != Repeat::Never && matches!(result, Err(HttpError::Gone(_))) {
            result = self.post(step, envelope).await?;
        }
        if let (Err(HttpError::Tls(_)), Tls::Insecure, Tls::Pin(known)) = (&result, self.config.tls, self.tls())
            && let Some(shown) = self.certificate().filter(|shown| shown.fingerprint != known)
        {
            let (shown, known) = (fingerprint_text(shown.fingerprint), fingerprint_text(known));
            return Err(self.distrust(&format!("its certificate is {shown}, and before {known}")));
        }
        let answer = result?;
        if let Some(server) = answer.headers.get(SERVER).and_then(|server| server.to_str().ok()) {
            self.server = Some(server.chars().take(SERVER_CHARACTERS_MAX).collect());
        }
        Ok(answer)
    }

    async fn post(&mut self, step: Step, envelope: &str) -> Result<Result<Answer, HttpError>, Fault> {
        let tls = self.tls();
        if tls == Tls::Off && self.context.trust.proven().protocol.is_some_and(|known| known.rank > PLAIN.0) {
            return Err(self.distrust("it is to be asked in the clear, and before over TLS"));
        }
        self.client.take_if(|(own, _)| *own != tls);
        let headers = self.headers()?;
        let (_, client) = match &mut self.client {
            Some(client) => client,
            none => none.insert((
                tls,
                HttpClient::new(&ClientConfig {
                    deadlines: self.timing.deadlines,
                    answer_bytes_max: XML_BYTES_MAX,
                    idle_max: CONNECTION_IDLE_MAX,
                    tls,
                })?,
            )),
        };
        let Step { op, step, attempt, .. } = step;
        let context = RequestContext { context: &self.context, op, step, attempt };
        let result = client.post(context, Post { url: self.config.url(PATH), headers, body: envelope.into() }).await;
        let short = |answer: &&Answer| answer.body.len() <= INLINE_BYTES_MAX;
        let answered = result.as_ref().ok().filter(short).and_then(|answer| shown(&answer.body));
        self.context.exchange_log.tell(shown(envelope.as_bytes()), answered);
        Ok(result)
    }

    /// The headers of a request; each takes the next count of the nonce.
    fn headers(&mut self) -> Result<HeaderMap, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/soap+xml;charset=UTF-8"));
        if let Some(login) = &mut self.login {
            login.count = login.count.wrapping_add(1);
            let password = self.config.password.expose_secret();
            let pending_power_on = Claim { username: &self.config.username, password, method: "POST", uri: PATH };
            let cnonce = hex::encode(clock::secret_bytes::<16>());
            let text = digest::authorization(&login.challenge, pending_power_on, login.count, &cnonce);
            let unusable = |_| Fault::new(Kind::Refused, "the user name does not fit into a header");
            let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(unusable)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }
}

/// The repeats that are left.
pub(super) struct RetryBudget {
    pauses: std::array::IntoIter<Duration, 3>,
    until: Mono,
}

impl RetryBudget {
    /// Waits before a repeat; false when there is to be none.
    pub(super) async fn rest(&mut self, clock: &Clock) -> bool {
        let pause = self.pauses.next().filter(|_| clock.now().mono < self.until);
        if let Some(pause) = pause {
            clock.sleep(clock.jitter(pause, PAUSE_SWING)).await;
        }
        pause.is_some()
    }
}

/// What a request is called, and whether it may be repeated.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub op: &'static str,
    pub step: &'static str,
    pub repeat: Repeat,
    pub attempt: u32,
}

const WRONG_CREDENTIALS: &str = "the password or the user name is wrong, or the account has no rights (or AMT has locked it \
     for a while after wrong logins: its answer is the same); correct it before it is tried again";

const NO_LOGIN: &str = "what answers there does not ask for a login, as every AMT machine does, so it is not believed; check the \
     address";

const NONCES_REFUSED: &str = "the machine refused the login and called each nonce old that it had just given; check the \
     password, and whether something between here and the machine answers in its place";

pub(super) fn challenge_in(answer: &Answer) -> Result<Challenge, Fault> {
    let headers = answer.headers.get_all(WWW_AUTHENTICATE).into_iter();
    Ok(Challenge::parse(headers.filter_map(|value| value.to_str().ok()))?)
}

/// Reads an answer. A long one is read elsewhere: this thread is that of all actors.
async fn understand<T: Send + 'static>(
    clock: &Clock,
    answer: Answer,
    read: impl Fn(&[u8]) -> Result<T, ReplyError> + Send + 'static,
) -> Result<T, Fault> {
    let length = answer.body.len();
    let work = move || read(&sort(answer)?).map_err(Fault::from);
    if length <= INLINE_BYTES_MAX {
        return work();
    }
    match clock.limit(UNDERSTAND_MAX, tokio::task::spawn_blocking(work)).await {
        Some(Ok(said)) => said,
        Some(Err(_)) | None => {
            Err(Fault::new(Kind::InvalidResponse, format!("an answer of {length} bytes cannot be read")))
        }
    }
}

/// The body of a good answer, or what another status means.
pub(super) fn sort(answer: Answer) -> Result<Vec<u8>, Fault> {
    let Answer { status, body, .. } = answer;
    if status == 200 {
        return Ok(body);
    }
    if let Some(fault) = wsman::fault(&body) {
        return Err(ReplyError::Fault(fault).into());
    }
    Err(match status {
        429 | 503 => Fault::new(Kind::Busy, format!("the management engine has no time (HTTP {status})")),
        300..=399 | 404 | 405 => {
            let text = format!("HTTP {status}: no WS-Management there; check the address and the port");
            Fault::new(Kind::UnsupportedProtocol, text)
        }
        _ => Fault::new(Kind::InvalidResponse, format!("the machine answered HTTP {status} without a SOAP fault")),
    })
}

/// The version in `Intel(R) Active Management Technology 15.0.23.1706`; some firmware says only `AMT`.
pub(super) fn version_in(server: &str) -> Option<&str> {
    server.rsplit(' ').find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
}
