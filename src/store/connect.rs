//! Open the database and bring its tables up to date.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sea_orm::sqlx::Error as SqlxError;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::{DatabaseConnection, DbErr, SqlxPostgresConnector};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::background::supervise;
use crate::clock::BootClock;
use crate::store::Store;
use crate::store::affected::Affected;
use crate::store::change_counter::ChangeCounter;
use crate::store::database_url::Location;
use crate::store::heartbeat::Heartbeat;
use crate::store::invalidation::Invalidation;
use crate::store::migrations::{MigrateError, check, migrate};
use crate::store::monitored_connection::{Discard, Monitor, Monitored, WriteState};
use crate::store::pools::{PATIENCE, connect, connection_error, postgres_pool, sqlite_options};
use crate::store::postgres_schema::find_schema;
use crate::store::sqlite_check::probe;
use crate::store::sqlite_files::Files;

/// The number of Symbolon's tables on PostgreSQL, without that of the migrations.
const TABLES: i64 = 5;

/// A server is unreachable when it has answered no heartbeat for the acquire timeout and this time.
const HEARTBEAT_GRACE: Duration = Duration::from_millis(500);

/// What to do about a database that is missing.
const ADVICE: &str = "Name the database with --database-url or DATABASE_URL, or run the command in the \
                      working directory of the server. `symbolon migrate` creates a database and its \
                      tables";

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{0} does not exist, so no database can be made in it")]
    NoFolder(PathBuf),
    #[error("the database file {0} cannot be made: {1}")]
    Create(PathBuf, #[source] io::Error),
    #[error("the database file {0} cannot be read: {1}")]
    Read(PathBuf, #[source] io::Error),
    #[error(
        "the database file {0} has more than one name (hard links), under which SQLite would keep separate \
         journals and lose changes; keep one name, or make the others symbolic links"
    )]
    HardLinked(PathBuf),
    #[error("the database {0} cannot be opened: {1}")]
    Connect(Location, #[source] DbErr),
    #[error("the database {0} cannot be opened: {1}")]
    Server(Location, #[source] SqlxError),
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
    Migrate(Location, #[source] DbErr),
    #[error("the database {0} does not exist. {advice}", advice = ADVICE)]
    Missing(String),
    #[error(
        "this user may not open the database {0}, or create files in its folder; run the command as the \
         user of the server"
    )]
    Denied(String),
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
pub(super) enum Tables {
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
        if std::fs::metadata(path).is_ok_and(|metadata| metadata.nlink() > 1) {
            return Err(OpenError::HardLinked(path.to_owned()));
        }
        if tables == Tables::Migrate {
            make_private(path).map_err(|error| OpenError::Create(path.to_owned(), error))?;
        }
        // Separate, so that errors of transaction leave the connections alone that read.
        let transaction = Discard::new();
        let writer = connect(path, true, &transaction).await.map_err(connected)?;
        prepare(&writer, &location, tables).await?;
        let reading = Discard::new();
        let readers = connect(path, false, &reading).await.map_err(connected)?;
        let files = Files::of(path);
        let counter = ChangeCounter::open(sqlite_options(path, false), files.clone()).await;
        let (counter, reader) = counter.map_err(|error| connected(connection_error(error)))?;
        let invalidation = Invalidation::with_counter(counter);
        let mut tasks = JoinSet::new();
        let changed = Arc::clone(&invalidation);
        let reader = Arc::new(tokio::sync::Mutex::new(reader));
        tasks.spawn(supervise("change counter", move || {
            let (reader, changed) = (Arc::clone(&reader), Arc::clone(&changed));
            async move {
                let on_change = || changed.invalidate(&Affected::Any);
                reader.lock().await.serve(on_change).await;
            }
        }));
        let monitor = |discard, writes| Monitor {
            discard,
            writes,
            heartbeat: None,
        };
        Ok(Self {
            writer,
            monitor: monitor(transaction, Some(Arc::new(WriteState::default()))),
            readers: Monitored::new(readers, monitor(reading, None)),
            location,
            invalidation,
            files,
            heartbeat: None,
            tasks: Mutex::new(tasks),
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
        let pool = |size| {
            let timeout = connections.acquire_timeout;
            postgres_pool(&options, size, timeout, &discard, &heartbeat)
        };
        let writer = SqlxPostgresConnector::from_sqlx_postgres_pool(pool(connections.writers));
        prepare(&writer, &location, tables).await?;
        heartbeat.require_tables(TABLES);
        let readers = SqlxPostgresConnector::from_sqlx_postgres_pool(pool(connections.readers));
        let invalidation = Invalidation::with_notifications(&heartbeat);
        let mut tasks = JoinSet::new();
        let (send, own_options) = (Arc::clone(&heartbeat), options.clone());
        tasks.spawn(supervise("heartbeat", move || {
            Arc::clone(&send).send_all(own_options.clone())
        }));
        let received = Arc::clone(&invalidation);
        let listen = Arc::clone(&heartbeat);
        tasks.spawn(supervise("listener", move || {
            let received = Arc::clone(&received);
            let on_change = move |affected: &Affected| received.invalidate(affected);
            Arc::clone(&listen).listen(options.clone(), on_change)
        }));
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
            files: Files::default(),
            heartbeat: Some(heartbeat),
            tasks: Mutex::new(tasks),
        })
    }
}

pub(super) async fn prepare(
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

pub(super) fn foreign(location: &Location, why: &'static str) -> OpenError {
    OpenError::Foreign(location.full_name(), why)
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
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // An empty file was made by another program, perhaps readable for others.
            if std::fs::metadata(path)?.len() == 0 {
                std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
            }
            Ok(())
        }
        made => made.map(drop),
    }
}
