//! The store: what has to survive a restart and a power cut.
//!
//! It keeps intents, boot overrides and what was last seen of nodes (the [`Journal`]), accounts and sessions, and a few
//! small values of the service. All of it is in memory and answered from there; the disk is only written. It never holds a
//! device's password, and nothing that is not either rebuilt by polling, small, or in `state.json` as well: sled, which is
//! underneath, loses data when its files are damaged.
//!
//! ```text
//! callers -> inbox (state in memory, what waits) -> writer (one thread) -> durable -> disk (one thread) -> tree (sled)
//!                                                                              \-> backup (state.json)
//! ```
//!
//! It knows `node::journal`, `account` and `durable`, and nothing of HTTP, devices or nodes.yaml.

mod accounts;
mod backup;
mod disk;
mod durable;
#[cfg(fuzzing)]
pub mod fuzz;
mod group_commit;
mod manifest;
mod open;
mod reconcile;
mod record;
mod state;
mod state_dir;
pub(crate) mod test_store;
mod tree;
mod write_queue;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tracing::warn;
use uuid::Uuid;

pub(crate) use self::backup::SIZE_MAX as STATE_BYTES_MAX;
pub(crate) use self::open::OpenReport;
use self::record::{BODY_LENGTH_MAX, Content, FORMAT, Key};
use self::state::{Change, Entry, State};
use self::write_queue::{PendingWrite, Timing, Weight, WriteQueue};
use crate::account::{check_hash, check_name};
use crate::clock::Clock;
use crate::durable::{WriteError, WriteFuture};
use crate::node::NodeId;
use crate::node::journal::{BootRecord, Intent, Journal, NodeRecord, SeenRecord};
use crate::node::trust::{TrustBook, TrustRecord, VolatileBook};
use crate::telemetry::Metrics;

/// How long [`Store::close`] waits for the last write: longer than a write, its repetition in `state.json` and the
/// closing of the database are allowed to take.
const CLOSE_DEADLINE: Duration = Duration::from_secs(30);

/// The store cannot be opened, or cannot take what it is given.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The directory cannot be used.
    #[error("cannot keep state in {dir}: {why}", dir = .dir.display())]
    Unusable {
        dir: PathBuf,
        /// What the system said, and what to do.
        why: String,
    },
    /// Another process has locked it.
    #[error("{dir} is in use by another plugfish ({holder}): stop that one, or give each its own `state_dir`", dir = .dir.display())]
    InUse {
        dir: PathBuf,
        /// What the other one wrote about itself.
        holder: String,
    },
    /// A newer plugfish wrote it.
    #[error(
        "{dir} was written by a newer plugfish (format {found}, this one knows {FORMAT}) and was not touched: run that \
         version again, or set another `state_dir`", dir = .dir.display()
    )]
    Newer {
        dir: PathBuf,
        /// Its format.
        found: u32,
    },
    /// What is to be restored makes no sense.
    #[error("this cannot be restored: {0}")]
    Unreadable(String),
}

/// What the `state.json` in a state directory says of devices, for a program that logs in to them beside a daemon; nothing
/// where there is no such file. An error when it is there and cannot be read.
pub(crate) fn trust_on_record(dir: &Path) -> Result<VolatileBook, StoreError> {
    let accounts = VolatileBook::default();
    let unusable = |error: backup::BackupError| StoreError::Unusable { dir: dir.into(), why: error.to_string() };
    let backup = backup::read(&dir.join("state.json")).map_err(unusable)?;
    for (key, entry) in backup.into_iter().flat_map(|backup| backup.state.entries) {
        if let (Key::Trust(node), Content::Trust(trust)) = (key, entry.content) {
            // In memory, so it is done when this returns.
            drop(accounts.record_trust(&node, Some(trust)));
        }
    }
    Ok(accounts)
}

/// The plugfish that runs on a state directory, as it wrote itself (`process 17 since ..`), for a program that reads devices
/// beside it; `None` when there is none, or when that cannot be seen.
pub(crate) fn holder(dir: &Path) -> Option<String> {
    state_dir::holder(dir)
}

/// See the top of the file.
pub struct Store {
    write_queue: Arc<WriteQueue>,
    clock: Clock,
    dir: PathBuf,
    /// Says that the writer has ended; taken by the call that closes the store.
    done: Mutex<Option<Receiver<()>>>,
}

impl Store {
    /// Opens the state directory, or makes one. Blocks; damaged state is repaired, put aside and reported, and only a
    /// directory that cannot be used at all is an error.
    pub fn open(dir: &Path, clock: Clock, metrics: Arc<Metrics>) -> Result<(Arc<Store>, OpenReport), StoreError> {
        Store::open_with(dir, clock, metrics, Timing::default())
    }

