//! Makes a plan durable: in the database, and while that fails in `state.json`.
//!
//! It decides how to handle failures of the disk; `writer.rs` owns the state in memory and the order of writes. Nothing
//! here can block without end: every operation has a deadline.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::{error, info, warn};

use super::backup;
use super::disk::{Disk, Stopped};
use super::manifest::Manifest;
use super::record::{self, Content, Key};
use super::state::{Plan, State};
use super::state_dir::{Quarantine, StateDir};
use super::tree::{Fault, Tree, TreeBatch, TreeError};
use crate::clock::{Clock, Mono};
use crate::durable::WriteError;

/// How long opening and rewriting the database may take, or writing the whole of `state.json`.
pub(super) const OPEN_DEADLINE: Duration = Duration::from_secs(30);

/// How long closing may take; sled may hang there.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// After a failure the database is opened again after this pause, which doubles up to the second one.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(30);

/// When a database that hung is still held by the thread that was left behind after this many tries (half a minute), it
/// is put aside and a new one made.
const REOPEN_TRIES: u32 = 5;

/// Records in one batch of the database. Larger ones are parted; each part carries its own manifest.
const BATCH_MAX: usize = 400;

/// See the top of the file.
pub(super) struct Durable {
    clock: Clock,
    disk: Disk,
    state_dir: StateDir,
    /// What is in the database. Ahead of it after a failed write, until it is opened again.
    manifest: Manifest,
    /// How it fails, while it fails.
    trouble: Option<Trouble>,
    backup_missing: bool,
    /// How long a write may take.
    write_limit: Duration,
}

/// The database cannot be written.
struct Trouble {
    /// The error.
    why: String,
    /// When to open it again.
    retry_at: Mono,
    pause: Duration,
    tries: u32,
    /// At the last try something still held it, or it hung.
    stuck: bool,
}

impl Durable {
    /// Takes over an open database, which is in the hands of `disk` and holds what is in the
    /// `manifest`. A write may take as long as `write_limit`.
    pub(super) fn new(
        clock: Clock,
        disk: Disk,
        state_dir: StateDir,
        manifest: Manifest,
        write_limit: Duration,
    ) -> Durable {
        Durable { clock, disk, state_dir, manifest, trouble: None, backup_missing: false, write_limit }
    }

    /// When to come back although there is nothing to write: the database is to be opened again.
    pub(super) fn retry_at(&self) -> Option<Mono> {
        self.trouble.as_ref().map(|trouble| trouble.retry_at)
    }

    /// Writes a plan. With `sync` it survives a power cut when this returns `Ok`. `whole` is the state with the plan in
    /// it, asked for when the database fails.
    pub(super) fn write(
        &mut self,
        revision: u64,
        plan: &Plan,
        sync: bool,
        whole: &dyn Fn() -> State,
    ) -> Result<(), WriteError> {
        if self.trouble.is_none() {
            let Err(failure) = self.write_database(revision, plan, sync) else { return Ok(()) };
            self.begin_trouble(&failure);
            if failure.late {
                return Err(self.failed(failure.why));
            }
        }
        // The backup first: it is quick, and while the database is made again it is all there is.
        let retry = self.trouble.as_ref().is_none_or(|trouble| trouble.retry_at <= self.clock.now().mono);
        let saved = if sync || retry { Some(self.save(&whole())) } else { None };
        match saved {
            Some(Err(failure)) if failure.late => {
                self.try_later(&failure);
                Err(self.backup_failed(failure.why))
            }
            Some(saved) => self.reopen(&whole(), saved.is_ok()).or_else(|failed| match saved {
                Ok(()) if sync => Ok(()),
                Ok(()) => Err(failed),
                Err(failure) => Err(self.backup_failed(failure.why)),
            }),
            None => Err(self.failed("it is to be opened again".into())),
        }
    }

    /// Opens the database again if it failed and it is time.
    pub(super) fn retry(&mut self, whole: &dyn Fn() -> State) -> Result<(), WriteError> {
        match self.trouble {
            Some(_) => self.write(0, &Plan::new(), false, whole),
            None => Ok(()),
        }
    }

