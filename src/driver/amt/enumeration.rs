//! Reading all instances of a class, to the end and bounded.
//!
//! Contexts of enumerations are scarce on the machine: one that was begun is pulled to its end or released, also when the
//! call that began it was dropped.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use tracing::debug;

use super::connection::{Repeat, WsMan};
use super::fault::{Fault, Kind};
use super::status_codes::FaultCode;
use super::wsman;
use super::xml::Instance;

/// Most Pulls of one enumeration. The longest real one needs 4.
const PULLS_MAX: u32 = 32;

/// Most instances of one enumeration. No class of a PC has a tenth of it.
const INSTANCES_MAX: usize = 2000;

/// Most fields of all instances of one enumeration. The longest real one has a few hundred.
const FIELDS_MAX: usize = 20_000;

/// An enumeration that the machine holds resources for.
pub(super) struct Open {
    class: String,
    context: String,
}

impl WsMan {
    /// Reads all instances of a class, those of its children included.
    pub(crate) async fn enumerate(&mut self, op: &'static str, class: &str) -> Result<Vec<Instance>, Fault> {
        self.enumerate_with(op, class, Repeat::Safe).await
    }

    /// The same. What came before a Pull failed for good is returned: a part is better than nothing.
    pub(crate) async fn enumerate_with(
        &mut self,
        op: &'static str,
        class: &str,
        repeat: Repeat,
    ) -> Result<Vec<Instance>, Fault> {
        let mut patience = self.patience();
        let mut expired = false;
        loop {
            let mut instances = Vec::new();
            let fault = match self.enumerate_once(op, class, repeat, &mut instances).await {
                Ok(()) => return Ok(instances),
                Err(fault) => fault,
            };
            let again = if fault.kind == Kind::Soap(FaultCode::InvalidEnumerationContext) {
                self.open = None;
                !std::mem::replace(&mut expired, true)
            } else {
                // It broke off at a Pull, which is not repeated by itself.
                repeat == Repeat::Safe && self.open.is_some() && fault.is_passing()
            };
            if again && patience.rest(&self.context.clock).await {
                continue;
            }
            if instances.is_empty() || matches!(fault.kind, Kind::Auth | Kind::Distrusted) {
                return Err(fault);
            }
            debug!(node = %self.context.node, class, %fault, "an enumeration broke off");
            return Ok(instances);
        }
    }

    async fn enumerate_once(
        &mut self,
        op: &'static str,
        class: &str,
        repeat: Repeat,
        instances: &mut Vec<Instance>,
    ) -> Result<(), Fault> {
        // One that was dropped on its way, or that failed.
        self.release(op).await;
        let envelope = self.request(class, &[]).enumerate();
        let begun = self.call(op, "Enumerate", repeat, envelope, wsman::enumerated).await?;
        let mut next = begun.next;
        let (hasher, mut known) = (RandomState::new(), HashSet::new());
        known.extend(begun.items.iter().map(|item| hasher.hash_one(item)));
        instances.extend(begun.items);
        for _ in 0..PULLS_MAX {
            let Some(context) = next else { return Ok(()) };
            let envelope = self.request(class, &[]).pull(&context);
            self.open = Some(Open { class: class.into(), context });
            // A Pull that was taken is gone: repeated, it would bring what comes after.
            let pulled = self.call(op, "Pull", Repeat::Never, envelope, wsman::pulled).await?;
            self.open = None;
            next = pulled.next;
            let empty = pulled.items.is_empty();
            let before = instances.len();
            // Firmware that begins from the front again has told all of it.
            instances.extend(pulled.items.into_iter().filter(|item| known.insert(hasher.hash_one(item))));
            let fields: usize = instances.iter().map(|instance| instance.fields.len()).sum();
            let turns_round = !empty && instances.len() == before;
            if turns_round || instances.len() > INSTANCES_MAX || fields > FIELDS_MAX {
                break;
            }
        }
        if let Some(context) = next {
            debug!(node = %self.context.node, class, count = instances.len(), "an enumeration that does not end is cut");
            self.open = Some(Open { class: class.into(), context });
            self.release(op).await;
            instances.truncate(INSTANCES_MAX);
        }
        Ok(())
    }

    /// Ends an enumeration that is still open: contexts are scarce. Whether the machine agrees does not matter.
    async fn release(&mut self, op: &'static str) {
        if let Some(Open { class, context }) = self.open.take() {
            let envelope = self.request(&class, &[]).release(&context);
            if let Err(fault) = self.call(op, "Release", Repeat::Never, envelope, wsman::done).await {
                debug!(node = %self.context.node, %fault, "an enumeration could not be released");
            }
        }
    }
}
