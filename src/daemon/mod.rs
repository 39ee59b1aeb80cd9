//! The composition root of the service: its parts, and the order in which they start and stop. It takes paths and
//! values, and knows no command line.
//!
//! Start: store, accounts, listeners (so that a port in use is reported before a device is touched), fleet, service.
//! Stop: no new commands, operations in progress end or stay intents, answers are finished, the store is flushed.

mod first_account;
mod notify;
pub(crate) mod serve;
mod sockets;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use anyhow::{Context, Result};
use arc_swap::ArcSwap;

use crate::account::AccountBook;
use crate::clock::{self, Clock, Wall};
use crate::config::{AccountSeed, ServerConfig, TlsConfig};
use crate::driver::{DriverConfig, Drivers};
use crate::files;
use crate::http::auth::{Authenticator, Configured};
use crate::http::bodies::Bodies;
use crate::http::browser::HostNames;
use crate::http::collectors::{SessionMetrics, ViewMetrics};
use crate::http::connections::{self, Connections};
use crate::http::front::Front;
use crate::http::machine;
use crate::http::ops::{self, Ops};
use crate::http::proxies::{Network, Proxies};
use crate::http::self_signed::CertificateNames;
use crate::http::server::{self, Door};
use crate::http::tls::Certificate;
use crate::http::turns::Turns;
use crate::http::worker_heartbeat::WorkerHeartbeat;
use crate::node::actor::NodeContext;
use crate::node::event::EventBus;
use crate::node::fleet::Fleet;
use crate::node::journal::Journal;
use crate::node::reload::{FleetDiff, NodeSetup};
use crate::node::supervisor::Supervisor;
use crate::page::{self, Page};
use crate::recorder::FlightRecorder;
use crate::redfish::events::{Events, SubscriberMetrics};
use crate::redfish::{self, Service};
use crate::store::Store;
use crate::telemetry::Metrics;

/// How long operations under way may take when the service stops, while answers under way are finished beside them.
/// With the store it stays under 5 s.
const FLEET_STOP: Duration = Duration::from_millis(2500);

/// How long the store may take to write down what it holds back; nothing that was acknowledged is among it.
const STORE_STOP: Duration = Duration::from_millis(1500);

/// Worker threads of the HTTP side: a small box has four cores, and a read takes microseconds.
const WORKERS_MAX: usize = 4;

/// The parts of a daemon, from its configuration.
pub struct Plan {
    pub server: ServerConfig,
    /// Listeners that systemd has opened already, at `server.listen`; without any they are opened here.
    pub sockets: Vec<TcpListener>,
    pub state_dir: PathBuf,
    /// Accounts for the first start. What they see of the nodes holds from every start on.
    pub accounts: Vec<AccountSeed>,
    pub nodes: Vec<NodePlan>,
}

/// A node and how to reach its device.
pub type NodePlan = NodeSetup<DriverConfig>;

/// A running daemon.
pub struct Running {
    /// The addresses of its listeners.
    pub addresses: Vec<SocketAddr>,
    pub fleet: Fleet,
    pub metrics: Arc<Metrics>,
    keeper: Supervisor<DriverConfig>,
    recorder: Arc<FlightRecorder>,
    certificate: Option<Arc<Certificate>>,
    ops: Data<Ops>,
    events: Arc<Events>,
    server: ServerHandle,
    workers: Workers,
    store: Arc<Store>,
    clock: Clock,
}

