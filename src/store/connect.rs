//! Open the database and bring its tables up to date.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{ConnectOptions, Connection, Error as SqlxError, query_as, query_scalar};
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, SqlxPostgresConnector, SqlxSqliteConnector};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::clock::BootClock;
use crate::store::Store;
use crate::store::affected::Affected;
use crate::store::change_counter::ChangeCounter;
use crate::store::errors::is_busy;
use crate::store::heartbeat::Heartbeat;
use crate::store::invalidation::Invalidation;
use crate::store::location::Location;
use crate::store::migrate::{MigrateError, migrate};
use crate::store::monitored::{Discard, Monitor, Monitored, WriteState};

/// How long to wait for SQLite, and at the start for a server.
const PATIENCE: Duration = Duration::from_secs(5);

/// What each connection to a file keeps of it at most, in KiB. The system keeps it as well, for all of
/// them together.
const CACHE_KIB: u32 = 512;

/// A server is unreachable when it has answered no heartbeat for the acquire timeout and this time.
const HEARTBEAT_GRACE: Duration = Duration::from_millis(500);

/// A connection that has been idle for so long is tested before it is used.
const TESTED_AFTER: Duration = Duration::from_secs(1);

/// How long such a test may take, so that a request finds out quickly that the network has dropped its
/// connection. The first test that fails discards all connections that were open then.
const TEST_TIMEOUT: Duration = Duration::from_millis(100);

/// How long a connection may take to roll back after its use.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// Idle connections to a server are closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{0} does not exist, so no database can be made in it")]
    NoFolder(PathBuf),
    #[error("the database file {0} cannot be made: {1}")]
    Create(PathBuf, io::Error),
    #[error("the database {0} cannot be opened: {1}")]
    Connect(Location, DbErr),
    #[error("the database {0} cannot be opened: {1}")]
    Server(Location, SqlxError),
    #[error(
        "the database {0} was written by a newer version of Symbolon (it has the migration {1}, \
         which this version does not know); upgrade Symbolon"
    )]
    Newer(Location, String),
    #[error(
        "the tables of Symbolon are in the schema {1} of {0}, but its search_path begins with the schema \
         {2}, in which others would be created; set the search_path of the role or of the URL so that it \
         begins with {1}"
    )]
    OtherSchema(Location, String, String),
    #[error("the search_path of {0} names no schema that exists")]
    NoSchema(Location),
    #[error("the tables in {0} cannot be brought up to date: {1}")]
    Migrate(Location, DbErr),
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connections {
    /// So many connections that read, at most.
    pub(crate) readers: u32,
    /// So many that write.
    pub(crate) writers: u32,
    /// How long anybody waits for one of them.
    pub(crate) acquire_timeout: Duration,
    /// How long one statement may take, and how long the server waits for the next one of a
    /// transaction.
    pub(crate) statement_timeout: Duration,
}

impl Store {
    /// Opens the database, makes it where it is a file that is missing, and migrates it.
    pub(crate) async fn open(
        location: Location,
        connections: Connections,
    ) -> Result<Self, OpenError> {
        match &location {
            Location::File(path) => {
                let path = path.clone();
                Self::open_file(location, &path).await
            }
            Location::Server(options) => {
                let options = options.as_ref().clone();
                Self::open_server(location, options, connections).await
            }
        }
    }

    async fn open_file(location: Location, path: &Path) -> Result<Self, OpenError> {
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            && !folder.is_dir()
        {
            return Err(OpenError::NoFolder(folder.to_owned()));
        }
        let connected = |error| OpenError::Connect(location.clone(), error);
        make_private(path).map_err(|error| OpenError::Create(path.to_owned(), error))?;
        // Separate, so that errors of writing leave the connections alone that read.
        let writing = Discard::new();
        let writer = connect(path, true, &writing).await.map_err(connected)?;
        migrated(&writer, &location).await?;
        let reading = Discard::new();
        let readers = connect(path, false, &reading).await.map_err(connected)?;
        let counter = ChangeCounter::open(sqlite_options(path, false)).await;
        let (counter, reader) =
            counter.map_err(|error| connected(DbErr::Conn(RuntimeErr::SqlxError(error.into()))))?;
        let invalidation = Invalidation::with_counter(counter);
        let mut tasks = JoinSet::new();
        let changed = Arc::clone(&invalidation);
        tasks.spawn(reader.serve(move || changed.invalidate(&Affected::Any)));
        let monitor = |discard, writes| Monitor {
            discard,
            writes,
            heartbeat: None,
        };
        Ok(Self {
            writer,
            monitor: monitor(writing, Some(Arc::new(WriteState::default()))),
            readers: Monitored::new(readers, monitor(reading, None)),
            location,
            invalidation,
            heartbeat: None,
            tasks: Mutex::new(tasks),
        })
    }

