//! Changes of accounts and of the login policy: one at a time, durable before they take effect.
//!
//! Each change runs to its end as a task of its own: a client that disconnects in the middle must not leave the tables
//! different from the disk.

use std::sync::Arc;

use secrecy::zeroize::Zeroizing;
use thiserror::Error;

use super::password::hash_password;
use super::{AuthError, Authenticator, read, write};
use crate::account::{ACCOUNTS_MAX, AccessRules, AccountRecord, Role, account_id};
use crate::durable::WriteError;

/// Why accounts or rules are not changed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AccountRefusal {
    /// Someone else changed it first.
    #[error("it was changed in between; read it again")]
    Changed,
    /// There is no such account any more.
    #[error("there is no such account any more")]
    Gone,
    /// An account of this name exists.
    #[error("there is an account with that name already")]
    Exists,
    /// There are [`ACCOUNTS_MAX`].
    #[error("there are {ACCOUNTS_MAX} accounts already; delete one that is not needed")]
    Full,
    /// No account could manage accounts any more.
    #[error("it is the last enabled account with the role Administrator for all nodes; make another one first")]
    LastAdministrator,
    /// A wrong password would be forgotten later than the lock it leads to.
    #[error("wrong passwords cannot be held against an account for longer than it is locked")]
    ResetAfterLock,
    /// The disk did not take it.
    #[error("{0}; nothing was changed")]
    CannotWrite(#[from] WriteError),
}

/// What a client may set of an account.
#[derive(Default)]
pub struct AccountChange {
    /// A new password, hashed.
    pub password_hash: Option<String>,
    /// Another role.
    pub role: Option<Role>,
    /// Whether it may log in.
    pub enabled: Option<bool>,
    /// Ends its lock.
    pub unlock: bool,
    /// The password has to be changed; a new password alone means that it has not.
    pub password_change_required: Option<bool>,
}

impl Authenticator {
    /// All accounts in the order of their names.
    pub fn accounts(&self) -> Vec<Arc<AccountRecord>> {
        let mut accounts: Vec<_> = read(&self.accounts).values().cloned().collect();
        accounts.sort_by(|a, b| a.username.cmp(&b.username));
        accounts
    }

    /// The account with this last part of its URL.
    pub fn account(&self, id: &str) -> Option<Arc<AccountRecord>> {
        read(&self.accounts).values().find(|account| account_id(&account.username) == id).cloned()
    }

