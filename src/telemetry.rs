//! The log: to standard error, for the binary only.

use std::error::Error;
use std::io;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What the log of a server holds unless `SYMBOLON_LOG` says otherwise.
pub(crate) const OF_A_SERVER: &str = "info,poem=warn,sea_orm_migration=warn,sqlx=warn";

/// The same of a command, which says on standard output what it did.
pub(crate) const OF_A_COMMAND: &str = "warn";

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
        .with_writer(io::stderr);
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
