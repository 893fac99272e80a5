//! The configuration. The comment on each field is its help text.
#![expect(clippy::doc_markdown, reason = "help texts are read on a terminal")]

mod limits;
mod ranges;

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, FromArgMatches, ValueEnum};
use ipnet::IpNet;

pub use self::limits::Limits;
use crate::error::StartError;
use crate::model::rate_limit::Rate;
use crate::model::user::Role;

/// What can be configured, by flag or environment.
///
/// The key itself is taken from the environment variable `SYMBOLON_SECRET_KEY` only: whatever stands
/// on a command line can be read by every user of the machine.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The database: `sqlite://FILE`, which is created if it is missing, or
    /// `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full&sslrootcert=FILE`.
    #[arg(
        long,
        env = "DATABASE_URL",
        value_name = "URL",
        default_value = "sqlite://symbolon.db",
        hide_env_values = true
    )]
    pub database_url: Secret,

    /// How PostgreSQL is spoken to.
    #[command(flatten)]
    pub postgres: PostgresConfig,

    /// The server key, base64 of 32 bytes.
    #[arg(skip = std::env::var("SYMBOLON_SECRET_KEY").ok().map(Secret))]
    pub secret_key: Option<Secret>,

    /// A file with the server key: base64 of 32 bytes. With neither this nor the key itself in
    /// SYMBOLON_SECRET_KEY, a key file is made beside the database. With PostgreSQL one of them must be
    /// given, and be the same for all instances.
    #[arg(long, env = "SYMBOLON_SECRET_KEY_FILE", value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,

    /// How long a new token lives, in seconds: 120 to 2592000.
    #[arg(
        long,
        env = "SYMBOLON_TOKEN_LIFETIME",
        value_name = "SECONDS",
        default_value_t = 3600,
        value_parser = |text: &str| ranges::TOKEN_LIFETIME.parse::<u32>(text)
    )]
    pub token_lifetime: u32,

    /// Whether a sign-in hands the session token out again that there is. Without, each one replaces it.
    #[arg(long, env = "SYMBOLON_REUSE", value_name = "ON|OFF", default_value = "on",
          action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub reuse: bool,

    /// How long after a sign-in its session token can be renewed, in days.
    #[arg(
        long,
        env = "SYMBOLON_SESSION_MAX_AGE",
        value_name = "DAYS",
        default_value_t = 30,
        value_parser = |text: &str| ranges::SESSION_MAX_AGE.parse::<u32>(text)
    )]
    pub session_max_age: u32,

    /// The shortest new password, in characters: 8 to 64. NIST SP 800-63B-4 requires 15 where a password
    /// is the only factor.
    #[arg(
        long,
        env = "SYMBOLON_PASSWORD_MIN",
        value_name = "CHARACTERS",
        default_value_t = 8,
        value_parser = |text: &str| ranges::PASSWORD_MIN.parse::<u32>(text)
    )]
    pub password_min: u32,

    /// Memory that one password hash takes, in KiB.
    #[arg(
        long,
        env = "SYMBOLON_ARGON2_MEMORY",
        value_name = "KIB",
        default_value_t = 19456,
        value_parser = |text: &str| ranges::ARGON2_MEMORY.parse::<u32>(text)
    )]
    pub argon2_memory: u32,

    /// Passes over that memory.
    #[arg(
        long,
        env = "SYMBOLON_ARGON2_ITERATIONS",
        value_name = "N",
        default_value_t = 2,
        value_parser = |text: &str| ranges::ARGON2_ITERATIONS.parse::<u32>(text)
    )]
    pub argon2_iterations: u32,

    /// Lanes of that memory.
    #[arg(
        long,
        env = "SYMBOLON_ARGON2_PARALLELISM",
        value_name = "N",
        default_value_t = 1,
        value_parser = |text: &str| ranges::ARGON2_PARALLELISM.parse::<u32>(text)
    )]
    pub argon2_parallelism: u32,

    /// Threads that hash passwords; one for each core unless given.
    #[arg(
        long,
        env = "SYMBOLON_HASH_THREADS",
        value_name = "N",
        value_parser = |text: &str| ranges::HASH_THREADS.parse_count(text)
    )]
    pub hash_threads: Option<NonZeroUsize>,

    /// Sign-ins and registrations that may wait for such a thread; more are refused at once. One
    /// address can have a quarter of the places.
    #[arg(
        long,
        env = "SYMBOLON_HASH_QUEUE",
        value_name = "N",
        default_value_t = 128,
        value_parser = |text: &str| ranges::HASH_QUEUE.parse::<usize>(text)
    )]
    pub hash_queue: usize,

    /// Memory for whom tokens speak for, in MiB. Without any, every request asks the database, and what
    /// another instance ended is refused at once.
    #[arg(
        long,
        env = "SYMBOLON_IDENTITY_CACHE",
        value_name = "MIB",
        default_value_t = 64,
        value_parser = |text: &str| ranges::IDENTITY_CACHE.parse::<u32>(text)
    )]
    pub identity_cache: u32,

    /// Memory for documents that were parsed and checked, in MiB.
    #[arg(
        long,
        env = "SYMBOLON_DOCUMENT_CACHE",
        value_name = "MIB",
        default_value_t = 16,
        value_parser = |text: &str| ranges::DOCUMENT_CACHE.parse::<u32>(text)
    )]
    pub document_cache: u32,

    /// Whether anybody may register; admins may always.
    #[arg(long, env = "SYMBOLON_REGISTRATION", value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub registration: bool,

    /// The accounts to which the list of accounts is visible: admins only, or every account (`members`),
    /// which then sees the id and the username of the others.
    #[arg(
        long,
        env = "SYMBOLON_USER_LIST",
        value_name = "admins|members",
        hide_possible_values = true,
        default_value = "admins"
    )]
    pub user_list: UserList,

    /// How long the audit trail is kept, in days.
    #[arg(
        long,
        env = "SYMBOLON_AUDIT_DAYS",
        value_name = "DAYS",
        default_value_t = 90,
        value_parser = |text: &str| ranges::AUDIT_DAYS.parse::<u32>(text)
    )]
    pub audit_days: u32,

    /// How often passwords may be tried.
    #[command(flatten)]
    pub throttle: ThrottleConfig,

    /// What one HTTP request may take, and who may send it.
    #[command(flatten)]
    pub http: HttpConfig,

    /// What one GraphQL document may ask for.
    #[command(flatten)]
    pub limits: Limits,
}

