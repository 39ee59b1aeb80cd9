//! The behaviour of the store while the disk works.

use futures_util::future::join_all;

use super::*;
use crate::account::NAME_CHARS_MAX;
use crate::durable::SettingsStore;
use crate::node::journal::Journal;
use crate::node::trust::{Proof, Proven, TrustBook, TrustRecord};
use crate::store::open::Outcome;

#[test]
fn what_was_recorded_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (store, report) = open(dir.path());
    assert_eq!((report.outcome, &report.notes[..]), (Outcome::Fresh, &[][..]));
    wait(store.record_intent(&node(1), intent(7))).unwrap();
    wait(store.record_intent(&node(2), intent(8))).unwrap();
    wait(store.record_boot(&node(1), boot(3))).unwrap();
    store.note_seen(&node(1), seen(1));
    store.clear_intent(&node(2), 8);
    let first = (store.load(&node(1)), store.load(&node(2)), store.load(&node(3)));
    assert_eq!(first.0.intent, Some(intent(7)));
    assert_eq!(first.0.boot, Some(boot(3)));
    assert_eq!(first.0.seen, Some(seen(1)));
    assert_eq!(first.1.intent, None);
    assert_eq!(first.2, Default::default());
    store.close();
    let (store, report) = open(dir.path());
    assert_eq!((report.outcome, &report.notes[..]), (Outcome::Whole, &[][..]));
    assert_eq!((store.load(&node(1)), store.load(&node(2)), store.load(&node(3))), first);
}

#[test]
fn only_the_intent_with_that_number_is_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    wait(store.record_intent(&node(1), intent(7))).unwrap();
    wait(store.record_boot(&node(1), boot(3))).unwrap();
    store.clear_intent(&node(1), 6);
    assert_eq!(store.load(&node(1)).intent, Some(intent(7)));
    store.clear_intent(&node(1), 7);
    assert_eq!(store.load(&node(1)).intent, None);
    assert_eq!(store.load(&node(1)).boot, Some(boot(3)));
}

#[test]
fn a_command_is_one_fsync_and_commands_at_the_same_time_share_it() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Metrics::new();
    let (store, _) = open_counted(dir.path(), metrics.clone(), write_behind());
    wait(store.record_intent(&node(1), intent(1))).unwrap();
    store.clear_intent(&node(1), 1);
    wait(store.sync()).unwrap();
    assert_eq!(writes(&metrics, "intent"), 1);
    let at_once: Vec<_> = (0..200).map(|n| store.record_intent(&node(n), intent(2))).collect();
    assert!(wait(join_all(at_once)).into_iter().all(|result| result.is_ok()));
    let shared = writes(&metrics, "intent") - 1;
    assert!((1..100).contains(&shared), "200 commands made {shared} writes");
    assert_eq!(store.load(&node(199)).intent, Some(intent(2)));
}

#[test]
fn polls_that_find_nothing_new_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let timing = Timing { changed: Duration::ZERO, pause: Duration::ZERO, ..write_behind() };
    let (store, _) = open_counted(dir.path(), Metrics::new(), timing);
    store.note_seen(&node(1), seen(1));
    wait(store.sync()).unwrap();
    let length = || std::fs::read(dir.path().join("sled/db")).unwrap().len();
    let content = || std::fs::read(dir.path().join("sled/db")).unwrap();
    let (before, first) = (length(), content());
    for at in 0..1000 {
        store.note_seen(&node(1), SeenRecord { at: Wall(3000 + at), energy_wh: at as u64, ..seen(1) });
    }
    assert_eq!(store.load(&node(1)).seen.map(|seen| seen.at), Some(Wall(3999)), "it is seen at once");
    // For real: the writer would have written by now, and sled's own thread as well.
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(length(), before);
    assert!(content() == first, "nothing new was written");
    store.note_seen(&node(1), SeenRecord { power: Power::Off, ..seen(1) });
    wait(store.sync()).unwrap();
    assert!(content() != first, "a change is written");
}

#[test]
fn accounts_sessions_and_values_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let uuid = store.service_uuid();
    assert_eq!(uuid.get_version_num(), 4);
    for name in ["zoe", "admin", "bob"] {
        wait(store.put_account(account(name))).unwrap();
    }
    wait(store.put_account(AccountRecord { change: 2, ..account("zoe") })).unwrap();
    wait(store.delete_account("bob")).unwrap();
    wait(store.put_value("colour", "blue".into())).unwrap();
    for (id, user) in [("1", "admin"), ("2", "zoe"), ("3", "zoe")] {
        store.put_session(session(id, user));
    }
    store.delete_session("3");
    store.close();
    let (store, _) = open(dir.path());
    assert_eq!(store.service_uuid(), uuid);
    assert_eq!(store.accounts(), [account("admin"), AccountRecord { change: 2, ..account("zoe") }]);
    assert_eq!(store.sessions(), [session("1", "admin"), session("2", "zoe")]);
    assert_eq!(store.value("colour"), Some("blue".into()));
    wait(store.delete_account("zoe")).unwrap();
    assert_eq!(store.sessions(), [session("1", "admin")], "the sessions go with the account");
}

