//! The configuration of an instance, with default values.

mod cors_settings;
mod defaults_macro;
mod document_limits;
mod link_settings;
mod number_ranges;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use ipnet::IpNet;

use self::defaults_macro::with_defaults;
pub use self::document_limits::Limits;
pub use self::number_ranges::Number;
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
    /// [`Config::numbers`] returns the permitted range of each number.
    pub struct Config {
        /// The URL of the database: `sqlite://FILE`, or
        /// `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full&sslrootcert=FILE`.
        pub database_url: Secret = Secret::from("sqlite://symbolon.db"),

        /// Settings for connections to PostgreSQL.
        pub postgres: PostgresConfig = PostgresConfig::default(),

        /// The server key: 32 bytes, encoded in base64. `secret_key` takes precedence over `secret_key_file`.
        pub secret_key: Option<Secret> = None,

        /// The file that contains the server key.
        ///
        /// If neither `secret_key` nor `secret_key_file` is set, a key file is created beside the SQLite file.
        /// With PostgreSQL, one of these settings is required, and all instances must use the same key.
        pub secret_key_file: Option<PathBuf> = None,

        /// Lifetime of a new session token, in seconds.
        pub token_lifetime: u32 = 3600,

        /// Whether a sign-in returns the live session token of the user instead of replacing the token.
        pub reuse: bool = true,

        /// Maximum time from the last sign-in to the expiration of a renewed session token, in days.
        pub session_max_age: u32 = 30,

        /// Minimum length of a new password, in characters.
        ///
        /// [NIST SP 800-63B-4](https://pages.nist.gov/800-63-4/sp800-63b.html) requires 15 characters if the
        /// password is the only authentication factor.
        pub password_min: u32 = 8,

        /// Memory for one Argon2id hash, in KiB
        /// ([RFC 9106](https://www.rfc-editor.org/rfc/rfc9106#section-3.1)).
        pub argon2_memory: u32 = 19_456,

        /// Number of passes of Argon2id over the memory.
        pub argon2_iterations: u32 = 2,

        /// Number of Argon2id lanes. `argon2_memory` must be at least 8 KiB for each lane.
        pub argon2_parallelism: u32 = 1,

        /// Maximum memory for the verification of one stored hash, in KiB. Hashes from other systems, and hashes from the
        /// time before a change of `argon2_memory`, can require more memory than new hashes. At most one hash at a time
        /// uses more memory than `argon2_memory`. Hashes that exceed the limit are not imported, and their users cannot
        /// sign in. The value must be at least `argon2_memory`.
        pub max_hash_memory: u32 = 262_144,

        /// Number of threads that hash passwords. `None` means one thread per processor core.
        pub hash_threads: Option<NonZeroUsize> = None,

        /// Maximum number of requests that wait for a hashing thread. Further requests are refused immediately.
        /// Requests from one client address use at most a quarter of the places.
        pub hash_queue: usize = 128,

        /// Size of the identity cache (the cache of verified tokens and their users), in MiB. With 0, each
        /// request reads the identity from the database, and a revocation by another instance takes effect
        /// immediately.
        pub identity_cache: u32 = 64,

        /// Size of the cache of parsed GraphQL documents, in MiB.
        pub document_cache: u32 = 16,

        /// Whether registration is open. If registration is closed, only admins can register users.
        pub registration: bool = true,

        /// The public URL of the server, such as `https://login.example.org` or `https://example.org/login`. One-time
        /// links begin with this URL. It has no credentials, no query and no fragment.
        ///
        /// Links are never derived from a request, because a client can send any `Host` header.
        pub public_url: Option<String> = None,

        /// The URL of the application's own page for reset links, without credentials and fragment. `None` means the
        /// page `/reset` below `public_url`.
        pub reset_page: Option<String> = None,

        /// Lifetime of a reset link, in seconds.
        pub reset_link_lifetime: u32 = 900,

        /// Lifetime of an invitation, in seconds.
        pub invitation_lifetime: u32 = 604_800,

        /// The users who can list all users.
        pub user_list: UserList = UserList::Admins,

        /// Time for which audit events are kept, in days.
        pub audit_days: u32 = 90,

        /// Rate limits on password attempts, registrations and profile changes.
        pub throttle: ThrottleConfig = ThrottleConfig::default(),

        /// Limits on HTTP connections and requests, trusted proxies, and permitted origins.
        pub http: HttpConfig = HttpConfig::default(),

        /// Limits on GraphQL documents.
        pub limits: Limits = Limits::default(),
    }
}

