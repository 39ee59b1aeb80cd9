//! What the operator says of the machine behind an outlet: what tells whether it runs, and how it is asked to shut down.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::Watts;

/// What tells whether the machine of a node runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PowerPolicy {
    /// What `PowerState` follows.
    pub source: PowerSource,
    /// By which draw a machine that runs is told from one that is off.
    pub watts: Option<Watts>,
    /// How its operating system is asked to shut down, where its device cannot do that.
    pub graceful: Option<Graceful>,
}

/// What `PowerState` of a node behind an outlet follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PowerSource {
    /// The relay of the outlet.
    #[default]
    Relay,
    /// What the machine draws while the relay is closed.
    Measured,
}

impl PowerPolicy {
    /// The thresholds, where `PowerState` follows the draw.
    pub fn measured(&self) -> Option<Watts> {
        self.watts.filter(|_| self.source == PowerSource::Measured)
    }
}

/// How the operating system of a machine is asked to shut down, and what follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Graceful {
    /// By what.
    pub hook: ShutdownHook,
    /// How long the machine may take. Past it the command fails, and the outlet stays on.
    pub deadline: Duration,
    /// What becomes of the outlet of a machine that shut down.
    pub after: AfterShutdown,
}

/// What becomes of the outlet of a machine that shut down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterShutdown {
    /// It is turned off.
    #[default]
    Cut,
    /// It stays on, so that the machine can be woken.
    Leave,
}

/// How the operating system of a machine is asked to shut down.
#[derive(Clone)]
pub enum ShutdownHook {
    /// By a program: its absolute path and its arguments. No shell is between.
    Exec(Vec<String>),
    /// By a POST to this URL.
    Http {
        /// `http://` or `https://`.
        url: String,
        /// Sent as `Authorization: Bearer ...`.
        token: Option<SecretString>,
    },
}

impl PartialEq for ShutdownHook {
    fn eq(&self, other: &ShutdownHook) -> bool {
        match (self, other) {
            (ShutdownHook::Exec(one), ShutdownHook::Exec(other)) => one == other,
            (ShutdownHook::Http { url, token }, ShutdownHook::Http { url: other_url, token: other_token }) => {
                let secret =
                    |token: &Option<SecretString>| token.as_ref().map(|token| token.expose_secret().to_owned());
                url == other_url && secret(token) == secret(other_token)
            }
            _ => false,
        }
    }
}

impl fmt::Debug for ShutdownHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and URLs may carry a token.
        f.write_str(match self {
            ShutdownHook::Exec(_) => "Exec(..)",
            ShutdownHook::Http { .. } => "Http(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let token = Some(SecretString::from("hunter2"));
        let hook = ShutdownHook::Http { url: "http://h/?key=hunter2".into(), token };
        assert!(!format!("{hook:?}").contains("hunter2") && hook == hook.clone());
        assert!(!format!("{:?}", ShutdownHook::Exec(vec!["hunter2".into()])).contains("hunter2"));
    }
}
