//! Which corners of an AMT machine are still to be looked at, and looking at them one at a time.
//!
//! It knows classes and when their values grow old; what they mean is for `inventory` and `log`.

use super::connection::WsMan;
use super::fault::Fault;
use crate::clock::Mono;
use crate::node::device::Findings;

/// What is known of a machine's inside, and what is due.
pub struct Study {}

impl Study {
    /// Everything is still to be looked at.
    pub fn new() -> Study {
        Study {}
    }

    /// A new session, or firmware of another version: everything again, also what the machine did not have before.
    pub fn note_session(&mut self) {}

    /// The machine was off and is on now. What the BIOS tells the engine is fresh after a boot, so everything again
    /// once it has ended.
    pub fn note_power_on(&mut self, _now: Mono) {}

    /// Whether there is something to look at.
    pub fn due(&self, _now: Mono) -> bool {
        false
    }

    /// Looks into one corner: one to three requests.
    pub async fn step(&mut self, _wire: &mut WsMan) -> Result<Findings, Fault> {
        Ok(Findings::default())
    }
}

impl Default for Study {
    fn default() -> Study {
        Study::new()
    }
}