impl Config {
    /// Returns the default configuration with this database URL. The URL is checked when
    /// [`Symbolon::open`](crate::Symbolon::open) opens the database.
    ///
    /// ```
    /// use symbolon::Config;
    ///
    /// let config = Config::new("sqlite:///var/lib/notes/app.db");
    /// assert_eq!(config.database_url.reveal(), "sqlite:///var/lib/notes/app.db");
    /// assert_eq!(config.token_lifetime, Config::default().token_lifetime);
    /// ```
    pub fn new(database_url: impl Into<Secret>) -> Self {
        Self {
            database_url: database_url.into(),
            ..Self::default()
        }
    }
}

/// The users who can list all users.
///
/// ```
/// use symbolon::{Config, UserList};
///
/// let mut config = Config::new("sqlite://app.db");
/// // All members of a team can find each other.
/// config.user_list = UserList::Members;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserList {
    /// Only admins.
    Admins,
    /// All users. Users who are not admins can read only the ids and usernames of other users.
    Members,
}

impl UserList {
    /// Returns the lowest role that can list the users.
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Admins => Role::Admin,
            Self::Members => Role::User,
        }
    }
}

with_defaults! {
    /// Settings for connections to PostgreSQL. They have no effect with SQLite.
    ///
    /// ```
    /// use symbolon::Config;
    ///
    /// let mut config = Config::new("postgres://notes@db.example.org/notes");
    /// // Four instances share a PostgreSQL server with 100 connections.
    /// config.postgres.readers = 12;
    /// config.postgres.writers = 8;
    /// ```
    pub struct PostgresConfig {
        /// Maximum number of connections for reading. Also the maximum number of separate connections of
        /// [`Symbolon::connection`](crate::Symbolon::connection).
        pub readers: u32 = 8,

        /// Maximum number of connections for writing. Two additional connections check continuously that the
        /// server answers and delivers notifications.
        pub writers: u32 = 8,

        /// Maximum time that a request waits for a connection, in milliseconds. A database server that does not
        /// answer within this time plus 500 ms is considered unreachable.
        pub acquire_timeout: u32 = 1000,

        /// Maximum duration of one SQL statement, in milliseconds.
        pub statement_timeout: u32 = 10_000,
    }
}

with_defaults! {
    /// Rate limits on password attempts, registrations and profile changes. The counts are stored in the
    /// database, so that they apply to all instances together.
    ///
    /// ```
    /// use symbolon::{Config, Rate};
    ///
    /// let mut config = Config::new("sqlite://app.db");
    /// config.throttle.account = Rate { burst: 5, per_hour: 20 };
    /// // A test that signs in often.
    /// config.throttle.enabled = false;
    /// ```
    pub struct ThrottleConfig {
        /// Whether the rate limits are enforced.
        pub enabled: bool = true,

        /// Maximum number of wrong passwords for one username, at once and per hour. Passwords for a username
        /// that does not exist are counted as well. Each address from which the user has signed in during the
        /// last 30 days has a separate count. A change of the password resets the counts.
        pub account: Rate = Rate { burst: 20, per_hour: 80 },

        /// Maximum number of wrong passwords from one IPv4 address or one /64 IPv6 network, at once and per
        /// hour. A wrong password is not counted here if the user has signed in from the address during the
        /// last 30 days.
        pub address: Rate = Rate { burst: 300, per_hour: 1000 },

        /// Maximum number of registrations, invitations, profile changes and uses of one-time links per address and
        /// per user, at once and per hour.
        pub registrations: Rate = Rate { burst: 100, per_hour: 100 },
    }
}

