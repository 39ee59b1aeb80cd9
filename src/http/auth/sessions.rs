//! Sessions: a token for each, of which only the hash is stored; a session expires when it was not used for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};

use super::{AuthError, Authenticator, Caller, Key, read, write};
use crate::account::{AccountBook, AccountRecord, SESSIONS_MAX, SessionRecord};
use crate::clock::{Mono, Now, secret_bytes};
use crate::durable::WriteError;

/// How often the last use of a session is written down.
pub(super) const TOUCH_EVERY: Duration = Duration::from_secs(60);

pub(super) struct Session {
    record: SessionRecord,
    /// Its name and the account's, for the callers that it lets in.
    id: Arc<str>,
    username: Arc<str>,
    /// The last use, in milliseconds of the monotonic clock; before its start for a session of an earlier process.
    last_used: AtomicI64,
    /// The last use that the book knows of.
    noted: AtomicI64,
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn moment(mono: Mono) -> i64 {
    millis(mono.since_start())
}

/// A session that has just begun.
pub struct NewSession {
    /// What is kept of it.
    pub record: SessionRecord,
    /// Its token, which is not kept.
    pub token: String,
    /// Who may use it for what.
    pub caller: Caller,
}

/// The sessions of the book by the hashes of their tokens.
pub(super) fn load(book: &dyn AccountBook, now: Now) -> HashMap<Key, Arc<Session>> {
    let session = |record: SessionRecord| {
        let key = <Key>::try_from(hex::decode(&record.token_hash).ok()?).ok()?;
        Some((key, Arc::new(Session::new(record, now))))
    };
    book.sessions().into_iter().filter_map(session).collect()
}

impl Session {
    fn new(record: SessionRecord, now: Now) -> Session {
        let used = || AtomicI64::new(moment(now.mono).saturating_sub(millis(now.wall.since(record.last_used))));
        let (id, username) = (record.id.as_str().into(), record.username.as_str().into());
        Session { id, username, last_used: used(), noted: used(), record }
    }

    fn caller(&self, account: &AccountRecord) -> Caller {
        Caller::of(account, self.username.clone(), Some(self.id.clone()))
    }

    fn is_over(&self, now: Mono, timeout: Duration) -> bool {
        moment(now).saturating_sub(self.last_used.load(Ordering::Relaxed)) > millis(timeout)
    }
}

fn token_key(token: &[u8]) -> Key {
    Sha256::digest(token).into()
}

impl Authenticator {
    /// Checks a name and a password and begins a session. `context` is what the client calls it.
    pub async fn log_in(
        &self,
        name: &str,
        password: Zeroizing<String>,
        origin: Option<IpAddr>,
        context: Option<String>,
    ) -> Result<NewSession, AuthError> {
        let key = self.digest(name, &password);
        // What was right a while ago is right; but a locked account begins no session.
        let known = self.remembered(&key).filter(|_| !self.is_locked(name));
        let account = match known {
            Some(cached_credential) => cached_credential.account,
            None => self.prove(key, name, password, origin).await?,
        };
        let address = origin.map(|origin| origin.to_canonical().to_string());
        let session = self.open_session(&account, address, context).ok_or(AuthError::Wrong)?;
        self.audit.logged_in(name, Some(&session.record.id), origin, self.clock.now().mono);
        // A disk that fails does not keep clients out, least of all an operator who comes to look what is wrong.
        if let Err(error) = self.book.flush_session(&session.record.id).await {
            let id = session.record.id.as_str();
            tracing::warn!(event = "session_not_kept", session = id, %error, "a crash would end the session");
        }
        Ok(session)
    }

