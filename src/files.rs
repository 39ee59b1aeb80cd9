//! Opens files safely, both files of users and plugfish's own: without blocking, with a bounded size, and without
//! following a symbolic link on a write.
//!
//! Only regular files are read: reading a pipe would block, and a device has no end. A file system that does not answer
//! (NFS) blocks the calling thread, whatever the flags, so a caller that must not block uses [`within`] with a
//! deadline.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

/// `O_NONBLOCK`: a pipe without a writer opens at once, and is refused then.
const NONBLOCK: OFlags = OFlags::NONBLOCK;

/// `O_NONBLOCK`, and a link is an error.
const OWN: OFlags = OFlags::NONBLOCK.union(OFlags::NOFOLLOW);

fn flags(flags: OFlags) -> i32 {
    // Flags have far less than 31 bits.
    i32::try_from(flags.bits()).unwrap_or_default()
}

/// Opens a regular file to be read; links to one are followed.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    regular(OpenOptions::new().read(true).custom_flags(flags(NONBLOCK)).open(path)?)
}

/// The same for a file of our own, which is never a link.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    regular(OpenOptions::new().read(true).custom_flags(flags(OWN)).open(path).map_err(link)?)
}

/// Opens a file of our own to be read and written, or makes it, closed to others. A link is refused.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags(OWN));
    regular(options.open(path).map_err(link)?)
}

fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

/// `ELOOP` says nothing to people.
fn link(error: io::Error) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => io::Error::new(ErrorKind::InvalidInput, "it is a symbolic link; remove it"),
        _ => error,
    }
}

/// What a file holds; of one that is larger than `bytes_max`, one byte more than that.
pub(crate) fn read(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    take(open(path)?, bytes_max)
}

/// The same for a file of our own, which is never a link.
pub(crate) fn read_own(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    take(open_own(path)?, bytes_max)
}

fn take(file: File, bytes_max: usize) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes and syncs a file that only its owner may read. What was there before goes, a link too, and not what it led to.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Whether a folder belongs to this process's user or to root: another user could put files of theirs in the place of ours. One
/// that is not there yet is well.
pub(crate) fn check_ours(dir: &Path) -> io::Result<()> {
    let owner = match fs::metadata(dir) {
        Ok(about) => about.uid(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let us = rustix::process::geteuid().as_raw();
    if owner == us || owner == 0 {
        return Ok(());
    }
    let text =
        format!("it belongs to the user {owner}, and this runs as the user {us}; `chown` it, or name another one");
    Err(io::Error::new(ErrorKind::PermissionDenied, text))
}

/// Takes the right to read an open file from all but its owner, where it is a regular one. Whether it had to.
pub(crate) fn close_to_others(file: impl AsFd) -> io::Result<bool> {
    let about = rustix::fs::fstat(&file)?;
    let open = Mode::from_raw_mode(about.st_mode).intersects(Mode::RWXG | Mode::RWXO);
    if !FileType::from_raw_mode(about.st_mode).is_file() || !open {
        return Ok(false);
    }
    rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
    Ok(true)
}

/// Runs `work`, which waits for files, on a thread of its own, and is told when it takes longer than that. The thread is left
/// behind then: nothing ends a thread that waits for a file system.
pub(crate) fn within<T: Send + 'static>(
    deadline: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = sync_channel(1);
    thread::Builder::new().name("plugfish-files".into()).spawn(move || {
        // The caller no longer waits when it comes too late.
        let _ = tell.send(work());
    })?;
    told.recv_timeout(deadline).map_err(|_| {
        let text = format!("the file system did not answer within {} s", deadline.as_secs());
        io::Error::new(ErrorKind::TimedOut, text)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_regular_files_are_read_and_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "text").unwrap();
        symlink(at("file"), at("link")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
        assert!(made.success());
        let _socket = UnixListener::bind(at("socket")).unwrap();
        assert_eq!(read(&at("file"), 2).unwrap(), b"tex");
        assert_eq!(read(&at("link"), 9).unwrap(), b"text");
        assert_eq!(read_own(&at("file"), 9).unwrap(), b"text");
        assert!(read_own(&at("link"), 9).unwrap_err().to_string().contains("symbolic link"));
        assert!(open_private(&at("link")).unwrap_err().to_string().contains("symbolic link"));
        for odd in [at("pipe"), at("socket"), dir.path().into(), "/dev/zero".into()] {
            let whole = odd.clone();
            assert!(within(Duration::from_secs(5), move || read(&whole, 9)).unwrap().is_err(), "{odd:?}");
            let own = within(Duration::from_secs(5), move || open_private(&odd).map(drop)).unwrap();
            assert!(own.is_err());
        }
    }

    #[test]
    fn what_is_private_is_that_whatever_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("file"), dir.path().join("other"));
        for _ in 0..2 {
            write_private(&path, b"secret").unwrap();
            assert_eq!(
                (fs::read(&path).unwrap().as_slice(), fs::metadata(&path).unwrap().mode() & 0o777),
                (&b"secret"[..], 0o600)
            );
            fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        }
        fs::write(&other, "kept").unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        write_private(&path, b"secret").unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"kept");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn the_folder_of_another_user_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        check_ours(dir.path()).unwrap();
        check_ours(&dir.path().join("not there")).unwrap();
        // Only root can give a folder away; for other users there are those of root, as a rule.
        if chown(dir.path(), Some(12345), None).is_ok() {
            let error = check_ours(dir.path()).unwrap_err().to_string();
            assert!(error.contains("belongs to the user 12345"), "{error}");
        }
    }

    // Sleeps for real: a thread that hangs.
    #[test]
    fn who_cannot_wait_is_told() {
        let late = within(Duration::from_millis(20), || thread::sleep(Duration::from_secs(1)));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(within(Duration::from_secs(5), || 7).unwrap(), 7);
    }
}