    /// Opens the database again if it is time. It is put aside only when all that is in it is in `state.json` too.
    fn reopen(&mut self, state: &State, saved: bool) -> Result<(), WriteError> {
        let now = self.clock.now().mono;
        let Some(trouble) = &self.trouble else { return Ok(()) };
        let why = trouble.why.clone();
        if now < trouble.retry_at {
            return Err(self.failed(why));
        }
        let aside = match saved {
            false => Quarantine::Never,
            true if trouble.stuck && trouble.tries >= REOPEN_TRIES => Quarantine::Always,
            true => Quarantine::IfDamaged,
        };
        match self.reopen_now(aside, state) {
            Ok(()) => {
                info!(event = "store_recovered", path = %self.state_dir.database().display(), "the database works again");
                self.trouble = None;
                Ok(())
            }
            Err(failure) => {
                warn!(event = "store_failing", path = %self.state_dir.database().display(), why = failure.why);
                self.try_later(&failure);
                Err(self.failed(why))
            }
        }
    }

    fn try_later(&mut self, failure: &Failure) {
        let now = self.clock.now().mono;
        if let Some(trouble) = &mut self.trouble {
            trouble.tries += 1;
            trouble.stuck = failure.late || failure.fault == Fault::Locked;
            trouble.retry_at = now + trouble.pause;
            trouble.pause = (trouble.pause * 2).min(REOPEN_PAUSE_MAX);
        }
    }

    /// Writes the whole state to `state.json`.
    pub(super) fn back_up(&mut self, state: &State) -> Result<(), WriteError> {
        self.save(state).map_err(|failure| self.backup_failed(failure.why))
    }

    fn save(&mut self, state: &State) -> Result<(), Failure> {
        let system = |why: String| Failure { why, fault: Fault::System, late: false };
        let text = backup::encode(state, self.clock.now().wall, self.trouble.is_some())
            .map_err(|error| system(error.to_string()))?;
        let path = self.state_dir.backup();
        match self.disk.run(self.write_limit, move |_| backup::write_atomic(&path, &text)) {
            Ok(Ok(())) => {
                self.backup_missing = false;
                Ok(())
            }
            Ok(Err(error)) => Err(system(error.to_string())),
            Err(stopped) => {
                let failure = Failure::stopped(&stopped);
                if failure.late && self.trouble.is_none() {
                    // The database went with the thread that was left behind.
                    self.begin_trouble(&failure);
                }
                Err(failure)
            }
        }
    }

    /// Whether the backup was not where it was put, at the last write.
    pub(super) fn backup_missing(&self) -> bool {
        self.backup_missing
    }

    /// Closes the database.
    pub(super) fn close(mut self) {
        let closed = self.disk.run(CLOSE_DEADLINE, |tree| tree.take().map_or(Ok(()), Tree::close));
        match closed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(event = "store_close_failed", why = %error),
            Err(stopped) => warn!(event = "store_close_failed", why = %stopped),
        }
    }

    /// Makes the database, which has the keys `present`, hold exactly `state`.
    pub(super) fn rewrite(&mut self, state: &State, present: Vec<Vec<u8>>) -> Result<(), WriteError> {
        let parts = parts_of_rewrite(state, present, &mut self.manifest);
        self.write_parts(OPEN_DEADLINE, parts, true).map_err(|failure| self.failed(failure.why))
    }

    fn write_database(&mut self, revision: u64, plan: &Plan, sync: bool) -> Result<(), Failure> {
        let parts = parts_of_plan(revision, plan, &mut self.manifest);
        self.write_parts(self.write_limit, parts, sync)
    }

    fn write_parts(&mut self, limit: Duration, parts: Vec<TreeBatch>, sync: bool) -> Result<(), Failure> {
        let backup = self.state_dir.backup();
        let written = self.disk.run(limit, move |tree| {
            let Some(tree) = tree else {
                return Err(TreeError { fault: Fault::System, why: "the database is not open".into() });
            };
            parts.into_iter().try_for_each(|part| tree.write(part))?;
            if sync {
                tree.sync()?;
            }
            Ok(backup.exists())
        });
        let failure = match written {
            Ok(Ok(backup_there)) => {
                self.backup_missing = !backup_there;
                return Ok(());
            }
            Ok(Err(error)) => Failure::from(error),
            Err(stopped) => Failure::stopped(&stopped),
        };
        if !failure.late {
            // Whatever state the database is in, it is thrown away: sled takes nothing after a failed write.
            self.disk.replace();
        }
        Err(failure)
    }

    fn begin_trouble(&mut self, failure: &Failure) {
        let path = self.state_dir.database();
        error!(event = "store_failing", path = %path.display(), why = failure.why, "the database cannot be written");
        self.trouble = Some(Trouble {
            why: failure.why.clone(),
            retry_at: self.clock.now().mono,
            pause: REOPEN_PAUSE,
            tries: 0,
            stuck: false,
        });
    }

    fn reopen_now(&mut self, aside: Quarantine, state: &State) -> Result<(), Failure> {
        let (state_dir, now) = (self.state_dir.clone(), self.clock.now().wall);
        let opened = self.disk.run(OPEN_DEADLINE, move |slot| {
            let mut state_dir = state_dir;
            state_dir.hold().map_err(|error| TreeError::system(state_dir.dir(), &error))?;
            let (tree, pairs, recovery) = state_dir.open_database(aside, now)?;
            *slot = Some(tree);
            let keys: Vec<Vec<u8>> = pairs.into_iter().map(|(key, _)| key).collect();
            Ok::<_, TreeError>((state_dir, keys, recovery))
        });
        let (state_dir, keys, recovery) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(error.into()),
            Err(stopped) => return Err(Failure::stopped(&stopped)),
        };
        for note in recovery.notes {
            warn!(event = "store_rescue", note);
        }
        self.state_dir = state_dir;
        self.rewrite(state, keys).map_err(|failed| Failure { why: failed.why, fault: Fault::System, late: false })
    }

    fn failed(&self, why: String) -> WriteError {
        WriteError::new(self.state_dir.database().display().to_string(), why)
    }

    fn backup_failed(&self, why: String) -> WriteError {
        WriteError::new(self.state_dir.backup().display().to_string(), why)
    }
}

