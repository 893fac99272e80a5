//! The connections to the database, each with its whole configuration, so that a pool can replace them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{ConnectOptions, Connection, Error as SqlxError};
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, SqlxSqliteConnector};
use tokio::time::{sleep, timeout};

use crate::store::errors::is_busy;
use crate::store::heartbeat::Heartbeat;
use crate::store::monitored_connection::Discard;

/// How long to wait for SQLite, and at the start for a server.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What each connection to a file keeps of it at most, in KiB. The system keeps it as well, for all of
/// them together.
const CACHE_KIB: u32 = 512;

/// A connection that has been idle for so long is tested before it is used.
const TESTED_AFTER: Duration = Duration::from_secs(1);

/// How long such a test may take, so that a request finds out quickly that the network has dropped its
/// connection. The first test that fails discards all connections that were open then.
const TEST_TIMEOUT: Duration = Duration::from_millis(100);

/// How long a connection may take to roll back after its use.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// Idle connections to a server are closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Connections to a server.
pub(super) fn postgres_pool(
    options: &PgConnectOptions,
    size: u32,
    acquire_timeout: Duration,
    discard: &Arc<Discard>,
    heartbeat: &Arc<Heartbeat>,
) -> PgPool {
    let (acquired, released) = (Arc::clone(discard), Arc::clone(discard));
    let heartbeat = Arc::clone(heartbeat);
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(acquire_timeout)
        .idle_timeout(IDLE_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let heartbeat = Arc::clone(&heartbeat);
            Box::pin(async move { heartbeat.refuse_standby(connection).await })
        })
        .before_acquire(move |connection, used| {
            let discard = Arc::clone(&acquired);
            Box::pin(async move {
                if discard.applies_to(used.age) {
                    return Ok(false);
                }
                if used.idle_for < TESTED_AFTER {
                    return Ok(true);
                }
                let alive = matches!(timeout(TEST_TIMEOUT, connection.ping()).await, Ok(Ok(())));
                if !alive {
                    discard.open_connections();
                }
                Ok(alive)
            })
        })
        .after_release(move |connection, used| {
            let discard = Arc::clone(&released);
            Box::pin(async move {
                let alive = timeout(RELEASE_TIMEOUT, connection.ping()).await;
                alive.map_err(|_| SqlxError::PoolTimedOut)??;
                Ok(!discard.applies_to(used.age) && !connection.is_in_transaction())
            })
        })
        .connect_lazy_with(options.clone())
}

/// Connects, and waits while another process holds the file for itself: to change the journal mode of a
/// new file, or to remove the journal at the last close. SQLite itself does not wait for that.
pub(super) async fn connect(
    path: &Path,
    writes: bool,
    discard: &Arc<Discard>,
) -> Result<DatabaseConnection, DbErr> {
    let started = Instant::now();
    loop {
        let connected = sqlite_pool(path, writes, discard).await;
        match connected.map_err(connection_error) {
            Ok(pool) => return Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)),
            Err(error) if is_busy(&error) && started.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Connections to a file. One that is still in a transaction when it is returned is closed: the rollback
/// has failed, because SQLite had rolled back by itself, and sqlx would take the next transaction for a
/// savepoint in this one (docs/sqlx-sqlite-rollback.md).
async fn sqlite_pool(
    path: &Path,
    writes: bool,
    discard: &Arc<Discard>,
) -> Result<SqlitePool, SqlxError> {
    let (acquired, released) = (Arc::clone(discard), Arc::clone(discard));
    SqlitePoolOptions::new()
        .max_connections(if writes { 1 } else { 8 })
        .min_connections(1)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .before_acquire(move |connection, used| {
            let usable = !acquired.applies_to(used.age) && !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        })
        .after_release(move |connection, used| {
            let discard = Arc::clone(&released);
            Box::pin(async move {
                // Waits for a rollback that was begun when the transaction was dropped.
                connection.ping().await?;
                Ok(!discard.applies_to(used.age) && !connection.is_in_transaction())
            })
        })
        .connect_with(sqlite_options(path, writes))
        .await
}

/// The whole configuration of a connection, so that each one that a pool opens later has it too.
pub(super) fn sqlite_options(path: &Path, writes: bool) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .disable_statement_logging()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
        .pragma("cache_size", format!("-{CACHE_KIB}"))
        .pragma("query_only", if writes { "off" } else { "on" })
}

/// The error of a connection that cannot be opened.
pub(super) fn connection_error(error: SqlxError) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}
