//! The worked examples, what is refused and in which words, and laws over random samples.

use super::*;
use crate::node::measured::Band;

/// So many samples around a draw: evenly spread over twice `spread`, its middle exact, in an order that a seed repeats.
fn around(milliwatts: u64, spread: u64, count: u64) -> Vec<u64> {
    let low = milliwatts.saturating_sub(spread);
    (0..count).map(|index| low + 2 * spread * ((index * 7) % count) / (count - 1)).collect()
}

fn calibrated(running: &[u64], off: &[u64]) -> Result<Calibration, CannotCalibrate> {
    let cut = around(200, 100, 10);
    calibrate(&Samples { running, off, cut: &cut, blind_below: 0 })
}

/// The nominal draws when off and when idle, how far each spreads, and the thresholds.
#[test]
fn the_worked_examples() {
    let cases = [
        ((1_000, 120), (28_000, 2_900), Some((1_600, 21_500))),
        ((1_200, 110), (9_000, 1_450), Some((1_800, 6_500))),
        ((800, 110), (6_000, 510), Some((1_400, 4_700))),
        ((3_500, 120), (6_000, 510), None),
        ((4_000, 400), (8_000, 800), None),
    ];
    for ((off, off_spread), (idle, idle_spread), expected) in cases {
        let found = calibrated(&around(idle, idle_spread, 30), &around(off, off_spread, 30));
        let watts = found.as_ref().ok().map(|found| (found.watts.off_below, found.watts.on_above));
        assert_eq!(watts, expected, "{off} and {idle}: {found:?}");
        if let Ok(found) = found {
            assert_eq!((check(&found.watts, 0), found.watts.settle), (Ok(()), Watts::SETTLE));
        }
    }
}

#[test]
fn a_refusal_says_the_figures() {
    let words = calibrated(&around(6_000, 500, 30), &around(3_500, 100, 30)).unwrap_err().to_string();
    assert_eq!(
        words,
        "its off and its idle draw cannot be told apart with this meter: off is up to 3.6 W and idle from 5.5 W, so that the \
         thresholds would be 4.5 W and 4.7 W, and they have to lie 1.0 W apart"
    );
    let words = calibrated(&around(8_000, 700, 30), &around(4_000, 700, 30)).unwrap_err().to_string();
    assert!(words.ends_with("have to lie 1.7 W apart"), "four standard deviations: {words}");
    let whole: Vec<u64> = around(6_000, 2_000, 30).iter().map(|draw| draw / 1_000 * 1_000).collect();
    let whole = Samples { running: &whole, off: &[1_000; 30], cut: &[], blind_below: 0 };
    let words = calibrate(&whole).unwrap_err().to_string();
    assert!(words.ends_with("have to lie 2.0 W apart"), "two steps of the meter: {words}");
}

#[test]
fn a_meter_that_sticks_or_is_blind_or_silent_is_refused() {
    let (running, off) = (around(9_000, 500, 30), around(1_000, 100, 30));
    let stuck: Vec<u64> = (0..30).map(|index| 8_300 + index % 2 * 100).collect();
    let words = calibrated(&stuck, &off).unwrap_err().to_string();
    assert!(
        words.contains("stuck: of a running machine it showed 8.3 W and 8.4 W, and nothing else, in 30"),
        "{words}"
    );
    let blind = |blind_below| calibrate(&Samples { running: &running, off: &off, cut: &[], blind_below });
    assert!(blind(400).is_ok() && blind(4_200).is_ok());
    let words = blind(5_000).unwrap_err().to_string();
    assert!(words.contains("draws 8.5 W when it runs idle, and this meter is blind below 5.0 W"), "{words}");
    assert!(matches!(calibrated(&running[..19], &off), Err(CannotCalibrate::TooFew { given: 19, asked: 30, .. })));
    assert!(matches!(calibrated(&running, &off[..19]), Err(CannotCalibrate::TooFew { given: 19, asked: 30, .. })));
    assert!(calibrated(&running[..20], &off[..20]).is_ok());
    assert!(matches!(calibrated(&[], &[]), Err(CannotCalibrate::TooFew { given: 0, .. })));
}

#[test]
fn what_draws_behind_an_open_relay_is_refused() {
    let (running, off) = (around(9_000, 500, 30), around(1_000, 100, 30));
    let cut = |cut: &[u64]| calibrate(&Samples { running: &running, off: &off, cut, blind_below: 0 });
    assert!(cut(&[]).is_ok(), "the relay was not to be opened");
    assert!(cut(&[0; 10]).is_ok() && cut(&[280; 7]).is_ok());
    assert!(matches!(cut(&[280; 6]), Err(CannotCalibrate::TooFew { given: 6, asked: 10, .. })));
    let words = cut(&around(9_000, 500, 10)).unwrap_err().to_string();
    assert_eq!(
        words,
        "something draws 9.5 W while the relay is open: its contact is welded, or the meter does not tell the truth"
    );
}

