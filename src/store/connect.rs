//! Open the database and bring its tables up to date.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sea_orm::sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{Connection, Error as SqlxError};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbErr, SqlxPostgresConnector};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::store::attended::Attended;
use crate::store::changes::Changes;
use crate::store::location::Location;
use crate::store::migrate::{MigrateError, check, migrate};
use crate::store::pulse::Pulse;
use crate::store::{Store, is_busy};

/// How long anybody waits for SQLite, and at the start for a server.
const PATIENCE: Duration = Duration::from_secs(5);

/// What each connection to a file keeps of it at most, in KiB. The system keeps it as well, for all of
/// them together.
const CACHE_KIB: u32 = 512;

/// A server is taken to be away when it answers no heartbeat for as long as anybody waits for a
/// connection, and for so much longer.
const A_BEAT: Duration = Duration::from_millis(500);

/// How long a connection may take to be cleaned after its use, and to show that it is alive.
const TO_BE_CLEAN: Duration = Duration::from_secs(1);

/// What to do about a database that is missing.
const ADVICE: &str = "Name the database with --database-url or DATABASE_URL, or run the command in the \
                      working directory of the server. `symbolon migrate` creates a database and its \
                      tables";

/// The message of SQLite about a file of another format.
const NOT_SQLITE: &str = "file is not a database";

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{0} does not exist, so no database can be made in it")]
    NoFolder(PathBuf),
    #[error("the database file {0} cannot be made: {1}")]
    Create(PathBuf, io::Error),
    #[error("the database file {0} cannot be read: {1}")]
    Read(PathBuf, io::Error),
    #[error("the file {0}-changes, which counts changes, cannot be used: {1}")]
    Changes(PathBuf, io::Error),
    #[error("the database {0} cannot be opened: {1}")]
    Connect(Location, DbErr),
    #[error("the database {0} cannot be opened: {1}")]
    Server(Location, SqlxError),
    #[error(
        "the database {0} was written by a newer version of Symbolon (it has the migration {1}, \
         which this version does not know); upgrade Symbolon"
    )]
    Newer(Location, String),
    #[error("the tables in {0} cannot be brought up to date: {1}")]
    Migrate(Location, DbErr),
    #[error("the database {0} does not exist. {advice}", advice = ADVICE)]
    Missing(String),
    #[error("{0} is not a database of Symbolon: {1}. {advice}", advice = ADVICE)]
    Foreign(String, &'static str),
    #[error(
        "the tables in {0} are older than this version of Symbolon. Bring them up to date with \
         `symbolon migrate`, or start the server of this version"
    )]
    Older(String),
}

/// What is done about tables that are not those of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tables {
    /// They are created or brought up to date.
    Migrate,
    /// The database is refused.
    Check,
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
        Self::open_with(location, connections, Tables::Migrate).await
    }

    /// Opens a database that has the tables of this version. Another one is refused and not changed.
    pub(crate) async fn open_existing(
        location: Location,
        connections: Connections,
    ) -> Result<Self, OpenError> {
        Self::open_with(location, connections, Tables::Check).await
    }

    async fn open_with(
        location: Location,
        connections: Connections,
        tables: Tables,
    ) -> Result<Self, OpenError> {
        match &location {
            Location::File(path) => {
                let path = path.clone();
                if tables == Tables::Check {
                    probe(&path, &location).await?;
                }
                Self::open_file(location, &path, tables).await
            }
            Location::Server(options) => {
                let options = options.as_ref().clone();
                Self::open_server(location, options, connections, tables).await
            }
        }
    }

    async fn open_file(location: Location, path: &Path, tables: Tables) -> Result<Self, OpenError> {
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            && !folder.is_dir()
        {
            return Err(OpenError::NoFolder(folder.to_owned()));
        }
        let connected = |error| OpenError::Connect(location.clone(), error);
        if tables == Tables::Migrate {
            make_private(path).map_err(|error| OpenError::Create(path.to_owned(), error))?;
        }
        let writer = connect(path, true).await.map_err(connected)?;
        prepare(&writer, &location, tables).await?;
        let readers = connect(path, false).await.map_err(connected)?;
        let changes =
            Changes::of_file(path).map_err(|error| OpenError::Changes(path.to_owned(), error))?;
        Ok(Self {
            writer,
            readers: Attended::new(readers, None),
            location,
            changes,
            pulse: None,
            tasks: Mutex::default(),
        })
    }

    async fn open_server(
        location: Location,
        options: PgConnectOptions,
        connections: Connections,
        tables: Tables,
    ) -> Result<Self, OpenError> {
        let connected = |error| OpenError::Server(location.clone(), error);
        let limit = connections.statement_timeout.as_millis().to_string();
        let options = options.options([
            ("synchronous_commit", "on"),
            ("statement_timeout", &limit),
            // Whoever went away half-way must not keep others from rows for long.
            ("idle_in_transaction_session_timeout", &limit),
        ]);
        let pulse = Pulse::new(connections.acquire_timeout + A_BEAT);
        let started = timeout(PATIENCE, pulse.start(&options)).await;
        started
            .unwrap_or(Err(SqlxError::PoolTimedOut))
            .map_err(connected)?;
        let pool = |size| pool(&options, size, connections.acquire_timeout, &pulse);
        let writer = SqlxPostgresConnector::from_sqlx_postgres_pool(pool(connections.writers));
        prepare(&writer, &location, tables).await?;
        let readers = SqlxPostgresConnector::from_sqlx_postgres_pool(pool(connections.readers));
        let changes = Changes::of_server(&pulse);
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&pulse).beat(options.clone()));
        tasks.spawn(Arc::clone(&pulse).listen(options, Arc::clone(&changes)));
        Ok(Self {
            writer,
            readers: Attended::new(readers, Some(Arc::clone(&pulse))),
            location,
            changes,
            pulse: Some(pulse),
            tasks: Mutex::new(tasks),
        })
    }
}