    /// None when the account was changed since it was looked at.
    fn open_session(
        &self,
        account: &Arc<AccountRecord>,
        origin: Option<String>,
        context: Option<String>,
    ) -> Option<NewSession> {
        let token = hex::encode(secret_bytes::<16>());
        let key = token_key(token.as_bytes());
        let now = self.clock.now();
        let record = SessionRecord {
            id: hex::encode(secret_bytes::<8>()),
            token_hash: hex::encode(key),
            username: account.username.clone(),
            origin,
            context,
            created: now.wall,
            last_used: now.wall,
        };
        let mut sessions = write(&self.sessions);
        let current = read(&self.accounts).get(&account.username).cloned();
        current.filter(|current| Arc::ptr_eq(current, account))?;
        let timeout = self.session_timeout();
        let over = sessions.iter().filter(|(_, session)| session.is_over(now.mono, timeout));
        let mut gone: Vec<Key> = over.map(|(key, _)| *key).collect();
        let own = |(key, session): &(&Key, &Arc<Session>)| {
            session.record.username == account.username && !gone.contains(*key)
        };
        let mut own: Vec<_> = sessions.iter().filter(own).collect();
        own.sort_by_key(|(_, session)| session.last_used.load(Ordering::Relaxed));
        let too_many = (own.len() + 1).saturating_sub(SESSIONS_MAX);
        let idle_longest: Vec<Key> = own.iter().take(too_many).map(|(key, _)| **key).collect();
        gone.extend(idle_longest);
        for session in gone.iter().filter_map(|key| sessions.remove(key)) {
            self.book.delete_session(&session.record.id);
        }
        let session = Session::new(record.clone(), now);
        let caller = session.caller(account);
        sessions.insert(key, Arc::new(session));
        self.book.put_session(record.clone());
        Some(NewSession { record, token, caller })
    }

    /// Who uses the session of this token, if it is one.
    pub(super) fn session_of(&self, token: &[u8]) -> Option<Caller> {
        let session = read(&self.sessions).get(&token_key(token)).cloned()?;
        let now = self.clock.now();
        let account = read(&self.accounts).get(&session.record.username).cloned().filter(|account| account.enabled)?;
        if session.is_over(now.mono, self.session_timeout()) {
            return None;
        }
        let used = moment(now.mono);
        session.last_used.store(used, Ordering::Relaxed);
        if used.saturating_sub(session.noted.load(Ordering::Relaxed)) >= millis(TOUCH_EVERY) {
            session.noted.store(used, Ordering::Relaxed);
            self.book.put_session(SessionRecord { last_used: now.wall, ..session.record.clone() });
        }
        Some(session.caller(&account))
    }

    /// All sessions that are not over, the oldest first.
    pub fn sessions(&self) -> Vec<SessionRecord> {
        let (now, timeout) = (self.clock.now().mono, self.session_timeout());
        let live = read(&self.sessions);
        let live = live.values().filter(|session| !session.is_over(now, timeout));
        let mut records: Vec<SessionRecord> = live.map(|session| session.record.clone()).collect();
        records.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        records
    }

    /// Whether this session has neither ended nor run out.
    pub(super) fn has_session(&self, id: &str) -> bool {
        let (now, timeout) = (self.clock.now().mono, self.session_timeout());
        read(&self.sessions).values().any(|session| *session.id == *id && !session.is_over(now, timeout))
    }

    /// Ends a session as a client wants it. With an error it has ended, but may come back with a crash.
    pub async fn end_session(
        &self,
        session: &SessionRecord,
        by: &Caller,
        origin: Option<IpAddr>,
    ) -> Result<(), WriteError> {
        self.audit.logged_out(&session.username, &session.id, by, origin);
        self.end_sessions(|other| other.id == session.id).await
    }

    /// Ends the sessions that `over` names: at once, and durably when this resolves to `Ok`.
    pub(super) async fn end_sessions(&self, over: impl Fn(&SessionRecord) -> bool) -> Result<(), WriteError> {
        let mut settled = Vec::new();
        write(&self.sessions).retain(|_, session| {
            let ends = over(&session.record);
            if ends {
                self.book.delete_session(&session.record.id);
                settled.push(self.book.flush_session(&session.record.id));
            }
            !ends
        });
        self.changes.send_replace(());
        for settled in settled {
            settled.await?;
        }
        Ok(())
    }

    fn session_timeout(&self) -> Duration {
        Duration::from_secs(self.rules().session_seconds.into())
    }
}
