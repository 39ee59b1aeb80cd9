//! A stand-in until the real command line is there: `plugfish sim` alone, for the foreign judges.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use plugfish::sim::{self, Account, Model, Rack, SimOptions, Variant};

#[derive(Parser)]
enum Cli {
    /// Runs a simulated rack until it is interrupted.
    Sim(Sim),
}

#[derive(clap::Args)]
struct Sim {
    /// What to simulate, as `p110:klap-v2`; may be given several times. One of every kind by default.
    #[arg(long = "plug", value_parser = SimOptions::kind)]
    plugs: Vec<(Model, Variant)>,
    /// Makes the rack the same again.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The address of the first plug.
    #[arg(long, default_value = "127.42.0.1")]
    base: Ipv4Addr,
    /// TCP port of the plugs; 0 takes free ones.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Takes broadcast discovery on this address too.
    #[arg(long)]
    broadcast: Option<Ipv4Addr>,
    /// Where the control API listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// E-mail of the account.
    #[arg(long, default_value = "owner@example.com")]
    email: String,
    /// Password of the account.
    #[arg(long, default_value = "plugfish-demo", env = "PLUGFISH_SIM_PASSWORD")]
    password: String,
}

fn announce(rack: &Rack) {
    let mut out = std::io::stdout().lock();
    for plug in rack.describe() {
        let _ = writeln!(out, "{}", serde_json::json!(plug));
    }
    if let Some(control) = rack.control() {
        let _ = writeln!(out, "control http://{control}");
    }
    let _ = out.flush();
}

fn main() -> ExitCode {
    let Cli::Sim(options) = Cli::parse();
    let plugs = if options.plugs.is_empty() { SimOptions::KINDS.to_vec() } else { options.plugs };
    let options = SimOptions {
        plugs: plugs.len(),
        kinds: plugs,
        seed: options.seed,
        base: options.base,
        port: options.port,
        broadcast: options.broadcast,
        account: Account::new(&options.email, &options.password),
        latency: Duration::from_millis(5),
        control: Some(options.control),
        ..SimOptions::default()
    };
    let ran = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
        runtime.block_on(sim::run(options, announce, async {
            let _ = tokio::signal::ctrl_c().await;
        }))
    });
    match ran {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}
