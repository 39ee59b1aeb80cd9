//! Daemon telemetry: the logs, and in the files below the registry of metrics.
//!
//! A leaf: everything may use it, it uses nothing of ours. Counters are here. Metrics that are read from the nodes'
//! views at scrape time (power, watts, age) are in `http/collectors.rs`. docs/metrics.md lists all of them.

mod metrics;
mod nodes;
mod plain;
mod process;

pub use metrics::Metrics;
pub(crate) use nodes::{DeviceMetrics, NodeMeters};

use std::fmt;
use std::io::IsTerminal;

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::text;

/// What the names of our fields in the journal begin with: `journalctl PLUGFISH_NODE=node-1`.
const JOURNAL_PREFIX: &str = "PLUGFISH";

/// Where log lines go and how they look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text for people.
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
pub(crate) fn start_logging(format: LogFormat, default_levels: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_levels));
    let text = || {
        let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
        layer.with_ansi(ansi).fmt_fields(Fields)
    };
    let json = || tracing_subscriber::fmt::layer().with_writer(std::io::stderr).json().flatten_event(true);
    let layer = match format {
        LogFormat::Text => text().boxed(),
        LogFormat::Json => json().with_target(true).boxed(),
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

/// How fields look in lines for people. What others say stands in them, in errors and names: it neither begins a line that looks
/// like one of ours nor moves a cursor.
struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut shown = Shown { writer, gap: "", result: Ok(()) };
        fields.record(&mut shown);
        shown.result
    }
}

struct Shown<'w> {
    writer: Writer<'w>,
    /// Before the next field.
    gap: &'static str,
    result: fmt::Result,
}

impl Visit for Shown<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let (gap, text) = (std::mem::replace(&mut self.gap, " "), text::in_log(&format!("{value:?}")));
        let written = match field.name() {
            "message" => write!(self.writer, "{gap}{text}"),
            name => write!(self.writer, "{gap}{name}={text}"),
        };
        self.result = self.result.and(written);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_others_say_forges_no_line() {
        let lines = Lines::default();
        let written = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || written.clone()).with_target(false);
        let layer = layer.with_ansi(false).without_time().fmt_fields(Fields);
        let forged = "1.3.0\n WARN login failed from 192.0.2.66 event=\"login_failed\"\r\u{1b}[2K\u{202e}";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(event = "firmware", new = %forged, old = forged, "said {forged}");
            tracing::warn!(event = "login_failed", why = "wrong", "login failed from 192.0.2.7");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let ours: Vec<&str> = text.lines().filter(|line| !line.starts_with("    | ")).collect();
        assert_eq!(ours.len(), 2, "{text}");
        assert_eq!(ours[1], " WARN login failed from 192.0.2.7 event=\"login_failed\" why=\"wrong\"");
        assert!(!text.contains(['\r', '\u{1b}', '\u{202e}']), "{text:?}");
    }
}