impl Running {
    /// Starts everything. Must be called on the arbiter on which the actors are to live.
    pub async fn start(mut plan: Plan, clock: Clock) -> Result<Running> {
        if !clock::is_after_1970() {
            // The HTTP library cannot write such a date, and its threads would end.
            anyhow::bail!("the clock of this machine says that it is before 1970; set it");
        }
        let metrics = Metrics::new();
        let store = open_store(&plan, &clock, &metrics).await?;
        first_account::make(&store, &plan, clock.now().wall).await?;
        let open_files = server::raise_file_limit();
        let given = std::mem::take(&mut plan.sockets);
        let listeners = if given.is_empty() { server::bind(&plan.server.listen)? } else { given };
        let addresses: Vec<SocketAddr> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let port = addresses.first().map_or(0, SocketAddr::port);
        let certificate = certificate(&plan, clock.now().wall)?;

        let bus = EventBus::new();
        let around = NodeContext {
            clock: clock.clone(),
            journal: store.clone() as Arc<dyn Journal>,
            events: bus.clone(),
            metrics: metrics.clone(),
        };
        let recorder = Arc::new(FlightRecorder::default());
        let drivers = Drivers::new(clock.clone(), metrics.clone(), recorder.clone(), store.clone());
        let mut keeper = Supervisor::new(around, move |node, device| drivers.open(node, device));
        let node_count = plan.nodes.len();
        keeper.apply(std::mem::take(&mut plan.nodes)).await;
        // No node has been asked for anything yet, so nothing is missed.
        let heard = bus.listen();
        let fleet = keeper.fleet();
        metrics.add_collector(Box::new(ViewMetrics { fleet: fleet.clone(), clock: clock.clone() }));
        metrics.config_loaded(true, clock.now().wall.since(Wall(0)));

        let book = store.clone() as Arc<dyn AccountBook>;
        let access = Arc::new(Authenticator::new(book, clock.clone(), metrics.clone(), plan.server.auth_required));
        access.set_scopes(scopes(&plan.accounts)).await;
        metrics.add_collector(Box::new(SessionMetrics(access.clone())));
        let events = Events::start(store.clone(), access.clone(), clock.clone(), metrics.clone());
        actix::spawn(events.clone().run(heard));
        actix::spawn(events.clone().run_audit(access.audit_entries()));
        metrics.add_collector(Box::new(SubscriberMetrics(events.clone())));
        let bodies = Arc::new(Bodies::default());
        let service = Data::new(Service {
            bodies: bodies.clone(),
            turns: Turns::new(clock.clone()),
            fleet: fleet.clone(),
            access: access.clone(),
            clock: clock.clone(),
            uuid: store.service_uuid(),
            metrics: metrics.clone(),
            port,
            events: events.clone(),
            certificate: certificate.clone(),
            recorder: recorder.clone(),
        });
        let (metrics_access, ready) = (plan.server.metrics, AtomicBool::new(false));
        let config_notes = ArcSwap::default();
        let ops = Data::new(Ops {
            metrics: metrics.clone(),
            bodies: bodies.clone(),
            turns: Turns::new(clock.clone()),
            metrics_access,
            access,
            ready,
            config_notes,
        });
        let mounted = (ops.clone(), Data::new(Page::new(service.clone(), ops.clone())), service);
        let pulse = WorkerHeartbeat::new(clock.clone());
        let workers_pulse = pulse.clone();
        let app = move |config: &mut actix_web::web::ServiceConfig| {
            workers_pulse.begin();
            ops::mount(config, &mounted.0);
            page::mount(config, &mounted.1);
            redfish::dispatch::mount(config, &mounted.2);
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX);
        let beats = workers * listeners.len();
        let front = front(&plan);
        let room = connections::room(open_files, node_count, workers);
        let connections = Connections::new(room, clock.clone(), front.proxies.clone());
        let door = Door { certificate: certificate.clone(), workers, connections, front, clock: clock.clone() };
        let (running, server) = server::run(listeners, &door, app).context("cannot start serving")?;
        actix::spawn(running);
        ops.ready.store(true, Ordering::Relaxed);
        let workers = Workers { pulse, beats };
        Ok(Running {
            addresses,
            fleet,
            metrics,
            keeper,
            recorder,
            certificate,
            ops,
            events,
            server,
            workers,
            store,
            clock,
        })
    }

    /// Makes the fleet what `nodes` say, and returns what that was; what did not change is not touched. Before it accounts
    /// get their limits, so that none sees a new node for a moment.
    pub async fn apply(&mut self, nodes: Vec<NodePlan>, accounts: &[AccountSeed]) -> FleetDiff {
        self.ops.access.set_scopes(scopes(accounts)).await;
        let names: HashSet<&str> = nodes.iter().map(|node| node.spec.id.as_str()).collect();
        self.recorder.keep(|node| names.contains(node));
        self.keeper.apply(nodes).await
    }

    /// Shows whether the running configuration is the one in the file, and what is not as the file says.
    pub fn config_is(&self, ok: bool, notes: Vec<String>) {
        self.metrics.config_loaded(ok, self.clock.now().wall.since(Wall(0)));
        self.ops.config_notes.store(Arc::new(notes));
    }

