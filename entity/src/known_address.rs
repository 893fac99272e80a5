//! `symbolon_known_address`: the addresses from which users have signed in.

use sea_orm::entity::prelude::*;

/// An address from which a user has signed in.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_known_address")]
pub struct Model {
    /// The id of the user.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: i64,
    /// An IPv4 address, or the /64 network of an IPv6 address.
    #[sea_orm(primary_key, auto_increment = false)]
    pub address: String,
    /// The time at which the password was last accepted from this address.
    pub signed_in_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
