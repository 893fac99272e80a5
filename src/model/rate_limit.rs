//! How often something may be tried.

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;

/// How often something may be tried: `20/80` is 20 times at once, and 80 times an hour in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Attempts at once, 1 to 1,000,000.
    pub burst: u32,
    /// Attempts per hour in the long run, 1 to 1,000,000.
    pub per_hour: u32,
}

impl Rate {
    /// How long one attempt takes to be forgotten.
    pub(crate) fn interval(self) -> TimeDelta {
        TimeDelta::milliseconds(3_600_000 / i64::from(self.per_hour))
    }

    /// How long it takes until all is forgotten, after as many attempts at once as there may be.
    pub(crate) fn capacity(self) -> TimeDelta {
        TimeDelta::milliseconds(self.interval().num_milliseconds() * i64::from(self.burst))
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
