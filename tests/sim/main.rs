//! The fleet on virtual time: the real FSM, actor, fleet, rate limit and clock code against simulated devices, clients,
//! clocks and disks that fail by seed. No sockets, no waiting: hours in seconds, and every run can be repeated.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that is wrong may fall over"
)]

mod answers;
mod device;
mod hardware;
mod journal;
mod laws;
mod promises;
mod report;
mod run;
mod story;
mod world;

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use run::run;
use world::Shape;

/// A small fleet with trouble at every corner.
const TROUBLED: Shape = Shape {
    nodes: 24,
    length: Duration::from_secs(3600),
    every: Duration::from_secs(150),
    life: Duration::from_secs(900),
    sweep: Duration::from_secs(2),
    patient: true,
    test: "one_seed",
};

/// A large fleet, for as long as `cargo test` may take.
const LARGE: Shape = Shape {
    nodes: 1000,
    length: Duration::from_secs(120),
    every: Duration::from_secs(300),
    life: Duration::from_secs(60),
    sweep: Duration::from_secs(10),
    patient: false,
    test: "a_large_fleet",
};

/// The same for as long as a real run may take.
const LARGER: Shape = Shape {
    nodes: 2000,
    length: Duration::from_secs(90 * 60),
    every: Duration::from_secs(600),
    life: Duration::from_secs(1800),
    ..LARGE
};

/// The last of the fixed seeds.
const FIXED: u64 = 16;

/// Seeds that are lived through at one time.
const AT_ONCE: usize = 2;

fn seed_asked_for() -> Option<u64> {
    std::env::var("PLUGFISH_SIM_SEED").ok().map(|seed| seed.parse().unwrap())
}

fn seeds_asked_for() -> u64 {
    std::env::var("PLUGFISH_SIM_SEEDS").map_or(0, |count| count.parse().unwrap())
}

/// Runs a seed and says what it came to; fails with the words of the broken law.
fn live(seed: u64, shape: Shape) -> f64 {
    quiet();
    let outcome = run(seed, shape);
    if let Some(words) = outcome.broken {
        panic!("seed {seed}: {words}");
    }
    let counts: Vec<String> = outcome.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    println!(
        "seed {seed}: {:.0} node hours, digest {:016x}; {}",
        outcome.node_hours,
        outcome.digest,
        counts.join(", ")
    );
    outcome.node_hours
}

/// Drivers that fall over by the seed do so without a word.
fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let words = info.payload_as_str().unwrap_or_default();
            // actix runs the actors of a process that is gone once more, which then find no clock.
            if words != device::FALL && !words.starts_with("there is no reactor running") {
                before(info);
            }
        }));
    });
}

/// The seed of `PLUGFISH_SIM_SEED`, or the first one: to repeat a failure.
#[test]
fn one_seed() {
    live(seed_asked_for().unwrap_or(1), TROUBLED);
}

fn side_by_side(seeds: RangeInclusive<u64>) {
    let next = AtomicU64::new(*seeds.start());
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| seeds.contains(seed)) {
            live(seed, TROUBLED);
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
}

/// The same seeds in every run.
#[test]
fn fixed_seeds() {
    side_by_side(2..=FIXED);
}

/// As many fresh seeds as `PLUGFISH_SIM_SEEDS` says.
#[test]
fn fresh_seeds() {
    let first = u64::from_le_bytes(plugfish::testing::clock::secret_bytes::<8>()) >> 24;
    if let Some(more) = seeds_asked_for().checked_sub(1) {
        side_by_side(first..=first + more);
    }
}

/// Thousands of nodes; with `PLUGFISH_SIM_SEEDS` for hours.
#[test]
fn a_large_fleet() {
    live(seed_asked_for().unwrap_or(1), if seeds_asked_for() > 0 { LARGER } else { LARGE });
}

/// A seed is of use only if it says all.
#[test]
fn a_seed_repeats_to_the_last_step() {
    let shape = Shape { length: Duration::from_secs(900), ..TROUBLED };
    quiet();
    let (first, second, other) = (run(99, shape), run(99, shape), run(100, shape));
    assert_eq!((first.digest, &first.counts), (second.digest, &second.counts));
    assert_ne!(first.digest, other.digest);
}
