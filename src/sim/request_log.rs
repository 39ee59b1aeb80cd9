//! The log of a plug's clients: requests with their times, logins, evictions, connections.
//!
//! It only records. Tests read it to judge how a client treats a plug.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use super::fault::{Kind, Seen};
use crate::clock::Mono;

/// How many requests are kept one by one; the totals go on. Far more than a test makes.
const ENTRIES_MAX: usize = 100_000;
/// How many different method names are counted; a client could invent them without end.
const NAMES_MAX: usize = 256;

/// One request, from its last byte read to the end of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts the requests of this plug from 0, for ever.
    pub number: u64,
    /// When it was there in full.
    pub at: Mono,
    /// When it was answered, or given up.
    pub done: Option<Mono>,
    /// The kind of the request.
    pub kind: Kind,
    /// Its method, the first of a batch.
    pub method: String,
}

/// The book, and also the copy of it that tests get.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// The most connections open at once.
    pub connections_open_max: u64,
    /// Number of requests.
    pub requests: u64,
    /// Requests by kind.
    pub by_kind: BTreeMap<Kind, u64>,
    /// Requests by method; each part of a batch counts.
    pub by_method: BTreeMap<String, u64>,
    /// Requests being worked on now.
    pub in_flight: u64,
    /// The most requests worked on at once.
    pub in_flight_max: u64,
    /// Logins that succeeded.
    pub logins: u64,
    /// Logins that failed for the wrong credentials.
    pub wrong_passwords: u64,
    /// Live sessions that ended because another client logged in.
    pub evictions: u64,
    /// Sealed requests refused because their session was not there (any more).
    pub stale_requests: u64,
    /// Sealed requests refused for a wrong sequence number or signature.
    pub out_of_sequence: u64,
    /// Orders to set a relay that were acted on, whether or not it moved.
    pub relay_writes: u64,
    /// Discovery probes that were in order.
    pub probes: u64,
    /// What came over TCP or UDP and made no sense.
    pub nonsense: u64,
    /// How often the plug choked.
    pub chokes: u64,
    entries: VecDeque<Entry>,
    /// Of the next entry; goes on when all else is forgotten.
    next_number: u64,
}

/// The totals, as the control API shows them.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Totals<'a> {
    connections: u64,
    connections_open: u64,
    connections_open_max: u64,
    requests: u64,
    by_kind: &'a BTreeMap<Kind, u64>,
    by_method: &'a BTreeMap<String, u64>,
    in_flight: u64,
    in_flight_max: u64,
    logins: u64,
    wrong_passwords: u64,
    evictions: u64,
    stale_requests: u64,
    out_of_sequence: u64,
    relay_writes: u64,
    probes: u64,
    nonsense: u64,
    chokes: u64,
    requests_in_a_second_max: usize,
    gap_ms_min: Option<u64>,
}

impl Counters {
    /// The requests one by one, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many requests of a kind there were.
    pub fn of_kind(&self, kind: Kind) -> u64 {
        self.by_kind.get(&kind).copied().unwrap_or(0)
    }

    /// How many requests with a method there were.
    pub fn of_method(&self, method: &str) -> u64 {
        self.by_method.get(method).copied().unwrap_or(0)
    }

    /// The most requests that came within any one second.
    pub fn requests_in_a_second_max(&self) -> usize {
        self.requests_within_max(Duration::from_secs(1))
    }

    /// The most requests that came within any stretch of this length.
    pub fn requests_within_max(&self, window: Duration) -> usize {
        let mut recent = VecDeque::new();
        let mut most = 0;
        for entry in &self.entries {
            recent.push_back(entry.at);
            while recent.front().is_some_and(|first| entry.at.since(*first) >= window) {
                recent.pop_front();
            }
            most = most.max(recent.len());
        }
        most
    }

    /// The shortest time from one request to the next.
    pub fn gap_min(&self) -> Option<Duration> {
        let next = self.entries.iter().skip(1);
        self.entries.iter().zip(next).map(|(first, second)| second.at.since(first.at)).min()
    }

