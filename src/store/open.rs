//! Opening the database.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sea_orm::DatabaseConnection;
use sea_orm::sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::BootClock;
use crate::store::affected_users::AffectedUsers;
use crate::store::application_migrations::ApplicationMigrations;
use crate::store::change_counter::ChangeCounter;
use crate::store::database::Store;
use crate::store::database_lock::DatabaseLock;
use crate::store::database_url::Location;
use crate::store::event_publisher::EventPublisher;
use crate::store::heartbeat::Heartbeat;
use crate::store::invalidation::{Invalidation, Source};
use crate::store::migrations::{TABLES, Tables, prepare_tables};
use crate::store::monitored_connection::{Monitor, MonitoredConnection};
use crate::store::notifications;
use crate::store::open_error::OpenError;
use crate::store::pool_eviction::PoolEviction;
use crate::store::pool_metrics::{DatabaseMetrics, READERS, WRITERS};
use crate::store::postgres_connection::{START_TIMEOUT, SessionOptions, open_minimum};
use crate::store::sqlite::{self, DatabaseFiles, connection_error, create_private};
use crate::store::sqlite_tables_check::check_file;
use crate::store::{heartbeat_sender, postgres_pool, postgres_schema};
use crate::supervised_tasks::supervise;

/// A server that does not answer a heartbeat within the acquire timeout plus this time is considered
/// unreachable.
const HEARTBEAT_GRACE: Duration = Duration::from_millis(500);

/// The settings of the connections to a PostgreSQL server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connections {
    /// The maximum number of connections that read.
    pub(crate) readers: u32,
    /// The maximum number of connections that write.
    pub(crate) writers: u32,
    /// The maximum time to wait for a connection.
    pub(crate) acquire_timeout: Duration,
    /// The time limit for a statement, and for the pause between two statements of a transaction.
    pub(crate) statement_timeout: Duration,
}

/// The preparation of the tables when a database is opened.
#[derive(Clone, Copy)]
enum Preparation {
    /// Symbolon's tables are created or migrated. Then, the migrations of the application are applied.
    Migrate(Option<ApplicationMigrations>),
    /// The database is refused if Symbolon's tables are not those of this version.
    Check,
}

impl Preparation {
    async fn prepare(
        self,
        database: &DatabaseConnection,
        location: &Location,
    ) -> Result<(), OpenError> {
        let Self::Migrate(application) = self else {
            return prepare_tables(database, location, Tables::Check).await;
        };
        prepare_tables(database, location, Tables::Migrate).await?;
        match application {
            Some(migrations) => migrations.apply(database, location).await,
            None => Ok(()),
        }
    }
}

impl Store {
    /// Opens the database, migrates its tables, and applies the migrations of the application. Creates the SQLite file if
    /// it does not exist.
    pub(crate) async fn open(
        location: Location,
        connections: Connections,
        application: Option<ApplicationMigrations>,
    ) -> Result<Self, OpenError> {
        let tables = Preparation::Migrate(application);
        Self::open_with(location, connections, tables).await
    }

    /// Opens a database that has the tables of this version. Refuses any other database without changing it.
    pub(crate) async fn open_existing(
        location: Location,
        connections: Connections,
    ) -> Result<Self, OpenError> {
        Self::open_with(location, connections, Preparation::Check).await
    }

    async fn open_with(
        location: Location,
        connections: Connections,
        tables: Preparation,
    ) -> Result<Self, OpenError> {
        match &location {
            Location::File(path) => {
                let path = path.clone();
                Self::open_sqlite(location, &path, tables).await
            }
            Location::Server(options) => {
                let options = options.as_ref().clone();
                let opened = Self::open_postgres(location, options, connections, tables).await;
                opened.map_err(OpenError::name_transaction_pooling)
            }
        }
    }

