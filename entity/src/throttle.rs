//! `symbolon_throttle`: one row for each bucket that attempts were counted in lately.

use sea_orm::entity::prelude::*;

/// A bucket that each attempt adds to and that drains at a steady rate (GCRA).
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_throttle")]
pub struct Model {
    /// SHA-256 of what is counted: whatever people type into the field for a name is not kept.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: Vec<u8>,
    /// When it will have drained; from then on the row says nothing.
    pub drained_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
