//! What can go wrong, and the one table that says how each state answers it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use tracing::Level;

/// Why a request, or a part of it, was refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// Nobody is known to be asking.
    Unauthenticated(Unauthenticated),
    /// It is known who is asking, but they may not.
    Forbidden(Forbidden),
    /// The arguments make no sense; the text says why.
    BadUserInput(String),
    /// The HTTP request makes no sense; the text says why.
    BadRequest(String),
    /// The path exists, the method on it does not; the methods that do.
    MethodNotAllowed(&'static str),
    /// The client takes neither media type that there is.
    NotAcceptable,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The body is larger than is read.
    PayloadTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// The document is not GraphQL; the text says where.
    GraphqlParseFailed(String),
    /// The document is GraphQL, but not for this schema; the text says why.
    GraphqlValidationFailed(String),
    /// More was asked for than one request may have; the name of the limit.
    LimitExceeded(&'static str),
    /// Too many attempts.
    RateLimited {
        /// In how many seconds the next one is allowed.
        retry_after: u32,
    },
    /// The client's address has as many connections or sockets as one address may have.
    TooManyConnections,
    /// Not now: the hashing queue is full, or the database is away.
    ServiceUnavailable {
        /// In how many seconds it is worth another try.
        retry_after: u32,
    },
    /// The answer takes longer than anybody is to wait. What was asked for may still be done.
    TimedOut,
    /// The database failed during a commit, so that the change may or may not have been made.
    OutcomeUnknown,
    /// Anything else. The cause is for the log and never sent.
    Internal(Arc<dyn std::error::Error + Send + Sync>),
}

/// Why nobody is known to be asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthenticated {
    /// No credentials of the needed kind were sent.
    Missing,
    /// Unknown user, wrong password or disabled user: they are not told apart.
    InvalidCredentials,
    /// A token that was never issued, or was replaced.
    TokenInvalid,
    /// A token that has expired or was revoked.
    TokenExpired,
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forbidden {
    /// A browser sent the request for a page of another site.
    CrossSite,
    /// It takes another role.
    RoleRequired,
    /// The access token is not for this.
    ScopeRequired,
    /// It takes a session token, or username and password: an access token is never enough.
    SessionRequired,
    /// The operation grants or changes authority: it takes the username and the password in the same
    /// request, and a Bearer token is not enough.
    PasswordRequired,
    /// Nobody may register but whom an admin registers.
    RegistrationClosed,
}

impl Unauthenticated {
    /// For programs, and for people.
    fn reason(self) -> (&'static str, &'static str) {
        match self {
            Self::Missing => ("MISSING", "Authentication is required."),
            Self::InvalidCredentials => {
                ("INVALID_CREDENTIALS", "The username or password is wrong.")
            }
            Self::TokenInvalid => ("TOKEN_INVALID", "The token is not valid."),
            Self::TokenExpired => (
                "TOKEN_EXPIRED",
                "The token has expired or was revoked. Sign in again.",
            ),
        }
    }
}

impl Forbidden {
    /// For programs, and for people.
    fn reason(self) -> (&'static str, &'static str) {
        match self {
            Self::CrossSite => (
                "CROSS_SITE",
                "Pages of this origin may not change anything here. SYMBOLON_CORS_ORIGINS lists those that may.",
            ),
            Self::RoleRequired => ("ROLE_REQUIRED", "Your role does not allow this."),
            Self::ScopeRequired => ("SCOPE_REQUIRED", "The token's scopes do not include this."),
            Self::SessionRequired => (
                "SESSION_REQUIRED",
                "An access token is not enough for this. Sign in.",
            ),
            Self::PasswordRequired => (
                "PASSWORD_REQUIRED",
                "A token is not enough for this. Send the username and the password as HTTP Basic \
                 credentials of the same request.",
            ),
            Self::RegistrationClosed => {
                ("REGISTRATION_CLOSED", "Only admins may register accounts.")
            }
        }
    }
}

/// How a state answers an [`Error`]: one line of the contract.
#[derive(Debug)]
pub(crate) struct ErrorDetails {
    /// `extensions.code` in GraphQL, `code` elsewhere.
    pub(crate) code: &'static str,
    /// `extensions.reason` in GraphQL, `reason` elsewhere.
    pub(crate) reason: Option<&'static str>,
    /// The HTTP status where a whole request is refused.
    pub(crate) status: u16,
    /// How loud the log is about it.
    pub(crate) level: Level,
    /// What the client reads.
    pub(crate) message: Cow<'static, str>,
    /// In how many seconds it is worth another try.
    pub(crate) retry_after: Option<u32>,
    /// The name of the limit that was exceeded.
    pub(crate) limit: Option<&'static str>,
}

impl Error {
    /// A request would cause a second verification of a password.
    pub(crate) const SECOND_VERIFICATION: Self = Self::LimitExceeded("verifiedPasswordsPerRequest");
    /// A request would cause a second new password hash.
    pub(crate) const SECOND_NEW_HASH: Self = Self::LimitExceeded("newPasswordsPerRequest");

    /// An error whose cause is for the log only.
    pub(crate) fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(Arc::from(cause.into()))
    }

    /// The line of the contract for this error.
    #[must_use]
    pub(crate) fn details(&self) -> ErrorDetails {
        let text = |text: &'static str| Cow::Borrowed(text);
        let (code, reason, status, level, message) = match self {
            Self::Unauthenticated(why) => {
                let (reason, message) = why.reason();
                let code = "UNAUTHENTICATED";
                (code, Some(reason), 401, Level::DEBUG, text(message))
            }
            Self::Forbidden(why) => {
                let (reason, message) = why.reason();
                ("FORBIDDEN", Some(reason), 403, Level::DEBUG, text(message))
            }
            Self::BadUserInput(why) => {
                let why = Cow::Owned(why.clone());
                ("BAD_USER_INPUT", None, 400, Level::DEBUG, why)
            }
            Self::BadRequest(why) => {
                let why = Cow::Owned(why.clone());
                ("BAD_REQUEST", None, 400, Level::DEBUG, why)
            }
            Self::MethodNotAllowed(_) => {
                let message = text("This path does not answer this method.");
                ("METHOD_NOT_ALLOWED", None, 405, Level::DEBUG, message)
            }
            Self::NotAcceptable => {
                let message =
                    text("There is application/graphql-response+json and application/json here.");
                ("NOT_ACCEPTABLE", None, 406, Level::DEBUG, message)
            }
            Self::RequestTimeout => {
                let message = text("The request did not arrive in time.");
                ("REQUEST_TIMEOUT", None, 408, Level::DEBUG, message)
            }
            Self::PayloadTooLarge => {
                let message = text("The body is too large.");
                ("PAYLOAD_TOO_LARGE", None, 413, Level::DEBUG, message)
            }
            Self::UnsupportedMediaType => {
                let message = text("The body has to be sent as application/json.");
                ("UNSUPPORTED_MEDIA_TYPE", None, 415, Level::DEBUG, message)
            }
            Self::GraphqlParseFailed(why) => {
                let why = Cow::Owned(why.clone());
                ("GRAPHQL_PARSE_FAILED", None, 400, Level::DEBUG, why)
            }
            Self::GraphqlValidationFailed(why) => {
                let why = Cow::Owned(why.clone());
                ("GRAPHQL_VALIDATION_FAILED", None, 400, Level::DEBUG, why)
            }
            Self::LimitExceeded(limit) => {
                let message = Cow::Owned(format!("One request may not exceed the limit {limit}."));
                ("LIMIT_EXCEEDED", None, 400, Level::DEBUG, message)
            }
            Self::RateLimited { retry_after } => {
                let message =
                    format!("Too many attempts. The next one is allowed in {retry_after} s.");
                ("RATE_LIMITED", None, 429, Level::DEBUG, Cow::Owned(message))
            }
            Self::TooManyConnections => {
                let message = text("Your address has too many connections. Close one of them.");
                ("RATE_LIMITED", None, 429, Level::DEBUG, message)
            }
            Self::ServiceUnavailable { .. } => {
                let message = text("Too busy at the moment. Try again shortly.");
                ("SERVICE_UNAVAILABLE", None, 503, Level::WARN, message)
            }
            Self::TimedOut => {
                let message =
                    text("The answer takes too long. What was asked for may still be done.");
                ("SERVICE_UNAVAILABLE", None, 503, Level::WARN, message)
            }
            Self::OutcomeUnknown => {
                let message = text(
                    "The database failed while the change was committed. It may or may not have been \
                     made: look before you repeat it.",
                );
                ("SERVICE_UNAVAILABLE", None, 503, Level::WARN, message)
            }
            Self::Internal(_) => {
                let message = text("Something went wrong on our side.");
                ("INTERNAL_SERVER_ERROR", None, 500, Level::ERROR, message)
            }
        };
        ErrorDetails {
            code,
            reason,
            status,
            level,
            message,
            retry_after: match self {
                Self::RateLimited { retry_after } | Self::ServiceUnavailable { retry_after } => {
                    Some(*retry_after)
                }
                Self::TimedOut | Self::OutcomeUnknown | Self::TooManyConnections => Some(1),
                _ => None,
            },
            limit: match self {
                Self::LimitExceeded(limit) => Some(limit),
                _ => None,
            },
        }
    }

    /// Writes the error to the log, with its cause where it has one.
    pub(crate) fn log(&self, request_id: &str) {
        let ErrorDetails {
            code,
            reason,
            level,
            ..
        } = self.details();
        match (self, level) {
            (Self::Internal(cause), _) => {
                tracing::error!(request_id, cause = ?cause, "internal error");
            }
            (_, Level::WARN) => tracing::warn!(request_id, code, "request refused"),
            _ => tracing::debug!(request_id, code, reason, "request refused"),
        }
    }
}

impl From<Unauthenticated> for Error {
    fn from(why: Unauthenticated) -> Self {
        Self::Unauthenticated(why)
    }
}

impl From<Forbidden> for Error {
    fn from(why: Forbidden) -> Self {
        Self::Forbidden(why)
    }
}

/// The text that clients read; never a cause.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.details().message)
    }
}

impl std::error::Error for Error {}

/// Why Symbolon does not start: one line for whoever starts it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl StartError {
    pub(crate) fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}
