//! One AMT machine: what a reading and an order consist of, and the patience that a management engine needs.
//!
//! It knows the classes and their order, and neither envelopes nor logins. The engine goes away for seconds when the power
//! changes and sleeps while the machine is off, so silence at such times is waited out within a call.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::AmtConfig;
use super::boot::{self, Plan};
use super::connection::{OVER_TLS, PLAIN, Repeat, WsMan};
use super::facts::{Facts, Identity};
use super::fault::{Fault, Kind};
use super::power::{self, PowerReading, REQUEST_CLASS, REQUEST_METHOD, STATE_CLASS, State, number_of};
use super::scan::Scan;
use super::xml::Reference;
use crate::clock::Mono;
use crate::driver::DeviceContext;
use crate::driver::http::Tls;
use crate::node::device::{
    Capabilities, DeviceError, DeviceFuture, DeviceIdentity, FailureClass, Notice, Observation, PowerDevice, ScanResult,
};
use crate::node::trust::{Proof, TrustRecord};
use crate::node::{BootOverride, BootTarget, Power, PowerAction};

/// The times by which a machine is treated. One set but in tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// For how long silence is waited out that is to be expected. An engine that was asleep needs about this long.
    pub silence: Duration,
    /// Between two tries meanwhile.
    pub silence_pause: Duration,
    /// For how long after a power request silence is to be expected.
    pub transition_window: Duration,
    /// For how long after a request that boots no other is made: until the firmware has reported to the engine, which
    /// takes up to 10 s.
    pub settle: Duration,
}

impl Times {
    /// What real machines need.
    pub(super) const MACHINE: Times = Times {
        silence: Duration::from_secs(15),
        silence_pause: Duration::from_secs(1),
        transition_window: Duration::from_secs(30),
        settle: Duration::from_secs(10),
    };
}

/// Longest time for what a reading cannot do without. With the pieces of [`Facts`] it stays below the core's 45 s.
const READ_MAX: Duration = Duration::from_secs(25);

/// Longest time for an order.
const ORDER_MAX: Duration = Duration::from_secs(32);

/// A machine that is well answers within this, also over a bad line. What is asked just when the power changes is lost for
/// good, so a first try is not given more; one that is slower is found out by the second try.
const QUICK: Duration = Duration::from_secs(4);

/// Longest time for a look into one corner of the machine: a command may be waiting.
const STUDY_QUICK: Duration = Duration::from_secs(6);

/// The same for a corner that took too long this many times.
const STUDY_MAX: Duration = Duration::from_secs(25);

/// How often a look may take too long before it is given [`STUDY_MAX`].
const STUDY_TRIES: u32 = 2;

/// Longest time for taking back an override that was not used.
const CLEAR_MAX: Duration = Duration::from_secs(6);

/// When it is not known whether a boot began, its override is taken back after this: by then it was used, or will not be.
const UNCERTAIN_BOOT: Duration = Duration::from_secs(180);

/// One AMT machine.
pub(crate) struct AmtMachine {
    ws: WsMan,
    times: Times,
    protocol: &'static str,
    facts: Facts,
    identity: Identity,
    scan: Scan,
    /// How often in a row a look into a corner took too long.
    study_late: u32,
    uuid: Option<Uuid>,
    /// What is on record of it.
    trust: Option<Arc<TrustRecord>>,
    /// How the last reading was proved.
    proof: Proof,
    /// The version in the headers when the facts were asked for.
    version: Option<String>,
    /// Get does not do for the power, so it is enumerated.
    enumerates_power: bool,
    about: Arc<DeviceIdentity>,
    capabilities: Arc<Capabilities>,
    /// It took long to answer last time.
    slow: bool,
    /// The state that was read last.
    last: Option<Power>,
    /// When the last power request was made.
    requested: Option<Mono>,
    /// No power request before this.
    settled_at: Option<Mono>,
    /// An override that no boot is known to have used is to be taken back then.
    clear_at: Option<Mono>,
    /// The machine refused to have an old override taken back.
    not_cleared: Option<Notice>,
}

impl AmtMachine {
    /// A machine that has not been talked to.
    pub(crate) fn new(config: &AmtConfig, context: DeviceContext) -> AmtMachine {
        AmtMachine::with_times(config.tls, WsMan::new(config.clone(), context), Times::MACHINE)
    }

