//! One simulated machine: its state behind one lock, and the control surface for tests and the control API.
//!
//! It knows no sockets: `serve` calls it.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use serde::Serialize;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::super::config::{dice, dice_named};
use super::super::fault::{Fault, Faults};
use super::super::request_log::Counters;
use super::boot::BootSource;
use super::config::{MachineConfig, Profile};
use super::power::{BootCause, Power};
use super::state::State;
use super::tls::Certificate;
use crate::clock::{Clock, Mono, Now, Wall};

/// A boot that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Boot {
    /// When, since the rack's clock was made.
    #[serde(rename = "at_ms", serialize_with = "super::super::board::as_ms")]
    pub at: Mono,
    /// When, by the wall clock.
    #[serde(rename = "wall_ms")]
    pub wall: Wall,
    /// From what.
    pub source: BootSource,
    /// The cause of the boot.
    pub cause: BootCause,
    /// `BootMediaIndex` of an override that was used.
    pub media_index: u16,
    /// The names of the settings of AMT_BootSettingData that were true.
    pub settings: Vec<&'static str>,
}

/// What is known of a machine from outside.
#[derive(Clone, Debug, Serialize)]
pub struct MachineDescription {
    /// Its name in the rack.
    pub name: String,
    /// Its hardware.
    pub profile: Profile,
    /// The firmware version.
    pub version: String,
    /// Where it takes TCP connections.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// SHA-256 of the certificate in small hexadecimal letters.
    pub fingerprint: Option<String>,
    /// The account of the engine.
    pub username: String,
    /// The realm, with `Digest:`.
    pub realm: String,
    /// The UUID as people write it.
    pub uuid: String,
    /// `aa-bb-cc-dd-ee-ff`.
    pub mac: String,
    /// The maker of the computer.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Its serial number.
    pub serial: String,
    /// The state of the computer.
    pub power: Power,
    /// Its number on the wire.
    pub power_state: u16,
    /// Whether the operating system runs.
    pub os: bool,
    /// Whether a power request or POST is under way.
    pub busy: bool,
    /// Whether it has mains power.
    pub mains: bool,
    /// The boot source that is ordered, by its short name, whether or not the next boot takes it.
    pub order: Option<String>,
    /// Whether the next boot takes the override.
    pub next: bool,
    /// The consent code on the screen.
    pub consent_code: Option<u32>,
    /// Enumerations that were begun and neither read to their end nor released.
    pub contexts_open: usize,
    /// Number of boots.
    pub boots: usize,
    /// Why it is not where it was to be, in words.
    pub note: Option<String>,
}

/// A simulated machine. The rack runs it; all others look at it and change it through this.
pub struct Machine {
    name: String,
    clock: Clock,
    state: Mutex<State>,
    certificate: Option<Certificate>,
    /// Told whenever the sockets should ask again what to do.
    pokes: watch::Sender<u64>,
}

impl Machine {
    pub(in crate::sim) fn new(
        config: MachineConfig,
        seed: u64,
        clock: Clock,
        tcp: SocketAddr,
        note: Option<String>,
        certificate: Option<Certificate>,
    ) -> Machine {
        let faults = Faults::new(dice(dice_named(seed, &config.name), 2));
        let name = config.name.clone();
        let state = State::new(config, seed, tcp, note, faults, clock.now());
        Machine { name, clock, state: Mutex::new(state), certificate, pokes: watch::Sender::new(0) }
    }

