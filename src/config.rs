//! The configuration. The comment on each field is its help text.
#![expect(clippy::doc_markdown, reason = "help texts are read on a terminal")]

use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, FromArgMatches};

use crate::error::StartError;
use crate::model::token::Lifetime;

/// What can be configured, by flag or environment.
///
/// The key itself is taken from the environment variable `SYMBOLON_SECRET_KEY` only: whatever stands
/// on a command line can be read by every user of the machine.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The database: `sqlite://FILE`. The file is made if it is missing.
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "URL",
        default_value = "sqlite://symbolon.db"
    )]
    pub database_url: String,

    /// The server key, base64 of 32 bytes.
    #[arg(skip = std::env::var("SYMBOLON_SECRET_KEY").ok().map(Secret))]
    pub secret_key: Option<Secret>,

    /// A file with the server key: base64 of 32 bytes. With neither this nor the key itself in
    /// SYMBOLON_SECRET_KEY, a key file is made beside the database.
    #[arg(long, env = "SYMBOLON_SECRET_KEY_FILE", value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,

    /// How long a new token lives, in seconds: 120 to 2592000.
    #[arg(long, env = "SYMBOLON_TOKEN_LIFETIME", value_name = "SECONDS", default_value_t = 3600,
          value_parser = clap::value_parser!(u32).range(i64::from(Lifetime::MIN)..=i64::from(Lifetime::MAX)))]
    pub token_lifetime: u32,

    /// Memory that one password hash takes, in KiB.
    #[arg(
        long,
        env = "SYMBOLON_ARGON2_MEMORY",
        value_name = "KIB",
        default_value_t = 19456
    )]
    pub argon2_memory: u32,

    /// Passes over that memory.
    #[arg(
        long,
        env = "SYMBOLON_ARGON2_ITERATIONS",
        value_name = "N",
        default_value_t = 2
    )]
    pub argon2_iterations: u32,

    /// Lanes of that memory.
    #[arg(
        long,
        env = "SYMBOLON_ARGON2_PARALLELISM",
        value_name = "N",
        default_value_t = 1
    )]
    pub argon2_parallelism: u32,

    /// Threads that hash passwords; one for each core unless given.
    #[arg(long, env = "SYMBOLON_HASH_THREADS", value_name = "N")]
    pub hash_threads: Option<NonZeroUsize>,

    /// Sign-ins and registrations that may wait for such a thread; more are refused at once.
    #[arg(
        long,
        env = "SYMBOLON_HASH_QUEUE",
        value_name = "N",
        default_value_t = 128
    )]
    pub hash_queue: usize,
}

impl Config {
    /// The configuration that the environment gives. The command line is not looked at.
    pub fn from_env() -> Result<Self, StartError> {
        let command = Self::augment_args(clap::Command::new("symbolon").no_binary_name(true));
        let parsed = command.try_get_matches_from(std::iter::empty::<&str>());
        // clap explains over several lines; the first says what is wrong.
        parsed
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| {
                let text = error.to_string();
                let line = text.lines().next().unwrap_or_default();
                StartError::new(line.trim_start_matches("error: "))
            })
    }
}

/// A text that no log and no debug output shows.
#[derive(Clone)]
pub struct Secret(pub(crate) String);

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}
