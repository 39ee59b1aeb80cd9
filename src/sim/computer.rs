//! What a small computer draws over time, since it got power: a ramp, booting, idle with a little noise.
//!
//! Pure, and the same for the same seed. It knows no relay.

use std::time::Duration;

use super::config::dice;

/// How long the supply ramps up after power came.
const RAMP_MS: u64 = 1_500;
/// How long the load falls from booting to idle.
const SETTLE_MS: u64 = 4_000;
/// The noise holds its value this long.
const NOISE_STEP_MS: u64 = 500;
/// The noise is at most this many parts in a thousand, up or down.
const NOISE_PER_MILLE: i64 = 30;

/// A computer's draw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Profile {
    seed: u64,
    idle_mw: u64,
    boot_mw: u64,
    boot_ms: u64,
}

impl Profile {
    /// A small computer: 9 to 45 W when idle, two to three times as much while it boots.
    pub(super) fn new(seed: u64) -> Profile {
        let idle_mw = 9_000 + dice(seed, 0) % 36_000;
        let boot_mw = idle_mw * (20 + dice(seed, 1) % 8) / 10;
        let boot_ms = 18_000 + dice(seed, 2) % 9_000;
        Profile { seed, idle_mw, boot_mw, boot_ms }
    }

    /// The draw this long after power came: a ramp, booting, then idle, with a little noise.
    pub(super) fn draw_mw(&self, on_for: Duration) -> u64 {
        let t = ms(on_for);
        let smooth = if t < RAMP_MS {
            self.boot_mw * t / RAMP_MS
        } else if t < self.boot_ms {
            self.boot_mw
        } else if t < self.boot_ms + SETTLE_MS {
            self.boot_mw - (self.boot_mw - self.idle_mw) * (t - self.boot_ms) / SETTLE_MS
        } else {
            self.idle_mw
        };
        let swing = i64::try_from(dice(self.seed, 1_000 + t / NOISE_STEP_MS) % 2_001).unwrap_or(0) - 1_000;
        let noise = i64::try_from(smooth).unwrap_or(i64::MAX) / 1_000 * NOISE_PER_MILLE * swing / 1_000;
        smooth.saturating_add_signed(noise)
    }

    /// The energy used in this time since power came, in microjoules (mW times ms). The noise, zero on average, is
    /// left out.
    pub(super) fn energy_uj(&self, on_for: Duration) -> u64 {
        let t = ms(on_for);
        let ramp = t.min(RAMP_MS);
        let boot = t.min(self.boot_ms).saturating_sub(RAMP_MS);
        let fall = t.saturating_sub(self.boot_ms).min(SETTLE_MS);
        let idle = t.saturating_sub(self.boot_ms + SETTLE_MS);
        self.boot_mw * ramp * ramp / (2 * RAMP_MS) + self.boot_mw * boot + self.boot_mw * fall
            - (self.boot_mw - self.idle_mw) * fall * fall / (2 * SETTLE_MS)
            + self.idle_mw * idle
    }
}

/// Whole milliseconds.
pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
