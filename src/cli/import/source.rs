//! The sources of users.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::vec;

use encoding_rs::Encoding;
use symbolon::FlaskDatabase;

use super::columns::Columns;
use super::csv_file::CsvFile;
use super::row::Row;
use super::{keycloak, text};

/// The maximum number of rows that one transaction imports.
const BATCH: usize = 1000;

/// The maximum size of a text file, in bytes. The whole file is in memory, because its encoding is known only at its
/// end, and because a pipe can be read only once.
const MAX_TEXT: u64 = 1 << 30;

/// The source of the rows, with the current position.
pub(super) enum Source {
    Csv(Box<CsvFile>),
    Keycloak {
        users: vec::IntoIter<Row>,
        length: usize,
    },
    Flask {
        database: FlaskDatabase,
        columns: Box<Columns>,
        last_rowid: Option<i64>,
        rows: u64,
    },
}

impl Source {
    pub(super) async fn open(
        path: &Path,
        encoding: Option<&'static Encoding>,
        delimiter: Option<char>,
    ) -> Result<Self, Box<dyn Error>> {
        let read_error = |error: &dyn Error| format!("{} cannot be read: {error}", path.display());
        let mut file = File::open(path).map_err(|error| read_error(&error))?;
        let mut bytes = Vec::new();
        let start = (&mut file).take(16).read_to_end(&mut bytes);
        start.map_err(|error| read_error(&error))?;
        // https://www.sqlite.org/fileformat.html#magic_header_string
        if bytes == b"SQLite format 3\0" {
            let database = FlaskDatabase::open(path).await?;
            let names = database.columns().iter().map(String::as_str);
            return Ok(Self::Flask {
                columns: Box::new(Columns::with_names(names, b',')?),
                database,
                last_rowid: None,
                rows: 0,
            });
        }
        let rest = file.take(MAX_TEXT).read_to_end(&mut bytes);
        if rest.map_err(|error| read_error(&error))? as u64 == MAX_TEXT {
            return Err("the file is larger than 1 GiB: split the file".into());
        }
        let decoded = text::decode(bytes, encoding)?;
        if decoded.text.trim_start().starts_with(['{', '[']) {
            if decoded.has_errors || decoded.is_assumed {
                return Err(
                    "the JSON file is not valid UTF-8 or UTF-16: export the file again".into(),
                );
            }
            let users = keycloak::users(&decoded.text)?;
            let length = users.len();
            let users = users.into_iter();
            return Ok(Self::Keycloak { users, length });
        }
        Ok(Self::Csv(Box::new(CsvFile::open(decoded, delimiter)?)))
    }

    /// Returns sentences for standard error about the format, and about data that is not imported.
    pub(super) fn notes(&self) -> Vec<String> {
        match self {
            Self::Csv(file) => file.notes(),
            Self::Keycloak { .. } => vec![
                "export of Keycloak: roles, groups, attributes, and credentials other than passwords are ignored"
                    .to_owned(),
            ],
            Self::Flask { columns, .. } => columns.ignored_note().into_iter().collect(),
        }
    }

    /// Returns the name of the unit of [`Row::position`].
    pub(super) fn position_unit(&self) -> &'static str {
        match self {
            Self::Csv(_) => "line",
            Self::Keycloak { .. } => "user",
            Self::Flask { .. } => "row",
        }
    }

    /// Returns the value that [`Source::progress`] has after the last row.
    pub(super) async fn length(&self) -> Result<u64, Box<dyn Error>> {
        Ok(match self {
            Self::Csv(file) => file.progress().0 as u64,
            Self::Keycloak { length, .. } => *length as u64,
            Self::Flask { database, .. } => database.count().await?,
        })
    }

    /// Returns the number of bytes of the text, or of rows, that have been read.
    pub(super) fn progress(&self) -> u64 {
        match self {
            Self::Csv(file) => file.progress().1 as u64,
            Self::Keycloak { users, length } => (length - users.len()) as u64,
            Self::Flask { rows, .. } => *rows,
        }
    }

    /// Reads the next rows, and a note about them. The result is empty after the last row.
    pub(super) async fn next_batch(
        &mut self,
    ) -> Result<(Vec<Row>, Option<&'static str>), Box<dyn Error>> {
        match self {
            Self::Csv(file) => Ok(file.next_batch(BATCH)),
            Self::Keycloak { users, .. } => Ok((users.take(BATCH).collect(), None)),
            Self::Flask {
                database,
                columns,
                last_rowid,
                rows,
            } => {
                let page = database.page(*last_rowid).await?;
                *last_rowid = page.last().map_or(*last_rowid, |(rowid, _)| Some(*rowid));
                *rows += page.len() as u64;
                let row = |(position, values): (i64, Vec<String>)| Row {
                    position,
                    user: columns.user_in(&values.into()),
                };
                Ok((page.into_iter().map(row).collect(), None))
            }
        }
    }
}
