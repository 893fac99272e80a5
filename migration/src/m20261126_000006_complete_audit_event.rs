use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{string_len_null, string_null};

/// Adds columns to the audit trail for the actor, the credential, and the old and new values. Deletes expired access
/// tokens of users who have more than 50 tokens.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Deletes all but the first 50 access tokens of each user. A user has at most 50 tokens that have not expired. Those
/// tokens come first in the order of the subquery, so only expired tokens are deleted.
const DELETE_EXCESS: &str = "DELETE FROM symbolon_access_token WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (
            PARTITION BY user_id ORDER BY expires_at IS NOT NULL, expires_at DESC, id DESC
        ) AS place FROM symbolon_access_token
    ) AS placed WHERE place > 50)";

fn columns() -> [ColumnDef; 7] {
    [
        string_len_null("actor_type", 16),
        string_len_null("credential_type", 16),
        string_len_null("credential_id", 32),
        string_len_null("old_role", 16),
        string_len_null("new_role", 16),
        string_null("old_username"),
        string_null("username"),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in columns() {
            let add = Table::alter()
                .table("symbolon_audit_event")
                .add_column(column)
                .to_owned();
            manager.alter_table(add).await?;
        }
        let connection = manager.get_connection();
        connection.execute_unprepared(DELETE_EXCESS).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in columns() {
            let drop = Table::alter()
                .table("symbolon_audit_event")
                .drop_column(column.get_column_name())
                .to_owned();
            manager.alter_table(drop).await?;
        }
        Ok(())
    }
}
