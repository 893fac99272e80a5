//! `symbolon_throttle`: the buckets of rate limits. A bucket without a row is empty.

use sea_orm::entity::prelude::*;

/// A bucket of a rate limit (generic cell rate algorithm). Each attempt fills the bucket, which drains at a constant
/// rate.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_throttle")]
pub struct Model {
    /// The SHA-256 digest of the subject of the limit, for example of an address. The digest keeps texts that clients
    /// submit as usernames out of the database.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: Vec<u8>,
    /// The time at which the bucket will be empty. After this time, the row has no effect.
    pub drained_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
