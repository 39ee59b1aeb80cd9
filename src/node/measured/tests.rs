//! The classifier on single readings, on random ones, and against meters whose truth is known.

use super::*;

const WATTS: Watts = Watts { off_below: 2_200, on_above: 6_500, settle: Watts::SETTLE };
const POLL: Duration = Duration::from_secs(15);
const OFF: u64 = 1_000;
const KEEP: u64 = 4_000;
const ON: u64 = 9_000;

fn at(ms: u64) -> Mono {
    Mono::after_start(Duration::from_millis(ms))
}

/// Numbers that a seed repeats.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

/// A node as the core shows it: what the classifier decides is shown, and it is read when it asks for it.
struct Node {
    classifier: Classifier,
    watts: Watts,
    shown: Option<Power>,
    ordered_on: bool,
}

impl Node {
    fn new(shown: Option<Power>) -> Node {
        Node { classifier: Classifier::default(), watts: WATTS, shown, ordered_on: false }
    }

    fn read(&mut self, ms: u64, milliwatts: Option<u64>) -> Option<Power> {
        let (shown, ordered_on) = (self.shown, self.ordered_on);
        let reading = Reading { milliwatts, shown, ordered_on, poll_interval: POLL, at: at(ms) };
        let decided = self.classifier.reading(&self.watts, reading);
        self.shown = decided.or(self.shown).or(Some(Power::On));
        decided
    }

    /// When the next reading is due, in milliseconds, with polls this far apart.
    fn next(&self, ms: u64, poll_ms: u64) -> u64 {
        let look = self.classifier.look_at().map(|look| u64::try_from(look.since_start().as_millis()).unwrap());
        look.map_or(ms + poll_ms, |look| look.min(ms + poll_ms))
    }
}

/// Readings at seconds, and what is shown after each.
fn check(mut node: Node, readings: &[(u64, Option<u64>, Power)]) {
    for (second, milliwatts, expected) in readings {
        node.read(second * 1000, *milliwatts);
        assert_eq!(node.shown, Some(*expected), "at {second} s");
    }
}

#[test]
fn the_bands_have_their_ends_in_them() {
    let bands = [0, 2_200, 2_201, 6_499, 6_500, u64::MAX].map(|draw| WATTS.band(draw));
    assert_eq!(bands, [Band::Off, Band::Off, Band::Keep, Band::Keep, Band::On, Band::On]);
    let overlapping = Watts { off_below: 9_000, on_above: 3_000, ..WATTS };
    assert_eq!(overlapping.band(5_000), Band::On, "On is the harmless side");
}

#[test]
fn off_takes_the_whole_of_settle_and_three_readings() {
    use Power::{Off, On};
    let (on, keep, off) = (Some(ON), Some(KEEP), Some(OFF));
    let running = || Node::new(Some(On));
    check(running(), &[(0, on, On), (15, off, On), (17, off, On), (24, off, On), (25, off, Off)]);
    check(running(), &[(0, on, On), (15, off, On), (30, off, On), (45, off, Off)]);
    check(running(), &[(0, on, On), (15, off, On), (17, off, On), (19, keep, On), (27, off, On), (29, off, On)]);
    check(running(), &[(0, on, On), (15, off, On), (24, off, On), (24, on, On), (25, off, On), (33, off, On)]);
    check(running(), &[(0, keep, On), (15, keep, On), (300, keep, On)]);
    let mut quick = running();
    quick.watts.settle = Duration::ZERO;
    check(quick, &[(0, on, On), (2, off, On), (3, off, On), (4, off, Off), (6, keep, Off)]);
}

#[test]
fn on_is_shown_at_once_after_an_order_and_else_at_the_second_reading() {
    use Power::{Off, On};
    let (on, keep, off) = (Some(ON), Some(KEEP), Some(OFF));
    let dark = || Node::new(Some(Off));
    check(dark(), &[(0, off, Off), (15, on, Off), (16, on, Off), (17, on, On)]);
    check(dark(), &[(0, off, Off), (15, on, Off), (17, off, Off), (19, on, Off), (20, on, Off)]);
    check(dark(), &[(0, off, Off), (15, on, Off), (17, keep, Off), (19, on, On)]);
    check(Node { ordered_on: true, ..dark() }, &[(0, off, Off), (2, keep, Off), (4, on, On)]);
    check(Node::new(None), &[(0, on, On)]);
    check(Node::new(None), &[(0, off, On), (2, off, On), (4, off, On), (12, off, Off)]);
}

