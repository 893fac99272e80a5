//! The location of a database, and the parser of database URLs.

use std::fmt;
use std::path::{Path, PathBuf};

use sea_orm::sqlx::ConnectOptions;
use sea_orm::sqlx::postgres::PgConnectOptions;

use crate::store::postgres_url::parse_postgres;

/// The reason why a database URL is refused. The messages never repeat a part of the URL that may be a part of a
/// password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("the database URL must be sqlite://FILE or postgres://USER:PASSWORD@HOST/DATABASE")]
    Unknown,
    #[error(
        "the database URL must be sqlite://FILE without parameters; Symbolon sets the parameters of the connection"
    )]
    SqliteParameters,
    #[error(
        "the database URL contains an @, # or & at a place where Symbolon expects none: in the user, the password and \
         the parameters, write % as %25, / as %2F, ? as %3F, # as %23, & as %26 and @ as %40"
    )]
    Unencoded,
    #[error("the database URL has a parameter that Symbolon does not know{0}")]
    Parameter(ParameterName),
    #[error("the parameter {0} of the database URL {1}")]
    Value(&'static str, &'static str),
    #[error("the database URL names several servers; Symbolon connects to one server")]
    SeveralHosts,
    #[error("the port in the database URL is not a number from 1 to 65535")]
    Port,
    #[error(
        "the database URL contains a % that does not begin an encoded character; write % as %25"
    )]
    Encoding,
    #[error("the database URL cannot be parsed: {0}")]
    Malformed(#[source] sea_orm::sqlx::Error),
}

/// The name of an unknown parameter, or `None` if the name may be a part of a password.
#[derive(Debug)]
pub(crate) struct ParameterName(pub(super) Option<String>);

impl fmt::Display for ParameterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => write!(f, ": {name}"),
            None => f.write_str("; if the password contains a ? or &, write ? as %3F and & as %26"),
        }
    }
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
        for scheme in ["postgres://", "postgresql://"] {
            if let Some(rest) = url.strip_prefix(scheme) {
                let options = parse_postgres(rest)?.disable_statement_logging();
                return Ok(Self::Server(Box::new(options)));
            }
        }
        let rest = url.strip_prefix("sqlite:").ok_or(UrlError::Unknown)?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        // Parameters are refused, because they could disable durability.
        if path.contains(['?', '#']) {
            return Err(UrlError::SqliteParameters);
        }
        // In-memory databases are refused, because each connection would open a separate database.
        if path.is_empty() || path.starts_with(":memory:") {
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

/// Formats the path of the file, or the URL without the password and the parameters.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(options) => {
                let user = options.get_username();
                write!(f, "postgres://{user}@")?;
                match (options.get_socket(), options.get_host()) {
                    (Some(socket), _) => socket.display().fmt(f),
                    (None, address) if address.contains(':') => write!(f, "[{address}]"),
                    (None, host) => f.write_str(host),
                }?;
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
