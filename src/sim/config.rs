//! The configuration of a simulated rack: models, protocol variants, accounts, quirks. Plain values; nothing runs here.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::amt::config::MachineConfig;
use super::board::PowerLoss;
use super::computer::ComputerConfig;
use super::meter::Display;
use crate::clock::Clock;

/// A model of plug that can be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[clap(rename_all = "lower")]
pub enum Model {
    /// A plug without a meter.
    P100,
    /// A plug with a meter.
    P110,
    /// A strip of three outlets without meters.
    P300,
    /// A strip of four outlets, each with a meter.
    P304M,
}

impl Model {
    /// `P110`, as the plug spells it.
    pub fn name(self) -> &'static str {
        match self {
            Model::P100 => "P100",
            Model::P110 => "P110",
            Model::P300 => "P300",
            Model::P304M => "P304M",
        }
    }

    /// How many outlets it has.
    pub fn outlets(self) -> usize {
        match self {
            Model::P100 | Model::P110 => 1,
            Model::P300 => 3,
            Model::P304M => 4,
        }
    }

    /// Whether it is a strip, whose outlets are children of the device.
    pub fn is_strip(self) -> bool {
        self.outlets() > 1
    }

    /// Whether it has a meter.
    pub fn has_meter(self) -> bool {
        matches!(self, Model::P110 | Model::P304M)
    }

    /// `P110(EU)`: the form in discovery answers. The P100 says it without a region.
    pub(super) fn in_discovery(self) -> String {
        match self {
            Model::P100 => self.name().to_owned(),
            _ => format!("{}(EU)", self.name()),
        }
    }

    /// A firmware version of the time when the model came with the variant.
    pub(super) fn firmware(self, variant: Variant) -> &'static str {
        match (self, variant) {
            (Model::P100, Variant::Passthrough) => "1.3.7 Build 20230711 Rel. 61904",
            (Model::P100, Variant::Tpap) => "1.4.0 Build 250901 Rel.101843",
            (Model::P100, _) => "1.4.0 Build 20231021 Rel. 88421",
            (Model::P110, Variant::Passthrough) => "1.2.3 Build 230425 Rel.142542",
            (Model::P110, Variant::Tpap) => "1.4.0 Build 251104 Rel.093215",
            (Model::P110, _) => "1.3.1 Build 240621 Rel.162048",
            (Model::P300, Variant::Passthrough) => "1.0.7 Build 220715 Rel.200458",
            (Model::P300, Variant::Tpap) => "1.4.2 Build 251110 Rel.112733",
            (Model::P300, _) => "1.0.15 Build 231130 Rel.122554",
            (Model::P304M, Variant::Tpap) => "1.4.2 Build 251121 Rel.084410",
            (Model::P304M, _) => "1.0.3 Build 240605 Rel.091502",
        }
    }
}

/// A variant of the protocol: how a client logs in and how requests are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[clap(rename_all = "kebab-case")]
pub enum Variant {
    /// `AES`: RSA handshake, `login_device`, JSON in an AES envelope.
    Passthrough,
    /// `KLAP` as Kasa devices speak it.
    KlapV1,
    /// `KLAP` with `lv` 2.
    KlapV2,
    /// `TPAP`: SPAKE2+ with the password alone.
    Tpap,
}

impl Variant {
    /// `KLAP`: the word of discovery answers.
    pub fn encrypt_type(self) -> &'static str {
        match self {
            Variant::Passthrough => "AES",
            Variant::KlapV1 | Variant::KlapV2 => "KLAP",
            Variant::Tpap => "TPAP",
        }
    }
}

/// Which password field a passthrough plug takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginVersion {
    /// `password`; discovery says no `lv`.
    V1,
    /// `password2`; discovery says `lv` 2.
    V2,
}

/// The account to which a plug is bound. Both parts count exactly as written, capitals included.
#[derive(Clone)]
pub struct Account {
    /// The e-mail address.
    pub email: String,
    password: SecretString,
}

