//! `symbolon_user`: one row for each user. The row includes the session of the user.

use sea_orm::entity::prelude::*;

/// A user. The session token itself is not stored. It is derived from the server key, the id and
/// [`token_nonce`](Model::token_nonce), and identified by [`token_digest`](Model::token_digest).
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_user")]
pub struct Model {
    /// The id. The id of a deleted user is not reused.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The username in the spelling that the user chose.
    pub username: String,
    /// The username in canonical form, for comparisons: PRECIS `UsernameCaseMapped` (RFC 8265, section 3.3).
    #[sea_orm(unique)]
    pub username_canonical: String,
    /// The e-mail address in the spelling that the user entered.
    pub email: Option<String>,
    /// The e-mail address in lower case, for comparisons.
    #[sea_orm(unique)]
    pub email_canonical: Option<String>,
    /// The hash of the password: a PHC string, `imported:` followed by a hash from another system, `wrapped:`
    /// followed by the Argon2id hash of a weak hash and the parameters of the weak hash, or `!` for a user without a
    /// password.
    pub password_hash: String,
    /// A number that is incremented when the password changes. A sign-in issues no token if the number has changed
    /// since the password hash was read.
    pub password_version: i64,
    /// The role.
    pub role: Role,
    /// The time at which the user was disabled. `None` if the user is enabled.
    pub disabled_at: Option<i64>,
    /// The time of the registration.
    pub created_at: i64,
    /// The time at which the password was last accepted.
    pub last_sign_in_at: Option<i64>,
    /// The 24 random bytes from which the session token is derived. `None` if the session was revoked or the user has
    /// none.
    pub token_nonce: Option<Vec<u8>>,
    /// The SHA-256 digest of the session token. The digest is kept after a revocation, so that the revoked token is
    /// reported as expired.
    #[sea_orm(unique)]
    pub token_digest: Option<Vec<u8>>,
    /// The time at which the session token expires. A revocation sets the time to one second ago.
    pub token_expiration: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}

/// The role of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Role {
    /// A user without administrative rights.
    #[sea_orm(string_value = "user")]
    User,
    /// An administrator, who can manage all users.
    #[sea_orm(string_value = "admin")]
    Admin,
}
