//! `plugfish calibrate`: measures one machine behind a plug while it idles and while it is off, and prints its thresholds.
//!
//! It reads the plug itself, with a login of its own, so no daemon should use the plug meanwhile. Nothing is switched
//! without `--cut`, and what was cut is turned on again however this ends.

mod procedure;
mod progress;

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::ConfigFile;
use super::output::{print, remark};
use crate::clock::Clock;
use crate::config;
use crate::daemon::{NodePlan, serve};
use crate::driver::Drivers;
use crate::node::calibration::Calibration;
use crate::node::device::PowerDevice;
use crate::node::power_history::thousandth;
use crate::node::trust::VolatileBook;
use crate::store::{holder, trust_on_record};
use crate::telemetry::Metrics;
use procedure::Procedure;
use progress::Progress;

/// How long a person may take to get the machine to idle.
const ENTER_MAX: Duration = Duration::from_secs(3600);

/// `plugfish calibrate`.
#[derive(Debug, Args)]
pub struct Calibrate {
    /// The node, which has to be behind a plug with a meter.
    pub node: String,
    /// The configuration file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Also measure with the outlet off: when the machine is off it goes off for about half a minute, and on again.
    #[arg(long)]
    pub cut: bool,
    /// Begin at once, instead of waiting for Enter until the machine idles.
    #[arg(long)]
    pub yes: bool,
    /// Write each measurement to this new file as CSV (seconds, step, watts).
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// The form of the result: the lines for nodes.yaml, or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    pub output: Form,
    /// For tests: all pauses are so many times shorter.
    #[arg(long, hide = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub speed: u32,
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
    let plan = find(&plans, &options.node, &path)?;
    check_alone(&config.state_dir, options.cut)?;
    let book = trust_on_record(&config.state_dir).unwrap_or_else(|error| {
        remark(&format!("{error}; the plug is trusted on first use"));
        VolatileBook::default()
    });
    let clock = Clock::system();
    let drivers = Drivers::new(clock.clone(), Metrics::new(), Arc::default(), Arc::new(book));
    let mut device = drivers.open(&plan.spec.id, &plan.device);
    let mut procedure = Procedure::new(clock, &plan.spec, options.speed, Progress::to_stderr());
    let mut csv = None;
    let result = tokio::select! {
        biased;
        stopped = told_to_stop() => stopped.and_then(|()| bail!("stopped before the end")),
        result = measure(&mut procedure, device.as_mut(), options, &mut csv) => result,
    };
    let closed = procedure.close(device.as_mut()).await;
    procedure.progress.clear();
    if let (Some(mut file), Some(path)) = (csv, &options.csv) {
        file.write_all(procedure.csv().as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    // An outlet that stays off is the worst of the news.
    closed?;
    let calibration = result?;
    let figures = calibration.figures;
    remark(&format!(
        "{}: 95 of 100 measurements were at or below {:.1} W when it was off, and at or above {:.1} W when it idled",
        plan.spec.id,
        watts(figures.off),
        watts(figures.running)
    ));
    print(&shown(&options.node, &calibration, options.output));
    Ok(())
}

async fn measure(
    procedure: &mut Procedure<'_>,
    device: &mut dyn PowerDevice,
    options: &Calibrate,
    csv: &mut Option<File>,
) -> Result<Calibration> {
    procedure.begin(device).await?;
    if let Some(path) = &options.csv {
        // Not to find out at the end; and a wrong name costs no one a file.
        let made = File::create_new(path);
        *csv = Some(made.with_context(|| format!("cannot make {} as a new file", path.display()))?);
    }
    if !options.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        procedure.progress.say("Leave the machine running with nothing to do, and press Enter when it idles.");
        if procedure.clock.limit(ENTER_MAX, enter()).await.is_none() {
            bail!("no one pressed Enter for {} min", ENTER_MAX.as_secs() / 60);
        }
    }
    procedure.measure(device, options.cut).await
}

fn find<'a>(plans: &'a [NodePlan], node: &str, file: &Path) -> Result<&'a NodePlan> {
    let Some(plan) = plans.iter().find(|plan| plan.spec.id.as_str() == node) else {
        let names: Vec<&str> = plans.iter().map(|plan| plan.spec.id.as_str()).collect();
        bail!("there is no node {node} in {}; there are: {}", file.display(), names.join(", "));
    };
    if !plan.spec.kind.is_outlet {
        bail!(
            "{node} is {}, whose machine says itself whether it runs; there is nothing to calibrate",
            plan.spec.device
        );
    }
    Ok(plan)
}

/// Two that read one plug are a nuisance. Two that switch it are more than that.
fn check_alone(state_dir: &Path, cut: bool) -> Result<()> {
    let Some(who) = holder(state_dir) else { return Ok(()) };
    if cut {
        bail!(
            "a daemon runs on {} ({who}), and --cut switches a plug that is the daemon's: stop it first, such as by \
             `systemctl stop plugfish`",
            state_dir.display()
        );
    }
    remark(&format!(
        "a daemon runs on {} ({who}): if measuring fails, stop it for the time of this, since both read the plug",
        state_dir.display()
    ));
    Ok(())
}

/// Ends with Ctrl-C, with SIGTERM, and when the terminal is closed.
async fn told_to_stop() -> Result<()> {
    let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    tokio::select! {
        stopped = serve::shutdown_signal() => stopped,
        _ = hang_up.recv() => Ok(()),
    }
}

/// Ends with a line from the terminal, or with the end of its input.
async fn enter() {
    let (tell, told) = oneshot::channel();
    // A thread of its own, since nothing ends one that waits for a terminal but the end of the process.
    let reader = std::thread::Builder::new().name("plugfish-enter".into()).spawn(move || {
        let _ = std::io::stdin().read_line(&mut String::new());
        let _ = tell.send(());
    });
    if reader.is_ok() {
        let _ = told.await;
    }
}

fn shown(node: &str, calibration: &Calibration, form: Form) -> String {
    let Calibration { watts: thresholds, figures } = calibration;
    let (off_below, on_above) = (watts(thresholds.off_below), watts(thresholds.on_above));
    let settle = format!("{}s", thresholds.settle.as_secs());
    match form {
        Form::Yaml => format!(
            "power_state: measured\nwatts: {{ off_below: {off_below}, on_above: {on_above}, settle: {settle} }}\n"
        ),
        Form::Json => {
            let document = json!({
                "node": node,
                "power_state": "measured",
                "watts": { "off_below": off_below, "on_above": on_above, "settle": settle },
                "measured": { "off_watts": watts(figures.off), "idle_watts": watts(figures.running) },
            });
            format!("{document:#}\n")
        }
    }
}

fn watts(milliwatts: u64) -> f64 {
    thousandth(milliwatts).unwrap_or_default()
}

#[cfg(test)]
mod tests;
