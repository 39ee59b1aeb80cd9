//! The driver of simulated devices: [`PowerDevice`] over [`Hardware`](super::hardware::Hardware), each request through
//! the real gate. Every request and every operation is checked by the laws.

use std::sync::Arc;
use std::time::Duration;

use plugfish::testing::clock::Clock;
use plugfish::testing::node::device::{
    Capabilities, DeviceError, DeviceFuture, FailureClass, Observation, PowerDevice, ScanResult,
};
use plugfish::testing::node::fsm::Op;
use plugfish::testing::node::rate_limit::RequestGate;
use plugfish::testing::node::{BootOverride, BootTarget, PowerAction};

use super::hardware::{Make, Wire};
use super::world::World;

/// What a driver that falls over says; the panic hook keeps quiet about it.
pub const FALL: &str = "a simulated fault in a driver";

/// A connection to one device, for one node.
pub struct SimDevice {
    /// Everything.
    pub world: Arc<World>,
    /// The node.
    pub node: usize,
    /// Its device.
    pub device: usize,
    /// How often the node was added: what an ended actor still does is not the node's.
    pub epoch: u32,
    /// How often it was given another device.
    pub wiring: u64,
    /// The gate of this device in this process.
    pub gate: Arc<RequestGate>,
    /// The clock of this process.
    pub clock: Clock,
    /// It has a session, as far as it knows.
    pub session: bool,
}

/// A request under way: ends for the laws, however it ends.
struct OnTheWire<'a>(&'a World, usize);

impl Drop for OnTheWire<'_> {
    fn drop(&mut self) {
        self.0.lock().request_ends(self.1);
    }
}

/// An operation under way.
struct Underway {
    world: Arc<World>,
    node: usize,
    epoch: u32,
    op: Op,
    result: Result<(), FailureClass>,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.world.lock().operation_ends(self.node, self.epoch, &self.op, self.result);
    }
}

impl SimDevice {
    /// One request on the wire. False when the device does not know the session any more.
    async fn request(&self, wire: Wire) -> Result<bool, DeviceError> {
        let turn = self.gate.pass().await;
        let fate = self.world.lock().request_begins(self.node, self.device, &wire);
        let ends = OnTheWire(&self.world, self.device);
        self.clock.sleep(fate.after).await;
        drop(ends);
        drop(turn);
        let mut state = self.world.lock();
        let now = state.now();
        let hardware = &mut state.devices[self.device];
        hardware.advance(now);
        if std::mem::take(&mut hardware.panics) {
            let known = &mut state.nodes[self.node];
            if known.epoch == self.epoch {
                (known.fell, known.disturbed) = (Some(now), now);
            }
            drop(state);
            panic!("{FALL}");
        }
        let error = match (fate.error, &wire) {
            (None, Wire::Login) => None,
            (None, _) if !hardware.session => return Ok(false),
            (None, Wire::PowerAction(..)) => hardware.answer.err(),
            (error, _) => error,
        };
        match error {
            Some(class) => Err(DeviceError::new(class, format!("it is {class}"))),
            None => Ok(true),
        }
    }

    /// A request within a session; a lost one is reopened, once.
    async fn ask(&mut self, wire: Wire) -> Result<(), DeviceError> {
        for _ in 0..2 {
            if !self.session {
                let login = self.request(Wire::Login).await;
                if let Err(error) = &login
                    && matches!(error.class, FailureClass::Auth | FailureClass::Locked)
                {
                    self.world.lock().login_refused(self.node);
                }
                self.session = login?;
            }
            match self.request(wire.clone()).await {
                Ok(true) => return Ok(()),
                Ok(false) => self.session = false,
                Err(error) => {
                    self.session &= error.class == FailureClass::NotReady;
                    return Err(error);
                }
            }
        }
        Err(DeviceError::new(FailureClass::Protocol, "it forgets its sessions"))
    }

    async fn run<T>(
        &mut self,
        op: Op,
        wire: Wire,
        times: usize,
        end: impl FnOnce(&mut SimDevice, Duration) -> T + Send,
    ) -> Result<T, DeviceError> {
        let started = self.world.lock().operation_begins(self.node, self.device, (self.epoch, self.wiring), &op);
        let (world, node, epoch) = (self.world.clone(), self.node, self.epoch);
        let mut underway = Underway { world, node, epoch, op, result: Err(FailureClass::Timeout) };
        for _ in 0..times {
            let asked = self.ask(wire.clone()).await;
            underway.result = asked.as_ref().copied().map_err(|error| error.class);
            asked?;
        }
        let result = end(self, started);
        drop(underway);
        Ok(result)
    }
}

impl PowerDevice for SimDevice {
    fn read(&mut self) -> DeviceFuture<'_, Observation> {
        Box::pin(self.run(Op::Read, Wire::Read, 1, |device, started| {
            let mut state = device.world.lock();
            let now = state.now();
            let hardware = &mut state.devices[device.device];
            let power = hardware.says(now);
            let boot_targets = vec![BootTarget::None, BootTarget::Pxe, BootTarget::Hdd];
            let capabilities = || Arc::new(Capabilities { orders: hardware.orders(now), boot_targets });
            let seen = Observation {
                power,
                milliwatts: Some(12_000),
                capabilities: (hardware.make == Make::Engine).then(capabilities),
                scan_due: hardware.corners > 0,
                ..Observation::default()
            };
            state.delivered(device.node, (device.epoch, device.wiring), started, power);
            seen
        }))
    }

    fn order(&mut self, order: PowerAction, boot: BootOverride) -> DeviceFuture<'_, ()> {
        let writes = self.world.lock().boot_writes(self.node);
        Box::pin(self.run(Op::PowerAction(order, boot.clone()), Wire::PowerAction(order, boot, writes), 1, |_, _| ()))
    }

    fn scan(&mut self) -> DeviceFuture<'_, ScanResult> {
        Box::pin(self.run(Op::Scan, Wire::Scan, 2, |device, _| {
            let hardware = &mut device.world.lock().devices[device.device];
            hardware.corners = hardware.corners.saturating_sub(1);
            ScanResult { more: hardware.corners > 0, ..ScanResult::default() }
        }))
    }

    fn forget_session(&mut self) {
        self.session = false;
        let known = &mut self.world.lock().nodes[self.node];
        if known.epoch == self.epoch {
            known.renewed.0 = None;
        }
    }
}
