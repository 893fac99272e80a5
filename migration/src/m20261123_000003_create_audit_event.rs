use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, big_pk_auto, string_len, string_null,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("symbolon_audit_event")
                    .col(big_pk_auto("id"))
                    .col(string_len("kind", 32))
                    .col(big_integer("at"))
                    .col(big_integer("last_at"))
                    .col(big_integer("count"))
                    .col(big_integer_null("user_id"))
                    .col(big_integer_null("actor_id"))
                    .col(string_null("token"))
                    .col(string_null("address"))
                    .col(string_null("request_id"))
                    .col(string_null("tally").unique_key())
                    .to_owned(),
            )
            .await?;
        for (name, column) in [
            ("symbolon_audit_event_user_id", "user_id"),
            ("symbolon_audit_event_last_at", "last_at"),
        ] {
            manager
                .create_index(
                    Index::create()
                        .name(name)
                        .table("symbolon_audit_event")
                        .col(column)
                        .to_owned(),
                )
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("symbolon_audit_event").to_owned())
            .await
    }
}
