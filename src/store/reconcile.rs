//! Which records to believe at the start: those of the database, those of `state.json`, or the newer of both.
//!
//! Pure. The rules:
//!
//! 1. A database that is whole (its manifest fits what is there) and not older than the backup is believed alone.
//! 2. A backup that was written because the database could not be is believed alone unless the database is newer.
//! 3. Else something is lost. Of each record the copy with the higher revision is taken, and what the database lacks
//!    comes from the backup.
//! 4. An intent never comes back from an ordinary backup unless the power may have been cut for it (its stage): it may have
//!    been done and cleared since, and a command that was done long ago must not be done again, while a machine that was
//!    switched off for a power cycle must not stay off. The node's actor looks at the device first in any case.
//! 5. After a loss all sessions end, since one that was logged out could come back. An account that was deleted does
//!    not: the backup is rewritten with each change of an account.

use std::collections::BTreeMap;

use super::backup::Backup;
use super::manifest::Manifest;
use super::record::{self, Content, FORMAT, Key, ManifestRecord};
use super::state::{Entry, State};
use crate::node::journal::Stage;

/// Longer names of damaged records are cut where they are told.
const NAME_SHOWN_MAX: usize = 80;

/// What was read from the database.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The records that are whole.
    pub entries: BTreeMap<Key, Entry>,
    /// The manifest and its revision.
    pub manifest: Option<(u64, ManifestRecord)>,
    /// What is damaged, in words.
    pub dropped: Vec<String>,
}

/// The state to start with.
#[derive(Debug, PartialEq)]
pub(super) struct Recovered {
    pub state: State,
    /// The database has to be rewritten from it.
    pub rewrite: bool,
    /// What was lost and found, in words.
    pub notes: Vec<String>,
}

