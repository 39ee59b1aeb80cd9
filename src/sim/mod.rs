//! A simulated rack: Tapo plugs and Intel AMT machines on real sockets, each with the computers that they switch.
//!
//! It is the server side of the protocols, written apart from the drivers and from other sources, so that both can be
//! wrong only on their own: it names nothing of `driver`. Tests use it as a fixture, `plugfish demo` and `plugfish sim`
//! as a rack to play with. Foreign clients vouch for it (`tests/foreign`).
//!
//! # A plug, from the wire to the computer
//!
//! ```text
//! serve (sockets) -> state (faults, tapo: logins and methods) -> board (relay, countdown, meter) -> computer -> trace
//! ```
//!
//! All but `serve` is pure: a call is given the time, and what was due by then happens first, each at its own time. On every
//! outlet hangs a **computer** that is unpowered, off (S5, with or without an engine that is awake), asleep (S3), running,
//! shutting down or hung. It is fed by the relay, or by a welded contact; what its firmware does with power that comes back is its
//! own setting ([`ComputerConfig::restore`]). A test acts on it as a person in its operating system or a magic packet would
//! ([`Plug::act`]), and decides whether it obeys a shutdown, ignores it or hangs in it ([`Plug::set_on_shutdown`]); what it did
//! is in [`Plug::computer_history`], and is the truth by which what a client says of it can be judged.
//!
//! Its **trace** is a function of the seed, its state and the time in it: a ramp when power comes, the peaks and dips of POST,
//! idle with a dip and a bump in each minute, little in S5 and S3. What varies cancels out, so that energy is what was drawn. The
//! **meter** shows the draw late, with noise and in steps as the plug is configured ([`PlugConfig::meter_noise_mw`]), and
//! sticks, loses the value, says `null` or nonsense by a rule like any other ([`Action::Meter`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), plugfish::testing::sim::RackError> {
//! use plugfish::testing::sim::{Action, Fault, Model, PlugConfig, Rack, RackConfig, Selector, Variant};
//!
//! let config = RackConfig::new(1).with(PlugConfig::new("n1", Model::P110, Variant::KlapV2));
//! let rack = Rack::start(config).await?;
//! let plug = rack.plug("n1").expect("it was just configured");
//! plug.add_fault(Fault::once(Selector::Any, Action::Drop));
//! assert_eq!(plug.relay(1), Some(true));
//! rack.stop().await;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

pub(crate) mod amt;
pub(crate) mod board;
pub(crate) mod computer;
pub(crate) mod config;
pub(crate) mod fault;
pub(crate) mod meter;
pub(crate) mod plug;
pub(crate) mod request_log;
pub mod run;

mod control;
mod http;
mod link;
mod place;
mod serve;
mod state;
mod tapo;
mod trace;

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use amt::boot::BootSource;
pub use amt::config::{AMT_PORT, AMT_TLS_PORT, Consent, ControlMode, MachineConfig, MachineQuirks, Profile, Timings};
pub use amt::machine::Machine;
pub use amt::power::{BootCause, Power};
pub use board::{Cause, Load, PowerLoss};
pub use computer::{Computer, ComputerAct, ComputerChange, ComputerConfig, ComputerState, OnShutdown};
pub use config::{Account, Binding, LoginVersion, Lost, Model, PlugConfig, Quirks, RackConfig, Variant};
pub use fault::{Action, Choke, Fault, Forgery, Impersonation, Kind, MeterFault, Selector, WsmanFault};
pub use plug::Plug;
pub(crate) use plug::PlugDescription;
pub use run::{SimOptions, run};

use crate::clock::Clock;

/// The UDP port of discovery.
pub(crate) const DISCOVERY_PORT: u16 = 20002;
/// The most plugs in a rack, and the most machines: each takes sockets, and a run of `demo` is meant for one computer.
pub(crate) const PLUGS_MAX: usize = 1000;

/// Why a rack cannot start, or a plug cannot move.
#[derive(Debug, Error)]
pub enum RackError {
    /// An address is not to be had.
    #[error("{device} cannot listen on {address}: {source}")]
    Bind {
        /// The plug or machine.
        device: String,
        /// The address.
        address: SocketAddr,
        /// The error.
        source: std::io::Error,
    },
    /// The control API cannot listen.
    #[error("the control API of the simulated rack cannot listen on {address}: {source}; choose another address")]
    Control {
        /// The address.
        address: SocketAddr,
        /// The error.
        source: std::io::Error,
    },
    /// The socket for broadcasts cannot be had.
    #[error("cannot take broadcast discovery on {address}: {source}; leave it out, or end the other rack")]
    Broadcast {
        /// The address.
        address: SocketAddr,
        /// The error.
        source: std::io::Error,
    },
    /// A machine has no certificate.
    #[error("machine {machine} cannot speak TLS: {reason}")]
    Tls {
        /// The machine.
        machine: String,
        /// The error.
        reason: String,
    },
    /// Two plugs or machines have one name.
    #[error("two devices of the simulated rack are called {0}; give each its own name")]
    SameName(String),
    /// No kind of plug is written so.
    #[error(
        "no kind of plug is called {0}: write p100, p110, p300 or p304m, a colon, and passthrough, klap-v1, klap-v2 or tpap"
    )]
    Kind(String),
    /// No kind of machine is written so.
    #[error("no kind of machine is called {0}: write amt12, amt16, amt12-tls or amt16-tls")]
    MachineKind(String),
    /// Too many plugs or machines.
    #[error("a simulated rack of {0} plugs or machines is asked for; the most is {PLUGS_MAX} of each")]
    TooMany(usize),
    /// The rack is no more.
    #[error("the simulated rack has stopped")]
    Stopped,
}

