//! All calls of sled, and what is needed to believe it.
//!
//! sled 0.34 calls a write durable when it is not, panics on damaged files, and refuses everything after one failed
//! write until it is reopened. So every call here runs inside `catch_unwind`, a durable write ends with an fsync of our
//! own, and every failure is one [`TreeError`] after which the caller throws the tree away. This file knows nothing of
//! what the bytes mean.
//!
//! sled also opens a database whose last segment has a damaged head, and goes on writing into that segment: its snapshot
//! file says where the log ended, and the head is read only when the log is. All that is written from then on is on the
//! disk, synced, and never found again. So a database is believed only when it is opened twice and what was written
//! between is there.
//!
//! sled may also hang: when one of its threads has died, `flush` and even dropping the database wait for ever. That is
//! why all of this runs on the thread of `disk.rs`, which can be left behind.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use thiserror::Error;

/// sled's page cache. Everything is read once, at the start; 1 MiB costs the same time as 8 MiB and less memory.
const CACHE_BYTES: u64 = 1 << 20;

/// sled's unit of writing. The database keeps four or five of them: 0.5 MiB on the card instead of the 2.4 MiB of
/// sled's own 512 KiB, at the same speed, and a torn end costs 128 KiB of records at most. Values must stay far below a
/// quarter of it. It cannot be changed for a database that exists.
pub(super) const SEGMENT_BYTES: usize = 128 * 1024;

/// How often sled writes by itself, and syncs.
const FLUSH_EVERY_MS: u64 = 500;

/// Where it is counted how often the database was opened, which is how it proves that it keeps what is written. Callers
/// never see it.
const OPENED: &[u8] = b"opened";

/// How often a lock is tried for, and the pause between: together half a second, which is longer than a process takes to
/// end, or sled to close a database, unless one of them hangs.
pub(super) const LOCK_TRIES: u32 = 100;
pub(super) const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The same for a database that was closed just now by ourselves: sled syncs once more before it lets go, and a slow disk
/// takes seconds for that. Ten seconds, which leaves time for the rest of an opening.
const CLOSED_TRIES: u32 = 2000;

/// Keys and values, as they are on the disk.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Writes of one batch: the new value of a key, or `None` where it goes away.
pub(super) type TreeBatch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Why the database could not be opened, read or written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{why}")]
pub(super) struct TreeError {
    /// What to do about it.
    pub fault: Fault,
    /// The error, for people.
    pub why: String,
}

/// What is wrong with a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The system refused: no space, no right, an input/output error. The files may be all right.
    System,
    /// The files are damaged or gone, or sled has fallen over them.
    Damaged,
    /// What is written now would not be found again. All that can be read is in [`copy_of`] it.
    Forgets,
    /// Someone has it open: a tree of this process that was left behind.
    Locked,
}

impl TreeError {
    /// A failure that the system has reported.
    pub(super) fn system(path: &Path, error: &io::Error) -> TreeError {
        TreeError { fault: Fault::System, why: format!("{}: {error}", path.display()) }
    }

    fn damaged(why: impl Into<String>) -> TreeError {
        TreeError { fault: Fault::Damaged, why: why.into() }
    }

    fn from_sled(error: sled::Error) -> TreeError {
        use io::ErrorKind::{
            FileTooLarge, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        let why = error.to_string();
        let fault = match &error {
            sled::Error::Io(io) => match io.kind() {
                PermissionDenied | StorageFull | ReadOnlyFilesystem | QuotaExceeded | FileTooLarge | NotADirectory => {
                    Fault::System
                }
                _ if why.contains("could not acquire lock") => Fault::Locked,
                // EMFILE, too many open files. All the rest is damage: short reads, missing files, a disk that cannot read.
                _ if io.raw_os_error() == Some(24) => Fault::System,
                _ => Fault::Damaged,
            },
            _ => Fault::Damaged,
        };
        TreeError { fault, why }
    }
}

/// An open database.
pub(super) struct Tree {
    db: sled::Db,
    /// A second handle of sled's file, for fsync.
    file: File,
    path: PathBuf,
    /// Device and inode of the file that is open, to notice when the path leads to another one.
    identity: (u64, u64),
    /// Something is in the file.
    filled: AtomicBool,
}

impl Tree {
    /// Opens the database in `dir`, or makes one, and reads all of it.
    pub(super) fn open(dir: &Path) -> Result<(Tree, Pairs), TreeError> {
        guarded(|| Tree::open_unguarded(dir))
    }

