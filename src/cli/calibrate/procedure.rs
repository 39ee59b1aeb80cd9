//! The steps of a calibration: running, shutting down, off, and with `--cut` the relay open. Its time is the clock's that it is
//! given, and its plug is any device.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::progress::Progress;
use super::watts;
use crate::clock::{Clock, Mono};
use crate::node::calibration::{
    CUT_SAMPLES, Calibration, OFF_SAMPLES, RUNNING_SAMPLES, SAMPLES_APART, Samples, Shutdown, calibrate,
};
use crate::node::device::{DeviceFuture, FailureClass, Observation, PowerDevice};
use crate::node::{BootOverride, NodeSpec, Power, PowerAction};

/// How long one call to the plug may take, logins and repetitions included.
const CALL_MAX: Duration = Duration::from_secs(45);

/// How long the person has to shut the machine down, and the machine to do it.
const SHUTDOWN_MAX: Duration = Duration::from_secs(600);

/// How often in a row the plug may fail, or measure nothing: one on Wi-Fi loses an answer now and then.
const FAILURES_MAX: u32 = 5;

/// For how long after a switch a meter may still show what was before.
const METER_LAG: Duration = Duration::from_secs(2);

/// How often the relay is told to close again after a cut.
const CLOSE_TRIES: u32 = 5;

/// No driver says below which draw its meter is blind: those of Tapo plugs count milliwatts.
const BLIND_BELOW: u64 = 0;

/// What is measured at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Running,
    ShuttingDown,
    Off,
    Cut,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Running => "running",
            Step::ShuttingDown => "shutting down",
            Step::Off => "off",
            Step::Cut => "cut",
        }
    }

    /// What the relay has to be, for a measurement to say something of the machine.
    fn relay(self) -> Power {
        if self == Step::Cut { Power::Off } else { Power::On }
    }
}

/// The measuring of one machine.
pub(super) struct Procedure<'a> {
    pub clock: Clock,
    pub progress: Progress,
    spec: &'a NodeSpec,
    /// So many times as fast as other clocks the time of the procedure goes: 1 but in tests.
    speed: u32,
    start: Mono,
    /// All measurements: when, in which step, milliwatts.
    rows: Vec<(Duration, Step, u64)>,
    /// Since when the outlet may be off because of this.
    cut: Option<Mono>,
}

