//! Who is asking: accounts, passwords, sessions.
//!
//! Basic authentication comes with every request, and a password hash is slow on purpose; so a verdict is remembered
//! for a while under a keyed digest of the header, and costs a look into a table from then on. Passwords are checked on
//! a blocking thread, one at a time: a flood of guesses cannot take the CPU from those who are in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::account::{AccountBook, AccountRecord, Role, SessionRecord};
use crate::clock::{Clock, Mono, Wall, secret_bytes};

/// How long a verdict about a Basic header is believed. A changed or disabled account ends it at once.
const VERDICT_LIFE: Duration = Duration::from_secs(600);

/// Verdicts remembered at once; clients use a handful of accounts.
const VERDICTS_MAX: usize = 256;

/// `SessionService.SessionTimeout`: a session that is not used for this long is over.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(1800);

/// Sessions at once. Ironic leaves sessions behind when it is killed; the one idle for longest makes room.
pub const SESSIONS_MAX: usize = 64;

/// How often the last use of a session is written down.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// How long a password check may wait for its turn.
const CHECK_DEADLINE: Duration = Duration::from_secs(10);

/// Longest password that is hashed: hashing more is work for nothing.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account's name.
    pub name: Arc<str>,
    /// What it may do.
    pub role: Role,
    /// The session it uses, if it uses one.
    pub session: Option<String>,
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

impl Caller {
    /// The one who asks where no login is wanted.
    pub fn anyone() -> Caller {
        Caller { name: "anonymous".into(), role: Role::Administrator, session: None }
    }

    /// Whether the caller's role has this privilege.
    pub fn may(&self, privilege: Privilege) -> bool {
        match privilege {
            Privilege::None | Privilege::Login | Privilege::ConfigureSelf => true,
            Privilege::ConfigureComponents => self.role != Role::ReadOnly,
            Privilege::ConfigureManager | Privilege::ConfigureUsers => self.role == Role::Administrator,
        }
    }
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AuthError {
    /// No credentials.
    #[error("no credentials")]
    Missing,
    /// Wrong ones, whichever part of them.
    #[error("wrong credentials")]
    Wrong,
    /// Too many checks wait already.
    #[error("too many logins at once")]
    Busy,
}

struct Session {
    record: SessionRecord,
    last_used: AtomicI64,
}

#[derive(Clone)]
struct Verdict {
    caller: Caller,
    change: u64,
    until: Mono,
}

type Key = [u8; 32];

/// The tables of who may come in.
pub struct Access {
    book: Arc<dyn AccountBook>,
    clock: Clock,
    required: bool,
    accounts: RwLock<HashMap<String, Arc<AccountRecord>>>,
    sessions: RwLock<HashMap<Key, Arc<Session>>>,
    verdicts: RwLock<HashMap<Key, Verdict>>,
    salt: Key,
    checking: Semaphore,
}

impl Access {
    /// The tables as the book has them. Without `required`, everybody is let in.
    pub fn new(book: Arc<dyn AccountBook>, clock: Clock, required: bool) -> Access {
        let accounts = book.accounts().into_iter().map(|account| (account.username.clone(), Arc::new(account)));
        let sessions = book.sessions().into_iter().filter_map(|record| {
            let key = <Key>::try_from(hex::decode(&record.token_hash).ok()?).ok()?;
            let last_used = AtomicI64::new(record.last_used.0);
            Some((key, Arc::new(Session { record, last_used })))
        });
        Access {
            accounts: RwLock::new(accounts.collect()),
            sessions: RwLock::new(sessions.collect()),
            verdicts: RwLock::default(),
            salt: secret_bytes(),
            checking: Semaphore::new(1),
            book,
            clock,
            required,
        }
    }

