//! Runs the parsed command, and turns its result into an exit status.

use std::fmt;
use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::output::print;
use super::{
    Check, Cli, Command, calibrate, client, demo, discover, events, generate, health, import, manual, probe, state,
    status,
};
use crate::config;
use crate::daemon::serve;
use crate::http::auth::hash_password;
use crate::telemetry::{LogFormat, start_logging};

/// Longest password that is read.
const PASSWORD_MAX: u64 = 1024;

/// The error of a command.
#[derive(Debug)]
pub struct Failure(anyhow::Error);

impl Failure {
    /// 2 when the file is wrong, 1 for everything else. (A wrong command line is 2 as well; clap says so itself.)
    pub fn code(&self) -> ExitCode {
        let file = self.0.chain().any(|cause| cause.is::<config::ConfigProblems>() || cause.is::<config::NoConfig>());
        ExitCode::from(if file { 2 } else { 1 })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Problems of a file begin with its name, the way compilers write them.
        match self.0.downcast_ref::<config::ConfigProblems>() {
            Some(problems) => write!(f, "{problems}"),
            None => write!(f, "plugfish: {:#}", self.0),
        }
    }
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> Result<(), Failure> {
        let daemon = matches!(self.command, Command::Serve(_) | Command::Demo(_) | Command::Sim(_));
        let levels = if daemon { "info,actix_server=warn" } else { "warn" };
        start_logging(self.log_format.unwrap_or_else(LogFormat::fitting), levels);
        // Devices and clients use the same TLS; a second start (tests in one process) keeps the first one's.
        let _ = rustls::crypto::ring::default_provider().install_default();
        dispatch(self.command).map_err(Failure)
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Schema => {
            print(&format!("{:#}\n", config::schema()));
            Ok(())
        }
        Command::HashPassword => hash(),
        Command::Completions { shell } => {
            print(&manual::completions(shell));
            Ok(())
        }
        Command::Man => {
            print(&manual::page().context("cannot write the manual page")?);
            Ok(())
        }
        Command::Generate(options) => generate::generate(&options),
        Command::Import(options) => import::import(&options),
        Command::Export(options) => state::export(&options),
        Command::Restore(options) => state::restore(&options),
        Command::Serve(file) => run(serve::serve(config::find(file.config)?)),
        Command::Demo(options) => run(demo::demo(&options)),
        Command::Sim(options) => run(demo::sim(&options)),
        Command::Check(options) => run(check(&options)),
        Command::Calibrate(options) => run(calibrate::run(&options)),
        Command::Discover(options) => run(discover::discover(&options)),
        Command::Status(options) => run(status::status(&options)),
        Command::Power(options) => run(client::power(&options)),
        Command::Boot(options) => run(client::boot(&options)),
        Command::Trust(options) => run(client::trust(&options)),
        Command::Events(options) => run(events::events(&options)),
        Command::Health(options) => run(health::health(&options)),
    }
}

fn run(work: impl Future<Output = Result<()>>) -> Result<()> {
    actix::System::new().block_on(work)
}

async fn check(options: &Check) -> Result<()> {
    let path = config::find(options.file.config.clone())?;
    let config::Loaded { config, warnings } = config::load(&path)?;
    for warning in &warnings {
        print(&format!("{warning}\n"));
    }
    print(&format!("{}: {} nodes, nothing wrong with it\n", path.display(), config.nodes.len()));
    for note in notes(&config) {
        print(&format!("{note}\n"));
    }
    if options.probe {
        probe::probe(&serve::node_plans(&config), &config.state_dir).await?;
    }
    Ok(())
}

/// What `check` says of the way in which devices are reached: each note once, with the nodes that it is about.
fn notes(config: &config::Config) -> Vec<String> {
    const NAMES_MAX: usize = 8;
    let mut notes: Vec<(&str, Vec<&str>)> = Vec::new();
    for (node, note) in config.nodes.iter().filter_map(|node| Some((node, node.device.note()?))) {
        match notes.iter_mut().find(|(known, _)| *known == note) {
            Some((_, names)) => names.push(node.id.as_str()),
            None => notes.push((note, vec![node.id.as_str()])),
        }
    }
    let with_names = |(note, names): (&str, Vec<&str>)| {
        let more = names.len().saturating_sub(NAMES_MAX);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names: Vec<&str> = names.into_iter().take(NAMES_MAX).collect();
        format!("{}{rest}: {note}", names.join(", "))
    };
    notes.into_iter().map(with_names).collect()
}

fn hash() -> Result<()> {
    let password = if std::io::stdin().is_terminal() {
        rpassword::prompt_password("Password: ").context("cannot read the password")?
    } else {
        let mut text = String::new();
        std::io::stdin().lock().take(PASSWORD_MAX).read_to_string(&mut text).context("cannot read the password")?;
        text.lines().next().unwrap_or_default().to_owned()
    };
    anyhow::ensure!(!password.is_empty(), "the password is empty");
    let hash = hash_password(&password).map_err(|error| anyhow::anyhow!("cannot hash it: {error}"))?;
    print(&format!("{hash}\n"));
    Ok(())
}
