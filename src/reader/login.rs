//! The account of a device: of the node's own, or that of `defaults` for all devices of its kind.

use secrecy::SecretString;

use super::secret::secret;
use super::tree::Spot;
use super::values::device_user;
use super::{Cursor, ErrorReported, Keys, Place, Read};

/// The keys of an account in `defaults`.
pub(crate) const LOGIN: &[&str] = &["username", "password"];

/// An account of `defaults`, and which nodes miss it.
pub(crate) struct Login {
    username: Read<Option<String>>,
    password: Read<Option<SecretString>>,
    /// Its line.
    line: Option<usize>,
    /// The nodes that have no name of their own, where there is none here.
    no_username: MissingDefault,
    /// The same for the password.
    no_password: MissingDefault,
}

/// Nodes that lack something that the defaults lack too.
#[derive(Default)]
struct MissingDefault {
    first: Option<Place>,
    count: usize,
}

impl MissingDefault {
    fn note(&mut self, place: Place) -> ErrorReported {
        self.first.get_or_insert(place);
        self.count += 1;
        ErrorReported
    }
}

impl Login {
    fn new(username: Read<Option<String>>, password: Read<Option<SecretString>>, line: Option<usize>) -> Login {
        Login {
            username,
            password,
            line,
            no_username: MissingDefault::default(),
            no_password: MissingDefault::default(),
        }
    }

    /// There are no defaults.
    pub(crate) fn none() -> Login {
        Login::new(Ok(None), Ok(None), None)
    }

    /// The defaults are wrong as a whole, so that no node is to blame.
    pub(crate) fn wrong() -> Login {
        Login::new(Err(ErrorReported), Err(ErrorReported), None)
    }

    /// Reads the account under this key of `defaults`.
    pub(crate) fn read(defaults: &Keys<'_>, key: &str) -> Login {
        let login = defaults.optional(key, |at| {
            let keys = at.keys(LOGIN)?;
            let username = keys.optional("username", |at| at.parse(device_user));
            Ok((username, keys.optional("password", secret)))
        });
        let (username, password) = match login {
            Ok(Some(login)) => login,
            Ok(None) => (Ok(None), Ok(None)),
            Err(ErrorReported) => (Err(ErrorReported), Err(ErrorReported)),
        };
        Login::new(username, password, defaults.line(key))
    }

    /// The name for the node at `place`, which may have its own.
    pub(crate) fn username(&mut self, own: Read<Option<String>>, place: Place) -> Read<String> {
        or_default(own, &self.username, || self.no_username.note(place))
    }

    /// The same where there is a usual name.
    pub(crate) fn username_or(&self, own: Option<String>, usual: &str) -> Read<String> {
        match (own, &self.username) {
            (Some(own), _) => Ok(own),
            (None, Ok(name)) => Ok(name.clone().unwrap_or_else(|| usual.into())),
            (None, Err(ErrorReported)) => Err(ErrorReported),
        }
    }

    /// The password for the node at `place`, which may have its own.
    pub(crate) fn password(&mut self, own: Read<Option<SecretString>>, place: Place) -> Read<SecretString> {
        or_default(own, &self.password, || self.no_password.note(place))
    }

    /// Says once what many nodes miss. `key` is that of the account in `defaults`, `whose` the account in words.
    pub(crate) fn report_missing(&self, at: &Cursor<'_>, key: &str, whose: &str) {
        let root = Spot::root();
        let defaults = root.key("defaults", self.line);
        let login = defaults.key(key, None);
        for (key, missing) in [("username", &self.no_username), ("password", &self.no_password)] {
            let Some(first) = missing.first else { continue };
            let who = match missing.count - 1 {
                0 => format!("{first} has none of its own"),
                1 => format!("{first} and 1 other node have none of their own"),
                others => format!("{first} and {others} other nodes have none of their own"),
            };
            let text = format_args!("is missing, and {who}; it is that of {whose}");
            at.reading.problem(&login.key(key, None), text);
        }
    }
}

fn or_default<T: Clone>(
    own: Read<Option<T>>,
    default: &Read<Option<T>>,
    missing: impl FnOnce() -> ErrorReported,
) -> Read<T> {
    match (own?, default) {
        (Some(own), _) => Ok(own),
        (None, Ok(Some(default))) => Ok(default.clone()),
        (None, Ok(None)) => Err(missing()),
        (None, Err(ErrorReported)) => Err(ErrorReported),
    }
}
