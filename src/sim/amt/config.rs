//! The configuration of a simulated AMT machine: profile, version, account, times, quirks. Plain values; nothing runs
//! here.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::super::board::PowerLoss;

/// The port of WS-Management in the clear.
pub const AMT_PORT: u16 = 16992;
/// The port of WS-Management over TLS.
pub const AMT_TLS_PORT: u16 = 16993;

/// What hardware a machine is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[clap(rename_all = "lower")]
pub enum Profile {
    /// An office computer of 2019 with AMT 12: one SATA drive, DDR4.
    Amt12,
    /// A small computer of 2022 with AMT 16: NVMe, DDR5, One-Click Recovery with boot over HTTPS.
    Amt16,
}

impl Profile {
    /// The firmware version it came with.
    pub fn version(self) -> &'static str {
        match self {
            Profile::Amt12 => "12.0.67",
            Profile::Amt16 => "16.1.25.1424",
        }
    }
}

/// Who is in control, as `IPS_HostBasedSetupService.CurrentControlMode` tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlMode {
    /// Client control: boot options always need the consent of the person at the machine.
    Client,
    /// Admin control.
    #[default]
    Admin,
}

/// The operations that need user consent in admin control mode: `IPS_OptInService.OptInRequired`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// User consent is never required.
    #[default]
    None,
    /// User consent is required for KVM only.
    Kvm,
    /// User consent is required for every operation that supports it.
    All,
}

/// Durations of the machine's transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// From an accepted power request to its effect.
    pub reaction: Duration,
    /// How long a power cycle leaves the machine off.
    pub cycle: Duration,
    /// From power to the end of POST; another power request is refused until then.
    pub post: Duration,
    /// From the end of POST until the operating system and its AMT service run.
    pub os_boot: Duration,
    /// How long the operating system takes to shut down.
    pub graceful: Duration,
    /// For how long nothing is reached when the power changes.
    pub blackout: Duration,
    /// How long the engine takes to start after mains came back.
    pub me_boot: Duration,
    /// After how long without a request, while the machine is off, the engine sleeps; `None`: never.
    pub me_sleep_after: Option<Duration>,
    /// How long it says nothing after the first packet that wakes it.
    pub me_wake: Duration,
}

impl Default for Timings {
    /// As on an office computer.
    fn default() -> Timings {
        Timings {
            reaction: Duration::from_millis(1_200),
            cycle: Duration::from_secs(4),
            post: Duration::from_secs(6),
            os_boot: Duration::from_secs(20),
            graceful: Duration::from_secs(8),
            blackout: Duration::from_millis(2_500),
            me_boot: Duration::from_secs(12),
            me_sleep_after: Some(Duration::from_secs(180)),
            me_wake: Duration::from_secs(3),
        }
    }
}

impl Timings {
    /// For tests: everything within a fraction of a second, in the same order, and the engine never sleeps.
    pub fn quick() -> Timings {
        let ms = Duration::from_millis;
        Timings {
            reaction: ms(40),
            cycle: ms(80),
            post: ms(60),
            os_boot: ms(60),
            graceful: ms(150),
            blackout: ms(60),
            me_boot: ms(120),
            me_sleep_after: None,
            me_wake: ms(200),
        }
    }
}

/// How a machine may differ from the plain case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachineQuirks {
    /// Says `Connection: close` and closes after every answer.
    pub close_after_answer: bool,
    /// Uses namespace prefixes that other firmware does not, and a default namespace for the class.
    pub other_prefixes: bool,
    /// The most items in one Pull. Without it, a few classes come in two parts, as captures show.
    pub page_size: Option<usize>,
    /// Values as records of real machines have them: nil, left out, twice, empty, words where a number belongs.
    pub odd_values: bool,
    /// `EndOfSequence` comes in a Pull of its own, with empty Items.
    pub empty_last_items: bool,
    /// Says 0 to every power request and does nothing.
    pub ignores_power: bool,
    /// Refuses the audit log with AccessDenied.
    pub no_audit_log: bool,
    /// Refuses connections in a blackout, instead of taking them and saying nothing.
    pub blackout_refuses: bool,
    /// Does not mind an `nc` that was used before.
    pub any_nc: bool,
    /// Takes a Put of AMT_BootSettingData with its read-only elements.
    pub takes_read_only: bool,
    /// Whether Identify needs credentials.
    pub identify_needs_login: bool,
    /// Speaks no TLS that is still taken: every handshake ends in an alert.
    pub old_tls: bool,
    /// Says `stale="true"` when only the nonce is old. Real firmware says `"false"` with every 401.
    pub says_stale: bool,
    /// How many requests a nonce is good for. With 1, every request but the first meets a stale nonce.
    pub nonce_uses_max: Option<u32>,
}

