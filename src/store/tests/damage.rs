//! Damaged, truncated and deleted files: the store opens, serves no wrong value, reports the damage, and goes on
//! working.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::*;
use crate::node::journal::{Journal, NodeRecord};
use crate::store::open::Outcome;
use crate::store::state_dir::{Quarantine, StateDir};
use crate::store::tree::SEGMENT_BYTES;

pub(super) const NODES: usize = 150;

/// A closed store with [`NODES`] nodes, each with an intent, a boot override and an observation.
pub(super) fn template() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    wait(store.put_account(account("admin"))).unwrap();
    store.put_session(session("1", "admin"));
    // Several rounds, so that the log has old and new copies of each record.
    for group_commit in 0..4 {
        let mut writes = Vec::new();
        for n in 0..NODES {
            store.note_seen(&node(n), SeenRecord { since: Wall(group_commit), ..seen(n) });
            writes.push(store.record_intent(&node(n), intent(group_commit as u64)));
            writes.push(store.record_boot(&node(n), boot(group_commit as u64)));
        }
        assert!(writes.into_iter().map(wait).all(|result| result.is_ok()));
        wait(store.sync()).unwrap();
    }
    store.close();
    // sled makes its snapshot file when it opens a database that exists.
    open(dir.path()).0.close();
    dir
}

pub(super) fn copy(template: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let mut paths = vec![PathBuf::new()];
    while let Some(path) = paths.pop() {
        for entry in fs::read_dir(template.join(&path)).unwrap().map(|entry| entry.unwrap()) {
            let path = path.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => {
                    fs::create_dir(copy.path().join(&path)).unwrap();
                    paths.push(path);
                }
                // A running store may exchange its backup at this moment.
                false if path.extension().is_some_and(|extension| extension == "new") => {}
                false => drop(fs::copy(entry.path(), copy.path().join(&path)).unwrap()),
            }
        }
    }
    copy
}

/// What a store turned out to hold.
#[derive(Debug)]
pub(super) struct Survey {
    /// Nodes with everything.
    pub nodes: usize,
    pub report: OpenReport,
}

/// Opens the damaged store, checks the promises that hold for any damage, and counts what is left.
pub(super) fn survey(dir: &Path, what: &str) -> Survey {
    let (store, report) = open(dir);
    let mut nodes = 0;
    for n in 0..NODES {
        let NodeRecord { intent: intent_found, seen: seen_found, boot: boot_found, .. } = store.load(&node(n));
        // Whatever is there is a value that was written under this name: of the last round, or of one before.
        if let Some(found) = &intent_found {
            assert!(found.number < 4 && *found == intent(found.number), "{what}: {found:?}");
        }
        if let Some(found) = &seen_found {
            assert!(found.since.0 < 4 && *found == SeenRecord { since: found.since, ..seen(n) }, "{what}: {found:?}");
        }
        if let Some(found) = &boot_found {
            assert!(found.writes < 4 && *found == boot(found.writes), "{what}: {found:?}");
        }
        let newest = boot_found == Some(boot(3)) && seen_found == Some(SeenRecord { since: Wall(3), ..seen(n) });
        nodes += usize::from(newest);
    }
    if nodes < NODES || store.accounts().is_empty() {
        assert!(!report.notes.is_empty(), "{what}: {nodes} of {NODES} nodes are there and nothing was said");
    }
    wait(store.record_intent(&node(0), intent(99))).unwrap();
    wait(store.put_account(account("later"))).unwrap();
    store.close();
    let (store, second) = open(dir);
    assert_eq!(second.outcome, Outcome::Whole, "{what}: {second}");
    assert_eq!(store.load(&node(0)).intent, Some(intent(99)), "{what}");
    assert!(store.accounts().contains(&account("later")), "{what}");
    Survey { nodes, report }
}

pub(super) fn overwrite(path: &Path, at: u64, length: usize) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let noise: Vec<u8> = (0..length).map(|n| (n * 31 + at as usize) as u8 ^ 0x5a).collect();
    file.write_all_at(&noise, at).unwrap();
}

fn cut(path: &Path, by: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(by)).unwrap();
}

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("sled")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap.")).collect()
}

