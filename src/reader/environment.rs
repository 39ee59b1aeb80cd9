//! What the configuration takes from outside: environment variables and files. The only place in this room that does.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::files;

/// The environment and the files, so that tests need neither.
pub trait Environment {
    /// An environment variable.
    fn var(&self, name: &str) -> Option<OsString>;

    /// What a file holds. Of one that is larger than `bytes_max`, one byte more than that.
    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>>;

    /// Whether every user of this machine may read the file.
    fn everybody_reads(&self, path: &Path) -> bool;
}

/// The real ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Host;

impl Environment for Host {
    fn var(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        files::read(path, bytes_max)
    }

    fn everybody_reads(&self, path: &Path) -> bool {
        /// `r` for others.
        const OTHERS_READ: u32 = 0o004;
        std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.mode() & OTHERS_READ != 0)
    }
}