/// One simulated AMT machine.
#[derive(Clone)]
pub struct MachineConfig {
    /// Its name in the rack and in the control API; unique.
    pub name: String,
    /// Its hardware.
    pub profile: Profile,
    /// `16.1.25.1424`; what the firmware can do follows from it.
    pub version: String,
    /// Where it listens; `None` takes a loopback address that is free.
    pub address: Option<Ipv4Addr>,
    /// TCP port; 0 takes a free one.
    pub port: u16,
    /// Whether it speaks TLS, with a certificate that it made itself.
    pub tls: bool,
    /// The account of the engine.
    pub username: String,
    /// The password of the account.
    pub password: SecretString,
    /// The hexadecimal part of the realm; made from seed and name when `None`.
    pub realm: Option<String>,
    /// The UUID as people write it, big end first; made from seed and name when `None`.
    pub uuid: Option<[u8; 16]>,
    /// The MAC address; made from seed and name when `None`.
    pub mac: Option<[u8; 6]>,
    /// Whether the machine is on at the start, with its operating system up.
    pub starts_on: bool,
    /// Whether the operating system has the AMT service (LMS), without which nothing graceful is offered.
    pub lms: bool,
    /// The control mode.
    pub mode: ControlMode,
    /// What needs consent in admin control.
    pub consent: Consent,
    /// What the machine does when mains come back.
    pub power_loss: PowerLoss,
    /// How long every request takes at least.
    pub latency: Duration,
    /// How long other things take.
    pub timings: Timings,
    /// How long a nonce is good for.
    pub nonce_life: Duration,
    /// How many wrong logins in a row lock the account; `None`: none do.
    pub lock_after: Option<u32>,
    /// How long a lock lasts.
    pub lock_time: Duration,
    /// Deviations from the usual behaviour.
    pub quirks: MachineQuirks,
}

impl MachineConfig {
    /// The password of a machine that was given no other.
    pub const PASSWORD: &'static str = "Plugfish-Demo1";

    /// A machine of this name: on, in admin control, on a free loopback address and port, with believable times.
    pub fn new(name: &str, profile: Profile) -> MachineConfig {
        MachineConfig {
            name: name.to_owned(),
            profile,
            version: profile.version().to_owned(),
            address: None,
            port: 0,
            tls: false,
            username: "admin".to_owned(),
            password: SecretString::from(MachineConfig::PASSWORD),
            realm: None,
            uuid: None,
            mac: None,
            starts_on: true,
            lms: true,
            mode: ControlMode::Admin,
            consent: Consent::None,
            power_loss: PowerLoss::LastState,
            latency: Duration::ZERO,
            timings: Timings::default(),
            nonce_life: Duration::from_secs(300),
            lock_after: None,
            lock_time: Duration::from_secs(120),
            quirks: MachineQuirks::default(),
        }
    }

    /// The same with the times of tests.
    pub fn quick(mut self) -> MachineConfig {
        self.timings = Timings::quick();
        self
    }

    pub(super) fn password(&self) -> &str {
        self.password.expose_secret()
    }

    /// The first number of the version.
    pub(super) fn major(&self) -> u32 {
        self.version.split('.').next().and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

impl fmt::Debug for MachineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MachineConfig({}, {:?}, AMT {}, tls {})", self.name, self.profile, self.version, self.tls)
    }
}
