//! The whole state of a machine at one moment, and the WS-Management operations on it. Synchronous and short: the lock
//! is held meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::board::PowerLoss;
use super::super::fault::Faults;
use super::super::link::{Link, Outage, Reach};
use super::super::request_log::Counters;
use super::boot::{BootSource, Override};
use super::config::{Consent, ControlMode, MachineConfig};
use super::consent::Given;
use super::contexts::Contexts;
use super::digest_auth::{AuthRequest, Door, Rules, Verdict};
use super::hardware::Hardware;
use super::log::Logs;
use super::machine::Boot;
use super::power::{BootCause, Computer, Event, Power};
use super::reply::{Instance, Prefixes, Refusal};
use super::soap::{Call, Operation};
use super::{classes, methods};
use crate::clock::{Mono, Now};

/// How many boots are kept: far more than a test makes.
const BOOTS_MAX: usize = 10_000;
/// So many wrong logins make an event.
const WRONG_LOGINS_EVENT: u64 = 10;
/// `EnabledState` of a redirection service that redirects nothing.
const NO_REDIRECTION: u32 = 32768;

/// The state.
pub(super) struct State {
    pub config: MachineConfig,
    pub hardware: Hardware,
    pub computer: Computer,
    pub boot: Override,
    pub boots: Vec<Boot>,
    pub digest_auth: Door,
    pub book: Counters,
    pub faults: Faults,
    pub link: Link,
    pub logs: Logs,
    pub consent: Given,
    /// What a Put can change in AMT_GeneralSettings.
    pub general: Vec<(&'static str, String)>,
    pub redirection: u32,
    pub tcp: SocketAddr,
    pub note: Option<String>,
    /// Seconds that the clock of the engine is ahead.
    clock_ahead_s: i64,
    pub contexts: Contexts,
    /// Number of answers so far.
    serial: u64,
    /// Time of the last request.
    idle_since: Mono,
    /// When the engine that was woken is awake.
    waking: Option<Mono>,
    mains: bool,
    /// Whether the computer was on when mains were cut.
    was_on: bool,
}

impl State {
    pub(super) fn new(
        config: MachineConfig,
        seed: u64,
        tcp: SocketAddr,
        note: Option<String>,
        faults: Faults,
        now: Now,
    ) -> State {
        let hardware = Hardware::new(&config, seed);
        let host = config.name.clone();
        State {
            computer: Computer::new(config.starts_on, config.lms, config.timings),
            boot: Override::new(config.major() >= 16),
            boots: Vec::new(),
            digest_auth: Door::default(),
            book: Counters::default(),
            faults,
            link: Link::default(),
            logs: Logs::default(),
            consent: Given::Not,
            general: vec![
                ("DomainName", "example.com".to_owned()),
                ("HostName", host),
                ("IdleWakeTimeout", "3".to_owned()),
                ("PingResponseEnabled", "true".to_owned()),
                ("RmcpPingResponseEnabled", "true".to_owned()),
            ],
            redirection: NO_REDIRECTION,
            tcp,
            note,
            clock_ahead_s: 0,
            contexts: Contexts::default(),
            serial: 0,
            idle_since: now.mono,
            waking: None,
            mains: true,
            was_on: config.starts_on,
            hardware,
            config,
        }
    }

    /// Lets everything happen that was due.
    pub(super) fn settle(&mut self, now: Now) {
        while let Some((at, event)) = self.computer.settle(now.mono) {
            self.happened(event, at, now);
        }
        self.link.begin_planned(now.mono);
        self.consent.settle(now.mono);
        self.contexts.settle(now.mono);
        if self.waking.take_if(|waking| *waking <= now.mono).is_some() {
            self.idle_since = now.mono;
        }
    }

    /// Something happened to the computer at a moment that may have passed.
    pub(super) fn happened(&mut self, event: Event, at: Mono, now: Now) {
        let time = self.engine_time(now);
        self.logs.happened(time, event);
        if let Event::Boot(cause) = event {
            let (source, media_index, settings) = self.boot.consume();
            if source == BootSource::BiosSetup {
                self.computer.stay_in_setup();
                self.logs.in_setup(time);
            }
            if self.boots.len() < BOOTS_MAX {
                self.boots.push(Boot { at, wall: now.wall, source, cause, media_index, settings });
            }
            self.consent = Given::Not;
        }
        if matches!(event, Event::Off | Event::Slept) {
            self.idle_since = at;
        }
        let blackout = self.config.timings.blackout;
        if matches!(event, Event::Boot(_) | Event::Off | Event::Resumed) && !blackout.is_zero() && self.mains {
            self.away(at, blackout, !self.config.quirks.blackout_refuses);
        }
    }