    fn open_unguarded(dir: &Path) -> Result<(Tree, Pairs), TreeError> {
        let system = |path: &Path| {
            let path = path.to_path_buf();
            move |error: io::Error| TreeError::system(&path, &error)
        };
        if !dir.exists() {
            fs::create_dir(dir).map_err(system(dir))?;
        }
        check_no_links(dir).map_err(system(dir))?;
        fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(system(dir))?;
        let (db, pairs) = start_twice(dir)?;
        let path = dir.join("db");
        let file = File::open(&path).map_err(system(&path))?;
        let meta = file.metadata().map_err(system(&path))?;
        close_to_others(dir).map_err(system(dir))?;
        // sled syncs its file, but not the directory that names its files.
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(system(dir))?;
        let (identity, filled) = ((meta.dev(), meta.ino()), AtomicBool::new(meta.len() > 0));
        Ok((Tree { db, file, path, identity, filled }, pairs))
    }

    /// Writes a batch. A batch is found whole or not at all after a crash; it survives the crash of this process after
    /// [`FLUSH_EVERY_MS`], and everything only after [`sync`](Tree::sync).
    pub(super) fn write(&self, batch: TreeBatch) -> Result<(), TreeError> {
        guarded(|| {
            self.check_file()?;
            let mut writes = sled::Batch::default();
            for (key, value) in batch {
                match value {
                    Some(value) => writes.insert(key, value),
                    None => writes.remove(key),
                }
            }
            self.db.apply_batch(writes).map_err(TreeError::from_sled)
        })
    }

    /// Makes all that was written survive a power cut. `flush` hands it to the kernel, the fsync is ours.
    pub(super) fn sync(&self) -> Result<(), TreeError> {
        guarded(|| {
            self.db.flush().map_err(TreeError::from_sled)?;
            self.file.sync_all().map_err(|error| TreeError::system(&self.path, &error))?;
            self.filled.store(true, Ordering::Relaxed);
            self.check_file()
        })
    }

    /// Closes the database. Never panics; may hang when a thread of sled has died.
    pub(super) fn close(self) -> Result<(), TreeError> {
        let synced = self.sync();
        guarded(|| {
            drop(self);
            Ok(())
        })
        .and(synced)
    }

    /// Whether the path still leads to the file that is open, and it was not emptied. Writes to a deleted file succeed
    /// and are lost.
    fn check_file(&self) -> Result<(), TreeError> {
        let changed =
            |how: &str| Err(TreeError::damaged(format!("{} was {how} while it was in use", self.path.display())));
        match fs::metadata(&self.path) {
            Ok(meta) if (meta.dev(), meta.ino()) != self.identity => changed("exchanged"),
            Ok(meta) if meta.len() == 0 && self.filled.load(Ordering::Relaxed) => changed("emptied"),
            Ok(_) => Ok(()),
            Err(_) => changed("deleted"),
        }
    }
}

/// Opens the database, and reads what callers have put there. A lock on it is tried for so many times.
fn start(dir: &Path, lock_tries: u32) -> Result<(sled::Db, Pairs), TreeError> {
    let config = sled::Config::new()
        .path(dir)
        .mode(sled::Mode::LowSpace)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    let mut tries = 1..lock_tries;
    let db = loop {
        match config.open().map_err(TreeError::from_sled) {
            // Also from one that was closed just now: sled's threads let go a little later.
            Err(error) if error.fault == Fault::Locked && tries.next().is_some() => thread::sleep(LOCK_PAUSE),
            opened => break opened?,
        }
    };
    let mut pairs = Pairs::new();
    for pair in &*db {
        let (key, value) = pair.map_err(TreeError::from_sled)?;
        pairs.push((key.to_vec(), value.to_vec()));
    }
    pairs.retain(|(key, _)| key != OPENED);
    Ok((db, pairs))
}

/// Opens the database, counts that, and opens it again: all must be there, the new count too.
fn start_twice(dir: &Path) -> Result<(sled::Db, Pairs), TreeError> {
    let (db, pairs) = start(dir, LOCK_TRIES)?;
    let count = |db: &sled::Db| {
        let bytes = db.get(OPENED).map_err(TreeError::from_sled)?;
        Ok(bytes.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_le_bytes))
    };
    let next = count(&db)?.wrapping_add(1);
    db.insert(OPENED, &next.to_le_bytes()).map_err(TreeError::from_sled)?;
    db.flush().map_err(TreeError::from_sled)?;
    drop(db);
    let (db, again) = start(dir, CLOSED_TRIES)?;
    if (count(&db)?, &again) == (next, &pairs) {
        return Ok((db, pairs));
    }
    copy(&pairs, &copy_of(dir))?;
    Err(TreeError { fault: Fault::Forgets, why: "sled does not find again what it writes".into() })
}

