//! The event hub: it receives the events of the fleet and puts them into the queue of every subscriber that wants them.
//! A subscriber that is slow or unreachable loses its own oldest events, and delays no other.
//!
//! The hub stores subscriptions through a [`SettingsStore`] only.

pub(crate) mod delivery;
pub(crate) mod destination;
pub(crate) mod queue;
mod readings;
pub(crate) mod record;
pub(crate) mod stream;
pub(crate) mod subscription;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::AbortHandle;

use crate::clock::{Clock, secret_bytes};
use crate::durable::{SettingsStore, WriteError};
use crate::http::auth::{AuditEntry, Authenticator};
use crate::node::NodeId;
use crate::node::event::Event;
use crate::telemetry::Metrics;
pub(crate) use readings::SubscriberMetrics;

use queue::Queue;
use record::Record;
use stream::Stream;
use subscription::{Settings, Subscription};

/// Events that can be replayed to a stream that was cut off: as many as it can be given at once. They have some 700 bytes each.
const REPLAY_MAX: usize = queue::QUEUE_MAX;

/// Subscriptions of one account at once. Each has a task and may keep a connection open.
const SUBSCRIPTIONS_MAX: usize = 32;

/// Streams of one account at once, over all workers; its own oldest one makes room.
const STREAMS_MAX: usize = 32;

/// Under which name settings are kept.
const SETTINGS: &str = "event_service";

