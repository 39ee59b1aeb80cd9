//! What goes into the FSM and what comes out: inputs, effects, operations on the device.

use crate::clock::{Mono, Now};
use crate::durable::WriteError;
use crate::node::device::{DeviceError, Observation, PowerRestore, ScanResult};
use crate::node::event::EventKind;
use crate::node::journal::{BootRecord, Intent, SeenRecord};
use crate::node::{BootOverride, BootPatch, NodeSpec, PowerAction, Refusal, ResetType};

/// The moment of a step: the time, and one draw of chance for whatever the step spreads.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Both clocks.
    pub now: Now,
    /// From -1 to 1.
    pub unit_jitter: f64,
}

/// Names the one who waits for an answer.
pub(crate) type Ticket = u64;

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time passed. Harmless at any time.
    Tick,
    /// A client asks for power.
    Reset {
        /// Whom to answer.
        ticket: Ticket,
        /// What.
        reset: ResetType,
        /// The account's name.
        by: String,
    },
    /// A client changes the boot override.
    PatchBoot {
        /// Whom to answer.
        ticket: Ticket,
        /// What.
        patch: BootPatch,
        /// The account's name.
        by: String,
        /// The change numbers that the client accepts (`If-Match`); `None` when it does not care.
        if_match: Option<Vec<u64>>,
    },
    /// The oldest save ended.
    Saved(Result<(), WriteError>),
    /// The operation in flight ended.
    Done {
        /// When it was started.
        started: Mono,
        /// What came of it.
        result: Result<Outcome, DeviceError>,
    },
    /// The configuration changed. The device object may be a new one.
    Reconfigured {
        /// The new one.
        spec: NodeSpec,
        /// The connection is another one: forget its failures.
        rewired: bool,
    },
    /// A person wants what is on record of the device forgotten: it is another one.
    ResetTrust {
        /// The one who waits for an answer.
        ticket: Ticket,
        /// The account's name.
        by: String,
    },
    /// A client wants the device to do this when its power comes back.
    SetPowerRestore {
        /// Whom to answer.
        ticket: Ticket,
        /// What it is to do.
        policy: PowerRestore,
        /// The account's name.
        by: String,
        /// The change numbers that the client accepts (`If-Match`); `None` when it does not care.
        if_match: Option<Vec<u64>>,
    },
    /// A person wants the device to be tried now, with a new session.
    ResetSession,
    /// No new commands from here on.
    Stop,
}

/// What to do about it, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make this durable, then feed back `Saved`. Saves end in the order in which they were asked for.
    Save(Save),
    /// The command with this number is over.
    ClearIntent(u64),
    /// Remember what was seen.
    NoteSeen(SeenRecord),
    /// Ask the device, then feed back `Done`.
    Operate(Op),
    /// Drop the device's session.
    ForgetSession,
    /// Answer the one who waits.
    Answer(Ticket, Result<(), Refusal>),
    /// Tell the world.
    Emit(EventKind),
    /// Count the end of a command: kind and result.
    Count(ResetType, &'static str),
}

/// A durable write.
#[derive(Clone, Debug, PartialEq)]
pub enum Save {
    /// The intent of the node.
    Intent(Intent),
    /// Its boot override.
    Boot(BootRecord),
    /// That nothing is on record of its device.
    ForgetTrust,
}

/// An operation on the device.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Read the state.
    Read,
    /// Give an order, with the boot override for the boot that it causes.
    PowerAction(PowerAction, BootOverride),
    /// Set what the device does when its power comes back.
    SetPowerRestore(PowerRestore),
    /// Look into one more corner of the machine.
    Scan,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Of a reading.
    Seen(Observation),
    /// Of an order or of a setting: the device took it.
    Taken,
    /// Of a look into a corner.
    Scanned(ScanResult),
}
