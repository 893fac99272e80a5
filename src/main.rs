//! The program `symbolon`.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use rustix::process::Signal;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

mod cli;
mod telemetry;

/// A request makes several hundred small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // With huge pages, the idle process has 39 MiB resident instead of 19. Without them, a sign-in takes about
    // 6 % more processor time, because Argon2 uses 19 MiB in random order.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let result = run(cli::parse());
    telemetry::flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error can be closed.
            let _ = writeln!(std::io::stderr(), "symbolon: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: cli::Cli) -> Result<(), Box<dyn Error>> {
    telemetry::init(command.log())?;
    Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(telemetry::flush)
        .build()?
        .block_on(async {
            // With a handler for SIGXFSZ, a write beyond the limit of file sizes fails, as on a full disk. Without
            // one, it ends the process.
            let limit = SignalKind::from_raw(Signal::XFSZ.as_raw());
            let _ = signal(limit);
            command.run().await
        })
}
