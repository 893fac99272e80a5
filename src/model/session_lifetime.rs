//! The lifetime of a session token.

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Error;
use crate::model::CLOCK_TOLERANCE;

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