    /// A password ready to be kept. Waits for its turn, off the worker threads.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, AuthError> {
        let turn = self.turn(None).await?;
        let hash = tokio::task::spawn_blocking(move || {
            let hash = hash_password(&password);
            drop(turn);
            hash
        });
        hash.await.ok().and_then(Result::ok).ok_or(AuthError::Busy)
    }

    /// Makes an account; its `created` and `change` are set here.
    pub async fn add_account(self: &Arc<Self>, new: AccountRecord) -> Result<Arc<AccountRecord>, AccountRefusal> {
        let access = self.clone();
        to_the_end(async move {
            let _turn = access.writing.lock().await;
            let there = read(&access.accounts).len();
            let known = read(&access.accounts).contains_key(&new.username);
            match (known, there) {
                (true, _) => return Err(AccountRefusal::Exists),
                (_, ACCOUNTS_MAX..) => return Err(AccountRefusal::Full),
                _ => {}
            }
            let scope = access.configured(&new.username).flatten();
            let account = Arc::new(AccountRecord { created: access.clock.now().wall, change: 1, scope, ..new });
            access.book.put_account((*account).clone()).await?;
            write(&access.accounts).insert(account.username.clone(), account.clone());
            Ok(account)
        })
        .await
    }

    /// Changes an account. `seen` is the account as the caller looked at it; where `exact`, it must still be that.
    /// Sessions but `keep` end when the password changes, and all when the account is disabled.
    pub async fn change_account(
        self: &Arc<Self>,
        seen: Arc<AccountRecord>,
        exact: bool,
        change: AccountChange,
        keep: Option<Arc<str>>,
    ) -> Result<Arc<AccountRecord>, AccountRefusal> {
        let access = self.clone();
        to_the_end(async move {
            let _turn = access.writing.lock().await;
            let current = access.current(&seen, exact)?;
            let renewed = change.password_hash.is_some();
            let must_change = if renewed { false } else { current.password_change_required };
            let account = AccountRecord {
                password_hash: change.password_hash.unwrap_or_else(|| current.password_hash.clone()),
                role: change.role.unwrap_or(current.role),
                enabled: change.enabled.unwrap_or(current.enabled),
                password_change_required: change.password_change_required.unwrap_or(must_change),
                change: current.change + 1,
                ..(*current).clone()
            };
            if !(account.enabled && account.role == Role::Administrator) {
                access.spare_last_administrator(&current)?;
            }
            let account = Arc::new(account);
            access.book.put_account((*account).clone()).await?;
            write(&access.accounts).insert(account.username.clone(), account.clone());
            access.changes.send_replace(());
            if change.unlock || renewed {
                access.lockout().forget(&account.username);
            }
            if renewed || !account.enabled {
                let stays = |id: &str| account.enabled && keep.as_deref() == Some(id);
                let ended = access.end_sessions(|session| session.username == account.username && !stays(&session.id));
                ended.await.unwrap_or_else(|error| sessions_may_return(&account.username, &error));
            }
            Ok(account)
        })
        .await
    }

    /// Deletes an account and ends its sessions.
    pub async fn delete_account(self: &Arc<Self>, seen: Arc<AccountRecord>, exact: bool) -> Result<(), AccountRefusal> {
        let access = self.clone();
        to_the_end(async move {
            let _turn = access.writing.lock().await;
            let current = access.current(&seen, exact)?;
            access.spare_last_administrator(&current)?;
            access.book.delete_account(&current.username).await?;
            write(&access.accounts).remove(&current.username);
            access.lockout().forget(&current.username);
            let ended = access.end_sessions(|session| session.username == current.username);
            ended.await.unwrap_or_else(|error| sessions_may_return(&current.username, &error));
            Ok(())
        })
        .await
    }

    /// The login policy.
    pub fn rules(&self) -> AccessRules {
        *read(&self.rules)
    }

    /// Changes the rules. `seen` are the rules as the caller looked at them; where `exact`, they must still be those.
    pub async fn change_rules(
        self: &Arc<Self>,
        seen: AccessRules,
        exact: bool,
        change: impl FnOnce(AccessRules) -> AccessRules + Send + 'static,
    ) -> Result<AccessRules, AccountRefusal> {
        let access = self.clone();
        to_the_end(async move {
            let _turn = access.writing.lock().await;
            let current = access.rules();
            if exact && current != seen {
                return Err(AccountRefusal::Changed);
            }
            let rules = change(current);
            if rules.lockout_seconds != 0 && rules.lockout_reset_seconds > rules.lockout_seconds {
                return Err(AccountRefusal::ResetAfterLock);
            }
            access.book.put_rules(rules).await?;
            *write(&access.rules) = rules;
            Ok(rules)
        })
        .await
    }

    fn current(&self, seen: &Arc<AccountRecord>, exact: bool) -> Result<Arc<AccountRecord>, AccountRefusal> {
        let current = read(&self.accounts).get(&seen.username).cloned().ok_or(AccountRefusal::Gone)?;
        if exact && !Arc::ptr_eq(&current, seen) { Err(AccountRefusal::Changed) } else { Ok(current) }
    }

    /// Fails if `account` is the only one that can manage accounts.
    fn spare_last_administrator(&self, account: &AccountRecord) -> Result<(), AccountRefusal> {
        let rules = |other: &AccountRecord| other.enabled && other.role == Role::Administrator && other.scope.is_none();
        let other = |other: &Arc<AccountRecord>| other.username != account.username && rules(other);
        if rules(account) && !read(&self.accounts).values().any(other) {
            return Err(AccountRefusal::LastAdministrator);
        }
        Ok(())
    }
}

/// The change itself is durable, so it is not taken back.
fn sessions_may_return(account: &str, error: &WriteError) {
    tracing::warn!(event = "sessions_not_ended", account, %error, "a crash would bring back sessions that have ended");
}

/// Runs `work` to its end, also when no caller waits for it any more.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, AccountRefusal>> + Send + 'static,
) -> Result<T, AccountRefusal> {
    let ended = tokio::spawn(work).await;
    ended.unwrap_or_else(|_| Err(WriteError::new("accounts", "the service is stopping").into()))
}
