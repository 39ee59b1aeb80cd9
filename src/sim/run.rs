//! The simulated rack as a command: from a few options to a rack that runs until shutdown. The caller prints.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::ValueEnum;

use super::amt::config::{AMT_PORT, AMT_TLS_PORT, MachineConfig, Profile};
use super::config::{Account, Model, PlugConfig, RackConfig, Variant};
use super::{Rack, RackError};
use crate::clock::Clock;

/// What people write for an AMT machine: `amt16-tls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineKind {
    /// Its hardware.
    pub profile: Profile,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// What a rack of the command line is made of.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// How many plugs; they are called `plug-1` and so on.
    pub plugs: usize,
    /// What they are, over and over again in this order. Never empty: an empty list stands for the default.
    pub kinds: Vec<(Model, Variant)>,
    /// The AMT machines; they are called `amt-1` and so on.
    pub machines: Vec<MachineKind>,
    /// What everything random but the keys is made from.
    pub seed: u64,
    /// The address of the first plug; the others follow, and the machines after them.
    pub base: Ipv4Addr,
    /// The TCP port of all plugs; 0 takes a free one for each.
    pub port: u16,
    /// UDP port of discovery; `None` leaves it out.
    pub discovery_port: Option<u16>,
    /// Where broadcast discovery is taken, as [`RackConfig::broadcast`].
    pub broadcast: Option<Ipv4Addr>,
    /// The account to which the plugs are bound.
    pub account: Account,
    /// How long every request takes at least.
    pub latency: Duration,
    /// Where the control API listens.
    pub control: Option<SocketAddr>,
}

impl SimOptions {
    /// The kinds of a rack that has something of everything.
    pub const KINDS: &'static [(Model, Variant)] = &[
        (Model::P110, Variant::KlapV2),
        (Model::P110, Variant::Tpap),
        (Model::P100, Variant::Passthrough),
        (Model::P300, Variant::KlapV2),
        (Model::P304M, Variant::Tpap),
        (Model::P100, Variant::KlapV1),
    ];

    /// Reads a kind as people write it: `p110:klap-v2`.
    pub fn kind(text: &str) -> Result<(Model, Variant), RackError> {
        let parts = text.split_once(':');
        let kind = parts.and_then(|(model, variant)| {
            Some((Model::from_str(model, true).ok()?, Variant::from_str(variant, true).ok()?))
        });
        kind.ok_or_else(|| RackError::Kind(text.to_owned()))
    }

    /// Reads a kind of machine as people write it: `amt12`, `amt16` or `amt16-tls`.
    pub fn machine(text: &str) -> Result<MachineKind, RackError> {
        let (name, tls) = text.strip_suffix("-tls").map_or((text, false), |name| (name, true));
        let profile = Profile::from_str(name, true).map_err(|_| RackError::MachineKind(text.to_owned()))?;
        Ok(MachineKind { profile, tls })
    }
}

impl Default for SimOptions {
    /// One plug of every kind on 127.42.0.1 and so on, port 80 left to the caller, without a control API.
    fn default() -> SimOptions {
        SimOptions {
            plugs: SimOptions::KINDS.len(),
            kinds: SimOptions::KINDS.to_vec(),
            machines: Vec::new(),
            seed: 1,
            base: Ipv4Addr::new(127, 42, 0, 1),
            port: 0,
            discovery_port: Some(super::DISCOVERY_PORT),
            broadcast: None,
            account: Account::default(),
            latency: Duration::from_millis(20),
            control: None,
        }
    }
}

impl From<SimOptions> for RackConfig {
    fn from(options: SimOptions) -> RackConfig {
        let kinds = if options.kinds.is_empty() { SimOptions::KINDS } else { &options.kinds };
        let first = u32::from(options.base);
        let plugs =
            (0u32..).zip(kinds.iter().cycle()).take(options.plugs).map(|(index, (model, variant))| PlugConfig {
                address: Some(Ipv4Addr::from(first.wrapping_add(index))),
                port: options.port,
                discovery_port: options.discovery_port,
                account: options.account.clone(),
                latency: options.latency,
                ..PlugConfig::new(&format!("plug-{}", index + 1), *model, *variant)
            });
        let first_machine = first.wrapping_add(u32::try_from(options.plugs).unwrap_or(0));
        let machines = (0u32..).zip(&options.machines).map(|(index, kind)| MachineConfig {
            address: Some(Ipv4Addr::from(first_machine.wrapping_add(index))),
            port: if kind.tls { AMT_TLS_PORT } else { AMT_PORT },
            tls: kind.tls,
            latency: options.latency,
            ..MachineConfig::new(&format!("amt-{}", index + 1), kind.profile)
        });
        RackConfig {
            plugs: plugs.collect(),
            machines: machines.collect(),
            seed: options.seed,
            clock: Clock::system(),
            control: options.control,
            broadcast: options.broadcast,
        }
    }
}

/// Runs a rack until `shutdown` ends. `announce` is given the rack once everything listens.
pub async fn run(
    config: impl Into<RackConfig>,
    announce: impl FnOnce(&Rack),
    shutdown: impl Future<Output = ()>,
) -> Result<(), RackError> {
    let rack = Rack::start(config.into()).await?;
    announce(&rack);
    shutdown.await;
    rack.stop().await;
    Ok(())
}
