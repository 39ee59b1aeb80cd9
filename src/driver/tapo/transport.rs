//! Which variant a plug speaks: found out again at every login, here and nowhere else.
//!
//! A plug changes its variant in the field, by a firmware update or by a switch in the app. So what the last login
//! found is only a hint for the order in which the variants are tried. It never goes below what the plug has proved
//! before ([`Rules`]). It knows no method of the plug.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tracing::debug;

use super::fault::{Fault, Kind, WRONG_CREDENTIALS};
use super::redact::shown;
use super::wire::Wire;
use super::{Account, TapoProtocol, klap, passthrough, tpap};
use crate::clock::Mono;
use crate::node::MacAddress;
use crate::node::trust::{DeviceTrust, Proof, Protocol, Proven};

/// A session is renewed after this long at the latest. Plugs say a day, but other clients that work renew so early.
pub(super) const SESSION_MAX: Duration = Duration::from_secs(20 * 60);

/// A session that lives shorter is renewed a tenth of its life before its end, so that no request meets it.
const RENEWAL_SHARE: u32 = 10;

/// What a login must keep to, whatever the plug says.
pub(super) struct Rules {
    /// The protocols that nodes.yaml allows.
    pub protocols: Vec<TapoProtocol>,
    /// What the plug proved before: the rank of its protocol, and whether it knows the account.
    pub rank: u8,
    /// See `rank`.
    pub proof: Proof,
    /// nodes.yaml allows the accounts of plugs that are not bound.
    pub factory: bool,
    /// The MAC address that the plug has by nodes.yaml.
    pub mac: Option<MacAddress>,
    /// The one that it showed before.
    pub shown_mac: Option<MacAddress>,
    /// The address was learned from a datagram, which any host can forge.
    pub learned: bool,
    /// Whose record it is.
    pub trust: Arc<DeviceTrust>,
}

#[cfg(any(test, fuzzing))]
impl Rules {
    /// The rules of a plug of which nothing is known, and that may be anything.
    pub(super) fn of_first_contact(clock: crate::clock::Clock) -> Rules {
        let node = crate::node::NodeId::try_from("n".to_owned()).unwrap_or_else(|error| unreachable!("{error}"));
        Rules {
            protocols: TapoProtocol::ALL.to_vec(),
            rank: 0,
            proof: Proof::Claimed,
            factory: true,
            mac: None,
            shown_mac: None,
            learned: false,
            trust: Arc::new(DeviceTrust::volatile(node, clock)),
        }
    }
}

impl Rules {
    /// Whether the plug may be asked in this protocol.
    fn allow(&self, protocol: TapoProtocol) -> Result<(), Fault> {
        let name = protocol.name();
        if protocol.rank() < self.rank {
            let what = format!("it takes no login in what it spoke before, and {name} is less");
            return Err(self.trust.distrust(&what).into());
        }
        if !self.protocols.contains(&protocol) {
            let may: Vec<&str> = self.protocols.iter().map(|protocol| protocol.name()).collect();
            let text = format!("the plug takes no login in {}, and nodes.yaml allows nothing else", may.join(" or "));
            return Err(Fault::new(Kind::Refused, text));
        }
        if self.learned && protocol == TapoProtocol::Passthrough {
            let text = format!(
                "its address was learned by discovery, and {name} would send the password of the account there without \
                 knowing who it is; correct the address in nodes.yaml"
            );
            return Err(Fault::new(Kind::Refused, text));
        }
        Ok(())
    }

    /// Whether a login that any host can make may be used.
    pub(super) fn allow_factory(&self) -> Result<(), Fault> {
        if self.proof > Proof::Claimed {
            return Err(self.trust.distrust("it offers a factory login, and before it proved the account").into());
        }
        if !self.factory {
            let text = "the plug is not bound to the TP-Link account and offers a factory login, which any host could \
                        offer as well; add the plug in the Tapo app, or write \"factory: true\" in nodes.yaml";
            return Err(Fault::new(Kind::Refused, text));
        }
        Ok(())
    }

