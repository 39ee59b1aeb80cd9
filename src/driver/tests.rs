//! What the tests of all drivers have in common, and what `Drivers` promises.

use std::ffi::OsString;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::http::Tls;
use super::registry::Gates;
use super::*;
use crate::node::rate_limit::RateLimit;
use crate::node::trust::VolatileBook;
use crate::reader::cursor::Diagnostics;
use crate::reader::tree::{Tree, Value};
use crate::reader::{Environment, Keys, Login, Place, Uniqueness};
use crate::telemetry::Metrics;

/// A pace that no test feels.
pub(crate) fn no_pace() -> RateLimit {
    let many = NonZeroU32::new(100_000).unwrap();
    RateLimit { gap: Duration::ZERO, per_second: many, burst: many }
}

/// What a device at this pace is given.
pub(crate) fn context(node: &str, pace: RateLimit, metrics: &Arc<Metrics>) -> DeviceContext {
    let clock = Clock::system();
    let gate = RequestGate::new(clock.clone(), pace);
    let (node, meters, exchange_log) = (node.parse::<NodeId>().unwrap(), metrics.device(node), Arc::default());
    let trust = Arc::new(DeviceTrust::volatile(node.clone(), clock.clone()));
    DeviceContext { node, clock, gate, meters, exchange_log, trust }
}

/// Neither variables nor files.
struct Nothing;

impl Environment for Nothing {
    fn var(&self, _: &str) -> Option<OsString> {
        None
    }
    fn read(&self, _: &Path, _: usize) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn everybody_reads(&self, _: &Path) -> bool {
        false
    }
}

/// A text as the reader has it, without its lines.
fn tree(yaml: &serde_yaml::Value) -> Tree {
    let value = match yaml {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(flag) => Value::Bool(*flag),
        serde_yaml::Value::Number(number) => number.as_i64().map_or(Value::Float(f64::INFINITY), Value::Int),
        serde_yaml::Value::String(text) => Value::Text(text.clone()),
        serde_yaml::Value::Sequence(items) => Value::List(items.iter().map(tree).collect()),
        serde_yaml::Value::Mapping(entries) => {
            Value::Map(entries.iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), tree(value))).collect())
        }
        serde_yaml::Value::Tagged(_) => Value::Tagged,
    };
    Tree { line: None, value }
}

/// What a driver makes of these sections, each of a node of its own; or all problems. `login` stands in `defaults`.
pub(crate) fn read(driver: &dyn Driver, login: &str, sections: &[&str]) -> Result<Vec<DriverConfig>, Vec<String>> {
    let parsed = |text: &str| tree(&serde_yaml::from_str(text).unwrap());
    let diagnostics = Diagnostics::new(&Nothing, Path::new("/"));
    let (key, mut taken) = (driver.section().key, Uniqueness::default());
    let defaults = parsed(&format!("{{ {key}: {login} }}"));
    let keys: Keys<'_> = Cursor::root(&diagnostics, &defaults).keys(&[key]).unwrap();
    let mut login = Login::read(&keys, key);
    let mut found = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let section = parsed(section);
        let place = Place { index, line: None };
        let context = SectionContext { place, uuid: None, taken: &mut taken, login: &mut login };
        found.extend(driver.read(&Cursor::root(&diagnostics, &section), context));
    }
    let problems: Vec<String> =
        diagnostics.into_problems().iter().map(|problem| format!("{}: {}", problem.path, problem.text)).collect();
    assert_eq!(problems.is_empty(), found.len() == sections.len());
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

#[test]
fn each_driver_has_a_key_and_a_kind_of_its_own() {
    for (index, driver) in DRIVERS.iter().enumerate() {
        let others = &DRIVERS[index + 1..];
        assert!(others.iter().all(|other| other.section().key != driver.section().key));
        // The shortest section is one that can be read, and leads back to its driver.
        let login = "{ username: u, password: hidden }";
        let device = &read(*driver, login, &[driver.section().example]).unwrap()[0];
        assert!(std::ptr::eq(device.kind(), driver.kind()));
        assert!(!format!("{device:?}").contains("hidden"), "{device:?}");
        assert_ne!(device.label(), "");
        // Equal while nothing changes, and no longer when a password does.
        let again = |login: &str| read(*driver, login, &[driver.section().example]).unwrap().remove(0);
        assert_eq!(device, &again(login));
        assert_ne!(device, &again("{ username: u, password: other }"));
        assert!(others.iter().all(|other| *device != read(*other, login, &[other.section().example]).unwrap()[0]));
    }
}

/// A node may be taken out and put back while an operation of it is still under way, also with another account.
#[tokio::test]
async fn a_device_that_is_opened_twice_is_asked_one_thing_at_a_time() {
    let password = || SecretString::from("P@ssw0rd");
    let amt = |port, username: &str| {
        let (host, username) = ("127.0.0.1".into(), username.into());
        DriverConfig::from(amt::AmtConfig {
            host,
            port: Some(port),
            tls: Tls::Off,
            username,
            password: password(),
            uuid: None,
        })
    };
    let plug = |port, username: &str| {
        let (host, username) = ("127.0.0.1".into(), username.into());
        let (port, mac, outlet, discovery_port) = (Some(port), None, None, 9);
        let (password, protocols, factory) = (password(), tapo::TapoProtocol::ALL.to_vec(), false);
        DriverConfig::from(tapo::TapoConfig {
            host,
            port,
            mac,
            outlet,
            protocols,
            factory,
            username,
            password,
            discovery_port,
        })
    };
    asks_one_thing_at_a_time(amt).await;
    asks_one_thing_at_a_time(plug).await;
}

async fn asks_one_thing_at_a_time(config: impl Fn(u16, &str) -> DriverConfig) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let drivers = Drivers::new(Clock::system(), Metrics::new(), Arc::default(), Arc::new(VolatileBook::default()));
    let reads = ["admin", "other"].map(|username| {
        let mut device = drivers.open(&"node-1".parse().unwrap(), &config(port, username));
        tokio::spawn(async move { device.read().await })
    });
    let (mut first, _) = listener.accept().await.unwrap();
    assert!(first.read(&mut [0; 64]).await.unwrap() > 0);
    // The first one has no answer yet: for a tenth of the time in which it gives up, no one else comes.
    let second = tokio::time::timeout(Duration::from_millis(400), listener.accept()).await;
    assert!(second.is_err(), "two requests at once");
    reads.iter().for_each(|read| read.abort());
}

/// A script that takes a node out of nodes.yaml and puts it back must not get a request to its device each time.
#[test]
fn a_device_that_is_taken_out_and_put_back_keeps_its_pace() {
    let gates = Gates::default();
    let new = || RequestGate::new(Clock::system(), no_pace());
    let before = Arc::as_ptr(&gates.at("a".into(), new));
    assert_eq!(Arc::as_ptr(&gates.at("a".into(), new)), before);
    assert_ne!(Arc::as_ptr(&gates.at("b".into(), new)), before);
}
