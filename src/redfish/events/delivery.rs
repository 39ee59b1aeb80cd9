//! Sends events to one subscriber over HTTP, in order, with the retries that it requested. Each subscriber has a task
//! of its own, so one that hangs delays no other.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::Events;
use super::destination::{LOCAL, OnlyOutside, names_local};
use super::queue::{Next, Queue};
use super::record::payload;
use super::subscription::{Policy, Subscription};
use crate::http::auth::Privilege;

/// How long a subscriber may take to be connected to, the look-up of its name included.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// How long one delivery may take.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(10);

/// How long an unused connection to a subscriber is kept.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// The longest pause with `RetryForeverWithBackoff`: a subscriber that comes back after a day is found within the hour.
const BACKOFF_LONGEST: Duration = Duration::from_secs(3600);

/// A client for one subscriber, and what it was made for.
struct Client {
    verify: bool,
    /// It may speak to this machine.
    local: bool,
    http: reqwest::Client,
}

impl Client {
    fn new(verify: bool, local: bool) -> Result<Client, reqwest::Error> {
        let builder = reqwest::Client::builder();
        let builder = if local { builder } else { builder.dns_resolver(Arc::new(OnlyOutside)) };
        let http = builder
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .tls_danger_accept_invalid_certs(!verify)
            .connect_timeout(CONNECT_DEADLINE)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE_MAX)
            .user_agent(concat!("plugfish/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Client { verify, local, http })
    }
}

/// What became of an event.
enum Outcome {
    Delivered,
    /// The subscription is gone, or suspended: nothing more is to be done for this event.
    GivenUp,
}

/// Sends what comes through the queue, until it is closed.
pub(crate) async fn deliver(events: Arc<Events>, id: String, queue: Arc<Queue>) {
    let mut client = None;
    while let Some(next) = queue.next().await {
        let outcome = deliver_one(&events, &id, &next, &mut client).await;
        events.metrics.event(match outcome {
            Outcome::Delivered => "delivered",
            Outcome::GivenUp => "given_up",
        });
        if next.lost > 0 {
            tracing::warn!(event = "events_dropped", subscription = id, lost = next.lost, "a subscriber was too slow");
        }
    }
}

async fn deliver_one(events: &Arc<Events>, id: &str, next: &Next, client: &mut Option<Client>) -> Outcome {
    let mut failures: u32 = 0;
    loop {
        // Looked up at each try: a change by a client counts at once, and so does the end of an account.
        let Some(subscription) = events.subscription(id).filter(|subscription| !subscription.suspended) else {
            return Outcome::GivenUp;
        };
        if !events.access.is_enabled(&subscription.owner) {
            return Outcome::GivenUp;
        }
        let why = match post(events, &subscription, next, client).await {
            Ok(()) => {
                if failures > 0 {
                    tracing::info!(event = "subscriber_found", subscription = id, failures, "deliveries go on");
                }
                events.note_failing(id, false);
                return Outcome::Delivered;
            }
            Err(why) => why,
        };
        failures = failures.saturating_add(1);
        events.metrics.event("failed");
        events.note_failing(id, true);
        if failures == 1 {
            tracing::warn!(event = "delivery_failed", subscription = id, "an event was not taken: {why}; trying again");
        }
        let settings = events.settings();
        if failures > settings.attempts {
            match subscription.policy {
                Policy::RetryForever | Policy::RetryForeverWithBackoff => {}
                Policy::SuspendRetries => {
                    events.give_up(id, false, &why).await;
                    return Outcome::GivenUp;
                }
                Policy::TerminateAfterRetries => {
                    events.give_up(id, true, &why).await;
                    return Outcome::GivenUp;
                }
            }
        }
        let interval = Duration::from_secs(settings.interval_s.into());
        let pause = match subscription.policy {
            Policy::RetryForeverWithBackoff => {
                interval.saturating_mul(1 << (failures - 1).min(12)).min(BACKOFF_LONGEST)
            }
            _ => interval,
        };
        events.clock.sleep(pause).await;
    }
}

/// One try. The error says what happened without naming the destination, which may hold a secret.
async fn post(
    events: &Events,
    subscription: &Subscription,
    next: &Next,
    client: &mut Option<Client>,
) -> Result<(), String> {
    let local = events.access.may(&subscription.owner, Privilege::ConfigureManager);
    if !local && subscription.destination.parse().is_ok_and(|url| names_local(&url)) {
        return Err(LOCAL.into());
    }
    let fits = |client: &&Client| (client.verify, client.local) == (subscription.verify, local);
    let http = match client.as_ref().filter(fits) {
        Some(client) => client.http.clone(),
        None => {
            let new = Client::new(subscription.verify, local).map_err(|error| words(&error))?;
            client.insert(new).http.clone()
        }
    };
    let body: Value = payload(&next.record, next.lost, subscription.context.as_deref());
    let mut headers = HeaderMap::new();
    for (name, value) in &subscription.headers {
        // They were looked at when they came.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            headers.append(name, value);
        }
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let request = http.post(&subscription.destination).headers(headers).body(body.to_string());
    match events.clock.limit(DELIVERY_DEADLINE, request.send()).await {
        None => Err(format!("no answer within {} s", DELIVERY_DEADLINE.as_secs())),
        Some(Err(error)) => Err(words(&error)),
        Some(Ok(answer)) if answer.status().is_success() => Ok(()),
        Some(Ok(answer)) => Err(format!("the subscriber answered with {}", answer.status().as_u16())),
    }
}

/// The innermost cause: those before it name the URL.
fn words(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.last().map_or_else(|| "unknown cause".into(), ToString::to_string)
}
