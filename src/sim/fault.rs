//! Fault rules: the affected requests, the kind of fault, and how often it happens. Pure; `serve` performs the action
//! on the wire.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::dice;

/// The most rules a device has at once.
const RULES_MAX: usize = 64;

/// What a request is, as far as faults and counters tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `login` with `sub_method` `discover`, or `component_nego` in the clear: a client that asks for the variant. Of an
    /// AMT machine: `Identify` without credentials.
    Probe,
    /// Any step of logging in. Of an AMT machine: a request that gets 401.
    Login,
    /// A request of a logged-in client that only reads.
    Read,
    /// A sealed request, or a batch, that sets `device_on`.
    RelayWrite,
    /// `RequestPowerStateChange` of an AMT machine.
    PowerWrite,
    /// A request of a logged-in client that sets something else.
    Write,
    /// A request that could not be opened; of an AMT machine, one that is not looked at yet.
    Sealed,
    /// Anything else.
    Other,
}

/// Which requests a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// All requests.
    Any,
    /// New connections, before anything is read.
    Connect,
    /// Discovery probes, over UDP; only [`Action::Impersonate`] and [`Action::Drop`] are about them.
    Discovery,
    /// Requests whose path begins so: `/app/handshake1`.
    Path(String),
    /// Requests of a kind.
    Kind(Kind),
    /// Requests with this method, alone or in a batch, for a child or not: `get_device_info`, `handshake1`. Of an AMT
    /// machine an operation or a class, or both: `Put`, `AMT_BootSettingData`, `AMT_BootSettingData.Put`.
    Method(String),
}

/// The effect of a fault rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing is done and nothing is said; the connection stays open.
    Hang,
    /// All is well, but only after so many milliseconds.
    DelayMs(u64),
    /// The connection is closed; nothing is done.
    Drop,
    /// The connection is reset; nothing is done. For [`Selector::Connect`] too.
    Reset,
    /// It is done, and the connection is closed instead of answered.
    LoseAnswer,
    /// It is done, and nothing is said; the connection stays open.
    DoAndHang,
    /// It is done; the answer's body is random bytes.
    Garbage,
    /// It is done; what comes back is no HTTP.
    GarbageHttp,
    /// It is done; half of the answer comes, then the connection is closed.
    Truncate,
    /// Nothing is done; the answer is this HTTP status with a page.
    Status(u16),
    /// The session is forgotten just before this request is looked at. Of an AMT machine: its nonces.
    ForgetSession,
    /// Nothing is done; the answer is this `error_code`, sealed if the request was. Of an AMT machine: the `ReturnValue`.
    ErrorCode(i64),
    /// A request that would move a relay, or change a machine's power, is answered with success and does nothing.
    IgnoreWrite,
    /// A rogue answers in the place of a plug; AMT machines pass over it.
    Forge(Forgery),
    /// The meter of a plug goes wrong; other requests, and AMT machines, pass over it.
    Meter(MeterFault),
    /// Another host answers discovery as another plug, from its own address and with that address in it. For
    /// [`Selector::Discovery`] alone; requests pass over it.
    Impersonate(Impersonation),
    /// What only AMT machines do; plugs pass over it.
    Wsman(WsmanFault),
    /// The device restarts instead of answering.
    Reboot {
        /// How long it is away.
        offline_ms: u64,
        /// Whether the relay keeps its state.
        keeps_relay: bool,
    },
}

/// What a rogue does that has taken the place of a plug, or sits before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forgery {
    /// It is done; the answer says that every relay is off, and its authentication is that of another number: an answer of
    /// before, played again.
    Replay,
    /// It is done; the answer says that every relay is off, and comes without the encryption of the session.
    Clear,
    /// It is done; the answer is that of another plug: its device id and MAC address are others.
    OtherDevice,
}

/// How a meter goes wrong, for as long as its rule is there. The counters of energy go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeterFault {
    /// It shows what it showed when this began.
    Stick,
    /// Its answers lack the draw.
    Vanish,
    /// Its answers say `null` for the draw.
    Null,
    /// It shows so many milliwatts, negative ones too.
    Says(i64),
}

/// The identity that the other host gives in discovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impersonation {
    /// `device_id`.
    pub device_id: String,
    /// `mac`, as discovery spells it: `AA-BB-CC-DD-EE-FF`.
    pub mac: String,
}

/// What goes wrong in ways that WS-Management alone has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WsmanFault {
    /// Nothing is done; 401 with a new nonce, `stale` true.
    Stale,
    /// Nothing is done; 401 with a new nonce, `stale` false, whatever the credentials.
    LoginAgain,
    /// Nothing is done; HTTP 400 with a SOAP fault of this subcode: `AccessDenied`.
    SoapFault(String),
    /// It is done; the XML ends in its middle, the HTTP is in order.
    HalfXml,
    /// It is done; the answer is 4 MB long and otherwise in order.
    Huge,
    /// It is done; the answer never ends.
    Endless,
    /// It is done; the XML is nested thousands deep.
    Deep,
    /// It is done; the XML has a DTD with entities that grow to a gigabyte.
    EntityBomb,
    /// It is done; the answer is one tag with 60,000 attributes.
    Attributes,
    /// It is done; the answer has no body.
    Empty,
    /// It is done; the answer has bytes that are no UTF-8 in the name of a maker.
    Latin1,
    /// It is done; the answer is an HTML page with status 200.
    Page,
    /// It is done; the answer is well-formed and of another class.
    OtherClass,
}

