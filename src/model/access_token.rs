//! Access tokens: named, long-lived tokens for devices, scripts and other services.

use chrono::{DateTime, Utc};

use crate::model::scopes::Scopes;
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;

/// The stored data of an access token.
#[derive(Clone, Debug)]
pub(crate) struct AccessToken {
    pub(crate) id: i64,
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) digest: TokenDigest,
    pub(crate) scopes: Scopes,
    pub(crate) created_at: DateTime<Utc>,
    /// `None` for a token that does not expire.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// Accurate to the minute.
    pub(crate) last_used_at: Option<DateTime<Utc>>,
}

impl AccessToken {
    pub(crate) fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}
