//! The ranges of the ranges in the configuration. Within them no calculation with times overflows, and the
//! server can start.

use std::num::NonZeroUsize;

use crate::config::Config;
use crate::error::StartError;
use crate::model::password_hash::{MAX_ARGON2_ITERATIONS, MAX_PARALLELISM};
use crate::model::session::Lifetime;

/// A setting that is a whole number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    /// Its environment variable.
    name: &'static str,
    min: u64,
    max: u64,
}

const fn number(name: &'static str, min: u64, max: u64) -> Number {
    Number { name, min, max }
}

/// 100 years.
const MAX_DAYS: u64 = 36_500;
const MAX_MEBIBYTES: u64 = 65_536;
const MAX_CONNECTIONS_OF_A_POOL: u64 = 10_000;
/// Ten minutes.
const MAX_MILLISECONDS: u64 = 600_000;
/// An hour.
const MAX_SECONDS: u64 = 3600;
/// A document of 16 MiB cannot have more.
const MAX_COUNT: u64 = 16_777_216;
/// Documents are parsed and executed recursively.
const MAX_DEPTH: u64 = 100;

pub(super) const TOKEN_LIFETIME: Number = number(
    "SYMBOLON_TOKEN_LIFETIME",
    Lifetime::MIN as u64,
    Lifetime::MAX as u64,
);
pub(super) const SESSION_MAX_AGE: Number = number("SYMBOLON_SESSION_MAX_AGE", 0, MAX_DAYS);
pub(super) const PASSWORD_MIN: Number = number("SYMBOLON_PASSWORD_MIN", 8, 64);
/// 256 MiB.
pub(super) const ARGON2_MEMORY: Number = number("SYMBOLON_ARGON2_MEMORY", 8, 262_144);
pub(super) const ARGON2_ITERATIONS: Number = number(
    "SYMBOLON_ARGON2_ITERATIONS",
    1,
    MAX_ARGON2_ITERATIONS as u64,
);
pub(super) const ARGON2_PARALLELISM: Number =
    number("SYMBOLON_ARGON2_PARALLELISM", 1, MAX_PARALLELISM as u64);
pub(super) const HASH_THREADS: Number = number("SYMBOLON_HASH_THREADS", 1, 1024);
pub(super) const HASH_QUEUE: Number = number("SYMBOLON_HASH_QUEUE", 0, 100_000);
pub(super) const IDENTITY_CACHE: Number = number("SYMBOLON_IDENTITY_CACHE", 0, MAX_MEBIBYTES);
pub(super) const DOCUMENT_CACHE: Number = number("SYMBOLON_DOCUMENT_CACHE", 0, MAX_MEBIBYTES);
pub(super) const AUDIT_DAYS: Number = number("SYMBOLON_AUDIT_DAYS", 0, MAX_DAYS);
pub(super) const POSTGRES_READERS: Number =
    number("SYMBOLON_POSTGRES_READERS", 1, MAX_CONNECTIONS_OF_A_POOL);
pub(super) const POSTGRES_WRITERS: Number =
    number("SYMBOLON_POSTGRES_WRITERS", 1, MAX_CONNECTIONS_OF_A_POOL);
pub(super) const POSTGRES_ACQUIRE_TIMEOUT: Number =
    number("SYMBOLON_POSTGRES_ACQUIRE_TIMEOUT", 1, MAX_MILLISECONDS);
pub(super) const POSTGRES_STATEMENT_TIMEOUT: Number =
    number("SYMBOLON_POSTGRES_STATEMENT_TIMEOUT", 1, MAX_MILLISECONDS);
/// A registration fits into 512 bytes.
pub(super) const BODY_LIMIT: Number = number("SYMBOLON_BODY_LIMIT", 512, 1 << 30);
pub(super) const READ_TIMEOUT: Number = number("SYMBOLON_READ_TIMEOUT", 1, MAX_SECONDS);
pub(super) const REQUEST_TIMEOUT: Number = number("SYMBOLON_REQUEST_TIMEOUT", 1, MAX_SECONDS);
pub(super) const MAX_CONNECTIONS: Number = number("SYMBOLON_MAX_CONNECTIONS", 1, 1_000_000);
pub(super) const LIMIT_DOCUMENT_BYTES: Number =
    number("SYMBOLON_LIMIT_DOCUMENT_BYTES", 1, MAX_COUNT);
pub(super) const LIMIT_TOKENS: Number = number("SYMBOLON_LIMIT_TOKENS", 1, MAX_COUNT);
pub(super) const LIMIT_NESTING: Number = number("SYMBOLON_LIMIT_NESTING", 1, MAX_DEPTH);
pub(super) const LIMIT_SELECTIONS: Number = number("SYMBOLON_LIMIT_SELECTIONS", 1, MAX_COUNT);
pub(super) const LIMIT_DEPTH: Number = number("SYMBOLON_LIMIT_DEPTH", 1, MAX_DEPTH);
pub(super) const LIMIT_ROOT_FIELDS: Number = number("SYMBOLON_LIMIT_ROOT_FIELDS", 1, MAX_COUNT);
pub(super) const LIMIT_COMPLEXITY: Number = number("SYMBOLON_LIMIT_COMPLEXITY", 1, MAX_COUNT);

impl Number {
    /// Reads a value of the setting from a text.
    pub(super) fn parse<T: TryFrom<u64>>(self, text: &str) -> Result<T, String> {
        let value = text.trim().parse().ok();
        let value = value.filter(|value| (self.min..=self.max).contains(value));
        let value = value.and_then(|value| T::try_from(value).ok());
        value.ok_or_else(|| self.rule())
    }