    /// Looks after the fleet. Never ends by itself; drop it to do something else, and call it again.
    pub async fn watch(&mut self) {
        self.keeper.watch().await;
    }

    /// What has stopped living and will not come back by itself; nothing, as a rule. That this returns at all says that
    /// the arbiter of the actors and the keeper turn. A device that is away is no ailment.
    pub async fn liveness_failure(&mut self) -> Option<String> {
        let silent = self.keeper.silent().await;
        if let Some(first) = silent.first() {
            return Some(format!("{} actors are silent and are not restarted, that of {first} first", silent.len()));
        }
        let Workers { pulse, beats } = &self.workers;
        let turning = pulse.count();
        (turning < *beats).then(|| format!("{} of {beats} HTTP workers hang", beats - turning))
    }

    /// Ends everything, in order, within about five seconds.
    pub async fn stop(mut self) {
        self.ops.ready.store(false, Ordering::Relaxed);
        // Streams never end by themselves, and an answer under way is waited for.
        self.events.stop();
        let (ended, ()) = futures_util::future::join(self.keeper.stop(FLEET_STOP), self.server.stop(true)).await;
        if !ended {
            tracing::warn!(event = "stop_cut_short", "some operations did not end in time; what they were for is kept");
        }
        let store = self.store.clone();
        let closed = actix_web::web::block(move || store.close());
        if !matches!(self.clock.limit(STORE_STOP, closed).await, Some(Ok(()))) {
            tracing::error!(
                event = "store_not_closed",
                "the store did not close in time; its last lazy writes may be lost"
            );
        }
    }
}

/// The threads that answer clients.
struct Workers {
    pulse: Arc<WorkerHeartbeat>,
    /// How many there are: one for each worker and listener.
    beats: usize,
}

async fn open_store(plan: &Plan, clock: &Clock, metrics: &Arc<Metrics>) -> Result<Arc<Store>> {
    // `export` and `restore` are for root as well, on the directory of the service.
    let unusable = || format!("cannot keep state in {}", plan.state_dir.display());
    files::check_ours(&plan.state_dir).with_context(unusable)?;
    let (dir, clock, metrics) = (plan.state_dir.clone(), clock.clone(), metrics.clone());
    let (store, report) = actix_web::web::block(move || Store::open(&dir, clock, metrics))
        .await
        .context("the store fell over while it was opened")??;
    if report.notes.is_empty() {
        tracing::info!(event = "store_opened", dir = %plan.state_dir.display(), "{report}");
    } else {
        tracing::warn!(event = "store_repaired", dir = %plan.state_dir.display(), "{report}");
    }
    Ok(store)
}

fn front(plan: &Plan) -> Front {
    let networks = plan.server.trusted_proxies.iter().map(|(address, bits)| Network::new(*address, *bits));
    let names = plan.server.host_names.iter().cloned().chain(machine::names());
    Front {
        proxies: Arc::new(Proxies::new(networks.collect())),
        hosts: (!plan.server.auth_required).then(|| Arc::new(HostNames::new(names))),
        refuse: redfish::dispatch::refuse_foreign,
    }
}

/// What a self-signed certificate names: what the configuration says, and what this machine is.
fn certificate_names(plan: &Plan) -> CertificateNames {
    let (everywhere, listen): (Vec<IpAddr>, Vec<IpAddr>) =
        plan.server.listen.iter().map(SocketAddr::ip).partition(IpAddr::is_unspecified);
    let addresses = if everywhere.is_empty() { Vec::new() } else { machine::addresses() };
    let texts = |addresses: Vec<IpAddr>| addresses.into_iter().map(|address| address.to_string());
    CertificateNames {
        wanted: plan.server.host_names.iter().cloned().chain(texts(listen)).collect(),
        own: machine::names().into_iter().chain(texts(addresses)).collect(),
    }
}

fn certificate(plan: &Plan, now: Wall) -> Result<Option<Arc<Certificate>>> {
    Ok(match &plan.server.tls {
        None => None,
        Some(TlsConfig::Files { certificate, key }) => Some(Certificate::load(certificate, key)?),
        Some(TlsConfig::SelfSigned) => Some(Certificate::self_signed(&plan.state_dir, &certificate_names(plan), now)?),
    })
}

/// The nodes that each account may see.
fn scopes(accounts: &[AccountSeed]) -> Configured {
    accounts.iter().map(|account| (account.username.clone(), account.scope.clone())).collect()
}
