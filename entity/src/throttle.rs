//! `symbolon_throttle`: one row for each bucket that is not empty.

use sea_orm::entity::prelude::*;

/// A bucket of a rate limit (GCRA). Attempts fill it, and it drains at a constant rate.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_throttle")]
pub struct Model {
    /// The SHA-256 digest of the subject. Texts that clients send as usernames are not stored.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: Vec<u8>,
    /// The time at which the bucket is empty. After this time the row has no effect.
    pub drained_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
