use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, big_pk_auto, string_len_null, string_null,
};

/// Creates the table of device sessions. For a shared session, whose token is stored in the table of users, the table
/// contains a row with the details that users see in the list of their sessions.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("symbolon_session")
                    .col(big_pk_auto("id"))
                    .col(big_integer("user_id"))
                    .col(string_null("device"))
                    .col(ColumnDef::new("digest").blob().not_null().unique_key())
                    .col(big_integer("created_at"))
                    .col(big_integer_null("expires_at"))
                    .col(big_integer_null("revoked_at"))
                    .col(big_integer_null("last_used_at"))
                    .col(string_len_null("address", 64))
                    .col(string_null("user_agent"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("symbolon_session_user_id")
                    .table("symbolon_session")
                    .col("user_id")
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("symbolon_session").to_owned())
            .await
    }
}
