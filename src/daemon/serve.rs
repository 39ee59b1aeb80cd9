//! `plugfish serve`: from nodes.yaml to a running daemon, with signals, reload and shutdown.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::notify::Notify;
use super::{NodePlan, Plan, Running, sockets};
use crate::clock::{Clock, Mono};
use crate::config::watch::{LOOK_EVERY, Watch};
use crate::config::{self, Config, NodeConfig, TlsConfig};
use crate::http::tls::Certificate;
use crate::node::NodeSpec;

/// Runs the daemon on this nodes.yaml until told to stop.
pub(crate) async fn serve(path: PathBuf) -> Result<()> {
    let mut watch = Watch::default();
    let config = load(&mut watch, &path)?;
    let nodes = config.nodes.len();
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    let plan = with_sockets(plan(&config), sockets::given()?)?;
    if let (None, Some(address)) = (&plan.server.tls, open_to_others(&plan.server.listen)) {
        tracing::warn!(event = "plain_http", "passwords cross the network of {address} in clear; set server.tls");
    }
    let running = Running::start(plan, Clock::system()).await?;
    let urls: Vec<String> = running.addresses.iter().map(|address| format!("{scheme}://{address}")).collect();
    tracing::info!(event = "ready", nodes, listen = urls.join(" "), "plugfish {} is ready", env!("CARGO_PKG_VERSION"));
    let source = Source { path, files: Files::Here(watch), must: false, started: config };
    run_until_shutdown(running, Some(source)).await
}

/// The first address that other machines can reach.
fn open_to_others(listen: &[SocketAddr]) -> Option<SocketAddr> {
    listen.iter().copied().find(|address| !address.ip().to_canonical().is_loopback())
}

/// Sockets from systemd take the place of `server.listen`, except that a service without a login must not be opened by
/// them to others: who wants that says it in the file.
fn with_sockets(mut plan: Plan, sockets: Vec<TcpListener>) -> Result<Plan> {
    if sockets.is_empty() {
        return Ok(plan);
    }
    let listen: Vec<SocketAddr> =
        sockets.iter().map(TcpListener::local_addr).collect::<Result<_, _>>().context("a socket has no address")?;
    let server = &mut plan.server;
    if let (false, Some(address), None) =
        (server.auth_required, open_to_others(&listen), open_to_others(&server.listen))
    {
        anyhow::bail!(
            "the socket unit listens on {address}, which others can reach, while server.auth is none: set it to \
             required, or write {address} into server.listen with allow_insecure: true"
        );
    }
    tracing::info!(event = "sockets_given", "systemd opened the sockets; server.listen is not used");
    server.listen = listen;
    Ok(Plan { sockets, ..plan })
}

/// Looks after a daemon without a file until told to stop.
pub(crate) async fn until_told_to_stop(running: Running) -> Result<()> {
    run_until_shutdown(running, None).await
}

