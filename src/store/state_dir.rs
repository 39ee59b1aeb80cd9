//! The state directory: its owner, its lock, its format, and the quarantine for damaged files.
//!
//! It knows the names of the files and nothing of their content.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StoreError;
use super::backup::SIZE_MAX;
use super::record::FORMAT;
use super::tree::{self, Fault, LOCK_PAUSE, LOCK_TRIES, Pairs, Tree, TreeError};
use crate::clock::Wall;
use crate::files;

/// Damaged databases that are kept for a later look into them; the oldest go first. A database is a few MiB.
const QUARANTINES_MAX: usize = 3;

/// Most that is read of the file with the format.
const FORMAT_BYTES_MAX: usize = 32;

/// Most that is read of what the holder of the lock wrote about itself.
const HOLDER_BYTES_MAX: u64 = 80;

/// The state directory, held by this process. All clones are one hold.
#[derive(Clone, Debug)]
pub(super) struct StateDir {
    dir: PathBuf,
    /// Its lock is ours as long as it is open.
    lock: Arc<File>,
}

/// Whether a database may be put aside to get a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quarantine {
    /// No: what is in it is nowhere else.
    Never,
    /// When it cannot be opened otherwise.
    IfDamaged,
    /// At once.
    Always,
}

/// What was done to get a database open.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Recovery {
    /// Messages about the damage that was found.
    pub notes: Vec<String>,
    /// Where the damaged database is now.
    pub quarantine: Option<PathBuf>,
}

