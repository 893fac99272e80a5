//! Rows: the only room where SeaORM is spoken.

mod access_tokens;
mod accounts;
mod attended;
mod audit;
mod backup;
mod changes;
mod connect;
mod flask;
mod import;
mod location;
mod migrate;
mod pulse;
mod sessions;
mod throttle;
mod users;
mod writing;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::postgres::PgDatabaseError;
use sea_orm::sqlx::sqlite::SqliteError;
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, SqlxError};
use tokio::task::JoinSet;

use crate::clock::DatabaseClock;
use crate::error::Error;

pub(crate) use self::access_tokens::NewAccessToken;
pub(crate) use self::accounts::ProfileChange;
use self::attended::Attended;
use self::changes::Changes;
pub(crate) use self::changes::{Listener, Moment};
pub(crate) use self::connect::Connections;
pub use self::flask::{FlaskDatabase, FlaskRow};
pub(crate) use self::import::Taken;
pub(crate) use self::location::Location;
use self::pulse::Pulse;
pub(crate) use self::throttle::{Bucket, LATE};
pub(crate) use self::users::{NewAccount, TakenField};
pub(crate) use self::writing::Writing;

/// The database, with connections that write and others that read beside them. Of SQLite one writes,
/// so that writers queue here and not in its busy handler; of PostgreSQL several do, and nobody who
/// reads waits for those who wait for locks.
#[derive(Debug)]
pub(crate) struct Store {
    writer: DatabaseConnection,
    readers: Attended<DatabaseConnection>,
    location: Location,
    changes: Arc<Changes>,
    /// The server's, where there is one.
    pulse: Option<Arc<Pulse>>,
    /// What keeps up the pulse.
    tasks: Mutex<JoinSet<()>>,
}

impl Store {
    /// Where the database is.
    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// The clock that all instances have in common, where there is a server.
    pub(crate) fn clock(&self) -> Option<&DatabaseClock> {
        self.pulse.as_ref().map(|pulse| pulse.clock())
    }

    /// How long ago the last heartbeat was sent that came back.
    pub(crate) fn heartbeat_age(&self) -> Option<Duration> {
        self.pulse.as_ref()?.age()
    }

    /// Succeeds while the database answers.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        Ok(self.readers.ping().await?)
    }

    /// Waits for what is under way and closes the connections.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        (self.tasks.lock().unwrap_or_else(PoisonError::into_inner)).abort_all();
        self.readers.close().await?;
        Ok(self.writer.close_by_ref().await?)
    }
}

/// A database that is busy or away is worth another try; anything else is a fault.
impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if is_away(&error) || is_busy(&error) {
            tracing::warn!(%error, "the database is busy or away");
            Self::ServiceUnavailable { retry_after: 1 }
        } else {
            Self::internal(error)
        }
    }
}

fn cause(error: &DbErr) -> Option<&SqlxError> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause))
        | DbErr::Conn(RuntimeErr::SqlxError(cause)) => Some(cause),
        _ => None,
    }
}

/// Whether it was found that there is no connection any more: nothing comes through it, or the server
/// shut down, crashed, or was told to end it.
fn is_lost(error: &DbErr) -> bool {
    cause(error).is_some_and(|cause| match cause.as_database_error() {
        Some(told) => told.code().is_some_and(|code| code.starts_with("57P")),
        None => matches!(cause, SqlxError::Io(_)),
    })
}

/// Whether there is no connection, or there is none any more, or it is not one that can do this now.
fn is_away(error: &DbErr) -> bool {
    if matches!(error, DbErr::ConnectionAcquire(_)) {
        return true;
    }
    let Some(cause) = cause(error) else {
        return false;
    };
    let Some(told) = cause.as_database_error() else {
        // The same connection would not have done it later, either.
        return matches!(
            cause,
            SqlxError::Io(_)
                | SqlxError::Tls(_)
                | SqlxError::Protocol(_)
                | SqlxError::PoolTimedOut
                | SqlxError::PoolClosed
                | SqlxError::BeginFailed
        );
    };
    // https://www.postgresql.org/docs/current/errcodes-appendix.html: of the connection; of the
    // transaction, which others came in the way of; of the standby that the server has become; of what
    // there is too little of; of locks; of the operator, or a time limit.
    let code = told
        .try_downcast_ref::<PgDatabaseError>()
        .map_or("", |told| told.code());
    matches!(error, DbErr::Conn(_)) && !code.is_empty()
        || ["08", "25P03", "25006", "40", "53", "55P03", "57"]
            .iter()
            .any(|class| code.starts_with(class))
}

/// Whether others have SQLite's file to themselves for the moment.
fn is_busy(error: &DbErr) -> bool {
    // SQLITE_BUSY and its extended codes have 5 in their lowest byte.
    let told = cause(error).and_then(|cause| cause.as_database_error());
    let told = told.and_then(|told| told.try_downcast_ref::<SqliteError>());
    let code = told.and_then(DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 5)
}
