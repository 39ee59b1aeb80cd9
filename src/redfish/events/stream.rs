//! Server-sent events: a connection on which events are written as they happen. It counts as a subscriber for as long
//! as it is open.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use futures_util::stream;

use super::queue::{Next, Queue};
use super::record::{Record, payload};
use super::{EventRefusal, Events, STREAMS_MAX, Subscriber, Want};
use crate::clock::{Mono, secret_bytes};
use crate::http::auth::Pass;
use crate::redfish::query::filter::Filter;

/// How often something is written where nothing happens: connections that are silent for longer get cut by what lies
/// between, and a client that is gone is noticed by it.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// A stream that is open.
#[derive(Debug)]
pub struct Stream {
    /// The last part of its URI.
    pub id: String,
    /// The account that reads it.
    pub owner: String,
    opened: Mono,
    filter: Option<Filter>,
}

impl Stream {
    /// Whether its client wants this event.
    pub fn takes(&self, record: &Record) -> bool {
        self.filter.as_ref().map_or(!record.is_audit, |filter| filter.holds(&record.facts))
    }
}

/// Takes the stream off the hub when its connection is gone.
struct Open {
    events: Arc<Events>,
    stream: Arc<Stream>,
    queue: Arc<Queue>,
    pass: Pass,
    greeted: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.events.lock().subscribers.remove(&self.stream.id);
    }
}

impl Events {
    /// Opens a stream, which ends with the access of its reader. With `after`, what has happened since the event with that id comes first, as far as it is still
    /// known.
    pub fn open_stream(
        self: &Arc<Events>,
        pass: Pass,
        filter: Option<Filter>,
        after: Option<u64>,
    ) -> Result<impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> + use<>, EventRefusal> {
        let (owner, opened) = (pass.name().to_owned(), self.clock.now().mono);
        let stream = Arc::new(Stream { id: hex::encode(secret_bytes::<8>()), owner, opened, filter });
        let queue = Arc::new(Queue::default());
        let mut state = self.lock();
        if state.stopped {
            return Err(EventRefusal::Full);
        }
        let own = state.subscribers.values().filter_map(|subscriber| match &subscriber.want {
            Want::Stream(other) if other.owner == stream.owner => Some(other.clone()),
            _ => None,
        });
        let mut own: Vec<_> = own.collect();
        own.sort_by_key(|other| other.opened);
        for oldest in own.iter().take((own.len() + 1).saturating_sub(STREAMS_MAX)) {
            tracing::warn!(event = "stream_cut", stream = oldest.id, owner = oldest.owner, "too many of this account");
            state.subscribers.remove(&oldest.id).into_iter().for_each(Subscriber::end);
        }
        if let Some(after) = after {
            // With the id of another process, or of too long ago, it is not known how many are missing: at least one.
            if after < state.forgotten {
                queue.lose(1);
            }
            let want = Want::Stream(stream.clone());
            let missed = state.recent.iter().filter(|record| record.id > after && self.is_for(&want, record));
            for record in missed {
                queue.push(record.clone());
            }
        }
        state
            .subscribers
            .insert(stream.id.clone(), Subscriber { queue: queue.clone(), want: Want::Stream(stream.clone()) });
        drop(state);
        let open = Open { events: self.clone(), stream, queue, pass, greeted: false };
        Ok(stream::unfold(open, |mut open| async move {
            let text = open.next().await?;
            Some((Ok(Bytes::from(text)), open))
        }))
    }
}

impl Open {
    /// What is written next; `None` ends the stream.
    async fn next(&mut self) -> Option<String> {
        if !std::mem::replace(&mut self.greeted, true) {
            // Lets the headers go out at once.
            return Some(": this stream is open\n\n".into());
        }
        let heard = loop {
            let heard = tokio::select! {
                heard = self.events.clock.limit(KEEP_ALIVE_EVERY, self.queue.next()) => Some(heard),
                () = self.pass.changed() => None,
            };
            if !self.pass.holds() {
                let (stream, owner) = (self.stream.id.as_str(), self.stream.owner.as_str());
                tracing::info!(event = "stream_ended", stream, owner, "the access of its reader has ended");
                return None;
            }
            if let Some(heard) = heard {
                break heard;
            }
        };
        match heard {
            None => Some(": still here\n\n".into()),
            Some(None) => None,
            Some(Some(Next { record, lost })) => {
                self.events.metrics.event("streamed");
                let event = payload(&record, lost, Some(&self.stream.id));
                Some(format!("id: {}\ndata: {event}\n\n", record.id))
            }
        }
    }
}