#[test]
fn a_session_is_durable_when_somebody_waits_for_it_and_so_is_its_end() {
    let dir = tempfile::tempdir().unwrap();
    // What no caller waits for is not written before the end of this test.
    let (store, _) = open_counted(dir.path(), Metrics::new(), write_behind());
    let after_a_crash = || open(super::damage::copy(dir.path()).path()).0.sessions();
    store.put_session(session("1", "admin"));
    store.put_session(session("2", "admin"));
    wait(store.flush_session("1")).unwrap();
    assert_eq!(after_a_crash(), [session("1", "admin")]);
    store.delete_session("1");
    assert_eq!(after_a_crash(), [session("1", "admin")]);
    wait(store.flush_session("1")).unwrap();
    assert_eq!(after_a_crash(), []);
    assert_eq!(store.sessions(), [session("2", "admin")]);
}

#[test]
fn the_session_that_was_used_the_longest_time_ago_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_counted(dir.path(), Metrics::new(), write_behind());
    for n in 0..crate::store::accounts::SESSIONS_KEPT_MAX as i64 + 3 {
        let used = if n == 1 { 1_000_000 } else { n };
        store.put_session(SessionRecord { last_used: Wall(used), ..session(&n.to_string(), "admin") });
    }
    let there: Vec<String> = store.sessions().into_iter().map(|session| session.id).collect();
    assert_eq!(there.len(), crate::store::accounts::SESSIONS_KEPT_MAX);
    assert!(there.contains(&"1".into()));
    assert!(["0", "2", "3"].iter().all(|gone| !there.contains(&(*gone).into())));
}

#[test]
fn what_is_too_large_is_refused_and_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let long = "x".repeat(20_000);
    let error = wait(store.record_intent(&node(1), Intent { by: long.clone(), ..intent(1) })).unwrap_err();
    assert!(error.why.contains("bytes"), "{error}");
    let about = DeviceIdentity { nickname: Some(long), ..Default::default() };
    store.note_seen(&node(1), SeenRecord { about: about.into(), ..seen(1) });
    assert_eq!(store.load(&node(1)), Default::default());
    wait(store.record_intent(&node(1), intent(1))).unwrap();
}

#[test]
fn an_export_can_be_restored_elsewhere() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, _) = open(here.path());
    wait(store.put_account(account("admin"))).unwrap();
    wait(store.record_boot(&node(1), boot(4))).unwrap();
    wait(store.record_intent(&node(1), intent(9))).unwrap();
    store.note_seen(&node(1), seen(1));
    store.put_session(session("1", "admin"));
    let export = store.export();
    assert!(!export.to_string().contains(&session("1", "admin").token_hash));
    let (other, _) = open(there.path());
    wait(other.put_account(account("other"))).unwrap();
    other.put_session(session("2", "other"));
    let (left_out, written) = other.restore(&export.to_string()).unwrap();
    wait(written).unwrap();
    assert_eq!(left_out.len(), 1, "{left_out:?}");
    let check = |other: &Store| {
        assert_eq!(other.accounts(), [account("admin")]);
        assert_eq!(other.sessions(), []);
        assert_eq!(other.service_uuid(), store.service_uuid());
        assert_eq!(other.load(&node(1)).seen, Some(seen(1)));
        assert_eq!(other.load(&node(1)).boot, Some(boot(4)));
        assert_eq!(other.load(&node(1)).intent, None, "a command of any age is not brought back");
    };
    check(&other);
    other.close();
    let backup = std::fs::read_to_string(there.path().join("state.json")).unwrap();
    Store::check(&backup).unwrap();
    assert!(Store::check(&backup.replace("admin", "nimda")).is_err(), "its checksum is wrong");
    check(&open(there.path()).0);
}

#[test]
fn what_is_no_export_is_not_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    wait(store.put_account(account("admin"))).unwrap();
    let error = |document: serde_json::Value| store.restore(&document.to_string()).map(|_| ()).unwrap_err().to_string();
    assert!(error(serde_json::json!({ "accounts": [] })).contains("cannot be restored"));
    assert!(error(serde_json::json!({ "plugfish_state": 99 })).contains("newer plugfish"));
    assert_eq!(store.accounts(), [account("admin")]);
}

