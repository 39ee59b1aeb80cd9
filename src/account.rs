//! Types of accounts, roles and sessions.
//!
//! This leaf only defines types: `http` decides logins, and `store` decides where these records are kept. No type here
//! holds a plaintext secret, and none prints a hash.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use argon2::Params;
use argon2::password_hash::phc::PasswordHash;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::durable::WriteFuture;

/// `RoleId` (schema ManagerAccount): what an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Role {
    /// All rights, accounts included.
    Administrator,
    /// Power and boot, but no accounts.
    Operator,
    /// Reads only.
    ReadOnly,
}

impl Role {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Role; 3] = [Role::Administrator, Role::Operator, Role::ReadOnly];

    /// The name as Redfish spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Administrator => "Administrator",
            Role::Operator => "Operator",
            Role::ReadOnly => "ReadOnly",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no role.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no role; there are Administrator, Operator and ReadOnly")]
pub struct BadRole(String);

impl FromStr for Role {
    type Err = BadRole;
    fn from_str(text: &str) -> Result<Role, BadRole> {
        Role::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| BadRole(text.into()))
    }
}

/// Access to `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Every client.
    #[default]
    Public,
    /// Clients that log in.
    Authenticated,
    /// None: there is no such page.
    Off,
}

/// Longest name of an account, wherever it comes from: e-mail addresses fit in.
pub(crate) const NAME_CHARS_MAX: usize = 254;

/// Maximum number of accounts.
pub(crate) const ACCOUNTS_MAX: usize = 256;

/// Sessions of one account at once; its own oldest one makes room. Ironic leaves sessions behind when it is killed.
pub(crate) const SESSIONS_MAX: usize = 32;

/// Most memory that checking a password may take, in KiB: every login takes it.
const HASH_KIB_MAX: u32 = 1 << 20;

/// Most rounds of a password hash: every login takes them.
const HASH_ROUNDS_MAX: u32 = 100;

/// Why a text is not one line of at most so many characters.
pub(crate) fn check_line(text: &str, chars_max: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("must not be empty".into());
    }
    if text.trim() != text {
        return Err("must be without spaces at its beginning and end".into());
    }
    if text.chars().any(char::is_control) {
        return Err("must be one line without control characters".into());
    }
    match text.chars().count() {
        count if count > chars_max => Err(format!("has {count} characters, at most {chars_max} are possible")),
        _ => Ok(()),
    }
}

/// Why an account cannot have this name. HTTP Basic authentication ends a name at the first colon.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.contains(':') {
        return Err("must be without a colon: HTTP Basic authentication could not carry it".into());
    }
    check_line(name, NAME_CHARS_MAX)
}

/// Why this is not a password hash that the service can check at every login.
pub(crate) fn check_hash(text: &str) -> Result<(), &'static str> {
    let hash = PasswordHash::new(text).map_err(|_| "is not a password hash ($argon2id$v=19$...)")?;
    if !["argon2id", "argon2i", "argon2d"].contains(&hash.algorithm.as_str()) {
        return Err("is a password hash of another kind than argon2");
    }
    let params = Params::try_from(&hash).map_err(|_| "has parameters that argon2 does not know")?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err("is a password hash that is not complete");
    }
    if params.m_cost() > HASH_KIB_MAX || params.t_cost() > HASH_ROUNDS_MAX {
        return Err("is a password hash that takes too much memory or time at every login");
    }
    Ok(())
}

/// Whether a client may give an account this name: it is the last part of the account's URL as it is. nodes.yaml may use
/// other characters.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    // POST to `Accounts/Members` means POST to `Accounts` (DSP0266), so that URL is taken.
    let taken = ["", ".", "..", "Members"].contains(&name);
    !taken && check_name(name).is_ok() && name.bytes().all(fits)
}

/// The last part of the URL of the account with this name: the name, or where it does not fit into a URL `~` and hex.
pub(crate) fn account_id(name: &str) -> String {
    if is_plain_name(name) { name.to_owned() } else { format!("~{}", hex::encode(name)) }
}

/// The nodes that an account is limited to, by their ids. Cheap to clone: every request of such an account has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeScope(Arc<BTreeSet<String>>);

impl NodeScope {
    /// Whether the node with this id is one of them.
    pub fn has(&self, node: &str) -> bool {
        self.0.contains(node)
    }
}

impl FromIterator<String> for NodeScope {
    fn from_iter<I: IntoIterator<Item = String>>(nodes: I) -> NodeScope {
        NodeScope(Arc::new(nodes.into_iter().collect()))
    }
}