impl Action {
    /// Whether it needs the request opened first.
    fn inside_only(&self) -> bool {
        match self {
            Action::ErrorCode(_) | Action::IgnoreWrite | Action::Forge(_) | Action::Meter(_) => true,
            Action::Wsman(trick) => !matches!(trick, WsmanFault::Stale | WsmanFault::LoginAgain),
            _ => false,
        }
    }

    /// What a rogue makes of the answer.
    pub(super) fn forgery(&self) -> Option<Forgery> {
        match self {
            Action::Forge(forgery) => Some(*forgery),
            _ => None,
        }
    }

    /// The fault of the meter, if any.
    pub(super) fn meter_fault(&self) -> Option<MeterFault> {
        match self {
            Action::Meter(fault) => Some(*fault),
            _ => None,
        }
    }

    /// Whether it happens to the answer, after the request was acted on.
    pub(super) fn is_after(&self) -> bool {
        matches!(
            self,
            Action::LoseAnswer | Action::DoAndHang | Action::Garbage | Action::GarbageHttp | Action::Truncate
        )
    }
}

/// A fault rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The requests that it affects.
    pub on: Selector,
    /// Its effect on them.
    pub action: Action,
    /// How many more times; `None`: for ever.
    #[serde(default)]
    pub times: Option<u32>,
    /// The share of the requests that are hit, 0 to 1, by dice that a seed repeats.
    #[serde(default = "all")]
    pub share: f64,
}

fn all() -> f64 {
    1.0
}

impl Fault {
    /// A rule without a limit.
    pub fn always(on: Selector, action: Action) -> Fault {
        Fault { on, action, times: None, share: 1.0 }
    }

    /// A rule for one request.
    pub fn once(on: Selector, action: Action) -> Fault {
        Fault::times(1, on, action)
    }

    /// A rule for this many requests.
    pub fn times(times: u32, on: Selector, action: Action) -> Fault {
        Fault { on, action, times: Some(times), share: 1.0 }
    }

    /// For ever, but only to this share of the requests.
    pub fn share(share: f64, on: Selector, action: Action) -> Fault {
        Fault { on, action, times: None, share }
    }
}

/// More than this and the plug gives up for a while, as plugs do that are polled too fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choke {
    /// The most requests in any second.
    pub requests_per_s_max: Option<u32>,
    /// The most connections at once.
    pub connections_max: Option<u32>,
    /// How long it is away then.
    pub offline_ms: u64,
    /// Whether the relay holds meanwhile.
    pub keeps_relay: bool,
    /// Whether it takes connections meanwhile and says nothing (else it refuses them).
    #[serde(default)]
    pub silent: bool,
}

impl Choke {
    /// Restarts with the relay held above this many requests a second.
    pub fn above(requests_per_s_max: u32, offline: Duration) -> Choke {
        let offline_ms = u64::try_from(offline.as_millis()).unwrap_or(u64::MAX);
        Choke {
            requests_per_s_max: Some(requests_per_s_max),
            connections_max: None,
            offline_ms,
            keeps_relay: true,
            silent: false,
        }
    }
}

/// When a rule is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A connection came.
    Connect,
    /// A discovery probe came.
    Discovery,
    /// A request came that is not sealed.
    Plain,
    /// A request came that is sealed; only its path is known.
    Sealed,
    /// A sealed request was opened.
    Opened,
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub path: String,
    pub kind: Kind,
    /// All methods in it; the first is its name in the counters.
    pub methods: Vec<String>,
}

impl Seen {
    /// What has no path and no method: a connection, or a discovery probe.
    pub(super) fn bare() -> Seen {
        Seen { path: String::new(), kind: Kind::Other, methods: Vec::new() }
    }
}

/// The rules of a device.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    rules: Vec<Fault>,
    seed: u64,
    turns: u64,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Faults {
        Faults { rules: Vec::new(), seed, turns: 0 }
    }

    /// Adds a rule behind the others. `false`: there are too many.
    pub(super) fn add(&mut self, fault: Fault) -> bool {
        let room = self.rules.len() < RULES_MAX;
        if room {
            self.rules.push(fault);
        }
        room
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn rules(&self) -> &[Fault] {
        &self.rules
    }

    /// The first rule that is about this, used up by one.
    pub(super) fn pick(&mut self, stage: Stage, seen: &Seen) -> Option<Action> {
        let (seed, turns) = (self.seed, &mut self.turns);
        let hit = self.rules.iter_mut().find(|rule| {
            let about = concerns(rule, stage, seen) && rule.times != Some(0);
            about
                && (rule.share >= 1.0 || {
                    *turns += 1;
                    (dice(seed, *turns) >> 11) as f64 / (1u64 << 53) as f64 <= rule.share
                })
        })?;
        let action = hit.action.clone();
        hit.times = hit.times.map(|left| left.saturating_sub(1));
        self.rules.retain(|rule| rule.times != Some(0));
        Some(action)
    }
}