/// Ends with the first SIGTERM or SIGINT.
pub(crate) async fn shutdown_signal() -> Result<()> {
    let mut term = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

/// How long a look at the files may take, and the reading of what has changed, before that is said.
const LOOK_DEADLINE: Duration = Duration::from_secs(15);

/// The file behind a running daemon.
struct Source {
    path: PathBuf,
    files: Files,
    /// They are to be read at the next look, whether they have changed or not.
    must: bool,
    /// As it was at the start: what of it is not taken over while running is compared with this.
    started: Config,
}

/// The files of the configuration. They are looked at, and read, on a thread of their own: a file system that does not
/// answer must hold up neither the actors nor the end of the process.
enum Files {
    Here(Watch),
    Away(PendingLook),
}

/// A look at the files under way.
struct PendingLook {
    back: oneshot::Receiver<(Watch, Option<Result<Config>>)>,
    since: Mono,
    /// It was said that it takes too long.
    told: bool,
}

impl Files {
    /// Looks at the files, unless that is under way.
    fn look(&mut self, must: bool, path: &Path, certificate: Option<Arc<Certificate>>, now: Mono) -> Result<bool> {
        let Files::Here(watch) = self else { return Ok(false) };
        let (tell, back) = oneshot::channel();
        let (mut watch, path) = (std::mem::take(watch), path.to_owned());
        *self = Files::Away(PendingLook { back, since: now, told: false });
        std::thread::Builder::new().name("plugfish-config".into()).spawn(move || {
            let wanted = watch.look() || must;
            let loaded = wanted.then(|| {
                // The certificate comes last among what can fail, and takes effect at once.
                let config = load(&mut watch, &path)?;
                renew_certificate(certificate.as_deref(), &config)?;
                Ok(config)
            });
            // The daemon may have ended.
            let _ = tell.send((watch, loaded));
        })?;
        Ok(true)
    }

    /// Whether a look takes too long; said once.
    fn hangs(&mut self, now: Mono) -> bool {
        match self {
            Files::Away(errand) if !errand.told && now.since(errand.since) > LOOK_DEADLINE => {
                errand.told = true;
                true
            }
            _ => false,
        }
    }
}

async fn run_until_shutdown(mut running: Running, mut source: Option<Source>) -> Result<()> {
    let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let stop = shutdown_signal();
    tokio::pin!(stop);
    let clock = running.clock.clone();
    let mut next_look = clock.now().mono + LOOK_EVERY;
    let mut systemd = Notify::from_env(clock.clone());
    systemd.ready(&running);
    loop {
        let back = async {
            match &mut source {
                Some(source) => source.back().await,
                None => std::future::pending().await,
            }
        };
        let loaded = tokio::select! {
            told = &mut stop => {
                told?;
                break;
            }
            loaded = back => loaded,
            _ = hang_up.recv() => {
                source.iter_mut().for_each(|source| source.must = true);
                next_look = clock.now().mono;
                None
            }
            () = clock.sleep_until(next_look) => {
                next_look = clock.now().mono + LOOK_EVERY;
                source.iter_mut().for_each(|source| source.look(&running));
                None
            }
            () = systemd.due() => {
                systemd.beat(&mut running).await;
                None
            }
            () = running.watch() => None,
        };
        if let (Some(source), Some(loaded)) = (&mut source, loaded) {
            systemd.reloading();
            reload(&mut running, source, loaded).await;
            systemd.ready(&running);
        }
    }
    tracing::info!(event = "stopping", "told to stop");
    systemd.stopping();
    running.stop().await;
    tracing::info!(event = "stopped", "stopped");
    Ok(())
}

impl Source {
    /// What comes back of a look: the configuration, where it was read. Never, while none is under way.
    async fn back(&mut self) -> Option<Result<Config>> {
        let Files::Away(errand) = &mut self.files else { return std::future::pending().await };
        let back = (&mut errand.back).await;
        let (watch, loaded) = back.unwrap_or_else(|_| {
            self.must = true;
            (Watch::default(), Some(Err(anyhow::anyhow!("reading the configuration has ended without an answer"))))
        });
        self.files = Files::Here(watch);
        loaded
    }

    /// Looks at the files, and says when that hangs: the configuration may be another one than what runs.
    fn look(&mut self, running: &Running) {
        let now = running.clock.now().mono;
        match self.files.look(self.must, &self.path, running.certificate.clone(), now) {
            Ok(true) => self.must = false,
            Ok(false) => {}
            Err(error) => tracing::error!(event = "config_not_read", "there is no thread to read it with: {error}"),
        }
        if self.files.hangs(now) {
            // When it comes back all is read again, so that this is not said for ever.
            self.must = true;
            let note = format!(
                "{} or a file that it names cannot be read: its file system does not answer",
                self.path.display()
            );
            tracing::error!(event = "config_not_read", "{note}; the running configuration stays");
            running.config_is(false, vec![note]);
        }
    }
}

/// Takes a configuration that was read again. A bad one changes nothing, and everything that is wrong with it is said.
async fn reload(running: &mut Running, source: &mut Source, loaded: Result<Config>) {
    let config = match loaded {
        Ok(config) => config,
        Err(error) => {
            let note = format!("{error:#}; the running configuration stays");
            tracing::error!(event = "config_rejected", "{note}");
            return running.config_is(false, vec![note]);
        }
    };
    let diff = running.apply(node_plans(&config), &config.accounts).await;
    let note = |part: &&str| format!("{part} has changed; restart plugfish for it to take effect");
    let notes: Vec<String> = config::needs_restart(&source.started, &config).iter().map(note).collect();
    notes.iter().for_each(|note| tracing::warn!(event = "restart_needed", "{note}"));
    running.config_is(true, notes);
    tracing::info!(
        event = "config_reloaded",
        added = diff.added.len(),
        removed = diff.removed.len(),
        changed = diff.changed.len(),
        "the configuration was read again"
    );
}

fn renew_certificate(certificate: Option<&Certificate>, config: &Config) -> Result<()> {
    if let (Some(certificate), Some(TlsConfig::Files { certificate: chain, key })) = (certificate, &config.server.tls) {
        certificate.reload(chain, key)?;
    }
    Ok(())
}

/// Reads the configuration; warnings go to the log.
fn load(watch: &mut Watch, path: &Path) -> Result<Config> {
    let loaded = watch.load(path)?;
    for warning in &loaded.warnings {
        tracing::warn!(event = "config_warning", "{warning}");
    }
    Ok(loaded.config)
}

fn plan(config: &Config) -> Plan {
    Plan {
        server: config.server.clone(),
        sockets: Vec::new(),
        state_dir: config.state_dir.clone(),
        accounts: config.accounts.clone(),
        nodes: node_plans(config),
    }
}

/// The nodes of a configuration with their devices.
pub(crate) fn node_plans(config: &Config) -> Vec<NodePlan> {
    config.nodes.iter().map(node_plan).collect()
}

fn node_plan(node: &NodeConfig) -> NodePlan {
    let driver = node.device.clone();
    let label = driver.label().into();
    let (id, inventory, timings) = (node.id.clone(), node.inventory.clone(), node.timings.clone());
    let (kind, boot_mode) = (driver.kind(), node.boot_mode);
    let boot_targets = node.boot_targets.as_deref().map(Into::into);
    let spec =
        NodeSpec { id, inventory, timings, device: label, kind, boot_mode, boot_targets, policy: node.policy.clone() };
    let device = match &node.policy.graceful {
        Some(graceful) => {
            let boot_targets = node.boot_targets.clone().unwrap_or_else(|| kind.boot_targets.to_vec());
            driver.with_shutdown(graceful.hook.clone(), boot_targets)
        }
        None => driver,
    };
    NodePlan { spec, device }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
