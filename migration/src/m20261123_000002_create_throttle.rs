use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, string};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("symbolon_throttle")
                    .col(ColumnDef::new("key").blob().not_null().primary_key().take())
                    .col(big_integer("drained_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("symbolon_known_address")
                    .col(big_integer("user_id"))
                    .col(string("address"))
                    .col(big_integer("signed_in_at"))
                    .primary_key(Index::create().col("user_id").col("address"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["symbolon_known_address", "symbolon_throttle"] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}
