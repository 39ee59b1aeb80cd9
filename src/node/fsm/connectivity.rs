//! The device that fails: how long to wait, when to give it up, and when not even to try.

use std::time::Duration;

use super::{Fsm, Moment};
use crate::clock::{Mono, Now, Wall};
use crate::node::device::{DeviceError, DeviceKind, FailureClass, Observation};
use crate::node::event::EventKind;
use crate::node::view::ConnectivityView;
use crate::node::{Health, NodeSpec, Refusal};

/// Failures in a row after which `Status.Health` falls to `Warning`: one or two are ordinary Wi-Fi.
pub(super) const WARN_FAILURES: u32 = 3;

/// Failures in a row after which the breaker opens. With the pauses between them (1, 2, 4, 8 s) this is about 15 s of
/// silence, longer than any hiccup and short enough that a client learns of it within one of its own time-outs.
pub(super) const BREAKER_FAILURES: u32 = 5;

/// The first pause after a failure; it doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);

/// The longest pause: a device that came back is found within a minute.
const BACKOFF_LONGEST: Duration = Duration::from_secs(60);

/// Spread of the pauses, so that a rack that lost its network does not come back in step.
const BACKOFF_JITTER: f64 = 0.1;

/// A device that asked for rest gets at least this.
const BUSY_REST: Duration = Duration::from_secs(5);

/// A device that refuses to be read is wrongly configured; asking it more often changes nothing.
const REFUSED_RETRY: Duration = Duration::from_secs(30);

/// How long a refused login is left alone: plugs lock themselves after some wrong ones, and each try prolongs it.
pub(super) const LOGIN_HOLD: Duration = Duration::from_secs(30 * 60);

/// A person's command may try a refused login again, but not more often than this: a client that repeats its command
/// in a loop is no person.
const LOGIN_TRY_GAP: Duration = Duration::from_secs(60);

/// What is known of the connection to the device.
#[derive(Clone, Debug, Default)]
pub(super) enum Connectivity {
    /// It answered when it was last asked, or was not asked yet.
    #[default]
    Well,
    /// It failed when it was last asked.
    Failing(Failing),
}

/// A device that fails. The breaker and the hold are not in each other's way: a device may be given up and then refuse the
/// login.
#[derive(Clone, Debug)]
pub(super) struct Failing {
    /// The last failure.
    error: DeviceError,
    /// When it failed first.
    since: (Mono, Wall),
    /// From the first failure to the last one.
    silent_for: Duration,
    /// In a row, apart from those that are about the login.
    failures: u32,
    retry_at: Mono,
    breaker: Breaker,
    hold: Option<Hold>,
}

/// Whether new commands go to the device at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaker {
    Closed,
    Open,
}

/// A refused login that is left alone.
#[derive(Clone, Debug)]
struct Hold {
    until: Mono,
    until_wall: Wall,
    tried: Mono,
    locked: bool,
    text: String,
}

impl Connectivity {
    fn failing(&self) -> Option<&Failing> {
        match self {
            Connectivity::Well => None,
            Connectivity::Failing(failing) => Some(failing),
        }
    }

    /// When a failing device is tried again; `None` while it is well.
    pub(super) fn retry_at(&self) -> Option<Mono> {
        self.failing().map(|failing| failing.retry_at)
    }

    /// Forgets the pauses: someone wants it tried now.
    pub(super) fn try_now(&mut self, now: Mono) {
        if let Connectivity::Failing(failing) = self {
            (failing.hold, failing.retry_at) = (None, now);
        }
    }

    /// The device answered. True when it had been given up.
    pub(super) fn succeeded(&mut self) -> bool {
        match std::mem::take(self) {
            Connectivity::Well => false,
            Connectivity::Failing(before) => before.breaker == Breaker::Open || before.hold.is_some(),
        }
    }

    /// The device failed. What is to be told of it, if anything.
    pub(super) fn failed(&mut self, error: &DeviceError, moment: Moment, kind: &DeviceKind) -> Option<EventKind> {
        let mut failing = match std::mem::take(self) {
            Connectivity::Well => Failing::begun(error, moment.now),
            Connectivity::Failing(failing) => failing,
        };
        let told = failing.failed(error, moment, kind);
        *self = Connectivity::Failing(failing);
        told
    }

    /// Why a new command is refused now, if it is.
    pub(super) fn refusal(&self, spec: &NodeSpec, now: Mono) -> Option<Refusal> {
        self.failing()?.refusal(spec, now)
    }

    /// What is wrong with the connection, in words: the name of the message, its severity, the text, and since when.
    pub(super) fn trouble(&self, device: &str, kind: &DeviceKind) -> Option<(&'static str, Health, String, Wall)> {
        self.failing()?.trouble(device, kind)
    }

    /// The last failure in words, while the device fails.
    pub(super) fn error(&self) -> Option<&str> {
        self.failing().map(|failing| failing.error.text.as_str())
    }

    /// What readers see of it.
    pub(super) fn view(&self) -> ConnectivityView {
        self.failing().map(Failing::view).unwrap_or_default()
    }
}

impl Failing {
    /// The first failure of a device that was well.
    fn begun(error: &DeviceError, now: Now) -> Failing {
        Failing {
            error: error.clone(),
            since: (now.mono, now.wall),
            silent_for: Duration::ZERO,
            failures: 0,
            retry_at: now.mono,
            breaker: Breaker::Closed,
            hold: None,
        }
    }

