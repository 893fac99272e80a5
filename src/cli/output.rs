//! How commands tell what they found or did: to people in words and columns, to scripts in JSON.

use std::fmt;
use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde::{Serialize, Serializer};

#[derive(Args, Debug)]
pub(super) struct Output {
    /// Print JSON for scripts, one object on each line
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// What can stand in a list. Its fields are for scripts.
pub(super) trait Entry: Serialize {
    /// What people see of it.
    const COLUMNS: &'static [&'static str];

    /// The same of this one, a cell for each column.
    fn cells(&self) -> Vec<String>;
}

impl Output {
    /// Tells scripts of `done` itself, and people in a sentence.
    pub(super) fn tell(&self, done: &impl Serialize, sentence: &str) -> io::Result<()> {
        if self.json {
            print(&json(done)?)
        } else {
            print(&format!("{sentence}\n"))
        }
    }

    /// Shows one entry.
    pub(super) fn show<E: Entry>(&self, entry: &E) -> io::Result<()> {
        if self.json {
            return print(&json(entry)?);
        }
        let width = E::COLUMNS.iter().map(|column| column.len()).max();
        let width = width.unwrap_or_default();
        let cells = E::COLUMNS.iter().zip(entry.cells());
        let lines = cells.map(|(column, cell)| format!("{column:width$}  {}\n", visible(&cell)));
        print(&lines.collect::<String>())
    }

    /// A list that is to be printed as it is read.
    pub(super) fn list(&self) -> List {
        List {
            json: self.json,
            widths: Vec::new(),
        }
    }
}

/// A list on its way to standard output.
#[derive(Debug)]
pub(super) struct List {
    json: bool,
    /// Of the columns so far; none before the first line.
    widths: Vec<usize>,
}

impl List {
    /// Prints the next entries; of no entries at all, the heads of the columns.
    pub(super) fn print<E: Entry>(&mut self, entries: &[E]) -> io::Result<()> {
        if self.json {
            let lines = entries.iter().map(json);
            return print(&lines.collect::<Result<String, _>>()?);
        }
        let mut rows: Vec<Vec<String>> = Vec::with_capacity(entries.len() + 1);
        if self.widths.is_empty() {
            self.widths = vec![0; E::COLUMNS.len()];
            rows.push(E::COLUMNS.iter().map(ToString::to_string).collect());
        }
        let cells = |entry: &E| entry.cells().iter().map(|cell| visible(cell)).collect();
        rows.extend(entries.iter().map(cells));
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&self.widths);
            let cells: Vec<_> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            format!("{}\n", cells.join("  ").trim_end())
        };
        print(&rows.iter().map(line).collect::<String>())
    }
}

fn json(entry: &impl Serialize) -> io::Result<String> {
    Ok(format!("{}\n", serde_json::to_string(entry)?))
}

fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// The quoted part of an e-mail address may hold a tab, and nothing that somebody else typed is to
/// reach a terminal as more than text.
fn visible(text: &str) -> String {
    let seen = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(seen).collect()
}

/// An instant: to the second for people, to the millisecond for scripts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instant(pub(super) DateTime<Utc>);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// What people see of something that may be missing.
pub(super) fn or_dash(cell: Option<impl fmt::Display>) -> String {
    cell.map_or_else(|| "-".to_owned(), |cell| cell.to_string())
}