/// Why a write was not done.
struct Failure {
    why: String,
    fault: Fault,
    /// It may still happen: the disk has not answered in time, and asking it more would only make all callers wait.
    late: bool,
}

impl Failure {
    fn stopped(stopped: &Stopped) -> Failure {
        let late = !matches!(stopped, Stopped::Panicked(_));
        Failure { why: stopped.to_string(), fault: Fault::System, late }
    }
}

impl From<TreeError> for Failure {
    fn from(TreeError { fault, why }: TreeError) -> Failure {
        Failure { why, fault, late: false }
    }
}

/// The batches of a plan, each with its manifest, and a ledger that is ahead by them.
pub(super) fn parts_of_plan(revision: u64, plan: &Plan, manifest: &mut Manifest) -> Vec<TreeBatch> {
    let mut parts = Vec::new();
    let writes: Vec<_> = plan.iter().collect();
    for chunk in writes.chunks(BATCH_MAX) {
        let mut batch = TreeBatch::new();
        for (key, content) in chunk {
            match content {
                Some(content) => batch.extend(put(key, revision, content, manifest)),
                None if manifest.remove(key) => batch.push((key.to_string().into(), None)),
                None => {}
            }
        }
        batch.extend(manifest_write(revision, manifest));
        parts.push(batch);
    }
    parts
}

/// The batches that make the database hold exactly `state`. The manifest goes first and comes back last, with a revision
/// of its own: a database that was only half written is not believed.
fn parts_of_rewrite(state: &State, present: Vec<Vec<u8>>, manifest: &mut Manifest) -> Vec<TreeBatch> {
    *manifest = Manifest::default();
    let puts: BTreeMap<_, _> =
        state.entries.iter().filter_map(|(key, entry)| put(key, entry.revision, &entry.content, manifest)).collect();
    let mut writes: TreeBatch = vec![(Key::Manifest.to_string().into(), None)];
    writes.extend(present.into_iter().filter(|key| !puts.contains_key(key)).map(|key| (key, None)));
    writes.extend(puts);
    let mut parts: Vec<TreeBatch> = writes.chunks(BATCH_MAX).map(<[_]>::to_vec).collect();
    parts.push(manifest_write(state.revision.saturating_add(1), manifest).into_iter().collect());
    parts
}

type Write = (Vec<u8>, Option<Vec<u8>>);

fn put(key: &Key, revision: u64, content: &Content, manifest: &mut Manifest) -> Option<Write> {
    match record::encode(key, revision, content) {
        Ok(bytes) => {
            manifest.put(key, revision);
            Some((key.to_string().into(), Some(bytes)))
        }
        Err(error) => {
            // The caller has measured it; what was once read was once written.
            error!(event = "store_record_dropped", key = %key, why = %error);
            None
        }
    }
}

fn manifest_write(revision: u64, manifest: &Manifest) -> Option<Write> {
    let bytes = record::encode(&Key::Manifest, revision, &Content::Manifest(manifest.record())).ok()?;
    Some((Key::Manifest.to_string().into(), Some(bytes)))
}
