//! The log: to standard error, for the binary only.

use std::error::Error;
use std::io::{self, BufWriter, Stderr, Write};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tracing::{Level, Metadata};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What the log of a server holds unless `SYMBOLON_LOG` says otherwise.
pub(crate) const OF_A_SERVER: &str = "info,poem=warn,sea_orm_migration=warn,sqlx=warn";

/// The same of a command, which says on standard output what it did.
pub(crate) const OF_A_COMMAND: &str = "warn";

/// Lines that wait to be written together: one by one they cost more than what they tell of.
static LINES: LazyLock<Mutex<BufWriter<Stderr>>> =
    LazyLock::new(|| Mutex::new(BufWriter::with_capacity(64 * 1024, io::stderr())));

/// Writes the lines that wait: to be called whenever there is nothing else to do, and at the end.
pub(crate) fn flush() {
    // Nobody is left to tell when standard error is closed.
    let _ = lines().flush();
}

fn lines() -> MutexGuard<'static, BufWriter<Stderr>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where lines are written to. Those that somebody has to see do not wait.
struct Log {
    at_once: bool,
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self { at_once: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self {
        Self {
            at_once: *metadata.level() <= Level::WARN,
        }
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = lines();
        lines.write_all(line)?;
        if self.at_once {
            lines.flush()?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        lines().flush()
    }
}

/// Starts the log. `SYMBOLON_LOG` is a level, or several as `TARGET=LEVEL,…`; `SYMBOLON_LOG_FORMAT` is
/// `text` or `json`.
pub(crate) fn start(default: &str) -> Result<(), Box<dyn Error>> {
    let wanted = std::env::var("SYMBOLON_LOG").unwrap_or_else(|_| default.to_owned());
    let targets: Targets = wanted
        .parse()
        .map_err(|error| format!("SYMBOLON_LOG={wanted:?} is not a log filter: {error}"))?;
    let ansi = io::IsTerminal::is_terminal(&io::stderr());
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(ansi)
        .with_writer(Log { at_once: true });
    let lines = match std::env::var("SYMBOLON_LOG_FORMAT").as_deref() {
        Err(_) | Ok("text") => lines.boxed(),
        Ok("json") => lines.json().flatten_event(true).boxed(),
        Ok(other) => {
            return Err(format!("SYMBOLON_LOG_FORMAT={other:?} is not text or json").into());
        }
    };
    tracing_subscriber::registry()
        .with(lines)
        .with(targets)
        .try_init()?;
    Ok(())
}
