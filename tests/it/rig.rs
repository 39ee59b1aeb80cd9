//! A rack, a daemon on it in a thread of its own, and a client.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plugfish::testing::account::Role;
use plugfish::testing::clock::{Clock, Mono};
use plugfish::testing::config::{AccountPassword, AccountSeed, ServerConfig, TlsConfig};
use plugfish::testing::daemon::{NodePlan, Plan, Running};
use plugfish::testing::driver::DriverConfig;
use plugfish::testing::driver::amt::AmtConfig;
use plugfish::testing::driver::http::Tls;
use plugfish::testing::driver::tapo::{TapoConfig, TapoProtocol};
use plugfish::testing::http::auth::hash_password;
use plugfish::testing::node::{Architecture, Drive, Inventory, MacAddress, NodeSpec, PowerPolicy, Processor, Timings};
use plugfish::testing::sim::{Machine, MachineConfig, Model, Plug, PlugConfig, Rack, RackConfig, Variant};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Short, so that tests are quick; longer than the floor that users have.
pub const POLL: Duration = Duration::from_secs(1);
pub const DWELL: Duration = Duration::from_secs(1);
pub const USER: &str = "admin";
pub const PASSWORD: &str = "correct horse";

pub struct Rig {
    pub rack: Arc<Rack>,
    pub address: SocketAddr,
    pub client: Client,
    pub clock: Clock,
    pub state: PathBuf,
    nodes: Vec<NodePlan>,
    accounts: Vec<AccountSeed>,
    tls: Option<TlsConfig>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    // Last, so that the directory outlives the daemon.
    _scratch: tempfile::TempDir,
}

pub fn plug(name: &str, model: Model, variant: Variant) -> PlugConfig {
    // Discovery on the fixed port would collide between tests that run side by side on the same loopback address.
    PlugConfig { discovery_port: Some(0), ..PlugConfig::new(name, model, variant) }
}

pub fn klap(name: &str) -> PlugConfig {
    plug(name, Model::P110, Variant::KlapV2)
}

impl Rig {
    pub async fn start(plugs: impl IntoIterator<Item = PlugConfig>) -> Rig {
        Rig::with(plugs, |_| {}).await
    }

    /// A node for each outlet of each plug, called like the plug (`strip.0`, `strip.1` where there are more). `change` may
    /// adjust what the daemon is told of each node.
    pub async fn with(plugs: impl IntoIterator<Item = PlugConfig>, change: impl Fn(&mut NodePlan)) -> Rig {
        Rig::with_machines(plugs, [], change).await
    }

    /// The same with AMT machines beside the plugs.
    pub async fn with_machines(
        plugs: impl IntoIterator<Item = PlugConfig>,
        machines: impl IntoIterator<Item = MachineConfig>,
        change: impl Fn(&mut NodePlan),
    ) -> Rig {
        Rig::over(None, plugs, machines, change).await
    }

    /// The same over TLS; the client of the rig believes any certificate.
    pub async fn over(
        tls: Option<TlsConfig>,
        plugs: impl IntoIterator<Item = PlugConfig>,
        machines: impl IntoIterator<Item = MachineConfig>,
        change: impl Fn(&mut NodePlan),
    ) -> Rig {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = RackConfig::new(7);
        config.plugs.extend(plugs);
        config.machines.extend(machines);
        let rack = Arc::new(Rack::start(config).await.unwrap());
        let mut nodes: Vec<NodePlan> = rack.plugs().iter().flat_map(nodes_of).collect();
        nodes.extend(rack.machines().iter().map(|machine| node_of(machine)));
        nodes.iter_mut().for_each(change);
        let scratch = tempfile::tempdir().unwrap();
        let state = scratch.path().join("state");
        let listen = "127.0.0.1:0".parse().unwrap();
        let accounts = accounts();
        let (address, stop, thread) = serve(listen, state.clone(), nodes.clone(), accounts.clone(), tls.clone()).await;
        let client = Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        let clock = Clock::system();
        Rig {
            rack,
            address,
            client,
            clock,
            state,
            nodes,
            accounts,
            tls,
            stop: Some(stop),
            thread: Some(thread),
            _scratch: scratch,
        }
    }

