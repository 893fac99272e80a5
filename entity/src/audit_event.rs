//! `symbolon_audit_event`: the audit trail.

use sea_orm::entity::prelude::*;

/// An event, or several similar events that occurred within an hour.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_audit_event")]
pub struct Model {
    /// The id. Ids are not reused.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The kind of the event, for example `SIGNED_IN`.
    pub kind: String,
    /// The time of the first occurrence.
    pub at: i64,
    /// The time of the last occurrence.
    pub last_at: i64,
    /// The number of occurrences.
    pub count: i64,
    /// The id of the user that the event concerns. The user may have been deleted since. `None` if the event concerns
    /// no existing user.
    pub user_id: Option<i64>,
    /// The type of the actor: `ANONYMOUS`, `USER` or `OPERATOR`. `None` if an earlier version of Symbolon recorded
    /// the event.
    pub actor_type: Option<String>,
    /// The id of the user who acted. `None` if the actor is not a user.
    pub actor_id: Option<i64>,
    /// The type of the credential that authenticated the actor: `PASSWORD`, `SESSION_TOKEN`, `ACCESS_TOKEN`
    /// or `ONE_TIME_TOKEN`.
    pub credential_type: Option<String>,
    /// The id of the credential: the first 12 hexadecimal digits of the digest of a session token or a one-time
    /// token, or the id of an access token.
    pub credential_id: Option<String>,
    /// The role before the change: `USER` or `ADMIN`.
    pub old_role: Option<String>,
    /// The role after the change.
    pub new_role: Option<String>,
    /// The username before the change.
    pub old_username: Option<String>,
    /// The username after the change, or the last username of a deleted user.
    pub username: Option<String>,
    /// The first 12 hexadecimal digits of the digest of the token that the event concerns.
    pub token: Option<String>,
    /// The address of the client at the last occurrence.
    pub address: Option<String>,
    /// The id of the request at the last occurrence.
    pub request_id: Option<String>,
    /// A unique key that consists of the kind, the user, the hour and, for most kinds, the actor and a suffix. An
    /// event whose key already exists is added to the count of the existing row. `None` for a row to which no further
    /// events are added.
    #[sea_orm(unique)]
    pub tally: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
