//! Authentication: accounts, passwords, sessions.
//!
//! Basic authentication comes with every request, and a password hash is slow on purpose. So a right password is cached
//! under a keyed digest for as long as it is used, and from then on costs a table lookup. Passwords are checked on a
//! blocking thread, one at a time (`queue.rs`), and an address that sends wrong ones is throttled (`throttle.rs`):
//! password guesses cannot take the CPU from clients that are logged in. Sessions, and Basic credentials that were
//! right before, are affected neither by guesses of other clients nor by the lockout of the account that these cause.

mod accounts;
mod audit;
mod pass;
mod password;
mod queue;
mod scopes;
mod sessions;
#[cfg(test)]
mod tests;
mod throttle;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::watch;

use crate::account::{AccessRules, AccountBook, AccountRecord, NodeScope, Role};
use crate::clock::{Clock, Mono, secret_bytes};
use crate::telemetry::Metrics;
pub(crate) use accounts::{AccountChange, AccountRefusal};
use audit::{Audit, Failure};
pub(crate) use audit::{AuditEntry, AuditKind};
pub(crate) use pass::Pass;
pub use password::hash_password;
pub(crate) use password::{PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN};
pub(crate) use scopes::Configured;
pub(in crate::http) use throttle::source;
use throttle::{Lockout, Throttle};

/// How long right credentials are remembered after their last use. A changed or disabled account ends it at once.
const VERDICT_LIFE: Duration = Duration::from_secs(3600);

/// Credentials remembered at once; clients use a handful of accounts.
const VERDICTS_MAX: usize = 256;

/// How long a password check may wait for its turn.
const CHECK_DEADLINE: Duration = Duration::from_secs(10);

/// How a login is asked for (RFC 7617): names and passwords in UTF-8.
pub(crate) const CHALLENGE: &str = "Basic realm=\"plugfish\", charset=\"UTF-8\"";

/// The authenticated client of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub name: Arc<str>,
    pub role: Role,
    /// The session it uses, if it uses one.
    pub session: Option<Arc<str>>,
    /// It has to change its password before it may do anything else.
    pub must_change_password: bool,
    /// The only nodes that it sees; all of them without.
    pub scope: Option<NodeScope>,
}

/// What a role may do (DSP0266, "Privilege model").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Nothing is needed, not even a login.
    None,
    /// `Login`: read.
    Login,
    /// `ConfigureSelf`: one's own session and password.
    ConfigureSelf,
    /// `ConfigureComponents`: power and boot.
    ConfigureComponents,
    /// `ConfigureManager`: the service itself.
    ConfigureManager,
    /// `ConfigureUsers`: accounts.
    ConfigureUsers,
}

impl Privilege {
    /// The name as Redfish spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Privilege::None => "NoAuth",
            Privilege::Login => "Login",
            Privilege::ConfigureSelf => "ConfigureSelf",
            Privilege::ConfigureComponents => "ConfigureComponents",
            Privilege::ConfigureManager => "ConfigureManager",
            Privilege::ConfigureUsers => "ConfigureUsers",
        }
    }

    /// The privileges of a role: those that DSP0266 assigns to the three standard ones.
    pub const fn of(role: Role) -> &'static [Privilege] {
        use Privilege::{ConfigureComponents, ConfigureManager, ConfigureSelf, ConfigureUsers, Login};
        match role {
            Role::Administrator => &[Login, ConfigureManager, ConfigureUsers, ConfigureSelf, ConfigureComponents],
            Role::Operator => &[Login, ConfigureComponents, ConfigureSelf],
            Role::ReadOnly => &[Login, ConfigureSelf],
        }
    }
}

impl Caller {
    /// The caller of every request with `auth: none`.
    pub fn anyone() -> Caller {
        let name = "anonymous".into();
        Caller { name, role: Role::Administrator, session: None, must_change_password: false, scope: None }
    }

    /// `name` is the account's; the caller often keeps it.
    fn of(account: &AccountRecord, name: Arc<str>, session: Option<Arc<str>>) -> Caller {
        let must_change_password = account.password_change_required;
        Caller { name, role: account.role, session, must_change_password, scope: account.scope.clone() }
    }

    /// Whether the caller has this privilege over the whole service. One who sees only some nodes changes nothing that
    /// concerns the others: neither accounts nor the service itself.
    pub fn may(&self, privilege: Privilege) -> bool {
        let is_shared = matches!(privilege, Privilege::ConfigureManager | Privilege::ConfigureUsers);
        !(is_shared && self.scope.is_some()) && self.may_on_node(privilege)
    }

