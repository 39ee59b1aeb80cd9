//! Documents about all nodes: rendered outside of the HTTP workers and one at a time, since that takes long with
//! thousands of nodes, and once for all callers that wait for the same document.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::web;
use tokio::sync::Mutex;

use crate::clock::{Clock, Mono};
use crate::node::entry::Waits;

/// Whose turn it is to have a document rendered.
pub struct Turns<T> {
    clock: Clock,
    waiting: AtomicUsize,
    /// When the last rendering of each document began, and what came of it; kept while others wait.
    rendered: Mutex<HashMap<String, (Mono, T)>>,
}

impl<T: Clone + Send + 'static> Turns<T> {
    /// An empty queue.
    pub fn new(clock: Clock) -> Turns<T> {
        Turns { clock, waiting: AtomicUsize::new(0), rendered: Mutex::default() }
    }

    /// What `make` renders, or what was rendered of the same document after this was called. `None` when the service is
    /// about to end.
    pub async fn render(&self, document: &str, make: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let asked = self.clock.mono();
        let mut rendered = {
            let _waiting = Waits::begin(&self.waiting);
            self.rendered.lock().await
        };
        let others_wait = self.waiting.load(Ordering::Relaxed) > 0;
        if !others_wait {
            // What no reader waits for is not kept.
            let last = rendered.remove(document).filter(|(began, _)| *began >= asked);
            rendered.clear();
            if let Some((_, last)) = last {
                return Some(last);
            }
        } else if let Some((_, last)) = rendered.get(document).filter(|(began, _)| *began >= asked) {
            return Some(last.clone());
        }
        let began = self.clock.mono();
        let made = web::block(make).await.ok()?;
        if self.waiting.load(Ordering::Relaxed) > 0 {
            rendered.insert(document.to_owned(), (began, made.clone()));
        }
        Some(made)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[actix_web::test]
    async fn requests_that_come_together_share_a_rendering_and_later_ones_do_not() {
        let turns = Turns::new(Clock::system());
        let made = Arc::new(AtomicUsize::new(0));
        let get = async |document: &str| {
            let made = made.clone();
            let make = move || {
                let (_keep, never) = std::sync::mpsc::channel::<()>();
                let _ = never.recv_timeout(Duration::from_millis(20)); // rendering takes its time
                made.fetch_add(1, Ordering::Relaxed)
            };
            turns.render(document, make).await.unwrap()
        };
        let all = futures_util::future::join_all((0..10).map(|_| get("x"))).await;
        assert_eq!(all, [0, 1, 1, 1, 1, 1, 1, 1, 1, 1], "the first, and one for all that waited");
        assert_eq!(get("x").await, 2, "no reader is shown what was made before it asked");
        let (x, y) = futures_util::future::join(get("x"), get("y")).await;
        assert_eq!((x, y), (3, 4));
        assert!(turns.rendered.lock().await.is_empty());
    }
}
