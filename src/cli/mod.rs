//! The definition of the command line, with one line of help for each item.
//!
//! This file only parses. The commands are in `daemon` (`serve`), in `demo.rs`, `discover.rs`, `probe.rs` and `calibrate.rs`
//! (simulated and real devices), in `client.rs`, `status.rs` and `events.rs` (clients of a running daemon), in `state.rs` (the
//! state of a stopped daemon), and in `generate.rs` and `import/` (conversion of files).

mod calibrate;
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
    /// The format of the log; by default the one for a terminal, a pipe or systemd. RUST_LOG sets the levels.
    #[arg(long, global = true, value_enum)]
    pub log_format: Option<LogFormat>,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon: a Redfish service for the nodes in nodes.yaml.
    Serve(ConfigFile),
    /// Run the daemon on a simulated rack; nothing is kept.
    Demo(Demo),
    /// Run the simulated rack alone, for testing other software.
    Sim(Sim),
    /// List all errors in nodes.yaml.
    Check(Check),
    /// Search the network for plugs and AMT machines, and print entries for nodes.yaml.
    Discover(Discover),
    /// Measure the machine of a node while it idles and while it is off, and print its thresholds (`watts`).
    ///
    /// It reads the plug itself: stop a daemon that uses the same plug for the time of this. It takes two minutes and the
    /// time of the shutdown. It changes no file, and without --cut it switches nothing.
    Calibrate(calibrate::Calibrate),
    /// Show the nodes of a running daemon.
    Status(Status),
    /// Switch a node of a running daemon on or off.
    Power(Power),
    /// Set the boot source of a node of a running daemon.
    Boot(Boot),
    /// Show what the device of a node has proved about its identity, or delete that record after a swap.
    Trust(Trust),
    /// Show the events of the nodes of a running daemon.
    Events(Events),
    /// Print manifests for the nodes in nodes.yaml, for Metal3, Ironic or Prometheus.
    Generate(Generate),
    /// Convert the configuration of another program to nodes.yaml.
    Import(Import),
    /// Print the whole state of a stopped daemon as one JSON document.
    Export(Export),
    /// Replace the state of a stopped daemon by an export.
    Restore(Restore),
    /// Report whether a daemon answers: the health check of the container image.
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

/// The configuration file.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file; by default ./nodes.yaml, else /etc/plugfish/nodes.yaml.
    #[arg(long, env = "PLUGFISH_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `plugfish demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// The address of the Redfish service.
    #[arg(long, default_value = "127.0.0.1:8000", value_name = "ADDRESS")]
    pub listen: std::net::SocketAddr,
    /// Serve HTTPS with a self-signed certificate.
    #[arg(long)]
    pub tls: bool,
    /// The number of simulated Tapo plugs.
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub tapo: u16,
    /// The number of simulated AMT machines.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub amt: u16,
    /// The random seed of the simulation.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// The address of the rack's control API over HTTP (faults, buttons, logs of requests).
    #[arg(long, value_name = "ADDRESS")]
    pub rack_control: Option<std::net::SocketAddr>,
}

/// `plugfish sim`.
#[derive(Debug, Args)]
pub struct Sim {
    /// The number of simulated Tapo plugs.
    #[arg(long, default_value_t = 4, value_name = "N", conflicts_with = "plugs")]
    pub tapo: u16,
    /// Add a plug of this kind, such as p110:klap-v2; once for each plug, instead of --tapo.
    #[arg(long = "plug", value_name = "MODEL:VARIANT")]
    pub plugs: Vec<String>,
    /// Add an AMT machine of this kind, such as amt12 or amt16-tls; once for each machine.
    #[arg(long = "machine", value_name = "KIND")]
    pub machines: Vec<String>,
    /// The address of the first plug; the others follow it, and the machines follow them.
    #[arg(long, default_value = "127.42.0.1", value_name = "ADDRESS")]
    pub base: std::net::Ipv4Addr,
    /// Also answer discovery that is sent to this broadcast address, such as 127.255.255.255.
    #[arg(long, value_name = "ADDRESS")]
    pub broadcast: Option<std::net::Ipv4Addr>,
    /// The random seed of the simulation.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// The address of the rack's control API over HTTP (faults, buttons, logs of requests).
    #[arg(long, default_value = "127.0.0.1:8001", value_name = "ADDRESS")]
    pub control: std::net::SocketAddr,
}

/// `plugfish check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Also log in to every device once, and print its identity.
    #[arg(long)]
    pub probe: bool,
}

/// `plugfish discover`.
#[derive(Debug, Args)]
pub struct Discover {
    /// Search this network, address by address; by default that of this machine. May be given several times.
    #[arg(long = "network", value_name = "192.0.2.0/24")]
    pub networks: Vec<Network>,
    /// The time to wait for the answers of plugs, in seconds.
    #[arg(long, default_value_t = 3, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=60))]
    pub wait: u16,
}

