//! The power draw of a small computer over time, in each of its states: the peaks and dips of POST, idle with dips and
//! bumps, the small rest when it is off or asleep.
//!
//! Pure, and the same for the same seed. Variation around a mean is in windows whose random values depend on the seed
//! and the time alone, and cancels out over time: the energy of a span is computed without walking through it.

use std::time::Duration;

use super::computer::{ComputerConfig, ComputerState};
use super::config::dice;

/// How long the supply ramps up after power came.
const RAMP_MS: u64 = 1_500;
/// How long the load falls from booting to idle.
const SETTLE_MS: u64 = 4_000;
/// The noise holds its value this long.
const NOISE_STEP_MS: u64 = 500;
/// The noise is at most this many parts in a thousand, up or down.
const NOISE_PER_MILLE: i64 = 30;

/// POST and boot go by seconds: of eight, two are peaks and one is a dip (memory training, a bus reset), in parts of a
/// thousand of the mean.
const BOOT_STEP_MS: u64 = 1_000;
const PEAK_PER_MILLE: i64 = 275;
const POST_DIP_PER_MILLE: i64 = -550;

/// Idle goes by windows, with one dip and one bump in each that last equally long.
const WINDOW_MS: u64 = 60_000;
const DIP_LEAST_MS: u64 = 400;
const DIP_SPREAD_MS: u64 = 3_600;

/// Shutting down is work, and hanging is not quite idle: in parts of a thousand of idle.
const SHUTTING_DOWN_PER_MILLE: i64 = 1_300;
const HUNG_PER_MILLE: i64 = 1_100;

/// An engine that is awake while the computer is off: its mean, how far it goes up and down, and how long each lasts.
const ENGINE_MW: u64 = 1_600;
const ENGINE_SWING_MW: i64 = 500;
const ENGINE_TURN_MS: u64 = 20_000;

/// A computer's draw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace {
    seed: u64,
    idle_mw: u64,
    boot_mw: u64,
    boot_ms: u64,
    off_mw: u64,
    asleep_mw: u64,
    engine: bool,
    dip_per_mille: i64,
}

impl Trace {
    /// A small computer, where the configuration leaves it open: 9 to 45 W when idle, two to three times as much while it
    /// boots, 0.3 to 1.2 W when off, 1.5 to 3.5 W asleep.
    pub(super) fn new(seed: u64, config: &ComputerConfig) -> Trace {
        let idle_mw = config.idle_mw.unwrap_or(9_000 + dice(seed, 0) % 36_000);
        let boot_mw = idle_mw * (20 + dice(seed, 1) % 8) / 10;
        let boot_ms = config.boot.map_or(18_000 + dice(seed, 2) % 9_000, ms).max(RAMP_MS);
        Trace {
            seed,
            idle_mw,
            boot_mw,
            boot_ms,
            off_mw: config.off_mw.unwrap_or(300 + dice(seed, 4) % 900),
            asleep_mw: config.asleep_mw.unwrap_or(1_500 + dice(seed, 5) % 2_000),
            engine: config.engine,
            dip_per_mille: 1_000 - i64::try_from(config.dips_to_percent.min(100) * 10).unwrap_or(1_000),
        }
    }

    /// How long it takes from power to an operating system that runs.
    pub(super) fn boot_time(&self) -> Duration {
        Duration::from_millis(self.boot_ms + SETTLE_MS)
    }

    /// The draw this long after the state began.
    pub(super) fn draw_mw(&self, state: ComputerState, since: Duration) -> u64 {
        let t = ms(since);
        let (mean, swing) = match state {
            ComputerState::Unpowered => return 0,
            ComputerState::Running => self.running(t),
            ComputerState::ShuttingDown => (scaled(self.idle_mw, SHUTTING_DOWN_PER_MILLE), 0),
            ComputerState::Hung => (scaled(self.idle_mw, HUNG_PER_MILLE), 0),
            ComputerState::Asleep => (self.asleep_mw, 0),
            ComputerState::Off if self.engine => {
                let awake = (t / ENGINE_TURN_MS).is_multiple_of(2);
                let turn = if awake { ENGINE_SWING_MW } else { -ENGINE_SWING_MW };
                ((self.off_mw + ENGINE_MW).saturating_add_signed(turn), 0)
            }
            ComputerState::Off => (self.off_mw, 0),
        };
        let mean = scaled(mean, 1_000 + swing);
        let turn = i64::try_from(dice(self.seed, 1_000 + t / NOISE_STEP_MS) % 2_001).unwrap_or(0) - 1_000;
        let noise = i64::try_from(mean).unwrap_or(i64::MAX).saturating_mul(NOISE_PER_MILLE * turn) / 1_000_000;
        mean.saturating_add_signed(noise)
    }

    /// The mean of a running computer, and how far it is from it now in parts of a thousand.
    fn running(&self, t: u64) -> (u64, i64) {
        if t < RAMP_MS {
            (self.boot_mw * t / RAMP_MS, 0)
        } else if t < self.boot_ms {
            let swing = match dice(self.seed, 5_000 + t / BOOT_STEP_MS) % 8 {
                0 | 1 => PEAK_PER_MILLE,
                2 => POST_DIP_PER_MILLE,
                _ => 0,
            };
            (self.boot_mw, swing)
        } else if t < self.boot_ms + SETTLE_MS {
            (self.boot_mw - (self.boot_mw - self.idle_mw) * (t - self.boot_ms) / SETTLE_MS, 0)
        } else {
            (self.idle_mw, self.idle_swing(t))
        }
    }

