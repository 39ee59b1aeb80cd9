//! The definition of the command line, with one line of help for each item.
//!
//! This file only parses. The commands are in `daemon` (`serve`), in `demo.rs`, `discover.rs` and `probe.rs` (simulated
//! and real devices), in `client.rs`, `status.rs` and `events.rs` (clients of a running daemon), in `state.rs` (the
//! state of a stopped daemon), and in `generate.rs` and `import/` (conversion of files).

pub mod client;
mod demo;
mod discover;
mod events;
mod generate;
pub mod health;
mod import;
mod manual;
pub mod output;
mod probe;
mod remote;
mod run;
mod state;
mod status;

#[cfg(fuzzing)]
pub use import::fuzz;

pub use run::Failure;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::telemetry::LogFormat;
use discover::Network;

/// A Redfish BMC for machines that have none: behind Tapo smart plugs.
#[derive(Debug, Parser)]
#[command(name = "plugfish", version, about, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// How log lines look; by default what fits a terminal, a pipe or systemd. RUST_LOG sets the levels.
    #[arg(long, global = true, value_enum)]
    pub log_format: Option<LogFormat>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon: a Redfish service for the nodes in nodes.yaml.
    Serve(ConfigFile),
    /// Run the daemon on a simulated rack: nothing to install, nothing is kept.
    Demo(Demo),
    /// Run the simulated rack alone, for testing other software.
    Sim(Sim),
    /// Say everything that is wrong with nodes.yaml.
    Check(Check),
    /// Look for plugs and AMT machines on the network, and print entries for nodes.yaml.
    Discover(Discover),
    /// Show the nodes of a running daemon.
    Status(Status),
    /// Switch a node of a running daemon on or off.
    Power(Power),
    /// Say from where a node of a running daemon is to boot.
    Boot(Boot),
    /// Show what the device of a node ever proved, or forget it after a swap.
    Trust(Trust),
    /// Show what happened to the nodes of a running daemon.
    Events(Events),
    /// Print manifests for the nodes in nodes.yaml, for Metal3, Ironic or Prometheus.
    Generate(Generate),
    /// Turn the configuration of another program into nodes.yaml.
    Import(Import),
    /// Print the whole state of a stopped daemon as one JSON document.
    Export(Export),
    /// Put an export in the place of the state of a stopped daemon.
    Restore(Restore),
    /// Say whether a daemon answers: the health check of the container image.
    Health(health::Health),
    /// Print the JSON schema of nodes.yaml, for editors.
    Schema,
    /// Read a password and print its hash, for `accounts` in nodes.yaml.
    HashPassword,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration; else ./nodes.yaml, else /etc/plugfish/nodes.yaml.
    #[arg(long, env = "PLUGFISH_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `plugfish demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Where to serve Redfish.
    #[arg(long, default_value = "127.0.0.1:8000", value_name = "ADDRESS")]
    pub listen: std::net::SocketAddr,
    /// Serve HTTPS with a self-signed certificate.
    #[arg(long)]
    pub tls: bool,
    /// How many simulated Tapo plugs.
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub tapo: u16,
    /// How many simulated AMT machines.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub amt: u16,
    /// Seed of all chance in the simulation.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// Where the rack is told what to do (faults, buttons) and what it saw, over HTTP.
    #[arg(long, value_name = "ADDRESS")]
    pub rack_control: Option<std::net::SocketAddr>,
}

/// `plugfish sim`.
#[derive(Debug, Args)]
pub struct Sim {
    /// How many simulated Tapo plugs.
    #[arg(long, default_value_t = 4, value_name = "N", conflicts_with = "plugs")]
    pub tapo: u16,
    /// A plug of this kind, such as p110:klap-v2; once for each plug, in place of --tapo.
    #[arg(long = "plug", value_name = "MODEL:VARIANT")]
    pub plugs: Vec<String>,
    /// An AMT machine of this kind, such as amt12 or amt16-tls; once for each machine.
    #[arg(long = "machine", value_name = "KIND")]
    pub machines: Vec<String>,
    /// The address of the first plug; the others follow it, and the machines follow them.
    #[arg(long, default_value = "127.42.0.1", value_name = "ADDRESS")]
    pub base: std::net::Ipv4Addr,
    /// Also answer discovery that is sent to this broadcast address, such as 127.255.255.255.
    #[arg(long, value_name = "ADDRESS")]
    pub broadcast: Option<std::net::Ipv4Addr>,
    /// Seed of all chance in the simulation.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// Where the rack is told what to do (faults, buttons) and what it saw, over HTTP.
    #[arg(long, default_value = "127.0.0.1:8001", value_name = "ADDRESS")]
    pub control: std::net::SocketAddr,
}

