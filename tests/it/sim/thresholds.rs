//! Thresholds and classifier against the simulated computers: calibrated like a node, polled like a node, and compared
//! with the true state of the computers. Nothing is on the wire, so that a year takes seconds.

use std::time::Duration;

use plugfish::testing::clock::Mono;
use plugfish::testing::node::calibration::{Calibration, CannotCalibrate, Samples, calibrate};
use plugfish::testing::node::measured::{Classifier, Reading};
use plugfish::testing::node::{Power, Watts};
use plugfish::testing::sim::{Computer, ComputerAct, ComputerConfig, ComputerState};

const HOUR: u64 = 3_600_000;

fn at(ms: u64) -> Mono {
    Mono::after_start(Duration::from_millis(ms))
}

/// A computer with a meter before it that is up to 100 mW off and shows what was up to 1.5 s ago.
struct Metered {
    computer: Computer,
    dice: u64,
}

impl Metered {
    fn new(seed: u64, config: ComputerConfig) -> Metered {
        Metered { computer: Computer::new(seed, config, true, at(0)), dice: seed }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % bound
    }

    /// Lets happen what is due.
    fn settle(&mut self, ms: u64) {
        while self.computer.due().is_some_and(|due| due <= at(ms)) {
            self.computer.happen();
        }
    }

    fn shown(&mut self, ms: u64) -> u64 {
        let late = self.below(1_500);
        let draw = self.computer.draw_mw(at(ms.saturating_sub(late)));
        (draw + self.below(201)).saturating_sub(100)
    }

    /// So many samples 2 s apart, and when they end.
    fn samples(&mut self, from: u64, count: u64) -> (Vec<u64>, u64) {
        let draws = (0..count).map(|index| {
            self.settle(from + index * 2_000);
            self.shown(from + index * 2_000)
        });
        (draws.collect(), from + count * 2_000)
    }

    /// Calibrates as the program does, and lets the computer run again.
    fn calibrated(&mut self) -> (Result<Calibration, CannotCalibrate>, u64) {
        let (running, end) = self.samples(0, 30);
        self.computer.act(ComputerAct::ShutDown, at(end));
        let (off, end) = self.samples(end + 30_000, 30);
        self.computer.feed(false, at(end));
        let (cut, end) = self.samples(end + 2_000, 10);
        self.computer.feed(true, at(end));
        (calibrate(&Samples { running: &running, off: &off, cut: &cut, blind_below: 0 }), end + 60_000)
    }
}

/// A node that is polled every 15 s, a tenth more or less, and sooner where the classifier wants it.
struct Node {
    classifier: Classifier,
    watts: Watts,
    shown: Power,
    next: u64,
    readings: u64,
    /// Readings in the off band.
    dips: u64,
}

impl Node {
    fn new(watts: Watts, from: u64) -> Node {
        Node { classifier: Classifier::default(), watts, shown: Power::On, next: from, readings: 0, dips: 0 }
    }

    /// Reads on until then or until this is shown, and says when it was.
    fn until(&mut self, machine: &mut Metered, end: u64, shows: Option<Power>) -> u64 {
        while self.next < end {
            let now = self.next + machine.below(500);
            machine.settle(now);
            let milliwatts = machine.shown(now);
            self.dips += u64::from(milliwatts <= self.watts.off_below);
            let milliwatts = Some(milliwatts);
            let poll_interval = Duration::from_secs(15);
            let reading =
                Reading { milliwatts, shown: Some(self.shown), ordered_on: false, poll_interval, at: at(now) };
            self.shown = self.classifier.reading(&self.watts, reading).unwrap_or(self.shown);
            self.readings += 1;
            let look = self.classifier.look_at().map(|look| look.since_start().as_millis() as u64);
            let poll = now + 13_500 + machine.below(3_000);
            self.next = look.map_or(poll, |look| look.min(poll));
            let is_up = machine.computer.state().is_up();
            assert!(is_up || shows.is_some() || self.shown == Power::Off, "shown {} at {now}", self.shown);
            assert!(!is_up || shows.is_some() || self.shown == Power::On, "shown {} at {now}", self.shown);
            if shows == Some(self.shown) {
                return now;
            }
        }
        end
    }
}

/// Small and large, with and without an engine that is awake while they are off.
fn kinds(seed: u64) -> ComputerConfig {
    let idle_mw = match seed % 3 {
        0 => Some(5_000 + seed * 37 % 3_000),
        _ => None,
    };
    ComputerConfig {
        idle_mw,
        engine: seed.is_multiple_of(2),
        dips_to_percent: 62 + seed % 38,
        ..ComputerConfig::default()
    }
}

#[test]
fn a_calibrated_node_tells_the_truth() {
    let (mut found, mut slowest) = (0, 0);
    for seed in 0..120 {
        let mut machine = Metered::new(seed, kinds(seed));
        let (calibration, from) = machine.calibrated();
        let Ok(calibration) = calibration else { continue };
        found += 1;
        let mut node = Node::new(calibration.watts, from);
        let mut now = node.until(&mut machine, from + 2 * HOUR, None);
        for _ in 0..20 {
            let down = now + machine.below(60_000);
            node.until(&mut machine, down, None);
            machine.computer.act(ComputerAct::ShutDown, at(down));
            let off = down + 6_000;
            let seen = node.until(&mut machine, down + HOUR, Some(Power::Off));
            assert_eq!(machine.computer.state(), ComputerState::Off, "seed {seed}: not before it was off");
            assert!(seen - off <= 25_000, "seed {seed}: off was seen after {} ms", seen - off);
            slowest = slowest.max(seen - off);
            let up = seen + 60_000 + machine.below(60_000);
            node.until(&mut machine, up, None);
            machine.computer.act(ComputerAct::Wake, at(up));
            let seen = node.until(&mut machine, up + HOUR, Some(Power::On));
            assert!(seen - up <= 25_000, "seed {seed}: on was seen after {} ms", seen - up);
            now = node.until(&mut machine, seen + 120_000, None);
        }
    }
    assert!(found > 90, "{found} of 120 could be calibrated");
    assert!(slowest > 20_000, "{slowest}: the test is too kind");
}

#[test]
fn a_year_of_an_idle_computer_shows_no_off_and_costs_few_readings() {
    let config =
        |dips_to_percent| ComputerConfig { idle_mw: Some(5_600), dips_to_percent, ..ComputerConfig::default() };
    let (calibration, from) = Metered::new(3, config(70)).calibrated();
    // Once a minute it draws for up to 4 s as little as if it were off.
    let mut machine = Metered::new(3, config(10));
    let mut node = Node::new(calibration.unwrap().watts, from);
    let days = 365;
    node.until(&mut machine, from + days * 24 * HOUR, None);
    let (polls, dips) = (days * 24 * 240, node.dips);
    assert!(dips > 50_000, "{dips} readings fell into a dip");
    assert!(node.readings < polls * 3 / 2, "{} readings, {polls} polls", node.readings);
}

#[test]
fn an_engine_that_is_awake_and_a_very_small_computer_cannot_be_told_apart() {
    let config =
        ComputerConfig { idle_mw: Some(4_600), off_mw: Some(1_200), engine: true, ..ComputerConfig::default() };
    let (calibration, _) = Metered::new(1, config).calibrated();
    let words = calibration.unwrap_err().to_string();
    assert!(
        words.starts_with("its off and its idle draw cannot be told apart with this meter: off is up to 3."),
        "{words}"
    );
}
