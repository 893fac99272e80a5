//! Clocks. Only this module reads the system's time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, TimeDelta, Utc};

/// A source of the current time, in whole milliseconds.
///
/// ```
/// use chrono::Utc;
/// use symbolon::{Clock, MockClock, Symbolon};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// // Production: the default is `Clock::System`.
/// let symbolon = Symbolon::open(config.clone()).await?;
/// # symbolon.close().await?;
/// // Tests:
/// let clock = MockClock::new(Utc::now());
/// let symbolon = Symbolon::builder(config).clock(Clock::Mock(clock.clone())).open().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clock. An instance with a PostgreSQL database uses [`Clock::Database`] instead.
    #[default]
    System,
    /// The clock of the PostgreSQL server, which all instances share. Its time is the system's time plus a measured
    /// offset.
    Database(DatabaseClock),
    /// A clock that is set by tests.
    Mock(MockClock),
}

impl Clock {
    /// Returns the current time.
    ///
    /// ```
    /// use chrono::{DateTime, Utc};
    /// use symbolon::{Clock, MockClock};
    ///
    /// let start = DateTime::<Utc>::UNIX_EPOCH;
    /// assert_eq!(Clock::Mock(MockClock::new(start)).now(), start);
    /// assert!(Clock::System.now() > start);
    /// ```
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

/// The clock of [`Clock::Mock`]. Clones share the time.
///
/// ```
/// use chrono::{DateTime, TimeDelta, Utc};
/// use symbolon::{Clock, MockClock};
///
/// let noon: DateTime<Utc> = "2026-03-01T12:00:00Z".parse()?;
/// let mock = MockClock::new(noon);
/// let clock = Clock::Mock(mock.clone());
/// mock.advance(TimeDelta::minutes(90));
/// assert_eq!(clock.now().to_rfc3339(), "2026-03-01T13:30:00+00:00");
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MockClock(Arc<AtomicI64>);

impl MockClock {
    /// Creates a clock whose time is `start`, rounded down to a whole millisecond. The time changes only through
    /// [`MockClock::advance`].
    ///
    /// ```
    /// use chrono::Utc;
    /// use symbolon::{Clock, MockClock};
    ///
    /// let start = Utc::now();
    /// let clock = Clock::Mock(MockClock::new(start));
    /// assert_eq!(clock.now().timestamp_millis(), start.timestamp_millis());
    /// ```
    #[must_use]
    pub fn new(start: DateTime<Utc>) -> Self {
        Self(Arc::new(AtomicI64::new(start.timestamp_millis())))
    }

