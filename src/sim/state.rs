//! The whole state of a plug at one moment, and the steps of answering a request. Synchronous and short: the lock is
//! held meanwhile.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;

use super::board::Board;
use super::config::{PlugConfig, Variant};
use super::fault::{Action, Choke, Faults, Seen, Stage};
use super::http::{Request, Response};
use super::link::{Link, Outage};
use super::plug::{OutletDescription, PlugDescription};
use super::request_log::Counters;
use super::tapo::discovery::{Announcement, answer, parse};
use super::tapo::facts::Facts;
use super::tapo::methods::Firmware;
use super::tapo::{self, Call, Door, Opened, RequestScope};
use crate::clock::{Mono, Now, Wall};

/// How long a plug is away when a client tells it to restart.
const REBOOT: Duration = Duration::from_secs(3);

/// The state.
pub(super) struct State {
    pub config: PlugConfig,
    pub variant: Variant,
    pub facts: Facts,
    pub boards: Vec<Board>,
    pub door: Door,
    pub book: Counters,
    pub faults: Faults,
    pub link: Link,
    pub choke: Option<Choke>,
    /// The requests of the last second, for the choke.
    pub recent: VecDeque<Mono>,
    pub tcp: SocketAddr,
    pub udp: Option<Arc<UdpSocket>>,
    pub note: Option<String>,
}

impl State {
    /// Lets everything happen that was due.
    pub(super) fn settle(&mut self, now: Now) {
        if let Some(outage) = self.link.begin_planned(now.mono) {
            let late = i64::try_from(now.mono.since(outage.from).as_millis()).unwrap_or(0);
            let then = Now { mono: outage.from, wall: Wall(now.wall.0.saturating_sub(late)) };
            self.door.forget_session();
            for board in &mut self.boards {
                if outage.keeps_relay {
                    board.restart(then);
                } else {
                    board.lose_power(outage.until.since(outage.from), then);
                }
            }
        }
        self.boards.iter_mut().for_each(|board| board.settle(now));
    }

    /// A connection was taken. What goes wrong with it, if anything.
    pub(super) fn connected(&mut self, now: Now) -> Option<Action> {
        self.book.connected();
        let choke =
            self.choke.filter(|choke| choke.connections_max.is_some_and(|max| self.book.connections_open > max.into()));
        match choke {
            Some(choke) => {
                self.give_up(choke, now);
                Some(Action::Reset)
            }
            None => self.faults.pick(Stage::Connect, &Seen::bare()),
        }
    }

    /// A request is there. Returns its number in the book, and whether the plug chokes on it.
    pub(super) fn arrived(&mut self, seen: &Seen, now: Now) -> (u64, bool) {
        let number = self.book.arrived(now.mono, seen);
        let Some(choke) = self.choke else { return (number, false) };
        self.recent.push_back(now.mono);
        while self.recent.front().is_some_and(|first| now.mono.since(*first) >= Duration::from_secs(1)) {
            self.recent.pop_front();
        }
        let too_many = choke.requests_per_s_max.is_some_and(|max| self.recent.len() as u64 > u64::from(max));
        if too_many {
            self.give_up(choke, now);
        }
        (number, too_many)
    }

    /// Restarts now.
    pub(super) fn restart(&mut self, offline: Duration, keeps_relay: bool, silent: bool, now: Now) {
        self.plan(now.mono, offline, keeps_relay, silent);
        self.settle(now);
    }

    fn plan(&mut self, from: Mono, offline: Duration, keeps_relay: bool, silent: bool) {
        self.link.plan(Outage { from, until: from + offline, silent, keeps_relay });
    }

    fn give_up(&mut self, choke: Choke, now: Now) {
        self.book.chokes += 1;
        self.recent.clear();
        self.restart(Duration::from_millis(choke.offline_ms), choke.keeps_relay, choke.silent, now);
    }

    /// What the HTTP server of a plug turns away before the protocol sees it.
    pub(super) fn turned_away(&self, request: &mut Request) -> Option<Response> {
        let quirks = &self.config.quirks;
        if quirks.page_for_empty_header && request.headers.iter().any(|(_, value)| value.is_empty()) {
            return Some(Response::page(200));
        }
        if quirks.title_case_only {
            request.headers.retain(|(name, _)| is_title_case(name));
            if request.header("Content-Length").is_none() {
                request.body.clear();
            }
        }
        (request.method != "POST").then(|| Response::page(405))
    }

