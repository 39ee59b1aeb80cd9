//! The output of a failing run: the law, the last steps of the node, and the command that repeats it.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use plugfish::testing::node::device::FailureClass;
use plugfish::testing::node::event::EventKind;
use plugfish::testing::node::{Power, ResetType};

use super::hardware::{Fault, Wire};
use super::world::State;

/// Steps of a node that are remembered.
const STEPS: usize = 60;

/// One step in the life of a node.
#[derive(Clone, Debug)]
pub enum What {
    /// A process starts.
    Start,
    /// It ends.
    End(&'static str),
    /// A client asks for power.
    Asks(ResetType, String),
    /// What it was answered.
    Answer(String),
    /// A client changes the boot override.
    Patches(String),
    /// A request on the wire and its fate.
    Request(Wire, Option<FailureClass>),
    /// A reading reached the actor.
    Read(Option<Power>),
    /// The actor told the world.
    Tells(EventKind),
    /// The device fails from now on.
    Fails(Fault, Duration),
    /// Someone outside did something.
    Outside(&'static str, Power),
    /// The story, in words.
    Note(&'static str),
}

impl What {
    /// A number for it.
    pub fn code(&self) -> u64 {
        match self {
            What::Start => 1,
            What::End(_) => 2,
            What::Asks(reset, _) => 10 + *reset as u64,
            What::Answer(text) => 1_000 + text.len() as u64,
            What::Patches(text) => 2_000 + text.len() as u64,
            What::Request(wire, error) => match wire {
                Wire::Login => 30 + u64::from(error.is_some()),
                Wire::Read => 32 + u64::from(error.is_some()),
                Wire::Scan => 34 + u64::from(error.is_some()),
                Wire::PowerAction(order, ..) => 40 + *order as u64 * 2 + u64::from(error.is_some()),
            },
            What::Read(power) => 60 + power.map_or(9, |power| power as u64),
            What::Tells(_) => 80,
            What::Fails(fault, _) => 100 + *fault as u64,
            What::Outside(..) => 120,
            What::Note(text) => 130 + text.len() as u64,
        }
    }

    /// Under which name it is counted.
    pub fn kind(&self) -> &'static str {
        match self {
            What::Start => "starts",
            What::End(_) => "ends",
            What::Asks(..) => "commands asked for",
            What::Answer(_) => "answers",
            What::Patches(_) => "boot overrides",
            What::Request(..) => "requests",
            What::Read(_) => "readings",
            What::Tells(EventKind::CommandDone { .. }) => "commands done",
            What::Tells(EventKind::CommandFailed { .. }) => "commands failed",
            What::Tells(EventKind::CommandAccepted { .. }) => "commands accepted",
            What::Tells(EventKind::Revived) => "actors revived",
            What::Tells(EventKind::BootConsumed) => "overrides used up",
            What::Tells(_) => "other events",
            What::Fails(..) => "faults",
            What::Outside(..) => "presses",
            What::Note(_) => "other disturbances",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Start => f.write_str("a process starts"),
            What::End(how) => write!(f, "the process ends: {how}"),
            What::Asks(reset, by) => write!(f, "{by} asks for {reset}"),
            What::Answer(text) | What::Patches(text) => f.write_str(text),
            What::Request(wire, None) => write!(f, "  -> {wire:?}"),
            What::Request(wire, Some(error)) => write!(f, "  -> {wire:?}: {error}"),
            What::Read(power) => write!(f, "  <- {power:?}"),
            What::Tells(what) => write!(f, "told: {what:?}"),
            What::Fails(fault, long) => write!(f, "the device fails: {fault:?} for {long:?}"),
            What::Outside(who, power) => write!(f, "outside: {who}, the power is {power}"),
            What::Note(text) => f.write_str(text),
        }
    }
}

/// The last steps of one node.
#[derive(Default)]
pub struct Trace(VecDeque<(Duration, u32, What)>);

impl Trace {
    /// One more step.
    pub fn add(&mut self, at: Duration, life: u32, what: What) {
        if self.0.len() == STEPS {
            self.0.pop_front();
        }
        self.0.push_back((at, life, what));
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, life, what) in &self.0 {
            writeln!(f, "{:>12.3} s  process {life:<3} {what}", at.as_secs_f64())?;
        }
        Ok(())
    }
}

/// The words about a broken law.
pub fn failure(state: &State, node: usize, law: &str, words: &str) -> String {
    let known = &state.nodes[node];
    let hardware = &state.devices[known.device];
    let view = state.view(node);
    let shown = view.map(|view| {
        format!(
            "power {:?}, command {:?}, {:?}, boot {:?} {}",
            view.power, view.command, view.connectivity, view.boot, view.writes
        )
    });
    format!(
        "LAW BROKEN: {law}\n  {words}\n  node {} at {:.3} s, process {}; {:?}: {} since {:?}, expected {:?}\n  shown: {}\n\
         last steps:\n{}\nrepeat with:\n  {}",
        known.id,
        state.now().as_secs_f64(),
        state.life,
        hardware.make,
        hardware.power,
        hardware.turned,
        known.expect,
        shown.unwrap_or_default(),
        known.trace,
        replay(state.seed, state.shape.test),
    )
}

/// The command that runs this seed again.
pub fn replay(seed: u64, test: &str) -> String {
    format!("PLUGFISH_SIM_SEED={seed} cargo test --test sim -- --nocapture {test}")
}
