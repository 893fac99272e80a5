//! The errors of copies.

use sea_orm::DbErr;

use crate::store::open_error::{OpenError, without_line};

/// The reason why a database is not copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{0} is both the source and the target")]
    SameDatabase(String),
    #[error("the target {0} is not empty: the table {1} has rows; use an empty database")]
    NotEmpty(String, &'static str),
    #[error("the target {0} cannot be written to: {1}")]
    NotWritable(String, String),
    #[error(
        "{0} does not deliver notifications, for example because of a connection pooler in transaction mode; use \
         the URL of the database server itself, so that the command can find out whether a server is using the database"
    )]
    NoNotifications(String),
    #[error("a server started on {0} during the copy; stop the server, and run the command again")]
    Started(String),
    #[error("the table {0} cannot be read: {cause}", cause = without_line(.1))]
    Read(&'static str, #[source] DbErr),
    #[error("the table {0} of the target cannot be written to: {cause}", cause = without_line(.1))]
    Write(&'static str, #[source] DbErr),
    #[error(
        "the row {1} of the table {0} contains the character U+0000, which PostgreSQL cannot store"
    )]
    Nul(&'static str, String),
    #[error("the copy of the table {0} differs from its source")]
    Different(&'static str),
    #[error("{0}: {cause}", cause = without_line(.1))]
    Connection(String, #[source] DbErr),
    #[error(
        "the tables in {0} cannot be locked: {cause}; the role must own the tables, and no other process may change them",
        cause = without_line(.1)
    )]
    Lock(String, #[source] DbErr),
    #[error("the commit failed: {0}; the target contains either all rows or none")]
    Commit(#[source] DbErr),
    #[error("{1}; the target {0} has no rows")]
    NoRows(String, #[source] Box<CopyError>),
}
