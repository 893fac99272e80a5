//! The session of a user.

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Error;
use crate::model::CLOCK_TOLERANCE;
use crate::model::server_key::ServerKey;
use crate::model::session_token::{Nonce, SessionToken};
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;

/// The time before the expiration of a session token within which a sign-in replaces the token instead of reusing it.
pub(crate) const REUSE_MARGIN: TimeDelta = TimeDelta::seconds(60);

/// The lifetime of a new session token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime(TimeDelta);

impl Lifetime {
    /// Returns the latest expiration that a session token can have at `now`.
    pub(crate) fn latest_expiration(now: DateTime<Utc>) -> DateTime<Utc> {
        now + TimeDelta::seconds(Self::MAX.into()) + CLOCK_TOLERANCE
    }

    /// The shortest lifetime, in seconds.
    pub(crate) const MIN: u32 = 120;
    /// The longest lifetime, in seconds: 30 days.
    pub(crate) const MAX: u32 = 30 * 24 * 60 * 60;

    pub(crate) fn from_seconds(seconds: i64) -> Result<Self, Error> {
        if !(i64::from(Self::MIN)..=i64::from(Self::MAX)).contains(&seconds) {
            let (min, max) = (Self::MIN, Self::MAX);
            return Err(Error::BadUserInput(format!(
                "A token must be valid for {min} to {max} seconds."
            )));
        }
        Ok(Self(TimeDelta::seconds(seconds)))
    }

    pub(crate) fn duration(self) -> TimeDelta {
        self.0
    }
}

/// The stored data of a session. The token itself is not stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) digest: TokenDigest,
    /// `None` if the session was revoked.
    pub(crate) nonce: Option<Nonce>,
    pub(crate) expires_at: DateTime<Utc>,
}

impl Session {
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
