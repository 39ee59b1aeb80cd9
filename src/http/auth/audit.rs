//! Logins, failed logins and changes by clients, with account and address: a counter, a line in the log and a Redfish
//! event for each. fail2ban reads the line of a failed login (`packaging/fail2ban`), so its text must not change.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::{self, Receiver, Sender};

use super::Caller;
use crate::clock::Mono;
use crate::telemetry::Metrics;

/// Lines of a kind at once. A person who mistypes, and a program with an old password in all its workers, fit in.
const LINES_MAX: u32 = 100;

/// How long it takes until one more is allowed: guesses from a thousand addresses fill 15 MB of a log in a day.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Entries that wait for the hub of events. Budgets allow some 200 at once; a hub that is later than that misses some.
const HEARD_MAX: usize = 512;

/// What stands in the place of a name that is not one of an account: it may be a password in the wrong field.
const UNKNOWN: &str = "(unknown)";

/// How a login ended, as the metric names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// A name or a password that is wrong, or an account that is disabled.
    Wrong,
    /// The account is locked; the password may be right.
    Locked,
    /// Too many wrong ones came from the address: this one was not looked at.
    Slowed,
    /// Too many logins at once: this one was not looked at.
    Busy,
}

impl Failure {
    const fn name(self) -> &'static str {
        match self {
            Failure::Wrong => "wrong",
            Failure::Locked => "locked",
            Failure::Slowed => "slowed",
            Failure::Busy => "busy",
        }
    }
}

/// Lines of one kind: [`LINES_MAX`] at once, then one every [`LINE_EVERY`]. What is left out is counted.
#[derive(Default)]
struct Budget {
    /// The moment at which all lines are allowed again.
    whole_at: Mono,
    left_out: u64,
}

impl Budget {
    /// Whether a line may be written now, and how many before it were left out.
    fn take(&mut self, now: Mono) -> Option<u64> {
        let whole_at = self.whole_at.max(now) + LINE_EVERY;
        if whole_at.since(now) > LINE_EVERY * LINES_MAX {
            self.left_out += 1;
            return None;
        }
        self.whole_at = whole_at;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// What an entry is about. The names are those of messages in our registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuditKind {
    LoggedIn,
    LoggedOut,
    LoginFailed,
    Changed,
    ChangeRefused,
}

/// One entry of the audit, for subscribers of events.
#[derive(Clone, Debug)]
pub(crate) struct AuditEntry {
    pub kind: AuditKind,
    /// In words, with account and address.
    pub text: String,
}

/// See the top of the file.
pub(super) struct Audit {
    metrics: Arc<Metrics>,
    failed: Mutex<Budget>,
    opened: Mutex<Budget>,
    refused: Mutex<Budget>,
    changed: Mutex<Budget>,
    entries: Sender<AuditEntry>,
}

impl Audit {
    pub(super) fn new(metrics: Arc<Metrics>) -> Audit {
        let budget = Mutex::<Budget>::default;
        let entries = broadcast::channel(HEARD_MAX).0;
        Audit { metrics, failed: budget(), opened: budget(), refused: budget(), changed: budget(), entries }
    }

    /// The entries from now on.
    pub(super) fn entries(&self) -> Receiver<AuditEntry> {
        self.entries.subscribe()
    }

    /// Without a receiver there is no hub of events, and nothing to do.
    fn emit(&self, kind: AuditKind, text: String) {
        let _ = self.entries.send(AuditEntry { kind, text });
    }

    /// A password was right: of a session that begins, or of credentials that come with each request.
    pub(super) fn logged_in(&self, account: &str, session: Option<&str>, from: Option<IpAddr>, now: Mono) {
        self.metrics.login("ok");
        let Some(left_out) = take(&self.opened, now) else { return };
        let (address, session) = (shown(from), session.unwrap_or_default());
        tracing::info!(event = "logged_in", account, %address, session, left_out, "login of {account:?} from {address}");
        self.emit(AuditKind::LoggedIn, format!("{account} logged in from {address}"));
    }

    /// A login was refused. `account` is its name where there is one.
    pub(super) fn not_logged_in(&self, account: Option<&str>, why: Failure, from: Option<IpAddr>, now: Mono) {
        self.metrics.login(why.name());
        if matches!(why, Failure::Slowed | Failure::Busy) {
            return;
        }
        let Some(left_out) = take(&self.failed, now) else { return };
        let (address, account, why) = (shown(from), account.unwrap_or(UNKNOWN), why.name());
        tracing::warn!(event = "login_failed", account, %address, why, left_out, "login failed from {address}");
        self.emit(AuditKind::LoginFailed, format!("a login of {account} from {address} was refused: {why}"));
    }

    /// A session was ended by a client.
    pub(super) fn logged_out(&self, account: &str, session: &str, by: &Caller, from: Option<IpAddr>) {
        let (address, by) = (shown(from), by.name.as_ref());
        tracing::info!(event = "logged_out", account, session, by, %address, "a session was ended");
        self.emit(AuditKind::LoggedOut, format!("{by} ended a session of {account}, from {address}"));
    }

    /// A request that would change something was answered.
    pub(super) fn wrote(&self, by: &Caller, from: Option<IpAddr>, method: &str, path: &str, status: u16, now: Mono) {
        let (address, by) = (shown(from), by.name.as_ref());
        match status {
            200..300 => {
                tracing::info!(event = "changed", by, %address, method, path, status, "a client's change was taken");
                if take(&self.changed, now).is_some() {
                    self.emit(AuditKind::Changed, format!("{by} changed something from {address}: {method} {path}"));
                }
            }
            403 => {
                let Some(left_out) = take(&self.refused, now) else { return };
                tracing::warn!(
                    event = "change_refused", by, %address, method, path, left_out, "an account tried what it may not do"
                );
                let text = format!("{by} tried from {address} what its role does not allow: {method} {path}");
                self.emit(AuditKind::ChangeRefused, text);
            }
            _ => {}
        }
    }
}

fn take(budget: &Mutex<Budget>, now: Mono) -> Option<u64> {
    budget.lock().unwrap_or_else(PoisonError::into_inner).take(now)
}

/// The address of a client; a socket that is gone has none.
fn shown(from: Option<IpAddr>) -> String {
    from.map_or_else(|| "unknown".into(), |address| address.to_canonical().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_what_is_left_out_is_counted() {
        let mut budget = Budget::default();
        let at = |seconds| Mono::after_start(Duration::from_secs(seconds));
        let written = (0..1000).filter(|_| budget.take(at(0)).is_some()).count();
        assert_eq!(written, LINES_MAX as usize);
        assert_eq!(budget.take(at(1)), Some(900), "one more, and how many are missing");
        assert_eq!((budget.take(at(1)), budget.take(at(2))), (None, Some(1)));
        assert_eq!((0..1000).filter(|_| budget.take(at(10_000)).is_some()).count(), LINES_MAX as usize);
    }
}