#[test]
fn a_meter_that_is_gone_makes_on_of_the_closed_relay_and_never_off() {
    use Power::{Off, On};
    let (off, gone) = (Some(OFF), None);
    check(Node::new(Some(Off)), &[(0, off, Off), (15, gone, Off), (30, gone, Off), (31, gone, On), (3_000, gone, On)]);
    check(Node::new(Some(Off)), &[(0, gone, Off), (30, gone, Off), (31, gone, On)]);
    // A gap of more than two polls parts what was before it from what is after it.
    check(Node::new(Some(On)), &[(0, off, On), (10, off, On), (12, off, On), (43, off, On), (45, off, On)]);
    // One reading without a draw is neither evidence nor a break.
    check(Node::new(Some(On)), &[(0, off, On), (2, off, On), (4, off, On), (6, gone, On), (12, off, Off)]);
    // It comes back: what was shown for want of it is settled again.
    check(
        Node::new(Some(Off)),
        &[(0, off, Off), (31, gone, On), (33, off, On), (35, off, On), (42, off, On), (43, off, Off)],
    );
}

#[test]
fn what_a_meter_shows_just_after_the_relay_closed_is_not_of_this_machine() {
    let mut node = Node::new(Some(Power::On));
    let early = [0, 500, 1_900].map(|ms| node.read(ms, Some(0)));
    assert_eq!(early, [None; 3]);
    assert_eq!(node.read(10_000, Some(0)), None, "settle begins when the lag is over");
    assert_eq!((node.read(19_900, Some(0)), node.read(20_000, Some(0))), (None, Some(Power::Off)));
    node.classifier.restart();
    assert_eq!(
        (node.read(20_100, Some(0)), node.classifier.look_at()),
        (None, None),
        "Off is shown, and no contradiction"
    );
    assert_eq!((node.read(35_000, Some(0)), node.read(50_000, Some(0))), (None, None));
    assert_eq!(node.read(65_000, Some(0)), Some(Power::Off));
}

#[test]
fn a_contradiction_is_looked_into_every_two_seconds_for_a_minute() {
    let mut node = Node { watts: Watts { settle: Duration::from_secs(300), ..WATTS }, ..Node::new(Some(Power::On)) };
    let mut now = 10_000;
    let mut pauses = Vec::new();
    while node.shown == Some(Power::On) {
        node.read(now, Some(OFF));
        pauses.push(node.next(now, 15_000) - now);
        now += pauses.last().unwrap();
    }
    let quick = pauses.iter().take_while(|pause| **pause == 2_000).count();
    assert_eq!(quick, 30);
    assert!(pauses[quick..].iter().all(|pause| *pause == 15_000), "{pauses:?}");
    // The last look is at the very end of settle.
    let mut node = Node::new(Some(Power::On));
    assert_eq!((node.read(0, Some(ON)), node.next(0, 15_000)), (Some(Power::On), 11_000));
    let nexts = [11_000, 13_700, 16_400, 19_100].map(|ms| (node.read(ms, Some(OFF)), node.next(ms, 15_000)));
    assert_eq!(nexts.map(|(_, next)| next), [13_000, 15_700, 18_400, 21_000]);
    assert_eq!(node.read(21_000, Some(OFF)), Some(Power::Off));
    assert_eq!(node.next(21_000, 15_000), 36_000);
}

#[test]
fn a_draw_at_a_threshold_does_not_bring_quick_looks_for_ever() {
    let mut node = Node::new(Some(Power::On));
    let mut dice = Dice(3);
    let (mut now, mut reads) = (0, 0u64);
    while now < 3_600_000 {
        node.read(now, Some(if dice.one_in(3) { OFF } else { KEEP }));
        (now, reads) = (node.next(now, 15_000), reads + 1);
    }
    assert!(reads < 300, "{reads} readings in an hour, 240 are polls");
}