impl Found {
    /// Reads the records of a database.
    pub(super) fn from_pairs(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Found {
        let mut found = Found::default();
        for (key_bytes, bytes) in pairs {
            // The whole key: what is cut is for people alone.
            let name = String::from_utf8_lossy(&key_bytes);
            let entry = name.parse().and_then(|key| {
                let (revision, content) = record::decode(&key, &bytes)?;
                Ok((key, revision, content))
            });
            match entry {
                Ok((_, revision, Content::Manifest(manifest))) => found.manifest = Some((revision, manifest)),
                Ok((key, revision, content)) => {
                    found.entries.insert(key, Entry { revision, content });
                }
                Err(error) => {
                    let name: String = name.chars().take(NAME_SHOWN_MAX).collect();
                    found.dropped.push(format!("the record {name:?} was damaged and is dropped: {error}"));
                }
            }
        }
        found
    }

    /// The format of a database that a newer plugfish wrote.
    pub(super) fn newer_format(&self) -> Option<u32> {
        self.manifest.map(|(_, manifest)| manifest.format).filter(|format| *format > FORMAT)
    }

    fn revision(&self) -> u64 {
        let records = self.entries.values().map(|entry| entry.revision);
        records.chain(self.manifest.map(|(revision, _)| revision)).max().unwrap_or(0)
    }

    /// The records as they are.
    pub(super) fn manifest(&self) -> Manifest {
        self.entries.iter().map(|(key, entry)| (key, entry.revision)).collect()
    }

    /// What is missing or does not fit, in words; empty for a database that is whole, or new.
    fn faults(&self) -> Vec<String> {
        let mut faults = self.dropped.clone();
        let there = self.entries.len() as u64;
        match self.manifest {
            None if there == 0 => {}
            None => faults.push(format!("the database has {there} records and no manifest")),
            Some((_, manifest)) if manifest.count > there => {
                faults.push(format!("{} of {} records are missing", manifest.count - there, manifest.count));
            }
            Some((_, manifest))
                if manifest != (ManifestRecord { format: manifest.format, ..self.manifest().record() }) =>
            {
                faults.push("some records are not those that were written last".into());
            }
            Some(_) => {}
        }
        faults
    }
}

/// Applies the rules above.
pub(super) fn reconcile(found: Found, backup: Option<Backup>) -> Recovered {
    let mut notes = found.faults();
    let whole = notes.is_empty();
    let revision = found.revision();
    let empty = found.entries.is_empty() && found.manifest.is_none();
    let Some(backup) = backup.filter(|backup| !whole || empty || backup.state.revision > revision) else {
        let mut entries = found.entries;
        if !whole {
            notes.push("there is no backup to fill the gaps; all clients have to log in again".into());
            entries.retain(|key, _| !matches!(key, Key::Session(_)));
        }
        return Recovered { state: State { revision, entries }, rewrite: !whole, notes };
    };
    notes.extend(backup.dropped.iter().map(|what| format!("in state.json a record is dropped: {what}")));
    if backup.instead_of_database && backup.state.revision >= revision {
        notes.push(format!(
            "took {} records from state.json of {}, which was written while the database failed",
            backup.state.entries.len(),
            backup.written
        ));
        return Recovered { state: backup.state, rewrite: true, notes };
    }
    if whole {
        notes.push(match empty {
            true => "the database was gone or new, and state.json is there".into(),
            false => "the database is older than state.json".to_owned(),
        });
    }
    let state = merge(found, revision, backup, &mut notes);
    Recovered { state, rewrite: true, notes }
}

/// Rules 3 to 5.
fn merge(found: Found, revision: u64, backup: Backup, notes: &mut Vec<String>) -> State {
    let mut state = State { revision: revision.max(backup.state.revision), entries: found.entries };
    state.entries.retain(|key, _| !matches!(key, Key::Session(_)));
    let mut taken = 0_usize;
    let mut commands = Vec::new();
    for (key, mut entry) in backup.state.entries {
        let own = state.entries.get(&key);
        if own.is_some_and(|own| own.revision >= entry.revision) {
            continue;
        }
        if let Content::Node(commanded) = &mut entry.content {
            let known = own.and_then(|own| match &own.content {
                Content::Node(own) => own.intent.as_ref(),
                _ => None,
            });
            let dropped = commanded.intent.take_if(|intent| intent.stage == Stage::Accepted && known != Some(intent));
            if let Some(intent) = dropped {
                commands.push(format!(
                    "the command {} of {} in {key} comes from a backup and is dropped: it may have been done since",
                    intent.reset, intent.accepted
                ));
            }
        }
        taken += 1;
        state.entries.insert(key, entry);
    }
    notes.push(format!("took {taken} records from state.json of {}; all clients have to log in again", backup.written));
    notes.append(&mut commands);
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::SessionRecord;
    use crate::clock::Wall;
    use crate::node::ResetType;
    use crate::node::journal::{BootRecord, Intent};
    use crate::store::record::Commanded;

    fn value(name: &str, revision: u64) -> (Key, Entry) {
        (Key::Value(name.into()), Entry { revision, content: Content::Value(revision.into()) })
    }

    fn node(revision: u64, intent: Option<Intent>) -> (Key, Entry) {
        let commanded = Commanded { intent, boot: Some(BootRecord::default()) };
        (Key::Node("node-1".parse().unwrap()), Entry { revision, content: Content::Node(commanded) })
    }

    fn intent(cut: bool) -> Intent {
        let stage = if cut { Stage::Cutting } else { Stage::Accepted };
        Intent { number: 1, reset: ResetType::PowerCycle, first: None, accepted: Wall(0), by: "admin".into(), stage }
    }

    fn session() -> (Key, Entry) {
        let session = SessionRecord {
            id: "1".into(),
            token_hash: String::new(),
            username: "admin".into(),
            origin: None,
            context: None,
            created: Wall(0),
            last_used: Wall(0),
        };
        (Key::Session("1".into()), Entry { revision: 1, content: Content::Session(session) })
    }

    /// A database with these records, whose manifest has this revision and counts so many more than there are.
    fn found<const N: usize>(entries: [(Key, Entry); N], manifest: Option<(u64, u64)>) -> Found {
        let mut found = Found { entries: entries.into(), ..Found::default() };
        let ManifestRecord { count, sum, .. } = found.manifest().record();
        found.manifest = manifest.map(|(revision, more)| {
            (revision, ManifestRecord { format: FORMAT, count: count + more, sum: sum + more })
        });
        found
    }

    fn backup<const N: usize>(revision: u64, entries: [(Key, Entry); N]) -> Option<Backup> {
        let state = State { revision, entries: entries.into() };
        Some(Backup { written: Wall(0), instead_of_database: false, state, dropped: vec![] })
    }

    /// What is in the settled state, with the revision of each record, and whether the database is rewritten.
    fn outcome(found: Found, backup: Option<Backup>) -> (Vec<(String, u64)>, bool) {
        let recovered = reconcile(found, backup);
        assert_eq!(recovered.rewrite, !recovered.notes.is_empty(), "{:?}", recovered.notes);
        let records = recovered.state.entries.iter().map(|(key, entry)| (key.to_string(), entry.revision));
        (records.collect(), recovered.rewrite)
    }

    fn names(list: &[(&str, u64)]) -> Vec<(String, u64)> {
        list.iter().map(|(name, revision)| ((*name).into(), *revision)).collect()
    }

    #[test]
    fn nothing_at_all_is_a_fresh_start() {
        assert_eq!(outcome(Found::default(), None), (vec![], false));
    }

    #[test]
    fn a_whole_database_is_believed_alone() {
        let whole = || found([value("a", 7), session()], Some((9, 0)));
        let expected = names(&[("session/1", 1), ("value/a", 7)]);
        assert_eq!(outcome(whole(), None), (expected.clone(), false));
        // What was deleted since the backup does not come back, and neither does an old value.
        assert_eq!(outcome(whole(), backup(8, [value("a", 5), value("gone", 6)])), (expected.clone(), false));
        assert_eq!(outcome(whole(), backup(9, [value("a", 7)])), (expected, false));
    }

    #[test]
    fn what_is_missing_comes_from_the_backup_and_the_newer_copy_wins() {
        let lossy = found([value("a", 7), session()], Some((9, 1)));
        let merged = outcome(lossy, backup(6, [value("a", 5), value("b", 6)]));
        assert_eq!(merged, (names(&[("value/a", 7), ("value/b", 6)]), true));
        let stale = found([value("a", 2)], Some((2, 0)));
        let merged = outcome(stale, backup(6, [value("a", 5), value("b", 6)]));
        assert_eq!(merged, (names(&[("value/a", 5), ("value/b", 6)]), true));
    }

    #[test]
    fn damage_without_a_backup_keeps_what_is_left() {
        let mut lossy = found([value("a", 7), session()], None);
        lossy.dropped.push("x".into());
        assert_eq!(outcome(lossy, None), (names(&[("value/a", 7)]), true));
    }

    #[test]
    fn an_older_version_of_a_record_is_noticed() {
        let mut stale = found([value("a", 7), value("b", 8)], Some((8, 0)));
        stale.entries.extend([value("a", 5)]);
        let merged = outcome(stale, backup(6, [value("a", 6)]));
        assert_eq!(merged, (names(&[("value/a", 6), ("value/b", 8)]), true));
    }

    /// The intent after reconciliation.
    fn intent_after(found: Found, backup: Option<Backup>) -> Option<Intent> {
        reconcile(found, backup).state.node(&"node-1".parse().unwrap()).intent
    }

    #[test]
    fn a_lost_database_brings_back_only_intents_with_the_power_cut() {
        assert_eq!(intent_after(Found::default(), backup(5, [node(5, Some(intent(false)))])), None);
        assert_eq!(intent_after(Found::default(), backup(5, [node(5, Some(intent(true)))])), Some(intent(true)));
    }

    #[test]
    fn an_intent_that_was_cleared_does_not_come_back() {
        let lossy = found([node(8, None)], Some((9, 1)));
        assert_eq!(intent_after(lossy, backup(5, [node(5, Some(intent(true)))])), None);
    }

    #[test]
    fn an_intent_that_the_database_knows_too_is_kept() {
        let lossy = found([node(4, Some(intent(false)))], Some((9, 1)));
        assert_eq!(intent_after(lossy, backup(10, [node(5, Some(intent(false)))])), Some(intent(false)));
    }

    #[test]
    fn a_backup_in_the_place_of_the_database_keeps_its_intents() {
        let whole = || found([node(4, None)], Some((4, 0)));
        let instead = |revision| {
            let ordinary = backup(revision, [node(revision, Some(intent(false)))]);
            ordinary.map(|backup| Backup { instead_of_database: true, ..backup })
        };
        assert_eq!(intent_after(whole(), instead(5)), Some(intent(false)));
        assert_eq!(intent_after(whole(), instead(3)), None, "the database came back after it");
    }

    #[test]
    fn a_newer_format_is_seen() {
        let mut newer = found([], Some((1, 0)));
        assert_eq!(newer.newer_format(), None);
        newer.manifest = Some((1, ManifestRecord { format: FORMAT + 1, count: 0, sum: 0 }));
        assert_eq!(newer.newer_format(), Some(FORMAT + 1));
    }
}
