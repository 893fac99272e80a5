//! The migrations of Symbolon's tables. A released migration is never changed. Migrations do not use the entities,
//! which describe only the current tables.
//!
//! Instances of the previous version continue to run while the first instance of a new version migrates the tables.
//! Therefore, a migration only adds tables, indexes, and columns that are nullable or have a default. A column that
//! is no longer used is dropped not by the first version that does not use it, but by a later one. If the meaning of
//! a column changes, a column with a new name replaces it.
//!
//! A migration must not hold a lock for long. Therefore, an index on a large table is created `CONCURRENTLY`, by a
//! migration without a transaction, in a version before the one that needs the index.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod m20261123_000001_create_user;
mod m20261123_000002_create_throttle;
mod m20261123_000003_create_audit_event;
mod m20261123_000004_create_access_token;
mod m20261126_000005_create_change_counter;
mod m20261126_000006_complete_audit_event;
mod m20261127_000008_create_one_time_token;

/// Symbolon's migrations. Applied migrations are recorded in a separate table, so that an embedding application can
/// have its own migrations in the same database.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_create_user::Migration),
            Box::new(m20261123_000002_create_throttle::Migration),
            Box::new(m20261123_000003_create_audit_event::Migration),
            Box::new(m20261123_000004_create_access_token::Migration),
            Box::new(m20261126_000005_create_change_counter::Migration),
            Box::new(m20261126_000006_complete_audit_event::Migration),
            Box::new(m20261127_000008_create_one_time_token::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        "symbolon_migration".into_iden()
    }
}
