//! `symbolon user import`

use std::error::Error;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use csv::{ByteRecord, ReaderBuilder};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use symbolon::{FlaskDatabase, ImportResult, ImportedPassword, ImportedUser, Operator};

use super::output::Output;

/// Rows that are taken over in one step.
const BATCH: usize = 1000;
/// Where nobody watches a bar, a line is printed for so many rows.
const ROWS_A_LINE: u64 = 10_000;

#[derive(Args, Debug)]
pub(super) struct Import {
    /// CSV with the columns username, password or password_hash, and email if there is one; or the SQLite
    /// database of the Flask original, of which the table user is taken
    file: PathBuf,

    /// Say what would become of each row, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// A row: where it stands in the file, and the account, or why it is none.
struct Row {
    place: i64,
    account: Result<ImportedUser, String>,
}

#[derive(Default)]
struct Count {
    added: u64,
    skipped: u64,
    refused: u64,
}

impl Import {
    pub(super) async fn run(
        self,
        operator: &Operator,
        output: &Output,
    ) -> Result<(), Box<dyn Error>> {
        let mut source = Source::open(&self.file).await?;
        let progress = Progress::new(source.length().await?);
        let mut count = Count::default();
        loop {
            let rows = source.batch().await?;
            if rows.is_empty() {
                break;
            }
            let done = source.position();
            for (place, name, became) in take_over(operator, rows, self.dry_run).await? {
                match became {
                    ImportResult::Added => count.added += 1,
                    ImportResult::Skipped => count.skipped += 1,
                    ImportResult::MutationError(why) => {
                        count.refused += 1;
                        let what = source.place();
                        let told = if output.json {
                            output.tell(
                                &json!({ what: place, "username": name, "refused": why }),
                                "",
                            )
                        } else {
                            progress.tell(&format!("{what} {place}: {why}"))
                        };
                        told?;
                    }
                }
            }
            progress.reached(done, count.added + count.skipped + count.refused)?;
        }
        progress.end();
        let Count {
            added,
            skipped,
            refused,
        } = count;
        let would = if self.dry_run { "would be " } else { "" };
        output.tell(
            &json!({ "added": added, "skipped": skipped, "refused": refused, "dryRun": self.dry_run }),
            &format!("{added} {would}added, {skipped} skipped that exist, {refused} {would}refused"),
        )?;
        if refused > 0 {
            return Err(format!("{refused} rows cannot be accounts").into());
        }
        Ok(())
    }
}

/// What became of each row: where it stands, its name if it has one, and what.
async fn take_over(
    operator: &Operator,
    rows: Vec<Row>,
    dry_run: bool,
) -> Result<Vec<(i64, Option<String>, ImportResult)>, Box<dyn Error>> {
    let mut told = Vec::with_capacity(rows.len());
    let mut accounts = Vec::with_capacity(rows.len());
    for Row { place, account } in rows {
        match account {
            Ok(account) => {
                told.push((place, Some(account.username.clone()), ImportResult::Skipped));
                accounts.push(account);
            }
            Err(why) => told.push((place, None, ImportResult::MutationError(why))),
        }
    }
    let mut became = operator.import(accounts, dry_run).await?.into_iter();
    for (_, name, what) in &mut told {
        if name.is_some() {
            *what = became.next().ok_or("a row was lost")?;
        }
    }
    Ok(told)
}

/// What rows are read from.
enum Source {
    Csv {
        reader: Box<csv::Reader<File>>,
        columns: Columns,
        length: u64,
    },
    Flask {
        database: FlaskDatabase,
        last: i64,
        rows: u64,
    },
}

/// Where the columns of a CSV file are.
struct Columns {
    username: usize,
    email: Option<usize>,
    password: Option<usize>,
    hash: Option<usize>,
}

impl Source {
    async fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        let unread = |error: io::Error| format!("{} cannot be read: {error}", path.display());
        let mut start = Vec::new();
        let file = File::open(path).map_err(unread)?;
        let mut first = file.take(16);
        first.read_to_end(&mut start).map_err(unread)?;
        if start == b"SQLite format 3\0" {
            return Ok(Self::Flask {
                database: FlaskDatabase::open(path).await?,
                last: i64::MIN,
                rows: 0,
            });
        }
        let length = std::fs::metadata(path).map_err(unread)?.len();
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .from_path(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let columns = Columns::of(reader.byte_headers()?)?;
        Ok(Self::Csv {
            reader: Box::new(reader),
            columns,
            length,
        })
    }

