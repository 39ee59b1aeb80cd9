//! The logs of the engine: the event log, a ring of binary records, and the audit log. Pure.

use std::collections::VecDeque;

use super::power::Event;

/// Maximum number of event records.
const EVENTS_MAX: usize = 390;
/// Maximum number of audit records.
const AUDIT_MAX: usize = 200;
/// How many audit records one answer holds.
pub(super) const AUDIT_PAGE: usize = 10;
/// The entity of the BIOS.
const BIOS: u8 = 0x22;
/// The entity of the engine.
const ENGINE: u8 = 0x26;
/// Severities.
const INFORMATION: u8 = 2;
const NON_CRITICAL: u8 = 8;
const CRITICAL: u8 = 16;

/// Both logs.
#[derive(Clone, Debug, Default)]
pub(super) struct Logs {
    /// Newest first.
    events: VecDeque<[u8; 21]>,
    /// Oldest first.
    audit: VecDeque<Vec<u8>>,
    pub frozen: bool,
}

impl Logs {
    /// Event records, newest first.
    pub(super) fn events(&self) -> &VecDeque<[u8; 21]> {
        &self.events
    }

    pub(super) fn audit(&self) -> &VecDeque<Vec<u8>> {
        &self.audit
    }

    pub(super) fn clear_events(&mut self) {
        self.events.clear();
    }

    fn add(&mut self, time: u32, sensor: u8, offset: u8, severity: u8, entity: u8, data: [u8; 2]) {
        if self.frozen {
            return;
        }
        let [t0, t1, t2, t3] = time.to_le_bytes();
        let [d0, d1] = data;
        let record =
            [t0, t1, t2, t3, 0xff, sensor, 0x6f, offset, 0x68, severity, 0, entity, 0, d0, d1, 0, 0, 0, 0, 0, 0];
        self.events.push_front(record);
        self.events.truncate(EVENTS_MAX);
    }

    /// What an event of the computer leaves in the event log.
    pub(super) fn happened(&mut self, time: u32, event: Event) {
        match event {
            Event::Boot(_) => {
                self.add(time, 15, 2, INFORMATION, BIOS, [0x40, 1]);
                self.add(time, 37, 0, INFORMATION, ENGINE, [0x40, 0]);
            }
            Event::Ready => self.add(time, 15, 2, INFORMATION, BIOS, [0x40, 19]),
            Event::Interrupted => self.add(time, 19, 0, CRITICAL, ENGINE, [0, 0]),
            Event::Off | Event::Slept | Event::Resumed => {}
        }
    }

    /// The BIOS setup was entered.
    pub(super) fn in_setup(&mut self, time: u32) {
        self.add(time, 15, 2, INFORMATION, BIOS, [0x40, 5]);
    }

    /// Records wrong logins.
    pub(super) fn wrong_logins(&mut self, time: u32, count: u8) {
        self.add(time, 6, 5, NON_CRITICAL, ENGINE, [0xff, count]);
    }

    /// What a client did, in the audit log: `key` is 100 times the application plus the event.
    pub(super) fn audit_by(&mut self, time: u32, key: u16, user: &str) {
        let length = u8::try_from(user.len()).unwrap_or(u8::MAX);
        let name = user.as_bytes().get(..usize::from(length)).unwrap_or_default();
        let address = b"127.0.0.1";
        let record = [
            &(key / 100).to_be_bytes()[..],
            &(key % 100).to_be_bytes(),
            &[0, length],
            name,
            &time.to_be_bytes(),
            &[0, u8::try_from(address.len()).unwrap_or(0)],
            address,
            &[0],
        ];
        self.audit.push_back(record.concat());
        if self.audit.len() > AUDIT_MAX {
            self.audit.pop_front();
        }
    }

    /// The key of an accepted power request.
    pub(super) fn power_key(request: u16) -> u16 {
        match request {
            2 => 1700,
            5 => 1702,
            10 => 1703,
            12 => 1705,
            14 => 1706,
            _ => 1701,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_log_is_a_ring_with_the_newest_first() {
        let mut logs = Logs::default();
        for time in 0..500 {
            logs.happened(time, Event::Ready);
        }
        assert_eq!(logs.events().len(), EVENTS_MAX);
        assert_eq!(logs.events()[0][..4], 499u32.to_le_bytes());
        assert_eq!(logs.events()[0][5..8], [15, 0x6f, 2]);
        logs.frozen = true;
        logs.happened(1000, Event::Ready);
        assert_eq!(logs.events()[0][..4], 499u32.to_le_bytes());
    }

    #[test]
    fn audit_records_have_their_big_end_first() {
        let mut logs = Logs::default();
        logs.audit_by(0x01020304, Logs::power_key(10), "admin");
        let record = &logs.audit()[0];
        assert_eq!(record[..11], [0, 17, 0, 3, 0, 5, b'a', b'd', b'm', b'i', b'n']);
        assert_eq!(record[11..15], [1, 2, 3, 4]);
    }
}
