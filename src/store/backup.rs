//! `state.json`: the whole state as one file that people and other programs can read.
//!
//! It is used to recover when the database is lost, it is written while the database fails, it is the format of
//! `plugfish export` and `plugfish restore`, and a migration path away from sled. It is replaced as a whole: temporary
//! name, fsync, rename, fsync of the directory. Sessions are not in it: after a loss all clients log in again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use super::record::{Content, FORMAT, Key, RecordError};
use super::state::{Entry, State};
use crate::clock::Wall;
use crate::files;

/// Largest `state.json` that is read. 10,000 nodes make 8 MiB.
pub(crate) const SIZE_MAX: u64 = 128 * 1024 * 1024;

/// A backup that was read.
#[derive(Debug)]
pub(super) struct Backup {
    /// Time of writing.
    pub written: Wall,
    /// It was written because the database could not be: nothing newer is anywhere.
    pub instead_of_database: bool,
    pub state: State,
    /// Records that were not understood, in words.
    pub dropped: Vec<String>,
}

/// Why a backup cannot be used.
#[derive(Debug, Error)]
pub(super) enum BackupError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Over [`SIZE_MAX`].
    #[error("it is larger than {} MiB", SIZE_MAX / 1024 / 1024)]
    Large,
    /// Not a backup of ours.
    #[error("it is no state of plugfish: {0}")]
    Shape(#[from] serde_json::Error),
    /// Bits have changed.
    #[error("its checksum is wrong")]
    Checksum,
    /// A newer plugfish wrote it.
    #[error("it was written by a newer plugfish (format {0}, this one knows {FORMAT})")]
    Newer(u32),
}

/// The file.
#[derive(Serialize, Deserialize)]
struct Document<R> {
    plugfish_state: u32,
    revision: u64,
    written: Wall,
    #[serde(default)]
    instead_of_database: bool,
    /// Of the text of `records`. Left out in an export, which people may edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crc32: Option<String>,
    records: R,
}

#[derive(Serialize, Deserialize)]
struct RecordText {
    revision: u64,
    content: Box<RawValue>,
}

/// The state as a JSON value, for `plugfish export`.
pub(super) fn export(state: &State, now: Wall) -> Result<serde_json::Value, RecordError> {
    let body = |error: serde_json::Error| RecordError::Body(error.to_string());
    let records = serde_json::to_value(records_of(state)?).map_err(body)?;
    serde_json::to_value(Document {
        plugfish_state: FORMAT,
        revision: state.revision,
        written: now,
        instead_of_database: false,
        crc32: None,
        records,
    })
    .map_err(body)
}

/// The state as the text of `state.json`.
pub(super) fn encode(state: &State, now: Wall, instead_of_database: bool) -> Result<String, RecordError> {
    let body = |error: serde_json::Error| RecordError::Body(error.to_string());
    let records = serde_json::value::to_raw_value(&records_of(state)?).map_err(body)?;
    let crc32 = Some(checksum(&records));
    let document = Document {
        plugfish_state: FORMAT,
        revision: state.revision,
        written: now,
        instead_of_database,
        crc32,
        records,
    };
    serde_json::to_string(&document).map_err(body)
}

fn records_of(state: &State) -> Result<BTreeMap<String, RecordText>, RecordError> {
    let kept = state.entries.iter().filter(|(key, _)| !matches!(key, Key::Session(_)));
    kept.map(|(key, entry)| {
        let content = serde_json::value::to_raw_value(&entry.content.to_value()?)
            .map_err(|error| RecordError::Body(error.to_string()))?;
        Ok((key.to_string(), RecordText { revision: entry.revision, content }))
    })
    .collect()
}

fn checksum(records: &RawValue) -> String {
    format!("{:08x}", crc32fast::hash(records.get().as_bytes()))
}

