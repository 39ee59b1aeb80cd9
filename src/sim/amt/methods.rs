//! The methods: the effect of each on the machine, and its return value. Pure but for the state that it is given.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::boot::INVALID_PARAMETER;
use super::log::{AUDIT_PAGE, Logs};
use super::reply::{Refusal, Val};
use super::soap::{Call, Elem};
use super::state::State;
use crate::clock::Now;

/// `ReturnValue` of a request that does not fit the state of the machine, whatever it was.
const NOT_NOW: u32 = 2;
/// `PT_STATUS_NOT_READY`: there is nothing to take this.
const NOT_READY: u32 = 2;
/// PT_STATUS of a wrong consent code.
const UNSUPPORTED: u32 = 2066;
/// PT_STATUS_INVALID_INDEX.
const INVALID_INDEX: u32 = 0x23;
/// `GetRecords`: the position is not valid.
const NO_SUCH_POSITION: u32 = 2;
/// `GetRecords`: the log is empty.
const EMPTY: u32 = 3;

/// The return values of a method.
pub(super) type Output = Vec<(&'static str, Val)>;

fn text(value: impl ToString) -> Val {
    Val::Text(value.to_string())
}

/// A bare ReturnValue.
pub(super) fn value(number: u32) -> Output {
    vec![("ReturnValue", text(number))]
}

fn number<T: std::str::FromStr>(input: &Elem, name: &str) -> Option<T> {
    input.text_of(name)?.parse().ok()
}

/// Calls a method of an instance that exists.
pub(super) fn invoke(state: &mut State, call: &Call, method: &str, idle: bool, now: Now) -> Result<Output, Refusal> {
    let input = &call.body;
    match (call.class.as_str(), method) {
        ("CIM_PowerManagementService", "RequestPowerStateChange") => Ok(value(power(state, input, idle, now))),
        ("CIM_BootConfigSetting", "ChangeBootOrder") => change_order(state, input).map(value),
        ("CIM_BootService", "SetBootConfigRole") => {
            let config = input.child("BootConfigSetting").and_then(|epr| epr.selector("InstanceID"));
            Ok(value(state.boot.set_role(config.unwrap_or_default(), input.text_of("Role").unwrap_or_default())))
        }
        ("CIM_BootService", "RequestStateChange") => Ok(value(match number(input, "RequestedState") {
            Some(wanted @ 32768..=32771) if state.recovery() => {
                state.boot.service = wanted;
                0
            }
            _ => INVALID_PARAMETER,
        })),
        ("AMT_RedirectionService", "RequestStateChange") => Ok(value(match number(input, "RequestedState") {
            Some(wanted @ 32768..=32771) => {
                state.redirection = wanted;
                0
            }
            _ => INVALID_PARAMETER,
        })),
        ("IPS_PowerManagementService", "RequestOSPowerSavingStateChange") => {
            Ok(value(if state.computer.os() { 0 } else { NOT_NOW }))
        }
        ("AMT_SetupAndConfigurationService", "GetUuid") => {
            Ok(vec![("UUID", text(STANDARD.encode(state.hardware.uuid_raw()))), ("ReturnValue", text(0))])
        }
        ("IPS_OptInService", _) => opt_in(state, method, input, now),
        ("AMT_MessageLog", _) => message_log(state, method, input),
        ("AMT_AuditLog", "ReadRecords") => audit_log(state, input),
        ("AMT_TimeSynchronizationService", "GetLowAccuracyTimeSynch") => {
            Ok(vec![("Ta0", text(state.engine_time(now))), ("ReturnValue", text(0))])
        }
        ("AMT_TimeSynchronizationService", "SetHighAccuracyTimeSynch") => Ok(value(set_time(state, input))),
        _ => Err(Refusal::new("ActionNotSupported", "The action is not supported by the service")),
    }
}

fn power(state: &mut State, input: &Elem, idle: bool, now: Now) -> u32 {
    let managed = input.child("ManagedElement").and_then(|epr| epr.selector("Name"));
    let Some(wanted) = number(input, "PowerState").filter(|_| managed == Some("ManagedSystem")) else {
        return INVALID_PARAMETER;
    };
    state.book.relay_writes += 1;
    if idle || state.config.quirks.ignores_power {
        return 0;
    }
    let Some(events) = state.computer.request(wanted, now.mono) else { return NOT_NOW };
    for event in events {
        state.happened(event, now.mono, now);
    }
    let (time, user) = (state.engine_time(now), state.config.username.clone());
    state.logs.audit_by(time, Logs::power_key(wanted), &user);
    0
}

fn change_order(state: &mut State, input: &Elem) -> Result<u32, Refusal> {
    // Only the first source counts: there is no fall-through.
    let source = input.child("Source").map(|epr| epr.selector("InstanceID").unwrap_or_default());
    if source.is_some() {
        state.needs_consent()?;
    }
    Ok(state.boot.change_order(source))
}

fn opt_in(state: &mut State, method: &str, input: &Elem, now: Now) -> Result<Output, Refusal> {
    Ok(value(match method {
        "StartOptIn" => {
            state.consent.start(now.mono);
            0
        }
        "SendOptInCode" => match number(input, "OptInCode") {
            Some(code) if state.consent.receive(code) => 0,
            Some(_) => UNSUPPORTED,
            None => INVALID_PARAMETER,
        },
        "CancelOptIn" if state.consent.cancel() => {
            state.consent_lost();
            0
        }
        "CancelOptIn" => NOT_READY,
        _ => return Err(Refusal::new("ActionNotSupported", "The action is not supported by the service")),
    }))
}

fn message_log(state: &mut State, method: &str, input: &Elem) -> Result<Output, Refusal> {
    let events = state.logs.events();
    match method {
        "PositionToFirstRecord" if events.is_empty() => Ok(value(EMPTY)),
        "PositionToFirstRecord" => Ok(vec![("IterationIdentifier", text(1)), ("ReturnValue", text(0))]),
        "GetRecords" => {
            let (first, most) =
                (number::<usize>(input, "IterationIdentifier"), number::<usize>(input, "MaxReadRecords"));
            let (Some(first), Some(most @ 1..=390)) = (first, most) else { return Ok(value(INVALID_PARAMETER)) };
            if events.is_empty() {
                return Ok(value(EMPTY));
            }
            if first == 0 || first > events.len() {
                return Ok(value(NO_SUCH_POSITION));
            }
            let records: Vec<_> = events.iter().skip(first - 1).take(most).map(|one| STANDARD.encode(one)).collect();
            let next = first + records.len();
            Ok(vec![
                ("IterationIdentifier", text(next)),
                ("NoMoreRecords", text(next > events.len())),
                ("RecordArray", Val::List(records)),
                ("ReturnValue", text(0)),
            ])
        }
        "ClearLog" => {
            state.logs.clear_events();
            Ok(value(0))
        }
        "FreezeLog" => {
            state.logs.frozen = input.text_of("Freeze") == Some("true");
            Ok(value(0))
        }
        _ => Err(Refusal::new("ActionNotSupported", "The action is not supported by the service")),
    }
}

fn audit_log(state: &State, input: &Elem) -> Result<Output, Refusal> {
    if state.config.quirks.no_audit_log {
        return Err(Refusal::new("AccessDenied", "The sender was not authorized to access the resource."));
    }
    let records = state.logs.audit();
    let Some(first @ 1..) = number::<usize>(input, "StartIndex") else { return Ok(value(INVALID_INDEX)) };
    if first > records.len() && !records.is_empty() {
        return Ok(value(INVALID_INDEX));
    }
    let page: Vec<_> = records.iter().skip(first - 1).take(AUDIT_PAGE).map(|one| STANDARD.encode(one)).collect();
    Ok(vec![
        ("TotalRecordCount", text(records.len())),
        ("RecordsReturned", text(page.len())),
        ("EventRecords", Val::List(page)),
        ("ReturnValue", text(0)),
    ])
}

fn set_time(state: &mut State, input: &Elem) -> u32 {
    let times = (number::<i64>(input, "Ta0"), number::<i64>(input, "Tm1"), number::<i64>(input, "Tm2"));
    let (Some(ours), Some(reply), Some(call)) = times else { return INVALID_PARAMETER };
    // What Ta0 was at the reply, the client's clock called Tm1; Tm2 is when it asked.
    let middle = reply - (reply - call) / 2;
    if !(0..=i64::from(u32::MAX)).contains(&middle) || ours < 0 {
        return INVALID_PARAMETER;
    }
    state.move_clock(middle - ours);
    0
}
