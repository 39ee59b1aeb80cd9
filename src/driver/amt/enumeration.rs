//! Reading all instances of a class, to the end and bounded.
//!
//! Contexts of enumerations are scarce on the machine: one that was begun is pulled to its end or released, also when the
//! call that began it was dropped.

use tracing::debug;

use super::connection::{Repeat, WsMan};
use super::fault::{Fault, Kind};
use super::meaning::FaultCode;
use super::wsman;
use super::xml::Instance;

/// Most Pulls of one enumeration. The longest real one needs 4.
const PULLS_MAX: u32 = 32;

/// Most instances of one enumeration. No class of a PC has a tenth of it.
const INSTANCES_MAX: usize = 2000;

/// An enumeration that the machine holds resources for.
pub(super) struct Open {
    class: String,
    context: String,
}

impl WsMan {
    /// Reads all instances of a class, those of its children included.
    pub async fn enumerate(&mut self, op: &'static str, class: &str) -> Result<Vec<Instance>, Fault> {
        let mut patience = self.patience();
        let mut expired = false;
        loop {
            let fault = match self.enumerate_once(op, class).await {
                Ok(instances) => return Ok(instances),
                Err(fault) => fault,
            };
            let again = if fault.kind == Kind::Soap(FaultCode::InvalidEnumerationContext) {
                self.open = None;
                !std::mem::replace(&mut expired, true)
            } else {
                // It broke off at a Pull, which is not repeated by itself.
                self.open.is_some() && fault.is_passing()
            };
            if !again || !patience.rest(&self.context.clock).await {
                return Err(fault);
            }
        }
    }

    async fn enumerate_once(&mut self, op: &'static str, class: &str) -> Result<Vec<Instance>, Fault> {
        // One that was dropped on its way, or that failed.
        self.release(op).await;
        let envelope = self.request(class, &[]).enumerate();
        let mut next = Some(self.call(op, "Enumerate", Repeat::Safe, envelope, wsman::enumeration_context).await?);
        let mut instances = Vec::new();
        for _ in 0..PULLS_MAX {
            let Some(context) = next else { return Ok(instances) };
            let envelope = self.request(class, &[]).pull(&context);
            self.open = Some(Open { class: class.into(), context });
            // A Pull that was taken is gone: repeated, it would bring what comes after.
            let pulled = self.call(op, "Pull", Repeat::Never, envelope, wsman::pulled).await?;
            self.open = None;
            instances.extend(pulled.items);
            next = pulled.next;
            if instances.len() > INSTANCES_MAX {
                break;
            }
        }
        if let Some(context) = next {
            self.open = Some(Open { class: class.into(), context });
            self.release(op).await;
            let text = format!("the enumeration of {class} does not end: {} instances so far", instances.len());
            return Err(Fault::new(Kind::Garbled, text));
        }
        Ok(instances)
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