async fn prepare(
    database: &DatabaseConnection,
    location: &Location,
    tables: Tables,
) -> Result<(), OpenError> {
    let done = match tables {
        Tables::Migrate => migrate(database).await,
        Tables::Check => check(database).await,
    };
    done.map_err(|error| match (error, tables) {
        (MigrateError::Missing, _) => foreign(location, "it has no tables of Symbolon"),
        (MigrateError::Older, _) => OpenError::Older(location.full_name()),
        (MigrateError::Newer(migration), _) => OpenError::Newer(location.clone(), migration),
        (MigrateError::Failed(error), Tables::Migrate) => {
            OpenError::Migrate(location.clone(), error)
        }
        (MigrateError::Failed(error), Tables::Check) => OpenError::Connect(location.clone(), error),
    })
}

fn foreign(location: &Location, why: &'static str) -> OpenError {
    OpenError::Foreign(location.full_name(), why)
}

/// Refuses a file that is not a database with the tables of this version, and does not change it: a
/// connection that writes would switch it to another journal, and make files beside it.
async fn probe(path: &Path, location: &Location) -> Result<(), OpenError> {
    // Only SQLite opens the file: closing another descriptor of it would release the locks that other
    // connections of this process hold.
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::Missing(location.full_name()));
        }
        Err(error) => return Err(OpenError::Read(path.to_owned(), error)),
        Ok(metadata) => metadata,
    };
    if !metadata.is_file() {
        return Err(foreign(location, "it is not a file"));
    }
    if metadata.len() == 0 {
        return Err(foreign(location, "the file is empty"));
    }
    let started = Instant::now();
    loop {
        let done = match connect_to_read(path).await {
            Ok(database) => {
                let done = prepare(&database, location, Tables::Check).await;
                let _ = database.close().await;
                done
            }
            Err(error) => Err(OpenError::Connect(location.clone(), error)),
        };
        match done {
            Err(OpenError::Connect(_, error))
                if is_busy(&error) && started.elapsed() < PATIENCE =>
            {
                sleep(Duration::from_millis(10)).await;
            }
            Err(OpenError::Connect(_, error)) if error.to_string().contains(NOT_SQLITE) => {
                return Err(foreign(location, "the file is not an SQLite database"));
            }
            done => return done,
        }
    }
}

/// Connects without creating or changing a file. Where there is no journal beside the file, all is in
/// the file, and it is read without the locks that would make one.
async fn connect_to_read(path: &Path) -> Result<DatabaseConnection, DbErr> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    let is_whole = !Path::new(&journal).exists();
    let mut options = ConnectOptions::new("sqlite:");
    options
        .max_connections(1)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |options| {
            let options = options.filename(&path).busy_timeout(PATIENCE);
            options.read_only(true).immutable(is_whole)
        });
    Database::connect(options).await
}

/// Connections to a server. One that is used again was either alive a second ago or shows that it is;
/// one that somebody stopped to wait for is cleaned first, or else closed.
fn pool(
    options: &PgConnectOptions,
    size: u32,
    acquire_timeout: Duration,
    pulse: &Arc<Pulse>,
) -> PgPool {
    let pulse = Arc::clone(pulse);
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(move |connection, used| {
            let doubtful = pulse.is_doubtful(used.idle_for);
            Box::pin(async move {
                if !doubtful && used.idle_for >= TO_BE_CLEAN {
                    connection.ping().await?;
                }
                Ok(!doubtful)
            })
        })
        .after_release(|connection, _| {
            Box::pin(async move {
                let alive = timeout(TO_BE_CLEAN, connection.ping()).await;
                alive.map_err(|_| SqlxError::PoolTimedOut)??;
                Ok(true)
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

/// Connects, with patience: to switch a new file to its journal, or to remove the journal of one that
/// nobody uses any more, takes the file alone for a moment, for which SQLite does not wait by itself.
async fn connect(path: &Path, writes: bool) -> Result<DatabaseConnection, DbErr> {
    let started = Instant::now();
    loop {
        match try_to_connect(path, writes).await {
            Err(error) if is_busy(&error) && started.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(10)).await;
            }
            done => return done,
        }
    }
}

/// The whole configuration of a connection is in its options, so that each one that the pool opens
/// later has it too.
async fn try_to_connect(path: &Path, writes: bool) -> Result<DatabaseConnection, DbErr> {
    let path = path.to_owned();
    let mut options = ConnectOptions::new("sqlite:");
    options
        .max_connections(if writes { 1 } else { 8 })
        .min_connections(1)
        .acquire_timeout(PATIENCE)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |options| {
            options
                .filename(&path)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(PATIENCE)
                .pragma("cache_size", format!("-{CACHE_KIB}"))
                .pragma("query_only", if writes { "off" } else { "on" })
        });
    Database::connect(options).await
}
