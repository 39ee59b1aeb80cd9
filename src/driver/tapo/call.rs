//! One call to a plug: the only user of its connection while it lasts, and what is done when a request fails.
//!
//! It knows neither the methods nor the variants: a request goes in as JSON, and the answer comes out as JSON. Which
//! failures are worth another attempt within the call, and how many, is decided here and nowhere else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::MutexGuard;
use tracing::{info, warn};

use super::connection::{Connection, DeviceCache, HTTP_PORT, Loss, State, Timing};
use super::fault::{Fault, Kind};
use super::search::Lost;
use super::smart::DeviceInfo;
use super::transport::{self, Session};
use super::wire::{Endpoint, Wire};
use crate::clock::{Clock, Mono};
use crate::driver::DeviceContext;
use crate::driver::http::HttpError;
use crate::node::NodeId;
use crate::node::device::{DeviceError, FailureClass, Notice};
use crate::node::trust::{Proof, Proven, TrustRecord};

/// Logins begun in one call before it gives up: one that is lost on the way says nothing of the plug.
const LOGINS_MAX: u32 = 3;
/// Logins after a lost session, in [`RELOGIN_WINDOW`]. Two clients that steal from each other would else keep the plug
/// busy with nothing but logins.
const RELOGINS_MAX: usize = 6;
/// See [`RELOGINS_MAX`].
const RELOGIN_WINDOW: Duration = Duration::from_secs(60);
/// Calls in a row in which credentials that were right once were not: then they are wrong.
const DISPROVED_MAX: u32 = 3;
/// Sessions that were lost before another client is suspected: a plug that restarts loses one as well.
const TAKEOVERS_TOLD: usize = 2;
/// How long a taken session is told of.
const TAKEOVER_WINDOW: Duration = Duration::from_secs(3600);
/// Taken sessions that are remembered: 6 in each minute of the window are the most there can be.
const TAKEOVERS_MAX: usize = 360;

impl Connection {
    /// Begins a call: waits until no other outlet of the strip is being served. `tries` is how often the call may
    /// send its request when an answer is lost.
    pub(super) async fn begin(
        &self,
        context: DeviceContext,
        op: &'static str,
        tries: u32,
    ) -> Result<Call<'_>, DeviceError> {
        let refused = |error: &HttpError| DeviceError::new(FailureClass::Refused, error.to_string());
        let http = self.http.as_ref().map_err(refused)?.clone();
        let mut state = self.state.lock().await;
        let now = context.clock.now().mono;
        // Taken out: a call that is dropped half-way leaves no session behind.
        let forget = self.forget.swap(false, Ordering::Relaxed);
        let session = state.session.take().filter(|session| !forget && !session.is_old(now));
        let wire = Wire::new(http, context, state.place.clone(), op);
        let give_up = now + self.timing.call;
        let budget =
            Budget { tries, logins: LOGINS_MAX, doubt: true, relogin: true, rest: true, search: true, give_up };
        Ok(Call { connection: self, state, session, wire, budget, in_login: false, spoiled: false })
    }
}

/// What a call may still do about failures.
struct Budget {
    tries: u32,
    logins: u32,
    doubt: bool,
    relogin: bool,
    rest: bool,
    search: bool,
    give_up: Mono,
}

/// One call: the only user of the connection while it lasts.
pub(super) struct Call<'a> {
    connection: &'a Connection,
    state: MutexGuard<'a, State>,
    session: Option<Session>,
    wire: Wire,
    budget: Budget,
    in_login: bool,
    spoiled: bool,
}

fn no_session() -> Fault {
    Fault::new(Kind::SessionGone { taken: false }, "there is no session")
}

