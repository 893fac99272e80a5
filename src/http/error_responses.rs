//! Responses to requests that fail outside GraphQL. Each response has a status, a JSON body and, for some
//! errors, a challenge.

use poem::error::ResponseError;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::web::Json;
use poem::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::error::{Error, Forbidden, Unauthenticated};

/// The authentication challenge in a response (RFC 9110, section 11.6.1).
#[derive(Clone, Copy, Debug)]
pub(super) enum Challenge<'a> {
    /// The scheme `Basic` (RFC 7617). Browsers show a password dialog for this challenge.
    Basic,
    /// The scheme `Bearer` (RFC 6750).
    Bearer,
    /// The scheme `Bearer`, for a token with these scopes.
    BearerWithScopes(&'a [String]),
}

/// The parts of a response, for servers other than poem. The responses of Symbolon have the same parts.
///
/// ```
/// use symbolon::{Error, Unauthenticated};
///
/// let error = Error::from(Unauthenticated::TokenExpired);
/// assert_eq!(error.status(), 401);
/// assert_eq!(error.body()["reason"], "TOKEN_EXPIRED");
/// assert!(error.challenge().is_some());
/// ```
impl Error {
    /// Returns the HTTP status.
    ///
    /// ```
    /// assert_eq!(symbolon::Error::PayloadTooLarge.status(), 413);
    /// ```
    #[must_use]
    pub fn status(&self) -> u16 {
        self.details().status
    }

    /// Returns the value of the header `WWW-Authenticate` with the scheme `Bearer` if the status is 401. A challenge with
    /// the scheme `Basic` is not available: browsers show a password dialog for it, and then add the password to all
    /// requests, including those from pages of other origins.
    ///
    /// ```
    /// let error = symbolon::Error::from(symbolon::Unauthenticated::Missing);
    /// assert_eq!(error.challenge(), Some("Bearer realm=\"symbolon\""));
    /// ```
    #[must_use]
    pub fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::Unauthenticated(
                Unauthenticated::TokenInvalid | Unauthenticated::TokenExpired,
            ) => Some(r#"Bearer realm="symbolon", error="invalid_token""#),
            Self::Unauthenticated(_) => Some(r#"Bearer realm="symbolon""#),
            _ => None,
        }
    }

    /// Returns the value of the header `Retry-After`, in seconds.
    ///
    /// ```
    /// let error = symbolon::Error::RateLimited { retry_after: 30 };
    /// assert_eq!(error.retry_after(), Some(30));
    /// ```
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        self.details().retry_after
    }

    /// Returns the JSON body: the name of the status in `error`, and `message`, `code`, `reason` and `retryAfter`. The body
    /// does not contain the cause of an internal error, which [`source`](std::error::Error::source) returns for the log.
    ///
    /// ```
    /// let error = symbolon::Error::from(symbolon::Forbidden::RoleRequired);
    /// assert_eq!(error.body()["code"], "FORBIDDEN");
    /// ```
    #[must_use]
    pub fn body(&self) -> Value {
        let details = self.details();
        let mut body = json!({
            "error": status(self).canonical_reason(),
            "message": details.message,
            "code": details.code,
        });
        if let Some(reason) = details.reason {
            body["reason"] = reason.into();
        }
        if let Some(retry_after) = details.retry_after {
            body["retryAfter"] = retry_after.into();
        }
        body
    }
}

/// Logs the error and returns the response to the request that failed.
pub(super) fn error_response(
    error: &Error,
    challenge: Challenge<'_>,
    request_id: &str,
) -> Response {
    error.log(request_id);
    let mut body = error.body();
    if let Error::Internal(_) = error {
        body["requestId"] = request_id.into();
    }
    let mut response = Json(body)
        .with_status(status(error))
        .with_header(header::CACHE_CONTROL, "no-store")
        .into_response();
    let headers = response.headers_mut();
    if let Some(challenge) = challenge_for(error, challenge) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    add_headers(error, headers);
    response
}

fn challenge_for(error: &Error, challenge: Challenge<'_>) -> Option<HeaderValue> {
    let challenge = match (error, challenge) {
        (Error::Unauthenticated(_), Challenge::Basic) => {
            r#"Basic realm="symbolon", charset="UTF-8""#
        }
        (Error::Forbidden(Forbidden::ScopeRequired), Challenge::BearerWithScopes(scopes)) => {
            let scopes = scopes.join(" ");
            let challenge =
                format!(r#"Bearer realm="symbolon", error="insufficient_scope", scope="{scopes}""#);
            return HeaderValue::from_str(&challenge).ok();
        }
        _ => error.challenge()?,
    };
    Some(HeaderValue::from_static(challenge))
}

/// Adds the headers that depend only on the error. GraphQL responses also have these headers.
pub(super) fn add_headers(error: &Error, headers: &mut HeaderMap) {
    match error {
        Error::MethodNotAllowed(methods) => {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        Error::EncodedBody => {
            let identity = HeaderValue::from_static("identity");
            headers.insert(header::ACCEPT_ENCODING, identity);
        }
        // The connection is closed, because the client may still be sending a body that the server will
        // not read.
        Error::RequestTimeout | Error::PayloadTooLarge => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    if let Some(retry_after) = error.details().retry_after {
        headers.insert(header::RETRY_AFTER, retry_after.into());
    }
}

/// Returns the status of the response to a request that fails with this error.
pub(super) fn status(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.details().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Allows extractors to return an [`Error`] in routes without the [`Middleware`](crate::Middleware).
impl ResponseError for Error {
    fn status(&self) -> StatusCode {
        status(self)
    }

    fn as_response(&self) -> Response {
        error_response(self, Challenge::Bearer, "none")
    }
}
