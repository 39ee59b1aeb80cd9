//! What the device proved of itself, and what follows when it proves less or a person says that it is another one.

use super::connectivity::Connectivity;
use super::evidence::Meter;
use super::{Asked, Effect, Fsm, SAVES_MAX, Save, Saving, Ticket};
use crate::clock::Mono;
use crate::node::Refusal;
use crate::node::device::{DeviceError, FailureClass, Observation};
use crate::node::event::EventKind;
use crate::node::trust::{TrustRecord, reset_command};

impl Fsm {
    /// What is proved less than before is no observation.
    pub(super) fn is_proved(&self, observation: &Observation) -> Result<(), DeviceError> {
        let record = observation.trust.as_deref().or_else(|| self.recorded());
        let recorded = record.map(|record| record.proven.proof);
        let Some(before) = recorded.filter(|before| observation.proof < *before) else { return Ok(()) };
        let text = format!(
            "its answer is proved less than before ({}, and before {}); if the device was replaced, run \"{}\"",
            observation.proof.words(),
            before.words(),
            reset_command(&self.spec.id)
        );
        Err(DeviceError::new(FailureClass::Distrusted, text))
    }

    /// What is on record of the device that the node has now.
    fn recorded(&self) -> Option<&TrustRecord> {
        self.trust.as_deref().filter(|record| record.device == self.spec.device)
    }

    /// Takes over what the driver put on record.
    pub(super) fn learn(&mut self, observation: &Observation, out: &mut Vec<Effect>) {
        let Some(record) = observation.trust.as_ref().filter(|record| self.trust.as_ref() != Some(*record)) else {
            return;
        };
        let (device, proven) = (&record.device, &record.proven);
        let text = match self.recorded() {
            Some(before) if before.since == record.since => {
                format!("{device} proved more than before ({proven}), and has to from now on")
            }
            _ => format!(
                "first contact with {device}, trusted on first use ({proven}): it has to prove that from now on"
            ),
        };
        out.push(Effect::Emit(EventKind::TrustLearned { text }));
        self.trust = Some(record.clone());
    }

    /// A person says that the device is another one, or was set up again.
    pub(super) fn reset_trust(&mut self, ticket: Ticket, by: String, out: &mut Vec<Effect>) {
        let node = self.spec.id.clone();
        let refusal = match () {
            () if self.stopping => Refusal::Stopping { node },
            () if self.saves.len() >= SAVES_MAX => Refusal::Overloaded { node },
            () => return self.save(Save::ForgetTrust, Saving::ForgetTrust { by, ticket }, out),
        };
        out.push(Effect::Answer(ticket, Err(refusal)));
    }

    /// It is durable that nothing is on record.
    pub(super) fn trust_forgotten(&mut self, by: String, now: Mono, out: &mut Vec<Effect>) {
        let before = self.trust.take().map_or_else(|| "nothing was".into(), |record| record.proven.to_string());
        let text =
            format!("what was on record of {} ({before}); its next contact is trusted on first use", self.spec.device);
        out.push(Effect::ForgetSession);
        if let Some(seen) = self.seen.as_mut() {
            // Another machine may be behind it, too.
            seen.device = "".into();
            out.push(Effect::NoteSeen(seen.record()));
        }
        self.device_is_new(now);
        out.push(Effect::Emit(EventKind::TrustReset { by, text }));
    }

    /// The node has another device, or another way to it: what failed before says nothing of it, and it is read first.
    pub(super) fn device_is_new(&mut self, now: Mono) {
        if let Some(in_flight) = self.in_flight.as_mut() {
            in_flight.asked = Asked::Former;
        }
        self.unread = true;
        self.connectivity = Connectivity::default();
        self.meter = Meter::default();
        self.next_poll = now;
        self.command_may_try(now);
    }
}