/// `plugfish check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Where the configuration is.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Also log in to every device once, and say what it is.
    #[arg(long)]
    pub probe: bool,
}

/// `plugfish discover`.
#[derive(Debug, Args)]
pub struct Discover {
    /// Search this network, address by address; else the one of this machine. May be given several times.
    #[arg(long = "network", value_name = "192.0.2.0/24")]
    pub networks: Vec<Network>,
    /// How many seconds to wait for the answers of plugs.
    #[arg(long, default_value_t = 3, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=60))]
    pub wait: u16,
}

/// How to reach a running daemon.
#[derive(Debug, Args)]
pub struct Remote {
    /// Where the daemon serves.
    #[arg(long, env = "PLUGFISH_URL", default_value = "http://127.0.0.1:8000", value_name = "URL")]
    pub url: String,
    /// The account.
    #[arg(long, env = "PLUGFISH_USERNAME", default_value = "admin", value_name = "NAME")]
    pub username: String,
    /// A file with the password; else PLUGFISH_PASSWORD.
    #[arg(long, env = "PLUGFISH_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The certificate (PEM) that the daemon's is signed by, or the daemon's own.
    #[arg(long, env = "PLUGFISH_CACERT", value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub output: OutputFormat,
}

/// What to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Table,
    /// For scripts.
    Json,
}

/// `plugfish status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Only this node, in detail.
    pub node: Option<String>,
    /// Go on showing it until Ctrl-C: the table again and again at a terminal, a line for each change elsewhere.
    #[arg(long)]
    pub watch: bool,
    /// Also show the last exchanges with the device of the node, for bug reports. Wants an Administrator.
    #[arg(long, requires = "node", conflicts_with = "watch")]
    pub trace: bool,
    /// How to reach the daemon.
    #[command(flatten)]
    pub remote: Remote,
}

/// `plugfish power`.
#[derive(Debug, Args)]
pub struct Power {
    /// The node.
    pub node: String,
    /// What to do with its power.
    #[arg(value_enum)]
    pub action: PowerAction,
    /// Return as soon as the command is accepted.
    #[arg(long)]
    pub no_wait: bool,
    /// How to reach the daemon.
    #[command(flatten)]
    pub remote: Remote,
}

/// What to do with the power of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PowerAction {
    /// Turn it on.
    On,
    /// Cut it at once.
    Off,
    /// Off, a while, on.
    Cycle,
    /// Restart the machine: the same as a cycle where the device knows only on and off.
    Reset,
    /// Ask the operating system to shut down, where the device can.
    Shutdown,
    /// Ask the operating system to restart, where the device can.
    Restart,
    /// Send a diagnostic interrupt, where the device can.
    Nmi,
}

impl PowerAction {
    /// The `ResetType` of Redfish for it.
    pub fn reset_type(self) -> &'static str {
        match self {
            PowerAction::On => "On",
            PowerAction::Off => "ForceOff",
            PowerAction::Cycle => "PowerCycle",
            PowerAction::Reset => "ForceRestart",
            PowerAction::Shutdown => "GracefulShutdown",
            PowerAction::Restart => "GracefulRestart",
            PowerAction::Nmi => "Nmi",
        }
    }

    /// The power state at its end.
    pub fn goal(self) -> &'static str {
        if matches!(self, PowerAction::Off | PowerAction::Shutdown) { "Off" } else { "On" }
    }
}

