//! The connection to the source or to the target of a copy.

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    IsolationLevel, SqlxPostgresConnector, Statement, TransactionTrait,
};

use super::error::CopyError;
use crate::store::database_lock::is_same_file;
use crate::store::database_url::Location;
use crate::store::migrations::{TABLES, Tables, prepare_tables};
use crate::store::open_error::OpenError;
use crate::store::pool_eviction::PoolEviction;
use crate::store::postgres_connection::SessionOptions;
use crate::store::postgres_schema::{find_schema, quote};
use crate::store::sqlite::{self, connect_read_only, create_private, immediate};
use crate::store::sqlite_tables_check::check_file;

/// The query for the identity of a PostgreSQL database and of a schema in it.
const IDENTITY: &str = "SELECT concat_ws(' ', extract(epoch FROM pg_postmaster_start_time())::text, oid::text, \
    current_schema()::text) FROM pg_database WHERE datname = current_database()";

/// Symbolon's tables that belong to each database and are not copied.
const NOT_COPIED: [&str; 2] = ["symbolon_migration", "symbolon_change_counter"];

/// A database that is copied from or to.
pub(super) struct Endpoint {
    location: Location,
    pub(super) connection: DatabaseConnection,
}

impl Endpoint {
    /// Checks that a database has the tables of this version.
    pub(super) async fn check(location: &Location) -> Result<(), CopyError> {
        if let Location::File(path) = location {
            return Ok(check_file(path, location).await?);
        }
        let endpoint = Self::connect(location, false).await?;
        let checked = prepare_tables(&endpoint.connection, location, Tables::Check).await;
        endpoint.close().await;
        Ok(checked?)
    }

    /// Connects to an existing database. Without `is_writer`, SQLite does not change the file, not even its journal mode.
    pub(super) async fn connect(location: &Location, is_writer: bool) -> Result<Self, CopyError> {
        let connection = match location {
            Location::File(path) => {
                let connection = if is_writer {
                    sqlite::connect(path, true, &PoolEviction::new()).await
                } else {
                    // Programs other than Symbolon may write to the file, so the file is read with locks.
                    connect_read_only(path, false).await
                };
                connection.map_err(|error| OpenError::Connect(location.clone(), error))?
            }
            Location::Server(options) => connect_to_server(location, options).await?,
        };
        Ok(Self {
            location: location.clone(),
            connection,
        })
    }

    /// Creates the database if it is a file that does not exist, and migrates the tables.
    pub(super) async fn connect_and_migrate(location: &Location) -> Result<Self, CopyError> {
        if let Location::File(path) = location {
            let created = create_private(path);
            created.map_err(|error| OpenError::Create(path.clone(), error))?;
        }
        let endpoint = Self::connect(location, true).await?;
        prepare_tables(&endpoint.connection, location, Tables::Migrate).await?;
        Ok(endpoint)
    }

    pub(super) fn name(&self) -> String {
        self.location.full_name()
    }

    pub(super) fn failed(&self, error: DbErr) -> CopyError {
        CopyError::Connection(self.name(), error)
    }

    /// Locks the tables until the end of the transaction. On SQLite, does nothing.
    async fn lock_tables(
        &self,
        transaction: &DatabaseTransaction,
        mode: &str,
    ) -> Result<(), CopyError> {
        if transaction.get_database_backend() == DbBackend::Postgres {
            let lock = format!("LOCK TABLE {} IN {mode} MODE", TABLES.join(", "));
            let locked = transaction.execute_unprepared(&lock).await;
            locked.map_err(|error| CopyError::Lock(self.name(), error))?;
        }
        Ok(())
    }

    /// Begins a transaction that reads one state of the database. On PostgreSQL, other processes cannot change rows until
    /// the transaction ends.
    pub(super) async fn begin_snapshot(&self) -> Result<DatabaseTransaction, CopyError> {
        let begin = async {
            if self.connection.get_database_backend() != DbBackend::Postgres {
                return self.connection.begin().await;
            }
            let isolation = Some(IsolationLevel::RepeatableRead);
            let access = Some(AccessMode::ReadOnly);
            self.connection.begin_with_config(isolation, access).await
        };
        let transaction = begin.await.map_err(|error| self.failed(error))?;
        // The snapshot is taken by the first query, after the lock.
        self.lock_tables(&transaction, "SHARE").await?;
        Ok(transaction)
    }