    /// Who sends a request with these headers.
    pub async fn check(&self, token: Option<&[u8]>, authorization: Option<&[u8]>) -> Result<Caller, AuthError> {
        if !self.required {
            return Ok(Caller::anyone());
        }
        if let Some(token) = token {
            return self.session_of(token).ok_or(AuthError::Wrong);
        }
        let header = authorization.ok_or(AuthError::Missing)?;
        let key = self.digest(header);
        if let Some(caller) = self.remembered(&key) {
            return Ok(caller);
        }
        let (name, password) = basic(header).ok_or(AuthError::Wrong)?;
        let _turn = self.turn().await?;
        if let Some(caller) = self.remembered(&key) {
            return Ok(caller);
        }
        let account = self.password_is_right(&name, password).await.ok_or(AuthError::Wrong)?;
        let caller = Caller { name: account.username.as_str().into(), role: account.role, session: None };
        self.remember(key, &account, caller.clone());
        Ok(caller)
    }

    /// Checks a name and a password, slowly.
    pub async fn login(&self, name: &str, password: &str) -> Result<Caller, AuthError> {
        let _turn = self.turn().await?;
        let password = Zeroizing::new(password.to_owned());
        let account = self.password_is_right(name, password).await.ok_or(AuthError::Wrong)?;
        Ok(Caller { name: account.username.as_str().into(), role: account.role, session: None })
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, AuthError> {
        let turn = self.clock.limit(CHECK_DEADLINE, self.checking.acquire()).await;
        turn.and_then(Result::ok).ok_or(AuthError::Busy)
    }

    async fn password_is_right(&self, name: &str, password: Zeroizing<String>) -> Option<Arc<AccountRecord>> {
        let account = read(&self.accounts).get(name).filter(|account| account.enabled).cloned();
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        if password.len() > PASSWORD_BYTES_MAX {
            return None;
        }
        let check = move || match PasswordHash::new(hash.as_ref().unwrap_or(&NOBODY)) {
            Ok(hash) => argon2().verify_password(password.as_bytes(), &hash).is_ok(),
            Err(_) => false,
        };
        let right = tokio::task::spawn_blocking(check).await.unwrap_or(false);
        account.filter(|_| right)
    }

    fn digest(&self, header: &[u8]) -> Key {
        Sha256::new().chain_update(self.salt).chain_update(header).finalize().into()
    }

    fn remembered(&self, key: &Key) -> Option<Caller> {
        let verdicts = read(&self.verdicts);
        let verdict = verdicts.get(key).filter(|verdict| self.clock.now().mono < verdict.until)?;
        let accounts = read(&self.accounts);
        let account = accounts.get(verdict.caller.name.as_ref())?;
        (account.enabled && account.change == verdict.change).then(|| verdict.caller.clone())
    }

    fn remember(&self, key: Key, account: &AccountRecord, caller: Caller) {
        let now = self.clock.now().mono;
        let mut verdicts = write(&self.verdicts);
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.retain(|_, verdict| now < verdict.until);
        }
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.clear();
        }
        verdicts.insert(key, Verdict { caller, change: account.change, until: now + VERDICT_LIFE });
    }

    /// Opens a session; its record and its token.
    pub fn open_session(&self, caller: &Caller, origin: Option<String>) -> (SessionRecord, String) {
        let token = hex::encode(secret_bytes::<16>());
        let key = token_key(token.as_bytes());
        let now = self.clock.now().wall;
        let record = SessionRecord {
            id: hex::encode(secret_bytes::<8>()),
            token_hash: hex::encode(key),
            username: caller.name.as_ref().into(),
            origin,
            created: now,
            last_used: now,
        };
        let session = Session { record: record.clone(), last_used: AtomicI64::new(now.0) };
        let mut sessions = write(&self.sessions);
        let over = sessions.iter().filter(|(_, session)| session.is_over(now));
        let mut gone: Vec<Key> = over.map(|(key, _)| *key).collect();
        while sessions.len() - gone.len() >= SESSIONS_MAX {
            let still_there = sessions.iter().filter(|(key, _)| !gone.contains(*key));
            let idle_longest = still_there.min_by_key(|(_, session)| session.last_used.load(Ordering::Relaxed));
            let Some((key, _)) = idle_longest else { break };
            gone.push(*key);
        }
        for session in gone.iter().filter_map(|key| sessions.remove(key)) {
            self.book.delete_session(&session.record.id);
        }
        sessions.insert(key, Arc::new(session));
        self.book.put_session(record.clone());
        (record, token)
    }