    /// Opens a request.
    pub(super) fn open(&mut self, request: &Request, now: Now) -> Opened {
        tapo::open(&mut self.desk(now), request)
    }

    /// Acts on an opened request, with what goes wrong in it, and seals the answer.
    pub(super) fn act(&mut self, call: &Call, fault: Option<&Action>, now: Now) -> Response {
        let login = tapo::login_device(&mut self.desk(now), call);
        let answer = login.unwrap_or_else(|| {
            let mut firmware = Firmware {
                config: &self.config,
                facts: &mut self.facts,
                boards: &mut self.boards,
                book: &mut self.book,
                now,
                ignore_write: fault == Some(&Action::IgnoreWrite),
                meter_fault: fault.and_then(Action::meter_fault),
                reboot: None,
            };
            let answer = firmware.call(&call.request);
            if let Some(delay) = firmware.reboot {
                self.plan(now.mono + delay, REBOOT, true, false);
            }
            answer
        });
        match fault.and_then(Action::forgery) {
            None => call.seal.close(&answer),
            Some(forgery) => call.seal.forge(answer, forgery),
        }
    }

    /// A datagram came to the discovery port. The answer, if it deserves one.
    pub(super) fn probed(&mut self, datagram: &[u8], now: Now) -> Option<Vec<u8>> {
        if !self.link.reach(now.mono).discovers {
            return None;
        }
        let Some(serial) = parse(datagram) else {
            self.book.nonsense += 1;
            return None;
        };
        self.book.probes += 1;
        self.link.probed(now.mono);
        let claimed = match self.faults.pick(Stage::Discovery, &Seen::bare()) {
            Some(Action::Impersonate(claimed)) => Some(claimed),
            Some(Action::Drop) => return None,
            _ => None,
        };
        let (port, claimed) = (self.tcp.port(), claimed.as_ref());
        let (config, facts, variant) = (&self.config, &self.facts, self.variant);
        let announcement = Announcement { config, facts, variant, port, claimed };
        Some(answer(&announcement, serial))
    }

    pub(super) fn udp_address(&self) -> Option<SocketAddr> {
        self.udp.as_ref()?.local_addr().ok()
    }

    pub(super) fn describe(&self, name: &str, now: Now) -> PlugDescription {
        let strip = self.facts.model.is_strip();
        let outlets = self.boards.iter().enumerate().map(|(index, board)| OutletDescription {
            position: index + 1,
            child_id: strip.then(|| self.facts.child_id(index)),
            on: board.relay(),
            on_for_ms: u64::try_from(board.on_for(now).as_millis()).unwrap_or(u64::MAX),
            computer: board.computer().state(),
            draw_mw: board.draw_mw(now.mono),
            today_wh: board.meter().today_wh(),
            month_wh: board.meter().month_wh(),
            power_ons: board.power_ons(),
        });
        PlugDescription {
            name: name.to_owned(),
            model: self.facts.model,
            variant: self.variant,
            address: self.tcp,
            discovery: self.udp_address(),
            mac: self.facts.mac_dashed(),
            firmware: self.facts.firmware.clone(),
            note: self.note.clone(),
            outlets: outlets.collect(),
        }
    }

    fn desk(&mut self, now: Now) -> RequestScope<'_> {
        RequestScope {
            config: &self.config,
            variant: self.variant,
            mac: self.facts.mac,
            port: self.tcp.port(),
            door: &mut self.door,
            book: &mut self.book,
            now,
        }
    }
}

/// `Content-Length`: every word begins with a capital.
fn is_title_case(name: &str) -> bool {
    name.split('-').all(|word| word.chars().next().is_none_or(|first| !first.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::is_title_case;

    #[test]
    fn title_case() {
        assert!(is_title_case("Content-Length") && is_title_case("Host"));
        assert!(!is_title_case("content-length") && !is_title_case("Content-length"));
    }
}
