//! `plugfish demo` and `plugfish sim`: the simulated rack, with the daemon on it or alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use secrecy::SecretString;

use super::output::{print, table};
use super::{Demo, Sim};
use crate::account::Role;
use crate::clock::{Clock, secret_bytes};
use crate::config::{AccountPassword, AccountSeed, ServerConfig, TlsConfig};
use crate::daemon::serve::{shutdown_signal, until_told_to_stop};
use crate::daemon::{NodePlan, Plan, Running};
use crate::driver::DriverConfig;
use crate::driver::amt::AmtConfig;
use crate::driver::http::Tls;
use crate::driver::tapo::{TapoConfig, TapoProtocol};
use crate::node::{Architecture, Inventory, MacAddress, NodeId, NodeSpec, PowerPolicy, Processor, Timings};
use crate::sim::{Account, Machine, MachineConfig, Model, Plug, Profile, Rack, RackConfig, SimOptions, Variant};

/// The login of the demonstration; the rack behind it is made of air.
const USERNAME: &str = "admin";
const PASSWORD: &str = "plugfish-demo";

/// The account of the simulated plugs.
const PLUG_ACCOUNT: (&str, &str) = ("owner@example.com", "plugfish-demo");

/// One plug of each protocol that plugs speak, over and over.
const KINDS: [(Model, Variant); 4] = [
    (Model::P110, Variant::KlapV2),
    (Model::P110, Variant::Tpap),
    (Model::P100, Variant::Passthrough),
    (Model::P100, Variant::KlapV1),
];

/// What the first plugs and their boards do is to be seen soon.
const TIMINGS: Timings = Timings {
    poll_interval: Duration::from_secs(5),
    off_dwell: Duration::from_secs(5),
    command_deadline: Duration::from_secs(60),
    fence_age_max: None,
};

/// A directory that goes away with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        let name = format!("plugfish-demo-{}", hex::encode(secret_bytes::<6>()));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(event = "scratch_left", path = %self.0.display(), "cannot remove it: {error}");
        }
    }
}

fn options(plugs: u16, seed: u64, control: Option<std::net::SocketAddr>) -> SimOptions {
    SimOptions {
        plugs: usize::from(plugs),
        kinds: KINDS.to_vec(),
        seed,
        account: Account::new(PLUG_ACCOUNT.0, PLUG_ACCOUNT.1),
        control,
        ..SimOptions::default()
    }
}

/// A simulated rack and the daemon on it. Tests and benches use it as a whole machine room.
pub(super) struct DemoRack {
    /// The plugs.
    pub rack: Rack,
    /// The daemon.
    pub running: Running,
    scratch: Scratch,
}

impl DemoRack {
    /// Starts both; a node for each plug, `node-1` and so on.
    pub(super) async fn start(options: &Demo) -> Result<DemoRack> {
        let rack = RackConfig::from(self::options(options.tapo, options.seed, options.rack_control));
        let rack = Rack::start(RackConfig { machines: machines(options.amt), ..rack }).await?;
        let scratch = Scratch::new()?;
        let plugs = rack.plugs().iter().enumerate().map(|(index, plug)| plug_node(index, plug));
        let after = rack.plugs().len();
        let machines = rack.machines().iter().enumerate().map(|(index, machine)| machine_node(after + index, machine));
        let nodes = plugs.chain(machines).collect::<Result<_>>()?;
        let plan = Plan {
            server: ServerConfig {
                listen: vec![options.listen],
                tls: options.tls.then_some(TlsConfig::SelfSigned),
                ..ServerConfig::default()
            },
            sockets: Vec::new(),
            state_dir: scratch.0.clone(),
            accounts: vec![AccountSeed {
                username: USERNAME.into(),
                password: AccountPassword::Plain(SecretString::from(PASSWORD)),
                role: Role::Administrator,
                scope: None,
            }],
            nodes,
        };
        let running = Running::start(plan, Clock::system()).await?;
        Ok(DemoRack { rack, running, scratch })
    }
}

