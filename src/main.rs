//! The server: parse the command line, start telemetry, run, and say with the exit code how it went.

use std::io::Write;
use std::process::ExitCode;

mod cli;
mod telemetry;

#[tokio::main]
async fn main() -> ExitCode {
    let command = cli::parse();
    let done = match telemetry::start(command.log()) {
        Ok(()) => command.run().await,
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "symbolon: {error}");
            ExitCode::FAILURE
        }
    }
}
