//! `symbolon_session`: one row for each device session, and at most one row for the shared session of each user.

use sea_orm::entity::prelude::*;

/// A device session, identified by the digest of its token, or the details of a shared session. The token itself is
/// not stored. The expiration of a shared session is stored in the table of users.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_session")]
pub struct Model {
    /// The id. Ids are not reused.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The id of the user.
    pub user_id: i64,
    /// The name of the device. `None` for a shared session.
    pub device: Option<String>,
    /// The SHA-256 digest of the token.
    #[sea_orm(unique)]
    pub digest: Vec<u8>,
    /// The time at which the token was issued.
    pub created_at: i64,
    /// The time at which the device session expires. `None` for a shared session.
    pub expires_at: Option<i64>,
    /// The time at which the device session was revoked. `None` for a shared session.
    pub revoked_at: Option<i64>,
    /// The time of the last use, accurate to the minute.
    pub last_used_at: Option<i64>,
    /// The address of the client to which the token was issued.
    pub address: Option<String>,
    /// The `User-Agent` header of the client to which the token was issued.
    pub user_agent: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
