//! A live token of either kind, as the operator sees it.

use chrono::{DateTime, Utc};

use crate::model::user::User;

/// A token that is honoured, as the operator sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveToken {
    /// Its number, if it is an access token.
    pub id: Option<i64>,
    /// What its owner calls it, if it is an access token.
    pub name: Option<String>,
    /// Whose it is.
    pub user: User,
    /// The first 12 hexadecimal digits of the token's digest, as the audit trail has them.
    pub token: String,
    /// When it expires; `None` if it does not.
    pub expires_at: Option<DateTime<Utc>>,
}
