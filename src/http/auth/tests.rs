//! Tests of the tables, with accounts in memory and real hashes.

use std::sync::Mutex;

use super::sessions::TOUCH_EVERY;
use super::*;
use crate::account::{AccessRules, SESSIONS_MAX, SessionRecord};
use crate::clock::Wall;
use crate::durable::WriteFuture;

#[derive(Default)]
struct Book {
    accounts: Mutex<Vec<AccountRecord>>,
    sessions: Mutex<HashMap<String, SessionRecord>>,
    rules: Mutex<AccessRules>,
}

impl AccountBook for Book {
    fn accounts(&self) -> Vec<AccountRecord> {
        self.accounts.lock().unwrap().clone()
    }
    fn put_account(&self, account: AccountRecord) -> WriteFuture {
        let mut accounts = self.accounts.lock().unwrap();
        accounts.retain(|known| known.username != account.username);
        accounts.push(account);
        // A disk takes its time; changes that are asked for meanwhile must wait.
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(())
        })
    }
    fn delete_account(&self, username: &str) -> WriteFuture {
        self.accounts.lock().unwrap().retain(|account| account.username != username);
        Box::pin(async { Ok(()) })
    }
    fn rules(&self) -> AccessRules {
        *self.rules.lock().unwrap()
    }
    fn put_rules(&self, rules: AccessRules) -> WriteFuture {
        *self.rules.lock().unwrap() = rules;
        Box::pin(async { Ok(()) })
    }
    fn sessions(&self) -> Vec<SessionRecord> {
        self.sessions.lock().unwrap().values().cloned().collect()
    }
    fn put_session(&self, session: SessionRecord) {
        self.sessions.lock().unwrap().insert(session.id.clone(), session);
    }
    fn delete_session(&self, id: &str) {
        self.sessions.lock().unwrap().remove(id);
    }
    fn flush_session(&self, _: &str) -> WriteFuture {
        Box::pin(async { Ok(()) })
    }
}

fn account(username: &str, password: &str) -> AccountRecord {
    AccountRecord {
        username: username.into(),
        password_hash: hash_password(password).unwrap(),
        role: Role::Administrator,
        enabled: true,
        change: 1,
        password_change_required: false,
        created: Wall(0),
        scope: None,
    }
}

fn book(password: &str) -> Arc<Book> {
    let old = AccountRecord { enabled: false, ..account("old", password) };
    Arc::new(Book { accounts: Mutex::new(vec![account("admin", password), old]), ..Book::default() })
}

fn access(book: &Arc<Book>) -> Arc<Authenticator> {
    Arc::new(Authenticator::new(book.clone(), Clock::system(), Metrics::new(), true))
}

fn header(name: &str, password: &str) -> Vec<u8> {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}"))).into_bytes()
}

impl Authenticator {
    async fn basic(&self, name: &str, password: &str) -> Result<Caller, AuthError> {
        self.check(None, Some(&header(name, password)), None).await
    }

    async fn token(&self, token: &str) -> Result<Caller, AuthError> {
        self.check(Some(token.as_bytes()), None, None).await
    }

    async fn session(&self, password: &str) -> Result<super::sessions::NewSession, AuthError> {
        self.log_in("admin", password.to_owned().into(), None, None).await
    }
}

#[test]
fn roles_have_the_privileges_of_the_specification() {
    let names = |role| Privilege::of(role).iter().map(|privilege| privilege.name()).collect::<Vec<_>>();
    let all = ["Login", "ConfigureManager", "ConfigureUsers", "ConfigureSelf", "ConfigureComponents"];
    assert_eq!(names(Role::Administrator), all);
    assert_eq!(names(Role::Operator), ["Login", "ConfigureComponents", "ConfigureSelf"]);
    assert_eq!(names(Role::ReadOnly), ["Login", "ConfigureSelf"]);
}

#[tokio::test]
async fn basic_is_checked_once_and_then_remembered() {
    let access = access(&book("s3cret:with colon"));
    assert_eq!(access.check(None, None, None).await, Err(AuthError::Missing));
    assert_eq!(access.basic("admin", "S3cret:with colon").await, Err(AuthError::Wrong));
    assert_eq!(access.basic("old", "s3cret:with colon").await, Err(AuthError::Wrong));
    for bad in ["Basic %", "Basic /w==", "Bearer x"] {
        assert_eq!(access.check(None, Some(bad.as_bytes()), None).await, Err(AuthError::Wrong));
    }
    let slow = access.clock.now().mono;
    let caller = access.basic("admin", "s3cret:with colon").await.unwrap();
    let quick = access.clock.now().mono;
    assert_eq!((caller.name.as_ref(), caller.role), ("admin", Role::Administrator));
    assert_eq!(access.basic("admin", "s3cret:with colon").await.unwrap(), caller);
    let end = access.clock.now().mono;
    assert!(end.since(quick) * 5 < quick.since(slow), "{:?} {:?}", end.since(quick), quick.since(slow));
}