    /// A rig without a rack, on what `serve` serves until the sender is dropped.
    pub async fn on<F: Future<Output = Served>>(serve: impl FnOnce(PathBuf) -> F) -> Rig {
        let mut rig = Rig::start([]).await;
        rig.stop();
        let (address, stop, thread) = serve(rig.state.clone()).await;
        (rig.address, rig.stop, rig.thread) = (address, Some(stop), Some(thread));
        rig.all_seen().await;
        rig
    }

    /// A rig whose nodes have all been seen.
    pub async fn settled(plugs: impl IntoIterator<Item = PlugConfig>) -> Rig {
        let rig = Rig::start(plugs).await;
        rig.all_seen().await;
        rig
    }

    pub async fn all_seen(&self) {
        let systems = self.get("/redfish/v1/Systems").await.1;
        for member in systems["Members"].as_array().unwrap() {
            let uri = member["@odata.id"].as_str().unwrap();
            self.until(10, || async { self.get(uri).await.1["PowerState"].is_string() }).await;
        }
    }

    pub fn plug(&self, name: &str) -> &Arc<Plug> {
        self.rack.plug(name).unwrap()
    }

    pub fn machine(&self, name: &str) -> &Arc<Machine> {
        self.rack.machine(name).unwrap()
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path)).basic_auth(USER, Some(PASSWORD))
    }

    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    pub async fn send(&self, request: RequestBuilder) -> (StatusCode, Value) {
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect(&text) };
        (status, body)
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn system(&self, node: &str) -> Value {
        let (status, body) = self.get(&format!("/redfish/v1/Systems/{node}")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    pub async fn power(&self, node: &str) -> Value {
        self.system(node).await["PowerState"].clone()
    }

    pub async fn reset(&self, node: &str, kind: &str) -> (StatusCode, Value) {
        let path = format!("/redfish/v1/Systems/{node}/Actions/ComputerSystem.Reset");
        self.send(self.request(Method::POST, &path).json(&json!({ "ResetType": kind }))).await
    }

    /// Waits until `holds`, at most this many seconds.
    pub async fn until<F: Future<Output = bool>>(&self, secs: u64, holds: impl Fn() -> F) {
        let end = self.now() + Duration::from_secs(secs);
        while !holds().await {
            if self.now() > end {
                panic!("it did not become true within {secs} s");
            }
            tokio::time::sleep(Duration::from_millis(25)).await; // a real condition on real sockets
        }
    }

    pub fn now(&self) -> Mono {
        self.clock.now().mono
    }

    /// Ends the daemon as SIGTERM does, and says how long that took.
    pub fn stop(&mut self) -> Duration {
        let start = self.now();
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.now().since(start)
    }
}

impl Rig {
    /// Starts the daemon again on the same state.
    pub async fn restart(&mut self) {
        self.restart_at("127.0.0.1:0".parse().unwrap()).await;
    }

    /// The same at the same address, for clients that wait for it there.
    pub async fn restart_there(&mut self) {
        self.restart_at(self.address).await;
    }

    /// The same with an account that sees these nodes only.
    pub async fn restart_with(&mut self, name: &str, role: Role, nodes: &[&str]) {
        let scope = nodes.iter().map(|node| (*node).to_owned()).collect();
        self.accounts.retain(|account| account.username != name);
        self.accounts.push(AccountSeed { scope: Some(scope), ..account(name, PASSWORD, role) });
        self.restart().await;
    }

    async fn restart_at(&mut self, listen: SocketAddr) {
        self.stop();
        let (nodes, accounts) = (self.nodes.clone(), self.accounts.clone());
        let (address, stop, thread) = serve(listen, self.state.clone(), nodes, accounts, self.tls.clone()).await;
        (self.address, self.stop, self.thread) = (address, Some(stop), Some(thread));
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

/// Where something serves, until the sender is dropped, in which thread.
pub type Served = (SocketAddr, oneshot::Sender<()>, std::thread::JoinHandle<()>);

/// Runs a daemon in a thread until the sender is dropped.
async fn serve(
    listen: SocketAddr,
    state_dir: PathBuf,
    nodes: Vec<NodePlan>,
    accounts: Vec<AccountSeed>,
    tls: Option<TlsConfig>,
) -> Served {
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, told) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        actix::System::new().block_on(async move {
            let plan = Plan {
                server: ServerConfig { listen: vec![listen], tls, ..ServerConfig::default() },
                sockets: Vec::new(),
                state_dir,
                accounts,
                nodes,
            };
            let mut running = Running::start(plan, Clock::system()).await.unwrap();
            tell.send(running.addresses[0]).unwrap();
            tokio::select! {
                _ = stopped => {}
                () = running.watch() => {}
            }
            running.stop().await;
        });
    });
    (told.await.unwrap(), stop, thread)
}