    fn away(&mut self, from: Mono, time: Duration, silent: bool) {
        self.link.plan(Outage { from, until: from + time, silent, keeps_relay: true });
        self.link.begin_planned(from);
    }

    /// What the sockets are to do.
    pub(super) fn reach(&self, now: Mono) -> Reach {
        let mut reach = self.link.reach(now);
        let falls_asleep = self.falls_asleep().filter(|_| self.waking.is_none());
        reach.silent |= self.is_asleep(now);
        let until = [reach.until, self.computer.due(), self.waking, falls_asleep.filter(|at| *at > now)];
        reach.until = until.into_iter().flatten().min();
        reach
    }

    fn falls_asleep(&self) -> Option<Mono> {
        let after = self.config.timings.me_sleep_after?;
        (self.computer.power() != Power::On).then(|| self.idle_since + after)
    }

    /// Whether the engine sleeps, or is just waking up.
    fn is_asleep(&self, now: Mono) -> bool {
        self.waking.is_some() || self.falls_asleep().is_some_and(|at| at <= now)
    }

    /// A packet came. Whether the engine was asleep and is waking up now, so that nothing is answered.
    pub(super) fn knocked(&mut self, now: Mono) -> bool {
        let asleep = self.is_asleep(now);
        if asleep {
            self.waking = self.waking.or(Some(now + self.config.timings.me_wake));
        } else {
            self.idle_since = now;
        }
        asleep
    }

    /// The engine restarts; with the computer if that does not keep its power.
    pub(super) fn restart(&mut self, offline: Duration, keeps_power: bool, now: Now) {
        if !keeps_power {
            self.cut_mains(now);
            self.return_mains(now);
        }
        self.digest_auth.forget_nonces();
        self.away(now.mono, offline, false);
    }

    pub(super) fn cut_mains(&mut self, now: Now) {
        if self.mains {
            self.was_on = self.computer.power() == Power::On;
            self.mains = false;
            self.computer.set(Power::HardOff, BootCause::Test, now.mono);
            self.digest_auth.forget_nonces();
            self.consent = Given::Not;
            self.contexts.clear();
            self.link.set_offline(true);
            self.settle(now);
        }
    }

    pub(super) fn return_mains(&mut self, now: Now) {
        if !self.mains {
            self.mains = true;
            self.link.set_offline(false);
            let starts = match self.config.power_loss {
                PowerLoss::LastState => self.was_on,
                PowerLoss::On => true,
                PowerLoss::Off => false,
            };
            if starts {
                self.computer.set(Power::On, BootCause::MainsBack, now.mono);
                self.settle(now);
            }
            self.idle_since = now.mono;
            self.waking = None;
            self.away(now.mono, self.config.timings.me_boot, false);
        }
    }

    pub(super) fn has_mains(&self) -> bool {
        self.mains
    }

    /// Whether the firmware has One-Click Recovery.
    pub(super) fn recovery(&self) -> bool {
        self.config.major() >= 16
    }

    pub(super) fn realm(&self) -> String {
        format!("Digest:{}", self.hardware.realm)
    }

    /// The clock of the engine in seconds since 1970.
    pub(super) fn engine_time(&self, now: Now) -> u32 {
        u32::try_from(now.wall.0.div_euclid(1000) + self.clock_ahead_s).unwrap_or(0)
    }

    /// Moves the clock of the engine.
    pub(super) fn move_clock(&mut self, by_s: i64) {
        self.clock_ahead_s += by_s;
    }

