//! The expected content of the database: the number of records, and a sum over their names and revisions.
//!
//! The manifest has both, so that the start detects a missing record, and also one in an older version: sled, with a
//! damaged log, restores either silently. Pure.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::record::{FORMAT, Key, ManifestRecord};

/// See the top of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The records and the revisions that wrote them.
    revisions: BTreeMap<Key, u64>,
    sum: u64,
}

impl Manifest {
    /// A record was written.
    pub(super) fn put(&mut self, key: &Key, revision: u64) {
        self.remove(key);
        self.revisions.insert(key.clone(), revision);
        self.sum = self.sum.wrapping_add(trace(key, revision));
    }

    /// A record is gone. Says whether it was there.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        let Some(revision) = self.revisions.remove(key) else { return false };
        self.sum = self.sum.wrapping_sub(trace(key, revision));
        true
    }

    /// The manifest of exactly these records.
    pub(super) fn record(&self) -> ManifestRecord {
        ManifestRecord { format: FORMAT, count: self.revisions.len() as u64, sum: self.sum }
    }
}

impl<'a> FromIterator<(&'a Key, u64)> for Manifest {
    fn from_iter<T: IntoIterator<Item = (&'a Key, u64)>>(records: T) -> Manifest {
        let mut manifest = Manifest::default();
        for (key, revision) in records {
            manifest.put(key, revision);
        }
        manifest
    }
}

/// What one record adds to the sum: 64 well-mixed bits, since small sums of small numbers meet by chance.
fn trace(key: &Key, revision: u64) -> u64 {
    let mut hash = Sha256::new();
    hash.update(key.to_string());
    hash.update(revision.to_le_bytes());
    hash.finalize().first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::Value(name.into())
    }

    #[test]
    fn the_manifest_depends_on_what_is_there_and_not_on_the_way_there() {
        let straight: Manifest = [(&key("a"), 3), (&key("b"), 4)].into_iter().collect();
        let mut winding = Manifest::default();
        for (name, revision) in [("b", 1), ("c", 1), ("a", 2), ("b", 4), ("a", 3)] {
            winding.put(&key(name), revision);
        }
        assert_ne!(winding.record(), straight.record());
        assert!(winding.remove(&key("c")) && !winding.remove(&key("c")));
        assert_eq!(winding, straight);
    }

    #[test]
    fn an_older_version_of_a_record_changes_the_manifest() {
        let now: Manifest = [(&key("a"), 3), (&key("b"), 4)].into_iter().collect();
        for other in
            [[(&key("a"), 2), (&key("b"), 4)], [(&key("a"), 4), (&key("b"), 3)], [(&key("a"), 3), (&key("c"), 4)]]
        {
            let other: Manifest = other.into_iter().collect();
            assert_eq!(other.record().count, now.record().count);
            assert_ne!(other.record(), now.record());
        }
    }
}