/// The accounts to which the list of accounts is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum UserList {
    /// Admins.
    Admins,
    /// Every account.
    Members,
}

impl UserList {
    /// The lowest role that sees the list.
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Admins => Role::Admin,
            Self::Members => Role::User,
        }
    }
}

/// How PostgreSQL is spoken to.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct PostgresConfig {
    /// Connections to PostgreSQL that read, at most.
    #[arg(
        long = "postgres-readers",
        env = "SYMBOLON_POSTGRES_READERS",
        value_name = "N",
        default_value_t = 8,
        value_parser = |text: &str| ranges::POSTGRES_READERS.parse::<u32>(text)
    )]
    pub readers: u32,

    /// Connections to PostgreSQL that write, at most. Two more keep up the pulse.
    #[arg(
        long = "postgres-writers",
        env = "SYMBOLON_POSTGRES_WRITERS",
        value_name = "N",
        default_value_t = 8,
        value_parser = |text: &str| ranges::POSTGRES_WRITERS.parse::<u32>(text)
    )]
    pub writers: u32,

    /// How long a request waits for one of these connections, in milliseconds. A server that does not
    /// answer for half a second longer is taken to be away.
    #[arg(
        long = "postgres-acquire-timeout",
        env = "SYMBOLON_POSTGRES_ACQUIRE_TIMEOUT",
        value_name = "MS",
        default_value_t = 1000,
        value_parser = |text: &str| ranges::POSTGRES_ACQUIRE_TIMEOUT.parse::<u32>(text)
    )]
    pub acquire_timeout: u32,

    /// How long one statement may take, in milliseconds.
    #[arg(
        long = "postgres-statement-timeout",
        env = "SYMBOLON_POSTGRES_STATEMENT_TIMEOUT",
        value_name = "MS",
        default_value_t = 10_000,
        value_parser = |text: &str| ranges::POSTGRES_STATEMENT_TIMEOUT.parse::<u32>(text)
    )]
    pub statement_timeout: u32,
}

