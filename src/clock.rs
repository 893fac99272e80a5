//! The one source of instants.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// Where every instant comes from, in whole milliseconds.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// A clock that moves only when it is told to.
    Mock(MockClock),
}

impl Clock {
    /// The present instant.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            #[expect(clippy::disallowed_methods, reason = "this is the one Clock")]
            Self::System => at(Utc::now().timestamp_millis()),
            Self::Mock(mock) => at(mock.0.load(Ordering::SeqCst)),
        }
    }
}

/// The hands of a [`Clock::Mock`]; its clones are the same clock.
#[derive(Clone, Debug)]
pub struct MockClock(Arc<AtomicI64>);

impl MockClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn new(start: DateTime<Utc>) -> Self {
        Self(Arc::new(AtomicI64::new(start.timestamp_millis())))
    }

    /// Moves the clock, backwards when `by` is negative.
    pub fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

/// The instant `millis` milliseconds after the Unix epoch; instants beyond what chrono can
/// represent, which no row of ours holds, become the nearest end of its range.
#[must_use]
pub(crate) fn at(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or(if millis < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}
