//! The server: parse the command line, start telemetry, run, and say with the exit code how it went.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use rustix::process::Signal;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

mod cli;
mod telemetry;

/// A request takes some hundred small pieces of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // With huge pages, the idle process has 39 MiB resident instead of 19. Without them, a sign-in takes about
    // 6 % more processor time, because Argon2 uses 19 MiB in random order.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let done = run(cli::parse());
    telemetry::flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "symbolon: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: cli::Cli) -> Result<(), Box<dyn Error>> {
    telemetry::start(command.log())?;
    Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(telemetry::flush)
        .build()?
        .block_on(async {
            // A write beyond the limit of file sizes fails then, as one to a full disk does, and does not end
            // the process.
            let limit = SignalKind::from_raw(Signal::XFSZ.as_raw());
            let _ = signal(limit);
            command.run().await
        })
}