#[test]
fn accounts_of_an_export_are_looked_at_before_they_are_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let document = |key: &str, account: AccountRecord| {
        let records = serde_json::json!({ key: { "revision": 1, "content": account } });
        serde_json::json!({ "plugfish_state": 1, "revision": 1, "written": 0, "records": records }).to_string()
    };
    let hash = |cost: &str| AccountRecord {
        password_hash: format!("$argon2id$v=19${cost}$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"),
        ..account("admin")
    };
    let long = "u".repeat(NAME_CHARS_MAX + 1);
    for (key, record, why) in [
        ("account/admin", hash("m=4194304,t=2,p=1"), "too much memory or time"),
        ("account/admin", hash("m=19456,t=4000000,p=1"), "too much memory or time"),
        ("account/admin", AccountRecord { password_hash: "plain".into(), ..account("admin") }, "not a password hash"),
        ("account/admin", account("root"), "of another name"),
        (&format!("account/{long}"), account(&long), "at most 254"),
        ("account/a:b", account("a:b"), "colon"),
    ] {
        let text = document(key, record);
        let said = [Store::check(&text).unwrap_err(), store.restore(&text).map(drop).unwrap_err()];
        assert!(said.iter().all(|error| error.to_string().contains(why)), "{why}: {said:?}");
    }
    Store::check(&document("account/admin", account("admin"))).unwrap();
}

#[test]
fn the_longest_names_survive_every_start() {
    let dir = tempfile::tempdir().unwrap();
    let longest = ["u".repeat(62), "\u{e9}".repeat(NAME_CHARS_MAX)];
    let (store, _) = open(dir.path());
    for name in &longest {
        wait(store.put_account(account(name))).unwrap();
        wait(store.put_value(&format!("account_made/{name}"), true.into())).unwrap();
    }
    store.put_session(session("1", &longest[0]));
    store.close();
    for _ in 0..2 {
        let (store, report) = open(dir.path());
        assert_eq!((report.outcome, report.notes), (Outcome::Whole, vec![]));
        assert_eq!(store.accounts().len(), longest.len());
        assert!(longest.iter().all(|name| store.value(&format!("account_made/{name}")).is_some()));
        assert_eq!(store.sessions().len(), 1, "all stay logged in");
        let too_long = wait(store.put_account(account(&"u".repeat(NAME_CHARS_MAX + 1))));
        assert!(too_long.unwrap_err().why.contains("at most 254"));
        store.close();
    }
}

#[test]
fn a_closed_store_refuses_writes_and_still_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    wait(store.record_intent(&node(1), intent(1))).unwrap();
    store.close();
    store.close();
    let error = wait(store.record_intent(&node(1), intent(2))).unwrap_err();
    assert!(error.why.contains("closed"), "{error}");
    store.note_seen(&node(1), seen(1));
    assert_eq!(store.load(&node(1)).intent, Some(intent(1)));
    let (_second, report) = open(dir.path());
    assert_eq!(report.outcome, Outcome::Whole, "closing gives the directory back");
}

#[tokio::test]
async fn a_store_can_be_opened_and_used_inside_a_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.record_intent(&node(1), intent(1)).await.unwrap();
    assert_eq!(store.load(&node(1)).intent, Some(intent(1)));
}

#[test]
fn nothing_in_the_directory_can_be_read_by_others() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    wait(store.put_account(account("admin"))).unwrap();
    store.close();
    let mut paths = vec![dir.path().to_path_buf()];
    let mut files = 0;
    while let Some(path) = paths.pop() {
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!(meta.permissions().mode() & 0o077, 0, "{}", path.display());
        files += usize::from(meta.is_file());
        if meta.is_dir() {
            paths.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(files >= 5, "lock, format, state.json and two of sled's at least, but {files}");
}

fn trust(proof: Proof) -> Arc<TrustRecord> {
    let proven = Proven { proof, device_id: Some("8022".into()), ..Proven::default() };
    Arc::new(TrustRecord { device: "Tapo plug at 192.0.2.11".into(), since: Wall(5), proven })
}

#[test]
fn what_a_device_proved_survives_restarts_exports_and_a_lost_database() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, _) = open(here.path());
    let record = trust(Proof::Answer);
    wait(store.record_trust(&node(1), Some(record.clone()))).unwrap();
    assert_eq!(store.load(&node(1)).trust, Some(record.clone()));
    let export = store.export();
    store.close();
    let (store, _) = open(here.path());
    assert_eq!(store.trust(&node(1)), Some(record.clone()));
    store.close();
    std::fs::remove_dir_all(here.path().join("sled")).unwrap();
    assert_eq!(open(here.path()).0.trust(&node(1)), Some(record.clone()), "from state.json");
    let (other, _) = open(there.path());
    wait(other.restore(&export.to_string()).unwrap().1).unwrap();
    assert_eq!(other.trust(&node(1)), Some(record));
}

#[test]
fn what_a_person_had_forgotten_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    wait(store.record_trust(&node(1), Some(trust(Proof::Answer)))).unwrap();
    wait(store.record_trust(&node(1), None)).unwrap();
    assert_eq!(store.trust(&node(1)), None);
    store.close();
    assert_eq!(open(dir.path()).0.trust(&node(1)), None);
}
