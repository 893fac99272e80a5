//! Live session tokens and access tokens, which the operator can list.

use chrono::{DateTime, Utc};

use crate::model::request_credentials::TokenType;
use crate::model::user::User;

/// A live session token or access token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveToken {
    /// The type of the token.
    pub token_type: TokenType,
    /// The id of an access token or a device session. `None` for a shared session.
    pub id: Option<i64>,
    /// The name of the access token or the device. `None` for a shared session.
    pub name: Option<String>,
    /// The user who owns the token.
    pub user: User,
    /// The first 12 hexadecimal digits of the SHA-256 digest of the token, as in the audit trail.
    pub token: String,
    /// The time at which the token expires. `None` if the token does not expire.
    pub expires_at: Option<DateTime<Utc>>,
}