/// An account as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// The name it logs in with; the key of the record.
    pub username: String,
    /// The password as a PHC string of argon2, never the password.
    pub password_hash: String,
    pub role: Role,
    /// Whether it may log in.
    pub enabled: bool,
    /// Grows by one with each change by a client: its ETag.
    pub change: u64,
    /// The password has to be changed before anything else is allowed.
    pub password_change_required: bool,
    /// Time of its creation.
    pub created: Wall,
    /// The only nodes that it sees; all of them without. nodes.yaml says so at each start and reload; it is kept so that
    /// an account which the file no longer names does not see more than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<NodeScope>,
}

impl fmt::Debug for AccountRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountRecord")
            .field("username", &self.username)
            .field("role", &self.role)
            .field("enabled", &self.enabled)
            .field("change", &self.change)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// A session as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// The last part of its URL; the key of the record.
    pub id: String,
    /// SHA-256 of the token in hex, never the token.
    pub token_hash: String,
    /// The account that logged in.
    pub username: String,
    /// Where it logged in from, as text.
    #[serde(default)]
    pub origin: Option<String>,
    /// What the client calls it.
    #[serde(default)]
    pub context: Option<String>,
    /// Time of the login.
    pub created: Wall,
    /// When it was last used.
    pub last_used: Wall,
}

impl fmt::Debug for SessionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRecord")
            .field("id", &self.id)
            .field("username", &self.username)
            .field("last_used", &self.last_used)
            .finish_non_exhaustive()
    }
}

/// What administrators may set of how logins are judged; the numbers are those of AccountService and SessionService.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessRules {
    /// Wrong passwords that lock an account; 0: it is never locked.
    pub lockout_threshold: u32,
    /// For how long; 0: it is never locked.
    pub lockout_seconds: u32,
    /// The time after the last wrong password when it is forgotten.
    pub lockout_reset_seconds: u32,
    /// A session that is not used for this long is over.
    pub session_seconds: u32,
}

impl Default for AccessRules {
    /// Five guesses a minute get nowhere, and who mistyped is not kept out for long. Half an hour of a session is what
    /// other services have.
    fn default() -> AccessRules {
        AccessRules { lockout_threshold: 5, lockout_seconds: 60, lockout_reset_seconds: 60, session_seconds: 1800 }
    }
}

/// Where accounts and sessions are kept. Reading is from memory and never waits for a disk.
pub trait AccountBook: Send + Sync {
    /// All accounts.
    fn accounts(&self) -> Vec<AccountRecord>;

    /// Makes an account durable, in the place of the one with its name.
    fn put_account(&self, account: AccountRecord) -> WriteFuture;

    /// Makes it durable that there is no such account, and ends its sessions.
    fn delete_account(&self, username: &str) -> WriteFuture;

    /// The login policy.
    fn rules(&self) -> AccessRules;

    /// Makes a changed login policy durable.
    fn put_rules(&self, rules: AccessRules) -> WriteFuture;

    /// All sessions.
    fn sessions(&self) -> Vec<SessionRecord>;

    /// Remembers a session; reaches the disk when it suits, or when a caller [waits](AccountBook::flush_session) for it.
    fn put_session(&self, session: SessionRecord);

    /// Forgets a session; the same.
    fn delete_session(&self, id: &str);

    /// Resolves when what was last put, or forgotten, under this id survives a power cut.
    fn flush_session(&self, id: &str) -> WriteFuture;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_keep_their_names() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert!("administrator".parse::<Role>().is_err());
    }

    #[test]
    fn names_fit_into_urls() {
        for plain in ["admin", "a", "svc-1@example.org", &"x".repeat(NAME_CHARS_MAX)] {
            assert!(is_plain_name(plain) && account_id(plain) == plain, "{plain}");
        }
        for odd in ["", "a b", "a/b", "..", "a:b", "a%", "é", "~61", "Members", &"x".repeat(NAME_CHARS_MAX + 1)] {
            assert!(!is_plain_name(odd) && account_id(odd).starts_with('~'), "{odd}");
        }
        assert_eq!(account_id("a b"), "~612062");
    }

    #[test]
    fn hashes_are_not_printed() {
        let account = AccountRecord {
            username: "admin".into(),
            password_hash: "$argon2id$secret".into(),
            role: Role::Administrator,
            enabled: true,
            change: 1,
            password_change_required: false,
            created: Wall(0),
            scope: None,
        };
        let session = SessionRecord {
            id: "1".into(),
            token_hash: "secret".into(),
            username: "admin".into(),
            origin: None,
            context: None,
            created: Wall(0),
            last_used: Wall(0),
        };
        assert!(!format!("{account:?} {session:?}").contains("secret"));
    }
}