#[test]
fn evidence_from_elsewhere_keeps_a_machine_on_and_the_looks_few() {
    // A ping answers: what the classifier decides is not shown.
    let mut node = Node::new(Some(Power::On));
    let (mut now, mut reads) = (0, 0u64);
    while now < 3_600_000 {
        node.read(now, Some(OFF));
        node.shown = Some(Power::On);
        (now, reads) = (node.next(now, 15_000), reads + 1);
    }
    assert!(reads < 260, "{reads}");
    assert_eq!(node.read(now, Some(OFF)), Some(Power::Off), "it is decided still");
}

#[test]
fn a_meter_that_sticks_says_what_it_said() {
    let mut running = Node::new(Some(Power::On));
    for second in 0..100_000 {
        running.read(second * 15_000, Some(ON));
        assert_eq!(running.shown, Some(Power::On), "it hides a shutdown, and never makes up one");
    }
}

#[test]
fn no_value_makes_it_fall_over() {
    let mut dice = Dice(5);
    let odd = [0, 1, 2_200, 2_201, 6_500, u64::MAX, u64::MAX - 1, 1 << 63];
    let times = [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(10), Duration::MAX];
    for _ in 0..20_000 {
        let mut pick = |of: &[Duration; 4]| of[dice.below(4) as usize];
        let (settle, poll_interval) = (pick(&times), pick(&times));
        let (mut classifier, mut welded, mut fit) = (Classifier::default(), Welded::default(), Fit::default());
        for _ in 0..6 {
            let mut number = || odd[dice.below(8) as usize];
            let (off_below, on_above, draw) = (number(), number(), number());
            let watts = Watts { off_below, on_above, settle };
            // The time may even go back.
            let at = Mono::after_start(times[dice.below(4) as usize]);
            let shown = [None, Some(Power::On), Some(Power::Off), Some(Power::Asleep)][dice.below(4) as usize];
            let milliwatts = (!dice.one_in(4)).then_some(draw);
            let ordered_on = dice.one_in(3);
            classifier.reading(&watts, Reading { milliwatts, shown, ordered_on, poll_interval, at });
            welded.reading(milliwatts, at);
            fit.reading(watts.band(draw), at);
        }
    }
}

/// Off is decided only where each reading of the last `settle` was in the off band, and there were three; On only after an
/// order, after two readings, or where the meter was silent or nothing contradicts it.
#[test]
fn what_is_decided_is_what_the_readings_say() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let mut node = Node::new([None, Some(Power::On), Some(Power::Off)][dice.below(3) as usize]);
        node.watts.settle = Duration::from_secs(dice.below(30));
        let mut past: Vec<(u64, Option<u64>)> = Vec::new();
        let (mut now, mut mood) = (0, 0);
        for _ in 0..400 {
            if dice.one_in(6) {
                mood = dice.below(5);
            }
            let draw = match mood {
                0 => Some(dice.below(2_201)),
                1 => Some(2_201 + dice.below(4_299)),
                2 => Some(6_500 + dice.below(60_000)),
                3 => None,
                _ => Some(dice.below(9_000)),
            };
            if dice.one_in(40) {
                node.classifier.restart();
                past.clear();
            }
            node.ordered_on = dice.one_in(10);
            let shown = node.shown;
            past.push((now, draw));
            let decided = node.read(now, draw);
            let values = || past.iter().rev().filter_map(|(ms, draw)| Some((*ms, (*draw)?)));
            match decided {
                Some(Power::Off) => {
                    let settle = node.watts.settle.as_millis() as u64;
                    let run: Vec<u64> = values().take_while(|(_, draw)| *draw <= 2_200).map(|(ms, _)| ms).collect();
                    assert!(run.len() >= 3 && now - run.last().unwrap() >= settle, "seed {seed} at {now}: {past:?}");
                    assert!(draw.is_some(), "seed {seed} at {now}");
                }
                Some(_) if shown == Some(Power::Off) => {
                    let run = || values().take_while(|(_, draw)| *draw > 2_200).filter(|(_, draw)| *draw >= 6_500);
                    let seen_twice = run().any(|(ms, _)| now - ms >= 2_000);
                    let silent = values().next().map_or(past[0].0, |(ms, _)| ms);
                    let fits = match draw {
                        Some(draw) => draw >= 6_500 && (node.ordered_on || seen_twice),
                        None => now - silent > 30_000,
                    };
                    assert!(fits, "seed {seed} at {now}: {past:?}");
                }
                _ => {}
            }
            now = if dice.one_in(20) { now + dice.below(100_000) } else { node.next(now, 15_000) + dice.below(900) };
        }
    }
}