    /// The same for a number of threads.
    pub(super) fn parse_count(self, text: &str) -> Result<NonZeroUsize, String> {
        NonZeroUsize::new(self.parse(text)?).ok_or_else(|| self.rule())
    }

    fn rule(self) -> String {
        let Self { name, min, max } = self;
        format!("{name} is a whole number from {min} to {max}")
    }

    fn check(self, value: u64) -> Result<(), StartError> {
        if (self.min..=self.max).contains(&value) {
            return Ok(());
        }
        let rule = self.rule();
        Err(StartError::new(format!("{rule}, and not {value}")))
    }
}

impl Config {
    /// Every number that is set, with its range.
    fn ranges(&self) -> [(Number, u64); 26] {
        let (http, limits, postgres) = (&self.http, &self.limits, &self.postgres);
        let threads = self.hash_threads.map_or(1, NonZeroUsize::get);
        [
            (TOKEN_LIFETIME, self.token_lifetime.into()),
            (SESSION_MAX_AGE, self.session_max_age.into()),
            (PASSWORD_MIN, self.password_min.into()),
            (ARGON2_MEMORY, self.argon2_memory.into()),
            (ARGON2_ITERATIONS, self.argon2_iterations.into()),
            (ARGON2_PARALLELISM, self.argon2_parallelism.into()),
            (HASH_THREADS, threads as u64),
            (HASH_QUEUE, self.hash_queue as u64),
            (IDENTITY_CACHE, self.identity_cache.into()),
            (DOCUMENT_CACHE, self.document_cache.into()),
            (AUDIT_DAYS, self.audit_days.into()),
            (POSTGRES_READERS, postgres.readers.into()),
            (POSTGRES_WRITERS, postgres.writers.into()),
            (POSTGRES_ACQUIRE_TIMEOUT, postgres.acquire_timeout.into()),
            (
                POSTGRES_STATEMENT_TIMEOUT,
                postgres.statement_timeout.into(),
            ),
            (BODY_LIMIT, http.body_limit as u64),
            (READ_TIMEOUT, http.read_timeout),
            (REQUEST_TIMEOUT, http.request_timeout),
            (MAX_CONNECTIONS, http.max_connections as u64),
            (LIMIT_DOCUMENT_BYTES, limits.document_bytes as u64),
            (LIMIT_TOKENS, limits.tokens as u64),
            (LIMIT_NESTING, limits.nesting as u64),
            (LIMIT_SELECTIONS, limits.selections as u64),
            (LIMIT_DEPTH, limits.depth as u64),
            (LIMIT_ROOT_FIELDS, limits.root_fields as u64),
            (LIMIT_COMPLEXITY, limits.complexity as u64),
        ]
    }

    /// Checks the ranges of a configuration that may have been made by a program.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let mut ranges = self.ranges().into_iter();
        ranges.try_for_each(|(number, value)| number.check(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the settings that take a number: their default is one, or their value is called so.
    fn numeric() -> Vec<String> {
        let command = <Config as clap::Args>::augment_args(clap::Command::new("symbolon"));
        let numeric = command.get_arguments().filter(|argument| {
            let placeholders = argument.get_value_names().unwrap_or_default();
            let units = [
                "N",
                "SECONDS",
                "DAYS",
                "MS",
                "MIB",
                "KIB",
                "BYTES",
                "CHARACTERS",
            ];
            let default = argument.get_default_values().first();
            let default = default.and_then(|default| default.to_str());
            default.is_some_and(|default| default.parse::<u64>().is_ok())
                || placeholders
                    .iter()
                    .any(|name| units.contains(&name.as_str()))
        });
        let name = |argument: &clap::Arg| argument.get_env()?.to_str().map(str::to_owned);
        let mut names: Vec<_> = numeric.filter_map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn every_number_of_the_configuration_has_a_range_that_is_checked() {
        let config = Config::from_env().unwrap();
        let checked = config.ranges();
        let mut names: Vec<_> = checked
            .iter()
            .map(|(number, _)| number.name.to_owned())
            .collect();
        names.sort();
        assert_eq!(names, numeric());
        assert!(config.check().is_ok());
        for (Number { name, min, max }, _) in checked {
            // The command line has the same range.
            let command = <Config as clap::Args>::augment_args(clap::Command::new("symbolon"));
            let argument = command
                .get_arguments()
                .find(|one| one.get_env() == Some(name.as_ref()));
            let flag = format!("--{}", argument.unwrap().get_long().unwrap());
            let mut texts = vec![(min.to_string(), true), (max.to_string(), true)];
            texts.push(((max + 1).to_string(), false));
            for wrong in ["", "-1", "1.5", "many", "18446744073709551616"] {
                texts.push((wrong.to_owned(), false));
            }
            if min > 0 {
                texts.push(((min - 1).to_string(), false));
            }
            for (text, is_accepted) in texts {
                let given = ["symbolon".to_owned(), format!("{flag}={text}")];
                let parsed = command.clone().try_get_matches_from(given);
                assert_eq!(parsed.is_ok(), is_accepted, "{flag}={text}");
                if let Err(error) = parsed {
                    let (range, error) = (format!("from {min} to {max}"), error.to_string());
                    assert!(error.contains(name) && error.contains(&range), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_number_that_a_program_sets_is_checked() {
        let mut config = Config::from_env().unwrap();
        config.audit_days = 999_999_999;
        let refused = config.check().unwrap_err().to_string();
        let expected = "SYMBOLON_AUDIT_DAYS is a whole number from 0 to 36500, and not 999999999";
        assert_eq!(refused, expected);
    }
}