    async fn open_server(
        location: Location,
        options: PgConnectOptions,
        connections: Connections,
    ) -> Result<Self, OpenError> {
        let connected = |error| OpenError::Server(location.clone(), error);
        let limit = connections.statement_timeout.as_millis().to_string();
        let options = options.options([
            ("synchronous_commit", "on"),
            ("default_transaction_isolation", "read committed"),
            ("statement_timeout", &limit),
            // A client that went away half-way must not keep others from rows for long.
            ("idle_in_transaction_session_timeout", &limit),
            // Network devices that forget idle connections see traffic, and the server ends dead ones.
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
        ]);
        let schema = timeout(PATIENCE, find_schema(&location, &options)).await;
        let schema = schema.unwrap_or_else(|_| Err(connected(SqlxError::PoolTimedOut)))?;
        let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
        let options = options.options([("search_path", quoted)]);
        let discard = Discard::new();
        let patience = connections.acquire_timeout + HEARTBEAT_GRACE;
        let heartbeat = Heartbeat::new(patience, BootClock::System, Arc::clone(&discard));
        let started = timeout(PATIENCE, heartbeat.start(&options)).await;
        started
            .unwrap_or(Err(SqlxError::PoolTimedOut))
            .map_err(connected)?;
        let pool = |size| pool(&options, size, connections.acquire_timeout, &discard);
        let writer = SqlxPostgresConnector::from_sqlx_postgres_pool(pool(connections.writers));
        migrated(&writer, &location).await?;
        let readers = SqlxPostgresConnector::from_sqlx_postgres_pool(pool(connections.readers));
        let invalidation = Invalidation::with_notifications(&heartbeat);
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&heartbeat).send_all(options.clone()));
        let received = Arc::clone(&invalidation);
        let listen = Arc::clone(&heartbeat);
        tasks.spawn(listen.listen(options, move |affected| received.invalidate(affected)));
        let monitor = |writes| Monitor {
            discard: Arc::clone(&discard),
            writes,
            heartbeat: Some(Arc::clone(&heartbeat)),
        };
        Ok(Self {
            writer,
            monitor: monitor(Some(Arc::new(WriteState::default()))),
            readers: Monitored::new(readers, monitor(None)),
            location,
            invalidation,
            heartbeat: Some(heartbeat),
            tasks: Mutex::new(tasks),
        })
    }
}

/// The schema in which tables are created, to which all connections are pinned: another instance, or a
/// schema that is created later, must not lead to a second set of tables.
async fn find_schema(location: &Location, options: &PgConnectOptions) -> Result<String, OpenError> {
    let connected = |error| OpenError::Server(location.clone(), error);
    let mut connection = options.connect().await.map_err(connected)?;
    let present = query_scalar::<_, Option<String>>("SELECT current_schema()::text")
        .fetch_one(&mut connection)
        .await
        .map_err(connected)?;
    let present = present.ok_or_else(|| OpenError::NoSchema(location.clone()))?;
    let with_tables = "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relname = 'symbolon_migration' AND n.nspname = ANY (current_schemas(false))";
    let with_tables = query_as::<_, (String,)>(with_tables)
        .fetch_all(&mut connection)
        .await
        .map_err(connected)?;
    let other = with_tables.into_iter().find(|(schema,)| *schema != present);
    connection.close().await.map_err(connected)?;
    match other {
        Some((other,)) => Err(OpenError::OtherSchema(location.clone(), other, present)),
        None => Ok(present),
    }
}

async fn migrated(writer: &DatabaseConnection, location: &Location) -> Result<(), OpenError> {
    migrate(writer).await.map_err(|error| match error {
        MigrateError::Newer(migration) => OpenError::Newer(location.clone(), migration),
        MigrateError::Failed(error) => OpenError::Migrate(location.clone(), error),
    })
}

/// Connections to a server.
fn pool(
    options: &PgConnectOptions,
    size: u32,
    acquire_timeout: Duration,
    discard: &Arc<Discard>,
) -> PgPool {
    let (acquired, released) = (Arc::clone(discard), Arc::clone(discard));
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(acquire_timeout)
        .idle_timeout(IDLE_TIMEOUT)
        .test_before_acquire(false)
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

/// Makes the file where it is missing, for its owner alone: it holds password hashes. SQLite gives
/// its journal the same mode.
fn make_private(path: &Path) -> io::Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Connects, and waits while another process holds the file for itself: to change the journal mode of a
/// new file, or to remove the journal at the last close. SQLite itself does not wait for that.
async fn connect(
    path: &Path,
    writes: bool,
    discard: &Arc<Discard>,
) -> Result<DatabaseConnection, DbErr> {
    let started = Instant::now();
    loop {
        let connected = sqlite_pool(path, writes, discard).await;
        match connected.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into()))) {
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
fn sqlite_options(path: &Path, writes: bool) -> SqliteConnectOptions {
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