/// The draw of a running machine over a long time: idle with dips into both lower bands, the longest of 9 s.
struct Dips {
    dice: Dice,
    from: u64,
    until: u64,
    depth: u64,
}

impl Dips {
    fn draw(&mut self, ms: u64) -> u64 {
        while ms >= self.until {
            self.from = self.until + 3_000 + self.dice.below(40_000);
            self.until = self.from + 100 + self.dice.below(9_000);
            self.depth = self.dice.below(6_000);
        }
        if ms >= self.from { self.depth } else { 7_000 + self.dice.below(2_500) }
    }
}

#[test]
fn a_year_of_idle_dips_shows_no_off() {
    for seed in 0..4 {
        let mut meter = Dips { dice: Dice(seed), from: 0, until: 0, depth: 0 };
        let mut node = Node::new(None);
        let (mut now, mut dips) = (0, 0);
        while now < 365 * 24 * 3_600_000 {
            let draw = meter.draw(now);
            dips += u64::from(draw <= WATTS.off_below);
            node.read(now, Some(draw));
            assert_eq!(node.shown, Some(Power::On), "seed {seed}, {now} ms");
            now = node.next(now, 13_500 + meter.dice.below(3_000)) + meter.dice.below(900);
        }
        assert!(dips > 50_000, "{dips} readings fell into a dip");
    }
}

#[test]
fn a_shutdown_in_the_operating_system_is_seen_within_25_s() {
    let mut longest = 0;
    for seed in 0..5_000 {
        let mut dice = Dice(seed);
        let (mut node, mut now) = (Node::new(Some(Power::On)), 0);
        let down = 60_000 + dice.below(30_000);
        let lag = dice.below(2_001);
        while node.shown == Some(Power::On) {
            // Reading takes its time, and the meter shows what was.
            let measured = now + dice.below(400);
            now = measured + dice.below(400);
            node.read(now, Some(if measured < down + lag { ON } else { OFF }));
            let read_at = now;
            now = node.next(now, 13_500 + dice.below(3_000));
            assert!(now < 200_000);
            if node.shown == Some(Power::Off) {
                assert!(read_at > down && read_at - down <= 25_000, "seed {seed}: {} ms", read_at - down);
                longest = longest.max(read_at - down);
            }
        }
    }
    assert!(longest > 20_000, "{longest}: the test is too kind");
}

#[test]
fn a_draw_behind_an_open_relay_is_a_welded_contact_after_ten_seconds() {
    let mut welded = Welded::default();
    let mut read = |seconds: u64, draw: Option<u64>| welded.reading(draw, at(seconds * 1000));
    assert!(!read(0, Some(23_000)) && !read(2, Some(3_000)), "the meter lagged");
    assert!(![10, 12, 19].into_iter().any(|second| read(second, Some(3_001))));
    assert!(read(20, Some(3_001)));
    assert!(read(35, None) && read(50, Some(9_000)) && !read(65, Some(280)));
    assert!(!read(70, Some(9_000)) && !read(200, Some(9_000)), "two readings are none");
    assert_eq!(welded.look_at(), Some(at(202_000)));
    welded.restart();
    assert_eq!(welded.look_at(), None);
    assert!(!welded.reading(Some(9_000), at(204_000)));
}

#[test]
fn a_calibration_is_doubtful_when_more_than_one_reading_in_a_hundred_of_a_day_is_between() {
    let day = |fit: &mut Fit, day: u64, between: u64| {
        let last = (0..5_760).map(|poll| {
            let band = if poll < between { Band::Keep } else { Band::On };
            fit.reading(band, at((day * 5_760 + poll) * 15_000))
        });
        last.last()
    };
    let mut fit = Fit::default();
    assert_eq!(
        (day(&mut fit, 0, 57), day(&mut fit, 1, 58), day(&mut fit, 2, 0)),
        (Some(false), Some(false), Some(true))
    );
    assert_eq!(day(&mut fit, 3, 0), Some(false), "it is over after a day without any");
    let mut few = Fit::default();
    assert!(!(0..50).any(|poll| few.reading(Band::Keep, at(poll * 7_200_000))), "fewer than a hundred a day");
}
