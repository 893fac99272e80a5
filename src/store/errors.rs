//! What the errors of the database mean.

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::PgDatabaseError;
use sea_orm::sqlx::sqlite::SqliteError;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, SqlxError};

use crate::error::Error;

/// Codes of SQLite, <https://www.sqlite.org/rescode.html>.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const NO_MEMORY: u32 = 7;
const READ_ONLY: u32 = 8;
const IO_ERROR: u32 = 10;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;
const PROTOCOL: u32 = 15;
const CONSTRAINT: u32 = 19;

/// The code of PostgreSQL for a full disk.
const DISK_FULL: &str = "53100";

/// A database that is busy, unreachable or not writable may work at the next attempt. Other errors are
/// internal.
impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        // Logged once, when it begins.
        if is_unwritable(&error) {
            return Self::ServiceUnavailable { retry_after: 1 };
        }
        // The heartbeat has logged that the server is unavailable.
        if matches!(
            error,
            DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)
        ) {
            return Self::ServiceUnavailable { retry_after: 1 };
        }
        if is_away(&error) || is_busy(&error) {
            tracing::warn!(%error, "the database is busy or unreachable");
            Self::ServiceUnavailable { retry_after: 1 }
        } else {
            Self::internal(error)
        }
    }
}

/// An error that the database itself reported.
enum Reported {
    /// The primary code.
    Sqlite(u32),
    /// SQLSTATE, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    Postgres(String),
}

fn cause(error: &DbErr) -> Option<&SqlxError> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause))
        | DbErr::Conn(RuntimeErr::SqlxError(cause)) => Some(cause),
        _ => None,
    }
}

fn reported(error: &DbErr) -> Option<Reported> {
    let error = cause(error)?.as_database_error()?;
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        return Some(Reported::Postgres(error.code().to_owned()));
    }
    let error = error.try_downcast_ref::<SqliteError>()?;
    // The extended codes have the primary one in their lowest byte.
    let code = error.code()?.parse::<u32>().ok()?;
    Some(Reported::Sqlite(code & 0xff))
}

/// Whether the connection must not be used again.
///
/// SQLite may have rolled back by itself, which sqlx does not notice. PostgreSQL aborts the transaction
/// when it refuses a statement, and a rollback then restores the connection; only errors of the connection
/// or of the server break it.
pub(super) fn breaks_connection(error: &DbErr) -> bool {
    match (reported(error), cause(error)) {
        (Some(Reported::Sqlite(code)), _) => code != CONSTRAINT,
        (Some(Reported::Postgres(code)), _) => ["08", "25", "53", "57P", "58", "XX"]
            .iter()
            .any(|class| code.starts_with(class)),
        (None, Some(cause)) => is_of_connection(cause),
        (None, None) => false,
    }
}

/// Whether the connection itself has failed.
fn is_of_connection(cause: &SqlxError) -> bool {
    matches!(
        cause,
        SqlxError::Io(_)
            | SqlxError::Tls(_)
            | SqlxError::Protocol(_)
            | SqlxError::BeginFailed
            | SqlxError::WorkerCrashed
    )
}

/// Whether the change may have been made although COMMIT has failed.
pub(super) fn is_outcome_unknown(error: &DbErr) -> bool {
    match reported(error) {
        Some(Reported::Sqlite(code)) => !matches!(code, CONSTRAINT | BUSY | LOCKED),
        // 40003: statement completion unknown.
        Some(Reported::Postgres(code)) => ["08", "40003", "57P", "58", "XX"]
            .iter()
            .any(|class| code.starts_with(class)),
        None => true,
    }
}

/// Whether the file system or the server is out of space, or cannot be used for another reason that
/// concerns the whole database.
pub(super) fn is_unwritable(error: &DbErr) -> bool {
    match reported(error) {
        Some(Reported::Sqlite(code)) => {
            matches!(code, FULL | IO_ERROR | NO_MEMORY | READ_ONLY | CANNOT_OPEN)
        }
        Some(Reported::Postgres(code)) => code == DISK_FULL,
        None => false,
    }
}

/// Whether another process holds the lock of the SQLite database, or a lock cannot be taken.
pub(super) fn is_busy(error: &DbErr) -> bool {
    matches!(
        reported(error),
        Some(Reported::Sqlite(BUSY | LOCKED | PROTOCOL))
    )
}

/// Whether there is no connection, or it cannot do this at the moment.
fn is_away(error: &DbErr) -> bool {
    if matches!(error, DbErr::ConnectionAcquire(_)) {
        return true;
    }
    match (reported(error), cause(error)) {
        // Errors of the connection; of the transaction, because of concurrent ones; of a standby; for lack
        // of resources; of locks; of the operator, or a time limit.
        (Some(Reported::Postgres(code)), _) => {
            matches!(error, DbErr::Conn(_))
                || ["08", "25P03", "25006", "40", "53", "55P03", "57"]
                    .iter()
                    .any(|class| code.starts_with(class))
        }
        (Some(Reported::Sqlite(_)), _) | (None, None) => false,
        // The same connection would not have worked later, either.
        (None, Some(cause)) => {
            is_of_connection(cause)
                || matches!(cause, SqlxError::PoolTimedOut | SqlxError::PoolClosed)
        }
    }
}
