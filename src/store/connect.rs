//! Open the database and bring its tables up to date.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use migration::{Migrator, MigratorTrait};
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use tokio::time::sleep;

use crate::store::changes::Changes;
use crate::store::{Store, is_busy};

/// How long anybody waits for the database.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{0:?} is not a database URL that Symbolon knows; it takes sqlite://FILE")]
    Url(String),
    #[error("{0} does not exist, so no database can be made in it")]
    NoFolder(PathBuf),
    #[error("the database file {0} cannot be made: {1}")]
    Create(PathBuf, io::Error),
    #[error("the file {0}-changes, which counts changes, cannot be used: {1}")]
    Changes(PathBuf, io::Error),
    #[error("the database file {0} cannot be opened: {1}")]
    Connect(PathBuf, DbErr),
    #[error(
        "the database file {0} was written by a newer version of Symbolon (it has the migration \
         {1}, which this version does not know); upgrade Symbolon"
    )]
    Newer(PathBuf, String),
    #[error("the tables in {0} cannot be brought up to date: {1}")]
    Migrate(PathBuf, DbErr),
}

impl Store {
    /// The file that `url` names. Nothing is opened or made.
    pub(crate) fn file(url: &str) -> Result<PathBuf, OpenError> {
        let refuse = || OpenError::Url(url.to_owned());
        let rest = url.strip_prefix("sqlite:").ok_or_else(refuse)?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        // An in-memory database is lost whenever its connection is, and is another one for each
        // connection; the parameters would undo what durability rests on.
        if path.is_empty() || path.contains(['?', '#']) || path.starts_with(":memory:") {
            return Err(refuse());
        }
        Ok(PathBuf::from(path))
    }

    /// Opens the database, makes it where it is missing, and migrates it.
    pub(crate) async fn open(path: &Path) -> Result<Self, OpenError> {
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            && !folder.is_dir()
        {
            return Err(OpenError::NoFolder(folder.to_owned()));
        }
        let connected = |error| OpenError::Connect(path.to_owned(), error);
        make_private(path).map_err(|error| OpenError::Create(path.to_owned(), error))?;
        let writer = connect(path, true).await.map_err(connected)?;
        migrate(&writer, path).await?;
        let readers = connect(path, false).await.map_err(connected)?;
        let changes =
            Changes::of(path).map_err(|error| OpenError::Changes(path.to_owned(), error))?;
        Ok(Self {
            writer,
            readers,
            path: path.to_owned(),
            changes,
        })
    }
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
/// nobody uses any more, takes the file alone for a moment, for which `SQLite` does not wait by itself.
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
                .pragma("query_only", if writes { "off" } else { "on" })
        });
    Database::connect(options).await
}

/// One transaction that has the write lock from its start: of several processes that start at once,
/// one migrates and the others find it done; and one that fails leaves nothing half-made.
async fn migrate(writer: &DatabaseConnection, path: &Path) -> Result<(), OpenError> {
    let failed = |error| OpenError::Migrate(path.to_owned(), error);
    let immediate = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    let transaction = writer.begin_with_options(immediate).await.map_err(failed)?;
    let known: HashSet<String> = Migrator::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect();
    let applied = Migrator::get_migration_models(&transaction)
        .await
        .map_err(failed)?;
    if let Some(unknown) = applied
        .into_iter()
        .find(|row| !known.contains(&row.version))
    {
        return Err(OpenError::Newer(path.to_owned(), unknown.version));
    }
    Migrator::up(&transaction, None).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}
