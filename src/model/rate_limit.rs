//! How often something may be tried.

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;

/// How often something may be tried: `20/80` is 20 times at once, and 80 times an hour in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    burst: u32,
    per_hour: u32,
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
        let refused = "not a rate such as 20/80: 20 at once, 80 an hour; each 1 to 1000000";
        let (burst, per_hour) = text.split_once('/').ok_or(refused)?;
        let number = |text: &str| {
            let number = text.parse().ok();
            number.filter(|number| (1..=1_000_000).contains(number))
        };
        match (number(burst), number(per_hour)) {
            (Some(burst), Some(per_hour)) => Ok(Self { burst, per_hour }),
            _ => Err(refused),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.burst, self.per_hour)
    }
}
