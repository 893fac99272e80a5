//! The classification of database errors.

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::PgDatabaseError;
use sea_orm::sqlx::sqlite::SqliteError;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, SqlxError};

use crate::error::Error;

/// Result codes of SQLite, <https://www.sqlite.org/rescode.html>.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const NO_MEMORY: u32 = 7;
const READ_ONLY: u32 = 8;
const IO_ERROR: u32 = 10;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;
const PROTOCOL: u32 = 15;
const CONSTRAINT: u32 = 19;

/// Extended result codes of SQLite. An action such as `ON DELETE RESTRICT` is an internal trigger.
const CONSTRAINT_FOREIGN_KEY: u32 = CONSTRAINT | (3 << 8);
const CONSTRAINT_TRIGGER: u32 = CONSTRAINT | (7 << 8);

/// SQLite's message for a violated foreign key.
const FOREIGN_KEY_FAILED: &str = "FOREIGN KEY constraint failed";

/// The SQLSTATEs of a violated foreign key, and of the action `RESTRICT` from PostgreSQL 18 on.
const FOREIGN_KEY_VIOLATION: [&str; 2] = ["23503", "23001"];

/// The SQLSTATE of a full disk.
const DISK_FULL: &str = "53100";

/// Maps an error to `ServiceUnavailable` if the database is busy, is unreachable or cannot be written to. Maps all
/// other errors to internal errors.
impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        unavailable(&error).unwrap_or_else(|| Self::internal(error))
    }
}

/// Returns `ServiceUnavailable` if the database is busy, is unreachable or cannot be written to. Returns `None` for all
/// other errors.
pub(super) fn unavailable(error: &DbErr) -> Option<Error> {
    let is_refused = matches!(
        error,
        DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)
    );
    // These errors are not logged here. The write state and the heartbeat log once when the condition begins.
    if is_unwritable(error) || is_refused {
        return Some(Error::ServiceUnavailable { retry_after: 1 });
    }
    if is_temporary(error) || is_busy(error) {
        tracing::warn!(%error, "the database is busy or unreachable");
        return Some(Error::ServiceUnavailable { retry_after: 1 });
    }
    None
}

/// Returns whether the error reports that a statement or a commit of Symbolon violates a foreign key. Symbolon's tables
/// have no foreign keys, so the foreign key belongs to a table of the application.
pub(crate) fn is_foreign_key_violation(error: &Error) -> bool {
    let Error::Internal(cause) = error else {
        return false;
    };
    let cause = cause.downcast_ref().and_then(database_error);
    cause.is_some_and(|error| {
        if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
            return FOREIGN_KEY_VIOLATION.contains(&error.code());
        }
        let code = error.code().and_then(|code| code.parse::<u32>().ok());
        match code {
            Some(CONSTRAINT_FOREIGN_KEY) => true,
            // A trigger of the application has the same code.
            Some(CONSTRAINT_TRIGGER) => error.message() == FOREIGN_KEY_FAILED,
            _ => false,
        }
    })
}

/// The kind of an error in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorKind {
    /// The database does not answer, or is a standby.
    Unavailable,
    /// A lock, a connection or a statement was not available in time, or transactions were in conflict.
    Busy,
    /// The database cannot write, for example because the disk is full.
    Unwritable,
    /// Any other error. Each of these errors is logged with its cause.
    Other,
}

impl ErrorKind {
    pub(super) const ALL: [Self; 4] =
        [Self::Unavailable, Self::Busy, Self::Unwritable, Self::Other];

    /// Returns the label value.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Unwritable => "unwritable",
            Self::Other => "other",
        }
    }
}

/// Returns the kind of an error. Returns `None` for the violation of a constraint, which is an expected result.
pub(super) fn kind(error: &DbErr) -> Option<ErrorKind> {
    let is_busy = match code(error) {
        Some(Code::Sqlite(CONSTRAINT)) => return None,
        Some(Code::Postgres(code)) if code.starts_with("23") => return None,
        // Conflicts between transactions (40), full connection slots (53300), locks (55P03) and time limits (57014, 25P03).
        Some(Code::Postgres(code)) => {
            has_prefix(&code, &["40", "53300", "55P03", "57014", "25P03"])
        }
        Some(Code::Sqlite(_)) => is_busy(error),
        None => matches!(error, DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)),
    };
    Some(if is_busy {
        ErrorKind::Busy
    } else if is_unwritable(error) {
        ErrorKind::Unwritable
    } else if is_temporary(error) {
        ErrorKind::Unavailable
    } else {
        ErrorKind::Other
    })
}