    fn idle_swing(&self, t: u64) -> i64 {
        let (window, into) = (t / WINDOW_MS, t % WINDOW_MS);
        let roll = |number: u64| dice(self.seed ^ 0x1d1e, window * 4 + number);
        let length = DIP_LEAST_MS + roll(0) % DIP_SPREAD_MS;
        // The dip lies in the first half of its window, the bump in the second.
        let half = WINDOW_MS / 2;
        let within = |from: u64| (from..from + length).contains(&into);
        if within(roll(1) % (half - length)) {
            -self.dip_per_mille
        } else if within(half + roll(2) % (half - length)) {
            self.dip_per_mille
        } else {
            0
        }
    }

    /// The energy used in this time since the state began, in microjoules (mW times ms). What varies is left out.
    pub(super) fn energy_uj(&self, state: ComputerState, since: Duration) -> u64 {
        let t = ms(since);
        match state {
            ComputerState::Unpowered => 0,
            ComputerState::Running => self.running_uj(t),
            ComputerState::ShuttingDown => scaled(self.idle_mw, SHUTTING_DOWN_PER_MILLE) * t,
            ComputerState::Hung => scaled(self.idle_mw, HUNG_PER_MILLE) * t,
            ComputerState::Asleep => self.asleep_mw * t,
            ComputerState::Off if self.engine => (self.off_mw + ENGINE_MW) * t,
            ComputerState::Off => self.off_mw * t,
        }
    }

    fn running_uj(&self, t: u64) -> u64 {
        let ramp = t.min(RAMP_MS);
        let boot = t.min(self.boot_ms).saturating_sub(RAMP_MS);
        let fall = t.saturating_sub(self.boot_ms).min(SETTLE_MS);
        let idle = t.saturating_sub(self.boot_ms + SETTLE_MS);
        self.boot_mw * ramp * ramp / (2 * RAMP_MS) + self.boot_mw * boot + self.boot_mw * fall
            - (self.boot_mw - self.idle_mw) * fall * fall / (2 * SETTLE_MS)
            + self.idle_mw * idle
    }
}

fn scaled(milliwatts: u64, per_mille: i64) -> u64 {
    milliwatts * per_mille.max(0).unsigned_abs() / 1_000
}

/// Whole milliseconds.
pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(seed: u64, engine: bool) -> Trace {
        Trace::new(seed, &ComputerConfig { engine, ..ComputerConfig::default() })
    }

    fn draws(trace: Trace, state: ComputerState, from_s: u64, until_s: u64) -> Vec<u64> {
        (from_s * 4..until_s * 4).map(|quarter| trace.draw_mw(state, Duration::from_millis(quarter * 250))).collect()
    }

    fn ends(draws: &[u64]) -> (u64, u64) {
        (*draws.iter().min().unwrap(), *draws.iter().max().unwrap())
    }

    #[test]
    fn post_has_peaks_and_dips() {
        for seed in 0..50 {
            let trace = trace(seed, false);
            let (low, high) = ends(&draws(trace, ComputerState::Running, 2, 18));
            assert!(high > trace.boot_mw * 11 / 10 || low < trace.boot_mw * 6 / 10, "seed {seed}: {low} to {high}");
            assert!(low > trace.boot_mw * 4 / 10 && high < trace.boot_mw * 14 / 10, "seed {seed}: {low} to {high}");
        }
    }

    #[test]
    fn idle_has_a_dip_and_a_bump_in_each_minute() {
        for seed in 0..20 {
            let trace = trace(seed, false);
            for minute in 1..10 {
                let (low, high) = ends(&draws(trace, ComputerState::Running, minute * 60, minute * 60 + 60));
                assert!(low < trace.idle_mw * 7 / 10 && high > trace.idle_mw * 13 / 10, "seed {seed}: {low} to {high}");
                assert!(low > trace.idle_mw * 55 / 100, "seed {seed}: {low}");
            }
        }
    }

    #[test]
    fn what_is_off_or_asleep_draws_little() {
        for seed in 0..200 {
            let check = |engine, state, least, most| {
                let (low, high) = ends(&draws(trace(seed, engine), state, 0, 90));
                assert!(least <= low && high <= most, "seed {seed}, {state:?}: {low} to {high}");
                high - low
            };
            check(false, ComputerState::Off, 200, 1_300);
            assert!(check(true, ComputerState::Off, 1_000, 4_000) > 800, "the engine wakes and sleeps");
            check(false, ComputerState::Asleep, 1_000, 5_000);
            check(false, ComputerState::Unpowered, 0, 0);
        }
    }

    #[test]
    fn energy_is_what_was_drawn_in_every_state() {
        use ComputerState::{Asleep, Hung, Off, Running, ShuttingDown};
        for (state, engine) in
            [Running, ShuttingDown, Hung, Off, Asleep].into_iter().zip([false, false, false, true, true])
        {
            let trace = trace(9, engine);
            let summed: u64 = draws(trace, state, 0, 7_200).iter().map(|draw| draw * 250).sum();
            let told = trace.energy_uj(state, Duration::from_secs(7_200));
            assert!(told.abs_diff(summed) < summed / 100, "{state:?}: {told} {summed}");
        }
    }
}
