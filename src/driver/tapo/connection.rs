//! The connection to one plug: what is kept from call to call, and shared by the outlets of a strip.
//!
//! It sends nothing itself: `call.rs` does, with what is kept here.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Mutex;

use super::meter::Profile;
use super::search::Searches;
use super::smart::DeviceInfo;
use super::transport::{Hint, Rules, Session};
use super::wire::Endpoint;
use super::{Account, Plugs, TapoConfig, TapoProtocol};
use crate::clock::Mono;
use crate::driver::http::{Deadlines, HttpClient, HttpError};
use crate::node::MacAddress;
use crate::node::rate_limit::RequestGate;
use crate::node::trust::{DeviceTrust, Proven};

/// Where plugs listen when no one says otherwise.
pub(super) const HTTP_PORT: u16 = 80;

/// The times by which the driver lives. One set but in tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// For requests: Wi-Fi outliers of seconds are normal, and plugs with a delay of 3 s exist.
    pub deadlines: Deadlines,
    /// After a discovery probe: a plug whose port 80 sleeps needs 1 to 2 s to open it.
    pub wake: Duration,
    /// After -1301.
    pub rest: Duration,
    /// After HTTP 429.
    pub long_rest: Duration,
    /// After a switch the meter is not believed for this long: relay and metering settle.
    pub settle: Duration,
    /// How often today's energy is read. It is counted in whole watt-hours: more often shows nothing new.
    pub usage_every: Duration,
    /// How long the list of a strip's outlets serves all of them.
    pub list_fresh: Duration,
    /// No new attempt is begun when a call is this old.
    pub call: Duration,
}

impl Timing {
    /// What real plugs need.
    pub(super) const PLUG: Timing = Timing {
        deadlines: Deadlines { connect: Duration::from_secs(2), exchange: Duration::from_secs(5) },
        wake: Duration::from_millis(1500),
        rest: Duration::from_secs(1),
        long_rest: Duration::from_secs(5),
        settle: Duration::from_secs(2),
        usage_every: Duration::from_secs(60),
        list_fresh: Duration::from_secs(1),
        call: Duration::from_secs(20),
    };
}

/// The connection to one plug.
pub(super) struct Connection {
    /// Who logs in.
    pub account: Account,
    /// Where the plug is by the configuration.
    pub host: String,
    /// Its TCP port by the configuration.
    pub port: Option<u16>,
    /// Its discovery port.
    pub discovery_port: u16,
    /// Its MAC address by the configuration.
    pub mac: OnceLock<MacAddress>,
    /// The protocols that the configuration allows.
    pub protocols: Vec<TapoProtocol>,
    /// The configuration allows factory logins.
    pub factory: bool,
    /// The trust records of those who use it: the plug must not go below any of them.
    pub trusts: std::sync::Mutex<Vec<Weak<DeviceTrust>>>,
    /// The client, or why there is none.
    pub http: Result<Arc<HttpClient>, HttpError>,
    /// What to do when the plug does not answer where it was.
    pub searches: Arc<Searches>,
    /// The next call is to log in again.
    pub forget: AtomicBool,
    /// What calls leave for one another; locked for as long as one lasts.
    pub state: Mutex<State>,
    /// The gate before the plug, one for all outlets.
    pub gate: Arc<RequestGate>,
    /// The times.
    pub timing: Timing,
}

/// How a session was lost.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    /// The plug ended it in the way it does when another client logs in, after it had answered in it or in one before
    /// that was lost a moment ago.
    pub taken: bool,
    /// What happened, in words.
    pub text: String,
}

/// What is known of the plug between calls.
pub(super) struct State {
    /// The login that both sides agreed on.
    pub session: Option<Session>,
    /// What the login before found.
    pub hint: Hint,
    /// Where the plug is.
    pub place: Endpoint,
    /// The credentials were right once.
    pub proven: bool,
    /// Calls in a row in which the plug's proof did not fit the credentials.
    pub disproved: u32,
    /// [`Session::took`] of the session before.
    pub took: bool,
    /// How the session before was lost, if it was and was not given up.
    pub lost: Option<Loss>,
    /// The logins after lost sessions.
    pub relogins: VecDeque<Mono>,
    /// When another client took the session.
    pub takeovers: VecDeque<Mono>,
    /// What the plug said of itself.
    pub plug: DeviceCache,
}

