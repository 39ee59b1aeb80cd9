//! `plugfish calibrate`: measures one machine behind a plug while it idles and while it is off, and prints its thresholds.
//!
//! It reads the plug itself, with a login of its own: a daemon that polls the same plug in the meantime shares the plug with it.
//! Nothing is switched without `--cut`, and no file is changed.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::ConfigFile;
use super::output::{print, progress, remark};
use crate::clock::{Clock, Mono};
use crate::config;
use crate::daemon::serve;
use crate::driver::Drivers;
use crate::node::calibration::{
    CUT_SAMPLES, Calibration, OFF_SAMPLES, RUNNING_SAMPLES, SAMPLES_APART, Samples, Shutdown, calibrate,
};
use crate::node::device::{FailureClass, Observation, PowerDevice};
use crate::node::power_history::thousandth;
use crate::node::trust::VolatileBook;
use crate::node::{BootOverride, NodeSpec, Power, PowerAction};
use crate::store::trust_on_record;
use crate::telemetry::Metrics;

/// How long one reading may take, logins and repetitions included.
const READING_MAX: Duration = Duration::from_secs(45);

/// How long the person has to shut the machine down, and the machine to do it.
const SHUTDOWN_MAX: Duration = Duration::from_secs(600);

/// Readings in a row that may fail or measure nothing: a plug on Wi-Fi loses one now and then.
const FAILURES_MAX: u32 = 5;

/// How often the relay is told to close again after `--cut`.
const CLOSE_TRIES: u32 = 5;

/// `plugfish calibrate`.
#[derive(Debug, Args)]
pub struct Calibrate {
    /// The node, which has to be behind a plug with a meter.
    pub node: String,
    /// The configuration file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Also measure with the outlet off: it goes off for about half a minute when the machine is off, and on again.
    #[arg(long)]
    pub cut: bool,
    /// Write each measurement to this file as CSV (seconds, step, watts).
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// The form of the result: the lines for nodes.yaml, or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    pub output: Form,
}

/// The form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// The lines for nodes.yaml.
    #[default]
    Yaml,
    /// One JSON object.
    Json,
}

