//! Migration of the database tables.

use std::collections::HashSet;

use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Statement,
    TransactionTrait,
};

use crate::store::database_url::Location;
use crate::store::errors::is_busy;
use crate::store::open_error::{NO_TABLES, OpenError};
use crate::store::sqlite::immediate;

/// The key of the PostgreSQL advisory lock that a migration holds.
const LOCK: i64 = i64::from_be_bytes(*b"symbolon");

/// Symbolon's tables, excluding the table of applied migrations. A role without the privilege to write to one of them
/// makes an instance unavailable.
pub(super) const TABLES: [&str; 7] = [
    "symbolon_user",
    "symbolon_session",
    "symbolon_access_token",
    "symbolon_one_time_token",
    "symbolon_audit_event",
    "symbolon_throttle",
    "symbolon_known_address",
];

/// The treatment of a database whose tables are missing or older than this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tables {
    /// The tables are created or migrated.
    Migrate,
    /// The database is refused without being changed.
    Check,
}

/// Migrates or checks the tables. Refuses a database that has the migrations of this version, but not all of its tables.
pub(super) async fn prepare_tables(
    database: &DatabaseConnection,
    location: &Location,
    tables: Tables,
) -> Result<(), OpenError> {
    apply_or_check_migrations(database, location, tables).await?;
    let existing = existing_tables(database).await;
    let existing = existing.map_err(|error| OpenError::Connect(location.clone(), error))?;
    let mut expected = TABLES.into_iter();
    match expected.find(|table| !existing.iter().any(|name| name == table)) {
        Some(table) => Err(OpenError::MissingTable(location.full_name(), table)),
        None => Ok(()),
    }
}

async fn apply_or_check_migrations(
    database: &DatabaseConnection,
    location: &Location,
    tables: Tables,
) -> Result<(), OpenError> {
    match Migrator::get_applied_migrations_read_only(database).await {
        // The tables are up to date. Nothing is written, because the database may be read-only.
        Ok(applied) if applied.len() == Migrator::migrations().len() => Ok(()),
        _ if tables == Tables::Migrate => {
            let newer = migrate(database).await;
            let newer = newer.map_err(|error| OpenError::Migrate(location.clone(), error))?;
            newer.map_or(Ok(()), |newer| {
                Err(OpenError::Newer(location.clone(), newer))
            })
        }
        Ok(applied) if applied.is_empty() => {
            let existing = existing_tables(database).await;
            let existing = existing.map_err(|error| OpenError::Connect(location.clone(), error));
            Err(if existing?.is_empty() {
                OpenError::Foreign(location.full_name(), NO_TABLES)
            } else {
                OpenError::TablesOfOthers(location.full_name())
            })
        }
        Ok(_) => Err(OpenError::Older(location.full_name())),
        // The cause of the error may be an unknown migration.
        Err(error) => Err(match find_unknown(database).await {
            Ok(Some(newer)) => OpenError::Newer(location.clone(), newer),
            Ok(None) => OpenError::Connect(location.clone(), error),
            Err(error) => OpenError::Connect(location.clone(), error),
        }),
    }
}

/// Returns the names of Symbolon's tables that exist in the database.
async fn existing_tables(database: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let names = TABLES.map(|name| format!("'{name}'")).join(", ");
    let backend = database.get_database_backend();
    let select = match backend {
        DbBackend::Postgres => format!(
            "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname IN ({names})"
        ),
        _ => format!("SELECT name FROM sqlite_master WHERE name IN ({names})"),
    };
    let rows = database.query_all_raw(Statement::from_string(backend, select));
    let rows = rows.await?.into_iter();
    rows.map(|row| row.try_get_by_index(0)).collect()
}

/// Begins a transaction for migrations. Waits until no other process migrates the database, with SQLite for at most a
/// minute.
pub(super) async fn begin_migration(
    database: &DatabaseConnection,
) -> Result<DatabaseTransaction, DbErr> {
    let mut attempts = 0;
    let transaction = loop {
        match database.begin_with_options(immediate()).await {
            // SQLite has waited for the other process for 5 s.
            Err(error) if is_busy(&error) && attempts < 12 => attempts += 1,
            result => break result?,
        }
    };
    if transaction.get_database_backend() == DbBackend::Postgres {
        // The time limits are disabled, because migrating large tables, or waiting for the migration by another process,
        // can take a long time.
        let lock = format!(
            "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
             SELECT pg_advisory_xact_lock({LOCK})"
        );
        transaction.execute_unprepared(&lock).await?;
    }
    Ok(transaction)
}

/// Applies all pending migrations in one transaction. If several processes start at the same time, one process
/// migrates the tables and the others wait. If a migration fails, nothing is changed. If the database contains a
/// migration that this version does not know, changes nothing and returns the first unknown migration.
async fn migrate(database: &DatabaseConnection) -> Result<Option<String>, DbErr> {
    let transaction = begin_migration(database).await?;
    // Creates the table that records the applied migrations.
    Migrator::install(&transaction).await?;
    let unknown = find_unknown(&transaction).await?;
    if unknown.is_none() {
        Migrator::up(&transaction, None).await?;
        transaction.commit().await?;
    }
    Ok(unknown)
}

/// Returns the first applied migration that this version does not know.
async fn find_unknown(database: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    let select = "SELECT version FROM symbolon_migration ORDER BY version";
    let select = Statement::from_string(database.get_database_backend(), select);
    let migrations = Migrator::migrations();
    let known: HashSet<&str> = migrations
        .iter()
        .map(|migration| migration.name())
        .collect();
    for row in database.query_all_raw(select).await? {
        let version: String = row.try_get_by_index(0)?;
        if !known.contains(version.as_str()) {
            return Ok(Some(version));
        }
    }
    Ok(None)
}
