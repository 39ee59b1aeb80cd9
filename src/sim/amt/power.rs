//! The computer behind the engine: on, asleep or off, and its transitions. Pure: a call passes the time and returns the
//! events since the last one.
//!
//! It knows nothing of boot devices: a boot is an event here, and `boot` decides its source.

use serde::{Deserialize, Serialize};

use super::config::Timings;
use crate::clock::Mono;

/// The states a computer rests in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// S0.
    On,
    /// S3.
    Sleeping,
    /// S4.
    Hibernated,
    /// S5, the normal off.
    SoftOff,
    /// Off after mains were lost.
    HardOff,
}

impl Power {
    /// The number in `CIM_AssociatedPowerManagementService.PowerState`.
    pub fn number(self) -> u16 {
        match self {
            Power::On => 2,
            Power::Sleeping => 4,
            Power::Hibernated => 7,
            Power::SoftOff => 8,
            Power::HardOff => 6,
        }
    }
}

/// What made a computer boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BootCause {
    /// `RequestPowerStateChange` with this number.
    Request(u16),
    /// The button.
    Button,
    /// The operating system, by itself.
    Os,
    /// The test itself.
    Test,
    /// Mains power returned.
    MainsBack,
}

/// An event of the computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Boot(BootCause),
    /// POST ended: the BIOS reported to the engine.
    Ready,
    Off,
    Slept,
    Resumed,
    Interrupted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Off(Power),
    Boot(BootCause),
    Sleep(Power),
    Resume,
    Ready,
    OsUp,
}

/// A computer.
#[derive(Clone, Debug)]
pub(super) struct Computer {
    power: Power,
    os: bool,
    lms: bool,
    timings: Timings,
    requested: u16,
    /// Whether this boot ends in the BIOS setup.
    in_setup: bool,
    /// What is to come, in the order of time.
    steps: Vec<(Mono, What)>,
}

impl Computer {
    pub(super) fn new(on: bool, lms: bool, timings: Timings) -> Computer {
        let power = if on { Power::On } else { Power::SoftOff };
        Computer { power, os: on, lms, timings, requested: power.number(), in_setup: false, steps: Vec::new() }
    }

    pub(super) fn power(&self) -> Power {
        self.power
    }

    /// Whether the operating system runs.
    pub(super) fn os(&self) -> bool {
        self.os && self.power == Power::On
    }

    pub(super) fn set_lms(&mut self, lms: bool) {
        self.lms = lms;
    }

    pub(super) fn set_timings(&mut self, timings: Timings) {
        self.timings = timings;
    }

    /// The number of the last accepted request.
    pub(super) fn requested(&self) -> u16 {
        self.requested
    }

    /// What a client may ask for now.
    pub(super) fn available(&self) -> Vec<u16> {
        match self.power {
            Power::On if self.os() && self.lms => vec![10, 8, 5, 11, 4, 7, 14, 12],
            Power::On => vec![10, 8, 5, 11],
            Power::Sleeping => vec![2, 5, 8],
            Power::Hibernated | Power::SoftOff | Power::HardOff => vec![2],
        }
    }

    /// Whether an earlier request, or POST, is still under way.
    pub(super) fn is_busy(&self) -> bool {
        self.steps.iter().any(|(_, what)| *what != What::OsUp)
    }

    /// The time of the next event.
    pub(super) fn due(&self) -> Option<Mono> {
        self.steps.first().map(|(due, _)| *due)
    }

    /// A client asks for a change. `None`: refused. The events are those that happen at once.
    pub(super) fn request(&mut self, number: u16, now: Mono) -> Option<Vec<Event>> {
        if self.is_busy() || !self.available().contains(&number) {
            return None;
        }
        self.requested = number;
        let at = now + self.timings.reaction;
        let cause = BootCause::Request(number);
        match number {
            2 if self.power == Power::Sleeping => self.plan(at, What::Resume),
            5 => {
                self.plan(at, What::Off(Power::SoftOff));
                self.plan(at + self.timings.cycle, What::Boot(cause));
            }
            8 => self.plan(at, What::Off(Power::SoftOff)),
            2 | 10 => self.plan(at, What::Boot(cause)),
            11 => return Some(vec![Event::Interrupted]),
            12 => self.plan(now + self.timings.graceful, What::Off(Power::SoftOff)),
            14 => self.plan(now + self.timings.graceful, What::Boot(cause)),
            4 => self.plan(at, What::Sleep(Power::Sleeping)),
            7 => self.plan(now + self.timings.graceful, What::Sleep(Power::Hibernated)),
            _ => return None,
        }
        Some(Vec::new())
    }