    /// Whether what says that it has this MAC address may be the plug.
    pub(super) fn is_own(&self, mac: Option<MacAddress>) -> Result<(), Fault> {
        match (self.mac, self.shown_mac, mac) {
            (Some(ours), _, Some(theirs)) if ours != theirs => {
                Err(Fault::new(Kind::WrongDevice, format!("another plug ({theirs}) answers, not {ours}")))
            }
            (None, Some(ours), Some(theirs)) if ours != theirs => {
                Err(self.trust.distrust(&format!("its MAC address is {theirs}, and before {ours}")).into())
            }
            _ => Ok(()),
        }
    }
}

/// What the login before found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Hint {
    /// Nothing yet, or it was wrong.
    #[default]
    None,
    /// KLAP.
    Klap,
    /// securePassthrough with this form of the login.
    Passthrough(passthrough::Form),
    /// TPAP with these terms.
    Tpap(tpap::Terms),
}

/// A login that both sides agreed on.
pub(super) struct Session {
    variant: Variant,
    expires: Mono,
    /// The plug has answered in it, so when it goes it was taken.
    pub used: bool,
    /// What the plug showed in it, once its identity was read.
    pub shown: Option<Proven>,
    /// Requests in a row that were not answered: it is not known whether the plug has taken their numbers.
    unsure: u32,
    /// The guess: a plug that does not answer has taken the number of the request all the same. A refusal corrects it,
    /// and the next session begins with it.
    pub took: bool,
}

/// Unanswered requests in a row after which a session is given up. A plug that restarted says that it does not know the
/// session; one that says nothing at all would not take a login either, which is two to four requests.
const UNSURE_MAX: u32 = 6;

enum Variant {
    Klap(klap::Session),
    Passthrough(passthrough::Session),
    Tpap(tpap::Session),
}

impl Session {
    fn new(wire: &Wire, variant: Variant) -> Session {
        let timeout = match &variant {
            Variant::Klap(session) => session.timeout(),
            Variant::Passthrough(session) => session.timeout(),
            Variant::Tpap(session) => session.timeout,
        };
        let life = timeout.map_or(SESSION_MAX, |timeout| SESSION_MAX.min(timeout - timeout / RENEWAL_SHARE));
        Session {
            variant,
            expires: wire.context.clock.now().mono + life,
            used: false,
            shown: None,
            unsure: 0,
            took: false,
        }
    }

    /// Whether it is better to log in again.
    pub(super) fn is_old(&self, now: Mono) -> bool {
        now >= self.expires
    }