/// What the names of subscriptions begin with where they are kept.
const SUBSCRIPTION: &str = "subscription/";

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventRefusal {
    /// There are as many as there can be.
    #[error("this account has as many subscriptions as it can have; delete one first")]
    Full,
    /// Someone else changed it since the client read it.
    #[error("it was changed in the meantime; read it again")]
    Changed,
    /// The subscription does not exist.
    #[error("there is no such subscription")]
    Gone,
    /// The disk did not take it.
    #[error("the change was not made: {0}")]
    CannotWrite(#[from] WriteError),
}

/// The recipients of events.
enum Want {
    /// A subscription with its deliveries.
    Delivery { subscription: Arc<Subscription>, failing: bool, task: AbortHandle },
    /// A stream of server-sent events.
    Stream(Arc<Stream>),
}

struct Subscriber {
    queue: Arc<Queue>,
    want: Want,
}

/// A subscriber, as clients see it.
pub enum SubscriberView {
    /// A subscription, and whether its last delivery failed.
    Delivery(Arc<Subscription>, bool),
    /// One stream of server-sent events.
    Stream(Arc<Stream>),
}

impl SubscriberView {
    /// The account that made it.
    pub fn owner(&self) -> &str {
        match self {
            SubscriberView::Delivery(subscription, _) => &subscription.owner,
            SubscriberView::Stream(stream) => &stream.owner,
        }
    }
}

struct State {
    /// The id of the next event.
    next: u64,
    recent: VecDeque<Arc<Record>>,
    /// The id of the newest event that could be replayed once and cannot be now.
    forgotten: u64,
    subscribers: BTreeMap<String, Subscriber>,
    settings: Settings,
    stopped: bool,
}

/// See the top of the file.
pub struct Events {
    access: Arc<Authenticator>,
    clock: Clock,
    metrics: Arc<Metrics>,
    shelf: Arc<dyn SettingsStore>,
    runtime: Handle,
    state: Mutex<State>,
    /// Held over a durable change, so that its condition still holds when it is made.
    changing: tokio::sync::Mutex<()>,
}

impl Events {
    /// The hub as the shelf has it; `access` says which nodes a subscriber sees. Deliveries run on the runtime on which this
    /// is called.
    pub fn start(
        shelf: Arc<dyn SettingsStore>,
        access: Arc<Authenticator>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Arc<Events> {
        // reqwest looks for it; a second start (tests in one process) keeps the first one's.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stored = |value: Value| serde_json::from_value::<Settings>(value).ok();
        let settings = shelf.values(SETTINGS).into_iter().find_map(|(_, value)| stored(value)).unwrap_or_default();
        let subscriptions = shelf.values(SUBSCRIPTION);
        // Counting on from the clock, ids grow over restarts too, as long as there are less than a thousand events in a second.
        let next = u64::try_from(clock.now().wall.0).unwrap_or(0);
        let state = State {
            next,
            forgotten: next.saturating_sub(1),
            recent: VecDeque::new(),
            subscribers: BTreeMap::new(),
            settings,
            stopped: false,
        };
        let (runtime, changing) = (Handle::current(), tokio::sync::Mutex::default());
        let events = Arc::new(Events { access, clock, metrics, shelf, runtime, state: Mutex::new(state), changing });
        for (name, value) in subscriptions {
            match serde_json::from_value::<Subscription>(value) {
                Ok(subscription) if !events.access.has_account(&subscription.owner) => {
                    // Its account was deleted and the process ended before this was done.
                    let (events, owner) = (events.clone(), subscription.owner.clone());
                    events.add(subscription);
                    events.runtime.clone().spawn(async move { events.end_owned(&owner).await });
                }
                Ok(subscription) => events.add(subscription),
                Err(error) => tracing::error!(event = "subscription_lost", name, "it cannot be read: {error}"),
            }
        }
        events
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what is heard, until the hub is stopped or the bus is gone.
    pub async fn run(self: Arc<Events>, mut heard: Receiver<Event>) {
        loop {
            match heard.recv().await {
                Ok(event) => {
                    let news = record::news(&event);
                    self.publish(news.len(), |index, id, group| {
                        let mut record = Record::of(news.get(index)?, id, group, event.at);
                        record.node = Some(event.node.clone());
                        Some(record)
                    });
                }
                Err(RecvError::Lagged(lost)) => {
                    tracing::warn!(event = "events_dropped", lost, "events came faster than they could be passed on");
                    self.lock().subscribers.values().for_each(|subscriber| subscriber.queue.lose(lost));
                }
                Err(RecvError::Closed) => return,
            }
            if self.lock().stopped {
                return;
            }
        }
    }

    /// Passes on the audit, until the hub is stopped. An entry is not kept for streams that come back: a flood of wrong logins
    /// would push out what happened to the nodes.
    pub(crate) async fn run_audit(self: Arc<Events>, mut heard: Receiver<AuditEntry>) {
        loop {
            match heard.recv().await {
                Ok(entry) => {
                    let at = self.clock.now().wall;
                    self.publish(1, |_, id, group| Some(record::audit_record(&entry, id, group, at)));
                }
                // Its lines in the log are whole.
                Err(RecvError::Lagged(lost)) => {
                    tracing::warn!(event = "audit_events_dropped", lost, "too many at once")
                }
                Err(RecvError::Closed) => return,
            }
            if self.lock().stopped {
                return;
            }
        }
    }

    /// Passes on an event with the body of a client.
    pub fn publish_free(&self, body: Map<String, Value>) {
        self.publish(1, |_, id, group| Some(Record::free(body.clone(), id, group)));
    }

    /// Gives ids to records, and puts them into the queues of the subscribers that select them.
    fn publish(&self, count: usize, make: impl Fn(usize, u64, u64) -> Option<Record>) {
        let mut state = self.lock();
        let group = state.next;
        for record in (0..count).zip(group..).filter_map(|(index, id)| make(index, id, group)) {
            let record = Arc::new(record);
            state.next = record.id + 1;
            if !record.is_audit {
                if state.recent.len() >= REPLAY_MAX {
                    state.forgotten = state.recent.pop_front().map_or(state.forgotten, |oldest| oldest.id);
                }
                state.recent.push_back(record.clone());
            }
            state.subscribers.retain(|id, subscriber| {
                if !self.is_for(&subscriber.want, &record) {
                    return true;
                }
                let had_room = subscriber.queue.push(record.clone());
                if !had_room {
                    self.metrics.event("dropped");
                }
                let is_cut = !had_room && matches!(subscriber.want, Want::Stream(_));
                if is_cut {
                    tracing::warn!(event = "stream_cut", stream = id, "its client reads too slowly");
                    subscriber.queue.close();
                }
                !is_cut
            });
        }
    }

    /// Whether a subscriber wants this event and may have it, by what its owner sees now.
    fn is_for(&self, want: &Want, record: &Record) -> bool {
        let (takes, owner) = match want {
            Want::Delivery { subscription, .. } => {
                (!subscription.suspended && subscription.selection.takes(record), &subscription.owner)
            }
            Want::Stream(stream) => (stream.takes(record), &stream.owner),
        };
        let may = match record.is_audit {
            true => self.access.hears_audit(owner),
            false => self.access.hears_of(owner, record.node.as_ref().map(NodeId::as_str)),
        };
        takes && may
    }

    /// Lets a subscription live: its queue and its task.
    fn add(self: &Arc<Events>, subscription: Subscription) {
        let queue = Arc::new(Queue::default());
        let id = subscription.id.clone();
        let task = self.runtime.spawn(delivery::deliver(self.clone(), id.clone(), queue.clone())).abort_handle();
        let want = Want::Delivery { subscription: Arc::new(subscription), failing: false, task };
        self.lock().subscribers.insert(id, Subscriber { queue, want });
    }

    /// Makes a subscription, durably. Its id and change are given here.
    pub async fn subscribe(
        self: &Arc<Events>,
        mut subscription: Subscription,
    ) -> Result<Arc<Subscription>, EventRefusal> {
        let _turn = self.changing.lock().await;
        if self.owned(&subscription.owner).len() >= SUBSCRIPTIONS_MAX {
            return Err(EventRefusal::Full);
        }
        subscription.id = hex::encode(secret_bytes::<8>());
        subscription.change = 1;
        self.put(&subscription).await?;
        self.add(subscription.clone());
        Ok(Arc::new(subscription))
    }

    async fn put(&self, subscription: &Subscription) -> Result<(), EventRefusal> {
        let name = format!("{SUBSCRIPTION}{}", subscription.id);
        let value = serde_json::to_value(subscription).map_err(|error| WriteError::new(&name, error))?;
        Ok(self.shelf.put_value(&name, value).await?)
    }

    /// Changes a subscription, durably; only if it is at this change, where one is given.
    pub async fn change(
        &self,
        id: &str,
        at: Option<u64>,
        edit: impl FnOnce(&mut Subscription),
    ) -> Result<Arc<Subscription>, EventRefusal> {
        let _turn = self.changing.lock().await;
        let old = self.subscription(id).ok_or(EventRefusal::Gone)?;
        if at.is_some_and(|at| at != old.change) {
            return Err(EventRefusal::Changed);
        }
        let mut new = Subscription::clone(&old);
        edit(&mut new);
        new.change += 1;
        self.put(&new).await?;
        let new = Arc::new(new);
        let mut state = self.lock();
        let Some(subscriber) = state.subscribers.get_mut(id) else { return Err(EventRefusal::Gone) };
        if new.suspended {
            subscriber.queue.clear();
        }
        if let Want::Delivery { subscription, .. } = &mut subscriber.want {
            *subscription = new.clone();
        }
        Ok(new)
    }

    /// Ends a subscription, durably, or a stream; only if it is at this change, where one is given.
    pub async fn end(&self, id: &str, at: Option<u64>) -> Result<(), EventRefusal> {
        let _turn = self.changing.lock().await;
        if let Some(subscription) = self.subscription(id) {
            if at.is_some_and(|at| at != subscription.change) {
                return Err(EventRefusal::Changed);
            }
            self.shelf.delete_value(&format!("{SUBSCRIPTION}{id}")).await?;
        }
        let gone = self.lock().subscribers.remove(id).ok_or(EventRefusal::Gone)?;
        gone.end();
        Ok(())
    }

    /// The ids of the subscriptions of an account.
    fn owned(&self, owner: &str) -> Vec<String> {
        let state = self.lock();
        let own = state.subscribers.iter().filter(|(_, subscriber)| match &subscriber.want {
            Want::Delivery { subscription, .. } => subscription.owner == owner,
            Want::Stream(_) => false,
        });
        own.map(|(id, _)| id.clone()).collect()
    }

    /// Ends the subscriptions of an account that is gone, durably. Nothing is sent to them from its end on.
    pub async fn end_owned(&self, owner: &str) {
        for id in self.owned(owner) {
            match self.end(&id, None).await {
                Ok(()) => tracing::info!(event = "subscription_ended", subscription = id, owner, "its account is gone"),
                // The next start tries again.
                Err(error) => tracing::error!(event = "subscription_not_ended", subscription = id, owner, "{error}"),
            }
        }
    }

    /// A subscriber took nothing for as long as it was to be tried: its subscription is deleted, or suspended.
    async fn give_up(&self, id: &str, terminate: bool, why: &str) {
        tracing::error!(event = "subscriber_lost", subscription = id, terminate, "given up, since {why}");
        let done = match terminate {
            true => self.end(id, None).await,
            false => self.change(id, None, |subscription| subscription.suspended = true).await.map(drop),
        };
        if let Err(error) = done {
            tracing::error!(event = "subscriber_not_given_up", subscription = id, "{error}");
        }
    }

    /// Changes the settings of the service, durably; only if they are at this change, where one is given.
    pub async fn set(&self, at: Option<u64>, edit: impl FnOnce(&mut Settings)) -> Result<(), EventRefusal> {
        let _turn = self.changing.lock().await;
        let mut settings = self.settings();
        if at.is_some_and(|at| at != settings.change) {
            return Err(EventRefusal::Changed);
        }
        edit(&mut settings);
        settings.change += 1;
        let value = serde_json::to_value(settings).map_err(|error| WriteError::new(SETTINGS, error))?;
        self.shelf.put_value(SETTINGS, value).await?;
        self.lock().settings = settings;
        Ok(())
    }

    /// The settings of the service.
    pub fn settings(&self) -> Settings {
        self.lock().settings
    }

    /// The ids of all subscribers.
    pub fn ids(&self) -> Vec<String> {
        self.lock().subscribers.keys().cloned().collect()
    }

    /// The subscriber with this id.
    pub fn find(&self, id: &str) -> Option<SubscriberView> {
        self.lock().subscribers.get(id).map(|subscriber| match &subscriber.want {
            Want::Delivery { subscription, failing, .. } => SubscriberView::Delivery(subscription.clone(), *failing),
            Want::Stream(stream) => SubscriberView::Stream(stream.clone()),
        })
    }

    fn subscription(&self, id: &str) -> Option<Arc<Subscription>> {
        match self.find(id) {
            Some(SubscriberView::Delivery(subscription, _)) => Some(subscription),
            _ => None,
        }
    }

    fn note_failing(&self, id: &str, now: bool) {
        let mut state = self.lock();
        if let Some(Want::Delivery { failing, .. }) = state.subscribers.get_mut(id).map(|found| &mut found.want) {
            *failing = now;
        }
    }

    /// Ends all streams and all deliveries; what waits is forgotten, subscriptions stay.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        std::mem::take(&mut state.subscribers).into_values().for_each(Subscriber::end);
    }
}

impl Subscriber {
    fn end(self) {
        self.queue.close();
        if let Want::Delivery { task, .. } = self.want {
            task.abort();
        }
    }
}
