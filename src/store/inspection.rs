//! The inspection of a database that may not exist, without changing its data.

use std::fs;
use std::io;
use std::path::{self, Path};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use rustix::fs::{Access, access};
use sea_orm::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sea_orm::sqlx::query_as;
use sea_orm::{ConnectionTrait, DbBackend, SqlxError, SqlxPostgresConnector, Statement};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::store::database_url::Location;
use crate::store::errors::is_busy;
use crate::store::migrations::{Tables, prepare_tables};
use crate::store::open_error::{EMPTY_FILE, NO_TABLES, OpenError};
use crate::store::postgres_schema::find_schema;
use crate::store::sqlite::{connect_read_only, folder_of, retry_while, with_suffix};
use crate::store::sqlite_tables_check::{check_file, check_hard_links, explain};

/// The time limit for the inspection of a PostgreSQL database.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The query for the server's time in milliseconds, whether the server accepts writes, whether the role can create
/// tables, and whether the role can write to all tables of Symbolon.
const STATE: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
    NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off', \
    has_schema_privilege(current_schema(), 'CREATE'), \
    NOT EXISTS (SELECT FROM pg_class t WHERE t.relnamespace = current_schema()::regnamespace \
        AND t.relkind IN ('r', 'p') AND t.relname LIKE 'symbolon\\_%' \
        AND t.relname <> 'symbolon_migration' AND NOT (\
            has_table_privilege(t.oid, 'SELECT') AND has_table_privilege(t.oid, 'INSERT') \
            AND has_table_privilege(t.oid, 'UPDATE') AND has_table_privilege(t.oid, 'DELETE')))";

/// The tables of a database.
///
/// ```
/// use symbolon::TablesState;
///
/// fn advice(tables: TablesState) -> &'static str {
///     match tables {
///         TablesState::NoFile | TablesState::Missing => "The first start creates the tables.",
///         TablesState::Outdated => "Make a backup. The next start migrates the tables.",
///         TablesState::Current => "The tables are up to date.",
///     }
/// }
/// assert_eq!(advice(TablesState::Current), "The tables are up to date.");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TablesState {
    /// The SQLite file does not exist.
    NoFile,
    /// The database has no tables of Symbolon.
    Missing,
    /// The tables are older than this version of Symbolon.
    Outdated,
    /// The tables are those of this version of Symbolon.
    Current,
}

/// The state of a database.
///
/// ```
/// use chrono::TimeDelta;
/// use symbolon::{DatabaseInspection, Symbolon};
///
/// fn warnings(database: &DatabaseInspection) -> Vec<String> {
///     let difference = database.clock_difference.unwrap_or_default().abs();
///     let clock = (difference > TimeDelta::seconds(5)).then(|| "The clocks differ.".to_owned());
///     database.write_obstacle.clone().into_iter().chain(clock).collect()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// let inspection = Symbolon::inspect(&config).await?;
/// assert!(warnings(&inspection.database?).is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DatabaseInspection {
    /// The tables of the database.
    pub tables: TablesState,
    /// The reason why Symbolon could not write to the database or migrate it. `None` if Symbolon could.
    pub write_obstacle: Option<String>,
    /// The time of the PostgreSQL server minus the time of this machine. `None` for SQLite.
    pub clock_difference: Option<TimeDelta>,
}

/// Inspects a database. Does not create the database, and changes no data in it.
///
/// # Errors
///
/// Returns an error if Symbolon could not open or migrate the database.
pub(crate) async fn inspect(location: &Location) -> Result<DatabaseInspection, OpenError> {
    match location {
        Location::File(path) => inspect_file(path, location).await,
        Location::Server(options) => {
            let inspection = timeout(TIME_LIMIT, inspect_server(options, location)).await;
            inspection.unwrap_or_else(|_| {
                Err(OpenError::Server(location.clone(), SqlxError::PoolTimedOut))
            })
        }
    }
}