    pub(super) fn with_times(tls: Tls, ws: WsMan, times: Times) -> AmtMachine {
        AmtMachine {
            ws,
            times,
            protocol: if tls == Tls::Off { PLAIN.1 } else { OVER_TLS.1 },
            facts: Facts::default(),
            identity: Identity::default(),
            scan: Scan::new(),
            study_late: 0,
            uuid: None,
            trust: None,
            proof: Proof::default(),
            version: None,
            enumerates_power: false,
            about: Arc::default(),
            capabilities: Arc::default(),
            slow: false,
            last: None,
            requested: None,
            settled_at: None,
            clear_at: None,
            not_cleared: None,
        }
    }

    fn now(&self) -> Mono {
        self.ws.context().clock.now().mono
    }

    /// Reads the power, once.
    async fn look_once(&mut self, op: &'static str) -> Result<PowerReading, Fault> {
        let got = if self.enumerates_power { None } else { Some(self.ws.get(op, STATE_CLASS, &[]).await) };
        let instance = match got {
            Some(Err(fault)) if !fault.is_absence() => return Err(fault),
            Some(Ok(instance)) => Some(instance),
            // Firmware that wants selectors, which an enumeration can do without.
            Some(Err(_)) | None => {
                let instances = self.ws.enumerate(op, STATE_CLASS).await?;
                self.enumerates_power = true;
                instances.into_iter().find(|instance| instance.class == STATE_CLASS)
            }
        };
        let missing = || Fault::new(Kind::InvalidResponse, "the machine does not say its PowerState");
        instance.as_ref().and_then(PowerReading::of).ok_or_else(missing)
    }

    /// Reads the power. Silence that is to be expected is waited out.
    async fn look(&mut self, op: &'static str) -> Result<PowerReading, Fault> {
        let clock = self.ws.context().clock.clone();
        let begun = self.now();
        let mut quick = !self.slow;
        loop {
            let asked = self.now();
            let limit = if quick { QUICK } else { READ_MAX };
            let result = clock.limit(limit, self.look_once(op)).await;
            let silent = match result.unwrap_or_else(|| Err(silence(limit))) {
                Err(fault) if fault.is_silence() => fault,
                Err(fault) => return Err(fault),
                Ok(reading) => {
                    self.slow = self.now().since(asked) >= QUICK / 2;
                    return Ok(reading);
                }
            };
            if std::mem::take(&mut quick) {
                continue;
            }
            if !self.expects_silence() || self.now().since(begun) >= self.times.silence {
                return Err(silent);
            }
            clock.sleep(self.times.silence_pause).await;
        }
    }

    fn expects_silence(&self) -> bool {
        let asleep = self.last.is_some_and(|last| last != Power::On);
        asleep || self.requested.is_some_and(|requested| self.now().since(requested) < self.times.transition_window)
    }

    /// What a reading cannot do without: the power, and which machine it is.
    async fn look_who(&mut self) -> Result<(PowerReading, Option<Uuid>), DeviceError> {
        let reading = self.look("read").await?;
        let uuid = self.identity.ask(&mut self.ws).await?;
        let trust = self.ws.context().trust.clone();
        if uuid.is_none() && trust.proven().uuid.is_some() {
            return Err(Fault::new(Kind::InvalidResponse, "the machine does not say its UUID any more").into());
        }
        // That nodes.yaml names another machine is for the core to say: this one is not put on record.
        let (is_another, shown) = (self.ws.names_another(uuid), self.ws.shown(uuid));
        self.trust = if is_another { None } else { Some(trust.prove(&shown).await?) };
        self.proof = shown.proof;
        Ok((reading, uuid))
    }

    async fn read_all(&mut self) -> Result<Observation, DeviceError> {
        let clock = self.ws.context().clock.clone();
        let (reading, uuid) = match clock.limit(READ_MAX, self.look_who()).await {
            Some(result) => result?,
            None => return Err(silence(READ_MAX).into()),
        };
        let before = std::mem::replace(&mut self.uuid, uuid);
        if before.is_some() && before != uuid {
            // Another machine, whose boots are none of our business as long as the core has not accepted it.
            (self.clear_at, self.not_cleared) = (None, None);
            (self.facts, self.scan) = (Facts::default(), Scan::new());
        }
        let version = self.ws.server_version().map(str::to_owned);
        if version != self.version {
            self.facts.ask_anew();
            self.scan.note_session();
            self.version = version;
        }
        if self.clear_at.is_some_and(|at| at <= self.now()) {
            self.take_back().await;
        } else {
            self.facts.learn(&mut self.ws).await;
        }
        let power = reading.state().power();
        if power == Some(Power::On) && self.last.is_some_and(|last| last != Power::On) {
            self.scan.note_power_on(self.now());
        }
        self.last = power.or(self.last);
        self.scan.note_reading();
        Ok(self.observation(&reading))
    }

