//! Responses to requests that fail outside GraphQL. Each response has a status, a JSON body and, for some
//! errors, a challenge.

use poem::error::ResponseError;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::web::Json;
use poem::{IntoResponse, Response};
use serde_json::json;

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

/// Logs the error and returns the response to the request that failed.
pub(super) fn error_response(
    error: &Error,
    challenge: Challenge<'_>,
    request_id: &str,
) -> Response {
    error.log(request_id);
    let details = error.details();
    let status = status(error);
    let mut body = json!({
        "error": status.canonical_reason(),
        "message": details.message,
        "code": details.code,
    });
    if let Some(reason) = details.reason {
        body["reason"] = reason.into();
    }
    if let Some(retry_after) = details.retry_after {
        body["retryAfter"] = retry_after.into();
    }
    if let Error::Internal(_) = error {
        body["requestId"] = request_id.into();
    }
    let mut response = Json(body)
        .with_status(status)
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
        (
            Error::Unauthenticated(Unauthenticated::TokenInvalid | Unauthenticated::TokenExpired),
            _,
        ) => r#"Bearer realm="symbolon", error="invalid_token""#,
        (Error::Unauthenticated(_), _) => r#"Bearer realm="symbolon""#,
        (Error::Forbidden(Forbidden::ScopeRequired), Challenge::BearerWithScopes(scopes)) => {
            let scopes = scopes.join(" ");
            let challenge =
                format!(r#"Bearer realm="symbolon", error="insufficient_scope", scope="{scopes}""#);
            return HeaderValue::from_str(&challenge).ok();
        }
        _ => return None,
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
