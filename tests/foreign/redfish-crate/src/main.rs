//! Walks a running demonstration with nv-redfish, whose types are generated from the schemas: a body that violates its
//! schema is an error here. First it switches each node, and verifies the result with the rack.
//!
//! Usage: redfish-judge URL CONTROL USERNAME PASSWORD. Prints the number of resources of each kind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nv_redfish::ServiceRoot;
use nv_redfish::account::AccountServiceConfig;
use nv_redfish::bmc_http::reqwest::Client;
use nv_redfish::bmc_http::{BmcCredentials, CacheSettings, HttpBmc};
use nv_redfish::chassis::Chassis;
use nv_redfish::computer_system::ComputerSystem;
use nv_redfish::log_service::LogService;
use nv_redfish::manager::Manager;
use nv_redfish::resource::{PowerState, ResetType};
use nv_redfish::schema::computer_system::{BootSource, BootSourceOverrideEnabled};
use nv_redfish::session_service::SessionCreate;
use url::Url;

type Http = HttpBmc<Client>;

/// How often and how long apart it is looked whether a node has switched.
const LOOKS: u32 = 60;
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What the demonstration has at least: a walk that sees less has missed something.
const AT_LEAST: &[(&str, usize)] = &[
    ("Account", 1),
    ("Chassis", 4),
    ("EthernetInterface", 4),
    ("LogEntry", 2),
    ("LogService", 4),
    ("Manager", 4),
    ("ManagerInterface", 4),
    ("Memory", 2),
    ("NetworkProtocol", 4),
    ("Power", 2),
    ("PowerEquipment", 1),
    ("PowerSupply", 2),
    ("Processor", 4),
    ("Sensor", 2),
    ("Session", 1),
    ("System", 4),
];

#[derive(Default)]
struct Seen(BTreeMap<&'static str, usize>);

impl Seen {
    fn add(&mut self, kind: &'static str, count: usize) {
        *self.0.entry(kind).or_default() += count;
    }
}

fn service(url: &Url, credentials: BmcCredentials) -> Result<Arc<Http>> {
    Ok(Arc::new(HttpBmc::new(Client::new()?, url.clone(), credentials, CacheSettings::with_capacity(0))))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, control, username, password] = arguments.as_slice() else {
        bail!("usage: redfish-judge URL CONTROL USERNAME PASSWORD");
    };
    let url = Url::parse(url)?;
    let open = ServiceRoot::new(service(&url, BmcCredentials::new(username.clone(), password.clone()))?).await?;
    let sessions = open.session_service().await?.context("no SessionService")?;
    let sessions = sessions.sessions().await?.context("no Sessions")?;
    let asked = SessionCreate::builder(username.clone(), password.clone()).build();
    let session = sessions.create_session(&asked).await.context("logging in")?;
    let token = session.auth_token().context("a session without a token")?.to_owned();

    let root = ServiceRoot::new(service(&url, BmcCredentials::token(token))?).await?;
    for node in 0..4 {
        switch(&root, node, control).await.with_context(|| format!("switching system {node}"))?;
    }
    let mut seen = Seen::default();
    services(&root, &mut seen).await?;
    for system in root.systems().await?.context("no Systems")?.members().await? {
        one_system(&system, &mut seen).await.with_context(|| system.raw().odata_id.to_string())?;
    }
    for chassis in root.chassis().await?.context("no Chassis")?.members().await? {
        one_chassis(&chassis, &mut seen).await.with_context(|| chassis.raw().odata_id.to_string())?;
    }
    for manager in root.managers().await?.context("no Managers")?.members().await? {
        one_manager(&manager, &mut seen).await.with_context(|| manager.raw().odata_id.to_string())?;
    }
    for (kind, count) in &seen.0 {
        println!("{kind:<22} {count:>4}");
    }
    for (kind, least) in AT_LEAST {
        let count = seen.0.get(kind).copied().unwrap_or_default();
        ensure!(count >= *least, "only {count} of {kind}, where there should be {least}");
    }
    let _ = session.delete().await.context("logging out")?;
    ensure!(root.systems().await.is_err(), "the token is good for a session that was ended");
    println!("logged in and out, and four systems went off and on");
    Ok(())
}

