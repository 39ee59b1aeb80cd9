//! How a request to a plug fails, seen from inside the driver: what to do next, and the words for people.
//!
//! It knows neither sockets nor the core's treatment of failures; `connection.rs` decides on the kind alone.

use crate::driver::http::HttpError;
use crate::node::device::{DeviceError, FailureClass};

/// A failure with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What to do about it.
    pub kind: Kind,
    /// What happened and what to do, without a full stop, a secret or the plug's name.
    pub text: String,
}

/// The kinds of failure within the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No connection: nothing was asked.
    Unreachable,
    /// No whole answer: what the request did is unknown, and so is the state of the session.
    Unanswered,
    /// The last step of a login was not answered: whether the credentials are right is unknown, and the plug may have
    /// counted a wrong login.
    LoginUnconfirmed,
    /// An answer that makes no sense.
    InvalidResponse,
    /// The plug does not know the session (any more).
    SessionGone {
        /// It said so in the way it does when another client has logged in.
        taken: bool,
    },
    /// Too many requests.
    Busy {
        /// Said by HTTP 429, which asks for a longer rest than -1301.
        flooded: bool,
    },
    /// Another plug than the configured one is at this address.
    WrongDevice,
    /// What answers proves less than the plug did before: it is neither believed nor sent anything more.
    Distrusted,
    /// What the plug proved cannot be recorded, so that nothing may rely on it.
    Unrecorded,
    /// No variant of the protocol that plugfish speaks, or one with terms it does not take. Asking again at once would
    /// bring the same.
    UnsupportedProtocol,
    /// The plug answered a method with an error code of its own; the session is as good as before.
    Code(i64),
    /// The plug or the configuration rules it out.
    Refused,
    /// The plug's proof does not fit our credentials. They are wrong, or the answer was damaged on its way; the plug
    /// counts no wrong login, since it was sent nothing.
    ProofMismatch,
    /// Wrong credentials.
    Auth,
    /// Locked after wrong credentials.
    Locked,
}

impl Fault {
    /// A failure of this kind.
    pub(super) fn new(kind: Kind, text: impl Into<String>) -> Fault {
        Fault { kind, text: text.into() }
    }

    /// An answer that makes no sense.
    pub(super) fn garbled(text: impl Into<String>) -> Fault {
        Fault::new(Kind::InvalidResponse, text)
    }

    /// Whether the session can be used after this: only if the plug answered in it as it should.
    pub(super) const fn keeps_session(&self) -> bool {
        matches!(self.kind, Kind::Code(_) | Kind::Refused)
    }

    /// For the core.
    pub(super) fn into_device_error(self) -> DeviceError {
        let class = match self.kind {
            Kind::Unreachable | Kind::WrongDevice => FailureClass::Unreachable,
            Kind::Unanswered | Kind::LoginUnconfirmed => FailureClass::Timeout,
            Kind::Busy { .. } | Kind::SessionGone { taken: true } => FailureClass::Busy,
            Kind::InvalidResponse | Kind::UnsupportedProtocol | Kind::Code(_) | Kind::SessionGone { taken: false } => {
                FailureClass::Protocol
            }
            Kind::Refused => FailureClass::Refused,
            Kind::Distrusted => FailureClass::Distrusted,
            Kind::Unrecorded => FailureClass::NotReady,
            Kind::ProofMismatch | Kind::Auth => FailureClass::Auth,
            Kind::Locked => FailureClass::Locked,
        };
        DeviceError::new(class, self.text)
    }
}

/// From the record of what the plug ever proved.
impl From<DeviceError> for Fault {
    fn from(error: DeviceError) -> Fault {
        let kind = match error.class {
            FailureClass::Distrusted => Kind::Distrusted,
            _ => Kind::Unrecorded,
        };
        Fault::new(kind, error.text)
    }
}

impl From<HttpError> for Fault {
    fn from(error: HttpError) -> Fault {
        let kind = match error {
            HttpError::Unreachable(_) => Kind::Unreachable,
            HttpError::TimedOut(_) | HttpError::Closed(_) | HttpError::Gone(_) => Kind::Unanswered,
            HttpError::Malformed(_) | HttpError::TooLong(_) | HttpError::Tls(_) => Kind::InvalidResponse,
            HttpError::Unmakeable(_) => Kind::Refused,
        };
        Fault::new(kind, error.to_string())
    }
}

/// What an error code means outside of any method: the codes of sessions, logins and load. `None` for those that only
/// the method can explain, and for 0.
pub(super) fn general(code: i64) -> Option<Fault> {
    let said = |what: &str| format!("{what} (error code {code})");
    let fault = match code {
        1003 => Fault::new(Kind::SessionGone { taken: false }, said("the plug no longer speaks this variant")),
        9999 | -2402 | -40401 => Fault::new(Kind::SessionGone { taken: true }, said("the plug ended the session")),
        1100 | 1111 | 1112 | 1200 | -1003 | -1004 | -1005 | -1006 | -1101 => {
            Fault::new(Kind::SessionGone { taken: false }, said("the plug could not read the request"))
        }
        -1301 => Fault::new(Kind::Busy { flooded: false }, said("the plug asks for rest")),
        -1501 | -2203 => Fault::new(Kind::Auth, said(WRONG_CREDENTIALS)),
        -2101 => Fault::new(
            Kind::Locked,
            said(
                "the plug has locked itself after wrong logins; correct the password, then leave it alone for half an hour",
            ),
        ),
        _ => return None,
    };
    Some(fault)
}

/// What to tell an operator whose credentials do not fit.
pub(super) const WRONG_CREDENTIALS: &str = "wrong password or e-mail of the TP-Link account: both count upper and \
     lower case, and a plug that is kept off the internet, or was set up without the Tapo app, may hold others";