    /// Moves the clock forward by `by`, or back if `by` is negative. Fractions of a millisecond are ignored.
    ///
    /// ```
    /// use chrono::{DateTime, TimeDelta};
    /// use symbolon::{Clock, MockClock};
    ///
    /// let clock = MockClock::new(DateTime::UNIX_EPOCH);
    /// clock.advance(TimeDelta::days(30));
    /// clock.advance(TimeDelta::days(-1));
    /// assert_eq!(Clock::Mock(clock).now().to_rfc3339(), "1970-01-30T00:00:00+00:00");
    /// ```
    pub fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

/// The measured difference between the database's clock and the system's clock. Clones share the measurement. Each
/// instance with a PostgreSQL database creates and measures its own.
///
/// ```
/// use symbolon::{Clock, DatabaseClock};
///
/// // Before the first measurement, the offset is 0.
/// let clock = Clock::Database(DatabaseClock::default());
/// assert!(clock.now() <= Clock::System.now());
/// ```
#[derive(Clone, Debug, Default)]
pub struct DatabaseClock(Arc<Measurement>);

#[derive(Debug, Default)]
struct Measurement {
    /// The database's time minus the system's time, in milliseconds.
    offset: AtomicI64,
    /// The time and the maximum error of the measurement. `None` before the first measurement.
    error: Mutex<Option<(Instant, Duration)>>,
}

impl DatabaseClock {
    /// Records a measurement. The query was sent at the system's time `sent_at`, and its answer arrived after `time`.
    /// The answer is `millis`, the database's time in milliseconds since the Unix epoch.
    ///
    /// The database may have read its clock at any time between the sending of the query and the arrival of the
    /// answer. Therefore, a query that is answered quickly gives a more exact measurement. A measurement becomes
    /// less exact with time, because clocks drift. A new measurement replaces the previous one if the new one is at
    /// least as exact. A new measurement that contradicts the previous one always replaces the previous one, because
    /// a contradiction means that a clock was set.
    pub(crate) fn record(&self, sent_at: DateTime<Utc>, time: Duration, millis: i64) {
        let half = time / 2;
        let middle = sent_at.timestamp_millis() + i64::try_from(half.as_millis()).unwrap_or(0);
        let offset = millis - middle;
        let difference = offset.abs_diff(self.0.offset.load(Ordering::Relaxed));
        let difference = Duration::from_millis(difference);
        let error = self.0.error.lock();
        let mut error = error.unwrap_or_else(PoisonError::into_inner);
        // The calculation assumes that clocks drift by at most 100 ms in 1000 s.
        let previous = error.map(|(since, bound)| bound + since.elapsed() / 10_000);
        let is_better = previous.is_none_or(|bound| half <= bound);
        // Both times are rounded to whole milliseconds.
        let rounding = Duration::from_millis(2);
        let was_set = previous.is_some_and(|bound| difference > half + bound + rounding);
        if is_better || was_set {
            *error = Some((Instant::now(), half));
            self.0.offset.store(offset, Ordering::Relaxed);
        }
    }
}

/// A monotonic clock that, unlike [`Instant`], also runs while the machine is suspended.
#[derive(Clone, Debug)]
pub(crate) enum BootClock {
    /// The system's clock: `CLOCK_BOOTTIME` on Linux.
    System,
    /// A clock that is set by tests, in microseconds.
    #[cfg(test)]
    Mock(Arc<std::sync::atomic::AtomicU64>),
}

impl BootClock {
    /// Returns the time since an arbitrary instant, in microseconds. The result is at least 1.
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

/// Returns the system's time, in milliseconds since the Unix epoch.
fn system_millis() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "instants come from this module")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map(|since| since.as_millis()).unwrap_or_default();
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// The last year that a timestamp of RFC 3339 can represent.
pub(crate) const MAX_YEAR: i32 = 9999;

/// The first millisecond of the year 0, and the last millisecond of the year [`MAX_YEAR`].
const RFC_3339_RANGE: (i64, i64) = (-62_167_219_200_000, 253_402_300_799_999);

/// Converts milliseconds since the Unix epoch to an instant. Instants that RFC 3339 cannot represent are clamped.
#[must_use]
pub(crate) fn at(millis: i64) -> DateTime<Utc> {
    let (first, last) = RFC_3339_RANGE;
    DateTime::from_timestamp_millis(millis.clamp(first, last)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use chrono::Datelike;

    use super::*;

    #[test]
    fn instants_have_the_years_of_rfc_3339() {
        for (millis, expected) in [
            (i64::MIN, "0000-01-01T00:00:00+00:00"),
            (0, "1970-01-01T00:00:00+00:00"),
            (253_402_300_800_000, "9999-12-31T23:59:59.999+00:00"),
            (i64::MAX, "9999-12-31T23:59:59.999+00:00"),
        ] {
            assert_eq!(at(millis).to_rfc3339(), expected);
        }
        assert_eq!(at(i64::MAX).year(), MAX_YEAR);
    }

    #[test]
    fn the_most_exact_measurement_is_used_until_the_clock_is_set() {
        let clock = DatabaseClock::default();
        let offset = || clock.0.offset.load(Ordering::Relaxed);
        let millis = Duration::from_millis;
        clock.record(at(1_000_000), millis(40), 1_000_120);
        assert_eq!(offset(), 100);
        clock.record(at(1_000_300), millis(2), 1_000_391);
        assert_eq!(offset(), 90);
        // This measurement only shows that the offset is between 60 and 120 ms. The previous measurement is more
        // exact.
        clock.record(at(1_000_600), millis(60), 1_000_720);
        assert_eq!(offset(), 90);
        clock.record(at(1_000_900), millis(60), 2_000_930);
        assert_eq!(offset(), 1_000_000);
    }
}