impl Call<'_> {
    /// The times.
    pub(super) fn timing(&self) -> &Timing {
        &self.connection.timing
    }

    /// Now.
    pub(super) fn now(&self) -> Mono {
        self.clock().now().mono
    }

    fn clock(&self) -> &Clock {
        &self.wire.context.clock
    }

    /// What the plug said of itself.
    pub(super) fn plug(&mut self) -> &mut DeviceCache {
        &mut self.state.plug
    }

    /// The variant in use.
    pub(super) fn protocol(&self) -> Option<&'static str> {
        self.session.as_ref().map(Session::protocol)
    }

    /// The node that the call is for.
    pub(super) fn node(&self) -> &NodeId {
        &self.wire.context.node
    }

    /// Where the plug is, for words.
    fn host(&self) -> &str {
        &self.wire.place.host
    }

    /// Sends a request, after a login if there is no session.
    pub(super) async fn exchange(&mut self, request: &Value) -> Result<Value, Fault> {
        self.log_in().await?;
        match self.session.as_mut() {
            Some(session) => session.exchange(&mut self.wire, request).await,
            None => Err(no_session()),
        }
    }

    /// Logs in if there is no session.
    pub(super) async fn log_in(&mut self) -> Result<(), Fault> {
        if self.session.is_some() {
            return Ok(());
        }
        let now = self.now();
        if let Some(loss) = self.state.lost.clone() {
            forget_before(&mut self.state.relogins, now, RELOGIN_WINDOW);
            if self.state.relogins.len() >= RELOGINS_MAX {
                let text = format!("the session was lost {RELOGINS_MAX} times in the last minute: {}", loss.text);
                let text = if loss.taken { format!("{text}; {ANOTHER_CLIENT}; {ONE_OWNER}") } else { text };
                return Err(Fault::new(Kind::SessionGone { taken: loss.taken }, text));
            }
            self.state.relogins.push_back(now);
        }
        self.in_login = true;
        let rules = self.connection.rules(&self.wire.context.trust, self.is_elsewhere());
        let login = transport::log_in(&mut self.wire, &self.connection.account, &mut self.state.hint, &rules).await;
        let session = self.session.insert(login?);
        session.took = self.state.took;
        self.in_login = false;
        self.state.lost = None;
        self.state.proven = true;
        self.state.disproved = 0;
        // The plug may have been restarted with another firmware.
        self.state.plug.strip = None;
        Ok(())
    }

    /// It looks for the plug where discovery says that it is.
    fn is_elsewhere(&self) -> bool {
        self.wire.place.host != self.connection.host
    }

    /// Whether it still has to be seen, in this session, that this is the node's plug.
    pub(super) fn needs_vouching(&self) -> bool {
        let shown = self.session.as_ref().and_then(|session| session.shown.as_ref());
        !shown.is_some_and(|shown| self.wire.context.trust.covers(shown))
    }

    /// Takes in who the plug says it is, and puts on record what it proved. After this the session may be relied on.
    pub(super) async fn verify_identity(
        &mut self,
        info: &DeviceInfo,
        device_id: Option<String>,
    ) -> Result<Arc<TrustRecord>, Fault> {
        let theirs = info.mac.map_or_else(|| "without a MAC address".into(), |mac| mac.to_string());
        if let Some(ours) = self.connection.mac.get().filter(|ours| Some(**ours) != info.mac) {
            let text = format!("another plug ({theirs}) is at {} now, not {ours}", self.host());
            return Err(Fault::new(Kind::WrongDevice, text));
        }
        let trust = self.wire.context.trust.clone();
        if info.mac.is_none() && trust.proven().mac.is_some() {
            return Err(trust.distrust("it shows no MAC address, and before it did").into());
        }
        let Some(session) = self.session.as_mut() else { return Err(no_session()) };
        let (proof, protocol) = (session.proof(), session.proven());
        let shown = Proven { proof, protocol, mac: info.mac, device_id, ..Proven::default() };
        session.shown = Some(shown.clone());
        let record = trust.prove(&shown).await?;
        // Only now: where discovery says that the plug is was a claim.
        self.state.place = self.wire.place.clone();
        Ok(record)
    }

    /// Takes in which outlet of the strip is the node's.
    pub(super) async fn vouch_outlet(&mut self, device_id: &str) -> Result<Arc<TrustRecord>, Fault> {
        let shown = self.session.as_ref().and_then(|session| session.shown.clone()).ok_or_else(no_session)?;
        let shown = Proven { device_id: Some(device_id.to_owned()), ..shown };
        Ok(self.wire.context.trust.prove(&shown).await?)
    }

    /// How the answers of the session are proved.
    pub(super) fn proof(&self) -> Proof {
        self.session.as_ref().map(Session::proof).unwrap_or_default()
    }

    /// The session cannot be used after this call: a question that concerns itself alone was not answered in it.
    pub(super) fn spoil(&mut self) {
        self.spoiled = true;
    }

    /// Ends the call well: the session is kept for the next.
    pub(super) fn end(mut self) {
        self.state.session = self.session.take().filter(|_| !self.spoiled);
    }

    /// Does what can be done about a failure. `Ok`: try again. `Err`: the call is over.
    pub(super) async fn recover(&mut self, fault: Fault) -> Result<(), DeviceError> {
        let fault = self.at_its_place(fault);
        self.wire.context.exchange_log.remark(&fault.text);
        let over = fault.keeps_session() || self.now() >= self.budget.give_up;
        if fault.keeps_session() {
            self.state.session = self.session.take();
        }
        let mut session = self.session.take();
        let in_login = std::mem::take(&mut self.in_login);
        if fault.kind == Kind::Unanswered && !in_login {
            self.session = session.take_if(|session| session.may_live());
        }
        let again = match fault.kind {
            Kind::SessionGone { taken } => self.note_loss(session, taken, &fault.text),
            _ if over => false,
            Kind::Unreachable | Kind::WrongDevice => self.search(&fault).await,
            Kind::LoginUnconfirmed if !self.state.proven => false,
            Kind::Unanswered | Kind::InvalidResponse | Kind::LoginUnconfirmed if in_login => {
                spend(&mut self.budget.logins)
            }
            Kind::Unanswered | Kind::InvalidResponse | Kind::LoginUnconfirmed => spend(&mut self.budget.tries),
            Kind::ProofMismatch => std::mem::take(&mut self.budget.doubt),
            Kind::Busy { flooded } => self.rest(flooded).await,
            Kind::UnsupportedProtocol
            | Kind::Code(_)
            | Kind::Refused
            | Kind::Distrusted
            | Kind::Unrecorded
            | Kind::Auth
            | Kind::Locked => false,
        };
        if !again {
            let kept = self.session.take().or(self.state.session.take());
            // A session at a place that is not believed yet is of no use at the other one.
            self.state.session = kept.filter(|_| self.wire.place == self.state.place);
        }
        match fault.kind {
            _ if again => Ok(()),
            Kind::SessionGone { .. } if self.state.lost.as_ref().is_some_and(|loss| loss.taken) => {
                let said = fault.text.contains(ANOTHER_CLIENT);
                let text = if said { fault.text } else { format!("{}: {ANOTHER_CLIENT}; {ONE_OWNER}", fault.text) };
                Err(DeviceError::new(FailureClass::Busy, text))
            }
            Kind::SessionGone { .. } => Err(DeviceError::new(FailureClass::Protocol, fault.text)),
            Kind::ProofMismatch if self.is_doubtful() => {
                let text = "the plug does not know the account that was right before: its answer was damaged, or the \
                     password of the TP-Link account was changed";
                Err(DeviceError::new(FailureClass::Protocol, text))
            }
            _ => Err(fault.into_device_error()),
        }
    }

    /// Credentials that were right once are not given up for one damaged answer.
    fn is_doubtful(&mut self) -> bool {
        self.state.disproved += 1;
        self.state.proven && self.state.disproved < DISPROVED_MAX
    }

    /// Where discovery says that the plug is may be anything: it is no fault of the plug's when it does not let us in
    /// there, and none that its credentials or its record have part in.
    fn at_its_place(&self, fault: Fault) -> Fault {
        let host = &self.wire.place.host;
        let claimed = *host != self.state.place.host;
        match fault.kind {
            Kind::Auth | Kind::ProofMismatch | Kind::Locked | Kind::Distrusted if claimed => {
                let text = format!(
                    "the plug does not answer at {}, and what answers at {host}, where discovery says it is, does not \
                     prove that it is the plug: {}",
                    self.state.place.host, fault.text
                );
                Fault::new(Kind::Unreachable, text)
            }
            _ => fault,
        }
    }

    /// One login more for one lost session in a call: more of them would be a fight with another client.
    fn note_loss(&mut self, session: Option<Session>, taken: bool, text: &str) -> bool {
        let now = self.now();
        let answered = session.as_ref().is_some_and(|session| session.used);
        let fought_over = self.state.takeovers.back().is_some_and(|at| now.since(*at) < RELOGIN_WINDOW);
        let taken = taken && (answered || fought_over);
        // Without a session it was the login in its place that did not come about: it was lost as before.
        if session.is_some() || self.state.lost.is_none() {
            self.state.lost = Some(Loss { taken, text: text.into() });
        }
        self.state.took = session.as_ref().map_or(self.state.took, |session| session.took);
        if taken && answered {
            forget_before(&mut self.state.takeovers, now, TAKEOVER_WINDOW);
            self.state.takeovers.truncate(TAKEOVERS_MAX);
            self.state.takeovers.push_back(now);
            let times = self.state.takeovers.len();
            if times.is_power_of_two() {
                warn!(node = %self.wire.context.node, times, "{ANOTHER_CLIENT}: it took the session");
            }
        }
        now < self.budget.give_up && std::mem::take(&mut self.budget.relogin)
    }

    async fn rest(&mut self, flooded: bool) -> bool {
        let timing = self.timing();
        let rest = if flooded { timing.long_rest } else { timing.rest };
        let again = std::mem::take(&mut self.budget.rest);
        if again {
            self.clock().sleep(rest).await;
        }
        again
    }

    /// Wakes the plug, or finds out where it is now. Once in a call.
    async fn search(&mut self, fault: &Fault) -> bool {
        if !std::mem::take(&mut self.budget.search) {
            return false;
        }
        let stranger = fault.kind == Kind::WrongDevice;
        let Connection { host, mac, discovery_port, port, searches, timing, .. } = self.connection;
        let old = self.wire.place.clone();
        let context = &self.wire.context;
        let lost = Lost {
            host: &old.host,
            home: host,
            port: *discovery_port,
            mac: mac.get().copied(),
            // A plug that answers now was not asleep.
            elsewhere: stranger,
        };
        let seen = searches.seek(context, &lost, timing).await;
        let Some(seen) = seen else { return !stranger };
        let place = Endpoint { host: seen.host.unwrap_or(old.host), port: port.or(seen.port).unwrap_or(HTTP_PORT) };
        if place.host != self.wire.place.host {
            let (node, from, to) = (&context.node, &self.wire.place.host, &place.host);
            warn!(%node, %from, %to, "the plug has moved to another address");
        } else if place.port != self.wire.place.port {
            info!(node = %context.node, port = place.port, "the plug listens on another port");
        }
        self.wire.place = place;
        true
    }

    /// What is odd but no failure.
    pub(super) fn notices(&mut self) -> Vec<Notice> {
        let now = self.now();
        forget_before(&mut self.state.takeovers, now, TAKEOVER_WINDOW);
        let mut notices = Vec::new();
        let times = self.state.takeovers.len();
        if times >= TAKEOVERS_TOLD {
            let text = format!("{ANOTHER_CLIENT}: it took the session {times} times in the last hour; {ONE_OWNER}");
            notices.push(Notice { key: "session-taken", text });
        }
        if self.session.as_ref().is_some_and(Session::unbound) {
            let text = "the plug is not bound to the account: it took a factory login; add it in the Tapo app".into();
            notices.push(Notice { key: "not-bound", text });
        }
        if self.proof() == Proof::Login {
            let text = "the plug does not sign its answers: a host between it and plugfish could alter them, so that its \
                        \"off\" is no proof for a fence";
            notices.push(Notice { key: "unsigned", text: text.into() });
        }
        let (old, new) = (&self.connection.host, &self.wire.place.host);
        if old != new {
            let text =
                format!("the plug has moved from {old} to {new}; correct nodes.yaml, or give it a fixed address");
            notices.push(Notice { key: "moved", text });
        }
        notices
    }
}

const ANOTHER_CLIENT: &str = "another client uses this plug";
const ONE_OWNER: &str = "give each plug one owner";

fn spend(left: &mut u32) -> bool {
    *left = left.saturating_sub(1);
    *left > 0
}

fn forget_before(moments: &mut VecDeque<Mono>, now: Mono, window: Duration) {
    while moments.front().is_some_and(|moment| now.since(*moment) > window) {
        moments.pop_front();
    }
}
