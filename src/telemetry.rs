//! The log: to standard error, for the binary only.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{self, BufWriter, Stderr, Write};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

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

/// The lines of requests. There are so many that it shows how long one takes to be written.
const REQUESTS: &str = "symbolon::request";

/// A line of a request is seldom longer than so many bytes.
const LINE: usize = 384;

/// Text as the library writes it; the lines of requests in a fourth of the time.
#[derive(Default)]
struct Text(Format);

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != REQUESTS || writer.has_ansi_escapes() {
            return self.0.format_event(ctx, writer, event);
        }
        // In one piece: each that goes through the library's writer costs as much as its text.
        let mut line = String::with_capacity(LINE);
        add_time(&mut line);
        line.push_str("  INFO symbolon::request:");
        event.record(&mut Fields(&mut line));
        line.push('\n');
        writer.write_str(&line)
    }
}

/// Fields, added to a line.
struct Fields<'a>(&'a mut String);

impl Fields<'_> {
    fn begin(&mut self, field: &Field) {
        self.0.push(' ');
        if field.name() != "message" {
            self.0.push_str(field.name());
            self.0.push('=');
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.begin(field);
        // A string takes whatever is written to it.
        let _ = write!(self.0, "{value:?}");
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.begin(field);
        self.0.push_str(itoa::Buffer::new().format(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let is_plain = |byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if !value.bytes().all(is_plain) {
            return self.record_debug(field, &value);
        }
        self.begin(field);
        self.0.push('"');
        self.0.push_str(value);
        self.0.push('"');
    }
}

/// Adds the time in UTC, to the millisecond.
fn add_time(line: &mut String) {
    thread_local! {
        /// The last second, and how it is written: the next line is most often of the same.
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let now = Clock::System.now();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now.timestamp() {
            *second = now.timestamp();
            *text = now.format("%FT%T.").to_string();
        }
        line.push_str(text);
    });
    // The first digit keeps the zeros behind it.
    let mut millis = itoa::Buffer::new();
    line.push_str(&millis.format(1000 + now.timestamp_subsec_millis() % 1000)[1..]);
    line.push('Z');
}

/// The most that the log holds of other crates, which write whole messages at TRACE: tungstenite each frame, with
/// the token in `connection_init`.
const OF_OTHERS: LevelFilter = LevelFilter::DEBUG;

/// Whether all that this target of a filter matches is of Symbolon.
fn is_own(target: &str) -> bool {
    target.starts_with("symbolon")
}

/// The filter, with at most [`OF_OTHERS`] of other crates.
fn capped(wanted: &Targets) -> Targets {
    let default = wanted.default_level().unwrap_or(LevelFilter::OFF);
    let capped = Targets::new()
        .with_default(default.min(OF_OTHERS))
        .with_target("symbolon", default);
    capped.with_targets(wanted.iter().map(|(target, level)| {
        let most = if is_own(target) {
            level
        } else {
            level.min(OF_OTHERS)
        };
        (target.to_owned(), most)
    }))
}

/// Reads a filter. A word that is not a level would be taken for the name of a crate, and silence all others.
fn filter(wanted: &str) -> Result<Targets, String> {
    let refuse = |why: String| format!("SYMBOLON_LOG={wanted:?} is not a log filter: {why}");
    let mut directives = wanted.split(',').map(str::trim);
    let unknown = directives
        .find(|directive| !directive.contains('=') && directive.parse::<LevelFilter>().is_err());
    if let Some(unknown) = unknown {
        let levels = "off, error, warn, info, debug or trace, or TARGET=LEVEL";
        return Err(refuse(format!("{unknown:?} is not {levels}")));
    }
    wanted
        .parse()
        .map_err(|error: ParseError| refuse(error.to_string()))
}

/// Starts the log. `SYMBOLON_LOG` is a level, or several as `TARGET=LEVEL,…`; `SYMBOLON_LOG_FORMAT` is
/// `text` or `json`.
pub(crate) fn start(default: &str) -> Result<(), Box<dyn Error>> {
    let wanted = std::env::var("SYMBOLON_LOG").ok();
    let wanted = wanted.filter(|wanted| !wanted.trim().is_empty());
    let targets = filter(wanted.as_deref().unwrap_or(default))?;
    let ansi = io::IsTerminal::is_terminal(&io::stderr());
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(ansi)
        .with_writer(Log { at_once: true });
    let lines = match std::env::var("SYMBOLON_LOG_FORMAT").as_deref() {
        Err(_) | Ok("text") => lines.event_format(Text::default()).boxed(),
        Ok("json") => lines.json().flatten_event(true).boxed(),
        Ok(other) => {
            return Err(format!("SYMBOLON_LOG_FORMAT={other:?} is not text or json").into());
        }
    };
    tracing_subscriber::registry()
        .with(lines)
        .with(capped(&targets))
        .try_init()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_crates_are_capped_however_the_filter_names_them() {
        let enables = |filter: &str, target: &str, level| {
            capped(&filter.parse().unwrap()).would_enable(target, &level)
        };
        for filter in [
            "trace",
            "tungstenite=trace",
            "t=trace",
            "info,tungstenite::protocol=trace",
        ] {
            assert!(
                !enables(filter, "tungstenite::protocol", Level::TRACE),
                "{filter}"
            );
        }
        assert!(enables("debug", "tungstenite::protocol", Level::DEBUG));
        for filter in ["trace", "info,symbolon=trace", "symbolon::http=trace"] {
            assert!(enables(filter, "symbolon::http", Level::TRACE), "{filter}");
        }
        assert!(!enables("info", "symbolon::http", Level::DEBUG));
        assert!(!enables("info,sqlx=warn", "sqlx::query", Level::INFO));
        assert!(enables("warn,symbolon=off", "sqlx::query", Level::WARN));
        assert!(!enables(
            "warn,symbolon=off",
            "symbolon::http",
            Level::ERROR
        ));
    }
}
