//! Rows: the only room where SeaORM is spoken.

mod access_tokens;
mod accounts;
mod audit;
mod changes;
mod connect;
mod flask;
mod import;
mod sessions;
mod throttle;
mod users;
mod writing;

use std::path::Path;
use std::sync::Arc;

use sea_orm::sqlx::error::DatabaseError;
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr};

use crate::error::Error;

pub(crate) use self::access_tokens::NewAccessToken;
pub(crate) use self::accounts::ProfileChange;
use self::changes::Changes;
pub(crate) use self::changes::{Listener, Moment};
pub use self::flask::{FlaskDatabase, FlaskRow};
pub(crate) use self::import::Taken;
pub(crate) use self::sessions::Replace;
pub(crate) use self::throttle::Bucket;
pub(crate) use self::users::{NewAccount, TakenField};
pub(crate) use self::writing::Writing;

/// The database: one connection that writes, so that writers queue here and not in `SQLite`'s busy
/// handler, and a pool that reads beside it.
#[derive(Debug)]
pub(crate) struct Store {
    writer: DatabaseConnection,
    readers: DatabaseConnection,
    path: std::path::PathBuf,
    changes: Arc<Changes>,
}

impl Store {
    /// The database file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Succeeds while the database answers.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        Ok(self.readers.ping().await?)
    }

    /// Waits for what is under way and closes the connections.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        self.readers.close_by_ref().await?;
        Ok(self.writer.close_by_ref().await?)
    }
}

/// A database that is busy or away is worth another try; anything else is a fault.
impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if matches!(error, DbErr::ConnectionAcquire(_)) || is_busy(&error) {
            tracing::warn!(%error, "the database is busy");
            Self::ServiceUnavailable { retry_after: 1 }
        } else {
            Self::internal(error)
        }
    }
}

/// Whether others have the database to themselves for the moment.
fn is_busy(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause))
    | DbErr::Query(RuntimeErr::SqlxError(cause))
    | DbErr::Conn(RuntimeErr::SqlxError(cause))) = error
    else {
        return false;
    };
    // SQLITE_BUSY and its extended codes have 5 in their lowest byte.
    let code = cause.as_database_error().and_then(DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 5)
}