/// The code of an error that the database reported.
enum Code {
    /// The primary result code of SQLite.
    Sqlite(u32),
    /// A SQLSTATE code, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    Postgres(String),
}

/// Returns the error of sqlx that caused an error.
pub(super) fn cause(error: &DbErr) -> Option<&SqlxError> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause))
        | DbErr::Conn(RuntimeErr::SqlxError(cause)) => Some(cause),
        _ => None,
    }
}

/// Returns the error that the database reported.
fn database_error(error: &DbErr) -> Option<&(dyn DatabaseError + 'static)> {
    cause(error)?.as_database_error()
}

fn code(error: &DbErr) -> Option<Code> {
    let error = database_error(error)?;
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        return Some(Code::Postgres(error.code().to_owned()));
    }
    let error = error.try_downcast_ref::<SqliteError>()?;
    // The lowest byte of an extended result code is the primary code.
    let code = error.code()?.parse::<u32>().ok()?;
    Some(Code::Sqlite(code & 0xff))
}

fn has_prefix(code: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| code.starts_with(prefix))
}

/// Returns whether the connection must not be used again.
///
/// After an error, SQLite may have rolled back the transaction, which sqlx does not notice. PostgreSQL aborts the
/// transaction when it refuses a statement, and a rollback makes the connection usable again. A PostgreSQL connection
/// is broken only by an error of the connection or of the server, or by an outdated, missing or foreign prepared
/// statement (0A000, 26, 42P05), which would fail again.
pub(super) fn breaks_connection(error: &DbErr) -> bool {
    match code(error) {
        Some(Code::Sqlite(code)) => code != CONSTRAINT,
        Some(Code::Postgres(code)) => {
            let broken = ["08", "0A000", "25", "26", "42P05", "53", "57P", "58", "XX"];
            has_prefix(&code, &broken)
        }
        None => cause(error).is_some_and(is_connection_error),
    }
}

/// Returns whether the connection itself has failed.
fn is_connection_error(cause: &SqlxError) -> bool {
    matches!(
        cause,
        SqlxError::Io(_)
            | SqlxError::Tls(_)
            | SqlxError::Protocol(_)
            | SqlxError::BeginFailed
            | SqlxError::WorkerCrashed
    )
}

/// Returns whether the transaction may have been committed even though `COMMIT` has failed.
pub(super) fn is_outcome_unknown(error: &DbErr) -> bool {
    match code(error) {
        Some(Code::Sqlite(code)) => !matches!(code, CONSTRAINT | BUSY | LOCKED),
        // The code 40003 means that it is unknown whether the statement was completed.
        Some(Code::Postgres(code)) => has_prefix(&code, &["08", "40003", "57P", "58", "XX"]),
        None => true,
    }
}

/// Returns whether the database cannot be written to, for example because the disk is full.
pub(super) fn is_unwritable(error: &DbErr) -> bool {
    match code(error) {
        Some(Code::Sqlite(code)) => {
            matches!(code, FULL | IO_ERROR | NO_MEMORY | READ_ONLY | CANNOT_OPEN)
        }
        Some(Code::Postgres(code)) => code == DISK_FULL,
        None => false,
    }
}

/// Returns whether another process has locked the SQLite database.
pub(super) fn is_busy(error: &DbErr) -> bool {
    matches!(code(error), Some(Code::Sqlite(BUSY | LOCKED | PROTOCOL)))
}

/// Returns whether the server cannot be reached or temporarily refuses the statement.
fn is_temporary(error: &DbErr) -> bool {
    match code(error) {
        Some(Code::Sqlite(_)) => false,
        // The codes report failed connections (08), transactions that were idle for too long (25P03), writes to a
        // standby (25006), prepared statements that a pooler has lost (26000, 42P05), conflicts between transactions
        // (40), insufficient resources (53), unavailable locks (55P03), and interventions of the operator or time
        // limits (57).
        Some(Code::Postgres(code)) => {
            let temporary = [
                "08", "25P03", "25006", "26000", "40", "42P05", "53", "55P03", "57",
            ];
            matches!(error, DbErr::Conn(_)) || has_prefix(&code, &temporary)
        }
        None => {
            let is_temporary = |cause: &SqlxError| {
                is_connection_error(cause)
                    || matches!(cause, SqlxError::PoolTimedOut | SqlxError::PoolClosed)
            };
            matches!(error, DbErr::ConnectionAcquire(_)) || cause(error).is_some_and(is_temporary)
        }
    }
}