    fn observation(&mut self, reading: &PowerReading) -> Observation {
        let about = DeviceIdentity {
            manufacturer: Some("Intel".into()),
            model: Some("Intel AMT".into()),
            firmware: self.facts.firmware.clone().or_else(|| self.version.clone()),
            mac: self.facts.mac,
            protocol: Some(self.protocol.into()),
            setup: self.facts.setup().map(str::to_owned),
            uuid: self.uuid,
            ..DeviceIdentity::default()
        };
        if *self.about != about {
            self.about = Arc::new(about);
        }
        let boot_targets = self.facts.boot_targets.clone();
        let capabilities = Capabilities {
            orders: reading.offered.clone().unwrap_or_default(),
            boot_targets: boot_targets.unwrap_or_else(|| super::KIND.boot_targets.into()),
        };
        if *self.capabilities != capabilities {
            self.capabilities = Arc::new(capabilities);
        }
        let unknown = (reading.state() == State::Unknown).then(|| Notice {
            key: "unknown-power-state",
            text: format!("the machine says PowerState {}, which has no known meaning", reading.number),
        });
        Observation {
            power: reading.state().power(),
            proof: self.proof,
            trust: self.trust.clone(),
            about: self.about.clone(),
            capabilities: Some(self.capabilities.clone()),
            scan_due: self.scan.due(self.now()),
            notices: self
                .facts
                .notices()
                .chain(self.scan.notice())
                .chain(self.not_cleared.clone())
                .chain(unknown)
                .collect(),
            ..Observation::default()
        }
    }

    /// Carries an order out.
    async fn carry_out(&mut self, order: PowerAction, boot: &BootOverride) -> Result<(), DeviceError> {
        if let Some(settled_at) = self.settled_at {
            self.ws.context().clock.sleep_until(settled_at).await;
        }
        let reading = self.look("order").await?;
        let power = reading.state().power();
        if !order.is_momentary() && power == Some(order.leads_to()) {
            return Ok(());
        }
        if let Some(obstacle) = reading.obstacle(order) {
            return Err(DeviceError::new(FailureClass::NotReady, obstacle));
        }
        // A machine that wakes up does not boot.
        let boots = order.boots() && !(order == PowerAction::On && power == Some(Power::Asleep));
        if boots {
            self.prepare_boot(boot).await?;
        }
        let overridden = boots && self.clear_at.is_some();
        if overridden {
            // Until the machine says otherwise it may be booting, and then the override is in use.
            self.clear_at = Some(self.now() + UNCERTAIN_BOOT);
        }
        let mut result = self.request(order).await;
        if result.as_ref().is_err_and(may_be_taken)
            && order.is_momentary()
            && let Ok(after) = self.look("order").await
            && after.shows_taken(order, &reading)
        {
            // No reading of the state would tell, and given again it would restart the machine twice.
            result = Ok(());
        }
        match &result {
            Ok(()) if overridden => self.clear_at = None,
            Err(fault) if overridden && !may_be_taken(fault) => self.clear_at = Some(self.now()),
            _ => {}
        }
        result.map_err(|fault| reading.explain(order, fault))
    }

    /// Sets the source of the boot that is about to be asked for.
    async fn prepare_boot(&mut self, boot: &BootOverride) -> Result<(), DeviceError> {
        let target = boot.in_force();
        if target == BootTarget::None {
            self.not_cleared = match boot::clear(&mut self.ws).await {
                Ok(refused) => refused.map(|fault| Notice {
                    key: "override-not-cleared",
                    text: format!("the machine did not let plugfish look for old boot overrides: {fault}"),
                }),
                Err(fault) => return Err(boot_error(target, fault)),
            };
            self.clear_at = None;
            return Ok(());
        }
        if self.facts.boot_targets.as_ref().is_some_and(|targets| !targets.contains(&target)) {
            let text = format!("the machine has no boot source {}, so it was not booted", target.name());
            return Err(DeviceError::new(FailureClass::Refused, text));
        }
        let plan = Plan::of(boot).map_err(|fault| boot_error(target, fault))?;
        self.clear_at = Some(self.now());
        boot::apply(&mut self.ws, &plan).await.map_err(|fault| boot_error(target, fault))?;
        self.not_cleared = None;
        Ok(())
    }