    /// What `DeviceIdentity` calls the variant.
    pub(super) const fn protocol(&self) -> &'static str {
        match &self.variant {
            Variant::Klap(session) => session.version.name(),
            Variant::Passthrough(_) => "securePassthrough",
            Variant::Tpap(_) => "TPAP",
        }
    }

    /// The plug took a factory login: it is not bound to the account.
    pub(super) const fn unbound(&self) -> bool {
        match &self.variant {
            Variant::Klap(session) => session.unbound,
            Variant::Tpap(session) => session.unbound,
            Variant::Passthrough(_) => false,
        }
    }

    /// How what is answered in it is proved.
    pub(super) const fn proof(&self) -> Proof {
        match &self.variant {
            Variant::Klap(session) => session.proof(),
            Variant::Tpap(session) => session.proof(),
            Variant::Passthrough(_) => Proof::Claimed,
        }
    }

    /// What it proves of the protocol; nothing when any host could have made the login.
    pub(super) fn proven(&self) -> Option<Protocol> {
        let protocol = match &self.variant {
            _ if self.unbound() => return None,
            Variant::Klap(_) => TapoProtocol::Klap,
            Variant::Passthrough(_) => TapoProtocol::Passthrough,
            Variant::Tpap(_) => TapoProtocol::Tpap,
        };
        Some(protocol.named(self.protocol()))
    }

    /// Whether it is worth going on with it after an answer that did not come.
    pub(super) const fn may_live(&self) -> bool {
        self.unsure < UNSURE_MAX
    }

    /// Sends a request and returns the JSON of the answer, with whatever `error_code`.
    ///
    /// After an answer that did not come the plug may still wait for the number of that request, or for the next one: the
    /// likelier one is sent, and the other one when the plug refuses it.
    pub(super) async fn exchange(&mut self, wire: &mut Wire, request: &Value) -> Result<Value, Fault> {
        let open = self.unsure > 0 && (self.took || self.go_back(1));
        let mut answer = self.send(wire, request).await;
        let refused = matches!(&answer, Err(fault) if matches!(fault.kind, Kind::SessionGone { .. }));
        if open && refused {
            self.took = !self.took;
            if self.took || self.go_back(2) {
                answer = self.send(wire, request).await;
            }
        }
        match &answer {
            Err(fault) if fault.kind == Kind::Unanswered => self.unsure += 1,
            _ => self.unsure = 0,
        }
        answer
    }

    /// Goes back in the numbers of requests, where the variant has some that may be used twice: KLAP's is part of an IV.
    /// TPAP's is a nonce, which must not be; securePassthrough has none.
    fn go_back(&mut self, numbers: i32) -> bool {
        match &mut self.variant {
            Variant::Klap(session) => {
                session.go_back(numbers);
                true
            }
            Variant::Passthrough(_) | Variant::Tpap(_) => false,
        }
    }

    async fn send(&mut self, wire: &mut Wire, request: &Value) -> Result<Value, Fault> {
        wire.clear = Some(shown(request));
        let answer = match &mut self.variant {
            Variant::Klap(session) => session.exchange(wire, request).await,
            Variant::Passthrough(session) => session.exchange(wire, request).await,
            Variant::Tpap(session) => session.exchange(wire, request).await,
        };
        wire.clear = None;
        let answer = answer?;
        wire.context.exchange_log.tell(None, Some(shown(&answer)));
        if !answer.is_object() {
            return Err(Fault::new(Kind::SessionGone { taken: false }, "the answer is no JSON object"));
        }
        self.used = true;
        Ok(answer)
    }
}

/// Logs in with the variant that the plug speaks now, if the rules allow it.
pub(super) async fn log_in(
    wire: &mut Wire,
    account: &Account,
    hint: &mut Hint,
    rules: &Rules,
) -> Result<Session, Fault> {
    wire.context.meters.handshake();
    let outer = std::mem::replace(&mut wire.op, "login");
    let result = match by_hint(wire, account, hint, rules).await {
        Ok(Some(variant)) => Ok(variant),
        Ok(None) => negotiate(wire, account, hint, rules).await,
        Err(fault) => Err(fault),
    };
    wire.op = outer;
    let session = Session::new(wire, result?);
    debug!(node = %wire.context.node, protocol = session.protocol(), "logged in");
    Ok(session)
}

/// Tries first what the last login found. `None`: the plug speaks something else now, or must.
async fn by_hint(wire: &mut Wire, account: &Account, hint: &mut Hint, rules: &Rules) -> Result<Option<Variant>, Fault> {
    match hint {
        // Negotiation begins with KLAP anyway.
        Hint::None | Hint::Klap => Ok(None),
        Hint::Tpap(terms) if rules.allow(TapoProtocol::Tpap).is_ok() => {
            match tpap::log_in(wire, account, terms, rules).await? {
                tpap::Login::Session(session) => Ok(Some(Variant::Tpap(session))),
                tpap::Login::Other(_) => Ok(None),
            }
        }
        Hint::Passthrough(form) if rules.allow(TapoProtocol::Passthrough).is_ok() => {
            match passthrough::greet(wire).await? {
                passthrough::Greeting::Hello(hello) => {
                    let (variant, form) = through(wire, account, hello, *form).await?;
                    *hint = Hint::Passthrough(form);
                    Ok(Some(variant))
                }
                passthrough::Greeting::Other(_) => Ok(None),
            }
        }
        Hint::Tpap(_) | Hint::Passthrough(_) => Ok(None),
    }
}

