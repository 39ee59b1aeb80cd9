//! Which files a configuration was made of, and whether they have changed since: nodes.yaml, the files of its secrets and of
//! its certificate.
//!
//! They are looked at instead of listened to. A look follows links, so it sees what editors (a new file in the place of
//! the old one), Kubernetes (a link that leads to another folder) and network file systems do, and it costs a few
//! microseconds.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::load::{in_time, load_in};
use super::{ConfigProblems, Loaded, TlsConfig};
use crate::reader::{Environment, Host};

/// How often the files are looked at. A change is taken when it has stayed the same from one look to the next, so that a
/// file is not read while it is being written.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells one state of a file from another: device, inode, size, last change of the content and of the inode. `None`
/// when it cannot be looked at.
type Stamp = Option<[i128; 5]>;

fn stamp(path: &Path) -> Stamp {
    let about = std::fs::metadata(path).ok()?;
    let nanos = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let (changed, inode_changed) = (nanos(about.mtime(), about.mtime_nsec()), nanos(about.ctime(), about.ctime_nsec()));
    Some([about.dev().into(), about.ino().into(), about.size().into(), changed, inode_changed])
}

/// The files of a configuration as they were when it was read.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    files: Vec<(PathBuf, Stamp)>,
    /// What the last look found, where that was something new.
    news: Option<Vec<Stamp>>,
}

impl Watch {
    /// Reads the configuration, and remembers of which files it is made. Of a bad one all that were watched before are
    /// watched on, since it may not have come to name them.
    pub(crate) fn load(&mut self, path: &Path) -> Result<Loaded, ConfigProblems> {
        let file = path.to_owned();
        let read = in_time(path, move || {
            let host = Remembering { files: RefCell::default() };
            let loaded = load_in(&file, &host);
            (loaded, host.files.into_inner())
        });
        let (loaded, mut files) = read.unwrap_or_else(|hangs| (Err(hangs), Vec::new()));
        let mut add = |path: &Path, stamp: Stamp| {
            if !files.iter().any(|(known, _)| known == path) {
                files.push((path.into(), stamp));
            }
        };
        match &loaded {
            Ok(loaded) => {
                if let Some(TlsConfig::Files { certificate, key }) = &loaded.config.server.tls {
                    [certificate, key].into_iter().for_each(|path| add(path, stamp(path)));
                }
            }
            Err(_) => self.files.iter().for_each(|(path, _)| add(path, stamp(path))),
        }
        (self.files, self.news) = (files, None);
        loaded
    }

    /// Looks at the files: whether they have changed since they were read, and not any more since the last look.
    pub(crate) fn look(&mut self) -> bool {
        let now: Vec<Stamp> = self.files.iter().map(|(path, _)| stamp(path)).collect();
        let is_new = self.files.iter().zip(&now).any(|((_, known), now)| known != now);
        let has_settled = is_new && self.news.as_ref() == Some(&now);
        self.news = is_new.then_some(now);
        has_settled
    }
}

/// The real surroundings, which remember what was read.
struct Remembering {
    files: RefCell<Vec<(PathBuf, Stamp)>>,
}

impl Environment for Remembering {
    fn var(&self, name: &str) -> Option<OsString> {
        Host.var(name)
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        // Before it is read: what changes while it is read is seen by the next look.
        self.files.borrow_mut().push((path.into(), stamp(path)));
        Host.read(path, bytes_max)
    }

    fn everybody_reads(&self, path: &Path) -> bool {
        Host.everybody_reads(path)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const NODES: &str = "defaults: { tapo: { username: u, password: { file: pass } } }\n\
                         nodes: [{ id: a, tapo: { address: 192.0.2.1 } }]\n";

    fn folder(nodes: &str, pass: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("nodes.yaml"), nodes).unwrap();
        fs::write(dir.path().join("pass"), pass).unwrap();
        dir
    }

    #[test]
    fn a_change_of_any_file_is_seen_once_it_has_settled() {
        let dir = folder(NODES, "one");
        let path = dir.path().join("nodes.yaml");
        let mut watch = Watch::default();
        watch.load(&path).unwrap();
        assert!(!watch.look() && !watch.look(), "nothing has changed");
        for (round, name) in ["pass", "nodes.yaml"].into_iter().enumerate() {
            let text = fs::read_to_string(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name), &text[..text.len() / 2]).unwrap();
            assert!(!watch.look(), "it may still be written to");
            fs::write(dir.path().join(name), &text).unwrap();
            assert!(!watch.look(), "another change");
            assert!(watch.look(), "round {round}");
            watch.load(&path).unwrap();
            assert!(!watch.look() && !watch.look());
        }
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_a_change() {
        let (old, new, dir) = (folder(NODES, "one"), folder(NODES, "two"), tempfile::tempdir().unwrap());
        // As Kubernetes lays out a volume: files are links through `..data`, which is exchanged as a whole.
        let data = dir.path().join("..data");
        symlink(old.path(), &data).unwrap();
        for name in ["nodes.yaml", "pass"] {
            symlink(Path::new("..data").join(name), dir.path().join(name)).unwrap();
        }
        let mut watch = Watch::default();
        watch.load(&dir.path().join("nodes.yaml")).unwrap();
        symlink(new.path(), dir.path().join("..data_tmp")).unwrap();
        fs::rename(dir.path().join("..data_tmp"), &data).unwrap();
        assert!(!watch.look() && watch.look());
    }

    #[test]
    fn a_bad_file_is_watched_with_all_that_were_watched_before() {
        let dir = folder(NODES, "one");
        let path = dir.path().join("nodes.yaml");
        let mut watch = Watch::default();
        watch.load(&path).unwrap();
        fs::write(&path, "nodes: [").unwrap();
        watch.load(&path).unwrap_err();
        assert!(!watch.look() && !watch.look(), "it is bad, and known to be");
        fs::write(dir.path().join("pass"), "other").unwrap();
        assert!(!watch.look() && watch.look());
        fs::remove_file(&path).unwrap();
        watch.load(&path).unwrap_err();
        assert!(!watch.look() && !watch.look());
        fs::write(&path, NODES).unwrap();
        assert!(!watch.look() && watch.look(), "it is back");
    }
}