    fn open_with(
        dir: &Path,
        clock: Clock,
        metrics: Arc<Metrics>,
        timing: Timing,
    ) -> Result<(Arc<Store>, OpenReport), StoreError> {
        let (write_queue, done, report) = open::open(dir, &clock, metrics, timing)?;
        let store = Store { write_queue, clock, dir: dir.into(), done: Mutex::new(Some(done)) };
        store.first_write()?;
        Ok((Arc::new(store), report))
    }

    /// Shows that the directory can be written, before anything depends on it.
    fn first_write(&self) -> Result<(), StoreError> {
        let unusable = |error: WriteError| StoreError::Unusable { dir: self.dir.clone(), why: error.to_string() };
        if self.service_uuid().is_nil() {
            let uuid = uuid::Builder::from_random_bytes(crate::clock::secret_bytes()).into_uuid();
            let service = serde_json::json!({ "uuid": uuid.to_string() });
            self.wait(Change::PutValue("service".into(), service)).map_err(unusable)?;
        }
        let started = serde_json::json!({ "at": self.clock.now().wall, "version": env!("CARGO_PKG_VERSION") });
        self.wait(Change::PutValue("started".into(), started)).map_err(unusable)
    }

    /// Waits on this thread. The writer answers in bounded time, or ends.
    fn wait(&self, change: Change) -> Result<(), WriteError> {
        let (reply, answer) = sync_channel(1);
        // The receiver is gone when the opening was given up.
        self.write_queue.put(PendingWrite { change, reply: Box::new(move |result| drop(reply.send(result))) });
        answer.recv().unwrap_or_else(|_| Err(self.no_answer()))
    }

    fn put(&self, change: Change) -> WriteFuture {
        let (reply, answer) = oneshot::channel();
        // The caller may have stopped waiting.
        self.write_queue.put(PendingWrite { change, reply: Box::new(move |result| drop(reply.send(result))) });
        let none = self.no_answer();
        Box::pin(async move { answer.await.unwrap_or(Err(none)) })
    }

    fn write_error(&self, why: String) -> WriteError {
        WriteError::new(self.dir.display().to_string(), why)
    }

    fn no_answer(&self) -> WriteError {
        self.write_error("the store is closed, or too many writes wait for the disk".into())
    }

    /// A write that cannot be done, with its reason.
    fn refuse(&self, what: &Key, why: String) -> WriteFuture {
        let error = self.write_error(format!("{what}: {why}"));
        Box::pin(async move { Err(error) })
    }

    /// Lets a record be made durable, unless it is too large.
    fn put_record(&self, key: &Key, content: &Content, change: Change) -> WriteFuture {
        match size(content) {
            Ok(_) => self.put(change),
            Err(why) => self.refuse(key, why),
        }
    }

    /// The identity of this service, the same as long as the state directory lives. Nil only before it was made.
    pub fn service_uuid(&self) -> Uuid {
        let service = self.value("service");
        let uuid = service.as_ref().and_then(|service| service.get("uuid")?.as_str()?.parse().ok());
        uuid.unwrap_or_default()
    }

    /// A small value of the service.
    pub fn value(&self, name: &str) -> Option<serde_json::Value> {
        self.write_queue.lock().state.value(name)
    }

    /// Resolves when all that was noted before it survives a power cut.
    pub fn sync(&self) -> WriteFuture {
        self.write_queue.flush();
        self.put(Change::Barrier)
    }

    /// The whole state as one JSON document, without the sessions. It holds hashes of passwords, so it is for its owner.
    pub fn export(&self) -> serde_json::Value {
        let state = self.write_queue.lock().state.clone();
        // Every record was made from JSON or is about to become it; there is none that cannot.
        backup::export(&state, self.clock.now().wall).unwrap_or_default()
    }

    /// Whether this is an export, or the content of a `state.json`, that can be restored.
    pub fn check(text: &str) -> Result<(), StoreError> {
        let backup = backup::decode(text).map_err(|error| StoreError::Unreadable(error.to_string()))?;
        accounts_of(&backup.state).map_err(StoreError::Unreadable)
    }

    /// Puts an export, or the content of a `state.json`, in the place of everything. Commands in it are left out: they
    /// may be of any age. All sessions end. Returns what was left out, in words.
    pub fn restore(&self, text: &str) -> Result<(Vec<String>, WriteFuture), StoreError> {
        let backup = backup::decode(text).map_err(|error| match error {
            backup::BackupError::Newer(found) => StoreError::Newer { dir: self.dir.clone(), found },
            error => StoreError::Unreadable(error.to_string()),
        })?;
        accounts_of(&backup.state).map_err(StoreError::Unreadable)?;
        let mut left_out = backup.dropped;
        let mut records = BTreeMap::new();
        for (key, Entry { mut content, .. }) in backup.state.entries {
            if let Content::Node(commanded) = &mut content
                && let Some(intent) = commanded.intent.take()
            {
                left_out.push(format!("{key}: the command {} of {}", intent.reset, intent.accepted));
            }
            match size(&content) {
                Ok(_) => drop(records.insert(key, content)),
                Err(why) => left_out.push(format!("{key}: {why}")),
            }
        }
        Ok((left_out, self.put(Change::Replace(records))))
    }

