//! The connection against a scripted machine on a real socket, in real time with short settings.

mod broken;
pub(super) mod fake;
mod logins;
mod probing;
mod section;
mod sequences;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use self::fake::{Fake, Machine, REALM, Trouble};
use super::AmtConfig;
use super::connection::{Repeat, Timing, WsMan};
use super::fault::{Fault, Kind};
use super::status_codes::FaultCode;
use crate::clock::Clock;
use crate::driver::DeviceContext;
use crate::driver::http::{Deadlines, Tls};
use crate::driver::tests::no_pace;
use crate::node::device::FailureClass;
use crate::telemetry::Metrics;

/// For machines that answer: long enough for busy cores.
pub(super) fn quick() -> Timing {
    Timing {
        deadlines: Deadlines { connect: Duration::from_secs(5), exchange: Duration::from_secs(5) },
        pauses: [Duration::from_millis(5), Duration::from_millis(10), Duration::from_millis(20)],
        call: Duration::from_secs(20),
    }
}

/// For machines that do not.
pub(super) fn hasty() -> Timing {
    let exchange = Duration::from_millis(500);
    Timing { deadlines: Deadlines { exchange, ..quick().deadlines }, ..quick() }
}

/// What fits a machine with this trouble.
pub(super) fn timing_for(trouble: &Trouble) -> Timing {
    if matches!(trouble, Trouble::Silence) { hasty() } else { quick() }
}

pub(super) fn context(metrics: &Arc<Metrics>) -> DeviceContext {
    crate::driver::tests::context("node-1", no_pace(), metrics)
}

pub(super) fn config(port: u16, password: &str) -> AmtConfig {
    let password = SecretString::from(password);
    AmtConfig {
        host: "127.0.0.1".into(),
        port: Some(port),
        tls: Tls::Off,
        username: "admin".into(),
        password,
        uuid: None,
    }
}

/// A machine with these answers, and a connection to it.
pub(super) async fn rig(answers: &[(&'static str, String)]) -> (Fake, WsMan) {
    rig_with(answers, quick()).await
}

pub(super) async fn rig_with(answers: &[(&'static str, String)], timing: Timing) -> (Fake, WsMan) {
    let fake = Fake::start(Machine::new(answers)).await;
    let wsman = WsMan::with_timing(config(fake.port, "P@ssw0rd"), context(&Metrics::new()), timing);
    (fake, wsman)
}

/// The usual: a machine that is on.
pub(super) async fn machine() -> (Fake, WsMan) {
    machine_with(quick()).await
}

pub(super) async fn machine_with(timing: Timing) -> (Fake, WsMan) {
    rig_with(&[("/Get<", fixture("get-power")), ("RequestPowerStateChange", accepted())], timing).await
}

pub(super) fn fixture(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/amt/reply-{name}.xml"));
    std::fs::read_to_string(path).unwrap()
}

pub(super) fn accepted() -> String {
    fixture("invoke-power").replace("ReturnValue>2<", "ReturnValue>0<")
}

pub(super) fn fault(subcode: &str) -> String {
    fixture("fault-absent").replace("b:DestinationUnreachable", subcode)
}

pub(super) async fn read(wsman: &mut WsMan) -> Result<(), Fault> {
    let power = wsman.get("read", "CIM_AssociatedPowerManagementService", &[]).await?;
    assert_eq!(power.number::<u8>("PowerState"), Some(2));
    Ok(())
}

pub(super) async fn reset(wsman: &mut WsMan) -> Result<u32, Fault> {
    let parameters = [("PowerState", 10.into())];
    let class = "CIM_PowerManagementService";
    let output = wsman.invoke("set", class, "RequestPowerStateChange", &parameters, Repeat::Never).await?;
    Ok(output.return_value)
}
