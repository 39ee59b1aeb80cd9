//! Benchmarks of plugfish: `cargo bench --bench measure -- NAME`, where NAME is one of those below.
//!
//! Hardware and load differ, so what is compared is measured alternately, in one run, and reported as a ratio.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a bench measures real time, prints, and may fall over"
)]

mod command;
mod instructions;
mod load;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../it/program.rs"]
mod program;
mod reads;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../it/rig.rs"]
mod rig;
mod scale;
mod summary;

use summary::Figure;

const USAGE: &str = "cargo bench --bench measure                   all of these in order, some twenty minutes
cargo bench --bench measure -- NAME
  reads         reads beside a bare actix-web handler of the same bytes: keep-alive or not, TLS, Basic, token
  connections   the same with 1 to 200 connections: rates and how long the slowest take
  hanging       how long reads take while all devices are well, and while all of them hang
  reset         from a Reset to the relay, beside the driver alone
  fsyncs        how often a command syncs a file (needs strace)
  scale [NODES] memory, CPU and time to start for 10, 100, 1,000 and 10,000 nodes, or for so many
  instructions  instructions of a read, beside those of the committed file (needs valgrind); `instructions write` commits
With --hold it fails when a target is missed; `instructions` always does. `scale` without NODES draws docs/growth.svg.";

fn main() {
    // Cargo itself adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let (flags, words): (Vec<&str>, Vec<&str>) = words.iter().map(String::as_str).partition(|word| *word == "--hold");
    let figures = match words.as_slice() {
        [] => all(),
        ["reads"] => reads::rates(),
        ["connections"] => reads::connections(),
        ["hanging"] => reads::hanging(),
        ["reset"] => command::reset(),
        ["fsyncs"] => command::fsyncs(),
        ["scale"] => scale::table(&SIZES),
        ["scale", nodes] => scale::table(&[nodes.parse().unwrap()]),
        ["instructions"] => instructions::check(),
        ["instructions", "write"] => instructions::write(),
        // Started by the ones above.
        ["rack", plugs, first] => scale::rack(plugs.parse().unwrap(), first.parse().unwrap()),
        ["count", kind, reads] => instructions::count(kind, reads.parse().unwrap()),
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(2);
        }
    };
    let met = figures.is_empty() || summary::print(&figures);
    if !met && (!flags.is_empty() || words == ["instructions"]) {
        std::process::exit(1);
    }
}

/// Everything, one after the other.
fn all() -> Vec<Figure> {
    type Bench = fn() -> Vec<Figure>;
    let benches: [(&str, Bench); 7] = [
        ("reads", reads::rates),
        ("connections", reads::connections),
        ("hanging", reads::hanging),
        ("reset", command::reset),
        ("fsyncs", command::fsyncs),
        ("scale", || scale::table(&SIZES)),
        ("instructions", instructions::check),
    ];
    let run = |(name, bench): (&str, Bench)| {
        println!("\n--- {name}");
        bench()
    };
    benches.into_iter().flat_map(run).collect()
}

/// Fleets that are compared.
const SIZES: [usize; 4] = [10, 100, 1000, 10_000];

/// A runtime for a rack, with a thread of its own.
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

/// The value in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