    /// Whether the caller has this privilege over the nodes that it sees.
    pub fn may_on_node(&self, privilege: Privilege) -> bool {
        privilege == Privilege::None || Privilege::of(self.role).contains(&privilege)
    }

    /// Whether there is such a node for the caller.
    pub fn sees(&self, node: &str) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.has(node))
    }
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AuthError {
    /// The request has no credentials.
    #[error("no credentials")]
    Missing,
    /// Wrong ones, whichever part of them.
    #[error("wrong credentials")]
    Wrong,
    /// Too many checks wait already.
    #[error("too many logins at once")]
    Busy,
    /// Too many wrong ones came from this address.
    #[error("too many wrong credentials from this address; the next ones are looked at in {0:?}")]
    Slowed(Duration),
}

#[derive(Clone)]
struct CachedCredential {
    /// The account as it was; another one in its place ends the verdict.
    account: Arc<AccountRecord>,
    /// Who it lets in, made once: most reads end here.
    caller: Caller,
    until: Mono,
}

type Key = [u8; 32];

/// The tables of who may come in.
pub struct Authenticator {
    book: Arc<dyn AccountBook>,
    clock: Clock,
    required: bool,
    accounts: RwLock<HashMap<String, Arc<AccountRecord>>>,
    /// What nodes.yaml says of the accounts that it names.
    scopes: RwLock<scopes::Configured>,
    rules: RwLock<AccessRules>,
    sessions: RwLock<HashMap<Key, Arc<sessions::Session>>>,
    verdicts: RwLock<HashMap<Key, CachedCredential>>,
    salt: Key,
    /// One check at a time, here.
    checking: Arc<queue::CheckQueue>,
    lockout: Mutex<Lockout>,
    throttle: Mutex<Throttle>,
    audit: Audit,
    /// Told when an account or a session was changed or has ended.
    changes: watch::Sender<()>,
    /// One change of accounts at a time, from the look at what is there to its place in the tables.
    writing: tokio::sync::Mutex<()>,
}

impl Authenticator {
    /// The tables as the book has them. Without `required`, all callers are let in.
    pub fn new(book: Arc<dyn AccountBook>, clock: Clock, metrics: Arc<Metrics>, required: bool) -> Authenticator {
        let accounts = book.accounts().into_iter().map(|account| (account.username.clone(), Arc::new(account)));
        Authenticator {
            accounts: RwLock::new(accounts.collect()),
            scopes: RwLock::default(),
            rules: RwLock::new(book.rules()),
            sessions: RwLock::new(sessions::load(book.as_ref(), clock.now())),
            verdicts: RwLock::default(),
            salt: secret_bytes(),
            checking: Arc::default(),
            lockout: Mutex::default(),
            throttle: Mutex::default(),
            audit: Audit::new(metrics),
            changes: watch::Sender::default(),
            writing: tokio::sync::Mutex::default(),
            book,
            clock,
            required,
        }
    }

    /// Whether a login is wanted at all.
    pub fn wants_login(&self) -> bool {
        self.required
    }

    /// Who sends a request with these headers from this address.
    pub async fn check(
        &self,
        token: Option<&[u8]>,
        authorization: Option<&[u8]>,
        origin: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        if !self.required {
            return Ok(Caller::anyone());
        }
        if let Some(token) = token {
            return self.session_of(token).ok_or(AuthError::Wrong);
        }
        let credentials = basic(authorization.ok_or(AuthError::Missing)?).ok_or(AuthError::Wrong)?;
        let (name, password) = credentials.split_once(':').ok_or(AuthError::Wrong)?;
        let key = self.digest(name, password);
        if let Some(cached_credential) = self.remembered(&key) {
            return Ok(cached_credential.caller);
        }
        let account = self.prove(key, name, Zeroizing::new(password.to_owned()), origin).await?;
        self.audit.logged_in(name, None, origin, self.clock.now().mono);
        Ok(Caller::of(&account, name.into(), None))
    }

