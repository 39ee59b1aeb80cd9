//! One simulated plug: its state behind one lock, and the control surface for tests and the control API.
//!
//! Outlets are counted from 1, as on the housing; a plug has only outlet 1. It knows no sockets: `serve` calls it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, watch};

use super::RackError;
use super::board::{Board, Cause, Load, PowerLoss, RelayChange};
use super::computer::{ComputerAct, ComputerChange, ComputerState, OnShutdown};
use super::config::{Account, Model, PlugConfig, Variant, dice, dice_named};
use super::fault::{Choke, Fault, Faults};
use super::link::{Link, Reach};
use super::place::{Sockets, bind};
use super::request_log::Counters;
use super::state::State;
use super::tapo::Door;
use super::tapo::facts::Facts;
use crate::clock::{Clock, Now};

/// A simulated plug. The rack runs it; all others look at it and change it through this.
pub struct Plug {
    name: String,
    clock: Clock,
    state: Mutex<State>,
    /// Told whenever the sockets should ask again what to do.
    pokes: watch::Sender<u64>,
    /// Sockets on another address, for the task that serves this plug.
    moves: mpsc::Sender<Sockets>,
}

/// What is known of a plug from outside.
#[derive(Clone, Debug, Serialize)]
pub struct PlugDescription {
    /// Its name in the rack.
    pub name: String,
    /// The model.
    pub model: Model,
    /// The variant that it speaks now.
    pub variant: Variant,
    /// Where it takes TCP connections.
    pub address: SocketAddr,
    /// Where it answers discovery; `None` when it does not.
    pub discovery: Option<SocketAddr>,
    /// `AA-BB-CC-DD-EE-FF`.
    pub mac: String,
    /// `fw_ver`.
    pub firmware: String,
    /// Why it is not where it was to be, or has no discovery, in words.
    pub note: Option<String>,
    /// The outlets, in the order of their positions.
    pub outlets: Vec<OutletDescription>,
}

/// What is known of an outlet.
#[derive(Clone, Debug, Serialize)]
pub struct OutletDescription {
    /// Its position, counted from 1.
    pub position: usize,
    /// The `device_id` by which clients call it on a strip.
    pub child_id: Option<String>,
    /// Whether the relay is closed.
    pub on: bool,
    /// For how long it has been on, in milliseconds.
    pub on_for_ms: u64,
    /// The state of the computer.
    pub computer: ComputerState,
    /// What the computer draws, in milliwatts.
    pub draw_mw: u64,
    /// Energy today.
    pub today_wh: u64,
    /// Energy this month.
    pub month_wh: u64,
    /// How often the relay was switched on since the start.
    pub power_ons: u64,
}

impl Plug {
    pub(super) fn new(
        config: PlugConfig,
        seed: u64,
        clock: Clock,
        sockets: &Sockets,
        moves: mpsc::Sender<Sockets>,
    ) -> Plug {
        let now = clock.now();
        let own_seed = dice_named(seed, &config.name);
        let boards = (0..config.model.outlets() as u64)
            .map(|index| {
                let seed = dice(own_seed, 10 + index);
                Board::new(seed, config.starts_on, config.power_loss, config.computer.clone(), now)
            })
            .collect();
        let facts = Facts::new(&config, seed, sockets.ip());
        let name = config.name.clone();
        let state = State {
            variant: config.variant,
            facts,
            boards,
            door: Door::default(),
            book: Counters::default(),
            faults: Faults::new(dice(own_seed, 2)),
            link: Link::default(),
            choke: None,
            recent: Default::default(),
            tcp: sockets.tcp_address,
            udp: sockets.udp.clone(),
            note: sockets.note.clone(),
            config,
        };
        Plug { name, clock, state: Mutex::new(state), pokes: watch::Sender::new(0), moves }
    }

