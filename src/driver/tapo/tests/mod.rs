//! The driver against a scripted plug on a real socket, in real time with short settings.
//!
//! Each quirk of the protocol page has a test here or beside the file that deals with it.

mod failures;
mod fake;
mod finding;
mod logins;
mod pace;
mod readings;
mod recorded;
mod rogues;
mod section;
mod sessions;
mod speech;
mod strips;
mod tpap_side;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use self::fake::{FakePlug, Plug, Trouble};
use self::speech::{PASSWORD, USER, klap, klap_with, passthrough, tpap};
use super::connection::Timing;
use super::{Plugs, RATE_LIMIT, TapoConfig, TapoPlug, TapoProtocol};
use crate::driver::DeviceContext;
use crate::driver::http::Deadlines;
pub(crate) use crate::driver::tests::{context, no_pace};
use crate::node::device::{DeviceError, FailureClass, Notice, Observation, PowerDevice};
use crate::node::trust::DeviceTrust;
use crate::node::{BootOverride, Power, PowerAction};
use crate::telemetry::Metrics;

/// The vectors of the protocol page.
pub(super) fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../../tests/fixtures/driver/tapo.json")).unwrap()
}

/// Short enough for tests, long enough for two busy cores.
pub(super) fn quick() -> Timing {
    Timing {
        deadlines: Deadlines { connect: Duration::from_secs(2), exchange: Duration::from_secs(2) },
        wake: Duration::from_millis(100),
        rest: Duration::from_millis(30),
        long_rest: Duration::from_millis(60),
        settle: Duration::ZERO,
        usage_every: Duration::from_secs(60),
        list_fresh: Duration::from_secs(1),
        call: Duration::from_secs(20),
    }
}

pub(super) fn config(port: u16) -> TapoConfig {
    TapoConfig {
        host: "127.0.0.1".into(),
        port: Some(port),
        username: USER.into(),
        password: SecretString::from(PASSWORD),
        mac: None,
        outlet: None,
        protocols: TapoProtocol::ALL.to_vec(),
        factory: false,
        // No one answers there.
        discovery_port: 9,
    }
}

/// A scripted plug and a driver for it.
pub(super) struct Bench {
    pub fake: FakePlug,
    pub device: TapoPlug,
    pub metrics: Arc<Metrics>,
    pub plugs: Plugs,
    config: TapoConfig,
    context: DeviceContext,
}

impl Bench {
    pub(super) async fn new(plug: Plug) -> Bench {
        Bench::with(plug, |_, _| {}).await
    }

    pub(super) async fn with(plug: Plug, change: impl FnOnce(&mut TapoConfig, &mut Timing)) -> Bench {
        let fake = FakePlug::start(plug).await;
        let (mut config, mut timing) = (config(fake.port), quick());
        change(&mut config, &mut timing);
        let (metrics, plugs) = (Metrics::new(), Plugs::new(timing));
        let context = context("node-1", no_pace(), &metrics);
        let device = plugs.open(&config, context.clone());
        Bench { fake, device, metrics, plugs, config, context }
    }

    /// Nothing is left but what is on record.
    pub(super) fn restart(&mut self) {
        self.plugs = Plugs::new(quick());
        self.device = self.plugs.open(&self.config, self.context.clone());
    }

    /// What is on record of the plug.
    pub(super) fn trust(&self) -> &DeviceTrust {
        &self.context.trust
    }

    /// As [`Bench::new`], for tests that wait for a deadline.
    pub(super) async fn impatient(plug: Plug) -> Bench {
        Bench::with(plug, |_, timing| timing.deadlines.exchange = Duration::from_millis(500)).await
    }

    /// Logged in and read once; the requests so far are forgotten.
    pub(super) async fn warm(plug: Plug) -> Bench {
        let mut bench = Bench::new(plug).await;
        bench.read().await.unwrap();
        bench.fake.names();
        bench
    }

    pub(super) async fn read(&mut self) -> Result<Observation, DeviceError> {
        self.device.read().await
    }

    pub(super) async fn set(&mut self, power: Power) -> Result<(), DeviceError> {
        let order = if power == Power::On { PowerAction::On } else { PowerAction::Off };
        self.device.order(order, BootOverride::default()).await
    }

    pub(super) fn on(&self) -> bool {
        self.fake.plug().on
    }
}

pub(super) fn notice<'a>(observation: &'a Observation, key: &str) -> Option<&'a Notice> {
    observation.notices.iter().find(|notice| notice.key == key)
}

#[track_caller]
pub(super) fn assert_fails<T: std::fmt::Debug>(result: Result<T, DeviceError>, class: FailureClass, words: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.class, class, "{error}");
    assert!(error.text.contains(words), "{:?} is not in {:?}", words, error.text);
    assert!(!error.text.contains(PASSWORD) && !error.text.contains(USER), "{error}");
    assert!(!error.text.ends_with('.') && !error.text.contains("http://"), "{error}");
}
