//! The location of a database, and the parser of database URLs.

use std::fmt;
use std::path::{Path, PathBuf};

use sea_orm::sqlx::ConnectOptions;
use sea_orm::sqlx::postgres::PgConnectOptions;

/// The accepted parameters of a PostgreSQL URL. Other parameters are refused, because a misspelt `sslmode` would make
/// the connection insecure.
const PARAMETERS: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// The reason why a database URL is refused. The messages do not repeat the URL, which may contain a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("the database URL must be sqlite://FILE or postgres://USER:PASSWORD@HOST/DATABASE")]
    Unknown,
    #[error(
        "the database URL has an @ after the first /, ? or #: in the user and the password, write these \
         characters as %2F, %3F and %23; elsewhere, write @ as %40"
    )]
    Unencoded,
    #[error("the database URL has a parameter that Symbolon does not know: {0:?}")]
    Parameter(String),
    #[error("the database URL cannot be parsed: {0}")]
    Malformed(#[source] sea_orm::sqlx::Error),
}

/// The location of a database.
#[derive(Clone)]
pub(crate) enum Location {
    /// An SQLite file.
    File(PathBuf),
    /// A database on a PostgreSQL server, or on another server with the protocol of PostgreSQL.
    Server(Box<PgConnectOptions>),
}

impl Location {
    /// Parses a URL. Does not open or create the database.
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return parse_postgres(url);
        }
        let rest = url.strip_prefix("sqlite:").ok_or(UrlError::Unknown)?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        // In-memory databases are refused, because each connection would open a separate database. Parameters are
        // refused, because they could disable durability.
        if path.is_empty() || path.contains(['?', '#']) || path.starts_with(":memory:") {
            return Err(UrlError::Unknown);
        }
        Ok(Self::File(PathBuf::from(path)))
    }

    /// Returns the path of the SQLite file, or `None` for PostgreSQL.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }

    /// Formats the location for messages: the absolute path of the file, or the URL without the password and the
    /// parameters.
    pub(crate) fn full_name(&self) -> String {
        let file = self.file().and_then(|file| std::path::absolute(file).ok());
        file.map_or_else(|| self.to_string(), |file| file.display().to_string())
    }
}

fn parse_postgres(url: &str) -> Result<Location, UrlError> {
    // A part of an unencoded password could be parsed as a host, a path or a parameter, and appear in messages.
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if rest[authority..].contains('@') {
        return Err(UrlError::Unencoded);
    }
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    for parameter in parameters.split('&').filter(|text| !text.is_empty()) {
        let key = parameter.split('=').next().unwrap_or_default();
        if !PARAMETERS.contains(&key) {
            return Err(UrlError::Parameter(key.to_owned()));
        }
    }
    let options: PgConnectOptions = url.parse().map_err(UrlError::Malformed)?;
    let mut options = options.disable_statement_logging();
    if options.get_application_name().is_none() {
        options = options.application_name("symbolon");
    }
    Ok(Location::Server(Box::new(options)))
}

/// Formats the path of the file, or the URL without the password and the parameters.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(options) => {
                let user = options.get_username();
                write!(f, "postgres://{user}@{}", options.get_host())?;
                write!(f, ":{}/", options.get_port())?;
                // The default database has the name of the user.
                f.write_str(options.get_database().unwrap_or(user))
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}
