//! `symbolon user import`

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use csv::{ByteRecord, ReaderBuilder};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use symbolon::{FlaskDatabase, ImportResult, ImportedPassword, ImportedUser, Operator};

use super::output::Output;

/// The maximum number of rows that one transaction imports.
const BATCH: usize = 1000;

/// The number of rows between two progress messages if standard error is not a terminal.
const PROGRESS_ROWS: u64 = 10_000;

#[derive(Args, Debug)]
pub(super) struct Import {
    /// CSV file, or SQLite database of a Flask application
    ///
    /// A CSV file must have the column `username`, and at least one of the columns `password` and `password_hash`. The
    /// column `email` is optional. If the file is an SQLite database, the command reads the table `user`.
    file: PathBuf,

    /// Print the result without importing any user
    #[arg(long)]
    dry_run: bool,
}

/// A row of the source. `position` is the line number in a CSV file, or the id in a database.
struct Row {
    position: i64,
    user: Result<ImportedUser, String>,
}

impl Import {
    pub(super) async fn run(
        self,
        operator: &Operator,
        output: &Output,
    ) -> Result<(), Box<dyn Error>> {
        let mut source = Source::open(&self.file).await?;
        // The progress bar is hidden if standard error is not a terminal.
        let bar = ProgressBar::new(source.length().await?).with_style(
            ProgressStyle::with_template("{wide_bar} {percent} % {eta} {msg}")?,
        );
        let print_line = |line: &str| bar.suspend(|| writeln!(io::stderr(), "{line}"));
        let (mut added, mut skipped, mut refused) = (0, 0, 0);
        loop {
            let rows = source.next_batch().await?;
            if rows.is_empty() {
                break;
            }
            let before = added + skipped + refused;
            let users = rows.iter().filter_map(|row| row.user.clone().ok());
            let results = operator.import(users.collect(), self.dry_run).await?;
            let mut results = results.into_iter();
            for Row { position, user } in rows {
                let (username, result) = match user {
                    Ok(user) => (Some(user.username), results.next()),
                    Err(reason) => (None, Some(ImportResult::Refused(reason))),
                };
                match result.ok_or("a row has no result")? {
                    ImportResult::Added => added += 1,
                    ImportResult::Skipped => skipped += 1,
                    ImportResult::Refused(reason) => {
                        refused += 1;
                        let unit = source.position_unit();
                        if output.json {
                            let row =
                                json!({ unit: position, "username": username, "refused": reason });
                            output.print_result(&row, "")?;
                        } else {
                            print_line(&format!("{unit} {position}: {reason}"))?;
                        }
                    }
                }
            }
            let rows = added + skipped + refused;
            bar.set_position(source.progress());
            bar.set_message(format!("{rows} rows"));
            if bar.is_hidden() && rows / PROGRESS_ROWS > before / PROGRESS_ROWS {
                print_line(&format!("{rows} rows"))?;
            }
        }
        bar.finish_and_clear();
        let would = if self.dry_run { "would be " } else { "" };
        output.print_result(
            &json!({ "added": added, "skipped": skipped, "refused": refused, "dryRun": self.dry_run }),
            &format!("{added} {would}added, {skipped} skipped because they exist, {refused} {would}refused"),
        )?;
        if refused > 0 {
            return Err(format!("{refused} rows are not valid users").into());
        }
        Ok(())
    }
}

/// The source of the rows, with the current position.
enum Source {
    Csv {
        reader: Box<csv::Reader<File>>,
        columns: Columns,
        length: u64,
    },
    Flask {
        database: FlaskDatabase,
        last_id: i64,
        rows: u64,
    },
}

