//! Repeated kill -9 in the middle of writing: what was acknowledged is there afterwards.
//!
//! A child process writes and prints what was acknowledged; the parent kills it at a random moment, opens what is left
//! and compares. `PLUGFISH_CRASH_ROUNDS` sets the number of rounds, 12 by default, about three seconds.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;
use crate::node::journal::Journal;

const NODES: u64 = 20;

/// The process that is killed. Prints a line for each thing that the store has acknowledged.
#[test]
#[ignore = "started by what_was_acknowledged_survives_kill_9"]
fn child_that_is_killed() {
    let dir = std::env::var("PLUGFISH_TEST_DIR").unwrap();
    let first: u64 = std::env::var("PLUGFISH_TEST_FIRST").unwrap().parse().unwrap();
    // In half of the rounds backups are made all the time, so that some of the kills hit one.
    let quick = Duration::from_millis(1);
    let calm = Timing::default();
    let often =
        Timing { changed: quick, moved: quick, pause: quick, backup_changed: quick, backup_moved: quick, ..calm };
    let timing = if first.is_multiple_of(2) { often } else { calm };
    let (store, _) = open_counted(Path::new(&dir), Metrics::new(), timing);
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nready").unwrap();
    for number in first.. {
        let n = (number % NODES) as usize;
        store.note_seen(&node(n), SeenRecord { energy_wh: number, ..seen(n) });
        let both = [store.record_intent(&node(n), intent(number)), store.record_boot(&node(n), boot(number))];
        both.into_iter().for_each(|write| wait(write).unwrap());
        writeln!(out, "wrote {number}").unwrap();
        if number.is_multiple_of(3) {
            store.clear_intent(&node(n), number);
            wait(store.sync()).unwrap();
            writeln!(out, "cleared {number}").unwrap();
        }
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let rounds = std::env::var("PLUGFISH_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let dir = tempfile::tempdir().unwrap();
    let chance = Clock::simulated(std::process::id().into(), Wall(0));
    let (mut next, mut acknowledged) = (1, 0_u64);
    let mut written: BTreeMap<u64, u64> = BTreeMap::new();
    let mut cleared: BTreeMap<u64, u64> = BTreeMap::new();
    for group_commit in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "store::tests::crash::child_that_is_killed", "--nocapture"])
            .env("PLUGFISH_TEST_DIR", dir.path())
            .env("PLUGFISH_TEST_FIRST", next.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        assert!(lines.any(|line| line == "ready"), "round {group_commit}: the child did not open its store");
        // For real: the moment of the kill is what is tested.
        std::thread::sleep(Duration::from_millis(chance.below(200)));
        child.kill().unwrap();
        for line in lines {
            // The last line may be cut off anywhere, so a number is only taken from a line that is surely whole.
            let number = |text: &str| text.parse::<u64>().unwrap();
            if let Some(text) = line.strip_prefix("wrote ") {
                written.insert(number(text) % NODES, number(text));
                (next, acknowledged) = (number(text) + 1, acknowledged + 1);
            } else if let Some(text) = line.strip_prefix("cleared ") {
                cleared.insert(number(text) % NODES, number(text));
            }
        }
        child.wait().unwrap();
        let (store, report) = open(dir.path());
        for (n, number) in &written {
            let found = store.load(&node(*n as usize));
            let writes = found.boot.as_ref().map(|boot| boot.writes);
            // What was being written at the end may be there or not; it is newer than what was acknowledged.
            assert!(
                writes >= Some(*number),
                "round {group_commit}, node {n}: {writes:?} instead of {number}; {report}"
            );
            let intent = found.intent.map(|intent| intent.number);
            match cleared.get(n) == Some(number) {
                true => assert!(intent.is_none_or(|found| found > *number), "round {group_commit}: {intent:?} is back"),
                false => {
                    assert!(
                        intent >= Some(*number) || number.is_multiple_of(3),
                        "round {group_commit}: {intent:?} < {number}"
                    )
                }
            }
            next = next.max(writes.unwrap_or(0) + 1);
        }
        assert!(report.quarantine.is_none() && report.notes.is_empty(), "round {group_commit}: {report}");
    }
    println!("{rounds} rounds, {acknowledged} acknowledged writes, none lost");
    assert!(acknowledged > rounds * 5, "the child hardly wrote anything: {acknowledged}");
}

#[test]
#[ignore = "started by a_kill_while_a_damaged_store_is_repaired"]
fn child_that_repairs() {
    open(Path::new(&std::env::var("PLUGFISH_TEST_DIR").unwrap())).0.close();
}

#[test]
fn a_kill_while_a_damaged_store_is_repaired() {
    let whole = super::damage::template();
    let chance = Clock::simulated(std::process::id().into(), Wall(0));
    for group_commit in 0..8 {
        let dir = super::damage::copy(whole.path());
        let database = dir.path().join("sled/db");
        let length = std::fs::metadata(&database).unwrap().len();
        super::damage::overwrite(&database, length / 8 * group_commit, 4096);
        // Starting the program takes some milliseconds of these; the repair takes about fifty.
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "store::tests::crash::child_that_repairs"])
            .env("PLUGFISH_TEST_DIR", dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(chance.below(80)));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = super::damage::survey(dir.path(), &format!("round {group_commit}"));
        assert_eq!(found.nodes, super::damage::NODES, "round {group_commit}: {}", found.report);
    }
}
