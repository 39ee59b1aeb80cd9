//! What is told of the daemon: the logs, and in the files below the registry of metrics.
//!
//! A leaf: everything may use it, it uses nothing of ours. What is counted as it happens is here; what is read off the
//! nodes' views when Prometheus asks (power, watts, age) is made by `http/ops.rs`. docs/metrics.md lists all of it.

mod metrics;
mod nodes;
mod plain;
mod process;

pub use metrics::Metrics;
pub use nodes::{DeviceMeters, NodeMeters};

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What the names of our fields in the journal begin with: `journalctl PLUGFISH_NODE=node-1`.
const JOURNAL_PREFIX: &str = "PLUGFISH";

/// Where log lines go and how they look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
    /// systemd's journal, with fields.
    Journald,
}

impl LogFormat {
    /// What fits where stderr goes: the journal under systemd, lines for people on a terminal, JSON in a pipe.
    pub fn fitting() -> LogFormat {
        if std::env::var_os("JOURNAL_STREAM").is_some() {
            LogFormat::Journald
        } else if std::io::stderr().is_terminal() {
            LogFormat::Text
        } else {
            LogFormat::Json
        }
    }
}

/// Starts logging to stderr or the journal, at the levels of `RUST_LOG`, else at `default_levels`. Called once.
pub fn start_logging(format: LogFormat, default_levels: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_levels));
    let text = || {
        let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(ansi)
    };
    let layer = match format {
        LogFormat::Text => text().boxed(),
        LogFormat::Json => text().json().flatten_event(true).with_target(true).boxed(),
        LogFormat::Journald => match tracing_journald::layer() {
            Ok(journal) => {
                journal.with_syslog_identifier("plugfish".into()).with_field_prefix(Some(JOURNAL_PREFIX.into())).boxed()
            }
            Err(_) => text().boxed(),
        },
    };
    // A second start (tests in one process) keeps the first one's layers.
    let _ = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
}
