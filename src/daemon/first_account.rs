//! The accounts of the first start: those of the configuration, else `admin` with a random password in a private file.
//!
//! An account of the configuration is created once, at the first start that finds it there. Later changes by clients,
//! deletion included, are kept.

use anyhow::{Context, Result, anyhow};
use secrecy::ExposeSecret;

use super::Plan;
use crate::account::{AccountBook, AccountRecord, NodeScope, Role};
use crate::clock::{Wall, secret_bytes};
use crate::config::{AccountPassword, AccountSeed};
use crate::durable::SettingsStore;
use crate::files;
use crate::http::auth::hash_password;
use crate::store::Store;

/// Where the password of the first account is written when the configuration names no account.
pub(super) const INITIAL_PASSWORD: &str = "initial-admin-password";

/// Makes the accounts of the configuration that were never made before; without any, `admin`.
pub(super) async fn make(book: &Store, plan: &Plan, now: Wall) -> Result<()> {
    let there = book.accounts();
    let record = |username: &str, password_hash: String, role, scope: Option<NodeScope>| AccountRecord {
        username: username.into(),
        password_hash,
        role,
        enabled: true,
        change: 1,
        password_change_required: false,
        created: now,
        scope,
    };
    for account in &plan.accounts {
        let made = format!("account_made/{}", account.username);
        if book.value(&made).is_some() {
            continue;
        }
        if there.iter().all(|known| known.username != account.username) {
            let hash = hash_of(account)?;
            let new = record(&account.username, hash, account.role, account.scope.clone());
            book.put_account(new).await.context("cannot keep the first accounts")?;
            tracing::info!(event = "account_made", account = account.username, "made from the configuration");
        }
        book.put_value(&made, true.into()).await.context("cannot keep which accounts were made")?;
    }
    if there.is_empty() && plan.accounts.is_empty() && plan.server.auth_required {
        let path = plan.state_dir.join(INITIAL_PASSWORD);
        let password = hex::encode(secret_bytes::<12>());
        let hash = hash_password(&password).map_err(|error| anyhow!("cannot hash a password: {error}"))?;
        files::write_private(&path, format!("{password}\n").as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        let admin = record("admin", hash, Role::Administrator, None);
        book.put_account(admin).await.context("cannot keep the first account")?;
        tracing::warn!(
            event = "account_made",
            account = "admin",
            path = %path.display(),
            "no accounts are configured: made admin, its password is in {}", path.display()
        );
    }
    Ok(())
}

fn hash_of(account: &AccountSeed) -> Result<String> {
    match &account.password {
        AccountPassword::Hash(hash) => Ok(hash.clone()),
        AccountPassword::Plain(password) => hash_password(password.expose_secret())
            .map_err(|error| anyhow!("cannot hash the password of {}: {error}", account.username)),
    }
}