    /// One more failure. What is to be told of it, if anything.
    fn failed(&mut self, error: &DeviceError, moment: Moment, kind: &DeviceKind) -> Option<EventKind> {
        let Now { mono, wall } = moment.now;
        self.error = error.clone();
        self.silent_for = mono.since(self.since.0);
        if matches!(error.class, FailureClass::Auth | FailureClass::Locked) {
            let until_wall = wall + LOGIN_HOLD;
            self.hold = Some(Hold {
                until: mono + LOGIN_HOLD,
                until_wall,
                tried: mono,
                locked: error.class == FailureClass::Locked,
                text: error.text.clone(),
            });
            self.retry_at = mono + LOGIN_HOLD;
            return Some(EventKind::LoginRefused { why: error.text.clone(), until: until_wall });
        }
        if self.hold.as_ref().is_some_and(|hold| mono < hold.until) {
            // A try in between failed for another reason: the login is still to be left alone.
            return None;
        }
        self.hold = None;
        self.failures = self.failures.saturating_add(1);
        let pause = match error.class {
            FailureClass::Refused | FailureClass::Distrusted => REFUSED_RETRY,
            FailureClass::Busy => backoff(self.failures).max(BUSY_REST),
            _ => backoff(self.failures),
        };
        self.retry_at = mono + pause.mul_f64((1.0 + moment.unit_jitter * BACKOFF_JITTER).max(0.0));
        if self.breaker == Breaker::Open {
            return None;
        }
        if error.class == FailureClass::Distrusted {
            self.breaker = Breaker::Open;
            return Some(EventKind::DeviceDistrusted { why: error.text.clone() });
        }
        if self.failures >= BREAKER_FAILURES && self.silent_for >= kind.silence_max {
            self.breaker = Breaker::Open;
            return Some(EventKind::DeviceLost { why: error.text.clone() });
        }
        None
    }

    fn refusal(&self, spec: &NodeSpec, now: Mono) -> Option<Refusal> {
        /// `Retry-After` has whole seconds, and zero would be an invitation to hammer.
        const SOONEST: Duration = Duration::from_secs(1);
        let (node, device) = (spec.id.clone(), spec.device.clone());
        if let Some(hold) = self.hold.as_ref().filter(|hold| now < hold.until) {
            let next = if hold.locked { hold.until } else { hold.tried + LOGIN_TRY_GAP };
            let why = format!("{}; not trying again by itself before {}", hold.text, hold.until_wall);
            return (now < next).then(|| Refusal::LoginHeld {
                node,
                device,
                why,
                retry_after: next.since(now).max(SOONEST),
            });
        }
        let (why, retry_after) = (self.error.text.clone(), self.retry_at.since(now).max(SOONEST));
        (self.breaker == Breaker::Open).then_some(Refusal::DeviceAway { node, device, why, retry_after })
    }

    fn trouble(&self, device: &str, kind: &DeviceKind) -> Option<(&'static str, Health, String, Wall)> {
        let (error, (_, since)) = (&self.error, self.since);
        if let Some(hold) = &self.hold {
            let text =
                format!("{device} refused the login: {}; not trying again before {}", hold.text, hold.until_wall);
            return Some(("LoginRefused", Health::Critical, text, since));
        }
        let severity = match self.failures {
            _ if self.breaker == Breaker::Open || error.class == FailureClass::Refused => Health::Critical,
            // Half of the silence that is ordinary for it gives no reason to worry anyone.
            WARN_FAILURES.. if self.silent_for >= kind.silence_max / 2 => Health::Warning,
            _ => return None,
        };
        let words = match error.class {
            FailureClass::Refused => "is not to be used",
            FailureClass::Distrusted => "is not believed",
            _ => "does not answer",
        };
        Some(("DeviceAway", severity, format!("{device} {words}: {}", error.text), since))
    }

    fn view(&self) -> ConnectivityView {
        ConnectivityView {
            failures: self.failures,
            last_error: Some(self.error.text.clone()),
            breaker_open: self.breaker == Breaker::Open,
            held_until: self.hold.as_ref().map(|hold| hold.until_wall),
        }
    }
}

impl Fsm {
    /// Another machine at the device's address is neither believed nor switched.
    pub(super) fn same_machine(&self, observation: &Observation) -> Result<(), DeviceError> {
        // An operator who gives a node another address means another machine, or the same one: it is not for us to doubt.
        let before = self.seen.as_ref().filter(|seen| seen.device == self.spec.device).and_then(|seen| seen.about.uuid);
        let (Some(known), Some(now)) = (self.spec.inventory.uuid.or(before), observation.about.uuid) else {
            return Ok(());
        };
        if known == now {
            return Ok(());
        }
        let text = format!(
            "another machine answers there: its UUID is {now}, and this node's is {known}; put the address right, or if \
             the machine was replaced, write the new UUID into its inventory in nodes.yaml"
        );
        Err(DeviceError::new(FailureClass::Refused, text))
    }
}

/// 1, 2, 4 ... 60 s.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(6);
    (BACKOFF_FIRST * 2u32.pow(doublings)).min(BACKOFF_LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses: Vec<u64> = (1..=9).map(|failures| backoff(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff(u32::MAX).as_secs(), 60);
    }
}