/// Reads the text of a backup. Records that are not understood are left out and named.
pub(super) fn decode(text: &str) -> Result<Backup, BackupError> {
    /// The format comes first: a newer one may have changed all the rest.
    #[derive(Deserialize)]
    struct Format {
        plugfish_state: u32,
    }
    let Format { plugfish_state } = serde_json::from_str(text)?;
    if plugfish_state > FORMAT {
        return Err(BackupError::Newer(plugfish_state));
    }
    let document: Document<Box<RawValue>> = serde_json::from_str(text)?;
    if document.crc32.is_some_and(|crc32| crc32 != checksum(&document.records)) {
        return Err(BackupError::Checksum);
    }
    let records: BTreeMap<String, RecordText> = serde_json::from_str(document.records.get())?;
    let mut backup = Backup {
        written: document.written,
        instead_of_database: document.instead_of_database,
        state: State { revision: document.revision, entries: BTreeMap::new() },
        dropped: Vec::new(),
    };
    for (name, record) in records {
        let content = name.parse().and_then(|key| {
            let content = Content::from_slice(&key, record.content.get().as_bytes())?;
            Ok((key, content))
        });
        match content {
            Ok((Key::Manifest | Key::Session(_), _)) => {}
            Ok((key, content)) => {
                backup.state.entries.insert(key, Entry { revision: record.revision, content });
            }
            Err(error) => backup.dropped.push(format!("{name}: {error}")),
        }
    }
    Ok(backup)
}

/// Reads a backup file; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Backup>, BackupError> {
    let file = match files::open_own(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut text = String::new();
    file.take(SIZE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SIZE_MAX {
        return Err(BackupError::Large);
    }
    decode(&text).map(Some)
}

/// Puts `text` in the place of the file at `path`, so that after a power cut the old or the new one is there, whole.
pub(super) fn write_atomic(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    // A disk that does not answer, for tests: a pipe without a writer.
    #[cfg(test)]
    let _ = File::open(path.with_extension("hangs"));
    let written = files::write_private(&temporary, text.as_bytes()).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // On a full disk the half-written file must not keep what little space there is.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn state() -> State {
        let entry = |revision, text: &str| Entry { revision, content: Content::Value(text.into()) };
        let entries = BTreeMap::from([
            (Key::Value("a".into()), entry(3, "one")),
            (Key::Value("b".into()), entry(5, "zwei \u{1F41F} \" \\")),
        ]);
        State { revision: 5, entries }
    }

    #[test]
    fn a_backup_comes_back_as_it_was() {
        let backup = decode(&encode(&state(), Wall(99), true).unwrap()).unwrap();
        assert_eq!(backup.state, state());
        assert_eq!((backup.written, backup.instead_of_database), (Wall(99), true));
        let exported = export(&state(), Wall(99)).unwrap();
        let pretty = serde_json::to_string_pretty(&exported).unwrap();
        assert_eq!(decode(&pretty).unwrap().state, state(), "an export may be formatted differently");
    }

    #[test]
    fn a_changed_byte_in_a_record_is_noticed() {
        let text = encode(&state(), Wall(99), false).unwrap();
        assert!(matches!(decode(&text.replace("one", "ohe")), Err(BackupError::Checksum)));
    }

    #[test]
    fn a_newer_backup_is_named_as_such() {
        let text = r#"{"plugfish_state": 2, "all": "else has changed"}"#;
        assert!(matches!(decode(text), Err(BackupError::Newer(2))));
    }

    #[test]
    fn what_is_not_understood_is_left_out_and_named() {
        let text = r#"{"plugfish_state":1,"revision":1,"written":0,"records":{
            "value/a": {"revision":1,"content":1}, "thing/b": {"revision":1,"content":1}, "seen/c": {"revision":1,"content":1}}}"#;
        let backup = decode(text).unwrap();
        assert_eq!(backup.state.entries.len(), 1);
        assert_eq!(backup.dropped.len(), 2, "{:?}", backup.dropped);
    }

    #[test]
    fn the_file_is_exchanged_as_a_whole_and_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        assert!(read(&path).unwrap().is_none());
        write_atomic(&path, "old").unwrap();
        write_atomic(&path, &encode(&state(), Wall(1), false).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap().unwrap().state, state());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }
}
