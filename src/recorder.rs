//! The flight recorder: the last exchanges with each device, for bug reports.
//!
//! A leaf that knows times and texts. The drivers write to it, after they have removed every secret; the accounts that
//! may see it read it. A log of exchanges is small and does not grow: see [`EXCHANGES_MAX`] and [`TEXT_BYTES_MAX`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Wall;

/// Exchanges kept of one device: a login, what was asked after it, the repeats, and what was well before.
pub(crate) const EXCHANGES_MAX: usize = 16;

/// Of these, readings that went well: the polls of a healthy device would else push out what is worth looking at.
pub(crate) const READINGS_MAX: usize = 4;

/// Longest text of one exchange, request, answer and remark together. With it a tape has 16 KiB of text at the very most,
/// and that of a device that is well under 5 KiB: 10,000 of them have less than 50 MiB. When all of these are away, there
/// are requests and remarks without answers, less than 8 KiB for each.
pub(crate) const TEXT_BYTES_MAX: usize = 1024;

/// The part of [`TEXT_BYTES_MAX`] that a request may take: answers tell more.
const SENT_BYTES_MAX: usize = 256;

/// The part of [`TEXT_BYTES_MAX`] that a remark may take.
const REMARK_BYTES_MAX: usize = 192;

/// One exchange with a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Time of its end.
    pub at: Wall,
    /// What it was for: `login`, `read`, `study`, `set`, `order`, `discover`.
    pub op: &'static str,
    /// Which step of the protocol: `handshake1`, `Get`.
    pub step: &'static str,
    /// Which request of the call it was, counted from 1.
    pub attempt: u32,
    /// From the start to the last byte of the answer.
    pub took: Duration,
    /// How it ended, as the metrics call it: `ok`, or a failure class.
    pub outcome: &'static str,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// What was asked, in clear and without secrets.
    pub sent: Option<Box<str>>,
    /// The answer, in the same form.
    pub answered: Option<Box<str>>,
    /// What the driver made of it, when that was a failure.
    pub remark: Option<Box<str>>,
}

impl Exchange {
    /// Of a device that is well there are many of these.
    fn is_plain_reading(&self) -> bool {
        matches!(self.op, "read" | "study") && self.outcome == "ok" && self.remark.is_none()
    }

    /// The answer has what the others leave of the room.
    fn fit(&mut self) {
        let taken: usize = [&self.sent, &self.remark].into_iter().flatten().map(|text| text.len()).sum();
        self.answered = self.answered.take().map(|text| clipped(&text, TEXT_BYTES_MAX.saturating_sub(taken)));
    }
}

/// The last exchanges with one device, the newest last.
#[derive(Debug, Default)]
pub struct ExchangeLog(Mutex<VecDeque<Exchange>>);

impl ExchangeLog {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Exchange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down an exchange that has ended.
    pub fn record(&self, exchange: Exchange) {
        let mut exchanges = self.lock();
        let readings = exchanges.iter().filter(|exchange| exchange.is_plain_reading()).count();
        let is_one_too_many = exchange.is_plain_reading() && readings >= READINGS_MAX;
        let oldest_reading = exchanges.iter().position(Exchange::is_plain_reading).filter(|_| is_one_too_many);
        // Makes room first, so that the buffer never grows beyond what it holds.
        if let Some(oldest) = oldest_reading {
            exchanges.remove(oldest);
        } else if exchanges.len() >= EXCHANGES_MAX {
            exchanges.pop_front();
        }
        exchanges.push_back(exchange);
    }

    /// Says in clear what was asked and answered in the last exchange. Both are without secrets already.
    pub fn tell(&self, sent: Option<String>, answered: Option<String>) {
        let mut exchanges = self.lock();
        let Some(last) = exchanges.back_mut() else { return };
        if let Some(sent) = sent {
            last.sent = Some(clipped(&sent, SENT_BYTES_MAX));
        }
        last.answered = answered.map(Into::into).or(last.answered.take());
        last.fit();
    }

    /// Says what the last exchange was taken for.
    pub fn remark(&self, words: &str) {
        if let Some(last) = self.lock().back_mut() {
            last.remark = Some(clipped(words, REMARK_BYTES_MAX));
            last.fit();
        }
    }

    /// The exchanges, the oldest first.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.lock().iter().cloned().collect()
    }
}

