//! Metrics of this process from the system, under the names that Prometheus clients share. Without /proc there are
//! none.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// Read at each scrape.
#[derive(Debug)]
pub(super) struct Process;

/// What /proc says, in its own units.
#[derive(Debug, PartialEq)]
struct Stat {
    /// In user and system mode, in ticks.
    cpu: f64,
    /// Since the system started, in ticks.
    start: f64,
    pages: f64,
}

/// proc_pid_stat(5). The second field is a name in parentheses that may hold anything.
fn parse_stat(stat: &str) -> Option<Stat> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // The list begins with field 3.
    let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<f64>().ok();
    Some(Stat { cpu: field(14)? + field(15)?, start: field(22)?, pages: field(24)? })
}

/// When the system started, in seconds since 1970: proc_stat(5).
fn parse_boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn number(n: u64) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}

fn open_files() -> Option<f64> {
    // One is the folder itself, which is open while it is read.
    Some(number(u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1)).ok()?))
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stat = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(parse_stat);
        let booted = fs::read_to_string("/proc/stat").ok().as_deref().and_then(parse_boot_time);
        let tick = 1.0 / number(clock_ticks_per_second());
        if let Some(Stat { cpu, .. }) = stat {
            let help = "CPU time used by this process, user and system.";
            encoder
                .encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?
                .encode_counter::<NoLabelSet, f64, f64>(&(cpu * tick), None)?;
        }
        let page = number(u64::try_from(page_size()).unwrap_or(0));
        let gauges = [
            ("process_resident_memory", "Resident memory of this process.", Some(Unit::Bytes), {
                stat.as_ref().map(|stat| stat.pages * page)
            }),
            ("process_start_time", "Unix time at which this process started.", Some(Unit::Seconds), {
                stat.as_ref().zip(booted).map(|(stat, booted)| booted + stat.start * tick)
            }),
            ("process_open_fds", "Open file descriptors of this process, connections included.", None, open_files()),
            (
                "process_max_fds",
                "Maximum number of open file descriptors of this process.",
                None,
                getrlimit(Resource::Nofile).current.map(number),
            ),
        ];
        for (name, help, unit, value) in gauges {
            if let Some(value) = value {
                encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_blanks_shifts_nothing() {
        let rest = "S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 9 0 123456 1000000 2048 18446744073709551615";
        let stat = Stat { cpu: 300.0, start: 123_456.0, pages: 2048.0 };
        assert_eq!(parse_stat(&format!("42 (a) b (c) {rest}")), Some(stat));
        assert_eq!(parse_stat("42 (a) S 1"), None);
        assert_eq!(parse_boot_time("cpu 1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000.0));
    }
}