/// Runs the rack and the daemon on it until told to stop.
pub(super) async fn demo(options: &Demo) -> Result<()> {
    let demo = DemoRack::start(options).await?;
    announce(options, &demo);
    until_told_to_stop(demo.running).await?;
    demo.rack.stop().await;
    Ok(())
}

/// Runs the rack alone until told to stop.
pub(super) async fn sim(options: &Sim) -> Result<()> {
    let mut rack = self::options(options.tapo, options.seed, Some(options.control));
    (rack.base, rack.broadcast) = (options.base, options.broadcast);
    if !options.plugs.is_empty() {
        rack.kinds = options.plugs.iter().map(|kind| SimOptions::kind(kind)).collect::<Result<_, _>>()?;
        rack.plugs = rack.kinds.len();
    }
    rack.machines = options.machines.iter().map(|kind| SimOptions::machine(kind)).collect::<Result<_, _>>()?;
    let rack = Rack::start(RackConfig::from(rack)).await?;
    let control = rack.control().map_or_else(String::new, |address| address.to_string());
    print(&format!(
        "A simulated rack. Account of the plugs: {} / {}\nTell it what to do at http://{control}/plugs\n\n{}",
        PLUG_ACCOUNT.0,
        PLUG_ACCOUNT.1,
        plug_table(&rack)
    ));
    if !rack.machines().is_empty() {
        print(&format!(
            "\nAccount of the machines: admin / {}\nTell them what to do at http://{control}/machines\n\n{}",
            MachineConfig::PASSWORD,
            machine_table(&rack)
        ));
    }
    shutdown_signal().await?;
    rack.stop().await;
    Ok(())
}

fn plug_table(rack: &Rack) -> String {
    let row = |plug: &Arc<Plug>| {
        let about = plug.describe();
        vec![
            about.name.clone(),
            about.address.to_string(),
            about.model.name().into(),
            about.variant.encrypt_type().into(),
        ]
    };
    table(&["PLUG", "ADDRESS", "MODEL", "PROTOCOL"], &rack.plugs().iter().map(row).collect::<Vec<_>>())
}

fn machine_table(rack: &Rack) -> String {
    let row = |machine: &Arc<Machine>| {
        let about = machine.describe();
        vec![about.name, about.address.to_string(), about.version, about.model]
    };
    let rows: Vec<_> = rack.machines().iter().map(row).collect();
    // On lines of their own: a table cuts what is as long as this.
    let pin = |machine: &Arc<Machine>| Some(format!("TLS of {}: SHA-256 {}\n", machine.name(), machine.fingerprint()?));
    let pins: String = rack.machines().iter().filter_map(pin).collect();
    format!("{}\n{pins}", table(&["MACHINE", "ADDRESS", "AMT", "MODEL"], &rows))
}

/// The machines of the demonstration: one of each kind that there is, over and over.
fn machines(count: u16) -> Vec<MachineConfig> {
    let kinds = [(Profile::Amt12, false), (Profile::Amt16, true)];
    (1..=count)
        .zip(kinds.into_iter().cycle())
        .map(|(number, (profile, tls))| MachineConfig { tls, ..MachineConfig::new(&format!("amt-{number}"), profile) })
        .collect()
}

/// The node of an AMT machine, which knows itself what is inside.
fn machine_node(index: usize, machine: &Arc<Machine>) -> Result<NodePlan> {
    let address = machine.address();
    let mut pin = [0; 32];
    let tls = match machine.fingerprint() {
        Some(fingerprint) => {
            hex::decode_to_slice(&fingerprint, &mut pin).context("the rack says an odd fingerprint")?;
            Tls::Pin(pin)
        }
        None => Tls::Off,
    };
    let driver = DriverConfig::from(AmtConfig {
        host: address.ip().to_string(),
        port: Some(address.port()),
        tls,
        username: "admin".into(),
        password: SecretString::from(MachineConfig::PASSWORD),
        uuid: None,
    });
    node(index, Inventory::default(), driver)
}

