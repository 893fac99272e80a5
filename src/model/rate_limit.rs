//! Rate limits: the generic cell rate algorithm (GCRA).
//!
//! The state of a bucket is the time at which it is empty. Each attempt adds one interval to that time.
//! `store/rate_limits.rs` translates the algorithm to SQL.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::CLOCK_TOLERANCE;

/// A rate limit. `20/80` allows 20 attempts at once, and 80 attempts an hour in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Attempts at once, 1 to 1,000,000.
    pub burst: u32,
    /// Attempts per hour in the long run, 1 to 1,000,000.
    pub per_hour: u32,
}

impl Rate {
    /// Returns the time that the bucket needs to drain one attempt.
    pub(crate) fn interval(self) -> TimeDelta {
        TimeDelta::milliseconds(3_600_000 / i64::from(self.per_hour))
    }

    /// Returns the time at which a bucket that becomes full at `now` is empty, in milliseconds.
    fn full_until(self, now: DateTime<Utc>) -> i64 {
        now.timestamp_millis() + self.interval().num_milliseconds() * i64::from(self.burst)
    }

    /// Returns the first and the last value, in milliseconds, of a bucket that is not empty at `now`.
    ///
    /// A value that exceeds the value of a full bucket by more than the tolerance was written while a clock was wrong,
    /// so the bucket counts as empty. The tolerance also covers attempts that were counted with a slightly later time.
    pub(crate) fn non_empty(self, now: DateTime<Utc>) -> (i64, i64) {
        let last = self.full_until(now) + CLOCK_TOLERANCE.num_milliseconds();
        (now.timestamp_millis(), last)
    }

    /// Returns the first and the last value, in milliseconds, of a bucket that refuses an attempt at `now`.
    pub(crate) fn full(self, now: DateTime<Utc>) -> (i64, i64) {
        let first = self.full_until(now) - self.interval().num_milliseconds() + 1;
        (first, self.non_empty(now).1)
    }

    /// Returns the time until a full bucket accepts the next attempt. `None` if the bucket is not full.
    pub(crate) fn retry_after(
        self,
        drained_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Option<TimeDelta> {
        let (first, last) = self.full(now);
        let value = drained_at.timestamp_millis();
        (first..=last)
            .contains(&value)
            .then(|| TimeDelta::milliseconds(value - first + 1))
    }
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rate = text.split_once('/').and_then(|(burst, per_hour)| {
            Some(Self {
                burst: burst.parse().ok()?,
                per_hour: per_hour.parse().ok()?,
            })
        });
        rate.ok_or("not a rate such as 20/80: 20 attempts at once, 80 per hour in the long run")
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.burst, self.per_hour)
    }
}
