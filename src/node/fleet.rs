//! All nodes, for readers and clients.
//!
//! Readers take a [`NodeEntry`] out of an immutable table behind an atomic pointer and the view out of the entry; they
//! never wait. Commands go to the actor of the entry, and are answered in bounded time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::actor::{Answer, NodeMsg};
use super::device::PowerRestore;
use super::entry::NodeEntry;
use super::{BootPatch, NodeId, Refusal, ResetType};
use crate::clock::Clock;

/// How long a client waits for the store. A disk that takes longer is as good as gone.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// All nodes by name.
pub(crate) type Table = BTreeMap<NodeId, Arc<NodeEntry>>;

/// The readers' and clients' side of the fleet. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Fleet {
    table: Arc<ArcSwap<Table>>,
    stopping: Arc<AtomicBool>,
    clock: Clock,
}

impl Fleet {
    pub(super) fn new(clock: Clock) -> Fleet {
        Fleet { table: Arc::default(), stopping: Arc::default(), clock }
    }

    pub(super) fn publish(&self, table: Table) {
        self.table.store(Arc::new(table));
    }

    /// From now on commands are refused because of the end.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// All nodes as of now.
    pub fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// The node with this name.
    pub fn find(&self, id: &str) -> Option<Arc<NodeEntry>> {
        self.table.load().get(id).cloned()
    }

    /// Asks for power. `Ok` means that the command is durable (or that nothing needs to be done).
    pub async fn reset(&self, entry: &NodeEntry, reset: ResetType, by: String) -> Result<(), Refusal> {
        self.ask(entry, |answer| NodeMsg::Reset { reset, by, answer }).await
    }

    /// Changes the boot override. `Ok` means that the change is durable and in the view.
    pub async fn patch_boot(
        &self,
        entry: &NodeEntry,
        patch: BootPatch,
        by: String,
        if_match: Option<Vec<u64>>,
    ) -> Result<(), Refusal> {
        self.ask(entry, |answer| NodeMsg::PatchBoot { patch, by, if_match, answer }).await
    }

    /// Forgets what is on record of the device. `Ok` means that this is durable.
    pub async fn reset_trust(&self, entry: &NodeEntry, by: String) -> Result<(), Refusal> {
        self.ask(entry, |answer| NodeMsg::ResetTrust { by, answer }).await
    }

    /// Sets what the device does when its power comes back. `Ok` means that the device was read and shows it.
    pub async fn set_power_restore(
        &self,
        entry: &NodeEntry,
        policy: PowerRestore,
        by: String,
        if_match: Option<Vec<u64>>,
    ) -> Result<(), Refusal> {
        self.ask(entry, |answer| NodeMsg::SetPowerRestore { policy, by, if_match, answer }).await
    }

    /// Drops the device's session and reads it again soon.
    pub fn renew(&self, entry: &NodeEntry) -> Result<(), Refusal> {
        self.send(entry, NodeMsg::ResetSession)
    }

    async fn ask(&self, entry: &NodeEntry, ask: impl FnOnce(Answer) -> NodeMsg) -> Result<(), Refusal> {
        let (answer, waiting) = oneshot::channel();
        let _counted = entry.wait();
        self.send(entry, ask(answer))?;
        match self.clock.limit(ANSWER_DEADLINE, waiting).await {
            Some(Ok(answer)) => answer,
            // The actor fell before it answered, or the disk is stuck.
            Some(Err(_)) | None => Err(Refusal::Undecided { node: entry.id.clone() }),
        }
    }

    fn send(&self, entry: &NodeEntry, ask: NodeMsg) -> Result<(), Refusal> {
        match entry.try_send(ask) {
            true => Ok(()),
            false if self.stopping.load(Ordering::Relaxed) => Err(Refusal::Stopping { node: entry.id.clone() }),
            // Full, or fallen and about to be restarted, or taken out of the configuration a moment ago.
            false => Err(Refusal::Overloaded { node: entry.id.clone() }),
        }
    }
}