fn concerns(rule: &Fault, stage: Stage, seen: &Seen) -> bool {
    let selected = match &rule.on {
        Selector::Connect => return stage == Stage::Connect,
        Selector::Discovery => return stage == Stage::Discovery,
        _ if matches!(stage, Stage::Connect | Stage::Discovery) => return false,
        Selector::Any => true,
        Selector::Path(prefix) => seen.path.starts_with(prefix.as_str()),
        Selector::Kind(kind) => seen.kind == *kind,
        Selector::Method(name) => seen.methods.iter().any(|method| method == name),
    };
    // A sealed request passes here twice; every rule has its turn at exactly one of them.
    let inside = rule.action.inside_only() || matches!(rule.on, Selector::Kind(_) | Selector::Method(_));
    selected
        && match stage {
            Stage::Connect | Stage::Discovery | Stage::Plain => true,
            Stage::Sealed => !inside,
            Stage::Opened => inside,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(path: &str, kind: Kind, method: &str) -> Seen {
        Seen { path: path.into(), kind, methods: vec![method.into()] }
    }

    fn faults(rule: Fault) -> Faults {
        let mut faults = Faults::new(1);
        assert!(faults.add(rule));
        faults
    }

    #[test]
    fn a_rule_is_used_up() {
        let mut faults = faults(Fault::times(2, Selector::Any, Action::Drop));
        let request = seen("/", Kind::Probe, "discover");
        assert_eq!(faults.pick(Stage::Plain, &request), Some(Action::Drop));
        assert_eq!(faults.pick(Stage::Plain, &request), Some(Action::Drop));
        assert_eq!(faults.pick(Stage::Plain, &request), None);
        assert!(faults.rules().is_empty());
    }

    #[test]
    fn a_sealed_request_is_hit_once() {
        let sealed = seen("/app/request", Kind::Sealed, "");
        let opened = seen("/app/request", Kind::RelayWrite, "set_device_info");
        let check = |on: Selector, action: Action, first: bool| {
            let mut faults = faults(Fault::always(on, action.clone()));
            assert_eq!(faults.pick(Stage::Sealed, &sealed).is_some(), first, "{action:?}");
            assert_eq!(faults.pick(Stage::Opened, &opened).is_some(), !first, "{action:?}");
        };
        check(Selector::Any, Action::Drop, true);
        check(Selector::Path("/app/request".into()), Action::Status(403), true);
        check(Selector::Any, Action::ErrorCode(-1301), false);
        check(Selector::Kind(Kind::RelayWrite), Action::Drop, false);
        check(Selector::Method("set_device_info".into()), Action::LoseAnswer, false);
    }

    #[test]
    fn connections_are_apart_from_requests() {
        let mut connect = faults(Fault::always(Selector::Connect, Action::Reset));
        assert_eq!(connect.pick(Stage::Plain, &seen("/", Kind::Other, "")), None);
        assert_eq!(connect.pick(Stage::Connect, &Seen::bare()), Some(Action::Reset));
        let mut any = faults(Fault::always(Selector::Any, Action::Reset));
        assert_eq!(any.pick(Stage::Connect, &Seen::bare()), None);
    }

    #[test]
    fn discovery_is_apart_from_requests() {
        let mut discovery = faults(Fault::always(Selector::Discovery, Action::Drop));
        assert_eq!(discovery.pick(Stage::Plain, &seen("/", Kind::Other, "")), None);
        assert_eq!(discovery.pick(Stage::Connect, &Seen::bare()), None);
        assert_eq!(discovery.pick(Stage::Discovery, &Seen::bare()), Some(Action::Drop));
        let mut any = faults(Fault::always(Selector::Any, Action::Drop));
        assert_eq!(any.pick(Stage::Discovery, &Seen::bare()), None);
    }

    #[test]
    fn a_share_is_a_share_and_repeats() {
        let hits = || {
            let mut faults = faults(Fault::share(0.25, Selector::Any, Action::LoseAnswer));
            (0..1000).map(|_| faults.pick(Stage::Plain, &seen("/", Kind::Other, "")).is_some()).collect::<Vec<_>>()
        };
        assert!((200..300).contains(&hits().iter().filter(|hit| **hit).count()));
        assert_eq!(hits(), hits());
        let mut never = faults(Fault::share(0.0, Selector::Any, Action::Drop));
        assert_eq!(never.pick(Stage::Plain, &seen("/", Kind::Other, "")), None);
    }

    #[test]
    fn rules_are_written_as_json() {
        let text = r#"{"on":{"kind":"relay_write"},"action":"lose_answer","times":1}"#;
        let rule: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(rule, Fault::once(Selector::Kind(Kind::RelayWrite), Action::LoseAnswer));
        let text = r#"{"on":"any","action":{"reboot":{"offline_ms":500,"keeps_relay":false}},"share":0.5}"#;
        let rule: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(rule.action, Action::Reboot { offline_ms: 500, keeps_relay: false });
    }
}
