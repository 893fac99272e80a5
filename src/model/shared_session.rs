//! The shared session of a user.

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::server_key::ServerKey;
use crate::model::session_lifetime::Lifetime;
use crate::model::session_token::{Nonce, SessionToken};
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;

/// The time before the expiration of a session token within which a sign-in replaces the token instead of reusing it.
pub(crate) const REUSE_MARGIN: TimeDelta = TimeDelta::seconds(60);

/// The stored data of a shared session. The token itself is not stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedSession {
    pub(crate) digest: TokenDigest,
    /// `None` if the session was revoked.
    pub(crate) nonce: Option<Nonce>,
    pub(crate) expires_at: DateTime<Utc>,
}

impl SharedSession {
    /// Returns whether the token is live at `now`. A token that expires after [`Lifetime::latest_expiration`] is not
    /// live, because it was issued while a clock was wrong.
    pub(crate) fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.nonce.is_some()
            && self.expires_at > now
            && self.expires_at <= Lifetime::latest_expiration(now)
    }

    /// Derives the token again, for reuse at `now`. Returns `None` if the token is not live, expires within
    /// [`REUSE_MARGIN`], or was derived from another server key.
    pub(crate) fn reusable_token(
        &self,
        key: &ServerKey,
        user: UserId,
        now: DateTime<Utc>,
    ) -> Option<SessionToken> {
        if !self.is_live(now) || self.expires_at - now <= REUSE_MARGIN {
            return None;
        }
        let token = SessionToken::derive(key, user, self.nonce.as_ref()?);
        (token.digest() == self.digest).then_some(token)
    }
}
