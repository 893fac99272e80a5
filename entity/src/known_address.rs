//! `symbolon_known_address`: where an account was signed in to from.

use sea_orm::entity::prelude::*;

/// An address, and an account that was signed in to from there.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_known_address")]
pub struct Model {
    /// The account.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: i64,
    /// An IPv4 address, or the /64 network of an IPv6 address.
    #[sea_orm(primary_key, auto_increment = false)]
    pub address: String,
    /// When its password was last accepted from there.
    pub signed_in_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
