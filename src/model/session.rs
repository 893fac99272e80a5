//! The session of a user: its expiration, and when its token is valid.

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Error;
use crate::model::CLOCK_TOLERANCE;
use crate::model::session_token::{Nonce, ServerKey, SessionToken};
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;

/// A token with this much left, or less, is replaced at the next sign-in.
pub(crate) const REUSE_MARGIN: TimeDelta = TimeDelta::seconds(60);

/// How long a new token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime(TimeDelta);

impl Lifetime {
    /// The latest expiration that a token can have at `now`.
    pub(crate) fn latest_expiration(now: DateTime<Utc>) -> DateTime<Utc> {
        now + TimeDelta::seconds(Self::MAX.into()) + CLOCK_TOLERANCE
    }

    /// The shortest, in seconds.
    pub(crate) const MIN: u32 = 120;
    /// The longest, in seconds: 30 days.
    pub(crate) const MAX: u32 = 30 * 24 * 60 * 60;

    pub(crate) fn from_seconds(seconds: i64) -> Result<Self, Error> {
        if !(i64::from(Self::MIN)..=i64::from(Self::MAX)).contains(&seconds) {
            let (min, max) = (Self::MIN, Self::MAX);
            return Err(Error::BadUserInput(format!(
                "A token lives for {min} to {max} seconds."
            )));
        }
        Ok(Self(TimeDelta::seconds(seconds)))
    }

    pub(crate) fn duration(self) -> TimeDelta {
        self.0
    }
}

/// The session of an account, as its row has it: everything but the token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) digest: TokenDigest,
    /// `None` once revoked.
    pub(crate) nonce: Option<Nonce>,
    pub(crate) expires_at: DateTime<Utc>,
}

impl Session {
    /// Whether its token is honoured at `now`. An expiration beyond [`Lifetime::latest_expiration`] was
    /// written while a clock was wrong, and its token is not.
    pub(crate) fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.nonce.is_some()
            && self.expires_at > now
            && self.expires_at <= Lifetime::latest_expiration(now)
    }

    /// The token, if it is to be handed out again at `now`: it is live, has more than 60 s left,
    /// and `key` is still the one that it was derived with.
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