    fn session_of(&self, token: &[u8]) -> Option<Caller> {
        let session = read(&self.sessions).get(&token_key(token)).cloned()?;
        let now = self.clock.now().wall;
        let account = read(&self.accounts).get(&session.record.username).cloned().filter(|account| account.enabled)?;
        if session.is_over(now) {
            return None;
        }
        let before = session.last_used.load(Ordering::Relaxed);
        if now.since(Wall(before)) >= TOUCH_EVERY || before > now.0 {
            session.last_used.store(now.0, Ordering::Relaxed);
            self.book.put_session(SessionRecord { last_used: now, ..session.record.clone() });
        }
        let (name, id) = (session.record.username.as_str().into(), session.record.id.clone());
        Some(Caller { name, role: account.role, session: Some(id) })
    }

    /// All sessions that are not over, the oldest first.
    pub fn sessions(&self) -> Vec<SessionRecord> {
        let now = self.clock.now().wall;
        let live = read(&self.sessions);
        let mut records: Vec<SessionRecord> =
            live.values().filter(|session| !session.is_over(now)).map(|session| session.record.clone()).collect();
        records.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        records
    }

    /// Ends a session.
    pub fn end_session(&self, id: &str) {
        write(&self.sessions).retain(|_, session| session.record.id != id);
        self.book.delete_session(id);
    }
}

impl Session {
    fn is_over(&self, now: Wall) -> bool {
        now.since(Wall(self.last_used.load(Ordering::Relaxed))) > SESSION_TIMEOUT
    }
}

fn token_key(token: &[u8]) -> Key {
    Sha256::digest(token).into()
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// `Basic dXNlcjpwYXNz`.
fn basic(header: &[u8]) -> Option<(String, Zeroizing<String>)> {
    let (scheme, rest) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(rest.trim_ascii()).ok()?);
    let text = std::str::from_utf8(&bytes).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), Zeroizing::new(password.to_owned())))
}

/// Checked when there is no such account, so that the time it takes does not tell.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_password("nobody knows this one").unwrap_or_default());