/// How often passwords may be tried, as BURST/HOUR: so many at once, and so many an hour in the long
/// run. The counts are in the database.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct ThrottleConfig {
    /// Whether attempts are counted: `on`, or `off` for load tests.
    #[arg(id = "throttle", long = "throttle", env = "SYMBOLON_THROTTLE", value_name = "ON|OFF",
          default_value = "on", action = ArgAction::Set, value_parser = BoolishValueParser::new())]
    pub enabled: bool,

    /// Wrong passwords of one account, whether or not it exists. An address that signed in to it in the
    /// last 30 days is counted by itself. A new password of the account clears the counts.
    #[arg(
        long = "throttle-account",
        env = "SYMBOLON_THROTTLE_ACCOUNT",
        value_name = "BURST/HOUR",
        default_value = "20/80"
    )]
    pub account: Rate,

    /// Wrong passwords from one address; of IPv6, from one /64 network. Those of an account that signed
    /// in from there in the last 30 days do not count.
    #[arg(
        long = "throttle-address",
        env = "SYMBOLON_THROTTLE_ADDRESS",
        value_name = "BURST/HOUR",
        default_value = "300/1000"
    )]
    pub address: Rate,

    /// Registrations and changes of profiles, from one address and by one account.
    #[arg(
        long = "throttle-registration",
        env = "SYMBOLON_THROTTLE_REGISTRATION",
        value_name = "BURST/HOUR",
        default_value = "100/100"
    )]
    pub registrations: Rate,
}

/// What one HTTP request may take, and who may send it.
#[derive(Args, Clone, Debug)]
#[non_exhaustive]
pub struct HttpConfig {
    /// The largest body that is read, in bytes.
    #[arg(
        long,
        env = "SYMBOLON_BODY_LIMIT",
        value_name = "BYTES",
        default_value_t = 65536,
        value_parser = |text: &str| ranges::BODY_LIMIT.parse::<usize>(text)
    )]
    pub body_limit: usize,

    /// How long a client may take to send the head of a request, and then its body, and how long it
    /// may stop reading an answer, in seconds.
    #[arg(
        long,
        env = "SYMBOLON_READ_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 10,
        value_parser = |text: &str| ranges::READ_TIMEOUT.parse::<u64>(text)
    )]
    pub read_timeout: u64,

    /// How long an answer may take, in seconds. A mutation goes on to its end all the same.
    #[arg(
        long,
        env = "SYMBOLON_REQUEST_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = |text: &str| ranges::REQUEST_TIMEOUT.parse::<u64>(text)
    )]
    pub request_timeout: u64,

    /// Whether the page that explores the API is served at /.
    #[cfg(feature = "explorer")]
    #[arg(long, env = "SYMBOLON_EXPLORER", value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub explorer: bool,

    /// Connections at once; never more than the limit on open files allows. One address may hold a quarter
    /// of them and an eighth as sockets, and one account a sixteenth as sockets.
    #[arg(
        long,
        env = "SYMBOLON_MAX_CONNECTIONS",
        value_name = "N",
        default_value_t = 10_000,
        value_parser = |text: &str| ranges::MAX_CONNECTIONS.parse::<usize>(text)
    )]
    pub max_connections: usize,

    /// Proxies whose X-Forwarded-For is believed, as addresses or networks, separated by commas.
    #[arg(long, env = "SYMBOLON_TRUSTED_PROXIES", value_name = "NETS", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,

    /// Other origins whose pages may use the API in a browser, separated by commas, for example
    /// `https://app.example.org`.
    #[arg(long, env = "SYMBOLON_CORS_ORIGINS", value_name = "ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub cors_origins: Vec<String>,
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    (text.parse().or_else(|_| address())).map_err(|_| "not an address or a network".to_owned())
}

/// An origin as browsers send it (RFC 6454, section 6.2): no path, not even a slash.
fn origin(text: &str) -> Result<String, String> {
    let host = text.split_once("://").map_or("", |(_, host)| host);
    let well_formed = !host.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_graphic() && !c.is_ascii_uppercase())
        && !host.contains(['/', '?', '#', '@', '*']);
    let refused = || "not an origin such as https://app.example.org".to_owned();
    well_formed.then(|| text.to_owned()).ok_or_else(refused)
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

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}