impl<'a> Procedure<'a> {
    pub(super) fn new(clock: Clock, spec: &'a NodeSpec, speed: u32, progress: Progress) -> Procedure<'a> {
        let start = clock.mono();
        Procedure { clock, progress, spec, speed, start, rows: Vec::new(), cut: None }
    }

    /// Whether there is something to measure.
    pub(super) async fn begin(&mut self, device: &mut dyn PowerDevice) -> Result<()> {
        let first = self.read(device).await?;
        if !first.about.meter {
            bail!("{} has no meter; take a plug with one, or leave power_state: relay", self.spec.device);
        }
        if first.power != Some(Power::On) {
            bail!("the outlet of {} is off; turn the machine on, and calibrate it when it idles", self.spec.id);
        }
        Ok(())
    }

    /// All steps.
    pub(super) async fn measure(&mut self, device: &mut dyn PowerDevice, cut: bool) -> Result<Calibration> {
        self.progress.say("Step 1: the machine runs and has nothing to do. Leave it like that.");
        let running = self.samples(device, Step::Running, RUNNING_SAMPLES).await?;
        self.progress.say("Step 2: please shut the machine down now, from within. Its outlet stays on.");
        self.wait_for_shutdown(device, &running).await?;
        let off = self.samples(device, Step::Off, OFF_SAMPLES).await?;
        let mut open = Vec::new();
        if cut {
            self.progress.say("Step 3: the outlet goes off, and on again.");
            self.cut = Some(self.now());
            let order = device.order(PowerAction::Off, BootOverride::default());
            limited(&self.clock, order).await.map_err(|why| anyhow::anyhow!("{}: {why}", self.spec.device))?;
            self.sleep(METER_LAG).await;
            open = self.samples(device, Step::Cut, CUT_SAMPLES).await?;
            self.close(device).await?;
        }
        Ok(calibrate(&Samples { running: &running, off: &off, cut: &open, blind_below: BLIND_BELOW })?)
    }

    /// Turns the outlet on again where this turned it off, and sees that it is on.
    pub(super) async fn close(&mut self, device: &mut dyn PowerDevice) -> Result<()> {
        let Some(since) = self.cut else { return Ok(()) };
        self.sleep(self.spec.timings.off_dwell.saturating_sub(self.now().since(since))).await;
        let mut why = String::new();
        for _ in 0..CLOSE_TRIES {
            let order = device.order(PowerAction::On, BootOverride::default());
            let ordered = limited(&self.clock, order).await;
            self.sleep(SAMPLES_APART).await;
            match limited(&self.clock, device.read()).await {
                Ok(seen) if seen.power == Some(Power::On) => {
                    self.cut = None;
                    self.progress.say("  the outlet is on again; a machine that starts with its power starts now");
                    return Ok(());
                }
                Ok(_) => why = ordered.err().unwrap_or_else(|| "it was told to turn on, and is still off".into()),
                Err(error) => why = error,
            }
        }
        bail!(
            "the outlet of {} was turned off, and is not seen to be on again: {why}; turn it on by hand",
            self.spec.id
        )
    }

    async fn wait_for_shutdown(&mut self, device: &mut dyn PowerDevice, running: &[u64]) -> Result<()> {
        let (mut shutdown, since) = (Shutdown::new(running), self.now());
        loop {
            let draw = self.sample(device, Step::ShuttingDown).await?;
            let now = self.now();
            if shutdown.sample(draw, now) {
                return Ok(());
            }
            let left = SHUTDOWN_MAX.saturating_sub(now.since(since));
            if left.is_zero() {
                bail!(
                    "{} still draws {:.1} W after {} min: it was not shut down, or what it draws when off is not much less \
                     or not steady",
                    self.spec.id,
                    watts(draw),
                    SHUTDOWN_MAX.as_secs() / 60
                );
            }
            let text =
                format!("  {:.1} W; waiting for a lower draw that holds, {} s left", watts(draw), left.as_secs());
            self.progress.now(&text, now);
        }
    }

    async fn samples(&mut self, device: &mut dyn PowerDevice, step: Step, count: usize) -> Result<Vec<u64>> {
        let (mut samples, name) = (Vec::with_capacity(count), step.name());
        while samples.len() < count {
            let draw = self.sample(device, step).await?;
            samples.push(draw);
            let text = format!("  {name}: {} of {count}, {:.1} W", samples.len(), watts(draw));
            self.progress.now(&text, self.now());
        }
        let bound = |draw: Option<&u64>| watts(draw.copied().unwrap_or_default());
        let (least, most) = (bound(samples.iter().min()), bound(samples.iter().max()));
        self.progress.say(&format!("  {name}: {least:.1} to {most:.1} W in {count} measurements"));
        Ok(samples)
    }

    /// The next measurement.
    async fn sample(&mut self, device: &mut dyn PowerDevice, step: Step) -> Result<u64> {
        for _ in 0..=FAILURES_MAX {
            self.sleep(SAMPLES_APART).await;
            let seen = self.read(device).await?;
            match seen.power {
                Some(power) if power != step.relay() => {
                    let id = &self.spec.id;
                    bail!(
                        "someone else turned the outlet of {id} {}; calibrate again",
                        power.to_string().to_lowercase()
                    )
                }
                // Between two states: what it measures is neither.
                None => continue,
                Some(_) => {}
            }
            if let Some(draw) = seen.milliwatts {
                self.rows.push((self.now().since(self.start), step, draw));
                return Ok(draw);
            }
        }
        bail!("{} measured nothing {} times in a row; calibrate again when it does", self.spec.device, FAILURES_MAX + 1)
    }

    async fn read(&mut self, device: &mut dyn PowerDevice) -> Result<Observation> {
        let mut failures = 0;
        loop {
            let read = self.clock.limit(CALL_MAX, device.read()).await;
            let device = || &self.spec.device;
            match read.with_context(|| format!("{}: no answer within {} s", device(), CALL_MAX.as_secs()))? {
                Ok(seen) => return Ok(seen),
                Err(error) if failures >= FAILURES_MAX || is_final(error.class) => bail!("{}: {error}", device()),
                Err(_) => failures += 1,
            }
            self.sleep(SAMPLES_APART).await;
        }
    }

    /// The time of the procedure.
    fn now(&self) -> Mono {
        Mono::after_start(self.clock.mono().since_start().saturating_mul(self.speed))
    }

    async fn sleep(&self, time: Duration) {
        self.clock.sleep(time / self.speed.max(1)).await;
    }

    pub(super) fn csv(&self) -> String {
        let mut text = "seconds,step,watts\n".to_owned();
        for (at, step, draw) in &self.rows {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{:.1},{},{}", at.as_secs_f64(), step.name(), watts(*draw));
        }
        text
    }
}

async fn limited<T>(clock: &Clock, call: DeviceFuture<'_, T>) -> Result<T, String> {
    let done = clock.limit(CALL_MAX, call).await;
    done.ok_or_else(|| format!("no answer within {} s", CALL_MAX.as_secs()))?.map_err(|error| error.text)
}

/// It is not asked again by itself: plugs lock themselves.
fn is_final(class: FailureClass) -> bool {
    use FailureClass::{Auth, Distrusted, Locked, Refused};
    matches!(class, Auth | Distrusted | Locked | Refused)
}