with_defaults! {
    /// Limits on HTTP connections and requests, trusted proxies, and permitted origins.
    ///
    /// ```
    /// use symbolon::{ClientAddressHeader, Config};
    ///
    /// let mut config = Config::new("sqlite://app.db");
    /// config.http.cors_origins = vec!["https://app.example.org".to_owned()];
    /// config.http.trusted_proxies = vec!["10.0.0.0/8".parse()?];
    /// config.http.client_address_header = ClientAddressHeader::Forwarded;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct HttpConfig {
        /// Maximum size of a request body and of a WebSocket message, in bytes.
        pub body_limit: usize = 65_536,

        /// Maximum time to receive the head of a request, in seconds. The same maximum applies separately to
        /// the receipt of the request body, and to each wait for the client to read more of the response.
        pub read_timeout: u64 = 10,

        /// Maximum time to process a request, in seconds. A mutation that takes longer is still completed, but
        /// the client receives an error.
        pub request_timeout: u64 = 30,

        /// Whether the API explorer is available at `/`. Requires the feature `explorer`.
        pub explorer: bool = true,

        /// Maximum number of connections. The server accepts fewer connections if the process cannot open
        /// enough files. One address can use at most a quarter of all connections. The WebSockets of one
        /// address can use at most an eighth of all connections, and the WebSockets of one user at most a
        /// sixteenth.
        pub max_connections: usize = 10_000,

        /// Networks of trusted proxies. For a request from a trusted proxy, a header determines the client's
        /// address.
        pub trusted_proxies: Vec<IpNet> = Vec::new(),

        /// The header in which trusted proxies send the client's address. The other header is ignored.
        pub client_address_header: ClientAddressHeader = ClientAddressHeader::XForwardedFor,

        /// Other origins whose pages can use the API, in the format of the `Origin` header
        /// ([RFC 6454](https://www.rfc-editor.org/rfc/rfc6454#section-6.2)), such as `https://app.example.org`.
        pub cors_origins: Vec<String> = Vec::new(),

        /// Names of request headers that pages of these origins can send, in addition to the headers that Symbolon
        /// and common GraphQL clients use.
        pub cors_headers: Vec<String> = Vec::new(),

        /// Whether pages of these origins can send requests with credentials of the browser, such as cookies.
        /// Symbolon does not use such credentials, but a proxy in front of Symbolon may require them.
        pub cors_credentials: bool = false,
    }
}

/// The header in which trusted proxies send the address of the client.
///
/// ```
/// use symbolon::{ClientAddressHeader, Config};
///
/// let mut config = Config::new("sqlite://app.db");
/// config.http.trusted_proxies = vec!["192.0.2.10/32".parse()?];
/// config.http.client_address_header = ClientAddressHeader::XForwardedFor;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAddressHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` ([RFC 7239](https://www.rfc-editor.org/rfc/rfc7239)).
    Forwarded,
}

/// A confidential string, such as a key. The `Debug` output does not contain the string.
///
/// ```
/// use symbolon::{Config, Secret};
///
/// let mut config = Config::new("sqlite://app.db");
/// config.secret_key = Some(Secret::from("eGZ0SDhqUGJ0aDNKZVNYc0FxUnZ6S2VVdEw2d0dDb0Q="));
/// assert!(!format!("{config:?}").contains("eGZ0"));
/// ```
#[derive(Clone)]
pub struct Secret(pub(crate) String);

impl Secret {
    /// Returns the string.
    ///
    /// ```
    /// use symbolon::Config;
    ///
    /// let config = Config::new("postgres://notes@db.example.org/notes");
    /// let is_shared = config.database_url.reveal().starts_with("postgres://");
    /// assert!(is_shared);
    /// ```
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
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
