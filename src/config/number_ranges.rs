//! The permitted range of each number in the configuration. With values in these ranges, calculations with
//! times do not overflow, and the server can start.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

use crate::config::Config;
use crate::error::StartError;
use crate::model::hash_parts::{MAX_ARGON2_ITERATIONS, MAX_PARALLELISM};
use crate::model::session_lifetime::Lifetime;

/// At most 100 years.
const DAYS: RangeInclusive<u64> = 0..=36_500;
const MEBIBYTES: RangeInclusive<u64> = 0..=65_536;
const POOL_SIZE: RangeInclusive<u64> = 1..=10_000;
const RATE: RangeInclusive<u64> = 1..=1_000_000;
/// At most 10 minutes.
const MILLISECONDS: RangeInclusive<u64> = 1..=600_000;
/// At most one hour.
const SECONDS: RangeInclusive<u64> = 1..=3600;
/// The maximum size of a document, 16 MiB. A document contains at most one token per byte.
const MAX_COUNT: u64 = 16_777_216;
/// The depth is limited because documents are parsed and executed recursively, on a stack of limited size.
const DEPTH: RangeInclusive<u64> = 1..=100;

/// A numeric setting of a [`Config`].
///
/// ```
/// use symbolon::Config;
///
/// // A table of settings for an administration page.
/// for number in Config::default().numbers() {
///     println!("{} = {} ({:?})", number.field, number.value, number.range);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Number {
    /// The path of the field in `Config`, such as `http.body_limit`.
    pub field: &'static str,
    /// The value of the field.
    pub value: u64,
    /// The permitted values.
    pub range: RangeInclusive<u64>,
}

impl Config {
    /// Returns all numeric settings with their permitted ranges.
    ///
    /// ```
    /// use symbolon::Config;
    ///
    /// let numbers = Config::default().numbers();
    /// let length = numbers.iter().find(|number| number.field == "password_min");
    /// assert_eq!(length.map(|number| number.range.clone()), Some(8..=64));
    /// ```
    #[must_use]
    pub fn numbers(&self) -> Vec<Number> {
        let (http, limits, postgres) = (&self.http, &self.limits, &self.postgres);
        let throttle = &self.throttle;
        let hash_threads = self.hash_threads.map_or(1, NonZeroUsize::get);
        let token_lifetime = u64::from(Lifetime::MIN)..=u64::from(Lifetime::MAX);
        // Each lane of Argon2 requires 8 KiB (RFC 9106, section 3.1).
        let max_lanes = u64::from(MAX_PARALLELISM.min(self.argon2_memory / 8));
        #[rustfmt::skip]
        let numbers = [
            ("token_lifetime", self.token_lifetime.into(), token_lifetime),
            ("session_max_age", self.session_max_age.into(), DAYS),
            ("password_min", self.password_min.into(), 8..=64),
            ("argon2_memory", self.argon2_memory.into(), 8..=262_144),
            ("argon2_iterations", self.argon2_iterations.into(), 1..=MAX_ARGON2_ITERATIONS.into()),
            ("argon2_parallelism", self.argon2_parallelism.into(), 1..=max_lanes),
            ("max_hash_memory", self.max_hash_memory.into(), self.argon2_memory.into()..=1_048_576),
            ("hash_threads", hash_threads as u64, 1..=1024),
            ("hash_queue", self.hash_queue as u64, 0..=100_000),
            ("identity_cache", self.identity_cache.into(), MEBIBYTES),
            ("document_cache", self.document_cache.into(), MEBIBYTES),
            ("reset_link_lifetime", self.reset_link_lifetime.into(), 60..=86_400),
            ("invitation_lifetime", self.invitation_lifetime.into(), 3600..=2_592_000),
            ("audit_days", self.audit_days.into(), DAYS),
            ("postgres.readers", postgres.readers.into(), POOL_SIZE),
            ("postgres.writers", postgres.writers.into(), POOL_SIZE),
            ("postgres.acquire_timeout", postgres.acquire_timeout.into(), MILLISECONDS),
            ("postgres.statement_timeout", postgres.statement_timeout.into(), MILLISECONDS),
            ("throttle.account.burst", throttle.account.burst.into(), RATE),
            ("throttle.account.per_hour", throttle.account.per_hour.into(), RATE),
            ("throttle.address.burst", throttle.address.burst.into(), RATE),
            ("throttle.address.per_hour", throttle.address.per_hour.into(), RATE),
            ("throttle.registrations.burst", throttle.registrations.burst.into(), RATE),
            ("throttle.registrations.per_hour", throttle.registrations.per_hour.into(), RATE),
            // A registration fits into 512 bytes.
            ("http.body_limit", http.body_limit as u64, 512..=1 << 30),
            ("http.read_timeout", http.read_timeout, SECONDS),
            ("http.request_timeout", http.request_timeout, SECONDS),
            ("http.max_connections", http.max_connections as u64, 1..=1_000_000),
            ("limits.document_bytes", limits.document_bytes as u64, 1..=MAX_COUNT),
            ("limits.tokens", limits.tokens as u64, 1..=MAX_COUNT),
            ("limits.nesting", limits.nesting as u64, DEPTH),
            ("limits.selections", limits.selections as u64, 1..=MAX_COUNT),
            ("limits.depth", limits.depth as u64, DEPTH),
            ("limits.root_fields", limits.root_fields as u64, 1..=MAX_COUNT),
            ("limits.complexity", limits.complexity as u64, 1..=MAX_COUNT),
        ];
        let number = |(field, value, range)| Number {
            field,
            value,
            range,
        };
        numbers.map(number).into()
    }

    /// Checks that each number is in its range, and that the URLs for one-time links and the settings for
    /// CORS are valid.
    /// [`Symbolon::open`](crate::Symbolon::open) calls this method.
    ///
    /// ```
    /// use symbolon::Config;
    ///
    /// let mut config = Config::new("sqlite://app.db");
    /// config.password_min = 5;
    /// let error = config.check().unwrap_err();
    /// assert_eq!(error.to_string(), "password_min is 5; the range is 8 to 64");
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`StartError::OutOfRange`] for the first number that is outside its range, and
    /// [`StartError::Configuration`] for an invalid URL, origin or header name.
    pub fn check(&self) -> Result<(), StartError> {
        for Number {
            field,
            value,
            range,
        } in self.numbers()
        {
            if !range.contains(&value) {
                return Err(StartError::OutOfRange {
                    field,
                    value,
                    range,
                });
            }
        }
        self.check_cors()?;
        self.link_settings().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_configuration_has_a_range() {
        let mut config = Config {
            hash_threads: Some(NonZeroUsize::MIN),
            ..Config::default()
        };
        config.check().unwrap();
        // In the `Debug` output, the line of a numeric setting ends with the number. The number inside `Some`
        // has a separate line.
        let fields = format!("{config:#?}");
        let is_number = |line: &&str| {
            let value = line.rsplit(' ').next().unwrap_or_default();
            value.trim_end_matches(',').parse::<u64>().is_ok()
        };
        assert_eq!(
            config.numbers().len(),
            fields.lines().filter(is_number).count(),
            "{fields}"
        );
        config.throttle.address.per_hour = 0;
        let refused = config.check().unwrap_err().to_string();
        let expected = "throttle.address.per_hour is 0; the range is 1 to 1000000";
        assert_eq!(refused, expected);
    }
}