/// `PLUGFISH_ROT_PLACES` sets the number of places, 16 by default, about four seconds.
#[test]
fn bit_rot_anywhere_in_the_database() {
    let whole = template();
    let length = fs::metadata(whole.path().join("sled/db")).unwrap().len();
    let places = std::env::var("PLUGFISH_ROT_PLACES").ok().and_then(|text| text.parse().ok()).unwrap_or(16);
    let mut repaired = 0;
    for state_dir in 0..places {
        for backup in [true, false] {
            let dir = copy(whole.path());
            overwrite(&dir.path().join("sled/db"), length / places * state_dir + 8, 4096);
            if !backup {
                fs::remove_file(dir.path().join("state.json")).unwrap();
            }
            let what = format!("4 KiB at place {state_dir} of {places}, backup {backup}");
            let found = survey(dir.path(), &what);
            repaired += usize::from(found.report.outcome == Outcome::Repaired);
            if backup {
                assert_eq!(found.nodes, NODES, "{what}: with a backup nothing is lost; {}", found.report);
            }
        }
    }
    // How much of the file is in use differs from run to run; that some damage hits does not.
    assert!(repaired >= 2, "the damage did not hit: {repaired}");
}

/// sled opens a database whose last segment has a damaged head, writes on behind it, and does not find that again. Where
/// the last segment lies depends on the length of the records.
#[test]
fn what_is_written_behind_a_damaged_head_is_found_again() {
    let mut lost = Vec::new();
    for length in [100, 250, 400, 700] {
        let whole = tempfile::tempdir().unwrap();
        let open = |dir: &Path| {
            let (tree, pairs, recovery) =
                StateDir::take(dir, Wall(0)).unwrap().open_database(Quarantine::IfDamaged, Wall(0)).unwrap();
            (tree, pairs, recovery.notes)
        };
        let (tree, ..) = open(whole.path());
        for group_commit in 0..4 {
            tree.write((0..100).map(|key| (vec![key], Some(vec![group_commit; length]))).collect()).unwrap();
        }
        tree.close().unwrap();
        open(whole.path()).0.close().unwrap();
        let size = fs::metadata(whole.path().join("sled/db")).unwrap().len();
        for head in (0..size).step_by(SEGMENT_BYTES) {
            let dir = copy(whole.path());
            overwrite(&dir.path().join("sled/db"), head + 8, 1);
            let (tree, mut expected, notes) = open(dir.path());
            tree.write(vec![(vec![255], Some(vec![1; length]))]).unwrap();
            tree.close().unwrap();
            expected.push((vec![255], vec![1; length]));
            let (_tree, found, _) = open(dir.path());
            if found != expected {
                lost.push(format!("{length} bytes, head at {head} of {size}, {notes:?}"));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

#[test]
fn torn_tails() {
    let whole = template();
    let mut repaired = 0;
    for by in [1, 512, 4096, 20_000, 100_000, 200_000, 512_000] {
        for backup in [true, false] {
            let dir = copy(whole.path());
            cut(&dir.path().join("sled/db"), by);
            if !backup {
                fs::remove_file(dir.path().join("state.json")).unwrap();
            }
            let what = format!("cut by {by}, backup {backup}");
            let found = survey_torn(dir.path(), &what, backup);
            repaired += usize::from(found.report.outcome == Outcome::Repaired);
        }
    }
    assert!(repaired > 2, "the cuts did not hurt: {repaired}");
}

/// As [`survey`], but without a backup a cut tail may look like an older database that is whole: there is nothing that
/// could tell.
fn survey_torn(dir: &Path, what: &str, backup: bool) -> Survey {
    if backup {
        let found = survey(dir, what);
        assert_eq!(found.nodes, NODES, "{what}: with a backup nothing is lost; {}", found.report);
        return found;
    }
    let (store, report) = open(dir);
    store.close();
    Survey { nodes: 0, report }
}

#[test]
fn files_that_are_empty_or_noise_or_gone() {
    type Damage = fn(&Path);
    let empty: Damage = |path| fs::write(path, "").unwrap();
    let noise: Damage = |path| fs::write(path, [0xa5; 3000]).unwrap();
    let gone: Damage = |path| match path.is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    };
    let whole = template();
    for (name, damage) in [("empty", empty), ("noise", noise), ("gone", gone)] {
        for file in ["sled/db", "sled/conf", "sled/blobs", "sled", "state.json", "format", "lock"] {
            let path = whole.path().join(file);
            if path.is_dir() && name != "gone" {
                continue;
            }
            let dir = copy(whole.path());
            damage(&dir.path().join(file));
            let what = format!("{file} {name}");
            let found = survey(dir.path(), &what);
            assert_eq!(found.nodes, NODES, "{what}: {}", found.report);
        }
        let dir = copy(whole.path());
        let snapshots = snapshots(dir.path());
        assert!(!snapshots.is_empty(), "the template has a snapshot file");
        snapshots.iter().for_each(|path| damage(path));
        let found = survey(dir.path(), &format!("snapshot {name}"));
        assert_eq!(found.nodes, NODES, "snapshot {name}: {}", found.report);
        assert_eq!(found.report.quarantine, None, "a lost snapshot file is no reason to put the database aside");
    }
}

#[test]
fn everything_gone() {
    let dir = copy(template().path());
    for entry in fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { fs::remove_dir_all(entry).unwrap() } else { fs::remove_file(entry).unwrap() }
    }
    let (store, report) = open(dir.path());
    assert_eq!(report.outcome, Outcome::Fresh);
    assert!(store.accounts().is_empty());
}

#[test]
fn a_deleted_account_does_not_come_back_with_the_backup() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_counted(dir.path(), Metrics::new(), write_behind());
    wait(store.put_account(account("admin"))).unwrap();
    wait(store.put_account(account("gone"))).unwrap();
    wait(store.delete_account("gone")).unwrap();
    // The backup follows the change; the next durable write comes after it, since there is one writer.
    wait(store.sync()).unwrap();
    store.close();
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    assert_eq!(open(dir.path()).0.accounts(), [account("admin")]);
}

/// Does something to the files of a running store.
fn while_running(what: &str, damage: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let (store, _) = open_counted(&state, Metrics::new(), write_behind());
    wait(store.put_account(account("admin"))).unwrap();
    wait(store.record_intent(&node(1), intent(1))).unwrap();
    damage(&state);
    wait(store.record_intent(&node(2), intent(2))).unwrap();
    store.note_seen(&node(1), seen(1));
    wait(store.sync()).unwrap();
    wait(store.record_boot(&node(2), boot(3))).unwrap();
    // A backup that was due is done before the second of these.
    wait(store.sync()).unwrap();
    wait(store.sync()).unwrap();
    // As after a crash: the directory as it is now, without an orderly end.
    let crashed = copy(&state);
    let (after, report) = open(crashed.path());
    assert_eq!(after.accounts(), [account("admin")], "{what}: {report}");
    assert_eq!(after.load(&node(1)).intent, Some(intent(1)), "{what}: {report}");
    assert_eq!(after.load(&node(1)).seen, Some(seen(1)), "{what}: {report}");
    assert_eq!(after.load(&node(2)).intent, Some(intent(2)), "{what}: {report}");
    assert_eq!(after.load(&node(2)).boot, Some(boot(3)), "{what}: {report}");
    store.close();
    let (after, report) = open(&state);
    assert_eq!(report.outcome, Outcome::Whole, "{what}: {report}");
    assert_eq!(after.load(&node(2)).boot, Some(boot(3)), "{what}");
}

#[test]
fn files_that_go_while_the_store_runs_are_made_anew() {
    while_running("nothing", |_| {});
    while_running("the database file", |dir| fs::remove_file(dir.join("sled/db")).unwrap());
    while_running("the database file, emptied", |dir| fs::write(dir.join("sled/db"), "").unwrap());
    // The store may make a file in the directory at the same moment.
    let remove = |dir: &Path| while fs::remove_dir_all(dir).is_err_and(|error| error.kind() != ErrorKind::NotFound) {};
    while_running("the database", |dir| remove(&dir.join("sled")));
    while_running("the backup", |dir| fs::remove_file(dir.join("state.json")).unwrap());
    while_running("the lock", |dir| fs::remove_file(dir.join("lock")).unwrap());
    while_running("everything", remove);
}