    /// What a row is called by.
    fn place(&self) -> &'static str {
        match self {
            Self::Csv { .. } => "line",
            Self::Flask { .. } => "id",
        }
    }

    /// How much there is to read, in units of [`Source::position`].
    async fn length(&self) -> Result<u64, Box<dyn Error>> {
        Ok(match self {
            Self::Csv { length, .. } => *length,
            Self::Flask { database, .. } => database.count().await?,
        })
    }

    /// How much was read.
    fn position(&self) -> u64 {
        match self {
            Self::Csv { reader, .. } => reader.position().byte(),
            Self::Flask { rows, .. } => *rows,
        }
    }

    /// The next rows; none at the end.
    async fn batch(&mut self) -> Result<Vec<Row>, Box<dyn Error>> {
        match self {
            Self::Csv {
                reader, columns, ..
            } => {
                let mut batch = Vec::new();
                let mut record = ByteRecord::new();
                while batch.len() < BATCH && reader.read_byte_record(&mut record)? {
                    batch.push(Row {
                        place: line(&record),
                        account: columns.account(&record),
                    });
                }
                Ok(batch)
            }
            Self::Flask {
                database,
                last,
                rows,
            } => {
                let page = database.page(*last).await?;
                *last = page.last().map_or(*last, |(id, _)| *id);
                *rows += page.len() as u64;
                let row = |(id, account): (i64, _)| Row { place: id, account };
                Ok(page.into_iter().map(row).collect())
            }
        }
    }
}

impl Columns {
    fn of(headers: &ByteRecord) -> Result<Self, String> {
        let find = |name: &str| {
            let is_it = |header: &[u8]| {
                let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
                header.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
            };
            headers.iter().position(is_it)
        };
        let (password, hash) = (find("password"), find("password_hash"));
        match find("username") {
            Some(username) if password.is_some() || hash.is_some() => Ok(Self {
                username,
                email: find("email"),
                password,
                hash,
            }),
            _ => Err("the first line has to name the columns: username, password or password_hash, and email if there is one".to_owned()),
        }
    }

    fn account(&self, record: &ByteRecord) -> Result<ImportedUser, String> {
        let text = |column: Option<usize>| {
            let value = column.and_then(|column| record.get(column));
            let text = std::str::from_utf8(value.unwrap_or_default());
            text.map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()))
                .map_err(|_| "This is not UTF-8.".to_owned())
        };
        let password = match (text(self.hash)?, text(self.password)?) {
            (Some(hash), _) => ImportedPassword::Hash(hash),
            (None, Some(plain)) => ImportedPassword::Plain(plain),
            (None, None) => return Err("There is neither a password nor its hash.".to_owned()),
        };
        Ok(ImportedUser {
            username: text(Some(self.username))?.unwrap_or_default(),
            email: text(self.email)?,
            password,
        })
    }
}

/// How far it is: a bar on a terminal, plain lines otherwise, on standard error.
struct Progress {
    bar: Option<ProgressBar>,
    lines: std::cell::Cell<u64>,
}

impl Progress {
    fn new(length: u64) -> Self {
        let style = ProgressStyle::with_template("{wide_bar} {percent} % {eta} {msg}");
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(length);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self {
            bar,
            lines: std::cell::Cell::default(),
        }
    }

    fn tell(&self, line: &str) -> io::Result<()> {
        let print = || writeln!(io::stderr(), "{line}");
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn reached(&self, position: u64, rows: u64) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.set_position(position);
            bar.set_message(format!("{rows} rows"));
            return Ok(());
        }
        let lines = rows / ROWS_A_LINE;
        if lines > self.lines.replace(lines) {
            self.tell(&format!("{rows} rows"))?;
        }
        Ok(())
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(record: &ByteRecord) -> i64 {
    let line = record.position().map_or(0, csv::Position::line);
    i64::try_from(line).unwrap_or(i64::MAX)
}