/// KLAP, which most plugs speak and which tells most with one request; then what its answer points to. The plug is asked
/// in what proves nothing only when it knows nothing else.
async fn negotiate(wire: &mut Wire, account: &Account, hint: &mut Hint, rules: &Rules) -> Result<Variant, Fault> {
    let was_klap = std::mem::take(hint) == Hint::Klap || rules.rank == TapoProtocol::Klap.rank();
    if rules.allow(TapoProtocol::Klap).is_err() && rules.allow(TapoProtocol::Passthrough).is_err() {
        return tpap_alone(wire, account, hint, rules).await;
    }
    let (to_klap, odd) = match klap_greeting(wire, account, rules).await? {
        klap::Greeting::Hello(hello) => return by_klap(wire, hint, hello).await,
        klap::Greeting::Forbidden => return without_third_parties(wire, account, hint, rules).await,
        // Garbage from a plug that spoke KLAP a while ago says nothing about its variant yet.
        klap::Greeting::Odd(words) if was_klap => {
            return Err(Fault::garbled(format!("handshake1 brought {words}")));
        }
        klap::Greeting::Odd(words) => (words, true),
        klap::Greeting::Other(words) => (words, false),
    };
    let to_tpap = match tpap::probe(wire).await {
        Ok(tpap::Probe::Terms(terms)) => return by_tpap(wire, account, hint, terms, rules).await,
        Ok(tpap::Probe::Klap) => "that it wants KLAP".into(),
        Ok(tpap::Probe::Other(words)) => words,
        // Old plugs may bear no such question.
        Err(fault) if matches!(fault.kind, Kind::InvalidResponse | Kind::Unanswered) => fault.text,
        Err(fault) => return Err(fault),
    };
    rules.allow(TapoProtocol::Passthrough)?;
    let to_passthrough = match passthrough::greet(wire).await? {
        passthrough::Greeting::Hello(hello) => {
            let (variant, form) = through(wire, account, hello, passthrough::Form::V1).await?;
            *hint = Hint::Passthrough(form);
            return Ok(variant);
        }
        passthrough::Greeting::Other(words) => words,
    };
    let text = format!(
        "no way to log in: handshake1 (KLAP) brought {to_klap}, discover (TPAP) {to_tpap}, handshake \
         (securePassthrough) {to_passthrough}; check that the address is that of a Tapo plug, and that in the Tapo app \
         Third-Party Compatibility is on"
    );
    Err(Fault::new(if odd { Kind::InvalidResponse } else { Kind::UnsupportedProtocol }, text))
}

/// The first half of KLAP, where it is allowed; else it counts as not spoken.
async fn klap_greeting(wire: &mut Wire, account: &Account, rules: &Rules) -> Result<klap::Greeting, Fault> {
    match rules.allow(TapoProtocol::Klap) {
        Ok(()) => klap::greet(wire, account, rules).await,
        Err(fault) => Ok(klap::Greeting::Other(fault.text)),
    }
}

/// Nothing but TPAP may be used.
async fn tpap_alone(wire: &mut Wire, account: &Account, hint: &mut Hint, rules: &Rules) -> Result<Variant, Fault> {
    let words = match tpap::probe(wire).await? {
        tpap::Probe::Terms(terms) => return by_tpap(wire, account, hint, terms, rules).await,
        tpap::Probe::Klap => {
            rules.allow(TapoProtocol::Klap)?;
            "that it wants KLAP".into()
        }
        tpap::Probe::Other(words) => words,
    };
    let text = format!(
        "no way to log in: discover (TPAP) brought {words}, and nothing that proves less may be used; if the plug was \
         replaced, or Third-Party Compatibility was switched on, run \"{}\"",
        rules.trust.command()
    );
    Err(Fault::new(Kind::UnsupportedProtocol, text))
}