/// `plugfish calibrate`.
pub(super) async fn run(options: &Calibrate) -> Result<()> {
    let path = config::find(options.file.config.clone())?;
    let config::Loaded { config, .. } = config::load(&path)?;
    let plans = serve::node_plans(&config);
    let Some(plan) = plans.iter().find(|plan| plan.spec.id.as_str() == options.node) else {
        let names: Vec<&str> = plans.iter().map(|plan| plan.spec.id.as_str()).collect();
        bail!("there is no node {} in {}; there are: {}", options.node, path.display(), names.join(", "));
    };
    if !plan.spec.kind.is_outlet {
        bail!(
            "{} is {}, whose machine says itself whether it runs; there is nothing to calibrate",
            options.node,
            plan.spec.device
        );
    }
    let book = trust_on_record(&config.state_dir).unwrap_or_else(|error| {
        remark(&format!("{error}; the plug is trusted on first use"));
        VolatileBook::default()
    });
    let clock = Clock::system();
    let drivers = Drivers::new(clock.clone(), Metrics::new(), Arc::default(), Arc::new(book));
    let mut device = drivers.open(&plan.spec.id, &plan.device);
    remark(
        "If a daemon runs that owns this plug, stop it for the time of this: each takes the plug's session from the other.",
    );
    let mut procedure =
        Procedure { clock, spec: &plan.spec, start: Mono::START, rows: Vec::new(), is_cut: false, tells: progress };
    procedure.start = procedure.clock.mono();
    let result = tokio::select! {
        stop = tokio::signal::ctrl_c() => match stop {
            Ok(()) => Err(anyhow::anyhow!("stopped; nothing was changed")),
            Err(error) => Err(error).context("cannot listen for Ctrl-C"),
        },
        result = procedure.measure(device.as_mut(), options.cut) => result,
    };
    procedure.close(device.as_mut()).await?;
    if let Some(file) = &options.csv {
        std::fs::write(file, procedure.csv()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    print(&shown(&options.node, &result?, options.output));
    Ok(())
}

fn shown(node: &str, calibration: &Calibration, form: Form) -> String {
    let Calibration { watts, figures } = calibration;
    let w = |milliwatts: u64| thousandth(milliwatts).unwrap_or_default();
    let settle = watts.settle.as_secs();
    match form {
        Form::Yaml => format!(
            "# {node}: off {:.1} W (95 of 100 measurements are not above), idle {:.1} W (not below)\n\
             power_state: measured\nwatts: {{ off_below: {}, on_above: {}, settle: {settle}s }}\n",
            w(figures.off),
            w(figures.running),
            w(watts.off_below),
            w(watts.on_above),
        ),
        Form::Json => {
            let document = json!({
                "node": node,
                "watts": { "off_below": w(watts.off_below), "on_above": w(watts.on_above), "settle_seconds": settle },
                "measured": { "off_watts": w(figures.off), "idle_watts": w(figures.running) },
            });
            format!("{document:#}\n")
        }
    }
}

/// The measuring of one machine.
struct Procedure<'a> {
    clock: Clock,
    spec: &'a NodeSpec,
    start: Mono,
    /// All measurements: when, in which step, milliwatts.
    rows: Vec<(Duration, &'static str, u64)>,
    /// The outlet was turned off here.
    is_cut: bool,
    tells: fn(&str, bool),
}

impl Procedure<'_> {
    async fn measure(&mut self, device: &mut dyn PowerDevice, cut: bool) -> Result<Calibration> {
        let first = self.read(device).await?;
        if !first.about.meter {
            bail!("{} measures nothing; take a plug with a meter, or leave power_state: relay", self.spec.device);
        }
        if first.power != Some(Power::On) {
            bail!("the outlet of {} is off; turn the machine on, and calibrate it when it idles", self.spec.id);
        }
        (self.tells)("Step 1: leave the machine running with nothing to do.", false);
        let running = self.samples(device, "running", RUNNING_SAMPLES).await?;
        (self.tells)("Step 2: shut the machine down now, from within. Its outlet stays on.", false);
        self.wait_for_shutdown(device, &running).await?;
        let off = self.samples(device, "off", OFF_SAMPLES).await?;
        let open = if cut {
            (self.tells)("Step 3: the outlet goes off.", false);
            self.is_cut = true;
            device.order(PowerAction::Off, BootOverride::default()).await?;
            let open = self.samples(device, "cut", CUT_SAMPLES).await?;
            self.clock.sleep(self.spec.timings.off_dwell).await;
            open
        } else {
            Vec::new()
        };
        Ok(calibrate(&Samples { running: &running, off: &off, cut: &open, blind_below: 0 })?)
    }

    /// Turns the outlet on again that was turned off here.
    async fn close(&mut self, device: &mut dyn PowerDevice) -> Result<()> {
        let mut tries = 0;
        while self.is_cut {
            match device.order(PowerAction::On, BootOverride::default()).await {
                Ok(()) => self.is_cut = false,
                Err(error) if tries >= CLOSE_TRIES => {
                    bail!("the outlet of {} is off and cannot be turned on: {error}; turn it on by hand", self.spec.id)
                }
                Err(_) => self.clock.sleep(SAMPLES_APART).await,
            }
            tries += 1;
        }
        Ok(())
    }

    async fn wait_for_shutdown(&mut self, device: &mut dyn PowerDevice, running: &[u64]) -> Result<()> {
        let (mut shutdown, since) = (Shutdown::new(running), self.clock.mono());
        loop {
            let draw = self.sample(device, "shutting down").await?;
            let waited = self.clock.mono().since(since);
            if shutdown.sample(draw, self.clock.mono()) {
                return Ok(());
            }
            if waited >= SHUTDOWN_MAX {
                bail!(
                    "{} still draws {:.1} W after {} min: it was not shut down, or what it draws when off is not much less",
                    self.spec.id,
                    thousandth(draw).unwrap_or_default(),
                    SHUTDOWN_MAX.as_secs() / 60
                );
            }
            let left = SHUTDOWN_MAX.saturating_sub(waited).as_secs();
            (self.tells)(&format!("  {:.1} W; waiting for a lower level that holds, {left} s left", watts(draw)), true);
        }
    }

    async fn samples(&mut self, device: &mut dyn PowerDevice, step: &'static str, count: usize) -> Result<Vec<u64>> {
        let mut samples = Vec::with_capacity(count);
        while samples.len() < count {
            let draw = self.sample(device, step).await?;
            samples.push(draw);
            (self.tells)(&format!("  {step}: {} of {count}, {:.1} W", samples.len(), watts(draw)), true);
        }
        let (least, most) = (samples.iter().min().copied(), samples.iter().max().copied());
        let range = format!("{:.1} to {:.1} W", watts(least.unwrap_or_default()), watts(most.unwrap_or_default()));
        (self.tells)(&format!("  {step}: {range} in {count} measurements"), false);
        Ok(samples)
    }

    /// The next measurement.
    async fn sample(&mut self, device: &mut dyn PowerDevice, step: &'static str) -> Result<u64> {
        for _ in 0..=FAILURES_MAX {
            self.clock.sleep(SAMPLES_APART).await;
            if let Some(draw) = self.read(device).await?.milliwatts {
                self.rows.push((self.clock.mono().since(self.start), step, draw));
                return Ok(draw);
            }
        }
        bail!("{} measured nothing {} times in a row; calibrate again when it does", self.spec.device, FAILURES_MAX + 1)
    }

    async fn read(&mut self, device: &mut dyn PowerDevice) -> Result<Observation> {
        let mut failures = 0;
        loop {
            let read = self.clock.limit(READING_MAX, device.read()).await;
            match read
                .with_context(|| format!("{} did not answer within {} s", self.spec.device, READING_MAX.as_secs()))?
            {
                Ok(observation) => return Ok(observation),
                // Never again by itself: plugs lock themselves.
                Err(error) if failures >= FAILURES_MAX || is_final(error.class) => {
                    bail!("{}: {error}", self.spec.device)
                }
                Err(_) => self.clock.sleep(SAMPLES_APART).await,
            }
            failures += 1;
        }
    }

    fn csv(&self) -> String {
        let mut text = "seconds,step,watts\n".to_owned();
        for (at, step, draw) in &self.rows {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{:.1},{step},{}", at.as_secs_f64(), watts(*draw));
        }
        text
    }
}

fn watts(milliwatts: u64) -> f64 {
    thousandth(milliwatts).unwrap_or_default()
}

fn is_final(class: FailureClass) -> bool {
    use FailureClass::{Auth, Distrusted, Locked, Refused};
    matches!(class, Auth | Distrusted | Locked | Refused)
}

#[cfg(test)]
mod tests;
