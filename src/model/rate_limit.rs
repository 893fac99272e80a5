//! Rate limits: the generic cell rate algorithm (GCRA).
//!
//! The state of a bucket is the time at which the bucket will be empty. Each attempt adds one interval to that time.
//! `store/rate_limits.rs` implements the algorithm in SQL.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::CLOCK_TOLERANCE;

/// A rate limit. `20/80` allows 20 attempts at once, and 80 attempts per hour in the long run.
///
/// ```
/// use symbolon::Rate;
///
/// let rate: Rate = "20/80".parse()?;
/// assert_eq!(rate, Rate { burst: 20, per_hour: 80 });
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The maximum number of attempts at once, from 1 to 1,000,000.
    pub burst: u32,
    /// The maximum number of attempts per hour in the long run, from 1 to 1,000,000.
    pub per_hour: u32,
}

impl Rate {
    /// Returns the time in which a bucket drains by one attempt.
    pub(crate) fn interval(self) -> TimeDelta {
        TimeDelta::milliseconds(3_600_000 / i64::from(self.per_hour))
    }

    /// Returns the time, in milliseconds, at which a bucket that is full at `now` will have drained.
    fn full_until(self, now: DateTime<Utc>) -> i64 {
        now.timestamp_millis() + self.interval().num_milliseconds() * i64::from(self.burst)
    }

    /// Returns the smallest and the greatest state, in milliseconds, of a bucket that is not empty at `now`.
    ///
    /// If a state exceeds the state of a full bucket by more than [`CLOCK_TOLERANCE`], a clock was wrong when the
    /// state was written, and the bucket counts as empty. The tolerance also covers a concurrent attempt that was
    /// counted at a time slightly later than `now`.
    pub(crate) fn non_empty(self, now: DateTime<Utc>) -> (i64, i64) {
        let last = self.full_until(now) + CLOCK_TOLERANCE.num_milliseconds();
        (now.timestamp_millis(), last)
    }

    /// Returns the smallest and the greatest state, in milliseconds, of a bucket that refuses an attempt at `now`.
    pub(crate) fn full(self, now: DateTime<Utc>) -> (i64, i64) {
        let first = self.full_until(now) - self.interval().num_milliseconds() + 1;
        (first, self.non_empty(now).1)
    }

    /// Returns the time until a full bucket accepts the next attempt, or `None` if the bucket is not full.
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
