//! One node as readers and callers see it: its published view, its events, and the mailbox of its actor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::Addr;
use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::oneshot;

use super::NodeId;
use super::actor::{NodeActor, NodeMsg};
use super::event::Event;
use super::power_history::{Measurement, PowerHistory};
use super::view::{NodeView, ViewCell};
use crate::clock::Mono;

/// How much of what happened to a node is remembered: a month of a quiet node, a day of a busy one, some 40 KB.
pub(crate) const HAPPENINGS_MAX: usize = 200;

/// Where readers find a node.
pub struct NodeEntry {
    pub id: NodeId,
    view: ViewCell,
    /// When the view was exchanged last, in milliseconds of the monotonic clock.
    published: AtomicU64,
    power_history: PowerHistory,
    /// What happened to it lately, the newest first.
    happenings: ArcSwap<Vec<Arc<Event>>>,
    actor: ArcSwapOption<Addr<NodeActor>>,
    /// Callers that asked something of the actor and have no answer yet.
    waiting: AtomicUsize,
}

impl NodeEntry {
    pub(super) fn new(id: NodeId, view: NodeView) -> NodeEntry {
        NodeEntry {
            id,
            view: ArcSwap::from_pointee(view),
            published: AtomicU64::default(),
            power_history: PowerHistory::default(),
            happenings: ArcSwap::default(),
            actor: ArcSwapOption::empty(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The current view.
    pub fn view(&self) -> arc_swap::Guard<Arc<NodeView>> {
        self.view.load()
    }

    /// What happened to the node while this process ran, the newest first; at most [`HAPPENINGS_MAX`].
    pub fn happenings(&self) -> Arc<Vec<Arc<Event>>> {
        self.happenings.load_full()
    }

    /// How many callers wait for an answer of the actor.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Counts a caller who waits for an answer of the actor.
    pub(super) fn wait(&self) -> Waits<'_> {
        Waits::begin(&self.waiting)
    }

    /// From now on this actor is asked.
    pub(super) fn attach(&self, actor: Addr<NodeActor>) {
        self.actor.store(Some(Arc::new(actor)));
    }

    /// Puts something into the mailbox. False when it is full or closed, or when there is no actor.
    pub(super) fn try_send(&self, ask: NodeMsg) -> bool {
        self.actor.load().as_ref().is_some_and(|actor| actor.try_send(ask).is_ok())
    }

    /// Puts into the mailbox, however full it is, what must not get lost. If the actor has fallen, `ask` is dropped.
    pub(super) fn deliver(&self, ask: NodeMsg) {
        if let Some(actor) = self.actor.load_full() {
            actix::spawn(async move {
                // An error says that the actor fell.
                let _ = actor.send(ask).await;
            });
        }
    }

    /// Asks the actor to end; what it returns resolves when it has.
    pub(super) fn end(&self) -> oneshot::Receiver<()> {
        let (done, ended) = oneshot::channel();
        self.deliver(NodeMsg::Stop { done });
        self.actor.store(None);
        ended
    }

    /// Remembers what happened. Only from the arbiter of the actors, so that nothing is lost between two writers.
    pub(super) fn record(&self, event: Event) {
        let before = self.happenings.load();
        let events = std::iter::once(Arc::new(event)).chain(before.iter().cloned()).take(HAPPENINGS_MAX);
        self.happenings.store(Arc::new(events.collect()));
    }

    /// What was measured lately, the oldest first.
    pub fn power_history(&self) -> Arc<Vec<Measurement>> {
        self.power_history.load()
    }

    /// When the step began after which the picture was exchanged last.
    pub fn published(&self) -> Mono {
        Mono::after_start(Duration::from_millis(self.published.load(Ordering::Acquire)))
    }

    pub(super) fn publish(&self, view: NodeView, now: Mono) {
        self.power_history.record(view.drawn_at(), view.milliwatts);
        self.view.store(Arc::new(view));
        self.published.store(u64::try_from(now.since_start().as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }
}

/// One caller who waits, counted for as long as this lives: a caller may hang up.
pub(crate) struct Waits<'a>(&'a AtomicUsize);

impl Waits<'_> {
    pub(crate) fn begin(count: &AtomicUsize) -> Waits<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Waits(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