#[tokio::test]
async fn a_password_is_taken_in_utf_8_and_in_latin_1() {
    let access = access(&book("pä$$:wörd #1"));
    for sent in ["YWRtaW46cMOkJCQ6d8O2cmQgIzE=", "YWRtaW46cOQkJDp39nJkICMx"] {
        assert!(access.check(None, Some(format!("Basic {sent}").as_bytes()), None).await.is_ok(), "{sent}");
    }
    assert!(access.check(None, Some(b"Basic YWRtaW46cOQkJDp39nJkICMy"), None).await.is_err());
}

#[tokio::test]
async fn a_right_login_overtakes_a_flood_of_guesses_from_a_thousand_addresses() {
    let access = access(&book("one"));
    // The account is not locked by it here: that is another rule, with its own test.
    write(&access.rules).lockout_threshold = 0;
    let flood: Vec<_> = (0..1000u32)
        .map(|n| {
            let (access, from) = (access.clone(), Some(IpAddr::V4((0x0a00_0000 + n).into())));
            tokio::spawn(async move {
                for guess in 0.. {
                    let _ = access.check(None, Some(&header("admin", &format!("{guess}"))), from).await;
                    tokio::time::sleep(Duration::from_millis(500)).await; // each address keeps on guessing
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(1500)).await; // each of them has guessed once
    let start = access.clock.now().mono;
    let login = access.log_in("admin", "one".to_owned().into(), "192.0.2.1".parse().ok(), None).await;
    let took = access.clock.now().mono.since(start);
    flood.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(login.is_ok(), "{:?}", login.err());
}

#[tokio::test]
async fn a_new_password_ends_what_the_old_one_began() {
    let access = access(&book("one"));
    let (mine, other) = (access.session("one").await.unwrap(), access.session("one").await.unwrap());
    assert!(access.basic("admin", "one").await.is_ok());
    let hash = access.hash("two".to_owned().into()).await.unwrap();
    let change = AccountChange { password_hash: Some(hash), ..AccountChange::default() };
    let seen = access.account("admin").unwrap();
    access.change_account(seen, true, change, Some(mine.record.id.clone().into())).await.unwrap();
    assert_eq!(access.basic("admin", "one").await, Err(AuthError::Wrong));
    assert!(access.basic("admin", "two").await.is_ok());
    assert!(access.token(&mine.token).await.is_ok());
    assert_eq!(access.token(&other.token).await, Err(AuthError::Wrong));
}

#[tokio::test]
async fn a_deleted_account_does_not_come_back_with_its_name() {
    let access = access(&book("one"));
    let second = access.add_account(account("second", "its password")).await.unwrap();
    assert!(access.basic("second", "its password").await.is_ok());
    let session = access.log_in("second", "its password".to_owned().into(), None, None).await.unwrap();
    access.delete_account(second.clone(), true).await.unwrap();
    access.add_account(account("second", "another one")).await.unwrap();
    assert_eq!(access.basic("second", "its password").await, Err(AuthError::Wrong));
    assert_eq!(access.token(&session.token).await, Err(AuthError::Wrong));
    assert_eq!(access.delete_account(second, true).await, Err(AccountRefusal::Changed));
}

#[tokio::test]
async fn of_changes_at_once_one_wins() {
    let access = access(&book("one"));
    let seen = access.account("admin").unwrap();
    let change = || access.change_account(seen.clone(), true, AccountChange::default(), None);
    let results = futures_util::future::join_all((0..8).map(|_| change())).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().all(|result| result.is_ok() || *result == Err(AccountRefusal::Changed)));
    assert!(access.change_account(seen, false, AccountChange::default(), None).await.is_ok());
}

#[tokio::test]
async fn a_change_is_finished_when_nobody_waits_for_it() {
    let book = book("one");
    let access = access(&book);
    let seen = access.account("admin").unwrap();
    let change = access.change_account(seen, false, AccountChange::default(), None);
    assert_eq!(access.clock.limit(Duration::from_millis(1), change).await, None);
    while access.account("admin").unwrap().change == 1 {
        tokio::time::sleep(Duration::from_millis(1)).await; // the task is on its way
    }
    assert_eq!(*access.account("admin").unwrap(), *book.accounts().iter().find(|it| it.username == "admin").unwrap());
}

#[tokio::test]
async fn somebody_can_always_manage_accounts() {
    let access = access(&book("one"));
    let admin = access.account("admin").unwrap();
    let last = Some(AccountRefusal::LastAdministrator);
    assert_eq!(access.delete_account(admin.clone(), false).await.err(), last);
    for change in [
        AccountChange { enabled: Some(false), ..AccountChange::default() },
        AccountChange { role: Some(Role::Operator), ..AccountChange::default() },
    ] {
        assert_eq!(access.change_account(admin.clone(), false, change, None).await.err(), last);
    }
    access.add_account(account("second", "x")).await.unwrap();
    assert_eq!(access.delete_account(admin, false).await, Ok(()));
}

#[tokio::test]
async fn guesses_lock_an_account_for_those_who_are_not_in() {
    let access = access(&book("one"));
    let session = access.session("one").await.unwrap();
    for _ in 0..access.rules().lockout_threshold {
        assert_eq!(access.basic("admin", "two").await, Err(AuthError::Wrong));
    }
    assert!(access.is_locked("admin"));
    assert!(access.session("one").await.is_err(), "no new session, though the password is right");
    assert!(access.token(&session.token).await.is_ok(), "who is in stays in");
    assert!(access.basic("admin", "one").await.is_ok(), "who is in stays in");
    let unlock = AccountChange { unlock: true, ..AccountChange::default() };
    access.change_account(access.account("admin").unwrap(), true, unlock, None).await.unwrap();
    assert!(access.session("one").await.is_ok());
    for _ in 0..50 {
        assert!(access.basic("no one", "x").await.is_err());
    }
    assert!(!access.is_locked("no one"));
}

#[tokio::test]
async fn an_address_that_guesses_waits_and_those_behind_it_who_are_in_do_not() {
    let access = access(&book("one"));
    assert!(access.basic("admin", "one").await.is_ok());
    let (here, elsewhere) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
    // All at once: one after the other they take so long on busy cores that the address gets its guesses back meanwhile.
    let guess = async |n: u32| {
        let guess = header("no one", &format!("{n}"));
        matches!(access.check(None, Some(&guess), here).await, Err(AuthError::Slowed(_)))
    };
    let throttle = futures_util::future::join_all((0..throttle::GUESSES_MAX * 2).map(guess)).await;
    let slowed = throttle.into_iter().filter(|slowed| *slowed).count();
    assert!(slowed > usize::try_from(throttle::GUESSES_MAX).unwrap() / 2, "{slowed}");
    let good = header("admin", "one");
    assert!(access.check(None, Some(&good), here).await.is_ok());
    assert!(access.log_in("admin", "one".to_owned().into(), here, None).await.is_ok());
    assert_eq!(access.check(None, Some(&header("admin", "two")), elsewhere).await, Err(AuthError::Wrong));
}

#[tokio::test]
async fn sessions_live_in_the_book_and_the_oldest_idle_one_makes_room() {
    let book = book("one");
    let access = access(&book);
    let first = access.session("one").await.unwrap();
    assert!(!format!("{:?}", book.sessions()).contains(&first.token));
    assert_eq!(access.token(&first.token).await.unwrap().session, Some(first.record.id.into()));
    let again = Authenticator::new(book.clone(), Clock::system(), Metrics::new(), true);
    assert!(again.token(&first.token).await.is_ok(), "a restart keeps it");
    for _ in 0..SESSIONS_MAX {
        tokio::time::sleep(Duration::from_millis(1)).await; // creation times in milliseconds must differ
        access.session("one").await.unwrap();
    }
    assert_eq!(access.sessions().len(), SESSIONS_MAX);
    assert_eq!(access.token(&first.token).await, Err(AuthError::Wrong));
    access.end_session(&access.sessions()[0], &Caller::anyone(), None).await.unwrap();
    assert_eq!((access.sessions().len(), book.sessions().len()), (SESSIONS_MAX - 1, SESSIONS_MAX - 1));
}

#[tokio::test]
async fn an_idle_session_is_over_and_a_used_one_is_not() {
    let book = book("one");
    let access = Authenticator::new(book, Clock::simulated(1, Wall(1_795_000_000_000)), Metrics::new(), true);
    let session = access.session("one").await.unwrap();
    tokio::time::pause();
    let timeout = Duration::from_secs(access.rules().session_seconds.into());
    for _ in 0..4 {
        access.clock.sleep(timeout - Duration::from_secs(100)).await;
        assert!(access.token(&session.token).await.is_ok());
    }
    for years in [1, -2, 1] {
        access.clock.jump_wall(years * 365 * 86_400_000);
        assert!(access.token(&session.token).await.is_ok(), "someone set the clock, and the session was used just now");
    }
    access.clock.sleep(timeout + TOUCH_EVERY).await;
    assert_eq!(access.token(&session.token).await, Err(AuthError::Wrong));
    assert!(access.sessions().is_empty());
}

#[tokio::test]
async fn a_pass_ends_when_its_session_runs_out() {
    let access = Authenticator::new(book("one"), Clock::simulated(1, Wall(1_795_000_000_000)), Metrics::new(), true);
    let access = Arc::new(access);
    let session = access.session("one").await.unwrap();
    let by_basic = access.pass(&access.basic("admin", "one").await.unwrap());
    let pass = access.pass(&session.caller);
    assert!(pass.holds() && pass.name() == "admin");
    tokio::time::pause();
    access.clock.sleep(Duration::from_secs(access.rules().session_seconds.into()) + TOUCH_EVERY).await;
    assert!(!pass.holds() && by_basic.holds());
}

#[tokio::test]
async fn the_sessions_of_one_account_make_no_room_for_those_of_another() {
    let book = book("one");
    let access = access(&book);
    access.add_account(account("other", "two")).await.unwrap();
    let other = access.log_in("other", "two".to_owned().into(), None, None).await.unwrap();
    for _ in 0..SESSIONS_MAX * 3 {
        access.session("one").await.unwrap();
    }
    assert!(access.token(&other.token).await.is_ok());
    assert_eq!(access.sessions().len(), SESSIONS_MAX + 1);
}

fn scope(nodes: &[&str]) -> Option<NodeScope> {
    Some(nodes.iter().map(|node| (*node).to_owned()).collect())
}

#[tokio::test]
async fn a_limit_of_the_file_holds_at_once_for_sessions_and_remembered_passwords() {
    let book = book("one");
    let access = access(&book);
    let session = access.session("one").await.unwrap();
    let before = access.basic("admin", "one").await.unwrap();
    assert!(before.sees("n-1") && before.sees("n-2") && before.may(Privilege::ConfigureUsers));

    access.set_scopes(Configured::from([("admin".into(), scope(&["n-1"])), ("later".into(), scope(&["n-2"]))])).await;
    for caller in [access.token(&session.token).await.unwrap(), access.basic("admin", "one").await.unwrap()] {
        assert!(caller.sees("n-1") && !caller.sees("n-2"));
        let over_all = [Privilege::ConfigureUsers, Privilege::ConfigureManager].map(|privilege| caller.may(privilege));
        assert_eq!(over_all, [false, false]);
        assert!(caller.may(Privilege::ConfigureComponents) && caller.may_on_node(Privilege::ConfigureManager));
    }
    // One that is made over Redfish under a name of the file has the limit of the file.
    let later = access.add_account(account("later", "two")).await.unwrap();
    assert_eq!(later.scope, scope(&["n-2"]));

    // A restart without the file saying anything of it, and one with a file that takes the limit away.
    let access = Authenticator::new(book.clone(), Clock::system(), Metrics::new(), true);
    access.set_scopes(Configured::new()).await;
    assert!(!access.basic("admin", "one").await.unwrap().sees("n-2"), "forgotten in the file is not opened");
    access.set_scopes(Configured::from([("admin".into(), None)])).await;
    assert!(access.basic("admin", "one").await.unwrap().sees("n-2"));
}

#[tokio::test]
async fn an_administrator_of_some_nodes_does_not_count_as_the_last_one() {
    let book = book("one");
    let access = access(&book);
    access.add_account(account("part", "two")).await.unwrap();
    access.set_scopes(Configured::from([("part".into(), scope(&["n-1"]))])).await;
    let admin = access.account("admin").unwrap();
    assert_eq!(access.delete_account(admin, false).await, Err(AccountRefusal::LastAdministrator));
    let hears = |name| [Some("n-1"), Some("n-2"), None].map(|node| access.hears_of(name, node));
    assert_eq!(hears("part"), [true, false, false]);
    assert_eq!(access.delete_account(access.account("part").unwrap(), false).await, Ok(()));
    assert_eq!((hears("part"), hears("admin")), ([false; 3], [true; 3]), "nothing for what it left behind");
}
