//! Tell errors outside GraphQL: status, challenge and a JSON body.

use poem::error::ResponseError;
use poem::http::{StatusCode, header};
use poem::web::Json;
use poem::{IntoResponse, Response};
use serde_json::json;

use crate::error::{Error, Unauthenticated};

/// What a 401 asks for (RFC 9110, section 11.6.1).
#[derive(Clone, Copy, Debug)]
pub(super) enum Challenge {
    /// RFC 7617. Browsers pop up a dialog at this.
    Basic,
    /// RFC 6750.
    Bearer,
}

/// The answer to a request that is refused whole.
pub(super) fn refuse(error: &Error, challenge: Challenge, request_id: &str) -> Response {
    error.log(request_id);
    let answer = error.answer();
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut body = json!({
        "error": status.canonical_reason(),
        "message": answer.message,
        "code": answer.code,
    });
    if let Some(reason) = answer.reason {
        body["reason"] = reason.into();
    }
    if let Error::Internal(_) = error {
        body["requestId"] = request_id.into();
    }
    let mut response = Json(body)
        .with_status(status)
        .with_header(header::CACHE_CONTROL, "no-store")
        .into_response();
    if let Error::Unauthenticated(why) = error {
        let challenge = match (challenge, why) {
            (Challenge::Basic, _) => r#"Basic realm="symbolon", charset="UTF-8""#,
            (Challenge::Bearer, Unauthenticated::TokenInvalid | Unauthenticated::TokenExpired) => {
                r#"Bearer realm="symbolon", error="invalid_token""#
            }
            (Challenge::Bearer, _) => r#"Bearer realm="symbolon""#,
        };
        response = response
            .with_header(header::WWW_AUTHENTICATE, challenge)
            .into_response();
    }
    if let Error::MethodNotAllowed(methods) = error {
        response = response
            .with_header(header::ALLOW, *methods)
            .into_response();
    }
    if let Some(retry_after) = answer.retry_after {
        response = response
            .with_header(header::RETRY_AFTER, retry_after)
            .into_response();
    }
    response
}

/// For routes that an embedder left without the [`Middleware`](crate::Middleware).
impl ResponseError for Error {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.answer().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn as_response(&self) -> Response {
        refuse(self, Challenge::Bearer, "none")
    }
}
