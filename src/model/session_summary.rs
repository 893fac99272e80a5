//! The list of all sessions of a user.

use chrono::{DateTime, Utc};

use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;

/// A live session in the list of the sessions of a user.
#[derive(Clone, Debug)]
pub(crate) struct SessionSummary {
    pub(crate) user: UserId,
    pub(crate) digest: TokenDigest,
    /// The name of the device. `None` for the shared session.
    pub(crate) device: Option<String>,
    /// `None` if an earlier version of Symbolon issued the token. The details below are then `None` as well.
    pub(crate) created_at: Option<DateTime<Utc>>,
    pub(crate) expires_at: DateTime<Utc>,
    /// Accurate to the minute.
    pub(crate) last_used_at: Option<DateTime<Utc>>,
    pub(crate) address: Option<String>,
    pub(crate) user_agent: Option<String>,
}
