//! The history of Symbolon's tables. A migration is frozen once it is released, and never looks at
//! the live entities.
//!
//! The instances of the version before go on while the first one of this version migrates. So a
//! migration only adds what they need not know of: tables, indexes, columns that may be null or have
//! a default. What nobody uses any more is dropped, and what has another meaning gets another name,
//! by a migration of the version after the first one that does without. It takes no lock for long:
//! an index on a large table is made `CONCURRENTLY`, by a migration that uses no transaction, before
//! there is a version that needs it.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod m20261123_000001_create_user;
mod m20261123_000002_create_throttle;
mod m20261123_000003_create_audit_event;
mod m20261123_000004_create_access_token;
mod m20261126_000005_create_change_counter;
mod m20261126_000006_complete_audit_event;

/// Symbolon's migrations, recorded in a table of their own, so that an embedder's migrations in the
/// same database keep theirs.
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
        ]
    }

    fn migration_table_name() -> DynIden {
        "symbolon_migration".into_iden()
    }
}
