//! `symbolon_audit_event`: what happened to accounts and tokens.

use sea_orm::entity::prelude::*;

/// One event; or several events of one kind and account in one hour, which are counted.
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
    /// Who did it: `ANONYMOUS`, `USER` or `OPERATOR`. `None` for an event of an earlier version.
    pub actor_type: Option<String>,
    /// The account that did it, if an account did it.
    pub actor_id: Option<i64>,
    /// The kind of credential by which the account did it: `PASSWORD`, `SESSION_TOKEN` or `ACCESS_TOKEN`.
    pub credential_type: Option<String>,
    /// The first 12 hexadecimal digits of the digest of that session token, or the number of that access
    /// token.
    pub credential_id: Option<String>,
    /// The role before a change of the role: `USER` or `ADMIN`.
    pub old_role: Option<String>,
    /// The role after a change of the role.
    pub new_role: Option<String>,
    /// The username before the account was renamed.
    pub old_username: Option<String>,
    /// The username after the account was renamed, or of the account that was deleted.
    pub username: Option<String>,
    /// The first 12 hexadecimal digits of the digest of the token that it happened to.
    pub token: Option<String>,
    /// The address that it, or the last of them, was asked for from.
    pub address: Option<String>,
    /// The id of the request that asked for it, or for the last of them.
    pub request_id: Option<String>,
    /// The name of the row, by which events are added to it: kind, account, hour, and of most kinds the
    /// actor and a number. `None` for a row to which none are added.
    #[sea_orm(unique)]
    pub tally: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