    /// Does something with the state as it is now: all that was due has happened. The sockets are told when there is
    /// something for them to do.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State, Now) -> T) -> T {
        let (result, moved) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.now();
            let before = state.link.reach(now.mono);
            state.settle(now);
            let result = act(&mut state, now);
            (result, state.link.reach(now.mono) != before)
        };
        if moved {
            self.pokes.send_modify(|count| *count += 1);
        }
        result
    }

    pub(super) fn pokes(&self) -> watch::Receiver<u64> {
        self.pokes.subscribe()
    }

    pub(super) fn reach(&self) -> Reach {
        self.with(|state, now| state.link.reach(now.mono))
    }

    /// Answers a discovery datagram, from the plug's own port.
    pub(super) async fn answer_probe(&self, datagram: &[u8], from: SocketAddr) {
        let answer = self.with(|state, now| Some((state.probed(datagram, now)?, state.udp.clone()?)));
        if let Some((answer, udp)) = answer {
            let _ = udp.send_to(&answer, from).await;
        }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Its name in the rack.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it takes TCP connections.
    pub fn address(&self) -> SocketAddr {
        self.with(|state, _| state.tcp)
    }

    /// Where it answers discovery; `None` when it does not.
    pub fn discovery_address(&self) -> Option<SocketAddr> {
        self.with(|state, _| state.udp_address())
    }

    /// The MAC address.
    pub fn mac(&self) -> [u8; 6] {
        self.with(|state, _| state.facts.mac)
    }

    /// `get_device_info.device_id`, and the start of its children's.
    pub fn device_id(&self) -> String {
        self.with(|state, _| state.facts.device_id.clone())
    }

    /// The `device_id` of an outlet of a strip.
    pub fn child_id(&self, outlet: usize) -> Option<String> {
        self.describe().outlets.into_iter().find(|entry| entry.position == outlet)?.child_id
    }

    /// The variant that it speaks now.
    pub fn variant(&self) -> Variant {
        self.with(|state, _| state.variant)
    }

    /// All that is known of it from outside.
    pub fn describe(&self) -> PlugDescription {
        self.with(|state, now| state.describe(&self.name, now))
    }

    /// The state of a relay; `None` when there is no such outlet.
    pub fn relay(&self, outlet: usize) -> Option<bool> {
        self.board(outlet, |board, _| board.relay())
    }

    /// All changes of a relay, oldest first, the first being the state at the start. Empty when there is no such outlet.
    pub fn history(&self, outlet: usize) -> Vec<RelayChange> {
        self.board(outlet, |board, _| board.history().to_vec()).unwrap_or_default()
    }

    /// What the computer on an outlet really draws.
    pub fn draw_mw(&self, outlet: usize) -> Option<u64> {
        self.board(outlet, |board, now| board.draw_mw(now.mono))
    }

    /// What the computer on an outlet does.
    pub fn computer(&self, outlet: usize) -> Option<ComputerState> {
        self.board(outlet, |board, _| board.computer().state())
    }

    /// Whether the operating system of the computer on an outlet runs, and would answer a ping.
    pub fn os_runs(&self, outlet: usize) -> bool {
        self.board(outlet, |board, now| board.computer().os_runs(now.mono)).unwrap_or(false)
    }

    /// All that the computer on an outlet did, oldest first. Empty when there is no such outlet.
    pub fn computer_history(&self, outlet: usize) -> Vec<ComputerChange> {
        self.board(outlet, |board, _| board.computer().history().to_vec()).unwrap_or_default()
    }

    /// Something happens to the computer on an outlet: its system shuts it down, a magic packet wakes it. What does not fit its
    /// state is passed over. `false` when there is no such outlet.
    pub fn act(&self, outlet: usize, act: ComputerAct) -> bool {
        self.board(outlet, |board, now| board.act(act, now)).is_some()
    }

    /// Sets what the computer on an outlet makes of being told to shut down. `false` when there is no such outlet.
    pub fn set_on_shutdown(&self, outlet: usize, to: OnShutdown) -> bool {
        self.board(outlet, |board, _| board.set_on_shutdown(to)).is_some()
    }

    /// How often a relay was switched on since the start.
    pub fn power_ons(&self, outlet: usize) -> Option<u64> {
        self.board(outlet, |board, _| board.power_ons())
    }

    /// What clients did to it so far.
    pub fn counters(&self) -> Counters {
        self.with(|state, _| state.book.clone())
    }

    /// Resets the counters of requests.
    pub fn reset_counters(&self) {
        self.with(|state, _| state.book.reset());
    }

    /// Whether a client is logged in.
    pub fn is_logged_in(&self) -> bool {
        self.with(|state, now| state.door.is_logged_in(now.mono))
    }

    /// Presses the button: the relay moves to the other side. `false` when there is no such outlet.
    pub fn press_button(&self, outlet: usize) -> bool {
        self.board(outlet, |board, now| board.switch(!board.relay(), Cause::Button, now)).is_some()
    }

    /// Moves a relay as an app or a schedule would. `false` when there is no such outlet.
    pub fn switch(&self, outlet: usize, on: bool) -> bool {
        self.board(outlet, |board, now| board.switch(on, Cause::Test, now)).is_some()
    }

    /// Sets what an outlet does when power comes back, as an app would. `false` when there is no such outlet.
    pub fn set_power_loss(&self, outlet: usize, to: PowerLoss) -> bool {
        self.board(outlet, |board, _| board.set_power_loss(to)).is_some()
    }

    /// Hangs something else on an outlet. `false` when there is no such outlet.
    pub fn set_load(&self, outlet: usize, load: Load) -> bool {
        self.board(outlet, |board, now| board.set_load(load, now)).is_some()
    }

    /// Adds to the energy counters of an outlet, as if time had passed. `false` when there is no such outlet.
    pub fn add_energy_wh(&self, outlet: usize, wh: u64) -> bool {
        self.board(outlet, |board, _| board.add_energy_wh(wh)).is_some()
    }

    fn board<T>(&self, outlet: usize, act: impl FnOnce(&mut Board, Now) -> T) -> Option<T> {
        self.with(|state, now| state.boards.get_mut(outlet.checked_sub(1)?).map(|board| act(board, now)))
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

    /// Sets how much it takes before it gives up for a while; `None`: anything.
    pub fn set_choke(&self, choke: Option<Choke>) {
        self.with(|state, _| state.choke = choke);
    }

    /// Sets how long every request takes at least.
    pub fn set_latency(&self, latency: Duration) {
        self.with(|state, _| state.config.latency = latency);
    }

    /// Changes other settings while it runs. Name, address, ports and model are looked at only at the start.
    pub fn reconfigure(&self, change: impl FnOnce(&mut PlugConfig)) {
        self.with(|state, _| change(&mut state.config));
    }

    /// Binds it to another account. Sessions live on.
    pub fn set_account(&self, account: Account) {
        self.reconfigure(|config| config.account = account);
    }

    /// Ends the session.
    pub fn forget_session(&self) {
        self.with(|state, _| state.door.forget_session());
    }

    /// Lifts the lock that wrong passwords brought (TPAP).
    pub fn unlock(&self) {
        self.with(|state, _| state.door.unlock());
    }

    /// Changes the variant, as a firmware update or the switch in the app does, and the firmware version with it. The
    /// session ends.
    pub fn set_variant(&self, variant: Variant) {
        self.with(|state, _| {
            state.variant = variant;
            state.door = Door::default();
            state.facts.firmware = state.facts.model.firmware(variant).to_owned();
        });
    }

    /// Sets `fw_ver`.
    pub fn set_firmware(&self, firmware: &str) {
        self.with(|state, _| state.facts.firmware = firmware.to_owned());
    }

    /// Restarts now: away for this long, session lost, the relay held or let go.
    pub fn reboot(&self, offline: Duration, keeps_relay: bool) {
        self.with(|state, now| state.restart(offline, keeps_relay, false, now));
    }

    /// Takes its power for this long: the relay falls, and `default_states` says what comes back.
    pub fn cut_power(&self, outage: Duration) {
        self.reboot(outage, false);
    }

    /// Takes it off the network, or puts it back. Relay and session stay.
    pub fn set_offline(&self, offline: bool) {
        self.with(|state, _| state.link.set_offline(offline));
    }

    /// Refuses TCP connections, or takes them again; discovery goes on.
    pub fn set_refusing(&self, refusing: bool) {
        self.with(|state, _| state.link.set_refusing(refusing));
    }

    /// Refuses TCP connections until a discovery probe has come and this long has passed since.
    pub fn fall_asleep(&self, wake_delay: Duration) {
        self.with(|state, _| state.link.sleep(wake_delay));
    }

    /// Closes all connections.
    pub fn cut_connections(&self) {
        self.with(|state, _| state.link.cut());
    }

    /// Gives it another address, as a DHCP server might: connections are cut, the session lives on. Port 0 takes a
    /// free one.
    pub async fn move_to(&self, address: Ipv4Addr, port: u16) -> Result<SocketAddr, RackError> {
        let discovery = self.with(|state, _| state.config.discovery_port);
        let sockets = bind(address, port, discovery).await.map_err(|source| RackError::Bind {
            device: self.name.clone(),
            address: SocketAddr::from((address, port)),
            source,
        })?;
        let (tcp, udp, note) = (sockets.tcp_address, sockets.udp.clone(), sockets.note.clone());
        self.moves.send(sockets).await.map_err(|_| RackError::Stopped)?;
        self.with(|state, _| {
            (state.tcp, state.udp, state.note) = (tcp, udp, note);
            state.facts.ip = address;
            state.link.cut();
        });
        Ok(tcp)
    }
}
