//! Where the database is.

use std::fmt;
use std::path::{Path, PathBuf};

use sea_orm::sqlx::ConnectOptions;
use sea_orm::sqlx::postgres::PgConnectOptions;

/// The parameters of a PostgreSQL URL. Another one may be a misspelt one that the connection's safety
/// rests on.
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

/// Why a URL names no database. What it says is not repeated: there may be a password in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UrlError {
    #[error(
        "the database URL is none that Symbolon knows; it takes sqlite://FILE and \
         postgres://USER:PASSWORD@HOST/DATABASE"
    )]
    Unknown,
    #[error(
        "the database URL has an @ behind the first /, ? or #: in the user and the password write these \
         characters as %2F, %3F and %23, and an @ elsewhere as %40"
    )]
    Unencoded,
    #[error("the database URL has a parameter that Symbolon does not know: {0:?}")]
    Parameter(String),
    #[error("the database URL makes no sense: {0}")]
    Malformed(#[source] sea_orm::sqlx::Error),
}

/// The database that a URL names.
#[derive(Clone)]
pub(crate) enum Location {
    /// A file of the embedded SQLite.
    File(PathBuf),
    /// A database of `PostgreSQL`, or of what speaks its protocol.
    Server(Box<PgConnectOptions>),
}

impl Location {
    /// What `url` names. Nothing is opened or made.
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return server(url);
        }
        let rest = url.strip_prefix("sqlite:").ok_or(UrlError::Unknown)?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        // An in-memory database is lost whenever its connection is, and is another one for each
        // connection; the parameters would undo what durability rests on.
        if path.is_empty() || path.contains(['?', '#']) || path.starts_with(":memory:") {
            return Err(UrlError::Unknown);
        }
        Ok(Self::File(PathBuf::from(path)))
    }

    /// The file, where it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }

    /// For people: the absolute path of the file, or the URL without the password and the parameters.
    pub(crate) fn full_name(&self) -> String {
        let file = self.file().and_then(|file| std::path::absolute(file).ok());
        file.map_or_else(|| self.to_string(), |file| file.display().to_string())
    }
}

fn server(url: &str) -> Result<Location, UrlError> {
    // Otherwise a part of the password would be taken for a host, a path or a parameter, and be shown.
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if rest[authority..].contains('@') {
        return Err(UrlError::Unencoded);
    }
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    for parameter in parameters.split('&').filter(|one| !one.is_empty()) {
        let key = parameter.split('=').next().unwrap_or_default();
        if !PARAMETERS.contains(&key) {
            return Err(UrlError::Parameter(key.to_owned()));
        }
    }
    let options: PgConnectOptions = url.parse().map_err(UrlError::Malformed)?;
    let named = options.get_application_name().is_some();
    let options = options.disable_statement_logging();
    Ok(Location::Server(Box::new(if named {
        options
    } else {
        options.application_name("symbolon")
    })))
}

/// For people: the file, or the URL without the password and the parameters.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(options) => {
                let user = options.get_username();
                write!(f, "postgres://{user}@{}", options.get_host())?;
                write!(f, ":{}/", options.get_port())?;
                // The server takes the user's name for it otherwise.
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
