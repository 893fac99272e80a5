//! `symbolon_user`: one row for each user, with the session.

use sea_orm::entity::prelude::*;

/// A user. The session token itself is not stored: it is derived from the server key, the id and
/// [`token_nonce`](Model::token_nonce), and identified by [`token_digest`](Model::token_digest).
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_user")]
pub struct Model {
    /// The id. Ids are not reused, even after a deletion.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The username as the user writes it.
    pub username: String,
    /// The username for comparisons: PRECIS `UsernameCaseMapped` (RFC 8265, section 3.3).
    #[sea_orm(unique)]
    pub username_canonical: String,
    /// The e-mail address as the user writes it.
    pub email: Option<String>,
    /// The e-mail address for comparisons: in lower case.
    #[sea_orm(unique)]
    pub email_canonical: Option<String>,
    /// The hash of the password: a PHC string, or `imported:` and the hash of another system.
    pub password_hash: String,
    /// A number that is incremented when the password changes. A token is issued only if this is still the version
    /// that was verified.
    pub password_version: i64,
    /// The role.
    pub role: Role,
    /// The time at which the user was disabled. `None` if the user is enabled.
    pub disabled_at: Option<i64>,
    /// The time of the registration.
    pub created_at: i64,
    /// The time at which the password was last accepted.
    pub last_sign_in_at: Option<i64>,
    /// The 24 random bytes from which the session token is derived. `None` if the session was revoked.
    pub token_nonce: Option<Vec<u8>>,
    /// The SHA-256 digest of the session token. A revoked session keeps it, so that the token is reported as expired.
    #[sea_orm(unique)]
    pub token_digest: Option<Vec<u8>>,
    /// The expiration of the session token. The revocation sets it one second into the past.
    pub token_expiration: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}

/// The role of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Role {
    /// Has access to its own user.
    #[sea_orm(string_value = "user")]
    User,
    /// Has access to all users.
    #[sea_orm(string_value = "admin")]
    Admin,
}