impl Account {
    /// An account.
    pub fn new(email: &str, password: &str) -> Account {
        Account { email: email.to_owned(), password: SecretString::from(password) }
    }

    pub(super) fn password(&self) -> &[u8] {
        self.password.expose_secret().as_bytes()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}, ***)", self.email)
    }
}

impl Default for Account {
    /// `owner@example.com` with the password `plugfish-demo`.
    fn default() -> Account {
        Account::new("owner@example.com", "plugfish-demo")
    }
}

/// How a plug may differ from the plain case. The default is a plug that keeps to the protocol strictly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// Says `Connection: close` and closes after every answer.
    pub close_after_answer: bool,
    /// Says that every answer is `text/html`.
    pub text_html: bool,
    /// Answers any request that has a header with an empty value with 200 and an HTML page.
    pub page_for_empty_header: bool,
    /// Passes over headers whose names are not in Title-Case.
    pub title_case_only: bool,
    /// Passthrough: puts plain JSON where the sealed answer belongs.
    pub plain_response: bool,
    /// TPAP: how a client learns that its session is lost.
    pub lost: Lost,
    /// How many parts of a `multipleRequest` are answered; the others get -1004. python-kasa sends eight to an outlet.
    pub batch_max: usize,
    /// How many children `get_child_device_list` gives at once.
    pub page_size: usize,
}

/// How a plug in TPAP mode tells of a lost session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// 200 with this `error_code` in plain JSON. Clients know of several codes.
    Code(i64),
    /// 403.
    Forbidden,
}

impl Default for Quirks {
    fn default() -> Quirks {
        Quirks {
            close_after_answer: false,
            text_html: false,
            page_for_empty_header: false,
            title_case_only: false,
            plain_response: false,
            lost: Lost::Code(-2402),
            batch_max: 10,
            page_size: 10,
        }
    }
}

/// One simulated plug.
#[derive(Clone, Debug)]
pub struct PlugConfig {
    /// Its name in the rack and in the control API; unique.
    pub name: String,
    /// Its model.
    pub model: Model,
    /// What it speaks at first.
    pub variant: Variant,
    /// Where it listens; `None` takes a loopback address that is free.
    pub address: Option<Ipv4Addr>,
    /// TCP port; 0 takes a free one.
    pub port: u16,
    /// UDP port of discovery; `None` leaves discovery out.
    pub discovery_port: Option<u16>,
    /// The account to which it is bound.
    pub account: Account,
    /// Whether it is bound to the account. If not, KLAP accepts these fallback credentials and no others.
    pub bound: Binding,
    /// Its MAC address; made from seed and name when `None`.
    pub mac: Option<[u8; 6]>,
    /// The nickname; the name when `None`.
    pub nickname: Option<String>,
    /// `fw_ver`; one that fits model and variant when `None`.
    pub firmware: Option<String>,
    /// Whether firmware in KLAP mode knows of TPAP (third-party access on). In TPAP mode it does in any case.
    pub knows_tpap: bool,
    /// Which login a passthrough plug takes.
    pub login: LoginVersion,
    /// How long a session lives.
    pub session_time: Duration,
    /// TPAP: how many wrong passwords lock the plug.
    pub lock_after: u32,
    /// TPAP: how long a lock lasts; every login tried in between restarts it.
    pub lock_time: Duration,
    /// How long every request takes at least.
    pub latency: Duration,
    /// How long the meter shows the old value after a change: a switch, a computer that turned itself off.
    pub meter_lag: Duration,
    /// How far the meter is off, up or down, otherwise every half second.
    pub meter_noise_mw: u64,
    /// In which steps the meter shows watts.
    pub meter_step_mw: u64,
    /// The relays at the start.
    pub starts_on: bool,
    /// What the relays do when power comes back.
    pub power_loss: PowerLoss,
    /// The computer on each outlet.
    pub computer: ComputerConfig,
    /// Deviations from the usual behaviour.
    pub quirks: Quirks,
}

