//! Bring the tables up to date.

use std::collections::HashSet;

use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};

/// What PostgreSQL locks while one of several processes migrates: any number, of which others on the
/// same database have no reason to think.
const LOCK: i64 = i64::from_be_bytes(*b"symbolon");

/// Why the tables are not up to date.
pub(super) enum MigrateError {
    /// There are no tables of Symbolon.
    Missing,
    /// The tables lack a migration of this version.
    Older,
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
    let applied = Migrator::get_migration_models(&transaction).await?;
    if let Some(unknown) = first_unknown(applied.into_iter().map(|row| row.version)) {
        return Err(MigrateError::Newer(unknown));
    }
    Migrator::up(&transaction, None).await?;
    Ok(transaction.commit().await?)
}

/// Succeeds if the tables are those of this version. Nothing is written.
pub(super) async fn check(database: &DatabaseConnection) -> Result<(), MigrateError> {
    match Migrator::get_applied_migrations_read_only(database).await {
        Ok(applied) if applied.len() == Migrator::migrations().len() => Ok(()),
        Ok(applied) if applied.is_empty() => Err(MigrateError::Missing),
        Ok(_) => Err(MigrateError::Older),
        Err(error) => {
            // One of the reasons is a migration that is not known.
            let select = "SELECT version FROM symbolon_migration ORDER BY version";
            let select = Statement::from_string(database.get_database_backend(), select);
            let rows = database.query_all_raw(select).await?;
            let versions: Result<Vec<String>, _> =
                rows.iter().map(|row| row.try_get_by_index(0)).collect();
            Err(first_unknown(versions?.into_iter())
                .map_or(MigrateError::Failed(error), MigrateError::Newer))
        }
    }
}

/// The first of these migrations that this version does not have.
fn first_unknown(mut applied: impl Iterator<Item = String>) -> Option<String> {
    let known: HashSet<String> = Migrator::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect();
    applied.find(|version| !known.contains(version))
}
