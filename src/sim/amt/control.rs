//! The part of the control API for machines: `GET /machines`, `GET /machines/NAME`, and of a machine `boots`,
//! `counters`, `fault`, `certificate`. Commands are POSTs with a JSON object, such as `POST /machines/NAME/power
//! {"power": "soft_off"}`.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::super::control::{order, problem};
use super::super::fault::Fault;
use super::super::http::{Request, Response};
use super::config::{Consent, ControlMode, MachineQuirks, Timings};
use super::machine::Machine;
use super::power::Power;

/// What can be ordered of a machine: the last part of the path, with the body's fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Order {
    Button {},
    Power { power: Power },
    Os { running: bool },
    OsReboot {},
    Lms { lms: bool },
    Mains { on: bool },
    Offline { offline: bool },
    Restart { offline_ms: u64, keeps_power: bool },
    Fault(Fault),
    Latency { ms: u64 },
    Timings { quick: bool },
    Quirks(MachineQuirks),
    Mode { mode: ControlMode, consent: Consent },
    Password { password: String },
    Uuid { uuid: String },
    ForgetNonces {},
    LockAfter { wrong: Option<u32> },
    Unlock {},
}

/// Answers a request whose path is `/machines` and what follows.
pub(in crate::sim) fn answer(machines: &[Arc<Machine>], path: &[&str], request: &Request) -> Response {
    let (name, what) = match path {
        [] if request.method != "GET" => return problem(405, "GET lists the machines"),
        [] => {
            return Response::json(&json!(machines.iter().map(|machine| machine.describe()).collect::<Vec<_>>()));
        }
        [name] => (*name, None),
        [name, what] => (*name, Some(*what)),
        _ => return problem(404, "there is /machines, /machines/NAME and /machines/NAME/WHAT"),
    };
    let Some(machine) = machines.iter().find(|machine| machine.name() == name) else {
        return problem(404, "no machine has this name; GET /machines lists them");
    };
    match (request.method.as_str(), what) {
        ("GET", None) => Response::json(&json!(machine.describe())),
        ("GET", Some("boots")) => Response::json(&json!(machine.boots())),
        ("GET", Some("counters")) => Response::json(&json!(machine.counters().totals())),
        ("GET", Some("fault")) => Response::json(&json!(machine.faults())),
        ("GET", Some("certificate")) => match machine.certificate_pem() {
            Some(pem) => Response::bytes(200, "application/x-pem-file", pem.into_bytes()),
            None => problem(404, "this machine speaks no TLS"),
        },
        ("DELETE", Some("counters")) => {
            machine.reset_counters();
            Response::json(&json!({}))
        }
        ("DELETE", Some("fault")) => {
            machine.clear_faults();
            Response::json(&json!({}))
        }
        ("POST", Some(what)) => match order(what, &request.body) {
            Ok(order) => obey(machine, order),
            Err(error) => problem(400, &error),
        },
        _ => problem(405, "GET, POST or DELETE does not fit here"),
    }
}

fn obey(machine: &Machine, order: Order) -> Response {
    let ms = Duration::from_millis;
    match order {
        Order::Button {} => machine.press_button(),
        Order::Power { power } => machine.set_power(power),
        Order::Os { running } => machine.set_os(running),
        Order::OsReboot {} => machine.reboot_os(),
        Order::Lms { lms } => machine.reconfigure(|config| config.lms = lms),
        Order::Mains { on: false } => machine.cut_mains(),
        Order::Mains { on: true } => machine.return_mains(),
        Order::Offline { offline } => machine.set_offline(offline),
        Order::Restart { offline_ms, keeps_power } => machine.restart(ms(offline_ms), keeps_power),
        Order::Fault(fault) => {
            if !machine.add_fault(fault) {
                return problem(409, "there are too many rules already");
            }
        }
        Order::Latency { ms: time } => machine.set_latency(ms(time)),
        Order::Timings { quick } => {
            machine.reconfigure(|config| config.timings = if quick { Timings::quick() } else { Timings::default() });
        }
        Order::Quirks(quirks) => machine.reconfigure(|config| config.quirks = quirks),
        Order::Mode { mode, consent } => {
            machine.reconfigure(|config| (config.mode, config.consent) = (mode, consent));
        }
        Order::Password { password } => machine.set_password(&password),
        Order::Uuid { uuid } => match uuid::Uuid::parse_str(&uuid) {
            Ok(uuid) => machine.set_uuid(uuid.into_bytes()),
            Err(error) => return problem(400, &error.to_string()),
        },
        Order::ForgetNonces {} => machine.forget_nonces(),
        Order::LockAfter { wrong } => machine.reconfigure(|config| config.lock_after = wrong),
        Order::Unlock {} => machine.unlock(),
    }
    Response::json(&json!(machine.describe()))
}
