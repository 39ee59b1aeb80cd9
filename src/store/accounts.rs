//! Implements [`AccountBook`] for accounts and sessions, and [`SettingsStore`] for small values.

use serde_json::Value;
use tracing::warn;

use super::record::{Content, Key};
use super::state::{Change, Entry};
use super::write_queue::Weight;
use super::{Store, put_entry, size};
use crate::account::{ACCOUNTS_MAX, AccessRules, AccountBook, AccountRecord, SESSIONS_MAX, SessionRecord, check_name};
use crate::durable::{SettingsStore, WriteFuture};

/// Sessions that are kept: all that may be open at once. Above it the one that was used the longest time ago goes.
pub(super) const SESSIONS_KEPT_MAX: usize = ACCOUNTS_MAX * SESSIONS_MAX;

/// The name of the value with the rules about logins.
const RULES: &str = "access";

impl AccountBook for Store {
    /// The accounts in the order of their names.
    fn accounts(&self) -> Vec<AccountRecord> {
        self.write_queue.lock().state.accounts()
    }

    /// Makes an account durable, in the place of the one with that name.
    fn put_account(&self, account: AccountRecord) -> WriteFuture {
        let key = Key::Account(account.username.clone());
        if let Err(why) = check_name(&account.username) {
            return self.refuse(&key, format!("the name {why}"));
        }
        self.put_record(&key, &Content::Account(account.clone()), Change::PutAccount(account))
    }

    /// Makes it durable that there is no such account, and ends its sessions.
    fn delete_account(&self, username: &str) -> WriteFuture {
        self.put(Change::DeleteAccount(username.into()))
    }

    /// How logins are judged; the defaults where nothing was set.
    fn rules(&self) -> AccessRules {
        self.value(RULES).and_then(|rules| serde_json::from_value(rules).ok()).unwrap_or_default()
    }

    /// Makes other rules durable.
    fn put_rules(&self, rules: AccessRules) -> WriteFuture {
        match serde_json::to_value(rules) {
            Ok(rules) => self.put_value(RULES, rules),
            Err(error) => self.refuse(&Key::Value(RULES.into()), error.to_string()),
        }
    }

    /// The sessions.
    fn sessions(&self) -> Vec<SessionRecord> {
        self.write_queue.lock().state.sessions()
    }

    /// Keeps a session, in the place of the one with that id. It reaches the disk within a few seconds; where only
    /// `last_used` has moved, within a minute.
    fn put_session(&self, session: SessionRecord) {
        let (key, content) = (Key::Session(session.id.clone()), Content::Session(session.clone()));
        if let Err(why) = size(&content) {
            warn!(event = "session_not_kept", session = session.id, why);
            return;
        }
        if let Some(oldest) = self.session_too_many(&key) {
            self.delete_session(&oldest);
        }
        self.write_queue.edit(|state| {
            let weight = match state.get(&key) {
                Some(Content::Session(old)) if *old == session => return None,
                Some(Content::Session(old))
                    if (SessionRecord { last_used: session.last_used, ..old.clone() }) == session =>
                {
                    Weight::Moved
                }
                _ => Weight::Changed,
            };
            put_entry(state, key.clone(), content);
            Some((key, weight))
        });
    }

    /// Forgets a session. It leaves the disk within a few seconds.
    fn delete_session(&self, id: &str) {
        let key = Key::Session(id.into());
        self.write_queue.edit(|state| state.entries.remove(&key).map(|_| (key, Weight::Changed)));
    }

    /// Makes what is in memory of a session durable now: that it is there, or that it is not.
    fn flush_session(&self, id: &str) -> WriteFuture {
        self.put(Change::AsItIs(Key::Session(id.into())))
    }
}

impl SettingsStore for Store {
    fn values(&self, prefix: &str) -> Vec<(String, Value)> {
        self.write_queue.lock().state.values(prefix)
    }

    fn put_value(&self, name: &str, value: Value) -> WriteFuture {
        let content = Content::Value(value.clone());
        self.put_record(&Key::Value(name.into()), &content, Change::PutValue(name.into(), value))
    }

    fn delete_value(&self, name: &str) -> WriteFuture {
        self.put(Change::DeleteValue(name.into()))
    }
}

impl Store {
    /// The session that has to go to make room for a new one.
    fn session_too_many(&self, key: &Key) -> Option<String> {
        let inner = self.write_queue.lock();
        let sessions = || inner.state.entries.range(Key::Session(String::new())..Key::Value(String::new()));
        if inner.state.get(key).is_some() || sessions().count() < SESSIONS_KEPT_MAX {
            return None;
        }
        let session = |entry: &Entry| match &entry.content {
            Content::Session(session) => Some((session.last_used, session.id.clone())),
            _ => None,
        };
        sessions().filter_map(|(_, entry)| session(entry)).min().map(|(_, id)| id)
    }
}
