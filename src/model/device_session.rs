//! Device sessions.

use chrono::{DateTime, Utc};

use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;

/// The stored data of a device session: a session of one device, with its own token.
#[derive(Clone, Debug)]
pub(crate) struct DeviceSession {
    pub(crate) id: i64,
    pub(crate) user: UserId,
    /// The name of the device.
    pub(crate) device: String,
    pub(crate) digest: TokenDigest,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) is_revoked: bool,
    /// Accurate to the minute.
    pub(crate) last_used_at: Option<DateTime<Utc>>,
}