#[test]
fn steps_in_the_wrong_order_are_refused() {
    let (running, off) = (around(9_000, 500, 30), around(1_000, 100, 30));
    assert!(matches!(calibrated(&off, &running), Err(CannotCalibrate::NotApart { .. })));
    assert!(matches!(calibrated(&running, &running), Err(CannotCalibrate::NotApart { .. })));
}

#[test]
fn thresholds_of_nodes_yaml_are_checked_by_the_same_rules() {
    let check = |off_below, on_above, blind| check(&Watts { off_below, on_above, settle: Watts::SETTLE }, blind);
    assert_eq!((check(2_200, 6_500, 0), check(2_200, 3_200, 0), check(0, u64::MAX, 400)), (Ok(()), Ok(()), Ok(())));
    let words = check(2_200, 3_199, 0).unwrap_err().to_string();
    assert_eq!(words, "off_below 2.2 W and on_above 3.2 W have to lie 1.0 W apart at least");
    assert!(check(u64::MAX, 0, 0).is_err() && check(u64::MAX, u64::MAX, 0).is_err());
    assert_eq!(check(2_200, 8_500, 5_000), Ok(()));
    let words = check(2_200, 6_500, 5_000).unwrap_err().to_string();
    assert_eq!(words, "on_above 6.5 W is too low for a meter that is blind below 5.0 W: it has to be 8.5 W at least");
}

#[test]
fn a_shutdown_is_a_clearly_lower_level_that_holds() {
    let at = |seconds| Mono::after_start(Duration::from_secs(seconds));
    // Idle, busy shutting down, a pause in it that does not hold, off.
    let draw = |second| match second {
        0..20 => 9_000 + second * 20,
        20..40 => 14_000,
        40..52 => 6_000 - (second - 40) * 100,
        52..60 => 11_000,
        60..70 => 3_000,
        _ => 1_000 + second % 3 * 300,
    };
    let mut shutdown = Shutdown::new(&around(9_000, 400, 30));
    let seen =
        (0..300).step_by(SAMPLES_APART.as_secs() as usize).find(|second| shutdown.sample(draw(*second), at(*second)));
    assert_eq!(seen, Some(90));
    let mut noisy = Shutdown::new(&around(9_000, 400, 30));
    assert!(!(0..600).any(|second| noisy.sample(1_000 + second % 3 * 310, at(second))), "0.6 W is too much");
    let mut whole = Shutdown::new(&[8_000, 9_000, 8_000]);
    assert!((0..30).any(|second| whole.sample(1_000 + second % 2 * 1_000, at(second))), "a meter of whole watts");
    let mut none = Shutdown::new(&[]);
    assert!(!none.sample(u64::MAX, at(0)) && !none.sample(0, at(30)) && !none.sample(0, at(60)));
}

/// Whatever was measured: what comes out keeps its margins, and nothing falls over.
#[test]
fn thresholds_lie_between_what_was_measured() {
    let mut state = 11_u64;
    let mut next = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound.max(1)
    };
    let mut found = 0;
    for round in 0..4_000 {
        let scale = [3_000, 40_000, u64::MAX / 2][next(3) as usize];
        let blind_below = [0, 400, 5_000][next(3) as usize];
        let mut draws = |count: usize| {
            let (base, spread) = (next(scale), next(scale / 8));
            (0..count).map(|_| base + next(spread)).collect::<Vec<u64>>()
        };
        let (running, off) = (draws(30), draws(30));
        let cut = draws(if round % 2 == 0 { 0 } else { 10 });
        let Ok(Calibration { watts, figures }) =
            calibrate(&Samples { running: &running, off: &off, cut: &cut, blind_below })
        else {
            continue;
        };
        found += 1;
        assert_eq!(check(&watts, blind_below), Ok(()), "{figures:?}");
        let nearly_all = |samples: &[u64], band| samples.iter().filter(|draw| watts.band(**draw) == band).count() >= 29;
        assert!(nearly_all(&off, Band::Off) && nearly_all(&running, Band::On), "{watts:?} {figures:?}");
        assert!(watts.off_below + 50 >= figures.off + 500 && watts.on_above <= figures.running - 450, "{figures:?}");
    }
    assert!(found > 200, "{found}");
}