fn node(index: usize, inventory: Inventory, driver: DriverConfig) -> Result<NodePlan> {
    let id: NodeId = format!("node-{}", index + 1).parse().context("the nodes of the rack have odd names")?;
    let label = driver.label().into();
    let inventory = Arc::new(inventory);
    let spec = NodeSpec {
        id,
        inventory,
        timings: TIMINGS,
        device: label,
        kind: driver.kind(),
        boot_mode: None,
        boot_targets: None,
        policy: PowerPolicy::default(),
    };
    Ok(NodePlan { spec, device: driver })
}

/// The node behind a plug. Its board is an invention, so its inventory is one too, and says so.
fn plug_node(index: usize, plug: &Arc<Plug>) -> Result<NodePlan> {
    let address = plug.address();
    let driver = DriverConfig::from(TapoConfig {
        host: address.ip().to_string(),
        port: Some(address.port()),
        username: PLUG_ACCOUNT.0.into(),
        password: SecretString::from(PLUG_ACCOUNT.1),
        mac: Some(MacAddress(plug.mac())),
        outlet: None,
        protocols: TapoProtocol::ALL.to_vec(),
        factory: false,
        discovery_port: plug.discovery_address().map_or(crate::driver::tapo::DISCOVERY_PORT, |at| at.port()),
    });
    let [high, low] = u16::try_from(index).unwrap_or_default().to_be_bytes();
    let inventory = Inventory {
        manufacturer: Some("plugfish".into()),
        model: Some("Simulated board".into()),
        serial: Some(format!("SIM{:04}", index + 1)),
        processors: vec![Processor {
            model: Some("Simulated processor".into()),
            cores: Some(4),
            threads: Some(4),
            architecture: Some(Architecture::X86_64),
            ..Processor::default()
        }],
        memory_gib: Some(16.0),
        // A locally administered address, so that it belongs to no vendor.
        nics: vec![MacAddress([0x02, 0x5c, 0x52, 0x00, high, low])],
        ..Inventory::default()
    };
    node(index, inventory, driver)
}

fn announce(options: &Demo, demo: &DemoRack) {
    let DemoRack { rack, running, scratch } = demo;
    let scheme = if options.tls { "https" } else { "http" };
    let address = running.addresses.first().map_or_else(String::new, ToString::to_string);
    let url = format!("{scheme}://{address}");
    let (insecure, cacert) = if options.tls {
        (" --insecure", format!(" --cacert {}", scratch.0.join("self-signed.crt").display()))
    } else {
        ("", String::new())
    };
    let program = std::env::current_exe().map_or_else(|_| "plugfish".into(), |path| path.display().to_string());
    let control =
        rack.control().map_or_else(String::new, |at| format!("Tell the rack what to do at http://{at}/plugs\n"));
    print(&format!(
        "plugfish {version} on a simulated rack; nothing is kept when it ends (Ctrl-C).\n\n{plugs}\n{machines}\n{control}\
         Redfish: {url}/redfish/v1/   login: {USERNAME} / {PASSWORD}\nStatus page: {url}/\n\nTry, in another terminal:\n  \
         curl{insecure} -u {USERNAME}:{PASSWORD} {url}/redfish/v1/Systems/node-1\n  \
         curl{insecure} -u {USERNAME}:{PASSWORD} -H 'Content-Type: application/json' -d '{{\"ResetType\":\"ForceOff\"}}' \
         {url}/redfish/v1/Systems/node-1/Actions/ComputerSystem.Reset\n  \
         PLUGFISH_PASSWORD={PASSWORD} {program} status --url {url}{cacert}\n",
        version = env!("CARGO_PKG_VERSION"),
        plugs = plug_table(rack),
        machines = machine_table(rack),
    ));
}
