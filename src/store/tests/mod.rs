//! Tests of the store as a whole, on real files.

mod behaviour;
mod crash;
mod damage;
mod full;
mod refused;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::write_queue::Timing;
use super::{OpenReport, Store};
use crate::account::{AccountBook, AccountRecord, Role, SessionRecord};
use crate::clock::{Clock, Wall};
use crate::node::device::DeviceIdentity;
use crate::node::journal::{BootRecord, Intent, SeenRecord, Stage};
use crate::node::{BootEnabled, BootOverride, BootTarget, NodeId, Power, ResetType};
use crate::telemetry::Metrics;

fn open(dir: &Path) -> (Arc<Store>, OpenReport) {
    open_counted(dir, Metrics::new(), Timing::default())
}

fn open_counted(dir: &Path, metrics: Arc<Metrics>, timing: Timing) -> (Arc<Store>, OpenReport) {
    Store::open_with(dir, Clock::system(), metrics, timing).unwrap()
}

/// Nothing is written by itself but what a caller waits for.
fn write_behind() -> Timing {
    let never = Duration::from_secs(3600);
    let write_limit = Timing::default().write_limit;
    Timing { changed: never, moved: never, pause: never, backup_changed: never, backup_moved: never, write_limit }
}

/// Waits for a write of the store. No runtime: the store needs none.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn node(n: usize) -> NodeId {
    format!("node-{n}").parse().unwrap()
}

fn intent(number: u64) -> Intent {
    Intent {
        number,
        reset: ResetType::PowerCycle,
        first: None,
        accepted: Wall(1000),
        by: "admin".into(),
        stage: Stage::Accepted,
    }
}

fn boot(writes: u64) -> BootRecord {
    let boot = BootOverride { target: BootTarget::Pxe, enabled: BootEnabled::Once, ..Default::default() };
    BootRecord { boot, writes }
}

fn seen(n: usize) -> SeenRecord {
    let about = DeviceIdentity {
        model: Some("P110".into()),
        firmware: Some("1.3.0 Build 230905 Rel.152200".into()),
        serial: Some(format!("{n:040}")),
        ..Default::default()
    };
    SeenRecord {
        power: Power::On,
        relay: None,
        at: Wall(2000),
        since: Wall(1000),
        energy_wh: n as u64,
        energy_today_wh: Some(7),
        device: "Tapo plug at 192.0.2.123, 0123456789".into(),
        about: about.into(),
        capabilities: None,
        inventory: None,
    }
}

fn account(username: &str) -> AccountRecord {
    AccountRecord {
        username: username.into(),
        password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA".into(),
        role: Role::Operator,
        enabled: true,
        change: 1,
        password_change_required: false,
        created: Wall(5),
        scope: None,
    }
}

fn session(id: &str, username: &str) -> SessionRecord {
    SessionRecord {
        id: id.into(),
        token_hash: "00".repeat(32),
        username: username.into(),
        origin: Some("192.0.2.7".into()),
        context: None,
        created: Wall(1),
        last_used: Wall(2),
    }
}

/// How many durable writes of this kind there were.
fn writes(metrics: &Metrics, kind: &str) -> u64 {
    let name = format!("plugfish_store_writes_total{{kind=\"{kind}\"}} ");
    let text = metrics.render();
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}
