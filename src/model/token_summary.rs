//! Live session tokens and access tokens, which the operator can list.

use chrono::{DateTime, Utc};

use crate::model::user::User;

/// A live session token or access token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveToken {
    /// The id of an access token. `None` for a session token.
    pub id: Option<i64>,
    /// The name of an access token. `None` for a session token.
    pub name: Option<String>,
    /// The user who owns the token.
    pub user: User,
    /// The first 12 hexadecimal digits of the SHA-256 digest of the token, as in the audit trail.
    pub token: String,
    /// The time at which the token expires. `None` if the token does not expire.
    pub expires_at: Option<DateTime<Utc>>,
}
