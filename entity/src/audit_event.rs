//! `symbolon_audit_event`: the audit trail.

use sea_orm::entity::prelude::*;

/// An event, or several similar events within an hour, which are counted.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_audit_event")]
pub struct Model {
    /// The id. Ids are not reused.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The kind, for example `SIGNED_IN`.
    pub kind: String,
    /// The time of the first occurrence.
    pub at: i64,
    /// The time of the last occurrence.
    pub last_at: i64,
    /// The number of occurrences.
    pub count: i64,
    /// The user that the event concerns, who may be deleted. `None` if there was no such user.
    pub user_id: Option<i64>,
    /// The type of the actor: `ANONYMOUS`, `USER` or `OPERATOR`. `None` if an earlier version recorded the event.
    pub actor_type: Option<String>,
    /// The user who acted. `None` if the actor is not a user.
    pub actor_id: Option<i64>,
    /// The type of the credential of the actor: `PASSWORD`, `SESSION_TOKEN` or `ACCESS_TOKEN`.
    pub credential_type: Option<String>,
    /// The first 12 hexadecimal digits of the digest of that session token, or the id of that access token.
    pub credential_id: Option<String>,
    /// The role before it was changed: `USER` or `ADMIN`.
    pub old_role: Option<String>,
    /// The role after it was changed.
    pub new_role: Option<String>,
    /// The username before it was changed.
    pub old_username: Option<String>,
    /// The username after it was changed, or the username of a user who was deleted.
    pub username: Option<String>,
    /// The first 12 hexadecimal digits of the digest of the token that the event concerns.
    pub token: Option<String>,
    /// The address of the client at the last occurrence.
    pub address: Option<String>,
    /// The id of the request at the last occurrence.
    pub request_id: Option<String>,
    /// The name of the row, which consists of the kind, the user, the hour, and for most kinds the actor and a
    /// number. An event with the name of an existing row is added to this row. `None` if no event is added.
    #[sea_orm(unique)]
    pub tally: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
