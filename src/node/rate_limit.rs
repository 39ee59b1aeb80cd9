//! Rate limits: the gate that every request to a device passes, and the backoff after a failure.
//!
//! The gate protects the device. The microcontroller of a plug fails above a handful of requests a second, so two
//! limits apply at once: a minimum gap, and a rate over time (governor, on our own clock).

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::{Clock, Mono};

/// The pace of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Rest between the end of one request and the start of the next.
    pub gap: Duration,
    /// Requests a second over time.
    pub per_second: NonZeroU32,
    /// Requests that may come at the smallest gap before `per_second` holds.
    pub burst: NonZeroU32,
}

/// A count for a [`RateLimit`], which has no place for a zero.
pub(crate) const fn at_least_one(n: u32) -> NonZeroU32 {
    match NonZeroU32::new(n) {
        Some(n) => n,
        None => NonZeroU32::MIN,
    }
}

/// The gate before one device: one request at a time, none sooner than the pace allows.
pub struct RequestGate {
    clock: Clock,
    gap: Duration,
    rate: RateLimiter<NotKeyed, InMemoryState, GateClock, NoOpMiddleware<GateInstant>>,
    turn: Semaphore,
    last_end: Mutex<Option<Mono>>,
}

/// The right to make one request. The gap before the next one starts when it is dropped.
pub struct Permit<'a> {
    gate: &'a RequestGate,
    _turn: Option<SemaphorePermit<'a>>,
}

impl RequestGate {
    /// A gate with this pace.
    pub fn new(clock: Clock, rate_limit: RateLimit) -> Arc<RequestGate> {
        let quota = Quota::per_second(rate_limit.per_second).allow_burst(rate_limit.burst);
        Arc::new(RequestGate {
            rate: RateLimiter::direct_with_clock(quota, GateClock(clock.clone())),
            clock,
            gap: rate_limit.gap,
            turn: Semaphore::new(1),
            last_end: Mutex::new(None),
        })
    }

    /// Waits until a request may be made. Hold what it returns until the answer is there.
    pub async fn pass(&self) -> Permit<'_> {
        // The semaphore is never closed; if it were, the two limits below would still hold.
        let turn = self.turn.acquire().await.ok();
        let last_end = *self.last_end.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last_end) = last_end {
            self.clock.sleep_until(last_end + self.gap).await;
        }
        while let Err(early) = self.rate.check() {
            self.clock.sleep(early.wait_time_from(GateClock(self.clock.clone()).now())).await;
        }
        Permit { gate: self, _turn: turn }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.gate.last_end.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.gate.clock.now().mono);
    }
}

/// Governor's view of our clock.
#[derive(Clone)]
struct GateClock(Clock);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GateInstant(Mono);

impl GovernorClock for GateClock {
    type Instant = GateInstant;
    fn now(&self) -> GateInstant {
        GateInstant(self.0.now().mono)
    }
}

impl Reference for GateInstant {
    fn duration_since(&self, earlier: GateInstant) -> Nanos {
        self.0.since(earlier.0).into()
    }
    fn saturating_sub(&self, duration: Nanos) -> GateInstant {
        GateInstant(self.0 - duration.into())
    }
}

impl std::ops::Add<Nanos> for GateInstant {
    type Output = GateInstant;
    fn add(self, rhs: Nanos) -> GateInstant {
        GateInstant(self.0 + rhs.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Wall;

    const SLOW: RateLimit =
        RateLimit { gap: Duration::from_millis(250), per_second: at_least_one(2), burst: at_least_one(4) };

    #[tokio::test(start_paused = true)]
    async fn a_burst_keeps_the_gap_and_then_the_rate() {
        let clock = Clock::simulated(1, Wall(0));
        let gate = RequestGate::new(clock.clone(), SLOW);
        let mut starts = Vec::new();
        for _ in 0..8 {
            let turn = gate.pass().await;
            starts.push(clock.now().mono.since_start().as_millis());
            clock.sleep(Duration::from_millis(20)).await;
            drop(turn);
        }
        assert_eq!(&starts[..4], &[0, 270, 540, 810]);
        assert!(starts.windows(2).all(|w| w[1] - w[0] >= 270), "{starts:?}");
        assert!(starts[7] >= 2000, "{starts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_wait_gives_the_turn_back() {
        let clock = Clock::simulated(1, Wall(0));
        let gate = RequestGate::new(clock.clone(), SLOW);
        drop(gate.pass().await);
        let waiting = gate.pass();
        assert!(clock.limit(Duration::from_millis(10), waiting).await.is_none());
        assert!(clock.limit(Duration::from_millis(500), gate.pass()).await.is_some());
    }
}