async fn services(root: &ServiceRoot<Http>, seen: &mut Seen) -> Result<()> {
    let accounts = root.account_service(AccountServiceConfig::standard()).await?.context("no AccountService")?;
    let accounts = accounts.accounts().await?.context("no Accounts")?;
    seen.add("Account", accounts.all_accounts_data().await?.len());
    let sessions = root.session_service().await?.context("no SessionService")?;
    seen.add("Session", sessions.sessions().await?.context("no Sessions")?.members().await?.len());
    if let Some(events) = root.event_service().await? {
        seen.add("EventService", 1);
        seen.add("EventDestination", events.subscriptions().await?.len());
    }
    if let Some(tasks) = root.task_service().await? {
        seen.add("TaskService", 1);
        for link in tasks.tasks().context("no Tasks")?.member_links().await? {
            link.fetch().await?;
            seen.add("Task", 1);
        }
    }
    if root.power_equipment().await?.is_some() {
        seen.add("PowerEquipment", 1);
    }
    Ok(())
}

async fn logs(services: Option<Vec<LogService<Http>>>, seen: &mut Seen) -> Result<()> {
    for log in services.unwrap_or_default() {
        seen.add("LogService", 1);
        seen.add("LogEntry", log.entries().await?.unwrap_or_default().len());
    }
    Ok(())
}

async fn one_system(system: &ComputerSystem<Http>, seen: &mut Seen) -> Result<()> {
    seen.add("System", 1);
    seen.add("Processor", system.processors().await.context("processors")?.unwrap_or_default().len());
    seen.add("Memory", system.memory_modules().await.context("memory")?.unwrap_or_default().len());
    for storage in system.storage_controllers().await.context("storage")?.unwrap_or_default() {
        seen.add("Storage", 1);
        seen.add("Drive", storage.drives().await.context("drives")?.unwrap_or_default().len());
    }
    if let Some(interfaces) = system.ethernet_interfaces().await.context("network interfaces")? {
        seen.add("EthernetInterface", interfaces.members().await?.len());
    }
    logs(system.log_services().await?, seen).await.context("logs")
}

async fn one_chassis(chassis: &Chassis<Http>, seen: &mut Seen) -> Result<()> {
    seen.add("Chassis", 1);
    seen.add("Power", usize::from(chassis.power().await.context("power")?.is_some()));
    seen.add("Thermal", usize::from(chassis.thermal().await.context("thermal")?.is_some()));
    seen.add("PowerSupply", chassis.power_supplies().await.context("power supplies")?.len());
    seen.add("EnvironmentMetrics", usize::from(chassis.environment_metrics().await.context("environment")?.is_some()));
    for link in chassis.sensor_links().await.context("sensors")?.unwrap_or_default() {
        link.fetch().await.context("a sensor")?;
        seen.add("Sensor", 1);
    }
    logs(chassis.log_services().await?, seen).await.context("logs")
}

async fn one_manager(manager: &Manager<Http>, seen: &mut Seen) -> Result<()> {
    seen.add("Manager", 1);
    seen.add("NetworkProtocol", usize::from(manager.network_protocol().await.context("protocols")?.is_some()));
    if let Some(interfaces) = manager.ethernet_interfaces().await.context("network interfaces")? {
        seen.add("ManagerInterface", interfaces.members().await?.len());
    }
    logs(manager.log_services().await?, seen).await.context("logs")
}

/// Off, a boot from the network once, and on; the service and the rack have to say so.
async fn switch(root: &ServiceRoot<Http>, node: usize, control: &str) -> Result<()> {
    let device = ["/plugs/plug-1", "/plugs/plug-2", "/machines/amt-1", "/machines/amt-2"][node];
    for (order, state, said) in [
        (ResetType::ForceOff, PowerState::Off, ["\"on\":false", "\"power\":\"soft_off\""]),
        (ResetType::On, PowerState::On, ["\"on\":true", "\"power\":\"on\""]),
    ] {
        let system = fresh(root, node).await?;
        if order == ResetType::On {
            let _ =
                system.set_boot_source_override(BootSource::Pxe, BootSourceOverrideEnabled::Once, None, None).await?;
        }
        let _ = system.reset(Some(order)).await?;
        let mut looks = 0;
        while fresh(root, node).await?.power_state() != Some(state) {
            looks += 1;
            ensure!(looks < LOOKS, "{device} is not {state:?} after {order:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let real = reqwest::get(format!("{control}{device}")).await?.text().await?;
        ensure!(said.iter().any(|word| real.contains(word)), "{order:?} of {device}, but the rack says {real}");
    }
    Ok(())
}

async fn fresh(root: &ServiceRoot<Http>, node: usize) -> Result<ComputerSystem<Http>> {
    let systems = root.systems().await?.context("no Systems")?.members().await?;
    systems.into_iter().nth(node).context("no such system")
}