/// Where the copy of a database is that [forgets](Fault::Forgets).
pub(super) fn copy_of(dir: &Path) -> PathBuf {
    dir.with_extension("copy")
}

/// Makes a database of these pairs in the place of whatever is there.
fn copy(pairs: &Pairs, dir: &Path) -> Result<(), TreeError> {
    let system = |error: io::Error| TreeError::system(dir, &error);
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(system)?;
    }
    DirBuilder::new().mode(0o700).create(dir).map_err(system)?;
    let (db, _) = start(dir, LOCK_TRIES)?;
    for (key, value) in pairs {
        db.insert(key, value.as_slice()).map_err(TreeError::from_sled)?;
    }
    db.flush().map_err(TreeError::from_sled)?;
    drop(db);
    [dir.join("db"), dir.into()].iter().try_for_each(|path| File::open(path)?.sync_all()).map_err(system)
}

/// Runs a call of sled; a panic becomes an error.
fn guarded<T>(batch: impl FnOnce() -> Result<T, TreeError>) -> Result<T, TreeError> {
    catch_unwind(AssertUnwindSafe(batch))
        .unwrap_or_else(|panic| Err(TreeError::damaged(format!("sled fell over it: {}", panic_text(&*panic)))))
}

/// The message of a panic.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason given").chars().take(200).collect()
}

/// Refuses a database that is a symbolic link, or has one in it: sled would follow it.
fn check_no_links(dir: &Path) -> io::Result<()> {
    let mut paths = vec![dir.to_path_buf()];
    paths.extend(fs::read_dir(dir)?.flatten().map(|entry| entry.path()));
    match paths.iter().find(|path| path.is_symlink()) {
        Some(link) => Err(io::Error::other(format!("{} is a symbolic link; remove it", link.display()))),
        None => Ok(()),
    }
}

/// sled makes its files readable for every user; the directory protects them already, this is the second lock.
fn close_to_others(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let mode = if entry.file_type()?.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Deletes sled's snapshot files: when one is damaged, the database cannot be opened, and without it sled reads its log
/// instead. Returns how many there were.
pub(super) fn delete_snapshots(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let snapshots = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("snap."));
    snapshots.filter(|entry| fs::remove_file(entry.path()).is_ok()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> TreeBatch {
        vec![(key.into(), Some(value.into()))]
    }

    #[test]
    fn what_was_written_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sled");
        let (tree, pairs) = Tree::open(&path).unwrap();
        assert!(pairs.is_empty());
        tree.write(put("a", "1")).unwrap();
        tree.write(put("b", "2")).unwrap();
        tree.write(vec![(b"a".to_vec(), None)]).unwrap();
        tree.close().unwrap();
        let (_tree, pairs) = Tree::open(&path).unwrap();
        assert_eq!(pairs, [(b"b".to_vec(), b"2".to_vec())]);
    }

    #[test]
    fn files_are_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sled");
        let (_tree, _) = Tree::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        for entry in fs::read_dir(&path).unwrap().flatten() {
            assert_eq!(entry.metadata().unwrap().mode() & 0o077, 0, "{:?}", entry.path());
        }
    }

    #[test]
    fn a_second_open_says_locked() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Tree::open(dir.path()).unwrap();
        assert_eq!(Tree::open(dir.path()).map(|_| ()).map_err(|error| error.fault), Err(Fault::Locked));
    }

    // Sleeps for real: the lock is one of the operating system's.
    #[test]
    fn a_database_that_takes_long_to_close_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (db, _) = start(dir.path(), LOCK_TRIES).unwrap();
        let closing = thread::spawn(move || {
            thread::sleep(LOCK_PAUSE * (LOCK_TRIES + 100));
            drop(db);
        });
        assert_eq!(start(dir.path(), LOCK_TRIES).map(drop).map_err(|error| error.fault), Err(Fault::Locked));
        assert!(start(dir.path(), CLOSED_TRIES).is_ok());
        closing.join().unwrap();
    }

    #[test]
    fn a_deleted_file_is_noticed_at_the_next_write() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, _) = Tree::open(dir.path()).unwrap();
        fs::remove_file(dir.path().join("db")).unwrap();
        assert_eq!(tree.write(put("a", "1")).map_err(|error| error.fault), Err(Fault::Damaged));
    }
}