    async fn open_sqlite(
        location: Location,
        path: &Path,
        tables: Preparation,
    ) -> Result<Self, OpenError> {
        if matches!(tables, Preparation::Check) {
            check_file(path, &location).await?;
        }
        let folder = sqlite::folder_of(path);
        if !folder.is_dir() {
            return Err(OpenError::NoFolder(folder.to_owned()));
        }
        if matches!(tables, Preparation::Migrate(_)) {
            create_private(path).map_err(|error| OpenError::Create(path.to_owned(), error))?;
        }
        // The lock is acquired before the first connection opens the file, which a restoration could replace.
        let lock = DatabaseLock::shared(path)?;
        let failed = |error| OpenError::Connect(location.clone(), error);
        // The evictions are separate so that an error of a transaction does not evict the connections that read.
        let (write_eviction, read_eviction) = (PoolEviction::new(), PoolEviction::new());
        let writer = sqlite::connect(path, true, &write_eviction).await;
        let writer = writer.map_err(failed)?;
        tables.prepare(&writer, &location).await?;
        let readers = sqlite::connect(path, false, &read_eviction).await;
        let readers = readers.map_err(failed)?;
        let files = DatabaseFiles::new(path);
        let counter = ChangeCounter::open(sqlite::options(path, false), files.clone()).await;
        let (counter, reader) = counter.map_err(|error| failed(connection_error(error)))?;
        let invalidation = Invalidation::new(Source::Counter(counter));
        let mut tasks = JoinSet::new();
        let shared_invalidation = Arc::clone(&invalidation);
        let reader = Arc::new(tokio::sync::Mutex::new(reader));
        tasks.spawn(supervise("change counter", move || {
            let (reader, shared_invalidation) =
                (Arc::clone(&reader), Arc::clone(&shared_invalidation));
            async move {
                let on_change = || shared_invalidation.invalidate(&AffectedUsers::All);
                reader.lock().await.run(on_change).await;
            }
        }));
        let metrics = DatabaseMetrics::new();
        let monitor = |eviction, write_state, pool| Monitor {
            eviction,
            write_state,
            heartbeat: None,
            metrics: metrics.of_pool(pool),
        };
        Ok(Self {
            writer,
            application: sqlite::application_pool(path, files.clone()),
            monitor: monitor(write_eviction, Some(Arc::default()), WRITERS),
            readers: MonitoredConnection::new(readers, monitor(read_eviction, None, READERS)),
            location,
            invalidation,
            publisher: EventPublisher::new(),
            metrics,
            files,
            tasks: Mutex::new(tasks),
            lock: Mutex::new(Some(lock)),
        })
    }

    async fn open_postgres(
        location: Location,
        options: PgConnectOptions,
        connections: Connections,
        tables: Preparation,
    ) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Server(location.clone(), error);
        let limit = connections.statement_timeout.as_millis().to_string();
        let schema = postgres_schema::find_schema(&location, &options).await?;
        let no_answer = |_| OpenError::NoAnswer(location.clone(), START_TIMEOUT.as_secs());
        let opened = timeout(START_TIMEOUT, open_minimum(&options)).await;
        opened.map_err(no_answer)?.map_err(failed)?;
        let options = SessionOptions::new(options)
            .with("synchronous_commit", "on")
            .with("default_transaction_isolation", "'read committed'")
            .with("statement_timeout", &limit)
            // The locks of a client that has disappeared are released after this time.
            .with("idle_in_transaction_session_timeout", &limit)
            // Keep-alive messages prevent network devices from dropping idle connections, and make the server close
            // dead connections.
            .with("tcp_keepalives_idle", "30")
            .with("tcp_keepalives_interval", "10")
            .with("tcp_keepalives_count", "3")
            .with("search_path", &postgres_schema::quote(&schema));
        let eviction = PoolEviction::new();
        let heartbeat_timeout = connections.acquire_timeout + HEARTBEAT_GRACE;
        let heartbeat = Heartbeat::new(heartbeat_timeout, BootClock::System, Arc::clone(&eviction));
        let sent = heartbeat_sender::send_first(&heartbeat, &options);
        let started = timeout(START_TIMEOUT, sent).await;
        started.map_err(no_answer)?.map_err(failed)?;
        let connect = |size| {
            let timeout = connections.acquire_timeout;
            postgres_pool::connect(&options, size, timeout, &eviction, &heartbeat)
        };
        let writer = connect(connections.writers);
        tables.prepare(&writer, &location).await?;
        heartbeat.set_required_tables(&TABLES);
        let readers = connect(connections.readers);
        let application = connect(connections.readers);
        let invalidation = Invalidation::new(Source::Notifications(Arc::clone(&heartbeat)));
        let mut tasks = JoinSet::new();
        let (sending_heartbeat, sender_options) = (Arc::clone(&heartbeat), options.clone());
        tasks.spawn(supervise("heartbeat", move || {
            let heartbeat = Arc::clone(&sending_heartbeat);
            heartbeat_sender::send_periodically(heartbeat, sender_options.clone())
        }));
        let (receiving_heartbeat, shared_invalidation) =
            (Arc::clone(&heartbeat), Arc::clone(&invalidation));
        tasks.spawn(supervise("listener", move || {
            let shared_invalidation = Arc::clone(&shared_invalidation);
            let on_change = move |users: &AffectedUsers| shared_invalidation.invalidate(users);
            notifications::listen(Arc::clone(&receiving_heartbeat), options.clone(), on_change)
        }));
        let metrics = DatabaseMetrics::new();
        let monitor = |write_state, pool| Monitor {
            eviction: Arc::clone(&eviction),
            write_state,
            heartbeat: Some(Arc::clone(&heartbeat)),
            metrics: metrics.of_pool(pool),
        };
        Ok(Self {
            writer,
            application,
            monitor: monitor(Some(Arc::default()), WRITERS),
            readers: MonitoredConnection::new(readers, monitor(None, READERS)),
            location,
            invalidation,
            publisher: EventPublisher::new(),
            metrics,
            files: DatabaseFiles::default(),
            tasks: Mutex::new(tasks),
            lock: Mutex::default(),
        })
    }
}