    async fn request(&mut self, order: PowerAction) -> Result<(), Fault> {
        let system = [("CreationClassName", "CIM_ComputerSystem"), ("Name", "ManagedSystem")];
        let parameters = [
            ("PowerState", number_of(order).into()),
            ("ManagedElement", Reference::new("CIM_ComputerSystem", &system).into()),
        ];
        let before = self.requested.replace(self.now());
        let made = self.ws.invoke("order", REQUEST_CLASS, REQUEST_METHOD, &parameters, Repeat::Never).await;
        let result = match made {
            Ok(output) if power::is_taken(output.return_value) => Ok(()),
            Ok(output) => Err(Fault::returned(REQUEST_CLASS, REQUEST_METHOD, output.return_value)),
            Err(fault) => Err(fault),
        };
        match &result {
            Err(fault) if !may_be_taken(fault) => self.requested = before,
            _ => {
                self.settled_at = order.boots().then(|| self.now() + self.times.settle);
                // The network passes between machine and engine now: what is sent on the old connection may get lost.
                self.ws.forget();
            }
        }
        result
    }

    /// Takes back an override that no boot has used, so that no foreign boot uses it later. Tried again at the next reading
    /// when it fails.
    async fn take_back(&mut self) {
        let clock = self.ws.context().clock.clone();
        if let Some(Ok(_)) = clock.limit(CLEAR_MAX, boot::clear(&mut self.ws)).await {
            self.clear_at = None;
        }
    }
}

/// After this failure of a power request the machine may do what it was asked for.
const fn may_be_taken(fault: &Fault) -> bool {
    match &fault.kind {
        Kind::Unanswered | Kind::InvalidResponse => true,
        Kind::Soap(code) => code.is_passing(),
        _ => false,
    }
}

/// Better no boot than one from another source than was asked for.
fn boot_error(target: BootTarget, fault: Fault) -> DeviceError {
    let class = match &fault.kind {
        Kind::Returned(value) => power::class_of(*value),
        _ => fault.class(),
    };
    let what = match target {
        BootTarget::None => "an old boot override could not be taken back".to_owned(),
        target => format!("the boot override {} could not be set", target.name()),
    };
    DeviceError::new(class, format!("{what}, so the machine was not booted: {fault}"))
}

fn silence(limit: Duration) -> Fault {
    Fault::new(Kind::Unanswered, format!("no answer within {} s", limit.as_secs()))
}

impl PowerDevice for AmtMachine {
    fn read(&mut self) -> DeviceFuture<'_, Observation> {
        Box::pin(self.read_all())
    }

    fn order(&mut self, order: PowerAction, boot: BootOverride) -> DeviceFuture<'_, ()> {
        Box::pin(async move {
            let clock = self.ws.context().clock.clone();
            let result = match clock.limit(ORDER_MAX, self.carry_out(order, &boot)).await {
                Some(result) => result,
                None => Err(silence(ORDER_MAX).into()),
            };
            if self.clear_at.is_some_and(|at| at <= self.now()) {
                self.take_back().await;
            }
            result
        })
    }

    fn scan(&mut self) -> DeviceFuture<'_, ScanResult> {
        Box::pin(async move {
            let clock = self.ws.context().clock.clone();
            let quick = self.study_late < STUDY_TRIES;
            let limit = if quick { STUDY_QUICK } else { STUDY_MAX };
            let step = clock.limit(limit, self.scan.step(&mut self.ws)).await;
            self.study_late = if step.is_none() && quick { self.study_late + 1 } else { 0 };
            match step {
                Some(findings) => Ok(findings?),
                None if quick => Ok(ScanResult { more: true, ..ScanResult::default() }),
                None => Err(silence(limit).into()),
            }
        })
    }

    fn forget_session(&mut self) {
        self.ws.forget();
        self.scan.note_session();
        self.facts.ask_anew();
        self.identity.ask_anew();
    }
}

#[cfg(test)]
mod tests;