    /// Writes what there is, makes a backup and closes the database. Blocks, for half a minute at the very most. All
    /// later writes fail. A second call does nothing.
    pub fn close(&self) {
        self.write_queue.close();
        let Some(done) = self.done.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if done.recv_timeout(CLOSE_DEADLINE) == Err(RecvTimeoutError::Timeout) {
            warn!(event = "store_close_failed", dir = %self.dir.display(), "the disk did not take the last write in time");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// Looks at the accounts of a document that people may have edited: they take logins as those of nodes.yaml do.
fn accounts_of(state: &State) -> Result<(), String> {
    for (key, Entry { content, .. }) in &state.entries {
        let (Key::Account(name), Content::Account(account)) = (key, content) else { continue };
        if account.username != *name {
            return Err(format!("the record of account {name:?} is the one of another name, {:?}", account.username));
        }
        check_name(name).map_err(|why| format!("account {name:?}: the name {why}"))?;
        check_hash(&account.password_hash).map_err(|why| format!("account {name:?}: password_hash {why}"))?;
    }
    Ok(())
}

/// The size of a record, or why it is too large.
fn size(content: &Content) -> Result<usize, String> {
    // What belongs to a node shares one record; half of it for each leaves room.
    let limit = BODY_LENGTH_MAX / 2;
    match content.to_value().map(|value| value.to_string().len()) {
        Ok(length) if length <= limit => Ok(length),
        Ok(length) => Err(format!("it has {length} bytes, and {limit} are allowed")),
        Err(error) => Err(error.to_string()),
    }
}

/// Puts a content into memory; its revision is that of its last write until the next one.
fn put_entry(state: &mut State, key: Key, content: Content) {
    let revision = state.entries.get(&key).map_or(0, |entry| entry.revision);
    state.entries.insert(key, Entry { revision, content });
}

impl TrustBook for Store {
    fn trust(&self, node: &NodeId) -> Option<Arc<TrustRecord>> {
        self.write_queue.lock().state.trust(node)
    }

    fn record_trust(&self, node: &NodeId, trust: Option<Arc<TrustRecord>>) -> WriteFuture {
        let change = Change::Trust(node.clone(), trust.clone());
        match trust {
            Some(trust) => self.put_record(&Key::Trust(node.clone()), &Content::Trust(trust), change),
            None => self.put(change),
        }
    }
}

impl Journal for Store {
    fn load(&self, node: &NodeId) -> NodeRecord {
        self.write_queue.lock().state.node(node)
    }

    fn record_intent(&self, node: &NodeId, intent: Intent) -> WriteFuture {
        let content = Content::Node(record::Commanded { intent: Some(intent.clone()), boot: None });
        self.put_record(&Key::Node(node.clone()), &content, Change::Intent(node.clone(), intent))
    }

    /// Comes after the future of [`record_intent`](Journal::record_intent) has resolved; before that there is nothing
    /// to clear.
    fn clear_intent(&self, node: &NodeId, number: u64) {
        self.write_queue.edit(|state| {
            let mut commanded = state.commanded(node);
            commanded.intent.take_if(|intent| intent.number == number)?;
            let key = Key::Node(node.clone());
            put_entry(state, key.clone(), Content::Node(commanded));
            Some((key, Weight::Changed))
        });
    }

    fn record_boot(&self, node: &NodeId, boot: BootRecord) -> WriteFuture {
        self.put(Change::Boot(node.clone(), boot))
    }

    fn note_seen(&self, node: &NodeId, seen: SeenRecord) {
        let news = |old: Option<&SeenRecord>| old.is_none_or(|old| !same_but_moved(old, &seen));
        let content = Content::Seen(seen.clone());
        // Measured only when there is something new in it; figures do not grow that much.
        if news(self.write_queue.lock().state.seen(node))
            && let Err(why) = size(&content)
        {
            warn!(event = "seen_not_kept", node = %node, why);
            return;
        }
        self.write_queue.edit(|state| {
            let old = state.seen(node);
            if old == Some(&seen) {
                return None;
            }
            let weight = if news(old) { Weight::Changed } else { Weight::Moved };
            let key = Key::Seen(node.clone());
            put_entry(state, key.clone(), content);
            Some((key, weight))
        });
    }
}

/// Whether only the time and the energy differ.
fn same_but_moved(old: &SeenRecord, new: &SeenRecord) -> bool {
    fn same<T: PartialEq>(old: Option<&Arc<T>>, new: Option<&Arc<T>>) -> bool {
        match (old, new) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old == new,
            (old, new) => old.is_none() && new.is_none(),
        }
    }
    old.power == new.power
        && old.relay == new.relay
        && old.since == new.since
        && same(Some(&old.about), Some(&new.about))
        && same(old.capabilities.as_ref(), new.capabilities.as_ref())
        && same(old.inventory.as_ref(), new.inventory.as_ref())
}
