//! A full disk, and one that does not answer: writes fail with the path and the reason, the process survives, and once
//! there is space it writes again.
//!
//! The child runs under a limit on the size of files, which every Linux enforces for every user: a write beyond it
//! fails like one on a full disk does. Root also tries a file system that is really full.

use std::process::Command;

use super::*;
use crate::node::journal::Journal;

/// Enough nodes that neither the database nor `state.json` fits under the limit.
const NODES: usize = 3000;

/// Fills the disk; makes room with `make_room`; checks that nothing that was acknowledged is lost.
fn fill_and_recover(dir: &Path, make_room: impl FnOnce()) {
    let metrics = Metrics::new();
    let (store, _) = open_counted(dir, metrics.clone(), write_behind());
    let mut kept = 0;
    let error = (0..NODES).find_map(|n| {
        store.note_seen(&node(n), seen(n));
        let result = wait(store.record_boot(&node(n), boot(1)));
        kept = n;
        result.err()
    });
    let error = error.expect("the disk never became full");
    assert!(error.path.starts_with(dir.to_str().unwrap()), "{error}");
    assert!(kept > 10, "it was full from the start: {kept}");
    let said = error.to_string();
    assert!(["No space", "too large", "space"].iter().any(|reason| said.contains(reason)), "{said}");
    assert!(
        metrics
            .render()
            .lines()
            .any(|line| line.starts_with("plugfish_store_write_errors_total ") && !line.ends_with(" 0"))
    );
    // What was refused is not believed, and what was there before still is.
    assert_eq!(store.load(&node(kept)).boot, None);
    assert_eq!(store.load(&node(kept - 1)).boot, Some(boot(1)));
    // Again and again: it stays refused, quickly, and the process lives.
    for _ in 0..3 {
        wait(store.record_intent(&node(0), intent(1))).unwrap_err();
    }
    make_room();
    // For real: the database is opened again after a pause.
    let tries = (0..100).take_while(|_| {
        std::thread::sleep(Duration::from_millis(100));
        wait(store.record_intent(&node(0), intent(2))).is_err()
    });
    assert!(tries.count() < 100, "it did not write again when there was space");
    store.close();
    let (store, report) = open(dir);
    assert_eq!(store.load(&node(0)).intent, Some(intent(2)), "{report}");
    for n in 0..kept {
        assert_eq!(store.load(&node(n)).boot, Some(boot(1)), "node {n} of {kept}: {report}");
    }
    println!("recovered with {kept} nodes");
}

#[test]
#[ignore = "started by a_write_that_the_system_refuses"]
fn child_with_a_limit() {
    let dir = std::env::var("PLUGFISH_TEST_DIR").unwrap();
    fill_and_recover(Path::new(&dir), || {
        let own = std::process::id().to_string();
        let lifted = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &own]).status();
        assert!(lifted.expect("prlimit of util-linux is needed for this test").success());
    });
}

#[test]
fn a_write_that_the_system_refuses() {
    let dir = tempfile::tempdir().unwrap();
    // The signal of the limit is ignored, so that the write fails instead; 400 blocks of 512 bytes. The hard limit stays.
    let script = "trap '' XFSZ; ulimit -S -f 400; exec \"$0\" --ignored --exact store::tests::full::child_with_a_limit --nocapture";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("PLUGFISH_TEST_DIR", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("recovered with"), "{text}");
}

#[test]
fn a_file_system_that_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1000k", "none"]).arg(dir.path()).status();
    if !mount.is_ok_and(|status| status.success()) {
        println!("NOT TESTED: a tmpfs cannot be mounted here; a_write_that_the_system_refuses covers the same code");
        return;
    }
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![1; 300_000]).unwrap();
    let result = std::panic::catch_unwind(|| {
        fill_and_recover(&dir.path().join("state"), || {
            std::fs::remove_file(&ballast).unwrap();
            let more = Command::new("mount").args(["-o", "remount,size=64m"]).arg(dir.path()).status().unwrap();
            assert!(more.success());
        });
    });
    assert!(Command::new("umount").args(["-l"]).arg(dir.path()).status().unwrap().success());
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// The backup hangs, and the database is lost with the thread that hangs in it.
#[test]
fn a_disk_that_does_not_answer() {
    let dir = tempfile::tempdir().unwrap();
    let timing = Timing { write_limit: Duration::from_millis(300), ..write_behind() };
    let (store, _) = open_counted(dir.path(), Metrics::new(), timing);
    wait(store.record_intent(&node(1), intent(1))).unwrap();
    // A pipe without a writer: opening it for reading waits for ever.
    let pipe = dir.path().join("state.hangs");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    store.write_queue.want_backup(Duration::ZERO);
    let error = (0..50).find_map(|n| wait(store.record_intent(&node(2), intent(n))).err()).expect("nothing hung");
    assert!(error.why.contains("did not answer within"), "{error}");
    assert_eq!(store.load(&node(1)).intent, Some(intent(1)));
    // A writer: those that hang go on, and give the database back.
    let writer = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    std::fs::remove_file(&pipe).unwrap_or_default();
    let tries = (0..100).take_while(|_| {
        std::thread::sleep(Duration::from_millis(100));
        wait(store.record_intent(&node(2), intent(99))).is_err()
    });
    assert!(tries.count() < 100, "it did not write again when the disk answered");
    drop(writer);
    store.close();
    let (store, report) = open(dir.path());
    assert_eq!(store.load(&node(1)).intent, Some(intent(1)), "{report}");
    assert_eq!(store.load(&node(2)).intent, Some(intent(99)), "{report}");
}
