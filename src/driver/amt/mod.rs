//! Intel AMT machines.
//!
//! `config` (how to reach a machine), `section` (its keys in nodes.yaml). From the inside out: `xml` (pure); `wsman`, `status_codes` (envelopes, replies and what their numbers mean, pure);
//! `connection` and `enumeration` with `fault` (login, repeats, sequences); `probe` (who is there); `power` (numbers,
//! pure), `boot`, `facts` (the classes that matter for power); `inventory`, `log` (what instances and records say, pure) with
//! `scan` (reading them); `machine` (what the core sees).

mod boot;
mod config;
mod connection;
mod enumeration;
mod facts;
mod fault;
mod find;
mod inventory;
mod log;
mod machine;
mod power;
mod probe;
mod redact;
mod scan;
mod section;
mod status_codes;
mod wsman;
mod xml;

use std::time::Duration;

use schemars::{Schema, SchemaGenerator};

pub use self::config::AmtConfig;
use self::config::{fingerprint_of, fingerprint_text};
pub(crate) use self::machine::AmtMachine;
use super::find::{FindFuture, Search};
use super::section::{Section, SectionContext};
use super::{Driver, DriverConfig};
use crate::node::device::DeviceKind;
use crate::node::rate_limit::{RateLimit, at_least_one};
use crate::node::{BootTarget, PowerAction};
use crate::reader::{Cursor, Read};

/// TCP port of WS-Management over plain HTTP.
pub(crate) const PLAIN_PORT: u16 = 16992;

/// TCP port of WS-Management over TLS.
pub(crate) const TLS_PORT: u16 = 16993;

/// What is known of all AMT machines: the machine follows within seconds, graceful orders take longer, and the engine is
/// silent for a while whenever the power changes or it sleeps.
pub const KIND: DeviceKind = DeviceKind {
    boot_targets: &[BootTarget::None, BootTarget::Pxe, BootTarget::Hdd, BootTarget::Cd, BootTarget::BiosSetup],
    boot_modes: &[],
    is_outlet: false,
    sets_power_restore: false,
    applies_boot: true,
    orders: &[
        PowerAction::Cycle,
        PowerAction::Reset,
        PowerAction::GracefulOff,
        PowerAction::GracefulReset,
        PowerAction::Nmi,
    ],
    reads_before_action: true,
    verify_after: &[
        Duration::from_secs(2),
        Duration::from_secs(4),
        Duration::from_secs(6),
        Duration::from_secs(9),
        Duration::from_secs(12),
        Duration::from_secs(16),
        Duration::from_secs(20),
        Duration::from_secs(25),
        Duration::from_secs(30),
    ],
    silence_max: Duration::from_secs(60),
};

/// What management engines bear. They are slow and small, and many requests at once have been seen to lock them up: never
/// two at a time, some rest between, few over time. Reading the inventory of 15 classes is about 45 requests (Enumerate and
/// two Pulls each), hence the burst.
pub const RATE_LIMIT: RateLimit =
    RateLimit { gap: Duration::from_millis(50), per_second: at_least_one(4), burst: at_least_one(48) };

/// The driver of AMT machines.
pub(crate) struct AmtDriver;

impl Driver for AmtDriver {
    fn section(&self) -> &'static Section {
        &section::SECTION
    }

    fn read(&self, at: &Cursor<'_>, context: SectionContext<'_>) -> Read<DriverConfig> {
        section::read(at, context).map(DriverConfig::new)
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<section::Amt>()
    }

    #[cfg(test)]
    fn groups(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[("Amt", section::SECTION.keys), ("AmtPin", section::PIN)]
    }

    fn kind(&self) -> &'static DeviceKind {
        &KIND
    }

    fn rate_limit(&self) -> RateLimit {
        RATE_LIMIT
    }

    fn find<'a>(&'a self, search: &'a Search<'a>) -> FindFuture<'a> {
        Box::pin(async { Ok(find::find(search).await) })
    }
}

#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(test)]
mod tests;
