//! What the numbers and names mean that AMT answers with when it does not do what it is asked.
//!
//! Words only; what is to be done about a failure is decided elsewhere.

use std::fmt;

/// The subcode of a SOAP fault, by its local name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultCode {
    /// The class does not exist on this firmware.
    DestinationUnreachable,
    /// No such instance, or several.
    InvalidSelectors,
    /// User consent is missing, or a realm of the account.
    AccessDenied,
    /// The body does not fit the class.
    InvalidRepresentation,
    /// An argument of a method is wrong.
    InvalidParameter,
    /// The body does not fit the schema.
    SchemaValidationError,
    /// The enumeration has expired.
    InvalidEnumerationContext,
    /// The method is unknown.
    ActionNotSupported,
    /// The engine took too long.
    TimedOut,
    /// The engine has trouble of its own.
    InternalError,
    /// The answer would be too long.
    EncodingLimit,
    /// Too much at once.
    QuotaLimit,
    /// Any other.
    Other(String),
}

impl FaultCode {
    /// Reads a local name.
    pub fn parse(name: &str) -> FaultCode {
        match name {
            "DestinationUnreachable" => FaultCode::DestinationUnreachable,
            "InvalidSelectors" => FaultCode::InvalidSelectors,
            "AccessDenied" => FaultCode::AccessDenied,
            "InvalidRepresentation" => FaultCode::InvalidRepresentation,
            "InvalidParameter" => FaultCode::InvalidParameter,
            "SchemaValidationError" => FaultCode::SchemaValidationError,
            "InvalidEnumerationContext" => FaultCode::InvalidEnumerationContext,
            "ActionNotSupported" => FaultCode::ActionNotSupported,
            "TimedOut" => FaultCode::TimedOut,
            "InternalError" => FaultCode::InternalError,
            "EncodingLimit" => FaultCode::EncodingLimit,
            "QuotaLimit" => FaultCode::QuotaLimit,
            other => FaultCode::Other(other.chars().filter(|c| c.is_ascii_alphanumeric()).take(60).collect()),
        }
    }

    /// The class, the instance or the method is not there: a feature that this machine lacks.
    pub const fn is_absence(&self) -> bool {
        use FaultCode::{ActionNotSupported, DestinationUnreachable, InvalidSelectors};
        matches!(self, DestinationUnreachable | InvalidSelectors | ActionNotSupported)
    }

    /// The engine is short of something for now: worth asking again.
    pub const fn is_passing(&self) -> bool {
        use FaultCode::{EncodingLimit, InternalError, QuotaLimit, TimedOut};
        matches!(self, TimedOut | InternalError | EncodingLimit | QuotaLimit)
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, words) = match self {
            FaultCode::DestinationUnreachable => ("DestinationUnreachable", "this firmware does not have the class"),
            FaultCode::InvalidSelectors => ("InvalidSelectors", "there is no such instance, or more than one"),
            FaultCode::AccessDenied => (
                "AccessDenied",
                "user consent is required (client control mode, or consent for all), or the account lacks a realm",
            ),
            FaultCode::InvalidRepresentation => ("InvalidRepresentation", "the machine does not take these values"),
            FaultCode::InvalidParameter => ("InvalidParameter", "the machine does not take this argument"),
            FaultCode::SchemaValidationError => ("SchemaValidationError", "the machine does not know such a request"),
            FaultCode::InvalidEnumerationContext => ("InvalidEnumerationContext", "the enumeration has expired"),
            FaultCode::ActionNotSupported => ("ActionNotSupported", "this firmware does not have the method"),
            FaultCode::TimedOut => ("TimedOut", "the management engine took too long"),
            FaultCode::InternalError => ("InternalError", "the management engine has trouble of its own"),
            FaultCode::EncodingLimit => ("EncodingLimit", "the answer is too long for the management engine"),
            FaultCode::QuotaLimit => ("QuotaLimit", "the management engine has too much to do"),
            FaultCode::Other(name) if name.is_empty() => {
                return f.write_str("the machine answers with a fault without a code");
            }
            FaultCode::Other(name) => return write!(f, "the machine answers with the fault {name}"),
        };
        write!(f, "{words} ({name})")
    }
}

/// The ReturnValue of a CIM_ method in words.
pub(crate) fn cim_return_value(value: u32) -> &'static str {
    match value {
        0 => "accepted",
        1 => "not supported",
        // What firmware answers whatever the reason: off while off, reset while off, a source that secure boot forbids.
        2 => "not possible in the present state",
        3 => "timed out",
        4 => "failed",
        5 => "invalid parameter",
        6 => "in use",
        4096 => "accepted, a job was started",
        4097 => "invalid state transition",
        4098 => "a time-out parameter is not supported",
        4099 => "busy",
        _ => "unknown value",
    }
}

/// The ReturnValue (PT_STATUS) of an AMT_ or IPS_ method in words.
pub(crate) fn pt_status(value: u32) -> &'static str {
    match value {
        0 => "accepted",
        0x1 => "internal error",
        0x2 => "not ready",
        0x3 => "invalid mode of the platform",
        0x10 => "not permitted",
        0x11 => "not the owner",
        0x17 => "the limit is reached",
        0x19 => "authentication failed",
        0x20 => "invalid provisioning state",
        0x23 => "invalid index",
        0x24 => "invalid parameter",
        0x26 => "written too often, the flash memory is protected",
        0x400 => "disabled by policy",
        0x802 => "unsupported boot option",
        0x803 => "invalid command",
        0x807 => "invalid realm",
        0x808..=0x811 => "the access control list does not allow it",
        0x812 => "unsupported",
        _ => "unknown value",
    }
}

/// The ReturnValue of a method of this class in words, with the number.
pub(crate) fn return_value(class: &str, value: u32) -> String {
    let words = if class.starts_with("CIM_") { cim_return_value(value) } else { pt_status(value) };
    format!("{words} (ReturnValue {value})")
}