    /// A short press: wakes or starts the computer; tells a running system to shut down, and ends one that is not there.
    pub(super) fn press(&mut self, now: Mono) {
        let what = match self.power {
            Power::On if self.os() => {
                self.steps.retain(|(_, what)| *what != What::OsUp);
                return self.plan(now + self.timings.graceful, What::Off(Power::SoftOff));
            }
            Power::On => What::Off(Power::SoftOff),
            Power::Sleeping => What::Resume,
            Power::Hibernated | Power::SoftOff | Power::HardOff => What::Boot(BootCause::Button),
        };
        self.steps.clear();
        self.plan(now, what);
    }

    /// Puts the computer into a state at once, whatever was under way.
    pub(super) fn set(&mut self, power: Power, cause: BootCause, now: Mono) {
        self.steps.clear();
        if power != self.power {
            self.plan(
                now,
                match power {
                    Power::On => What::Boot(cause),
                    Power::Sleeping | Power::Hibernated => What::Sleep(power),
                    Power::SoftOff | Power::HardOff => What::Off(power),
                },
            );
        }
    }

    /// The operating system restarts the computer. Nothing happens when it does not run.
    pub(super) fn reboot_os(&mut self, now: Mono) {
        if self.os() {
            self.steps.clear();
            self.plan(now, What::Boot(BootCause::Os));
        }
    }

    /// The operating system crashes or starts to run.
    pub(super) fn set_os(&mut self, running: bool) {
        self.steps.retain(|(_, what)| *what != What::OsUp);
        self.os = running;
    }

    /// This boot ends in the BIOS setup: no operating system comes up.
    pub(super) fn stay_in_setup(&mut self) {
        self.in_setup = true;
    }

    fn plan(&mut self, due: Mono, what: What) {
        let place = self.steps.partition_point(|(other, _)| *other <= due);
        self.steps.insert(place, (due, what));
    }

