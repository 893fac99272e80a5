//! Rows: the only room where SeaORM is spoken.

mod access_tokens;
mod affected;
mod audit_events;
mod backup;
mod change_counter;
mod connect;
mod database_url;
mod errors;
#[cfg(feature = "server")]
mod flask_database;
mod heartbeat;
#[cfg(feature = "server")]
mod imported_users;
mod invalidation;
mod liveness;
mod migrations;
mod monitored_connection;
mod pools;
mod postgres_schema;
mod rate_limits;
mod sessions;
mod sqlite_check;
mod sqlite_files;
mod transaction;
mod user_changes;
mod users;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::DatabaseConnection;
use tokio::task::JoinSet;

use crate::clock::DatabaseClock;
use crate::error::Error;

pub(crate) use self::access_tokens::NewAccessToken;
pub(crate) use self::connect::{Connections, OpenError};
pub(crate) use self::database_url::Location;
#[cfg(feature = "server")]
pub use self::flask_database::{FlaskDatabase, FlaskRow};
use self::heartbeat::Heartbeat;
#[cfg(feature = "server")]
pub(crate) use self::imported_users::Taken;
use self::invalidation::Invalidation;
pub(crate) use self::invalidation::{Epoch, NOTIFICATION_BOUND};
use self::monitored_connection::{Monitor, Monitored};
pub(crate) use self::rate_limits::Bucket;
use self::sqlite_files::Files;
pub(crate) use self::transaction::Transaction;
pub(crate) use self::user_changes::ProfileChange;
pub(crate) use self::users::{NewUser, TakenField};

/// The database, with connections that write and others that read beside them. Of SQLite one writes,
/// so that writers queue here and not in its busy handler; of PostgreSQL several do, and nobody who
/// reads waits for those who wait for locks.
#[derive(Debug)]
pub(crate) struct Store {
    writer: DatabaseConnection,
    /// The monitor of `writer` and of its transactions.
    monitor: Monitor,
    readers: Monitored<DatabaseConnection>,
    location: Location,
    invalidation: Arc<Invalidation>,
    /// Only of SQLite.
    files: Files,
    /// Only of a server.
    heartbeat: Option<Arc<Heartbeat>>,
    /// The tasks that follow the changes of other processes.
    tasks: Mutex<JoinSet<()>>,
}

impl Store {
    /// Where the database is.
    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// The clock that all instances have in common, where there is a server.
    pub(crate) fn clock(&self) -> Option<&DatabaseClock> {
        self.heartbeat.as_ref().map(|heartbeat| heartbeat.clock())
    }

    /// How long ago the last heartbeat was sent that came back.
    pub(crate) fn heartbeat_age(&self) -> Option<Duration> {
        self.heartbeat.as_ref()?.age()
    }

    /// Refuses to use SQLite files that were deleted or replaced since they were opened.
    pub(crate) fn check_database_file(&self) -> Result<(), Error> {
        let Some(writes) = &self.monitor.writes else {
            return Ok(());
        };
        let lost = self.files.lost();
        writes.set_lost(lost);
        match lost {
            Some(_) => Err(Error::ServiceUnavailable { retry_after: 1 }),
            None => Ok(()),
        }
    }

    /// Begins a write transaction and rolls it back.
    pub(crate) async fn check_writable(&self) -> Result<(), Error> {
        self.begin().await.map(drop)
    }

    /// Waits for what is under way and closes the connections.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let tasks = self.tasks.lock();
        let mut tasks = std::mem::take(&mut *tasks.unwrap_or_else(PoisonError::into_inner));
        match self.invalidation.counter() {
            Some(counter) => counter.stop(),
            None => tasks.abort_all(),
        }
        while tasks.join_next().await.is_some() {}
        self.readers.close().await?;
        Ok(self.writer.close_by_ref().await?)
    }
}
