//! One-time tokens, with which a user sets a password without signing in.

use chrono::{DateTime, Utc};

use crate::model::CLOCK_TOLERANCE;
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;

/// The purpose of a one-time token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenPurpose {
    /// To replace a forgotten password.
    Reset,
    /// To choose the first password of a user whom an admin has created.
    Invitation,
}

impl TokenPurpose {
    /// Returns the name in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reset => "RESET",
            Self::Invitation => "INVITATION",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Reset, Self::Invitation]
            .into_iter()
            .find(|purpose| purpose.name() == name)
    }
}

/// The stored data of a one-time token.
#[derive(Clone, Debug)]
pub(crate) struct OneTimeToken {
    pub(crate) user: UserId,
    pub(crate) purpose: TokenPurpose,
    pub(crate) digest: TokenDigest,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    /// `None` if the token is unused.
    pub(crate) used_at: Option<DateTime<Utc>>,
}

impl OneTimeToken {
    /// Returns whether the token has expired. A token that was issued later than `now` has expired as well, because a
    /// clock was wrong.
    pub(crate) fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at <= now || self.created_at > now + CLOCK_TOLERANCE
    }
}