impl Source {
    async fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        let read_error = |error: &dyn Error| format!("{} cannot be read: {error}", path.display());
        let file = File::open(path).map_err(|error| read_error(&error))?;
        let length = file.metadata().map_err(|error| read_error(&error))?.len();
        let mut start = Vec::new();
        let read = file.take(16).read_to_end(&mut start);
        read.map_err(|error| read_error(&error))?;
        // https://www.sqlite.org/fileformat.html#magic_header_string
        if start == b"SQLite format 3\0" {
            return Ok(Self::Flask {
                database: FlaskDatabase::open(path).await?,
                last_id: i64::MIN,
                rows: 0,
            });
        }
        let reader = ReaderBuilder::new().flexible(true).from_path(path);
        let mut reader = reader.map_err(|error| read_error(&error))?;
        let columns = Columns::find(reader.byte_headers()?)?;
        Ok(Self::Csv {
            reader: Box::new(reader),
            columns,
            length,
        })
    }

    /// Returns the name of the unit of [`Row::position`].
    fn position_unit(&self) -> &'static str {
        match self {
            Self::Csv { .. } => "line",
            Self::Flask { .. } => "id",
        }
    }

    /// Returns the value that [`Source::progress`] has after the last row.
    async fn length(&self) -> Result<u64, Box<dyn Error>> {
        Ok(match self {
            Self::Csv { length, .. } => *length,
            Self::Flask { database, .. } => database.count().await?,
        })
    }

    /// Returns the number of bytes of the CSV file, or of rows of the database, that have been read.
    fn progress(&self) -> u64 {
        match self {
            Self::Csv { reader, .. } => reader.position().byte(),
            Self::Flask { rows, .. } => *rows,
        }
    }

    /// Reads the next rows. The result is empty after the last row.
    async fn next_batch(&mut self) -> Result<Vec<Row>, Box<dyn Error>> {
        match self {
            Self::Csv {
                reader, columns, ..
            } => {
                let mut batch = Vec::new();
                let mut record = ByteRecord::new();
                while batch.len() < BATCH && reader.read_byte_record(&mut record)? {
                    let line = record.position().map_or(0, csv::Position::line);
                    batch.push(Row {
                        position: i64::try_from(line)?,
                        user: columns.user(&record),
                    });
                }
                Ok(batch)
            }
            Self::Flask {
                database,
                last_id,
                rows,
            } => {
                let page = database.page(*last_id).await?;
                *last_id = page.last().map_or(*last_id, |(id, _)| *id);
                *rows += page.len() as u64;
                let row = |(position, user): (i64, _)| Row { position, user };
                Ok(page.into_iter().map(row).collect())
            }
        }
    }
}

/// The indexes of the columns of a CSV file.
struct Columns {
    username: usize,
    email: Option<usize>,
    password: Option<usize>,
    hash: Option<usize>,
}

impl Columns {
    fn find(header: &ByteRecord) -> Result<Self, String> {
        let find = |name: &str| {
            header.iter().position(|column| {
                let byte_order_mark = b"\xef\xbb\xbf";
                let column = column.strip_prefix(byte_order_mark).unwrap_or(column);
                column.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
            })
        };
        let (password, hash) = (find("password"), find("password_hash"));
        match find("username") {
            Some(username) if password.is_some() || hash.is_some() => Ok(Self {
                username,
                email: find("email"),
                password,
                hash,
            }),
            _ => Err(
                "the first line must contain the column names username, and password or password_hash"
                    .to_owned(),
            ),
        }
    }

    fn user(&self, record: &ByteRecord) -> Result<ImportedUser, String> {
        let text = |column: Option<usize>| {
            let value = column.and_then(|column| record.get(column));
            let text = std::str::from_utf8(value.unwrap_or_default());
            text.map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()))
                .map_err(|_| "The row is not valid UTF-8.".to_owned())
        };
        let password = match (text(self.hash)?, text(self.password)?) {
            (Some(hash), _) => ImportedPassword::Hash(hash),
            (None, Some(password)) => ImportedPassword::Plain(password),
            (None, None) => {
                return Err("The row has neither a password nor a password hash.".to_owned());
            }
        };
        Ok(ImportedUser {
            username: text(Some(self.username))?.unwrap_or_default(),
            email: text(self.email)?,
            password,
        })
    }
}
