//! A service with two nodes whose devices always report the same, with its storage in memory: no disk, no socket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plugfish::testing::account::{AccessRules, AccountBook, AccountRecord, Role, SessionRecord};
use plugfish::testing::clock::{Clock, Wall};
use plugfish::testing::durable::{SettingsStore, WriteFuture};
use plugfish::testing::http::auth::{Authenticator, hash_password};
use plugfish::testing::http::turns::Turns;
use plugfish::testing::node::actor::NodeContext;
use plugfish::testing::driver::tapo;
use plugfish::testing::node::device::{DeviceFuture, Observation, PowerDevice};
use plugfish::testing::node::event::EventBus;
use plugfish::testing::node::fleet::Fleet;
use plugfish::testing::node::journal::{BootRecord, Intent, Journal, NodeRecord, SeenRecord};
use plugfish::testing::node::reload::NodeSetup;
use plugfish::testing::node::supervisor::Supervisor;
use plugfish::testing::node::trust::{TrustBook, TrustRecord};
use plugfish::testing::node::{BootOverride, NodeId, NodeSpec, PowerPolicy, Power, PowerAction, Timings};
use plugfish::testing::redfish::Service;
use plugfish::testing::redfish::events::Events;
use plugfish::testing::telemetry::Metrics;
use serde_json::Value;

/// What lives as long as the process.
pub struct World {
    clock: Clock,
    metrics: Arc<Metrics>,
    fleet: Fleet,
    admin: AccountRecord,
    /// What the shelf holds at first.
    pub values: BTreeMap<String, Value>,
}

impl World {
    pub async fn new() -> World {
        let (clock, metrics) = (Clock::system(), Metrics::new());
        let journal = Arc::new(Forgetful);
        let around = NodeContext { clock: clock.clone(), journal, events: EventBus::new(), metrics: metrics.clone() };
        let mut keeper = Supervisor::new(around, |_, ()| Box::new(AlwaysOn));
        keeper.apply(vec![setup("n0"), setup("n1")]).await;
        let fleet = keeper.fleet();
        while !fleet.table().values().all(|entry| entry.view().power.is_some()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::mem::forget(keeper);
        let admin = AccountRecord {
            username: "admin".into(),
            password_hash: hash_password("secret").unwrap(),
            role: Role::Administrator,
            enabled: true,
            change: 1,
            password_change_required: false,
            created: Wall(1),
            scope: None,
        };
        World { clock, metrics, fleet, admin, values: BTreeMap::new() }
    }

    /// A service as it is after a start, and the store of its values.
    pub fn service(&self) -> (Service, Arc<MemoryStore>) {
        let store = Arc::new(MemoryStore { admin: self.admin.clone(), values: Mutex::new(self.values.clone()) });
        let access = Arc::new(Authenticator::new(store.clone(), self.clock.clone(), self.metrics.clone(), false));
        let service = Service {
            fleet: self.fleet.clone(),
            access: access.clone(),
            uuid: Default::default(),
            port: 8000,
            events: Events::start(store.clone(), access, self.clock.clone(), self.metrics.clone()),
            certificate: None,
            recorder: Arc::default(),
            bodies: Arc::default(),
            turns: Turns::new(self.clock.clone()),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
        };
        (service, store)
    }
}

/// One account, and the values of the event service.
pub struct MemoryStore {
    admin: AccountRecord,
    pub values: Mutex<BTreeMap<String, Value>>,
}

impl AccountBook for MemoryStore {
    fn accounts(&self) -> Vec<AccountRecord> {
        vec![self.admin.clone()]
    }

    fn put_account(&self, _: AccountRecord) -> WriteFuture {
        Box::pin(async { Ok(()) })
    }

    fn delete_account(&self, _: &str) -> WriteFuture {
        Box::pin(async { Ok(()) })
    }

    fn rules(&self) -> AccessRules {
        AccessRules::default()
    }

    fn put_rules(&self, _: AccessRules) -> WriteFuture {
        Box::pin(async { Ok(()) })
    }

    fn sessions(&self) -> Vec<SessionRecord> {
        Vec::new()
    }

    fn put_session(&self, _: SessionRecord) {}

    fn delete_session(&self, _: &str) {}

    fn flush_session(&self, _: &str) -> WriteFuture {
        Box::pin(async { Ok(()) })
    }
}

impl SettingsStore for MemoryStore {
    fn values(&self, prefix: &str) -> Vec<(String, Value)> {
        let values = self.values.lock().unwrap();
        let found = values.iter().filter(|(name, _)| name.starts_with(prefix));
        found.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn put_value(&self, name: &str, value: Value) -> WriteFuture {
        self.values.lock().unwrap().insert(name.into(), value);
        Box::pin(async { Ok(()) })
    }

    fn delete_value(&self, name: &str) -> WriteFuture {
        self.values.lock().unwrap().remove(name);
        Box::pin(async { Ok(()) })
    }
}

struct Forgetful;

impl TrustBook for Forgetful {
    fn trust(&self, _: &NodeId) -> Option<Arc<TrustRecord>> {
        None
    }

    fn record_trust(&self, _: &NodeId, _: Option<Arc<TrustRecord>>) -> WriteFuture {
        Box::pin(async { Ok(()) })
    }
}

impl Journal for Forgetful {
    fn load(&self, _: &NodeId) -> NodeRecord {
        NodeRecord::default()
    }

    fn record_intent(&self, _: &NodeId, _: Intent) -> WriteFuture {
        Box::pin(async { Ok(()) })
    }

    fn clear_intent(&self, _: &NodeId, _: u64) {}

    fn record_boot(&self, _: &NodeId, _: BootRecord) -> WriteFuture {
        Box::pin(async { Ok(()) })
    }

    fn note_seen(&self, _: &NodeId, _: SeenRecord) {}
}

fn setup(id: &str) -> NodeSetup<()> {
    let spec = NodeSpec {
        id: id.parse().unwrap(),
        inventory: Arc::default(),
        timings: Timings {
            poll_interval: Duration::from_secs(3600),
            off_dwell: Duration::from_secs(10),
            command_deadline: Duration::from_secs(60),
            fence_age_max: None,
        },
        device: "a device that is always on".into(),
        kind: &tapo::KIND,
        boot_mode: None,
        boot_targets: None,
        policy: PowerPolicy::default(),
    };
    NodeSetup { spec, device: () }
}

struct AlwaysOn;

impl PowerDevice for AlwaysOn {
    fn read(&mut self) -> DeviceFuture<'_, Observation> {
        Box::pin(async { Ok(Observation { power: Some(Power::On), ..Observation::default() }) })
    }

    fn order(&mut self, _: PowerAction, _: BootOverride) -> DeviceFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn forget_session(&mut self) {}
}
