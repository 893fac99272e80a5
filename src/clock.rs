//! The one source of instants.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, TimeDelta, Utc};

/// Where every instant comes from, in whole milliseconds.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// The system's clock, corrected by how far it is from that of the database: the one that several
    /// instances have in common.
    Database(DatabaseClock),
    /// A clock that moves only when it is told to.
    Mock(MockClock),
}

impl Clock {
    /// The present instant.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => at(system_millis()),
            Self::Database(clock) => {
                let offset = clock.0.offset.load(Ordering::Relaxed);
                at(system_millis().saturating_add(offset))
            }
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

/// How far the system's clock is from the database's, as it was measured last; its clones are the same.
#[derive(Clone, Debug, Default)]
pub struct DatabaseClock(Arc<Measured>);

#[derive(Debug, Default)]
struct Measured {
    /// In milliseconds, to be added to what the system's clock says.
    offset: AtomicI64,
    /// When that was measured, and how wrong it may be.
    quality: Mutex<Option<(Instant, Duration)>>,
}

impl DatabaseClock {
    /// Learns from an answer: it was asked for at the instant `asked` of the system's clock, took
    /// `time`, and has the instant `millis` of the database's clock in it.
    ///
    /// The answer may have been written at any time in between, so a quick one says more than a slow
    /// one; but what was measured grows old, and clocks are set.
    pub(crate) fn record(&self, asked: DateTime<Utc>, time: Duration, millis: i64) {
        let half = time / 2;
        let middle = asked.timestamp_millis() + i64::try_from(half.as_millis()).unwrap_or(0);
        let offset = millis - middle;
        let present = self.0.offset.load(Ordering::Relaxed);
        let mut quality = self
            .0
            .quality
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Clocks drift apart by some 100 ms in 1000 s at the most; and both count whole milliseconds.
        let known = quality.map(|(since, bound)| bound + since.elapsed() / 10_000);
        let is_better = known.is_none_or(|bound| half <= bound);
        let differ = Duration::from_millis(offset.abs_diff(present));
        let was_set = known.is_some_and(|bound| differ > half + bound + Duration::from_millis(2));
        if is_better || was_set {
            *quality = Some((Instant::now(), half));
            self.0.offset.store(offset, Ordering::Relaxed);
        }
    }
}

/// The time since an arbitrary moment, which also runs while the machine is suspended, unlike that of
/// [`Instant`].
#[derive(Clone, Debug)]
pub(crate) enum BootClock {
    /// The clock of the system: `CLOCK_BOOTTIME` on Linux.
    System,
    /// A clock that tests move, in microseconds.
    #[cfg(test)]
    Mock(Arc<std::sync::atomic::AtomicU64>),
}

impl BootClock {
    /// Microseconds, at least 1.
    pub(crate) fn micros(&self) -> u64 {
        match self {
            Self::System => {
                #[cfg(target_os = "linux")]
                let clock = rustix::time::ClockId::Boottime;
                #[cfg(not(target_os = "linux"))]
                let clock = rustix::time::ClockId::Monotonic;
                let time = rustix::time::clock_gettime(clock);
                let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
                let micros = u64::try_from(time.tv_nsec / 1000).unwrap_or(0);
                (seconds * 1_000_000 + micros).max(1)
            }
            #[cfg(test)]
            Self::Mock(micros) => micros.load(Ordering::SeqCst).max(1),
        }
    }
}

/// What the system's clock says, in milliseconds after the Unix epoch.
fn system_millis() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "this is the one Clock")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map(|since| since.as_millis()).unwrap_or_default();
    i64::try_from(millis).unwrap_or(i64::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_says_less_than_a_quick_one_and_a_clock_that_was_set_is_followed() {
        let clock = DatabaseClock::default();
        let offset = || clock.0.offset.load(Ordering::Relaxed);
        let millis = Duration::from_millis;
        clock.record(at(1_000_000), millis(40), 1_000_120);
        assert_eq!(offset(), 100);
        clock.record(at(1_000_300), millis(2), 1_000_391);
        assert_eq!(offset(), 90);
        // Somewhere between 60 and 120, which is known better.
        clock.record(at(1_000_600), millis(60), 1_000_720);
        assert_eq!(offset(), 90);
        clock.record(at(1_000_900), millis(60), 2_000_930);
        assert_eq!(offset(), 1_000_000);
    }
}
