//! Writes the log of the program to standard error.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{self, BufWriter, Stderr, Write};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use chrono::SecondsFormat;
use serde_json::json;
use symbolon::Clock;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::environment::{LOG, LOG_FORMAT, variable};

/// The default value of `SYMBOLON_LOG` for `symbolon serve`.
const SERVER_FILTER: &str = "info,poem=warn,sea_orm_migration=warn,sqlx=warn";

/// The default value of `SYMBOLON_LOG` for other commands, which print their results to standard output.
const COMMAND_FILTER: &str = "warn";

/// Log lines that have not been written yet. Several lines are written at once, because a system call for
/// each line would take longer than the formatting of the line.
static BUFFER: LazyLock<Mutex<BufWriter<Stderr>>> =
    LazyLock::new(|| Mutex::new(BufWriter::with_capacity(64 * 1024, io::stderr())));

/// Writes the buffered lines to standard error. Called whenever a worker thread becomes idle, and before the
/// program exits.
pub(crate) fn flush() {
    // If standard error is closed, the error cannot be reported.
    let _ = buffer().flush();
}

fn buffer() -> MutexGuard<'static, BufWriter<Stderr>> {
    BUFFER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writer of log lines to [`BUFFER`]. Warnings and errors are flushed immediately.
struct BufferWriter {
    flush: bool,
}

impl<'a> MakeWriter<'a> for BufferWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self { flush: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self {
        Self {
            flush: *metadata.level() <= Level::WARN,
        }
    }
}

impl Write for BufferWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut buffer = buffer();
        buffer.write_all(line)?;
        if self.flush {
            buffer.flush()?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        buffer().flush()
    }
}

/// The tracing target of the log lines for requests.
const REQUEST_TARGET: &str = "symbolon::request";

/// The text format of tracing-subscriber. Log lines for requests are formatted by this module, with an
/// identical result. With the formatter of tracing-subscriber, a `me` query would take about 20 % more
/// instructions (`bench/instructions`). The formatted time is cached for one second. Without this cache, the query would
/// take about 4 % more instructions.
#[derive(Default)]
struct TextFormat(Format);

impl<S, N> FormatEvent<S, N> for TextFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != REQUEST_TARGET || writer.has_ansi_escapes() {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::with_capacity(384);
        append_time(&mut line);
        line.push_str("  INFO symbolon::request:");
        event.record(&mut FieldFormatter(&mut line));
        line.push('\n');
        writer.write_str(&line)
    }
}

/// Appends the current time in UTC (RFC 3339), with milliseconds.
fn append_time(line: &mut String) {
    thread_local! {
        /// The Unix timestamp of the last line, and the formatted timestamp. Most lines are written in the same
        /// second as the line before.
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let now = Clock::System.now();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now.timestamp() {
            *second = now.timestamp();
            *text = now.format("%FT%T").to_string();
        }
        line.push_str(text);
    });
    // Writing to a string does not fail.
    let _ = write!(line, ".{:03}Z", now.timestamp_subsec_millis() % 1000);
}

/// Appends the fields of an event to a line.
struct FieldFormatter<'a>(&'a mut String);

impl FieldFormatter<'_> {
    fn append_name(&mut self, field: &Field) {
        self.0.push(' ');
        if field.name() != "message" {
            self.0.push_str(field.name());
            self.0.push('=');
        }
    }
}

impl Visit for FieldFormatter<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.append_name(field);
        // Writing to a string does not fail.
        let _ = write!(self.0, "{value:?}");
    }

    /// A string that needs no escaping is copied as a whole, which is faster than escaping each character.
    fn record_str(&mut self, field: &Field, value: &str) {
        let is_plain = |byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if value.bytes().all(is_plain) {
            self.append_name(field);
            self.0.push('"');
            self.0.push_str(value);
            self.0.push('"');
        } else {
            self.record_debug(field, &value);
        }
    }
}

/// The most verbose level that is enabled for other crates. At the level TRACE, tungstenite logs each frame,
/// including the token in `connection_init`.
const MAX_LEVEL_OF_OTHERS: LevelFilter = LevelFilter::DEBUG;

/// Returns `filter` with the levels of other crates capped at [`MAX_LEVEL_OF_OTHERS`].
fn cap_other_crates(filter: &Targets) -> Targets {
    let default = filter.default_level().unwrap_or(LevelFilter::OFF);
    let capped = Targets::new()
        .with_default(default.min(MAX_LEVEL_OF_OTHERS))
        .with_target("symbolon", default);
    capped.with_targets(filter.iter().map(|(target, level)| {
        // A directive applies to all targets that begin with its target.
        if target.starts_with("symbolon") {
            (target.to_owned(), level)
        } else {
            (target.to_owned(), level.min(MAX_LEVEL_OF_OTHERS))
        }
    }))
}

/// The names of the levels.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The level of the targets for which a list of targets contains no level.
const DEFAULT_LEVEL: &str = "warn";

