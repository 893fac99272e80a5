//! `symbolon_access_token`: one row for each access token.

use sea_orm::entity::prelude::*;

/// An access token, identified by its digest. The token itself is not stored. Revoking a token deletes its row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_access_token")]
pub struct Model {
    /// The id. Ids are not reused.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The id of the user who owns the token.
    pub user_id: i64,
    /// The name, which is unique among the tokens of the user.
    pub name: String,
    /// The SHA-256 digest of the token.
    #[sea_orm(unique)]
    pub digest: Vec<u8>,
    /// The scopes, separated by spaces.
    pub scopes: String,
    /// The time at which the token was issued.
    pub created_at: i64,
    /// The time at which the token expires. `None` if the token does not expire.
    pub expires_at: Option<i64>,
    /// The time of the last use, accurate to the minute.
    pub last_used_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
