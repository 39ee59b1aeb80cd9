//! The start: from a directory in whatever condition to a state that can be served, and the report of it.
//!
//! It orders the steps; what each knows is elsewhere: the directory in `place.rs`, the records in `settle.rs`.

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
use super::inbox::{Inbox, Timing};
use super::place::{Aside, Place, Rescue};
use super::settle::{Found, settle};
use super::tree::{Pairs, TreeError};
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
    /// There was none.
    Fresh,
    /// Everything was there.
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
pub fn open(
    dir: &Path,
    clock: &Clock,
    metrics: Arc<Metrics>,
    timing: Timing,
) -> Result<(Arc<Inbox>, Receiver<()>, OpenReport), StoreError> {
    let unusable = |why: String| StoreError::Unusable { dir: dir.into(), why };
    let now = clock.now().wall;
    let mut disk = Disk::start();
    let path = dir.to_path_buf();
    let place = disk.run(OPEN_DEADLINE, move |_| Place::take(&path, now));
    let place = place.map_err(|stopped| unusable(stopped.to_string()))??;
    let mut notes = Vec::new();
    if let Some(format) = place.older_format() {
        notes.push(upgrade_note(&place, format).map_err(|error| unusable(error.to_string()))?);
    }
    let backup = read_backup(&place, &mut notes)?;
    let (pairs, rescue) = open_database(&mut disk, &place, now).map_err(|error| unusable(error.why))?;
    let present = pairs.iter().map(|(key, _)| key.clone()).collect();
    let mut found = Found::from_pairs(pairs);
    // A database that needed help may also be older than it was, and look whole.
    found.dropped.extend(rescue.notes);
    if let Some(found) = found.newer_format() {
        return Err(StoreError::Newer { dir: dir.into(), found });
    }
    let ledger = found.ledger();
    let nothing = found.entries.is_empty() && backup.is_none();
    let settled = settle(found, backup);
    notes.extend(settled.notes);
    if nothing && notes.is_empty() && place.was_used() {
        notes.push("the directory was in use before, and nothing is left in it: everything was lost".into());
    }
    if notes.len() > NOTES_MAX {
        let more = notes.len() - NOTES_MAX;
        notes.truncate(NOTES_MAX);
        notes.push(format!("and {more} more things like these"));
    }
    place.write_format().map_err(|error| unusable(error.to_string()))?;
    let outcome = match (nothing, notes.is_empty()) {
        (true, true) => Outcome::Fresh,
        (_, true) => Outcome::Whole,
        (_, false) => Outcome::Repaired,
    };
    let records = settled.state.entries.len();
    let report = OpenReport { outcome, records, notes, quarantine: rescue.quarantine };

    let mut durable = Durable::new(clock.clone(), disk, place, ledger, timing.write_limit);
    if settled.rewrite {
        durable.rewrite(&settled.state, present).map_err(|failed| unusable(failed.why))?;
    }
    let inbox = Arc::new(Inbox::new(clock.clone(), timing, settled.state));
    if report.outcome != Outcome::Whole {
        inbox.want_backup(Duration::ZERO);
    }
    let (done_in, done) = sync_channel(1);
    let writer = Writer { inbox: inbox.clone(), durable, clock: clock.clone(), metrics, pause: timing.pause };
    thread::Builder::new()
        .name("plugfish-store".into())
        .spawn(move || writer.run(done_in))
        .map_err(|error| unusable(error.to_string()))?;
    Ok((inbox, done, report))
}

fn upgrade_note(place: &Place, format: u32) -> std::io::Result<String> {
    Ok(match place.keep_backup_of(format)? {
        Some(kept) => format!("upgraded from format {format}; the state before is kept as {}", kept.display()),
        None => format!("upgraded from format {format}"),
    })
}

/// Reads `state.json`. One that is damaged is put aside and noted; one of a newer plugfish is an error.
fn read_backup(place: &Place, notes: &mut Vec<String>) -> Result<Option<Backup>, StoreError> {
    let path = place.backup();
    match backup::read(&path) {
        Ok(backup) => Ok(backup),
        Err(BackupError::Newer(found)) => Err(StoreError::Newer { dir: place.dir().into(), found }),
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
fn open_database(disk: &mut Disk, place: &Place, now: Wall) -> Result<(Pairs, Rescue), TreeError> {
    let open = |disk: &mut Disk, aside: Aside| {
        let place = place.clone();
        disk.run(OPEN_DEADLINE, move |slot| {
            let (tree, pairs, rescue) = place.open_database(aside, now)?;
            *slot = Some(tree);
            Ok((pairs, rescue))
        })
    };
    let system = |stopped: Stopped| TreeError { fault: super::tree::Fault::System, why: stopped.to_string() };
    match open(disk, Aside::IfDamaged) {
        Ok(opened) => opened,
        Err(stopped) => {
            let probed = place.clone();
            let probe = disk.run(PROBE_DEADLINE, move |_| probed.try_disk());
            if matches!(probe, Err(Stopped::Late(_))) {
                let why = format!("{stopped}; nothing was changed, start again when it does");
                return Err(TreeError { fault: super::tree::Fault::System, why });
            }
            let (pairs, mut rescue) = open(disk, Aside::Always).map_err(system)??;
            rescue.notes.insert(0, format!("the database could not be opened: {stopped}"));
            Ok((pairs, rescue))
        }
    }
}