    /// Lets the next thing happen that was due, and tells when and what. `None`: nothing is due.
    pub(super) fn settle(&mut self, now: Mono) -> Option<(Mono, Event)> {
        while self.due().is_some_and(|due| due <= now) {
            let (due, what) = self.steps.remove(0);
            let event = match what {
                What::OsUp => {
                    self.os = true;
                    continue;
                }
                What::Boot(cause) => {
                    self.steps.retain(|(_, what)| !matches!(what, What::OsUp | What::Ready));
                    (self.power, self.os, self.in_setup) = (Power::On, false, false);
                    self.plan(due + self.timings.post, What::Ready);
                    Event::Boot(cause)
                }
                What::Ready => {
                    if !self.in_setup {
                        self.plan(due + self.timings.os_boot, What::OsUp);
                    }
                    Event::Ready
                }
                What::Off(power) => {
                    self.steps.retain(|(_, what)| matches!(what, What::Boot(_)));
                    (self.power, self.os) = (power, false);
                    Event::Off
                }
                What::Sleep(power) => {
                    self.power = power;
                    Event::Slept
                }
                What::Resume => {
                    self.power = Power::On;
                    Event::Resumed
                }
            };
            return Some((due, event));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> Mono {
        Mono::after_start(Duration::from_millis(ms))
    }

    fn run(computer: &mut Computer, until: u64) -> Vec<Event> {
        std::iter::from_fn(|| computer.settle(at(until))).map(|(_, event)| event).collect()
    }

    fn computer(on: bool) -> Computer {
        Computer::new(on, true, Timings::quick())
    }

    #[test]
    fn a_request_takes_effect_later_and_blocks_the_next_one_until_post_is_over() {
        let mut machine = computer(false);
        assert_eq!(machine.available(), [2]);
        assert!(machine.request(2, at(0)).is_some());
        assert_eq!(run(&mut machine, 39), []);
        assert_eq!((machine.power(), machine.request(2, at(39))), (Power::SoftOff, None));
        assert_eq!(run(&mut machine, 40), [Event::Boot(BootCause::Request(2))]);
        assert_eq!((machine.power(), machine.os(), machine.request(8, at(50))), (Power::On, false, None));
        assert_eq!(run(&mut machine, 100), [Event::Ready]);
        assert_eq!(machine.available(), [10, 8, 5, 11]);
        run(&mut machine, 160);
        assert_eq!(machine.available(), [10, 8, 5, 11, 4, 7, 14, 12]);
        assert!(machine.request(8, at(160)).is_some());
        assert_eq!(run(&mut machine, 200), [Event::Off]);
        assert_eq!(machine.power().number(), 8);
    }

    #[test]
    fn what_does_not_fit_the_state_is_refused() {
        let refused = |on: bool, numbers: &[u16]| {
            for number in numbers {
                assert_eq!(computer(on).request(*number, at(0)), None, "{number}");
            }
        };
        refused(false, &[5, 8, 10, 11, 12, 14, 4, 7, 0, 99]);
        refused(true, &[2, 0, 9, 99]);
        let mut bare = Computer::new(true, false, Timings::quick());
        assert_eq!((bare.request(12, at(0)), bare.request(14, at(0))), (None, None));
        assert!(bare.request(10, at(0)).is_some());
    }

    #[test]
    fn a_cycle_is_off_for_a_while_and_a_reset_never() {
        let mut machine = computer(true);
        machine.request(5, at(0)).unwrap();
        assert_eq!(run(&mut machine, 40), [Event::Off]);
        assert_eq!(machine.power(), Power::SoftOff);
        assert_eq!(run(&mut machine, 120), [Event::Boot(BootCause::Request(5))]);
        let mut machine = computer(true);
        machine.request(10, at(0)).unwrap();
        assert_eq!(run(&mut machine, 500), [Event::Boot(BootCause::Request(10)), Event::Ready]);
    }

    #[test]
    fn graceful_requests_take_the_time_of_the_system() {
        let mut machine = computer(true);
        machine.request(12, at(0)).unwrap();
        assert_eq!(run(&mut machine, 149), []);
        assert_eq!(run(&mut machine, 150), [Event::Off]);
        let mut machine = computer(true);
        machine.request(14, at(0)).unwrap();
        assert_eq!(run(&mut machine, 150), [Event::Boot(BootCause::Request(14))]);
    }

    #[test]
    fn sleep_resumes_without_a_boot_and_hibernation_boots() {
        let mut machine = computer(true);
        machine.request(4, at(0)).unwrap();
        assert_eq!(run(&mut machine, 40), [Event::Slept]);
        assert_eq!((machine.power().number(), machine.available()), (4, vec![2, 5, 8]));
        machine.request(2, at(50)).unwrap();
        assert_eq!(run(&mut machine, 90), [Event::Resumed]);
        assert!(machine.os());
        machine.request(7, at(100)).unwrap();
        assert_eq!(run(&mut machine, 250), [Event::Slept]);
        machine.request(2, at(300)).unwrap();
        assert_eq!(run(&mut machine, 340), [Event::Boot(BootCause::Request(2))]);
    }

    #[test]
    fn the_button_shuts_down_a_system_and_starts_a_computer() {
        let mut machine = computer(true);
        machine.press(at(0));
        assert_eq!(run(&mut machine, 149), []);
        assert_eq!(run(&mut machine, 150), [Event::Off]);
        machine.press(at(200));
        assert_eq!(run(&mut machine, 200), [Event::Boot(BootCause::Button)]);
        machine.press(at(210));
        assert_eq!(run(&mut machine, 210), [Event::Off]);
        assert_eq!(run(&mut machine, 9_000), []);
    }
}