/// A running rack. It ends when it is dropped or stopped.
pub struct Rack {
    plugs: Vec<Arc<Plug>>,
    machines: Vec<Arc<Machine>>,
    control: Option<SocketAddr>,
    clock: Clock,
    tasks: JoinSet<()>,
}

impl Rack {
    /// Starts all plugs and machines. They run on the tokio runtime of the caller, whose clock must not be paused.
    pub async fn start(config: RackConfig) -> Result<Rack, RackError> {
        if let Some(many) = [config.plugs.len(), config.machines.len()].into_iter().find(|count| *count > PLUGS_MAX) {
            return Err(RackError::TooMany(many));
        }
        let mut taken = HashSet::new();
        let plugs = config.plugs.iter().map(|plug| plug.name.as_str());
        let mut names = plugs.chain(config.machines.iter().map(|machine| machine.name.as_str()));
        if let Some(twice) = names.find(|name| !taken.insert(*name)) {
            return Err(RackError::SameName(twice.to_owned()));
        }
        let mut tasks = JoinSet::new();
        let mut plugs = Vec::new();
        for plug in config.plugs {
            let sockets = find(&plug.name, plug.address, plug.port, plug.discovery_port).await?;
            let (moves, moved) = mpsc::channel(1);
            let plug = Arc::new(Plug::new(plug, config.seed, config.clock.clone(), &sockets, moves));
            tasks.spawn(serve::run(Arc::clone(&plug), sockets, moved));
            plugs.push(plug);
        }
        let mut machines = Vec::new();
        for machine in config.machines {
            let sockets = find(&machine.name, machine.address, machine.port, None).await?;
            let failed =
                |error: amt::tls::Unmade| RackError::Tls { machine: machine.name.clone(), reason: error.to_string() };
            let certificate =
                machine.tls.then(|| amt::tls::Certificate::new(&machine.name)).transpose().map_err(failed)?;
            let (clock, tcp) = (config.clock.clone(), sockets.tcp_address);
            let note = sockets.note.clone().filter(|_| machine.address.is_some_and(|wanted| tcp.ip() != wanted));
            let machine = Arc::new(Machine::new(machine, config.seed, clock, tcp, note, certificate));
            // Machines keep their state: nothing is connected to them.
            let (_, moved) = mpsc::channel(1);
            tasks.spawn(serve::run(Arc::clone(&machine), sockets, moved));
            machines.push(machine);
        }
        if let Some(address) = config.broadcast {
            let address = SocketAddr::from((address, DISCOVERY_PORT));
            let socket = UdpSocket::bind(address).await.map_err(|source| RackError::Broadcast { address, source })?;
            tasks.spawn(answer_broadcasts(socket, plugs.clone()));
        }
        let mut control = None;
        if let Some(address) = config.control {
            let failed = |source| RackError::Control { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            control = Some(listener.local_addr().map_err(failed)?);
            let subjects = control::Subjects { plugs: plugs.clone().into(), machines: machines.clone().into() };
            tasks.spawn(control::run(listener, subjects, config.clock.clone()));
        }
        Ok(Rack { plugs, machines, control, clock: config.clock, tasks })
    }

    /// The plugs, in the order of the configuration.
    pub fn plugs(&self) -> &[Arc<Plug>] {
        &self.plugs
    }

    /// The plug of this name.
    pub fn plug(&self, name: &str) -> Option<&Arc<Plug>> {
        self.plugs.iter().find(|plug| plug.name() == name)
    }

    /// The AMT machines, in the order of the configuration.
    pub fn machines(&self) -> &[Arc<Machine>] {
        &self.machines
    }

    /// The AMT machine of this name.
    pub fn machine(&self, name: &str) -> Option<&Arc<Machine>> {
        self.machines.iter().find(|machine| machine.name() == name)
    }

    /// Where the control API listens.
    pub fn control(&self) -> Option<SocketAddr> {
        self.control
    }

    /// The clock on which all times of the rack are told.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What is known of all plugs from outside, for a table or for nodes.yaml.
    pub fn describe(&self) -> Vec<PlugDescription> {
        self.plugs.iter().map(|plug| plug.describe()).collect()
    }

    /// Ends all plugs and machines and waits until every socket is closed.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn find(
    name: &str,
    address: Option<Ipv4Addr>,
    port: u16,
    discovery: Option<u16>,
) -> Result<place::Sockets, RackError> {
    place::find(address, port, discovery).await.map_err(|source| RackError::Bind {
        device: name.to_owned(),
        address: SocketAddr::from((address.unwrap_or(Ipv4Addr::LOCALHOST), port)),
        source,
    })
}

async fn answer_broadcasts(socket: UdpSocket, plugs: Vec<Arc<Plug>>) {
    let mut datagram = [0; serve::DATAGRAM_BYTES_MAX];
    loop {
        let (bytes, from) = serve::receive(Some(&socket), &mut datagram).await;
        for plug in &plugs {
            plug.answer_probe(datagram.get(..bytes).unwrap_or_default(), from).await;
        }
    }
}
