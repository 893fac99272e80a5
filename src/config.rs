//! The configuration of the library: plain values with defaults.

mod defaults;
mod limits;
mod numbers;

use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;

use self::defaults::with_defaults;
pub use self::limits::Limits;
pub use self::numbers::Number;
use crate::model::rate_limit::Rate;
use crate::model::user::Role;

with_defaults! {
    /// The configuration of a [`Symbolon`](crate::Symbolon).
    ///
    /// ```
    /// let mut config = symbolon::Config::new("sqlite://app.db");
    /// config.token_lifetime = 900;
    /// config.http.cors_origins = vec!["https://app.example.org".to_owned()];
    /// ```
    ///
    /// [`Config::numbers`] lists the range of each number.
    pub struct Config {
        /// The URL of the database: `sqlite://FILE`, or
        /// `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full&sslrootcert=FILE`.
        pub database_url: Secret = Secret::from("sqlite://symbolon.db"),

        /// Connections to PostgreSQL.
        pub postgres: PostgresConfig = PostgresConfig::default(),

        /// The server key: base64 of 32 bytes. It has precedence over `secret_key_file`.
        pub secret_key: Option<Secret> = None,

        /// A file with the server key.
        ///
        /// Without `secret_key` and `secret_key_file`, a key file is created beside the SQLite file. PostgreSQL
        /// requires one of them, and the same key for all instances.
        pub secret_key_file: Option<PathBuf> = None,

        /// Lifetime of a new session token, in seconds.
        pub token_lifetime: u32 = 3600,

        /// Whether a sign-in returns the live session token of the user, instead of replacing it.
        pub reuse: bool = true,

        /// Time after a sign-in during which its session token can be renewed, in days.
        pub session_max_age: u32 = 30,

        /// Minimum length of a new password, in characters.
        ///
        /// [NIST SP 800-63B-4](https://pages.nist.gov/800-63-4/sp800-63b.html) requires 15 where a password is
        /// the only factor.
        pub password_min: u32 = 8,

        /// Memory of one Argon2id hash, in KiB
        /// ([RFC 9106](https://www.rfc-editor.org/rfc/rfc9106#section-3.1)).
        pub argon2_memory: u32 = 19_456,

        /// Passes of Argon2id over that memory.
        pub argon2_iterations: u32 = 2,

        /// Lanes of Argon2id. Each lane requires 8 KiB of memory.
        pub argon2_parallelism: u32 = 1,

        /// Number of threads that hash passwords. `None` stands for the number of cores.
        pub hash_threads: Option<NonZeroUsize> = None,

        /// Number of sign-ins and registrations that can wait for a hashing thread. Further ones are refused at
        /// once. One client address can use a quarter of the places.
        pub hash_queue: usize = 128,

        /// Size of the cache of identities, in MiB. With 0, each request reads the database, and a revocation by
        /// another instance takes effect at once.
        pub identity_cache: u32 = 64,

        /// Size of the cache of parsed documents, in MiB.
        pub document_cache: u32 = 16,

        /// Whether clients can register users without being an admin.
        pub registration: bool = true,

        /// The users that can list the users.
        pub user_list: UserList = UserList::Admins,

        /// Time for which audit events are kept, in days.
        pub audit_days: u32 = 90,

        /// Limits on the number of attempts.
        pub throttle: ThrottleConfig = ThrottleConfig::default(),

        /// Limits on HTTP connections and requests, and the trusted proxies and origins.
        pub http: HttpConfig = HttpConfig::default(),

        /// Limits on GraphQL documents.
        pub limits: Limits = Limits::default(),
    }
}

impl Config {
    /// Returns the default configuration for the database at `database_url`. Nothing is opened or checked;
    /// [`Symbolon::open`](crate::Symbolon::open) does both.
    pub fn new(database_url: impl Into<Secret>) -> Self {
        Self {
            database_url: database_url.into(),
            ..Self::default()
        }
    }
}

/// The users that can list the users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserList {
    /// Admins.
    Admins,
    /// Every user. Users that are not admins see the ids and the usernames only.
    Members,
}

impl UserList {
    /// Returns the lowest role that can read the list.
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Admins => Role::Admin,
            Self::Members => Role::User,
        }
    }
}

with_defaults! {
    /// Connections to PostgreSQL. SQLite ignores these settings.
    pub struct PostgresConfig {
        /// Maximum number of connections that read.
        pub readers: u32 = 8,

        /// Maximum number of connections that write. Two further connections exchange heartbeats.
        pub writers: u32 = 8,

        /// Maximum time that a request waits for a connection, in milliseconds. A server that sends no answer for
        /// this time and 500 ms is considered unreachable.
        pub acquire_timeout: u32 = 1000,

        /// Maximum time of one statement, in milliseconds.
        pub statement_timeout: u32 = 10_000,
    }
}

with_defaults! {
    /// Limits on the number of attempts. The database counts the attempts, for all instances together.
    pub struct ThrottleConfig {
        /// Whether attempts are limited.
        pub enabled: bool = true,

        /// Wrong passwords for one username, whether or not the user exists. An address from which the user signed
        /// in during the last 30 days has a separate count. A new password of the user resets the counts.
        pub account: Rate = Rate { burst: 20, per_hour: 80 },

        /// Wrong passwords from one address, or from one /64 network of IPv6. Passwords of users that signed in
        /// from the address during the last 30 days are not counted.
        pub address: Rate = Rate { burst: 300, per_hour: 1000 },

        /// Registrations and profile changes, counted by address and by user.
        pub registrations: Rate = Rate { burst: 100, per_hour: 100 },
    }
}

with_defaults! {
    /// Limits on HTTP connections and requests, and the trusted proxies and origins.
    pub struct HttpConfig {
        /// Maximum size of a request body and of a WebSocket message, in bytes.
        pub body_limit: usize = 65_536,

        /// Maximum time to receive the head of a request, to receive its body, and between two reads of a response
        /// by the client, in seconds.
        pub read_timeout: u64 = 10,

        /// Maximum time of a response, in seconds. A mutation that takes longer is completed nevertheless.
        pub request_timeout: u64 = 30,

        /// Whether `/` serves the API explorer. It requires the feature `explorer`.
        pub explorer: bool = true,

        /// Maximum number of connections. The limit on open files of the process reduces it. One address can hold a
        /// quarter of the connections, and an eighth for WebSockets. One user can hold a sixteenth for WebSockets.
        pub max_connections: usize = 10_000,

        /// Proxies whose `X-Forwarded-For` header determines the client's address.
        pub trusted_proxies: Vec<IpNet> = Vec::new(),

        /// Other origins whose pages can use the API, as in the `Origin` header
        /// ([RFC 6454](https://www.rfc-editor.org/rfc/rfc6454#section-6.2)): `https://app.example.org`.
        pub cors_origins: Vec<String> = Vec::new(),
    }
}

/// A text whose `Debug` output does not show it.
#[derive(Clone)]
pub struct Secret(pub(crate) String);

impl Secret {
    /// Returns the text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.into())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}
