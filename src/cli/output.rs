//! The output of commands: text and tables for people, and JSON for scripts.

use std::fmt;
use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde::{Serialize, Serializer};

#[derive(Args, Debug)]
pub(super) struct Output {
    /// Print JSON, one object per line
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// A row of a table. The JSON output contains the serialized row instead of the cells.
pub(super) trait Row: Serialize {
    const COLUMNS: &'static [&'static str];

    /// Returns the text of each cell, in the order of [`Row::COLUMNS`].
    fn cells(&self) -> Vec<String>;
}

impl Output {
    /// Prints the result of a change: `value` with `--json`, and `sentence` otherwise.
    pub(super) fn print_result(&self, value: &impl Serialize, sentence: &str) -> io::Result<()> {
        print(&if self.json {
            json(value)?
        } else {
            format!("{sentence}\n")
        })
    }

    /// Prints one row: as JSON, or as one line of text for each column.
    pub(super) fn print_row<R: Row>(&self, row: &R) -> io::Result<()> {
        if self.json {
            return print(&json(row)?);
        }
        let width = R::COLUMNS.iter().map(|column| column.len()).max();
        let width = width.unwrap_or_default();
        let cells = R::COLUMNS.iter().zip(row.cells());
        let lines = cells.map(|(column, cell)| format!("{column:width$}  {}\n", visible(&cell)));
        print(&lines.collect::<String>())
    }

    /// Returns an empty table, to which rows are added by [`Table::print`].
    pub(super) fn table(&self) -> Table {
        Table {
            json: self.json,
            widths: Vec::new(),
        }
    }
}

/// A table on standard output.
#[derive(Debug)]
pub(super) struct Table {
    json: bool,
    /// The widths of the columns. Empty until the header has been printed.
    widths: Vec<usize>,
}

impl Table {
    /// Prints `rows`, preceded by the header if it has not been printed yet.
    pub(super) fn print<R: Row>(&mut self, rows: &[R]) -> io::Result<()> {
        if self.json {
            let lines = rows.iter().map(json);
            return print(&lines.collect::<Result<String, _>>()?);
        }
        let mut lines: Vec<Vec<String>> = Vec::with_capacity(rows.len() + 1);
        if self.widths.is_empty() {
            self.widths = vec![0; R::COLUMNS.len()];
            lines.push(R::COLUMNS.iter().map(ToString::to_string).collect());
        }
        let cells = |row: &R| row.cells().iter().map(|cell| visible(cell)).collect();
        lines.extend(rows.iter().map(cells));
        for line in &lines {
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        let format_line = |line: &Vec<String>| {
            let cells = line.iter().zip(&self.widths);
            let cells = cells.map(|(cell, width)| format!("{cell:width$}  "));
            format!("{}\n", cells.collect::<String>().trim_end())
        };
        print(&lines.iter().map(format_line).collect::<String>())
    }
}

/// Adds the result of a change to the error that occurred when the result was printed.
pub(super) fn after(sentence: &str, error: &io::Error) -> io::Error {
    let sentence = sentence.replace('\n', "; ");
    let message = format!("{sentence}; this result cannot be printed: {error}");
    io::Error::new(error.kind(), message)
}

fn json(value: &impl Serialize) -> io::Result<String> {
    Ok(format!("{}\n", serde_json::to_string(value)?))
}

fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// Replaces control characters, which the terminal would interpret. Users can put control characters into e-mail
/// addresses.
fn visible(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// A time, with milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timestamp(pub(super) DateTime<Utc>);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Returns the text of `cell`, or `-` for `None`.
pub(super) fn or_dash(cell: Option<impl fmt::Display>) -> String {
    cell.map_or_else(|| "-".to_owned(), |cell| cell.to_string())
}