    pub(super) fn totals(&self) -> Totals<'_> {
        Totals {
            connections: self.connections,
            connections_open: self.connections_open,
            connections_open_max: self.connections_open_max,
            requests: self.requests,
            by_kind: &self.by_kind,
            by_method: &self.by_method,
            in_flight: self.in_flight,
            in_flight_max: self.in_flight_max,
            logins: self.logins,
            wrong_passwords: self.wrong_passwords,
            evictions: self.evictions,
            stale_requests: self.stale_requests,
            out_of_sequence: self.out_of_sequence,
            relay_writes: self.relay_writes,
            probes: self.probes,
            nonsense: self.nonsense,
            chokes: self.chokes,
            requests_in_a_second_max: self.requests_in_a_second_max(),
            gap_ms_min: self.gap_min().map(|gap| u64::try_from(gap.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    pub(super) fn connected(&mut self) {
        self.connections += 1;
        self.connections_open += 1;
        self.connections_open_max = self.connections_open_max.max(self.connections_open);
    }

    pub(super) fn disconnected(&mut self) {
        self.connections_open = self.connections_open.saturating_sub(1);
    }

    /// A request is there. Returns its number.
    pub(super) fn arrived(&mut self, at: Mono, seen: &Seen) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.requests += 1;
        self.in_flight += 1;
        self.in_flight_max = self.in_flight_max.max(self.in_flight);
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { number, at, done: None, kind: seen.kind, method: String::new() });
        if seen.kind != Kind::Sealed {
            self.known(number, seen);
        }
        number
    }

    /// What the request is turned out.
    pub(super) fn known(&mut self, number: u64, seen: &Seen) {
        *self.by_kind.entry(seen.kind).or_default() += 1;
        for method in &seen.methods {
            if self.by_method.len() < NAMES_MAX || self.by_method.contains_key(method) {
                *self.by_method.entry(method.clone()).or_default() += 1;
            }
        }
        if let Some(entry) = self.entry(number) {
            entry.kind = seen.kind;
            entry.method = seen.methods.first().cloned().unwrap_or_default();
        }
    }

    pub(super) fn ended(&mut self, number: u64, at: Mono) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(entry) = self.entry(number) {
            entry.done = Some(at);
        }
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let first = self.entries.front()?.number;
        self.entries.get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// Forgets all but what is going on now.
    pub(super) fn reset(&mut self) {
        *self = Counters {
            connections_open: self.connections_open,
            connections_open_max: self.connections_open,
            in_flight: self.in_flight,
            in_flight_max: self.in_flight,
            next_number: self.next_number,
            ..Counters::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(times_ms: &[u64]) -> Counters {
        let mut book = Counters::default();
        let seen = Seen { path: "/".into(), kind: Kind::Probe, methods: vec!["discover".into()] };
        for time in times_ms {
            let at = Mono::after_start(Duration::from_millis(*time));
            let number = book.arrived(at, &seen);
            book.ended(number, at);
        }
        book
    }

    #[test]
    fn the_busiest_second_is_found_wherever_it_begins() {
        assert_eq!(book(&[]).requests_in_a_second_max(), 0);
        assert_eq!(book(&[0, 1000, 2000]).requests_in_a_second_max(), 1);
        assert_eq!(book(&[0, 900, 1100, 1500, 1899, 1900]).requests_in_a_second_max(), 4);
    }

    #[test]
    fn the_smallest_gap_is_found() {
        assert_eq!(book(&[5]).gap_min(), None);
        assert_eq!(book(&[0, 300, 550, 2000]).gap_min(), Some(Duration::from_millis(250)));
    }

    #[test]
    fn requests_in_flight_are_counted() {
        let mut book = Counters::default();
        let sealed = Seen { path: "/app/request".into(), kind: Kind::Sealed, methods: Vec::new() };
        let opened = Seen { kind: Kind::Read, methods: vec!["get_device_info".into()], ..sealed.clone() };
        let first = book.arrived(Mono::START, &sealed);
        let second = book.arrived(Mono::START, &sealed);
        book.known(first, &opened);
        book.ended(first, Mono::START);
        book.ended(second, Mono::START);
        assert_eq!((book.in_flight, book.in_flight_max, book.requests), (0, 2, 2));
        assert_eq!((book.of_kind(Kind::Read), book.of_method("get_device_info")), (1, 1));
        assert_eq!(book.entries().next().unwrap().method, "get_device_info");
    }

    #[test]
    fn a_reset_keeps_what_is_open() {
        let mut book = book(&[0, 1]);
        book.connected();
        book.reset();
        assert_eq!((book.requests, book.connections, book.connections_open), (0, 0, 1));
    }
}