async fn by_klap(wire: &mut Wire, hint: &mut Hint, hello: klap::Hello) -> Result<Variant, Fault> {
    *hint = Hint::Klap;
    hello.confirm(wire).await.map(Variant::Klap)
}

/// 403 to `handshake1`: TPAP mode, or a plug that lets no one in.
async fn without_third_parties(
    wire: &mut Wire,
    account: &Account,
    hint: &mut Hint,
    rules: &Rules,
) -> Result<Variant, Fault> {
    let to_tpap = match tpap::probe(wire).await {
        Ok(tpap::Probe::Terms(terms)) => return by_tpap(wire, account, hint, terms, rules).await,
        Ok(tpap::Probe::Klap) => match klap_greeting(wire, account, rules).await? {
            klap::Greeting::Hello(hello) => return by_klap(wire, hint, hello).await,
            // Seen with the switch on: KLAP is announced and refused. TPAP is all that is left.
            _ => match by_tpap(wire, account, hint, tpap::Terms::usual(), rules).await {
                Err(fault) if fault.kind == Kind::UnsupportedProtocol => "KLAP wanted, and handshake1 again 403".into(),
                result => return result,
            },
        },
        Ok(tpap::Probe::Other(words)) => words,
        // Locked and busy are said in other words; the rest is what the 403 made likely.
        Err(fault) if fault.kind == Kind::InvalidResponse => fault.text,
        Err(fault) => return Err(fault),
    };
    let text = format!("{TOGGLE}: the plug answers HTTP 403 to handshake1 (KLAP), and to discover (TPAP) {to_tpap}");
    Err(Fault::new(Kind::UnsupportedProtocol, text))
}

/// What to do about a plug that lets no one in.
const TOGGLE: &str = "Third-Party Compatibility is off: switch it off and on again in the Tapo app (Me > Third-Party \
     Services), with the plug connected to the internet";

async fn by_tpap(
    wire: &mut Wire,
    account: &Account,
    hint: &mut Hint,
    terms: tpap::Terms,
    rules: &Rules,
) -> Result<Variant, Fault> {
    rules.allow(TapoProtocol::Tpap)?;
    match tpap::log_in(wire, account, &terms, rules).await? {
        tpap::Login::Session(session) => {
            *hint = Hint::Tpap(terms);
            Ok(Variant::Tpap(session))
        }
        tpap::Login::Other(words) => Err(Fault::new(
            Kind::UnsupportedProtocol,
            format!("{TOGGLE}: the plug announces TPAP and answers {words} to its login"),
        )),
    }
}

/// The second half of a securePassthrough login. Only the plug knows which form of the login it takes, and it says
/// nothing but "wrong": so the other form is tried once, in a new handshake as plugs want it.
async fn through(
    wire: &mut Wire,
    account: &Account,
    hello: passthrough::Hello,
    form: passthrough::Form,
) -> Result<(Variant, passthrough::Form), Fault> {
    if let Some(session) = hello.log_in(wire, account, form).await? {
        return Ok((Variant::Passthrough(session), form));
    }
    let wrong = || Fault::new(Kind::Auth, format!("{WRONG_CREDENTIALS} (error code -1501)"));
    let form = form.other();
    match passthrough::greet(wire).await? {
        passthrough::Greeting::Hello(hello) => match hello.log_in(wire, account, form).await? {
            Some(session) => Ok((Variant::Passthrough(session), form)),
            None => Err(wrong()),
        },
        passthrough::Greeting::Other(_) => Err(wrong()),
    }
}