/// The address of a running daemon, and the login.
#[derive(Debug, Args)]
pub struct Remote {
    /// The URL of the daemon.
    #[arg(long, env = "PLUGFISH_URL", default_value = "http://127.0.0.1:8000", value_name = "URL")]
    pub url: String,
    /// The account of the daemon.
    #[arg(long, env = "PLUGFISH_USERNAME", default_value = "admin", value_name = "NAME")]
    pub username: String,
    /// A file with the password; by default the password is in PLUGFISH_PASSWORD.
    #[arg(long, env = "PLUGFISH_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The certificate (PEM) that signed the daemon's certificate, or the daemon's certificate itself.
    #[arg(long, env = "PLUGFISH_CACERT", value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// The output format.
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub output: OutputFormat,
}

/// The output format of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Text for people.
    Table,
    /// JSON for scripts.
    Json,
}

/// `plugfish status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Only this node, in detail.
    pub node: Option<String>,
    /// Keep showing it until Ctrl-C: a table that is redrawn on a terminal, else a line for each change.
    #[arg(long)]
    pub watch: bool,
    /// Also show the last exchanges with the device of the node, for bug reports. Needs an Administrator.
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
    /// The action on its power.
    #[arg(value_enum)]
    pub action: PowerAction,
    /// Return as soon as the command is accepted.
    #[arg(long)]
    pub no_wait: bool,
    /// How to reach the daemon.
    #[command(flatten)]
    pub remote: Remote,
}

/// An action on the power of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PowerAction {
    /// Turn it on.
    On,
    /// Cut it at once.
    Off,
    /// Cut it, wait, restore it.
    Cycle,
    /// Restart the machine: the same as a cycle if the device supports only on and off.
    Reset,
    /// Shut the operating system down gracefully, if the device supports it.
    Shutdown,
    /// Restart the operating system gracefully, if the device supports it.
    Restart,
    /// Send a diagnostic interrupt, if the device supports it.
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
    /// The boot source.
    #[arg(value_enum)]
    pub source: BootSource,
    /// The image to load, for http.
    #[arg(value_name = "URI", required_if_eq("source", "http"))]
    pub uri: Option<String>,
    /// Only for the next boot; by default for every boot until it is changed.
    #[arg(long)]
    pub once: bool,
    /// How to reach the daemon.
    #[command(flatten)]
    pub remote: Remote,
}

/// The boot source of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BootSource {
    /// No override: the boot order of the firmware.
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
    /// Delete the record after the device was replaced or set up again: its next contact is trusted on first use. Needs
    /// an Administrator.
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
    /// Continue with new events, until Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,
    /// How to reach the daemon.
    #[command(flatten)]
    pub remote: Remote,
}

/// `plugfish generate`.
#[derive(Debug, Args)]
pub struct Generate {
    /// The kind of manifest.
    #[arg(value_enum)]
    pub kind: ManifestKind,
    /// Only these nodes.
    pub nodes: Vec<String>,
    /// The configuration file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// The URL at which clients reach the daemon; by default the first address of `server.listen`.
    #[arg(long, value_name = "URL")]
    pub service_url: Option<String>,
    /// The Kubernetes namespace in the manifests; by default none.
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The Kubernetes secret with the login for the daemon (keys `username` and `password`).
    #[arg(long, default_value = "plugfish-login", value_name = "NAME")]
    pub secret: String,
    /// The account of the daemon for Ironic.
    #[arg(long, default_value = "ironic", value_name = "NAME")]
    pub account: String,
}

/// The kind of manifest.
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
    /// The program that the configuration is for.
    #[arg(value_enum)]
    pub source: ImportSource,
    /// The configuration file of that program.
    pub file: PathBuf,
    /// The directory for the password files that nodes.yaml names; by default the current one, next to nodes.yaml.
    #[arg(long, value_name = "DIRECTORY")]
    pub secrets: Option<PathBuf>,
    /// Write the passwords into nodes.yaml itself, in plaintext.
    #[arg(long, conflicts_with = "secrets")]
    pub inline_passwords: bool,
}

/// The program whose configuration is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportSource {
    /// sushy-tools with the Tapo driver: SUSHY_EMULATOR_TAPO_SYSTEMS.
    Sushy,
}

/// The state directory.
#[derive(Debug, Args)]
pub struct StateDir {
    /// The state directory; by default the one in the configuration.
    #[arg(long, value_name = "DIRECTORY")]
    pub state_dir: Option<PathBuf>,
    /// The configuration file.
    #[command(flatten)]
    pub file: ConfigFile,
}

/// `plugfish export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The state directory.
    #[command(flatten)]
    pub place: StateDir,
}

/// `plugfish restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// The output of `plugfish export`, or a state.json.
    pub from: PathBuf,
    /// Replace existing state, which is lost.
    #[arg(long)]
    pub force: bool,
    /// The state directory.
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
