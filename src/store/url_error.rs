//! Errors of database URLs.

use std::fmt;

/// The reason why a database URL is refused. The messages never repeat a part of the URL that may be a part of a
/// password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UrlError {
    #[error(
        "the database URL must be sqlite://FILE or postgres://USER:PASSWORD@HOST/DATABASE, without quotation marks"
    )]
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
    #[error("{0} {1}")]
    Value(ParameterSource, &'static str),
    #[error(
        "the database URL contains a % that does not begin an encoded character; write % as %25"
    )]
    Encoding,
    #[error("the database URL cannot be parsed: {0}")]
    Malformed(#[source] sea_orm::sqlx::Error),
}

/// The source of a parameter of a connection, with the name of the parameter or of the variable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ParameterSource {
    Url(&'static str),
    Variable(&'static str),
}

impl fmt::Display for ParameterSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(name) => write!(f, "the parameter {name} of the database URL"),
            Self::Variable(name) => write!(f, "the variable {name}"),
        }
    }
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
