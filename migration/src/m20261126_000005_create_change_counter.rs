use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, pk_auto};
use sea_orm_migration::sea_orm::DbBackend;

/// Creates the counter through which a process notices changes that other processes make to a SQLite database.
/// PostgreSQL uses notifications instead.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Sqlite {
            return Ok(());
        }
        manager
            .create_table(
                Table::create()
                    .table("symbolon_change_counter")
                    .col(pk_auto("id"))
                    .col(big_integer("value"))
                    .to_owned(),
            )
            .await?;
        let zero = Query::insert()
            .into_table("symbolon_change_counter")
            .columns(["id", "value"])
            .values_panic([1.into(), 0.into()])
            .to_owned();
        manager.execute(zero).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Sqlite {
            return Ok(());
        }
        manager
            .drop_table(Table::drop().table("symbolon_change_counter").to_owned())
            .await
    }
}
