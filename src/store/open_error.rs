//! Errors that occur when the database is opened.

use std::fmt;
use std::io;
use std::path::PathBuf;

use sea_orm::{DbErr, SqlxError};

use crate::store::database_url::Location;
use crate::store::errors::cause;
use crate::store::postgres_connection::lacks_prepared_statement;

/// The advice for a database that is missing.
const ADVICE: &str = "Name the database with --database-url or DATABASE_URL, or run the command in the \
                      working directory of the server. `symbolon migrate` creates a database and its \
                      tables";

/// The reason why a database without tables of Symbolon is refused.
pub(super) const NO_TABLES: &str = "it has no tables of Symbolon";

/// The reason why an empty file is refused.
pub(super) const EMPTY_FILE: &str = "the file is empty";

/// The reason why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the folder {0} does not exist")]
    NoFolder(PathBuf),
    #[error("the database file {0} cannot be created: {1}")]
    Create(PathBuf, #[source] io::Error),
    #[error("the database file {0} cannot be read: {1}")]
    Read(PathBuf, #[source] io::Error),
    #[error(
        "the database file {0} has more than one name (hard links): SQLite would create a journal for each name \
         and lose changes; keep one name, or replace the others by symbolic links"
    )]
    HardLinked(PathBuf),
    #[error(
        "the lock file {0} cannot be locked: {1}; run the command as the user that runs the server"
    )]
    Lock(PathBuf, #[source] io::Error),
    #[error("the database {0} is being copied or restored; try again after the command has ended")]
    Locked(String),
    #[cfg(feature = "server")]
    #[error(
        "a server or another command is using the database {0}; stop the server, and run the command again"
    )]
    InUse(String),
    #[error("the database {0} cannot be opened: {cause}", cause = without_line(.1))]
    Connect(Location, #[source] DbErr),
    #[error("the database {0} cannot be opened: {cause}", cause = without_line(.1))]
    Server(Location, #[source] SqlxError),
    #[error(
        "the database file {0} is damaged: {1}; keep a copy of the file, and restore a backup (docs/upgrading.md, \
         Downgrading)"
    )]
    Damaged(PathBuf, String),
    #[error("the database {0} is damaged: the table {1} is missing; restore a backup")]
    MissingTable(String, &'static str),
    #[error(
        "the database {0} was written by a newer version of Symbolon, which has the migration {1}; upgrade Symbolon"
    )]
    Newer(Location, String),
    #[error(
        "the tables of Symbolon are in the schema {1} of {0}, but the search_path begins with the schema {2}, in \
         which new tables would be created; set the search_path of the role or of the URL so that it begins \
         with {1}"
    )]
    OtherSchema(Location, String, String),
    #[error(
        "the database {0} has the encoding {1}, which cannot represent the usernames of all users; create a database \
         with the encoding UTF8, and copy the data with pg_dump and psql"
    )]
    Encoding(Location, String),
    #[error(
        "the database {0} did not answer within {1} s. If a connection pooler is used, its limits may be too low for the \
         connections of all instances (docs/scaling.md, Connections)"
    )]
    NoAnswer(Location, u64),
    #[error(
        "the database {0} is behind a connection pooler with transaction or statement pooling, which loses \
         notifications, prepared statements and settings; use session pooling (in PgBouncer, pool_mode = session and \
         server_reset_query = DISCARD ALL), or connect to PostgreSQL directly"
    )]
    TransactionPooling(Location),
    #[error("no schema of the search_path of {0} exists")]
    NoSchema(Location),
    #[error("the tables in {0} cannot be brought up to date: {cause}", cause = without_line(.1))]
    Migrate(Location, #[source] DbErr),
    #[error(
        "the migrations of the application cannot be applied to {0}: {cause}",
        cause = without_line(.1)
    )]
    MigrateApplication(Location, #[source] MigrationFailure),
    #[error("the database {0} does not exist. {advice}", advice = ADVICE)]
    Missing(String),
    #[error(
        "the current user has no permission to open the database {0} or to create files in its folder; run \
         the command as the user that runs the server"
    )]
    Denied(String),
    #[error(
        "{0} has a table with the name of a table of Symbolon, but no record of the migrations of Symbolon; use \
         another database"
    )]
    TablesOfOthers(String),
    #[error("{0} is not a database of Symbolon: {1}. {advice}", advice = ADVICE)]
    Foreign(String, &'static str),
    #[error(
        "the tables in {0} are older than this version of Symbolon. Bring them up to date with \
         `symbolon migrate`, or start the server of this version"
    )]
    Older(String),
}

/// The reason why a migration of an application was not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrationFailure {
    #[error("the migration {0} failed: {1}")]
    Failed(String, #[source] DbErr),
    #[error("{0}")]
    Other(#[from] DbErr),
    #[error("the table {0} records the migrations of Symbolon; implement migration_table_name")]
    TableOfSymbolon(String),
    #[error("two migrations have the name {0}; give each migration a name of its own")]
    SameName(String),
}

impl OpenError {
    /// Returns the error that names transaction pooling, if the cause is a prepared statement that is missing or that
    /// another client has prepared.
    pub(super) fn name_transaction_pooling(self) -> Self {
        match self {
            Self::Server(location, error) if lacks_prepared_statement(&error) => {
                Self::TransactionPooling(location)
            }
            Self::Connect(location, error) | Self::Migrate(location, error)
                if cause(&error).is_some_and(lacks_prepared_statement) =>
            {
                Self::TransactionPooling(location)
            }
            other => other,
        }
    }
}

/// Formats an error without the line in the source code of PostgreSQL, which sqlx appends to messages of the server.
pub(super) fn without_line(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((message, line)) if line.bytes().all(|byte| byte.is_ascii_digit()) => {
            message.to_owned()
        }
        _ => text,
    }
}