/// What the plug said of itself.
#[derive(Default)]
pub(super) struct DeviceCache {
    /// What it can do.
    pub profile: Option<Profile>,
    /// A strip's own data, read at every login.
    pub strip: Option<DeviceInfo>,
    /// A strip's outlets in order.
    pub outlets: Vec<DeviceInfo>,
    /// When the outlets were read; `None` after a switch.
    pub outlets_at: Option<Mono>,
}

impl Connection {
    /// A connection over which nothing was sent yet.
    pub(super) fn new(config: &TapoConfig, gate: Arc<RequestGate>, plugs: &Plugs) -> Connection {
        let place = Endpoint { host: config.host.clone(), port: config.port.unwrap_or(HTTP_PORT) };
        Connection {
            account: config.account(),
            host: config.host.clone(),
            port: config.port,
            discovery_port: config.discovery_port,
            mac: config.mac.map_or_else(OnceLock::new, OnceLock::from),
            protocols: config.protocols.clone(),
            factory: config.factory,
            trusts: std::sync::Mutex::default(),
            http: plugs.http.as_ref().map(|http| Arc::new(http.for_another())).map_err(HttpError::clone),
            searches: plugs.searches.clone(),
            forget: AtomicBool::new(false),
            state: Mutex::new(State {
                session: None,
                hint: Hint::None,
                place,
                proven: false,
                disproved: 0,
                took: false,
                lost: None,
                relogins: VecDeque::new(),
                takeovers: VecDeque::new(),
                plug: DeviceCache::default(),
            }),
            gate,
            timing: plugs.timing,
        }
    }

    /// Whether `config` means this plug and account.
    pub(super) fn serves(&self, config: &TapoConfig) -> bool {
        let same_mac = self.mac.get().zip(config.mac.as_ref()).is_none_or(|(ours, theirs)| ours == theirs);
        let same_place =
            (&self.host, self.port, self.discovery_port) == (&config.host, config.port, config.discovery_port);
        let same_rules = (&self.protocols, self.factory) == (&config.protocols, config.factory);
        same_place && same_mac && same_rules && self.account == config.account()
    }

    /// One more of a strip's outlets uses it: its configuration may be the first that says the MAC address.
    pub(super) fn join(&self, config: &TapoConfig, trust: &Arc<DeviceTrust>) {
        if let Some(mac) = config.mac {
            let _ = self.mac.set(mac);
        }
        let mut trusts = self.trusts.lock().unwrap_or_else(PoisonError::into_inner);
        trusts.retain(|trust| trust.strong_count() > 0);
        trusts.push(Arc::downgrade(trust));
    }

    /// What a login must keep to: the strictest of what those who use the plug know of it.
    pub(super) fn rules(&self, trust: &Arc<DeviceTrust>, learned: bool) -> Rules {
        let trusts = self.trusts.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<Proven> = trusts.iter().filter_map(Weak::upgrade).map(|trust| trust.proven()).collect();
        let rank = |proven: &Proven| proven.protocol.as_ref().map_or(0, |protocol| protocol.rank);
        Rules {
            protocols: self.protocols.clone(),
            rank: all.iter().map(rank).max().unwrap_or(0),
            proof: all.iter().map(|proven| proven.proof).max().unwrap_or_default(),
            factory: self.factory,
            mac: self.mac.get().copied(),
            shown_mac: all.iter().find_map(|proven| proven.mac),
            learned,
            trust: trust.clone(),
        }
    }

    /// The next call logs in again.
    pub(super) fn forget(&self) {
        self.forget.store(true, Ordering::Relaxed);
    }
}
