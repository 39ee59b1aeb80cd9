//! How a request to an AMT machine fails, seen from inside the driver: what to do next, and the words for people.
//!
//! It knows neither sockets nor the core's treatment of failures.

use thiserror::Error;

use super::status_codes::{self, FaultCode};
use super::wsman::{ReplyError, SoapFault};
use crate::driver::digest::ChallengeError;
use crate::driver::http::HttpError;
use crate::node::device::{DeviceError, FailureClass};

/// A failure with its words.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text}")]
pub struct Fault {
    /// What to do about it.
    pub kind: Kind,
    /// What happened and what to do, without a full stop or a secret.
    pub text: String,
}

/// The kinds of failure within the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No connection: nothing was asked.
    Unreachable,
    /// No whole answer: what the request did is unknown.
    Unanswered,
    /// An answer that makes no sense.
    InvalidResponse,
    /// The engine has no time, or trouble that passes.
    Busy,
    /// What answers does not speak as an AMT machine does, or over TLS that plugfish does not speak or trust. Asking
    /// again at once would bring the same.
    UnsupportedProtocol,
    /// It shows less of itself than the machine that was there before, or something else.
    Distrusted,
    /// The machine understood and answered with this fault.
    Soap(FaultCode),
    /// A method returned this instead of 0.
    Returned(u32),
    /// The configuration or this driver rules it out.
    Refused,
    /// Wrong credentials. A locked account is answered in the same way.
    Auth,
}

impl Fault {
    /// A failure of this kind.
    pub fn new(kind: Kind, text: impl Into<String>) -> Fault {
        Fault { kind, text: text.into() }
    }

    /// A method that returned something else than 0.
    pub fn returned(class: &str, method: &str, value: u32) -> Fault {
        let words = status_codes::return_value(class, value);
        Fault::new(Kind::Returned(value), format!("{method} was not accepted: {words}"))
    }

    /// Asking again may bring something else.
    pub const fn is_passing(&self) -> bool {
        match &self.kind {
            Kind::Unreachable | Kind::Unanswered | Kind::InvalidResponse | Kind::Busy => true,
            Kind::Soap(code) => code.is_passing(),
            _ => false,
        }
    }

    /// The machine said nothing.
    pub const fn is_silence(&self) -> bool {
        matches!(&self.kind, Kind::Unreachable | Kind::Unanswered)
    }

    /// The class, the instance or the method does not exist on this machine.
    pub const fn is_absence(&self) -> bool {
        matches!(&self.kind, Kind::Soap(code) if code.is_absence())
    }

    /// Another operation may bring what this one did not: the class is there, and the account may see it.
    pub const fn is_of_operation(&self) -> bool {
        use FaultCode::{AccessDenied, DestinationUnreachable};
        match &self.kind {
            Kind::Soap(code) => !matches!(code, AccessDenied | DestinationUnreachable) && !code.is_passing(),
            Kind::InvalidResponse | Kind::UnsupportedProtocol => true,
            _ => false,
        }
    }

    /// User consent or a realm of the account is missing.
    pub const fn is_denied(&self) -> bool {
        matches!(&self.kind, Kind::Soap(FaultCode::AccessDenied))
    }

    /// How the core treats it.
    pub const fn class(&self) -> FailureClass {
        match &self.kind {
            Kind::Unreachable => FailureClass::Unreachable,
            Kind::Distrusted => FailureClass::Distrusted,
            Kind::Unanswered => FailureClass::Timeout,
            Kind::Busy => FailureClass::Busy,
            Kind::Soap(code) if code.is_passing() => FailureClass::Busy,
            Kind::InvalidResponse | Kind::UnsupportedProtocol | Kind::Soap(FaultCode::InvalidEnumerationContext) => {
                FailureClass::Protocol
            }
            Kind::Soap(_) | Kind::Returned(_) | Kind::Refused => FailureClass::Refused,
            Kind::Auth => FailureClass::Auth,
        }
    }

    /// For the core.
    pub fn into_device_error(self) -> DeviceError {
        DeviceError::new(self.class(), self.text)
    }
}

impl From<Fault> for DeviceError {
    fn from(fault: Fault) -> DeviceError {
        fault.into_device_error()
    }
}

impl From<HttpError> for Fault {
    fn from(error: HttpError) -> Fault {
        let kind = match error {
            HttpError::Unreachable(_) => Kind::Unreachable,
            HttpError::TimedOut(_) | HttpError::Closed(_) | HttpError::Gone(_) => Kind::Unanswered,
            HttpError::Malformed(_) | HttpError::TooLong(_) => Kind::InvalidResponse,
            HttpError::Tls(_) => Kind::UnsupportedProtocol,
            HttpError::Unmakeable(_) => Kind::Refused,
        };
        Fault::new(kind, error.to_string())
    }
}

impl From<ReplyError> for Fault {
    fn from(error: ReplyError) -> Fault {
        let text = error.to_string();
        match error {
            ReplyError::Fault(fault) => fault.into(),
            ReplyError::Xml(_) | ReplyError::Lacks(_) => Fault::new(Kind::InvalidResponse, text),
        }
    }
}

impl From<SoapFault> for Fault {
    fn from(fault: SoapFault) -> Fault {
        let text = fault.to_string();
        Fault::new(Kind::Soap(fault.code), text)
    }
}

impl From<ChallengeError> for Fault {
    fn from(error: ChallengeError) -> Fault {
        Fault::new(
            Kind::UnsupportedProtocol,
            format!("HTTP 401, but {error}; check that this is the address of an AMT machine"),
        )
    }
}
