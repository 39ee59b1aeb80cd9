//! The access of a client, for operations that outlast its request: an event stream ends when the access of its reader
//! does.

use std::sync::Arc;

use tokio::sync::watch::Receiver;

use super::{Authenticator, Caller, Privilege, read};
use crate::account::AccountRecord;

/// The access of one client, which may end at any time.
pub struct Pass {
    access: Arc<Authenticator>,
    name: Arc<str>,
    session: Option<Arc<str>>,
    /// Without a session: the hash of the password that was right. Another password ends the pass.
    password_hash: Option<String>,
    changes: Receiver<()>,
}

impl Authenticator {
    /// The pass of a caller that was let in.
    pub fn pass(self: &Arc<Self>, caller: &Caller) -> Pass {
        let changes = self.changes.subscribe();
        let password_hash = read(&self.accounts).get(&*caller.name).map(|account| account.password_hash.clone());
        Pass {
            access: self.clone(),
            name: caller.name.clone(),
            session: caller.session.clone(),
            password_hash,
            changes,
        }
    }

    /// Whether there is an account of this name; without logins each caller is one.
    pub fn has_account(&self, name: &str) -> bool {
        !self.required || read(&self.accounts).contains_key(name)
    }

    /// Whether the account of this name may use the service.
    pub fn is_enabled(&self, name: &str) -> bool {
        !self.required || read(&self.accounts).get(name).is_some_and(|account| account.enabled)
    }

    /// Whether the account of this name has this privilege now.
    pub fn may(&self, name: &str, privilege: Privilege) -> bool {
        let may = |account: &Arc<AccountRecord>| Caller::of(account, name.into(), None).may(privilege);
        !self.required || read(&self.accounts).get(name).is_some_and(may)
    }
}

impl Pass {
    /// The name of the account.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the client would be let in now.
    pub fn holds(&self) -> bool {
        if !self.access.required {
            return true;
        }
        let account = read(&self.access.accounts).get(&*self.name).cloned();
        let Some(account) = account.filter(|account| account.enabled && !account.password_change_required) else {
            return false;
        };
        match &self.session {
            Some(id) => self.access.has_session(id),
            None => self.password_hash.as_ref() == Some(&account.password_hash),
        }
    }

    /// Resolves when an account or a session was changed or has ended. What runs out is not told: look now and then.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending().await
        }
    }
}