/// A text of at most so many bytes, which says how much is missing.
fn clipped(text: &str, bytes_max: usize) -> Box<str> {
    if text.len() <= bytes_max {
        return text.into();
    }
    let missing = format!("... ({} bytes)", text.len());
    let end = text.floor_char_boundary(bytes_max.saturating_sub(missing.len()));
    format!("{}{missing}", text.get(..end).unwrap_or_default()).into()
}

/// The tapes of all devices.
#[derive(Debug, Default)]
pub struct FlightRecorder(Mutex<HashMap<String, Arc<ExchangeLog>>>);

impl FlightRecorder {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<ExchangeLog>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tape of a node's device. It outlives the device: one that is restarted goes on with it.
    pub fn exchange_log(&self, node: &str) -> Arc<ExchangeLog> {
        self.lock().entry(node.to_owned()).or_default().clone()
    }

    /// What was recorded of a node.
    pub fn exchanges(&self, node: &str) -> Vec<Exchange> {
        let exchange_log = self.lock().get(node).cloned();
        exchange_log.map(|exchange_log| exchange_log.exchanges()).unwrap_or_default()
    }

    /// Throws away the tapes of nodes that are no more.
    pub fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().retain(|node, _| is_there(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(op: &'static str, outcome: &'static str, attempt: u32) -> Exchange {
        let (at, took) = (Wall(0), Duration::ZERO);
        let (sent, answered, remark) = (None, None, None);
        Exchange { at, op, step: "s", attempt, took, outcome, status: Some(200), sent, answered, remark }
    }

    fn bytes(exchange_log: &ExchangeLog) -> usize {
        let texts = |e: &Exchange| [&e.sent, &e.answered, &e.remark].map(|t| t.as_ref().map_or(0, |t| t.len()));
        let exchanges = exchange_log.exchanges();
        exchanges.iter().map(|e| texts(e).iter().sum::<usize>() + size_of::<Exchange>()).sum()
    }

    #[test]
    fn polls_do_not_push_out_what_went_wrong() {
        let exchange_log = ExchangeLog::default();
        exchange_log.record(exchange("read", "timeout", 7));
        exchange_log.record(exchange("set", "ok", 8));
        for number in 0..100 {
            exchange_log.record(exchange("read", "ok", number));
        }
        let attempts: Vec<u32> = exchange_log.exchanges().iter().map(|exchange| exchange.attempt).collect();
        assert_eq!(attempts, [7, 8, 96, 97, 98, 99]);
        for number in 200..300 {
            exchange_log.record(exchange("login", "refused", number));
        }
        let attempts: Vec<u32> = exchange_log.exchanges().iter().map(|exchange| exchange.attempt).collect();
        assert_eq!((attempts.len(), attempts[0]), (EXCHANGES_MAX, 300 - 16));
    }

    #[test]
    fn a_tape_is_small_whatever_a_device_says() {
        let long = || Some("ü".repeat(100_000));
        let fill = |op, outcome| {
            let exchange_log = ExchangeLog::default();
            for number in 0..100 {
                exchange_log.record(exchange(op, outcome, number));
                exchange_log.tell(long(), long());
                if outcome != "ok" {
                    exchange_log.remark(&long().unwrap());
                }
            }
            bytes(&exchange_log)
        };
        assert!(fill("set", "timeout") <= 19 * 1024, "{}", fill("set", "timeout"));
        let slots = |exchange_log: &ExchangeLog| exchange_log.lock().capacity();
        let exchange_log = ExchangeLog::default();
        (0..100).for_each(|number| exchange_log.record(exchange("login", "ok", number)));
        assert!(slots(&exchange_log) <= EXCHANGES_MAX, "{}", slots(&exchange_log));
        assert!(fill("read", "ok") <= 5 * 1024, "{}", fill("read", "ok"));
        assert_eq!(&*clipped("abc", 3), "abc");
        assert_eq!(&*clipped(&"ü".repeat(20), 20), "üüü... (40 bytes)");
    }

    #[test]
    fn tapes_go_with_their_nodes() {
        let recorder = FlightRecorder::default();
        recorder.exchange_log("a").record(exchange("read", "ok", 1));
        recorder.exchange_log("a").record(exchange("read", "ok", 2));
        assert_eq!((recorder.exchanges("a").len(), recorder.exchanges("b").len()), (2, 0));
        recorder.keep(|node| node == "b");
        assert_eq!(recorder.exchanges("a").len(), 0);
    }
}
