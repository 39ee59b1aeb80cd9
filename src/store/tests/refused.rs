//! Directories that cannot be used: each gives a clear error, and nothing is changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::*;
use crate::node::journal::Journal;
use crate::store::StoreError;
use crate::store::open::Outcome;

fn refusal(dir: &Path) -> StoreError {
    match Store::open(dir, Clock::system(), Metrics::new()) {
        Err(error) => error,
        Ok(_) => panic!("it was opened"),
    }
}

/// The content of all files below `dir`.
fn snapshot(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut paths = vec![dir.to_path_buf()];
    let mut files = Vec::new();
    while let Some(path) = paths.pop() {
        match path.is_dir() {
            true => paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path())),
            false => files.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    files.sort();
    files
}

#[test]
fn two_stores_on_one_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let error = refusal(dir.path());
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    wait(store.record_intent(&node(1), intent(1))).unwrap();
}

#[test]
fn a_directory_of_a_newer_plugfish_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).0.close();
    fs::write(dir.path().join("format"), "2\n").unwrap();
    let before = snapshot(dir.path());
    let error = refusal(dir.path());
    assert!(matches!(error, StoreError::Newer { found: 2, .. }), "{error}");
    assert!(snapshot(dir.path()) == before);
    // Without that file the backup says it too.
    fs::remove_file(dir.path().join("format")).unwrap();
    fs::write(dir.path().join("state.json"), r#"{"plugfish_state": 3}"#).unwrap();
    let before = snapshot(&dir.path().join("sled"));
    assert!(matches!(refusal(dir.path()), StoreError::Newer { found: 3, .. }));
    assert!(snapshot(&dir.path().join("sled")) == before);
}

#[test]
fn an_older_directory_is_upgraded_and_its_backup_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    wait(store.put_account(account("admin"))).unwrap();
    store.close();
    let backup = fs::read(dir.path().join("state.json")).unwrap();
    fs::write(dir.path().join("format"), "0\n").unwrap();
    let (store, report) = open(dir.path());
    assert_eq!(store.accounts(), [account("admin")]);
    assert_eq!(fs::read_to_string(dir.path().join("format")).unwrap(), "1\n");
    let kept = dir.path().join("state.before-format-1-from-0.json");
    assert_eq!(fs::read(&kept).unwrap(), backup);
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(report.to_string().contains("upgraded from format 0"), "{report}");
    store.close();
    assert_eq!(open(dir.path()).1.outcome, Outcome::Whole);
}

/// Runs as another process: what a user sees who has no right to the directory.
#[test]
#[ignore = "started by a_directory_of_somebody_else"]
fn child_without_rights() {
    let dir = std::env::var("PLUGFISH_TEST_DIR").unwrap();
    println!("refused: {}", refusal(Path::new(&dir)));
}

#[test]
fn a_directory_of_somebody_else() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    // Below a closed directory nothing can be looked at, so only the innermost one is closed.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o555)).unwrap();
    let root = fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap() == 0;
    // The test program may lie where another user cannot reach it.
    let program = dir.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for path in [state.clone(), state.join("deeper")] {
        let mut child = Command::new(&program);
        child.args(["--ignored", "--exact", "store::tests::refused::child_without_rights", "--nocapture"]);
        child.env("PLUGFISH_TEST_DIR", &path).current_dir(dir.path());
        if root {
            // Root may write everywhere.
            child.uid(65534).gid(65534);
        }
        // A child that another test starts right now may still hold the fresh copy open for writing, for some milliseconds.
        let output = loop {
            match child.output() {
                Err(busy) if busy.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                other => break other.unwrap(),
            }
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = text.lines().find_map(|line| line.split_once("refused: ")).map(|(_, said)| said).unwrap_or(&text);
        assert!(said.contains(&path.display().to_string()), "{text}");
        assert!(said.contains("mode 555") && said.contains("state_dir"), "{text}");
        let uid = if root { "runs as user 65534" } else { "runs as user" };
        assert!(said.contains(uid), "{text}");
    }
}