/// argon2id with 7 MiB and 5 passes: one of OWASP's equal choices, and the one that fits a small box.
fn argon2() -> Argon2<'static> {
    let params = Params::new(7 * 1024, 5, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// A password as a PHC string, as `password_hash` in nodes.yaml wants it.
pub fn hash_password(password: &str) -> Result<String, argon2::password_hash::Error> {
    let salt = secret_bytes::<16>();
    Ok(argon2().hash_password_with_salt(password.as_bytes(), &salt)?.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::account::AccountFuture;

    #[derive(Default)]
    struct Book(Mutex<Vec<AccountRecord>>, Mutex<HashMap<String, SessionRecord>>);

    impl AccountBook for Book {
        fn accounts(&self) -> Vec<AccountRecord> {
            self.0.lock().unwrap().clone()
        }
        fn put_account(&self, account: AccountRecord) -> AccountFuture {
            self.0.lock().unwrap().push(account);
            Box::pin(async { Ok(()) })
        }
        fn delete_account(&self, username: &str) -> AccountFuture {
            self.0.lock().unwrap().retain(|account| account.username != username);
            Box::pin(async { Ok(()) })
        }
        fn sessions(&self) -> Vec<SessionRecord> {
            self.1.lock().unwrap().values().cloned().collect()
        }
        fn put_session(&self, session: SessionRecord) {
            self.1.lock().unwrap().insert(session.id.clone(), session);
        }
        fn delete_session(&self, id: &str) {
            self.1.lock().unwrap().remove(id);
        }
    }

    fn book(password: &str) -> Arc<Book> {
        let account = |username: &str, role, enabled| AccountRecord {
            username: username.into(),
            password_hash: hash_password(password).unwrap(),
            role,
            enabled,
            change: 1,
            password_change_required: false,
            created: Wall(0),
        };
        let accounts = vec![account("admin", Role::Administrator, true), account("old", Role::Administrator, false)];
        Arc::new(Book(Mutex::new(accounts), Mutex::default()))
    }

    fn header(name: &str, password: &str) -> Vec<u8> {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}"))).into_bytes()
    }

    #[tokio::test]
    async fn basic_is_checked_once_and_then_remembered() {
        let access = Access::new(book("s3cret:with colon"), Clock::system(), true);
        let good = header("admin", "s3cret:with colon");
        assert_eq!(access.check(None, None).await, Err(AuthError::Missing));
        for bad in [header("admin", "S3cret:with colon"), header("old", "s3cret:with colon"), b"Basic %".to_vec()] {
            assert_eq!(access.check(None, Some(&bad)).await, Err(AuthError::Wrong));
        }
        assert_eq!(access.check(None, Some(b"Bearer x")).await, Err(AuthError::Wrong));
        let slow = access.clock.now().mono;
        let caller = access.check(None, Some(&good)).await.unwrap();
        let quick = access.clock.now().mono;
        assert_eq!((caller.name.as_ref(), caller.role), ("admin", Role::Administrator));
        assert_eq!(access.check(None, Some(&good)).await.unwrap(), caller);
        let end = access.clock.now().mono;
        assert!(end.since(quick) * 5 < quick.since(slow), "{:?} {:?}", end.since(quick), quick.since(slow));
    }

    #[tokio::test]
    async fn a_changed_account_ends_its_verdicts() {
        let access = Access::new(book("one"), Clock::system(), true);
        let good = header("admin", "one");
        assert!(access.check(None, Some(&good)).await.is_ok());
        let changed = AccountRecord { enabled: false, ..(*access.accounts.read().unwrap()["admin"]).clone() };
        access.accounts.write().unwrap().insert("admin".into(), Arc::new(changed));
        assert_eq!(access.check(None, Some(&good)).await, Err(AuthError::Wrong));
    }

    #[tokio::test]
    async fn sessions_live_in_the_book_and_the_oldest_idle_one_makes_room() {
        let book = book("one");
        let access = Access::new(book.clone(), Clock::system(), true);
        let caller = access.login("admin", "one").await.unwrap();
        let (first, token) = access.open_session(&caller, None);
        assert!(!format!("{:?}", book.sessions()).contains(&token));
        assert_eq!(access.check(Some(token.as_bytes()), None).await.unwrap().session, Some(first.id.clone()));
        let again = Access::new(book.clone(), Clock::system(), true);
        assert!(again.check(Some(token.as_bytes()), None).await.is_ok(), "a restart keeps it");
        for _ in 0..SESSIONS_MAX {
            tokio::time::sleep(Duration::from_millis(1)).await; // creation times in milliseconds must differ
            access.open_session(&caller, None);
        }
        assert_eq!(access.sessions().len(), SESSIONS_MAX);
        assert_eq!(access.check(Some(token.as_bytes()), None).await, Err(AuthError::Wrong));
        access.end_session(&access.sessions()[0].id);
        assert_eq!((access.sessions().len(), book.sessions().len()), (SESSIONS_MAX - 1, SESSIONS_MAX - 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_session_is_over_and_a_used_one_is_not() {
        let access = Access::new(book("one"), Clock::simulated(1, Wall(1_795_000_000_000)), true);
        let (_, token) = access.open_session(&Caller { name: "admin".into(), ..Caller::anyone() }, None);
        for _ in 0..4 {
            access.clock.sleep(SESSION_TIMEOUT - Duration::from_secs(100)).await;
            assert!(access.check(Some(token.as_bytes()), None).await.is_ok());
        }
        access.clock.sleep(SESSION_TIMEOUT + TOUCH_EVERY).await;
        assert_eq!(access.check(Some(token.as_bytes()), None).await, Err(AuthError::Wrong));
        assert!(access.sessions().is_empty());
    }
}
