//! The nodes that an account may see. nodes.yaml sets them at each start and reload; clients cannot change them.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Authenticator, read, write};
use crate::account::{AccountRecord, NodeScope, Role};

/// The accounts that nodes.yaml names, and what each is limited to.
pub(crate) type Configured = HashMap<String, Option<NodeScope>>;

impl Authenticator {
    /// Takes over what nodes.yaml says. It holds from the next request on, for sessions and remembered passwords too. An
    /// account that is not named keeps what it had: one that was forgotten in the file must not see more by that.
    pub async fn set_scopes(&self, configured: Configured) {
        let _turn = self.writing.lock().await;
        *write(&self.scopes) = configured;
        let before: Vec<Arc<AccountRecord>> = read(&self.accounts).values().cloned().collect();
        for account in before {
            let Some(scope) = self.configured(&account.username).filter(|scope| *scope != account.scope) else {
                continue;
            };
            let account = AccountRecord { scope, ..(*account).clone() };
            let (name, limited) = (account.username.clone(), account.scope.is_some());
            // First in memory: a disk that fails must not leave open what was closed.
            write(&self.accounts).insert(name.clone(), Arc::new(account.clone()));
            tracing::info!(event = "account_nodes_changed", account = name, limited, "the nodes that it sees changed");
            if let Err(error) = self.book.put_account(account).await {
                tracing::warn!(event = "account_nodes_not_kept", account = name, %error, "nodes.yaml says it again");
            }
        }
    }

    /// What nodes.yaml says of the account of this name; `None` where it does not name it.
    pub(super) fn configured(&self, name: &str) -> Option<Option<NodeScope>> {
        read(&self.scopes).get(name).cloned()
    }

    /// Whether the account of this name may be told what happens to a node, or without one a text that a client chose,
    /// which may name any of them.
    pub fn hears_of(&self, name: &str, node: Option<&str>) -> bool {
        match read(&self.accounts).get(name).map(|account| &account.scope) {
            Some(None) => true,
            Some(Some(scope)) => node.is_some_and(|node| scope.has(node)),
            // Without logins everything is open; else what is left of it goes with the account.
            None => !self.required,
        }
    }

    /// Whether the account of this name may be told of logins and of what other accounts change.
    pub fn hears_audit(&self, name: &str) -> bool {
        match read(&self.accounts).get(name) {
            Some(account) => account.role == Role::Administrator && account.scope.is_none(),
            None => !self.required,
        }
    }

    /// The audit's entries from now on.
    pub(crate) fn audit_entries(&self) -> tokio::sync::broadcast::Receiver<super::AuditEntry> {
        self.audit.entries()
    }

    /// Whether any account is limited to some nodes.
    pub fn has_scopes(&self) -> bool {
        read(&self.accounts).values().any(|account| account.scope.is_some())
    }
}