    /// Begins a transaction that no other transaction can write beside.
    pub(super) async fn begin_exclusive(&self) -> Result<DatabaseTransaction, CopyError> {
        let transaction = self.connection.begin_with_options(immediate()).await;
        let transaction = transaction.map_err(|error| self.failed(error))?;
        self.lock_tables(&transaction, "EXCLUSIVE").await?;
        Ok(transaction)
    }

    /// Closes the connection.
    pub(super) async fn close(self) {
        let _ = self.connection.close().await;
    }
}

async fn connect_to_server(
    location: &Location,
    options: &PgConnectOptions,
) -> Result<DatabaseConnection, OpenError> {
    let schema = find_schema(location, options).await?;
    let session = SessionOptions::new(options.clone())
        .with("search_path", &quote(&schema))
        .with("synchronous_commit", "on")
        // A large copy takes a long time. Only the wait for locks is limited.
        .with("statement_timeout", "0")
        .with("idle_in_transaction_session_timeout", "0")
        .with("lock_timeout", "5000");
    let pool = session.connect_pool().await;
    let pool = pool.map_err(|error| OpenError::Server(location.clone(), error))?;
    Ok(SqlxPostgresConnector::from_sqlx_postgres_pool(pool))
}

/// Returns the first of Symbolon's tables that exists and has rows.
pub(super) async fn first_used_table(
    database: &impl ConnectionTrait,
) -> Result<Option<&'static str>, DbErr> {
    let backend = database.get_database_backend();
    let exists = match backend {
        DbBackend::Postgres => {
            "SELECT 1 FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = $1"
        }
        _ => "SELECT 1 FROM sqlite_master WHERE name = ?",
    };
    for table in TABLES {
        let exists = Statement::from_sql_and_values(backend, exists, [table.into()]);
        if database.query_one_raw(exists).await?.is_none() {
            continue;
        }
        let row = Statement::from_string(backend, format!("SELECT 1 FROM {table} LIMIT 1"));
        if database.query_one_raw(row).await?.is_some() {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// Returns the names of the tables that are not Symbolon's, in alphabetical order.
pub(super) async fn other_tables(database: &DatabaseTransaction) -> Result<Vec<String>, DbErr> {
    let backend = database.get_database_backend();
    let select = match backend {
        DbBackend::Postgres => {
            "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace \
             AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1"
        }
        _ => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             ORDER BY 1"
        }
    };
    let rows = database.query_all_raw(Statement::from_string(backend, select));
    let names = rows.await?.into_iter().map(|row| row.try_get_by_index(0));
    let names = names.collect::<Result<Vec<String>, _>>()?;
    let is_own = |name: &str| TABLES.contains(&name) || NOT_COPIED.contains(&name);
    Ok(names.into_iter().filter(|name| !is_own(name)).collect())
}

/// Returns whether two locations lead to the same SQLite file, or to the same schema of the same PostgreSQL database.
pub(super) async fn is_same_database(a: &Location, b: &Location) -> Result<bool, CopyError> {
    match (a, b) {
        (Location::File(a), Location::File(b)) => Ok(is_same_file(a, b)),
        (Location::Server(_), Location::Server(_)) => {
            let (a, b) = (identity(a).await?, identity(b).await?);
            Ok(a.is_some() && a == b)
        }
        _ => Ok(false),
    }
}

async fn identity(location: &Location) -> Result<Option<String>, CopyError> {
    let endpoint = Endpoint::connect(location, false).await?;
    let identity = Statement::from_string(DbBackend::Postgres, IDENTITY);
    let row = endpoint.connection.query_one_raw(identity).await;
    let failed = |error| CopyError::Connection(location.full_name(), error);
    let row = row.map_err(failed)?;
    endpoint.close().await;
    row.map(|row| row.try_get_by_index(0))
        .transpose()
        .map_err(failed)
}