/// Parses a log filter: a list of levels and of `TARGET=LEVEL`. Refuses unknown levels, because tracing-subscriber would
/// interpret an unknown level as the name of a target, and disable all other targets.
fn parse_filter(filter: &str) -> Result<Targets, String> {
    let directives = filter.split(',').map(str::trim);
    let mut directives: Vec<_> = directives
        .filter(|directive| !directive.is_empty())
        .collect();
    let requirement = || {
        let levels = LEVELS.join(", ");
        format!("{LOG} requires a level ({levels}) or a list such as info,symbolon=debug")
    };
    let is_target = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-');
    for directive in &directives {
        let (target, level) = directive.split_once('=').unwrap_or(("symbolon", directive));
        let is_level = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
        if !is_level || target.is_empty() || !target.chars().all(is_target) {
            return Err(requirement());
        }
    }
    // Otherwise, a list of targets would disable the errors of all other targets.
    if directives.iter().all(|directive| directive.contains('=')) {
        directives.insert(0, DEFAULT_LEVEL);
    }
    let filter = directives.join(",").parse();
    filter.map_err(|_: ParseError| requirement())
}

/// The format of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogFormat {
    Text,
    Json,
}

/// Reads the format from the environment.
fn log_format() -> Result<LogFormat, String> {
    let format = variable(LOG_FORMAT)?.unwrap_or_default();
    match format.to_ascii_lowercase().as_str() {
        "" | "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("{LOG_FORMAT} requires `text` or `json`")),
    }
}

/// Returns whether the log consists of JSON lines.
pub(crate) fn is_json() -> bool {
    log_format() == Ok(LogFormat::Json)
}

/// Writes an error that ends the program to standard error. `SYMBOLON_LOG` has no effect, because it may be the cause of
/// the error, or disable all log lines. If the log is read by a program and consists of JSON lines, the error is one as
/// well.
pub(crate) fn write_last_error(error: &dyn fmt::Display, is_server: bool) {
    flush();
    let line = if is_server && is_json() {
        json!({
            "timestamp": Clock::System.now().to_rfc3339_opts(SecondsFormat::Micros, true),
            "level": "ERROR",
            "message": error.to_string(),
            "target": "symbolon",
        })
        .to_string()
    } else {
        format!("symbolon: {error}")
    };
    // If standard error is closed, the error cannot be reported.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Initializes the log. The environment variable `SYMBOLON_LOG` contains a level or a list of `TARGET=LEVEL`.
/// `SYMBOLON_LOG_FORMAT` is `text` or `json`.
pub(crate) fn init(is_server: bool) -> Result<(), Box<dyn Error>> {
    let filter = variable(LOG)?;
    let default = if is_server {
        SERVER_FILTER
    } else {
        COMMAND_FILTER
    };
    let filter = parse_filter(filter.as_deref().unwrap_or(default))?;
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_writer(BufferWriter { flush: true });
    let layer = match log_format()? {
        LogFormat::Text => layer.event_format(TextFormat::default()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer)
        .with(cap_other_crates(&filter))
        .try_init()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked_and_never_disable_the_errors_of_other_targets() {
        for filter in [
            "symbolon=debug",
            "info",
            "INFO, poem=Debug,",
            "symbolon::http=trace",
        ] {
            let filter = parse_filter(filter).unwrap();
            assert!(filter.would_enable("symbolon::store", &Level::ERROR));
        }
        assert!(
            !parse_filter("off")
                .unwrap()
                .would_enable("symbolon", &Level::ERROR)
        );
        for filter in [
            "warning",
            "info,loud",
            "symbolon=",
            "=info",
            "symbolon[x]=info",
            "a=b=info",
            "4",
        ] {
            assert!(
                parse_filter(filter)
                    .unwrap_err()
                    .contains("SYMBOLON_LOG requires"),
                "{filter}"
            );
        }
    }

    #[test]
    fn the_level_of_other_crates_is_capped() {
        let enables = |filter: &str, target: &str, level| {
            cap_other_crates(&filter.parse().unwrap()).would_enable(target, &level)
        };
        let tungstenite = "tungstenite::protocol";
        for filter in [
            "trace",
            "tungstenite=trace",
            "t=trace",
            "info,tungstenite::protocol=trace",
        ] {
            assert!(!enables(filter, tungstenite, Level::TRACE), "{filter}");
        }
        assert!(enables("debug", tungstenite, Level::DEBUG));
        for filter in ["trace", "info,symbolon=trace", "symbolon::http=trace"] {
            assert!(enables(filter, "symbolon::http", Level::TRACE), "{filter}");
        }
        assert!(!enables("info", "symbolon::http", Level::DEBUG));
        assert!(!enables("info,sqlx=warn", "sqlx::query", Level::INFO));
        let own_off = "warn,symbolon=off";
        assert!(enables(own_off, "sqlx::query", Level::WARN));
        assert!(!enables(own_off, "symbolon::http", Level::ERROR));
    }
}