fn account(username: &str, password: &str, role: Role) -> AccountSeed {
    let password = AccountPassword::Hash(hash_password(password).unwrap());
    AccountSeed { username: username.into(), password, role, scope: None }
}

/// Those that every rig has.
fn accounts() -> Vec<AccountSeed> {
    vec![
        account(USER, PASSWORD, Role::Administrator),
        account("looker", "looks only", Role::ReadOnly),
        account("operator", "switches", Role::Operator),
    ]
}

fn nodes_of(plug: &Arc<Plug>) -> Vec<NodePlan> {
    let about = plug.describe();
    let strip = about.model.is_strip();
    let node = |outlet: Option<u8>| {
        let name = outlet.map_or_else(|| about.name.clone(), |outlet| format!("{}.{outlet}", about.name));
        let driver = DriverConfig::from(TapoConfig {
            host: plug.address().ip().to_string(),
            port: Some(plug.address().port()),
            username: "owner@example.com".into(),
            password: "plugfish-demo".to_owned().into(),
            mac: Some(MacAddress(plug.mac())),
            outlet,
            protocols: TapoProtocol::ALL.to_vec(),
            factory: false,
            discovery_port: plug.discovery_address().map_or(9, |address| address.port()),
        });
        NodePlan {
            spec: NodeSpec {
                id: name.parse().unwrap(),
                inventory: Arc::new(inventory()),
                timings: Timings {
                    poll_interval: POLL,
                    off_dwell: DWELL,
                    command_deadline: Duration::from_secs(30),
                    fence_age_max: None,
                },
                device: driver.label().into(),
                kind: driver.kind(),
                boot_mode: None,
                boot_targets: None,
                policy: PowerPolicy::default(),
            },
            device: driver,
        }
    };
    if strip {
        (0..about.outlets.len()).map(|outlet| node(Some(u8::try_from(outlet).unwrap()))).collect()
    } else {
        vec![node(None)]
    }
}

/// How to reach a simulated AMT machine.
pub fn driver_of(machine: &Machine) -> DriverConfig {
    DriverConfig::from(AmtConfig {
        host: machine.address().ip().to_string(),
        port: Some(machine.address().port()),
        tls: match machine.fingerprint() {
            Some(pin) => Tls::Pin(hex::decode(pin).unwrap().try_into().unwrap()),
            None => Tls::Off,
        },
        username: "admin".into(),
        password: MachineConfig::PASSWORD.to_owned().into(),
        uuid: None,
    })
}

fn node_of(machine: &Machine) -> NodePlan {
    let driver = driver_of(machine);
    NodePlan {
        spec: NodeSpec {
            id: machine.name().parse().unwrap(),
            inventory: Arc::new(Inventory::default()),
            timings: Timings {
                poll_interval: POLL,
                off_dwell: DWELL,
                command_deadline: Duration::from_secs(60),
                fence_age_max: None,
            },
            device: driver.label().into(),
            kind: driver.kind(),
            boot_mode: None,
            boot_targets: None,
            policy: PowerPolicy::default(),
        },
        device: driver,
    }
}

fn inventory() -> Inventory {
    Inventory {
        manufacturer: Some("Dell".into()),
        model: Some("OptiPlex 3060".into()),
        serial: Some("ABC123".into()),
        processors: vec![Processor {
            model: Some("Intel Core i5-8500T".into()),
            cores: Some(6),
            threads: Some(6),
            architecture: Some(Architecture::X86_64),
            ..Processor::default()
        }],
        memory_gib: Some(16.0),
        drives: vec![Drive {
            name: "nvme0n1".into(),
            capacity_bytes: Some(256_000_000_000),
            media: Some("SSD".into()),
            protocol: Some("NVMe".into()),
            ..Drive::default()
        }],
        nics: vec!["00:5c:52:31:3a:9c".parse().unwrap()],
        ..Inventory::default()
    }
}
