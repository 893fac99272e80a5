//! `symbolon_audit_event`: what happened to accounts and tokens.

use sea_orm::entity::prelude::*;

/// One event; or, of a kind that an attacker can repeat at will, all events of one account in one hour.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_audit_event")]
pub struct Model {
    /// Never used twice.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// What happened, as `SIGNED_IN`.
    pub kind: String,
    /// When, or when first.
    pub at: i64,
    /// When last; the same unless it was counted.
    pub last_at: i64,
    /// How often.
    pub count: i64,
    /// The account that it happened to; it may be gone by now. `None` if there never was one.
    pub user_id: Option<i64>,
    /// The account that did it; `None` for the operator and for whoever failed to sign in.
    pub actor_id: Option<i64>,
    /// The first 12 hexadecimal digits of the digest of the token that it happened to.
    pub token: Option<String>,
    /// The address that it, or the last of them, was asked for from.
    pub address: Option<String>,
    /// The id of the request that asked for it, or for the last of them.
    pub request_id: Option<String>,
    /// What is counted in this row: kind, account and hour. `None` for an event of its own.
    #[sea_orm(unique)]
    pub tally: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
