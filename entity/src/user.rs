//! `symbolon_user`: one row for each account, with its session token.

use sea_orm::entity::prelude::*;

/// One account. The session token itself is never stored: it is derived from the server key, the
/// id and [`token_nonce`](Model::token_nonce), and recognised by [`token_digest`](Model::token_digest).
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "symbolon_user")]
pub struct Model {
    /// Never used twice, not even after a deletion.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The name as its owner writes it.
    pub username: String,
    /// The name as it is compared: PRECIS `UsernameCaseMapped` (RFC 8265, section 3.3).
    #[sea_orm(unique)]
    pub username_canonical: String,
    /// The e-mail address as its owner writes it.
    pub email: Option<String>,
    /// The e-mail address as it is compared: in lower case.
    #[sea_orm(unique)]
    pub email_canonical: Option<String>,
    /// A PHC string, or `imported:` and the hash that another system made of the password.
    pub password_hash: String,
    /// Counts the changes of the password. A token is issued only on the version that was verified.
    pub password_version: i64,
    /// What the account may do.
    pub role: Role,
    /// Since when the account may not sign in; `None` while it may.
    pub disabled_at: Option<i64>,
    /// When the account was registered.
    pub created_at: i64,
    /// When the password was last accepted.
    pub last_sign_in_at: Option<i64>,
    /// 24 random bytes that the session token is derived from; `None` once it is revoked.
    pub token_nonce: Option<Vec<u8>>,
    /// SHA-256 of the session token. Kept when the token is revoked, so that it is told from one
    /// that never was.
    #[sea_orm(unique)]
    pub token_digest: Option<Vec<u8>>,
    /// When the session token stops being valid; one second before its revocation if it was revoked.
    pub token_expiration: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum Role {
    /// Whatever concerns the account itself.
    #[sea_orm(string_value = "user")]
    User,
    /// Whatever concerns any account.
    #[sea_orm(string_value = "admin")]
    Admin,
}
