//! The program: parses the command line, starts logging, runs one command, reports its result.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use plugfish::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{failure}");
            failure.code()
        }
    }
}
