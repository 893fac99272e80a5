//! `symbolon_one_time_token`: one row for each one-time token.

use sea_orm::entity::prelude::*;

/// A one-time token, identified by its digest. The token itself is not stored.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_one_time_token")]
pub struct Model {
    /// The id. Ids are not reused.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The SHA-256 digest of the token.
    #[sea_orm(unique)]
    pub digest: Vec<u8>,
    /// The purpose: `RESET` or `INVITATION`.
    pub purpose: String,
    /// The id of the user for whom the token was issued.
    pub user_id: i64,
    /// The time at which the token was issued.
    pub created_at: i64,
    /// The time at which the token expires.
    pub expires_at: i64,
    /// The time at which the token was used. `None` if the token is unused.
    pub used_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