/// `plugfish boot`.
#[derive(Debug, Args)]
pub struct Boot {
    /// The node.
    pub node: String,
    /// From where.
    #[arg(value_enum)]
    pub source: BootSource,
    /// The image to load, for http.
    #[arg(value_name = "URI", required_if_eq("source", "http"))]
    pub uri: Option<String>,
    /// Only the next boot; else every boot until it is changed.
    #[arg(long)]
    pub once: bool,
    /// How to reach the daemon.
    #[command(flatten)]
    pub remote: Remote,
}

/// From where a node is to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BootSource {
    /// As its firmware likes: no override.
    None,
    /// The network.
    Pxe,
    /// The disk.
    Disk,
    /// The CD drive.
    Cd,
    /// The setup pages of the firmware.
    Setup,
    /// An image that the firmware loads from a URI.
    Http,
}

impl BootSource {
    /// The `BootSourceOverrideTarget` of Redfish for it.
    pub fn target(self) -> &'static str {
        match self {
            BootSource::None => "None",
            BootSource::Pxe => "Pxe",
            BootSource::Disk => "Hdd",
            BootSource::Cd => "Cd",
            BootSource::Setup => "BiosSetup",
            BootSource::Http => "UefiHttp",
        }
    }
}

/// `plugfish trust`.
#[derive(Debug, Args)]
pub struct Trust {
    /// The node.
    pub node: String,
    /// Forget it: the device was replaced or set up again, and its next contact is trusted on first use. Wants an
    /// Administrator.
    #[arg(long)]
    pub reset: bool,
    /// How to reach the daemon.
    #[command(flatten)]
    pub remote: Remote,
}

/// `plugfish events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Only those of this node.
    pub node: Option<String>,
    /// Go on with what happens from now on, until Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,
    /// How to reach the daemon.
    #[command(flatten)]
    pub remote: Remote,
}

/// `plugfish generate`.
#[derive(Debug, Args)]
pub struct Generate {
    /// What for.
    #[arg(value_enum)]
    pub kind: ManifestKind,
    /// Only these nodes.
    pub nodes: Vec<String>,
    /// Where the configuration is.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Where the others reach the daemon; else the first address of `server.listen`.
    #[arg(long, value_name = "URL")]
    pub service_url: Option<String>,
    /// The Kubernetes namespace; none is written without.
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The Kubernetes secret with the login for the daemon (keys `username` and `password`).
    #[arg(long, default_value = "plugfish-login", value_name = "NAME")]
    pub secret: String,
    /// The account of the daemon that Ironic is to use.
    #[arg(long, default_value = "ironic", value_name = "NAME")]
    pub account: String,
}

/// What manifests are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ManifestKind {
    /// Metal3: a BareMetalHost for each node.
    Bmh,
    /// Ironic without Metal3: a file for `openstack baremetal create`.
    Ironic,
    /// The Prometheus operator: a ServiceMonitor.
    Servicemonitor,
}

/// `plugfish import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Whose configuration it is.
    #[arg(value_enum)]
    pub source: ImportSource,
    /// The file.
    pub file: PathBuf,
    /// Where the files with the passwords are written, which nodes.yaml names; else here, and nodes.yaml belongs beside them.
    #[arg(long, value_name = "DIRECTORY")]
    pub secrets: Option<PathBuf>,
    /// Write the passwords into nodes.yaml itself, in clear.
    #[arg(long, conflicts_with = "secrets")]
    pub inline_passwords: bool,
}

/// Whose configuration is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportSource {
    /// sushy-tools with the Tapo driver: SUSHY_EMULATOR_TAPO_SYSTEMS.
    Sushy,
}

/// Which state directory.
#[derive(Debug, Args)]
pub struct StateDir {
    /// The state directory; else the one that the configuration names.
    #[arg(long, value_name = "DIRECTORY")]
    pub state_dir: Option<PathBuf>,
    /// Where the configuration is.
    #[command(flatten)]
    pub file: ConfigFile,
}

/// `plugfish export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Whose state.
    #[command(flatten)]
    pub place: StateDir,
}

/// `plugfish restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// What `plugfish export` printed, or a state.json.
    pub from: PathBuf,
    /// Also where there is state already, which is lost.
    #[arg(long)]
    pub force: bool,
    /// Whose state.
    #[command(flatten)]
    pub place: StateDir,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
