//! The migrations of an embedding application.

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

/// Applies all pending migrations in one transaction, under the same lock as Symbolon's migrations.
async fn apply<M: MigratorTrait>(database: &DatabaseConnection) -> Result<(), MigrationFailure> {
    let table = M::migration_table_name().to_string();
    if table == Migrator::migration_table_name().to_string() {
        return Err(MigrationFailure::TableOfSymbolon(table));
    }
    // Nothing is written if nothing is pending, because the database may be read-only.
    if M::get_pending_migrations_read_only(database)
        .await?
        .is_empty()
    {
        return Ok(());
    }
    let transaction = begin_migration(database).await?;
    // Another instance may have applied the migrations in the meantime.
    for pending in M::get_pending_migrations(&transaction).await? {
        let applied = M::up(&transaction, Some(1)).await;
        applied.map_err(|error| MigrationFailure::Failed(pending.name().to_owned(), error))?;
    }
    Ok(transaction.commit().await?)
}
