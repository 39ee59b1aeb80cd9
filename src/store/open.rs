//! The start: from a directory in any condition to a state that can be served, and the report of it.
//!
//! It orders the steps. The steps themselves are in `state_dir.rs` (the directory) and `reconcile.rs` (the records).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use super::StoreError;
use super::backup::{self, Backup, BackupError};
use super::disk::{Disk, Stopped};
use super::durable::{Durable, OPEN_DEADLINE};
use super::reconcile::{Found, reconcile};
use super::state_dir::{Quarantine, Recovery, StateDir};
use super::tree::{Pairs, TreeError};
use super::write_queue::{Timing, WriteQueue};
use super::writer::Writer;
use crate::clock::{Clock, Wall};
use crate::telemetry::Metrics;

/// How long a disk may take for one small file before it is the disk, not the database, that does not answer.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// Notes that are reported one by one. A damaged database of a large fleet has thousands.
const NOTES_MAX: usize = 20;

/// In which condition the state was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No state existed.
    Fresh,
    /// The state was complete.
    Whole,
    /// Something was damaged, missing or old; the notes say what became of it.
    Repaired,
}

/// What happened when the store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReport {
    /// In which condition the state was found.
    pub outcome: Outcome,
    /// Records that are there now.
    pub records: usize,
    /// What was wrong and what was done about it, one sentence each; for the log. Empty when all was well.
    pub notes: Vec<String>,
    /// Where a damaged database is now.
    pub quarantine: Option<PathBuf>,
}

impl fmt::Display for OpenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            Outcome::Fresh => f.write_str("the state directory is new")?,
            Outcome::Whole => write!(f, "read {} records", self.records)?,
            Outcome::Repaired => write!(f, "the state was damaged; {} records are there", self.records)?,
        }
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

/// Opens the directory and starts the writer. What comes back last says that the writer has ended.
pub(super) fn open(
    dir: &Path,
    clock: &Clock,
    metrics: Arc<Metrics>,
    timing: Timing,
) -> Result<(Arc<WriteQueue>, Receiver<()>, OpenReport), StoreError> {
    let unusable = |why: String| StoreError::Unusable { dir: dir.into(), why };
    let now = clock.now().wall;
    let mut disk = Disk::start();
    let path = dir.to_path_buf();
    let state_dir = disk.run(OPEN_DEADLINE, move |_| StateDir::take(&path, now));
    let state_dir = state_dir.map_err(|stopped| unusable(stopped.to_string()))??;
    let mut notes = Vec::new();
    if let Some(format) = state_dir.older_format() {
        notes.push(upgrade_note(&state_dir, format).map_err(|error| unusable(error.to_string()))?);
    }
    let backup = read_backup(&state_dir, &mut notes)?;
    let (pairs, recovery) = open_database(&mut disk, &state_dir, now).map_err(|error| unusable(error.why))?;
    let present = pairs.iter().map(|(key, _)| key.clone()).collect();
    let mut found = Found::from_pairs(pairs);
    // A database that needed help may also be older than it was, and look whole.
    found.dropped.extend(recovery.notes);
    if let Some(found) = found.newer_format() {
        return Err(StoreError::Newer { dir: dir.into(), found });
    }
    let manifest = found.manifest();
    let nothing = found.entries.is_empty() && backup.is_none();
    let recovered = reconcile(found, backup);
    notes.extend(recovered.notes);
    if nothing && notes.is_empty() && state_dir.was_used() {
        notes.push("the directory was in use before, and nothing is left in it: everything was lost".into());
    }
    if notes.len() > NOTES_MAX {
        let more = notes.len() - NOTES_MAX;
        notes.truncate(NOTES_MAX);
        notes.push(format!("and {more} more things like these"));
    }
    state_dir.write_format().map_err(|error| unusable(error.to_string()))?;
    let outcome = match (nothing, notes.is_empty()) {
        (true, true) => Outcome::Fresh,
        (_, true) => Outcome::Whole,
        (_, false) => Outcome::Repaired,
    };
    let records = recovered.state.entries.len();
    let report = OpenReport { outcome, records, notes, quarantine: recovery.quarantine };

    let mut durable = Durable::new(clock.clone(), disk, state_dir, manifest, timing.write_limit);
    if recovered.rewrite {
        durable.rewrite(&recovered.state, present).map_err(|failed| unusable(failed.why))?;
    }
    let write_queue = Arc::new(WriteQueue::new(clock.clone(), timing, recovered.state));
    if report.outcome != Outcome::Whole {
        write_queue.want_backup(Duration::ZERO);
    }
    let (done_in, done) = sync_channel(1);
    let writer =
        Writer { write_queue: write_queue.clone(), durable, clock: clock.clone(), metrics, pause: timing.pause };
    thread::Builder::new()
        .name("plugfish-store".into())
        .spawn(move || writer.run(done_in))
        .map_err(|error| unusable(error.to_string()))?;
    Ok((write_queue, done, report))
}

fn upgrade_note(state_dir: &StateDir, format: u32) -> std::io::Result<String> {
    Ok(match state_dir.keep_backup_of(format)? {
        Some(kept) => format!("upgraded from format {format}; the state before is kept as {}", kept.display()),
        None => format!("upgraded from format {format}"),
    })
}

/// Reads `state.json`. One that is damaged is put aside and noted; one of a newer plugfish is an error.
fn read_backup(state_dir: &StateDir, notes: &mut Vec<String>) -> Result<Option<Backup>, StoreError> {
    let path = state_dir.backup();
    match backup::read(&path) {
        Ok(backup) => Ok(backup),
        Err(BackupError::Newer(found)) => Err(StoreError::Newer { dir: state_dir.dir().into(), found }),
        Err(error) => {
            let aside = path.with_extension("damaged.json");
            let moved = match std::fs::rename(&path, &aside) {
                Ok(()) => format!("it is now {}", aside.display()),
                Err(error) => format!("it could not be put aside: {error}"),
            };
            notes.push(format!("the backup {} is not used: {error}; {moved}", path.display()));
            Ok(None)
        }
    }
}

/// Opens the database; one that hangs is put aside like one that is damaged. Where the whole disk hangs nothing is put aside:
/// a new database would hang as well, and commands that only the old one knows would be lost for it.
fn open_database(disk: &mut Disk, state_dir: &StateDir, now: Wall) -> Result<(Pairs, Recovery), TreeError> {
    let open = |disk: &mut Disk, aside: Quarantine| {
        let state_dir = state_dir.clone();
        disk.run(OPEN_DEADLINE, move |slot| {
            let (tree, pairs, recovery) = state_dir.open_database(aside, now)?;
            *slot = Some(tree);
            Ok((pairs, recovery))
        })
    };
    let system = |stopped: Stopped| TreeError { fault: super::tree::Fault::System, why: stopped.to_string() };
    match open(disk, Quarantine::IfDamaged) {
        Ok(opened) => opened,
        Err(stopped) => {
            let probed = state_dir.clone();
            let probe = disk.run(PROBE_DEADLINE, move |_| probed.try_disk());
            if matches!(probe, Err(Stopped::Late(_))) {
                let why = format!("{stopped}; nothing was changed, start again when it does");
                return Err(TreeError { fault: super::tree::Fault::System, why });
            }
            let (pairs, mut recovery) = open(disk, Quarantine::Always).map_err(system)??;
            recovery.notes.insert(0, format!("the database could not be opened: {stopped}"));
            Ok((pairs, recovery))
        }
    }
}