impl StateDir {
    /// Takes the directory for this process. It is made when there is none.
    pub(super) fn take(dir: &Path, now: Wall) -> Result<StateDir, StoreError> {
        let refused = |error: io::Error| StoreError::Unusable { why: explain(dir, &error), dir: dir.into() };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(refused)?;
        // In a volume that belongs to root and is merely writable for us, this is refused; the files in it have their own
        // modes.
        let _ = fs::set_permissions(dir, Permissions::from_mode(0o700));
        let path = dir.join("lock");
        let mut lock = files::open_private(&path).map_err(refused)?;
        match lock_patiently(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { dir: dir.into(), holder: read_holder(&lock) });
            }
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        let state_dir = StateDir { dir: dir.into(), lock: Arc::new(lock.try_clone().map_err(refused)?) };
        // Before anything is written: a newer plugfish's directory is not touched.
        state_dir.check_format()?;
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| write!(lock, "process {} since {now}", std::process::id()))
            .and_then(|()| lock.sync_all())
            .map_err(refused)?;
        Ok(state_dir)
    }

    /// The path of the directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of the backup.
    pub(super) fn backup(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    /// The path of the database.
    pub(super) fn database(&self) -> PathBuf {
        self.dir.join("sled")
    }

    fn format_path(&self) -> PathBuf {
        self.dir.join("format")
    }

    /// The format of the directory, if it says one.
    fn format(&self) -> Option<u32> {
        let text = files::read_own(&self.format_path(), FORMAT_BYTES_MAX).ok()?;
        std::str::from_utf8(&text).ok()?.trim().parse().ok()
    }

    fn check_format(&self) -> Result<(), StoreError> {
        match self.format() {
            Some(found) if found > FORMAT => Err(StoreError::Newer { dir: self.dir.clone(), found }),
            _ => Ok(()),
        }
    }

    /// Whether a store was opened here before.
    pub(super) fn was_used(&self) -> bool {
        self.format_path().exists()
    }

    /// The format of an older directory, which has to be upgraded.
    pub(super) fn older_format(&self) -> Option<u32> {
        self.format().filter(|found| *found < FORMAT)
    }

    /// Keeps the backup of an older format under a name of its own. Returns that name.
    pub(super) fn keep_backup_of(&self, format: u32) -> io::Result<Option<PathBuf>> {
        let kept = self.dir.join(format!("state.before-format-{FORMAT}-from-{format}.json"));
        let bytes_max = usize::try_from(SIZE_MAX).unwrap_or(usize::MAX);
        match files::read_own(&self.backup(), bytes_max) {
            Ok(bytes) => {
                files::write_private(&kept, &bytes)?;
                Ok(Some(kept))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Marks the directory as one of this format.
    pub(super) fn write_format(&self) -> io::Result<()> {
        match self.format() {
            Some(FORMAT) => Ok(()),
            _ => super::backup::write_atomic(&self.format_path(), &format!("{FORMAT}\n")),
        }
    }

    /// Writes and syncs a small file, which a disk that works does in no time.
    pub(super) fn try_disk(&self) -> io::Result<()> {
        super::backup::write_atomic(&self.format_path(), &format!("{FORMAT}\n"))
    }

    /// Makes sure that the directory is still there and still ours: it may have been removed meanwhile.
    pub(super) fn hold(&mut self) -> io::Result<()> {
        let path = self.dir.join("lock");
        let ours = self.lock.metadata()?;
        if fs::metadata(&path).is_ok_and(|found| (found.dev(), found.ino()) == (ours.dev(), ours.ino())) {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let lock = files::open_private(&path)?;
        lock.try_lock().map_err(|_| io::Error::other("another plugfish has taken the directory"))?;
        self.lock = Arc::new(lock);
        self.write_format()
    }

    /// Opens the database, with what helps against the usual damage: without its snapshot files; else put aside, and in
    /// its place its copy, when it only forgets, or a new one.
    pub(super) fn open_database(&self, aside: Quarantine, now: Wall) -> Result<(Tree, Pairs, Recovery), TreeError> {
        let path = self.database();
        let system = |error| TreeError::system(&self.dir, &error);
        let mut recovery = Recovery::default();
        // An exchange that was stopped in the middle is finished.
        self.use_copy().map_err(system)?;
        if aside != Quarantine::Always {
            let mut opened = Tree::open(&path);
            if let Err(TreeError { fault: Fault::Damaged, why }) = &opened {
                recovery.notes.push(format!("the database {} could not be opened: {why}", path.display()));
                let snapshots = tree::delete_snapshots(&path);
                opened = Tree::open(&path).inspect(|_| {
                    recovery.notes.push(format!("it could be opened without its {snapshots} snapshot files"));
                });
            }
            match opened {
                Ok((tree, pairs)) => return Ok((tree, pairs, recovery)),
                Err(error) if error.fault == Fault::Forgets => {
                    recovery.notes.push(format!("the database {} is copied: {error}", path.display()));
                }
                Err(error) if error.fault == Fault::Damaged && aside == Quarantine::IfDamaged => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(quarantine) = self.put_aside(now).map_err(system)? {
            recovery.notes.push(format!("it was put aside as {}", quarantine.display()));
            recovery.quarantine = Some(quarantine);
        }
        self.use_copy().map_err(system)?;
        let (tree, pairs) = Tree::open(&path)?;
        Ok((tree, pairs, recovery))
    }

    /// Puts the copy of a database that forgets in the place of it, when both are so far.
    fn use_copy(&self) -> io::Result<()> {
        let (path, copy) = (self.database(), tree::copy_of(&self.database()));
        if path.exists() || !copy.exists() {
            return Ok(());
        }
        fs::rename(copy, path)?;
        File::open(&self.dir)?.sync_all()
    }

    /// Moves the database to quarantine, if there is one.
    fn put_aside(&self, now: Wall) -> io::Result<Option<PathBuf>> {
        if !self.database().exists() {
            return Ok(None);
        }
        // Sorts by time, and two in one second get different names.
        let stamp = now.to_string().replace([':', '-'], "");
        let free = (0..100).map(|n| self.dir.join(format!("quarantine-{stamp}-{n:02}"))).find(|path| !path.exists());
        let quarantine = free.ok_or_else(|| io::Error::other("too many quarantined databases in one second"))?;
        fs::rename(self.database(), &quarantine)?;
        let mut old: Vec<PathBuf> = fs::read_dir(&self.dir)?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("quarantine-")))
            .collect();
        old.sort();
        for path in old.iter().rev().skip(QUARANTINES_MAX) {
            // One that cannot be removed is no reason not to start.
            let _ = fs::remove_dir_all(path);
        }
        File::open(&self.dir)?.sync_all()?;
        Ok(Some(quarantine))
    }
}

/// Who holds the directory, as it wrote itself; `None` when no one does, or when that cannot be seen. Nothing is changed.
pub(super) fn holder(dir: &Path) -> Option<String> {
    let lock = files::open_own(&dir.join("lock")).ok()?;
    // Held for this moment only: who takes the directory just now tries more than once.
    matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)).then(|| read_holder(&lock))
}

fn read_holder(lock: &File) -> String {
    let mut holder = String::new();
    let _ = lock.take(HOLDER_BYTES_MAX).read_to_string(&mut holder);
    holder.trim().into()
}

/// Runs on the thread of `disk.rs`, which may sleep.
fn lock_patiently(lock: &File) -> Result<(), TryLockError> {
    for _ in 1..LOCK_TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            other => return other,
        }
    }
    lock.try_lock()
}

