//! Time and randomness: the only file that reads a clock or draws a random number.
//!
//! It knows nothing of the rest of the crate. Production runs on tokio's clock; tests run the same code on tokio's
//! paused clock with a seed, so that hours pass in milliseconds and a run can be repeated.

#![expect(clippy::disallowed_methods, reason = "this is the file that the ban points to")]

use std::fmt;
use std::future::Future;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// A moment on the monotonic clock: the time since this process's [`Clock`] was made. Never stored, never shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(Duration);

impl Mono {
    /// The moment at which the clock was made.
    pub const START: Mono = Mono(Duration::ZERO);

    /// A moment this long after the clock was made.
    pub const fn after_start(elapsed: Duration) -> Mono {
        Mono(elapsed)
    }

    /// The time since the clock was made.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, rhs: Duration) -> Mono {
        Mono(self.0.saturating_add(rhs))
    }
}

impl Sub<Duration> for Mono {
    type Output = Mono;
    fn sub(self, rhs: Duration) -> Mono {
        Mono(self.0.saturating_sub(rhs))
    }
}

/// A moment on the wall clock in milliseconds since 1970, as stored and shown. It may jump; nothing is ordered by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wall(pub i64);

impl Wall {
    /// The time from `earlier` to this moment; zero when the clock was set back in between.
    pub fn since(self, earlier: Wall) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Wall {
    /// The day in UTC: year, month, day.
    pub fn date(self) -> (i32, u8, u8) {
        let stamp = jiff::Timestamp::from_second(self.0.div_euclid(1000)).unwrap_or_default();
        let date = jiff::tz::TimeZone::UTC.to_datetime(stamp).date();
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        (date.year().into(), part(date.month()), part(date.day()))
    }
}

impl Add<Duration> for Wall {
    type Output = Wall;
    fn add(self, rhs: Duration) -> Wall {
        Wall(self.0.saturating_add(i64::try_from(rhs.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// RFC 3339 in UTC with milliseconds left out, as Redfish wants it: `2026-11-22T15:03:38Z`.
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0.div_euclid(1000)) {
            Ok(stamp) => write!(f, "{stamp}"),
            Err(_) => f.write_str("1970-01-01T00:00:00Z"),
        }
    }
}

/// Whether the clock of this machine says a time that can be shown.
pub(crate) fn is_after_1970() -> bool {
    SystemTime::now() >= UNIX_EPOCH
}

/// Both clocks read at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock, for decisions.
    pub mono: Mono,
    /// The wall clock, for storage and display.
    pub wall: Wall,
}

/// A source of time and chance. Cheap to clone; all clones are one clock.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    start: tokio::time::Instant,
    wall: WallSource,
    chance: Mutex<SmallRng>,
}

enum WallSource {
    /// The machine's clock, jumps included.
    System,
    /// Follows the monotonic clock from a given moment; a test can make it jump.
    Virtual { start: i64, skew_ms: AtomicI64 },
}

impl Clock {
    /// The real clock with chance from the operating system.
    pub fn system() -> Clock {
        Clock::new(WallSource::System, rand::rng().next_u64())
    }

    /// For tests: tokio's (usually paused) clock, a wall clock that starts at `wall` and follows it, and seeded chance.
    pub fn simulated(seed: u64, wall: Wall) -> Clock {
        Clock::new(WallSource::Virtual { start: wall.0, skew_ms: AtomicI64::new(0) }, seed)
    }

    fn new(wall: WallSource, seed: u64) -> Clock {
        let start = tokio::time::Instant::now();
        Clock(Arc::new(Inner { start, wall, chance: Mutex::new(SmallRng::seed_from_u64(seed)) }))
    }

    /// The clock for deciding, now.
    pub fn mono(&self) -> Mono {
        Mono(self.0.start.elapsed())
    }

    /// Both clocks, now.
    pub fn now(&self) -> Now {
        let mono = self.mono();
        let wall = match &self.0.wall {
            WallSource::System => Wall(match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
                Err(_) => 0,
            }),
            WallSource::Virtual { start, skew_ms } => {
                Wall(start.saturating_add(skew_ms.load(Ordering::Relaxed))) + mono.since_start()
            }
        };
        Now { mono, wall }
    }

    /// For tests: lets the wall clock jump. Does nothing to the real clock.
    pub fn jump_wall(&self, by_ms: i64) {
        if let WallSource::Virtual { skew_ms, .. } = &self.0.wall {
            skew_ms.fetch_add(by_ms, Ordering::Relaxed);
        }
    }

    /// Sleeps for this duration.
    pub async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Sleeps until `when`; returns at once when it is past.
    pub async fn sleep_until(&self, when: Mono) {
        tokio::time::sleep_until(self.0.start + when.since_start()).await;
    }

    /// Runs `work` for at most `limit`; `None` when it did not end in time (it is dropped then).
    pub async fn limit<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(limit, work).await.ok()
    }

    /// `base` plus or minus up to `fraction` of it, evenly spread.
    pub fn jitter(&self, base: Duration, fraction: f64) -> Duration {
        base.mul_f64((1.0 + self.unit_jitter() * fraction).max(0.0))
    }

    /// A number from -1 to 1, evenly spread.
    pub fn unit_jitter(&self) -> f64 {
        self.chance(|rng| rng.random_range(-1.0..=1.0))
    }

    /// A number below `bound` (0 when `bound` is 0), for spreading work; never for secrets.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.chance(|rng| rng.random_range(0..bound)) }
    }

    fn chance<T>(&self, draw: impl FnOnce(&mut SmallRng) -> T) -> T {
        draw(&mut self.0.chance.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}

/// Random bytes from the operating system, fit for keys, seeds and tokens.
pub fn secret_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// The machine's monotonic clock in microseconds, by which systemd orders what it is told (`MONOTONIC_USEC`).
pub(crate) fn monotonic_usec() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(now.tv_sec).saturating_mul(1_000_000).saturating_add(part(now.tv_nsec) / 1000)
}

/// A number that grows by one at each call: names for sessions and such within one process.
pub(crate) fn serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_is_shown_as_redfish_wants_it() {
        assert_eq!(Wall(1_795_359_818_999).to_string(), "2026-11-22T15:03:38Z");
        assert_eq!(Wall(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Wall(i64::MAX).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!((Wall(1_795_359_818_999).date(), Wall(0).date()), ((2026, 11, 22), (1970, 1, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_follows_tokio_and_can_jump() {
        let clock = Clock::simulated(1, Wall(1000));
        clock.sleep(Duration::from_secs(5)).await;
        assert_eq!(clock.now().mono, Mono::after_start(Duration::from_secs(5)));
        assert_eq!(clock.now().wall, Wall(6000));
        clock.jump_wall(-2000);
        assert_eq!(clock.now().wall, Wall(4000));
        assert_eq!(clock.now().mono.since_start().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_stays_in_its_band_and_repeats_with_the_seed() {
        let draw = |seed| {
            let clock = Clock::simulated(seed, Wall(0));
            (0..50).map(|_| clock.jitter(Duration::from_secs(10), 0.1)).collect::<Vec<_>>()
        };
        assert!(draw(7).iter().all(|d| (9.0..=11.0).contains(&d.as_secs_f64())));
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
