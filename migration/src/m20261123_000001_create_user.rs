use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, big_pk_auto, string, string_len, string_null, string_uniq,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("symbolon_user")
                    .col(big_pk_auto("id"))
                    .col(string("username"))
                    .col(string_uniq("username_canonical"))
                    .col(string_null("email"))
                    .col(string_null("email_canonical").unique_key())
                    .col(string("password_hash"))
                    .col(big_integer("password_version"))
                    .col(string_len("role", 16))
                    .col(big_integer_null("disabled_at"))
                    .col(big_integer("created_at"))
                    .col(big_integer_null("last_sign_in_at"))
                    .col(ColumnDef::new("token_nonce").blob())
                    .col(ColumnDef::new("token_digest").blob().unique_key())
                    .col(big_integer_null("token_expiration"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("symbolon_user").to_owned())
            .await
    }
}