    /// The account whose name and password these are. Slow, and counted when they are wrong.
    async fn prove(
        &self,
        key: Key,
        name: &str,
        password: Zeroizing<String>,
        origin: Option<IpAddr>,
    ) -> Result<Arc<AccountRecord>, AuthError> {
        let failed = |account: Option<&str>, why| {
            self.audit.not_logged_in(account, why, origin, self.clock.now().mono);
            AuthError::Wrong
        };
        if let Err(pause) = self.throttle().take(origin, self.clock.now().mono) {
            failed(None, Failure::Slowed);
            return Err(AuthError::Slowed(pause));
        }
        let mut turn = match self.turn(origin).await {
            Ok(turn) => turn,
            Err(busy) => {
                failed(None, Failure::Busy);
                self.throttle().give_back(origin);
                return Err(busy);
            }
        };
        // Another request of the same client may have asked the same a moment ago.
        if let Some(cached_credential) = self.remembered(&key).filter(|_| !self.is_locked(name)) {
            self.throttle().give_back(origin);
            return Ok(cached_credential.account);
        }
        let account = read(&self.accounts).get(name).filter(|account| account.enabled).cloned();
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        let check = move || password::is_right(&password, hash.as_ref(), &mut turn.memory);
        let right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        let known = read(&self.accounts).contains_key(name).then_some(name);
        let account = account.ok_or_else(|| failed(known, Failure::Wrong))?;
        let locked = self.is_locked(name);
        if right && !locked {
            self.throttle().give_back(origin);
            self.checking.forget(origin);
            self.lockout().forget(name);
            self.remember(key, account.clone());
            return Ok(account);
        }
        if !right && self.lockout().failed(name, &self.rules(), self.clock.now().mono) {
            tracing::warn!(
                event = "account_locked",
                account = name,
                "too many wrong passwords; it takes none for a while"
            );
        }
        Err(failed(known, if locked { Failure::Locked } else { Failure::Wrong }))
    }

    /// Notes in the log that a request which would change something was answered.
    pub fn note_write(&self, by: &Caller, from: Option<IpAddr>, method: &str, path: &str, status: u16) {
        self.audit.wrote(by, from, method, path, status, self.clock.now().mono);
    }

    /// Whether too many wrong passwords have locked the account of this name.
    pub fn is_locked(&self, name: &str) -> bool {
        self.lockout().is_locked(name, self.clock.now().mono)
    }

    /// A turn for a check that this address asks for; without one, for a caller who is known already.
    async fn turn(&self, origin: Option<IpAddr>) -> Result<queue::Permit, AuthError> {
        let turn = self.checking.turn(origin, self.clock.now().mono);
        self.clock.limit(CHECK_DEADLINE, turn).await.flatten().ok_or(AuthError::Busy)
    }

    fn digest(&self, name: &str, password: &str) -> Key {
        let whole = Sha256::new().chain_update(self.salt).chain_update(name.len().to_le_bytes());
        whole.chain_update(name).chain_update(password).finalize().into()
    }

    fn remembered(&self, key: &Key) -> Option<CachedCredential> {
        let now = self.clock.now().mono;
        let cached_credential =
            read(&self.verdicts).get(key).filter(|cached_credential| now < cached_credential.until).cloned()?;
        let stands = |current: &Arc<AccountRecord>| current.enabled && Arc::ptr_eq(current, &cached_credential.account);
        if !read(&self.accounts).get(&cached_credential.account.username).is_some_and(stands) {
            return None;
        }
        if cached_credential.until.since(now) < VERDICT_LIFE / 2
            && let Some(cached_credential) = write(&self.verdicts).get_mut(key)
        {
            cached_credential.until = now + VERDICT_LIFE;
        }
        Some(cached_credential)
    }

    fn remember(&self, key: Key, account: Arc<AccountRecord>) {
        let now = self.clock.now().mono;
        let mut verdicts = write(&self.verdicts);
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.retain(|_, cached_credential| now < cached_credential.until);
        }
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.clear();
        }
        let caller = Caller::of(&account, account.username.as_str().into(), None);
        verdicts.insert(key, CachedCredential { account, caller, until: now + VERDICT_LIFE });
    }

    fn lockout(&self) -> MutexGuard<'_, Lockout> {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// What `Basic dXNlcjpwYXNz` holds: `user:pass`. What is not UTF-8 is read as Latin-1, which is what clients sent before
/// RFC 7617, and what python-requests still sends.
pub(super) fn basic(header: &[u8]) -> Option<Zeroizing<String>> {
    let (scheme, rest) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut bytes = Zeroizing::new(BASE64_STANDARD.decode(rest.trim_ascii()).ok()?);
    if std::str::from_utf8(&bytes).is_err() {
        // Room for all of it from the start: a text that grows would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
        text.extend(bytes.iter().map(|byte| char::from(*byte)));
        return Some(text);
    }
    String::from_utf8(std::mem::take(&mut *bytes)).ok().map(Zeroizing::new)
}