async fn inspect_file(path: &Path, location: &Location) -> Result<DatabaseInspection, OpenError> {
    // SQLite creates its files beside the file to which a symbolic link leads.
    let absolute = || path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real_path = fs::canonicalize(path).unwrap_or_else(|_| absolute());
    let folder = folder_of(&real_path);
    if !folder.is_dir() {
        return Err(OpenError::NoFolder(folder.to_owned()));
    }
    let tables = match check_file(path, location).await {
        Err(OpenError::Missing(_)) if fs::symlink_metadata(path).is_ok() => {
            // The file is a symbolic link that leads to no file.
            let error = io::Error::from(io::ErrorKind::NotFound);
            return Err(OpenError::Read(path.to_owned(), error));
        }
        Err(OpenError::Missing(_)) => TablesState::NoFile,
        checked => tables_state(checked)?,
    };
    if matches!(tables, TablesState::Current | TablesState::Outdated) {
        check_structure(&real_path, location).await?;
    }
    check_hard_links(path)?;
    let denied = |path: &Path| access(path, Access::READ_OK | Access::WRITE_OK).err();
    let file = (tables != TablesState::NoFile).then_some(real_path.as_path());
    // SQLite creates files beside the database.
    let write_obstacle = file.into_iter().chain([folder]).find_map(|path| {
        let error = io::Error::from(denied(path)?);
        Some(format!("{} cannot be written to: {error}", path.display()))
    });
    Ok(DatabaseInspection {
        tables,
        write_obstacle,
        clock_difference: None,
    })
}

/// Refuses a file whose structure is damaged. Reads the whole file.
async fn check_structure(path: &Path, location: &Location) -> Result<(), OpenError> {
    let failed = |error| OpenError::Connect(location.clone(), error);
    let check = || async {
        let is_immutable = !with_suffix(path, "-wal").exists();
        let database = connect_read_only(path, is_immutable)
            .await
            .map_err(failed)?;
        let pragma = Statement::from_string(DbBackend::Sqlite, "PRAGMA quick_check(1)");
        let row = database.query_one_raw(pragma).await;
        let _ = database.close().await;
        let row = row.map_err(failed)?;
        let damage: Option<String> = row.and_then(|row| row.try_get_by_index(0).ok());
        match damage.as_deref() {
            Some("ok") => Ok(()),
            damage => Err(OpenError::Damaged(
                path.to_owned(),
                damage.unwrap_or_default().replace('\n', " "),
            )),
        }
    };
    let is_retryable =
        |error: &OpenError| matches!(error, OpenError::Connect(_, error) if is_busy(error));
    let checked = retry_while(is_retryable, check).await;
    checked.map_err(|error| explain(error, path, location))
}

fn tables_state(checked: Result<(), OpenError>) -> Result<TablesState, OpenError> {
    match checked {
        Ok(()) => Ok(TablesState::Current),
        Err(OpenError::Older(_)) => Ok(TablesState::Outdated),
        Err(OpenError::Foreign(_, NO_TABLES | EMPTY_FILE)) => Ok(TablesState::Missing),
        Err(error) => Err(error),
    }
}

async fn inspect_server(
    options: &PgConnectOptions,
    location: &Location,
) -> Result<DatabaseInspection, OpenError> {
    let failed = |error| OpenError::Server(location.clone(), error);
    find_schema(location, options).await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(TIME_LIMIT);
    let pool = pool.connect_with(options.clone()).await.map_err(failed)?;
    let (sent_at, started) = (Clock::System.now(), Instant::now());
    let state = query_as::<_, (i64, bool, bool, bool)>(STATE)
        .fetch_one(&pool)
        .await;
    let (millis, is_writable, can_create, can_write) = state.map_err(failed)?;
    let time = started.elapsed();
    let database = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    let checked = prepare_tables(&database, location, Tables::Check).await;
    let _ = database.close().await;
    let tables = tables_state(checked)?;
    let write_obstacle = match (is_writable, tables) {
        (false, _) => Some("the server is a standby or read-only"),
        (true, TablesState::Current) if !can_write => {
            Some("the role has no permission to write to the tables of Symbolon")
        }
        (true, TablesState::Missing | TablesState::Outdated) if !can_create => {
            Some("the role has no permission to create tables in the schema")
        }
        _ => None,
    };
    let half = i64::try_from(time.as_millis() / 2).unwrap_or(0);
    let middle = sent_at.timestamp_millis().saturating_add(half);
    Ok(DatabaseInspection {
        tables,
        write_obstacle: write_obstacle.map(str::to_owned),
        clock_difference: TimeDelta::try_milliseconds(millis.saturating_sub(middle)),
    })
}