/// What the system said about a directory, with what to do.
fn explain(dir: &Path, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let nearest = dir.ancestors().find_map(|path| fs::metadata(path).ok().map(|meta| (path, meta)));
            let own = fs::metadata("/proc/self").map(|own| own.uid());
            match (nearest, own) {
                (Some((path, meta)), Ok(own)) => format!(
                    "; {} belongs to user {} with mode {:o}, plugfish runs as user {own}: chown it, or set `state_dir` \
                     to a directory of your own",
                    path.display(),
                    meta.uid(),
                    meta.mode() & 0o7777
                ),
                _ => "; chown it, or set `state_dir` to a directory of your own".into(),
            }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space there".into(),
        io::ErrorKind::ReadOnlyFilesystem => "; set `state_dir` to a place that can be written".into(),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "; a file is where a directory should be".into(),
        _ => String::new(),
    };
    format!("{error}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holder(dir.path()), None);
        let state_dir = StateDir::take(dir.path(), Wall(0)).unwrap();
        assert!(holder(dir.path()).is_some_and(|who| who.starts_with("process ")));
        let second = StateDir::take(dir.path(), Wall(0)).unwrap_err();
        let text = second.to_string();
        assert!(matches!(second, StoreError::InUse { .. }), "{text}");
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        assert!(text.contains(&dir.path().display().to_string()), "{text}");
        drop(state_dir);
        assert_eq!(holder(dir.path()), None);
        StateDir::take(dir.path(), Wall(0)).unwrap();
    }

    #[test]
    fn a_directory_is_made_and_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let _place = StateDir::take(&path, Wall(0)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(path.join("lock")).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_newer_directory_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("format"), format!("{}\n", FORMAT + 1)).unwrap();
        fs::write(dir.path().join("lock"), "as it was").unwrap();
        let error = StateDir::take(dir.path(), Wall(0)).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found, .. } if found == FORMAT + 1), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join("lock")).unwrap(), "as it was");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_path_through_a_file_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        for path in ["file", "file/state"] {
            let error = StateDir::take(&dir.path().join(path), Wall(0)).unwrap_err().to_string();
            assert!(error.contains("file") && error.contains("where a directory should be"), "{error}");
        }
    }

    #[test]
    fn a_few_quarantines_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = StateDir::take(dir.path(), Wall(0)).unwrap();
        assert_eq!(state_dir.put_aside(Wall(0)).unwrap(), None);
        let mut paths = Vec::new();
        for n in 0..5 {
            fs::create_dir(dir.path().join("sled")).unwrap();
            paths.push(state_dir.put_aside(Wall(n / 2 * 1000)).unwrap().unwrap());
        }
        let there: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
        assert_eq!(there, [false, false, true, true, true]);
    }

    #[test]
    fn files_that_are_links_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("elsewhere"), "kept").unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("lock")).unwrap();
        let error = StateDir::take(dir.path(), Wall(0)).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join("elsewhere")).unwrap(), "kept");
    }

    #[test]
    fn an_exchange_that_was_stopped_in_the_middle_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = StateDir::take(dir.path(), Wall(0)).unwrap();
        let open = || state_dir.open_database(Quarantine::IfDamaged, Wall(0)).unwrap();
        let (tree, ..) = open();
        tree.write(vec![(b"a".to_vec(), Some(b"1".to_vec()))]).unwrap();
        tree.close().unwrap();
        fs::rename(state_dir.database(), tree::copy_of(&state_dir.database())).unwrap();
        let (_tree, pairs, recovery) = open();
        assert_eq!(pairs, [(b"a".to_vec(), b"1".to_vec())]);
        assert_eq!(recovery, Recovery::default());
    }

    #[test]
    fn a_directory_that_was_removed_is_made_again_and_stays_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let mut state_dir = StateDir::take(&path, Wall(0)).unwrap();
        state_dir.hold().unwrap();
        fs::remove_dir_all(&path).unwrap();
        state_dir.hold().unwrap();
        assert!(matches!(StateDir::take(&path, Wall(0)), Err(StoreError::InUse { .. })));
        fs::remove_dir_all(&path).unwrap();
        let _other = StateDir::take(&path, Wall(0)).unwrap();
        assert!(state_dir.hold().is_err(), "another one has it now");
    }
}
