//! SQLite: the files of a database, and connections to them.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{ConnectOptions, Connection, Error as SqlxError, Executor};
use sea_orm::{
    DatabaseConnection, DbErr, RuntimeErr, SqliteTransactionMode, SqlxSqliteConnector,
    TransactionOptions,
};
use tokio::time::sleep;

use crate::store::errors::is_busy;
use crate::store::pool_eviction::PoolEviction;
use crate::store::pool_metrics::end_wait;

/// The maximum time to wait for locks of other processes, and for a connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of connections of a pool that reads, and of the pool for the tables of the application.
const READERS: u32 = 8;

/// The size of the page cache of each connection, in KiB. The operating system also caches the file, for all
/// connections.
const CACHE_KIB: u32 = 512;

/// The database file, its write-ahead log, and the index of the log, as they were when the database was opened.
///
/// None of these files may be replaced or deleted while the database is open. Otherwise, the connections would
/// continue to use the deleted file. Their changes would be lost, and changes by other processes would not be
/// visible.
#[derive(Clone, Debug, Default)]
pub(super) struct DatabaseFiles(Vec<(PathBuf, FileId)>);

/// The device and the inode of a file.
type FileId = (u64, u64);

impl DatabaseFiles {
    /// Records the identities of the files that exist now.
    pub(super) fn new(database: &Path) -> Self {
        let files = ["", "-wal", "-shm"].map(|suffix| with_suffix(database, suffix));
        let existing = files.into_iter().filter_map(|file| {
            let id = file_id(&file)?;
            Some((file, id))
        });
        Self(existing.collect())
    }

    /// Returns the first file that has been deleted or replaced.
    pub(super) fn find_replaced(&self) -> Option<&Path> {
        let is_replaced = |(file, id): &&(PathBuf, FileId)| file_id(file) != Some(*id);
        self.0
            .iter()
            .find(is_replaced)
            .map(|(file, _)| file.as_path())
    }
}

/// Returns the folder of a file.
pub(crate) fn folder_of(file: &Path) -> &Path {
    let folder = file.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Appends a suffix to the name of a file.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(OsStr::new(suffix));
    name.into()
}

fn file_id(file: &Path) -> Option<FileId> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Creates the file if it does not exist. The file is readable by its owner only, because it contains password
/// hashes. SQLite creates the journal with the same permissions as the database file.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let created = options.write(true).create_new(true).mode(0o600).open(path);
    match created {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Another program may have created an empty file that other users can read.
            if fs::metadata(path)?.len() == 0 {
                fs::set_permissions(path, Permissions::from_mode(0o600))?;
            }
            Ok(())
        }
        created => created.map(drop),
    }
}

/// Opens an existing file for reading. If `is_immutable` is `true`, SQLite reads the file without locks.
pub(super) async fn connect_read_only(
    path: &Path,
    is_immutable: bool,
) -> Result<DatabaseConnection, DbErr> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .disable_statement_logging()
        .busy_timeout(BUSY_TIMEOUT)
        .read_only(true)
        .immutable(is_immutable);
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect_with(options).await.map_err(connection_error)?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

/// Opens a pool of connections. If sqlx still counts an open transaction when a connection is returned to the pool,
/// the connection is closed. In this case, SQLite had already rolled back the transaction, and the rollback by sqlx
/// has failed. sqlx would execute the next transaction as a savepoint (docs/sqlx-sqlite-rollback.md).
///
/// Waits while another process holds a lock on the whole file. A process takes this lock to change the journal mode of
/// a new file, and to remove the journal when it closes the database. SQLite's busy handler does not wait for these
/// locks.
pub(super) async fn connect(
    path: &Path,
    is_writer: bool,
    eviction: &Arc<PoolEviction>,
) -> Result<DatabaseConnection, DbErr> {
    let connect = || async {
        let pool = pool_options(is_writer, eviction)
            .max_connections(if is_writer { 1 } else { READERS })
            .min_connections(1)
            .connect_with(options(path, is_writer))
            .await;
        pool.map_err(connection_error)
    };
    let pool = retry_while(is_busy, connect).await?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

/// Returns a pool for the tables of the application. Connections are opened when the application uses them. The pool
/// passes on no connection after one of `files` has been deleted or replaced.
pub(super) fn application_pool(path: &Path, files: DatabaseFiles) -> DatabaseConnection {
    let on_connect = files.clone();
    let pool = SqlitePoolOptions::new()
        .acquire_timeout(BUSY_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(move |_, _| {
            end_wait();
            let replaced = on_connect.find_replaced().is_some();
            let message = "the database file has been deleted or replaced".to_owned();
            Box::pin(async move {
                if replaced {
                    return Err(SqlxError::Protocol(message));
                }
                Ok(())
            })
        })
        .before_acquire(move |connection, _| {
            end_wait();
            let is_usable = files.find_replaced().is_none() && !connection.is_in_transaction();
            Box::pin(async move { Ok(is_usable) })
        })
        .after_release(|connection, _| {
            Box::pin(async move {
                // Ends a transaction that was dropped, and one that a list of statements has left open after an error.
                // Without a transaction, the statement fails.
                let _ = connection.execute("ROLLBACK").await;
                Ok(!connection.is_in_transaction())
            })
        })
        .max_connections(READERS)
        .connect_lazy_with(options(path, true));
    SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
}

fn pool_options(is_writer: bool, eviction: &Arc<PoolEviction>) -> SqlitePoolOptions {
    let (acquired, released) = (Arc::clone(eviction), Arc::clone(eviction));
    SqlitePoolOptions::new()
        .acquire_timeout(BUSY_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(|_, _| {
            end_wait();
            Box::pin(async { Ok(()) })
        })
        .before_acquire(move |connection, used| {
            let is_usable = !acquired.is_evicted(used.age) && !connection.is_in_transaction();
            if is_usable {
                end_wait();
            }
            Box::pin(async move { Ok(is_usable) })
        })
        .after_release(move |connection, used| {
            let eviction = Arc::clone(&released);
            Box::pin(async move {
                if is_writer {
                    // Waits for the rollback of a transaction that was dropped. Other connections have no transactions,
                    // and the wait would wake two threads for each statement.
                    connection.ping().await?;
                }
                Ok(!eviction.is_evicted(used.age) && !connection.is_in_transaction())
            })
        })
}

/// Returns the options with which connections are opened. The options include all settings, so that the settings also
/// apply to connections that the pool opens later.
pub(super) fn options(path: &Path, is_writer: bool) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .disable_statement_logging()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", format!("-{CACHE_KIB}"))
        .pragma("query_only", if is_writer { "off" } else { "on" })
}

/// Returns the options of a transaction that writes. On SQLite, the transaction acquires the write lock immediately,
/// because a transaction that reads first cannot write after another process has written.
pub(super) fn immediate() -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    }
}

/// Converts the error of a connection that could not be opened.
pub(super) fn connection_error(error: SqlxError) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}

/// Repeats `attempt` while it fails with an error for which `is_retryable` returns `true`, for at most [`BUSY_TIMEOUT`].
pub(super) async fn retry_while<T, E, F: Future<Output = Result<T, E>>>(
    is_retryable: impl Fn(&E) -> bool,
    attempt: impl Fn() -> F,
) -> Result<T, E> {
    let started = Instant::now();
    loop {
        match attempt().await {
            Err(error) if is_retryable(&error) && started.elapsed() < BUSY_TIMEOUT => {
                sleep(Duration::from_millis(10)).await;
            }
            result => return result,
        }
    }
}