    /// Does something with the state as it is now: all that was due has happened. The sockets are told when there is
    /// something for them to do.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State, Now) -> T) -> T {
        let (result, moved) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.now();
            let before = state.reach(now.mono);
            state.settle(now);
            let result = act(&mut state, now);
            state.settle(now);
            (result, state.reach(now.mono) != before)
        };
        if moved {
            self.pokes.send_modify(|count| *count += 1);
        }
        result
    }

    pub(super) fn poked(&self) -> watch::Receiver<u64> {
        self.pokes.subscribe()
    }

    pub(super) fn ticks(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.certificate.as_ref().map(|certificate| certificate.acceptor.clone())
    }

    /// Its name in the rack.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it takes TCP connections.
    pub fn address(&self) -> SocketAddr {
        self.with(|state, _| state.tcp)
    }

    /// SHA-256 of its certificate in small hexadecimal letters; `None` without TLS.
    pub fn fingerprint(&self) -> Option<String> {
        self.certificate.as_ref().map(|certificate| certificate.fingerprint.clone())
    }

    /// Its certificate; `None` without TLS.
    pub fn certificate_pem(&self) -> Option<String> {
        self.certificate.as_ref().map(|certificate| certificate.pem.clone())
    }

    /// All that is known of it from outside.
    pub fn describe(&self) -> MachineDescription {
        self.with(|state, _| {
            let (manufacturer, model, serial) = state.hardware.names();
            MachineDescription {
                name: self.name.clone(),
                profile: state.config.profile,
                version: state.config.version.clone(),
                address: state.tcp,
                tls: self.certificate.is_some(),
                fingerprint: self.fingerprint(),
                username: state.config.username.clone(),
                realm: state.realm(),
                uuid: uuid::Uuid::from_bytes(state.hardware.uuid).to_string(),
                mac: state.hardware.mac_dashed(),
                manufacturer: manufacturer.to_owned(),
                model: model.to_owned(),
                serial: serial.to_owned(),
                power: state.computer.power(),
                power_state: state.computer.power().number(),
                os: state.computer.os(),
                busy: state.computer.is_busy(),
                mains: state.has_mains(),
                order: state.boot.order().map(str::to_owned),
                next: state.boot.is_next(),
                consent_code: state.consent.code(),
                contexts_open: state.contexts.len(),
                boots: state.boots.len(),
                note: state.note.clone(),
            }
        })
    }

    /// The state of the computer.
    pub fn power(&self) -> Power {
        self.with(|state, _| state.computer.power())
    }

    /// Whether its operating system runs.
    pub fn os_running(&self) -> bool {
        self.with(|state, _| state.computer.os())
    }

    /// All boots since the start, oldest first.
    pub fn boots(&self) -> Vec<Boot> {
        self.with(|state, _| state.boots.clone())
    }

    /// Presses the power button shortly: starts or wakes the computer, or tells its system to shut down.
    pub fn press_button(&self) {
        self.with(|state, now| state.computer.press(now.mono));
    }

    /// Puts the computer into a state at once. On means a boot, unless it is on already.
    pub fn set_power(&self, power: Power) {
        self.with(|state, now| state.computer.set(power, BootCause::Test, now.mono));
    }

    /// The operating system restarts the computer, if it runs.
    pub fn reboot_os(&self) {
        self.with(|state, now| state.computer.reboot_os(now.mono));
    }

    /// Lets the operating system crash, or run.
    pub fn set_os(&self, running: bool) {
        self.with(|state, _| state.computer.set_os(running));
    }

    /// Cuts the mains: nothing is reached, and the computer is off.
    pub fn cut_mains(&self) {
        self.with(State::cut_mains);
    }

    /// Gives it mains again: the engine starts, and the computer if its settings say so.
    pub fn return_mains(&self) {
        self.with(State::return_mains);
    }

    /// The consent code on the screen.
    pub fn consent_code(&self) -> Option<u32> {
        self.with(|state, _| state.consent.code())
    }

    /// Enumerations that were begun and neither read to their end nor released.
    pub fn contexts_open(&self) -> usize {
        self.with(|state, _| state.contexts.len())
    }

    /// What clients did to it so far.
    pub fn counters(&self) -> Counters {
        self.with(|state, _| state.book.clone())
    }

    /// Resets the counters of requests.
    pub fn reset_counters(&self) {
        self.with(|state, _| state.book.reset());
    }

    /// Adds a rule of misbehaviour behind those that there are. `false` when there are too many.
    pub fn add_fault(&self, fault: Fault) -> bool {
        self.with(|state, _| state.faults.add(fault))
    }

    /// Removes all fault rules.
    pub fn clear_faults(&self) {
        self.with(|state, _| state.faults.clear());
    }

    /// The rules that are left, with what is left of their counts.
    pub fn faults(&self) -> Vec<Fault> {
        self.with(|state, _| state.faults.rules().to_vec())
    }

    /// Changes settings while it runs. Name, address, port, TLS, profile, UUID and MAC address are looked at only at the
    /// start.
    pub fn reconfigure(&self, change: impl FnOnce(&mut MachineConfig)) {
        self.with(|state, _| {
            change(&mut state.config);
            state.computer.set_lms(state.config.lms);
            state.computer.set_timings(state.config.timings);
        });
    }

    /// Sets how long every request takes at least.
    pub fn set_latency(&self, latency: Duration) {
        self.reconfigure(|config| config.latency = latency);
    }

    /// Gives the account another password. Nonces that were handed out stay good for a client that knows it.
    pub fn set_password(&self, password: &str) {
        self.reconfigure(|config| config.password = SecretString::from(password));
    }

    /// Makes another machine answer here: another UUID, big end first.
    pub fn set_uuid(&self, uuid: [u8; 16]) {
        self.with(|state, _| state.hardware.uuid = uuid);
    }

    /// Forgets all nonces, as the engine does now and then.
    pub fn forget_nonces(&self) {
        self.with(|state, _| state.digest_auth.forget_nonces());
    }

    /// Lifts the lock that wrong passwords brought.
    pub fn unlock(&self) {
        self.with(|state, _| state.digest_auth.unlock());
    }

    /// Takes it off the network, or puts it back. The computer runs on.
    pub fn set_offline(&self, offline: bool) {
        self.with(|state, _| state.link.set_offline(offline));
    }

    /// Restarts the engine: away for this long. Without `keeps_power` the computer loses its power too.
    pub fn restart(&self, offline: Duration, keeps_power: bool) {
        self.with(|state, now| state.restart(offline, keeps_power, now));
    }
}
