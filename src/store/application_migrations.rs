//! The migrations of an embedding application.

use std::collections::HashSet;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use migration::{Migrator, MigratorTrait};
use sea_orm::DatabaseConnection;

use crate::store::database_url::Location;
use crate::store::migrations::begin_migration;
use crate::store::open_error::{MigrationFailure, OpenError};

/// The migrations of an application, without their type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApplicationMigrations(
    for<'a> fn(&'a DatabaseConnection) -> BoxFuture<'a, Result<(), MigrationFailure>>,
);

impl ApplicationMigrations {
    pub(crate) fn of<M: MigratorTrait + 'static>() -> Self {
        Self(|database| apply::<M>(database).boxed())
    }

    /// Applies all pending migrations.
    pub(super) async fn apply(
        self,
        database: &DatabaseConnection,
        location: &Location,
    ) -> Result<(), OpenError> {
        let Self(apply) = self;
        let applied = apply(database).await;
        applied.map_err(|error| OpenError::MigrateApplication(location.clone(), error))
    }
}

/// Applies each pending migration in a transaction of its own, under the same lock as Symbolon's migrations.
async fn apply<M: MigratorTrait>(database: &DatabaseConnection) -> Result<(), MigrationFailure> {
    let table = M::migration_table_name().to_string();
    // SQLite ignores case in the names of tables.
    if table.eq_ignore_ascii_case(&Migrator::migration_table_name().to_string()) {
        return Err(MigrationFailure::TableOfSymbolon(table));
    }
    let mut names = HashSet::new();
    for migration in M::migrations() {
        let name = migration.name();
        // Only one of them would be applied.
        if !names.insert(name.to_owned()) {
            return Err(MigrationFailure::SameName(name.to_owned()));
        }
    }
    // Nothing is written if nothing is pending, because the database may be read-only.
    let mut pending = M::get_pending_migrations_read_only(database).await?.len();
    while pending > 0 {
        let transaction = begin_migration(database).await?;
        // Another instance may have applied migrations in the meantime.
        let still_pending = M::get_pending_migrations(&transaction).await?;
        if let Some(next) = still_pending.first() {
            let failed = |error| MigrationFailure::Failed(next.name().to_owned(), error);
            M::up(&transaction, Some(1)).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
        }
        pending = still_pending.len().saturating_sub(1);
    }
    Ok(())
}
