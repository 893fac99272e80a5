//! The errors of the library, and the responses to them.

mod denial_reasons;
mod document_error;
mod start_error;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use tracing::Level;

pub use self::denial_reasons::{Forbidden, Unauthenticated};
pub use self::document_error::{DocumentError, Position};
pub use self::start_error::StartError;

/// The reason why a request, or a part of the request, was refused.
///
/// ```
/// use symbolon::{Error, Operator};
///
/// async fn count(operator: &Operator) -> String {
///     match operator.users(None).await {
///         Ok(users) => format!("{} users", users.len()),
///         Err(Error::ServiceUnavailable { retry_after }) => format!("Try again in {retry_after} s."),
///         // `Display` returns the text for clients, and `source` the cause for the log.
///         Err(error) => error.to_string(),
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let operator = symbolon::Symbolon::open(config).await?.operator();
/// assert_eq!(count(&operator).await, "0 users");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The request has no valid credentials.
    Unauthenticated(Unauthenticated),
    /// The credentials of the request are valid but do not permit the operation.
    Forbidden(Forbidden),
    /// The password is right, but [`Hooks::before_sign_in`](crate::Hooks::before_sign_in) refused the sign-in.
    /// Contains the message for the client.
    SignInRefused(String),
    /// The arguments are invalid. Contains the message for the client.
    BadUserInput(String),
    /// The HTTP request is invalid. Contains the message for the client.
    BadRequest(String),
    /// The path does not support the HTTP method. Contains the supported methods.
    MethodNotAllowed(&'static str),
    /// The client accepts no media type that the server supports.
    NotAcceptable,
    /// The request did not arrive within the read timeout.
    RequestTimeout,
    /// The request body exceeds the size limit.
    PayloadTooLarge,
    /// The request body does not have the media type `application/json`.
    UnsupportedMediaType,
    /// The request body has a content coding, such as gzip.
    EncodedBody,
    /// The document is not syntactically valid GraphQL.
    GraphqlParseFailed(DocumentError),
    /// The operation cannot be executed. Contains the message for the client.
    GraphqlValidationFailed(String),
    /// The document is not valid for the schema. Contains at most 100 errors, in the order of their positions.
    InvalidDocument(Arc<[DocumentError]>),
    /// The values of variables do not have the declared types. Contains at most 50 errors.
    InvalidVariables(Arc<[DocumentError]>),
    /// The request contains the hash of a document instead of the document.
    PersistedQueryNotSupported,
    /// The request exceeds a limit. Contains the name of the limit.
    LimitExceeded(&'static str),
    /// The client has made too many attempts.
    RateLimited {
        /// Seconds until the next attempt is permitted.
        retry_after: u32,
    },
    /// The address of the client already has the maximum number of connections or WebSockets.
    TooManyConnections,
    /// Too many requests are waiting to hash a password, or the database is unavailable.
    ServiceUnavailable {
        /// Seconds after which the client should try again.
        retry_after: u32,
    },
    /// The request was not processed within the request timeout. The operation may still be completed.
    TimedOut,
    /// The database failed during a commit. The change may or may not have been made.
    OutcomeUnknown,
    /// An unexpected error. The cause is logged, and never sent to the client.
    Internal(Arc<dyn std::error::Error + Send + Sync>),
}

/// The parts of the response that reports an [`Error`].
#[derive(Debug)]
pub(crate) struct ErrorDetails {
    /// `extensions.code` in GraphQL, `code` in REST.
    pub(crate) code: &'static str,
    /// `extensions.reason` in GraphQL, `reason` in REST.
    pub(crate) reason: Option<&'static str>,
    /// The HTTP status if the whole request is refused.
    pub(crate) status: u16,
    /// The level of the log message.
    pub(crate) level: Level,
    /// The message for the client.
    pub(crate) message: Cow<'static, str>,
    /// Seconds after which the client should try again.
    pub(crate) retry_after: Option<u32>,
    /// The name of the exceeded limit.
    pub(crate) limit: Option<&'static str>,
}

impl Error {
    /// The error for a second password verification in one request.
    pub(crate) const SECOND_VERIFICATION: Self = Self::LimitExceeded("verifiedPasswordsPerRequest");
    /// The error for a second new password hash in one request.
    pub(crate) const SECOND_NEW_HASH: Self = Self::LimitExceeded("newPasswordsPerRequest");

    /// Returns [`Error::Internal`] with this cause.
    pub(crate) fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(Arc::from(cause.into()))
    }

    /// Returns the code, the HTTP status and the message for the client.
    fn summary(&self) -> (&'static str, u16, Cow<'static, str>) {
        match self {
            Self::Unauthenticated(why) => ("UNAUTHENTICATED", 401, why.details().1.into()),
            Self::Forbidden(why) => ("FORBIDDEN", 403, why.details().1.into()),
            Self::SignInRefused(message) => ("FORBIDDEN", 403, message.clone().into()),
            Self::BadUserInput(message) => ("BAD_USER_INPUT", 400, message.clone().into()),
            Self::BadRequest(message) => ("BAD_REQUEST", 400, message.clone().into()),
            Self::MethodNotAllowed(_) => (
                "METHOD_NOT_ALLOWED",
                405,
                "This path does not support this method.".into(),
            ),
            Self::NotAcceptable => (
                "NOT_ACCEPTABLE",
                406,
                "The available media types are application/graphql-response+json and application/json.".into(),
            ),
            Self::RequestTimeout => (
                "REQUEST_TIMEOUT",
                408,
                "The request did not arrive in time.".into(),
            ),
            Self::PayloadTooLarge => ("PAYLOAD_TOO_LARGE", 413, "The body is too large.".into()),
            Self::UnsupportedMediaType => (
                "UNSUPPORTED_MEDIA_TYPE",
                415,
                "The content type of the body must be application/json.".into(),
            ),
            Self::EncodedBody => (
                "UNSUPPORTED_MEDIA_TYPE",
                415,
                "The body must not be compressed. Send the body without Content-Encoding.".into(),
            ),
            Self::GraphqlParseFailed(error) => {
                ("GRAPHQL_PARSE_FAILED", 400, error.message.clone().into())
            }
            Self::InvalidDocument(errors) => {
                ("GRAPHQL_VALIDATION_FAILED", 400, first_message(errors))
            }
            Self::InvalidVariables(errors) => {
                ("BAD_USER_INPUT", 400, first_message(errors))
            }
            // Clients repeat the request with the document only after the status 200 and this message.
            Self::PersistedQueryNotSupported => (
                "PERSISTED_QUERY_NOT_SUPPORTED",
                200,
                "PersistedQueryNotSupported".into(),
            ),
            Self::GraphqlValidationFailed(message) => {
                ("GRAPHQL_VALIDATION_FAILED", 400, message.clone().into())
            }
            Self::LimitExceeded(limit) => (
                "LIMIT_EXCEEDED",
                400,
                format!("The request exceeds the limit {limit}.").into(),
            ),
            Self::RateLimited { retry_after } => (
                "RATE_LIMITED",
                429,
                format!("Too many attempts. Try again in {retry_after} s.").into(),
            ),
            Self::TooManyConnections => (
                "RATE_LIMITED",
                429,
                "Your address has too many connections. Close one of them.".into(),
            ),
            Self::ServiceUnavailable { .. } => (
                "SERVICE_UNAVAILABLE",
                503,
                "The service is temporarily unavailable. Try again shortly.".into(),
            ),
            Self::TimedOut => (
                "SERVICE_UNAVAILABLE",
                503,
                "The request took too long. The operation may still be completed.".into(),
            ),
            Self::OutcomeUnknown => (
                "SERVICE_UNAVAILABLE",
                503,
                "The database failed during the commit. The change may or may not have been made: \
                 check before you repeat it."
                    .into(),
            ),
            Self::Internal(_) => (
                "INTERNAL_SERVER_ERROR",
                500,
                "An internal error occurred.".into(),
            ),
        }
    }

    /// Returns the parts of the response that reports this error.
    #[must_use]
    pub(crate) fn details(&self) -> ErrorDetails {
        let (code, status, message) = self.summary();
        ErrorDetails {
            code,
            reason: match self {
                Self::Unauthenticated(why) => Some(why.details().0),
                Self::Forbidden(why) => Some(why.details().0),
                Self::SignInRefused(_) => Some("SIGN_IN_REFUSED"),
                _ => None,
            },
            status,
            level: match status {
                500 => Level::ERROR,
                503 => Level::WARN,
                _ => Level::DEBUG,
            },
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

    /// Logs the error. For an internal error, also logs the cause.
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

fn first_message(errors: &[DocumentError]) -> Cow<'static, str> {
    let message = errors.first().map(|error| error.message.clone());
    message.unwrap_or_default().into()
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

/// The output is the message for the client, which never contains the cause.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.details().message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Internal(cause) => Some(&**cause),
            _ => None,
        }
    }
}