    fn with_door<T>(&mut self, act: impl FnOnce(&mut Door, &Rules<'_>) -> T) -> T {
        let realm = self.realm();
        let config = &self.config;
        let rules = Rules {
            username: &config.username,
            password: config.password(),
            realm: &realm,
            integrity: config.major() >= 14,
            nonce_life: config.nonce_life,
            nonce_uses_max: config.quirks.nonce_uses_max,
            any_nc: config.quirks.any_nc,
            lock_after: config.lock_after,
            lock_time: config.lock_time,
        };
        act(&mut self.digest_auth, &rules)
    }

    /// Looks at the credentials of a request, and writes down what came of it.
    pub(super) fn check(&mut self, knock: &AuthRequest<'_>, now: Now) -> Verdict {
        let verdict = self.with_door(|digest_auth, rules| digest_auth.check(rules, knock, now.mono));
        match verdict {
            Verdict::Open { first } => self.book.logins += u64::from(first),
            Verdict::Stale => self.book.stale_requests += 1,
            Verdict::Wrong => {
                self.book.wrong_passwords += 1;
                if self.book.wrong_passwords.is_multiple_of(WRONG_LOGINS_EVENT) {
                    let time = self.engine_time(now);
                    self.logs.wrong_logins(time, u8::try_from(WRONG_LOGINS_EVENT).unwrap_or(u8::MAX));
                }
            }
            Verdict::Asked | Verdict::Locked => {}
        }
        verdict
    }

    pub(super) fn challenge(&mut self, stale: bool, now: Now) -> String {
        self.with_door(|digest_auth, rules| digest_auth.challenge(rules, stale, now.mono))
    }

    /// The prefixes of an answer with these classes in it.
    fn prefixes(&self, classes: &[&str]) -> Prefixes {
        if self.config.quirks.other_prefixes { Prefixes::other() } else { Prefixes::usual(classes) }
    }

    /// An answer of the engine as text: 200 or 400.
    pub(super) fn perform(&mut self, call: &Call, idle: bool, now: Now) -> (u16, String) {
        self.serial += 1;
        if call.operation == Operation::Identify {
            return (200, self.prefixes(&[]).identified(&self.config.version));
        }
        match self.operate(call, idle, now) {
            Ok((prefixes, body)) => (200, prefixes.envelope(Some(call), self.serial, &body)),
            Err(refusal) => (400, self.prefixes(&[]).fault(Some(call), self.serial, &refusal)),
        }
    }

    /// A fault as text.
    pub(super) fn refuse(&mut self, call: Option<&Call>, subcode: &str) -> String {
        self.serial += 1;
        self.prefixes(&[]).fault(call, self.serial, &Refusal::new(subcode, "The service cannot do this"))
    }

    /// An answer with this ReturnValue to a method, whatever it was. `None`: the request is no call of a method.
    pub(super) fn returns(&mut self, call: &Call, number: i64) -> Option<String> {
        let Operation::Invoke(method) = &call.operation else { return None };
        self.serial += 1;
        let fields = methods::value(u32::try_from(number).unwrap_or(u32::MAX));
        let prefixes = self.prefixes(&[&call.class]);
        let body = prefixes.output(&call.class, method, &fields);
        Some(prefixes.envelope(Some(call), self.serial, &body))
    }

    fn operate(&mut self, call: &Call, idle: bool, now: Now) -> Result<(Prefixes, String), Refusal> {
        let all = (super::reply::uri(&call.class) == call.resource)
            .then(|| classes::instances(self, &call.class))
            .flatten()
            .ok_or_else(|| {
                Refusal::new("DestinationUnreachable", "No route can be determined to reach the destination")
            })?;
        let prefixes = self.prefixes(&[&call.class]);
        match &call.operation {
            Operation::Enumerate => self.enumerate(call, all, now),
            Operation::Pull => self.pull(call),
            Operation::Release => {
                let id = call.body.text_of("EnumerationContext").unwrap_or_default();
                self.contexts.release(id).then(|| (prefixes, String::new())).ok_or_else(no_context)
            }
            Operation::Get => Ok(self.instance(select(call, &all)?)),
            Operation::Put => {
                select(call, &all)?;
                self.put(call, now)?;
                let all = classes::instances(self, &call.class).unwrap_or_default();
                Ok(self.instance(select(call, &all)?))
            }
            Operation::Invoke(method) => {
                select(call, &all)?;
                let output = methods::invoke(self, call, method, idle, now)?;
                let body = prefixes.output(&call.class, method, &output);
                Ok((prefixes, body))
            }
            Operation::Create | Operation::Delete | Operation::Identify => Err(not_supported()),
        }
    }

    fn instance(&self, one: &Instance) -> (Prefixes, String) {
        let prefixes = self.prefixes(&[one.class]);
        let body = prefixes.instance(one);
        (prefixes, body)
    }

    fn enumerate(&mut self, call: &Call, all: Vec<Instance>, now: Now) -> Result<(Prefixes, String), Refusal> {
        let mode = call.body.text_of("EnumerationMode").unwrap_or_default();
        let begun = self.contexts.begin(&call.class, mode, all, now.mono);
        let busy = || Refusal::new("QuotaLimit", "The service is busy servicing other requests.");
        let prefixes = self.prefixes(&[]);
        let body = prefixes.enumerate(&begun.ok_or_else(busy)?);
        Ok((prefixes, body))
    }

    fn pull(&mut self, call: &Call) -> Result<(Prefixes, String), Refusal> {
        let id = call.body.text_of("EnumerationContext").unwrap_or_default();
        // Without MaxElements, one.
        let asked = call.body.text_of("MaxElements").map_or(Some(1), |text| text.parse::<usize>().ok());
        let asked =
            asked.filter(|asked| *asked > 0).ok_or_else(|| Refusal::new("SchemaValidationError", "MaxElements"))?;
        let quirks = &self.config.quirks;
        let part = self.contexts.pull(id, &call.class, asked, quirks.page_size, quirks.empty_last_items);
        let part = part.ok_or_else(no_context)?;
        let prefixes = self.prefixes(&part.items.iter().map(|one| one.class).collect::<Vec<_>>());
        let items: String = part.items.iter().map(|one| prefixes.item(&part.mode, one)).collect();
        let body = prefixes.pull(part.more.then_some(id), &items);
        Ok((prefixes, body))
    }

    fn put(&mut self, call: &Call, now: Now) -> Result<(), Refusal> {
        if call.body.name != call.class {
            return Err(Refusal::new("SchemaValidationError", "the body is of another class"));
        }
        let fields: Vec<_> = call.body.children.iter().map(|one| (one.name.clone(), one.text.clone())).collect();
        match call.class.as_str() {
            "AMT_BootSettingData" => {
                if Override::asks_for_something(&fields) {
                    self.needs_consent()?;
                }
                let put = self.boot.put(&fields, self.config.quirks.takes_read_only);
                put.map_err(|refused| Refusal::new("InvalidRepresentation", &refused.0))?;
                let (time, user) = (self.engine_time(now), self.config.username.clone());
                self.logs.audit_by(time, 1704, &user);
                Ok(())
            }
            "AMT_GeneralSettings" => {
                for (name, value) in fields {
                    if let Some(entry) = self.general.iter_mut().find(|(key, _)| *key == name) {
                        entry.1 = value;
                    }
                }
                Ok(())
            }
            _ => Err(not_supported()),
        }
    }

    /// Refuses where the person at the machine must have consented and has not.
    pub(super) fn needs_consent(&self) -> Result<(), Refusal> {
        let needed = self.config.mode == ControlMode::Client || self.config.consent == Consent::All;
        if needed && self.consent != Given::Received {
            return Err(Refusal::new("AccessDenied", "The sender was not authorized to access the resource."));
        }
        Ok(())
    }

    /// Consent was taken back, and what it allowed with it.
    pub(super) fn consent_lost(&mut self) {
        self.boot.clear();
    }
}

fn no_context() -> Refusal {
    Refusal::new("InvalidEnumerationContext", "The supplied enumeration context is invalid")
}

fn not_supported() -> Refusal {
    Refusal::new("ActionNotSupported", "The action is not supported by the service")
}

/// The one instance that the selectors name; without any, the only one.
fn select<'a>(call: &Call, all: &'a [Instance]) -> Result<&'a Instance, Refusal> {
    let fits = |one: &&Instance| call.selectors.iter().all(|(name, value)| one.text(name) == Some(value.as_str()));
    let mut found = all.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(Refusal::new("InvalidSelectors", "The selectors for the resource were not valid")),
    }
}
