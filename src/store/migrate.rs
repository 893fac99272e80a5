//! Bring the tables up to date.

use std::collections::HashSet;

use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};

/// What PostgreSQL locks while one of several processes migrates: any number, of which others on the
/// same database have no reason to think.
const LOCK: i64 = i64::from_be_bytes(*b"symbolon");

/// Why the tables are not up to date.
pub(super) enum MigrateError {
    /// A newer version of Symbolon made this migration.
    Newer(String),
    Failed(DbErr),
}

impl From<DbErr> for MigrateError {
    fn from(error: DbErr) -> Self {
        Self::Failed(error)
    }
}

/// One transaction that nobody else's comes between: of several processes that start at once, one
/// migrates and the others find it done; and one that fails leaves nothing half-made.
pub(super) async fn migrate(database: &DatabaseConnection) -> Result<(), MigrateError> {
    let applied = Migrator::get_applied_migrations_read_only(database).await;
    // An unknown one is an error there; it is looked for below. Where all is done nothing is written,
    // which would not be possible everywhere.
    if applied.is_ok_and(|applied| applied.len() == Migrator::migrations().len()) {
        return Ok(());
    }
    let immediate = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    let transaction = database.begin_with_options(immediate).await?;
    if transaction.get_database_backend() == DbBackend::Postgres {
        // Whoever waits, and whoever migrates large tables, has time.
        let lock = format!("SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({LOCK})");
        transaction.execute_unprepared(&lock).await?;
    }
    let known: HashSet<String> = Migrator::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect();
    let applied = Migrator::get_migration_models(&transaction).await?;
    if let Some(unknown) = applied
        .into_iter()
        .find(|row| !known.contains(&row.version))
    {
        return Err(MigrateError::Newer(unknown.version));
    }
    Migrator::up(&transaction, None).await?;
    Ok(transaction.commit().await?)
}