/// To whose credentials a plug listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// The login of the account.
    #[default]
    Account,
    /// Not bound: empty e-mail and empty password.
    Blank,
    /// Not bound: `test@tp-link.net` and `test`.
    TapoSetup,
    /// Not bound: `kasa@tp-link.net` and `kasaSetup`.
    KasaSetup,
}

impl PlugConfig {
    /// A strict plug of this name: on, on a free loopback address, with discovery on port 20002.
    pub fn new(name: &str, model: Model, variant: Variant) -> PlugConfig {
        PlugConfig {
            name: name.to_owned(),
            model,
            variant,
            address: None,
            port: 0,
            discovery_port: Some(super::DISCOVERY_PORT),
            account: Account::default(),
            bound: Binding::Account,
            mac: None,
            nickname: None,
            firmware: None,
            knows_tpap: variant == Variant::Tpap,
            login: LoginVersion::V1,
            session_time: Duration::from_secs(if variant == Variant::Passthrough { 1440 } else { 86_400 }),
            lock_after: 5,
            lock_time: Duration::from_secs(30 * 60),
            latency: Duration::ZERO,
            meter_lag: Duration::from_secs(1),
            meter_noise_mw: 0,
            meter_step_mw: 1,
            starts_on: true,
            power_loss: PowerLoss::LastState,
            computer: ComputerConfig::default(),
            quirks: Quirks::default(),
        }
    }

    /// How its meters show a draw.
    pub(super) fn display(&self) -> Display {
        Display { lag: self.meter_lag, noise_mw: self.meter_noise_mw, step_mw: self.meter_step_mw }
    }
}

/// A rack to be started.
#[derive(Clone, Debug)]
pub struct RackConfig {
    /// The plugs.
    pub plugs: Vec<PlugConfig>,
    /// The AMT machines.
    pub machines: Vec<MachineConfig>,
    /// What everything random but the keys is made from: MAC addresses, loads, the dice of faults.
    pub seed: u64,
    /// The clock. It must not be paused: the rack has real sockets.
    pub clock: Clock,
    /// Where the control API listens; `None` leaves it out.
    pub control: Option<std::net::SocketAddr>,
    /// Where one more socket listens for broadcast discovery, such as `127.255.255.255`; the plugs answer each from
    /// its own address. Only one rack on a machine can have it, so it is left out by default.
    pub broadcast: Option<Ipv4Addr>,
}

impl RackConfig {
    /// An empty rack on the real clock.
    pub fn new(seed: u64) -> RackConfig {
        let (plugs, machines) = (Vec::new(), Vec::new());
        RackConfig { plugs, machines, seed, clock: Clock::system(), control: None, broadcast: None }
    }

    /// The same with one more plug.
    pub fn with(mut self, plug: PlugConfig) -> RackConfig {
        self.plugs.push(plug);
        self
    }

    /// The same with one more AMT machine.
    pub fn with_machine(mut self, machine: MachineConfig) -> RackConfig {
        self.machines.push(machine);
        self
    }
}

/// A number made from a seed and a counter, evenly spread: the dice of the rack, which a run can repeat.
pub(super) fn dice(seed: u64, turn: u64) -> u64 {
    let mut mixed = seed.wrapping_add(turn.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The same from a seed and a name.
pub(super) fn dice_named(seed: u64, name: &str) -> u64 {
    name.bytes().fold(dice(seed, name.len() as u64), |mixed, byte| dice(mixed, u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_repeat_and_differ() {
        assert_eq!(dice_named(1, "a"), dice_named(1, "a"));
        assert_ne!(dice_named(1, "a"), dice_named(1, "b"));
        assert_ne!(dice_named(1, "a"), dice_named(2, "a"));
        let below_half = (0..1000).filter(|turn| dice(7, *turn) < u64::MAX / 2).count();
        assert!((450..550).contains(&below_half), "{below_half}");
    }

    #[test]
    fn a_password_is_not_shown() {
        assert!(!format!("{:?}", PlugConfig::new("a", Model::P100, Variant::KlapV2)).contains("plugfish-demo"));
    }
}
